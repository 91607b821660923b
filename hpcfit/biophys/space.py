"""The search space: strategies live in the unit cube, cells in S/cm2 and mV."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpcfit.biophys.settings import ParameterSettings


@dataclass(frozen=True)
class Space:
    """Free parameters with bounds; log-scaled ones are uniform in their logarithm.  All arrays: (parameters,)."""

    names: tuple[str, ...]
    units: tuple[str, ...]
    low: np.ndarray
    high: np.ndarray
    log: np.ndarray

    @classmethod
    def of(cls, free: Sequence[ParameterSettings]) -> "Space":
        """The space of the parameters that have bounds."""
        bounds = np.array([parameter.bounds for parameter in free], dtype=float)
        return cls(
            tuple(parameter.name for parameter in free),
            tuple(parameter.unit or "" for parameter in free),
            bounds[:, 0],
            bounds[:, 1],
            np.array([parameter.scale == "log" for parameter in free]),
        )

    def physical(self, vectors: np.ndarray) -> np.ndarray:
        """(n, parameters) in the unit cube -> the same in the parameters' units, never outside the bounds."""
        linear = self.low + vectors * (self.high - self.low)
        low = np.where(self.log, self.low, 1.0)
        logarithmic = low * (np.where(self.log, self.high, 1.0) / low) ** vectors
        return np.clip(np.where(self.log, logarithmic, linear), self.low, self.high)

    def unit(self, parameters: np.ndarray) -> np.ndarray:
        """The inverse of `physical`."""
        linear = (parameters - self.low) / (self.high - self.low)
        low, high = np.where(self.log, self.low, 1.0), np.where(self.log, self.high, 2.0)
        logarithmic = np.log(np.where(self.log, parameters, low) / low) / np.log(high / low)
        return np.where(self.log, logarithmic, linear)

    def random(self, count: int, seed: int = 0) -> np.ndarray:
        """(count, parameters) drawn uniformly from the space, in the parameters' units."""
        return self.physical(np.random.default_rng(seed).random((count, len(self.names))))

    def table(self) -> dict[str, np.ndarray]:
        """Columns for the ledger."""
        scale = np.where(self.log, "log", "linear")
        return {
            "name": np.array(self.names),
            "unit": np.array(self.units),
            "low": self.low,
            "high": self.high,
            "scale": scale,
        }
