"""The compiled kernels for a type of number, built at first use into the cache that all processes share."""

import ctypes
import os
from functools import cache
from pathlib import Path

import torch

from hpcfit.errors import EngineError
from hpcfit.lfads.kernels.structures import DecoderCall, DrawCall, PoissonCall, SequenceCall
from hpcfit.population.compiling import Headers, cache_folder, library

_HERE = Path(__file__).resolve().parent
_NAMES = ("lanes", "factors", "products", "gru", "tiles", "sequence", "decoder", "draws", "poisson")
_HEADERS = Headers(_HERE, tuple(f"{name}.hpp" for name in _NAMES))
# No -ffast-math: sums must keep their order, and what is not a number must stay so.
_FLAGS = (
    *("-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"),
    *("-fopenmp", "-shared", "-fPIC"),
)
_REALS = {torch.float32: "float", torch.float64: "double"}


def kernels(dtype: torch.dtype, bfloat16: bool = False) -> ctypes.CDLL:
    """The kernels for numbers of that type.

    bfloat16: operands of products are rounded to it (dtype is float32).  HPCFIT_LFADS_TARGET, else native, is the
    processor that they are built for.

    Raises
    ------
    EngineError
        When there is no C++ compiler, or what it makes cannot be loaded.
    StorageError
        When the cache cannot be written.
    """
    return _kernels(dtype, bfloat16, os.environ.get("HPCFIT_LFADS_TARGET", "native"))


@cache
def _kernels(dtype: torch.dtype, bfloat16: bool, target: str) -> ctypes.CDLL:
    if dtype not in _REALS or (bfloat16 and dtype != torch.float32):
        raise TypeError(f"no kernels for {dtype}{' with products in bfloat16' if bfloat16 else ''}")
    source = f"#define HPCFIT_REAL {_REALS[dtype]}\n{'#define HPCFIT_BF16' if bfloat16 else ''}\n"
    source += (_HERE / "calls.cpp").read_text()
    try:
        built = library(source, _HEADERS, cache_folder() / "lfads", target, _FLAGS)
    except EngineError as error:
        raise EngineError(
            f"the kernels of LFADS cannot be built: {error}; training.kernels = 'plain' needs none"
        ) from None
    for name, structure in (("sequence", SequenceCall), ("decoder", DecoderCall)):
        for way in ("forward", "backward"):
            call = getattr(built, f"hpcfit_{name}_{way}")
            call.argtypes, call.restype = (ctypes.POINTER(structure),), None
    for name in ("kept_units", "numbers"):
        call = getattr(built, f"hpcfit_decoder_{name}")
        call.argtypes, call.restype = (ctypes.POINTER(DecoderCall),), ctypes.c_long
    for name in ("tile", "pair"):
        getattr(built, f"hpcfit_{name}").restype = ctypes.c_long
    for name in ("kept", "normal"):
        call = getattr(built, f"hpcfit_draw_{name}")
        call.argtypes, call.restype = (ctypes.POINTER(DrawCall),), None
    built.hpcfit_poisson.argtypes, built.hpcfit_poisson.restype = (ctypes.POINTER(PoissonCall),), None
    return built
