"""The point processes of stimuli in a live NEURON cell: checked, placed for a simulation, read for other engines."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hpcfit.biophys.codegen.structure import Instance, IonPool, Placement, Reach, Structure
from hpcfit.biophys.engines.neuron_cell import NeuronCell
from hpcfit.biophys.engines.nmodl.receive import WEIGHT
from hpcfit.biophys.engines.structure import variables_of
from hpcfit.biophys.stimulus import PointProcess, Stimulus
from hpcfit.errors import ConfigError, MechanismError

_NERNST = 64


@dataclass
class _Owner:
    """Point processes that differ between stimuli in their events only: one instance serves them all."""

    instance: Instance
    point: PointProcess
    acts_in: dict[str, int] = field(default_factory=dict)


class PointProcesses:
    """All point processes that the stimuli of one cell hold."""

    def __init__(self, cell: NeuronCell, stimuli: Iterable[Stimulus]) -> None:
        """Check them in the built cell.

        Raises
        ------
        MechanismError, ConfigError
            When a mechanism is none, has no such parameter, receives no events but is given some, or cannot be where
            it is put.
        """
        self._cell, self._h = cell, cell.h
        self.stimuli = tuple(stimuli)
        known = self._known()
        for stimulus in self.stimuli:
            for number, point in enumerate(stimulus.point_processes):
                self._check(f"stimulus {stimulus.name}: point_processes[{number}]", point, known)
        self._check_parameters()
        # An ion that a point process uses stays in its segment, and so does what it makes of the ion's style: each is
        # placed once, so that no simulation depends on those before it.
        for stimulus in self.stimuli:
            self._place_once(stimulus)

    def _place_once(self, stimulus: Stimulus) -> None:
        try:
            self.placed(stimulus)
        except RuntimeError as error:  # an ion at the end of a section, where there is no membrane to hold it
            raise ConfigError(
                f"stimulus {stimulus.name}: NEURON refuses a point process ({error}); if it uses an ion, choose a "
                "site inside a section, for example x = 0.9"
            ) from None

    def placed(self, stimulus: Stimulus) -> list[Any]:
        """Put the stimulus' point processes into the cell, for as long as what is returned is kept."""
        return [made for point in stimulus.point_processes for made in self._made(point)]

    def _made(self, point: PointProcess) -> list[Any]:
        h, values = self._h, self.values(point)
        process = getattr(h, point.mechanism)(self._cell.places[point.site])
        for name, value in values.items():
            if name != WEIGHT:
                setattr(process, name, value)
        if point.times_ms is None:
            return [process]
        connection = h.NetCon(None, process)
        connection.weight[0] = values[WEIGHT]
        times = point.times_ms.tolist()

        def send() -> None:
            for time in times:
                connection.event(time)

        return [process, connection, h.FInitializeHandler(send)]

    def values(self, point: PointProcess) -> dict[str, float]:
        """Its parameters and its weight, with those of the fit file that are set now."""
        values = {**point.parameters, WEIGHT: point.weight}
        for full, value in self._cell.point_values.items():
            name, _, variable = full.partition(".")
            if name == point.name:
                values[self._variable(point.mechanism, variable)] = value
        return values

    def _variable(self, mechanism: str, variable: str) -> str:
        """What a parameter of the fit file means: `weight` is the events' unless the mechanism has one of its own."""
        return WEIGHT if variable == "weight" and variable not in variables_of(self._h, mechanism, 1) else variable

    # -- checks -------------------------------------------------------------------------------------------------------

    def _known(self) -> dict[str, bool]:
        """All POINT_PROCESSes that NEURON has now, and whether each has a NET_RECEIVE."""
        kinds, text = self._h.MechanismType(1), self._h.ref("")
        found = {}
        for number in range(int(kinds.count())):
            kinds.select(number)
            kinds.selected(text)
            if not kinds.is_artificial(number):
                found[text[0]] = bool(kinds.is_netcon_target(number))
        return found

    def _check(self, place: str, point: PointProcess, known: Mapping[str, bool]) -> None:
        if point.mechanism not in known:
            close = difflib.get_close_matches(point.mechanism, known, n=1, cutoff=0.6)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(sorted(known))}"
            raise MechanismError(f"{place}.mechanism = {point.mechanism!r} is no POINT_PROCESS that NEURON has; {hint}")
        if point.site not in self._cell.places:
            raise ConfigError(f"{place}.site = {point.site!r} is no site; known: {', '.join(self._cell.places)}")
        own = variables_of(self._h, point.mechanism, 1)
        for name in point.parameters:
            self._check_variable(f"{place}.parameters", point.mechanism, name, own)
        if point.times_ms is not None and not known[point.mechanism]:
            raise MechanismError(
                f"{place}.times_ms is given, but {point.mechanism} has no NET_RECEIVE to take an event; remove "
                "times_ms and weight, or choose a mechanism that has one (Exp2Syn)"
            )

    def _check_variable(self, place: str, mechanism: str, name: str, own: list[str]) -> None:
        if name not in own:
            close = difflib.get_close_matches(name, own, n=1, cutoff=0.6)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(own)}"
            raise MechanismError(f"{place}: {mechanism} has no parameter {name}; {hint}")

    def _check_parameters(self) -> None:
        """Do the parameters of the fit file that belong to point processes exist?"""
        points = [point for stimulus in self.stimuli for point in stimulus.point_processes]
        for parameter in self._cell.cell.parameters:
            name, dot, variable = parameter.variable.partition(".")
            for point in points if dot else ():
                if point.name == name:
                    own = [*variables_of(self._h, point.mechanism, 1), "weight"]
                    self._check_variable(f"parameter {parameter.name}", point.mechanism, variable, own)

    # -- for other engines --------------------------------------------------------------------------------------------

    def added_to(self, structure: Structure) -> Structure:
        """The structure of the cell with the point processes of all stimuli."""
        owners = self._owners(structure)
        if not owners:
            return structure
        placements = dict(structure.mechanisms)
        for name in dict.fromkeys(owner.instance.owner for owner in owners):
            placements[name] = self._placement([owner for owner in owners if owner.instance.owner == name])
        globals_ = dict(structure.globals_)
        for mechanism in {owner.instance.mechanism for owner in owners}:
            names = [f"{variable}_{mechanism}" for variable in variables_of(self._h, mechanism, -1)]
            globals_ |= {name: float(getattr(self._h, name)) for name in names}
        return replace(
            structure,
            mechanisms=placements,
            globals_=globals_,
            ions=self._styles(structure, {owner.instance.node for owner in owners}),
            reaches=tuple(self._reach(reach, owners) for reach in structure.reaches),
            instances=tuple(replace(owner.instance, acts_in=owner.acts_in) for owner in owners),
        )

    def _owners(self, structure: Structure) -> list[_Owner]:
        found: dict[Any, _Owner] = {}
        count: dict[tuple[str, int], int] = {}
        for stimulus in self.stimuli:
            for number, point in enumerate(stimulus.point_processes):
                node = structure.sites[point.site]
                same = (point.mechanism, node, point.name, point.weight, *sorted(point.parameters.items()))
                twin = 0
                while (*same, twin) in found and stimulus.name in found[*same, twin].acts_in:
                    twin += 1
                if (*same, twin) not in found:
                    ordinal = count.get((point.mechanism, node), 0)
                    count[point.mechanism, node] = ordinal + 1
                    owner = f"{point.mechanism}_at{ordinal}"
                    found[*same, twin] = _Owner(Instance(point.mechanism, owner, node, {}), point)
                found[*same, twin].acts_in[stimulus.name] = number
        return list(found.values())

    def _placement(self, owners: list[_Owner]) -> Placement:
        made = [(self._made(owner.point)[0], self.values(owner.point)) for owner in owners]
        names = variables_of(self._h, owners[0].instance.mechanism, 1)
        parameters = {name: np.array([getattr(process, name) for process, _ in made], dtype=float) for name in names}
        parameters[WEIGHT] = np.array([values[WEIGHT] for _, values in made])
        return Placement(np.array([owner.instance.node for owner in owners]), parameters)

    def _reach(self, reach: Reach, owners: list[_Owner]) -> Reach:
        meant = [owner for owner in owners if owner.point.name and owner.point.name == reach.mechanism]
        if not meant or len(reach.nodes):
            return reach
        return replace(
            reach,
            variable=self._variable(meant[0].instance.mechanism, reach.variable),
            nodes=np.array([owner.instance.node for owner in meant]),
            distance_um=np.zeros(len(meant)),
            owners=tuple(owner.instance.owner for owner in meant),
        )

    def _styles(self, structure: Structure, hosts: set[int]) -> Mapping[str, IonPool]:
        """The ions, with the styles of the segments that point processes share: NEURON tells a section's only.

        Does the reversal potential follow a concentration that is changed between two evaluations?
        """
        segments = {structure.sites[name]: segment for name, segment in self._cell.places.items()}
        pools = dict(structure.ions)
        for ion, pool in structure.ions.items():
            style = pool.style.copy()
            for row in np.flatnonzero(np.isin(pool.nodes, list(hosts))):
                segment = segments[int(pool.nodes[row])]
                before, inside = getattr(segment, f"e{ion}"), getattr(segment, f"{ion}i")
                setattr(segment, f"{ion}i", 2.0 * inside)
                self._h.fcurrent()
                follows = getattr(segment, f"e{ion}") != before
                setattr(segment, f"{ion}i", inside)
                style[row] = (max(int(style[row]), 0) & ~_NERNST) | (_NERNST if follows else 0)
            pools[ion] = replace(pool, style=style)
        return pools
