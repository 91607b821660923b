"""The best model's voltage over the recordings, one panel per stimulus, with the injected current below."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

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
    legend_above,
    new_figure,
)
from hpcfit.report.responses import Response
from hpcfit.report.run_view import RunView

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SITES = (VERMILLION, BLUE, GREEN, ORANGE, PURPLE, SKY)
_CELL_IN = (4.4, 3.0)
_PANEL_IN = (3.55, 1.75)
_CURRENT_IN = 0.4


def traces(view: RunView, responses: Sequence[Response], notes: Mapping[str, str] | None = None) -> "Figure":
    """Voltage of the best individual (colour) and recorded sweeps (grey), in the order of the fit file's scores.

    notes: by stimulus, what stands above its panel; default: what it contributes to the score.
    """
    assert responses, "no responses to draw"
    ordered = _in_order(view, responses)
    columns = min(len(ordered), 2 if len(ordered) <= 4 else 3)
    rows = math.ceil(len(ordered) / columns)
    figure = new_figure(columns * _CELL_IN[0] + 0.1, rows * _CELL_IN[1] + 0.5)
    colours = _site_colours(ordered)
    for place, response in enumerate(ordered):
        row, column = divmod(place, columns)
        left, top = 0.65 + column * _CELL_IN[0], 0.75 + row * _CELL_IN[1]
        voltage = axes_in(figure, (left, top, *_PANEL_IN))
        below = (left, top + _PANEL_IN[1] + 0.08, _PANEL_IN[0], _CURRENT_IN)
        current = axes_in(figure, below) if response.current_nA is not None else None
        _draw_voltage(voltage, response, colours)
        voltage.set_title(response.stimulus, loc="left", fontsize=9, fontweight="bold", color=INK)
        voltage.set_title(
            notes[response.stimulus] if notes else _note(view, response), loc="right", fontsize=7.5, color=GREY
        )
        _draw_current(current, voltage, response)
    legend_above(figure)
    return figure


def _in_order(view: RunView, responses: Sequence[Response]) -> list[Response]:
    stimuli = list(dict.fromkeys(str(name) for name in view.terms["stimulus"]))
    scored = {name: place for place, name in enumerate(stimuli)}
    return sorted(responses, key=lambda response: scored.get(response.stimulus, len(scored)))


def _site_colours(responses: Sequence[Response]) -> dict[str, str]:
    """One colour per site in all panels; the first one for where the recordings are from."""
    main = [response.main_site for response in responses]
    sites = dict.fromkeys([*main, *(site for response in responses for site in response.sites)])
    return {site: SITES[place % len(SITES)] for place, site in enumerate(sites)}


def _note(view: RunView, response: Response) -> str:
    sweeps = 0 if response.recorded_v_mV is None else len(response.recorded_v_mV)
    terms = view.terms["stimulus"] == response.stimulus
    parts = [f"{sweeps} sweep{'s' * (sweeps != 1)}"] if sweeps else []
    if not terms.any():
        return ", ".join([*parts, "not scored"])
    return ", ".join([*parts, f"{view.best.contributions[terms].sum():.3g} of score {view.best.score:.3g}"])


def _draw_voltage(axes: "Axes", response: Response, colours: dict[str, str]) -> None:
    from matplotlib.collections import LineCollection

    if response.recorded_v_mV is not None:
        time_ms = np.arange(response.recorded_v_mV.shape[1]) * response.recorded_dt_ms
        lines = [np.column_stack([time_ms, sweep]) for sweep in response.recorded_v_mV]
        axes.add_collection(LineCollection(lines, colors=GREY, lw=0.7, alpha=0.6, label="recorded"))
        axes.autoscale_view()
    time_ms = np.arange(response.model_v_mV.shape[1]) * response.dt_ms
    # The main site last: it lies on top.
    for site in sorted(response.sites, key=lambda site: site == response.main_site):
        voltage = response.model_v_mV[response.sites.index(site)]
        width = 1.0 if site == response.main_site else 0.7
        axes.plot(time_ms, voltage, color=colours[site], lw=width, label=f"model, {site}")
    axes.set_ylabel("voltage / mV", labelpad=2)
    axes.set_xlim(0, time_ms[-1] if len(time_ms) > 1 else 1)


def _draw_current(current: "Axes | None", voltage: "Axes", response: Response) -> None:
    for axes in (voltage, current):
        if axes is not None and response.window_ms is not None:
            axes.axvspan(*response.window_ms, color=FAINT, alpha=0.35, lw=0, zorder=0)
    (current or voltage).set_xlabel("time / ms", labelpad=1)
    if current is None or response.current_nA is None:
        return
    voltage.tick_params(labelbottom=False)
    current.plot(np.arange(len(response.current_nA)) * response.dt_ms, response.current_nA, color=INK, lw=0.9)
    if response.events_ms is not None:  # ticks: synaptic events
        middle = np.full(len(response.events_ms), 0.5)
        current.plot(response.events_ms, middle, "|", color=INK, ms=4, mew=0.6, transform=current.get_xaxis_transform())
    current.set_xlim(voltage.get_xlim())
    current.margins(y=0.15)
    current.locator_params(axis="y", nbins=2)
    current.set_ylabel("nA", labelpad=2)
    for axes in (voltage, current):
        axes.yaxis.set_label_coords(-0.13, 0.5)
