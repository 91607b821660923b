"""What does a strategy with several objectives see?  The terms of the score, or sums of them.

Whatever the grouping, the objectives of an individual add up to its score.  Families are told by eFEL's names: when
spikes come, what a spike looks like, the voltage without spikes, and distances from a recorded trace.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from hpcfit.biophys.terms import Term

Grouping = Literal["terms", "stimuli", "families"]

_TRACE = re.compile(r"trace\.")
_EVENTS = re.compile(
    r".*ISI|.*[Bb]urst|[Ss]pikecount|spike_count|.*mean_freq|.*time_to_|.*peak_time|adaptation_index|irregularity_index"
    r"|number_initial_spikes|AP_begin_time|is_not_stuck|trace_check|spikes_"
)
_SHAPE = re.compile(
    r"AP|ADP|.*AHP|.*_ahp|.*sahp|amp_drop|max_amp|mean_AP|peak_voltage|spike_half_width|spike_width|phaseslope"
    r"|min_between_peaks|min_voltage_between_spikes|.*adp"
)


def family(feature: str) -> str:
    """Which family is it: "trace", "spike shape", "spike event" or "subthreshold" (all that is none of these)?"""
    if _TRACE.match(feature):
        return "trace"
    if _SHAPE.match(feature) and not feature.startswith(("time_to_", "AP_begin_time")):
        return "spike shape"
    return "spike event" if _EVENTS.match(feature) else "subthreshold"


def term_groups(terms: Sequence[Term], grouping: Grouping) -> Callable[[Mapping[str, np.ndarray]], np.ndarray]:
    """The function that makes objectives, (n, M), of the arrays that an evaluation leaves.

    terms: the columns of its "contributions"; groups are in the order of their first term.
    """
    if grouping == "terms":
        return lambda arrays: arrays["contributions"]
    names = [term.stimulus if grouping == "stimuli" else family(term.feature) for term in terms]
    groups = [np.flatnonzero([name == group for name in names]) for group in dict.fromkeys(names)]
    return lambda arrays: np.stack([arrays["contributions"][:, columns].sum(axis=1) for columns in groups], axis=1)
