"""The verb that trains."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from hpcfit.cli.app import app


@app.command()
def train(
    file: Annotated[Path, typer.Argument(help="Training file (TOML).", show_default=False)],
    run: Annotated[Path | None, typer.Option(help="Run folder.", show_default="runs/NAME")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="In place of training.epochs; extends a training.")] = None,
) -> None:
    """Train a model, or go on with it: the same command resumes where it stopped."""
    from hpcfit.jobs import training
    from hpcfit.report.training import EpochView, training_summary

    def note(text: str) -> None:
        typer.echo(f"note: {text}", err=True)

    changed = {} if epochs is None else {"epochs": epochs}
    try:
        with EpochView(sys.stderr) as view:
            trained = training.train(file, run, changed, view.epoch, note)
    except KeyboardInterrupt:
        typer.echo("hpcfit: interrupted; whole epochs are kept, the same command goes on", err=True)
        raise typer.Exit(130) from None
    typer.echo(training_summary(trained.folder, trained.reason, trained.rows))
