"""The verb that fits."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from hpcfit.cli.app import FitFile, app

RESTARTS = "HPCFIT_RESTARTS_MOST"
"""Set by job scripts, from their site file."""


@app.command()
def fit(  # noqa: PLR0913 - options of a command
    file: FitFile,
    run: Annotated[Path | None, typer.Option(help="Run folder.", show_default="runs/NAME")] = None,
    generations: Annotated[int | None, typer.Option(min=1, help="In place of run.generations; extends a run.")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="KEY=VALUE in place of the file's, e.g. run.seed=3; may be repeated."),
    ] = None,
    timeline: Annotated[bool, typer.Option("--timeline", help="Keep who was busy when, as run.timeline does.")] = False,
    mpi: Annotated[
        bool | None, typer.Option(help="Share the fit among MPI ranks.", show_default="if a launcher started several")
    ] = None,
    restarts: Annotated[
        int | None,
        typer.Option(min=0, envvar=RESTARTS, help="Most restarts of one SLURM job; then exit code 1."),
    ] = None,
    executor: Annotated[
        str | None,
        typer.Option(help="serial, processes, mpi, array (of SLURM), submitit or ray: what shares the work."),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Ranks that the executor starts beside this one.")] = None,
    site: Annotated[str | None, typer.Option(help="Site file: what array and submitit ask SLURM for.")] = None,
) -> None:
    """Run a fit, or go on with it: the same command resumes where it stopped."""
    from hpcfit.cli.ranks import mpi_first

    mpi_first({"mpi": True, None: mpi}.get(executor, False))
    from hpcfit import jobs
    from hpcfit.jobs import executors, sharing
    from hpcfit.jobs.changes import changed_settings
    from hpcfit.report.live import Progress
    from hpcfit.report.summary import fit_summary

    changed = {"generations": generations, "timeline": timeline or None}
    changed = {name: value for name, value in changed.items() if value is not None}
    note = lambda text: typer.echo(f"note: {text}", err=True)  # noqa: E731
    try:
        with executors.ranks(executors.chosen(executor, mpi, workers, site), file, run, note) as comm:
            if comm is not None and comm.rank:
                return sharing.serve_rank(comm)
            settings = changed_settings(file, assignments or ())
            with Progress(generations or settings.run.generations, sys.stderr) as progress:
                calls = jobs.Calls(
                    on_generation=lambda generation, standing: progress.generation(generation, standing.best),
                    on_evaluated=progress.evaluating,
                    on_note=note,
                )
                view = jobs.run_on(comm, file, run, calls, changed, lambda _: settings, restarts=restarts)
    except KeyboardInterrupt:
        typer.echo("hpcfit: interrupted; whole generations are kept, the same command goes on", err=True)
        raise typer.Exit(130) from None
    typer.echo(fit_summary(view))
