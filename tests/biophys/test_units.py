"""Do units cover the population once, fit into memory together, and come in the order that ends first?"""

from dataclasses import dataclass, field
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcfit.biophys.engines.memory import Memory
from hpcfit.biophys.settings import EngineSettings
from hpcfit.biophys.units import BLOCK, units
from hpcfit.errors import EngineError

NAMES = tuple("abcdefgh")


@dataclass
class Engine:
    """Takes so many bytes of result for an individual and stimulus."""

    settings: EngineSettings
    at_once: int = 16
    result: dict[str, int] = field(default_factory=dict)

    def memory(self, population, stimuli, record="traces"):
        return Memory(100, population * sum(self.result.get(name, 1000) for name in stimuli), 200)


def engine(workers=2, memory=2**40, **more):
    return Engine(EngineSettings(workers=workers, memory_GiB=memory / 2**30), **more)


def pairs(found, population):
    return [(row, name) for unit in found for row in range(population)[unit.rows] for name in unit.stimuli]


@settings(max_examples=200)
@given(
    population=st.integers(1, 400),
    stimuli=st.integers(1, 8),
    workers=st.integers(1, 70),
    at_once=st.sampled_from([1, 8, 16, 32]),
    in_flight=st.integers(1, 5),
    memory=st.integers(20_000, 4_000_000),
    sizes=st.lists(st.integers(1, 2000), min_size=8, max_size=8),
)
def test_every_individual_and_stimulus_once_and_never_too_much_memory(
    population, stimuli, workers, at_once, in_flight, memory, sizes
):
    made = engine(workers, memory, at_once=at_once, result=dict(zip(NAMES, sizes, strict=True)))
    names = NAMES[:stimuli]
    try:
        found = units(made, population, names, in_flight)
    except EngineError:
        assert made.memory(1, names).total > memory
        return
    assert sorted(pairs(found, population)) == [(row, name) for row in range(population) for name in names]
    assert [unit.portion for unit in found] == sorted(unit.portion for unit in found)
    size = found[0].rows.stop
    for k in range(len(found)):
        there = [made.memory(unit.rows.stop - unit.rows.start, unit.stimuli) for unit in found[k : k + in_flight]]
        needed = sum(one.results for one in there) + 300
        assert needed <= memory or size == 1
    wanted = 4 * workers * max(at_once, BLOCK)
    if len({unit.stimuli for unit in found}) > 1:  # a group is no smaller than the simulators need
        assert min(len(unit.stimuli) for unit in found) * size >= wanted
    if size >= wanted:
        assert {len(unit.stimuli) for unit in found} == {1}


@pytest.mark.parametrize(
    ("workers", "population", "groups"),
    [(2, 256, 8), (8, 256, 4), (64, 256, 1), (64, 10_000, 8), (1, 40, 4)],
)
def test_a_stimulus_is_a_unit_unless_cores_would_idle(workers, population, groups):
    assert len(units(engine(workers), population, NAMES, 3)) == groups


def makespan(jobs):
    """When the second of two stages that take jobs in this order is done."""
    first = second = 0.0
    for a, b in jobs:
        first += a
        second = max(first, second) + b
    return second


@settings(max_examples=100)
@given(times=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=5))
def test_no_other_order_ends_earlier(times):
    names = NAMES[: len(times)]
    seconds = {(name,): (float(a), float(b)) for name, (a, b) in zip(names, times, strict=True)}
    found = units(engine(), 4000, names, 3, seconds)
    order = [seconds[unit.stimuli] for unit in found]
    assert makespan(order) == min(makespan(some) for some in permutations(order))


def test_without_times_the_order_is_the_files():
    assert [unit.stimuli for unit in units(engine(), 4000, "cab", 3)] == [("c",), ("a",), ("b",)]
    assert [unit.stimuli for unit in units(engine(), 4000, "cab", 3, {("c",): (1.0, 9.0)})] == [("c",), ("a",), ("b",)]


def test_portions_keep_one_size():
    found = units(engine(1, 90_000), 100, "ab", 3)
    sizes = list({unit.portion: unit.rows.stop - unit.rows.start for unit in found}.values())
    assert len(sizes) > 1 and set(sizes[:-1]) == {sizes[0]} and sizes[-1] <= sizes[0] and np.sum(sizes) == 100
    assert all(one.portion <= two.portion <= one.portion + 1 for one, two in pairwise(found))
