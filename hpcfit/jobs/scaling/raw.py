"""Where are the single timings of a study kept?  In OUT/timings.jsonl: one line an event, appended, never changed.

The first line says what was measured; a study goes on only with the same.  Then, for each launch,

    launch       which point, with which command, where and when
    rank         of each rank: host, cores; s from the start of its process until it was ready, until its first block
    generation   s of each phase at rank 0, and per rank simulate, score and individuals; a hash of all its numbers
    end          why it ended, and s of the whole launch

Half a line, at the end, is what a kill left behind.  Only rank 0 of a launch writes, and between launches the command.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpcfit.errors import LedgerError, StorageError
from hpcfit.jobs.scaling.design import Point
from hpcfit.population.files import make_folder, storage_error, write_text

SCHEMA = 1
FILE = "timings.jsonl"


@dataclass(frozen=True)
class Generation:
    """One generation's times, s.

    Attributes
    ----------
    wall_s
        Of the generation loop at rank 0, from beginning to end.
    evolve_s, gather_s, map_s, write_s
        Of rank 0, one after the other: making offspring and choosing survivors; scores from what ranks sent; the
        population simulated and its features read, by all ranks; what is left, which is waiting for the ledger.  They
        add up to wall_s.
    simulate_s, score_s, individuals
        By rank, of the blocks that counted: seconds by its own clock, and how many.
    """

    number: int
    wall_s: float
    evolve_s: float
    gather_s: float
    map_s: float
    write_s: float
    simulate_s: tuple[float, ...]
    score_s: tuple[float, ...]
    individuals: tuple[int, ...]
    best: float
    hash: str

    @property
    def communicate_s(self) -> float:
        """What is left of rank 0's map: messages, and waiting for others."""
        return max(0.0, self.map_s - self.simulate_s[0] - self.score_s[0])


@dataclass
class Launch:
    """One start of a point's ranks, as far as it came.

    ready_s, first_block_s: by rank, s since its process was started; NaN for a rank that had no block.
    """

    number: int
    point: Point
    nodes: int
    environment: dict[str, Any]
    generations: list[Generation] = field(default_factory=list)
    ready_s: dict[int, float] = field(default_factory=dict)
    first_block_s: dict[int, float] = field(default_factory=dict)
    hosts: dict[int, str] = field(default_factory=dict)
    seconds: float | None = None
    """None: it did not come to its end."""


class Raw:
    """The file of a study."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def begun(self, identity: Mapping[str, Any]) -> None:
        """Start the file, or go on with it.

        Raises
        ------
        LedgerError
            When it is of something else: what differs.
        StorageError
            When it cannot be written.
        """
        if not self.path.exists():
            make_folder(self.path.parent)
            write_text(self.path, json.dumps({"kind": "study", "schema": SCHEMA, "identity": dict(identity)}) + "\n")
            return
        there = self.lines()[0]["identity"]
        for name in {**there, **identity}:
            if there.get(name) != identity.get(name):
                raise LedgerError(
                    f"{self.path}: holds timings of another {name} ({_short(there.get(name))}, not "
                    f"{_short(identity.get(name))}); choose another folder with --out, or take that one away"
                )
        self._mend()

    def append(self, **line: Any) -> None:
        """One line more.  Raises StorageError."""
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line, allow_nan=True) + "\n")
        except OSError as error:
            raise storage_error(self.path, error) from error

    def lines(self) -> list[dict[str, Any]]:
        """All whole lines.

        Raises
        ------
        LedgerError
            When it is no such file, or a newer hpcfit wrote it.
        """
        try:
            texts = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
            found = [json.loads(text) for text in texts if text.endswith("\n")]
            schema = found[0]["schema"] if found and found[0]["kind"] == "study" else None
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise LedgerError(f"{self.path}: cannot be read ({error}); take it away to measure again") from error
        if schema != SCHEMA:
            raise LedgerError(f"{self.path}: schema {schema} is not {SCHEMA}, the one that this hpcfit reads")
        return found

    def launches(self) -> list[Launch]:
        """All launches, in the order of their beginnings."""
        found: dict[int, Launch] = {}
        for line in self.lines()[1:]:
            kind, number = line["kind"], line["launch"]
            if kind == "launch":
                found[number] = Launch(number, Point(**line["point"]), line["nodes"], line["environment"])
            elif kind == "rank":
                found[number].ready_s[line["rank"]] = line["ready_s"]
                found[number].first_block_s[line["rank"]] = line["first_block_s"]
                found[number].hosts[line["rank"]] = line["host"]
            elif kind == "generation":
                found[number].generations.append(_generation(line))
            elif kind == "end":
                found[number].seconds = line["seconds"]
        return list(found.values())

    def _mend(self) -> None:
        """Drop half a line, or the next one would continue it."""
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with open(self.path, "r+b") as file:
                file.truncate(whole)
                os.fsync(file.fileno())


def _generation(line: Mapping[str, Any]) -> Generation:
    fields = {name: line[name] for name in Generation.__dataclass_fields__}
    lists = {name: tuple(fields[name]) for name in ("simulate_s", "score_s", "individuals")}
    return Generation(**{**fields, **lists})


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
