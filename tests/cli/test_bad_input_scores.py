"""Bad input to features and scores: one clear error or a stated rule each, from the command line and from Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import hpcfit
from hpcfit.errors import ConfigError, InputError

FEATURES = 'features = ["Spikecount", "AP_amplitude", "voltage_base"]'
STATISTICS = "[targets.step.statistics.soma]\nSpikecount = [2, 0.5]\nAP_amplitude = [75, 3]\nvoltage_base = [-66, 1]\n"
RECORDINGS = '[targets.step]\nrecordings = "cell.h5"\n'
TRACE = (FEATURES, 'trace = { kind = "rms" }')


@pytest.fixture
def refused(hpcfit: Callable, tmp_path: Path) -> Callable[..., str]:
    """refused(file): the one line that `hpcfit fit` and `hpcfit check` end with; nothing is written."""

    def call(file: Path) -> str:
        before, lines = sorted(tmp_path.rglob("*")), []
        for verb in ("fit", "check"):
            ended = hpcfit(verb, file)
            assert (ended.code, ended.out) == (2, "") and ended.err.count("\n") == 1, ended
            lines.append(ended.err.removeprefix("hpcfit: ").removesuffix("\n").replace(f"{tmp_path}/", "./"))
        assert lines[0] == lines[1] and sorted(tmp_path.rglob("*")) == before
        return lines[0]

    return call


def record(tmp_path: Path, *sweeps: np.ndarray, dt_ms: float = 0.1) -> None:
    with h5py.File(tmp_path / "cell.h5", "w") as file:
        for number, v_mV in enumerate(sweeps):
            file[f"s/{number}/voltage_mV"] = v_mV
            file[f"s/{number}"].attrs["dt_ms"] = dt_ms


def sweep(spikes: tuple[float, ...] = (), rest_mV: float = -65.0) -> np.ndarray:
    t_ms = np.arange(0, 50.05, 0.1)
    return rest_mV + sum((90 * np.exp(-(((t_ms - peak) / 0.5) ** 2)) for peak in spikes), np.zeros(len(t_ms)))


IN_THE_FILE = {
    "unknown feature": (
        ('"AP_amplitude"', '"AP_amplitud"'),
        "./fit.toml: scores[0].features: eFEL has no feature AP_amplitud; did you mean AP_amplitude?",
    ),
    "unknown feature in statistics": (
        ("AP_amplitude = [75, 3]", "AP_amplitud = [75, 3]"),
        "./fit.toml: targets.step.statistics.soma: eFEL has no feature AP_amplitud; did you mean AP_amplitude?",
    ),
    "unknown feature with a weight": (
        (FEATURES, f"{FEATURES}\nweights = {{ Spikecoun = 2 }}"),
        "./fit.toml: scores[0]: weights names Spikecoun, which is not among the features Spikecount, AP_amplitude, "
        "voltage_base; did you mean Spikecount?",
    ),
    "unknown unit": (
        (FEATURES, f'{FEATURES}\nunit = "std"'),
        "./fit.toml: scores[0].unit = 'std': must be 'sd', 'mad', 'mean' or 'range'",
    ),
    "unknown list values": (
        (FEATURES, f'{FEATURES}\nlist_values = "all"'),
        "./fit.toml: scores[0].list_values = 'all': must be 'mean' or 'each'",
    ),
    "unknown distance": (
        (FEATURES, 'trace = "softdtw"'),
        "./fit.toml: scores[0].trace = 'softdtw': kind = 'softdtw' is no distance between traces; there are rms, "
        "mean_absolute, soft_dtw, van_rossum, victor_purpura; did you mean soft_dtw?",
    ),
    "unknown option of a distance": (
        (FEATURES, 'trace = { kind = "van_rossum", tau = 5 }'),
        "./fit.toml: unknown key scores[0].trace.tau; did you mean tau_ms?",
    ),
    "option of another distance": (
        (FEATURES, 'trace = { kind = "rms", tau_ms = 5 }'),
        "./fit.toml: unknown key scores[0].trace.tau_ms",
    ),
    "time constant": (
        (FEATURES, 'trace = { kind = "van_rossum", tau_ms = 0 }'),
        "./fit.toml: scores[0].trace.tau_ms = 0: must be greater than 0",
    ),
    "unit of a distance": (
        (FEATURES, 'trace = { kind = "rms", unit = "recording_std" }'),
        "./fit.toml: scores[0].trace.unit = 'recording_std': must be a number above 0, 'recording_sd', "
        "'recording_range' or 'repeats'; did you mean recording_sd?",
    ),
    "voltage unit of a spike distance": (
        (FEATURES, 'trace = "van_rossum"\nsd_mV = 2'),
        "./fit.toml: scores[0]: sd_mV = 2, but van_rossum has no voltage; give trace.unit instead",
    ),
    "idle option": (
        (FEATURES, f"{FEATURES}\nsd_mV = 2"),
        "./fit.toml: scores[0]: sd_mV = 2 is the unit of a distance between traces; remove it",
    ),
    "distance without recordings": (
        TRACE,
        "./fit.toml: scores[0]: a trace distance needs recordings; targets.step has none at soma",
    ),
    "empty window": (
        (FEATURES, 'trace = { kind = "rms", windows = [{ start_ms = 20, end_ms = 20 }] }'),
        "./fit.toml: scores[0].trace.windows[0]: window [20, 20] ms is empty or reversed",
    ),
    "window of a distance outside the stimulus": (
        (FEATURES, 'trace = { kind = "rms", windows = [{ start_ms = 20, end_ms = 60 }] }'),
        "./fit.toml: scores[0].trace.windows[0] = [20, 60] ms reaches beyond the end of stimulus step, "
        "duration_ms = 50",
    ),
    "window of a spike distance outside the stimulus": (
        (FEATURES, 'trace = { kind = "van_rossum", window_ms = [20, 60] }'),
        "./fit.toml: scores[0].trace.window_ms = [20, 60] ms reaches beyond the end of stimulus step",
    ),
    "stimulus window outside the trace": (
        ("duration_ms = 50", "duration_ms = 50\nwindow_ms = [10, 60]"),
        "./fit.toml: stimuli[0]: step: stimulus window [10, 60] ms is not inside 0 to duration_ms = 50; change",
    ),
    "stimulus of a budget": (
        ("[engine]", "[weighting]\nbudget = { stp = 3 }\n[engine]"),
        "./fit.toml: weighting.budget.stp names stp, which does not exist; did you mean step?",
    ),
    "weights that would change nothing": (
        ("[engine]", '[weighting]\nkind = "inverse_variance"\n[engine]'),
        "./fit.toml: weighting.kind = 'inverse_variance', but every feature is in units of its sd",
    ),
    "given sd of zero": (
        ("AP_amplitude = [75, 3]", "AP_amplitude = [75, 0]"),
        "./fit.toml: targets.step.statistics.soma.AP_amplitude[1] = 0: must be greater than 0",
    ),
    "mean of zero as a unit": (
        (f"{STATISTICS}\n[[scores]]", f'{STATISTICS.replace("[2, 0.5]", "[0, 0.5]")}\n[[scores]]\nunit = "mean"'),
        "./fit.toml: scores[0]: Spikecount has the mean 0, so a difference relative to it means nothing",
    ),
}


@pytest.mark.parametrize("name", IN_THE_FILE)
def test_in_the_fit_file(name, tiny, refused):
    change, expected = IN_THE_FILE[name]
    assert refused(tiny(change)).startswith(expected)


@pytest.mark.parametrize(
    ("objectives", "expected"),
    [
        ('"family"', "./fit.toml: strategy.objectives = 'family': must be one of terms, features, stimuli, families, "
         "stimulus_families, or a table of groups with patterns of names; did you mean families?"),
        ('{ a = ["Spikecoun"] }', "./fit.toml: strategy.objectives.a: Spikecoun names no score function; did you mean "
         "Spikecount?"),
        ('{ a = ["Spike*"], b = ["*count"] }', "./fit.toml: strategy.objectives: step.soma.Spikecount is in a and in "
         "b"),
    ],
)  # fmt: skip
def test_objectives(objectives, expected, tiny, refused):
    file = tiny()
    text = file.read_text()
    start = text.index("[strategy]")
    end = text.index("[run]")
    file.write_text(f'{text[:start]}[strategy]\nkind = "nsga2"\nobjectives = {objectives}\n{text[end:]}')
    assert refused(file).startswith(expected)


# Recordings


@pytest.mark.parametrize("scored", [FEATURES, 'trace = "rms"'])
def test_a_recording_without_a_number(scored, tiny, refused, tmp_path):
    record(tmp_path, sweep((20,)), np.full(501, np.nan))
    line = refused(tiny((STATISTICS, RECORDINGS), (FEATURES, scored)))
    assert line.startswith("./cell.h5: sweep s/1: ") and "finite" in line


def test_a_recording_that_ends_before_the_stimulus(tiny, refused, tmp_path):
    record(tmp_path, sweep((20,))[:300])
    line = refused(tiny((STATISTICS, RECORDINGS)))
    assert line.startswith("./cell.h5: sweep s/0: lasts 30 ms, stimulus step 50 ms; shorten its duration_ms")


def test_a_window_outside_the_recording(tiny, refused, tmp_path):
    record(tmp_path, sweep((20,)))
    line = refused(tiny((STATISTICS, f"{RECORDINGS}window_ms = [30, 70]\n")))
    assert line.startswith("./cell.h5: sweep s/0: targets.step.window_ms = [30, 70] is not inside its 50.1 ms")


def test_uneven_times(tiny, refused, tmp_path):
    rows = "".join(f"{0.1 * k + 0.4 * (k > 200):.2f},-65\n" for k in range(501))
    (tmp_path / "cell.csv").write_text("time_ms,voltage_mV\n" + rows)
    line = refused(tiny((STATISTICS, RECORDINGS.replace("h5", "csv"))))
    assert line.startswith("./cell.csv") and "even" in line


@pytest.mark.parametrize(
    ("table", "sweeps", "expected"),
    [
        ('{ kind = "rms", unit = "recording_sd" }', [sweep()], "trace.unit = 'recording_sd' is 0"),
        ('{ kind = "rms", unit = "repeats" }', [sweep()], "trace.unit = 'repeats' needs two sweeps or more"),
        ('{ kind = "van_rossum", unit = "repeats" }', [sweep((20,)), sweep((20,))], "trace.unit = 'repeats' is 0"),
        ('{ kind = "rms", align = "first_spike" }', [sweep((20,)), sweep()], "but sweep s/1 has no spike above -20 mV"),
        ('{ kind = "soft_dtw", every_ms = 40 }', [sweep()], "every_ms = 40 leaves 1 bins of its window"),
    ],
)
def test_recordings_that_a_distance_cannot_use(table, sweeps, expected, tiny, refused, tmp_path):
    record(tmp_path, *sweeps)
    line = refused(tiny((STATISTICS, RECORDINGS), (FEATURES, f"trace = {table}")))
    assert line.startswith("./fit.toml: scores[0].trace, stimulus step: ") and expected in line


def test_sweeps_that_agree_have_the_floor_for_sd(tiny, tmp_path, hpcfit):
    # The rule, not an error: no unit is smaller than features.sd_floor, or relative and absolute floor.
    record(tmp_path, sweep((20,)), sweep((20,)))
    for unit in ("sd", "mad"):
        ended = hpcfit("check", tiny((STATISTICS, RECORDINGS), (FEATURES, f'{FEATURES}\nunit = "{unit}"')))
        assert ended.code == 0 and "step.soma.Spikecount: 1 +- 0.5" in ended.out
        assert "step.soma.voltage_base: -65 +- 0.5" in ended.out


# From Python


def test_from_python(tiny):
    file = tiny(('"AP_amplitude"', '"AP_amplitud"'))
    for verb in (hpcfit.load, hpcfit.run):
        with pytest.raises(ConfigError, match="eFEL has no feature AP_amplitud; did you mean AP_amplitude"):
            verb(file)
    v_mV = np.stack([sweep((20,)), np.full(501, np.nan), sweep()])
    with pytest.raises(ConfigError, match=r"AP_amplitud.*AP_amplitude"):
        hpcfit.features.extract(v_mV, 0.1, (10, 40), ["AP_amplitud"])
    with pytest.raises(InputError, match="even"):
        hpcfit.features.extract(v_mV, np.arange(501) ** 1.01, (10, 40), ["AP_amplitude"])
    # An all-NaN trace has no features, and says why; its neighbours are as without it.
    table = hpcfit.features.extract(v_mV, 0.1, (10, 40), ["AP_amplitude", "voltage_base"])
    assert np.isnan(table["AP_amplitude"]).tolist() == [False, True, True]
    assert table.reason[1].tolist() == [hpcfit.features.Reason.NOT_FINITE] * 2
    assert table.reason[2, 0] == hpcfit.features.Reason.NO_SPIKE
    # A window outside the trace: what needs those samples is undefined.
    late = hpcfit.features.extract(v_mV[:1], 0.1, (60, 90), ["steady_state_voltage_stimend", "AP_amplitude"])
    assert late.reason[0, 0] == hpcfit.features.Reason.OUTSIDE and np.isnan(late.mean[0, 0])
