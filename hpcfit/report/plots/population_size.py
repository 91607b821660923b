"""What does a larger population buy?  Best score against generation, evaluations and size; traces per size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    whole_numbers,
)
from hpcfit.report.responses import Response

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = (SKY, BLUE, VERMILLION, GREEN, ORANGE, PURPLE)
_PANEL_IN = (2.9, 1.15)


@dataclass(frozen=True)
class Curve:
    """One run: individuals evaluated by the end of each generation, and the best score by then; both (generations,)."""

    size: int
    seed: int
    evaluations: np.ndarray
    best: np.ndarray


def scores_by_size(curves: Sequence[Curve], rows: Sequence[Mapping[str, Any]], at: tuple[int, int]) -> "Figure":
    """Best score against generation and against evaluations, a thin line a run; and medians over seeds against size.

    rows: per size, with *_median, *_least and *_greatest of equal_generations and equal_evaluations; at: how many
    generations and evaluations those are.
    """
    figure = new_figure(12.6, 4.0)
    generations, evaluations, sizes = (axes_in(figure, (0.75 + place * 4.15, 0.55, 3.3, 2.8)) for place in range(3))
    colours = {row["size"]: _COLOURS[place % len(_COLOURS)] for place, row in enumerate(rows)}
    for curve in curves:
        # A single generation is a dot: a line of one point is not seen.
        look = {"color": colours[curve.size], "lw": 1.3, "marker": "o", "ms": 3, "alpha": 0.85}
        label = f"{curve.size} a generation"
        generations.plot(np.arange(len(curve.best)), curve.best, label=label, **look)
        evaluations.plot(curve.evaluations, curve.best, label=label, **look)
    whole_numbers(generations)
    generations.set_xlabel("generation")
    evaluations.set_xscale("log")
    evaluations.set_xlabel("evaluations")
    generations.axvline(at[0] - 1, color=FAINT, lw=1, zorder=0)
    evaluations.axvline(at[1], color=FAINT, lw=1, zorder=0)
    _draw_sizes(sizes, rows, at)
    for axes in (generations, evaluations, sizes):
        axes.set_ylabel("best score / sd")
        axes.grid(axis="y", color=FAINT, lw=0.5)
        axes.set_axisbelow(True)
    _legend_once(generations)
    return figure


def traces_by_size(columns: Sequence[tuple[str, Sequence[Response]]]) -> "Figure":
    """Voltage of the final best individual (colour) over the recordings (grey).

    columns: a title and the responses of one size each; rows are the stimuli of the first.
    """
    stimuli = [response.stimulus for response in columns[0][1]]
    figure = new_figure(0.75 + len(columns) * (_PANEL_IN[0] + 0.25), 0.6 + len(stimuli) * (_PANEL_IN[1] + 0.2) + 0.3)
    for column, (title, responses) in enumerate(columns):
        by_name = {response.stimulus: response for response in responses}
        for row, stimulus in enumerate(stimuli):
            box = (0.7 + column * (_PANEL_IN[0] + 0.25), 0.5 + row * (_PANEL_IN[1] + 0.2), *_PANEL_IN)
            axes = axes_in(figure, box)
            if stimulus in by_name:
                _draw_voltage(axes, by_name[stimulus], _COLOURS[column % len(_COLOURS)])
            if row == 0:
                axes.set_title(title, loc="left", fontsize=9, color=INK)
            if column == 0:
                axes.set_ylabel(f"{stimulus}\nmV", fontsize=8)
            else:
                axes.tick_params(labelleft=False)
            if row + 1 == len(stimuli):
                axes.set_xlabel("time / ms", labelpad=1)
    _same_ranges(figure, len(columns), len(stimuli))
    return figure


def _draw_sizes(axes: "Axes", rows: Sequence[Mapping[str, Any]], at: tuple[int, int]) -> None:
    sizes = np.array([row["size"] for row in rows], dtype=float)
    kinds = (
        ("equal_generations", f"after {at[0]} generations", BLUE),
        ("equal_evaluations", f"after {at[1]} evaluations", VERMILLION),
    )
    for name, label, colour in kinds:
        middle, low, high = (
            np.array([row[f"{name}_{part}"] for row in rows]) for part in ("median", "least", "greatest")
        )
        axes.errorbar(
            sizes, middle, yerr=[middle - low, high - middle], color=colour, marker="o", ms=5, capsize=3, label=label
        )
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("individuals a generation")
    axes.legend(frameon=False, fontsize=8)


def _legend_once(axes: "Axes") -> None:
    """One entry a size, however many seeds."""
    handles, labels = axes.get_legend_handles_labels()
    known = dict(zip(labels, handles, strict=True))
    axes.legend(list(known.values()), list(known), frameon=False, fontsize=8)


def _draw_voltage(axes: "Axes", response: Response, colour: str) -> None:
    if response.recorded_v_mV is not None:
        time_ms = np.arange(response.recorded_v_mV.shape[1]) * response.recorded_dt_ms
        for sweep in response.recorded_v_mV:
            axes.plot(time_ms, sweep, color=GREY, lw=0.6, alpha=0.6)
    voltage = response.model_v_mV[response.sites.index(response.main_site)]
    axes.plot(np.arange(len(voltage)) * response.dt_ms, voltage, color=colour, lw=1.0)
    axes.margins(x=0)


def _same_ranges(figure: "Figure", columns: int, rows: int) -> None:
    """Panels of one stimulus have one voltage axis, so that sizes compare."""
    for row in range(rows):
        panels = [figure.axes[column * rows + row] for column in range(columns)]
        low, high = zip(*(axes.get_ylim() for axes in panels), strict=True)
        for axes in panels:
            axes.set_ylim(min(low), max(high))
