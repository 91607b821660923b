"""Do islands evolve apart but for migration, does each strategy make of immigrants what it says, and is a run cut
anywhere the same?
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from deap import base, tools
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from hpcfit.config import Settings, validate
from hpcfit.errors import ConfigError
from hpcfit.evolve import Migration
from hpcfit.evolve.choice import strategy_course
from hpcfit.evolve.streams import island_seed
from hpcfit.population.ledger import Generation, Header, Ledger, same_numbers
from hpcfit.population.loop import Evaluation, run_generations
from hpcfit.settings import KINDS, AnyStrategySettings, RunSettings

HEADER = Header({}, {}, {})
SETTINGS: TypeAdapter[Any] = TypeAdapter(AnyStrategySettings)
GENERATIONS = 12
P = 3
SHARE = {
    "mu_plus_lambda": {"parents": 4, "offspring": 7, "initial": 9},
    "mu_comma_lambda": {"parents": 4, "offspring": 7},
    "ibea": {"parents": 4, "offspring": 7},
    "nsga2": {"parents": 4, "offspring": 7, "initial": 6},
    "cma_es": {"population": 8, "restart_score": 1e-3, "restart_step": 0.1},  # so that it restarts within the test
    "particle_swarm": {"population": 5},
    "differential_evolution": {"population": 5},
}
"""What each island has."""
SIZES = ("parents", "offspring", "initial", "population")
NEVER = 10**6


@pytest.fixture(scope="module", autouse=True)
def quick_disk():
    """Flushes nothing: whether a crash of the machine leaves whole files is asked elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: None)
        yield


def terms_of(vectors: np.ndarray) -> np.ndarray:
    """Two objectives, one of them rough; a failed simulation now and then, by what the vector is."""
    terms = np.stack([np.sum((vectors - 0.3) ** 2, axis=1), np.round(4 * np.abs(vectors[:, 0] - 0.6))], axis=1)
    terms[vectors[:, 0] > 0.95] = np.nan
    return terms


def evaluate(vectors: np.ndarray) -> Evaluation:
    terms = terms_of(vectors)
    return Evaluation(terms.sum(axis=1), {"contributions": terms})


def spread(kind: str, count: int, **islands: Any) -> dict:
    """The table of `count` islands, each of the size above."""
    share = {name: value * count if name in SIZES else value for name, value in SHARE[kind].items()}
    return {"kind": kind, **share, "islands": {"count": count, "migrants": 1, **islands}}


def course_of(table: dict, seed: int = 1) -> Any:
    return strategy_course(SETTINGS.validate_python(table), P, seed, lambda arrays: arrays["contributions"])


def fit(ledger: Ledger, generations: int, table: dict, seed: int = 1) -> list[Generation]:
    run_generations(course_of(table, seed), evaluate, ledger, RunSettings(generations=generations))
    return list(ledger)


def new(folder: Path, name: str) -> Ledger:
    return Ledger.create(folder / name, HEADER)


STATES = {
    3: ("vectors", "scores", "ids"),
    4: ("vectors", "scores", "ids", "objectives"),
    5: ("positions", "velocities", "vectors", "scores", "ids"),
    10: ("mean", "step", "covariance", "paths", "counts", "regime", "history", "vectors", "scores", "ids"),
}
"""The arrays of a state, in the order in which survivor_rows counts them, by their number."""


def part_of(generation: Generation, island: int, name: str) -> np.ndarray:
    """The rows of one island in survivor_NAME."""
    rows = generation.arrays["survivor_rows"]
    ends = np.cumsum(rows[:, STATES[rows.shape[1]].index(name)])
    return np.split(generation.arrays[f"survivor_{name}"], ends[:-1])[island]


@pytest.mark.parametrize("kind", KINDS)
def test_one_island_has_the_numbers_of_none(kind, tmp_path):
    plain = fit(new(tmp_path, "plain"), GENERATIONS, {"kind": kind, **SHARE[kind]})
    one = fit(new(tmp_path, "one"), GENERATIONS, spread(kind, 1, every=1, migrants=3, topology="complete"))
    for before, after in zip(plain, one, strict=True):
        assert set(after.arrays) - set(before.arrays) == {"island", "survivor_rows"}
        for name, array in before.arrays.items():
            assert array.tobytes() == after.arrays[name].tobytes(), (before.number, name)
            assert (array.shape, array.dtype) == (after.arrays[name].shape, after.arrays[name].dtype), name


