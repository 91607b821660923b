"""Does the genetic algorithm keep its promises: identity, order, resuming, settings, progress?"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hpcfit.evolve import NO_PARENT, Crossover, GeneticAlgorithm, Mutation, Offspring, Operator, Strategy, Survivors
from hpcfit.evolve import ga as module
from hpcfit.evolve.breeding import Breeding
from hpcfit.evolve.streams import draws

CROSSOVERS = [Crossover("simulated_binary", 0.6), Crossover("uniform", 0.6)]
MUTATIONS = [Mutation("polynomial", 0.3, 0.5), Mutation("gaussian", 0.3, 0.5), Mutation("uniform", 0.3, 0.5)]
SURVIVALS = ["mu_plus_lambda", "mu_comma_lambda"]


def same(one: Offspring | Survivors, other: Offspring | Survivors) -> bool:
    """Whether all fields are equal to the last bit."""
    names = [f.name for f in fields(one)]
    return all(np.asarray(getattr(one, n)).tobytes() == np.asarray(getattr(other, n)).tobytes() for n in names)


def permuted(offspring: Offspring, order: np.ndarray) -> Offspring:
    rows = {f.name: getattr(offspring, f.name)[order] for f in fields(offspring) if f.name != "generation"}
    return replace(offspring, **rows)


def evolved(strategy: Strategy[Survivors], score, generations: int) -> list[tuple[Offspring, Survivors]]:
    """What was asked and what was remembered, generation by generation."""
    history, survivors = [], None
    for _ in range(generations):
        offspring = strategy.ask(survivors)
        survivors = strategy.tell(survivors, offspring, score(offspring.vectors))
        history.append((offspring, survivors))
    return history


def test_generation_zero_is_uniform(make_ga):
    born = make_ga(initial=20_000, dimensions=2).ask(None)
    assert (born.generation, born.vectors.shape) == (0, (20_000, 2))
    assert np.array_equal(born.ids, np.arange(20_000))
    assert np.all(born.parents == NO_PARENT)
    assert np.all(born.operator == Operator.INITIAL)
    assert min(stats.kstest(gene, "uniform").pvalue for gene in born.vectors.T) > 1e-6


def test_start_vectors_take_the_first_places(make_ga):
    start = np.linspace(0.0, 1.0, 10).reshape(2, 5)
    born, usual = make_ga().ask(None, start=start), make_ga().ask(None)
    assert np.array_equal(born.vectors[:2], start)
    assert np.array_equal(born.vectors[2:], usual.vectors[2:])


@pytest.mark.parametrize(("changes", "expected"), [({}, 30), ({"initial": 12}, 12), ({"offspring": 4}, 10)])
def test_size_of_generation_zero(make_ga, changes, expected):
    assert len(make_ga(**changes).ask(None).ids) == expected


def test_types_and_shapes(make_ga, make_survivors):
    born = make_ga().ask(make_survivors())
    assert (born.ids.dtype, born.parents.dtype, born.operator.dtype) == (np.int64, np.int64, np.int8)
    assert (born.vectors.dtype, born.vectors.shape, born.parents.shape) == (np.float64, (30, 5), (30, 2))


def test_ids_count_through_the_run(make_ga, sphere):
    history = evolved(make_ga(initial=25), sphere, 5)
    assert np.array_equal(np.concatenate([born.ids for born, _ in history]), np.arange(25 + 4 * 30))


@pytest.mark.parametrize("crossover", CROSSOVERS)
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_records_tell_the_truth(make_ga, make_survivors, crossover, mutation):
    survivors = make_survivors(generation=3)
    born = make_ga(crossover=crossover, mutation=mutation, offspring=500).ask(survivors)
    first = survivors.vectors[np.argsort(survivors.ids)][born.parents[:, 0]]
    unmoved = np.all(born.vectors == first, axis=1)
    crossed = born.operator == Operator.CROSSOVER
    assert born.generation == 4
    assert set(born.operator) == {Operator.CROSSOVER, Operator.MUTATION, Operator.REPRODUCTION}
    assert np.all(unmoved[born.operator == Operator.REPRODUCTION])
    assert unmoved[born.operator != Operator.REPRODUCTION].mean() < 0.1
    assert np.all(born.parents[crossed, 0] != born.parents[crossed, 1])
    assert np.all((born.parents[:, 1] == NO_PARENT) == ~crossed)
    if crossover.kind == "uniform":
        second = survivors.vectors[np.argsort(survivors.ids)][born.parents[:, 1]]
        assert np.all((born.vectors == first)[crossed] | (born.vectors == second)[crossed])


def test_members_do_not_depend_on_how_many_there_are(make_ga, make_survivors):
    few, many = (make_ga(offspring=n, initial=10).ask(make_survivors()) for n in (10, 50))
    assert same(few, permuted(many, np.arange(10)))


def test_members_do_not_depend_on_what_becomes_of_others(make_ga, make_survivors):
    rates = {"crossover": Crossover("simulated_binary", 0.4), "mutation": Mutation("polynomial", 0.5, 0.5)}
    one, other = make_ga(offspring=200).ask(make_survivors()), make_ga(offspring=200, **rates).ask(make_survivors())
    kept = np.flatnonzero(one.operator == other.operator)
    assert 100 < len(kept) < 200
    assert same(permuted(one, kept), permuted(other, kept))


def test_crossover_rate_of_zero_and_mutation_rate_of_zero_give_copies(make_ga, make_survivors):
    ga = make_ga(crossover=Crossover("uniform", 0.0), mutation=Mutation("uniform", 0.0, 1.0))
    survivors = make_survivors()
    born = ga.ask(survivors)
    assert np.all(born.operator == Operator.REPRODUCTION)
    assert np.array_equal(born.vectors, survivors.vectors[np.argsort(survivors.ids)][born.parents[:, 0]])


@settings(max_examples=30)
@given(
    st.sampled_from(CROSSOVERS),
    st.sampled_from(MUTATIONS),
    st.sampled_from(SURVIVALS),
    st.integers(0, 99),
    st.integers(1, 3),
)
def test_determinism_and_bounds(make_ga, sphere, crossover, mutation, survival, seed, tournament):
    ga = make_ga(crossover=crossover, mutation=mutation, survival=survival, seed=seed, tournament=tournament)
    one, other = evolved(ga, sphere, 4), evolved(ga, sphere, 4)
    for (born, kept), (again, kept_again) in zip(one, other, strict=True):
        assert same(born, again)
        assert same(kept, kept_again)
        assert np.all((born.vectors >= 0.0) & (born.vectors <= 1.0))


@settings(max_examples=50)
@given(
    st.sampled_from(SURVIVALS),
    st.permutations(range(30)),
    st.lists(st.sampled_from([0.0, 1.0, np.nan, np.inf]), min_size=30),
)
def test_order_of_offspring_does_not_matter(make_ga, make_survivors, survival, order, scores):
    ga, survivors = make_ga(survival=survival), replace(make_survivors(), ids=np.arange(10))
    born, scores = ga.ask(survivors), np.array(scores[:30])
    kept = ga.tell(survivors, born, scores)
    assert same(kept, ga.tell(survivors, permuted(born, np.array(order)), scores[order]))


@given(st.permutations(range(10)))
def test_order_of_survivors_does_not_matter(make_ga, make_survivors, order):
    survivors = make_survivors()
    shuffled = Survivors(0, survivors.vectors[order], survivors.scores[order], survivors.ids[order])
    assert same(make_ga().ask(survivors), make_ga().ask(shuffled))


@pytest.mark.parametrize("survival", SURVIVALS)
def test_resumed_run_equals_uninterrupted_run(make_ga, sphere, survival):
    history = evolved(make_ga(survival=survival), sphere, 8)
    # The ledger: all members in the order of their ids, of whom the survivors of generation 3 are looked up.
    vectors = np.concatenate([born.vectors for born, _ in history])
    alive = np.sort(history[3][1].ids)
    survivors = Survivors(3, vectors[alive], sphere(vectors)[alive], alive)
    for born, kept in history[4:]:
        offspring = make_ga(survival=survival).ask(survivors)
        survivors = make_ga(survival=survival).tell(survivors, offspring, sphere(offspring.vectors))
        assert same(offspring, born)
        assert same(survivors, kept)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from(MUTATIONS))
def test_best_score_never_gets_worse_with_plus(make_ga, seed, mutation):
    def noise(vectors):  # no landscape at all, so that nothing but elitism can keep the best; some members fail
        scores = np.random.default_rng(vectors.tobytes()[0] + seed).normal(size=len(vectors))
        return np.where(scores > 1.0, np.nan, scores)

    best = [kept.scores[0] for _, kept in evolved(make_ga(seed=seed, mutation=mutation), noise, 8)]
    assert np.all(np.diff(best) <= 0.0)


def test_comma_forgets_the_parents(make_ga, make_survivors):
    survivors = replace(make_survivors(), scores=np.full(10, -1.0))
    ga = make_ga(survival="mu_comma_lambda")
    born = ga.ask(survivors)
    kept = ga.tell(survivors, born, np.arange(30.0))
    assert np.array_equal(kept.ids, born.ids[:10])


def test_ties_go_to_the_older_and_failures_come_last(make_ga):
    ga = make_ga(parents=4, offspring=6)
    born = ga.ask(None)
    kept = ga.tell(None, born, np.array([np.nan, np.inf, np.nan, 1.0, 1.0, np.nan]))
    assert kept.ids.tolist() == [3, 4, 1, 0]
    assert np.array_equal(kept.vectors, born.vectors[[3, 4, 1, 0]])


@pytest.mark.parametrize("survival", SURVIVALS)
@pytest.mark.parametrize("mutation", MUTATIONS[:2])
def test_sphere_converges(make_ga, sphere, survival, mutation):
    history = evolved(make_ga(parents=20, offspring=60, survival=survival, mutation=mutation), sphere, 61)
    assert history[-1][1].scores[0] < history[0][1].scores[0] / 100


@pytest.mark.parametrize("size", [1, 2, 5])
def test_tournament_draws_the_best_of_several(make_ga, make_survivors, size):
    survivors, n = make_survivors(), 20_000
    ga = make_ga(
        tournament=size, offspring=n, crossover=Crossover("uniform", 1.0), mutation=Mutation("uniform", 0.0, 0.0)
    )
    rank_of = np.empty(10, dtype=int)
    rank_of[survivors.ids[np.argsort(survivors.scores)]] = np.arange(10)
    first, second = rank_of[ga.ask(survivors).parents].T

    def held(candidates):  # the slow twin: hold the tournaments
        return np.random.default_rng(0).integers(candidates, size=(n, size)).min(axis=1)

    others = second - (second > first)  # rank among those who are not the first parent
    for ours, theirs, most in ((first, held(10), 9), (others, held(9), 8)):
        counts = [np.bincount(ranks, minlength=most + 1) for ranks in (ours, theirs)]
        counts = [[*c[:4], c[4:].sum()] for c in counts]  # the last ranks hardly ever win
        assert max(ours) <= most
        result: Any = stats.chi2_contingency(counts)
        assert result.pvalue > 1e-6


CHANGES = {
    "dimensions": 4,
    "parents": 9,
    "offspring": 31,
    "survival": "mu_comma_lambda",
    "crossover": Crossover("uniform", 0.6),
    "mutation": Mutation("uniform", 0.3, 0.5),
    "seed": 4,
    "initial": 29,
    "tournament": 2,
    "distinct": 0.3,
}
CROSSOVER_CHANGES = {"kind": "uniform", "rate": 0.5, "eta": 19.0, "gene_rate": 0.6}
MUTATION_CHANGES = {"kind": "polynomial", "rate": 0.4, "gene_rate": 0.4, "eta": 19.0, "sigma": 0.11}


def test_every_option_is_in_the_lists_below():
    assert set(CHANGES) == {f.name for f in fields(GeneticAlgorithm)}
    assert set(CROSSOVER_CHANGES) == {f.name for f in fields(Crossover)}
    assert set(MUTATION_CHANGES) == {f.name for f in fields(Mutation)}


def differs(one: GeneticAlgorithm, other: GeneticAlgorithm, sphere) -> bool:
    pairs = zip(evolved(one, sphere, 4), evolved(other, sphere, 4), strict=True)
    return any(not np.array_equal(a.vectors, b.vectors) for (a, _), (b, _) in pairs)


@pytest.mark.parametrize("option", CHANGES)
def test_every_option_changes_something(make_ga, sphere, option):
    assert differs(make_ga(), make_ga(**{option: CHANGES[option]}), sphere)


@pytest.mark.parametrize("option", CROSSOVER_CHANGES)
def test_every_option_of_crossover_changes_something(make_ga, sphere, option):
    usual = {"kind": "simulated_binary", "rate": 0.6}
    changed = Crossover(**(usual | {option: CROSSOVER_CHANGES[option]}))
    assert differs(make_ga(crossover=Crossover(**usual)), make_ga(crossover=changed), sphere)


@pytest.mark.parametrize("option", MUTATION_CHANGES)
def test_every_option_of_mutation_changes_something(make_ga, sphere, option):
    usual = {"kind": "polynomial" if option == "eta" else "gaussian", "rate": 0.3, "gene_rate": 0.5}
    changed = Mutation(**(usual | {option: MUTATION_CHANGES[option]}))
    assert differs(make_ga(mutation=Mutation(**usual)), make_ga(mutation=changed), sphere)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"survival": "best"}, "survival = 'best' is unknown; choose one of mu_plus_lambda, mu_comma_lambda"),
        ({"dimensions": 0}, "dimensions = 0 is too small; give at least 1"),
        ({"parents": 0}, "parents = 0 is too small"),
        ({"offspring": 0}, "offspring = 0 is too small"),
        ({"tournament": 0}, "tournament = 0 is too small"),
        ({"seed": -1}, "seed = -1 is out of range"),
        ({"initial": 9}, "initial = 9 is smaller than parents = 10; raise initial to at least 10"),
        ({"offspring": 9, "survival": "mu_comma_lambda"}, "offspring = 9 is smaller than parents = 10.* at least 10"),
        ({"parents": 1}, "parents = 1 cannot be crossed; give at least 2 parents or crossover.rate = 0"),
        (
            {"mutation": Mutation("uniform", 0.5, 0.5)},
            "crossover.rate = 0.6 and mutation.rate = 0.5 add up to more than 1",
        ),
    ],
)
def test_bad_settings_are_refused(make_ga, changes, message):
    with pytest.raises(ValueError, match=message):
        make_ga(**changes)


def test_one_parent_can_mutate(make_ga, make_survivors):
    born = make_ga(parents=1, crossover=Crossover("uniform", 0.0)).ask(make_survivors(parents=1))
    assert set(born.operator) == {Operator.MUTATION, Operator.REPRODUCTION}
    assert np.all(born.parents == [0, NO_PARENT])


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (np.zeros((31, 5)), r"start vectors have shape \(31, 5\); give at most 30 rows of 5 columns"),
        (np.zeros((1, 4)), "give at most 30 rows of 5 columns"),
        (np.zeros(5), "give at most 30 rows of 5 columns"),
        (np.full((1, 5), 1.5), "start vectors leave the unit cube"),
        (np.full((1, 5), np.nan), "start vectors leave the unit cube"),
    ],
)
def test_bad_start_vectors_are_refused(make_ga, start, message):
    with pytest.raises(ValueError, match=message):
        make_ga().ask(None, start=start)


def test_bad_calls_are_refused(make_ga, make_survivors):
    ga, survivors = make_ga(), make_survivors()
    born = ga.ask(survivors)
    with pytest.raises(ValueError, match="start vectors were given for generation 1; give them for 0 only"):
        ga.ask(survivors, start=np.zeros((1, 5)))
    with pytest.raises(
        ValueError, match=r"shape \(9, 5\), parents and dimensions are \(10, 5\); resume with the settings"
    ):
        ga.ask(make_survivors(parents=9))
    with pytest.raises(ValueError, match=r"scores have shape \(29,\); give one score per offspring, \(30,\)"):
        ga.tell(survivors, born, np.zeros(29))
    with pytest.raises(ValueError, match="offspring are of generation 1, the survivors ask for 0"):
        ga.tell(None, born, np.zeros(30))
    with pytest.raises(ValueError, match=r"survivors have ids \(10,\), vectors \(10, 5\) and scores \(9,\)"):
        replace(survivors, scores=np.zeros(9))


def test_no_two_survivors_share_a_cell_while_there_are_others(make_ga):
    """Three copies of the best and one other: the copies come last, but survive for want of others."""
    ga = make_ga(dimensions=2, parents=3, offspring=5, distinct=0.1)
    vectors = np.array([[0.51, 0.51], [0.52, 0.53], [0.51, 0.51], [0.9, 0.1], [0.05, 0.95]])
    scores = np.array([1.0, 2.0, 1.0, 7.0, 9.0])
    made = replace(
        ga.ask(None), ids=np.arange(5), vectors=vectors, parents=np.full((5, 2), -1), operator=np.zeros(5, "i1")
    )
    assert ga.tell(None, made, scores).ids.tolist() == [0, 3, 4]
    assert replace(ga, distinct=0.0).tell(None, made, scores).ids.tolist() == [0, 2, 1]
    assert replace(ga, distinct=1e-300).tell(None, made, scores).ids.tolist() == [0, 1, 3], "cells beyond whole numbers"
    copies = replace(made, vectors=np.tile(vectors[:1], (5, 1)))
    assert ga.tell(None, copies, scores).ids.tolist() == [0, 2, 1]
    with pytest.raises(ValueError, match="distinct = 1"):
        replace(ga, distinct=1.0)


@settings(max_examples=50, deadline=None)
@given(
    rows=st.integers(0, 60), columns=st.integers(1, 4), values=st.integers(1, 4), collide=st.booleans(), data=st.data()
)
def test_the_first_of_equal_rows_is_found_also_where_hashes_collide(rows, columns, values, collide, data):
    row = st.lists(st.integers(-values, values), min_size=columns, max_size=columns)
    drawn = data.draw(st.lists(row, min_size=rows, max_size=rows))
    cells = np.array(drawn, np.int64).reshape(rows, columns)
    seen, first = set(), []
    for place, row in enumerate(map(tuple, cells)):
        if row not in seen:
            seen.add(row)
            first.append(place)
    with pytest.MonkeyPatch.context() as patch:
        if collide:
            patch.setattr(module, "_odd_numbers", lambda count: np.zeros(count, np.int64))
        assert sorted(module._first_of_each(cells)) == first


@pytest.mark.parametrize("crossover", CROSSOVERS)
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_offspring_made_in_parts_by_threads_are_those_made_in_one_piece(monkeypatch, crossover, mutation):
    breeding = Breeding(dimensions=5, parents=300, offspring=1003, crossover=crossover, mutation=mutation, seed=7)
    pool = np.random.default_rng(1).random((300, 5))
    whole = breeding.next(3, pool, np.arange(300))
    for part in (1, 7, 128, 1002):
        monkeypatch.setattr("hpcfit.evolve.breeding._PART", part)
        assert same(breeding.next(3, pool, np.arange(300)), whole)


@settings(max_examples=50, deadline=None)
@given(first=st.integers(0, 50), members=st.integers(0, 20), columns=st.integers(1, 5))
def test_a_part_of_the_draws_is_that_part_of_all(first, members, columns):
    whole = draws(9, 2, "some", (first + members, columns))
    assert draws(9, 2, "some", (members, columns), first).tobytes() == whole[first:].tobytes()
