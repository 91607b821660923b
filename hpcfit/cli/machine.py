"""Verbs that look at the machine."""

import json
from pathlib import Path
from typing import Annotated

import typer

from hpcfit.cli.app import app


@app.command()
def doctor(
    run: Annotated[Path, typer.Option(help="Where the run goes.", show_default="the working folder")] = Path(),
    site: Annotated[str | None, typer.Option(help="Name or file of a site: what it purges, and when.")] = None,
    mpi: Annotated[
        bool | None, typer.Option(help="Ask all MPI ranks.", show_default="if a launcher started several")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say what this machine, or this job, has, what is wrong with it for hpcfit, and how to mend it.

    Under srun or mpiexec one report about all ranks.  Exit code 1 when anything is BAD.
    """
    from hpcfit.doctor import report

    findings, ranks = [], []
    good = report(
        run,
        site,
        say=findings.append if as_json else lambda finding: typer.echo(finding.line()),
        say_rank=ranks.append if as_json else lambda rank: typer.echo(f"     {rank.line()}"),
        mpi=mpi,
    )
    if as_json and findings:
        typer.echo(
            json.dumps(
                {"good": good, "findings": [f.as_json() for f in findings], "ranks": [r.as_json() for r in ranks]},
                indent=2,
            )
        )
    if not good:
        raise typer.Exit(1)


@app.command()
def stage(
    to: Annotated[
        Path | None, typer.Option(help="Folder that each node has for itself.", show_default="TMPDIR, else /tmp")
    ] = None,
    more: Annotated[str, typer.Option("--with", help="More packages, with commas, e.g. ray,torch.")] = "",
) -> None:
    """Put this environment on the disk of every node of the job; prints what makes the shell use it.

    In a job's script: eval "$(hpcfit stage)".  When it fails the script goes on with the environment as it was.
    """
    from hpcfit.jobs.staging import shell, stage

    place, nodes = stage(to, [name.strip() for name in more.split(",") if name.strip()])
    typer.echo(f"hpcfit: staged on {nodes} node{'s' * (nodes > 1)} in {place}", err=True)
    typer.echo(shell(place))
