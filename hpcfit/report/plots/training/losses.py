"""How the loss fell from epoch to epoch, each of its terms by itself."""

from typing import TYPE_CHECKING

import numpy as np

from hpcfit.report.plots.style import BLUE, FAINT, GREEN, GREY, INK, ORANGE, VERMILLION, dress, new_figure
from hpcfit.report.training_view import TrainingView

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANELS = {
    "negative log likelihood\n(nats per bin and neuron)": {
        "train_nll": ("training", BLUE),
        "valid_nll": ("validation", ORANGE),
        "valid_nll_smoothed": ("validation, smoothed", VERMILLION),
        "valid_held_out": ("held-out elements", GREEN),
    },
    "R2 against true rates": {"valid_r2": ("validation", VERMILLION)},
    "KL of initial conditions\n(nats per trial)": {
        "train_kl_initial": ("training", BLUE),
        "valid_kl_initial": ("validation", VERMILLION),
    },
    "KL of inferred inputs\n(nats per trial)": {
        "train_kl_inputs": ("training", BLUE),
        "valid_kl_inputs": ("validation", VERMILLION),
    },
    "half mean square of\nrecurrent weights": {
        "train_l2_generator": ("generator", BLUE),
        "train_l2_controller": ("controller", ORANGE),
    },
    "whole loss": {"train_loss": ("training", BLUE), "valid_loss": ("validation", VERMILLION)},
    "learning rate": {"learning_rate": ("", INK)},
    "largest gradient norm": {"train_gradient_norm": ("", INK)},
}
_LOGARITHMIC = ("learning_rate", "train_gradient_norm")


def losses(view: TrainingView) -> "Figure":
    """A panel for each term that the training has; a line at the epoch of the best checkpoint."""
    panels = {title: lines for title, lines in _PANELS.items() if any(_there(view, name) for name in lines)}
    rows = -(-len(panels) // 2)
    figure = new_figure(8.0, 0.5 + 1.9 * rows)
    height = figure.get_figheight()
    grid = figure.add_gridspec(
        rows, 2, left=0.12, right=0.98, top=1 - 0.3 / height, bottom=0.5 / height, wspace=0.36, hspace=0.3
    )
    shared = None
    for index, (title, lines) in enumerate(panels.items()):
        axes = dress(figure.add_subplot(grid[divmod(index, 2)], sharex=shared))
        shared = shared or axes
        _draw(axes, view, lines)
        axes.set_ylabel(title, fontsize=8)
        if index >= len(panels) - 2:
            axes.set_xlabel("epoch")
    return figure


def _there(view: TrainingView, name: str) -> bool:
    values = view.epochs.get(name)
    return values is not None and bool(np.isfinite(values).any())


def _draw(axes: "Axes", view: TrainingView, lines: dict[str, tuple[str, str]]) -> None:
    from matplotlib.ticker import NullFormatter

    marker = "o" if view.number <= 20 else ""
    for name, (label, colour) in lines.items():
        if _there(view, name):
            axes.plot(view.epochs["epoch"], view.epochs[name], color=colour, lw=1.4, marker=marker, ms=3, label=label)
            if name in _LOGARITHMIC and (view.epochs[name] > 0).all():
                axes.set_yscale("log")
                axes.yaxis.set_minor_formatter(NullFormatter())
    if view.best_epoch is not None:
        axes.axvline(view.epochs["epoch"][view.best_epoch], color=GREY, lw=0.8, ls=":")
    axes.grid(axis="y", color=FAINT, lw=0.5)
    axes.set_axisbelow(True)
    if any(label for label, _ in lines.values()):
        axes.legend(frameon=False, fontsize=7)
