"""Why does a feature have no value?"""

from enum import IntEnum


class Reason(IntEnum):
    """Why there is no number; the kernel's enum Reason has the same values."""

    DEFINED = 0
    NOT_FINITE = 1
    """The trace holds a NaN or an infinity: none of its features is defined."""
    NO_SPIKE = 2
    """The voltage does not rise and fall through the threshold (inside the stimulus, where that is strict)."""
    TOO_FEW = 3
    """Fewer spikes, or events derived from them, than the feature needs."""
    OUTSIDE = 4
    """The samples that it needs lie outside the trace, or the stretch they would be in is empty."""
    NOT_FOUND = 5
    """What the feature looks for is not there: no sag, say, or no slope as steep as the threshold."""
    BEYOND = 6
    """The definition reads beyond the trace, or beyond a list of landmarks that is paired with the spikes by rank and
    is too short.  eFEL returns what happens to be in memory there."""
    NO_STIMULUS = 7
    """The stimulus' amplitude, its current or its steps are needed and were not given."""
    EMPTY = 8
    """Defined, and there is nothing in it: the intervals of two spikes without the first.  eFEL gives an empty list."""
    NOT_A_NUMBER = 9
    """Its values are there, but their mean is no finite number: a division by zero."""
