"""How does a normal distribution adapt to a landscape?  Hansen & Ostermeier 2001; Hansen 2016 (arXiv:1604.00772).

The update is that of DEAP's `cma.Strategy` (rank-one and rank-mu, cumulative step size) and, if active, with the
negative weights of Hansen 2016 (appendix B), which pycma uses too.  It is a pure function of arrays, so that a run goes
on from its ledger exactly, without replaying what came before.  Restarts with a doubled population are those of Auger &
Hansen 2005 (IPOP), those that take turns with short searches by small populations are those of Hansen 2009 (BIPOP).
Samples outside the unit cube are evaluated at their mirror image in it; the distribution learns from the samples
themselves, to which the landscape looks periodic and without a step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log, sqrt
from typing import Literal, final, get_args

import numpy as np

from hpcfit.evolve.breeding import no_parents
from hpcfit.evolve.operators import require_choice
from hpcfit.evolve.strategy import Migrants, Offspring, Operator, checked_scores, finite_or_inf, ranking
from hpcfit.evolve.streams import SEED_BITS, draws, require_unsigned
from hpcfit.evolve.variation import reflected, standard_normals

RestartScheme = Literal["ipop", "bipop"]

MOST_CONDITION = 1e14
"""Of the covariance: beyond, its smallest axes are rounding errors, and the search restarts."""
_SMALLEST = 1e-100
"""What is divided by is at least this."""


@final
@dataclass(frozen=True, eq=False)
class Distribution:
    """What CMA-ES samples from after the scores of `generation`, and the best members of that generation.

    Parameters
    ----------
    generation : int
    mean : numpy.ndarray
        (P,), anywhere: the unit cube's mirror images count as the cube.
    step : numpy.ndarray
        (1,), sigma.
    covariance : numpy.ndarray
        (P, P).
    paths : numpy.ndarray
        (2, P): of the step size, and of the covariance.
    counts : numpy.ndarray
        (4,) int64: next id, updates since the last restart, lambda, restarts.
    regime : numpy.ndarray
        (4,) int64, all 0 with "ipop".  "bipop": restarts with large populations, evaluations since the first restart
        with large ones and with small ones, and the most evaluations of the present descent if it is a small one.
    history : numpy.ndarray
        The best scores of the latest generations since the last restart, as many as the test of stagnation looks at.
    vectors, scores, ids : numpy.ndarray
        (mu, P) in [0, 1], (mu,), (mu,): the members that the last update learnt from, best first.
    """

    generation: int
    mean: np.ndarray
    step: np.ndarray
    covariance: np.ndarray
    paths: np.ndarray
    counts: np.ndarray
    regime: np.ndarray
    history: np.ndarray
    vectors: np.ndarray
    scores: np.ndarray
    ids: np.ndarray


@final
@dataclass(frozen=True)
class Rates:
    """Weights and learning rates for lambda samples in P dimensions: Hansen & Ostermeier 2001 with DEAP's defaults.

    weights: (mu,), of the better half, adding up to 1.  against: (lambda - mu,), of the others in the covariance, not
    positive: eq. 49 to 53 of Hansen 2016.
    """

    weights: np.ndarray
    against: np.ndarray
    mu_effective: float
    path_step: float
    path_covariance: float
    rank_one: float
    rank_mu: float
    damping: float
    expected_norm: float

    @classmethod
    def of(cls, samples: int, dimensions: int) -> Rates:
        """For `samples` >= 2 in `dimensions` >= 1."""
        n, mu = dimensions, samples // 2
        raw = log(mu + 0.5) - np.log(np.arange(1, samples + 1))
        weights, against = raw[:mu] / raw[:mu].sum(), raw[mu:]
        effective = float(1.0 / np.sum(weights**2))
        path_step = (effective + 2.0) / (n + effective + 3.0)
        rank_one = 2.0 / ((n + 1.3) ** 2 + effective)
        rank_mu = min(1.0 - rank_one, 2.0 * (effective - 2.0 + 1.0 / effective) / ((n + 2.0) ** 2 + effective))
        damping = 1.0 + 2.0 * max(0.0, sqrt((effective - 1.0) / (n + 1.0)) - 1.0) + path_step
        norm = sqrt(n) * (1.0 - 1.0 / (4.0 * n) + 1.0 / (21.0 * n**2))
        # The least of three bounds: as much in all as rank-one takes away, as much as they are worth, and as much as
        # leaves the covariance positive definite.
        worth = float(against.sum() ** 2 / np.sum(against**2))
        most = min(
            1.0 + rank_one / rank_mu,
            1.0 + 2.0 * worth / (effective + 2.0),
            (1.0 - rank_one - rank_mu) / (n * rank_mu),
        )
        against = against * (max(most, 0.0) / -against.sum())
        return cls(weights, against, effective, path_step, 4.0 / (n + 4.0), rank_one, rank_mu, damping, norm)


@final
@dataclass(frozen=True, kw_only=True)
class CmaEs:
    """CMA-ES with restarts; a `Strategy` whose state is `Distribution`.

    Parameters
    ----------
    dimensions : int
        P.
    population : int, optional
        lambda of the first descent, at least 4; 4 + floor(3 ln P) if not given.
    step : float
        sigma at the start, > 0, in units of the range between the bounds.
    active : bool
        Whether the worse half of the samples shrinks the covariance where it lies (Jastrebski & Arnold 2006).
    restarts : int
        How often it may start again at a random place when it has converged.
    restart_scheme : "ipop" or "bipop"
        With twice the population each time; or so by turns with small populations and steps, by which of both has had
        fewer evaluations.
    restart_score, restart_step : float
        It has converged when the best scores of 10 + 30 P / lambda generations, and all of the last one's mu, differ
        by less than the first, or when the largest standard deviation is below the second.
    seed : int
        0 <= seed < 2**128.

    Raises
    ------
    ValueError
        For sizes that are out of range.
    """

    dimensions: int
    population: int | None = None
    step: float = 0.3
    active: bool = True
    restarts: int = 9
    restart_scheme: RestartScheme = "ipop"
    restart_score: float = 1e-9
    restart_step: float = 1e-9
    seed: int

    def __post_init__(self) -> None:
        require_unsigned("seed", self.seed, SEED_BITS)
        require_choice("restart_scheme", self.restart_scheme, get_args(RestartScheme))
        if self.dimensions < 1:
            raise ValueError(f"dimensions = {self.dimensions} is too small; give at least 1")
        if self.population is not None and self.population < 4:
            raise ValueError(f"population = {self.population} is too small to learn a covariance; give at least 4")
        if not 0.0 < self.step < np.inf:
            raise ValueError(f"step = {self.step} is out of range; give a number above 0")
        for name in ("restarts", "restart_score", "restart_step"):
            if not 0.0 <= getattr(self, name) < np.inf:
                raise ValueError(f"{name} = {getattr(self, name)} is out of range; give a number that is not negative")

    @property
    def state(self) -> type[Distribution]:
        """See Strategy.state."""
        return Distribution

    def ask(self, told: Distribution | None) -> Offspring:
        """Samples of the distribution; at the start around the middle of the cube."""
        here = self._start() if told is None else told
        if here.mean.shape != (self.dimensions,):
            raise ValueError(
                f"the distribution has {here.mean.shape[0]} dimensions, not {self.dimensions}; "
                "resume with the settings the run was started with"
            )
        samples, _, _ = self._samples(here)
        n = len(samples)
        ids = here.counts[0] + np.arange(n, dtype=np.int64)
        operator = np.full(n, Operator.INITIAL if told is None else Operator.SAMPLE, dtype=np.int8)
        return Offspring(here.generation + 1, ids, reflected(samples), no_parents(n), operator)

    def tell(
        self, told: Distribution | None, offspring: Offspring, scores: np.ndarray, immigrants: Migrants | None = None
    ) -> Distribution:
        """The distribution after these scores, (lambda,); a fresh one where it has converged.

        Ties go to the older member, NaN comes last.  Immigrants are ranked with the samples and the best lambda of all
        are learnt from (Hansen 2011, arXiv:1110.4181).  Raises ValueError as `checked_scores`.
        """
        scores = checked_scores(told, offspring, scores)
        here = self._start() if told is None else told
        after = self._updated(here, offspring, scores, immigrants)
        if after.counts[3] < self.restarts and self._converged(after):
            return self._restarted(after)
        return after

    def _start(self) -> Distribution:
        n = self.dimensions
        first = self.population or 4 + int(3 * log(n))
        return Distribution(
            -1,
            np.full(n, 0.5),
            np.array([self.step]),
            np.eye(n),
            np.zeros((2, n)),
            np.array([0, 0, first, 0], dtype=np.int64),
            np.zeros(4, dtype=np.int64),
            np.empty(0),
            np.empty((0, n)),
            np.empty(0),
            np.empty(0, dtype=np.int64),
        )

    def _samples(self, here: Distribution) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Samples (lambda, P), not reflected; principal axes (P, P) in columns, and deviations along them (P,)."""
        variances, axes = np.linalg.eigh(here.covariance)
        # No axis is shorter than rounding of the longest allows to know.
        deviations = np.sqrt(np.maximum(variances, max(float(variances[-1]) / MOST_CONDITION, _SMALLEST)))
        shape = (int(here.counts[2]), self.dimensions)
        generation = here.generation + 1
        u, v = (draws(self.seed, generation, f"normal {k}", shape) for k in range(2))
        return here.mean + here.step * (standard_normals(u, v) @ (axes * deviations).T), axes, deviations

    def _updated(
        self, here: Distribution, offspring: Offspring, scores: np.ndarray, immigrants: Migrants | None
    ) -> Distribution:
        samples, axes, deviations = self._samples(here)
        size, vectors, ids = len(samples), offspring.vectors, offspring.ids
        samples = samples[ids - ids.min()]  # by identity: in whatever order they come back
        lowest = finite_or_inf(scores[ranking(scores, ids)[:1]])
        if immigrants is not None:
            samples = np.concatenate([samples, _injected(here, immigrants.vectors, axes, deviations)])
            vectors = np.concatenate([vectors, immigrants.vectors])
            scores = np.concatenate([scores, immigrants.scores])
            ids = np.concatenate([ids, immigrants.ids])
        best = ranking(scores, ids)[:size]
        rates, sigma = Rates.of(size, self.dimensions), float(here.step[0])
        mu = len(rates.weights)
        chosen = samples[best[:mu]]
        mean = rates.weights @ chosen
        shift = (mean - here.mean) / sigma
        c_s, c_c = rates.path_step, rates.path_covariance
        path_s = (1.0 - c_s) * here.paths[0] + sqrt(c_s * (2.0 - c_s) * rates.mu_effective) * (
            axes @ ((axes.T @ shift) / deviations)
        )
        updates, length = int(here.counts[1]) + 1, float(np.linalg.norm(path_s))
        usual = sqrt(1.0 - (1.0 - c_s) ** (2.0 * updates)) * rates.expected_norm
        # The path of the covariance waits while that of the step is long: the step is about to grow.
        moves = float(length / usual < 1.4 + 2.0 / (self.dimensions + 1.0))
        path_c = (1.0 - c_c) * here.paths[1] + moves * sqrt(c_c * (2.0 - c_c) * rates.mu_effective) * shift
        steps, weights = (chosen - here.mean) / sigma, rates.weights
        if self.active:
            others = (samples[best[mu:]] - here.mean) / sigma
            lengths = np.maximum(np.sum(((others @ axes) / deviations) ** 2, axis=1), _SMALLEST)
            steps = np.concatenate([steps, others])
            weights = np.concatenate([weights, rates.against * self.dimensions / lengths])
        total = 1.0 + (float(rates.against.sum()) if self.active else 0.0)
        kept = 1.0 - rates.rank_one - rates.rank_mu * total + (1.0 - moves) * rates.rank_one * c_c * (2.0 - c_c)
        covariance = (
            kept * here.covariance
            + rates.rank_one * np.outer(path_c, path_c)
            + rates.rank_mu * (steps.T * weights) @ steps
        )
        covariance = 0.5 * (covariance + covariance.T)
        step = here.step * np.exp(min(1.0, (length / rates.expected_norm - 1.0) * c_s / rates.damping))
        # Wider than the cube, its mirror images make the samples uniform: there is no more to grow for.
        step = np.clip(step, _SMALLEST, 1.0 / sqrt(max(float(np.linalg.eigvalsh(covariance)[-1]), _SMALLEST)))
        window = 10 + -(-30 * self.dimensions // size)
        return Distribution(
            offspring.generation,
            mean,
            step,
            covariance,
            np.stack([path_s, path_c]),
            np.array([here.counts[0] + size, updates, size, here.counts[3]], dtype=np.int64),
            here.regime,
            np.concatenate([here.history, lowest])[-window:],
            vectors[best[:mu]],
            scores[best[:mu]],
            ids[best[:mu]],
        )

    def _converged(self, after: Distribution) -> bool:
        """Has the descent ended?  Auger & Hansen 2005: flat scores, a small step, or a degenerate covariance."""
        window = 10 + -(-30 * self.dimensions // int(after.counts[2]))
        recent = np.concatenate([after.history, finite_or_inf(after.scores)])
        flat = len(after.history) >= window and bool(np.all(recent <= recent.min() + self.restart_score))
        variances = np.linalg.eigvalsh(after.covariance)
        small = float(after.step[0]) * sqrt(max(float(variances[-1]), 0.0)) < self.restart_step
        spent = 0 < after.regime[3] <= after.counts[1] * after.counts[2]
        return flat or small or bool(spent) or not float(variances[0]) * MOST_CONDITION > float(variances[-1])

    def _restarted(self, after: Distribution) -> Distribution:
        start, regime, size = self._start(), after.regime, 2 * int(after.counts[2])
        step = start.step
        if self.restart_scheme == "bipop":
            regime, size, step = self._next_regime(after, int(start.counts[2]))
        return replace(
            start,
            generation=after.generation,
            mean=draws(self.seed, after.generation, "restart", (1, self.dimensions))[0],
            step=step,
            counts=np.array([after.counts[0], 0, size, after.counts[3] + 1], dtype=np.int64),
            regime=regime,
            vectors=after.vectors,
            scores=after.scores,
            ids=after.ids,
        )

    def _next_regime(self, after: Distribution, first: int) -> tuple[np.ndarray, int, np.ndarray]:
        """Regime, lambda and sigma of the next descent: Hansen 2009, section 2.  first: lambda of the first descent."""
        doublings, large, small, limit = (int(value) for value in after.regime)
        spent = int(after.counts[1] * after.counts[2])
        if after.counts[3] > 0:  # the first descent belongs to neither
            large, small = (large, small + spent) if limit else (large + spent, small)
        if small >= large:
            return np.array([doublings + 1, large, small, 0]), first * 2 ** (doublings + 1), np.array([self.step])
        u, v = draws(self.seed, after.generation, "regime", (1, 2))[0]
        # From the size of the first descent up to half of that of the last large one; mostly small.
        size = max(4, int(first * (0.5 * 2**doublings) ** (u * u)))
        budget = spent if limit == 0 else 2 * limit  # of the last large descent
        return (
            np.array([doublings, large, small, max(1, budget // 2)]),
            size,
            np.array([self.step * 10.0 ** (-2.0 * v)]),
        )


def _injected(here: Distribution, vectors: np.ndarray, axes: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    """(m, P) where the distribution learns from solutions that it did not sample, (m, P) in [0, 1].

    Of the mirror images of each the nearest to the mean, and no further from it than samples are: a Mahalanobis
    distance of at most sqrt(n) + 2 n / (n + 2), Hansen 2011 (arXiv:1110.4181), so that one cannot blow up the step.
    """
    n, sigma = len(here.mean), float(here.step[0])
    same = vectors + 2.0 * np.round((here.mean - vectors) / 2.0)
    mirrored = 2.0 * np.round((here.mean + vectors) / 2.0) - vectors
    nearest = np.where(np.abs(same - here.mean) <= np.abs(mirrored - here.mean), same, mirrored)
    steps = (nearest - here.mean) / sigma
    lengths = np.maximum(np.linalg.norm((steps @ axes) / deviations, axis=1), _SMALLEST)
    return here.mean + sigma * steps * np.minimum(1.0, (sqrt(n) + 2.0 * n / (n + 2.0)) / lengths)[:, None]
