"""Which simulation runs in which lane?  Blocks of lanes, filled so that a partial batch wastes little.

A block costs as much for one lane as for all of them, and as much as its longest lane.  So every stimulus gets as many
full blocks as it can fill, in which the current is one number for all lanes; what is left over of all stimuli shares
blocks, sorted by duration.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

EMPTY = -1


@dataclass(frozen=True)
class Packing:
    """Blocks of lanes, the longest first.

    Attributes
    ----------
    individual
        (blocks, lanes) int64; an empty lane repeats its neighbour's, so that it computes with numbers that do no harm.
    stimulus
        (blocks, lanes) int64; EMPTY where nothing is simulated.  Empty lanes are at the end of a shared block.
    """

    individual: np.ndarray
    stimulus: np.ndarray

    @property
    def empty(self) -> int:
        """Lanes that simulate nothing."""
        return int(np.sum(self.stimulus == EMPTY))


def pack(individuals: int, steps: Sequence[int], lanes: int, apart: bool = False) -> Packing:
    """Every individual under every stimulus, in blocks of `lanes`.

    steps: (stimuli,) how long each is; apart: no block has lanes of two stimuli.
    """
    full = individuals // lanes * lanes
    by_length = np.argsort(-np.asarray(steps, dtype=np.int64), kind="stable")
    whole = np.arange(full, dtype=np.int64).reshape(-1, lanes)
    alone = [(whole, np.full_like(whole, stimulus)) for stimulus in by_length]
    left = np.arange(full, individuals, dtype=np.int64)
    if apart and len(left):
        missing = -len(left) % lanes
        individual = np.tile(np.pad(left, (0, missing), mode="edge"), len(steps))
        one = np.concatenate([np.zeros(len(left), dtype=bool), np.ones(missing, dtype=bool)])
        stimulus = np.where(np.tile(one, len(steps)), EMPTY, np.repeat(by_length, len(one)))
    else:
        individual = np.tile(left, len(steps))
        stimulus = np.repeat(by_length, len(left))
    missing = -len(individual) % lanes
    shared = np.pad(individual, (0, missing), mode="edge") if missing else individual
    shared_stimulus = np.pad(stimulus, (0, missing), constant_values=EMPTY)
    blocks = [*alone, (shared.reshape(-1, lanes), shared_stimulus.reshape(-1, lanes))]
    all_individuals = np.concatenate([block[0] for block in blocks])
    all_stimuli = np.concatenate([block[1] for block in blocks])
    length = np.append(np.asarray(steps, dtype=np.int64), 0)[all_stimuli].max(axis=1, initial=0)  # EMPTY is the last
    order = np.argsort(-length, kind="stable")
    return Packing(np.ascontiguousarray(all_individuals[order]), np.ascontiguousarray(all_stimuli[order]))
