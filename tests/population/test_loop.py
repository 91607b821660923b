"""Does a run stop at each of its ends, and does one that was cut and gone on with equal one that was not?"""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcfit.errors import StorageError
from hpcfit.evolve.choice import strategy_course
from hpcfit.population.ledger import Header, Ledger, same_numbers
from hpcfit.population.loop import Evaluation, Standing, run_generations
from hpcfit.settings import RunSettings, StrategySettings

pytestmark = pytest.mark.usefixtures("quick_disk")

HEADER = Header({}, {}, {})


class Countdown:
    """A course whose members and memory follow from the last generation alone: n members, then n + 1 and so on."""

    def __init__(self, first: int = 4) -> None:
        self.first = first

    def offspring(self, last):
        number = 0 if last is None else last.number + 1
        start = 0.0 if last is None else float(last.arrays["survivor_sum"][0])
        n = self.first + number
        return {"ids": np.arange(n) + 100 * number, "vectors": start + np.linspace(0, 1, 2 * n).reshape(n, 2)}

    def survivors(self, last, offspring, evaluation):
        before = 0.0 if last is None else last.arrays["survivor_sum"][0]
        return {"survivor_sum": np.array([before + np.nansum(evaluation.scores) / 7])}


def evaluate(vectors: np.ndarray) -> Evaluation:
    """One member in four has no score."""
    scores = np.where(np.arange(len(vectors)) % 4 == 3, np.nan, 10.0 - vectors.sum(axis=1))
    return Evaluation(scores, {"features": vectors * 2}, {"undefined": int(np.isnan(scores).sum())}, {"simulate": 0.25})


def falling(start: float) -> Callable[[np.ndarray], Evaluation]:
    """Each generation scores one less than the one before."""
    left = [start]

    def score(vectors):
        left[0] -= 1
        return Evaluation(np.full(len(vectors), left[0]))

    return score


def new(tmp_path: Path, name: str = "run") -> Ledger:
    return Ledger.create(tmp_path / name, HEADER)


# Ends


def test_it_stops_after_the_generations_asked_for(tmp_path):
    ledger = new(tmp_path)
    reason = run_generations(Countdown(), evaluate, ledger, RunSettings(generations=6))
    assert (reason, len(ledger)) == ("all 6 generations done", 6)
    assert run_generations(Countdown(), evaluate, ledger, RunSettings(generations=6)) == reason
    assert run_generations(Countdown(), evaluate, ledger, RunSettings(generations=3)) == "all 3 generations done"
    assert len(ledger) == 6


@settings(max_examples=30, deadline=None)
@given(most=st.integers(1, 40), generations=st.integers(1, 6))
def test_evaluations_are_never_exceeded(most, generations):
    evaluated = []
    with TemporaryDirectory() as folder:
        ledger = Ledger.create(Path(folder), HEADER)
        ends = RunSettings(generations=generations, evaluations=most)
        reason = run_generations(Countdown(3), lambda v: (evaluated.append(len(v)), evaluate(v))[1], ledger, ends)
        total = sum(len(generation.arrays["ids"]) for generation in ledger)
    fitting = [n for n in range(1, generations + 1) if sum(range(3, 3 + n)) <= most]
    assert total == sum(evaluated) <= most
    assert len(evaluated) == len(fitting)
    if len(evaluated) < generations:
        assert reason == f"{total} of {most} evaluations done; another generation would be too many"


@pytest.mark.parametrize(("target", "generations"), [(9.0, 1), (6.5, 4), (6.0, 4), (None, 8)])
def test_it_stops_when_the_target_is_reached(tmp_path, target, generations):
    ledger = new(tmp_path)
    reason = run_generations(Countdown(), falling(10), ledger, RunSettings(generations=8, target_score=target))
    assert len(ledger) == generations
    if target is not None:
        assert reason == f"best score {10 - generations} reached the target {target:g}"


def test_a_target_reached_earlier_counts_after_reopening(tmp_path):
    run_generations(Countdown(), falling(10), new(tmp_path), RunSettings(generations=4))
    ledger = Ledger.open(tmp_path / "run")
    reason = run_generations(Countdown(), falling(100), ledger, RunSettings(generations=9, target_score=6))
    assert (reason, len(ledger)) == ("best score 6 reached the target 6", 4)


@pytest.mark.parametrize("scores", [[np.nan, np.nan], [np.inf, np.inf], [-np.inf, 3.0]])
def test_what_is_no_score_reaches_no_target(tmp_path, scores):
    ledger = new(tmp_path)
    course = Countdown(2)
    ends = RunSettings(generations=1, target_score=0.0)
    standings = []
    run_generations(
        course, lambda v: Evaluation(np.array(scores)), ledger, ends, lambda g, standing: standings.append(standing)
    )
    assert standings[0].best == (3.0 if 3.0 in scores else np.inf)


def slow(seconds: float) -> Callable[[np.ndarray], Evaluation]:
    def score(vectors):
        time.sleep(seconds)
        return evaluate(vectors)

    return score


