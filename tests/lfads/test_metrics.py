"""Are the measures those of the Neural Latents Benchmark, and do GLM, OLE and bootstrap find what is in the data?"""

import importlib.util
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpcfit.lfads import metrics

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def ours(given):
    half = len(given["rates"]) // 2
    spikes, rates, behaviour = given["spikes"], given["rates"], given["behaviour"]
    trials_of = [np.flatnonzero(given["conditions"] == one) for one in range(3)] + [np.zeros(0, int)]
    there = ~np.isnan(spikes[..., 0])
    found = {
        "nll": metrics.neg_log_likelihood(rates, spikes),
        "bits_per_spike": metrics.bits_per_spike(rates, spikes),
        "co_bps": metrics.bits_per_spike(rates[..., 5:], spikes[..., 5:]),
        "fp_bps": metrics.bits_per_spike(rates[:, 24:], spikes[:, 24:]),
        "psth_r2": metrics.psth_r2(given["psth"], rates, trials_of, given["jitter"]),
        "psth_r2_without_jitter": metrics.psth_r2(given["psth"][[0, 2, 3]], rates, trials_of[:1] + trials_of[2:]),
        "speed_correlation": metrics.speed_correlation(
            metrics.neural_speed(rates, there), behaviour[:, -1], behaviour[:, :3]
        ),
    }
    train, valid = ((rates[rows], given["velocity"][rows]) for rows in (slice(half), slice(half, None)))
    for name, groups in (("one", None), ("two", (given["groups"][:half], given["groups"][half:]))):
        found[f"velocity_r2_{name}_chosen"] = metrics.velocity_r2(train, valid, groups)
        found[f"velocity_r2_{name}_fixed"] = metrics.velocity_r2(train, valid, groups, alpha=1e-2)
    return found


def test_the_benchmarks_numbers():
    with h5py.File(GOLDEN / "nlb_metrics.h5") as file:
        given = {name: np.asarray(array) for name, array in file["given"].items()}
        wanted = {name: float(np.asarray(value)) for name, value in file["found"].items()}
    before = {name: array.copy() for name, array in given.items()}
    found = ours(given)
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-6), name
    assert all(np.array_equal(given[name], before[name], equal_nan=True) for name in given)


@pytest.mark.skipif(
    importlib.util.find_spec("nlb_tools") is None,
    reason="nlb_tools is not installed (it asks for pandas 1.3); its numbers are in golden/nlb_metrics.h5",
)
def test_live_against_nlb_tools():
    spec = importlib.util.spec_from_file_location("nlb_metrics", GOLDEN / "nlb_metrics.py")
    script = importlib.util.module_from_spec(spec)
    sys.modules["nlb_metrics"] = script
    spec.loader.exec_module(script)
    given = script.arrays()
    wanted, found = script.measured(given), ours(given)
    assert {name: pytest.approx(value, rel=1e-6, abs=1e-6) for name, value in wanted.items()} == found


def test_rates_that_cannot_be_are_refused():
    spikes = np.ones((2, 3, 4))
    for rates, said in (
        (np.ones((2, 3, 5)), "shape"),
        (np.full((2, 3, 4), np.nan), "24 rates are NaN"),
        (-np.ones((2, 3, 4)), "negative, the least -1"),
    ):
        with pytest.raises(ValueError, match=said):
            metrics.bits_per_spike(rates, spikes)
    assert np.isnan(metrics.bits_per_spike(spikes, 0 * spikes))


def test_rate_r2():
    rng = np.random.default_rng(0)
    truth = rng.random((5, 20, 3))
    assert metrics.rate_r2(truth, truth) == 1.0
    assert metrics.rate_r2(np.broadcast_to(truth.mean((0, 1)), truth.shape), truth) == pytest.approx(0.0)
    with_nan = truth.copy()
    with_nan[0, 10:] = np.nan
    wrong = truth.copy()
    wrong[0, 10:] = 99.0
    assert metrics.rate_r2(wrong, with_nan) == 1.0
    constant = truth.copy()
    constant[..., 1] = 0.5
    assert np.isfinite(metrics.rate_r2(truth, constant))


