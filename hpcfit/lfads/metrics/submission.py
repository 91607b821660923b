"""A file for the Neural Latents Benchmark: HDF5, a group for each data set, rates per bin (trials, time, neurons)."""

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from hpcfit.errors import InputError
from hpcfit.population.files import replacing

DATASETS = ("mc_maze", "mc_rtt", "area2_bump", "dmfc_rsg", "mc_maze_large", "mc_maze_medium", "mc_maze_small")
"""At 5 ms; with _20 behind the name at 20 ms."""
_SPLITS = ("train", "eval")
_KINDS = ("heldin", "heldout", "heldin_forward", "heldout_forward")


def write_submission(
    path: Path, dataset: str, rates: Mapping[str, np.ndarray], seen: tuple[int, int]
) -> dict[str, tuple[int, ...]]:
    """Write one data set's rates, beside those of others that the file has.

    Parameters
    ----------
    dataset
        The benchmark's name, with _20 at 20 ms bins.
    rates
        train and eval: (trials, time, neurons), expected counts per bin; seen neurons and bins come first.
    seen
        How many bins and neurons the model saw; what is beyond is held out, or to be predicted.

    Returns
    -------
    dict
        The arrays written, and their shapes.

    Raises
    ------
    InputError
        When the name or the rates are not what the benchmark takes.
    StorageError
        When the file cannot be written.
    """
    _check_name(dataset, path)
    bins, neurons = seen
    arrays = {}
    for split in _SPLITS:
        if split not in rates:
            raise InputError(f"{path}: no rates of the {split} trials; the benchmark wants {' and '.join(_SPLITS)}")
        now, later = rates[split][:, :bins], rates[split][:, bins:]
        for suffix, array in (("", now), ("_forward", later)):
            if array.shape[1]:
                arrays[f"{split}_rates_heldin{suffix}"] = array[..., :neurons]
                arrays[f"{split}_rates_heldout{suffix}"] = array[..., neurons:]
    _check(arrays, f"{path}: {dataset}")
    others = read_submission(path) if path.exists() else {}
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        for name, group in {**others, dataset: arrays}.items():
            for key, array in group.items():
                file.create_dataset(f"{name}/{key}", data=np.asarray(array, np.float32), compression="gzip")
    return {name: array.shape for name, array in arrays.items()}


def read_submission(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of each data set in a submission, checked.

    Raises
    ------
    InputError
        What is not as the benchmark takes it.
    """
    try:
        with h5py.File(path) as file:
            found = {}
            for dataset, group in file.items():
                if not isinstance(group, h5py.Group):
                    raise InputError(f"{path}: {dataset} is no group; arrays must be in a group named as their set")
                found[dataset] = {name: np.asarray(array) for name, array in group.items()}
    except OSError as error:
        raise InputError(f"{path}: cannot be read as HDF5: {error}") from None
    for dataset, arrays in found.items():
        _check_name(dataset, path)
        _check(arrays, f"{path}: {dataset}")
    return found


def _check_name(dataset: str, path: Path) -> None:
    if dataset.removesuffix("_20") not in DATASETS:
        raise InputError(f"{path}: {dataset!r} is no set of the benchmark: {', '.join(DATASETS)}, or with _20 behind")


def _check(arrays: Mapping[str, np.ndarray], where: str) -> None:
    known = [f"{split}_rates_{kind}" for split in _SPLITS for kind in _KINDS]
    for name, array in arrays.items():
        if name not in known:
            raise InputError(f"{where}: has {name}, which the benchmark does not know; it takes {', '.join(known)}")
        if array.ndim != 3 or 0 in array.shape:
            raise InputError(f"{where}: {name} has shape {array.shape}; it must be (trials, time, neurons), none empty")
        if not np.isfinite(array).all() or (array < 0).any():
            raise InputError(f"{where}: {name} has rates that are negative or not finite")
    for name in ("eval_rates_heldin", "eval_rates_heldout"):
        if name not in arrays:
            raise InputError(f"{where}: has no {name}")
    for split in _SPLITS:
        for suffix in ("", "_forward"):
            one, other = (arrays.get(f"{split}_rates_{kind}{suffix}") for kind in ("heldin", "heldout"))
            if (one is None) != (other is None) or (
                one is not None and other is not None and one.shape[:2] != other.shape[:2]
            ):
                raise InputError(f"{where}: {split}_rates_heldin{suffix} and _heldout{suffix} are not the same trials")
