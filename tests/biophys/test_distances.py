"""Distances between traces: against their definitions computed slowly, against elephant's and tslearn's numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from hpcfit.biophys.distances import distance_unit, make_distance
from hpcfit.biophys.distances.soft_dtw import soft_dtw, soft_dtw_divergence
from hpcfit.biophys.distances.spike_trains import PAD, spike_times, van_rossum, victor_purpura
from hpcfit.biophys.score_settings import ScoreSettings, TraceSettings
from hpcfit.biophys.terms import RecordedTraces
from hpcfit.errors import InputError

DT_MS = 0.1
TRAINS = [[], [12.0], [12.0, 30.5, 31.0], [5.0, 29.0, 60.25, 61.0, 90.0], [12.0, 30.5, 31.0, 95.0]]


def padded(trains: list[list[float]]) -> tuple[np.ndarray, np.ndarray]:
    counts = np.array([len(train) for train in trains])
    times = np.full((len(trains), counts.max(initial=0)), PAD)
    for row, train in zip(times, trains, strict=True):
        row[: len(train)] = train
    return times, counts


def bumps(peaks_ms: list[float], rest_mV: float = -70.0, duration_ms: float = 100.0) -> np.ndarray:
    """A trace with a spike of half a ms at each of these times."""
    t_ms = np.arange(0, duration_ms + DT_MS / 2, DT_MS)
    return rest_mV + sum((100 * np.exp(-(((t_ms - peak) / 0.5) ** 2)) for peak in peaks_ms), np.zeros(len(t_ms)))


def recorded(*sweeps: np.ndarray) -> RecordedTraces:
    return RecordedTraces(np.stack(sweeps), DT_MS, (0.0, 100.0), tuple(f"s/{k}" for k in range(len(sweeps))))


def distance(table, *sweeps: np.ndarray):
    return make_distance(TypeAdapter(TraceSettings).validate_python(table), recorded(*sweeps), -20.0, "scores[0].trace")


# Spike trains


def van_rossum_by_definition(one: list[float], other: list[float], tau_ms: float) -> float:
    """The integral itself, between the events, where the integrand is a squared sum of exponentials."""
    events = np.sort([*one, *other])
    total = 0.0
    for k, begin in enumerate(events):
        height = sum(np.exp(-(begin - t) / tau_ms) for t in one if t <= begin)
        height -= sum(np.exp(-(begin - t) / tau_ms) for t in other if t <= begin)
        length = events[k + 1] - begin if k + 1 < len(events) else np.inf
        total += height**2 * 0.5 * (1 - np.exp(-2 * length / tau_ms))
    return np.sqrt(total)


def victor_purpura_by_definition(one: list[float], other: list[float], cost: float) -> float:
    table = np.add.outer(np.arange(len(one) + 1.0), np.arange(len(other) + 1.0))
    for i, a in enumerate(one, 1):
        for j, b in enumerate(other, 1):
            moved = table[i - 1, j - 1] + cost * abs(a - b)
            table[i, j] = min(moved, table[i - 1, j] + 1, table[i, j - 1] + 1)
    return table[-1, -1]


train = st.lists(st.floats(0, 100), max_size=7).map(sorted)


@settings(max_examples=80, deadline=None)
@given(trains=st.lists(train, min_size=1, max_size=5), reference=train, tau=st.floats(0.5, 200), cost=st.floats(0, 5))
def test_spike_distances_are_their_definitions(trains, reference, tau, cost):
    times, counts = padded(trains)
    expected = [van_rossum_by_definition(one, reference, tau) for one in trains]
    # A distance near 0 is the root of a difference of numbers near 1.
    assert van_rossum(times, np.array(reference), tau) == pytest.approx(expected, rel=1e-9, abs=1e-6)
    expected = [victor_purpura_by_definition(one, reference, cost) for one in trains]
    assert victor_purpura(times, counts, np.array(reference), cost) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_spike_distances_of_known_trains():
    times, counts = padded(TRAINS)
    # van Rossum 2001: a spike against none 1/2; two that are far apart 1.
    assert van_rossum(times, np.array([]), 10.0)[:2] == pytest.approx([0, np.sqrt(0.5)])
    assert van_rossum(np.array([[1.0]]), np.array([1e6]), 10.0) == pytest.approx([1.0])
    assert van_rossum(times, np.array(TRAINS[2]), 10.0)[2] == 0.0
    assert victor_purpura(times, counts, np.array([]), 0.1).tolist() == [0, 1, 3, 5, 4]
    assert victor_purpura(times, counts, np.array(TRAINS[2]), 0.0).tolist() == [3, 2, 0, 2, 1]


def test_spike_distances_are_those_of_elephant():
    # elephant 1.2.1: van_rossum_distance (which leaves out the factor 1/2 of the paper), victor_purpura_distance.
    times, counts = padded(TRAINS)
    for column, (by_rossum, by_purpura) in enumerate(zip(ELEPHANT_VAN_ROSSUM, ELEPHANT_VICTOR_PURPURA, strict=True)):
        reference = np.array(TRAINS[column])
        assert van_rossum(times, reference, 10.0) * np.sqrt(2) == pytest.approx(by_rossum, rel=1e-9, abs=1e-7)
        assert victor_purpura(times, counts, reference, 0.1) == pytest.approx(by_purpura, rel=1e-12)


# elephant.spike_train_dissimilarity over TRAINS, time_constant = 10 ms, cost_factor = 0.1 kHz.
ELEPHANT_VAN_ROSSUM = [
    [0.0, 1.0, 2.348631605866, 2.727402170483, 2.554026548925],
    [1.0, 0.0, 1.975464211015, 2.654885910925, 2.215613460847],
    [2.348631605866, 1.975464211015, 0.0, 2.73614598745, 1.0],
    [2.727402170483, 2.654885910925, 2.73614598745, 0.0, 2.673719688842],
    [2.554026548925, 2.215613460847, 1.0, 2.673719688842, 0.0],
]
ELEPHANT_VICTOR_PURPURA = [
    [0.0, 1.0, 3.0, 5.0, 4.0],
    [1.0, 0.0, 2.0, 4.7, 3.0],
    [3.0, 2.0, 0.0, 4.85, 1.0],
    [5.0, 4.7, 4.85, 0.0, 4.35],
    [4.0, 3.0, 1.0, 4.35, 0.0],
]


def test_spikes_are_upward_crossings_between_samples():
    v_mV = np.array([[-70.0, -30, 0, -70, -70], [-70, -70, -70, -70, -70], [0, 0, -70, -10, -30]], dtype=np.float32)
    times, counts = spike_times(v_mV, 0.5, -20.0, (0.0, 2.0))
    assert counts.tolist() == [1, 0, 1]
    assert times[0].tolist() == pytest.approx([0.5 * (1 + 1 / 3)]) and times[2].tolist() == pytest.approx(
        [0.5 * (2 + 5 / 6)]
    )
    assert times[1, 0] == PAD
    assert spike_times(v_mV, 0.5, -20.0, (1.0, 2.0))[1].tolist() == [0, 0, 1]


# Soft-DTW


def soft_dtw_by_definition(x: np.ndarray, y: np.ndarray, gamma: float, band: int) -> float:
    table = np.full((len(x) + 1, len(y) + 1), np.inf)
    table[0, 0] = 0
    for i in range(1, len(x) + 1):
        for j in range(1, len(y) + 1):
            if abs(i - j) <= band:
                before = np.array([table[i - 1, j], table[i, j - 1], table[i - 1, j - 1]])
                table[i, j] = (x[i - 1] - y[j - 1]) ** 2 - gamma * np.logaddexp.reduce(-before / gamma)
    return table[-1, -1]


@pytest.mark.parametrize(
    ("samples", "band", "gamma"),
    [(1, None, 1.0), (2, 1, 0.1), (7, 0, 1.0), (12, 3, 5.0), (25, None, 0.01), (25, 8, 1e3)],
)
def test_soft_dtw_is_its_definition(samples, band, gamma):
    rng = np.random.default_rng(samples)
    x, y = rng.normal(size=(67, samples)) * 10, rng.normal(size=samples) * 10
    widest = samples if band is None else band
    expected = [soft_dtw_by_definition(row, y, gamma, widest) for row in x]
    assert soft_dtw(x, y, gamma, band) == pytest.approx(expected, rel=1e-12)
    assert np.array_equal(soft_dtw(x, y, gamma, band, threads=2), soft_dtw(x, y, gamma, band))
    order = rng.permutation(67)
    assert np.array_equal(soft_dtw(x[order], y, gamma, band), soft_dtw(x, y, gamma, band)[order])
    own = [soft_dtw_by_definition(row, row, gamma, widest) for row in x[:3]]
    assert soft_dtw(x[:3], None, gamma, band) == pytest.approx(own, rel=1e-12, abs=1e-12)


def test_soft_dtw_is_that_of_tslearn():
    # tslearn 0.10.0: soft_dtw(x, y, gamma) of metrics, without a band.
    x = np.array([np.sin(np.arange(20) / 3), np.cos(np.arange(20) / 2), np.arange(20) / 10])
    y = np.sin(np.arange(20) / 3 + 0.5)
    for gamma, expected in TSLEARN.items():
        assert soft_dtw(x, y, gamma) == pytest.approx(expected, rel=1e-10)


TSLEARN = {
    0.01: [0.6112877178939498, 6.514397362141596, 19.106591757474146],
    1.0: [-27.16241237261531, -14.354731917514188, 7.636505149811741],
    10.0: [-306.4144840200162, -277.4772768974361, -249.1326132818435],
}


def test_the_divergence_of_like_traces_is_nothing_and_small_gamma_is_dtw():
    x = np.array([[0.0, 0, 5, 0, 0, 0], [0.0, 0, 0, 5, 0, 0]])
    assert soft_dtw_divergence(x, x[0], 1.0)[0] == 0.0
    assert soft_dtw_divergence(x, x[0], 1e-3)[1] == pytest.approx(0.0, abs=0.02)  # a bump may be shifted for nothing
    assert soft_dtw_divergence(x, x[0], 1e-3, band=0)[1] == pytest.approx(50.0)  # without warping: squares


# What [[scores]] asks for


def test_l1_and_l2_compare_what_was_recorded():
    mean = np.array([np.nan, -70.0, -70.0, -60.0, np.nan])
    traces = np.array([[0.0, -70, -70, -60, 0], [0.0, -67, -74, -60, 0], [0.0, np.nan, -70, -60, 0]])
    assert distance("rms", mean)(traces)[:2] == pytest.approx([0, np.sqrt(25 / 3)])
    assert distance("mean_absolute", mean)(traces)[:2] == pytest.approx([0, 7 / 3])
    assert np.isnan(distance("rms", mean)(traces)[2])
    with pytest.raises(InputError, match=r"scores\[0\].trace: nothing was recorded while s/0 last"):
        distance("rms", np.full(5, np.nan))


@pytest.mark.parametrize(("kind", "power"), [("rms", 2), ("mean_absolute", 1)])
def test_windows_count_by_their_weights_whatever_their_length(kind, power):
    rng = np.random.default_rng(3)
    reference, traces = rng.normal(-60, 5, 1001), rng.normal(-60, 9, (130, 1001))
    windows = [{"start_ms": 10, "end_ms": 20, "weight": 3}, {"start_ms": 50, "end_ms": 90}]
    apart = np.abs(traces - reference) ** power
    expected = ((3 * apart[:, 100:201].mean(axis=1) + apart[:, 500:901].mean(axis=1)) / 4) ** (1 / power)
    measure = distance({"kind": kind, "windows": windows}, reference)
    assert measure(traces) == pytest.approx(expected, rel=1e-12)
    assert measure(traces.astype(np.float32)) == pytest.approx(expected, rel=1e-5)
    # Every individual's number is its own, however many are measured together.
    assert np.array_equal(measure(traces[70:71]), measure(traces)[70:71])


def test_aligned_traces_differ_only_in_shape():
    reference = bumps([20, 60])
    measure = distance({"kind": "rms", "align": "first_spike"}, reference)
    late, none = bumps([33.33, 73.33]), bumps([])
    plain = distance("rms", reference)
    assert measure(late[None])[0] < 0.5 < 5 < plain(late[None])[0]  # what linear interpolation leaves
    assert measure(none[None]) == plain(none[None])  # nothing to align: as it is
    assert measure(bumps([33.33, 78])[None])[0] > 5
    assert measure(reference[None])[0] == pytest.approx(0, abs=1e-9)
    # Repeats are laid upon each other before their mean is taken.
    assert distance({"kind": "rms", "align": "first_spike"}, bumps([20, 60]), bumps([24, 64]))(late[None])[0] < 0.5
    with pytest.raises(InputError, match="sweep s/1 has no spike above -20 mV; leave out align"):
        distance({"kind": "rms", "align": "first_spike"}, reference, none)


def test_warped_traces_cost_little_and_other_shapes_much():
    reference = bumps([20, 60])
    late, extra = bumps([24, 63]), bumps([20, 60, 80])
    measure = distance({"kind": "soft_dtw", "gamma_mV2": 0.1, "every_ms": 0.5, "band_ms": 10}, reference)
    of_reference, of_late, of_extra = measure(np.stack([reference, late, extra]))
    assert of_reference == 0 and of_late < 0.2 * distance("rms", reference)(late[None])[0] and of_extra > 5 * of_late
    narrow = distance({"kind": "soft_dtw", "gamma_mV2": 0.1, "every_ms": 0.5, "band_ms": 1}, reference)
    assert narrow(late[None])[0] > 3 * of_late
    smooth = distance({"kind": "soft_dtw", "gamma_mV2": 100.0, "every_ms": 0.5, "band_ms": 10}, reference)
    assert smooth(late[None])[0] != pytest.approx(of_late, rel=0.1)
    # Root mean square of bins, where the band leaves no warping: bins are averages.
    rigid = distance({"kind": "soft_dtw", "every_ms": 1.0, "band_ms": 1e-9, "window_ms": [0, 99.9]}, reference)
    bins = (late - reference)[:1000].reshape(100, 10).mean(axis=1)
    assert rigid(late[None])[0] == pytest.approx(np.sqrt(np.mean(bins**2)), rel=1e-9)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"kind": "van_rossum", "tau_ms": 5}, [0, np.sqrt(0.5), np.sqrt(1 - np.exp(-0.5))]),
        ({"kind": "victor_purpura", "cost_per_ms": 0.2}, [0, 1, 0.5]),
        ({"kind": "victor_purpura", "cost_per_ms": 0.2, "window_ms": [0, 40]}, [0, 0, 0.5]),
    ],
)
def test_spikes_are_read_from_traces(table, expected):
    traces = np.stack([bumps([20, 60]), bumps([20]), bumps([22.5, 60])])
    assert distance(table, traces[0])(traces) == pytest.approx(expected, abs=2e-3)
    # With several sweeps the mean over them.
    both = distance(table, traces[0], traces[1])(traces)
    assert both == pytest.approx((distance(table, traces[0])(traces) + distance(table, traces[1])(traces)) / 2)


@pytest.mark.parametrize("kind", ["rms", "mean_absolute", "soft_dtw", "van_rossum", "victor_purpura"])
def test_a_trace_that_is_not_finite_has_no_distance_and_does_not_disturb_others(kind):
    measure = distance(kind, bumps([20, 60]))
    traces = np.stack([bumps([30]), bumps([30]), np.full(1001, np.nan), bumps([40])])
    traces[1, 500] = np.inf
    found = measure(traces)
    assert np.isnan(found).tolist() == [False, True, True, False]
    assert np.array_equal(found[[0, 3]], measure(traces[[0, 3]]))
    assert measure(traces[:0]).shape == (0,)


# Units


def unit_of(table: dict, *sweeps: np.ndarray) -> float:
    score = ScoreSettings.model_validate(table)
    measure = make_distance(score.trace, recorded(*sweeps), -20.0, "scores[0].trace")
    return distance_unit(score, measure, recorded(*sweeps), "scores[0].trace")


def test_units_of_distances():
    rng = np.random.default_rng(1)
    one, other, third = rng.normal(-60, 4, (3, 1001))
    assert unit_of({"trace": "rms"}, one) == 5.0 and unit_of({"trace": "rms", "sd_mV": 2}, one) == 2.0
    assert unit_of({"trace": {"kind": "rms", "unit": 3}}, one) == 3.0
    assert unit_of({"trace": {"kind": "rms", "unit": "recording_sd"}}, one) == pytest.approx(np.std(one))
    assert unit_of({"trace": {"kind": "rms", "unit": "recording_range"}}, one) == pytest.approx(np.ptp(one))
    windowed = {"kind": "rms", "unit": "recording_range", "windows": [{"start_ms": 10, "end_ms": 20}]}
    assert unit_of({"trace": windowed}, one) == pytest.approx(np.ptp(one[100:201]))
    sweeps = [one, other, third]
    rest = [np.mean([sweeps[j] for j in range(3) if j != k], axis=0) for k in range(3)]
    expected = np.mean([np.sqrt(np.mean((a - b) ** 2)) for a, b in zip(sweeps, rest, strict=True)])
    assert unit_of({"trace": {"kind": "rms", "unit": "repeats"}}, *sweeps) == pytest.approx(expected)
    spiking = [bumps([20, 60]), bumps([20])]
    assert unit_of({"trace": {"kind": "van_rossum"}}, *spiking) == 1.0
    assert unit_of({"trace": {"kind": "van_rossum", "unit": "repeats"}}, *spiking) == pytest.approx(np.sqrt(0.5))


@pytest.mark.parametrize(
    ("unit", "sweeps", "says"),
    [
        ("recording_sd", [bumps([])], "trace.unit = 'recording_sd' is 0, because the recordings do not vary; give a"),
        ("recording_range", [bumps([])], "trace.unit = 'recording_range' is 0"),
        ("repeats", [bumps([20])], "trace.unit = 'repeats' needs two sweeps or more, there is s/0; give a number"),
        ("repeats", [bumps([20]), bumps([20])], "trace.unit = 'repeats' is 0"),
    ],
)
def test_recordings_that_do_not_vary_give_no_unit(unit, sweeps, says):
    with pytest.raises(InputError, match=says):
        unit_of({"trace": {"kind": "rms", "unit": unit}}, *sweeps)
