"""A training's folder as it is on disk now, also while it goes on: settings, epochs, posterior, evaluation."""

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hpcfit.errors import LedgerError
from hpcfit.report.posterior_view import FILE, PosteriorView, open_posterior

HEAD = "training.json"


def is_training(folder: str | Path) -> bool:
    """Does the folder hold a training?"""
    return (Path(folder) / HEAD).exists()


@dataclass(frozen=True)
class TrainingView:
    """What a training wrote.

    Attributes
    ----------
    settings
        Of its file.
    epochs
        Columns of epochs.csv by name, one number for each epoch; NaN where there is none.
    evaluation
        evaluation.json; None where the run has not been evaluated.
    """

    folder: Path
    settings: dict[str, Any]
    epochs: dict[str, np.ndarray]
    evaluation: dict[str, Any] | None

    @property
    def name(self) -> str:
        """Of the training file."""
        return str(self.settings.get("name", "training"))

    @property
    def number(self) -> int:
        """How many epochs are done."""
        return len(next(iter(self.epochs.values()), ()))

    @property
    def best_epoch(self) -> int | None:
        """The epoch with the lowest smoothed validation loss: that of the best checkpoint."""
        smoothed = self.epochs.get("valid_nll_smoothed")
        return None if smoothed is None or not np.isfinite(smoothed).any() else int(np.nanargmin(smoothed))

    @contextmanager
    def posterior(self) -> Iterator[PosteriorView | None]:
        """The posterior, open until the block ends; None where there is none yet.  Raises LedgerError."""
        if not (self.folder / FILE).exists():
            yield None
            return
        with open_posterior(self.folder / FILE) as view:
            yield view

    def decoding(self) -> dict[str, Any]:
        """Behaviour as it was and as it was decoded, (trials, time, dimensions), and its name; empty without."""
        try:
            with h5py.File(self.folder / "evaluation.h5") as file:
                found = {name: np.asarray(file[name]) for name in ("decoded", "signal")}
                return {**found, "name": np.asarray(file["name"]).item().decode()}
        except (OSError, KeyError):
            return {}


def open_training_view(folder: str | Path) -> TrainingView:
    """Read what is there.

    Raises
    ------
    LedgerError
        When the folder holds no training, or a file of it cannot be read.
    """
    folder = Path(folder)
    head = _json(folder / HEAD)
    if head is None:
        raise LedgerError(f"{folder}: no training is in it (no {HEAD}); `hpcfit train FILE` makes one")
    return TrainingView(folder, head.get("settings", {}), _epochs(folder / "epochs.csv"), _json(_evaluation(folder)))


def _evaluation(folder: Path) -> Path:
    return folder / "evaluation.json"


def _json(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise LedgerError(f"{path}: cannot be read: {error}") from None


def _epochs(path: Path) -> dict[str, np.ndarray]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    rows = list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])))
    names = rows[0] if rows else {}
    try:
        return {name: np.asarray([float(row[name]) for row in rows]) for name in names}
    except (TypeError, ValueError) as error:
        raise LedgerError(f"{path}: cannot be read: {error}") from None
