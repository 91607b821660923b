"""Does `hpcfit doctor` find nothing here, and what is missing where something is?"""

import os
import sys
from pathlib import Path

import pytest

from hpcfit import doctor
from hpcfit.biophys.engines.mod_files import cache_folder


def bad(findings: list[doctor.Finding]) -> list[str]:
    return [finding.line() for finding in findings if not finding.good]


def test_all_is_well_here(hpcfit, monkeypatch):
    ended = hpcfit("doctor")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert len(lines) == len(doctor.examine()) and all(line.startswith("ok   ") for line in lines)
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
        " GiB free",
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
    assert bad(doctor.examine()) == ["BAD  not found: nrnivmodl; .mod files cannot be compiled; pip install neuron"]


def test_what_coreneuron_lacks_is_said_and_nothing_bad(monkeypatch, tmp_path):
    def line() -> str:
        (found,) = [finding.line() for finding in doctor.examine() if "engine.kind = 'coreneuron'" in finding.what]
        return found

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
    found = doctor.version

    def without_efel(name: str) -> str:
        if name == "efel":
            raise doctor.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(doctor, "version", without_efel)
    assert bad(doctor.examine()) == ["BAD  efel is not installed; pip install efel"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks on this system")
def test_masked_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    (line,) = [finding.line() for finding in doctor.examine() if " cores" in finding.what]
    assert line.startswith("ok   1 cores of 4: the rest is masked")


def test_a_full_disk(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: doctor.shutil._ntuple_diskusage(2**40, 2**40, 2**20))
    assert bad(doctor.examine()) == [f"BAD  0.0 GiB free in {Path.cwd()}; free some, or run elsewhere"]
