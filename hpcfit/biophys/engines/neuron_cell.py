"""A cell in NEURON: built once from its files, then only its parameters change between runs.

Construction follows the field's habit (BluePyOpt): Import3d, nseg by length, axon replaced by a stub, mechanisms by
region, parameters in the order of the file, path distances from the middle of the soma.
"""

import difflib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpcfit.biophys.cell import Cell
from hpcfit.biophys.engines.leftovers import Leftovers
from hpcfit.biophys.expression import evaluate
from hpcfit.biophys.settings import PER_SECTION, ParameterSettings, SiteSettings
from hpcfit.errors import ConfigError, InputError, MechanismError

TEMPLATE = """
begintemplate HpcfitCell
  public init, make_stub, all, somatic, axonal, apical, basal, soma, axon, dend, apic
  objref all, somatic, axonal, apical, basal
  create soma[1], axon[1], dend[1], apic[1]
  proc init() {
    all = new SectionList()
    somatic = new SectionList()
    axonal = new SectionList()
    apical = new SectionList()
    basal = new SectionList()
  }
  proc make_stub() {
    create axon[2]
    soma[0] connect axon[0](0), 1
    axon[0] connect axon[1](0), 1
  }
endtemplate HpcfitCell
"""
STUB_PIECE_UM = 30.0


@dataclass(frozen=True)
class Place:
    """Where a site is in the built cell."""

    name: str
    section: str
    x: float
    distance_um: float


@dataclass(frozen=True)
class Description:
    """What was built: sizes, the places of the sites, the unit of each parameter."""

    sections: int
    segments: int
    area_um2: float
    places: tuple[Place, ...]
    units: tuple[str, ...]


