"""Train an LFADS model to the end of its file, or go on where its folder stands; the same numbers either way."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hpcfit.errors import LedgerError, Unfinished
from hpcfit.jobs.folder import json_settings
from hpcfit.jobs.leaving import Departure
from hpcfit.jobs.signals import heard
from hpcfit.jobs.training.folder import TrainingFolder, opened
from hpcfit.jobs.training.inference import data_hash, infer_into
from hpcfit.jobs.training.load import load_training, session_of
from hpcfit.lfads import checkpoint
from hpcfit.lfads.data.trials import Session
from hpcfit.lfads.training import Data, Member, after_epoch, device_of, mean_rates, r_squared, train_epoch, validate
from hpcfit.run.slurm.environment import this_job

Row = Mapping[str, float]


@dataclass(frozen=True)
class Trained:
    """How a training ended: its folder, why, and the rows of epochs.csv as numbers."""

    folder: Path
    reason: str
    rows: tuple[Row, ...]


def train(
    file: str | Path,
    folder: str | Path | None = None,
    changed: Mapping[str, Any] = MappingProxyType({}),
    on_epoch: Callable[[Row], Any] = lambda row: None,
    on_note: Callable[[str], Any] = lambda note: None,
) -> Trained:
    """Train the model of a training file.

    Parameters
    ----------
    file
        TOML with kind = "lfads".
    folder
        The run folder; default: runs/NAME in the working folder.
    changed
        Keys of [training] and their values.
    on_epoch
        Called with the row of epochs.csv after each epoch.
    on_note
        Called with what was done to the data: silent units left out, ...

    Raises
    ------
    ConfigError, InputError
        Before anything is written, when settings or data are unusable.
    LedgerError
        When the folder belongs to another training.
    StorageError
        When a checkpoint cannot be written; those before it are kept, and the same call goes on.
    Unfinished
        When its job's time is up, or a signal asks to leave: whole epochs are kept, and the same call goes on.
    """
    settings = load_training(file)
    training = settings.training.model_validate({**settings.training.model_dump(), **dict(changed)})
    settings = settings.model_copy(update={"training": training})
    place = Path(folder) if folder is not None else Path("runs") / settings.name
    session = session_of(settings)
    for note in session.notes:
        on_note(note)
    member = Member.fresh(settings, session)
    base = Path(file).resolve().parent
    job, data = this_job(), data_hash(session)
    with heard(in_job=job is not None) as ears, opened(place, json_settings(settings, base), data, base) as there:
        _resumed(there, member)
        state = _State(there, member, session, on_epoch, Departure(ears, job))
        try:
            reason = state.run()
            if settings.posterior.at_end and there.best.exists():
                there.status("running", "inferring", **state.said())
                infer_into(place, settings, session, data)
        except Unfinished as error:
            there.status("waiting", str(error), **state.said())
            raise
        except BaseException as error:
            words = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
            there.status("stopped", words, **state.said())
            raise
        there.status("finished", reason, **state.said())
        rows = tuple({name: float(value) for name, value in row.items()} for row in there.rows())
    return Trained(place, reason, rows)


def _resumed(there: TrainingFolder, member: Member) -> None:
    """Take the newest checkpoint that is whole; a damaged one is passed over, and its epochs are done again."""
    for path in there.checkpoints():
        try:
            checkpoint.read_head(path)
        except LedgerError:
            path.unlink()
            continue
        checkpoint.load(path, member)
        there.cut_rows(member.progress.epoch)
        return
    there.cut_rows(0)


class _State:
    """A training between its epochs."""

    def __init__(
        self,
        there: TrainingFolder,
        member: Member,
        session: Session,
        on_epoch: Callable[[Row], Any],
        departure: Departure,
    ) -> None:
        settings = member.settings
        device = device_of(settings)
        self._there, self._member, self._on_epoch, self._departure = there, member, on_epoch, departure
        self._train = Data(session.train, settings, device, "train")
        self._valid = Data(session.valid, settings, device, "valid")
        self._truth = session.valid.truth
        self._slowest_s = 0.0

    def said(self) -> dict[str, Any]:
        """For status.json."""
        progress = self._member.progress
        best = progress.best if progress.best_epoch >= 0 else None
        return {"epochs": progress.epoch, "of": self._member.settings.training.epochs, "best_valid_nll": best}

    def run(self) -> str:
        """Epoch after epoch to the first of the ends; gives it in words."""
        began_s = time.monotonic()
        self._there.status("running", "", **self.said())
        while not (reason := self._end(time.monotonic() - began_s)):
            self._departure.generation()
            since_s = time.monotonic()
            row = self._epoch()
            self._slowest_s = max(self._slowest_s, time.monotonic() - since_s)
            self._on_epoch(row)
            self._there.status("running", "", **self.said())
        return reason

    def _epoch(self) -> Row:
        member, training = self._member, self._member.settings.training
        since_s = time.monotonic()
        epoch, rate = member.progress.epoch, member.progress.learning_rate
        found = train_epoch(member, self._train)
        train_s = time.monotonic() - since_s
        valid = validate(member, self._valid)
        after_epoch(member, valid["nll"])
        row = {"epoch": epoch, "learning_rate": rate}
        row |= {f"train_{name}": value for name, value in found.items()}
        row |= {f"valid_{name}": value for name, value in valid.items()}
        row["valid_nll_smoothed"] = member.progress.smoothed or 0.0
        if self._truth is not None:
            row["valid_r2"] = r_squared(mean_rates(member, self._valid), self._truth)
        row |= {"train_s": train_s, "epoch_s": time.monotonic() - since_s}
        self._there.append(row)
        checkpoint.save(self._there.checkpoint(member.progress.epoch), member)
        if member.progress.best_epoch == epoch:
            checkpoint.save(self._there.best, member)
        self._there.forget_old(training.keep_checkpoints)
        return row

    def _end(self, elapsed_s: float) -> str:
        progress, training = self._member.progress, self._member.settings.training
        if progress.epoch >= training.epochs:
            return f"all {training.epochs} epochs done"
        if progress.learning_rate <= training.learning_rate_least:
            return f"the learning rate has come down to {progress.learning_rate:.3g}"
        waited = progress.epoch - 1 - progress.best_epoch
        if training.patience is not None and progress.epoch and waited >= training.patience:
            return f"no better validation loss in {waited} epochs"
        if training.wall_clock_s is not None and elapsed_s + self._slowest_s > training.wall_clock_s:
            return f"{elapsed_s:.0f} of {training.wall_clock_s:g} s used"
        return ""
