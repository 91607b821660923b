"""Does a file appear whole or not at all, leave nothing behind, and fail in words?"""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcfit.errors import ConfigError, StorageError
from hpcfit.population.files import make_folder, remove_leftovers, replacing, storage_error, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_new_content_takes_the_place_of_the_old(tmp_path):
    path = tmp_path / "status.json"
    for text in ("old", "new: µm", ""):
        write_text(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert names(tmp_path) == ["status.json"]


def test_the_old_content_stays_until_the_end(tmp_path):
    path = tmp_path / "best.h5"
    path.write_text("old")
    with replacing(path) as temporary:
        assert temporary.parent == tmp_path
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, ConfigError])
def test_an_error_leaves_the_old_content_and_nothing_else(tmp_path, error):
    path = tmp_path / "best.h5"
    path.write_text("old")
    with pytest.raises(error, match="half way"), replacing(path) as temporary:
        temporary.write_text("ne")
        raise error("half way")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["best.h5"]


def test_several_at_once_do_not_meet(tmp_path):
    path = tmp_path / "status.json"
    with replacing(path) as one, replacing(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"
    assert names(tmp_path) == ["status.json"]


def test_the_content_is_on_disk_before_the_name_and_the_name_before_the_return(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr("os.fsync", lambda handle: (done.append(os.readlink(f"/proc/self/fd/{handle}")), fsync(handle)))
    monkeypatch.setattr("os.replace", lambda old, new: (done.append("renamed"), replace(old, new)))
    if sys.platform != "linux":
        pytest.skip("/proc tells which file a handle belongs to")
    write_text(tmp_path / "a", "text")
    assert (Path(done[0]).parent, done[1:]) == (tmp_path, ["renamed", str(tmp_path)])


@settings(max_examples=10, deadline=None)
@given(umask=st.sampled_from([0o000, 0o002, 0o022, 0o027, 0o077]))
def test_permissions_follow_the_umask(tmp_path_factory, umask):
    folder = tmp_path_factory.mktemp("mode")
    before = os.umask(umask)
    try:
        write_text(folder / "a", "text")
    finally:
        os.umask(before)
    assert (folder / "a").stat().st_mode & 0o777 == 0o666 & ~umask


KILLED = """
import os, signal, sys
from pathlib import Path
from hpcfit.population.files import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    path = tmp_path / "plots" / "best.h5"
    make_folder(path.parent)
    path.write_text("old")
    for mine in (".hidden", "notes.tmp", "best.h5.tmp.txt"):
        (tmp_path / mine).write_text("mine")
    root = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", KILLED, str(path)], env=root).returncode == -9
    assert len(names(path.parent)) == 2
    remove_leftovers(tmp_path)
    assert names(path.parent) == ["best.h5"]
    assert path.read_text() == "old"
    assert names(tmp_path) == [".hidden", "best.h5.tmp.txt", "notes.tmp", "plots"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_says_so(tmp_path, number):
    path = tmp_path / "a"
    with pytest.raises(StorageError, match="a: no space left on the device; free some"), replacing(path):
        raise OSError(number, os.strerror(number))
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EACCES, "x"), "cannot be written: Permission denied"),
        (OSError(errno.EROFS, "x"), "cannot be written: Read-only file system"),
        (OSError("Can't write data (errno = 28, error message = 'No space left on device')"), "no space left"),
        (OSError("file write failed: time = now, errno = 28, lines"), "no space left"),
        (OSError("unable to lock\nmore about it"), "cannot be written: unable to lock; whole generations"),
        (OSError(), "cannot be written: OSError"),
    ],
)
def test_every_failure_to_write_has_words(error, words):
    told = storage_error(Path("run/ledger.h5"), error)
    assert isinstance(told, StorageError)
    assert str(told).startswith(f"run/ledger.h5: {words}")
    assert "\n" not in str(told)


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("a file")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="cannot be written: Not a directory"):
        write_text(tmp_path / "file" / "a", "text")
    with pytest.raises(StorageError, match="cannot be written: No such file or directory"):
        write_text(tmp_path / "nowhere" / "a", "text")
    with pytest.raises(StorageError, match="cannot be written: Is a directory"):
        write_text(tmp_path / "folder", "text")
    with pytest.raises(StorageError, match="cannot be written: File name too long"):
        write_text(tmp_path / ("n" * 250), "text")
    with pytest.raises(StorageError, match="cannot be written: Not a directory"):
        make_folder(tmp_path / "file" / "folder")
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EIO])
def test_a_file_system_that_cannot_flush_is_used_and_one_that_fails_is_not(tmp_path, monkeypatch, number):
    def refuse(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", refuse)
    if number == errno.EIO:
        with pytest.raises(StorageError, match="Input/output error"):
            write_text(tmp_path / "a", "text")
    else:
        write_text(tmp_path / "a", "text")
    assert names(tmp_path) == ([] if number == errno.EIO else ["a"])


def test_folders_are_made_with_those_above(tmp_path):
    assert make_folder(tmp_path / "a" / "b").is_dir()
    assert make_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
