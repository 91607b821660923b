"""Are generated data what they are said to be?  Figures of the literature, and a file that is written and read back."""

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.special import gammaln

from hpcfit.config import read_toml, validate
from hpcfit.errors import ConfigError
from hpcfit.lfads.data.lorenz import slopes
from hpcfit.lfads.data.nwb import read_nwb, write_nwb
from hpcfit.lfads.data.reaching import reaching
from hpcfit.lfads.data.settings import DataSettings, ReachingSettings
from hpcfit.lfads.data.sources import session_of

SMALL = {"units": 24, "targets": 4, "versions": 2, "trials_per_condition": 5}


def poisson_nll(counts, rates):
    """Nats per bin."""
    return float(np.mean(rates - counts * np.log(rates) + gammaln(counts + 1.0)))


def rate_r2(found, truth):
    return float(np.mean(1 - ((found - truth) ** 2).sum((0, 1)) / ((truth - truth.mean((0, 1))) ** 2).sum((0, 1))))


@pytest.mark.parametrize(
    ("settings", "nll_mean", "nll_truth", "psth"),
    [
        ({}, 0.44530, 0.40645, 0.507),
        ({"gamma": 2.5, "inputs_per": "trial"}, 0.44726, 0.38881, -0.15),
    ],
    ids=["gamma 1.5", "gamma 2.5"],
)
def test_the_papers_chaotic_networks(settings, nll_mean, nll_truth, psth):
    session = session_of(DataSettings.model_validate({"chaotic_rnn": settings}))
    train, valid = session.train, session.valid
    assert (train.recon.shape, valid.recon.shape) == ((3200, 100, 50), (800, 100, 50))
    mean = np.broadcast_to(train.recon.mean((0, 1)), valid.recon.shape)
    assert poisson_nll(valid.recon, mean) == pytest.approx(nll_mean, abs=1e-5)
    assert poisson_nll(valid.recon, valid.truth) == pytest.approx(nll_truth, abs=1e-5)
    # Trials 0 to 7 of each condition train; PSTHs are smoothed with 30 ms.
    means = train.recon.reshape(400, 8, 100, 50).mean(1)
    assert rate_r2(gaussian_filter1d(means, 3, axis=1)[valid.conditions], valid.truth) == pytest.approx(psth, abs=1e-3)


def test_the_lorenz_system():
    settings = {"conditions": 12, "trials_per_condition": 5, "validation_trials_per_condition": 2}
    session = session_of(DataSettings.model_validate({"lorenz": settings}))
    assert (session.train.recon.shape, session.valid.recon.shape) == ((36, 100, 30), (24, 100, 30))
    states = session.more["states"]
    assert states.shape == (12, 100, 3)
    # Logarithms of rates are linear in the states: three dimensions, and the mean.
    logs = np.log(session.train.truth[::3]).reshape(-1, 30)
    design = np.column_stack([states.reshape(-1, 3), np.ones(1200)])
    fitted = design @ np.linalg.lstsq(design, logs, rcond=None)[0]
    np.testing.assert_allclose(fitted, logs, atol=1e-4)
    # And they move as the Lorenz system does: in units of its own, their change is the slope.
    raw, speed = unscaled(states), 0.006
    middle = (raw[:, 2:] - raw[:, :-2]) / (2 * speed)
    error = np.abs(middle - slopes(raw[:, 1:-1])).max() / np.abs(middle).max()
    assert error < 0.01, "central differences of a step of 0.006"
    counts = session.train.recon
    assert (counts.mean() - session.train.truth.mean()) ** 2 < 25 * counts.mean() / counts.size
    other = session_of(DataSettings.model_validate({"lorenz": {**settings, "base_rate_Hz": 10.0}}))
    np.testing.assert_allclose(other.train.truth, 2.0 * session.train.truth, rtol=1e-5)


