"""What is a generation's time spent on, on ever more nodes?  As predicted; a line for the ideal beside it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

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
from hpcfit.report.prediction import MEANING, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {
    "simulate": BLUE,
    "uneven": SKY,
    "messages": ORANGE,
    "network": PURPLE,
    "evolve": GREEN,
    "score": VERMILLION,
    "write": GREY,
}


def prediction_figure(rows: Sequence[Row], strong: bool) -> "Figure":
    """Left: seconds per generation, in all, ideal, and of each part; right: the parts' shares of it."""
    figure = new_figure(11.0, 4.0)
    times, shares = (axes_in(figure, (0.75 + place * 4.7, 0.45, 3.7, 2.9)) for place in range(2))
    nodes = np.array([row.nodes for row in rows])
    total = np.array([row.total_s for row in rows])
    first = rows[0].total_s * rows[0].efficiency * (rows[0].nodes if strong else 1)
    ideal = first / nodes if strong else np.full(len(nodes), first)
    times.plot(nodes, total, color=INK, marker="o", ms=4, label="a generation")
    times.plot(nodes, ideal, color=FAINT, ls="--", label="ideal, from one node")
    for name, colour in _COLOURS.items():
        values = np.array([row.parts_s[name] for row in rows])
        if np.any(values > 1e-6):
            times.plot(nodes, np.where(values > 1e-6, values, np.nan), color=colour, lw=1, label=MEANING[name])
    times.set_yscale("log")
    times.set_ylabel("s per generation")
    bottom = np.zeros(len(rows))
    for name, colour in _COLOURS.items():
        share = np.array([100 * row.parts_s[name] / row.total_s for row in rows])
        shares.bar(range(len(rows)), share, bottom=bottom, color=colour, width=0.8)
        bottom += share
    shares.set_xticks(range(len(rows)), [str(row.nodes) for row in rows])
    shares.set_ylabel("% of the time")
    shares.set_xlabel("nodes")
    times.set_xscale("log", base=2)
    times.set_xticks(nodes, [str(count) for count in nodes])
    times.set_xlabel("nodes")
    times.grid(axis="y", color=FAINT, lw=0.5)
    handles, labels = times.get_legend_handles_labels()
    figure.legend(handles, labels, loc="center right", frameon=False, fontsize=7)
    return figure
