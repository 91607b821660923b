"""Which trials validate?  A column of the trial table says it, or blocks of neighbours are chosen."""

from pathlib import Path

import numpy as np

from hpcfit.errors import InputError
from hpcfit.lfads.data.settings import ValidationSettings


def by_blocks(blocks: np.ndarray, settings: ValidationSettings, where: str | Path) -> np.ndarray:
    """(trials,) bool: which validate; blocks: (trials,) whose block each is in.

    Every k-th block, k = 1 / part rounded, beginning with the first; or a random part of the blocks, by the seed.

    Raises
    ------
    InputError
        When there are too few blocks for both splits.
    """
    part = settings.part or 0.2
    names = np.unique(blocks)
    if settings.choose == "random":
        number = min(max(round(part * len(names)), 1), len(names))
        chosen = np.random.default_rng(settings.seed).permutation(names)[:number]
    else:
        chosen = names[:: max(round(1.0 / part), 1)]
    if len(chosen) >= len(names):
        raise InputError(
            f"{where}: {len(blocks)} trials in {len(names)} blocks, {len(chosen)} of them to validate: none is left to "
            "train on; make data.validation.block or part smaller, or give more trials"
        )
    return np.isin(blocks, chosen)


def by_column(
    column: np.ndarray, settings: ValidationSettings, where: str | Path
) -> tuple[np.ndarray, np.ndarray, str | None]:
    """(trials,) bool: which train, which validate; and a note of those that do neither.

    Raises
    ------
    InputError
        When one of them is empty, with the values that the column has.
    """
    words = np.asarray([str(value) for value in column])
    train, valid = np.isin(words, settings.train), np.isin(words, settings.valid)
    for name, wanted, mask in (("train", settings.train, train), ("valid", settings.valid, valid)):
        if not mask.any():
            raise InputError(
                f"{where}: no trial has {' or '.join(wanted)} in column {settings.column} (data.validation.{name}); it "
                f"has {', '.join(sorted(set(words)))}"
            )
    rest = ~(train | valid)
    note = f"{rest.sum()} trials are {', '.join(sorted(set(words[rest])))} in {settings.column}: they are left out"
    return train, valid, note if rest.any() else None