def unscaled(states):
    """Lorenz states from standardised ones: the mean of z, and the three sizes, by least squares on the equations."""
    x, y, z = (states[..., axis] for axis in range(3))
    rate = (states[:, 2:] - states[:, :-2]) / 0.012
    inner = [value[:, 1:-1].ravel() for value in (x, y, z)]
    # x' = a y - b x + c, so b = 10 and the ratio of sizes of y and x is a / 10.
    ones = np.ones_like(inner[0])
    a, b, c = np.linalg.lstsq(np.column_stack([inner[1], -inner[0], ones]), rate[..., 0].ravel(), rcond=None)[0]
    assert b == pytest.approx(10.0, rel=0.02) and a > 0
    # z' = k x y + l x + m y - 8/3 z + n: k sx sy / sz; the means of x and y follow from l and m.
    columns = [inner[0] * inner[1], inner[0], inner[1], -inner[2], ones]
    k, l, m, beta, n = np.linalg.lstsq(np.column_stack(columns), rate[..., 2].ravel(), rcond=None)[0]  # noqa: E741
    assert beta == pytest.approx(8 / 3, rel=0.02)
    # y' = p x + q x z - y + r z + s: q = - sx sz / sy.
    columns = [inner[0], inner[0] * inner[2], inner[1], inner[2], ones]
    p, q, *_ = np.linalg.lstsq(np.column_stack(columns), rate[..., 1].ravel(), rcond=None)[0]
    ratio = a / 10.0  # sy / sx
    sz_sx = -q * ratio  # q = -sx sz / sy
    # k = sx sy / sz = ratio sx^2 / sz, and sz sx = sz_sx * ... : q = -sz / ratio, so sz = -q ratio.
    sz = sz_sx
    sx = np.sqrt(k * sz / ratio)
    sy = ratio * sx
    mx, my = m * sz / sy, l * sz / sx  # from (sx x + mx)(sy y + my) / sz
    mz = 28.0 - p * ratio  # y' has (28 - z) x: p = (28 - mz) sx / sy
    assert abs(n) < 100 and abs(c) < 100
    return np.stack([sx * x + mx, sy * y + my, sz * z + mz], -1)


