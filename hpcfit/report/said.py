"""What does status.json say, and does the process that wrote it still live?"""

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from hpcfit.report.words import duration


def read_said(folder: Path) -> dict[str, Any]:
    """What status.json says; nothing when there is none, or it is no longer (or not yet) whole."""
    try:
        said = json.loads((folder / "status.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def sign_of_life(said: dict[str, Any]) -> str:
    """How long ago status.json was brought up to date, as the end of a sentence."""
    updated = _age(said)
    return "" if updated is None else f", last sign of life {duration(updated)} ago"


def is_alive(pid: int) -> bool:
    """Is there a process of that number on this machine?"""
    if pid <= 0:
        return False  # to the kernel these mean groups of processes
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True  # somebody else's; there is no telling more
    return True


def _age(said: dict[str, Any]) -> float | None:
    """Seconds since status.json was brought up to date."""
    try:
        updated = datetime.fromisoformat(str(said["updated"]))
    except (KeyError, ValueError):
        return None
    return max(0.0, (datetime.now(updated.tzinfo) - updated).total_seconds())
