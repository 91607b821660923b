"""Which good individuals is no other better than in every group of features, and which features does none meet?"""

from collections.abc import Mapping, Sequence

import numpy as np

from hpcfit.biophys.objectives import Grouping, family
from hpcfit.evolve.pareto import fronts


def term_columns(terms: Mapping[str, np.ndarray], by: Grouping) -> dict[str, np.ndarray]:
    """The groups of score terms: name -> columns, in the order of their first term.

    terms: the ledger's table of terms; by: a group for each stimulus, family of features, or term.
    """
    stimuli, sites, names = ([str(value) for value in terms[key]] for key in ("stimulus", "site", "feature"))
    if by == "stimuli":
        groups = stimuli
    elif by == "families":
        groups = [family(name) for name in names]
    else:
        groups = [".".join(parts) for parts in zip(stimuli, sites, names, strict=True)]
    return {group: np.flatnonzero([name == group for name in groups]) for group in dict.fromkeys(groups)}


def group_errors(contributions: np.ndarray, columns: Sequence[np.ndarray]) -> np.ndarray:
    """(n, groups) sums of contributions, in sd: they add up to the score.  contributions: (n, terms)."""
    return np.stack([contributions[:, group].sum(axis=1) for group in columns], axis=1)


def front(errors: np.ndarray) -> np.ndarray:
    """Indices, in order, of those that no other is at least as good as in all groups and better in one.

    errors: (n, groups) finite, low is good.  Deb et al. 2002.
    """
    return np.sort(next(fronts(errors)))


def term_errors(features: np.ndarray, terms: Mapping[str, np.ndarray]) -> np.ndarray:
    """(n, terms) of (feature - mean) / sd; NaN where undefined.  features: (n, terms)."""
    return (features - terms["mean"]) / terms["sd"]


def term_summary(errors: np.ndarray) -> dict[str, np.ndarray]:
    """Columns (terms,) over individuals: least |error|, median error, quartiles, how many are undefined.

    errors: (n, terms), in sd.  A term whose least |error| is large is met by none of them.
    """
    undefined = np.isnan(errors)
    sizes = np.where(undefined, np.inf, np.abs(errors))
    quartiles = np.full((3, errors.shape[1]), np.nan)
    some = ~undefined.all(axis=0)
    if some.any():
        quartiles[:, some] = np.nanpercentile(errors[:, some], (25, 50, 75), axis=0)
    least = sizes.min(axis=0)
    return {
        "least_abs_error_sd": np.where(np.isfinite(least), least, np.nan),
        "median_error_sd": quartiles[1],
        "lower_quartile_sd": quartiles[0],
        "upper_quartile_sd": quartiles[2],
        "undefined_in": undefined.sum(axis=0),
    }
