"""Verbs for many fits side by side."""

from pathlib import Path
from typing import Annotated

import typer

from hpcfit.cli.app import FitFile, app, whole_numbers

study = typer.Typer(help="Many fits, side by side.", no_args_is_help=True)
app.add_typer(study, name="study")


@study.command()
def population(
    file: FitFile,
    sizes: Annotated[str, typer.Option(help="Individuals a generation, with commas.")] = "1000,5000,10000",
    generations: Annotated[int, typer.Option(min=1, help="Most generations of a run.")] = 10,
    evaluations: Annotated[int | None, typer.Option(min=1, help="Most evaluations of a run.")] = None,
    seeds: Annotated[str, typer.Option(help="Numbers, with commas.")] = "1",
    wall_clock: Annotated[
        float | None, typer.Option(min=0.0, help="Seconds that this command may take; the same command goes on.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Study folder.", show_default="runs/NAME_population")
    ] = None,
) -> None:
    """Fit with several population sizes: best score against size and generation, final traces of each size."""
    from hpcfit.jobs.study import Request, population_study, study_text, write_study

    numbers = (whole_numbers("sizes", sizes), generations, whole_numbers("seeds", seeds), evaluations, wall_clock)
    request = Request(*numbers)
    try:
        folder, runs = population_study(file, request, out, say=lambda line: typer.echo(line, err=True))
    except KeyboardInterrupt:
        typer.echo("hpcfit: interrupted; whole generations are kept, the same command goes on", err=True)
        raise typer.Exit(130) from None
    wanted = len(request.sizes) * len(request.seeds)
    paths = write_study(file.stem, folder, runs, wanted)
    typer.echo(study_text(runs, wanted))
    typer.echo(paths[-1])
