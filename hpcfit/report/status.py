"""How a run stands, in plain text: for `hpcfit status RUN`."""

import socket
from pathlib import Path
from typing import Any

import numpy as np

from hpcfit.report.log import FAILURES, log_line
from hpcfit.report.run_view import RunView, open_run
from hpcfit.report.said import is_alive, read_said, sign_of_life
from hpcfit.report.training_status import training_status
from hpcfit.report.training_view import is_training
from hpcfit.report.words import duration, improvement

_LINES = 3


def status_text(folder: str | Path) -> str:
    """State, progress, best score, pace, failures and last log lines of a run; nothing but the ledger is needed.

    Raises
    ------
    LedgerError
        When the folder has no ledger that can be read.
    """
    folder = Path(folder)
    if is_training(folder):
        return training_status(folder)
    view, said = open_run(folder), read_said(folder)
    rows = {"run": f"{folder} ({view.settings.get('name', 'no name')})", "state": _state(view, said)}
    rows["generations"] = f"{view.generations} of {_wanted(view, said) or '?'}"
    if said.get("note"):
        rows["simulator"] = str(said["note"])
    if view.generations:
        rows |= _progress(view, said)
    else:
        rows["note"] = "no generation has been finished yet"
    text = "\n".join(f"{name + ':':<14}{value}" for name, value in rows.items())
    lines = _last_lines(folder, view)
    return "\n".join([text, *(["last lines:"] if lines else []), *(f"  {line}" for line in lines)])


def _state(view: RunView, said: dict[str, Any]) -> str:
    state, reason = str(said.get("state", "")), str(said.get("reason") or "")
    ago = sign_of_life(said)
    if not state:
        wanted = _wanted(view, said)
        done = wanted and view.generations >= wanted
        return "finished (no status.json, but every generation is there)" if done else "unknown (no status.json)"
    if state != "running":
        return f"{state} ({reason})" if reason else state
    host, pid = str(said.get("host", "")), said.get("pid")
    place = f"process {pid} on {host}"
    if host == socket.gethostname() and isinstance(pid, int):
        if not is_alive(pid):
            return f"died ({place} is gone{ago}); give the same command to go on from generation {view.generations}"
        return f"running ({place}{ago})"
    return f"running, says status.json ({place}, which cannot be asked from here{ago})"


def _wanted(view: RunView, said: dict[str, Any]) -> int:
    return int(said.get("generations") or view.settings.get("run", {}).get("generations") or 0)


def _progress(view: RunView, said: dict[str, Any]) -> dict[str, str]:
    start, best = float(view.best_scores()[0]), view.best
    rows = {
        "evaluations": str(view.evaluations),
        "best score": f"{best.score:.6g} (generation {best.generation}, individual {best.id})",
        "improvement": f"{improvement(start, best.score)}; generation 0 had {start:.6g}",
    }
    pace = _pace(view, said)
    if pace is not None:
        rows["pace"] = f"{duration(pace)} per generation"
        left = _wanted(view, said) - view.generations
        if said.get("state") == "running" and left > 0:
            rows["to the end"] = f"{duration(left * pace)} ({left} generations)"
    return rows | {"failures": _failures(view)}


def _pace(view: RunView, said: dict[str, Any]) -> float | None:
    given = said.get("seconds_per_generation")
    if isinstance(given, int | float) and given > 0:
        return float(given)
    total = view.timings().get("total", np.array([np.nan]))
    return float(np.nanmean(total)) if np.isfinite(total).any() else None


def _failures(view: RunView) -> str:
    counts = view.counts()
    parts = [f"{counts[cause].sum()} {cause}" for cause in FAILURES if cause in counts and counts[cause].any()]
    failed = f"simulations: {', '.join(parts)}" if parts else "no simulation failed"
    return f"{failed}; undefined features: {counts.get('undefined_features', np.zeros(1, int)).sum()}"


def _last_lines(folder: Path, view: RunView) -> list[str]:
    try:
        lines = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        best = view.best_scores()
        numbers = range(max(0, view.generations - _LINES), view.generations)
        # The ledger keeps no time of day: the stamp of these lines would be that of now.
        lines = [log_line(view.generation(number), float(best[number])).split(" ", 1)[1] for number in numbers]
    return lines[-_LINES:]
