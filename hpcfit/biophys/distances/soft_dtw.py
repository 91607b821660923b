"""How far apart are traces when time may be warped?  Soft-DTW (Cuturi & Blondel 2017), compiled, a lane a trace."""

import ctypes
import os
from functools import cache
from pathlib import Path

import numpy as np

from hpcfit.biophys.codegen.build import FLAGS, library, vector_bytes
from hpcfit.biophys.engines.mod_files import cache_folder
from hpcfit.errors import EngineError

_SOURCE = Path(__file__).resolve().parent / "soft_dtw.hpp"


def soft_dtw(
    x: np.ndarray, y: np.ndarray | None, gamma: float, band: int | None = None, threads: int = 1
) -> np.ndarray:
    """Soft-DTW of each trace with y, or with itself: (traces,), in the unit of x squared.

    The smoothed minimum over alignments of the sum of squared differences; it is below that minimum, and negative for
    like traces: `soft_dtw_divergence` is not.

    Parameters
    ----------
    x
        (traces, n), finite.
    y
        (n,), finite; None: each trace with itself.
    gamma
        Smoothing, above 0, in the unit of x squared.
    band
        Samples further apart are not matched; None: any may be.
    threads
        Results do not depend on it.

    Raises
    ------
    EngineError
        When there is no C++ compiler.
    """
    x = np.ascontiguousarray(x, dtype=np.float64)
    other = None if y is None else np.ascontiguousarray(y, dtype=np.float64)
    assert gamma > 0 and x.ndim == 2 and (other is None or other.shape == x.shape[1:]), (gamma, x.shape)
    out = np.empty(len(x))
    if x.size:
        count, samples = x.shape
        widest = samples if band is None else min(max(int(band), 0), samples)
        arrays = (x.ctypes.data, None if other is None else other.ctypes.data)
        _compiled()(*arrays, count, samples, widest, float(gamma), max(1, threads), out.ctypes.data)
    return out


def soft_dtw_divergence(
    x: np.ndarray, y: np.ndarray, gamma: float, band: int | None = None, threads: int = 1
) -> np.ndarray:
    """D(x, y) = s(x, y) - (s(x, x) + s(y, y)) / 2, s being `soft_dtw`: (traces,); 0 where x is y.

    Blondel, Mensch & Vert 2021, equation 7.  With squared differences it is not proven that none is negative: what
    falls below 0 is given as 0.
    """
    cross, own = soft_dtw(x, y, gamma, band, threads), soft_dtw(x, None, gamma, band, threads)
    return np.maximum(cross - (own + soft_dtw(y[None, :], None, gamma, band)) / 2, 0.0)


@cache
def _compiled():
    target = os.environ.get("HPCFIT_EXTRACT_TARGET", "native")
    try:
        lanes = vector_bytes(target) // 8
        text = f"#define HPCFIT_REAL double\n#define HPCFIT_LANES {lanes}\n{_SOURCE.read_text()}"
        call = library(text, cache_folder() / "distances", target, FLAGS).hpcfit_soft_dtw
    except EngineError as error:
        raise EngineError(f"soft_dtw cannot be built: {error}; the other distances need no compiler") from None
    pointer, whole, real, small = ctypes.c_void_p, ctypes.c_long, ctypes.c_double, ctypes.c_int
    call.argtypes = (pointer, pointer, whole, whole, whole, real, small, pointer)
    call.restype = None
    return call