@pytest.mark.parametrize("kind", KINDS)
def test_without_migration_each_island_is_a_run_of_its_own(kind, tmp_path):
    # The oracle: the strategy alone, of the island's size, from the island's seed.
    together = fit(new(tmp_path, "together"), GENERATIONS, spread(kind, 3, every=NEVER), seed=5)
    for island in range(3):
        table = {"kind": kind, **SHARE[kind]}
        alone = fit(new(tmp_path, f"{island}"), GENERATIONS, table, seed=island_seed(5, island))
        for one, all_of_them in zip(alone, together, strict=True):
            rows = all_of_them.arrays["island"] == island
            for name in ("vectors", "operators", "scores"):
                assert np.array_equal(one.arrays[name], all_of_them.arrays[name][rows], equal_nan=True), name
            for name in ("vectors", "scores"):
                part = part_of(all_of_them, island, name)
                assert np.array_equal(one.arrays[f"survivor_{name}"], part, equal_nan=True), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_cut_after_every_generation_equals_one_that_was_not(kind, tmp_path):
    table = spread(kind, 3, every=2, topology="random")
    whole, cut = new(tmp_path, "whole"), new(tmp_path, "cut")
    fit(whole, GENERATIONS, table)
    for stop in range(1, GENERATIONS + 1):
        cut = Ledger.open(cut.folder)
        fit(cut, stop, table)
    assert len(whole) == GENERATIONS and same_numbers(whole, cut) == []


def test_the_run_above_is_cut_where_islands_have_restarted_apart(tmp_path):
    last = fit(new(tmp_path, "run"), GENERATIONS, spread("cma_es", 3, every=2))[-1]
    restarts = [part_of(last, island, "counts")[3] for island in range(3)]
    assert max(restarts) >= 1 and len(np.unique(np.bincount(last.arrays["island"]))) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_members_are_counted_through_and_immigrants_are_members_of_other_islands(kind, tmp_path):
    run = fit(new(tmp_path, "run"), GENERATIONS, spread(kind, 4, every=3))
    arrays = {name: np.concatenate([one.arrays[name] for one in run]) for name in ("ids", "vectors", "island")}
    assert np.array_equal(arrays["ids"], np.arange(len(arrays["ids"])))
    assert arrays["island"].dtype == np.int16 and set(arrays["island"]) == {0, 1, 2, 3}
    foreign = {}
    for generation in run:
        assert generation.arrays["parents"].max() < generation.arrays["ids"][0]
        for island in range(4):
            ids = part_of(generation, island, "ids")
            assert len(np.unique(ids)) == len(ids)
            assert np.array_equal(part_of(generation, island, "vectors"), arrays["vectors"][ids])
            strange = arrays["island"][ids] != island
            assert set(arrays["island"][ids[strange]]) <= {(island - 1) % 4, (island - 2) % 4, (island - 3) % 4}
            foreign[generation.number] = foreign.get(generation.number, 0) + int(strange.sum())
    assert not any(foreign[number] for number in (0, 1, 2)) and foreign[3] > 0


@settings(max_examples=20, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    topology=st.sampled_from(["ring", "random", "complete"]),
    seed=st.integers(0, 2**31),
)
def test_the_order_in_which_members_come_back_does_not_matter(kind, topology, seed):
    with TemporaryDirectory() as folder:
        course = course_of(spread(kind, 3, every=1, topology=topology), seed)
        ledger = Ledger.create(Path(folder) / "run", HEADER)
        run_generations(course, evaluate, ledger, RunSettings(generations=3))
        last = ledger.read(2)
        made = course.offspring(last)
        order = np.random.default_rng(seed).permutation(len(made["ids"]))
        straight = course.survivors(last, made, evaluate(made["vectors"]))
        other = course.survivors(last, {name: a[order] for name, a in made.items()}, evaluate(made["vectors"][order]))
        assert straight.keys() == other.keys()
        for name in straight:
            assert straight[name].tobytes() == other[name].tobytes(), name


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_comes_of_scores_that_are_none(kind, tmp_path):
    def nothing(vectors: np.ndarray) -> Evaluation:
        return Evaluation(np.full(len(vectors), np.nan), {"contributions": np.full((len(vectors), 2), np.nan)})

    ledger, table = new(tmp_path, "run"), spread(kind, 2, every=1)
    run_generations(course_of(table), nothing, ledger, RunSettings(generations=4))
    last = ledger.read(3)
    born = np.concatenate([one.arrays["island"] for one in ledger])
    for island in range(2):  # nobody without a score migrates
        assert np.all(born[part_of(last, island, "ids")] == island)


