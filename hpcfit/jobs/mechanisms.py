"""What do the simulators make of .mod files?  The table that `hpcfit mechanisms check` prints."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hpcfit.biophys.engines.nmodl.check import Checked, Finding, check_file
from hpcfit.biophys.engines.trial import Trial, try_against_neuron
from hpcfit.errors import InputError


@dataclass(frozen=True)
class Row:
    """One file: what becomes of it and, where it was tried, how far the engines are apart."""

    checked: Checked
    trial: Trial | None

    @property
    def good(self) -> bool:
        """Translated, taken, and not seen to differ."""
        return not self.checked.refusals and (self.trial is None or self.trial.verdict not in ("different", "refused"))


def check_mechanisms(paths: Iterable[Path], against_neuron: bool = False, orders: Sequence[int] = (1, 2)) -> list[Row]:
    """A row for every .mod file of the paths (files, or folders that are searched to the bottom).

    against_neuron: compare what is translated with NEURON, on all cores; orders: of the step.

    Raises
    ------
    InputError
        When a path does not exist, or no .mod file is found.
    """
    files = _files(paths)
    checked = [check_file(file) for file in files]
    if not against_neuron:
        return [Row(one, None) for one in checked]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:  # each waits for a process of its own
        return list(threads.map(lambda one: Row(one, _trial(one, orders)), checked))


def _trial(checked: Checked, orders: Sequence[int]) -> Trial | None:
    return None if checked.refusals else try_against_neuron(checked.path.resolve(), orders)


def _files(paths: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder; name .mod files or folders of them")
        found += sorted(path.rglob("*.mod")) if path.is_dir() else [path]
    if not found:
        raise InputError(f"{', '.join(map(str, paths))}: no .mod file in it; name .mod files or folders of them")
    return found


def report(rows: Sequence[Row]) -> str:
    """The rows in words, one line per finding, and a last line that counts."""
    lines = [line for row in rows for line in _lines(row)]
    translated = sum(not row.checked.refusals for row in rows)
    tried = [row.trial.verdict for row in rows if row.trial is not None]
    counts = "".join(f", {verdict} {tried.count(verdict)}" for verdict in dict.fromkeys(tried))
    return "\n".join([*lines, f"{len(rows)} files: {translated} translated, {len(rows) - translated} refused{counts}"])


def _lines(row: Row) -> list[str]:
    one = row.checked
    if one.refusals:
        return [_finding(one.path, "refused", finding) for finding in one.refusals]
    return [f"{one.path}: ok, {one.name}{_numbers(row.trial)}", *(_finding(one.path, "note", r) for r in one.remarks)]


def _finding(path: Path, kind: str, finding: Finding) -> str:
    place = f", line {finding.line}" if finding.line else ""
    return f"{path}{place}: {kind}: {finding.what}"


def _numbers(trial: Trial | None) -> str:
    if trial is None:
        return ""
    if trial.reason:
        return f"; against NEURON: {trial.verdict} ({trial.reason})"
    numbers = f"{trial.before_mV:.1e} mV before the first spike, spikes {trial.spike_ms:.1e} ms"
    return f"; against NEURON: {trial.verdict}, {numbers}, of an effect of {trial.effect_mV:.2g} mV"
