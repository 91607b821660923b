"""How much does each score function count?  Weights of the file, times weights from data, within a stimulus' budget."""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from hpcfit.biophys.score_settings import WeightingSettings
from hpcfit.biophys.terms import Term
from hpcfit.errors import ConfigError


def weighted(terms: Sequence[Term], settings: WeightingSettings) -> tuple[Term, ...]:
    """The terms with weights from data, then scaled to the budget of each stimulus.

    inverse_variance: a feature scored in units u, whose sd over the sweeps is s, counts (u / s)^2 times its weight:
    the inverse of the variance of (feature - mean) / u.  These factors have mean 1 over the features of a stimulus, so
    what stimuli count against each other, and distances between traces, stay as they were.

    Raises
    ------
    ConfigError
        When the option would change nothing, a feature has neither sweeps nor sd, or a budget has nothing to share.
    """
    if settings.kind == "inverse_variance":
        terms = _by_variance(terms)
    if settings.budget is None:
        return tuple(terms)
    stimuli = dict.fromkeys(term.stimulus for term in terms)
    budgets = settings.budget if isinstance(settings.budget, dict) else dict.fromkeys(stimuli, settings.budget)
    sums = {stimulus: math.fsum(term.weight for term in terms if term.stimulus == stimulus) for stimulus in stimuli}
    for stimulus in budgets:
        if not sums.get(stimulus):
            raise ConfigError(
                f"weighting.budget: all score functions of {stimulus} have weight 0, so no budget can be shared out "
                "among them; raise a weight, or leave the stimulus out of the budget"
            )
    factors = {stimulus: budgets[stimulus] / sums[stimulus] if stimulus in budgets else 1.0 for stimulus in stimuli}
    return tuple(replace(term, weight=term.weight * factors[term.stimulus]) for term in terms)


def _by_variance(terms: Sequence[Term]) -> tuple[Term, ...]:
    if not any(term.unit in ("mean", "mad") for term in terms):
        raise ConfigError(
            "weighting.kind = 'inverse_variance', but every feature is in units of its sd, in which each has variance "
            "1, or of a range that is not known yet; give [[scores]] unit = 'mean' or 'mad', or take the kind away"
        )
    ranged = next((term for term in terms if term.unit == "range"), None)
    if ranged is not None:
        raise ConfigError(
            f"weighting.kind = 'inverse_variance', but {ranged.name} has unit = 'range', which is known only after "
            "generation 0; give unit = 'mean', 'mad' or 'sd'"
        )
    factors = [1.0 if term.is_trace else (term.sd / term.data_sd) ** 2 for term in terms]
    means = {
        stimulus: fmean(
            factor
            for term, factor in zip(terms, factors, strict=True)
            if term.stimulus == stimulus and not term.is_trace
        )
        for stimulus in {term.stimulus for term in terms if not term.is_trace}
    }
    return tuple(
        term if term.is_trace else replace(term, weight=term.weight * factor / means[term.stimulus])
        for term, factor in zip(terms, factors, strict=True)
    )
