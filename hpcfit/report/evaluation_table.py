"""An evaluation as a table: a row for each model, a column for each measure."""

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

COLUMNS = {
    "nll": "NLL per bin",
    "bits_per_spike": "bits per spike",
    "co_bps": "co-bps",
    "fp_bps": "fp-bps",
    "rate_r2": "rate R2",
    "psth_r2": "PSTH R2",
    "velocity_r2": "velocity R2",
    "ole_r2": "OLE R2",
}


def evaluation_columns(found: Mapping[str, Any]) -> dict[str, list[str]]:
    """Columns of text by their headings; the last says what a baseline chose."""
    rows = found["rows"]
    table = {"model": [str(row["model"]).replace("_", " ") for row in rows]}
    for name, heading in COLUMNS.items():
        if any(name in row for row in rows):
            table[heading] = [f"{row[name]:.4f}" if row.get(name) is not None else "" for row in rows]
    chosen = [
        ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in row.get("chosen", {}).items()) for row in rows
    ]
    return {**table, "chosen": chosen} if any(chosen) else table


def print_evaluation(found: Mapping[str, Any], stream: TextIO) -> None:
    """The table as plain text, and what was left out."""
    table = evaluation_columns(found)
    columns = [[heading, *cells] for heading, cells in table.items()]
    widths = [max(map(len, column)) for column in columns]
    for row in zip(*columns, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        stream.write("  ".join(cells).rstrip() + "\n")
    for line in glm_lines(found):
        stream.write(f"{line}\n")
    for reason in found.get("skipped", {}).values():
        stream.write(f"left out: {reason}\n")


def glm_lines(found: Mapping[str, Any]) -> list[str]:
    """What the GLMs of held-out neurons say, in one line; nothing where there are none."""
    if not (glm := found.get("glm")):
        return []
    values, relative = glm["pseudo_r2"], glm["relative_pseudo_r2"]
    above = sum(low > 0 for _, low, _ in relative)
    return [
        f"GLM of {len(values)} held-out neurons from factors and their own past: pseudo-R2 {_median(values):.4f} "
        f"(median); relative to their past alone {_median(relative):.4f}, above 0 in {above} (95 % of a bootstrap)"
    ]


def _median(rows: Sequence[Sequence[float]]) -> float:
    from statistics import median

    known = [row[0] for row in rows if row[0] == row[0]]
    return median(known) if known else float("nan")
