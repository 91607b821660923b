"""What does a strategy with several objectives see?  The terms of the score, or sums of them.

Whatever the grouping, the objectives of an individual add up to its score.  Families are told by eFEL's names: when
spikes come, what a spike looks like, the voltage without spikes, and distances from a recorded trace.
"""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np

from hpcfit.biophys.terms import Term
from hpcfit.errors import ConfigError
from hpcfit.settings import Grouping

_TRACE = re.compile(r"trace\.")
_EVENTS = re.compile(
    r".*ISI|.*[Bb]urst|[Ss]pikecount|spike_count|.*mean_freq|.*time_to_|.*peak_time|adaptation_index|irregularity_index"
    r"|number_initial_spikes|AP_begin_time|is_not_stuck|trace_check|spikes_"
)
_SHAPE = re.compile(
    r"AP|ADP|.*AHP|.*_ahp|.*sahp|amp_drop|max_amp|mean_AP|peak_voltage|spike_half_width|spike_width|phaseslope"
    r"|min_between_peaks|min_voltage_between_spikes|.*adp"
)

REST = "rest"
"""The objective of all terms that no named group takes."""


def family(feature: str) -> str:
    """Which family is it: "trace", "spike shape", "spike event" or "subthreshold" (all that is none of these)?"""
    if _TRACE.match(feature):
        return "trace"
    if _SHAPE.match(feature) and not feature.startswith(("time_to_", "AP_begin_time")):
        return "spike shape"
    return "spike event" if _EVENTS.match(feature) else "subthreshold"


def objective_names(terms: Sequence[Term], grouping: Grouping) -> list[str]:
    """The objective that each term belongs to: as many names as terms.

    grouping: "terms", "features", "stimuli", "families", "stimulus_families", or group -> shell patterns that are
    compared with the names of terms (stimulus.site.feature) and with their features; REST is what no group takes.

    Raises
    ------
    ConfigError
        When a pattern names no term, or two groups take the same one.
    """
    if isinstance(grouping, str):
        return [_NAMES[grouping](term) for term in terms]
    taken: list[str | None] = [None] * len(terms)
    for group, patterns in grouping.items():
        for pattern in patterns:
            found = [index for index, term in enumerate(terms) if _matches(term, pattern)]
            if not found:
                raise ConfigError(
                    f"strategy.objectives.{group}: {pattern} names no score function{_offer(terms, pattern)}"
                )
            for index in found:
                if taken[index] not in (None, group):
                    raise ConfigError(
                        f"strategy.objectives: {terms[index].name} is in {taken[index]} and in {group}; objectives add "
                        "up to the score, so narrow the patterns of one of them"
                    )
                taken[index] = group
    return [name or REST for name in taken]


def term_groups(terms: Sequence[Term], grouping: Grouping) -> Callable[[Mapping[str, np.ndarray]], np.ndarray]:
    """The function that makes objectives, (n, M), of the arrays that an evaluation leaves.

    terms: the columns of its "contributions"; objectives are in the order of their first term.  Raises ConfigError, as
    `objective_names` does.
    """
    if grouping == "terms":
        return lambda arrays: arrays["contributions"]
    names = objective_names(terms, grouping)
    groups = [np.flatnonzero([name == group for name in names]) for group in dict.fromkeys(names)]
    return lambda arrays: np.stack([arrays["contributions"][:, columns].sum(axis=1) for columns in groups], axis=1)


_NAMES: dict[str, Callable[[Term], str]] = {
    "terms": lambda term: term.name,
    "features": lambda term: f"{term.site}.{term.feature}",
    "stimuli": lambda term: term.stimulus,
    "families": lambda term: family(term.feature),
    "stimulus_families": lambda term: f"{term.stimulus}, {family(term.feature)}",
}


def _matches(term: Term, pattern: str) -> bool:
    return fnmatchcase(term.name, pattern) or fnmatchcase(term.feature, pattern)


def _offer(terms: Sequence[Term], pattern: str) -> str:
    known = dict.fromkeys([name for term in terms for name in (term.feature, term.name)])
    near = difflib.get_close_matches(pattern, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else "; hpcfit check lists them"
