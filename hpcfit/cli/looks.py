"""Verbs that look at fit files and runs, and import models of other tools."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from hpcfit.cli.app import FitFile, RunFolder, app

importer = typer.Typer(help="Make a fit file from another tool's model.", no_args_is_help=True)
app.add_typer(importer, name="import")
mechanisms = typer.Typer(help="Look at .mod files.", no_args_is_help=True)
app.add_typer(mechanisms, name="mechanisms")


@app.command()
def check(file: FitFile) -> None:
    """Read a fit file and everything it names, build its cell once, and say what would be fitted."""
    from hpcfit import jobs

    typer.echo(jobs.describe(file))


@app.command()
def accuracy(
    file: FitFile,
    models: Annotated[int, typer.Option(min=1, help="Models that fire, drawn from the fit's bounds.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 1,
    stimuli: Annotated[str, typer.Option(help="Names, with commas.", show_default="all that are scored")] = "",
    parameters: Annotated[
        list[Path] | None, typer.Option(help="Also this model: a run's best/parameters.toml; may be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="JSON file for the table.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="NEURON and the three modes only, each timed once.")] = False,
) -> None:
    """Make the table of error against cost for this cell: each simulator against the limit dt -> 0."""
    from hpcfit import jobs
    from hpcfit.jobs.accuracy import Request, accuracy_table, write_table
    from hpcfit.report.accuracy_table import print_accuracy

    names = tuple(name.strip() for name in stimuli.split(",") if name.strip())
    request = Request(models, seed, names, tuple(parameters or ()), quick)
    table = accuracy_table(jobs.load(file), request, say=lambda line: typer.echo(line, err=True))
    if out is not None:
        write_table(out, table)
    print_accuracy(table, sys.stdout)


@app.command()
def status(run: RunFolder) -> None:
    """Say how far a run is, or each of a folder of runs, and how their jobs stand."""
    from hpcfit.jobs import following
    from hpcfit.report.status import status_text

    if following.has_runs(run):
        typer.echo(following.runs_text(run))
        return
    job = following.job_text(run)
    if job and not following.begun(run):
        typer.echo(f"{job}; no generation has been finished yet")
        return
    typer.echo("\n".join([status_text(run), *([job] if job else [])]))


@app.command()
def plot(run: RunFolder) -> None:
    """Draw a run's plots and report again, also of one that is still going."""
    from hpcfit.report.write import write_report

    for path in write_report(run):
        typer.echo(path)


@app.command()
def timeline(
    run: RunFolder,
    generation: Annotated[int | None, typer.Option(min=0, help="Which one.", show_default="the last")] = None,
) -> None:
    """Draw who was busy with which stimulus in a generation of a run that kept its timeline; say what was hidden."""
    from hpcfit.report.timeline import write_timeline

    path, summary = write_timeline(run, generation)
    typer.echo(f"{path}\n{summary}")


@importer.command()
def bluepyopt(
    folder: Annotated[Path, typer.Argument(help="Folder with parameters.json, mechanisms.json, ...")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Fit file to write.")] = Path("fit.toml"),
    morphology: Annotated[Path | None, typer.Option(help="SWC or ASC, when the folder does not say.")] = None,
    mechanisms: Annotated[Path | None, typer.Option(help="Folder of .mod files, when the folder has none.")] = None,
) -> None:
    """Turn a BluePyOpt or BluePyEModel set of JSON files into a fit file."""
    from hpcfit import jobs

    for note in jobs.import_bluepyopt(folder, out, morphology, mechanisms):
        typer.echo(f"note: {note}", err=True)
    typer.echo(out)


@mechanisms.command("check")
def check_mechanisms(
    paths: Annotated[list[Path], typer.Argument(help="Folders or .mod files.", show_default=False)],
    against_neuron: Annotated[bool, typer.Option(help="Compare voltages with NEURON, file by file.")] = False,
) -> None:
    """Say what the batched engine makes of each .mod file: ok, or refused where and why; exit code 1 if any is."""
    from hpcfit.jobs.mechanisms import check_mechanisms, report

    rows = check_mechanisms(paths, against_neuron)
    typer.echo(report(rows))
    if not all(row.good for row in rows):
        raise typer.Exit(1)
