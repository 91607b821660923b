"""How do good individuals trade the errors of one group of features against those of another?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hpcfit.report.plots.style import BLUE, FAINT, GREY, VERMILLION, axes_in, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_LINES = 300


def pareto_figure(names: Sequence[str], errors: np.ndarray, front: np.ndarray, least: np.ndarray) -> "Figure":
    """A line through the groups for each individual: good ones grey, the front blue, the best red.

    names: (groups,); errors: (good, groups), sd, best individual first; front: indices; least: (groups,) of the good.
    """
    columns = np.arange(len(names))
    figure = new_figure(max(6.0, 1.6 + 0.85 * len(names)), 4.4)
    axes = axes_in(figure, (0.8, 0.55, float(figure.get_size_inches()[0]) - 1.1, 2.9))
    chosen = np.linspace(0, len(errors) - 1, min(len(errors), _MOST_LINES)).astype(int)
    axes.plot(columns, errors[chosen].T, color=FAINT, lw=0.5)
    on_front = front[:_MOST_LINES]
    axes.plot(columns, errors[on_front].T, color=BLUE, lw=0.7, alpha=0.6)
    axes.plot(columns, errors[0], color=VERMILLION, lw=2, marker="o", ms=4)
    axes.plot(columns, least, color=GREY, lw=0, marker="_", ms=14, mew=1.5)
    drawn = f" ({len(on_front)} drawn)" if len(on_front) < len(front) else ""
    labels = (
        (FAINT, f"{len(errors)} good individuals"),
        (BLUE, f"{len(front)} on the front{drawn}"),
        (VERMILLION, "lowest score"),
        (GREY, "least of the good in each group"),
    )
    for colour, label in labels:
        axes.plot([], [], color=colour, lw=2, label=label)
    positive = errors[errors > 0]
    if len(positive) and errors.min() > 0 and errors.max() > 20 * positive.min():
        axes.set_yscale("log")
    size = 8 if len(names) <= 24 else 5
    axes.set_xticks(columns, list(names), rotation=35, ha="right", fontsize=size)
    axes.set_ylabel("error / sd, summed over the group")
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="lower left", bbox_to_anchor=(0, 1.01))
    return figure
