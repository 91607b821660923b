"""In what cell does a mechanism show all that it does?  A soma and its stub, a partner for its ions, current steps.

A point process is put into the soma, and events reach it.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hpcfit.biophys.cell import Cell
from hpcfit.biophys.codegen.ir import Ion, Mechanism
from hpcfit.biophys.settings import CellSettings, ParameterSettings, SiteSettings, StimulusSettings

PARTNER = "hpcfit_partner"
SOMA = "1 1 0 0 0 10 -1\n2 1 0 -10 0 10 1\n3 1 0 10 0 10 1\n"
STIMULUS = StimulusSettings.model_validate(
    {
        "name": "steps",
        "duration_ms": 60.0,
        "electrodes": [
            {"shape": "step", "delay_ms": 3.0, "duration_ms": 12.0, "amplitude_nA": -0.06},
            {"shape": "step", "delay_ms": 18.0, "duration_ms": 15.0, "amplitude_nA": 0.12},
            {"shape": "ramp", "delay_ms": 36.0, "duration_ms": 22.0, "start_nA": -0.03, "end_nA": 0.25},
        ],
    }
)
_EVENTS = {"times_ms": [2.0, 9.0, 9.5, 21.0125, 40.0], "weight": 0.004}
_INSIDE_MM = {"ca": (1e-4, 2e-3), "na": (10.0, 13.0), "k": (54.4, 60.0)}
"""Concentrations between which the partner moves, where the mechanism only reads one."""
_KNOWN_IONS = ("na", "k", "ca")
_DENSITY = re.compile(r"^(g|p)|bar|max|perm", re.IGNORECASE)
_MOST_FREE = 6


def trial_cell(mechanism: Mechanism, folder: Path) -> Cell:
    """The cell; writes its morphology and the partner's .mod file into `folder`/mechanisms, where the mechanism's is.

    Free parameters: the starting voltage, and the mechanism's first RANGE parameters, by 30 % about their defaults; a
    conductance that is zero by default gets a value, since nothing would flow.
    """
    (folder / "cell.swc").write_text(SOMA)
    text = partner(mechanism)
    if text:
        (folder / "mechanisms" / f"{PARTNER}.mod").write_text(text)
    own = [] if mechanism.kind == "point_process" else [mechanism.name]
    inserted = ["pas", *([PARTNER] if text else []), *own]
    settings = CellSettings.model_validate(
        {
            "morphology": folder / "cell.swc",
            "mechanisms": folder / "mechanisms",
            "regions": {"all": list(dict.fromkeys(inserted))},
            "celsius": 30.0,
        }
    )
    fixed = [
        {"variable": "g_pas", "regions": ["all"], "value": 1e-4},
        {"variable": "e_pas", "regions": ["all"], "value": -70.0},
    ]
    free = [{"variable": "v_init", "bounds": [-85.0, -55.0]}, *_free(mechanism)]
    parameters = tuple(ParameterSettings.model_validate(one) for one in [*fixed, *free])
    return Cell(settings, parameters, (SiteSettings(name="soma"),))


def _free(mechanism: Mechanism) -> Iterator[dict]:
    count = 0
    for name, value in mechanism.parameters.items():
        if mechanism.name == "pas" or count == _MOST_FREE:
            return
        bounds = sorted((0.7 * value, 1.3 * value))
        if 0.0 <= value < 1e-3 and _DENSITY.search(name):
            bounds = [max(value, 2e-4), 2e-3]
        if bounds[0] < bounds[1]:
            count += 1
            if mechanism.kind == "point_process":
                yield {"variable": f"tried.{name}", "bounds": bounds}
            else:
                yield {"variable": f"{name}_{mechanism.name}", "regions": ["all"], "bounds": bounds}


def trial_stimulus(mechanism: Mechanism) -> StimulusSettings:
    """Current steps; with a point process, that and its events."""
    if mechanism.kind == "density":
        return STIMULUS
    point = {"mechanism": mechanism.name, "name": "tried", **(_EVENTS if mechanism.arguments else {})}
    return StimulusSettings.model_validate({**STIMULUS.model_dump(), "point_processes": [point]})


def trial_values(cell: Cell, individuals: int) -> np.ndarray:
    """Random parameters within their bounds: (individuals, free parameters)."""
    bounds = np.array([parameter.bounds for parameter in cell.free])
    return np.random.default_rng(1).uniform(bounds[:, 0], bounds[:, 1], (individuals, len(bounds)))


def partner(mechanism: Mechanism) -> str:
    """A mechanism that drives what this one reads of its ions and makes visible what it writes; "" if there are none.

    It carries the ion's current where that is read, moves the inner concentration where that is only read, and lets a
    current depend on concentrations that are written.
    """
    ions = [_IonText(ion) for ion in mechanism.ions]
    if not any(ion.use for ion in ions):
        return ""

    moving = [ion for ion in ions if ion.states]
    blocks = [
        ("NEURON", [f"SUFFIX {PARTNER}", "NONSPECIFIC_CURRENT shown", *_lines(ions, "use")]),
        ("ASSIGNED", ["v", "shown", "up", *_lines(ions, "assigned")]),
        ("STATE", _lines(ions, "states")),
        ("INITIAL", _lines(ions, "initial")),
        ("BREAKPOINT", ["SOLVE move METHOD cnexp"] * bool(moving) + ["shown = 0", *_lines(ions, "currents")]),
        ("DERIVATIVE move", [*["up = 0", "if (t > 10 && t < 40) { up = 1 }"] * bool(moving), *_lines(ions, "rates")]),
    ]
    kept = [(name, lines) for name, lines in blocks if lines and (moving or name != "DERIVATIVE move")]
    return "".join("\n    ".join([f"{name} {{", *lines]) + "\n}\n" for name, lines in kept)


def _lines(ions: list["_IonText"], part: str) -> list[str]:
    return [line for ion in ions for line in getattr(ion, part)]


class _IonText:
    """The partner's lines for one ion."""

    def __init__(self, ion: Ion) -> None:
        name, inside, outside = ion.name, f"{ion.name}i", f"{ion.name}o"
        self.use, self.assigned, self.states = [], [], []
        self.initial, self.currents, self.rates = [], [], []
        reads, writes = [], []
        if f"i{name}" in ion.reads:
            reads.append(f"e{name}")
            writes.append(f"i{name}")
            self.currents.append(f"i{name} = 2e-5 * (v - e{name})")
        for written in (inside, outside):
            if written in ion.writes:
                reads.append(written)
                half = _INSIDE_MM.get(name, (1.0, 1.0))[1]
                self.currents.append(f"shown = shown + 1e-4 * {written} / ({written} + {half!r}) * (v + 10)")
        if f"e{name}" in ion.writes:
            reads.append(f"e{name}")
            self.currents.append(f"shown = shown + 1e-5 * (v - e{name})")
        if inside in ion.reads and inside not in ion.writes:
            low, high = _INSIDE_MM.get(name, (1.0, 1.5))
            writes.append(inside)
            self.states.append(inside)
            self.initial.append(f"{inside} = {low!r}")
            self.rates.append(f"{inside}' = ({low!r} + {high - low!r} * up - {inside}) / 6")
        self.assigned = [v for v in dict.fromkeys([*reads, *writes]) if v not in self.states]
        if reads or writes or name not in _KNOWN_IONS:
            valence = "" if name in _KNOWN_IONS else f" VALENCE {1 if ion.valence is None else ion.valence:g}"
            both = (("READ", reads), ("WRITE", writes))
            text = "".join(f" {word} {', '.join(dict.fromkeys(names))}" for word, names in both if names)
            self.use = [f"USEION {name}{text or f' READ e{name}'}{valence}"]
            if not text:
                self.assigned = [f"e{name}"]
