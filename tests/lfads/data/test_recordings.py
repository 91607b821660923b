"""Recordings of spike times, cut by a trial table or into segments, against counts made by hand."""

import h5py
import numpy as np
import pytest

from hpcfit.config import validate
from hpcfit.errors import ConfigError, InputError
from hpcfit.lfads.data.recording import Recording, Signal, binned, in_bins
from hpcfit.lfads.data.settings import DataSettings
from hpcfit.lfads.data.sources import session_of

BEGIN = np.asarray([1.0, 3.0, 5.0, 7.0, 9.0, 11.0])
END = BEGIN + np.asarray([1.0, 1.2, 0.8, 1.0, 1.5, 1.0])
KIND = ["left", "right", "left", "left", "right", "left"]


@pytest.fixture
def spikes():
    """Spike times in ms of three units that fire often enough to be seen in every trial."""
    rng = np.random.default_rng(0)
    return [np.sort(13000.0 * rng.random(number)) for number in (900, 500, 700)]


@pytest.fixture
def hdf5(tmp_path, spikes):
    """A file whose units are called 2, 9 and 10, with trials and a signal at 100 Hz; times in ms."""
    path = tmp_path / "session.h5"
    with h5py.File(path, "w") as file:
        for name, times in zip(("2", "9", "10"), spikes, strict=True):
            file[f"clusters/{name}"] = times
        table = {"on": 1e3 * BEGIN, "off": 1e3 * END, "kind": np.asarray(KIND, "S"), "good": np.arange(6) != 3}
        for name, column in table.items():
            file[f"table/{name}"] = column
        file["eye/t"] = np.arange(0.0, 13000.0, 10.0)
        file["eye/xy"] = np.stack([np.arange(1300), -2 * np.arange(1300)], 1)
        file["all/t"], file["all/unit"] = np.concatenate(spikes), np.repeat([2, 9, 10], [900, 500, 700])
    return path


def data(path, **tables):
    source = {"path": str(path), "units": "clusters", "trials": "table", "time_unit_s": 0.001}
    source |= {"signals": {"eye": {"values": "eye/xy", "times": "eye/t"}}, **tables.pop("spike_times", {})}
    source = {name: value for name, value in source.items() if value is not None}
    trials = {"start": "on", "stop": "off"} | tables.pop("trials", {})
    return validate(
        DataSettings, {"spike_times": source, "bin_s": 0.05, "trials": trials, **tables}, "data", path.parent
    )


def by_hand(times_ms, begin_s, bins, bin_s=0.05):
    """Counts in bins that begin at multiples of bin_s from 0, from the first at or after begin_s."""
    first = np.ceil(begin_s / bin_s - 1e-9)
    return np.histogram(times_ms, 1e3 * bin_s * (first + np.arange(bins + 1)))[0]


def test_trials_of_one_length(hdf5, spikes):
    session = session_of(data(hdf5, trials={"align": "on", "window_s": [-0.2, 0.6], "conditions": ["kind"]}))
    assert session.units == ("2", "9", "10") and session.steps == (16, 16)
    assert (len(session.train), len(session.valid)) == (4, 2), "every fifth validates: 0 and 5"
    assert session.valid.inds.tolist() == [0, 5]
    for trials in (session.train, session.valid):
        for row, trial in enumerate(trials.inds):
            for unit, times in enumerate(spikes):
                expected = by_hand(times, BEGIN[trial] - 0.2, 16)
                np.testing.assert_array_equal(trials.recon[row, :, unit], expected)
        eye = trials.behaviour["eye"]
        ramp = 100.0 * (BEGIN[trials.inds, None] - 0.2 + 0.05 * np.arange(16))
        inner = slice(2, None)
        np.testing.assert_allclose(eye[:, inner, 0], ramp[:, inner], atol=2.5)  # half a bin; the filter at the edges
        np.testing.assert_allclose(eye[..., 1], -2 * eye[..., 0], rtol=1e-4)
        assert [session.more["condition_labels"][kind].decode() for kind in trials.conditions] == [
            f"kind={KIND[trial]}" for trial in trials.inds
        ]


