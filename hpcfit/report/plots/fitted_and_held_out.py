"""Are errors on stimuli that were not fitted like those on the fitted ones?"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from hpcfit.report.plots.style import BLUE, FAINT, GREY, INK, VERMILLION, axes_in, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def generalisation_figure(
    fitted: Mapping[str, np.ndarray], held_out: Mapping[str, np.ndarray], seen: np.ndarray, unseen: np.ndarray
) -> "Figure":
    """Left: |error| of the best individual's features by stimulus, a bar at their mean.  Right: mean errors of each
    individual, the best in red.

    fitted, held_out: stimulus -> (features,), sd; seen, unseen: (individuals, features), the best first.
    """
    names = [*fitted, *held_out]
    wide = max(3.0, 0.55 * len(names))
    figure = new_figure(wide + 5.2, 4.2)
    axes = axes_in(figure, (0.75, 0.45, wide, 2.8))
    for place, (name, colour) in enumerate([*((n, BLUE) for n in fitted), *((n, VERMILLION) for n in held_out)]):
        errors = fitted[name] if colour == BLUE else held_out[name]
        spread = place + 0.3 * np.linspace(-1, 1, len(errors)) if len(errors) > 1 else np.array([place])
        axes.plot(spread, errors, ".", color=colour, ms=4, alpha=0.7)
        axes.plot([place - 0.35, place + 0.35], [errors.mean()] * 2, color=INK, lw=1.5)
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right", fontsize=8)
    axes.set_ylabel("|error| of a feature / sd")
    axes.set_title("best individual; blue: fitted, red: held out; bars: means", loc="left", fontsize=8)
    axes.grid(axis="y", color=FAINT, lw=0.5)
    right = axes_in(figure, (wide + 1.6, 0.45, 3.2, 2.8))
    x, y = seen.mean(axis=1), unseen.mean(axis=1)
    right.plot(x, y, "o", color=GREY, ms=4)
    right.plot(x[:1], y[:1], "D", color=VERMILLION, ms=6)
    ends = [0.0, 1.05 * float(max(x.max(), y.max(), 1e-9))]
    right.plot(ends, ends, color=FAINT, lw=1, zorder=0)
    right.set_xlabel("mean error on fitted stimuli / sd")
    right.set_ylabel("mean error on held-out stimuli / sd")
    right.set_title(f"{len(x)} best individuals; line: equal", loc="left", fontsize=8)
    return figure
