"""From a training file to its settings and its data."""

from pathlib import Path

from hpcfit.config import read_toml, validate
from hpcfit.errors import ConfigError
from hpcfit.lfads.data import sources
from hpcfit.lfads.data.trials import Session
from hpcfit.lfads.settings import LfadsSettings

_KINDS = ("lfads",)


def load_training(path: str | Path) -> LfadsSettings:
    """The settings in a training file.  Raises ConfigError."""
    path = Path(path)
    tables = read_toml(path)
    if (kind := tables.get("kind", "lfads")) not in _KINDS:
        raise ConfigError(f"{path}: kind = {kind!r}: must be one of {', '.join(_KINDS)}")
    if "cell" in tables and "data" not in tables:
        raise ConfigError(f"{path}: this is a fit file; run `hpcfit fit {path}`")
    return validate(LfadsSettings, tables, path, path.resolve().parent)


def session_of(settings: LfadsSettings) -> Session:
    """The data that the settings name, checked.  Raises InputError."""
    return sources.session_of(settings.data, settings.model.reconstruction, settings.model.ic_window)