class NeuronCell:
    """One cell in this process' NEURON."""

    def __init__(self, cell: Cell, library: Path | None) -> None:
        """Build it.

        Raises
        ------
        InputError
            When NEURON cannot read the morphology.
        MechanismError, ConfigError
            When a mechanism, a variable, a region or a site does not exist in this cell.
        """
        os.environ.setdefault("NEURON_MODULE_OPTIONS", "-nogui")
        from neuron import h

        self.h: Any = h
        self.cell = cell
        h.load_file("stdrun.hoc")
        h.load_file("import3d.hoc")
        if library is not None:
            self._load(library)
        self.object = self._import_morphology()
        self._set_segments()
        if cell.settings.axon == "stub":
            self._replace_axon()
        self._insert_mechanisms()
        self._leftovers = Leftovers(h, self.sections("all"), cell.settings.mechanisms)
        self.afresh = True
        """Whether what mechanisms leave behind is put away before each simulation (engines/leftovers.py)."""
        h.distance(0, 0.5, sec=self.object.soma[0])
        self.point_values: dict[str, float] = {}
        """Of parameters that belong to point processes, NAME.variable and its value now."""
        self._setters = [self._setter(parameter) for parameter in cell.parameters]
        self._units = tuple(self._unit(parameter) for parameter in cell.parameters)
        self.places = {site.name: self._place(site) for site in cell.sites}
        self._check_values()

    def set_parameters(self, values: np.ndarray) -> None:
        """Set every parameter, fixed ones too, in the order of the file: nothing stays from the last individual.

        values: (free parameters,), in their units.  References to variables of mechanisms may end here.
        """
        if self.afresh and self._leftovers.mechanisms:
            self._leftovers.put_away()
            self._setters = [self._setter(parameter) for parameter in self.cell.parameters]
        free = iter(values)
        self.h.celsius = self.cell.settings.celsius
        self.v_init_mV = self.cell.settings.v_init_mV
        for parameter, setter in zip(self.cell.parameters, self._setters, strict=True):
            setter(float(next(free)) if parameter.value is None else parameter.value)

    def describe(self) -> Description:
        """What was built."""
        segments = [segment for section in self.sections("all") for segment in section]
        places = tuple(
            Place(name, segment.sec.name().split(".")[-1], segment.x, self.h.distance(1, segment.x, sec=segment.sec))
            for name, segment in self.places.items()
        )
        area = sum(segment.area() for segment in segments)
        return Description(len(self.sections("all")), len(segments), area, places, self._units)

    def sections(self, region: str) -> list[Any]:
        """The sections of a region, in NEURON's order."""
        return list(getattr(self.object, region))

    def _load(self, library: Path) -> None:
        try:
            self.h.nrn_load_dll(str(library))
        except RuntimeError as error:
            raise MechanismError(
                f"{self.cell.settings.mechanisms}: NEURON cannot load these mechanisms ({_reason(error)}); "
                "a mechanism must not have a name that NEURON or another one has"
            ) from None

    def _import_morphology(self) -> Any:
        h, path = self.h, self.cell.settings.morphology
        if not hasattr(h, "HpcfitCell"):
            h(TEMPLATE)
        reader = h.Import3d_SWC_read() if path.suffix.lower() == ".swc" else h.Import3d_Neurolucida3()
        reader.quiet = 1
        cell = h.HpcfitCell()
        try:
            reader.input(str(path))
            h.Import3d_GUI(reader, 0).instantiate(cell)
        except RuntimeError as error:
            raise InputError(
                f"{path}: NEURON cannot import this morphology ({_reason(error)}); mend the file"
            ) from None
        for section in list(cell.all):
            if section.n3d() == 0:  # the template's own, of a type that the morphology does not have
                h.delete_section(sec=section)
        return cell

    def _set_segments(self) -> None:
        for section in self.sections("all"):
            section.nseg = 1 + 2 * int(section.L / self.cell.settings.segment_length_um)

    def _replace_axon(self) -> None:
        """Two pieces of 30 um: the first diameter is the axon's at its start, the second the one beyond 60 um."""
        h, axon = self.h, self.sections("axonal")
        diameters = [1.0, 1.0]
        if axon:
            diameters = [axon[0].diam] * 2
            h.distance(0, 0.5, sec=self.object.soma[0])
            beyond = [section for section in axon[1:] if h.distance(1, 0.5, sec=section) > 2 * STUB_PIECE_UM]
            if len(axon) > 1 and h.distance(1, 0.5, sec=axon[0]) > 2 * STUB_PIECE_UM:
                beyond.insert(0, axon[0])
            if beyond:
                diameters[1] = beyond[0].diam
        for section in axon:
            h.delete_section(sec=section)
        self.object.make_stub()
        for section, diameter in zip(self.object.axon, diameters, strict=True):
            section.L, section.diam = STUB_PIECE_UM, diameter
            section.nseg = 1 + 2 * int(section.L / self.cell.settings.segment_length_um)
            self.object.axonal.append(sec=section)
            self.object.all.append(sec=section)

    def _insert_mechanisms(self) -> None:
        for region, mechanisms in self.cell.settings.regions.items():
            sections = self.sections(region)
            if not sections:
                raise ConfigError(f"cell.regions.{region}: the morphology has no such sections; leave the region out")
            for mechanism in mechanisms:
                for section in sections:
                    self._insert(section, mechanism, region)

    def _insert(self, section: Any, mechanism: str, region: str) -> None:
        try:
            section.insert(mechanism)
        except ValueError:
            where = self.cell.settings.mechanisms or "NEURON (cell.mechanisms is not given)"
            raise MechanismError(
                f"cell.regions.{region}: no mechanism {mechanism} in {where}; add its .mod file or mend the name"
            ) from None

    def _setter(self, parameter: ParameterSettings) -> Callable[[float], None]:
        """A function that sets one parameter wherever it belongs."""
        name = parameter.variable
        if not parameter.regions:
            return self._global_setter(parameter)
        sections = [section for region in parameter.regions for section in self.sections(region)]
        if not sections:
            raise MechanismError(
                f"parameter {parameter.name}: the morphology has no sections in {', '.join(parameter.regions)}; "
                "mend its regions"
            )
        if name in PER_SECTION:
            return lambda value: _set(sections, name, value)
        segments = [segment for section in sections for segment in section]
        missing = next((segment for segment in segments if not hasattr(segment, name)), None)
        if missing is not None:
            raise MechanismError(self._no_variable(parameter, missing))
        references = [getattr(segment, f"_ref_{name}") for segment in segments]
        if parameter.distribution == "uniform":
            return lambda value: _assign(references, np.full(len(references), value))
        distance = np.array([self.h.distance(1, segment.x, sec=segment.sec) for segment in segments])
        text = parameter.distribution
        return lambda value: _assign(references, evaluate(text, {"value": value, "distance": distance}))

    def _global_setter(self, parameter: ParameterSettings) -> Callable[[float], None]:
        if parameter.variable == "v_init":
            return lambda value: setattr(self, "v_init_mV", value)
        if "." in parameter.variable:
            return lambda value: self.point_values.__setitem__(parameter.variable, value)
        if parameter.variable != "celsius" and not self._is_global(parameter.variable):
            raise MechanismError(
                f"parameter {parameter.name}: NEURON has no global variable {parameter.variable}; "
                "give `regions` if it is a range variable, or mend the name"
            )
        return lambda value: setattr(self.h, parameter.variable, value)

    def _is_global(self, variable: str) -> bool:
        """Is it a mechanism's GLOBAL?  Those end in _MECHANISM; names without belong to NEURON, or to one section."""
        try:
            return "_" in variable and isinstance(getattr(self.h, variable), float)
        except (AttributeError, LookupError, TypeError):
            return False

    def _no_variable(self, parameter: ParameterSettings, segment: Any) -> str:
        name, section = parameter.variable, segment.sec.name().split(".")[-1]
        start = f"parameter {parameter.name}: {section} has no variable {name}"
        if name in ("celsius", "v_init") or self._is_global(name):
            return f"{start}: it is one for the whole cell; leave out its regions"
        inserted = segment.sec.psection()["density_mechs"]
        known = [f"{variable}_{mechanism}" for mechanism, variables in inserted.items() for variable in variables]
        if near := difflib.get_close_matches(name, known, n=1, cutoff=0.8):
            return f"{start}; did you mean {near[0]}?"
        return (
            f"{start}, its mechanism is not inserted there; inserted: {', '.join(sorted(inserted)) or 'none'}; add the "
            f"mechanism to [cell.regions] for {', '.join(parameter.regions)}, or mend the parameter"
        )

    def _check_values(self) -> None:
        """Would NEURON take the values, and the ends of the bounds?"""
        # A table is made once, at its first use: not with these values.
        before = {f"usetable_{name}": getattr(self.h, f"usetable_{name}") for name in tabulating(self.h)}
        for name in before:
            setattr(self.h, name, 0.0)
        self._try_values()
        for name, value in before.items():
            setattr(self.h, name, value)

    def _try_values(self) -> None:
        self.v_init_mV = self.cell.settings.v_init_mV
        for parameter, setter in zip(self.cell.parameters, self._setters, strict=True):
            for value in parameter.bounds or (parameter.value or 0.0,):
                try:
                    setter(value)
                    self.h.finitialize(self.v_init_mV)
                except (RuntimeError, ValueError) as error:
                    raise ConfigError(
                        f"parameter {parameter.name}: NEURON refuses {value:g} ({_reason(error)}); "
                        "change its value or bounds"
                    ) from None
                self._check_distribution(parameter)

    def _check_distribution(self, parameter: ParameterSettings) -> None:
        if parameter.distribution == "uniform":
            return
        for section in (section for region in parameter.regions for section in self.sections(region)):
            for segment in section:
                if not np.isfinite(getattr(segment, parameter.variable)):
                    distance = self.h.distance(1, segment.x, sec=section)
                    raise ConfigError(
                        f"parameter {parameter.name}: distribution = {parameter.distribution!r} is not finite at "
                        f"distance = {distance:.1f}; mend it"
                    )

    def _unit(self, parameter: ParameterSettings) -> str:
        known = {"celsius": "degC", "v_init": "mV"}
        if "." in parameter.variable:  # which mechanism is meant, only the stimuli know
            return parameter.unit or ""
        unit = known.get(parameter.variable) or self.h.units(parameter.variable) or ""
        if parameter.unit is not None and unit and _plain(parameter.unit) != _plain(unit):
            raise ConfigError(
                f"parameter {parameter.name}: unit = {parameter.unit!r}, but {parameter.variable} is in {unit!r}; "
                "give value or bounds in that unit"
            )
        return unit

    def _place(self, site: SiteSettings) -> Any:
        """The segment of a site."""
        sections = self.sections(site.region)
        if not sections:
            raise ConfigError(f"site {site.name}: the morphology has no sections in {site.region}; mend its region")
        if site.distance_um is None:
            if site.section >= len(sections):
                raise ConfigError(
                    f"site {site.name}: section = {site.section}, but {site.region} has sections 0 to "
                    f"{len(sections) - 1}; choose one of them"
                )
            return sections[site.section](site.x)
        return self._at_distance(site, sections)

    def _at_distance(self, site: SiteSettings, sections: list[Any]) -> Any:
        h, wanted = self.h, site.distance_um
        ends = [(h.distance(1, 0.0, sec=section), h.distance(1, 1.0, sec=section)) for section in sections]
        candidates = [index for index, (near, far) in enumerate(ends) if near <= wanted <= far]
        if not candidates:
            reach = max(far for _, far in ends)
            raise ConfigError(
                f"site {site.name}: distance_um = {wanted:g}, but {site.region} reaches to {reach:.1f} um; choose less"
            )
        index = candidates[-1]
        if site.branch == "longest":
            path = self._path_to_tip(sections, ends)
            index = next((candidate for candidate in candidates if sections[candidate].name() in path), index)
        near, far = ends[index]
        return sections[index]((wanted - near) / (far - near))

    def _path_to_tip(self, sections: list[Any], ends: list[tuple[float, float]]) -> set[str]:
        section = sections[int(np.argmax([far for _, far in ends]))]
        path = set()
        while section is not None:
            path.add(section.name())
            parent = section.parentseg()
            section = parent.sec if parent is not None else None
        return path


def tabulating(h: Any) -> list[str]:
    """The mechanisms that have TABLE statements, of all that NEURON has now."""
    names, text = [], h.ref("")
    for kind in (0, 1):  # density mechanisms, point processes
        kinds = h.MechanismType(kind)
        for number in range(int(kinds.count())):
            kinds.select(number)
            kinds.selected(text)
            names.append(text[0])
    return [name for name in names if hasattr(h, f"usetable_{name}")]


def _set(sections: list[Any], name: str, value: float) -> None:
    for section in sections:
        setattr(section, name, value)


def _assign(references: list[Any], values: np.ndarray) -> None:
    for reference, value in zip(references, np.broadcast_to(values, len(references)).tolist(), strict=True):
        reference[0] = value


def _reason(error: Exception) -> str:
    return str(error).rpartition("hoc_execerror: ")[2].strip()


def _plain(unit: str) -> str:
    return unit.replace(" ", "").replace("^", "").replace("**", "").replace("mho", "S").replace("degC", "celsius")
