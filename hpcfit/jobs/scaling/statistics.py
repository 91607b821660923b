"""What may be said of timings that scatter?  Medians, intervals without assumed distributions, differences.

Hoefler & Belli 2015 (SC'15, doi 10.1145/2807591.2807644): rules 5 to 8.  Nothing is removed: outliers are counted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

LEAST = 6
"""Samples that a 95 % interval of the median needs: of five, all between least and greatest holds it in 93.75 %."""
CONFIDENCE = 0.95
_Z = 1.959963984540054
TUKEY = 1.5
"""Outliers lie further than so many interquartile ranges outside the quartiles (Tukey 1977)."""


@dataclass(frozen=True)
class Sample:
    """n timings in few numbers, s.

    Attributes
    ----------
    low, high
        Interval that holds the median in 95 % of such samples; NaN for fewer than six.
    outliers
        How many Tukey's rule names; they are in all other numbers.
    """

    n: int
    median: float
    low: float
    high: float
    least: float
    greatest: float
    outliers: int

    @classmethod
    def of(cls, values: Sequence[float] | np.ndarray) -> "Sample":
        """Of n >= 0 values; all but n are NaN when there is none."""
        ordered = np.sort(np.asarray(values, float))
        n = len(ordered)
        if n == 0:
            return cls(0, math.nan, math.nan, math.nan, math.nan, math.nan, 0)
        low, high = math.nan, math.nan
        if n >= LEAST:
            first, last = interval_ranks(n)
            low, high = float(ordered[first - 1]), float(ordered[last - 1])
        return cls(n, float(np.median(ordered)), low, high, float(ordered[0]), float(ordered[-1]), _outliers(ordered))

    @property
    def relative(self) -> float:
        """How far the interval reaches from the median, as a part of it; infinite where there is no interval."""
        if not math.isfinite(self.low) or not self.median:
            return math.inf
        return max(self.high - self.median, self.median - self.low) / self.median

    def as_json(self) -> dict[str, float | int | None]:
        """With null for what is not known."""
        table = {"n": self.n, "median": self.median, "low": self.low, "high": self.high}
        table |= {"min": self.least, "max": self.greatest, "outliers": self.outliers}
        return {name: value if math.isfinite(value) else None for name, value in table.items()}


def interval_ranks(n: int) -> tuple[int, int]:
    """Which order statistics (from 1) bound the median with 95 % confidence.  Le Boudec 2010, as Hoefler & Belli use.

    n: at least six.  Where the formula asks for less than the first or more than the last, these serve: of six
    samples they hold the median in 97 %.
    """
    assert n >= LEAST, n
    spread = _Z * math.sqrt(n)
    return max(1, math.floor((n - spread) / 2)), min(n, math.ceil(1 + (n + spread) / 2))


def overlap(one: Sample, other: Sample) -> bool:
    """Do the intervals share a value?  Where one has none nothing can be told apart: they do."""
    if not (math.isfinite(one.low) and math.isfinite(other.low)):
        return True
    return one.low <= other.high and other.low <= one.high


def kruskal_wallis(groups: Sequence[Sequence[float]]) -> float | None:
    """The chance of such differences between groups if all came from one distribution; None where that is not known.

    Kruskal & Wallis 1952, by the chi-squared approximation: each group needs five values.
    """
    if len(groups) < 2 or min(map(len, groups)) < 5:
        return None
    from scipy.stats import kruskal

    if len({value for group in groups for value in group}) == 1:
        return 1.0
    return float(kruskal(*groups).pvalue)


@dataclass(frozen=True)
class Difference:
    """Two neighbouring points: by what factor the later one's median is the earlier one's, and is that certain?"""

    ratio: float
    p: float | None
    apart: bool
    """Whether their intervals share no value."""


def differences(groups: Sequence[Sequence[float]]) -> list[Difference]:
    """Between each group and the next."""
    found = []
    for one, other in pairwise(groups):
        first, second = Sample.of(one), Sample.of(other)
        ratio = second.median / first.median if first.median else math.nan
        found.append(Difference(ratio, kruskal_wallis([one, other]), not overlap(first, second)))
    return found


@dataclass(frozen=True)
class Line:
    """y = constant + slope * x by least squares, and the part of the variance of y that it explains."""

    constant: float
    slope: float
    r2: float


def line(x: Sequence[float], y: Sequence[float]) -> Line | None:
    """Through three points or more: two always lie on one.  None else, or when all x are the same."""
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    if len(xs) < 3 or np.ptp(xs) == 0:
        return None
    slope, constant = np.polyfit(xs, ys, 1)
    left, whole = float(np.sum((ys - constant - slope * xs) ** 2)), float(np.sum((ys - ys.mean()) ** 2))
    return Line(float(constant), float(slope), 1.0 - left / whole if whole else 1.0)


def _outliers(ordered: np.ndarray) -> int:
    low, high = np.percentile(ordered, (25, 75))
    reach = TUKEY * (high - low)
    return int(np.sum((ordered < low - reach) | (ordered > high + reach)))
