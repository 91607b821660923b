"""What do nlb_tools make of the files of tests/lfads/data/nlb_layouts.py?  Writes nlb_arrays.h5 beside this script.

    python -m venv V; V/bin/pip install --no-deps nlb_tools==0.0.3; V/bin/pip install pandas==2.2.3 pynwb scipy pydantic
    PYTHONPATH=. V/bin/python tests/golden/nlb_arrays.py

nlb_tools 0.0.3 asks for pandas 1.3, which no current Python has; with 2.2 it works.
"""

import importlib.util
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
from nlb_tools.chop import chop_data, merge_chops
from nlb_tools.make_tensors import make_train_input_tensors
from nlb_tools.nwb_interface import NWBDataset

from hpcfit.lfads.data.nwb import write_nwb

HERE = Path(__file__).resolve().parent


def layouts():
    """The module with the recordings; tests are no package."""
    spec = importlib.util.spec_from_file_location("nlb_layouts", HERE.parent / "lfads" / "data" / "nlb_layouts.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["nlb_layouts"] = module
    spec.loader.exec_module(module)
    return module.LAYOUTS


def main() -> None:
    """Write the arrays."""
    with h5py.File(HERE / "nlb_arrays.h5", "w") as file, tempfile.TemporaryDirectory() as folder:
        for name, (make, widths) in layouts().items():
            path = Path(folder) / f"{name}.nwb"
            write_nwb(path, make())
            for width in widths:
                dataset = NWBDataset(str(path))
                dataset.data = dataset.data.sort_index()  # which joining time series did by itself in pandas 1.3
                dataset.resample(round(1000 * width))
                for split in ("train", "val"):
                    found = make_train_input_tensors(
                        dataset, name, split, save_file=False, include_behavior=True, include_forward_pred=True
                    )
                    for key, array in found.items():
                        kept = array.astype(np.uint8) if "spikes" in key else array.astype(np.float64)
                        place = f"{name}/{width:g}/{split}/{key.removeprefix('train_')}"
                        file.create_dataset(place, data=kept, compression="gzip", shuffle=True)
        rng = np.random.default_rng(5)
        for window, overlap in ((12, 4), (20, 10), (9, 1)):
            noisy = chop_data(rng.random((100, 3)), overlap, window)
            noisy = noisy + rng.random(noisy.shape)
            group = file.create_group(f"chop/{window}_{overlap}")
            group["segments"] = noisy
            group["quadratic"] = merge_chops(noisy, overlap)
            group["linear"] = merge_chops(noisy, overlap, smooth_pwr=1)


if __name__ == "__main__":
    main()
