"""Are the injected currents those that the fit file describes, where and when it says?"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcfit.biophys.protocols import build_stimulus
from hpcfit.biophys.settings import StimulusSettings
from hpcfit.biophys.stimulus import Stimulus
from hpcfit.errors import ConfigError, InputError

T_MS = np.arange(0, 1000.0001, 0.5)


def build(*electrodes: dict[str, Any], **settings: Any) -> Stimulus:
    tables = {"name": "s", "duration_ms": 1000.0, **settings, "electrodes": [dict(each) for each in electrodes]}
    return build_stimulus(StimulusSettings.model_validate(tables))


def pulse(shape: str, **settings: Any) -> dict[str, Any]:
    return {"shape": shape, "delay_ms": 100.0, "duration_ms": 800.0, **settings}


def inside(delay_ms: float = 100.0, duration_ms: float = 800.0) -> np.ndarray:
    return (delay_ms <= T_MS) & (delay_ms + duration_ms > T_MS)


def test_step():
    current = build(pulse("step", amplitude_nA=0.3)).current_nA(T_MS)
    assert np.array_equal(current, np.where(inside(), 0.3, 0.0))
    assert build(pulse("step", amplitude_nA=-0.3)).current_nA(T_MS).min() == -0.3


def test_ramp():
    current = build(pulse("ramp", start_nA=0.1, end_nA=0.5)).current_nA(T_MS)
    np.testing.assert_allclose(current, np.where(inside(), 0.1 + 0.4 * (T_MS - 100) / 800, 0.0), atol=1e-12)
    assert build(pulse("ramp", end_nA=1)).current_nA(np.array([100.0, 500.0, 900.0])).tolist() == [0.0, 0.5, 0.0]


def test_chirp_runs_from_its_first_to_its_last_frequency():
    start, end, seconds = 2.0, 12.0, 0.8
    t_s = (T_MS - 100) / 1e3
    linear = build(pulse("chirp", amplitude_nA=0.2, start_Hz=start, end_Hz=end)).current_nA(T_MS)
    phase = 2 * np.pi * (start * t_s + (end - start) * t_s**2 / (2 * seconds))
    np.testing.assert_allclose(linear, np.where(inside(), 0.2 * np.sin(phase), 0.0), atol=1e-5)
    exponential = build(pulse("chirp", amplitude_nA=0.2, start_Hz=start, end_Hz=end, sweep="exponential"))
    growth = (end / start) ** (1 / seconds)
    phase = 2 * np.pi * start * (growth**t_s - 1) / np.log(growth)
    np.testing.assert_allclose(exponential.current_nA(T_MS), np.where(inside(), 0.2 * np.sin(phase), 0.0), atol=1e-5)
    # Linear in time: (2 + 12) / 2 cycles a second.
    upward = np.sum((linear[:-1] <= 0) & (linear[1:] > 0))
    assert upward in (5, 6)  # 5.6 cycles


@pytest.mark.parametrize("sweep", ["linear", "exponential"])
def test_chirp_of_one_frequency_is_a_sine(sweep):
    current = build(pulse("chirp", amplitude_nA=0.2, start_Hz=5, end_Hz=5, sweep=sweep)).current_nA(T_MS)
    expected = 0.2 * np.sin(2 * np.pi * 5 * (T_MS - 100) / 1e3)
    np.testing.assert_allclose(current, np.where(inside(), expected, 0.0), atol=1e-5)


def test_noise_has_its_mean_sd_and_time_constant():
    noise = {"shape": "noise", "delay_ms": 0.0, "duration_ms": 60000.0, "mean_nA": 0.1, "sd_nA": 0.2, "tau_ms": 5.0}
    (injection,) = build(noise, duration_ms=60000.0).injections
    values = injection.i_nA
    assert len(values) == 600001 and np.allclose(np.diff(injection.t_ms), 0.1)
    assert abs(values.mean() - 0.1) < 0.01 and abs(values.std() - 0.2) < 0.01
    shifted = values - values.mean()
    correlation = np.mean(shifted[:-50] * shifted[50:]) / np.mean(shifted**2)
    assert abs(correlation - np.exp(-1)) < 0.03  # 50 samples are one time constant


def test_noise_is_frozen_by_its_seed():
    def current(**settings: Any) -> np.ndarray:
        return build(pulse("noise", sd_nA=0.1, **settings)).current_nA(T_MS)

    assert np.array_equal(current(), current(seed=0))
    assert not np.array_equal(current(), current(seed=1))
    np.testing.assert_allclose(current(mean_nA=0.5)[inside()] - 0.5, current()[inside()], atol=1e-12)
    assert np.all(current()[~inside()] == 0.0)


@given(
    st.floats(0, 900),
    st.floats(1, 100),
    st.sampled_from(
        [
            {"shape": "step", "amplitude_nA": 1},
            {"shape": "ramp", "start_nA": 1, "end_nA": 2},
            {"shape": "chirp", "amplitude_nA": 1, "start_Hz": 5, "end_Hz": 9},
            {"shape": "noise", "sd_nA": 1, "mean_nA": 3},
        ]
    ),
)
def test_nothing_flows_outside_its_time(delay_ms, duration_ms, shape):
    stimulus = build({**shape, "delay_ms": delay_ms, "duration_ms": duration_ms}, window_ms=(0, 1000))
    on = (delay_ms <= T_MS) & (delay_ms + duration_ms > T_MS)
    assert np.all(stimulus.current_nA(T_MS)[~on] == 0.0)
    assert shape["shape"] == "chirp" or np.all(stimulus.current_nA(T_MS)[on] != 0.0)


def test_electrodes_add_up_at_their_sites():
    step = pulse("step", amplitude_nA=0.3)
    late = pulse("step", amplitude_nA=0.2, delay_ms=500.0)
    there = pulse("ramp", end_nA=1.0, site="dendrite")
    stimulus = build(step, {**late, "duration_ms": 100.0}, there, holding_nA=-0.05)
    expected = -0.05 + np.where(inside(), 0.3, 0) + np.where(inside(500, 100), 0.2, 0)
    # The holding current ends with the simulation, so the very last sample has none.
    np.testing.assert_allclose(stimulus.current_nA(T_MS)[:-1], expected[:-1], atol=1e-15)
    np.testing.assert_array_equal(stimulus.current_nA(T_MS, "dendrite"), build(there).current_nA(T_MS, "dendrite"))
    assert np.all(stimulus.current_nA(T_MS, "tuft") == 0.0)
    assert [injection.site for injection in stimulus.injections] == ["soma", "soma", "soma", "dendrite"]


def test_holding_alone():
    stimulus = build(holding_nA=-0.1)
    assert np.all(stimulus.current_nA(T_MS[:-1]) == -0.1) and stimulus.injections[0].constant
    assert build().injections == () and np.all(build().current_nA(T_MS) == 0.0)


def test_what_is_constant():
    (step,) = build(pulse("step", amplitude_nA=0.3)).injections
    (ramp,) = build(pulse("ramp", end_nA=0.3)).injections
    assert step.constant and not ramp.constant


def test_window():
    step = pulse("step", amplitude_nA=0.3)
    assert build(step).window_ms == (100.0, 900.0)
    assert build(step, window_ms=(10, 20)).window_ms == (10.0, 20.0)
    assert build().window_ms == (0.0, 1000.0)


def _csv(path: Path, dt_ms: float = 1.0, samples: int = 50) -> Path:
    rows = [f"{index * dt_ms:g},{0.01 * index:g}" for index in range(samples)]
    path.write_text("time_ms,current_nA\n" + "\n".join(rows) + "\n")
    return path


def test_waveform(tmp_path):
    electrode = {"shape": "file", "path": _csv(tmp_path / "w.csv"), "delay_ms": 200.0, "scale": 2.0}
    current = build(electrode).current_nA(T_MS)
    expected = np.where(inside(200, 49), 0.02 * (T_MS - 200), 0.0)  # 50 samples span 49 ms
    np.testing.assert_allclose(current, expected, atol=1e-12)


def test_waveform_is_cut_at_the_end_of_the_simulation(tmp_path):
    electrode = {"shape": "file", "path": _csv(tmp_path / "w.csv"), "delay_ms": 980.0}
    (injection,) = build(electrode).injections
    assert injection.delay_ms + injection.duration_ms == 1000.0


def test_what_cannot_be_built(tmp_path):
    with pytest.raises(ConfigError, match="stimulus s: its amplitude is in rheobases"):
        build(pulse("step", amplitude_rheobase=1.5))
    with pytest.raises(InputError, match=r"none\.csv: no such recording"):
        build({"shape": "file", "path": tmp_path / "none.csv"})