def test_it_stops_before_a_generation_that_would_take_too_long(tmp_path):
    ledger, start = new(tmp_path), time.monotonic()
    reason = run_generations(Countdown(), slow(0.2), ledger, RunSettings(generations=99, wall_clock_s=0.9))
    assert time.monotonic() - start < 0.9 + 1.0
    assert 2 <= len(ledger) <= 4
    assert reason.startswith(("0 of 0.9 s used; another generation may take 0.", "1 of 0.9 s used; another"))


def test_the_slowest_generation_is_the_measure_also_after_reopening(tmp_path):
    run_generations(Countdown(), slow(0.4), new(tmp_path), RunSettings(generations=1))
    ledger = Ledger.open(tmp_path / "run")
    run_generations(Countdown(), slow(0.01), ledger, RunSettings(generations=99, wall_clock_s=0.39))
    assert len(ledger) == 1
    run_generations(Countdown(), slow(0.01), ledger, RunSettings(generations=99, wall_clock_s=0.6))
    assert 1 < len(ledger) < 99


def test_the_wall_clock_begins_anew_with_every_process(tmp_path):
    for _ in range(2):
        ledger = new(tmp_path) if not (tmp_path / "run").exists() else Ledger.open(tmp_path / "run")
        before = len(ledger)
        run_generations(Countdown(), slow(0.1), ledger, RunSettings(generations=99, wall_clock_s=0.35))
        assert len(ledger) > before


# What is recorded


def test_all_arrays_counts_and_timings_are_recorded(tmp_path):
    ledger, start = new(tmp_path), time.monotonic()
    run_generations(Countdown(), slow(0.05), ledger, RunSettings(generations=3))
    elapsed = time.monotonic() - start
    for generation in Ledger.open(tmp_path / "run"):
        assert set(generation.arrays) == {"ids", "vectors", "features", "scores", "survivor_sum"}
        assert generation.arrays["scores"].tobytes() == evaluate(generation.arrays["vectors"]).scores.tobytes()
        assert generation.counts == {"undefined": 1}
        assert set(generation.timings_s) == {"simulate", "evolve", "write", "write_hidden", "total"}
        assert generation.timings_s["simulate"] == 0.25
        assert 0.05 <= generation.timings_s["total"] <= elapsed
    assert ledger.read(0).timings_s["write"] == 0.0
    assert ledger.read(0).timings_s["write_hidden"] == 0.0
    assert all(ledger.read(number).timings_s["write_hidden"] > 0 for number in (1, 2))
    assert sum(generation.timings_s["total"] for generation in ledger) <= elapsed


def test_the_caller_is_told_once_what_is_written_is_on_disk(tmp_path):
    ledger, told = new(tmp_path), []

    def after(generation, standing):
        assert len(Ledger.open(tmp_path / "run")) == generation.number + 1
        told.append((generation.number, standing.generations, standing.evaluations, standing.best))

    run_generations(Countdown(2), falling(3), ledger, RunSettings(generations=3), after)
    assert told == [(0, 1, 2, 2.0), (1, 2, 5, 1.0), (2, 3, 9, 0.0)]


class SlowDisk:
    """A ledger whose every generation takes a while, or fails."""

    def __init__(self, ledger: Ledger, seconds: float, fails_at: int | None = None) -> None:
        self._ledger, self._seconds, self._fails_at = ledger, seconds, fails_at
        self.flying = self.most = 0

    def __getattr__(self, name):
        return getattr(self._ledger, name)

    def __iter__(self):
        return iter(self._ledger)

    def append(self, generation):
        self.flying += 1
        self.most = max(self.most, self.flying)
        time.sleep(self._seconds)
        self.flying -= 1
        if generation.number == self._fails_at:
            raise StorageError("ledger.h5: no space left")
        self._ledger.append(generation)


def test_a_generation_is_written_while_the_next_one_is_simulated(tmp_path):
    disk = SlowDisk(new(tmp_path), 0.15)
    seen = []

    def score(vectors):
        seen.append((disk.flying, len(disk._ledger)))
        time.sleep(0.15)
        return evaluate(vectors)

    start = time.monotonic()
    run_generations(Countdown(), score, disk, RunSettings(generations=6))  # type: ignore[arg-type]
    assert time.monotonic() - start < 6 * 0.3 - 0.3, "in turn it would take 1.8 s"
    # While generation g is simulated, at least the first g - 1 are on disk and g - 1 is on its way.
    assert all(number - 1 <= held <= number for number, (_, held) in enumerate(seen))
    assert disk.most == 1 and len(Ledger.open(tmp_path / "run")) == 6
    hidden = [generation.timings_s["write_hidden"] for generation in Ledger.open(tmp_path / "run")]
    assert sum(hidden[1:]) > 3 * 0.15


