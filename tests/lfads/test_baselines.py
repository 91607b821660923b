"""Do the baselines find what they should, choose without looking at themselves, and keep one interface?"""

import importlib.util
import sys
from dataclasses import replace

import numpy as np
import pytest

from hpcfit.errors import ConfigError
from hpcfit.lfads.baselines import BASELINES, fit_baseline
from hpcfit.lfads.data.chaotic import chaotic_rnn
from hpcfit.lfads.data.trials import Session, Trials
from hpcfit.lfads.metrics import bits_per_spike, nll_per_bin, rate_r2
from hpcfit.lfads.settings import ChaoticRnnSettings
from hpcfit.lfads.smoothing import smoothed

LIVE = [name for name in BASELINES if name != "gpfa"]


def elephant_works():
    if importlib.util.find_spec("elephant") is None:
        return False
    try:
        import elephant.gpfa  # noqa: F401
    except (ImportError, RuntimeError):
        return False
    return True


def waves(trials=60, steps=50, neurons=12, seed=0):
    """Rates follow two slow latents, with a phase of its own in each trial about that of one of two conditions."""
    rng = np.random.default_rng(seed)
    angles = np.random.default_rng(99).random(neurons) * 2 * np.pi
    weights = 0.7 * np.stack([np.cos(angles), np.sin(angles)])
    conditions = np.arange(trials) % 2
    time = 2 * np.pi * np.arange(steps) / steps
    phase = np.pi * conditions + 0.2 * rng.standard_normal(trials)
    latents = np.stack([np.sin(time + phase[:, None]), np.cos(time + phase[:, None])], 2)
    truth = (0.8 + latents @ weights).astype(np.float32)
    counts = rng.poisson(truth).astype(np.float32)
    return Trials(counts, counts, truth, None, conditions)


@pytest.fixture(scope="module")
def session():
    return Session(waves(), waves(30, seed=1), bin_s=0.01)


@pytest.fixture(scope="module")
def part_seen(session):
    """Three neurons are held out, five bins to be predicted."""

    def cut(trials):
        return replace(trials, encod=trials.recon[:, :45, :9])

    return replace(session, train=cut(session.train), valid=cut(session.valid))


@pytest.mark.parametrize("name", LIVE)
def test_better_than_nothing_and_never_looks_at_the_target(session, part_seen, name):
    for data in (session, part_seen):
        fitted = fit_baseline(name, data)
        rates = fitted.rates(data.valid)
        assert rates.shape == data.valid.recon.shape and np.isfinite(rates).all() and (rates > 0).all()
        blind = replace(data.valid, recon=np.full_like(data.valid.recon, 7.0), truth=None)
        assert np.array_equal(rates, fitted.rates(blind))
        r2 = rate_r2(rates, data.valid.truth)
        assert abs(r2) < 0.05 if name == "mean" else r2 > 0.4


@pytest.mark.parametrize("name", ["smoothing", "pca", "factor_analysis"])
def test_held_out_neurons_and_later_bins(part_seen, name):
    rates, valid = fit_baseline(name, part_seen).rates(part_seen.valid), part_seen.valid
    assert bits_per_spike(rates[:, :45, 9:], valid.recon[:, :45, 9:]) > 0.1
    later = part_seen.train.recon[:, 45:].mean(0)
    assert np.allclose(rates[:, 45:], np.maximum(later, 1e-4), atol=1e-6)


def test_the_chosen_kernel_does_not_explain_itself(session):
    """In-sample likelihood is best without smoothing; what is chosen must be near the best for the true rates."""
    chosen = fit_baseline("smoothing", session).chosen["sd_bins"]
    kernels = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0, 30.0, 50.0)
    valid = session.valid
    errors = {sd: nll_per_bin(np.maximum(smoothed(valid.recon, sd), 1e-4), valid.recon) for sd in (0.5, chosen)}
    true = {sd: ((smoothed(valid.recon, sd) - valid.truth) ** 2).mean() for sd in kernels}
    assert errors[0.5] < errors[chosen]
    assert true[chosen] < 1.2 * min(true.values())


