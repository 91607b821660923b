"""How does the compiled extractor run over a batch?"""

import ctypes
import os
from functools import cache
from pathlib import Path

import numpy as np

from hpcfit.biophys.codegen.build import library
from hpcfit.biophys.engines.mod_files import cache_folder
from hpcfit.biophys.extract.names import FUNCTIONS, INDEX
from hpcfit.biophys.extract.plan import Plan, PlanStructure
from hpcfit.errors import EngineError

_HERE = Path(__file__).resolve().parent
_HEADERS = ("grid.hpp", "summary.hpp", "spikes.hpp", "events.hpp", "subthreshold.hpp", "shape.hpp")
# Ties between neighbouring samples decide where a minimum lies: no product may be fused, no division approximated.
FLAGS = (
    "-std=c++17",
    "-O3",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=off",
    "-fopenmp",
    "-shared",
    "-fPIC",
)


def source() -> str:
    """One translation unit: the headers, the table of features in the order of their numbers, the loop over traces."""
    parts = [(_HERE / name).read_text() for name in _HEADERS]
    table = ",\n    ".join(FUNCTIONS.values())
    parts.append(f"namespace features {{\nconstexpr Feature TABLE[] = {{\n    {table},\n}};\n}}\n")
    parts += [(_HERE / name).read_text() for name in ("harness.hpp", "streaming.hpp")]
    lines = "\n".join(parts).splitlines()
    return "\n".join(line for line in lines if not line.startswith(('#include "', "#pragma once"))) + "\n"


def compiled() -> ctypes.CDLL:
    """The extractor for this machine.  Raises EngineError when there is no C++ compiler."""
    return _compiled(cache_folder() / "extract", os.environ.get("HPCFIT_EXTRACT_TARGET", "native"))


@cache
def _compiled(folder: Path, target: str) -> ctypes.CDLL:
    try:
        built = library(source(), folder, target, FLAGS)
    except EngineError as error:
        raise EngineError(
            f"the feature kernel cannot be built: {error}; features.backend = 'efel' needs none"
        ) from None
    built.hpcfit_plan_bytes.restype = ctypes.c_long
    assert built.hpcfit_plan_bytes() == ctypes.sizeof(PlanStructure), "plan.py's structure is not grid.hpp's"
    built.hpcfit_extract.restype = ctypes.c_void_p
    built.hpcfit_take.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    built.hpcfit_take.restype = None
    return built


def run(
    plan: Plan, samples: np.ndarray, names: tuple[str, ...], threads: int, lists: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Means (traces, features), counts, reasons, and all values, trace after trace, if `lists`.

    samples: (traces, time), float32 or float64, contiguous.
    """
    built = compiled()
    shape = (len(samples), len(names))
    mean, count, reason = np.empty(shape), np.empty(shape, np.int32), np.empty(shape, np.uint8)
    wanted = np.array([INDEX[name] for name in names], dtype=np.int32)
    threads = max(1, min(threads, len(samples)))
    handle = built.hpcfit_extract(
        ctypes.byref(plan.structure),
        ctypes.c_void_p(samples.ctypes.data),
        ctypes.c_int(samples.dtype == np.float32),
        ctypes.c_long(len(samples)),
        ctypes.c_void_p(wanted.ctypes.data),
        ctypes.c_int(len(wanted)),
        ctypes.c_int(threads),
        ctypes.c_int(lists),
        *(ctypes.c_void_p(array.ctypes.data) for array in (mean, count, reason)),
    )
    if not lists:
        return mean, count, reason, None
    values = np.empty(int(count.sum()))
    built.hpcfit_take(handle, ctypes.c_void_p(values.ctypes.data))
    return mean, count, reason, values
