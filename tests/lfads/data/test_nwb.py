"""NWB files beyond the benchmark's: units watched at different times, containers, sampling rates, errors."""

from datetime import UTC, datetime

import numpy as np
import pynwb
import pytest
from pynwb.behavior import Position, SpatialSeries

from hpcfit.errors import ConfigError, InputError
from hpcfit.lfads.data.nwb import read_nwb, signal_names
from hpcfit.lfads.data.settings import DataSettings
from hpcfit.lfads.data.sources import session_of


@pytest.fixture
def nwb(tmp_path):
    """nwb(fill): a file that fill(NWBFile) has filled."""

    def write(fill):
        file = pynwb.NWBFile("test", "test", datetime(2020, 1, 1, tzinfo=UTC))
        fill(file)
        path = tmp_path / "file.nwb"
        with pynwb.NWBHDF5IO(str(path), "w") as io:
            io.write(file)
        return path

    return write


def units(file):
    """Two units, of which the second was watched in parts, half of the time."""
    rng = np.random.default_rng(0)
    file.add_unit(spike_times=np.sort(20.0 * rng.random(400)), obs_intervals=[[0.0, 12.0], [12.5, 20.0]])
    inside = np.concatenate([1.0 + 7.0 * rng.random(200), 10.0 + 9.0 * rng.random(200)])
    file.add_unit(spike_times=np.sort(inside), obs_intervals=[[1.0, 8.0], [10.0, 19.0]])


def behaviour(file):
    """A position in a container, sampled at 200 Hz, in cm but stored in mm; trials with a column of lists."""
    units(file)
    series = SpatialSeries(
        name="left", data=np.arange(4000.0), rate=200.0, starting_time=0.0, reference_frame="box", conversion=0.1
    )
    position = Position(name="hand", spatial_series=series)
    file.create_processing_module("behavior", "what the hand does").add(position)
    file.add_trial_column("side", "left or right")
    file.add_trial_column("targets", "positions", index=True)
    for number, begin in enumerate((1.5, 4.0, 6.0, 10.5, 13.0, 16.0)):
        side = ("left", "right")[number % 2]
        file.add_trial(start_time=begin, stop_time=begin + 1.0, side=side, targets=[1.0] * (number + 1))


def test_only_what_all_units_were_watched_for_counts(nwb):
    recording = read_nwb(nwb(units))
    np.testing.assert_allclose(recording.observed, [[1.0, 8.0], [10.0, 12.0], [12.5, 19.0]])
    data = {"nwb": {"path": nwb(units)}, "bin_s": 0.1, "chop": {"window_s": 0.5}, "validation": {"block": 2}}
    session = session_of(DataSettings.model_validate(data))
    starts = np.sort(np.concatenate([session.train.starts, session.valid.starts]))
    assert starts.tolist() == [*range(10, 80, 5), *range(100, 120, 5), *range(125, 190, 5)]


def test_containers_conversion_and_columns(nwb):
    path = nwb(behaviour)
    assert signal_names(path) == ["hand_left"]
    data = {"nwb": {"path": path}, "bin_s": 0.1, "behaviour": {"signals": ["hand_left"]}, "validation": {"part": 0.5}}
    session = session_of(DataSettings.model_validate({**data, "trials": {"conditions": ["side"]}}))
    assert session.steps == (10, 10) and session.train.lengths is None
    assert session.more["condition_labels"].tolist() == [b"side=left", b"side=right"]
    assert session.valid.conditions.tolist() == [0, 0, 0], "every other trial is to the left"
    found = session.train.behaviour["hand_left"][0, :, 0]
    begin = session.train.starts[0]
    np.testing.assert_allclose(found, 2.0 * (begin + np.arange(10)), rtol=1e-3)  # 20 samples a bin, 0.1 cm each


def test_what_is_missing_is_one_error(nwb):
    with pytest.raises(InputError, match="has no units; spikes must be sorted"):
        read_nwb(nwb(lambda file: None))
    with pytest.raises(InputError, match="has no signal hand_vel; it has hand_left"):
        read_nwb(nwb(behaviour), ("hand_vel",))
    data = {"nwb": {"path": nwb(behaviour)}, "bin_s": 0.1, "trials": {"conditions": ["targets"]}}
    with pytest.raises(ConfigError, match="the trial table has no column targets; it has start_time, stop_t"):
        session_of(DataSettings.model_validate(data))
    maze = {
        "nwb": {
            "path": nwb(behaviour),
            "layout": "mc_maze",
        },
        "bin_s": 0.1,
        "behaviour": {"signals": []},
    }
    with pytest.raises(ConfigError, match=r"data\.trials\.align: the trial table has no column move_onset_time"):
        session_of(DataSettings.model_validate({**maze, "bin_s": 0.05}))

    def silent(file):
        file.add_unit_column("heldout", "whether it is held out")
        file.add_unit(spike_times=[1.0], heldout=True)

    data = {"nwb": {"path": nwb(silent)}, "bin_s": 0.1, "chop": {"window_s": 0.5}}
    with pytest.raises(InputError, match="all units are held out; some must be seen"):
        session_of(DataSettings.model_validate(data))
