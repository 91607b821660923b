"""What does eFEL itself say, asked for one feature at a time, and where do our features differ from that?

eFEL interpolates the trace anew, in place, for every feature of a call, so that what it gives for a feature depends in
the last bit (and, where samples tie, by a sample) on what it was asked before.  Alone is the one order that is defined.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import efel
import efel.settings
import numpy as np

from hpcfit.biophys.extract import FeatureTable, Reason, extract

RELATIVE = 1e-6
ABSOLUTE = 1e-9
"""Differences of nearly equal voltages (mV) or times (ms) carry the rounding of numbers near 100."""


def alone(v_mV, t_ms, window_ms, names, settings=None, stimulus_nA=None, i_nA=None) -> dict[str, np.ndarray | None]:
    """The values that eFEL gives of each feature of one trace; None where it gives None or raises."""
    trace = {"T": t_ms, "V": np.asarray(v_mV, float), "stim_start": [window_ms[0]], "stim_end": [window_ms[1]]}
    if stimulus_nA is not None:
        trace["stimulus_current"] = [stimulus_nA]
    if i_nA is not None:
        trace["I"] = i_nA
    efel.reset()
    for name, value in (settings or {}).items():
        if hasattr(efel.settings.Settings, name):
            efel.set_setting(name, value)
        else:  # what it reads but does not list, and would keep from then on
            trace[name] = list(np.atleast_1d(value))
    found = {}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for name in names:
            try:
                found[name] = efel.get_feature_values([trace], [name], raise_warnings=False)[0][name]
            except Exception:  # eFEL's own ways to say that it cannot: AssertionError, ValueError, IndexError ...
                found[name] = None
    efel.reset()
    return found


@dataclass(frozen=True)
class Difference:
    """A feature of a trace on which we and eFEL disagree."""

    row: int
    feature: str
    ours: np.ndarray
    reason: Reason
    theirs: np.ndarray | None


def equal(ours: np.ndarray, reason: int, theirs: np.ndarray | None) -> bool:
    """Whether the values are the same: numbers within RELATIVE, NaN and infinity where eFEL has them, empty lists."""
    if theirs is not None and len(theirs) == 0:
        return reason == Reason.EMPTY
    if theirs is None or len(ours) == 0:
        return len(ours) == 0 and reason != Reason.EMPTY and (theirs is None or not np.any(np.isfinite(theirs)))
    theirs = np.asarray(theirs, float)
    return len(ours) == len(theirs) and np.allclose(ours, theirs, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True)


def differences(
    v_mV, dt_ms, window_ms, names, settings=None, stimulus_nA=None, i_nA=None
) -> tuple[list[Difference], int, FeatureTable]:
    """Where we and eFEL disagree, how many comparisons there were, and our table.

    What we call BEYOND is not asked for: eFEL reads memory that is not its own there, and may end the process.
    """
    rows = np.atleast_2d(v_mV)
    table = extract(rows, dt_ms, window_ms, names, settings, stimulus_nA=stimulus_nA, i_nA=i_nA)
    t_ms = np.arange(rows.shape[1]) * dt_ms
    columns = {name: table.values(name) for name in names}
    wrong, compared = [], 0
    for row, trace in enumerate(rows):
        reasons = {name: Reason(int(table.reason[row, column])) for column, name in enumerate(names)}
        asked = [name for name in names if reasons[name] is not Reason.BEYOND]
        theirs = alone(trace, t_ms, window_ms, asked, settings, stimulus_nA, i_nA)
        compared += len(asked)
        for name in asked:
            values, offsets = columns[name]
            ours = values[offsets[row] : offsets[row + 1]]
            if not equal(ours, reasons[name], theirs[name]):
                wrong.append(Difference(row, name, ours, reasons[name], theirs[name]))
    return wrong, compared, table
