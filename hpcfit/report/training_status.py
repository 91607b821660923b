"""How a training stands, in plain text: for `hpcfit status RUN`."""

import socket
from pathlib import Path
from typing import Any

import numpy as np

from hpcfit.report.said import is_alive, read_said, sign_of_life
from hpcfit.report.training import epoch_line
from hpcfit.report.training_view import TrainingView, open_training_view
from hpcfit.report.words import duration

_LINES = 3
_PACE_EPOCHS = 10


def training_status(folder: str | Path) -> str:
    """State, epochs, best validation loss, pace and last epochs of a training.  Raises LedgerError."""
    view = open_training_view(folder)
    said = read_said(view.folder)
    wanted = said.get("of") or view.settings.get("training", {}).get("epochs") or "?"
    rows = {"run": f"{view.folder} ({view.name})", "state": _state(said), "epochs": f"{view.number} of {wanted}"}
    if view.number:
        rows |= _progress(view, said)
    else:
        rows["note"] = "no epoch has been finished yet"
    text = "\n".join(f"{name + ':':<14}{value}" for name, value in rows.items())
    last = [_row(view, index) for index in range(max(0, view.number - _LINES), view.number)]
    # epochs.csv keeps no time of day: the stamp of these lines would be that of now.
    lines = [f"  {epoch_line(row).split(' ', 1)[1]}" for row in last]
    return "\n".join([text, *(["last epochs:"] if lines else []), *lines])


def _row(view: TrainingView, index: int) -> dict[str, float]:
    return {name: float(values[index]) for name, values in view.epochs.items()}


def _progress(view: TrainingView, said: dict[str, Any]) -> dict[str, str]:
    rows, columns = {}, view.epochs
    if (best := view.best_epoch) is not None:
        r2 = f", R2 against true rates {columns['valid_r2'][best]:.3f}" if "valid_r2" in columns else ""
        rows["best"] = (
            f"smoothed validation NLL {columns['valid_nll_smoothed'][best]:.5f} at epoch {int(columns['epoch'][best])}"
            f"{r2}"
        )
    pace = float(np.median(columns["epoch_s"][-_PACE_EPOCHS:]))
    rows["pace"] = f"{duration(pace)} per epoch"
    left = int(said.get("of") or 0) - view.number
    if said.get("state") == "running" and left > 0:
        rows["to the end"] = f"{duration(left * pace)} ({left} epochs) if nothing ends it earlier"
    rows["posterior"] = "there" if (view.folder / "posterior.h5").exists() else "not yet"
    return rows


def _state(said: dict[str, Any]) -> str:
    state, reason = str(said.get("state", "")), str(said.get("reason") or "")
    if not state:
        return "unknown (no status.json)"
    if state != "running":
        return f"{state} ({reason})" if reason else state
    host, pid, ago = str(said.get("host", "")), said.get("pid"), sign_of_life(said)
    place = f"process {pid} on {host}"
    if host == socket.gethostname() and isinstance(pid, int):
        if not is_alive(pid):
            return f"died ({place} is gone{ago}); give the same command to go on"
        return f"running ({place}{ago})"
    return f"running, says status.json ({place}, which cannot be asked from here{ago})"
