"""Stimuli that a fit did not see: a file of their own, and the problem of simulating and scoring them.

The file has [[stimuli]], [targets.NAME] and, as in a fit file, [[scores]] and [[sites]] where wanted; cell, parameters,
features, penalties and engine are the run's.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from hpcfit.biophys.electrodes import Name
from hpcfit.biophys.problem import Problem
from hpcfit.biophys.settings import FitSettings, ScoreSettings, SiteSettings, StimulusSettings, TargetSettings
from hpcfit.config import Settings, read_toml, validate
from hpcfit.errors import ConfigError


class HeldOutSettings(Settings):
    """A file of stimuli to test a fit on."""

    stimuli: Annotated[tuple[StimulusSettings, ...], Field(min_length=1)]
    targets: dict[Name, TargetSettings]
    scores: tuple[ScoreSettings, ...] = (ScoreSettings(),)
    sites: tuple[SiteSettings, ...] = ()
    """Beside those of the fit."""

    @model_validator(mode="after")
    def _targets_have_stimuli(self) -> "HeldOutSettings":
        names = [stimulus.name for stimulus in self.stimuli]
        for name in self.targets:
            if name not in names:
                raise ValueError(f"targets.{name} names no stimulus of this file; it has {', '.join(names)}")
        return self


def held_out_problem(fitted: Problem, path: Path, stimuli: tuple[str, ...] = ()) -> Problem:
    """The fitted cell under other stimuli.

    Parameters
    ----------
    fitted
        What the run fitted.
    path
        The file of held-out stimuli.
    stimuli
        Only these of it; empty: all.

    Raises
    ------
    ConfigError
        When the file is unusable, names a stimulus or sweeps that were fitted, or lacks one of `stimuli`.
    InputError
        When its recordings are unusable.
    """
    settings = validate(HeldOutSettings, read_toml(path), path, path.resolve().parent)
    known = [stimulus.name for stimulus in settings.stimuli]
    for name in stimuli:
        if name not in known:
            raise ConfigError(f"{path}: there is no stimulus {name}; it has {', '.join(known)}")
    wanted = [name for name in known if not stimuli or name in stimuli]
    for name in wanted:
        if name in {one.name for one in fitted.stimuli}:
            raise ConfigError(
                f"{path}: stimulus {name} was fitted, so it says nothing about generalisation; choose others by "
                "--stimuli, or give it another name if it is another stimulus"
            )
    scores = _chosen_scores(settings, wanted)
    fit = fitted.settings
    tables = {
        "stimuli": tuple(one for one in settings.stimuli if one.name in wanted),
        "targets": {name: target for name, target in settings.targets.items() if name in wanted},
        "scores": scores,
        "sites": fit.sites + settings.sites,
    }
    # Validated as a fit file is: names must agree here too.
    merged = {name: getattr(fit, name) for name in FitSettings.model_fields if name != "schema_version"}
    problem = Problem.of(validate(FitSettings, {**merged, **tables}, path, path.resolve().parent))
    _check_sweeps(fitted, problem, path)
    return problem


def _chosen_scores(settings: HeldOutSettings, wanted: list[str]) -> tuple[ScoreSettings, ...]:
    """The tables of scores, less stimuli that were not chosen."""
    scores = []
    for score in settings.scores:
        names = tuple(name for name in score.stimuli if name in wanted)
        if names or not score.stimuli:
            scores.append(score.model_copy(update={"stimuli": names}))
    return tuple(scores)


def _check_sweeps(fitted: Problem, problem: Problem, path: Path) -> None:
    """Raise when a sweep is one that the fit has seen, under whatever name of a stimulus."""
    seen = _sweeps(fitted)
    for (file, sweep), stimulus in _sweeps(problem).items():
        if (file, sweep) in seen:
            raise ConfigError(
                f"{path}: targets.{stimulus}: sweep {sweep} of {file} was fitted as {seen[file, sweep]}; choose sweeps "
                "that the fit has not seen"
            )


def _sweeps(problem: Problem) -> dict[tuple[Path, str], str]:
    """(file, sweep) -> stimulus, of all recordings."""
    found = {}
    for (stimulus, _), recorded in problem.targets.traces.items():
        file = problem.settings.targets[stimulus].recordings
        assert file is not None  # recorded traces come from a file
        found |= {(file, name): stimulus for name in recorded.names}
    return found
