"""Latent states: trajectories in the first principal components of the factors; inferred inputs."""

from typing import TYPE_CHECKING

import numpy as np

from hpcfit.report.plots.style import BLUE, dress, new_figure
from hpcfit.report.plots.training.common import COLOURS, MOST_CONDITIONS, conditions_of, some_of, time_axis
from hpcfit.report.posterior_view import PosteriorView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_TRIALS = 200
_PER_CONDITION = 5
_SINGLE = 30
_INPUTS = 4


def latent_trajectories(view: PosteriorView) -> "Figure":
    """Factors of validation trials in their first principal components; a dot where a trial starts."""
    rows = some_of(len(view.needed("valid", "initial_conditions")), _MOST_TRIALS)
    factors = view.needed("valid", "factors", rows)
    conditions = conditions_of(view, "valid")
    conditions = None if conditions is None else conditions[rows]
    flat = factors.reshape(-1, factors.shape[2])
    values, vectors = np.linalg.eigh(np.cov(flat.T).reshape(factors.shape[2], -1))
    share = np.maximum(values[::-1], 0.0) / max(float(np.maximum(values, 0.0).sum()), 1e-30)
    states = (factors - flat.mean(0)) @ vectors[:, ::-1][:, :3]
    figure = new_figure(8.0, 4.0)
    grid = figure.add_gridspec(1, 2, left=0.09, right=0.98, top=0.9, bottom=0.13, wspace=0.25)
    for column, (across, up) in enumerate(((0, 1), (0, 2))):
        axes = dress(figure.add_subplot(grid[column]))
        if up < states.shape[2]:
            for paths, colour, wide in _shown(states, conditions):
                axes.plot(paths[..., across].T, paths[..., up].T, color=colour, lw=0.5, alpha=0.5 if wide else 0.9)
                axes.plot(paths[:, 0, across], paths[:, 0, up], color=colour, marker="o", ms=2.5, lw=0, alpha=0.7)
                if wide:
                    mean = paths.mean(0)
                    axes.plot(mean[:, across], mean[:, up], color=colour, lw=1.8)
        for name, index in (("x", across), ("y", up)):
            part = f"{100 * share[index]:.0f} %" if index < len(share) else "none"
            getattr(axes, f"set_{name}label")(f"component {index + 1} ({part} of the variance)")
    words = "one colour a condition, thick: mean" if conditions is not None else "single trials"
    figure.axes[0].set_title(f"factors of validation trials; {words}", loc="left", fontsize=9)
    return figure


def _shown(states: np.ndarray, conditions: np.ndarray | None) -> list[tuple[np.ndarray, str, bool]]:
    """Paths (trials, time, components) that share a colour, that colour, and whether their mean is drawn."""
    if conditions is None:
        return [(states[some_of(len(states), _SINGLE)], BLUE, False)]
    known = np.unique(conditions[conditions >= 0])
    shown = known[some_of(len(known), MOST_CONDITIONS)]
    return [(states[conditions == one][:_PER_CONDITION], COLOURS[index], True) for index, one in enumerate(shown)]


def inferred_inputs(view: PosteriorView) -> "Figure | None":
    """Means of inferred inputs: trials (by condition) against time."""
    rows = some_of(len(view.needed("valid", "initial_conditions")), _MOST_TRIALS)
    if (inputs := view.array("valid", "inferred_inputs", rows)) is None:
        return None
    conditions = conditions_of(view, "valid")
    if conditions is not None:
        inputs = inputs[np.argsort(conditions[rows], kind="stable")]
    shown = min(inputs.shape[2], _INPUTS)
    times, label = time_axis(view, inputs.shape[1])
    most = max(float(np.quantile(np.abs(inputs), 0.995)), 1e-12)
    figure = new_figure(8.0, 3.2)
    grid = figure.add_gridspec(1, shown, left=0.08, right=0.9, top=0.88, bottom=0.16, wspace=0.12)
    for index in range(shown):
        axes = dress(figure.add_subplot(grid[index]))
        image = axes.imshow(
            inputs[..., index],
            aspect="auto",
            interpolation="nearest",
            extent=(times[0], times[-1] if len(times) > 1 else times[0] + 1, len(inputs) - 0.5, -0.5),
            cmap="RdBu_r",
            vmin=-most,
            vmax=most,
        )
        axes.set_title(f"input {index + 1} of {inputs.shape[2]}", fontsize=9)
        axes.set_xlabel(label)
        axes.tick_params(labelleft=not index)
        if not index:
            axes.set_ylabel("validation trial" + ("" if conditions is None else ", by condition"))
    bar = figure.colorbar(image, cax=figure.add_axes((0.92, 0.16, 0.015, 0.72)))
    bar.ax.tick_params(labelsize=7)
    return figure
