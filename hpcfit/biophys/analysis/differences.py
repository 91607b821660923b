"""Derivatives of features by parameters from one batch of simulations: points to simulate, and what they give.

Steps are in units of a parameter's range.  Each parameter has two points a step: to either side of the centre, or both
to one side where the other would leave the range; both forms are of second order.
"""

from dataclasses import dataclass

import numpy as np

from hpcfit.errors import InputError


@dataclass(frozen=True)
class Differences:
    """Points around a centre.

    Attributes
    ----------
    centre
        (parameters,) in the unit cube.
    steps
        (steps,) in units of the range.
    offsets
        (steps, parameters, 2) of the two points of each parameter, along it.
    """

    centre: np.ndarray
    steps: np.ndarray
    offsets: np.ndarray

    @classmethod
    def around(cls, centre: np.ndarray, steps: np.ndarray) -> "Differences":
        """Points around `centre`.  Raises InputError when a step is not between 0 and 0.25."""
        steps = np.asarray(steps, dtype=float)
        if not len(steps) or not np.all((steps > 0) & (steps <= 0.25)):
            raise InputError(f"steps {steps.tolist()} must lie between 0 and 0.25 of a parameter's range")
        h = steps[:, None]
        low, high = centre - h < 0, centre + h > 1
        first = np.where(low, h, np.where(high, -h, -h))
        second = np.where(low, 2 * h, np.where(high, -2 * h, h))
        return cls(np.asarray(centre, dtype=float), steps, np.stack([first, second], axis=-1))

    @property
    def points(self) -> np.ndarray:
        """(1 + 2 * steps * parameters, parameters): the centre, then by step, parameter and side."""
        count, p, _ = self.offsets.shape
        points = np.tile(self.centre, (count, p, 2, 1))
        for index in range(p):
            points[:, index, :, index] += self.offsets[:, index]
        return np.concatenate([self.centre[None, :], points.reshape(-1, p)])

    def jacobians(self, values: np.ndarray) -> np.ndarray:
        """(steps, terms, parameters): derivatives, per range of the parameter; NaN where a value is undefined.

        values: (points, terms), at `points`.  Quadratic through the three points of a parameter (Lagrange).
        """
        count, p, _ = self.offsets.shape
        centre, sides = values[0], values[1:].reshape(count, p, 2, -1)
        a, b = self.offsets[..., :1], self.offsets[..., 1:]
        slopes = -b / (a * (a - b)) * sides[:, :, 0] - a / (b * (b - a)) * sides[:, :, 1] - (a + b) / (a * b) * centre
        return np.swapaxes(slopes, 1, 2)
