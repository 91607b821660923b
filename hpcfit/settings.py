"""Settings that every population run has: how offspring are made, and when the run ends."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hpcfit.config import Settings

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0.0)]


class CrossoverSettings(Settings):
    """How two survivors make an offspring."""

    kind: Literal["simulated_binary", "uniform"] = "simulated_binary"
    rate: Fraction = 0.5
    """Fraction of the offspring made by crossover."""
    eta: Annotated[float, Field(ge=0.0)] | None = None
    """Crowding of simulated binary crossover (default 20): larger keeps children nearer to their parents."""
    gene_rate: Fraction = 0.5
    """Chance of each gene to take part."""


class MutationSettings(Settings):
    """How one survivor makes an offspring."""

    kind: Literal["polynomial", "gaussian", "uniform"] = "polynomial"
    rate: Fraction = 0.5
    """Fraction of the offspring made by mutation; what crossover and mutation leave is copied."""
    eta: Annotated[float, Field(ge=0.0)] | None = None
    """Crowding of polynomial mutation (default 20)."""
    sigma: Annotated[float, Field(gt=0.0)] | None = None
    """Standard deviation of Gaussian mutation, in units of a parameter's range (default 0.1)."""
    gene_rate: Fraction = 0.5
    """Chance of each gene to change."""


class StrategySettings(Settings):
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
        total = self.crossover.rate + self.mutation.rate
        if total > 1.0 + 1e-12:
            raise ValueError(f"crossover.rate + mutation.rate = {total:g}; they are exclusive, lower them to 1 or less")
        if self.kind == "mu_comma_lambda" and self.offspring < self.parents:
            raise ValueError(
                f"offspring = {self.offspring} is smaller than parents = {self.parents}, but with mu_comma_lambda the "
                f"survivors are taken from the offspring alone; raise offspring to at least {self.parents}"
            )
        if self.parents < 2 and self.crossover.rate > 0:
            raise ValueError("parents = 1, but crossover needs two; raise parents or set crossover.rate = 0")
        if self.initial is not None and self.initial < self.parents:
            raise ValueError(f"initial = {self.initial} is smaller than parents = {self.parents}; raise initial")
        _no_idle_option("crossover", self.crossover.kind, "simulated_binary", "eta", self.crossover.eta)
        _no_idle_option("mutation", self.mutation.kind, "polynomial", "eta", self.mutation.eta)
        _no_idle_option("mutation", self.mutation.kind, "gaussian", "sigma", self.mutation.sigma)
        return self


def _no_idle_option(table: str, kind: str, owner: str, option: str, value: float | None) -> None:
    """An option that the chosen kind would ignore is an error, not a surprise."""
    if value is not None and kind != owner:
        raise ValueError(f"{table}.{option} = {value:g} belongs to kind = '{owner}', but kind is '{kind}'; remove it")


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
