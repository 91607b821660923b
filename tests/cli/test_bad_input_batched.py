"""Does what can go wrong on the way to a compiled kernel end in one line that says where and what to do?"""

import os
from pathlib import Path

import pytest

BATCHED = ("workers = 2", 'kind = "batched"\nworkers = 1')


@pytest.fixture
def refused(started):
    """refused(file, **environment): the one line that `hpcfit check FILE` ends with."""

    def call(file, **environment):
        process = started("check", file, env={**os.environ, **environment})
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out) == (2, ""), (out, err)
        assert err.startswith("hpcfit: ") and err.count("\n") == 1, err
        return err.removeprefix("hpcfit: ").rstrip("\n")

    return call


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_no_compiler(tiny, refused, tmp_path):
    (tmp_path / "nothing").mkdir()
    line = refused(tiny(BATCHED), CXX="", PATH=str(tmp_path / "nothing"))
    assert line.startswith("no C++ compiler is found (c++, g++, clang++ or $CXX); install one, or use engine.kind")


def test_a_compiler_that_fails(tiny, refused, tmp_path):
    broken = program(
        tmp_path / "broken", 'case "$*" in *-dump*) echo 1;; *) echo "x.hpp:3: error: oh" >&2; exit 1;; esac'
    )
    line = refused(tiny(BATCHED), CXX=broken, HPCFIT_CACHE=str(tmp_path / "cache"))
    kept = Path(line.partition(":")[0])
    assert '#include "harness.hpp"' in kept.read_text() and kept.name.endswith(".failed.cpp")
    assert f"{broken} does not compile this generated code (x.hpp:3: error: oh); " in line and "report it" in line


def test_a_compiler_that_makes_rubbish(tiny, refused, tmp_path):
    broken = program(tmp_path / "broken", 'case "$*" in *-dump*) echo 1;; *) echo rubbish > kernel.so;; esac')
    line = refused(tiny(BATCHED), CXX=broken, HPCFIT_CACHE=str(tmp_path / "cache"))
    assert line.startswith(f"{tmp_path}/cache/kernels/") and "cannot be loaded" in line and "HPCFIT_CACHE" in line


def test_a_cache_that_cannot_be_written(tiny, refused, tmp_path):
    (tmp_path / "file").write_text("")
    line = refused(tiny(BATCHED), HPCFIT_CACHE=str(tmp_path / "file"))
    assert line == (
        f"{tmp_path}/file/kernels: compiled kernels cannot be kept here (Not a directory); free some space, or set "
        "HPCFIT_CACHE to a folder that can be written"
    )


def test_a_site_that_is_not_on_the_tree(tiny, refused):
    file = tiny(
        (
            "[engine]\nworkers = 2",
            '[[sites]]\nname = "far"\nregion = "basal"\ndistance_um = 700\n[engine]\nkind = "batched"',
        )
    )
    line = refused(file)
    assert line.startswith(f"{file}: site far: distance_um = 700, but basal reaches to ") and "choose less" in line


def test_one_individual_that_does_not_fit_into_memory(tiny, refused):
    line = refused(tiny(("workers = 2", 'kind = "batched"\nmemory_GiB = 1e-6')))
    assert "one individual needs" in line and "engine.memory_GiB" in line


def test_a_step_that_does_not_divide_the_sampling(tiny, refused):
    line = refused(tiny(("workers = 2", 'kind = "batched"\ndt_ms = 0.03')))
    assert "record_dt_ms = 0.1 is not a multiple of dt_ms = 0.03" in line


def test_memory_is_stated_before_a_fit(tiny, hpcfit):
    said = hpcfit("check", tiny(BATCHED)).out
    assert "memory: 6 individuals x 1 stimuli take " in said and "(parameters " in said and " may be used" in said
