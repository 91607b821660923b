"""Settings that every population run has: how offspring are made, and when the run ends."""

import difflib
from abc import abstractmethod
from math import log
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from hpcfit.config import Settings

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Positive = Annotated[float, Field(gt=0.0)]

GROUPINGS = ("terms", "features", "stimuli", "families", "stimulus_families")


def _grouping(given: Any) -> Any:
    if isinstance(given, dict):
        return given
    if given not in GROUPINGS:
        near = difflib.get_close_matches(str(given), GROUPINGS, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"must be one of {', '.join(GROUPINGS)}, or a table of groups with patterns of names{hint}")
    return given


Grouping = Annotated[str | dict[str, tuple[str, ...]], BeforeValidator(_grouping)]
"""How score functions are summed into objectives; hpcfit.biophys.objectives says what each means."""


class CrossoverSettings(Settings):
    """How two survivors make an offspring."""

    kind: Literal["simulated_binary", "uniform"] = "simulated_binary"
    rate: Fraction = 0.5
    """Fraction of the offspring made by crossover."""
    eta: NonNegative | None = None
    """Crowding of simulated binary crossover (default 20): larger keeps children nearer to their parents."""
    gene_rate: Fraction = 0.5
    """Chance of each gene to take part."""


class MutationSettings(Settings):
    """How one survivor makes an offspring."""

    kind: Literal["polynomial", "gaussian", "uniform"] = "polynomial"
    rate: Fraction = 0.5
    """Fraction of the offspring made by mutation; what crossover and mutation leave is copied."""
    eta: NonNegative | None = None
    """Crowding of polynomial mutation (default 20)."""
    sigma: Positive | None = None
    """Standard deviation of Gaussian mutation, in units of a parameter's range (default 0.1)."""
    gene_rate: Fraction = 0.5
    """Chance of each gene to change."""


class IslandSettings(Settings):
    """Populations that evolve apart and send each other their best members now and then."""

    count: Count = 4
    """Islands; the strategy's sizes are those of all together, in equal shares."""
    every: Count = 5
    """Generations from one migration to the next."""
    migrants: Count = 2
    """How many members an island sends to each island that it sends to."""
    topology: Literal["ring", "random", "complete"] = "ring"
    """To the next island; to the next in a ring of random order, drawn anew every time; to all others."""


_SIZES = ("parents", "offspring", "initial", "population")
"""Settings that count members: islands share them out."""


