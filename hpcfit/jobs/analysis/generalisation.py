"""How does a fit do on stimuli that it has not seen?  `hpcfit analyse generalisation`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpcfit.biophys.analysis.good import Good
from hpcfit.biophys.analysis.held_out import held_out_problem
from hpcfit.biophys.analysis.pareto import term_errors
from hpcfit.biophys.problem import Problem
from hpcfit.errors import ConfigError, HpcfitError
from hpcfit.jobs.analysis import bench, fitted_problem, good_of, open_fitted, term_table
from hpcfit.jobs.results import write_traces
from hpcfit.population.files import make_folder
from hpcfit.report.plots.fitted_and_held_out import generalisation_figure
from hpcfit.report.plots.voltage import traces
from hpcfit.report.responses import Response, read_responses
from hpcfit.report.run_view import RunView
from hpcfit.report.sections import Section
from hpcfit.report.words import number
from hpcfit.report.write import analysis_folder

TRACES = "generalisation_traces.h5"


@dataclass(frozen=True)
class HeldOut:
    """What is tested on what.

    Attributes
    ----------
    file, stimuli
        The held-out stimuli: their file, and which of it (empty: all).
    top
        So many of the best distinct individuals are simulated.
    """

    file: Path
    stimuli: tuple[str, ...] = ()
    top: int = 10

    def __post_init__(self) -> None:
        """Raises ConfigError."""
        if self.top < 1:
            raise ConfigError(f"--top {self.top}: give at least 1")


def generalisation(
    run: Path, held_out: HeldOut, inputs: Path | None = None, precision: str | None = None
) -> tuple[RunView, Section]:
    """Feature errors of the best individuals on held-out stimuli beside those on the fitted ones, in one batch.

    Raises
    ------
    LedgerError, ConfigError, InputError
        When the run or its files are unusable, or the held-out file is, or was fitted.
    """
    view = open_fitted(run)
    fitted = fitted_problem(view, inputs, precision)
    problem = _problem(fitted, held_out)
    good = good_of(view, within=float("inf"), most=held_out.top)
    place = make_folder(analysis_folder(view.folder))
    with bench(problem) as simulator:
        evaluated = simulator.evaluate(good.vectors)
        write_traces(place / TRACES, problem, simulator.engine, good.parameters[0], int(good.ids[0]))
    table = problem.targets.table()
    seen, unseen = _errors(good.features, view.terms, fitted), _errors(evaluated.arrays["features"], table, problem)
    responses = read_responses(place, name=TRACES)
    notes = {stimulus: _note(evaluated.arrays["contributions"][0], table, stimulus) for stimulus in table["stimulus"]}
    return view, Section(
        name="generalisation",
        title="Held-out stimuli",
        lines=_lines(good, seen, unseen, table, evaluated.counts),
        tables={
            "individuals": _individuals(good, seen, unseen, evaluated.scores),
            "stimuli": _stimuli(seen, unseen, view.terms, table),
            "features": term_table(table)
            | {"best_value": evaluated.arrays["features"][0], "best_error_sd": _signed(evaluated.arrays, table)}
            | {"median_abs_error_sd": np.median(unseen, axis=0)},
        },
        figures={
            "errors": generalisation_figure(_groups(seen, view.terms), _groups(unseen, table), seen, unseen),
            "traces": traces(view, _ordered(responses, problem), notes),
        },
        arrays={
            "ids": good.ids,
            "fitted_errors_sd": seen,
            "held_out_errors_sd": unseen,
            "held_out_features": evaluated.arrays["features"],
            "held_out_statuses": evaluated.arrays["statuses"],
            "held_out_scores": evaluated.scores,
        },
    )


def _problem(fitted: Problem, held_out: HeldOut) -> Problem:
    """As held_out_problem; every error names the file."""
    try:
        return held_out_problem(fitted, held_out.file, held_out.stimuli)
    except HpcfitError as error:
        named = str(held_out.file) in str(error)
        raise error if named else type(error)(f"{held_out.file}: {error}") from None


def _errors(features: np.ndarray, table: Mapping[str, np.ndarray], problem: Problem) -> np.ndarray:
    """(n, terms) |feature - mean| / sd, capped as in scores; an undefined one counts what it costs there."""
    penalties = problem.settings.penalties
    sizes = np.abs(term_errors(features, table))
    capped = sizes if penalties.cap is None else np.minimum(sizes, penalties.cap)
    return np.where(np.isnan(sizes), penalties.undefined_feature, capped)


def _signed(arrays: Mapping[str, np.ndarray], table: Mapping[str, np.ndarray]) -> np.ndarray:
    return term_errors(arrays["features"][:1], table)[0]


def _groups(errors: np.ndarray, table: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Stimulus -> the best individual's errors."""
    names = [str(name) for name in table["stimulus"]]
    return {name: errors[0, [one == name for one in names]] for name in dict.fromkeys(names)}


