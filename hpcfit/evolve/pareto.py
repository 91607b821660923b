"""Which members are on the first front, the second, ...?  Deb et al. 2002 (NSGA-II): fronts and crowding distance.

Selection equals DEAP's `selNSGA2`, the order of equals included.  Dominance is found with sets of members as bits: for
each objective one row of bits per rank says who is at least as good, and the intersection over the objectives of a
member's rows is the set of those that are nowhere worse.  N**2 / 8 bytes, and N**2 / 64 operations an objective.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def nsga2_selection(objectives: np.ndarray, survivors: int) -> np.ndarray:
    """Indices of the survivors, in the order of DEAP's `selNSGA2`; whole fronts, then the least crowded of the last.

    Parameters
    ----------
    objectives : numpy.ndarray
        (n, M) finite, low is good.
    survivors : int
        At most n.
    """
    chosen, left = [np.empty(0, dtype=np.int64)], survivors
    for front in fronts(objectives):
        if left <= len(front):
            chosen.append(front[least_crowded_first(objectives[front])][:left])
            break
        chosen.append(front)
        left -= len(front)
    return np.concatenate(chosen)


def nsga2_order(objectives: np.ndarray, survivors: int) -> np.ndarray:
    """The indices of `nsga2_selection`, best first: by front, and within every front the least crowded first."""
    chosen, left = [np.empty(0, dtype=np.int64)], survivors
    for front in fronts(objectives):
        chosen.append(front[least_crowded_first(objectives[front])][:left])
        left -= len(chosen[-1])
        if left == 0:
            break
    return np.concatenate(chosen)


def fronts(objectives: np.ndarray) -> Iterator[np.ndarray]:
    """Indices of the members of each front, the non-dominated first; equal members are on one front.

    Each front is in the order in which Deb's fast sorting finds its members, which DEAP's crowding falls back on for
    equals: by the place, in the front before, of the last one that dominates them.

    objectives: (n, M) finite, low is good.
    """
    distinct, copies = _distinct(objectives)
    better = _dominators(objectives[distinct])
    left = np.arange(len(distinct))
    before: np.ndarray | None = None
    alive = np.full(better.shape[1], ~np.uint64(0))
    while len(left):
        blocked = np.any(better[left] & alive, axis=1)
        front, left = left[~blocked], left[blocked]
        if before is not None:
            front = front[np.argsort(_last_place(better[front], before), kind="stable")]
        np.bitwise_xor.at(alive, front >> 6, np.uint64(1) << (front & 63).astype(np.uint64))
        before = front
        yield np.concatenate([copies[member] for member in front])


def crowding(objectives: np.ndarray) -> np.ndarray:
    """(n,) crowding distances of the members of one front, infinite at its ends.  objectives: (n, M) finite."""
    n, m = objectives.shape
    distance, order = np.zeros(n), np.arange(n)
    for column in objectives.T:
        order = order[np.argsort(column[order], kind="stable")]  # equals stay in the order of the objective before
        values = column[order]
        distance[order[[0, -1]]] = np.inf
        if values[-1] > values[0]:
            distance[order[1:-1]] += (values[2:] - values[:-2]) / (m * (values[-1] - values[0]))
    return distance


def least_crowded_first(objectives: np.ndarray) -> np.ndarray:
    """(n,) order of one front, (n, M): the largest crowding distance first, equals in the order given."""
    return np.argsort(-crowding(objectives), kind="stable")


def _distinct(objectives: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The first member of each set of equal ones, in order, and the indices of each set."""
    _, first, inverse = np.unique(objectives, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    members = np.argsort(inverse.reshape(-1), kind="stable")
    sets = np.split(members, np.cumsum(np.bincount(inverse.reshape(-1)))[:-1])
    return first[order], [sets[group] for group in order]


def _dominators(objectives: np.ndarray) -> np.ndarray:
    """(n, ceil(n / 64)) uint64: bit j of row i is set when j dominates i.  objectives: (n, M), no two rows equal."""
    n, words = len(objectives), -(-len(objectives) // 64)
    members = np.arange(n)
    bit = np.uint64(1) << (members & 63).astype(np.uint64)
    nowhere_worse = np.full((n, words), ~np.uint64(0))
    for column in objectives.T:
        order = np.argsort(column, kind="stable")
        values = column[order]
        up_to = np.zeros((n, words), dtype=np.uint64)
        up_to[members, order >> 6] = bit[order]
        np.bitwise_or.accumulate(up_to, axis=0, out=up_to)
        # The row of the last equal one: ties are nowhere worse than each other.
        nowhere_worse &= up_to[np.searchsorted(values, column, side="right") - 1]
    nowhere_worse[members, members >> 6] &= ~bit
    return nowhere_worse


def _last_place(better: np.ndarray, front: np.ndarray) -> np.ndarray:
    """(n,) place in `front` of the last of its members that dominates each of n members.  better: (n, words)."""
    word, bit = front >> 6, (front & 63).astype(np.uint64)
    place = np.empty(len(better), dtype=np.int64)
    for start in range(0, len(better), 256):  # in blocks: n x front bytes would not be bounded
        rows = better[start : start + 256]
        among = (rows[:, word] >> bit) & np.uint64(1)
        place[start : start + 256] = len(front) - 1 - np.argmax(among[:, ::-1], axis=1)
    return place