def test_steps_to_predict_and_units_held_out(hdf5, spikes):
    window = {"align": "on", "window_s": [-0.2, 0.6], "forward_s": 0.1}
    session = session_of(data(hdf5, trials=window, units={"held_out": ["9"]}))
    assert (session.neurons, session.steps, session.units) == ((2, 3), (16, 18), ("2", "10", "9"))
    np.testing.assert_array_equal(session.train.encod, session.train.recon[:, :16, :2])
    trial = session.train.inds[0]
    np.testing.assert_array_equal(session.train.recon[0, :, 2], by_hand(spikes[1], BEGIN[trial] - 0.2, 18))


def test_trials_of_different_length(hdf5, spikes):
    session = session_of(data(hdf5, validation={"part": 0.5}))
    lengths = np.rint((END - BEGIN) / 0.05).astype(int)
    assert session.steps == (30, 30)
    for trials in (session.train, session.valid):
        np.testing.assert_array_equal(trials.lengths, lengths[trials.inds])
        for row, trial in enumerate(trials.inds):
            length = lengths[trial]
            np.testing.assert_array_equal(trials.recon[row, :length, 0], by_hand(spikes[0], BEGIN[trial], length))
            assert not trials.recon[row, length:].any()
            assert np.isnan(trials.behaviour["eye"][row, length:]).all()


def test_some_trials_are_kept(hdf5):
    some = session_of(data(hdf5, trials={"keep": {"good": True, "kind": "left"}}, validation={"part": 0.4}))
    assert sorted([*some.train.inds, *some.valid.inds]) == [0, 2, 5]
    either = session_of(data(hdf5, trials={"keep": {"kind": ["left", "right"]}}))
    assert len(either.train) + len(either.valid) == 6
    with pytest.raises(InputError, match=r"no trial is left that has up in column kind .*; it has left, right"):
        session_of(data(hdf5, trials={"keep": {"kind": "up"}}))


def test_a_column_says_which_validate(hdf5):
    session = session_of(data(hdf5, validation={"column": "kind", "train": ["left"], "valid": ["right"]}))
    assert session.train.inds.tolist() == [0, 2, 3, 5] and session.valid.inds.tolist() == [1, 4]
    with pytest.raises(InputError, match=r"no trial has val or valid in column kind .*; it has left, right"):
        session_of(data(hdf5, validation={"column": "kind", "train": ["left"]}))


def test_trials_beyond_the_recording_are_left_out_and_noted(hdf5):
    session = session_of(data(hdf5, trials={"align": "on", "window_s": [-0.2, 2.2]}))
    assert 5 not in session.train.inds and 5 not in session.valid.inds
    assert session.notes == ("1 trials reach beyond what was recorded, the first 5: left out",)
    with pytest.raises(InputError, match="all 6 reach beyond what was recorded"):
        session_of(data(hdf5, trials={"align": "on", "window_s": [-0.2, 20.0]}))


def test_continuous_recordings_are_chopped(hdf5, spikes):
    settings = data(hdf5).model_dump(exclude_none=True)
    settings.pop("trials")
    chopped = {**settings, "chop": {"window_s": 1.0, "overlap_s": 0.25}, "validation": {"part": 0.25, "block": 2}}
    session = session_of(DataSettings.model_validate(chopped))
    bins = session.more["recording_spikes"]
    np.testing.assert_array_equal(bins[:, 2], by_hand(spikes[2], 0.0, len(bins)))
    owners = np.zeros((2, len(bins)), bool)
    for part, trials in enumerate((session.train, session.valid)):
        for row, start in enumerate(trials.starts):
            np.testing.assert_array_equal(trials.recon[row], bins[start : start + 20])
            owners[part, start : start + 20] = True
    assert not owners.all(0).any(), "no bin is trained on and validated with"
    assert session.valid.starts.tolist()[:2] == [0, 15]
    eye = session.more["recording_eye"]
    start = session.train.starts[3]
    np.testing.assert_array_equal(session.train.behaviour["eye"][3], eye[start : start + 20])


