"""Can a model be trained on these trials?  One error says what is wrong with which array, and what to do."""

from pathlib import Path

import numpy as np

from hpcfit.errors import InputError
from hpcfit.lfads.data.trials import PER_TRIAL, Session, Trials

POSITIVE = ("gamma", "zero_inflated_gamma")
"""Distributions of signals that are not negative."""


def checked(session: Session, where: str | Path, counts: bool = True, reconstruction: str | None = None) -> Session:
    """The session, if a model can be trained on it.

    counts: must values be spike counts (Poisson)?  reconstruction: the model's, which settles that and more.

    Raises
    ------
    InputError
        What is wrong with which array, and what to do.
    """
    kind = reconstruction or ("poisson" if counts else "gaussian")
    shaped(session, where)
    for part, trials in (("train", session.train), ("valid", session.valid)):
        if not len(trials):
            raise InputError(f"{where}: no {part} trials; give at least one, or another split")
        for name in ("encod", "recon"):
            array = getattr(trials, name)
            if 0 in array.shape:
                raise InputError(f"{where}: {part}_{name}_data is empty: (trials, time, neurons) is {array.shape}")
            _values(array, f"{where}: {part}_{name}_data", kind)
    if kind != "poisson":
        _varies(session.train.recon, where)
    return session


def shaped(session: Session, where: str | Path) -> Session:
    """The session, if its arrays fit each other; there may be no trials, and any values.  Raises InputError."""
    for part, trials in (("train", session.train), ("valid", session.valid)):
        for name in ("encod", "recon"):
            shape = getattr(trials, name).shape
            if len(shape) != 3:
                raise InputError(f"{where}: {part}_{name}_data has shape {shape}; it must be (trials, time, neurons)")
        if len(trials):
            _fits(trials, where, part)
    for name in ("encod", "recon"):
        train, valid = getattr(session.train, name), getattr(session.valid, name)
        if train.shape[1:] != valid.shape[1:]:
            raise InputError(
                f"{where}: train_{name}_data is {train.shape[1:]} (time, neurons), valid_{name}_data "
                f"{valid.shape[1:]}; they must be alike"
            )
    return session


def long_enough(session: Session, ic_window: int, where: str | Path) -> Session:
    """The session, if every trial is longer than what the encoder of initial conditions takes.  Raises InputError."""
    steps = session.steps[0]
    for part, trials in (("train", session.train), ("valid", session.valid)):
        lengths = np.full(len(trials), steps) if trials.lengths is None else np.asarray(trials.lengths)
        short = np.flatnonzero(np.minimum(lengths, steps) <= ic_window) if ic_window else np.zeros(0, int)
        if len(short):
            raise InputError(
                f"{where}: {part} trial {short[0]} has {lengths[short[0]]:g} bins, model.ic_window takes {ic_window} "
                f"({len(short)} such trials); nothing would be left to model: shorten the window, or leave them out"
            )
    return session


def _values(array: np.ndarray, label: str, kind: str) -> None:
    if array.dtype.kind in "ui" and (array.dtype.kind == "u" or kind == "gaussian"):
        return  # no NaN, and nothing negative that matters
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        raise InputError(
            f"{label}: {len(bad)} values are not finite, the first at trial, bin, neuron {_place(bad[0])}; "
            "remove those trials, or give `lengths` where trials end early"
        )
    if kind == "gaussian" or not (array < 0).any():
        return
    worst = _place(np.argwhere(array < 0)[0])
    what = (
        'spike counts are not negative; for other signals set model.reconstruction = "gaussian" or "gamma"'
        if kind == "poisson"
        else f'{kind} is for values from 0; take model.reconstruction = "gaussian", or shift the signal'
    )
    raise InputError(f"{label}: {array[worst]:g} at trial, bin, neuron {worst}; {what}")


def _fits(trials: Trials, where: str | Path, part: str) -> None:
    """Do the arrays of one split belong together?"""
    named = {**{name: getattr(trials, name) for name in PER_TRIAL}, **trials.behaviour}
    for name, array in named.items():
        if array is not None and len(array) != len(trials):
            if name == "recon":
                raise InputError(
                    f"{where}: {part}_encod_data has {len(trials)} trials, {part}_recon_data {len(array)}; they must "
                    "be the same trials"
                )
            raise InputError(
                f"{where}: {part}_{name} has {len(array)} entries for {len(trials)} trials; give one for each"
            )
    encod, recon = trials.encod, trials.recon
    if any(seen > explained for seen, explained in zip(encod.shape[1:], recon.shape[1:], strict=True)):
        raise InputError(
            f"{where}: {part}_encod_data {encod.shape[1:]} (time, neurons) does not fit inside {part}_recon_data "
            f"{recon.shape[1:]}; what is seen must be the first part of what is explained"
        )
    if trials.truth is not None and trials.truth.shape != recon.shape:
        raise InputError(f"{where}: {part}_truth has shape {trials.truth.shape}, {part}_recon_data {recon.shape}")
    if trials.lengths is not None:
        _lengths(np.asarray(trials.lengths), recon.shape[1], f"{where}: {part}_lengths")


def _lengths(lengths: np.ndarray, steps: int, label: str) -> None:
    whole = lengths.dtype.kind in "ui" or (lengths.dtype.kind == "f" and np.array_equal(lengths, np.rint(lengths)))
    if lengths.ndim != 1 or not whole:
        raise InputError(f"{label} has shape {lengths.shape} and type {lengths.dtype}; give whole numbers (trials,)")
    bad = np.flatnonzero((lengths < 1) | (lengths > steps))
    if len(bad):
        raise InputError(f"{label}: trial {bad[0]} has {lengths[bad[0]]:g} bins; it must be 1 to {steps}, the array's")


def _varies(recon: np.ndarray, where: str | Path) -> None:
    flat = recon.reshape(-1, recon.shape[2])
    still = np.flatnonzero(flat.min(0) == flat.max(0))
    if len(still):
        raise InputError(
            f"{where}: neuron {still[0]} of train_recon_data has the value {flat[0, still[0]]:g} everywhere"
            f"{f' (and {len(still) - 1} more)' if len(still) > 1 else ''}; a density would grow without bound there: "
            'set data.units.silent = "drop", or take the neuron out'
        )


def _place(index: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in index)
