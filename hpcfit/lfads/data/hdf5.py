"""The HDF5 layout that users of LFADS software have: arrays (trials, time, neurons) named by split and role."""

from pathlib import Path

import h5py
import numpy as np

from hpcfit.errors import InputError
from hpcfit.lfads.data.trials import Session, Trials
from hpcfit.population.files import replacing

_NEEDED = ("train_encod_data", "train_recon_data", "valid_encod_data", "valid_recon_data")
_KNOWN = ("truth", "lengths", "conditions")
_BEHAVIOUR = "behaviour_"


def read_session(path: Path, bin_s: float | None = None) -> Session:
    """Arrays *_encod_data, *_recon_data; optional *_truth (divided by conversion_factor), *_lengths, *_conditions.

    Raises
    ------
    InputError
        When the file cannot be read or lacks an array.
    """
    try:
        with h5py.File(path) as file:
            arrays = {name: np.asarray(dataset) for name, dataset in file.items() if isinstance(dataset, h5py.Dataset)}
            bin_s = bin_s or (float(np.asarray(file.attrs["bin_s"]).item()) if "bin_s" in file.attrs else None)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read as HDF5: {error}") from None
    missing = [name for name in _NEEDED if name not in arrays]
    if missing:
        raise InputError(f"{path}: has no {missing[0]}; it needs {', '.join(_NEEDED)}; it has {', '.join(arrays)}")
    factor = float(arrays.pop("conversion_factor", np.ones(())).item())

    def split(part: str) -> Trials:
        truth, lengths, conditions = (arrays.pop(f"{part}_{name}", None) for name in _KNOWN)
        encod, recon = (arrays.pop(f"{part}_{name}_data").astype(np.float32) for name in ("encod", "recon"))
        truth = None if truth is None else truth.astype(np.float32) / factor
        signals = [name for name in arrays if name.startswith(f"{part}_{_BEHAVIOUR}")]
        behaviour = {name.removeprefix(f"{part}_{_BEHAVIOUR}"): arrays.pop(name) for name in signals}
        return Trials(encod, recon, truth, lengths, conditions, behaviour)

    return Session(split("train"), split("valid"), path.stem, bin_s, arrays)


def write_session(path: Path, session: Session) -> None:
    """Write what `read_session` reads; counts as bytes where they fit.  Raises StorageError."""
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        if session.bin_s is not None:
            file.attrs["bin_s"] = session.bin_s
        for part, trials in (("train", session.train), ("valid", session.valid)):
            arrays = {"encod_data": trials.encod, "recon_data": trials.recon}
            arrays |= {name: getattr(trials, name) for name in _KNOWN if getattr(trials, name) is not None}
            arrays |= {_BEHAVIOUR + name: array for name, array in trials.behaviour.items()}
            for name, array in arrays.items():
                whole = name.endswith("_data") and np.isin(array, np.arange(256)).all()
                kept = array.astype(np.uint8) if whole else array
                file.create_dataset(f"{part}_{name}", data=kept, compression="gzip", shuffle=True)
        for name, array in session.more.items():
            file.create_dataset(name, data=array)
