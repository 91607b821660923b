"""Which individuals of a run are good, and how do their parameters go together?"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from hpcfit.errors import InputError
from hpcfit.population.ledger import Generation


@dataclass(frozen=True)
class Good:
    """The distinct individuals whose score is near the best one's, best first (equals by id).

    Attributes
    ----------
    ids, generations, scores
        (n,); scores in units of sd.
    vectors, parameters
        (n, parameters), in the unit cube and in the parameters' own units.
    features, contributions
        (n, terms): values, NaN where undefined; and what each adds to the score.
    evaluated, alike, cut
        How many were evaluated, how many of the good ones were copies of another, how many more were good.
    within
        The largest score allowed, as a multiple of the best.
    """

    ids: np.ndarray
    generations: np.ndarray
    scores: np.ndarray
    vectors: np.ndarray
    parameters: np.ndarray
    features: np.ndarray
    contributions: np.ndarray
    evaluated: int
    alike: int
    cut: int
    within: float

    @property
    def text(self) -> str:
        """How many there are and how they were chosen."""
        limit = f"score up to {self.within:g} times the best" if np.isfinite(self.within) else "any score"
        more = f"; the {len(self.ids)} best of {len(self.ids) + self.cut} such" if self.cut else ""
        return (
            f"{len(self.ids)} good individuals of {self.evaluated} evaluated: {limit}, "
            f"{self.scores[0]:.4g} to {self.scores[-1]:.4g} sd{more}; {self.alike} copies left out."
        )


_ROWS = ("ids", "scores", "vectors", "parameters", "features", "contributions")


def good_individuals(generations: Iterable[Generation], within: float = 1.5, most: int = 2000) -> Good:
    """The good individuals of a run, read a generation at a time.

    Parameters
    ----------
    generations
        Of a fit's ledger, which is such an iterable; gone through twice: features of all do not fit into memory.
    within
        Largest score, as a multiple of the best one's; at least 1; infinite: any.
    most
        So many of the best are kept at most.

    Raises
    ------
    InputError
        When there is no individual with a score, or `within` or `most` is below 1.
    """
    if not within >= 1:
        raise InputError(f"within = {within:g}; it multiplies the best score, so give at least 1, e.g. 1.5")
    if most < 1:
        raise InputError(f"at most {most} individuals were asked for; give at least 1")
    all_scores, all_ids, vectors, places = _light(generations)
    finite = np.isfinite(all_scores)
    if not finite.any():
        raise InputError("no individual of the run has a score, so none is good")
    best = all_scores[finite].min()
    limit = within * best if np.isfinite(within) else np.inf
    near = np.flatnonzero(finite & (all_scores <= limit))
    order = near[np.lexsort((all_ids[near], all_scores[near]))]
    _, first = np.unique(vectors[order], axis=0, return_index=True)
    chosen = order[np.sort(first)]
    taken = chosen[:most]
    table = {name: [] for name in _ROWS}
    for generation in generations:
        own = taken[places[taken, 0] == generation.number]
        for name in _ROWS if len(own) else ():
            table[name].append(generation.arrays[name][places[own, 1]])
    # Read in the order of generations, wanted in that of scores.
    back = np.argsort(np.argsort(places[taken, 0], kind="stable"))
    rows = {name: np.concatenate(parts)[back] for name, parts in table.items()}
    alike, cut = len(order) - len(chosen), len(chosen) - len(taken)
    return Good(**rows, generations=places[taken, 0], evaluated=len(all_scores), alike=alike, cut=cut, within=within)


def _light(generations: Iterable[Generation]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of all individuals: scores (n,), ids (n,), vectors (n, parameters), and (generation, row) (n, 2)."""
    parts = [
        (
            generation.arrays["scores"],
            generation.arrays["ids"],
            generation.arrays["vectors"],
            np.column_stack(
                [np.full(len(generation.arrays["ids"]), generation.number), np.arange(len(generation.arrays["ids"]))]
            ),
        )
        for generation in generations
    ]
    scores, ids, vectors, places = (np.concatenate(part) for part in zip(*parts, strict=True))
    return scores, ids, vectors, places


def spearman(values: np.ndarray) -> np.ndarray:
    """Rank correlation of every two columns: (columns, columns), NaN for a column without variation.

    values: (n, columns); equal values share their mean rank.  Spearman 1904.

    Raises
    ------
    InputError
        When there are fewer than three rows: two always correlate by 1 or -1.
    """
    if len(values) < 3:
        raise InputError(
            f"{len(values)} good individuals cannot be correlated; allow a larger score (--within), or fit further"
        )
    ranks = rankdata(values, axis=0)
    ranks -= ranks.mean(axis=0)
    spread = np.sqrt((ranks**2).sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.clip(ranks.T @ ranks / np.outer(spread, spread), -1.0, 1.0)
