"""Does a pipeline give what its stages give one after another, in bounded memory, and does it end whatever happens?"""

import os
import signal
import threading
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from watching import until

from hpcfit.population.pipeline import InTurn, Stage
from hpcfit.run.pipeline import SideBySide

PIPELINES = [InTurn(), SideBySide(), SideBySide(waiting=3)]
MS = st.sampled_from([0, 0, 0, 1, 3])


@pytest.fixture(autouse=True)
def no_thread_stays():
    before = set(threading.enumerate())
    yield
    # A join that was interrupted may leave the name of a thread that has ended.
    assert not [thread for thread in set(threading.enumerate()) - before if thread.is_alive()]


class Watched:
    """Counts values that are alive, and those that have begun and not ended."""

    def __init__(self):
        self.lock = threading.Lock()
        self.alive = self.most_alive = 0

    def value(self, history):
        return Value(self, history)

    def change(self, by):
        with self.lock:
            self.alive += by
            self.most_alive = max(self.most_alive, self.alive)


class Value:
    """What is passed on; knows the stages that it has seen."""

    def __init__(self, watched, history):
        self.watched, self.history = watched, history
        watched.change(1)

    def __del__(self):
        self.watched.change(-1)


def history(value):
    return (value,) if isinstance(value, int) else value.history


@settings(max_examples=40, deadline=None)
@given(
    speeds=st.lists(st.lists(MS, min_size=1, max_size=4), max_size=10).filter(
        lambda rows: len({len(row) for row in rows}) <= 1
    ),
    waiting=st.integers(1, 3),
)
def test_any_speeds_give_the_same_results_by_position_in_bounded_memory(speeds, waiting):
    stages_count = len(speeds[0]) if speeds else 2
    watched, seen = Watched(), [[] for _ in range(stages_count)]

    def stage(number):
        def work(value):
            past = history(value)
            seen[number].append(past[0])
            time.sleep(speeds[past[0]][number] / 1e3)
            last = number == stages_count - 1
            return (*past, number) if last else watched.value((*past, number))

        return Stage(f"stage {number}", work)

    pipeline = SideBySide(waiting)
    results = pipeline.run(range(len(speeds)), [stage(number) for number in range(stages_count)])
    assert results == [(item, *range(stages_count)) for item in range(len(speeds))]
    assert seen == [list(range(len(speeds)))] * stages_count
    # What a stage makes exists beside what it is made of.
    assert watched.most_alive <= pipeline.in_flight(stages_count) + stages_count - 2 + (stages_count == 1)
    assert watched.alive == 0


def test_as_many_in_flight_as_it_says_and_no_more():
    gate, begun = threading.Event(), []

    def first(item):
        begun.append(item)
        return item

    def second(item):
        gate.wait(10)
        return item

    pipeline = SideBySide(waiting=2)
    assert pipeline.in_flight(2) == 4

    def release():
        until(lambda: len(begun) == 4)
        time.sleep(0.1)  # a fifth would begin now
        counts.append(len(begun))
        gate.set()

    counts: list[int] = []
    thread = threading.Thread(target=release)
    thread.start()
    assert pipeline.run(range(9), [Stage("first", first), Stage("second", second)]) == list(range(9))
    thread.join()
    assert counts == [4]


def test_stages_do_work_at_the_same_time():
    meeting = threading.Barrier(2, timeout=10)
    # Item k + 1 in the first stage meets item k in the second: in turn they would wait for each other for ever.
    first = Stage("first", lambda k: (meeting.wait() if k else None, k)[1])
    second = Stage("second", lambda k: (meeting.wait() if k < 4 else None, k)[1])
    assert SideBySide().run(range(5), [first, second]) == list(range(5))


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_nothing_to_do(pipeline):
    assert pipeline.run([], [Stage("first", len), Stage("second", len)]) == []


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_first_stage_works_in_the_calling_thread(pipeline):
    threads = pipeline.run([1, 2], [Stage("first", lambda _: threading.current_thread())])
    assert threads == [threading.current_thread()] * 2


@settings(max_examples=40, deadline=None)
@given(
    items=st.integers(1, 8),
    stages=st.integers(1, 4),
    failing=st.sets(st.tuples(st.integers(0, 7), st.integers(0, 3)), min_size=1, max_size=4),
    slow=st.sets(st.integers(0, 3)),
    waiting=st.integers(1, 3),
)
def test_the_first_error_is_raised_once_and_every_stage_is_told(items, stages, failing, slow, waiting):
    told, raised = Counter(), []

    class Wrong(Exception):
        pass

    def stage(number):
        def work(item):
            time.sleep(0.002 * (number in slow))
            if (item, number) in failing:
                error = Wrong(item, number)
                raised.append(error)
                raise error
            return item

        return Stage(f"{number}", work, lambda: told.update([number]))

    can_fail = any(item < items and number < stages for item, number in failing)
    run = lambda: SideBySide(waiting).run(range(items), [stage(n) for n in range(stages)])  # noqa: E731
    if not can_fail:
        assert run() == list(range(items))
        return
    with pytest.raises(Wrong) as caught:
        run()
    assert caught.value in raised
    assert told == Counter(range(stages))


def test_a_failed_stage_frees_one_that_is_deep_in_its_work():
    released = threading.Event()

    def deep(item):
        if item == 1:
            assert released.wait(30), "nobody told it to leave"
            raise RuntimeError("cancelled")  # which nobody is to see
        return item

    def fails(item):
        raise ValueError("the cause")

    start = time.monotonic()
    with pytest.raises(ValueError, match="the cause"):
        SideBySide().run(range(3), [Stage("deep", deep, released.set), Stage("fails", fails)])
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("where", ["at work", "waiting for room", "waiting for the end"])
def test_an_interrupt_ends_all_stages(where):
    leave, second_at_work, begun = threading.Event(), threading.Event(), []
    items = {"at work": 2, "waiting for room": 5, "waiting for the end": 1}[where]

    def first(item):
        begun.append(item)
        if where == "at work" and item == 1:
            time.sleep(30)
        return item

    def second(item):
        second_at_work.set()
        assert leave.wait(30)
        raise RuntimeError("cancelled")

    def interrupt():
        second_at_work.wait(10)
        until(lambda: len(begun) == min(items, 3))
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    killer = threading.Thread(target=interrupt)
    killer.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        SideBySide().run(range(items), [Stage("first", first), Stage("second", second, leave.set)])
    assert time.monotonic() - start < 10
    killer.join()
