"""Does a timeline hold who worked when, and does its file survive kills and damage?"""

import json
import threading
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcfit.errors import LedgerError, StorageError
from hpcfit.population.progress import Progress
from hpcfit.population.timeline import (
    FILE,
    Event,
    Overlap,
    Timeline,
    TimelineFile,
    common,
    length_s,
    merged,
    read_timeline,
    union,
)

SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda s: (s[0], s[0] + s[1])), max_size=8)


def moments(spans):
    """The whole seconds in the spans, one by one."""
    return {k for began, ended in spans for k in range(began, ended)}


@given(first=SPANS, second=SPANS)
def test_unions_and_what_they_share_hold_the_same_moments(first, second):
    one, two = union(first), union(second)
    assert moments(one) == moments(first) and length_s(one) == len(moments(first))
    assert all(a[1] < b[0] for a, b in pairwise(one))
    assert moments(common(one, two)) == moments(first) & moments(second)
    assert length_s(common(one, two)) == len(moments(first) & moments(second))


def test_overlap_of_the_stages_alone():
    events = [
        Event(0, "simulate", "simulator", 0.0, 4.0, "a"),
        Event(0, "simulate", "simulator", 4.0, 8.0, "b"),
        Event(0, "score", "scorer", 4.0, 5.0, "a"),
        Event(0, "score", "scorer", 8.0, 9.0, "b"),
        Event(0, "score", "scorer 0", 0.0, 9.0, "a"),  # its stage counts, not each worker
        Event(0, "evolve", "main", 0.0, 9.0),
    ]
    found = Overlap.of(events)
    assert (found.simulate_s, found.score_s, found.both_s, found.efficiency) == (8.0, 2.0, 1.0, 0.5)
    assert np.isnan(Overlap.of(events[:2]).efficiency)


def test_workers_report_to_the_block_that_their_thread_is_in():
    timeline = Timeline()
    timeline.generation = 7
    inside = threading.Barrier(2)

    def other():
        with timeline.doing("scorer", "score", "low"):
            inside.wait()
            timeline.worked(1, 5.0, 2.0)

    thread = threading.Thread(target=other)
    thread.start()
    with timeline.doing("simulator", "simulate", "mid", 3):
        timeline.worked(0, 6.0, 1.0)
        inside.wait()
    thread.join()
    timeline.worked(2, 1.0, 1.0)  # a cell that is described, not a generation
    workers = [event for event in timeline.taken() if " " in event.who]
    assert workers == [
        Event(7, "score", "scorer 1", 5.0, 7.0, "low", 0),
        Event(7, "simulate", "simulator 0", 6.0, 7.0, "mid", 3),
    ]
    assert timeline.taken() == []


def test_what_fails_was_work_too():
    timeline, before = Timeline(), time.monotonic()
    with pytest.raises(ValueError), timeline.doing("scorer", "score", "low"):
        raise ValueError
    (event,) = timeline.events(before)
    assert (event.who, event.what) == ("scorer", "low") and before <= event.began_s <= event.ended_s
    assert timeline.events(time.monotonic()) == []


def test_tasks_of_one_purpose_within_a_millisecond_are_one_event():
    def task(who, what, began, ended):
        return Event(0, "score", who, began, ended, what)

    tasks = [
        task("scorer 0", "a", 0.0, 1.0),
        task("scorer 1", "a", 0.0005, 1.0),
        task("scorer 0", "a", 1.0009, 2.0),
        task("scorer 0", "a", 2.002, 3.0),
        task("scorer 0", "b", 3.0, 4.0),
    ]
    assert merged(reversed(tasks)) == [
        task("scorer 0", "a", 0.0, 2.0),
        task("scorer 1", "a", 0.0005, 1.0),
        task("scorer 0", "a", 2.002, 3.0),
        task("scorer 0", "b", 3.0, 4.0),
    ]


def some(generation):
    now = time.monotonic()
    return [
        Event(generation, "simulate", "simulator", now, now + 0.5, "low+mid", 1),
        Event(generation, "write", "main", now + 0.5, now + 0.6),
    ]


def test_the_file_has_times_of_the_clock_and_grows_with_a_resumed_run(tmp_path):
    assert read_timeline(tmp_path) == []
    file = TimelineFile(tmp_path, 0)
    for generation in range(3):
        file.append(some(generation))
    there = read_timeline(tmp_path)
    assert [event.generation for event in there] == [0, 0, 1, 1, 2, 2]
    assert abs(there[-1].ended_s - time.time()) < 5
    assert there[0].ended_s - there[0].began_s == pytest.approx(0.5, abs=2e-6)
    assert (there[0].what, there[0].portion, there[0].who) == ("low+mid", 1, "simulator")
    # Killed within a line; and of generation 2 the ledger knows nothing.
    text = (tmp_path / FILE).read_text()
    (tmp_path / FILE).write_text(text[:-20])
    TimelineFile(tmp_path, 2).append(some(2))
    after = read_timeline(tmp_path)
    assert after[:4] == there[:4] and [event.generation for event in after] == [0, 0, 1, 1, 2, 2]
    assert len((tmp_path / FILE).read_text().splitlines()) == 7


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "line 3: not a line of a timeline .JSONDecodeError"),
        ("[1, 2]", "line 3: not a line of a timeline .TypeError"),
        ('{"who": "main"}', "line 3: .*'began_s'"),
        ('{"began_s": 2, "ended_s": 1}', "line 3: .*from 2.0 s to 1.0 s"),
        ('{"began_s": NaN, "ended_s": 1}', "line 3: .*from nan s"),
        ('{"began_s": "soon", "ended_s": 1}', "line 3: .*soon.*move the file away"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, line, said):
    TimelineFile(tmp_path, 0).append(some(0)[:1])
    with open(tmp_path / FILE, "a") as file:
        file.write(f"{line}\n")
    with pytest.raises(LedgerError, match=said):
        read_timeline(tmp_path)


def test_a_newer_schema_and_another_file_are_refused(tmp_path):
    (tmp_path / FILE).write_text(json.dumps({"schema": 2}) + "\n")
    with pytest.raises(LedgerError, match=r"schema 2 is not 1.*update hpcfit"):
        read_timeline(tmp_path)
    (tmp_path / FILE).write_text("time,voltage\n")
    with pytest.raises(LedgerError, match="line 1: not a line of a timeline"):
        TimelineFile(tmp_path, 0)


def test_a_folder_that_is_gone_is_said(tmp_path):
    (tmp_path / "run").mkdir()
    file = TimelineFile(tmp_path / "run", 0)
    (tmp_path / "run" / FILE).unlink()
    (tmp_path / "run").rmdir()
    with pytest.raises(StorageError, match=r"timeline\.jsonl: cannot be written"):
        file.append(some(0))


def test_progress_adds_up_parts_and_never_goes_back():
    told = []
    progress = Progress(lambda done, of: told.append((done, of)))
    progress.begin(10)
    progress.part(6)
    progress.within(1, 3)
    progress.within(3, 3)
    progress.within(1, 3)  # halves of a block are tried again
    progress.part(4)
    progress.within(2, 4)
    progress.end()
    progress.begin(5)
    progress.end()
    assert told == [(2, 10), (6, 10), (8, 10), (10, 10), (5, 5)]
    Progress().end()
