"""Which directions of parameters does the score feel?  Spectrum, directions, profiles, correlations."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hpcfit.report.plots.heat import colour_bar, heat_axes, name_columns, name_rows, room_for
from hpcfit.report.plots.style import BLUE, GREY, VERMILLION, axes_in, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CELL_IN = 0.25


def curvature_figure(
    values: np.ndarray, vectors: np.ndarray, names: Sequence[str], spectra: np.ndarray, steps: Sequence[float]
) -> "Figure":
    """Eigenvalues of J^T J, and what each step alone gives; beside them the eigenvectors, stiffest first.

    values: (parameters,); vectors: (parameters, parameters), columns; spectra: (steps, parameters).
    """
    count, left = len(names), room_for(names)
    high = max(count * _CELL_IN, 2.2)
    figure = new_figure(left + count * _CELL_IN + 4.6, high + 1.6)
    axes = axes_in(figure, (0.75, 0.5, 2.9, high))
    floor = max(float(spectra.max()), 1e-300) * 1e-16  # what rounding leaves of a zero
    numbers = np.arange(1, count + 1)
    greys = np.linspace(0.85, 0.5, len(steps))
    for spectrum, step, grey in zip(spectra, steps, greys, strict=True):
        axes.plot(numbers, np.maximum(spectrum, floor), color=str(grey), lw=1.0, label=f"all at step {step:g}")
    axes.plot(numbers, np.maximum(values, floor), color=BLUE, lw=1.5, marker="o", ms=4, label="each term at its own")
    axes.set_yscale("log")
    axes.set_xlabel("direction, stiffest first")
    axes.set_ylabel("eigenvalue of J$^T$J / sd$^2$ per range$^2$")
    axes.legend(frameon=False, fontsize=7)
    directions = heat_axes(figure, (4.1 + left, 0.5), _CELL_IN, vectors, cmap="RdBu_r", vmin=-1, vmax=1)
    name_rows(directions, names)
    name_columns(directions, [str(index + 1) for index in range(count)])
    for tick in directions.get_xticklabels():
        tick.set_rotation(0)
    place = (4.1 + left, 0.5 + count * _CELL_IN + 0.15, count * _CELL_IN, 0.12)
    colour_bar(figure, directions, place, "component of the parameter (rows) in the direction (columns)")
    return figure


def profile_figure(profiles: Mapping[str, Mapping[str, np.ndarray]], titles: Mapping[str, str]) -> "Figure":
    """Score along directions through the best individual, and what straight lines of the features would give."""
    figure = new_figure(5.0 * len(profiles) + 0.2, 3.6)
    for place, (name, curve) in enumerate(profiles.items()):
        axes = axes_in(figure, (0.75 + place * 5.0, 0.65, 4.0, 2.3))
        axes.plot(curve["distance"], curve["predicted_score"], color=GREY, lw=1.2, ls="--", label="from derivatives")
        axes.plot(curve["distance"], curve["score"], color=BLUE, lw=1.4, marker="o", ms=2.5, label="simulated")
        axes.axvline(0, color=VERMILLION, lw=0.8)
        axes.set_xlabel("distance from the best / ranges of the parameters")
        axes.set_ylabel("score / sd")
        axes.set_title(textwrap.fill(f"{name}: {titles[name]}", 66), loc="left", fontsize=7)
        axes.locator_params(axis="x", nbins=5)
        axes.legend(frameon=False, fontsize=7)
    low, high = zip(*(axes.get_ylim() for axes in figure.axes), strict=True)
    for axes in figure.axes:  # one scale: that is the point of the comparison
        axes.set_ylim(min(low), max(high))
    return figure


def correlation_figure(ranks: np.ndarray, names: Sequence[str], count: int) -> "Figure":
    """Rank correlations of the parameters of `count` good individuals: (parameters, parameters)."""
    room = room_for(names)
    size = len(names) * _CELL_IN
    figure = new_figure(max(room + size + 0.3, 4.5), room + size + 0.9)
    axes = heat_axes(figure, (room, room + 0.05), _CELL_IN, ranks, cmap="RdBu_r", vmin=-1, vmax=1)
    name_rows(axes, names)
    name_columns(axes, names)
    place = (room, room + 0.05 + size + 0.15, max(size, 1.5), 0.12)
    colour_bar(figure, axes, place, f"rank correlation over {count} good individuals")
    return figure
