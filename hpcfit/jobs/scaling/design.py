"""Which points does a scaling study measure?  Studies, published designs, and what is asked instead of theirs.

strong: the population stays the same, ranks grow.  weak: the population is that of a rank times the ranks.  problem,
stimuli, scores: ranks stay the same, and the population, the stimuli or the score functions grow.
"""

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from hpcfit.errors import ConfigError
from hpcfit.jobs.scaling.statistics import LEAST

Study = Literal["strong", "weak", "problem", "stimuli", "scores"]
STUDIES: tuple[Study, ...] = get_args(Study)
SWEPT = {"strong": "ranks", "weak": "ranks", "problem": "population", "stimuli": "stimuli", "scores": "scores"}
"""What grows from point to point."""
LEAST_POINT_S = 2.0
"""Starting Python, building the cell and one generation take longer than this: a smaller budget measures nothing."""
_PRESETS = Path(__file__).with_name("presets.toml")


@dataclass(frozen=True, order=True)
class Point:
    """One size that is measured.  stimuli, scores: how many; 0: those that the fit file has."""

    ranks: int
    population: int
    stimuli: int = 0
    scores: int = 0

    @property
    def problem(self) -> tuple[int, int, int]:
        """What it computes, whatever the ranks: points alike in this must give the same numbers."""
        return self.population, self.stimuli, self.scores


@dataclass(frozen=True)
class Design:
    """A study.

    Attributes
    ----------
    ranks, population, stimuli, scores
        Sizes; the study sweeps one of them.  population: of a rank in a weak study.  stimuli, scores: empty: those of
        the fit file.
    generations
        Measured in each launch, after the warm-up.
    warm_up
        First generations of a launch whose times are kept, and not used.
    repeats
        Launches of each point, at least.
    goal
        Repeat until the interval of the median time per generation reaches no further from it than this part of it ...
    budget_s
        ... or this command has taken so long.
    source
        Of the design, and what was changed.
    """

    study: Study
    ranks: tuple[int, ...]
    population: tuple[int, ...]
    stimuli: tuple[int, ...] = ()
    scores: tuple[int, ...] = ()
    generations: int = 10
    warm_up: int = 1
    repeats: int = 2
    goal: float = 0.05
    budget_s: float = 600.0
    source: str = ""

    def __post_init__(self) -> None:
        """Raises ConfigError."""
        for name in ("ranks", "population", "stimuli", "scores"):
            values = getattr(self, name)
            _check_sizes(name, values, needed=name in ("ranks", "population"))
            if len(values) > 1 and SWEPT[self.study] != name:
                raise ConfigError(
                    f"--{name} = {','.join(map(str, values))}: hpcfit scale {self.study} sweeps "
                    f"{SWEPT[self.study]}; give one number"
                )
        if not getattr(self, SWEPT[self.study]):
            raise ConfigError(f"hpcfit scale {self.study} needs --{SWEPT[self.study]}, numbers with commas")
        for point in self.points:
            if point.population < point.ranks:
                raise ConfigError(
                    f"a population of {point.population} cannot keep {point.ranks} ranks busy; give --population "
                    f"{point.ranks} or more, or fewer ranks"
                )
        self._check_effort()

    def _check_effort(self) -> None:
        if self.generations * self.repeats < LEAST:
            raise ConfigError(
                f"--generations {self.generations} in --repeats {self.repeats} launches are fewer than the {LEAST} "
                "times that an interval needs; raise one of them"
            )
        if not self.goal > 0:
            raise ConfigError(
                f"--goal {self.goal:g}: no interval becomes so narrow; give a part above 0, 0.05 is usual"
            )
        least = LEAST_POINT_S * len(self.points)
        if self.budget_s < least:
            raise ConfigError(
                f"--budget {self.budget_s:g} s is too small for {len(self.points)} points, each of which takes more "
                f"than {LEAST_POINT_S:g} s to start; give at least {least:g}, better a few minutes"
            )

    @property
    def points(self) -> tuple[Point, ...]:
        """In the order of what is swept."""
        base = Point(self.ranks[0], self.population[0], *(sizes[0] if sizes else 0 for sizes in self._of_the_file))
        if self.study == "weak":
            return tuple(replace(base, ranks=n, population=base.population * n) for n in self.ranks)
        swept = SWEPT[self.study]
        return tuple(replace(base, **{swept: size}) for size in getattr(self, swept))

    @property
    def _of_the_file(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return self.stimuli, self.scores


def preset_names() -> tuple[str, ...]:
    """The designs that are there."""
    return tuple(_presets())


def designed(study: Study, own_population: int, asked: dict[str, Any], preset: str = "", scaled: float = 1.0) -> Design:
    """A design from what was asked for, else from a preset, else from the fit file.

    own_population: that of the fit file; asked: fields of Design, None where nothing was said; scaled: populations of
    the preset are multiplied with it.

    Raises
    ------
    ConfigError
        When there is no such preset, or the design makes no sense.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    source = ""
    if preset:
        base = _preset(preset, study)
        source = f"The design of {base.pop('source')}"
        changed = [f"{name} {_text(given[name])} for {_text(base[name])}" for name in base if name in given]
        if scaled != 1.0:
            base["population"] = tuple(max(1, round(size * scaled)) for size in base["population"])
            changed.append(f"populations times {scaled:g}")
        source += f", changed: {'; '.join(changed)}." if changed else "."
        given = {**base, **given}
    elif scaled != 1.0:
        raise ConfigError(f"--scaled {scaled:g} makes a preset smaller; give --preset too, or smaller numbers")
    given = {"ranks": (1,), "population": (own_population,), **given}
    return Design(study=study, source=source, **given)


def _preset(name: str, study: Study) -> dict[str, Any]:
    known = _presets()
    if name not in known:
        raise ConfigError(f"--preset {name}: there is no such design; there is {', '.join(known)}")
    table = known[name]
    shared = {key: value for key, value in table.items() if not isinstance(value, dict)}
    own = {key: tuple(value) for key, value in table[study].items()}
    return {**shared, **own}


def _presets() -> dict[str, dict[str, Any]]:
    return tomllib.loads(_PRESETS.read_text(encoding="utf-8"))


def _check_sizes(name: str, values: tuple[int, ...], needed: bool) -> None:
    if not values and needed:
        raise ConfigError(f"--{name}: no number is given; write them with commas, e.g. 1,2,4")
    for value in values:
        if value < 1:
            raise ConfigError(f"--{name} holds {value}; each must be a whole number of at least 1")
    if list(values) != sorted(set(values)):
        raise ConfigError(f"--{name} = {','.join(map(str, values))}: give each number once, in rising order")


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