def test_one_data_set_of_all_spikes_and_csv_are_the_same_recording(hdf5, spikes, tmp_path):
    first = session_of(data(hdf5))
    flat = session_of(data(hdf5, spike_times={"units": "all/t", "unit_of_spike": "all/unit"}))
    rows = [(name, time) for name, times in zip((2, 9, 10), spikes, strict=True) for time in times]
    (tmp_path / "spikes.csv").write_text("cell,ms\n" + "".join(f"{name},{float(time)!r}\n" for name, time in rows))
    table = zip(1e3 * BEGIN, 1e3 * END, KIND, strict=True)
    (tmp_path / "trials.csv").write_text("on,off,kind\n" + "".join(f"{a:.9g},{b:.9g},{c}\n" for a, b, c in table))
    samples = "".join(f"{10 * place},{place},{-2 * place}\n" for place in range(1300))
    (tmp_path / "eye.csv").write_text("t,x,y\n" + samples)
    source = {"path": str(tmp_path / "spikes.csv"), "units": "cell", "times": "ms", "trials": None}
    source |= {"trials_csv": "trials.csv", "signals": {"eye": {"path": "eye.csv", "values": ["x", "y"], "times": "t"}}}
    written = session_of(data(hdf5, spike_times=source))
    for other in (flat, written):
        assert other.units == first.units
        np.testing.assert_array_equal(other.train.recon, first.train.recon)
        np.testing.assert_allclose(other.valid.behaviour["eye"], first.valid.behaviour["eye"], rtol=1e-6)


@pytest.mark.parametrize(
    ("tables", "error", "said"),
    [
        ({"spike_times": {"units": "cells"}}, InputError, r"has no cells \(data.spike_times.units\); it has all, "),
        ({"spike_times": {"units": "all/t"}}, ConfigError, r"say in data.spike_times.unit_of_spike"),
        ({"spike_times": {"unit_of_spike": "all/unit"}}, ConfigError, r"clusters is a group .*; remove it"),
        ({"spike_times": {"units": "eye"}}, InputError, r"unit xy: spike times have shape \(1300, 2\)"),
        ({"spike_times": {"trials": "all"}}, ConfigError, r"data.trials.start: the trial table has no column on; it"),
        ({"spike_times": {"trials": None}}, InputError, r"has no trial table; give data.chop"),
        ({"spike_times": {"times": "t"}}, ConfigError, r"data.spike_times.times is for CSV files"),
        ({"spike_times": {"start_s": 5.0, "stop_s": 4.0}}, ConfigError, r"start_s = 5 is not before stop_s = 4"),
        (
            {"trials": {"start": "kind"}},
            InputError,
            r"column kind .*data.trials.start.* holds 'left'; it must hold",
        ),
        ({"trials": {"align": "on"}}, ConfigError, r"align = 'on' needs window_s"),
        ({"trials": {"window_s": [0.0, 0.12]}}, ConfigError, r"0.12 s, not a whole number of bins of 0.05 s; give 0.1"),
        ({"trials": {"window_s": [0.5, 0.5]}}, ConfigError, r"window_s = \[0.5, 0.5\] is empty"),
        ({"trials": {"forward_s": 0.1}}, ConfigError, r"forward_s needs trials of one length"),
        ({"trials": {"conditions": ["colour"]}}, ConfigError, r"no column colour; it has good, kind, off, on"),
        ({"behaviour": {"signals": ["hand"]}}, ConfigError, r"no signal is called 'hand'; there are eye"),
        ({"behaviour": {"columns": ["kind"]}}, InputError, r"column kind .*data.behaviour.columns.* must hold numbers"),
        (
            {"validation": {"column": "split"}},
            ConfigError,
            r"data.validation.column: the trial table has no column",
        ),
        ({"validation": {"column": "kind", "part": 0.1}}, ConfigError, r"remove part"),
        ({"chop": {"window_s": 1.0}}, ConfigError, r"give trials .* or chop .*, not both"),
        ({"bin_s": None}, ConfigError, r"spike_times needs bin_s"),
        ({"units": {"correlation_bin_s": 0.001}}, ConfigError, r"goes with correlation_most"),
        ({"lorenz": {}}, ConfigError, r"give one of path, .*; got lorenz and spike_times"),
    ],
)
def test_bad_settings_are_one_error(hdf5, tables, error, said):
    with pytest.raises(error, match=said):
        session_of(data(hdf5, **tables))


