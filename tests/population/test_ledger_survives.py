"""What is left of a ledger when its process is killed or its files are cut, and what do readers see meanwhile?"""

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpcfit.errors import LedgerError
from hpcfit.population.ledger import Generation, Ledger, ledger_path, same_numbers

pytestmark = pytest.mark.usefixtures("quick_disk")

WRITER = Path(__file__).with_name("writer.py")
ROOT = Path(__file__).parents[2]


def right(ledger: Ledger) -> bool:
    """Whether each generation says of itself what writer.py and make_generation write."""
    return [generation.counts.get("number", generation.counts.get("generation")) for generation in ledger] == list(
        range(len(ledger))
    )


# Killed


def start(folder: Path, generations: int, rows: int) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(WRITER), str(folder), str(generations), str(rows)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path})


@pytest.mark.parametrize("rows", [3, 30_000], ids=["small", "large"])
def test_killed_at_any_moment_what_was_appended_is_there(tmp_path, rows):
    rng = np.random.default_rng(rows)
    folder, generations, kills, held = tmp_path / "run", 400, 0, 0
    while held < generations and kills < 8:
        writer = start(folder, generations, rows)
        assert writer.stdout is not None
        said = [writer.stdout.readline()]  # it is under way
        time.sleep(rng.exponential(0.03))
        writer.kill()
        said += writer.stdout.read().splitlines()
        writer.wait()
        kills += writer.returncode < 0
        ledger = Ledger.open(folder)
        # The last line may have been cut short, so it says no more than it held.
        assert len(ledger) >= 1 + max([int(line) for line in said if line.strip()], default=-1)
        assert len(ledger) >= held
        assert right(ledger)
        held = len(ledger)
    assert kills > 2
    for each in (folder, tmp_path / "uncut"):
        writer = start(each, held + 5, rows)
        writer.communicate()
        assert writer.returncode == 0
    assert same_numbers(Ledger.open(folder), Ledger.open(tmp_path / "uncut")) == []


class Killed(BaseException):
    """Stands for the end of the process."""


STEPS = ("os.replace", "os.link", "os.fsync", "shutil.copyfile", "pathlib.Path.unlink", "pathlib.Path.write_bytes")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ends=st.lists(st.integers(0, 40), min_size=1, max_size=4))
def test_ended_before_any_step_of_writing_nothing_is_lost(make_ledger, make_generation, merges_often, tmp_path, ends):
    """As a kill between two system calls leaves it: no step after it is done, no cleaning up either."""
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    ledger = make_ledger(2)
    for end in ends:
        appended = len(ledger)
        with pytest.MonkeyPatch.context() as patch:
            left = [end]
            for step in STEPS:
                patch.setattr(step, _ending(_attribute(step), left))
            try:
                for number in range(len(ledger), len(ledger) + 6):
                    ledger.append(make_generation(number))
                    appended = number + 1
            except Killed:
                pass
        ledger = Ledger.open(tmp_path / "run")
        assert appended <= len(ledger) <= appended + 1
        assert right(ledger)


def _attribute(name: str):
    module, _, attribute = name.rpartition(".")
    return getattr(Path if module == "pathlib.Path" else sys.modules[module], attribute)


def _ending(action, left: list[int]):
    def step(*arguments, **options):
        if left[0] <= 0:
            raise Killed
        left[0] -= 1
        return action(*arguments, **options)

    return step


# Cut


@pytest.fixture
def merged_twice(make_ledger, make_generation) -> Ledger:
    """Generations 0 to 3 in ledger.h5 and previous.h5, to 6 in ledger.h5 and the journal, to 8 in the journal alone."""
    ledger = make_ledger(4)
    ledger.merge()
    for stop in (7, 9):
        for number in range(len(ledger), stop):
            ledger.append(make_generation(number))
        if stop == 7:
            ledger.merge()
    return ledger


