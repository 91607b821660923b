"""The table of error against cost for people: what `hpcfit accuracy` prints."""

from collections.abc import Mapping
from typing import Any, TextIO

_COLUMNS = (
    "scheme",
    "core s per\nmodel s",
    "x NEURON\ndefault",
    "counts\nchanged",
    "shift ms\nlargest",
    "\nmedian",
    "\nfirst spike",
    "\nlast spike",
    "features sd\nlargest",
    "\nmean",
    "score\nlargest",
)


def print_accuracy(table: Mapping[str, Any], stream: TextIO, width: int | None = None) -> None:
    """Print what `hpcfit.jobs.accuracy.accuracy_table` gives: the reference and its own error, rows, what was left out.

    width: columns of the terminal; default: what the terminal says, and wide enough for the table elsewhere.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console(file=stream, width=width or (None if stream.isatty() else 160), highlight=False, markup=False)
    for line in _head(table):
        console.print(line)
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for name in _COLUMNS:
        grid.add_column(name, justify="left" if name == "scheme" else "right", no_wrap=name == "scheme")
    for row in table["schemes"]:
        grid.add_row(*_cells(row))
    console.print(grid)
    for line in _foot(table):
        console.print(line)


def _head(table: Mapping[str, Any]) -> list[str]:
    models, reference = table["models"], table["reference"]
    given = f"{models['given']} given and " if models["given"] else ""
    return [
        f"{table['fit']}: {models['kept']} models under {', '.join(table['stimuli'])}: {given}"
        f"{models['kept'] - models['given']} of {models['drawn']} drawn from the bounds fire "
        f"(seed {models['seed']}); {reference['spikes']} spikes",
        f"reference: {reference['engine']}, order 2, dt {reference['dt_ms']:.3g} ms; its own error, from dt "
        f"{reference['checked_against_dt_ms']:.3g}: spikes within {_number(reference['error_ms'])} ms, "
        f"features within {_number(reference['features_error_sd'])} sd",
    ]


def _cells(row: Mapping[str, Any]) -> list[str]:
    shift, features = row["shift_ms"], row["features_sd"]
    changed = f"{row['counts_changed']} of {row['responses']}"
    return [
        row["name"],
        _number(row["core_s_per_model_s"]),
        _number(row["times_neuron"]),
        changed + (f" ({row['failed']} failed)" if row["failed"] else ""),
        *(_number(shift[key]) for key in ("largest", "median", "first_largest", "last_largest")),
        _number(features["largest"]),
        _number(features["mean"]),
        _number(row["score"]["largest"]),
    ]


def _foot(table: Mapping[str, Any]) -> list[str]:
    lines = [
        "shift: of spikes of responses whose count is right, paired by rank; score: change of a model's score, sd",
        *(f"left out: {one['name']}: {one['reason']}" for one in table["left_out"]),
    ]
    unresolved, responses = table["reference"]["unresolved"], table["reference"]["responses"]
    lines.append(f"unresolved, in no figure above: {len(unresolved)} of {responses} responses")
    lines += [f"  model {one['model']} under {one['stimulus']}: {one['why']}" for one in unresolved]
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
