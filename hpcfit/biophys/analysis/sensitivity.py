"""What does each parameter alone do to each feature, over its whole range and at the best individual?"""

from dataclasses import dataclass

import numpy as np

from hpcfit.errors import InputError


@dataclass(frozen=True)
class Sweep:
    """Points of one-at-a-time changes: each parameter through its range, the others as in the centre.

    places: (points a parameter,) from 0 to 1.
    """

    centre: np.ndarray
    places: np.ndarray

    @classmethod
    def around(cls, centre: np.ndarray, points: int) -> "Sweep":
        """`points` equal distances over every range.  Raises InputError when they are fewer than 3."""
        if points < 3:
            raise InputError(f"{points} points do not show what a parameter does; give at least 3")
        return cls(np.asarray(centre, dtype=float), np.linspace(0.0, 1.0, points))

    @property
    def points(self) -> np.ndarray:
        """(parameters * points, parameters)"""
        p, n = len(self.centre), len(self.places)
        points = np.tile(self.centre, (p, n, 1))
        for index in range(p):
            points[index, :, index] = self.places
        return points.reshape(-1, p)

    def grid(self, values: np.ndarray) -> np.ndarray:
        """(parameters, points, terms) of the values (parameters * points, terms) at `points`."""
        return values.reshape(len(self.centre), len(self.places), -1)


def extent(values: np.ndarray) -> np.ndarray:
    """(parameters, terms): largest less smallest defined value over the range; NaN where fewer than two are defined.

    values: (parameters, points, terms).
    """
    defined = np.isfinite(values)
    high = np.where(defined, values, -np.inf).max(axis=1)
    low = np.where(defined, values, np.inf).min(axis=1)
    enough = defined.sum(axis=1) >= 2
    return np.subtract(high, low, out=np.full(high.shape, np.nan), where=enough)


def undefined_places(values: np.ndarray, places: np.ndarray) -> list[list[list[tuple[float, float]]]]:
    """Per parameter and term, the stretches (first place, last place) of swept points without a value.

    values: (parameters, points, terms); places: (points,).
    """
    missing = ~np.isfinite(values)
    return [[_stretches(column, places) for column in one.T] for one in missing]


def _stretches(missing: np.ndarray, places: np.ndarray) -> list[tuple[float, float]]:
    edges = np.diff(np.concatenate([[0], missing.astype(np.int8), [0]]))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    return [(float(places[start]), float(places[end])) for start, end in zip(starts, ends, strict=True)]


def elasticities(slopes: np.ndarray, rates: np.ndarray, parameters: np.ndarray, features: np.ndarray) -> np.ndarray:
    """(terms, parameters): d ln(feature) / d ln(parameter), per cent for a per cent; NaN where either is 0 or NaN.

    Parameters
    ----------
    slopes
        (terms, parameters) derivatives of features by places in the unit cube.
    rates
        (parameters,) derivatives of parameters by their places, at the best.
    parameters, features
        (parameters,) and (terms,) values at the best, in their own units.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        found = slopes / rates * parameters / features[:, None]
    return np.where(np.isfinite(found) & (parameters != 0) & (features[:, None] != 0), found, np.nan)