class _WithIslands(Settings):
    """A strategy that may be spread over islands."""

    islands: IslandSettings | None = None
    """Default: one population."""

    @model_validator(mode="after")
    def _shared_out(self) -> Self:
        if self.islands is None:
            return self
        count = self.islands.count
        least = self._least_island()
        for name in _SIZES:
            size = getattr(self, name, None)
            if size is not None and (size % count or size < least.get(name, 1) * count):
                good = max(least.get(name, 1), round(size / count)) * count
                raise ValueError(
                    f"{name} = {size} cannot be shared out among islands.count = {count}: each needs as many, "
                    f"at least {least.get(name, 1)}; give {name} = {good}, or another count"
                )
        places = self._remembered(count)
        sources = count - 1 if self.islands.topology == "complete" else min(count - 1, 1)
        if (coming := self.islands.migrants * sources) >= places and sources:
            raise ValueError(
                f"islands.migrants = {self.islands.migrants} brings {coming} members to an island that remembers "
                f"{places}; lower migrants to at most {(places - 1) // sources}, or take fewer islands"
            )
        return self

    @abstractmethod
    def _least_island(self) -> dict[str, int]:
        """The least size that makes a population, by the name of the setting; else 1."""

    @abstractmethod
    def _remembered(self, count: int) -> int:
        """How many members each of `count` islands remembers: among those immigrants find their places."""

    def of_one_island(self) -> Self:
        """The settings of each island's population."""
        assert self.islands is not None
        shares = {name: getattr(self, name, None) for name in _SIZES}
        shares = {name: size // self.islands.count for name, size in shares.items() if size is not None}
        return type(self).model_validate({**self.model_dump(exclude={"islands"}), **shares})


class StrategySettings(_WithIslands):
    """The genetic algorithm.  Default survival: the best of parents and offspring, as Ladd et al. 2021 describe."""

    kind: Literal["mu_plus_lambda", "mu_comma_lambda"] = "mu_plus_lambda"
    parents: Count = 50
    """mu: how many survive a generation."""
    offspring: Count = 100
    """lambda: how many are made and evaluated in a generation."""
    initial: Count | None = None
    """Size of generation 0; default: as many as offspring, or parents if there are more."""
    tournament: Count = 1
    """How many survivors compete to become a parent; 1: every survivor is equally likely (DEAP's varOr)."""
    distinct: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Of members closer than about this fraction of every range only the best survives; 0: no such rule."""
    crossover: CrossoverSettings = CrossoverSettings()
    mutation: MutationSettings = MutationSettings()

    @model_validator(mode="after")
    def _consistent(self) -> "StrategySettings":
        if self.kind == "mu_comma_lambda" and self.offspring < self.parents:
            raise ValueError(
                f"offspring = {self.offspring} is smaller than parents = {self.parents}, but with mu_comma_lambda the "
                f"survivors are taken from the offspring alone; raise offspring to at least {self.parents}"
            )
        _check_breeding(self)
        return self

    def largest_generation(self, dimensions: int) -> int:
        """How many are evaluated at once at most."""
        return max(self.initial or self.parents, self.offspring)

    def _least_island(self) -> dict[str, int]:
        return {"parents": 2 if self.crossover.rate > 0 else 1}

    def _remembered(self, count: int) -> int:
        return self.parents // count


class MultiObjectiveSettings(_WithIslands):
    """A (mu + lambda) genetic algorithm whose survivors are chosen by several objectives.

    "ibea": Zitzler & Kuenzli 2004, as BluePyOpt selects; "nsga2": Deb et al. 2002, as DEAP selects.
    """

    kind: Literal["ibea", "nsga2"]
    objectives: Grouping = "families"
    """What an objective is: one score function, or the sum over those of a feature, a stimulus, a family of features,
    a family within a stimulus, or of groups that are named here (group -> shell patterns of their names)."""
    parents: Count = 100
    """mu: how many survive a generation."""
    offspring: Count = 100
    """lambda: how many are made and evaluated in a generation."""
    initial: Count | None = None
    """Size of generation 0; default: as many as offspring, or parents if there are more."""
    tournament: Count | None = None
    """How many survivors compete to become a parent; default 4 (BluePyOpt's) with ibea, 2 (Deb's) with nsga2."""
    kappa: Positive | None = None
    """ibea: scale of the indicator (default 0.05); the smaller, the more the nearest better solution counts."""
    crossover: CrossoverSettings = CrossoverSettings()
    mutation: MutationSettings = MutationSettings()

    @model_validator(mode="after")
    def _consistent(self) -> "MultiObjectiveSettings":
        if self.kappa is not None and self.kind != "ibea":
            raise ValueError(f"kappa = {self.kappa:g} belongs to kind = 'ibea', but kind is '{self.kind}'; remove it")
        _check_breeding(self)
        return self

    def largest_generation(self, dimensions: int) -> int:
        """How many are evaluated at once at most."""
        return max(self.initial or self.parents, self.offspring)

    def _least_island(self) -> dict[str, int]:
        return {"parents": 2 if self.crossover.rate > 0 else 1}

    def _remembered(self, count: int) -> int:
        return self.parents // count


class CmaEsSettings(_WithIslands):
    """CMA-ES with restarts of doubled population (Hansen & Ostermeier 2001, Auger & Hansen 2005)."""

    kind: Literal["cma_es"]
    population: Annotated[int, Field(ge=4)] | None = None
    """Samples in a generation of the first descent; default 4 + floor(3 ln P) for P parameters."""
    step: Positive = 0.3
    """Standard deviation at the start, in units of a parameter's range."""
    active: bool = True
    """Whether the worse half of the samples shrinks the distribution where it lies."""
    restarts: Annotated[int, Field(ge=0)] = 9
    """How often it may start again once it has converged."""
    restart_scheme: Literal["ipop", "bipop"] = "ipop"
    """With twice the population each time; or so by turns with small ones (Hansen 2009)."""
    restart_score: NonNegative = 1e-9
    """It has converged when the best scores of many generations differ by no more than this, ..."""
    restart_step: NonNegative = 1e-9
    """... or when its largest standard deviation, in units of a range, is below this."""

    def largest_generation(self, dimensions: int) -> int:
        """How many are evaluated at once at most, before the first restart."""
        islands = self.islands.count if self.islands else 1
        return self.population or islands * (4 + int(3 * log(dimensions)))

    def _least_island(self) -> dict[str, int]:
        return {"population": 4}

    def _remembered(self, count: int) -> int:
        # The better half of its samples; without a population it is not known yet how many parameters are free.
        return (self.population or 4 * count) // count // 2


class ParticleSwarmSettings(_WithIslands):
    """Particle swarm optimisation (Kennedy & Eberhart 1995; the defaults are those of Clerc & Kennedy 2002)."""

    kind: Literal["particle_swarm"]
    population: Annotated[int, Field(ge=2)] = 100
    """Particles: as many are evaluated in a generation."""
    inertia: NonNegative = 0.7298437881283576
    """How much of its velocity a particle keeps."""
    cognitive: NonNegative = 1.4961797656631187
    """Greatest pull of the best place that a particle has seen."""
    social: NonNegative = 1.4961797656631187
    """Greatest pull of the best place that its neighbours have seen."""
    neighbours: Literal["all", "ring"] = "all"
    """Everybody, or the particles before and after it: slower, but less easily caught in one place."""

    def largest_generation(self, dimensions: int) -> int:
        """How many are evaluated at once at most."""
        return self.population

    def _least_island(self) -> dict[str, int]:
        return {"population": 2}

    def _remembered(self, count: int) -> int:
        return self.population // count


class DifferentialEvolutionSettings(_WithIslands):
    """Differential evolution with binomial crossover (Storn & Price 1997)."""

    kind: Literal["differential_evolution"]
    population: Annotated[int, Field(ge=4)] = 100
    """Slots, each challenged by one trial in a generation."""
    variant: Literal["rand_1", "best_1", "current_to_pbest_1"] = "current_to_pbest_1"
    """What is displaced: a random member, the best, or the slot's own towards one of the best (Zhang & Sanderson)."""
    scale: tuple[Positive, Positive] = (0.5, 0.9)
    """F, the weight of differences: drawn for each trial from this range."""
    crossover_rate: Fraction = 0.9
    """CR, the chance of each gene to be displaced."""
    best_fraction: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """current_to_pbest_1: which part of the population counts as the best (default 0.1)."""

    @model_validator(mode="after")
    def _consistent(self) -> "DifferentialEvolutionSettings":
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale = {list(self.scale)} is no range; give the smaller number first")
        _no_idle_option("", self.variant, "current_to_pbest_1", "best_fraction", self.best_fraction, "variant")
        return self

    def largest_generation(self, dimensions: int) -> int:
        """How many are evaluated at once at most."""
        return self.population

    def _least_island(self) -> dict[str, int]:
        return {"population": 4}

    def _remembered(self, count: int) -> int:
        return self.population // count


KINDS = ("mu_plus_lambda", "mu_comma_lambda", "ibea", "nsga2", "cma_es", "particle_swarm", "differential_evolution")


def _strategy_tag(data: Any) -> str | None:
    kind = data.get("kind", KINDS[0]) if isinstance(data, dict) else getattr(data, "kind", KINDS[0])
    shared = {"mu_comma_lambda": "mu_plus_lambda", "nsga2": "ibea"}
    return f"tag:{shared.get(kind, kind)}" if kind in KINDS else None


AnyStrategySettings = Annotated[
    Annotated[StrategySettings, Tag("tag:mu_plus_lambda")]
    | Annotated[MultiObjectiveSettings, Tag("tag:ibea")]
    | Annotated[CmaEsSettings, Tag("tag:cma_es")]
    | Annotated[ParticleSwarmSettings, Tag("tag:particle_swarm")]
    | Annotated[DifferentialEvolutionSettings, Tag("tag:differential_evolution")],
    Discriminator(
        _strategy_tag,
        custom_error_type="unknown_kind",
        custom_error_message=f"must be one of {', '.join(KINDS)}",
    ),
]
"""The [strategy] table: `kind` says which; a genetic algorithm where it is not given."""


def _check_breeding(settings: StrategySettings | MultiObjectiveSettings) -> None:
    """Raise ValueError for sizes and operators that do not go together."""
    crossover, mutation = settings.crossover, settings.mutation
    total = crossover.rate + mutation.rate
    if total > 1.0 + 1e-12:
        raise ValueError(f"crossover.rate + mutation.rate = {total:g}; they are exclusive, lower them to 1 or less")
    if settings.parents < 2 and crossover.rate > 0:
        raise ValueError("parents = 1, but crossover needs two; raise parents or set crossover.rate = 0")
    if settings.initial is not None and settings.initial < settings.parents:
        raise ValueError(f"initial = {settings.initial} is smaller than parents = {settings.parents}; raise initial")
    _no_idle_option("crossover.", crossover.kind, "simulated_binary", "eta", crossover.eta)
    _no_idle_option("mutation.", mutation.kind, "polynomial", "eta", mutation.eta)
    _no_idle_option("mutation.", mutation.kind, "gaussian", "sigma", mutation.sigma)


def _no_idle_option(place: str, kind: str, owner: str, option: str, value: float | None, chooser: str = "kind") -> None:
    """An option that the chosen kind would ignore is an error, not a surprise."""
    if value is not None and kind != owner:
        raise ValueError(
            f"{place}{option} = {value:g} belongs to {chooser} = '{owner}', but {chooser} is '{kind}'; remove it"
        )


class StopSettings(Settings):
    """When a run has stopped getting better."""

    stagnant_generations: Count
    """Stops after this many generations ..."""
    improvement_percent: Annotated[float, Field(ge=0.0, lt=100.0)] = 1.0
    """... in which the best score of the run fell by no more than this much of what it was."""


class RunSettings(Settings):
    """Seed and ends of a run; whichever end is reached first stops it."""

    seed: Annotated[int, Field(ge=0)] = 1
    generations: Annotated[int, Field(ge=1)] = 50
    """Generations in all, the random generation 0 included."""
    evaluations: Count | None = None
    """Most individuals evaluated: the run stops before the generation that would pass it."""
    wall_clock_s: Seconds | None = None
    """Stops before a generation that would not end within it, judged by the slowest one so far."""
    target_score: float | None = None
    """Stops when the best score is at or below it."""
    stop: StopSettings | None = None
    """Stops when the best score no longer improves."""
    timeline: bool = False
    """Whether timeline.jsonl is written: who was busy with what and when; `hpcfit timeline RUN` draws it."""