def test_the_reaching_set_is_written_and_read_back(tmp_path):
    recording = reaching(ReachingSettings.model_validate(SMALL))
    path = tmp_path / "reaching.nwb"
    write_nwb(path, recording)
    again = read_nwb(path, ("hand_pos", "hand_vel"))
    assert again.units == recording.units and again.stop_s == pytest.approx(recording.stop_s)
    np.testing.assert_array_equal(again.held_out, recording.held_out)
    np.testing.assert_allclose(again.observed, recording.observed)
    for ours, theirs in zip(recording.spikes, again.spikes, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert again.trials.keys() == recording.trials.keys()
    for name, column in recording.trials.items():
        np.testing.assert_array_equal(again.trials[name], column)
    # The same sessions, whether the file lies between or not.
    trials = {"trials": {"forward_s": 0.2}, "bin_s": 0.01}
    direct = session_of(DataSettings.model_validate({"reaching": SMALL, **trials}))
    read = session_of(DataSettings.model_validate({"nwb": {"path": path, "layout": "mc_maze"}, **trials}))
    assert direct.neurons == read.neurons == (18, 24) and direct.steps == read.steps == (70, 90)
    for part in ("train", "valid"):
        ours, theirs = getattr(direct, part), getattr(read, part)
        np.testing.assert_array_equal(ours.recon, theirs.recon)
        np.testing.assert_array_equal(ours.conditions, theirs.conditions)
        np.testing.assert_allclose(ours.behaviour["hand_vel"], theirs.behaviour["hand_vel"], rtol=1e-4, atol=1e-2)
    assert len(read.more["condition_labels"]) == 8
    assert read.train.truth is None and direct.train.truth is not None


def test_reaching_spikes_follow_their_rates_and_tell_the_velocity():
    session = session_of(
        DataSettings.model_validate({"reaching": {**SMALL, "trials_per_condition": 20}, "bin_s": 0.02})
    )
    train, valid = session.train, session.valid
    mean = np.broadcast_to(train.recon.mean((0, 1)), valid.recon.shape)
    assert poisson_nll(valid.recon, valid.truth) < poisson_nll(valid.recon, mean) - 0.005
    total = train.truth.sum()
    assert abs(train.recon.sum() - total) < 5 * np.sqrt(total)

    def design(trials):
        rates = np.log(trials.truth[:, : trials.encod.shape[1]])
        flat = rates.reshape(-1, rates.shape[2])
        return np.column_stack([flat, np.ones(len(flat))]), trials.behaviour["hand_vel"].reshape(-1, 2)

    x, velocity = design(train)
    weights = np.linalg.lstsq(x, velocity, rcond=None)[0]
    x, velocity = design(valid)
    assert 1 - ((x @ weights - velocity) ** 2).sum() / ((velocity - velocity.mean(0)) ** 2).sum() > 0.95
    hand = np.linalg.norm(velocity.reshape(len(valid), -1, 2), axis=2)
    assert 300 < hand.max(1).mean() < 700, "mm/s: a reach of 100 mm in 0.4 s peaks at 1.875 times its mean"


def test_spikes_of_test_trials_go_along(tmp_path):
    recording = reaching(ReachingSettings.model_validate(SMALL))
    split = recording.trials["split"].copy()
    split[-4:] = "test"
    whole = dict(recording.trials, split=split)
    parts = {"train": (split != "test", ~np.zeros(24, bool)), "test": (split == "test", ~recording.held_out)}
    for name, (rows, units) in parts.items():
        table = {key: column[rows] for key, column in whole.items()}
        chosen = [number for number in range(24) if units[number]]
        some = type(recording)(
            name,
            tuple(recording.spikes[number] for number in chosen),
            tuple(recording.units[number] for number in chosen),
            recording.held_out[units],
            0.0,
            recording.stop_s,
            recording.observed[rows],
            table,
            recording.signals,
        )
        write_nwb(tmp_path / f"{name}.nwb", some)
    source = {"path": tmp_path / "train.nwb", "layout": "mc_maze_small", "test_path": tmp_path / "test.nwb"}
    data = DataSettings.model_validate({"nwb": source, "bin_s": 0.005})
    session = session_of(data)
    test = session.more["test_encod_data"]
    direct = session_of(DataSettings.model_validate({"reaching": SMALL, "bin_s": 0.005}))
    everything = np.concatenate([direct.train.encod, direct.valid.encod])
    order = np.argsort(np.concatenate([direct.train.inds, direct.valid.inds]))
    np.testing.assert_array_equal(test, everything[order][-4:])


@pytest.mark.parametrize("source", ["chaotic_rnn", "lorenz"])
def test_options_that_do_not_apply_are_refused(source):
    for name, table in {"chop": {"window_s": 1.0}, "bin_s": 0.01, "validation": {}, "behaviour": {}}.items():
        with pytest.raises(ValueError, match=f"{name} is .*, but the source is {source}; remove {name}"):
            DataSettings.model_validate({source: {}, name: table})
    with pytest.raises(ValueError, match="leaves none of trials_per_condition = 3 to train on"):
        sizes = {"trials_per_condition": 3, "validation_trials_per_condition": 3}
        DataSettings.model_validate({source: sizes})
    with pytest.raises(ConfigError, match="correlation_over_s is for recordings"):
        units = {"correlation_most": 0.2, "correlation_over_s": 1.0}
        session_of(DataSettings.model_validate({source: {"conditions": 2}, "units": units}))


def test_the_file_in_data_is_what_its_readme_says():
    folder = Path(__file__).resolve().parents[3] / "data" / "reaching"
    words = (folder / "README.md").read_text().split("`train.toml`")[1].split()
    settings = dict(word.split("=") for word in words if "=" in word)
    assert settings.keys() == {"units", "targets", "versions", "trials_per_condition"}
    made, kept = reaching(ReachingSettings.model_validate(settings)), read_nwb(folder / "reaching.nwb")
    for ours, theirs in zip(made.spikes, kept.spikes, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    tables = read_toml(folder / "train.toml")["data"]
    session = session_of(validate(DataSettings, tables, "train.toml", folder))
    assert (session.neurons, session.steps) == ((22, 30), (35, 45))
    assert (len(session.train), len(session.valid)) == (26, 6)
