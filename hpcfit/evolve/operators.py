"""Which crossover and which mutation, with which settings?

Options that the chosen kind does not use are refused rather than ignored, so `eta` and `sigma` default to None and are
filled in for the kinds that use them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal, final, get_args

import numpy as np

from hpcfit.evolve import variation

CrossoverKind = Literal["simulated_binary", "uniform"]
MutationKind = Literal["polynomial", "gaussian", "uniform"]

ETA = 20.0  # what the published code of Ladd et al. 2021 uses, for both operators
SIGMA = 0.1


@final
@dataclass(frozen=True)
class Crossover:
    """How two parents make one child.

    Parameters
    ----------
    kind : "simulated_binary" or "uniform"
    rate : float
        Probability of an offspring to arise by crossover, in [0, 1].
    eta : float, optional
        Crowding degree of "simulated_binary", >= 0; 20 if not given.
    gene_rate : float
        Probability of a gene of such an offspring to be crossed; 0.5 is DEAP's fixed value for "simulated_binary".

    Raises
    ------
    ValueError
        For an unknown kind, a value out of range, or an option that `kind` does not use.
    """

    kind: CrossoverKind
    rate: float
    eta: float | None = None
    gene_rate: float = 0.5

    def __post_init__(self) -> None:
        require_choice("crossover.kind", self.kind, get_args(CrossoverKind))
        _require_probability("crossover.rate", self.rate)
        _require_probability("crossover.gene_rate", self.gene_rate)
        object.__setattr__(self, "eta", _settled("crossover", self, "eta", ("simulated_binary",), ETA))

    def child(self, a: np.ndarray, b: np.ndarray, u: Sequence[np.ndarray]) -> np.ndarray:
        """(members, P) children of `a` and `b`, both (members, P) in [0, 1].  u: three such, of uniform numbers."""
        if self.kind == "uniform":
            return variation.uniform_crossover(a, b, self.gene_rate, u[0])
        assert self.eta is not None
        return variation.simulated_binary(a, b, self.eta, self.gene_rate, *u)


@final
@dataclass(frozen=True)
class Mutation:
    """How one parent makes one mutant.

    Parameters
    ----------
    kind : "polynomial", "gaussian" or "uniform"
    rate : float
        Probability of an offspring to arise by mutation, in [0, 1].
    gene_rate : float
        Probability of a gene of such an offspring to mutate, in [0, 1].
    eta : float, optional
        Crowding degree of "polynomial", >= 0; 20 if not given.
    sigma : float, optional
        Standard deviation of "gaussian", > 0, in units of the range between the bounds; 0.1 if not given.

    Raises
    ------
    ValueError
        For an unknown kind, a value out of range, or an option that `kind` does not use.
    """

    kind: MutationKind
    rate: float
    gene_rate: float
    eta: float | None = None
    sigma: float | None = None

    def __post_init__(self) -> None:
        require_choice("mutation.kind", self.kind, get_args(MutationKind))
        _require_probability("mutation.rate", self.rate)
        _require_probability("mutation.gene_rate", self.gene_rate)
        object.__setattr__(self, "eta", _settled("mutation", self, "eta", ("polynomial",), ETA))
        object.__setattr__(self, "sigma", _settled("mutation", self, "sigma", ("gaussian",), SIGMA))
        if self.sigma == 0.0:
            raise ValueError("mutation.sigma = 0 mutates nothing; give a number above 0, or rate = 0 for no mutation")

    def mutant(self, x: np.ndarray, u: Sequence[np.ndarray]) -> np.ndarray:
        """(members, P) mutants of `x`, (members, P) in [0, 1].  u: three such, of uniform numbers."""
        if self.kind == "uniform":
            return variation.uniform_mutation(x, self.gene_rate, u[0], u[1])
        if self.kind == "gaussian":
            assert self.sigma is not None
            return variation.gaussian(x, self.sigma, self.gene_rate, u[0], variation.standard_normals(u[1], u[2]))
        assert self.eta is not None
        return variation.polynomial(x, self.eta, self.gene_rate, u[0], u[1])


def require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} = {value!r} is unknown; choose one of {', '.join(choices)}")


def _require_probability(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} = {value} is no probability; give a number from 0 to 1")


def _settled(
    owner: str, settings: Crossover | Mutation, option: str, kinds: tuple[str, ...], default: float
) -> float | None:
    """The option's value, or its default if the kind uses it and it was not given."""
    value = getattr(settings, option)
    if settings.kind not in kinds:
        if value is not None:
            raise ValueError(
                f"{owner}.{option} = {value} has no effect with {owner}.kind = {settings.kind!r}; "
                f"drop it, or choose {' or '.join(kinds)}"
            )
        return None
    value = default if value is None else value
    if not (isfinite(value) and value >= 0.0):
        raise ValueError(f"{owner}.{option} = {value} is out of range; give a finite number that is not negative")
    return value