def test_a_write_that_fails_is_the_users_error_and_the_next_generation_is_dropped(tmp_path):
    evaluated, told = [], []
    with pytest.raises(StorageError, match="no space left"):
        run_generations(
            Countdown(),
            lambda vectors: (evaluated.append(len(vectors)), evaluate(vectors))[1],
            SlowDisk(new(tmp_path), 0.05, fails_at=2),  # type: ignore[arg-type]
            RunSettings(generations=9),
            lambda generation, standing: told.append(generation.number),
        )
    assert told == [0, 1] and len(evaluated) in (3, 4), "simulated at most the one after"
    ledger = Ledger.open(tmp_path / "run")
    assert len(ledger) == 2
    run_generations(Countdown(), evaluate, ledger, RunSettings(generations=5))
    whole = new(tmp_path, "whole")
    run_generations(Countdown(), evaluate, whole, RunSettings(generations=5))
    assert same_numbers(whole, ledger) == []


def test_ctrl_c_while_one_is_written_and_the_next_simulated_keeps_the_first(tmp_path):
    told = []

    def score(vectors):
        if len(vectors) == 6:  # generation 2, while 1 is being written
            raise KeyboardInterrupt
        return evaluate(vectors)

    disk = SlowDisk(new(tmp_path), 0.1)
    with pytest.raises(KeyboardInterrupt):
        run_generations(
            Countdown(),
            score,
            disk,
            RunSettings(generations=9),
            lambda generation, _: told.append(generation.number),  # type: ignore[arg-type]
        )
    assert len(Ledger.open(tmp_path / "run")) == 2 and told == [0, 1]


def test_the_standing_keeps_the_best_and_the_slowest(make_generation):
    standing = Standing()
    for number in (3, 1, 2):
        standing = standing.after(make_generation(number))
    scores = np.concatenate([make_generation(number).arrays["scores"] for number in (3, 1, 2)])
    assert standing == Standing(3, 9, float(np.nanmin(scores)), 3.5)


# Cut and gone on with


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 7), max_size=5))
def test_any_number_of_interruptions_changes_nothing(cuts):
    with TemporaryDirectory() as folder:
        whole = Ledger.create(Path(folder) / "whole", HEADER)
        run_generations(Countdown(), evaluate, whole, RunSettings(generations=8))
        Ledger.create(Path(folder) / "cut", HEADER)
        for stop in [*sorted(cuts), 8]:
            run_generations(
                Countdown(), evaluate, Ledger.open(Path(folder) / "cut"), RunSettings(generations=max(stop, 1))
            )
        assert same_numbers(whole, Ledger.open(Path(folder) / "cut")) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, StorageError])
@pytest.mark.parametrize("where", ["evaluate", "on_generation"])
def test_an_error_leaves_whole_generations_that_can_be_gone_on_with(tmp_path, error, where):
    calls = []

    def third_time(*_):
        calls.append(0)
        if len(calls) == 3:
            raise error("now")

    told = {"on_generation": third_time} if where == "on_generation" else {}
    score = evaluate if told else lambda vectors: (third_time(), evaluate(vectors))[1]
    with pytest.raises(error, match="now"):
        run_generations(Countdown(), score, new(tmp_path), RunSettings(generations=5), **told)
    ledger = Ledger.open(tmp_path / "run")
    assert len(ledger) == (3 if told else 2)
    run_generations(Countdown(), evaluate, ledger, RunSettings(generations=5))
    whole = new(tmp_path, "whole")
    run_generations(Countdown(), evaluate, whole, RunSettings(generations=5))
    assert same_numbers(whole, ledger) == []


# With the genetic algorithm


def sphere(vectors: np.ndarray) -> Evaluation:
    scores = np.sum((vectors - 0.3) ** 2, axis=1)
    # A failed simulation now and then, by what the vector is.
    return Evaluation(np.where(vectors[:, 0] > 0.9, np.nan, scores))


def fit(ledger: Ledger, generations: int, kind: str, seed: int) -> None:
    strategy = StrategySettings(kind=kind, parents=4, offspring=10, initial=13)
    run_generations(strategy_course(strategy, 3, seed), sphere, ledger, RunSettings(generations=generations))


@settings(max_examples=20, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 11), max_size=4),
    kind=st.sampled_from(["mu_plus_lambda", "mu_comma_lambda"]),
    seed=st.integers(0, 2**31),
    merges=st.booleans(),
)
def test_a_genetic_algorithm_cut_anywhere_equals_one_that_was_not(cuts, kind, seed, merges):
    with TemporaryDirectory() as folder:
        whole = Ledger.create(Path(folder) / "whole", HEADER)
        fit(whole, 12, kind, seed)
        Ledger.create(Path(folder) / "cut", HEADER)
        for stop in [*sorted(cuts), 12]:
            ledger = Ledger.open(Path(folder) / "cut")
            fit(ledger, stop, kind, seed)
            if merges:
                ledger.merge()
        assert len(whole) == 12
        assert same_numbers(whole, Ledger.open(Path(folder) / "cut")) == []


def test_the_genetic_algorithm_gets_better_and_another_seed_gives_other_numbers(tmp_path):
    one, other = new(tmp_path, "one"), new(tmp_path, "other")
    fit(one, 25, "mu_plus_lambda", 1)
    fit(other, 25, "mu_plus_lambda", 2)
    first, last = (np.nanmin(one.read(number).arrays["survivor_scores"]) for number in (0, 24))
    assert last < first / 5
    assert same_numbers(one, other) != []
