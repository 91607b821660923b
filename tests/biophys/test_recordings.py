"""Sweeps from HDF5, CSV and NWB files, the current step in them, the rheobase, and the errors that users meet."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcfit.biophys.recordings import Sweep, read_sweeps, rheobase_nA, step_of, waveform
from hpcfit.biophys.settings import RheobaseSettings
from hpcfit.errors import InputError

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "ephys" / "C060114A7.h5"
needs_data = pytest.mark.skipif(not REAL.is_file(), reason=f"{REAL} is not there")


def write_hdf5(path: Path, sweeps: dict[str, tuple[np.ndarray, np.ndarray | None, float]]) -> Path:
    with h5py.File(path, "w") as file:
        for name, (v_mV, i_nA, dt_ms) in sweeps.items():
            group = file.create_group(name)
            group["voltage_mV"] = v_mV
            if i_nA is not None:
                group["current_nA"] = i_nA
            group.attrs["dt_ms"] = dt_ms
    return path


def pulse(amplitude: float, samples: int = 1000, first: int = 200, last: int = 700, holding: float = 0.0) -> np.ndarray:
    i_nA = np.full(samples, holding)
    i_nA[first:last] += amplitude
    return i_nA


def spiking(samples: int, at: list[int], rest: float = -70.0) -> np.ndarray:
    v_mV = np.full(samples, rest)
    for sample in at:
        v_mV[sample : sample + 4] = [0.0, 30.0, 10.0, -40.0]
    return v_mV


def sweep_of(i_nA: np.ndarray | None, dt_ms: float = 0.1) -> Sweep:
    length = 1000 if i_nA is None else len(i_nA)
    return Sweep("synthetic/1", np.full(length, -70.0), i_nA, dt_ms, Path("synthetic.h5"))


# HDF5


def test_sweeps_come_sorted_and_chosen_by_shell_patterns_from_groups_at_any_depth(tmp_path):
    trace = np.linspace(-70, -60, 50).astype(np.float32)
    names = ["cell/IDrest/2", "cell/IDrest/1", "IV/1"]
    path = write_hdf5(tmp_path / "a.h5", dict.fromkeys(names, (trace, trace / 100, 0.25)))

    assert [sweep.name for sweep in read_sweeps(path)] == ["IV/1", "cell/IDrest/1", "cell/IDrest/2"]
    (sweep,) = read_sweeps(path, ["*/IDrest/2"])
    assert sweep.name == "cell/IDrest/2" and sweep.dt_ms == 0.25 and sweep.source == path
    assert sweep.v_mV.dtype == np.float64 and np.array_equal(sweep.v_mV, trace)
    assert sweep.i_nA is not None and np.allclose(sweep.i_nA, trace / 100)
    assert sweep.duration_ms == pytest.approx(12.5)


def test_a_tail_of_nan_is_cut_and_a_hole_is_an_error(tmp_path):
    trace = np.full(100, -70.0)
    tail, hole = trace.copy(), trace.copy()
    tail[60:], hole[30] = np.nan, np.nan
    path = write_hdf5(tmp_path / "a.h5", {"tail/1": (tail, np.zeros(100), 0.1), "hole/1": (hole, None, 0.1)})

    (cut,) = read_sweeps(path, ["tail/*"])
    assert len(cut.v_mV) == 60 and cut.i_nA is not None and len(cut.i_nA) == 60
    with pytest.raises(InputError, match=r"a\.h5: sweep hole/1: voltage_mV is not finite at sample 30"):
        read_sweeps(path, ["hole/*"])


@pytest.mark.parametrize(
    ("v_mV", "i_nA", "dt_ms", "said"),
    [
        (np.full(9, -0.07), None, 0.1, "cannot be mV"),
        (np.full(9, -7e4), None, 0.1, "cannot be mV"),
        (np.full(9, -70.0), np.full(9, 250.0), 0.1, "looks like pA"),
        (np.full(9, -70.0), None, 1e-4, "looks like seconds"),
        (np.full(9, -70.0), None, 0.0, "must be above 0"),
        (np.full(9, -70.0), np.zeros(5), 0.1, r"shapes \(9,\) and \(5,\)"),
        (np.full(9, np.nan), None, 0.1, "no finite voltage"),
    ],
)
def test_values_in_other_units_or_of_other_lengths_are_named(tmp_path, v_mV, i_nA, dt_ms, said):
    path = write_hdf5(tmp_path / "a.h5", {"IV/1": (v_mV, i_nA, dt_ms)})
    with pytest.raises(InputError, match=rf"a\.h5: sweep IV/1.*{said}"):
        read_sweeps(path)


def test_files_that_hold_no_sweeps_say_what_to_do(tmp_path):
    with pytest.raises(InputError, match="no such recording"):
        read_sweeps(tmp_path / "none.h5")
    (tmp_path / "bad.h5").write_text("not HDF5")
    with pytest.raises(InputError, match=r"bad\.h5: cannot be read as HDF5"):
        read_sweeps(tmp_path / "bad.h5")
    (tmp_path / "a.abf").write_text("")
    with pytest.raises(InputError, match=r"type \.abf; accepted: .*\.csv, \.nwb"):
        read_sweeps(tmp_path / "a.abf")
    h5py.File(tmp_path / "empty.h5", "w").close()
    with pytest.raises(InputError, match="no group with a dataset voltage_mV"):
        read_sweeps(tmp_path / "empty.h5")
    with h5py.File(tmp_path / "dt.h5", "w") as file:
        file["IV/1/voltage_mV"] = np.full(9, -70.0)
    with pytest.raises(InputError, match=r"sweep IV/1: the attribute dt_ms .* is missing"):
        read_sweeps(tmp_path / "dt.h5")
    path = write_hdf5(tmp_path / "a.h5", {"IV/1": (np.full(9, -70.0), None, 0.1)})
    with pytest.raises(InputError, match=r"no sweep matches 'IDrest/\*'; it has IV/1"):
        read_sweeps(path, ["IV/*", "IDrest/*"])


# CSV


def csv_file(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_csv_file_holds_one_sweep_or_several(tmp_path):
    one = csv_file(tmp_path / "one.csv", "time_ms,voltage_mV,current_nA\n0,-70,0\n0.1,-69,0.5\n0.2,-68,0.5\n")
    (sweep,) = read_sweeps(one)
    assert sweep.name == "one" and sweep.dt_ms == pytest.approx(0.1)
    assert sweep.v_mV.tolist() == [-70, -69, -68] and sweep.i_nA is not None and sweep.i_nA.tolist() == [0, 0.5, 0.5]

    header = "time_ms, voltage_mV.b, voltage_mV.a, current_nA.a"
    several = csv_file(tmp_path / "several.csv", f"{header}\n0,-70,-60,0\n1,-71,-61,1\n2,,-62,2\n")
    first, second = read_sweeps(several)
    assert (first.name, second.name) == ("a", "b")
    assert second.i_nA is None and second.v_mV.tolist() == [-70, -71]  # ended early: its last cell is empty


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time_ms,voltage_mV\n0,-70\n1,-70\n2,-70\n7,-70\n8,-70\n", "not evenly spaced at line 5"),
        ("time_ms,voltage_mV\n0,-70\n0.0001,-70\n0.0002,-70\n", "looks like seconds"),
        ("time_ms,voltage_mV\n50,-70\n50.1,-70\n50.2,-70\n", "starts at 50 ms in line 2"),
        ("time_ms,voltage_mV\n0,-70\n0.1,x\n", "line 3: .*'x'.*must be a number"),
        ("time_ms,voltage_mV\n0,-70\n0.1\n", "line 3 has 1 cells, the header 2"),
        ("time,voltage_mV\n0,-70\n", "line 1 must name the columns, time_ms among them.*'time' stands first"),
        ("time_ms,voltage_mV,voltage_mV\n0,-70,-70\n1,-70,-70\n", "names the column 'voltage_mV' 2 times"),
        ("time_ms,volts\n0,-70\n1,-70\n", "has no column voltage_mV"),
        ("time_ms,voltage_mV\n0,-70\n", "has 1 samples"),
        ("", "line 1 must name the columns"),
    ],
)
def test_slips_in_a_csv_file_are_named_with_their_line(tmp_path, text, said):
    with pytest.raises(InputError, match=rf"a\.csv: .*{said}"):
        read_sweeps(csv_file(tmp_path / "a.csv", text))


def test_printed_times_may_be_rounded(tmp_path):
    rows = "".join(f"{index * 0.025:.2f},-70\n" for index in range(400))
    (sweep,) = read_sweeps(csv_file(tmp_path / "a.csv", "time_ms,voltage_mV\n" + rows))
    assert sweep.dt_ms == pytest.approx(0.025, rel=1e-2)


# NWB


@pytest.fixture
def make_nwb(tmp_path):
    pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed")
    icephys = pynwb.icephys

    def make(name: str = "a.nwb", pairs: int = 2, times: bool = False, join: str = "sweep_number") -> Path:
        file = pynwb.NWBFile("test", name, datetime(2020, 1, 1, tzinfo=UTC))
        device = file.create_device("amplifier")
        electrode = file.create_icephys_electrode(name="0", description="soma", device=device)
        for number in range(pairs):
            v_V = np.concatenate([np.full(80, -0.07 + 0.001 * number), np.full(20, np.nan)])
            clock = (
                {"timestamps": np.arange(100) * 1e-4} if times else {"rate": 10_000.0, "starting_time": 5.0 * number}
            )
            shared = {"electrode": electrode, "gain": 1.0, **clock}
            if join == "sweep_number":
                shared["sweep_number"] = np.uint32(number)
            # Stored as millivolts and picoamperes with factors to volts and amperes, and an offset.
            response = icephys.CurrentClampSeries(
                name=f"data_{number:05d}_AD0", data=1e3 * v_V + 10.0, conversion=1e-3, offset=-0.01, **shared
            )
            stimulus = icephys.CurrentClampStimulusSeries(
                name=f"stimulus_{number:05d}_DA0", data=np.arange(100.0) + number, conversion=1e-12, **shared
            )
            file.add_acquisition(response)
            file.add_stimulus(stimulus)
            if join == "table":
                file.add_intracellular_recording(electrode=electrode, stimulus=stimulus, response=response)
        with pynwb.NWBHDF5IO(str(tmp_path / name), "w") as io:
            io.write(file)
        return tmp_path / name

    return make


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("times", "join"), [(False, "sweep_number"), (True, "sweep_number"), (True, "table"), (True, "name")]
)
def test_nwb_sweeps_come_in_mV_and_nA_with_their_own_stimulus(make_nwb, times, join):
    path = make_nwb(times=times, join=join)
    first, second = read_sweeps(path)
    assert [first.name, second.name] == ["data_00000_AD0", "data_00001_AD0"]
    assert first.dt_ms == pytest.approx(0.1)
    assert np.allclose(first.v_mV, -70.0) and np.allclose(second.v_mV, -69.0) and len(second.v_mV) == 80
    assert second.i_nA is not None and np.allclose(second.i_nA, (np.arange(80) + 1) * 1e-3)

    i_nA, dt_ms = waveform(path, "stimulus_00001_DA0")
    assert dt_ms == pytest.approx(0.1) and np.allclose(i_nA, (np.arange(100) + 1) * 1e-3)


@pytest.mark.filterwarnings("ignore")
def test_nwb_files_without_sweeps_or_without_reader_say_so(make_nwb, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"has no current-clamp sweeps .* it holds nothing"):
        read_sweeps(make_nwb(pairs=0))
    (tmp_path / "bad.nwb").write_text("not NWB")
    with pytest.raises(InputError, match=r"bad\.nwb: cannot be read as NWB"):
        read_sweeps(tmp_path / "bad.nwb")
    monkeypatch.setitem(sys.modules, "pynwb", None)
    with pytest.raises(InputError, match=r"needs pynwb; pip install hpcfit\[nwb\]"):
        read_sweeps(tmp_path / "bad.nwb")


# Waveforms


def test_waveforms_come_from_csv_and_hdf5(tmp_path):
    one = csv_file(tmp_path / "one.csv", "time_ms,current_nA\n0,0\n0.5,1\n1,2\n")
    i_nA, dt_ms = waveform(one)
    assert dt_ms == 0.5 and i_nA.tolist() == [0, 1, 2]
    path = write_hdf5(tmp_path / "a.h5", {"N/1": (np.full(5, -70.0), np.arange(5.0), 0.1)})
    i_nA, dt_ms = waveform(path, "N/1")
    assert dt_ms == 0.1 and i_nA.tolist() == [0, 1, 2, 3, 4]
    assert waveform(path)[0].tolist() == i_nA.tolist()


def test_a_waveform_must_be_one_that_exists(tmp_path):
    trace = np.full(5, -70.0)
    path = write_hdf5(tmp_path / "a.h5", {name: (trace, np.zeros(5), 0.1) for name in ("N/1", "N/2")})
    with pytest.raises(InputError, match="give sweep, the file has 2: N/1, N/2"):
        waveform(path)
    with pytest.raises(InputError, match="no sweep 'N/3' with a current; it has N/1, N/2"):
        waveform(path, "N/3")


# Steps


@settings(max_examples=40, deadline=None)
@given(
    amplitude=st.floats(0.05, 2.0),
    sign=st.sampled_from([-1, 1]),
    holding=st.floats(-0.3, 0.3),
    dt_ms=st.sampled_from([0.02, 0.1, 0.25, 0.5]),
    seed=st.integers(0, 1000),
)
def test_a_step_is_found_in_noise_ringing_and_spike_artefacts(amplitude, sign, holding, dt_ms, seed):
    rng = np.random.default_rng(seed)
    t_ms = np.arange(0, 800, dt_ms)
    inside = (t_ms >= 100) & (t_ms < 600)
    i_nA = holding + sign * amplitude * inside + 0.003 * rng.standard_normal(len(t_ms))
    i_nA += sign * amplitude * 0.3 * np.exp(-(t_ms - 100) / 0.7) * (t_ms >= 100)
    for spike_ms in rng.uniform(110, 590, 10):
        near = np.abs(t_ms - spike_ms) < 0.75
        i_nA[near] += rng.choice([-0.5, 0.5])

    step = step_of(sweep_of(i_nA, dt_ms))

    assert step is not None
    assert step.start_ms == pytest.approx(100, abs=1.5) and step.end_ms == pytest.approx(600, abs=1.5)
    assert step.amplitude_nA == pytest.approx(sign * amplitude, abs=0.01 + 0.02 * amplitude)
    assert step.holding_nA == pytest.approx(holding, abs=0.005)


def test_of_several_pulses_the_one_with_most_charge_is_the_step():
    i_nA = pulse(-0.3, 10_000, 500, 700) + pulse(0.1, 10_000, 2000, 8000)  # a test pulse, and the step
    step = step_of(sweep_of(i_nA))
    assert step is not None and (step.start_ms, step.end_ms) == pytest.approx((200, 800), abs=0.2)


def test_of_a_step_upon_a_step_it_is_the_upper_relative_to_holding():
    i_nA = pulse(0.2, 20_000, 500, 19_000, holding=-0.1) + pulse(0.15, 20_000, 5000, 7000)
    step = step_of(sweep_of(i_nA))
    assert step is not None and (step.start_ms, step.end_ms) == pytest.approx((500, 700), abs=0.2)
    assert (step.amplitude_nA, step.holding_nA) == pytest.approx((0.35, -0.1))


def test_a_pulse_of_few_ms_is_a_step_too():
    step = step_of(sweep_of(pulse(1.9, 6000, 2950, 3000)))
    assert step is not None and (step.start_ms, step.end_ms) == pytest.approx((295, 300), abs=0.2)


@pytest.mark.parametrize(
    "i_nA",
    [
        None,
        np.zeros(5000),
        0.005 * np.random.default_rng(0).standard_normal(5000),
        np.linspace(0, 1, 5000),
        np.sin(np.linspace(0, 60, 5000)),
        np.zeros(3),
    ],
    ids=["no current", "silence", "noise", "ramp", "sine", "three samples"],
)
def test_what_is_no_step_gives_none(i_nA):
    assert step_of(sweep_of(i_nA)) is None


# Rheobase


@pytest.fixture
def threshold_file(tmp_path) -> Path:
    quiet, firing = spiking(1000, []), spiking(1000, [300, 500])
    before = spiking(1000, [50])  # a spontaneous spike, none during the step
    return write_hdf5(
        tmp_path / "threshold.h5",
        {
            "IDthresh/1": (quiet, pulse(0.10, holding=-0.05), 1.0),
            "IDthresh/2": (before, pulse(0.15, holding=-0.05), 1.0),
            "IDthresh/3": (firing, pulse(0.20, holding=-0.05), 1.0),
            "IDthresh/4": (firing, pulse(0.30, holding=-0.05), 1.0),
            "IV/1": (firing, pulse(-0.20, holding=-0.05), 1.0),
            "flat/1": (firing, np.zeros(1000), 1.0),
        },
    )


def test_the_rheobase_is_the_smallest_depolarising_step_that_evokes_a_spike(threshold_file):
    assert rheobase_nA(RheobaseSettings(recordings=threshold_file)) == pytest.approx(0.20)
    assert rheobase_nA(RheobaseSettings(value_nA=0.7)) == 0.7


def test_sweeps_that_never_fire_give_no_rheobase(threshold_file):
    with pytest.raises(InputError, match=r"none of the 2 sweeps.*largest of 2 steps is 0\.15 nA.*rheobase\.value_nA"):
        rheobase_nA(RheobaseSettings(recordings=threshold_file, sweeps=("IDthresh/1", "IDthresh/2")))
    with pytest.raises(InputError, match="none has a depolarising step"):
        rheobase_nA(RheobaseSettings(recordings=threshold_file, sweeps=("IV/*", "flat/*")))


# The 119 sweeps of a real cell


@pytest.fixture(scope="module")
def real_steps():
    return {sweep.name: (sweep, step_of(sweep)) for sweep in read_sweeps(REAL)}


@pytest.mark.real
@needs_data
@pytest.mark.parametrize(
    ("protocol", "count", "start_ms", "end_ms"),
    [("IDrest", 32, 700, 2700), ("IDthresh", 18, 700, 2700), ("APWaveform", 27, 5, 55), ("sAHP", 6, 521, 721)],
)
def test_steps_of_real_sweeps_are_where_the_protocol_has_them(real_steps, protocol, count, start_ms, end_ms):
    steps = [step for name, (_, step) in real_steps.items() if name.startswith(f"{protocol}/")]
    assert len(steps) == count and None not in steps
    assert np.allclose([(step.start_ms, step.end_ms) for step in steps], (start_ms, end_ms), atol=1.0)
    # The cell was held at -0.11 nA, give or take the amplifier.
    assert np.allclose([step.holding_nA for step in steps], -0.1125, atol=0.006)


@pytest.mark.real
@needs_data
def test_real_current_voltage_steps_are_found_except_the_one_of_zero(real_steps):
    steps = [step for name, (_, step) in real_steps.items() if name.startswith("IV/")]
    assert len(steps) == 30 and steps.count(None) == 3
    found = [step for step in steps if step is not None]
    assert np.allclose([(step.start_ms, step.end_ms) for step in found], (20, 1020), atol=1.0)
    # Ten steps of 0.046 nA from -0.276, three times.
    assert np.allclose([step.amplitude_nA for step in found[:6]], np.arange(-6, 0) * 0.046, atol=0.003)


@pytest.mark.real
@needs_data
def test_the_real_cell_has_the_rheobase_that_its_voltages_show(real_steps):
    assert len(real_steps) == 119
    assert rheobase_nA(RheobaseSettings(recordings=REAL, sweeps=("IDthresh/*",))) == pytest.approx(0.263, abs=0.001)
    with pytest.raises(InputError, match="none of the 30 sweeps"):
        rheobase_nA(RheobaseSettings(recordings=REAL, sweeps=("IV/*",)))
