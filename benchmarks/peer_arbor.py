"""How fast does Arbor simulate this cell?  One thread, its own catalogue of the L5 cell's mechanisms, float64.

One control volume for each of NEURON's segments, the same regions, densities, stimulus and step.  What differs: a child
starts at its parent's end, and a density that varies with distance is painted with one value, that at the soma.
"""

import time
from typing import Any

import numpy as np

TAGS = {"somatic": 1, "axonal": 2, "basal": 3, "apical": 4}


class ArborPeer:
    """`run()` simulates the population once; `v_mV` is the soma's voltage of the first individual, (time,)."""

    def __init__(self, cell, sections, values: np.ndarray, step, dt_ms: float) -> None:
        """Raises ImportError without arbor, ValueError at a mechanism that its catalogues lack.

        sections: as peers.sections_of gives them; step: StimulusSettings of one step; values: (individuals, free).
        """
        import arbor as A

        self.duration_ms, self.dt_ms, self.individuals = step.duration_ms, dt_ms, len(values)
        self._u = A.units
        catalogue = A.default_catalogue()
        catalogue.extend(A.bbp_catalogue(), "")
        names = {name for inserted in cell.settings.regions.values() for name in inserted}
        if lacking := sorted(names - set(catalogue)):
            raise ValueError(f"no {lacking[0]} in its catalogues")
        tree = _tree(A, sections)
        cells = [self._cable_cell(A, tree, cell, one, step) for one in values]
        recipe = _recipe(A, cells, catalogue)
        context = A.context(threads=1)
        hint = A.partition_hint()
        hint.prefer_gpu, hint.cpu_group_size = False, len(cells)
        domains = A.partition_load_balance(recipe, context, {A.cell_kind.cable: hint})
        self._simulation = A.simulation(recipe, context, domains)
        self._handle = self._simulation.sample((0, "v"), A.regular_schedule(0.1 * A.units.ms))

    def run(self) -> float:
        """Seconds of one simulation of all individuals."""
        self._simulation.reset()
        start = time.perf_counter()
        self._simulation.run(self.duration_ms * self._u.ms, self.dt_ms * self._u.ms)
        return time.perf_counter() - start

    @property
    def v_mV(self) -> np.ndarray:
        return self._simulation.samples(self._handle)[0][0][:, 1]

    def _cable_cell(self, A, tree, cell, values, step) -> Any:
        u = self._u
        decor = A.decor()
        chosen, plain = _densities(cell, values)
        celsius = cell.settings.celsius
        decor.set_property(Vm=cell.settings.v_init_mV * u.mV, tempK=(celsius + 273.15) * u.Kelvin)
        for region, tag in TAGS.items():
            here = plain[region]
            where = f"(tag {tag})"
            decor.paint(where, cm=0.01 * here.get("cm", 1.0) * u.F / u.m2, rL=here.get("Ra", 35.4) * u.Ohm * u.cm)
            for ion in ("na", "k"):
                if f"e{ion}" in here:
                    decor.paint(where, ion=ion, rev_pot=here[f"e{ion}"] * u.mV)
            for (place, mechanism), densities in chosen.items():
                if place == region:
                    name, ranges = mechanism, dict(densities)
                    if mechanism == "pas":
                        name = f"pas/e={ranges.pop('e', -70.0)}"
                    decor.paint(where, A.density(name, ranges))
        decor.set_ion("ca", method="nernst/x=ca")
        one = step.electrodes[0]
        clamp = A.i_clamp(tstart=one.delay_ms * u.ms, duration=one.duration_ms * u.ms, current=one.amplitude_nA * u.nA)
        decor.place("(location 0 0)", clamp)
        return A.cable_cell(tree, decor, A.label_dict(), A.cv_policy_every_segment())


def _densities(cell, values) -> tuple[dict, dict]:
    """(region, mechanism) -> parameters, and region -> cm, Ra, reversal potentials, in the order of the fit file."""
    chosen: dict[tuple[str, str], dict[str, float]] = {}
    for region, inserted in cell.settings.regions.items():
        for place in TAGS if region == "all" else (region,):
            chosen |= {(place, mechanism): {} for mechanism in inserted}
    plain: dict[str, dict[str, float]] = {place: {} for place in TAGS}
    free = iter(values)
    for parameter in cell.parameters:
        value = float(next(free)) if parameter.value is None else parameter.value
        for region in parameter.regions:
            for place in TAGS if region == "all" else (region,):
                owners = [mechanism for where, mechanism in chosen if where == place]
                owner = next((name for name in owners if parameter.variable.endswith(f"_{name}")), None)
                if owner is None:
                    plain[place][parameter.variable] = value
                else:
                    chosen[place, owner][parameter.variable.removesuffix(f"_{owner}")] = value
    return chosen, plain


def _tree(A, sections) -> Any:
    """Every segment of NEURON's as a cylinder, laid along the x axis."""
    tree = A.segment_tree()
    ends: list[tuple[int, float]] = []
    for section in sections:
        above, x = ends[section.parent] if section.parent >= 0 else (A.mnpos, 0.0)
        for length, diameter in zip(section.lengths_um, section.diameters_um, strict=True):
            start, end = (A.mpoint(at, 0, 0, diameter / 2) for at in (x, x + length))
            above, x = tree.append(above, start, end, tag=TAGS[section.region]), x + length
        ends.append((above, x))
    return tree


def _recipe(A, cells, catalogue) -> Any:
    class Recipe(A.recipe):
        def num_cells(self):
            return len(cells)

        def cell_kind(self, gid):
            return A.cell_kind.cable

        def cell_description(self, gid):
            return cells[gid]

        def global_properties(self, kind):
            properties = A.neuron_cable_properties()
            properties.catalogue = catalogue
            return properties

        def probes(self, gid):
            return [A.cable_probe_membrane_voltage("(location 0 0)", "v")]

    return Recipe()
