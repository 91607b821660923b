"""Making data sets for LFADS and looking at them."""

import tomllib
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hpcfit.config import read_toml, validate
from hpcfit.errors import ConfigError, InputError
from hpcfit.lfads.data.describe import described
from hpcfit.lfads.data.hdf5 import read_session, write_session
from hpcfit.lfads.data.nwb import read_nwb, signal_names, write_nwb
from hpcfit.lfads.data.settings import DataSettings
from hpcfit.lfads.data.sources import recording_of, session_of
from hpcfit.population.files import make_folder

GENERATORS = {"chaotic": "chaotic_rnn", "lorenz": "lorenz", "reaching": "reaching"}
"""By the name that people type: the table of [data]."""


def make_data(kind: str, out: Path, given: tuple[str, ...] = (), bin_s: float | None = None) -> list[str]:
    """Generate a data set; gives lines about it.

    given: settings of the generator, `key=value` in TOML's way.  A name that ends in .nwb is written as a recording
    (reaching), others as arrays of trials.

    Raises
    ------
    ConfigError, StorageError
        When a setting is wrong, or the file cannot be written.
    """
    if kind not in GENERATORS:
        raise ConfigError(f"hpcfit data make {kind}: must be one of {', '.join(GENERATORS)}")
    source = GENERATORS[kind]
    tables: dict[str, Any] = {source: dict(map(_setting, given))}
    if source == "reaching":
        tables["bin_s"] = bin_s or 0.005
    elif bin_s is not None:
        raise ConfigError(f"--bin-s is for reaching; for {kind} give --set bin_s={bin_s:g}")
    settings = validate(DataSettings, tables, f"hpcfit data make {kind}")
    make_folder(out.resolve().parent)
    if out.suffix == ".nwb":
        if source != "reaching":
            raise ConfigError(f"{out}: {kind} makes arrays of trials, no recording; give a name that ends in .h5")
        recording = recording_of(settings)
        write_nwb(out, recording)
        return _recording_lines(out)
    session = session_of(settings)
    write_session(out, session)
    return described(session)


def show_data(path: Path, bin_s: float | None = None) -> list[str]:
    """Lines about a file of arrays, an NWB file, or the data that a training file names.

    Raises
    ------
    ConfigError, InputError
        When it is none of these, or cannot be used.
    """
    if path.suffix == ".toml":
        if bin_s is not None:
            raise ConfigError(f"--bin-s is for files of arrays; {path} has data.bin_s")
        tables = read_toml(path)
        if not isinstance(tables.get("data"), dict):
            raise ConfigError(f"{path}: has no table [data]; give a training file")
        settings = validate(DataSettings, tables["data"], f"{path}: data", path.resolve().parent)
        model = tables.get("model", {})
        reconstruction = model.get("reconstruction", "poisson") if isinstance(model, dict) else "poisson"
        return described(session_of(settings, str(reconstruction)))
    if path.suffix == ".nwb":
        if bin_s is not None:
            raise ConfigError(f"--bin-s is for files of arrays; {path} is a recording that has not been cut yet")
        return _recording_lines(path)
    if _holds_other_things(path):
        return _contents(path)
    return described(read_session(path, bin_s, split=False))


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"--set {text!r}; write key=value, e.g. --set gamma=2.5")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value.strip()


def _recording_lines(path: Path) -> list[str]:
    recording = read_nwb(path)
    rates = np.asarray([len(times) for times in recording.spikes]) / (recording.stop_s - recording.start_s)
    held_out, silent = int(recording.held_out.sum()), int((rates == 0).sum())
    lines = [
        f"{path.name}: a recording of {recording.stop_s - recording.start_s:.6g} s",
        f"units: {len(rates)}: {len(rates) - held_out} seen, {held_out} held out",
        f"rates over all of it: {rates.min():.3g} to {rates.max():.3g} Hz; {silent} units have no spike",
    ]
    if recording.observed is not None:
        watched = float(np.diff(recording.observed, axis=1).sum())
        lines.append(f"watched: {len(recording.observed)} intervals, {watched:.6g} s")
    if recording.trials:
        number = len(next(iter(recording.trials.values())))
        lines.append(f"trials: {number}, with {', '.join(recording.trials)}")
        if "split" in recording.trials:
            words, counts = np.unique(recording.trials["split"].astype(str), return_counts=True)
            lines.append(f"split: {', '.join(f'{word} {count}' for word, count in zip(words, counts, strict=True))}")
    else:
        lines.append("trials: none; cut it with [data.chop]")
    lines.append(f"signals: {', '.join(signal_names(path)) or 'none'}")
    return lines


def _holds_other_things(path: Path) -> bool:
    """Whether an HDF5 file can be read, but is no file of arrays."""
    try:
        with h5py.File(path) as file:
            return not any(str(name).startswith("train_") for name in file.keys())  # noqa: SIM118
    except OSError:
        return False  # the reader says what is wrong


def _contents(path: Path) -> list[str]:
    found: list[str] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found.append(f"  {name}  {item.shape} {item.dtype}")

    with h5py.File(path) as file:
        file.visititems(visit)
    if not found:
        raise InputError(f"{path}: holds no data sets")
    more = [f"  ... and {len(found) - 20} more"] if len(found) > 20 else []
    first = f"{path.name}: no arrays of trials; say with [data.spike_times] what is what.  It holds"
    return [first, *found[:20], *more]
