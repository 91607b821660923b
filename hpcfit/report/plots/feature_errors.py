"""How far each feature of the best individual is from its target, in units of the target's sd."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpcfit.report.plots.style import BLUE, FAINT, GREY, INK, VERMILLION, axes_in, new_figure, text_width_in
from hpcfit.report.run_view import RunView
from hpcfit.report.words import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW_IN = 0.19
_PLOT_IN = 3.0
_MOST_ROWS = 100


@dataclass(frozen=True)
class _Row:
    """A line of the figure: a feature, or (term is None) the name of the stimulus above its features."""

    text: str
    value: str = ""
    term: int | None = None


def features(view: RunView) -> "Figure":
    """A dot per score function, grouped by stimulus; beyond the axis an arrow and the number, undefined a cross."""
    errors = deviations(view)
    columns = _columns(_groups(view))
    rows = [row for column in columns for row in column]
    left = max(text_width_in([row.text for row in rows]), 1.2)
    right = max(text_width_in([row.value for row in rows], 7), 1.4)
    width, height = left + _PLOT_IN + right, max(len(column) for column in columns) * _ROW_IN
    figure = new_figure(len(columns) * width, height + 1.25)
    size = figure.get_size_inches()
    figure.text(0.12 / size[0], 1 - 0.28 / size[1], "best individual's features against their targets", fontsize=11)
    limit = _axis_limit(errors)
    for place, column in enumerate(columns):
        axes = axes_in(figure, (place * width + left, 0.65, _PLOT_IN, len(column) * _ROW_IN))
        _draw_column(axes, column, errors, limit, _cap(view))
    return figure


def deviations(view: RunView) -> np.ndarray:
    """(terms,) best individual's (feature - mean) / sd; NaN where undefined."""
    return (view.best.features - view.terms["mean"]) / view.terms["sd"]


def term_names(view: RunView) -> list[str]:
    """Feature of each term, with its site unless that is the soma everywhere."""
    sites = [str(site) for site in view.terms["site"]]
    alone = set(sites) <= {"soma"}
    names = [str(name) for name in view.terms["feature"]]
    return names if alone else [f"{name} ({site})" for name, site in zip(names, sites, strict=True)]


def _cap(view: RunView) -> float:
    cap = view.settings.get("penalties", {}).get("cap")
    return math.inf if cap is None else float(cap)


def _groups(view: RunView) -> list[list[_Row]]:
    stimuli = [str(name) for name in view.terms["stimulus"]]
    names, table, best = term_names(view), view.terms, view.best
    groups = {stimulus: [_Row(stimulus)] for stimulus in dict.fromkeys(stimuli)}
    for term, stimulus in enumerate(stimuli):
        target = f"{number(table['mean'][term], 3)} ± {number(table['sd'][term], 2)}"
        groups[stimulus].append(_Row(names[term], f"{number(best.features[term], 3)}  ({target})", term))
    return list(groups.values())


def _columns(groups: list[list[_Row]]) -> list[list[_Row]]:
    """Groups in columns of about equal length; a group is split only where it is longer than half a column."""
    total = sum(len(group) for group in groups)
    count = 1 if total <= 45 else max(2, math.ceil(total / _MOST_ROWS))
    most = math.ceil(total / count)
    columns: list[list[_Row]] = [[]]
    for group in groups:
        heading, rest = group[0], group
        while rest:
            room = most - len(columns[-1])
            last = len(columns) == count
            if last or len(rest) <= room + min(most // 4, 6):
                columns[-1] += rest
                break
            if len(group) > most // 2 and room >= 4:
                columns[-1] += rest[:room]
                rest = [_Row(f"{heading.text} (continued)"), *rest[room:]]
            columns.append([])
    return [column for column in columns if column]


def _axis_limit(errors: np.ndarray) -> float:
    """Nine tenths of the dots lie on the axis, which is 4 to 10 sd long to either side."""
    sizes = np.abs(errors[np.isfinite(errors)])
    return float(np.clip(math.ceil(np.percentile(sizes, 90) + 0.5), 4, 10)) if len(sizes) else 4.0


def _draw_column(axes: "Axes", rows: list[_Row], errors: np.ndarray, limit: float, cap: float) -> None:
    axes.set_xlim(-limit * 1.12, limit * 1.12)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.axvspan(-2, 2, color="#F1F1F1", lw=0, zorder=0)
    axes.axvspan(-1, 1, color="#E2E2E2", lw=0, zorder=0)
    axes.axvline(0, color=GREY, lw=0.8, zorder=1)
    _draw_rows(axes, rows, errors)
    places = {row.term: place for place, row in enumerate(rows) if row.term is not None}
    terms = np.array(list(places), dtype=int)
    heights = np.array(list(places.values()), dtype=float)
    drawn = errors[terms]
    inside = np.abs(drawn) <= limit
    axes.scatter(drawn[inside], heights[inside], s=26, color=BLUE, lw=0, zorder=3, gid="inside")
    for error, height in zip(drawn[~inside], heights[~inside], strict=True):
        _draw_outside(axes, float(error), float(height), limit, cap)
    axes.set_xlabel("(model - target) / sd;  grey: 1 and 2 sd")
    axes.locator_params(axis="x", integer=True)
    axes.set_yticks([])
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)


def _draw_rows(axes: "Axes", rows: list[_Row], errors: np.ndarray) -> None:
    beside = axes.get_yaxis_transform()
    axes.text(1.02, -0.9, "model (target)", transform=beside, fontsize=7, color=GREY, va="center")
    for place, row in enumerate(rows):
        heading = row.term is None
        undefined = not heading and np.isnan(errors[row.term])
        weight = "bold" if heading else "normal"
        axes.text(
            -0.02, place, row.text, transform=beside, ha="right", va="center", fontsize=8, color=INK, fontweight=weight
        )
        colour = VERMILLION if undefined else GREY
        axes.text(1.02, place, row.value, transform=beside, va="center", fontsize=7, color=colour)
        if heading:
            axes.axhspan(place - 0.5, place + 0.45, color="white", lw=0, zorder=1.5)
        else:
            axes.axhline(place, color=FAINT, lw=0.4, zorder=1)


def _draw_outside(axes: "Axes", error: float, height: float, limit: float, cap: float) -> None:
    if math.isnan(error):
        axes.plot([limit], [height], marker="x", ms=5, mew=1.6, color=VERMILLION, ls="", zorder=3, gid="undefined")
        axes.text(limit * 0.93, height, "undefined", ha="right", va="center", fontsize=6.5, color=VERMILLION, zorder=4)
        return
    capped = abs(error) > cap
    colour, side = VERMILLION if capped else BLUE, math.copysign(1, error)
    text = f"{error:+.3g}" + (f", counts as {cap:g}" if capped else "")
    marker = ">" if error > 0 else "<"
    axes.plot([side * limit * 1.03], [height], marker=marker, ms=6, color=colour, ls="", zorder=3, gid="outside")
    align = "right" if error > 0 else "left"
    axes.text(side * limit * 0.95, height, text, ha=align, va="center", fontsize=6.5, color=colour, zorder=4)
