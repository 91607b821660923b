"""Do all executors keep the same promise: outcomes in the order of the tasks, and one task's failure its own?"""

import os
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcfit.errors import EngineError, InputError
from hpcfit.population.executor import Fate, Task
from hpcfit.run.processes import Processes, available_cores
from hpcfit.run.serial import Serial


def test_no_tasks_no_outcomes(executor):
    assert executor.map([]) == []


def test_outcomes_come_in_the_order_of_the_tasks(executor, task):
    # The first takes longest, so with more than one worker it ends last.
    outcomes = executor.map([task("sleep", 0.3 - 0.1 * i, i) for i in range(3)])
    assert [outcome.value for outcome in outcomes] == [0, 1, 2]
    assert {outcome.fate for outcome in outcomes} == {Fate.DONE}
    assert [outcome.reason for outcome in outcomes] == ["", "", ""]
    assert outcomes[0].seconds == pytest.approx(0.3, abs=0.25)


def test_any_number_of_tasks(executor, task):
    for n in (1, 2, 3, 4, 7):
        assert [outcome.value for outcome in executor.map([task("double", i) for i in range(n)])] == [
            2 * i for i in range(n)
        ]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.array([np.nan, -0.0, np.inf]),
        np.empty((0, 4)),
        np.arange(12, dtype=np.int8)[::3],
        np.float32(1.5) * np.ones((3, 2), order="F", dtype=np.float32),
    ],
)
def test_arrays_arrive_as_they_are(executor, task, array):
    (outcome,) = executor.map([task("double", array)])
    assert (outcome.value.dtype, outcome.value.shape) == (array.dtype, array.shape)
    assert outcome.value.tobytes() == (array * 2).tobytes()


def test_what_a_task_raises_is_its_outcome(executor, task):
    good, bad, also_good = executor.map([task("double", 1), task("fail", "by nought"), task("double", 2)])
    assert (bad.fate, bad.value, bad.reason) == (Fate.FAILED, None, "ZeroDivisionError: by nought")
    assert (good.value, also_good.value) == (2, 4)


@pytest.mark.parametrize(("method", "reason"), [("nonsense", "AttributeError"), ("double", "TypeError")])
def test_a_wrong_call_is_a_failed_task(executor, task, method, reason):
    (outcome,) = executor.map([task(method)])
    assert outcome.fate == Fate.FAILED
    assert outcome.reason.startswith(reason)


def test_the_users_error_in_a_factory_reaches_the_caller(executor, task):
    with pytest.raises(InputError, match=r"cell\.asc: no such file"):
        executor.map([task("double", 1), task("double", 1, service="refused")])
    assert executor.map([task("double", 4)])[0].value == 8


def test_the_users_error_in_a_task_reaches_the_caller(executor, task):
    with pytest.raises(InputError, match="no such section"):
        executor.map([task("double", 1), task("complain", "no such section"), task("double", 2)])
    assert executor.map([task("double", 4)])[0].value == 8


def test_a_mistake_in_a_factory_is_an_engine_error_at_once(executor, task):
    start = time.monotonic()
    with pytest.raises(EngineError, match="service broken cannot be built: KeyError: 'soma'"):
        executor.map([task("double", 1, service="broken")])
    assert time.monotonic() - start < 5


def test_a_service_is_built_once_in_each_process(executor, task):
    counted = [outcome.value for _ in range(6) for outcome in executor.map([task("count", service="counting")] * 4)]
    for process in {pid for pid, _ in counted}:
        counts = [count for pid, count in counted if pid == process]
        assert sorted(counts) == list(range(min(counts), min(counts) + len(counts)))
    assert len({pid for pid, _ in counted}) <= getattr(executor, "workers", 1)


def test_services_do_not_mix(executor, task):
    mixed = [task("double", 5), task("count", service="counting"), task("double", 6)]
    outcomes = executor.map(mixed)
    assert [outcome.fate for outcome in outcomes] == [Fate.DONE] * 3
    assert (outcomes[0].value, outcomes[2].value) == (10, 12)


def test_many_small_tasks(executor, task):
    executor.map([task("double", 0)] * 3)
    start = time.monotonic()
    outcomes = executor.map([task("double", i) for i in range(2000)])
    per_task_s = (time.monotonic() - start) / 2000
    assert [outcome.value for outcome in outcomes] == [2 * i for i in range(2000)]
    assert per_task_s < 0.005


def test_large_arrays_both_ways(executor, task):
    arrays = [np.full(2_500_000, i, dtype=float) for i in range(4)]
    outcomes = executor.map([task("double", array) for array in arrays])
    assert [(outcome.value.size, outcome.value[0], outcome.value[-1]) for outcome in outcomes] == [
        (2_500_000, 2.0 * i, 2.0 * i) for i in range(4)
    ]


def test_many_large_arguments_to_one_task(executor, task):
    arrays = [np.zeros((1000, 500))] * 5
    assert executor.map([task("shape", *arrays)])[0].value == [(1000, 500)] * 5


@settings(max_examples=15, deadline=None)
@given(seeds=st.lists(st.integers(0, 2**32 - 1), max_size=12))
def test_results_do_not_depend_on_the_executor(executor, seeds):
    tasks = [Task("bench", "noise", (seed, 5)) for seed in seeds]
    expected = [np.random.default_rng(seed).normal(size=5).tobytes() for seed in seeds]
    assert [outcome.value.tobytes() for outcome in executor.map(tasks)] == expected


@pytest.mark.parametrize("make", [Serial, Processes])
def test_closing_twice_is_fine_and_so_is_going_on(make, task):
    from services import Bench

    executor = make({"bench": Bench})
    assert executor.map([task("double", 1)])[0].value == 2
    executor.close()
    executor.close()
    assert executor.map([task("double", 2)])[0].value == 4
    executor.close()


def test_cores_are_those_of_this_process():
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
