"""The discretised cell: compartments, how they are joined, what sits in them, and what each parameter changes.

Read once from the live NEURON cell, so every engine simulates the same object.  Compartments (nodes) are in an order in
which a parent comes before its children.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Placement:
    """A mechanism and where it is: `nodes` (instances,), `parameters` name -> (instances,) values."""

    nodes: np.ndarray
    parameters: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class IonPool:
    """An ion where some mechanism uses it.

    style: NEURON's ion_style per node (nodes,): bits say whether concentrations are states and whether the reversal
    potential follows them (Nernst).  values: e, inside and outside concentration per node.
    """

    nodes: np.ndarray
    style: np.ndarray
    charge: float
    reversal_mV: np.ndarray
    inside_mM: np.ndarray
    outside_mM: np.ndarray


@dataclass(frozen=True)
class Reach:
    """What one parameter of the fit file sets: a variable at these nodes, `distance_um` each from the soma.

    variable: `cm`, `Ra`, `v_init`, `celsius`, a mechanism's (`mechanism`, `variable`), an ion's reversal potential or
    concentration (`mechanism` = "na_ion"), or a GLOBAL (no nodes).
    """

    name: str
    mechanism: str
    variable: str
    nodes: np.ndarray
    distance_um: np.ndarray
    distribution: str
    value: float | None
    owners: tuple[str, ...] = ()
    """Of point processes, the owner of each node's instance: it stands where `mechanism` does for others."""

    def at(self, owner: str, variable: str) -> np.ndarray:
        """Which of its nodes it sets for this owner (a mechanism, an instance, `ion` or empty): (n,) indices."""
        if variable != self.variable:
            return np.array([], dtype=int)
        own = "ion" if self.mechanism.endswith("_ion") else self.mechanism
        owners = self.owners or (own,) * len(self.nodes)
        return np.array([index for index, one in enumerate(owners) if one == owner], dtype=int)


@dataclass(frozen=True)
class Instance:
    """A point process at a node.  `owner` tells it from others of its mechanism there.

    acts_in: of each stimulus in which it is, its number among that stimulus' point processes.
    """

    mechanism: str
    owner: str
    node: int
    acts_in: Mapping[str, int]


@dataclass(frozen=True)
class Structure:
    """Everything a simulator needs of a cell.

    Attributes
    ----------
    parent
        (nodes,) index of the parent, -1 for the root.
    area_um2, cm_uF_cm2
        (nodes,); nodes at branch points and ends have no membrane: area 100 um2 by NEURON's convention, capacitance 0.
    resistance_MOhm, Ra_ohm_cm
        (nodes,) between a node and its parent, and the Ra it was computed with.
    membrane
        (nodes,) bool.
    sites
        Name -> node.
    """

    parent: np.ndarray
    area_um2: np.ndarray
    cm_uF_cm2: np.ndarray
    resistance_MOhm: np.ndarray
    Ra_ohm_cm: np.ndarray
    membrane: np.ndarray
    mechanisms: Mapping[str, Placement]
    ions: Mapping[str, IonPool]
    reaches: tuple[Reach, ...]
    sites: Mapping[str, int]
    globals_: Mapping[str, float]
    celsius: float
    v_init_mV: float
    diam_um: np.ndarray
    """(nodes,); 0 where there is no membrane."""
    instances: tuple[Instance, ...] = ()
    """Point processes; `mechanisms` holds their parameters, by owner."""
