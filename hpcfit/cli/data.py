"""Verbs for data sets of LFADS."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hpcfit.cli.app import app

data = typer.Typer(help="Make data sets for LFADS, and look at them.", no_args_is_help=True)
app.add_typer(data, name="data")

Bin = Annotated[float | None, typer.Option(min=1e-9, help="Width of a bin, s.", show_default=False)]


class Generators(StrEnum):
    """What `data make` makes."""

    chaotic = "chaotic"
    lorenz = "lorenz"
    reaching = "reaching"


@data.command()
def make(
    kind: Annotated[Generators, typer.Argument(help="Which.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: .h5, or .nwb (reaching).")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value of the generator; may be repeated.")
    ] = None,
    bin_s: Bin = None,
) -> None:
    """Generate spikes whose true rates are known: a chaotic network, a Lorenz system, or reaches to targets."""
    from hpcfit.jobs.datasets import make_data

    typer.echo("\n".join([*make_data(kind.value, out, tuple(settings or ()), bin_s), str(out)]))


@data.command()
def show(
    file: Annotated[Path, typer.Argument(help="Training file (.toml), arrays (.h5) or NWB file.", show_default=False)],
    bin_s: Bin = None,
) -> None:
    """Say what is in a data set: shapes, rates, silent and correlated units, conditions, memory."""
    from hpcfit.jobs.datasets import show_data

    typer.echo("\n".join(show_data(file, bin_s)))