@pytest.mark.parametrize(
    "change", [{"count": 4}, {"every": 3}, {"migrants": 2}, {"topology": "complete"}, {"topology": "random"}], ids=str
)
def test_every_option_changes_something(change, tmp_path):
    table = {"parents": 24, "offspring": 24, "islands": {"count": 3, "every": 2, "migrants": 1}}
    changed = {**table, "islands": {**table["islands"], **change}}
    ledgers = new(tmp_path, "one"), new(tmp_path, "other")
    fit(ledgers[0], 8, table)
    fit(ledgers[1], 8, changed)
    assert same_numbers(*ledgers) != []


def test_topologies():
    def sources(topology, generation, islands=5, every=2):
        return Migration(every=every, migrants=1, topology=topology, seed=7).sources(generation, islands)

    for topology in ("ring", "random", "complete"):
        for generation in (0, 1, 3, 5):
            assert sources(topology, generation) == [[]] * 5
        assert sources(topology, 2, islands=1) == [[]]
    assert sources("ring", 2) == [[4], [0], [1], [2], [3]]
    assert sources("complete", 2, islands=3) == [[1, 2], [0, 2], [0, 1]]
    seen = set()
    for generation in range(2, 60, 2):
        (before,) = zip(*sources("random", generation), strict=True)
        walk = [0]
        while before[walk[-1]] != 0:
            walk.append(before[walk[-1]])
        assert sorted(walk) == [0, 1, 2, 3, 4]  # one ring through all
        seen.add(before)
    assert len(seen) > 10  # of the 24 that there are


class Minimum(base.Fitness):
    weights = (-1.0,)


class Individual(list):
    def __init__(self, number, score):
        super().__init__([number])
        self.fitness = Minimum((score,))


@pytest.mark.parametrize("migrants", [1, 3])
def test_a_ring_is_deaps(migrants):
    # Differential evolution whose trials all fail: nothing changes but by migration.
    n, count = 8, 4
    islands = {"count": count, "every": 1, "migrants": migrants}
    course = course_of({"kind": "differential_evolution", "population": n * count, "islands": islands})
    # Every island's best are better than any island's worst: DEAP does not ask, ours only takes who is better.
    rng = np.random.default_rng(1)
    scores = np.concatenate([rng.permutation(np.arange(island, n * count, count)) for island in range(count)]) * 1.0
    made = course.offspring(None)
    first = Generation(0, {**made, "scores": scores, **course.survivors(None, made, Evaluation(scores))})
    failed = Evaluation(np.full(n * count, np.nan))
    after = Generation(1, dict(course.survivors(first, course.offspring(first), failed)))
    theirs = [[Individual(i, scores[i]) for i in range(k * n, (k + 1) * n)] for k in range(count)]
    tools.migRing(theirs, migrants, tools.selBest, replacement=tools.selWorst)
    for island, population in enumerate(theirs):
        assert sorted(part_of(after, island, "ids")) == sorted(one[0] for one in population)
        assert np.array_equal(part_of(after, island, "scores"), scores[part_of(after, island, "ids")])


def test_an_islands_seed_is_its_own():
    seeds = {island_seed(seed, island) for seed in (0, 1, 2**32, 2**127) for island in range(50)}
    assert len(seeds) == 200 and all(0 <= seed < 2**128 for seed in seeds)
    assert island_seed(9, 0) == 9
    # Golden: a change here changes every published run.  numpy 2.4.6; regenerate by printing the left side.
    assert island_seed(1, 2) == 311086022297107183361763431820179668306


