"""Behaviour decoded from inferred rates, beside what it was."""

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcfit.report.plots.style import BLUE, GREY, dress, new_figure
from hpcfit.report.plots.training.common import COLOURS, some_of
from hpcfit.report.training_view import TrainingView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PATHS = 24
_TRACES = 3


def decoded_behaviour(view: TrainingView) -> "Figure | None":
    """Of a signal of two dimensions paths, true and decoded; below, dimensions of some trials over time.

    A signal with "vel" in its name is added up along time, so that paths are of the hand.
    """
    found = view.decoding()
    if not found:
        return None
    signal, decoded = found["signal"], found["decoded"]
    flat = signal.shape[2] == 2
    figure = new_figure(8.0, 6.4 if flat else 2.6)
    grid = figure.add_gridspec(
        2 if flat else 1, 1, height_ratios=(3, 2) if flat else (1,), left=0.1, right=0.98, top=0.94, bottom=0.1
    )
    if flat:
        _paths(figure, grid[0], found)
    rows = some_of(len(signal), _TRACES)
    bottom = grid[-1].subgridspec(1, len(rows), wspace=0.22)
    for column, trial in enumerate(rows):
        axes = dress(figure.add_subplot(bottom[column]))
        for dimension in range(min(signal.shape[2], 3)):
            axes.plot(signal[trial, :, dimension], color=GREY, lw=1.6, label="" if dimension else "true")
            axes.plot(decoded[trial, :, dimension], color=BLUE, lw=1.0, label="" if dimension else "decoded")
        axes.set_xlabel("bin")
        axes.set_title(f"validation trial {trial}", fontsize=9)
        if not column:
            axes.set_ylabel(found["name"])
            axes.legend(frameon=False, fontsize=7)
    return figure


def _paths(figure: "Figure", place: Any, found: dict[str, Any]) -> None:
    added = "vel" in found["name"]
    parts = place.subgridspec(1, 2, wspace=0.2)
    shared = None
    for column, name in enumerate(("signal", "decoded")):
        axes = dress(figure.add_subplot(parts[column], sharex=shared, sharey=shared))
        shared = shared or axes
        for index, trial in enumerate(some_of(len(found["signal"]), _PATHS)):
            known = ~np.isnan(found["signal"][trial]).any(1)
            path = found[name][trial][known]
            path = np.cumsum(path, 0) if added else path
            axes.plot(path[:, 0], path[:, 1], color=COLOURS[index % len(COLOURS)], lw=1.0)
        words = f"{found['name']}, added up along time" if added else found["name"]
        axes.set_title(f"{'true' if name == 'signal' else 'decoded'}: {words}", fontsize=9)
        axes.set_aspect("equal", adjustable="box")
