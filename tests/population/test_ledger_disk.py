"""Is a ledger whole when the disk is full or refuses to write, and does the run go on once it does not?"""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcfit.errors import StorageError
from hpcfit.population.ledger import Ledger, ledger_path


def right(ledger: Ledger) -> bool:
    """Whether each generation says of itself what make_generation wrote."""
    return [generation.counts["generation"] for generation in ledger] == list(range(len(ledger)))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small disk is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_up_to(disk: Path, free: int) -> Path:
    """Leave no more than `free` bytes of the disk."""
    path = disk / "filler"
    with path.open("wb") as filler:
        filler.write(bytes(max(0, shutil.disk_usage(disk).free - free)))
    return path


def test_a_full_disk_stops_the_run_and_it_goes_on_after(make_ledger, make_generation, merges_often, small_disk):
    ledger = make_ledger(2, rows=50, folder=small_disk / "run")
    with pytest.raises(StorageError, match="no space left on the device; free some and give the same command"):
        for number in range(2, 1000):
            ledger.append(make_generation(number, 50))
    held = len(ledger)
    assert held > 2
    again = Ledger.open(small_disk / "run")
    assert (len(again), right(again)) == (held, True)
    assert not list((small_disk / "run").rglob("*.tmp"))
    subprocess.run(["mount", "-o", "remount,size=2m", str(small_disk)], check=True)
    for _ in range(2):  # the same process, and the next one
        ledger.append(make_generation(len(ledger), 50))
        ledger.merge()
        ledger = Ledger.open(small_disk / "run")
    assert (len(ledger), right(ledger)) == (held + 2, True)


def test_a_disk_full_at_any_point_of_a_merge(make_ledger, make_generation, small_disk):
    ledger = make_ledger(2, rows=200, folder=small_disk / "run")
    ledger.merge()
    ledger.append(make_generation(2, 1500))
    refused = 0
    for free in range(4096, 200_000, 4096):
        filler = fill_up_to(small_disk, free)
        before = shutil.disk_usage(small_disk).free
        try:
            ledger.merge()
        except StorageError as error:
            assert "no space left" in str(error)
            refused += 1
            # What was written of the new one is gone, its space too.
            assert shutil.disk_usage(small_disk).free == before
        again = Ledger.open(small_disk / "run")
        assert (len(again), right(again)) == (3, True)
        filler.unlink()
    assert refused > 5
    assert not list((small_disk / "run").rglob("*.tmp"))


def test_no_space_to_merge_is_no_reason_to_stop(make_ledger, make_generation, monkeypatch, small_disk):
    ledger = make_ledger(3, rows=250, folder=small_disk / "run")
    monkeypatch.setattr("hpcfit.population.ledger._MOST_JOURNAL_FILES", 1)
    filler = fill_up_to(small_disk, 28_672)
    while len(ledger) < 6:
        ledger.append(make_generation(len(ledger), 3))
    with pytest.raises(StorageError, match="no space left"):
        ledger.merge()
    filler.unlink()
    ledger.merge()
    again = Ledger.open(small_disk / "run")
    assert (len(again), right(again)) == (6, True)


@pytest.mark.parametrize("step", ["os.fsync", "os.replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES])
def test_a_write_that_fails_changes_nothing(make_ledger, make_generation, monkeypatch, step, number):
    ledger = make_ledger(3)
    before = sorted(ledger.folder.rglob("*"))

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(step, refuse)
        with pytest.raises(StorageError):
            ledger.append(make_generation(3))
        with pytest.raises(StorageError):
            ledger.merge()
    assert sorted(ledger.folder.rglob("*")) == before
    assert len(ledger) == 3
    ledger.append(make_generation(3))
    assert (len(Ledger.open(ledger.folder)), right(ledger)) == (4, True)


def test_a_merge_whose_last_flush_fails_can_be_done_again(make_ledger, make_generation, monkeypatch):
    ledger = make_ledger(3)
    ledger.merge()
    ledger.append(make_generation(3))
    fsync, replace = os.fsync, os.replace

    def refuse_from_now_on(old, new):
        replace(old, new)
        if new == ledger_path(ledger.folder):
            patch.setattr("os.fsync", lambda handle: os.read(-1, 1))

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", refuse_from_now_on)
        with pytest.raises(StorageError, match="cannot be written: Bad file descriptor"):
            ledger.merge()
    assert os.fsync is fsync
    ledger.append(make_generation(4))
    ledger.merge()
    again = Ledger.open(ledger.folder)
    assert (len(again), right(again)) == (5, True)


def test_where_no_folder_can_be_made(tmp_path, header):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(StorageError, match=r"run.*: cannot be written: "):
        Ledger.create(tmp_path / "run", header)
    assert (tmp_path / "run").read_text() == "a file"


def test_a_file_in_the_journals_place(make_ledger, make_generation):
    ledger = make_ledger(0)
    shutil.rmtree(ledger.folder / "journal")
    (ledger.folder / "journal").write_text("a file")
    with pytest.raises(StorageError, match="journal: cannot be written: File exists"):
        ledger.append(make_generation(0))
    assert len(Ledger.open(ledger.folder)) == 0
