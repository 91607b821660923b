"""A prediction as text: seconds per generation, efficiency, and what limits each size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MEANING = {
    "simulate": "simulating",
    "uneven": "uneven blocks, stragglers",
    "messages": "messages at rank 0",
    "network": "network",
    "evolve": "strategy at rank 0",
    "score": "scores at rank 0",
    "write": "waiting for the ledger",
}
"""What a part of a generation's time is."""


@dataclass(frozen=True)
class Row:
    """One size.

    efficiency: against one node, 1 is ideal; bottleneck: the part that takes most; loss: the one that takes most but
    for simulating; parts_s: seconds of each.
    """

    nodes: int
    population: int
    total_s: float
    efficiency: float
    bottleneck: str
    loss: str
    parts_s: Mapping[str, float]


def prediction_text(
    fit: str, machine: str, workers: int, rows: Sequence[Row], strong: bool, assumed: Sequence[str]
) -> str:
    """The table, and from where on less than 90 % is left."""
    kind = "strong" if strong else "weak"
    lines = [f"{fit or 'a fit'} as measured on {machine or 'an unnamed machine'}, nodes of {workers} cores or devices"]
    lines.append(f"{'nodes':>6} {'population':>10} {'s/generation':>12} {kind + ' %':>8}  bottleneck; largest loss")
    for row in rows:
        loss = f"{MEANING[row.loss]} {row.parts_s[row.loss]:.3g} s"
        limit = MEANING[row.bottleneck] if row.bottleneck != row.loss else "the same"
        lines.append(
            f"{row.nodes:>6} {row.population:>10} {row.total_s:>12.4g} {100 * row.efficiency:>8.1f}  {limit}; {loss}"
        )
    below = next((row for row in rows if row.efficiency < 0.9), None)
    if below is None:
        lines.append(f"{kind} efficiency stays above 90 %")
    else:
        first = f"{kind} efficiency is below 90 % from {below.nodes} nodes on"
        lines.append(f"{first}; the first thing to change there: {MEANING[below.loss]}")
    return "\n".join([*lines, *(f"assumed: {line}" for line in assumed)])
