"""The verbs of `hpcfit scale`."""

import typer

from hpcfit.cli.app import app

scale = typer.Typer(help="How a fit scales: measured here, predicted elsewhere.", no_args_is_help=True)
app.add_typer(scale, name="scale")
