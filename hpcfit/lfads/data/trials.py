"""What a model is trained on: binned trials for training and validation, and what is known of them."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hpcfit.errors import InputError


@dataclass(frozen=True)
class Trials:
    """Trials of one session.

    Attributes
    ----------
    encod
        (trials, encoded time, encoded neurons) float32: what the model sees.
    recon
        (trials, time, neurons) float32: what it explains.  The encoded part comes first in time and neurons; more
        neurons are held out, more time is to be predicted.
    truth
        Rates per bin behind recon, where they are known.
    lengths
        (trials,) bins that are there; None: all.
    conditions
        (trials,) whose condition; None: unknown.
    behaviour
        By name: (trials, encoded time, dimensions) of a signal, NaN where it is not known; or (trials,), a value each.
    """

    encod: np.ndarray
    recon: np.ndarray
    truth: np.ndarray | None = None
    lengths: np.ndarray | None = None
    conditions: np.ndarray | None = None
    behaviour: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.encod)


@dataclass(frozen=True)
class Session:
    """Training and validation trials that one population of neurons gave."""

    train: Trials
    valid: Trials
    name: str = "session"
    bin_s: float | None = None
    more: dict[str, np.ndarray] = field(default_factory=dict)
    """Other arrays of the file, by name: behaviour, indices."""

    @property
    def neurons(self) -> tuple[int, int]:
        """How many are seen, and how many explained."""
        return self.train.encod.shape[2], self.train.recon.shape[2]

    @property
    def steps(self) -> tuple[int, int]:
        """How many bins are seen, and how many explained."""
        return self.train.encod.shape[1], self.train.recon.shape[1]


def checked(session: Session, where: str | Path, counts: bool = True) -> Session:
    """The session, if a model can be trained on it.

    counts: must values be spike counts (Poisson)?

    Raises
    ------
    InputError
        What is wrong with which array, and what to do.
    """
    for part, trials in (("train", session.train), ("valid", session.valid)):
        if not len(trials):
            raise InputError(f"{where}: no {part} trials; give at least one, or another split")
        for name in ("encod", "recon"):
            array = getattr(trials, name)
            label = f"{where}: {part}_{name}_data"
            if array.ndim != 3 or 0 in array.shape:
                raise InputError(f"{label} has shape {array.shape}; it must be (trials, time, neurons)")
            bad = np.argwhere(~np.isfinite(array))
            if len(bad):
                raise InputError(
                    f"{label}: {len(bad)} values are not finite, the first at trial, bin, neuron {tuple(bad[0])}; "
                    "remove those trials, or give `lengths` where trials end early"
                )
            if counts and (array < 0).any():
                worst = tuple(int(i) for i in np.argwhere(array < 0)[0])
                raise InputError(
                    f"{label}: {array[worst]:g} at trial, bin, neuron {worst}; spike counts are not negative; for "
                    'other signals set model.reconstruction = "gaussian" or "gamma"'
                )
        if len(trials.recon) != len(trials.encod):
            raise InputError(
                f"{where}: {part}_encod_data has {len(trials.encod)} trials, {part}_recon_data {len(trials.recon)}; "
                "they must be the same trials"
            )
        if any(
            seen > explained for seen, explained in zip(trials.encod.shape[1:], trials.recon.shape[1:], strict=True)
        ):
            raise InputError(
                f"{where}: {part}_encod_data {trials.encod.shape[1:]} (time, neurons) does not fit inside "
                f"{part}_recon_data {trials.recon.shape[1:]}; what is seen must be the first part of what is explained"
            )
        if trials.truth is not None and trials.truth.shape != trials.recon.shape:
            raise InputError(
                f"{where}: {part}_truth has shape {trials.truth.shape}, {part}_recon_data {trials.recon.shape}"
            )
    if session.train.encod.shape[1:] != session.valid.encod.shape[1:]:
        raise InputError(
            f"{where}: train trials are {session.train.encod.shape[1:]} (time, neurons), valid trials "
            f"{session.valid.encod.shape[1:]}; they must be alike"
        )
    if session.train.recon.shape[1:] != session.valid.recon.shape[1:]:
        raise InputError(
            f"{where}: train_recon_data is {session.train.recon.shape[1:]} (time, neurons), valid_recon_data "
            f"{session.valid.recon.shape[1:]}; they must be alike"
        )
    return session
