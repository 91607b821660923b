"""When does a run leave its job?  By a clock and a SLURM that the test winds."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from hpcfit.errors import EngineError, StorageError, Unfinished
from hpcfit.jobs.leaving import RESERVE_S, SAFETY, Departure, left_in_time, listening
from hpcfit.jobs.signals import Heard, heard, left_to_rank_0
from hpcfit.population.loop import Evaluation
from hpcfit.run.comm import dry_run
from hpcfit.run.slurm.environment import Job

HOUR = 3600.0


class World:
    """A clock, and a job whose end may move."""

    def __init__(self, time_s=HOUR, known=True):
        self.now_s, self.end_s, self.asked = 1000.0, 1000.0 + time_s, 0
        self.silent = False
        self.heard = Heard()
        self.departure = Departure(self.heard, Told(self, known), clock=lambda: self.now_s)

    def told(self, number=signal.SIGUSR1):
        self.heard._latest_s = -10.0  # another event, however soon
        self.heard.note(number)


class Told(Job):
    def __init__(self, world, known):
        super().__init__("1", ends_s=world.end_s if known else None)
        object.__setattr__(self, "world", world)

    def ask_end(self):
        self.world.asked += 1
        return None if self.world.silent else self.world.end_s


def generations(world, seconds):
    """How many generations of so many seconds are begun before it leaves, and why it does."""
    for number in range(10_000):
        try:
            world.departure.generation()
        except Unfinished as reason:
            return number, str(reason)
        world.now_s += seconds
    return number, ""


@pytest.mark.parametrize("known", [True, False])
def test_its_own_clock_leaves_room_for_the_slowest_generation_with_a_margin(known):
    world = World(known=known)
    number, why = generations(world, 100.0)
    assert "the job ends in" in why and world.asked == (not known)
    left = HOUR - 100.0 * number - RESERVE_S
    assert left < SAFETY * 100.0 <= left + 100.0
    assert world.departure.had_its_time


def test_the_first_generation_of_a_start_is_always_tried():
    world = World()
    world.departure.generation()
    world.now_s += HOUR - RESERVE_S - 1
    world.departure.look()
    world.now_s += 1
    with pytest.raises(Unfinished, match="time is up; the generation in hand was dropped"):
        world.departure.look()


def test_without_a_limit_it_stays():
    heard = Heard()
    departure = Departure(heard, None)
    for _ in range(3):
        departure.generation()
        departure.look()
    assert departure.time_s is None and not departure.had_its_time


def begun(world, gone_s, of_s):
    """In the middle of a generation; the one before it took of_s."""
    world.departure.generation()
    world.now_s += of_s
    world.departure.generation()
    world.now_s += gone_s


@pytest.mark.parametrize(("left_s", "finishes"), [(30.0, False), (55.0, False), (70.0, True), (600.0, True)])
def test_the_lead_signal_lets_a_generation_end_that_has_the_time(left_s, finishes):
    world = World()
    begun(world, gone_s=60.0, of_s=100.0)  # 40 s to go: 52 s with the margin, and a tenth of the time to leave
    world.end_s = world.now_s + left_s
    world.told()
    if finishes:
        world.departure.look()
        world.departure.look()
        assert world.asked == 1
        with pytest.raises(Unfinished, match=r"told to leave by SIGUSR1$"):
            world.departure.generation()
    else:
        with pytest.raises(Unfinished, match="SIGUSR1; the generation in hand was dropped"):
            world.departure.look()
    assert not world.departure.had_its_time


def test_the_pace_of_the_generation_in_hand_counts_more_than_that_of_others():
    for done, leaves in ((20, True), (80, False)):
        world = World()
        begun(world, gone_s=60.0, of_s=61.0)
        world.departure.telling(None)(done, 100)
        world.end_s = world.now_s + 120.0
        world.told()
        if leaves:
            with pytest.raises(Unfinished):
                world.departure.look()
        else:
            world.departure.look()


def test_a_generation_that_was_to_end_in_time_and_does_not_is_dropped():
    world = World()
    begun(world, gone_s=60.0, of_s=100.0)
    world.end_s = world.now_s + 100.0
    world.told()
    world.departure.look()
    world.now_s += 95.0
    with pytest.raises(Unfinished, match="time is up"):
        world.departure.look()


def test_a_second_signal_does_not_wait():
    world = World()
    begun(world, gone_s=60.0, of_s=100.0)
    world.told()
    world.departure.look()
    world.told(signal.SIGTERM)
    with pytest.raises(Unfinished, match="SIGTERM"):
        world.departure.look()


@pytest.mark.parametrize(("end_s", "finishes"), [(HOUR, False), (300.0, True)])
def test_sigterm_in_a_job_that_is_not_to_end_is_the_end_of_its_step(end_s, finishes):
    """When a rank was killed srun sends it; preemption brings the job's end forward."""
    world = World()
    begun(world, gone_s=60.0, of_s=100.0)
    world.end_s = 1000.0 + end_s
    world.told(signal.SIGTERM)
    if finishes:
        world.departure.look()
    else:
        with pytest.raises(Unfinished, match="SIGTERM; the generation in hand was dropped"):
            world.departure.look()


