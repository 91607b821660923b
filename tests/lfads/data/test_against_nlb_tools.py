"""Are recordings in the layouts of the Neural Latents Benchmark cut as nlb_tools cuts them?  Arrays are compared.

tests/golden/nlb_arrays.h5 was written by tests/golden/nlb_arrays.py with nlb_tools 0.0.3.
"""

from pathlib import Path

import h5py
import numpy as np
import pytest

from hpcfit.lfads.data.chop import merge
from hpcfit.lfads.data.nlb import LAYOUTS as RULES
from hpcfit.lfads.data.nwb import write_nwb
from hpcfit.lfads.data.settings import DataSettings
from hpcfit.lfads.data.sources import session_of

from .nlb_layouts import LAYOUTS

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "nlb_arrays.h5"
CASES = [(name, width) for name, (_, widths) in LAYOUTS.items() for width in widths]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The NWB files, by the benchmark's name of the layout."""
    folder = tmp_path_factory.mktemp("nlb")
    for name, (make, _) in LAYOUTS.items():
        write_nwb(folder / f"{name}.nwb", make())
    return folder


@pytest.mark.parametrize(("name", "bin_s"), CASES)
def test_arrays_are_those_of_nlb_tools(files, name, bin_s):
    settings = {"nwb": {"path": files / f"{name}.nwb", "layout": name}, "bin_s": bin_s}
    session = session_of(DataSettings.model_validate(settings))
    seen, units = session.neurons
    steps, explained = session.steps
    assert explained - steps == round(0.2 / bin_s) and seen < units
    with h5py.File(GOLDEN) as file:
        for split, trials in (("train", session.train), ("val", session.valid)):
            theirs = {key: np.asarray(array) for key, array in file[f"{name}/{bin_s:g}/{split}"].items()}
            assert len(trials) >= 2
            recon = trials.recon
            np.testing.assert_array_equal(trials.encod, theirs["spikes_heldin"])
            np.testing.assert_array_equal(recon[:, :steps, :seen], theirs["spikes_heldin"])
            np.testing.assert_array_equal(recon[:, :steps, seen:], theirs["spikes_heldout"])
            np.testing.assert_array_equal(recon[:, steps:, :seen], theirs["spikes_heldin_forward"])
            np.testing.assert_array_equal(recon[:, steps:, seen:], theirs["spikes_heldout_forward"])
            for signal in RULES[name].signals:
                np.testing.assert_allclose(trials.behaviour[signal], theirs["behavior"], rtol=1e-5, atol=1e-5)


def test_jitter_moves_the_windows_and_can_be_left_out(files):
    data = {"nwb": {"path": files / "dmfc_rsg.nwb", "layout": "dmfc_rsg"}, "bin_s": 0.005}
    moved = session_of(DataSettings.model_validate(data))
    still = session_of(DataSettings.model_validate({**data, "trials": {"jitter": "none"}}))
    other = session_of(DataSettings.model_validate({**data, "trials": {"jitter_seed": 3}}))
    late = moved.train.starts - still.train.starts
    assert late.min() >= 0 and late.max() <= 60 and late.any()
    assert not np.array_equal(moved.train.starts, other.train.starts)
    assert list(moved.train.behaviour) == ["is_eye", "theta", "is_short", "ts", "tp", "is_outlier"]


@pytest.mark.parametrize("case", ["12_4", "20_10", "9_1"])
def test_merging_is_that_of_nlb_tools(case):
    window, overlap = map(int, case.split("_"))
    with h5py.File(GOLDEN) as file:
        group = file[f"chop/{case}"]
        segments, quadratic, linear = (np.asarray(group[name]) for name in ("segments", "quadratic", "linear"))
    starts = np.arange(len(segments)) * (window - overlap)
    ours = merge(segments, starts)
    # The weights of nlb_tools stop at the last overlap: behind it they count the last segment whole, as here.
    if overlap > 1:
        np.testing.assert_allclose(ours, quadratic, rtol=1e-12)
        np.testing.assert_allclose(merge(segments, starts, weights="linear"), linear, rtol=1e-12)
    else:  # one shared bin: nlb_tools takes the later segment's value alone, here both count
        shared = starts[1:]
        alone = np.setdiff1d(np.arange(len(ours)), shared)
        np.testing.assert_allclose(ours[alone], quadratic[alone], rtol=1e-12)
        np.testing.assert_allclose(ours[shared], 0.75 * segments[:-1, -1] + 0.25 * segments[1:, 0], rtol=1e-12)


def test_random_targets_can_be_chopped(files):
    """Continuously, as K22 does: 0.6 s with 0.2 s overlap, in blocks of 3; nothing crosses the gap of the recording."""
    source = {"nwb": {"path": files / "mc_rtt.nwb", "layout": "mc_rtt"}, "bin_s": 0.02}
    settings = {**source, "chop": {"window_s": 0.6, "overlap_s": 0.2}, "validation": {"block": 3, "part": 0.25}}
    session = session_of(DataSettings.model_validate(settings))
    assert session.steps == (30, 30) and session.neurons == (4, 6)
    starts = np.sort(np.concatenate([session.train.starts, session.valid.starts]))
    # Blocks of 70 bins; 0 to 5.2 s and 7 to 11 s were recorded.
    first = [begin + step for begin in (0, 70, 140) for step in (0, 20, 40)]
    second = [begin + step for begin in (350, 420) for step in (0, 20, 40)]
    assert starts.tolist() == [*first, 210, 230, *second, 490, 510]
    assert session.valid.starts.tolist() == [0, 20, 40, 350, 370, 390]
    # Behaviour lies where the spikes do: the benchmark's lag is for its trials.
    whole = session.more["recording_finger_vel"]
    np.testing.assert_array_equal(session.valid.behaviour["finger_vel"][4], whole[370:400])
