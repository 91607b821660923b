"""What figures of a posterior share: units, colours of conditions, which trials are shown."""

import numpy as np

from hpcfit.report.plots.style import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, VERMILLION
from hpcfit.report.posterior_view import PosteriorView

COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, INK, "#B5A300")
MOST_CONDITIONS = len(COLOURS)


def time_axis(view: PosteriorView, bins: int) -> tuple[np.ndarray, str]:
    """Times of modelled bins, and the axis' label."""
    first = view.first_bin
    if (width := view.attributes.get("bin_s")) is None:
        return np.arange(first, first + bins, dtype=float), "bin"
    return (np.arange(first, first + bins) + 0.5) * width, "time / s"


def per_second(view: PosteriorView) -> tuple[float, str]:
    """What turns counts per bin into the unit that is shown, and its name."""
    if view.attributes.get("reconstruction") != "poisson":
        return 1.0, "signal"
    width = view.attributes.get("bin_s")
    return (1.0, "spikes per bin") if width is None else (1.0 / float(width), "rate / Hz")


def some_of(number: int, most: int) -> np.ndarray:
    """At most so many of 0 .. number - 1, evenly spread."""
    return np.unique(np.linspace(0, number - 1, min(most, number)).round().astype(int))


def conditions_of(view: PosteriorView, part: str) -> np.ndarray | None:
    """Conditions of a split's trials; None where none is known."""
    conditions = view.array(part, "conditions")
    return conditions if conditions is not None and (conditions >= 0).any() else None
