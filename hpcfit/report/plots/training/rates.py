"""Spikes beside inferred rates: single trials, means by condition, and true rates where they are known."""

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcfit.report.plots.style import BLUE, GREY, VERMILLION, dress, new_figure
from hpcfit.report.plots.training.common import (
    COLOURS,
    MOST_CONDITIONS,
    conditions_of,
    per_second,
    some_of,
    time_axis,
)
from hpcfit.report.posterior_view import PosteriorView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TRIALS = 3
_NEURONS = 4
_TRIALS_PER_CONDITION = 50
PSTH_SD_BINS = 3.0
"""Where no evaluation has chosen another."""


def rasters(view: PosteriorView) -> "Figure":
    """Spikes of validation trials above the rates inferred from them; neurons by their mean rate."""
    rows = some_of(len(view.needed("valid", "initial_conditions")), _TRIALS)
    spikes, rates = (view.needed("valid", name, rows) for name in ("spikes", "rates"))
    order = np.argsort(rates.mean((0, 1)), kind="stable")
    times, label = time_axis(view, rates.shape[1])
    factor, unit = per_second(view)
    counts = view.attributes.get("reconstruction") == "poisson"
    half = 0.5 * (times[1] - times[0]) if len(times) > 1 else 0.5
    extent = (times[0] - half, times[-1] + half, -0.5, len(order) - 0.5)
    figure = new_figure(8.0, 5.0)
    grid = figure.add_gridspec(2, len(rows), left=0.09, right=0.88, top=0.93, bottom=0.1, wspace=0.12, hspace=0.12)
    images = []
    for column, trial in enumerate(rows):
        above, below = (dress(figure.add_subplot(grid[row, column])) for row in range(2))
        most = min(max(float(spikes.max()), 1.0), 2.0) if counts else float(spikes.max())
        above.imshow(spikes[column][:, order].T, extent=extent, vmax=most, **_IMAGE, cmap="Greys", vmin=0)
        high = factor * float(np.quantile(rates, 0.998))
        images.append(below.imshow(factor * rates[column][:, order].T, extent=extent, vmax=high, **_IMAGE))
        above.set_title(f"validation trial {trial}", fontsize=9)
        above.tick_params(labelbottom=False)
        below.set_xlabel(label)
        if column:
            above.tick_params(labelleft=False)
            below.tick_params(labelleft=False)
        else:
            above.set_ylabel("spikes: neuron")
            below.set_ylabel("inferred: neuron")
    bar = figure.colorbar(images[-1], cax=figure.add_axes((0.9, 0.1, 0.015, 0.39)))
    bar.set_label(unit, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure


_IMAGE: dict[str, Any] = {"aspect": "auto", "interpolation": "nearest", "origin": "lower"}


def condition_rates(view: PosteriorView, sd_bins: float = PSTH_SD_BINS) -> "Figure | None":
    """PSTHs beside means of inferred rates over the same trials, by condition; neurons whose PSTHs differ most."""
    found = _by_condition(view, sd_bins)
    if found is None:
        return None
    psth, inferred, conditions = found
    factor, unit = per_second(view)
    times, label = time_axis(view, psth.shape[1])
    neurons = np.sort(np.argsort(-psth.var((0, 1)), kind="stable")[:_NEURONS])
    figure = new_figure(8.0, 0.9 + 1.5 * len(neurons))
    height = figure.get_figheight()
    grid = figure.add_gridspec(
        len(neurons), 2, left=0.1, right=0.98, top=1 - 0.55 / height, bottom=0.45 / height, wspace=0.1, hspace=0.25
    )
    for row, neuron in enumerate(neurons):
        left = dress(figure.add_subplot(grid[row, 0]))
        right = dress(figure.add_subplot(grid[row, 1], sharey=left, sharex=left))
        for axes, means in ((left, psth), (right, inferred)):
            for index, condition in enumerate(conditions):
                axes.plot(
                    times,
                    factor * means[index, :, neuron],
                    color=COLOURS[index],
                    lw=1.2,
                    label=f"condition {condition}",
                )
            axes.tick_params(labelbottom=row == len(neurons) - 1)
        right.tick_params(labelleft=False)
        left.set_ylabel(f"neuron {neuron}\n{unit}", fontsize=8)
        if not row:
            left.set_title(f"spikes, smoothed by {sd_bins:g} bins", fontsize=9)
            right.set_title("inferred", fontsize=9)
        if row == len(neurons) - 1:
            left.set_xlabel(label)
            right.set_xlabel(label)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=4, frameon=False, fontsize=7)
    if len(conditions) > 4:
        figure.subplots_adjust(top=1 - 0.75 / height)
    return figure


