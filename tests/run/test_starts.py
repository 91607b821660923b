"""When is it no use to start a run once more?"""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from hpcfit.errors import NoProgressError, StorageError, Unfinished
from hpcfit.jobs.leaving import Departure
from hpcfit.jobs.signals import Heard
from hpcfit.jobs.starts import DEATHS, counted, read_starts
from hpcfit.run.slurm.environment import Job

JOB = Job("7", series="7")


class Killed(BaseException):
    """The process is gone: nothing below runs."""


class Fake:
    """A ledger, as far as starts look at it."""

    def __init__(self, folder: Path, generations: int = 0):
        self.folder, self.generations = folder, generations

    def __len__(self):
        return self.generations


class Series:
    """Starts of one run, one after the other."""

    def __init__(self, folder: Path):
        self.ledger, self.now_s = Fake(folder), 1000.0

    def start(self, gains=0, lasts_s=3500.0, time_s=3600.0, how=None, job=JOB, most=None):
        """One of an hour; `how` it ends: None: its time is up."""
        begun_s = self.now_s
        job = job and replace(job, ends_s=begun_s + time_s)
        departure = Departure(Heard(), job, most, clock=lambda: self.now_s)
        context = counted(self.ledger, departure, 4)
        context.__enter__()
        self.now_s += lasts_s
        self.ledger.generations += gains
        error = Unfinished("the time is up") if how is None else how
        if isinstance(error, Killed):
            return None
        if error == "finished":
            return context.__exit__(None, None, None)
        context.__exit__(type(error), error, None)
        raise error

    def ends(self, **how):
        with suppress(Unfinished):
            self.start(**how)

    def last(self):
        return read_starts(self.ledger.folder)[-1]


@pytest.fixture
def series(tmp_path):
    return Series(tmp_path)


def test_each_start_and_its_end_is_on_disk(series):
    series.ends(gains=3)
    series.start(gains=2, how="finished")
    first, second = read_starts(series.ledger.folder)
    assert (first.job, first.series, first.ranks, first.time_s, first.generation) == ("7", "7", 4, 3600.0, 0)
    assert (first.ended, first.had_its_time, first.generations) == ("left", True, 3)
    assert (second.generation, second.ended, second.generations) == (3, "finished", 5)


def test_two_jobs_shorter_than_a_generation_are_enough_and_the_cure_is_said(series):
    series.ends(gains=3)
    series.ends()
    with pytest.raises(NoProgressError, match=r"did not finish generation 3.*longer time limit.*more\s+nodes"):
        series.start()
    assert series.last().ended == "left"


def test_what_ends_a_start_from_outside_does_not_count_as_too_little_time(series):
    for lasts_s in (30.0, 200.0, 1000.0) * 3:
        series.ends(lasts_s=lasts_s)  # preemption, or a person: long before the job's end
        assert not series.last().had_its_time
    for _ in range(DEATHS - 1):
        series.start(how=Killed(), lasts_s=60.0)
    series.ends()
    with pytest.raises(NoProgressError, match="generation 0"):
        series.start()


def test_progress_between_them_wipes_the_slate(series):
    series.ends()
    series.start(gains=4, how=Killed())
    series.ends()
    assert series.last().generation == 4
    with pytest.raises(NoProgressError):
        series.start()


def test_a_job_that_dies_at_one_generation_again_and_again_is_given_up(series):
    series.ends(gains=1)
    for _ in range(DEATHS):
        series.start(how=Killed())
    with pytest.raises(NoProgressError, match=f"{DEATHS} starts of job 7 were killed while at generation 1: .*memory"):
        series.start()
    assert len(read_starts(series.ledger.folder)) == DEATHS + 1  # the refused one has not begun
    series.ends(job=Job("8", series="8"), gains=1)  # submitted again by a person


def test_deaths_with_progress_between_them_do_not_count(series):
    for _ in range(3 * DEATHS):
        series.start(how=Killed(), gains=1)


def test_the_cap_counts_restarts_of_what_a_person_has_submitted(series):
    for _ in range(3):
        series.ends(gains=1, most=2)
    with pytest.raises(NoProgressError, match=r"job 7 has been started again 2 times.*submit it again"):
        series.start(gains=1, most=2)
    series.ends(gains=1, most=2, job=Job("9", series="9"))
    series.ends(gains=1, most=2, job=Job("10", series="9"))  # chained to it
    series.ends(gains=1, most=2, job=Job("11", series="9"))
    with pytest.raises(NoProgressError, match="job 9"):
        series.start(gains=1, most=2, job=Job("12", series="9"))


def test_no_cap_and_no_deaths_outside_a_batch_system(series):
    for _ in range(2 * DEATHS):
        series.start(how=Killed(), job=None, most=0)


def test_a_torn_line_and_one_of_a_newer_version_are_left_out(series):
    series.ends(gains=1)
    path = series.ledger.folder / "starts.jsonl"
    path.write_bytes(path.read_bytes() + b'{"schema": 9, "event": "start", "new": 1}\n{"schema": 1, "eve')
    series.ends(gains=1)
    assert [start.generations for start in read_starts(series.ledger.folder)] == [1, 2]
    assert all(line.startswith("{") for line in path.read_text().splitlines())
    json.loads(path.read_text().splitlines()[-1])


def test_an_error_has_its_reason_and_a_note_that_cannot_be_written_is_an_error(series, tmp_path):
    with pytest.raises(StorageError, match="full"):
        series.start(how=StorageError("the disk is full"))
    assert (series.last().ended, series.last().reason) == ("error", "the disk is full")
    with pytest.raises(KeyboardInterrupt):
        series.start(how=KeyboardInterrupt())
    assert series.last().ended == "interrupted"
    (tmp_path / "starts.jsonl").unlink()
    (tmp_path / "starts.jsonl").mkdir()
    with pytest.raises(StorageError, match=r"starts\.jsonl"):
        series.start()