def test_lag_pairs_rates_with_later_behaviour():
    rates = np.arange(10.0)[None, :, None]
    x, y = metrics.lagged(rates, rates, 3)
    assert np.array_equal(y - x, np.full((1, 7, 1), 3.0))
    x, y = metrics.lagged(rates, rates[:, :8], -2)
    assert np.array_equal(y - x, np.full((1, 6, 1), -2.0))
    with pytest.raises(ValueError, match="leaves nothing"):
        metrics.lagged(rates, rates, 10)


def test_the_right_lag_decodes_best():
    rng = np.random.default_rng(2)
    drive = rng.standard_normal((30, 43, 2))
    rates, velocity = drive[:, 3:] @ rng.standard_normal((2, 8)), drive[:, :-3]  # behaviour follows by 3 bins

    def r2(bins):
        x, y = metrics.lagged(rates, velocity, bins)
        return metrics.velocity_r2((x[:20], y[:20]), (x[20:], y[20:]))

    assert r2(3) > 0.99 and max(r2(bins) for bins in (0, 2, 4)) < 0.3
    x, y = metrics.lagged(rates, velocity, 3)
    found, alpha = metrics.decoded((x[:20], y[:20]), x[20:])
    assert np.abs(found - y[20:]).max() < 0.1 and 1e-4 <= alpha <= 1.0


def test_optimal_linear_estimation_is_least_squares_and_knows_its_noise():
    rng = np.random.default_rng(4)
    signal = rng.standard_normal((4000, 2))
    rates = np.exp(0.4 * signal @ rng.standard_normal((2, 12)))
    plain = metrics.LinearEstimator.fit(rates, signal)
    design = np.column_stack([rates, np.ones(len(rates))])
    expected = design @ np.linalg.lstsq(design, signal, rcond=None)[0]
    assert np.allclose(plain(rates), expected, atol=1e-8)
    counts = rng.poisson(rates).astype(float)
    noisy = metrics.LinearEstimator.fit(rates, signal, noise=rates.mean(0))
    of_counts = metrics.LinearEstimator.fit(counts, signal)
    error = [((model(counts) - signal) ** 2).mean() for model in (plain, noisy, of_counts)]
    assert error[1] < 0.8 * error[0] and error[1] == pytest.approx(error[2], rel=0.03)
    with pytest.raises(ValueError, match="more training data"):
        metrics.LinearEstimator.fit(rates[:12], signal[:12])


def test_glm_finds_weights_and_refractoriness():
    rng = np.random.default_rng(6)
    basis = metrics.raised_cosines(3, 10)
    stimulus = rng.standard_normal((60, 200))
    counts = np.zeros((60, 200))
    for step in range(200):
        recent = counts[:, max(step - 2, 0) : step].sum(1)
        counts[:, step] = rng.poisson(np.exp(-1.0 + 0.7 * stimulus[:, step] - 1.5 * recent))
    past = metrics.history(counts, basis)
    both = np.concatenate([stimulus[..., None], past], -1)
    alone, full = metrics.PoissonGlm.fit(past[:40], counts[:40]), metrics.PoissonGlm.fit(both[:40], counts[:40])
    assert full.weights[0] == pytest.approx(0.7, abs=0.06)
    assert (basis @ full.weights[1:])[0] < -0.8
    seen, rates = counts[40:], full.rates(both[40:])
    value = metrics.pseudo_r2(seen, rates)
    relative = metrics.relative_pseudo_r2(seen, rates, alone.rates(past[40:]))
    nothing = metrics.relative_pseudo_r2(seen, rates, rates)
    assert 0.1 < value.value < 1.0 and value.low < value.value < value.high
    assert relative.low > 0.0 and nothing.value == nothing.low == 0.0
    again = metrics.pseudo_r2(seen, rates)
    assert again == value and metrics.pseudo_r2(seen, rates, seed=1).low != value.low


