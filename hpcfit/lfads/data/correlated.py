"""Which units copy others?  Keshtkaran, Sedler et al. 2022 (K22), Methods.

Two electrodes that record the same spikes let a model reconstruct one from the other, which coordinated dropout cannot
prevent; such units are left out before training.
"""

from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array

from hpcfit.lfads.data.recording import Recording, nanoseconds
from hpcfit.lfads.data.trials import Session
from hpcfit.lfads.data.units import chosen_units


def correlations(counts: np.ndarray) -> np.ndarray:
    """(units, units) coincidences: sum of products over the root of the sums of squares, at lag 0; diagonal 0.

    counts: (bins, units).  The mean is not taken off: with bins of 1 ms counts are almost all 0, and this is the part
    of spikes that are shared.  Units without spikes correlate with none.
    """
    counts = counts.astype(np.float32)
    return _normalised((counts.T @ counts).astype(float))


def correlated(found: np.ndarray, spikes: np.ndarray, most: float) -> list[int]:
    """Units to leave out, in order, until no pair correlates more than `most`.

    found: (units, units) correlations; spikes: (units,) how many each has.  Each time the one with the most such pairs
    goes; of several, the one with the most spikes.
    """
    over = found > most
    out: list[int] = []
    while over.any():
        conflicts = over.sum(0)
        worst = max(np.flatnonzero(conflicts), key=lambda unit: (conflicts[unit], spikes[unit], -unit))
        out.append(int(worst))
        over[worst] = over[:, worst] = False
    return out


def without_correlated(
    recording: Recording, most: float, bin_s: float, over_s: float | None
) -> tuple[Recording, str | None]:
    """The recording less units that copy others, and a note of them; over_s: only its beginning is looked at."""
    begin, bin_ns = int(nanoseconds(recording.start_s)), int(nanoseconds(bin_s))
    stop_s = recording.stop_s if over_s is None else min(recording.stop_s, recording.start_s + over_s)
    places = [(nanoseconds(times) - begin) // bin_ns for times in recording.spikes]
    bins = (int(nanoseconds(stop_s)) - begin) // bin_ns
    places = [some[(some >= 0) & (some < bins)] for some in places]
    spikes = np.asarray([len(some) for some in places])
    columns = np.concatenate(places) if places else np.zeros(0, np.int64)
    ends = np.concatenate([[0], np.cumsum(spikes)])
    counts = csr_array((np.ones(len(columns)), columns, ends), shape=(len(places), max(bins, 1)))
    counts.sum_duplicates()
    out = correlated(_normalised((counts @ counts.T).toarray()), spikes, most)
    if not out:
        return recording, None
    kept = [unit for unit in range(len(recording.units)) if unit not in out]
    rates = recording.rates
    less = replace(
        recording,
        spikes=tuple(recording.spikes[unit] for unit in kept),
        units=tuple(recording.units[unit] for unit in kept),
        held_out=recording.held_out[kept],
        rates=None if rates is None else replace(rates, values=rates.values[:, kept]),
    )
    return less, _copies([recording.units[unit] for unit in out], len(recording.units), most)


def arrays_without_correlated(session: Session, most: float) -> Session:
    """The session less units that copy others in training, by its bins."""
    units = session.neurons[1]
    flat = session.train.recon.reshape(-1, units)
    out = correlated(correlations(flat), flat.sum(0), most)
    if not out:
        return session
    named = [session.units[unit] if session.units else str(unit) for unit in out]
    return chosen_units(session, ~np.isin(np.arange(units), out), _copies(named, units, most))


def _normalised(products: np.ndarray) -> np.ndarray:
    size = np.sqrt(np.diag(products))
    found = products / np.maximum(np.outer(size, size), np.finfo(np.float32).tiny)
    np.fill_diagonal(found, 0.0)
    return found


def _copies(named: list[str], units: int, most: float) -> str:
    return f"{len(named)} of {units} units correlate more than {most:g} with others: {', '.join(named)}; left out"
