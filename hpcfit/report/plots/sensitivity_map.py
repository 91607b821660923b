"""How far does each parameter alone move each feature, and where does the feature become undefined?"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hpcfit.report.plots.heat import colour_bar, heat_axes, name_columns, name_rows, room_for
from hpcfit.report.plots.style import VERMILLION, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CELL_IN = 0.2
_MOST_ROWS = 45


def sensitivity_figure(
    features: Sequence[str], parameters: Sequence[str], extents: np.ndarray, undefined: np.ndarray
) -> "Figure":
    """Rows features, columns parameters; colour: range of the feature in sd, on a log scale; a red square, whose size
    is the part of the swept points, where the feature is undefined.

    extents, undefined: (features, parameters).  Many features stand in blocks side by side.
    """
    from matplotlib.colors import LogNorm

    left, above, columns = room_for(features), room_for(parameters), len(parameters)
    blocks = np.array_split(np.arange(len(features)), math.ceil(len(features) / _MOST_ROWS))
    width, height = left + columns * _CELL_IN + 0.3, len(blocks[0]) * _CELL_IN
    figure = new_figure(len(blocks) * width + 0.3, above + height + 0.95)
    scale = LogNorm(0.1, 100, clip=True)
    for place, block in enumerate(blocks):
        corner = (place * width + left, above + 0.05)
        axes = heat_axes(figure, corner, _CELL_IN, np.maximum(extents[block], 0.1), cmap="Blues", norm=scale)
        name_rows(axes, [str(features[int(row)]) for row in block])
        name_columns(axes, parameters)
        row, column = np.nonzero(undefined[block] > 0)
        size = 40 * undefined[block][row, column]
        axes.scatter(column, row, s=size, marker="s", color=VERMILLION, lw=0, gid="undefined")
    bar = (left, above + height + 0.2, columns * _CELL_IN, 0.12)
    colour_bar(figure, figure.axes[0], bar, "range of the feature / sd; red: undefined in part of the range")
    return figure
