"""The command line: each verb parses, calls and prints."""

import sys

import typer

from hpcfit.cli import analyse, data, fit, looks, machine, predict, scale, study, submit, train, trained
from hpcfit.cli.app import app
from hpcfit.errors import HpcfitError

__all__ = [
    "analyse",
    "app",
    "data",
    "fit",
    "looks",
    "machine",
    "main",
    "predict",
    "scale",
    "study",
    "submit",
    "train",
    "trained",
]


def main() -> None:
    """Entry point: a user's error is one line and exit code 2."""
    try:
        app(standalone_mode=True)
    except HpcfitError as error:
        typer.echo(f"hpcfit: {error}", err=True)
        sys.exit(error.exit_code)
