"""Is every kind of strategy chosen by its settings, does each option matter, and does a run cut anywhere go on as one
that was not?
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from hpcfit.evolve.choice import strategy_course
from hpcfit.population.ledger import Header, Ledger, same_numbers
from hpcfit.population.loop import Evaluation, run_generations
from hpcfit.settings import KINDS, AnyStrategySettings, RunSettings

HEADER = Header({}, {}, {})
GENERATIONS = 24
SETTINGS: TypeAdapter[Any] = TypeAdapter(AnyStrategySettings)
SMALL = {
    "mu_plus_lambda": {"parents": 4, "offspring": 10, "initial": 13},
    "mu_comma_lambda": {"parents": 4, "offspring": 10},
    "ibea": {"parents": 6, "offspring": 8, "initial": 9},
    "nsga2": {"parents": 6, "offspring": 8},
    "cma_es": {"population": 15, "restart_score": 1e-3, "restart_step": 0.1},  # so that it restarts within the test
    "particle_swarm": {"population": 7},
    "differential_evolution": {"population": 7},
}
CHANGES = [
    ("ibea", {"parents": 5}),
    ("ibea", {"offspring": 9}),
    ("ibea", {"initial": 8}),
    ("ibea", {"tournament": 2}),
    ("ibea", {"kappa": 1.0}),
    ("ibea", {"crossover": {"rate": 0.4}}),
    ("ibea", {"mutation": {"kind": "uniform"}}),
    ("nsga2", {"tournament": 4}),
    ("nsga2", {"mutation": {"eta": 5}}),
    ("cma_es", {"population": 16}),
    ("cma_es", {"step": 0.2}),
    ("cma_es", {"active": False}),
    ("cma_es", {"restarts": 0}),
    ("cma_es", {"restart_scheme": "bipop"}),
    ("cma_es", {"restart_score": 3.0}),
    ("cma_es", {"restart_step": 0.2}),
    ("particle_swarm", {"population": 8}),
    ("particle_swarm", {"inertia": 0.5}),
    ("particle_swarm", {"cognitive": 1.0}),
    ("particle_swarm", {"social": 1.0}),
    ("particle_swarm", {"neighbours": "ring"}),
    ("differential_evolution", {"population": 8}),
    ("differential_evolution", {"variant": "rand_1"}),
    ("differential_evolution", {"variant": "best_1"}),
    ("differential_evolution", {"scale": [0.4, 0.6]}),
    ("differential_evolution", {"crossover_rate": 0.4}),
    ("differential_evolution", {"best_fraction": 0.6}),
]


@pytest.fixture(scope="module", autouse=True)
def quick_disk():
    """Flushes nothing: whether a crash of the machine leaves whole files is asked elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: None)
        yield


def evaluate(vectors: np.ndarray) -> Evaluation:
    """Two objectives, one of them rough; a failed simulation now and then, by what the vector is."""
    terms = np.stack([np.sum((vectors - 0.3) ** 2, axis=1), np.round(4 * np.abs(vectors[:, 0] - 0.6))], axis=1)
    terms[vectors[:, 0] > 0.95] = np.nan
    return Evaluation(terms.sum(axis=1), {"contributions": terms})


def fit(ledger: Ledger, generations: int, table: dict, seed: int = 1) -> None:
    course = strategy_course(SETTINGS.validate_python(table), 3, seed, lambda arrays: arrays["contributions"])
    run_generations(course, evaluate, ledger, RunSettings(generations=generations))


def table_of(kind: str, **changes: Any) -> dict:
    return {"kind": kind, **SMALL[kind], **changes}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=4, deadline=None)
@given(cuts=st.lists(st.integers(1, GENERATIONS - 1), max_size=3), seed=st.integers(0, 2**31), merges=st.booleans())
def test_a_run_cut_anywhere_equals_one_that_was_not(kind, cuts, seed, merges):
    with TemporaryDirectory() as folder:
        whole = Ledger.create(Path(folder) / "whole", HEADER)
        fit(whole, GENERATIONS, table_of(kind), seed)
        Ledger.create(Path(folder) / "cut", HEADER)
        for stop in [*sorted(cuts), GENERATIONS]:
            ledger = Ledger.open(Path(folder) / "cut")
            fit(ledger, stop, table_of(kind), seed)
            if merges:
                ledger.merge()
        assert len(whole) == GENERATIONS
        assert same_numbers(whole, Ledger.open(Path(folder) / "cut")) == []


