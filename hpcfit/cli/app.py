"""The command line's root, and what its verbs share: types of arguments, lists of numbers."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="hpcfit",
    help="Fit biophysical neuron models to recordings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

FitFile = Annotated[Path, typer.Argument(help="Fit file (TOML).", show_default=False)]
RunFolder = Annotated[Path, typer.Argument(help="Folder of a run.", show_default=False)]


def numbers(option: str, text: str) -> tuple[float, ...]:
    """0.01,0.02 as numbers.  Raises ConfigError."""
    from hpcfit.errors import ConfigError

    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise ConfigError(f"--{option} = {text!r}; write numbers with commas, e.g. 0.01,0.02") from None


def whole_numbers(option: str, text: str) -> tuple[int, ...]:
    """1000,5000 as numbers.  Raises ConfigError."""
    from hpcfit.errors import ConfigError

    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise ConfigError(f"--{option} = {text!r}; write whole numbers with commas, e.g. 1,2,3") from None
