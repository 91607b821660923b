"""How a job speaks of a fit file: whose error it is, and lines that must not go unseen."""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hpcfit.biophys.settings import FitSettings
from hpcfit.errors import ConfigError, InputError


def say(note: str, to: Callable[[str], Any] | None) -> None:
    """A line that must not go unseen: to whoever asked for it, else as a warning."""
    if note and to:
        to(note)
    elif note:
        warnings.warn(note, stacklevel=3)


@contextmanager
def naming(fit: str | Path | FitSettings) -> Iterator[None]:
    """What is wrong in a fit file names it, also when that shows only as its parts are read and built."""
    try:
        yield
    except (ConfigError, InputError) as error:
        if isinstance(fit, FitSettings) or str(error).startswith(os.sep):  # names a file already
            raise
        raise type(error)(f"{fit}: {error}") from None
