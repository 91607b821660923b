"""Features named "ipfx:..." are what IPFX gives: recorded values of it, and the package itself where installed."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import hpcfit
from hpcfit.biophys import features
from hpcfit.biophys.extract import ExtractSettings, Reason, extract, feature_names
from hpcfit.biophys.features import check_features
from hpcfit.biophys.settings import FeatureSettings
from hpcfit.errors import ConfigError
from hpcfit.population.ledger import Ledger

from .ipfx_goldens import CASES, GOLDEN, STIMULUS_NA
from .synthetic_traces import synthetic

ALL = feature_names("ipfx")
WINDOW_MS = (120.0, 250.0)


def trace(case) -> np.ndarray:
    kind, seed, count, dt_ms, window_ms, _ = case
    return synthetic(np.random.default_rng(seed), kind, count, dt_ms, window_ms)


def spikes(seed: int = 40) -> np.ndarray:
    return synthetic(np.random.default_rng(seed), "spikes", 3000, 0.1, WINDOW_MS)


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: f"{CASES[number][0]}-{number}")
def test_values_are_those_that_ipfx_gave(number):
    _, _, _, dt_ms, window_ms, settings = CASES[number]
    golden = json.loads(GOLDEN.read_text())["values"][number]
    table = extract(trace(CASES[number]), dt_ms, window_ms, ALL, {"ipfx": settings}, stimulus_nA=STIMULUS_NA)
    for name in ALL:
        ours, theirs = table.values(name)[0], golden[name]
        assert len(ours) == (0 if theirs is None else len(theirs)), (name, ours, theirs)
        assert np.allclose(ours, theirs or [], rtol=1e-6, atol=1e-9), name


def test_the_recorded_values_hold_every_feature():
    values = json.loads(GOLDEN.read_text())["values"]
    assert len(values) == len(CASES)
    defined = {name for each in values for name, found in each.items() if found is not None}
    assert set(ALL) - defined == set()
    for name in ("ipfx:num_bursts", "ipfx:n_pauses"):
        assert sum(each[name] not in (None, [0.0]) for each in values) > 1, name


@pytest.mark.skipif(find_spec("ipfx") is None, reason="IPFX is not installed")
@pytest.mark.parametrize("seed", range(20))
def test_the_package_itself_gives_the_same(seed):
    rng = np.random.default_rng(seed)
    kind, dt_ms = rng.choice(["spikes", "bursts", "noise", "sag"]), float(rng.choice([0.1, 0.025, 0.3]))
    v_mV = synthetic(rng, kind, int(150 / dt_ms), dt_ms, (20.0, 120.0))
    given = FeatureSettings(ipfx={"baseline_interval": 0.015})
    theirs = given.model_copy(update={"backend": "ipfx"})
    both = [features.extract(v_mV, dt_ms, (20.0, 120.0), ALL, each, stimulus_nA=-0.1) for each in (given, theirs)]
    fitted = np.array(ALL) == "ipfx:tau"  # scipy's optimiser stops short of the minimum: by 1.3e-6 here
    assert np.allclose(*(each[:, ~fitted] for each in both), rtol=1e-6, atol=1e-9, equal_nan=True)
    assert np.allclose(*(each[:, fitted] for each in both), rtol=2e-6, equal_nan=True)


@pytest.mark.skipif(find_spec("ipfx") is not None, reason="IPFX is installed")
def test_the_package_as_a_back_end_has_to_be_installed():
    with pytest.raises(ConfigError, match=r"backend = 'ipfx'.*pip install.*or use 'hpcfit'"):
        features.extract(spikes(), 0.1, WINDOW_MS, ALL, FeatureSettings(backend="ipfx"))


@pytest.mark.parametrize(
    "changed",
    [
        {"filter": 2.0},
        {"dv_cutoff": 60.0},
        {"min_height": 60.0},
        {"min_peak": 10.0},
        {"max_interval": 0.0005},
        {"thresh_frac": 0.5},
        {"reject_at_stim_start_interval": 0.06},
        {"baseline_interval": 0.01},
        {"sag_baseline_interval": 0.01},
        {"peak_width": 0.02},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_setting_that_is_accepted_changes_something(changed):
    traces = np.array([spikes(seed) for seed in range(40, 44)])
    one, other = (extract(traces, 0.1, WINDOW_MS, ALL, {"ipfx": each}).mean for each in ({}, changed))
    assert not np.array_equal(one, other, equal_nan=True)


def test_either_family_in_one_call_keeps_the_order_of_names_and_its_lists():
    traces = np.array([spikes(40), trace(CASES[16]), spikes(42)])
    names = ["ipfx:peak_v", "peak_voltage", "ipfx:avg_rate", "Spikecount", "ipfx:width"]
    table = extract(traces, 0.1, WINDOW_MS, names)
    for name in names:
        alone = extract(traces, 0.1, WINDOW_MS, [name])
        assert np.array_equal(table[name], alone[name], equal_nan=True)
        assert all(np.array_equal(a, b) for a, b in zip(table.values(name), alone.values(name), strict=True))
    assert np.ptp(table.count[:, 0]) > 0 and table.count[:, 0].max() > 1


def test_precision_threads_and_neighbours_do_not_matter():
    traces = np.array([trace(case) for case in CASES if case[2] == 3000 and case[3] == 0.1]).astype(np.float32)
    traces = np.concatenate([traces, np.full((1, 3000), np.nan, np.float32)])
    one, three = (extract(traces, 0.1, WINDOW_MS, ALL, threads=threads) for threads in (1, 3))
    double = extract(traces[::-1].astype(float), 0.1, WINDOW_MS, ALL[::-1])
    assert np.array_equal(one.mean, three.mean, equal_nan=True)
    assert np.array_equal(one.mean, double.mean[::-1, ::-1], equal_nan=True)
    assert np.all(one.reason[-1] == Reason.NOT_FINITE) and np.isfinite(one.mean[:-1]).sum() > 50


def squares(rate, t_s, v_mV):
    """The least sum of squares of v = y0 + a exp(-rate t), over y0 and a, in extended precision."""
    bend, v = np.expm1(-np.longdouble(rate) * t_s), v_mV - np.mean(v_mV, dtype=np.longdouble)
    bend = bend - bend.mean()
    return np.sum((v - np.sum(bend * v) / np.sum(bend**2) * bend) ** 2)


@pytest.mark.parametrize("noise_mV", [0.01, 0.5])
@pytest.mark.parametrize("dt_ms", [0.025, 0.1])
def test_tau_has_the_least_sum_of_squares(noise_mV, dt_ms):
    rng, count = np.random.default_rng(3), round(300 / dt_ms)
    t_ms = np.arange(count) * dt_ms
    for tau_ms in (3.0, 12.0, 60.0):
        fall = -15 * (1 - np.exp(-np.maximum(t_ms - 120, 0) / tau_ms))
        v_mV = -70 + fall + rng.normal(0, noise_mV, count)
        tau_s = extract(v_mV, dt_ms, WINDOW_MS, ["ipfx:tau"])["ipfx:tau"][0]
        begin, end = round(120 / dt_ms), round(250 / dt_ms)
        low = begin + int(np.argmin(v_mV[begin:end]))
        base = np.mean(v_mV[round(20 / dt_ms) : begin])
        first = begin + int(np.argmax(v_mV[begin:] <= 0.1 * (v_mV[low] - base) + base))
        t_s, v = np.arange(low - first) * np.longdouble(dt_ms) / 1e3, v_mV[first:low]
        least = squares(1 / tau_s, t_s, v)
        assert all(squares((1 + off) / tau_s, t_s, v) > least for off in (-0.1, -1e-4, -1e-7, 1e-7, 1e-4, 0.1))


def test_tau_is_found_in_a_stretch_that_hardly_bends():
    t_ms = np.arange(3000) * 0.01
    v_mV = -70 - 15 * (1 - np.exp(-np.maximum(t_ms - 20, 0) / 20.0))
    tau_s = extract(v_mV, 0.01, (20.0, 20.4), ["ipfx:tau"], {"ipfx": {"baseline_interval": 0.015}})["ipfx:tau"]
    assert tau_s == pytest.approx(0.02, rel=1e-6)


def test_why_there_is_no_number():
    def reason(v_mV, name, window_ms=WINDOW_MS, **more):
        return Reason(int(extract(v_mV, 0.1, window_ms, [f"ipfx:{name}"], **more).reason[0, 0]))

    flat = np.full(3000, -70.0)
    assert reason(flat, "upstroke") is Reason.NO_SPIKE and reason(flat, "avg_rate") is Reason.DEFINED
    assert reason(spikes(), "upstroke", (120.0, 400.0)) is Reason.OUTSIDE
    assert reason(spikes(), "avg_rate", (120.0, 400.0)) is Reason.OUTSIDE
    assert reason(spikes(), "v_baseline", (50.0, 200.0)) is Reason.OUTSIDE
    assert reason(spikes(), "input_resistance") is Reason.NO_STIMULUS
    assert reason(spikes(), "input_resistance", stimulus_nA=0.0) is Reason.NOT_FOUND
    assert reason(flat, "sag") is Reason.NOT_A_NUMBER
    assert reason(flat[:10], "upstroke", (0.1, 0.8)) is Reason.NO_SPIKE


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dv_cutof": 1.0}, "IPFX settings: there is no dv_cutof; there are .*dv_cutoff"),
        ({"dv_cutoff": 0.0}, "IPFX settings: dv_cutoff = 0.0; it has to be greater than 0"),
        ({"thresh_frac": 2.0}, "thresh_frac = 2.0; it has to be greater than 0 and at most 1"),
        ({"filter": -1.0}, "filter = -1.0; it has to be greater than 0, or 0 or None"),
        ({"pause_cost": -1.0}, "pause_cost = -1.0; it has to be 0 or more"),
    ],
)
def test_settings_that_cannot_be_meant(settings, said):
    with pytest.raises(ConfigError, match=said):
        ExtractSettings(ipfx=settings)
    with pytest.raises(ValueError, match=said):
        FeatureSettings(ipfx=settings)


def test_names_that_do_not_exist():
    with pytest.raises(ConfigError, match=r"there is no feature 'ipfx:upstrok'.*did you mean ipfx:upstroke"):
        extract(spikes(), 0.1, WINDOW_MS, ["ipfx:upstrok"])
    with pytest.raises(ConfigError, match=r"scores: IPFX has no feature ipfx:upstrok; did you mean ipfx:upstroke"):
        check_features(["ipfx:upstrok"], "scores")
    with pytest.raises(ConfigError, match=r"family = 'elephant'; accepted: 'efel', 'ipfx'"):
        feature_names("elephant")
    check_features(ALL)


def test_a_fit_reads_them_with_its_own_arguments():
    names = ["ipfx:upstroke", "AP_amplitude", "ipfx:v_baseline"]
    settings = FeatureSettings(ipfx={"baseline_interval": 0.05})
    values = features.extract(spikes(), 0.1, WINDOW_MS, names, settings)
    expected = extract(spikes(), 0.1, WINDOW_MS, names, {"ipfx": {"baseline_interval": 0.05}}).mean
    assert np.array_equal(values, expected) and features.all_ours(names, settings)
    assert not features.all_ours(names, FeatureSettings(backend="ipfx"))
    assert features.all_ours(names[1:2], FeatureSettings(backend="ipfx"))


def test_a_fit_scores_them(tiny):
    file = tiny(
        ("Spikecount = [2, 0.5]", '"ipfx:avg_rate" = [100, 20]\n"ipfx:upstroke" = [200, 20]'),
        ('features = ["Spikecount", ', 'features = ["ipfx:avg_rate", "ipfx:upstroke", '),
        ("[strategy]", "[features.ipfx]\nmin_peak = -20\n\n[strategy]"),
    )
    hpcfit.run(file, "folder", generations=2)
    last = Ledger.open(Path("folder")).read(1)
    rates = last.arrays["features"][:, 0]
    assert np.all(np.isfinite(rates)) and np.any(rates > 0) and np.all(np.isfinite(last.arrays["scores"]))


def test_a_fit_names_the_argument_that_ipfx_does_not_have(tiny):
    file = tiny(("[strategy]", "[features.ipfx]\nmin_peek = -20\n\n[strategy]"))
    with pytest.raises(ConfigError, match=r"fit.toml.*features.ipfx.*there is no min_peek; there are"):
        hpcfit.load(file)
