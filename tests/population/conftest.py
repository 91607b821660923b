"""Ledgers with made-up numbers that can be told apart."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hpcfit.population.ledger import Generation, Header, Ledger


def _generation(number: int, rows: int = 3) -> Generation:
    """Every number in it follows from `number`."""
    rng = np.random.default_rng(number)
    arrays = {
        "ids": np.arange(rows) + rows * number,
        "vectors": rng.random((rows, 2)),
        "scores": np.where(np.arange(rows) == 1, np.nan, rng.random(rows)),
        "names": np.array([f"member {number}.{row}" for row in range(rows)]),
    }
    return Generation(number, arrays, {"evaluations": rows, "generation": number}, {"total": 0.5 + number})


def _header() -> Header:
    columns = {"name": np.array(["gNa", "gK", ""]), "low": np.array([0.0, 1e-5, np.nan])}
    return Header({"run": {"seed": 1}}, {"cell.asc": "0f"}, {"parameters": columns}, {"python": "3.11"})


@pytest.fixture(scope="session")
def make_generation() -> Callable[..., Generation]:
    """make_generation(number, rows=3)."""
    return _generation


@pytest.fixture(scope="session")
def header() -> Header:
    """Settings, one input and one table."""
    return _header()


@pytest.fixture
def make_ledger(tmp_path: Path) -> Callable[..., Ledger]:
    """make_ledger(generations, rows=3, folder=...): merged nowhere yet, unless it is large."""

    def make(generations: int = 0, rows: int = 3, folder: Path = tmp_path / "run") -> Ledger:
        ledger = Ledger.create(folder, _header())
        for number in range(generations):
            ledger.append(_generation(number, rows))
        return ledger

    return make


@pytest.fixture(scope="module")
def quick_disk() -> Iterator[None]:
    """Flushes nothing: for tests that do not ask what survives a crash of the machine, which none here can."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: None)
        yield


@pytest.fixture
def merges_often(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Merge as soon as the journal is as large as the ledger, or holds four files."""
    monkeypatch.setattr("hpcfit.population.ledger._SMALLEST_MERGE_BYTES", 1)
    monkeypatch.setattr("hpcfit.population.ledger._MOST_JOURNAL_FILES", 4)
    yield
