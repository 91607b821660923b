"""The command line: each verb parses, calls and prints."""

import sys

import typer

from hpcfit.cli import analyse, fit, looks, study, train, trained
from hpcfit.cli.app import app
from hpcfit.errors import HpcfitError

__all__ = ["analyse", "app", "fit", "looks", "main", "study", "train", "trained"]


def main() -> None:
    """Entry point: a user's error is one line and exit code 2."""
    try:
        app(standalone_mode=True)
    except HpcfitError as error:
        typer.echo(f"hpcfit: {error}", err=True)
        sys.exit(error.exit_code)
