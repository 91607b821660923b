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
_WORDS_A_STEP = 4
"""Philox makes its words by fours."""


def draws(seed: int, generation: int, purpose: str, shape: tuple[int, ...], first: int = 0) -> np.ndarray:
    """Uniform numbers in [0, 1), row i for member first + i.

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

    first : int
        The member of the first row; with that, parts of a generation can be drawn apart, in any order.

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
    stream = np.random.Philox(key)
    before = first * int(np.prod(shape[1:]))
    stream.advance(before // _WORDS_A_STEP)
    words = stream.random_raw(before % _WORDS_A_STEP + int(np.prod(shape)))[before % _WORDS_A_STEP :]
    return ((words >> np.uint64(11)) * 2.0**-53).reshape(shape)


def island_seed(seed: int, island: int) -> int:
    """The seed of one island: that of the run for the first, else one made of the run's and the island's number.

    So a number depends on (seed, island, generation, purpose, member, column), and a run of one island has the numbers
    of a run without islands.  0 <= seed < 2**128, 0 <= island < 2**32.
    """
    if island == 0:
        return seed
    words = np.random.SeedSequence(seed, spawn_key=(crc32(b"island"), island)).generate_state(SEED_BITS // 32)
    return int.from_bytes(words.astype("<u4").tobytes(), "little")


def require_unsigned(name: str, value: int, bits: int) -> None:
    """Raise ValueError unless 0 <= value < 2**bits."""
    if not 0 <= value < 2**bits:
        raise ValueError(f"{name} = {value} is out of range; give a whole number from 0 to 2**{bits} - 1")