def test_dimensions_are_chosen(session):
    for name in ("pca", "factor_analysis"):
        assert 2 <= fit_baseline(name, session).chosen["dimensions"] <= 5


def test_a_condition_that_training_lacks_gets_the_mean(session):
    fitted = fit_baseline("psth", session)
    unknown = replace(session.valid, conditions=np.full(30, 17))
    mean = smoothed(session.train.recon.mean(0, keepdims=True), fitted.chosen["sd_bins"])[0]
    found = fitted.rates(unknown)[0]
    assert np.allclose(found, mean, atol=1e-5)
    assert not np.allclose(found, fitted.rates(session.valid)[0])


def test_bins_that_trials_lack_do_not_count(session):
    lengths = np.full(60, 50)
    lengths[::3] = 20
    spoilt = session.train.recon.copy()
    spoilt[::3, 20:] = 50.0
    short = replace(session.train, encod=spoilt, recon=spoilt, lengths=lengths)
    plain = fit_baseline("mean", session).rates(session.valid)
    assert np.abs(fit_baseline("mean", replace(session, train=short)).rates(session.valid) / plain - 1).max() < 0.3
    assert smoothed(spoilt, 3.0, lengths)[::3, :20].max() < 5.0
    for name in ("psth", "pca", "factor_analysis"):
        rates = fit_baseline(name, replace(session, train=short)).rates(session.valid)
        assert rate_r2(rates, session.valid.truth) > 0.8, name


def test_smoothing_by_its_definition():
    counts = np.zeros((1, 21, 1))
    counts[0, 10] = 1.0
    kernel = np.exp(-0.5 * (np.arange(21) - 10) ** 2 / 4.0)
    assert np.allclose(smoothed(counts, 2.0)[0, 4:17, 0], (kernel / kernel.sum())[4:17], atol=2e-3)
    assert np.allclose(smoothed(np.full((1, 9, 2), 3.0), 4.0), 3.0, atol=1e-5)
    assert np.array_equal(smoothed(counts, 0.0), counts)


def test_the_facts_of_the_chaotic_set():
    """The same network with a tenth of its conditions: PCA beats smoothing by far, as on the whole set."""
    data = chaotic_rnn(ChaoticRnnSettings(conditions=60))
    found = {
        name: rate_r2(fit_baseline(name, data).rates(data.valid), data.valid.truth)
        for name in ("smoothing", "pca", "psth")
    }
    assert found["smoothing"] < 0.1 and 0.35 < found["pca"] < 0.55 and 0.45 < found["psth"] < 0.6


def test_what_cannot_be_is_refused(session, monkeypatch):
    with pytest.raises(ConfigError, match="'gfpa' is no baseline; there are mean, psth"):
        fit_baseline("gfpa", session)
    without = replace(session, train=replace(session.train, conditions=None))
    with pytest.raises(ConfigError, match="psth: the trials have no conditions"):
        fit_baseline("psth", without)
    monkeypatch.setitem(sys.modules, "elephant", None)
    monkeypatch.setitem(sys.modules, "elephant.gpfa", None)
    with pytest.raises(ConfigError, match=r"gpfa: needs the package elephant.*hpcfit\[gpfa\]"):
        fit_baseline("gpfa", session)


@pytest.mark.skipif(not elephant_works(), reason="elephant is not installed, or cannot be imported: the extra gpfa")
def test_gpfa(part_seen, session):
    fitted = fit_baseline("gpfa", session)
    rates = fitted.rates(session.valid)
    assert rate_r2(rates, session.valid.truth) > 0.6
    held_out = fit_baseline("gpfa", part_seen).rates(part_seen.valid)
    assert bits_per_spike(held_out[:, :45, 9:], part_seen.valid.recon[:, :45, 9:]) > 0.1
    ended = replace(session, train=replace(session.train, lengths=np.full(60, 40)))
    with pytest.raises(ConfigError, match="different lengths"):
        fit_baseline("gpfa", ended)
