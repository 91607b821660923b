"""Which member of a run is the best?"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hpcfit.population.ledger import Generation


@dataclass(frozen=True)
class Member:
    """One member: the row of a generation's arrays it has."""

    generation: int
    row: int
    id: int
    score: float
    vector: np.ndarray


def best_member(generations: Iterable[Generation]) -> Member | None:
    """The member with the lowest score of all generations, the oldest of equals; None when none has a score."""
    best: Member | None = None
    for generation in generations:
        scores = generation.arrays["scores"]
        scores = np.where(np.isfinite(scores), scores, np.inf)
        row = int(np.argmin(scores))
        if np.isfinite(scores[row]) and (best is None or scores[row] < best.score):
            member_id = int(generation.arrays["ids"][row])
            best = Member(generation.number, row, member_id, float(scores[row]), generation.arrays["vectors"][row])
    return best
