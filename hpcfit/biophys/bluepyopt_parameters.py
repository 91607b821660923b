"""Which mechanisms and parameters does a BluePyOpt or BluePyEModel configuration give a cell?

Three layouts of the same: a list of entries (parameters.json of BluePyOpt's examples), lists by region (its older
params.json and fixed_params.json), and tables of mechanisms, distributions and parameters (BluePyEModel's params.json).
A parameter set twice has the value that comes last, here as there.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hpcfit.biophys.expression import check_expression
from hpcfit.errors import ConfigError

REGIONS = {
    **{name: (name,) for name in ("all", "somatic", "axonal", "apical", "basal")},
    "alldend": ("apical", "basal"),
    "somadend": ("somatic", "apical", "basal"),
    "allnoaxon": ("somatic", "apical", "basal"),
    "somaxon": ("somatic", "axonal"),
    "allact": ("somatic", "axonal", "apical", "basal"),
}
"""BluePyEModel's names for several section lists, and the plain ones."""
KOLE = "(-0.8696 + 2.087*exp(distance*0.0031))*value"
"""Ih over the apical tree, Kole et al. 2006: what `exp` means in BluePyOpt's older files, which do not spell it out."""


@dataclass
class Model:
    """What was read: tables in the form of a fit file, and what could not be translated."""

    regions: dict[str, list[str]] = field(default_factory=dict)
    parameters: list[dict[str, Any]] = field(default_factory=list)
    cell: dict[str, float] = field(default_factory=dict)
    """celsius and v_init_mV."""
    notes: list[str] = field(default_factory=list)

    def insert(self, where: str, section_list: str, mechanisms: Iterable[str]) -> None:
        """Mechanisms of a section list."""
        for region in self.regions_of(where, section_list, ", ".join(mechanisms)):
            known = self.regions.setdefault(region, [])
            known += [name for name in mechanisms if name not in known]

    def regions_of(self, where: str, section_list: str, what: str) -> tuple[str, ...]:
        """Our regions of a section list; none, and a note, for one that a cell here does not have."""
        if section_list in REGIONS:
            return REGIONS[section_list]
        if section_list == "myelinated":
            self.notes.append(f"{where}: {what} in the myelin is left out; the axon here is a stub without myelin")
            return ()
        raise ConfigError(f"{where}: section list {section_list!r} of {what}; known: {', '.join(REGIONS)}")

    def set(self, where: str, variable: str, section_list: str, number: Any, distribution: str = "uniform") -> None:
        """A parameter: a value or bounds, somewhere or (section_list "global") everywhere."""
        amount = _amount(where, variable, number)
        if section_list == "global":
            if variable in ("celsius", "v_init") and "value" in amount:
                self.cell["celsius" if variable == "celsius" else "v_init_mV"] = amount["value"]
            else:
                self.parameters.append({"variable": variable, **amount})
            return
        regions = self.regions_of(where, section_list, variable)
        if regions:
            entry = {"variable": variable, "regions": list(regions), **amount}
            if distribution != "uniform":
                entry["distribution"] = distribution
            self.parameters.append(entry)

    def name_apart(self) -> None:
        """Give parameters that would have the same name a number."""
        seen: dict[tuple[str, ...], int] = {}
        for entry in self.parameters:
            place = (entry["variable"], *entry.get("regions", ()))
            seen[place] = seen.get(place, 0) + 1
            if seen[place] > 1:
                name = f"{place[0]}.{'+'.join(place[1:])}" if place[1:] else place[0]
                entry["name"] = f"{name}.{seen[place]}"


def read_entries(where: str, entries: list[Any], model: Model) -> None:
    """BluePyOpt's parameters.json: one table a parameter, in the order in which they are set."""
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or "param_name" not in entry:
            raise ConfigError(f"{where}: entry {number} has no param_name; expected BluePyOpt's list of parameters")
        variable = str(entry["param_name"])
        kind = entry.get("type", "range")
        if kind not in ("global", "section", "range"):
            raise ConfigError(f"{where}: {variable} has type {kind!r}; known: global, section, range")
        if "value" not in entry and "bounds" not in entry:
            raise ConfigError(f"{where}: {variable} has neither value nor bounds; give one of them")
        section_list = "global" if kind == "global" else str(entry.get("sectionlist", ""))
        shape = entry.get("dist_type", "uniform")
        distribution = "uniform"
        if shape != "uniform":
            distribution = _shaped(where, variable, shape, entry.get("dist"), model)
        model.set(where, variable, section_list, entry.get("value", entry.get("bounds")), distribution)


