"""Real spikes: a continuous recording of rat CA1 with position, through the reader of spike times that anyone has."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from hpcfit.lfads.data.chop import merge
from hpcfit.lfads.data.settings import DataSettings
from hpcfit.lfads.data.sources import session_of

FILE = Path(__file__).resolve().parents[4] / "shared" / "data" / "spikes" / "hippocampus_linear_track.h5"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not FILE.is_file(), reason="../shared/data/spikes (rat CA1) is not there"),
]

RUN_S = 900.0
DATA = {
    "spike_times": {
        "path": FILE,
        "stop_s": RUN_S,
        "signals": {"position": {"values": "position/xy_px", "times": "position/t_s"}},
    },
    "bin_s": 0.05,
    "chop": {"window_s": 2.0, "overlap_s": 0.5},
    "validation": {"block": 3},
}


@pytest.fixture(scope="module")
def session():
    return session_of(DataSettings.model_validate(DATA))


def test_every_spike_of_the_run_is_counted(session):
    with h5py.File(FILE) as file:
        counts = [
            int(((times := file[f"units/{unit}"][()]) >= 0.0).sum() - (times >= RUN_S).sum()) for unit in session.units
        ]
    assert session.neurons == (31, 31) and session.steps == (40, 40)
    np.testing.assert_array_equal(session.more["recording_spikes"].sum(0), counts)


def test_merging_all_segments_gives_the_recording_back(session):
    train, valid = session.train, session.valid
    assert 0.15 < len(valid) / (len(train) + len(valid)) < 0.25
    bins = session.more["recording_spikes"]
    merged = merge(np.concatenate([train.recon, valid.recon]), np.concatenate([train.starts, valid.starts]), len(bins))
    known = ~np.isnan(merged[:, 0])
    np.testing.assert_allclose(merged[known], bins[known], rtol=0, atol=1e-9)
    assert known.mean() > 0.99


def test_spikes_and_position_belong_together(session):
    """Place cells: position is decoded from smoothed spikes, and less well from spikes of another time."""
    spikes = gaussian_filter1d(session.more["recording_spikes"].astype(float), 5, axis=0)
    position = session.more["recording_position"][:, 0]

    def decoded(lag: int) -> float:
        x = np.column_stack([np.roll(spikes, lag, 0), np.ones(len(spikes))])
        known = np.isfinite(position)
        first = np.arange(len(x)) % 4000 < 3000
        fit = known & first
        weights = np.linalg.lstsq(x[fit], position[fit], rcond=None)[0]
        rest = known & ~first
        return (
            1.0
            - ((x[rest] @ weights - position[rest]) ** 2).sum() / ((position[rest] - position[rest].mean()) ** 2).sum()
        )

    assert decoded(0) > 0.2 > decoded(1000) + 0.1
