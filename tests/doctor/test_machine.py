"""Does `hpcfit doctor` find nothing here, and what is missing where something is?"""

import json
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from hpcfit import doctor
from hpcfit.biophys.engines.mod_files import cache_folder
from hpcfit.doctor import compilers, installed, storage


def bad(findings: Iterable[doctor.Finding]) -> list[str]:
    return [finding.line() for finding in findings if not finding.good]


def test_all_is_well_here(hpcfit, monkeypatch):
    ended = hpcfit("doctor")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert len(lines) == len(list(doctor.examine())) + 1 and all(line.startswith("ok   ") for line in lines)
    for what in (
        "Python 3.",
        "numpy ",
        "h5py ",
        "neuron ",
        "efel ",
        "morphio ",
        "compiler",
        " cores",
        "cache",
        f"({storage.file_system(Path())}; run folder",
        "nvcc",
        "quota",
        "HDF5 writes and reads",
        "flock works",
        "s to start Python and import hpcfit",
    ):
        assert sum(what in line for line in lines) == 1, what
    assert f"in {cache_folder()}" in ended.out  # the very folder that mechanisms are compiled into


def test_the_cache_of_who_sets_nothing(monkeypatch, tmp_path):
    monkeypatch.delenv("HPCFIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert [f.what for f in doctor.examine() if "cache" in f.what] == [
        f"cache for compiled mechanisms in {cache_folder()}"
    ]
    assert cache_folder() == tmp_path / "hpcfit"


