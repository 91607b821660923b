"""How far does each quantity range over generation 0?  For quantities that are told in units of that range."""

import numpy as np


def first_generation_ranges(units: np.ndarray, ranged: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Units, (quantities,), with ranges in place of those in `ranged`, but none smaller than the unit it replaces.

    The ledger holds generation 0, so a run that goes on and a report find the same numbers.  A quantity that no
    individual of generation 0 has keeps its unit.

    units: (quantities,); ranged: (quantities,) bool; values: (individuals, quantities), NaN where undefined.
    """
    finite = np.isfinite(values)
    highest = np.max(np.where(finite, values, -np.inf), axis=0, initial=-np.inf)
    lowest = np.min(np.where(finite, values, np.inf), axis=0, initial=np.inf)
    return np.where(ranged, np.maximum(highest - lowest, units), units)