def test_a_controller_that_does_not_answer_means_no_time():
    world = World()
    begun(world, gone_s=99.0, of_s=100.0)
    world.silent = True
    world.told()
    with pytest.raises(Unfinished):
        world.departure.look()


def test_sigcont_alone_asks_for_the_end_again():
    world = World()
    begun(world, gone_s=1.0, of_s=10.0)
    world.end_s = world.now_s + 10.0
    world.departure.look()
    world.told(signal.SIGCONT)
    world.departure.look()
    assert world.asked == 1
    world.now_s += 9.5
    with pytest.raises(Unfinished, match="time is up"):
        world.departure.look()
    assert not world.departure.had_its_time


def test_outside_a_job_the_generation_in_hand_ends_and_a_second_signal_drops_it():
    heard = Heard()
    departure = Departure(heard)
    departure.generation()
    heard.note(signal.SIGUSR1)
    departure.look()
    heard._latest_s = -10.0
    heard.note(signal.SIGUSR1)
    with pytest.raises(Unfinished, match="dropped"):
        departure.look()


def test_handlers_only_note_and_are_taken_back():
    before = [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGCONT)]
    with heard(in_job=True) as ears:
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGCONT):
            os.kill(os.getpid(), number)
        assert (ears.count, ears.last, ears.continued) == (1, "SIGTERM", True)  # one event: within a second
    assert [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGCONT)] == before


def test_what_a_run_stumbles_over_once_it_was_told_is_not_the_user_s():
    with pytest.raises(Unfinished, match=r"SIGUSR1.*the compiler"), heard(in_job=True):
        os.kill(os.getpid(), signal.SIGUSR1)
        raise EngineError("the compiler ended with signal 10")
    with pytest.raises(StorageError), heard(in_job=True):
        raise StorageError("full")


def test_sigterm_outside_a_job_is_like_ctrl_c():
    with pytest.raises(KeyboardInterrupt), heard(in_job=False):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)


class Slow:
    """An evaluation that takes a minute, and leaves early if it is cancelled while at work."""

    def __init__(self):
        self.cancelled, self.calls = threading.Event(), 0

    def __call__(self, vectors):
        self.calls += 1
        self.cancelled.clear()
        time.sleep(0.1)  # a cancel that comes first is lost
        if self.cancelled.wait(60.0):
            raise EngineError("cancelled")
        return Evaluation(np.zeros(len(vectors)))


def test_work_in_the_main_thread_is_left():
    world, slow = World(), Slow()
    with left_in_time(world.departure, slow.cancelled.set, slow) as evaluate:
        world.now_s = world.end_s
        began = time.monotonic()
        with pytest.raises(Unfinished, match="time is up"):
            evaluate(np.zeros((2, 1)))
        assert time.monotonic() - began < 5
    assert slow.calls == 1


def test_a_signal_that_only_another_rank_hears_reaches_rank_0():
    def main(comm):
        if comm.rank:
            with left_to_rank_0(True, lambda number: comm.send(0, {"kind": "signal", "number": int(number)})) as leave:
                # Threads have no handlers: what the main thread of a rank would do.
                assert not leave()
            comm.send(0, {"kind": "signal", "number": int(signal.SIGTERM)})
            return None
        world = World()
        world.departure.generation()
        ears = listening(comm, world.departure)
        while not world.heard.count:
            assert ears.receive(10.0) is None
        world.silent = True
        with pytest.raises(Unfinished, match="SIGTERM"):
            ears.receive()
        assert (ears.rank, ears.size) == (0, 2)
        return world.heard.last

    assert dry_run(2, main)[0] == "SIGTERM"