class Whole(Settings):
    """A file with nothing but a strategy."""

    strategy: AnyStrategySettings


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"parents": 50, "offspring": 100}, "parents = 50 cannot be shared out among islands.count = 4.*parents = 48"),
        ({"parents": 48, "offspring": 99}, "offspring = 99 cannot be shared out among islands.count = 4.*100"),
        ({"parents": 3, "offspring": 100}, "parents = 3 cannot be shared out.* at least 2; give parents = 8"),
        ({"parents": 4, "offspring": 8}, "parents = 4 cannot be shared out.* at least 2; give parents = 8"),
        ({"initial": 101, "parents": 48, "offspring": 8}, "initial = 101 cannot be shared out"),
        ({"kind": "ibea", "parents": 6, "offspring": 8}, "parents = 6 cannot be shared out"),
        ({"kind": "cma_es", "population": 12}, "population = 12 cannot be shared out.* at least 4; .* = 16"),
        ({"kind": "particle_swarm", "population": 4}, "population = 4 cannot .* at least 2; give population = 8"),
        ({"kind": "differential_evolution", "population": 8}, "population = 8 cannot .* at least 4"),
    ],
    ids=str,
)
def test_what_cannot_be_shared_out_is_refused(table, message):
    tables = {"strategy": {**table, "islands": {"migrants": 1}}}
    with pytest.raises(ConfigError, match=f"^fit.toml: strategy.*{message}") as caught:
        validate(Whole, tables, "fit.toml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"parents": 8, "offspring": 8}, r"islands.migrants = 2 brings 2 members .* remembers 2; lower .* at most 1"),
        (
            {"parents": 24, "offspring": 24, "islands": {"topology": "complete"}},
            r"islands.migrants = 2 brings 6 members .* remembers 6; .* at most 1",
        ),
        ({"kind": "cma_es"}, r"migrants = 2 brings 2 members .* remembers 2; lower migrants to at most 1"),
        ({"islands": {"count": 0}}, r"strategy.islands.count = 0: must be greater than or equal to 1"),
        ({"islands": {"every": 0}}, r"strategy.islands.every = 0: must be greater"),
        ({"islands": {"migrants": 0}}, r"strategy.islands.migrants = 0: must be greater"),
        ({"islands": {"migrants": 1.5}}, r"strategy.islands.migrants = 1.5: must be a whole number"),
        ({"islands": {"topology": "star"}}, r"strategy.islands.topology = 'star': must be 'ring', 'random' or"),
        ({"islands": {"number": 4}}, r"unknown key strategy.islands.number; known here: count, every, migrants"),
        ({"islands": 4}, r"strategy.islands = 4: must be a table"),
    ],
    ids=str,
)
def test_bad_settings_are_refused(table, message):
    tables = {"strategy": {"islands": {}, **table}}
    with pytest.raises(ConfigError, match=f"^fit.toml: .*{message}"):
        validate(Whole, tables, "fit.toml")


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_generation_is_what_the_settings_say(kind, tmp_path):
    table = spread(kind, 3) | ({"restarts": 0} if kind == "cma_es" else {})
    sizes = [len(one.arrays["ids"]) for one in fit(new(tmp_path, "run"), 3, table)]
    said = SETTINGS.validate_python(table).largest_generation(P)
    assert said == max(table.get("initial", table.get("parents", 0)), max(sizes[1:]))


def test_without_a_population_each_island_of_cma_es_has_the_default():
    said = SETTINGS.validate_python({"kind": "cma_es", "islands": {"count": 3, "migrants": 1}})
    assert said.largest_generation(15) == 36
    made = strategy_course(said, 15, 1).offspring(None)
    assert np.bincount(made["island"]).tolist() == [12, 12, 12]


@pytest.mark.parametrize(("kind", "option"), [({"every": 0}, "every"), ({"migrants": 0}, "migrants")])
def test_bad_migrations_are_refused(kind, option):
    with pytest.raises(ValueError, match=f"{option} = 0 is too small; give at least 1"):
        Migration(**({"every": 1, "migrants": 1, "seed": 1} | kind))
