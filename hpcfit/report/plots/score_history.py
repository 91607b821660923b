"""How the score fell from generation to generation, and what went wrong meanwhile."""

from typing import TYPE_CHECKING

import numpy as np

from hpcfit.report.log import FAILURES
from hpcfit.report.plots.style import (
    BLUE,
    FAINT,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    dress,
    new_figure,
    whole_numbers,
)
from hpcfit.report.run_view import RunView

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = dict(zip(FAILURES, (ORANGE, SKY, PURPLE, VERMILLION), strict=True))


def convergence(view: RunView) -> "Figure":
    """Best score so far, median and quartiles of each generation; below, failed simulations and undefined features."""
    figure = new_figure(8.0, 6.0)
    grid = figure.add_gridspec(3, 1, height_ratios=(5, 1, 1), left=0.12, right=0.97, top=0.93, bottom=0.09, hspace=0.16)
    score = dress(figure.add_subplot(grid[0]))
    failed = dress(figure.add_subplot(grid[1], sharex=score))
    undefined = dress(figure.add_subplot(grid[2], sharex=score))
    _draw_scores(score, view)
    counts = view.counts()
    _draw_failures(failed, counts)
    heights = counts.get("undefined_features", 0 * counts["generation"])
    undefined.bar(counts["generation"], heights, color=GREY)
    if not heights.any():
        _say_none(undefined)
    undefined.set_ylabel("undefined\nfeatures")
    undefined.set_xlabel("generation")
    for axes in (score, failed):
        axes.tick_params(labelbottom=False)
    for axes in (failed, undefined):
        axes.set_ylim(0, max(1.0, axes.get_ylim()[1]))
        axes.locator_params(axis="y", nbins=3, integer=True)
    whole_numbers(undefined)
    score.set_xlim(-0.6, view.generations - 0.4)
    figure.align_ylabels()
    return figure


def _draw_scores(axes: "Axes", view: RunView) -> None:
    number, best = np.arange(view.generations), view.best_scores()
    quartiles = np.array([_quartiles(scores) for scores in view.scores()])
    marker = "o" if view.generations <= 30 else ""
    axes.fill_between(
        number, quartiles[:, 0], quartiles[:, 2], color=FAINT, lw=0, label="middle half of the generation"
    )
    if marker:  # a band of a single generation has no width
        axes.vlines(number, quartiles[:, 0], quartiles[:, 2], color=FAINT, lw=5)
    axes.plot(number, quartiles[:, 1], color=GREY, lw=1.3, marker=marker, ms=3, label="median of the generation")
    axes.plot(number, best, color=BLUE, lw=2, marker=marker, ms=4, label="best so far")
    drawn = np.concatenate([quartiles.ravel(), best])
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) and drawn.min() > 0 and drawn.max() > 10 * drawn.min():
        _log_scale(axes)
    axes.set_ylabel("score / sd")
    axes.grid(axis="y", color=FAINT, lw=0.5)
    axes.set_axisbelow(True)
    axes.set_title(f"{view.settings.get('name', '')}: best score {view.best.score:.4g}", loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=8, loc="upper right")


def _log_scale(axes: "Axes") -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _quartiles(scores: np.ndarray) -> np.ndarray:
    defined = scores[np.isfinite(scores)]
    return np.percentile(defined, (25, 50, 75)) if len(defined) else np.full(3, np.nan)


def _draw_failures(axes: "Axes", counts: dict[str, np.ndarray]) -> None:
    base = np.zeros(len(counts["generation"]))
    for cause in FAILURES:
        heights = counts.get(cause, np.zeros_like(base))
        if heights.any():
            axes.bar(counts["generation"], heights, bottom=base, color=COLOURS[cause], label=cause)
            base = base + heights
    axes.set_ylabel("failed\nsimulations")
    if base.any():
        axes.legend(
            frameon=False, fontsize=7, ncols=len(FAILURES), loc="lower right", bbox_to_anchor=(1.0, 0.95), borderpad=0
        )
    else:
        _say_none(axes)


def _say_none(axes: "Axes") -> None:
    axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", va="center", fontsize=8, color=GREY)
