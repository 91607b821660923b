"""The HDF5 layout that users of LFADS software have: arrays (trials, time, neurons) named by split and role."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from hpcfit.errors import InputError
from hpcfit.lfads.data.trials import Session, Trials, compact, one_array
from hpcfit.population.files import replacing

PARTS = ("train", "valid")
_KNOWN = ("truth", "lengths", "conditions", "inds", "starts")
_BEHAVIOUR = "behaviour_"
_TEXT = ("units", "condition_labels")


def read_session(path: Path, bin_s: float | None = None, split: bool = True) -> Session:
    """Arrays *_encod_data and *_recon_data, or *_data for both, of train and valid.

    Optional for each: *_truth (true rates times conversion_factor: a number, or one for each neuron), *_lengths,
    *_conditions, *_inds (which trial of the recording each is), *_starts, *_behaviour_NAME.  Trials that end in bins of
    NaN alone are that much shorter; bins beyond a trial's length are made 0.  Everything else goes into `more`.

    split: must there be validation trials?  Without, all may be training trials.

    Raises
    ------
    InputError
        When the file cannot be read or lacks an array.
    """
    arrays, own_bin_s = _arrays(path)
    bin_s = bin_s or own_bin_s
    factor = np.asarray(arrays.pop("conversion_factor", np.asarray(1.0)), float)
    notes: list[str] = []
    found = {}
    for part in PARTS:
        if part == "valid" and not split and not any(f"valid_{name}" in arrays for name in ("encod_data", "data")):
            continue
        found[part] = _trials(arrays, part, factor, path, notes)
    train = found["train"]
    valid = found.get("valid") or train.rows(np.zeros(0, int))
    if train.inds is not None and valid.inds is not None and len(both := np.intersect1d(train.inds, valid.inds)):
        notes.append(f"{len(both)} trials are in train_inds and in valid_inds, the first {both[0]}: validation is not")
        notes[-1] += " independent of training"
    units = tuple(text.decode() for text in arrays.pop("units", np.asarray([], "S")))
    return Session(train, valid, path.stem, bin_s, arrays, units, tuple(notes))


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
                kept = compact(array) if name.endswith("_data") else array
                file.create_dataset(f"{part}_{name}", data=kept, compression="gzip", shuffle=True)
        if session.units:
            file.create_dataset("units", data=np.asarray(session.units, "S"))
        for name, array in session.more.items():
            file.create_dataset(name, data=array, compression="gzip" if array.ndim > 1 else None)


def _arrays(path: Path) -> tuple[dict[str, np.ndarray], float | None]:
    try:
        with h5py.File(path) as file:
            arrays = {name: np.asarray(item) for name, item in file.items() if isinstance(item, h5py.Dataset)}
            bin_s = float(file.attrs["bin_s"]) if "bin_s" in file.attrs else None  # type: ignore[arg-type]
            groups = [f"{name}/" for name, item in file.items() if isinstance(item, h5py.Group)]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read as HDF5: {error}") from None
    if not any(f"train_{name}" in arrays for name in ("encod_data", "data")):
        held = ", ".join([*arrays, *groups]) or "nothing"
        raise InputError(
            f"{path}: has no train_encod_data; it needs {{train,valid}}_{{encod,recon}}_data, (trials, time, neurons) "
            f"each, or train_data and valid_data; it has {held}; for spike times set data.spike_times"
        )
    return arrays, bin_s


def _trials(arrays: dict[str, np.ndarray], part: str, factor: np.ndarray, path: Path, notes: list[str]) -> Trials:
    """One split's; what is taken leaves `arrays`."""
    both = arrays.pop(f"{part}_data", None)
    given = {name: arrays.pop(f"{part}_{name}_data", both) for name in ("encod", "recon")}
    found = {name: array for name, array in given.items() if array is not None}
    missing = [name for name in given if name not in found]
    if missing:
        raise InputError(
            f"{path}: has no {part}_{missing[0]}_data; it needs {{train,valid}}_{{encod,recon}}_data, or train_data "
            f"and valid_data; it has {', '.join(arrays)}"
        )
    bad = [name for name, array in found.items() if array.dtype.kind not in "uifb"]
    if bad:
        raise InputError(f"{path}: {part}_{bad[0]}_data holds {found[bad[0]].dtype}; it must hold numbers")
    recon = found["recon"].astype(np.float32)
    encod = _first_part(recon, found["encod"])
    known = {name: arrays.pop(f"{part}_{name}", None) for name in _KNOWN}
    truth = known.pop("truth")
    if truth is not None:
        try:
            known["truth"] = (truth / factor).astype(np.float32)
        except ValueError:
            raise InputError(
                f"{path}: conversion_factor has shape {factor.shape}; give a number, or one for each of "
                f"{truth.shape[-1]} neurons"
            ) from None
    prefix = f"{part}_{_BEHAVIOUR}"
    names = [name for name in arrays if name.startswith(prefix)]
    behaviour = {name.removeprefix(prefix): arrays.pop(name) for name in names}
    trials = Trials(encod, recon, **known, behaviour=behaviour)
    return _ended(trials, f"{path}: {part}", notes) if recon.ndim == 3 and encod.ndim == 3 else trials


def _first_part(recon: np.ndarray, encod: np.ndarray) -> np.ndarray:
    """What is seen as a view of what is explained, where it is its first part; else an array of its own."""
    if encod.ndim == recon.ndim == 3 and len(encod) == len(recon):
        part = recon[:, : encod.shape[1], : encod.shape[2]]
        if np.array_equal(part, encod, equal_nan=True):
            return part
    return encod.astype(np.float32)


def _ended(trials: Trials, where: str, notes: list[str]) -> Trials:
    """Trials whose ends are NaN, or beyond their length, with zeros there and lengths."""
    lengths = trials.lengths
    if lengths is None:
        there = np.asarray(~np.isnan(trials.recon).all(2))
        steps = trials.recon.shape[1]
        lengths = steps - there[:, ::-1].argmax(1)
        if (lengths == steps).all() or not there.any(1).all():
            return trials  # no such end; or a trial without any value, which is an error later
        notes.append(f"{where}: {(lengths < steps).sum()} trials end in NaN; they are shorter by that")
    if np.shape(lengths) != (len(trials.recon),) or len(trials.encod) != len(trials.recon):
        return trials
    over = np.arange(trials.recon.shape[1])[None] >= np.asarray(lengths)[:, None]
    trials.recon[over] = 0.0
    if not one_array(trials):
        trials.encod[over[:, : trials.encod.shape[1]]] = 0.0
    truth = trials.truth
    if truth is not None and truth.shape == trials.recon.shape:
        truth[over] = 0.0
    return replace(trials, lengths=np.asarray(lengths))