def _by_condition(view: PosteriorView, sd_bins: float) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """PSTHs and means of inferred rates (conditions, time, neurons) over the same trials, and the conditions."""
    from scipy.ndimage import gaussian_filter1d

    of = {part: conditions for part in ("train", "valid") if (conditions := conditions_of(view, part)) is not None}
    if not of or any(view.array(part, "lengths") is not None for part in of):
        return None  # bins of ended trials would count as silent
    known = np.unique(np.concatenate([conditions[conditions >= 0] for conditions in of.values()]))
    shown = known[some_of(len(known), MOST_CONDITIONS)]
    psth, inferred = [], []
    for condition in shown:
        both: dict[str, list[np.ndarray]] = {"spikes": [], "rates": []}
        for part, conditions in of.items():
            rows = np.flatnonzero(conditions == condition)[:_TRIALS_PER_CONDITION]
            for name, arrays in both.items():
                arrays.append(view.needed(part, name, rows))
        spikes, rates = (np.concatenate(arrays).mean(0) for arrays in both.values())
        psth.append(gaussian_filter1d(spikes, sd_bins, axis=0, mode="nearest") if sd_bins else spikes)
        inferred.append(rates)
    return np.stack(psth), np.stack(inferred), shown


def true_rates(view: PosteriorView) -> "Figure | None":
    """True against inferred rates of validation trials: all elements, and some neurons of one trial."""
    if (truth := view.array("valid", "truth")) is None:
        return None
    rates = view.needed("valid", "rates")
    factor, unit = per_second(view)
    times, label = time_axis(view, rates.shape[1])
    figure = new_figure(8.0, 4.2)
    grid = figure.add_gridspec(_NEURONS, 2, left=0.09, right=0.98, top=0.92, bottom=0.12, wspace=0.25, hspace=0.3)
    left = dress(figure.add_subplot(grid[:, 0]))
    high = factor * float(max(truth.max(), np.quantile(rates, 0.999)))
    both = (factor * truth.ravel(), factor * rates.ravel())
    counts = np.histogram2d(*both, bins=80, range=((0, high), (0, high)))[0]
    left.imshow(np.log1p(counts.T), extent=(0, high, 0, high), cmap="Greys", **_IMAGE)
    left.plot((0, high), (0, high), color=VERMILLION, lw=0.8)
    left.set_xlabel(f"true {unit}")
    left.set_ylabel(f"inferred {unit}")
    left.set_title("all validation trials (logarithm of counts)", fontsize=9)
    neurons = np.sort(np.argsort(-truth[0].var(0), kind="stable")[:_NEURONS])
    for row, neuron in enumerate(neurons):
        axes = dress(figure.add_subplot(grid[row, 1]))
        axes.plot(times, factor * truth[0, :, neuron], color=GREY, lw=1.6, label="true")
        axes.plot(times, factor * rates[0, :, neuron], color=BLUE, lw=1.2, label="inferred")
        axes.set_ylabel(f"neuron {neuron}", fontsize=8)
        axes.tick_params(labelbottom=row == len(neurons) - 1)
        if not row:
            axes.set_title(f"validation trial 0, {unit}", fontsize=9)
            axes.legend(frameon=False, fontsize=7, ncols=2)
        if row == len(neurons) - 1:
            axes.set_xlabel(label)
    return figure
