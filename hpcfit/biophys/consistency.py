"""Do the parts of a fit file name each other rightly?  Raises ValueError, which becomes an error with its place."""

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpcfit.biophys.settings import FitSettings


def check_names(fit: "FitSettings") -> None:
    """Names are unique; stimuli, sites and the rheobase that are referred to exist; something is free."""
    stimuli = [stimulus.name for stimulus in fit.stimuli]
    sites = [site.name for site in fit.all_sites]
    _unique("stimuli", stimuli)
    _unique("sites", sites)
    _unique("parameters", [parameter.name for parameter in fit.parameters])
    if all(parameter.bounds is None for parameter in fit.parameters):
        raise ValueError("no parameter has bounds, so there is nothing to fit; give at least one bounds = [low, high]")
    for index, stimulus in enumerate(fit.stimuli):
        for number, electrode in enumerate(stimulus.electrodes):
            _known(f"stimuli[{index}].electrodes[{number}].site", electrode.site, sites)
            if getattr(electrode, "amplitude_rheobase", None) is not None and fit.rheobase is None:
                raise ValueError(
                    f"stimuli[{index}].electrodes[{number}].amplitude_rheobase is given, but there is no [rheobase]; "
                    "add one with value_nA or recordings"
                )
        for number, point in enumerate(stimulus.point_processes):
            _known(f"stimuli[{index}].point_processes[{number}].site", point.site, sites)
    _check_point_parameters(fit)
    for name, target in fit.targets.items():
        _known(f"targets.{name}", name, stimuli)
        _known(f"targets.{name}.site", target.site, sites)
        for site in target.statistics:
            _known(f"targets.{name}.statistics.{site}", site, sites)
        if target.rheobase_range is not None and fit.rheobase is None:
            raise ValueError(
                f"targets.{name}.rheobase_range is given, but there is no [rheobase]; "
                "add one with value_nA or recordings"
            )
    for index, score in enumerate(fit.scores):
        _known(f"scores[{index}].site", score.site, sites)
        for name in score.stimuli:
            _known(f"scores[{index}].stimuli", name, stimuli)
            if name not in fit.targets:
                raise ValueError(f"scores[{index}].stimuli names {name}, which has no [targets.{name}]; add it")
    _check_score_windows(fit)
    for name in fit.weighting.budget if isinstance(fit.weighting.budget, dict) else ():
        _known(f"weighting.budget.{name}", name, stimuli)


def _check_score_windows(fit: "FitSettings") -> None:
    """The windows of trace distances lie within the stimuli that they are compared in."""
    for index, score in enumerate(fit.scores):
        if score.trace is None:
            continue
        window_ms = getattr(score.trace, "window_ms", None)
        spans = [
            (f"windows[{number}]", window.start_ms, window.end_ms)
            for number, window in enumerate(getattr(score.trace, "windows", ()))
        ]
        spans += [("window_ms", *window_ms)] if window_ms else []
        for stimulus in fit.stimuli:
            if stimulus.name not in (score.stimuli or fit.targets):
                continue
            for key, start, end in spans:
                if end > stimulus.duration_ms:
                    raise ValueError(
                        f"scores[{index}].trace.{key} = [{start:g}, {end:g}] ms reaches beyond the end of stimulus "
                        f"{stimulus.name}, duration_ms = {stimulus.duration_ms:g}; shorten it, or name other stimuli"
                    )


def _check_point_parameters(fit: "FitSettings") -> None:
    """A variable NAME.variable needs point processes of that name."""
    points = dict.fromkeys(point.name for stimulus in fit.stimuli for point in stimulus.point_processes if point.name)
    for index, parameter in enumerate(fit.parameters):
        name, dot, _ = parameter.variable.partition(".")
        if dot and not points:
            raise ValueError(
                f"parameters[{index}].variable = {parameter.variable!r}, but no point process has a name; "
                f'give name = "{name}" to those that are meant'
            )
        if dot:
            _known(f"parameters[{index}].variable", name, points)


def _unique(key: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{key}: the name {name} is given {names.count(name)} times; names must differ")


def _known(key: str, name: str, known: Iterable[str]) -> None:
    names = list(known)
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(names)}"
        raise ValueError(f"{key} names {name}, which does not exist; {hint}")
