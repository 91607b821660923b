"""Which directions around the best individual are stiff, which sloppy?  `hpcfit analyse sloppiness`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpcfit.biophys.analysis.differences import Differences
from hpcfit.biophys.analysis.good import Good, spearman
from hpcfit.biophys.analysis.sloppiness import (
    UNSETTLED,
    Curvature,
    curvature,
    direction_text,
    predicted_scores,
    profile_points,
)
from hpcfit.biophys.problem import Problem
from hpcfit.errors import ConfigError
from hpcfit.jobs.analysis import bench, fitted_problem, good_of, open_fitted, term_table
from hpcfit.report.plots.stiff_and_sloppy import correlation_figure, curvature_figure, profile_figure
from hpcfit.report.run_view import RunView
from hpcfit.report.sections import Section

STEPS = (0.00125, 0.0025, 0.005, 0.01, 0.02)
"""Steps of difference quotients, in units of a parameter's range."""


@dataclass(frozen=True)
class Around:
    """How the surroundings of the best individual are looked at.

    Attributes
    ----------
    within, most
        Which individuals are good, for the correlations.
    steps
        Of difference quotients, in units of a range; at least two, rising.
    reach, points
        Of the profiles: largest distance from the best, in units of ranges, and how many points.
    """

    within: float = 1.5
    most: int = 2000
    steps: tuple[float, ...] = STEPS
    reach: float = 0.1
    points: int = 41

    def __post_init__(self) -> None:
        """Raises ConfigError."""
        if len(self.steps) < 2 or list(self.steps) != sorted(set(self.steps)):
            raise ConfigError(f"--steps {list(self.steps)}: give at least two, rising, so that they check each other")
        if not 0 < self.reach <= 1:
            raise ConfigError(f"--reach {self.reach:g}: give a part of a parameter's range, above 0 and at most 1")
        if self.points < 5:
            raise ConfigError(f"--points {self.points}: a profile needs at least 5")


def sloppiness(
    run: Path,
    around: Around = Around(),
    inputs: Path | None = None,
    precision: str | None = None,
) -> tuple[RunView, Section]:
    """Correlations among good individuals, curvature of the score at the best, profiles along its extreme directions.

    Two batches are simulated: the difference quotients of all steps, then the profiles.

    Raises
    ------
    LedgerError, ConfigError, InputError
        When the run or its files are unusable, or no score term has a derivative.
    """
    view = open_fitted(run)
    good = good_of(view, around.within, around.most)
    ranks = spearman(good.vectors)
    problem = fitted_problem(view, inputs, precision)
    names = [str(name) for name in view.parameters["name"]]
    differences = Differences.around(view.best.vector, np.array(around.steps))
    terms, cap = view.terms, problem.settings.penalties.cap
    with bench(problem) as simulator:
        values = simulator.evaluate(differences.points).arrays
        residuals = (values["features"] - terms["mean"]) / terms["sd"]
        capped = np.abs(residuals[0]) >= (np.inf if cap is None else cap)
        found = curvature(differences.jacobians(residuals * terms["weight"]), capped)
        ends = {"stiffest": found.eigenvectors[:, 0], "sloppiest": found.eigenvectors[:, -1]}
        placed = {
            name: profile_points(differences.centre, direction, around.reach, around.points)
            for name, direction in ends.items()
        }
        scores = simulator.evaluate(np.concatenate([vectors for _, vectors in placed.values()])).scores
    profiles = _profiles(
        placed, scores, found, values["contributions"][0], residuals[0] * terms["weight"], ends, problem
    )
    return view, _sloppiness_section(view, good, ranks, found, profiles, around, names)


def _profiles(
    placed: Mapping[str, tuple[np.ndarray, np.ndarray]],
    scores: np.ndarray,
    found: Curvature,
    contributions: np.ndarray,
    residuals: np.ndarray,
    directions: Mapping[str, np.ndarray],
    problem: Problem,
) -> dict[str, dict[str, np.ndarray]]:
    """Per direction: distance, simulated score, and what straight lines of the features would give."""
    used, cap = found.used, problem.settings.penalties.cap
    weights = np.array([term.weight for term in problem.targets.terms])
    caps = np.full(used.sum(), np.inf) if cap is None else cap * weights[used]
    rest = float(contributions[~used].sum())
    profiles, start = {}, 0
    for name, (distances, _) in placed.items():
        slopes = found.jacobian[used] @ directions[name]
        profiles[name] = {
            "distance": distances,
            "score": scores[start : start + len(distances)],
            "predicted_score": predicted_scores(distances, slopes, residuals[used], caps, rest),
        }
        start += len(distances)
    return profiles