def cuts(path: Path) -> list[int]:
    size = path.stat().st_size
    return sorted({0, 1, 7, 8, 96, 512, size // 3, size // 2, size - 4096, size - 512, size - 1} & set(range(size)))


def test_a_cut_ledger_loses_nothing(merged_twice, make_ledger, tmp_path):
    path, whole = ledger_path(merged_twice.folder), make_ledger(9, folder=tmp_path / "whole")
    content = path.read_bytes()
    for size in cuts(path):
        path.write_bytes(content[:size])
        assert same_numbers(Ledger.open(merged_twice.folder), whole) == []


@pytest.mark.parametrize("damage", [b"", b"no HDF5 at all" * 1000, None], ids=["empty", "garbage", "gone"])
def test_a_lost_ledger_is_made_again_and_nothing_is_lost_on_the_way(merged_twice, make_generation, damage):
    path = ledger_path(merged_twice.folder)
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    ledger = Ledger.open(merged_twice.folder)
    assert (len(ledger), right(ledger)) == (9, True)
    ledger.append(make_generation(9))
    # Before the new one takes its place, the damaged one must not replace the copy.
    with pytest.MonkeyPatch.context() as patch:
        replace = os.replace
        patch.setattr("os.replace", lambda old, new: _ending(replace, [int(new != path)])(old, new))
        with pytest.raises(Killed):
            ledger.merge()
    assert len(Ledger.open(merged_twice.folder)) == 10
    ledger.merge()
    assert len(Ledger.open(merged_twice.folder)) == 10
    path.write_bytes(b"again")
    again = Ledger.open(merged_twice.folder)
    assert (len(again), right(again)) == (10, True)


def test_a_cut_copy_does_not_matter(merged_twice, make_generation):
    copy = merged_twice.folder / "journal" / "previous.h5"
    copy.write_bytes(copy.read_bytes()[:-1])
    ledger = Ledger.open(merged_twice.folder)
    ledger.append(make_generation(9))
    ledger.merge()
    assert len(Ledger.open(merged_twice.folder)) == 10
    ledger_path(merged_twice.folder).write_bytes(b"")
    assert len(Ledger.open(merged_twice.folder)) == 10


def test_a_cut_generation_ends_the_run_there(make_ledger, make_generation):
    ledger = make_ledger(6)
    path = ledger.folder / "journal" / "000003.h5"
    whole = path.read_bytes()
    for size in cuts(path):
        path.write_bytes(whole[:size])
        assert len(Ledger.open(ledger.folder)) == 3
    path.write_bytes(whole)
    assert len(Ledger.open(ledger.folder)) == 6


def test_what_lay_beyond_a_cut_generation_does_not_come_back(make_ledger):
    ledger = make_ledger(6)
    (ledger.folder / "journal" / "000003.h5").write_bytes(b"")
    ledger = Ledger.open(ledger.folder)
    # Another generation 3, for instance because a deadline was met this time: the old 4 and 5 do not follow from it.
    for number in (3, 4):
        ledger.append(Generation(number, {"scores": np.full(2, 100.0)}, {"number": number}))
        again = Ledger.open(ledger.folder)
        assert len(again) == number + 1
        assert again.read(number).arrays["scores"].tolist() == [100.0, 100.0]


def test_the_journal_of_a_run_whose_ledger_was_taken_away_is_not_gone_on_with(make_ledger, make_generation):
    ledger = make_ledger(6)
    ledger_path(ledger.folder).unlink()
    (ledger.folder / "journal" / "previous.h5").unlink()
    with pytest.raises(LedgerError, match=r"no ledger\.h5"):
        Ledger.open(ledger.folder)
    ledger = make_ledger(1)
    assert len(Ledger.open(ledger.folder)) == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_files_cut_give_a_shorter_run_or_an_error_never_wrong_numbers(merged_twice, tmp_path, data):
    folder = tmp_path / "cut"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(merged_twice.folder, folder)
    files = sorted(path for path in folder.rglob("*.h5"))
    for path in data.draw(st.lists(st.sampled_from(files), min_size=1, max_size=4, unique=True)):
        os.truncate(path, data.draw(st.integers(0, path.stat().st_size - 1)))
    try:
        ledger = Ledger.open(folder)
    except LedgerError:
        assert all(_cut(folder / name) for name in ("ledger.h5", "journal/previous.h5"))
        return
    assert right(ledger)
    if not _cut(folder / "ledger.h5"):
        assert len(ledger) >= 7


def _cut(path: Path) -> bool:
    try:
        h5py.File(path, "r").close()
    except OSError:
        return True
    return False


def test_files_of_others_in_the_journal_are_left_alone(make_ledger, make_generation):
    ledger = make_ledger(2)
    for name in ("1 (copy).h5", "notes.h5", ".000001.h5.0123abcd.tmp"):
        (ledger.folder / "journal" / name).write_bytes(b"mine")
    ledger = Ledger.open(ledger.folder)
    ledger.merge()
    ledger.append(make_generation(2))
    ledger.merge()
    assert len(Ledger.open(ledger.folder)) == 3
    assert (ledger.folder / "journal" / "notes.h5").read_bytes() == b"mine"


def test_a_generation_lost_under_the_reader_is_an_error_that_names_the_file(make_ledger):
    ledger = make_ledger(3)
    (ledger.folder / "journal" / "000001.h5").unlink()
    with pytest.raises(LedgerError, match=r"000001\.h5: generation 1 cannot be read"):
        ledger.read(1)
    assert right(Ledger.open(ledger.folder))


# Read meanwhile


def test_readers_see_all_that_was_there_while_another_writes(tmp_path):
    folder = tmp_path / "run"
    with start(folder, 10**6, 3) as writer:
        try:
            assert writer.stdout is not None
            said = [writer.stdout.readline()]
            listener = threading.Thread(target=lambda: said.extend(writer.stdout))
            listener.start()
            opened, end = 0, time.monotonic() + 3
            while time.monotonic() < end and writer.poll() is None:
                before = int(said[-1])
                ledger = Ledger.open(folder)
                assert len(ledger) > before
                assert right(ledger)
                opened += 1
            assert writer.poll() is None
        finally:
            writer.kill()
        listener.join()
    assert opened > 5


def test_a_reader_that_opened_long_ago_still_reads(make_ledger, make_generation, merges_often):
    writer = make_ledger(3)
    reader = Ledger.open(writer.folder)
    for number in range(3, 40):
        writer.append(make_generation(number))
    assert (len(reader), right(reader)) == (3, True)


@pytest.mark.parametrize("moment", ["before the journal is listed", "after the journal is listed"])
def test_merges_in_the_middle_of_opening(make_ledger, make_generation, merges_often, monkeypatch, moment):
    writer = make_ledger(3)
    glob, calls = Path.glob, []

    def interrupted(path, pattern):
        found = list(glob(path, pattern)) if moment.startswith("after") else []
        if not calls:
            calls.append(pattern)
            for number in range(3, 30):
                writer.append(make_generation(number))
        return found or glob(path, pattern)

    monkeypatch.setattr(Path, "glob", interrupted)
    reader = Ledger.open(writer.folder)
    assert calls
    assert (len(reader), right(reader)) == (30, True)
