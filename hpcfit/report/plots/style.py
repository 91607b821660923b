"""How all figures look.  Colours: Okabe and Ito 2008, told apart by colour-blind readers too."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
SKY, ORANGE, PURPLE = "#56B4E9", "#E69F00", "#CC79A7"
INK, GREY, FAINT = "#222222", "#8A8A8A", "#D9D9D9"
DPI = 150


def new_figure(width_in: float, height_in: float) -> "Figure":
    """An empty figure with its own Agg canvas: no pyplot, no window, nobody's backend changed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def axes_in(figure: "Figure", box_in: tuple[float, float, float, float]) -> "Axes":
    """Axes at (left, top, width, height) in inches from the top left corner: text keeps its room at any size."""
    width, height = figure.get_size_inches()
    left, top, wide, high = box_in
    return dress(figure.add_axes((left / width, 1 - (top + high) / height, wide / width, high / height)))


def dress(axes: "Axes", spines: Sequence[str] = ("left", "bottom")) -> "Axes":
    """Axes with only these spines, small quiet ticks."""
    for side, spine in axes.spines.items():
        spine.set_visible(side in spines)
        spine.set_color(GREY)
    axes.tick_params(labelsize=8, color=GREY, labelcolor=INK, length=3)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)
    return axes


def whole_numbers(axes: "Axes") -> None:
    """Ticks of the x axis only at whole numbers: there is no generation 2.5."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))


def text_width_in(texts: Sequence[str], size: float = 8) -> float:
    """Room, in inches, for the longest of these texts; a little generous, so that it needs no drawing to measure."""
    return max((len(text) for text in texts), default=0) * size * 0.62 / 72 + 0.1


def legend_above(figure: "Figure") -> None:
    """One legend, in the top left corner, for all that is labelled in any axes."""
    known = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            known.setdefault(label, handle)
    width, height = figure.get_size_inches()
    corner = (0.1 / width, 1 - 0.08 / height)
    figure.legend(
        list(known.values()), list(known), loc="upper left", bbox_to_anchor=corner, ncols=6, frameon=False, fontsize=8
    )