def read_lists(where: str, tables: dict[str, Any], model: Model, free: bool) -> None:
    """BluePyOpt's older params.json (mechanism, name, low, high, shape) or fixed_params.json (name, value, shape)."""
    for section_list, rows in tables.items():
        for row in rows:
            if not isinstance(row, list) or len(row) < (4 if free else 2):
                form = "[mechanism, variable, low, high, distribution]" if free else "[name, value, distribution]"
                raise ConfigError(f"{where}: {section_list}: got {row!r}; expected {form}")
            variable = f"{row[1]}_{row[0]}" if free else str(row[0])
            number, shape = (row[2:4], row[4:5]) if free else (row[1], row[2:3])
            distribution = "uniform"
            if shape and shape[0] != "uniform":
                distribution = _shaped(where, variable, shape[0], None, model)
            model.set(where, variable, section_list, number, distribution)


def read_tables(where: str, tables: dict[str, Any], model: Model) -> None:
    """BluePyEModel's params.json; general locations first, so that special ones go before them."""
    for section_list, table in tables["mechanisms"].items():
        model.insert(where, section_list, table["mech"] if isinstance(table, dict) else table)
    parameters = {name: rows for name, rows in tables["parameters"].items() if not name.startswith("__")}
    shapes = dict(_shapes(where, tables.get("distributions", {}), parameters))
    located = [name for name in parameters if not name.startswith("distribution_")]
    for section_list in sorted(located, key=lambda name: -_breadth(name)):
        for row in parameters[section_list]:
            shape = row.get("dist", "uniform")
            if shape != "uniform" and shape not in shapes:
                raise ConfigError(f"{where}: {row['name']} has distribution {shape!r}; known: {', '.join(shapes)}")
            distribution = "uniform" if shape == "uniform" else _translated(where, row["name"], shapes[shape])
            model.set(where, row["name"], section_list, row["val"], distribution)


def _breadth(section_list: str) -> int:
    return 9 if section_list in ("global", "all") else len(REGIONS.get(section_list, ()))


def _shapes(where: str, tables: dict[str, Any], parameters: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Distribution -> its formula, the numbers it depends on filled in."""
    for name, table in tables.items():
        formula = str(table["fun"])
        for row in parameters.get(f"distribution_{name}", ()):
            if isinstance(row["val"], list):
                raise ConfigError(
                    f"{where}: {row['name']} of distribution {name} has bounds {row['val']}; a distribution's own "
                    "parameters cannot be fitted here, give it one value"
                )
            formula = formula.replace("{" + row["name"] + "}", f"({row['val']!r})")
        yield name, formula


def _shaped(where: str, variable: str, shape: str, formula: str | None, model: Model) -> str:
    if formula is not None:
        return _translated(where, variable, formula)
    if shape != "exp":
        raise ConfigError(
            f"{where}: {variable} has distribution {shape!r} without a formula; give dist, or use uniform"
        )
    model.notes.append(f"{where}: {variable}: distribution exp is {KOLE}, as in BluePyOpt's l5pc example")
    return KOLE


def _translated(where: str, variable: str, formula: str) -> str:
    """A Python format string of {value} and {distance} as an expression of ours."""
    text = formula.replace("{distance}", "distance").replace("{value}", "value")
    text = re.sub(r"\b(math|numpy|np)\.", "", text).replace("fabs(", "abs(")
    text = re.sub(r"(?<![A-Za-z0-9_])\((distance|value)\)", r"\1", text)
    try:
        check_expression(text, ("value", "distance"))
    except ValueError as error:
        raise ConfigError(f"{where}: distribution of {variable}: {error}") from None
    return text


def _amount(where: str, variable: str, number: Any) -> dict[str, Any]:
    if isinstance(number, list):
        if len(number) != 2 or not all(_is_number(each) for each in number):
            raise ConfigError(f"{where}: bounds of {variable} are {number!r}; expected [low, high]")
        low, high = float(number[0]), float(number[1])
        return {"value": low} if low == high else {"bounds": [low, high]}
    if not _is_number(number):
        raise ConfigError(f"{where}: value of {variable} is {number!r}; expected a number or [low, high]")
    return {"value": float(number)}


def _is_number(item: Any) -> bool:
    return isinstance(item, int | float) and not isinstance(item, bool)
