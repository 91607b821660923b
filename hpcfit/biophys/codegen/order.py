"""In which order are compartments eliminated?  Children before parents, and those with the same mechanisms together.

Nodes are numbered so that a parent comes before its children and a pass from the last node to the first meets long runs
of one class: currents and elimination then share that pass, and the states of a run are next to each other.  Within a
run the oldest node that is ready goes first, so neighbours lie on different branches and do not wait for each other.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from hpcfit.biophys.codegen.structure import Reach, Structure


def trimmed(structure: Structure) -> Structure:
    """The structure without end nodes that have no membrane: nothing flows into them, they change nothing.

    One where a site or a point process is stays.
    """
    parent, membrane = structure.parent, structure.membrane
    keep = np.ones(len(parent), dtype=bool)
    has_children = np.zeros(len(parent), dtype=bool)
    has_children[parent[parent >= 0]] = True
    keep[~membrane & ~has_children & (parent >= 0)] = False
    keep[list(structure.sites.values())] = True
    keep[[one.node for one in structure.instances]] = True
    return renumbered(structure, np.flatnonzero(keep))


def elimination_order(parent: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """Nodes, the root first, so that the reverse meets long runs of one class.

    parent: (nodes,), -1 for the root; classes: (nodes,), -1 where there is no membrane.
    """
    waiting = np.bincount(parent[parent >= 0], minlength=len(parent))
    ready: dict[int, deque[int]] = {}
    for node in np.flatnonzero(waiting == 0)[::-1].tolist():
        ready.setdefault(classes[node], deque()).append(node)
    order: list[int] = []
    current = -1
    while any(ready.values()):
        if not ready.get(current):  # nodes without membrane cost little and make others ready
            current = max((one for one, queue in ready.items() if queue), key=lambda one: (one == -1, len(ready[one])))
        node = ready[current].popleft()
        order.append(node)
        above = int(parent[node])
        if above >= 0:
            waiting[above] -= 1
            if waiting[above] == 0:
                ready.setdefault(classes[above], deque()).append(above)
    return np.array(order[::-1])


def runs(classes: Sequence[int]) -> list[tuple[int, int]]:
    """(class, how many nodes) from the last node to the first.  classes: (nodes,)."""
    found: list[tuple[int, int]] = []
    for one in reversed(classes):
        if found and found[-1][0] == one:
            found[-1] = (one, found[-1][1] + 1)
        else:
            found.append((one, 1))
    return found


def renumbered(structure: Structure, order: np.ndarray) -> Structure:
    """The structure with only these nodes, in this order; parents of those kept are kept."""
    place = np.full(len(structure.parent), -1)
    place[order] = np.arange(len(order))
    parent = structure.parent[order]
    return replace(
        structure,
        parent=np.where(parent >= 0, place[np.maximum(parent, 0)], -1),
        area_um2=structure.area_um2[order],
        cm_uF_cm2=structure.cm_uF_cm2[order],
        resistance_MOhm=structure.resistance_MOhm[order],
        Ra_ohm_cm=structure.Ra_ohm_cm[order],
        membrane=structure.membrane[order],
        mechanisms={
            name: replace(placement, nodes=place[placement.nodes]) for name, placement in structure.mechanisms.items()
        },
        diam_um=structure.diam_um[order],
        instances=tuple(replace(one, node=int(place[one.node])) for one in structure.instances),
        ions={name: replace(pool, nodes=place[pool.nodes]) for name, pool in structure.ions.items()},
        reaches=tuple(_moved(reach, place) for reach in structure.reaches),
        sites=_places(structure.sites, place),
    )


def _moved(reach: Reach, place: np.ndarray) -> Reach:
    """A reach at the nodes that are left: Ra has some at ends of sections."""
    left = place[reach.nodes] >= 0
    owners = tuple(owner for owner, stays in zip(reach.owners, left, strict=True) if stays) if reach.owners else ()
    return replace(reach, nodes=place[reach.nodes][left], distance_um=reach.distance_um[left], owners=owners)


def _places(sites: Mapping[str, int], place: np.ndarray) -> dict[str, int]:
    return {name: int(place[node]) for name, node in sites.items()}
