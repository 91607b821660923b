"""From a fit file, or a model of another tool, to what it describes."""

from collections.abc import Sequence
from pathlib import Path

from hpcfit.biophys.problem import Problem
from hpcfit.biophys.settings import FitSettings
from hpcfit.config import read_toml, validate
from hpcfit.jobs.words import naming
from hpcfit.population.files import write_text


def load_settings(path: str | Path) -> FitSettings:
    """The settings in a fit file.  Raises ConfigError."""
    path = Path(path)
    return validate(FitSettings, read_toml(path), path, path.resolve().parent)


def load(path: str | Path) -> Problem:
    """The problem that a fit file describes: cell, stimuli, space of the free parameters, targets.

    Raises
    ------
    ConfigError, InputError
        When the file, or a file it names, is unusable: what, where, and the cure.
    """
    settings = load_settings(path)
    with naming(path):
        return Problem.of(settings)


def import_bluepyopt(folder: Path, out: Path, morphology: Path | None, mechanisms: Path | None) -> Sequence[str]:
    """Write the fit file of a BluePyOpt model; gives notes on what was not translated.

    Raises
    ------
    InputError
        When a JSON file is missing or malformed.
    StorageError
        When `out` cannot be written.
    """
    from hpcfit.biophys.bluepyopt import import_model

    text, notes = import_model(folder, out.resolve().parent, morphology, mechanisms)
    write_text(out, text)
    return notes
