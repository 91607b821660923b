"""The verb that queues fits on a SLURM cluster."""

from pathlib import Path
from typing import Annotated

import typer

from hpcfit.cli.app import FitFile, app


@app.command()
def submit(  # noqa: PLR0913 - each is an option of the command line
    file: FitFile,
    site: Annotated[str, typer.Option(help="Site: a name (generic, perlmutter-cpu, ...) or a TOML file.")],
    nodes: Annotated[int, typer.Option(min=1, help="Nodes of each run.")] = 1,
    time: Annotated[str | None, typer.Option(help="Time limit: 30, 12:00:00, 1-12.", show_default="the site's")] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder.", show_default="runs/NAME")] = None,
    array: Annotated[
        list[str] | None,
        typer.Option(help="KEY=VALUES[%N]: a run for each value, N at once; repeated: each combination."),
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE in place of the fit file's; may be repeated.")
    ] = None,
    ranks_per_node: Annotated[int | None, typer.Option(min=1, help="MPI ranks.", show_default="the site's")] = None,
    partition: Annotated[str | None, typer.Option(show_default="the site's")] = None,
    qos: Annotated[str | None, typer.Option(show_default="the site's")] = None,
    constraint: Annotated[str | None, typer.Option(show_default="the site's")] = None,
    account: Annotated[str | None, typer.Option(show_default="the site's")] = None,
    mpi: Annotated[str | None, typer.Option(help="Of srun --mpi=.", show_default="the site's")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until all have ended; exit code: the worst of theirs.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the job script; write and queue nothing.")] = False,
) -> None:
    """Queue a fit, or many, on a SLURM cluster; the same command queues what is not done yet."""
    from hpcfit.jobs import following, submission

    changed = {
        "time": time,
        "ranks_per_node": ranks_per_node,
        "partition": partition,
        "qos": qos,
        "constraint": constraint,
        "account": account,
        "mpi": mpi,
    }
    changed = {key: value for key, value in changed.items() if value is not None}
    request = submission.Request(file, site, run, nodes, tuple(array or ()), tuple(assignments or ()), changed)
    planned = submission.plan(request, ask=not dry_run)
    for note in planned.notes:
        typer.echo(f"note: {note}", err=True)
    if dry_run:
        typer.echo("\n".join(text for _, text in planned.scripts), nl=False)
        for doubt in submission.doubts(request):
            typer.echo(f"note: {doubt}", err=True)
        return
    jobs = submission.queue(planned)
    for identity, (job, _) in zip(jobs, planned.scripts, strict=True):
        runs = f"{len(job.array.indices)} runs in " if job.array else ""
        typer.echo(f"job {identity}: {runs}{planned.folder}")
    if not jobs:
        typer.echo(f"nothing to queue: {planned.folder}")
    if not wait:
        return
    try:
        code = following.wait(planned.folder, planned.open, say=lambda line: typer.echo(line, err=True))
    except KeyboardInterrupt:
        typer.echo(f"hpcfit: no longer waiting; the jobs go on: hpcfit status {planned.folder}", err=True)
        raise typer.Exit(130) from None
    if code:
        raise typer.Exit(code)
