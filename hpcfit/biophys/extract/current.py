"""What is known of the injected current before any trace is read?  Means, its spectrum, and tables for the voltage's.

All traces of a batch share their current, so all that eFEL reads of it is a matter of the plan.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcfit.biophys.extract.options import ExtractSettings
from hpcfit.biophys.extract.reasons import Reason
from hpcfit.errors import InputError

_DOUBLES = ctypes.POINTER(ctypes.c_double)
_INTS = ctypes.POINTER(ctypes.c_int)
_SIGMA, _RADIUS = 10, 40
"""Of the Gaussian that smooths the impedance over frequencies, and how many of them it reaches on either side."""
_TERMS = 20
"""Of a Taylor series in a phase of at most 1: what is left out is below 1e-18."""
_LONGEST_BLOCK = 512
_POWERLESS = 1e-12
"""A frequency with less than this share of the strongest one's current has none but rounding."""


@dataclass(frozen=True, eq=False)
class CurrentTrace:
    """The injected current, (time,) in nA, where the voltage is sampled: equal to one of the same numbers.

    Raises
    ------
    InputError
        When it is not a finite number a sample.
    """

    i_nA: np.ndarray

    def __post_init__(self) -> None:
        """Check the numbers, and keep a copy that cannot change."""
        try:
            i_nA = np.array(self.i_nA, dtype=float)
        except (TypeError, ValueError) as error:
            raise InputError(f"i_nA: not an array of numbers ({error}); give (time,) in nA") from None
        if i_nA.ndim != 1:
            raise InputError(f"i_nA has the shape {i_nA.shape}; give one current, (time,), for all traces")
        if not np.all(np.isfinite(i_nA)):
            raise InputError(f"i_nA: sample {np.argmin(np.isfinite(i_nA))} is not finite; give (time,) in nA")
        i_nA.flags.writeable = False
        object.__setattr__(self, "i_nA", i_nA)

    def __eq__(self, other: object) -> bool:
        """Whether the numbers are the same."""
        return isinstance(other, CurrentTrace) and np.array_equal(self.i_nA, other.i_nA)

    def __hash__(self) -> int:
        """Of the numbers."""
        return hash(self.i_nA.tobytes())

    def first(self, samples: int) -> "CurrentTrace":
        """Its first samples.  Raises InputError when there are not so many."""
        if samples > len(self.i_nA):
            raise InputError(
                f"i_nA has {len(self.i_nA)} samples and the voltage {samples}; give the current where it is sampled"
            )
        return self if samples == len(self.i_nA) else CurrentTrace(self.i_nA[:samples])


class CurrentStructure(ctypes.Structure):
    """grid.hpp's Current, field by field."""

    _fields_ = (
        *((name, ctypes.c_double) for name in ("base_nA", "end_nA")),
        *((name, ctypes.c_int) for name in ("base_status", "end_status")),
    )


class SpectrumStructure(ctypes.Structure):
    """grid.hpp's Spectrum, field by field."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("status", "count", "block", "terms")),
        *((name, _DOUBLES) for name in ("hertz", "current", "power", "series", "turn_re", "turn_im", "smooth")),
        ("radius", ctypes.c_int),
    )


def fill_current(
    plan: Any, i_nA: np.ndarray | None, base: tuple[int, int], end: tuple[int, int], settings: ExtractSettings
) -> None:
    """What the plan says of the current.

    i_nA: (grid,), interpolated; base, end: the stretches of the grid before the stimulus and at its end.
    """
    to, spectrum = plan.structure.current, plan.structure.spectrum
    to.base_status = to.end_status = spectrum.status = -Reason.NO_STIMULUS
    if i_nA is None:
        return
    middle = np.median if settings.current_base_mode == "median" else np.mean
    to.base_status = to.end_status = spectrum.status = -Reason.OUTSIDE
    if base[0] < base[1]:
        to.base_nA, to.base_status = middle(i_nA[slice(*base)]), 0
    if end[0] < end[1]:
        to.end_nA, to.end_status = np.mean(i_nA[slice(*end)]), 0
    if not to.base_status:
        _fill_spectrum(plan, i_nA - to.base_nA, settings)
    elif not to.end_status:
        _fill_spectrum(plan, i_nA - to.end_nA, settings)


def _fill_spectrum(plan: Any, i_nA: np.ndarray, settings: ExtractSettings) -> None:
    """i_nA: (grid,), less holding.  Frequencies are those of the discrete Fourier transform, as eFEL counts them."""
    it, samples = plan.structure.spectrum, len(i_nA)
    hertz = np.fft.fftfreq(samples, d=settings.interp_step / 1000.0)
    chosen = np.flatnonzero((hertz > 0) & (hertz <= settings.impedance_max_freq))
    if len(chosen) == 0:
        return
    magnitude = np.abs(np.fft.fft(i_nA))
    if not np.any(magnitude):
        it.status = -Reason.NOT_FOUND
        return
    if np.min(magnitude[chosen]) <= _POWERLESS * np.max(magnitude) or not np.all(magnitude):
        it.status = -Reason.BEYOND
        return
    turn = 2 * np.pi * chosen / samples  # of one sample
    block = int(np.clip(1 + 2 / turn[-1], 1, _LONGEST_BLOCK))
    half = max((block - 1) / 2, 0.5)
    place = (np.arange(block) - (block - 1) / 2) / half
    order = np.arange(_TERMS)
    factors = np.cumprod(np.maximum(order, 1).astype(float))
    signs = np.array([1, -1, -1, 1])[order % 4]  # of (-i)^p: real where p is even, else imaginary
    series = signs[:, None] * (turn * half)[None, :] ** order[:, None] / factors[:, None]
    smooth = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
    tables = {
        "hertz": hertz[chosen],
        "current": magnitude[chosen],
        "power": place[:, None] ** order,
        "series": series,
        "turn_re": np.cos(turn * block),
        "turn_im": -np.sin(turn * block),
        "smooth": smooth / smooth.sum(),
    }
    for name, table in tables.items():
        setattr(it, name, plan.point(table, _DOUBLES))
    it.status, it.count, it.block, it.terms, it.radius = 0, len(chosen), block, _TERMS, _RADIUS
