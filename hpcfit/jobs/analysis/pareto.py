"""Which good individuals are on the Pareto front, and which features are met?  `hpcfit analyse pareto`."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hpcfit.biophys.analysis.good import spearman
from hpcfit.biophys.analysis.pareto import front, group_errors, term_columns, term_errors, term_summary
from hpcfit.biophys.objectives import Grouping
from hpcfit.jobs.analysis import good_of, open_fitted, term_table
from hpcfit.report.plots.pareto_front import pareto_figure
from hpcfit.report.run_view import RunView
from hpcfit.report.sections import Section


def pareto(run: Path, by: Grouping = "stimuli", within: float = 1.5, most: int = 2000) -> tuple[RunView, Section]:
    """Per-feature errors of the good individuals, and those that no other beats in every group of features.

    Raises
    ------
    LedgerError, InputError
        When there is no run, no whole generation, or no good individual.
    """
    view = open_fitted(run)
    good = good_of(view, within, most)
    groups = term_columns(view.terms, by)
    errors = group_errors(good.contributions, list(groups.values()))
    members = front(errors)
    features = term_errors(good.features, view.terms)
    summary = term_summary(features)
    least = errors.min(axis=0)
    lines = [
        good.text,
        f"{len(members)} of them are on the front: no other is at least as good in all {len(groups)} {by} and better "
        "in one.",
        _conflict(errors[members], list(groups)),
        _unmet(summary, view.terms),
    ]
    table = {"id": good.ids[members], "generation": good.generations[members], "score": good.scores[members]}
    table |= {name: errors[members, column] for column, name in enumerate(groups)}
    arrays = {
        f"good_{name}": getattr(good, name) for name in ("ids", "generations", "scores", "parameters", "features")
    }
    arrays |= {"good_errors_sd": features, "good_group_errors_sd": errors, "front": members, "groups": list(groups)}
    section = Section(
        name="pareto",
        title=f"Pareto front over {by}",
        lines=[line for line in lines if line],
        tables={"front": table, "features": _worst_first(term_table(view.terms) | summary)},
        figures={"front": pareto_figure(list(groups), errors, members, least)},
        arrays={name: np.asarray(values) for name, values in arrays.items()},
    )
    return view, section


def _conflict(errors: np.ndarray, names: list[str]) -> str:
    """The two groups that trade most: of lowest rank correlation along the front."""
    if len(errors) < 4 or len(names) < 2:
        return ""
    ranks = spearman(errors)
    ranks[np.tril_indices(len(names))] = np.nan
    if np.isnan(ranks).all() or np.nanmin(ranks) >= 0:
        return "No two groups trade against each other along the front (no negative rank correlation)."
    first, second = np.unravel_index(np.nanargmin(ranks), ranks.shape)
    return (
        f"Along the front {names[first]} and {names[second]} trade most: rank correlation {np.nanmin(ranks):.2f} over "
        f"{len(errors)} individuals."
    )


def _unmet(summary: Mapping[str, np.ndarray], terms: Mapping[str, np.ndarray]) -> str:
    far = np.flatnonzero(~(summary["least_abs_error_sd"] <= 2))
    if not len(far):
        return "Every feature is within 2 sd of its target in some good individual."
    order = far[np.argsort(-np.nan_to_num(summary["least_abs_error_sd"][far], nan=np.inf), kind="stable")]
    names = ", ".join(f"{terms['stimulus'][term]}.{terms['feature'][term]}" for term in order[:5])
    more = f" and {len(far) - 5} more" if len(far) > 5 else ""
    return f"{len(far)} of {len(terms['mean'])} features are within 2 sd in no good individual: {names}{more}."


def _worst_first(table: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rows by their least error, the largest first, those that are undefined everywhere before all."""
    order = np.argsort(-np.nan_to_num(table["least_abs_error_sd"], nan=np.inf), kind="stable")
    return {name: np.asarray(values)[order] for name, values in table.items()}
