"""Where the free parameters ended within their bounds: the best, the last survivors, everything evaluated."""

import math
from typing import TYPE_CHECKING

import numpy as np

from hpcfit.report.plots.style import (
    BLUE,
    FAINT,
    GREY,
    INK,
    VERMILLION,
    axes_in,
    legend_above,
    new_figure,
    text_width_in,
)
from hpcfit.report.run_view import RunView
from hpcfit.report.words import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW_IN = 0.42
_STRIP_IN = 3.4
_MOST_ROWS = 30
_BINS = 50
AT_BOUND = 0.01
"""A best value nearer to a bound than this part of the range is said to be at it: the range may be too narrow."""


def parameters(view: RunView) -> "Figure":
    """One strip per parameter from its lower to its upper bound, in the scale that the strategy sees."""
    names = parameter_labels(view)
    columns = np.array_split(np.arange(len(names)), math.ceil(len(names) / _MOST_ROWS))
    left = text_width_in(names) + 0.75
    width, height = left + _STRIP_IN + 2.3, max(len(column) for column in columns) * _ROW_IN
    figure = new_figure(len(columns) * width, height + 1.15)
    evaluated, survivors = view.stack("vectors"), last_survivors(view)
    for place, column in enumerate(columns):
        axes = axes_in(figure, (place * width + left, 0.75, _STRIP_IN, len(column) * _ROW_IN))
        axes.set_xlim(0, 1)
        axes.set_ylim(len(column) - 0.1, -0.1)
        for row, index in enumerate(column):
            _draw_histogram(axes, row, evaluated[:, index], FAINT, "all evaluated")
            _draw_histogram(axes, row, survivors[:, index], BLUE, f"last {len(survivors)} survivors")
            _draw_best(axes, row, view, int(index))
            _label(axes, row, view, int(index), names[index])
        _finish(axes)
    legend_above(figure)
    return figure


def parameter_labels(view: RunView) -> list[str]:
    """Name, unit and, where it is not linear, scale of each free parameter."""
    columns = (view.parameters[name] for name in ("name", "unit", "scale"))
    return [
        f"{name}" + (f" / {unit}" if unit else "") + (" (log)" if scale == "log" else "")
        for name, unit, scale in zip(*columns, strict=True)
    ]


def last_survivors(view: RunView) -> np.ndarray:
    """(mu, parameters) vectors of the last generation's survivors."""
    return view.generation(view.generations - 1).arrays["survivor_vectors"]


def bound_reached(place: float) -> str:
    """Whether a place in a range, 0 to 1, is at one of its ends: `lower`, `upper` or nothing."""
    if place <= AT_BOUND:
        return "lower"
    return "upper" if place >= 1 - AT_BOUND else ""


def _draw_histogram(axes: "Axes", row: int, places: np.ndarray, colour: str, label: str) -> None:
    counts, edges = np.histogram(places, bins=_BINS, range=(0, 1))
    base = row + 0.8
    heights = base - 0.66 * counts / max(counts.max(), 1)
    alpha = 0.75 if colour == BLUE else 1.0
    axes.stairs(heights, edges, baseline=base, fill=True, color=colour, alpha=alpha, lw=0, label=label)


def _draw_best(axes: "Axes", row: int, view: RunView, index: int) -> None:
    axes.axhline(row + 0.8, color=GREY, lw=0.7)
    place = view.best.vector[index]
    axes.plot([place, place], [row + 0.12, row + 0.8], color=VERMILLION, lw=1.4)
    axes.plot(
        [place], [row + 0.8], "D", ms=6, color=VERMILLION, mec="white", mew=0.6, clip_on=False, zorder=4, label="best"
    )


def _label(axes: "Axes", row: int, view: RunView, index: int, name: str) -> None:
    beside, height = axes.get_yaxis_transform(), row + 0.55
    low, high = (float(view.parameters[side][index]) for side in ("low", "high"))
    text = {"transform": beside, "va": "center", "clip_on": False}
    axes.text(-0.02, height, number(low, 3), ha="right", fontsize=7, color=GREY, **text)
    axes.text(-0.02 - 0.6 / _STRIP_IN, height, name, ha="right", fontsize=8, color=INK, **text)
    axes.text(1.02, height, number(high, 3), fontsize=7, color=GREY, **text)
    best = view.best.parameters[str(view.parameters["name"][index])]
    reached = bound_reached(float(view.best.vector[index]))
    note = f"  at {reached} bound" if reached else ""
    axes.text(1.02 + 0.6 / _STRIP_IN, height, number(best) + note, fontsize=8, color=VERMILLION, **text)


def _finish(axes: "Axes") -> None:
    axes.set_yticks([])
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.grid(axis="x", color=FAINT, lw=0.5)
    axes.set_axisbelow(True)
    axes.set_xlabel("place within the bounds")
    beside = axes.get_yaxis_transform()
    for place, text in ((-0.02, "low"), (1.02, "high"), (1.02 + 0.6 / _STRIP_IN, "best")):
        align = "right" if place < 0 else "left"
        axes.text(place, -0.1, text, transform=beside, ha=align, va="bottom", fontsize=7, color=GREY)