def test_bad_files_are_one_error(tmp_path, hdf5):
    csv = tmp_path / "spikes.csv"
    plain = {"spike_times": {"path": csv}, "bin_s": 0.05, "chop": {"window_s": 1.0}}
    cases = {
        "": "is empty; its first line must name the columns",
        "unit,time\n": "has no spikes",
        "unit,t\n1,2\n": r"has no column time \(data.spike_times.times\); it has unit, t",
        "unit,time\n1,2\n1,2,3\n": "line 3: 3 entries, but the header names 2 columns",
        "unit,time\n1,2\n1,\n": "unit 1: 1 spike times are not finite; remove them",
        "unit,time\n1,2\n1,x\n": r"unit 1: spike times have shape \(2,\) and type object",
        "unit,time\n1,2\n1,2.3\n": "the longest uninterrupted run of the recording has 7 bins, a segment 20; shorten",
    }
    for text, said in cases.items():
        csv.write_text(text)
        if said.startswith("the longest"):
            plain["spike_times"]["start_s"] = 2.0
        with pytest.raises(InputError, match=said):
            session_of(DataSettings.model_validate(plain))
    with h5py.File(hdf5, "a") as file:
        del file["eye/t"]
        file["eye/t"] = np.arange(1300.0)[::-1]
    with pytest.raises(InputError, match=r"sample 1, at 1.298 s, is earlier than the one before it"):
        session_of(data(hdf5))
    with h5py.File(hdf5, "a") as file:
        del file["table/off"]
        file["table/off"] = 1e3 * BEGIN
        file["eye/t"][...] = 10.0 * np.arange(1300.0)
    with pytest.raises(InputError, match="trial 0 lasts from 1 to 1 s, which holds no bin; mend"):
        session_of(data(hdf5))
    with pytest.raises(InputError, match="no such file"):
        session_of(data(tmp_path / "none.h5"))


def test_units_that_share_spikes_are_left_out(hdf5):
    with h5py.File(hdf5, "a") as file:
        late = file["clusters/9"][()]
        late = late[late > 6000.0]
        file["clusters/11"] = np.sort(np.concatenate([6000.0 * np.random.default_rng(1).random(400), late]))
    session = session_of(data(hdf5, units={"correlation_most": 0.2}))
    assert session.units == ("2", "9", "10"), "11 copies 9 from 6 s on, and has more spikes"
    assert session.notes == ("1 of 4 units correlate more than 0.2 with others: 11; left out",)
    both = session_of(data(hdf5, units={"correlation_most": 0.2, "correlation_over_s": 6.0}))
    assert len(both.units) == 4, "in the first 6 s they differ"
    wide = session_of(data(hdf5, units={"correlation_most": 0.2, "correlation_bin_s": 0.1}))
    assert len(wide.units) == 1, "in bins of 0.1 s all of them have spikes"


def test_a_spike_on_an_edge_falls_into_the_bin_that_begins_there():
    recording = Recording("r", (0.1 * np.arange(30),), ("0",), np.zeros(1, bool), 0.0, 3.0)
    for bin_s, number in ((0.1, 30), (0.05, 60), (0.3, 10)):
        counts = binned(recording, bin_s).counts[:, 0]
        assert len(counts) == number
        assert counts.tolist() == np.bincount(np.arange(30) * round(0.1 / 0.05) // round(bin_s / 0.05)).tolist() or (
            bin_s == 0.05 and counts.tolist() == [1, 0] * 30
        )


def test_signals_are_interpolated_but_not_over_gaps():
    recording = Recording("r", (np.zeros(0),), ("0",), np.zeros(1, bool), 0.0, 2.0)
    bins = binned(recording, 0.1)
    times = np.concatenate([np.arange(0.03, 0.9, 0.07), np.arange(1.2, 1.9, 0.07)])
    found = in_bins(Signal(times, 3.0 * times), bins)[:, 0]
    starts = 0.1 * np.arange(20)
    inside = ((starts >= times[0]) & (starts <= times[12])) | ((starts >= 1.2) & (starts <= times[-1]))
    np.testing.assert_allclose(found[inside], 3.0 * starts[inside], rtol=1e-9)
    assert np.isnan(found[~inside]).all() and (~inside).sum() == 5