def test_pseudo_r2_by_its_definition():
    from scipy.stats import poisson

    rng = np.random.default_rng(7)
    counts = rng.poisson(1.5, (8, 50)).astype(float)
    rates = 1.5 * np.exp(0.1 * rng.standard_normal(counts.shape))
    best, model, mean = (poisson.logpmf(counts, rate).sum() for rate in (counts, rates, counts.mean()))
    found = metrics.pseudo_r2(counts, rates, draws=10)
    assert found.value == pytest.approx(1 - (best - model) / (best - mean), rel=1e-9)
    assert metrics.pseudo_r2(counts, np.full_like(counts, counts.mean()), draws=10).value == pytest.approx(
        0.0, abs=1e-9
    )
    assert np.isnan(metrics.pseudo_r2(0 * counts, rates, draws=10).value)


def test_history_never_sees_the_present():
    counts = np.zeros((1, 8))
    counts[0, 3] = 1.0
    basis = metrics.raised_cosines(2, 4)
    past = metrics.history(counts, basis)
    assert not past[0, :4].any() and np.array_equal(past[0, 4:8], basis)
    with pytest.raises(ValueError, match="1 to 4"):
        metrics.raised_cosines(5, 4)


def test_a_silent_neuron_has_a_glm():
    model = metrics.PoissonGlm.fit(np.ones((4, 5, 2)), np.zeros((4, 5)))
    assert model.rates(np.ones(2)) < 1e-6


def test_condition_means_leave_out_unknown_conditions_and_missing_bins():
    rates = np.arange(24.0).reshape(4, 3, 2)
    rates[2, 2] = np.nan
    means, conditions = metrics.condition_means(rates, np.array([0, 1, 0, -1]))
    assert conditions.tolist() == [0, 1]
    assert np.array_equal(means[0, :2], rates[[0, 2], :2].mean(0)) and np.array_equal(means[0, 2], rates[0, 2])


def test_submission(tmp_path):
    from hpcfit.errors import InputError

    rng = np.random.default_rng(8)
    rates = {"train": rng.random((6, 12, 5)), "eval": rng.random((3, 12, 5))}
    path = tmp_path / "submission.h5"
    metrics.write_submission(path, "mc_maze", rates, (10, 3))
    metrics.write_submission(path, "mc_rtt_20", rates, (12, 3))
    found = metrics.read_submission(path)
    assert set(found) == {"mc_maze", "mc_rtt_20"}
    assert {name: array.shape for name, array in found["mc_maze"].items()} == {
        "train_rates_heldin": (6, 10, 3),
        "train_rates_heldout": (6, 10, 2),
        "train_rates_heldin_forward": (6, 2, 3),
        "train_rates_heldout_forward": (6, 2, 2),
        "eval_rates_heldin": (3, 10, 3),
        "eval_rates_heldout": (3, 10, 2),
        "eval_rates_heldin_forward": (3, 2, 3),
        "eval_rates_heldout_forward": (3, 2, 2),
    }
    assert np.allclose(found["mc_maze"]["eval_rates_heldout_forward"], rates["eval"][:, 10:, 3:], atol=1e-7)
    for dataset, given, seen, said in (
        ("mc_haze", rates, (10, 3), "is no set of the benchmark"),
        ("mc_maze", rates, (10, 5), r"train_rates_heldout has shape \(6, 10, 0\)"),
        ("mc_maze", {"train": rates["train"]}, (10, 3), "no rates of the eval trials"),
        ("mc_maze", {**rates, "eval": -rates["eval"]}, (10, 3), "negative or not finite"),
    ):
        with pytest.raises(InputError, match=said):
            metrics.write_submission(path, dataset, given, seen)
    with h5py.File(path, "a") as file:
        del file["mc_maze/eval_rates_heldout"]
    with pytest.raises(InputError, match="has no eval_rates_heldout"):
        metrics.read_submission(path)
