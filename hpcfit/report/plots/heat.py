"""A matrix as colours with a name at every row and column, for correlations, directions and sensitivities."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcfit.report.plots.style import GREY, INK, axes_in, text_width_in

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NO_NUMBER = "#F0F0F0"


def heat_axes(
    figure: "Figure", corner_in: tuple[float, float], cell_in: float, values: np.ndarray, **options: Any
) -> "Axes":
    """Axes at (left, top) with (rows, columns) of cells; NaN is light grey.  options: of imshow."""
    rows, columns = values.shape
    axes = axes_in(figure, (*corner_in, columns * cell_in, rows * cell_in))
    axes.set_facecolor(NO_NUMBER)
    axes.imshow(np.ma.masked_invalid(values), aspect="auto", interpolation="nearest", **options)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def name_rows(axes: "Axes", names: Sequence[str], size: float = 7) -> None:
    """Names to the left."""
    axes.set_yticks(np.arange(len(names)), list(names), fontsize=size, color=INK)


def name_columns(axes: "Axes", names: Sequence[str], size: float = 7) -> None:
    """Names above, written upwards."""
    axes.xaxis.tick_top()
    axes.set_xticks(np.arange(len(names)), list(names), fontsize=size, color=INK, rotation=90)


def colour_bar(figure: "Figure", axes: "Axes", box_in: tuple[float, float, float, float], label: str) -> None:
    """The colours of the first image of `axes`, in a box (left, top, width, height)."""
    width, height = figure.get_size_inches()
    left, top, wide, high = box_in
    place = figure.add_axes((left / width, 1 - (top + high) / height, wide / width, high / height))
    bar = figure.colorbar(axes.images[0], cax=place, orientation="horizontal")
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7, color=GREY)
    bar.outline.set_visible(False)


def room_for(names: Sequence[str], size: float = 7) -> float:
    """Inches that the longest name takes, and a little."""
    return text_width_in(names, size) + 0.1