def _ordered(responses: tuple[Response, ...], problem: Problem) -> list[Response]:
    """In the order of the file."""
    places = {stimulus.name: place for place, stimulus in enumerate(problem.stimuli)}
    return sorted(responses, key=lambda response: places[response.stimulus])


def _note(contributions: np.ndarray, table: Mapping[str, np.ndarray], stimulus: str) -> str:
    """Above a panel: what the best individual's held-out score owes to this stimulus."""
    own = contributions[table["stimulus"] == stimulus].sum()
    return f"{number(float(own), 3)} of held-out score {number(float(contributions.sum()), 3)}"


def _individuals(good: Good, seen: np.ndarray, unseen: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    return {
        "id": good.ids,
        "generation": good.generations,
        "fitted_score": good.scores,
        "held_out_score": scores,
        "fitted_mean_error_sd": seen.mean(axis=1),
        "held_out_mean_error_sd": unseen.mean(axis=1),
    }


def _stimuli(
    seen: np.ndarray, unseen: np.ndarray, fitted: Mapping[str, np.ndarray], held_out: Mapping[str, np.ndarray]
) -> dict[str, list[Any]]:
    """A row a stimulus: the best individual's mean error, and the median over individuals of theirs."""
    rows: dict[str, list[Any]] = {
        name: [] for name in ("stimulus", "kind", "features", "best_mean_error_sd", "median_mean_error_sd")
    }
    for kind, errors, table in (("fitted", seen, fitted), ("held out", unseen, held_out)):
        names = np.asarray(table["stimulus"])
        for name in dict.fromkeys(names.tolist()):
            means = errors[:, names == name].mean(axis=1)
            row = (name, kind, int((names == name).sum()), float(means[0]), float(np.median(means)))
            for key, value in zip(rows, row, strict=True):
                rows[key].append(value)
    return rows


def _lines(
    good: Good, seen: np.ndarray, unseen: np.ndarray, table: Mapping[str, np.ndarray], counts: Mapping[str, int]
) -> list[str]:
    stimuli = dict.fromkeys(str(name) for name in table["stimulus"])
    failed = {name: count for name, count in counts.items() if name not in ("evaluations",) and count}
    lines = [
        f"The {len(good.ids)} best distinct individuals of {good.evaluated} evaluated, scores {good.scores[0]:.4g} to "
        f"{good.scores[-1]:.4g} sd, on {len(stimuli)} held-out stimuli: {', '.join(stimuli)}.",
        f"Mean error of a feature, capped as in the score, an undefined one at its penalty. Best individual: fitted "
        f"{seen[0].mean():.3g} sd ({seen.shape[1]} features), held out {unseen[0].mean():.3g} sd ({unseen.shape[1]} "
        f"features). Median individual: {np.median(seen.mean(axis=1)):.3g} and "
        f"{np.median(unseen.mean(axis=1)):.3g} sd.",
    ]
    if failed:
        found = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in failed.items())
        lines.append(f"On the held-out stimuli, over all of these individuals: {found}.")
    return lines
