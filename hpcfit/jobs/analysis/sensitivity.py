"""What does each parameter alone do to each feature?  `hpcfit analyse sensitivity`."""

from pathlib import Path
from typing import Any

import numpy as np

from hpcfit.biophys.analysis.differences import Differences
from hpcfit.biophys.analysis.sensitivity import Sweep, elasticities, extent, undefined_places
from hpcfit.jobs.analysis import bench, fitted_problem, open_fitted
from hpcfit.report.plots.sensitivity_map import sensitivity_figure
from hpcfit.report.run_view import RunView
from hpcfit.report.sections import Section
from hpcfit.report.words import number


def sensitivity(
    run: Path,
    points: int = 11,
    step: float = 0.01,
    inputs: Path | None = None,
    precision: str | None = None,
) -> tuple[RunView, Section]:
    """Every feature against every parameter alone, around the best individual: one batch of simulations.

    points: over each parameter's range; step: of the derivatives at the best, in units of a range.

    Raises
    ------
    LedgerError, ConfigError, InputError
        When the run or its files are unusable.
    """
    view = open_fitted(run)
    sweep = Sweep.around(view.best.vector, points)
    differences = Differences.around(view.best.vector, np.array([step]))
    problem = fitted_problem(view, inputs, precision)
    with bench(problem) as simulator:
        vectors = np.concatenate([differences.points, sweep.points])
        features = simulator.evaluate(vectors).arrays["features"]
    local, swept = features[: len(differences.points)], sweep.grid(features[len(differences.points) :])
    physical = problem.space.physical(differences.points)
    # The rate of each parameter by its own place: the same quotient, of the parameters themselves.
    rates = np.diagonal(differences.jacobians(physical)[0])
    slopes = differences.jacobians(local)[0]
    elastic = elasticities(slopes, rates, physical[0], local[0])
    return view, _sensitivity_section(view, sweep, swept, slopes, elastic, step)


def _sensitivity_section(
    view: RunView, sweep: Sweep, swept: np.ndarray, slopes: np.ndarray, elastic: np.ndarray, step: float
) -> Section:
    names, terms = [str(name) for name in view.parameters["name"]], view.terms
    extents = extent(swept).T / terms["sd"][:, None]
    stretches = undefined_places(swept, sweep.places)
    missing = (~np.isfinite(swept)).sum(axis=1).T
    table: dict[str, list[Any]] = {
        key: []
        for key in ("stimulus", "site", "feature", "parameter", "range_sd", "slope_sd", "elasticity", "undefined")
    }
    for term in range(len(terms["mean"])):
        for index, name in enumerate(names):
            where = [_stretch(view, index, *ends) for ends in stretches[index][term]]
            row = (*(str(terms[key][term]) for key in ("stimulus", "site", "feature")), name, extents[term, index])
            row += (slopes[term, index] / terms["sd"][term], elastic[term, index], "; ".join(where))
            for key, value in zip(table, row, strict=True):
                table[key].append(value)
    order = np.argsort(-np.nan_to_num(np.array(table["range_sd"]), nan=-1.0), kind="stable")
    table = {key: [values[row] for row in order] for key, values in table.items()}
    strongest = {
        name: [np.nan_to_num(values[:, index], nan=0.0).max() for index in range(len(names))]
        for name, values in (("largest_range_sd", extents), ("undefined_features", missing > 0))
    }
    features = [f"{terms['stimulus'][term]}.{terms['feature'][term]}" for term in range(len(terms["mean"]))]
    widest = [features[int(np.argmax(np.nan_to_num(extents[:, index], nan=-1.0)))] for index in range(len(names))]
    counts = (missing > 0).sum(axis=0)
    swept_count = len(sweep.places)
    return Section(
        name="sensitivity",
        title="One parameter at a time",
        lines=[
            f"Every parameter through its range in {swept_count} points, the others as in the best individual "
            f"({view.best.id}): range_sd is the largest less the smallest value of a feature, in sd of its target.",
            f"At the best, by a step of {step:g} of the range: slope_sd, sd for the whole range; elasticity, per cent "
            "of the feature for a per cent of the parameter (of little meaning for voltages, whose zero is arbitrary).",
            f"{int((missing > 0).sum())} of {missing.size} pairs of feature and parameter are undefined at some of the "
            "points; `undefined` gives between which values of the parameter.",
        ],
        tables={
            "parameters": {
                "parameter": names,
                "moves_most": widest,
                "by_sd": strongest["largest_range_sd"],
                "features_undefined_somewhere": counts,
            },
            "features": table,
        },
        figures={"map": sensitivity_figure(features, names, extents, missing / swept_count)},
        arrays={
            "parameter": np.array(names),
            "feature": np.array(features),
            "place": sweep.places,
            "values": swept,
            "slopes_per_range": slopes,
            "elasticities": elastic,
        },
    )


def _stretch(view: RunView, index: int, first: float, last: float) -> str:
    """Between which values of a parameter, in its unit."""
    low, high = (float(view.parameters[end][index]) for end in ("low", "high"))

    def value(place: float) -> str:
        log = str(view.parameters["scale"][index]) == "log"
        return number(low * (high / low) ** place if log else low + place * (high - low), 3)

    return value(first) if first == last else f"{value(first)} to {value(last)}"
