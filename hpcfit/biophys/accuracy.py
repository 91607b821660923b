"""How far is a simulation from the limit dt -> 0?  Spikes paired by rank, features in sd, score terms.

A spike is an upward crossing of the fit's threshold at the soma, interpolated between samples.  Only responses whose
limit is known are compared: where the two finest steps of the reference disagree about the number of spikes, or about
a spike by more than UNRESOLVED_MS, no step that a fit can afford has an answer to be right about.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcfit.biophys.engines.interface import Responses, Status
from hpcfit.biophys.scores import contributions
from hpcfit.biophys.settings import PenaltySettings
from hpcfit.biophys.terms import Term

UNRESOLVED_MS = 0.1
"""A reference whose own spikes move by more than this when its step is halved is no reference."""


@dataclass(frozen=True)
class Observed:
    """What is left of the responses of a population.

    Attributes
    ----------
    spikes_ms
        [individual][stimulus]: (spikes,) times.
    features, contributions
        (individuals, terms): values, NaN where undefined; and what each adds to the score.
    status
        (individuals, stimuli), values of Status.
    """

    spikes_ms: tuple[tuple[np.ndarray, ...], ...]
    features: np.ndarray
    contributions: np.ndarray
    status: np.ndarray

    @classmethod
    def of(
        cls,
        responses: Responses,
        features: np.ndarray,
        terms: Sequence[Term],
        penalties: PenaltySettings,
        threshold_mV: float,
    ) -> "Observed":
        """features: (individuals, terms), as read from these responses."""
        soma = responses.sites.index("soma")
        spikes = tuple(
            tuple(spike_times_ms(v_mV[row, soma], responses.dt_ms, threshold_mV) for v_mV in responses.v_mV)
            for row in range(len(responses.status))
        )
        columns = [responses.stimuli.index(term.stimulus) for term in terms]
        parts, _ = contributions(features, responses.status[:, columns], terms, penalties)
        return cls(spikes, features, parts, responses.status)


@dataclass(frozen=True)
class Reference:
    """The limit dt -> 0 as far as it is known.

    Attributes
    ----------
    observed
        At the finest step.
    resolved
        (individuals, stimuli) bool: responses whose limit is known.
    reasons
        (individual, stimulus) -> why not, for the others.
    error_ms
        Largest distance of a spike between the two finest steps, over resolved responses: for a scheme of any order
        that converges at all, an upper bound of what the finest is off by (of second order: three times it).
    features_error_sd
        The same of a feature, in sd.
    """

    observed: Observed
    resolved: np.ndarray
    reasons: dict[tuple[int, int], str]
    error_ms: float
    features_error_sd: float


def spike_times_ms(v_mV: np.ndarray, dt_ms: float, threshold_mV: float) -> np.ndarray:
    """Upward crossings of the threshold, linear between samples: (spikes,), ms.  v_mV: (time,) at dt_ms."""
    up = np.flatnonzero((v_mV[1:] > threshold_mV) & (v_mV[:-1] <= threshold_mV))
    return (up + (threshold_mV - v_mV[up]) / (v_mV[up + 1] - v_mV[up])) * dt_ms


def make_reference(fine: Observed, finest: Observed, terms: Sequence[Term], stimuli: Sequence[str]) -> Reference:
    """What two small steps agree about.  fine, finest: the same population, at a step and at half of it."""
    resolved = np.ones(finest.status.shape, dtype=bool)
    reasons: dict[tuple[int, int], str] = {}
    largest = 0.0
    for row, column in np.ndindex(*resolved.shape):
        why, shift = _disagreement(fine, finest, row, column)
        if why:
            resolved[row, column] = False
            reasons[row, column] = why
        largest = max(largest, 0.0 if why else shift)
    changes, _ = feature_changes(fine, finest, resolved, terms, stimuli)
    return Reference(finest, resolved, reasons, largest, float(np.nanmax(changes, initial=0.0)))


def _disagreement(fine: Observed, finest: Observed, row: int, column: int) -> tuple[str, float]:
    if fine.status[row, column] != Status.OK or finest.status[row, column] != Status.OK:
        return f"the reference {Status(int(max(fine.status[row, column], finest.status[row, column]))).name}", 0.0
    one, other = fine.spikes_ms[row][column], finest.spikes_ms[row][column]
    if len(one) != len(other):
        return f"{len(one)} spikes at one step, {len(other)} at half of it", 0.0
    shift = float(np.max(np.abs(one - other), initial=0.0))
    return (f"a spike moves by {shift:.2g} ms when the step is halved" if shift > UNRESOLVED_MS else ""), shift


def errors(scheme: Observed, reference: Reference, terms: Sequence[Term], stimuli: Sequence[str]) -> dict[str, Any]:
    """A scheme's distances from the reference over its resolved responses, as JSON can hold them.

    `counts_changed` of `responses` fire another number of spikes, `failed` gave no trace: both are in no shift.
    Features are in units of the fit's sd; `undefined_changed` of `features` are defined in only one of the two.
    Entries are None where there is nothing to compare.
    """
    shifts, first, last, changed, failed = [], [], [], 0, 0
    for row, column in np.argwhere(reference.resolved):
        ours, limit = scheme.spikes_ms[row][column], reference.observed.spikes_ms[row][column]
        if scheme.status[row, column] != Status.OK:
            failed += 1
        elif len(ours) != len(limit):
            changed += 1
        elif len(limit):
            shift = np.abs(ours - limit)
            shifts.append(shift)
            first.append(shift[0])
            last.append(shift[-1])
    compared = reference.resolved & (scheme.status == Status.OK)
    change, undefined = feature_changes(scheme, reference.observed, compared, terms, stimuli)
    defined = np.isfinite(change)
    worst = np.unravel_index(np.argmax(np.where(defined, change, -1.0)), change.shape) if np.any(defined) else None
    difference = np.where(
        term_mask(compared, terms, stimuli), scheme.contributions - reference.observed.contributions, 0.0
    )
    score = np.abs(difference.sum(axis=1))
    every = np.concatenate(shifts) if shifts else np.empty(0)
    return {
        "responses": int(reference.resolved.sum()),
        "failed": failed,
        "counts_changed": changed,
        "spikes": len(every),
        "shift_ms": {
            "largest": _largest(every),
            "median": float(np.median(every)) if len(every) else None,
            "first_largest": _largest(first),
            "last_largest": _largest(last),
        },
        "features_sd": {
            "largest": float(change[worst]) if worst else None,
            "largest_of": terms[int(worst[1])].name if worst else None,
            "mean": float(np.mean(change[defined])) if worst else None,
        },
        "features": int(np.sum(defined)),
        "undefined_changed": int(np.sum(undefined)),
        "score": {"largest": float(np.max(score)), "mean": float(np.mean(score))},
    }


def feature_changes(
    scheme: Observed, other: Observed, compared: np.ndarray, terms: Sequence[Term], stimuli: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """|difference| / sd, NaN where it is undefined or not compared; and where only one of the two is defined.

    compared: (individuals, stimuli) bool.  Both results: (individuals, terms).
    """
    mask = term_mask(compared, terms, stimuli)
    sd = np.array([term.sd for term in terms])
    change = np.where(mask, np.abs(scheme.features - other.features) / sd, np.nan)
    return change, mask & (np.isfinite(scheme.features) != np.isfinite(other.features))


def term_mask(compared: np.ndarray, terms: Sequence[Term], stimuli: Sequence[str]) -> np.ndarray:
    """(individuals, stimuli) -> (individuals, terms): each term's stimulus."""
    return compared[:, [list(stimuli).index(term.stimulus) for term in terms]]


def _largest(values: Sequence[float] | np.ndarray) -> float | None:
    return float(np.max(values)) if len(values) else None
