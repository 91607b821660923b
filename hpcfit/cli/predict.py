"""Verbs that look past this machine: measure what a generation consists of, and predict it on many nodes."""

from pathlib import Path
from typing import Annotated

import typer

from hpcfit.cli.app import FitFile, whole_numbers
from hpcfit.cli.scale import scale

Mpi = Annotated[
    bool | None, typer.Option(help="Messages between MPI ranks.", show_default="if a launcher started several")
]


@scale.command()
def calibrate(
    file: FitFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="JSON file to write.")] = Path("calibration.json"),
    cores: Annotated[
        int | None, typer.Option(min=1, help="Of a node to be predicted.", show_default="of this machine")
    ] = None,
    mpi: Mpi = None,
) -> None:
    """Measure, with a fit, what simulating, scoring, evolving, writing, dealing and messages cost here."""
    from hpcfit.cli.ranks import mpi_first

    mpi_first(mpi)
    from hpcfit.jobs import sharing
    from hpcfit.jobs.prediction import calibrate, help_to_calibrate, write_calibration

    with sharing.ranks(mpi) as comm:
        if comm is not None and comm.rank:
            return help_to_calibrate(comm)
        found = calibrate(file, comm, cores, lambda what: typer.echo(f"measuring {what}", err=True))
        write_calibration(out, found)
    typer.echo("\n".join([*(f"assumed: {line}" for line in found.assumed), str(out)]))


@scale.command()
def predict(
    file: Annotated[Path | None, typer.Argument(help="Fit file (TOML), measured first.", show_default=False)] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="What was measured, or is known: JSON or TOML.", show_default=False)
    ] = None,
    nodes: Annotated[str, typer.Option(help="Numbers, with commas.")] = "1,2,4,8,16,32,64,128,256,512,1024",
    population: Annotated[
        int | None, typer.Option(min=1, help="The same at every size: strong scaling.", show_default=False)
    ] = None,
    per_node: Annotated[
        int | None, typer.Option(min=1, help="For each node: weak scaling.", show_default="the calibration's, 250")
    ] = None,
    cores: Annotated[
        int | None, typer.Option(min=1, help="Cores or devices of a node.", show_default="the calibration's")
    ] = None,
    slower: Annotated[float, typer.Option(help="Simulating takes so many times what was measured.")] = 1.0,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for table and figure.")] = Path("prediction"),
) -> None:
    """Time per generation on many nodes, efficiency, and what limits it at each size."""
    from hpcfit.jobs.predicting import Question, predict_scaling

    whole = tuple(whole_numbers("nodes", nodes))
    question = Question(whole, population, per_node, cores, slower)
    found = predict_scaling(file, calibration, question, out, lambda what: typer.echo(f"measuring {what}", err=True))
    typer.echo(found.text)
    typer.echo("\n".join(map(str, found.paths)))
