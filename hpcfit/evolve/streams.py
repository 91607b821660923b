"""Which random numbers belong to which member?  Salmon et al. 2011 (Philox, a counter-based generator).

A number depends on (seed, generation, purpose, member, column) and nothing else: not on the rank that asks, the order
of asking, or how many members there are.  So a run is the same on any number of ranks, and a resumed run needs no saved
state.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np

SEED_BITS = 128  # what SeedSequence holds in its fixed pool; a longer seed would run into the generation's words
GENERATION_BITS = 32


def draws(seed: int, generation: int, purpose: str, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform numbers in [0, 1), row i for member i.

    Parameters
    ----------
    seed : int
        The seed of the run, 0 <= seed < 2**128.
    generation : int
        0 <= generation < 2**32.
    purpose : str
        Names the stream, so that two uses in one generation share no numbers.
    shape : tuple of int
        (members, ...).  Fewer members give the first rows of the same numbers; another trailing shape gives others.

    Returns
    -------
    numpy.ndarray
        float64, of the given shape: multiples of 2**-53.

    Raises
    ------
    ValueError
        If the seed or the generation is out of its range.
    """
    require_unsigned("seed", seed, SEED_BITS)
    require_unsigned("generation", generation, GENERATION_BITS)
    key = np.random.SeedSequence(seed, spawn_key=(crc32(purpose.encode()), generation))
    # Raw words, not Generator.random: numpy promises the words of a bit generator for ever, a Generator's numbers not.
    words = np.random.Philox(key).random_raw(int(np.prod(shape)))
    return ((words >> np.uint64(11)) * 2.0**-53).reshape(shape)


def require_unsigned(name: str, value: int, bits: int) -> None:
    """Raise ValueError unless 0 <= value < 2**bits."""
    if not 0 <= value < 2**bits:
        raise ValueError(f"{name} = {value} is out of range; give a whole number from 0 to 2**{bits} - 1")
