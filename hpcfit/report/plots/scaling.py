"""How does the time of a generation change with ranks or with the size of the problem?  Ladd et al. 2021, figures 3-5.

Times themselves, with bars for the 95 % intervals of their medians, beside lines of the ideal and of what is possible:
speed-ups alone hide a slow start (Hoefler & Belli 2015, rules 1 and 11).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcfit.report.plots.style import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    axes_in,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {"simulate": BLUE, "score": SKY, "evolve": GREEN, "communicate": ORANGE, "write": PURPLE}
_LEGEND: dict[str, Any] = {"frameon": False, "fontsize": 8}
_AXES = {
    "ranks": "ranks",
    "population": "individuals a generation",
    "stimuli": "stimuli",
    "scores": "score functions",
}


def time_by_size(summary: Mapping[str, Any]) -> "Figure":
    """Median time of a generation against what is swept, with intervals, ideal, bound and, of problems, the fit."""
    points, swept = summary["points"], summary["sweeps"]
    figure = new_figure(6.4, 4.4)
    axes = axes_in(figure, (0.85, 0.75, 5.2, 3.0))
    sizes = _column(points, swept)
    middle, low, high = (_samples(points, name) for name in ("median", "low", "high"))
    for launch in range(max(len(point["per_launch"]) for point in points)):
        own = [point["per_launch"][launch] if launch < len(point["per_launch"]) else None for point in points]
        label = "median of a launch" if launch == 0 else None
        axes.plot(sizes, np.array(own, float), ".", color=GREY, ms=4, label=label, zorder=1)
    axes.plot(sizes, _column(points, "ideal_s"), "--", color=INK, lw=1, label=_ideal(summary), zorder=2)
    if points[0]["bound_s"] is not None:
        axes.plot(sizes, _column(points, "bound_s"), ":", color=VERMILLION, lw=1.3, label="with rank 0's own part")
    _draw_fit(axes, summary, sizes)
    bars = [np.nan_to_num(middle - low), np.nan_to_num(high - middle)]
    axes.errorbar(
        sizes, middle, yerr=bars, fmt="o", color=BLUE, ms=5, capsize=4, label="median, 95 % interval", zorder=3
    )
    _finish(axes, sizes, summary)
    axes.set_ylabel("time per generation / s")
    _legend(figure, axes)
    return figure


def phases_by_size(summary: Mapping[str, Any]) -> "Figure":
    """Medians of the phases of a generation at rank 0, stacked; a mark where the slowest rank's simulation ended up."""
    points, swept = summary["points"], summary["sweeps"]
    figure = new_figure(6.4, 4.4)
    axes = axes_in(figure, (0.85, 0.75, 5.2, 3.0))
    places, bottom = np.arange(len(points)), np.zeros(len(points))
    for name, colour in _COLOURS.items():
        heights = np.array([point["phases"][name]["rank_0"]["median"] for point in points])
        axes.bar(places, heights, 0.6, bottom=bottom, color=colour, label=name)
        bottom += heights
    slowest = [point["phases"]["simulate"]["max"]["median"] for point in points]
    axes.plot(places, slowest, "_", color=INK, ms=22, mew=1.5, label="simulate, slowest rank")
    axes.set_xticks(places, [_tick(point, swept) for point in points])
    axes.set_xlabel(_AXES[swept])
    axes.set_ylabel("time per generation at rank 0 / s")
    axes.grid(axis="y", color=FAINT, lw=0.5)
    axes.set_axisbelow(True)
    _legend(figure, axes)
    return figure


def _legend(figure: "Figure", axes: "Axes") -> None:
    """Above the axes, in two rows."""
    corner = (0.08 / 6.4, 1 - 0.08 / 4.4)
    figure.legend(*axes.get_legend_handles_labels(), loc="upper left", bbox_to_anchor=corner, ncols=3, **_LEGEND)


def _finish(axes: "Axes", sizes: np.ndarray, summary: Mapping[str, Any]) -> None:
    if summary["study"] == "strong":  # the ideal is a straight line where both axes are logarithmic
        from matplotlib.ticker import LogLocator

        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    else:
        axes.set_ylim(bottom=0)
    if summary["sweeps"] == "ranks":
        axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [_tick(point, summary["sweeps"]) for point in summary["points"]])
    axes.minorticks_off()
    axes.set_xlabel(_AXES[summary["sweeps"]])
    axes.grid(axis="y", color=FAINT, lw=0.5)
    axes.set_axisbelow(True)


def _draw_fit(axes: "Axes", summary: Mapping[str, Any], sizes: np.ndarray) -> None:
    fit = summary["fit"]
    if fit is None or summary["sweeps"] == "ranks":
        return
    ends = np.array([sizes[0], sizes[-1]])
    label = f"{fit['constant']:.3g} s + {1e3 * fit['slope']:.3g} ms each, R2 = {fit['r2']:.4f}"
    axes.plot(ends, fit["constant"] + fit["slope"] * ends, color=GREEN, lw=1.2, label=label)


def _ideal(summary: Mapping[str, Any]) -> str:
    base = summary["points"][0]
    return f"ideal from {base['seconds']['median']:.3g} s at {base[summary['sweeps']]}"


def _tick(point: Mapping[str, Any], swept: str) -> str:
    if swept == "ranks" and point["nodes"] > 1:
        return f"{point['ranks']}\n{point['nodes']} nodes"
    return f"{point[swept]:g}"


def _column(points: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    return np.array([point[name] for point in points], float)


def _samples(points: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    return np.array([point["seconds"][name] for point in points], float)
