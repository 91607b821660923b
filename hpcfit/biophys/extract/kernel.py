"""How does the compiled extractor run over a batch?"""

import ctypes
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np

from hpcfit.biophys.codegen.build import library
from hpcfit.biophys.engines.mod_files import cache_folder
from hpcfit.biophys.extract.ipfx_names import IPFX_FUNCTIONS, IPFX_INDEX
from hpcfit.biophys.extract.ipfx_plan import IpfxStructure
from hpcfit.biophys.extract.names import FUNCTIONS, INDEX
from hpcfit.biophys.extract.plan import Plan, PlanStructure
from hpcfit.errors import EngineError

_HERE = Path(__file__).resolve().parent
_HEADERS = (
    *("packs.hpp", "grid.hpp", "summary.hpp", "search.hpp", "spikes.hpp", "events.hpp", "subthreshold.hpp"),
    *("shape.hpp", "bursts.hpp", "adp.hpp", "blocks.hpp", "postburst.hpp", "current.hpp"),
)
_IPFX_HEADERS = tuple(f"ipfx_{name}.hpp" for name in ("trace", "search", "spikes", "trains", "bursts", "membrane"))
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
CUDA_FLAGS = ("-std=c++17", "-fmad=false")
"""nvcc's flags for source("cuda_check.cu.hpp"), for the same reason."""


def source(last: str = "harness.hpp") -> str:
    """One translation unit: the headers, the table of features in the order of their numbers, the loop over traces.

    last: the header with that loop.
    """
    parts = [(_HERE / name).read_text() for name in _HEADERS]
    parts.append(_table("features", FUNCTIONS))
    parts += [(_HERE / name).read_text() for name in ("trace.hpp", last)]
    if last == "harness.hpp":
        parts.append((_HERE / "streaming.hpp").read_text())
        parts += [(_HERE / name).read_text() for name in _IPFX_HEADERS]
        parts.append(_table("ipfx", IPFX_FUNCTIONS))
        parts.append((_HERE / "ipfx_harness.hpp").read_text())
    lines = "\n".join(parts).splitlines()
    return "\n".join(line for line in lines if not line.startswith(('#include "', "#pragma once"))) + "\n"


def _table(namespace: str, functions: Mapping[str, str]) -> str:
    lines = ",\n    ".join(functions.values())
    return f"namespace {namespace} {{\nFIXED Feature TABLE[] = {{\n    {lines},\n}};\n}}\n"


def compiled() -> ctypes.CDLL:
    """The extractor for this machine.  Raises EngineError when there is no C++ compiler."""
    target, lanes = os.environ.get("HPCFIT_EXTRACT_TARGET", "native"), os.environ.get("HPCFIT_EXTRACT_LANES", "")
    return _compiled(cache_folder() / "extract", target, lanes)


@cache
def _compiled(folder: Path, target: str, lanes: str) -> ctypes.CDLL:
    chosen = (f"-DHPCFIT_EXTRACT_LANES={lanes}",) if lanes else ()
    try:
        built = library(source(), folder, target, FLAGS + chosen)
    except EngineError as error:
        raise EngineError(
            f"the feature kernel cannot be built: {error}; features.backend = 'efel' needs none"
        ) from None
    built.hpcfit_plan_bytes.restype = ctypes.c_long
    assert built.hpcfit_plan_bytes() == ctypes.sizeof(PlanStructure), "plan.py's structure is not grid.hpp's"
    built.hpcfit_ipfx_plan_bytes.restype = ctypes.c_long
    assert built.hpcfit_ipfx_plan_bytes() == ctypes.sizeof(IpfxStructure), "ipfx_plan.py's is not ipfx_trace.hpp's"
    built.hpcfit_extract.restype = ctypes.c_void_p
    built.hpcfit_extract_ipfx.restype = ctypes.c_void_p
    built.hpcfit_take.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    built.hpcfit_take.restype = None
    return built


def run(
    plan: Plan, samples: np.ndarray, names: tuple[str, ...], threads: int, lists: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Means (traces, features), counts, reasons, and all values, trace after trace, if `lists`.

    samples: (traces, time), float32 or float64, contiguous.  names: all of the family that the plan is for.
    """
    built = compiled()
    shape = (len(samples), len(names))
    mean, count, reason = np.empty(shape), np.empty(shape, np.int32), np.empty(shape, np.uint8)
    ipfx = isinstance(plan.structure, IpfxStructure)
    index, extract = (IPFX_INDEX, built.hpcfit_extract_ipfx) if ipfx else (INDEX, built.hpcfit_extract)
    wanted = np.array([index[name] for name in names], dtype=np.int32)
    threads = max(1, min(threads, len(samples)))
    handle = extract(
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
