"""Run folders with made-up numbers, in the shape that a fit writes."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpcfit.population.ledger import Generation, Header, Ledger

Maker = Callable[..., Path]


def _header(parameters: int, terms: int, stimuli: int, name: str = "l5pc") -> Header:
    """Every third parameter on a log scale; terms dealt out to the stimuli in blocks."""
    low = np.where(np.arange(parameters) % 3 == 2, 1e-5, 0.0)
    return Header(
        settings={"name": name, "run": {"generations": 10, "seed": 1}, "penalties": {"cap": 25.0}},
        inputs={},
        tables={
            "parameters": {
                "name": np.array([f"gbar_{i}.somatic" for i in range(parameters)]),
                "unit": np.array(["S/cm2"] * (parameters - 1) + [""]),
                "low": low,
                "high": np.full(parameters, 0.1),
                "scale": np.where(low > 0, "log", "linear"),
            },
            "terms": {
                "stimulus": np.array([f"step_{i * stimuli // terms}" for i in range(terms)]),
                "site": np.array(["soma"] * terms),
                "feature": np.array([f"AP_feature_{i}" for i in range(terms)]),
                "mean": np.linspace(5.0, 50.0, terms),
                "sd": np.full(terms, 2.0),
                "weight": np.ones(terms),
                "sweeps": np.full(terms, 3),
            },
        },
        environment={"hpcfit": "0.1.0", "python": "3.11", "packages": {"numpy": "2.0"}},
    )


def physical(vectors: np.ndarray, table: dict) -> np.ndarray:
    """Unit cube to the parameters' own units."""
    low, high = table["low"], table["high"]
    with np.errstate(divide="ignore"):
        log = np.exp(np.log(np.where(low > 0, low, 1)) * (1 - vectors) + np.log(high) * vectors)
    return np.where(table["scale"] == "log", log, low + vectors * (high - low))


def _generation(number: int, head: Header, n: int = 20, mu: int = 6) -> Generation:
    """Nearer to the targets from generation to generation; two undefined features, one diverged individual."""
    p, t = len(head.tables["parameters"]["name"]), len(head.tables["terms"]["feature"])
    spread, rng = 0.5 / (1 + number), np.random.default_rng(number)
    vectors = np.clip(0.6 + spread * rng.standard_normal((n, p)), 0, 1)
    mean, sd = head.tables["terms"]["mean"], head.tables["terms"]["sd"]
    features = mean + sd * 12 * spread * rng.standard_normal((n, t))
    features[rng.integers(n), :] = np.nan
    features[:, t // 2] = np.nan if t > 2 else features[:, t // 2]
    features[:, t // 3] += 70 if t > 8 else 0
    contributions = np.where(np.isnan(features), 25.0, np.minimum(np.abs(features - mean) / sd, 25))
    scores = contributions.sum(axis=1)
    survivors = np.argsort(scores)[:mu]
    statuses = np.zeros((n, len(set(head.tables["terms"]["stimulus"]))), dtype=np.int8)
    statuses[np.isnan(features).all(axis=1)] = 1
    arrays = {
        "ids": np.arange(n) + 1000 * number,
        "vectors": vectors,
        "parameters": physical(vectors, dict(head.tables["parameters"])),
        "features": features,
        "contributions": contributions,
        "scores": scores,
        "statuses": statuses,
        "parents": np.full((n, 2), -1),
        "operators": np.zeros(n, dtype=np.int8),
        "survivor_ids": survivors + 1000 * number,
        "survivor_scores": scores[survivors],
        "survivor_vectors": vectors[survivors],
    }
    counts = {"evaluations": n, "undefined_features": int(np.isnan(features).sum())}
    counts |= {"diverged": int((statuses == 1).sum()), "deadline": number % 2, "crashed": 0, "error": 0}
    timings = {"simulate": 8.0, "score": 1.5, "evolve": 0.1, "write": 0.4, "total": 10.0}
    return Generation(number, arrays, counts, timings)


def write_best(folder: Path, stimuli: int, sites: tuple[str, ...] = ("soma",)) -> None:
    """Steps with a few spikes, and three recorded sweeps of each."""
    rng = np.random.default_rng(5)
    with h5py.File(folder / "best.h5", "w") as file:
        for index in range(stimuli):
            group = file.create_group(f"step_{index}")
            time = np.arange(0, 300, 0.1)
            pulse = ((time > 50) & (time < 250)).astype(float)
            spikes = np.clip(np.cos(2 * np.pi * time / (60 - 5 * (index % 8))), 0.9, 1) * 1000 - 900
            voltage = -80 + pulse * (20 + spikes)
            group["model_v_mV"] = np.stack([voltage * 0.8**i for i in range(len(sites))])
            group["current_nA"] = 0.1 * (index + 1) * pulse
            group["recorded_v_mV"] = np.stack([np.roll(voltage, k)[::2] for k in (20, 45, 70)]) + rng.normal(size=1500)
            group["recorded_v_mV"].attrs["recorded_dt_ms"] = 0.2
            group.attrs.update(
                {"dt_ms": 0.1, "sites": list(sites), "window_ms": (50.0, 250.0), "recorded_site": "soma"}
            )


@pytest.fixture(scope="session")
def make_header() -> Callable[..., Header]:
    """make_header(parameters, terms, stimuli, name): a ledger's header with made-up tables."""
    return _header


@pytest.fixture(scope="session")
def make_generation() -> Callable[..., Generation]:
    """make_generation(number, header, n, mu): a generation that fits the header."""
    return _generation


@pytest.fixture
def make_run(tmp_path: Path) -> Maker:
    """Writes a run folder: make_run(generations=4, parameters=6, terms=12, stimuli=3, best=True, n=20, name=...)."""

    def make(generations=4, parameters=6, terms=12, stimuli=3, best=True, n=20, mu=6, name="l5pc", sites=("soma",)):
        head = _header(parameters, terms, stimuli, name)
        folder = tmp_path / "run"
        ledger = Ledger.create(folder, head)
        for number in range(generations):
            # Generation 0 has another size, as `strategy.initial` allows.
            ledger.append(_generation(number, head, n + 5 * (number == 0), mu))
        if best and generations:
            write_best(folder, stimuli, sites)
        return folder

    return make