def _sloppiness_section(
    view: RunView,
    good: Good,
    ranks: np.ndarray,
    found: Curvature,
    profiles: Mapping[str, Mapping[str, np.ndarray]],
    around: Around,
    names: list[str],
) -> Section:
    values, vectors = found.eigenvalues, found.eigenvectors
    floor = values[0] * np.finfo(float).eps
    fall = f"over {np.log10(values[0] / values[-1]):.1f} decades" if values[-1] > floor else "to nothing"
    steps = ", ".join(f"{step:g}" for step in around.steps)
    fates = {fate: found.fates.count(fate) for fate in dict.fromkeys(found.fates)}
    lines = [
        good.text + " Rank correlations of their parameters; an optimiser's individuals are no random sample, so no "
        "significance is given.",
        f"Curvature J^T J at the best individual, parameters in units of their ranges: {len(found.fates)} score terms, "
        + ", ".join(f"{count} {fate}" for fate, count in fates.items())
        + f". Each term's derivatives are taken at the step ({steps} of a range) where they agree best with the next: "
        f"the median term by {100 * np.median(found.disagreement[found.used]):.1f} %; one that agrees nowhere within "
        f"{100 * UNSETTLED:.0f} % jumps, as counts of spikes do.",
        f"Eigenvalues fall {fall}. Stiffest: {direction_text(vectors[:, 0], names)}. "
        f"Sloppiest: {direction_text(vectors[:, -1], names)}.",
        "With all terms at one step the stiffest direction has |cosine| "
        + ", ".join(f"{cosine:.2f} ({step:g})" for cosine, step in zip(found.overlap, around.steps, strict=True))
        + " with this one.",
    ]
    directions = [direction_text(vector, names) for vector in vectors.T]
    pairs = _pairs(ranks, names)
    terms = term_table(view.terms) | {"derivative": list(found.fates), "step": np.array(around.steps)[found.chosen]}
    terms |= {"disagreement": found.disagreement}
    terms |= {name: found.jacobian[:, index] for index, name in enumerate(names)}
    curves = [{"direction": [name] * len(curve["distance"]), **curve} for name, curve in profiles.items()]
    return Section(
        name="sloppiness",
        title="Stiff and sloppy directions",
        lines=lines,
        tables={
            "directions": {
                "eigenvalue": values,
                "of_the_largest": values / values[0] if values[0] > 0 else np.zeros_like(values),
                "direction": directions,
            },
            "correlations": pairs,
            "derivatives": terms,
            "profiles": {key: np.concatenate([np.asarray(curve[key]) for curve in curves]) for key in curves[0]},
        },
        figures={
            "curvature": curvature_figure(values, vectors, names, found.spectra, around.steps),
            "profiles": profile_figure(profiles, {"stiffest": directions[0], "sloppiest": directions[-1]}),
            "correlations": correlation_figure(ranks, names, len(good.ids)),
        },
        arrays={
            "parameter": np.array(names),
            "spearman": ranks,
            "eigenvalues": values,
            "eigenvectors": vectors,
            "spectra": found.spectra,
            "steps": np.array(around.steps),
            "jacobian": found.jacobian,
            "used": found.used,
            "step_of_term": np.array(around.steps)[found.chosen],
            "best_vector": view.best.vector,
        },
    )


def _pairs(ranks: np.ndarray, names: list[str]) -> dict[str, list[Any]]:
    """Every two parameters, strongest correlation first."""
    first, second = np.triu_indices(len(names), 1)
    order = np.argsort(-np.nan_to_num(np.abs(ranks[first, second]), nan=-1.0), kind="stable")
    return {
        "parameter": [names[first[pair]] for pair in order],
        "with": [names[second[pair]] for pair in order],
        "spearman": [float(ranks[first[pair], second[pair]]) for pair in order],
    }