def test_the_run_above_is_cut_across_restarts(tmp_path):
    ledger = Ledger.create(tmp_path, HEADER)
    fit(ledger, GENERATIONS, table_of("cma_es"))
    assert ledger.read(GENERATIONS - 1).arrays["survivor_counts"][3] >= 1


@pytest.mark.parametrize("kind", KINDS)
def test_members_are_counted_through_and_stay_in_the_cube_and_the_seed_matters(kind, tmp_path):
    one, other = (Ledger.create(tmp_path / name, HEADER) for name in ("one", "other"))
    fit(one, 12, table_of(kind))
    fit(other, 12, table_of(kind), seed=2)
    ids = np.concatenate([generation.arrays["ids"] for generation in one])
    vectors = np.concatenate([generation.arrays["vectors"] for generation in one])
    assert np.array_equal(ids, np.arange(len(ids)))
    assert vectors.min() >= 0.0 and vectors.max() <= 1.0
    for generation in one:
        n, arrays = len(generation.arrays["ids"]), generation.arrays
        assert arrays["parents"].shape == (n, 2) and arrays["parents"].max() < arrays["ids"][0]
        # The survivors are members of the run, with their scores.
        rows = arrays["survivor_ids"]
        assert np.array_equal(vectors[rows], arrays["survivor_vectors"])
    assert not np.array_equal(one.read(1).arrays["vectors"], other.read(1).arrays["vectors"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_strategy_gets_better(kind, tmp_path):
    # The least of the smooth objective where the rough one is 0: at |x0 - 0.6| = 1 / 8.
    ledger, least = Ledger.create(tmp_path, HEADER), (0.6 - 0.125 - 0.3) ** 2
    fit(ledger, 40, {"kind": kind})
    best = [np.nanmin(generation.arrays["scores"]) for generation in ledger]
    assert min(best) - least < 0.2 * (best[0] - least)


@pytest.mark.parametrize(("kind", "change"), CHANGES, ids=str)
def test_every_option_changes_something(kind, change, tmp_path):
    one, other = (Ledger.create(tmp_path / name, HEADER) for name in ("one", "other"))
    fit(one, GENERATIONS, table_of(kind))
    fit(other, GENERATIONS, table_of(kind, **change))
    assert same_numbers(one, other) != []


def test_every_option_is_in_the_list_above():
    from hpcfit import settings as tables

    kinds = {
        "ibea": tables.MultiObjectiveSettings,
        "cma_es": tables.CmaEsSettings,
        "particle_swarm": tables.ParticleSwarmSettings,
        "differential_evolution": tables.DifferentialEvolutionSettings,
    }
    for kind, model in kinds.items():
        listed = {option for of, change in CHANGES for option in change if of == kind}
        assert listed == set(model.model_fields) - {"kind", "objectives", "islands"}, (
            kind
        )  # objectives: tests/biophys; islands: test_islands


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_generation_is_what_the_settings_say(kind, tmp_path):
    table = table_of(kind) | ({"restarts": 0} if kind == "cma_es" else {})
    ledger = Ledger.create(tmp_path, HEADER)
    fit(ledger, 3, table)
    sizes = [len(generation.arrays["ids"]) for generation in ledger]
    said = SETTINGS.validate_python(table).largest_generation(3)
    assert max(sizes[1:]) <= said == max(table.get("initial", table.get("parents", 0)), max(sizes[1:]))


@pytest.mark.parametrize(("kind", "expected"), [("ibea", 4), ("nsga2", 2)])
def test_default_tournaments_are_those_of_the_originals(kind, expected, tmp_path):
    one, other = (Ledger.create(tmp_path / name, HEADER) for name in ("one", "other"))
    fit(one, 5, table_of(kind))
    fit(other, 5, table_of(kind, tournament=expected))
    assert same_numbers(one, other) == []
