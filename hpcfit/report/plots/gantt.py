"""Who was busy with which stimulus, as a Gantt chart: Figure 1D of Ladd et al. 2021, as it really went."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpcfit.population.timeline import Event, Overlap
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
    text_width_in,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = (BLUE, ORANGE, GREEN, VERMILLION, SKY, PURPLE)
_OTHER = {"evolve": INK, "write": GREY}
_PLOT_IN = 8.0
_ROW_IN, _TALLEST_IN = 0.3, 18.0
_STAGES = ("main", "simulator", "scorer", "writer")


def gantt(events: Sequence[Event]) -> "Figure":
    """One row for everyone who worked, one bar for each stretch of work, of the events of one generation.

    Colour: the stimulus, which a bar that is wide enough also names; evolution black, writing grey.
    """
    assert events, "no events to draw"
    start, end = min(event.began_s for event in events), max(event.ended_s for event in events)
    rows = lanes(events)
    left, legend = text_width_in(rows) + 0.2, 0.8
    height = min(_ROW_IN * len(rows), _TALLEST_IN)
    figure = new_figure(left + _PLOT_IN + 0.2, legend + height + 0.8)
    axes = axes_in(figure, (left, legend + 0.2, _PLOT_IN, height))
    colours = _colours(events)
    for event in events:
        _draw(axes, event, rows.index(event.who), colours, start, end)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xlim(0, max(end - start, 1e-9) * 1e3)
    axes.set_xlabel("time / ms")
    axes.grid(axis="x", color=FAINT, lw=0.5)
    axes.set_axisbelow(True)
    _head(figure, events)
    return figure


def lanes(events: Sequence[Event]) -> list[str]:
    """Everyone who worked: each stage, then its workers by number."""

    def order(who: str) -> tuple[int, str, int]:
        stage, _, number = who.partition(" ")
        place = _STAGES.index(stage) if stage in _STAGES else len(_STAGES)
        return place, stage, int(number) if re.fullmatch(r"\d+", number) else -1

    return sorted({event.who for event in events}, key=order)


def _colours(events: Sequence[Event]) -> dict[str, str]:
    """In the order of first appearance, evolution and writing apart."""
    names = list(dict.fromkeys(event.what for event in sorted(events, key=lambda e: e.began_s) if event.what))
    return {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(names)}


def _draw(axes: "Axes", event: Event, row: int, colours: dict[str, str], start: float, end: float) -> None:
    left, width = (event.began_s - start) * 1e3, (event.ended_s - event.began_s) * 1e3
    colour = colours.get(event.what) or _OTHER.get(event.phase, GREY)
    axes.barh(row, width, left=left, height=0.8, color=colour, edgecolor="white", lw=0.3)
    room_in = width / max(end - start, 1e-9) / 1e3 * _PLOT_IN
    if event.what and text_width_in([event.what], 6.5) < room_in:
        axes.text(left + width / 2, row, event.what, ha="center", va="center", fontsize=6.5, color="white")


def _head(figure: "Figure", events: Sequence[Event]) -> None:
    from matplotlib.patches import Patch

    sides = Overlap.of(events)
    text = f"generation {events[0].generation}"
    if sides.simulate_s and sides.score_s:
        text += (
            f": simulation {sides.simulate_s:.3g} s, scoring {sides.score_s:.3g} s, "
            f"both at once {sides.both_s:.3g} s ({100 * sides.efficiency:.0f} % of the shorter)"
        )
    width, height = figure.get_size_inches()
    figure.text(0.12 / width, 1 - 0.28 / height, text, fontsize=10, color=INK)
    handles = [Patch(color=colour, label=name) for name, colour in {**_colours(events), **_OTHER}.items()]
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.1 / width, 1 - 0.34 / height),
        ncols=8,
        frameon=False,
        fontsize=7,
        handlelength=1.0,
    )