def test_no_compiler(hpcfit, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    ended = hpcfit("doctor")
    assert ended.code == 1
    (line,) = [line for line in ended.out.splitlines() if line.startswith("BAD")]
    assert line == "BAD  not found: c++, make; .mod files cannot be compiled; install g++ and make"


def test_no_path_at_all(monkeypatch):
    monkeypatch.delenv("PATH")
    assert [line for line in bad(doctor.examine()) if "c++, make" in line]


def test_no_nrnivmodl(monkeypatch, tmp_path):
    for name in ("c++", "make"):
        (tmp_path / name).symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.delenv("CXX", raising=False)
    assert bad([compilers.compiler()]) == [
        "BAD  not found: nrnivmodl; .mod files cannot be compiled; pip install neuron"
    ]


def test_what_coreneuron_lacks_is_said_and_nothing_bad(monkeypatch, tmp_path):
    def line() -> str:
        return compilers.coreneuron().line()

    assert line().startswith("ok   nrnivmodl-core")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert line() == ("ok   engine.kind = 'coreneuron' cannot be used; it needs nrnivmodl-core (pip's NEURON) and bash")


def test_a_cache_that_cannot_be_written(hpcfit, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HPCFIT_CACHE", str(tmp_path / "file" / "cache"))
    ended = hpcfit("doctor")
    assert ended.code == 1
    (line,) = [line for line in ended.out.splitlines() if line.startswith("BAD")]
    assert line.startswith(f"BAD  cache {tmp_path}/file/cache cannot be written (")
    assert line.endswith("; set HPCFIT_CACHE to a folder of yours")


def test_looking_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("HPCFIT_CACHE", str(tmp_path / "cache"))
    assert bad(doctor.examine()) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_missing_package(monkeypatch):
    found = installed.version

    def without_efel(name: str) -> str:
        if name == "efel":
            raise installed.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(installed, "version", without_efel)
    assert bad(doctor.examine()) == ["BAD  efel is not installed; pip install efel"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks on this system")
def test_masked_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    (line,) = [finding.line() for finding in doctor.examine() if " cores" in finding.what]
    assert line.startswith("ok   1 cores of 4: the rest is masked")


def test_a_full_disk(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2**40, 2**40, 2**20))
    (line, *_) = bad(doctor.examine())
    assert line.startswith("BAD  0.0 GiB") and f" free in {tmp_path} (" in line
    assert "; free some, or run elsewhere (--run)" in line


def test_no_files_left(monkeypatch, tmp_path):
    counts = os.statvfs(tmp_path)

    class Few:
        f_files, f_favail, f_blocks, f_bavail, f_bfree, f_frsize = 1_000_000, 12, 2**30, 2**30, 2**30, 4096

    monkeypatch.setattr(os, "statvfs", lambda _: Few)
    (finding,) = storage.space({"TMPDIR": tmp_path})
    assert (
        not finding.good
        and " and 12 files free" in finding.what
        and finding.cure.endswith("set TMPDIR to another folder")
    )
    assert counts.f_files == 0 or counts.f_favail > 12


def test_a_compiler_that_does_not_work(monkeypatch, tmp_path):
    broken = tmp_path / "broken-c++"
    broken.write_text("#!/bin/sh\necho 'fatal error: no licence for this node' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    finding = compilers.compiler()
    assert not finding.good and "(fatal error: no licence for this node)" in finding.what
    assert "CXX" in finding.cure


def test_what_the_compiler_makes(monkeypatch):
    finding = compilers.compiler()
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    if " avx2 " in flags:
        assert " for AVX" in finding.what


def fake(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("said", "good", "what"),
    [
        ("Disk quotas for user me: none", True, "none"),
        ("Filesystem space quota limit\n/dev/x 10G* 9G 10G", False, "is used up: /dev/x 10G* 9G 10G"),
        ("Filesystem space quota limit\n/dev/x 3G 9G 10G", True, "/dev/x 3G 9G 10G"),
    ],
)
def test_quota(monkeypatch, tmp_path, said, good, what):
    fake(tmp_path / "bin", "quota", f"echo '{said}'")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setattr(storage, "file_system", lambda _: "ext4")
    finding = storage.quota(tmp_path)
    assert finding.good is good and finding.what.endswith(what)


def python_that(tmp_path: Path, text: str) -> str:
    """An interpreter in whose place this shell script runs."""
    fake(tmp_path / "bin", "python", text)
    return str(tmp_path / "bin" / "python")


def test_hdf5_that_cannot_lock(monkeypatch, tmp_path):
    wrong = 'test "$HDF5_USE_FILE_LOCKING" = FALSE && exit 0\necho "unable to lock file, errno = 524"; exit 1'
    monkeypatch.setattr(sys, "executable", python_that(tmp_path, wrong))
    monkeypatch.delenv("HDF5_USE_FILE_LOCKING", raising=False)
    hdf5, _ = storage.locks(tmp_path)
    assert not hdf5.good and hdf5.what.endswith("unable to lock file, errno = 524")
    assert hdf5.cure == "export HDF5_USE_FILE_LOCKING=FALSE"


def test_a_lock_that_never_comes(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", python_that(tmp_path, "exec sleep 60"))
    monkeypatch.setattr(storage, "_LOCK_COMES_WITHIN_S", 0.2)
    hdf5, flock = storage.locks(tmp_path)
    assert not hdf5.good and "no answer in 0.2 s" in hdf5.what and "run elsewhere" in hdf5.cure
    assert not flock.good and "no answer" in flock.what


@pytest.mark.parametrize(("code", "good"), [(1, False), (3, True), (4, True)])
def test_flock_that_fails_or_is_not_there(monkeypatch, tmp_path, code, good):
    monkeypatch.setattr(sys, "executable", python_that(tmp_path, f'test "$3" = hdf5 || {{ echo why; exit {code}; }}'))
    hdf5, flock = storage.locks(tmp_path)
    assert hdf5.good and flock.good is good and flock.what.endswith(": why") and flock.cure


def test_files_that_will_be_purged(tmp_path):
    run = tmp_path / "scratch" / "runs" / "mine"
    run.mkdir(parents=True)
    for name, days in (("old", 50), ("new", 1)):
        (run / name).write_text("x")
        moment = (run / name).stat().st_mtime - days * 86400
        os.utime(run / name, (moment, moment))
    finding = storage.purge(run, tmp_path / "scratch", 56)
    assert finding and not finding.good and finding.what.startswith(f"1 files in {run} have not been used for 50 days")
    assert finding.what.endswith("(first old)") and finding.cure.startswith("copy ")
    finding = storage.purge(run, tmp_path / "scratch", 100)
    assert finding and finding.good and "after 100 days; the oldest file of it is 50 days" in finding.what
    finding = storage.purge(run, tmp_path / "scratch", None)
    assert finding and finding.good and "--site" in finding.cure
    assert storage.purge(run, tmp_path / "elsewhere", 56) is storage.purge(run, None, 56) is None


def test_a_site_and_a_run_folder(hpcfit, tmp_path):
    site = tmp_path / "mine.toml"
    site.write_text(f'name = "mine"\ncores_per_node = 2\nscratch = "{tmp_path}"\npurge_days = 7\n')
    ended = hpcfit("doctor", "--site", site, "--run", tmp_path / "runs" / "one")
    assert ended.code == 0, ended.out
    assert f"{tmp_path}/runs/one is on {tmp_path}: files are removed after 7 days" in ended.out
    ended = hpcfit("doctor", "--site", tmp_path / "none.toml")
    assert (ended.code, ended.out) == (2, "") and "no such file" in ended.err and ended.err.count("\n") == 1


def test_json(hpcfit, monkeypatch, tmp_path):
    said = json.loads(hpcfit("doctor", "--json").out)
    assert said["good"] is True and {"good", "what", "cure"} == set(said["findings"][0])
    monkeypatch.setenv("CXX", "/bin/false")
    ended = hpcfit("doctor", "--json")
    assert ended.code == 1 and json.loads(ended.out)["good"] is False


def test_a_slow_import_has_a_cure():
    assert installed.imports([0.5]).good
    finding = installed.imports([0.5, 61.0, 3.0])
    assert not finding.good and "rank 1" in finding.what and "hpcfit stage" in finding.cure
    assert not installed.imports([float("inf")]).good
