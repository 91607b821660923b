"""A cell with its parameters as a hoc file that NEURON loads without hpcfit, stimuli included.

Values are written segment by segment as the live cell has them, so a distribution over the tree needs no translation.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from hpcfit.biophys.engines.neuron_cell import STUB_PIECE_UM, TEMPLATE, NeuronCell, tabulating
from hpcfit.biophys.engines.nmodl.receive import WEIGHT
from hpcfit.biophys.engines.point_processes import PointProcesses
from hpcfit.biophys.stimulus import Injection, PointProcess, Stimulus

if TYPE_CHECKING:
    from hpcfit.biophys.settings import EngineSettings, ParameterSettings

_PER_LINE = 40
_LOCAL = "point, connection, train"
_EVENTS = [
    "objref points, connections, trains, nothing, sender",
    "connections = new List()",
    "proc send_events() { local i, j",
    "  for i = 0, connections.count() - 1 {",
    "    for j = 0, trains.o(i).size() - 1 { connections.o(i).event(trains.o(i).x[j]) }",
    "  }",
    "}",
    'sender = new FInitializeHandler("send_events()")',
]
"""What sends each connection of a stimulus its events, whenever a simulation begins."""


def hoc_text(cell: NeuronCell, values: np.ndarray, points: PointProcesses, settings: "EngineSettings") -> str:
    """The file's text.  It reads the morphology beside it, under the name that the cell's settings give.

    values: (free parameters,), in their units.
    """
    cell.set_parameters(values)
    stimuli = points.stimuli
    lines = [*_head(stimuli), TEMPLATE, *_globals(cell, values), *_build(cell)]
    lines += [line for parameter in cell.cell.parameters for line in _parameter(cell, parameter)]
    lines += ["", "objref clamps, times, currents, cvode", "cvode = new CVode()", *_integrator(settings)]
    lines += _EVENTS if any(stimulus.point_processes for stimulus in stimuli) else []
    for stimulus in stimuli:
        lines += _stimulus(cell, stimulus, points)
    return "\n".join(lines) + "\n"


def _head(stimuli: Iterable[Stimulus]) -> list[str]:
    calls = ", ".join(f"stimulus_{_identifier(stimulus.name)}()" for stimulus in stimuli)
    return [
        "// The best model of a fit, written by hpcfit.  In this folder: nrnivmodl mechanisms, then",
        "//   nrngui model.hoc    and call one of the stimuli, then run():",
        f"//   {calls}",
        'load_file("stdrun.hoc")',
        'load_file("import3d.hoc")',
    ]


def _globals(cell: NeuronCell, values: np.ndarray) -> list[str]:
    lines = [f"celsius = {cell.h.celsius!r}", f"v_init = {cell.v_init_mV!r}"]
    names = {
        parameter.variable
        for parameter in cell.cell.parameters
        if not parameter.regions and "." not in parameter.variable
    }
    lines += [f"usetable_{name} = 0" for name in tabulating(cell.h) if not getattr(cell.h, f"usetable_{name}")]
    return lines + [f"{name} = {getattr(cell.h, name)!r}" for name in sorted(names - {"celsius", "v_init"})]


def _build(cell: NeuronCell) -> Iterator[str]:
    settings = cell.cell.settings
    reader = "Import3d_SWC_read" if settings.morphology.suffix.lower() == ".swc" else "Import3d_Neurolucida3"
    yield "objref cell, reader, importer"
    yield f"reader = new {reader}()"
    yield "reader.quiet = 1"
    yield f'reader.input("morphology{settings.morphology.suffix.lower()}")'
    yield "importer = new Import3d_GUI(reader, 0)"
    yield "cell = new HpcfitCell()"
    yield "importer.instantiate(cell)"
    yield "forsec cell.all { if (n3d() == 0) delete_section() }"
    yield f"forsec cell.all {{ nseg = 1 + 2 * int(L / {settings.segment_length_um!r}) }}"
    if settings.axon == "stub":
        yield from _stub(cell)
    for region, mechanisms in settings.regions.items():
        for mechanism in mechanisms:
            yield f"forsec cell.{region} {{ insert {mechanism} }}"


def _stub(cell: NeuronCell) -> Iterator[str]:
    yield "forsec cell.axonal { delete_section() }"
    yield "cell.make_stub()"
    for index, section in enumerate(cell.object.axon):
        yield (
            f"cell.axon[{index}] {{ L = {STUB_PIECE_UM!r}  diam = {section.diam!r}  nseg = {section.nseg}  "
            "cell.axonal.append()  cell.all.append() }"
        )


def _parameter(cell: NeuronCell, parameter: "ParameterSettings") -> Iterator[str]:
    """Its value in each section; one line for a section where it is the same throughout."""
    for region in parameter.regions:
        for section in cell.sections(region):
            name = f"cell.{section.name().split('.')[-1]}"
            if parameter.variable in ("Ra", "L"):
                yield f"{name} {{ {parameter.variable} = {getattr(section, parameter.variable)!r} }}"
                continue
            values = [(segment.x, getattr(segment, parameter.variable)) for segment in section]
            if len({value for _, value in values}) == 1:
                yield f"{name} {{ {parameter.variable} = {values[0][1]!r} }}"
            else:
                each = "  ".join(f"{parameter.variable}({x!r}) = {value!r}" for x, value in values)
                yield f"{name} {{ {each} }}"


def _integrator(settings: "EngineSettings") -> list[str]:
    if settings.integrator == "cvode":
        return ["cvode.active(1)", f"cvode.atol({settings.cvode_atol!r})"]
    second = 2 if settings.order == 2 else 0
    return [f"dt = {settings.dt_ms!r}", f"steps_per_ms = {1.0 / settings.dt_ms!r}", f"secondorder = {second}"]


def _stimulus(cell: NeuronCell, stimulus: Stimulus, points: PointProcesses) -> Iterator[str]:
    yield ""
    yield f"proc stimulus_{_identifier(stimulus.name)}() {{ localobj clamp, t_vector, i_vector, {_LOCAL}"
    yield "  clamps = new List()  times = new List()  currents = new List()"
    for injection in stimulus.injections:
        yield from _injection(cell, injection)
    if any(one.point_processes for one in points.stimuli):
        yield "  points = new List()  connections = new List()  trains = new List()"
    for point in stimulus.point_processes:
        yield from _point_process(cell, point, points.values(point))
    yield f"  tstop = {stimulus.duration_ms!r}"
    yield "}"
    if stimulus.point_processes:
        # An ion that a point process brings stays in its segment; so that runs do not depend on those before them:
        yield f"stimulus_{_identifier(stimulus.name)}()"


def _point_process(cell: NeuronCell, point: PointProcess, values: Mapping[str, float]) -> Iterator[str]:
    segment = cell.places[point.site]
    yield f"  cell.{segment.sec.name().split('.')[-1]} point = new {point.mechanism}({segment.x!r})"
    yield "  points.append(point)"
    yield from (f"  point.{name} = {value!r}" for name, value in values.items() if name != WEIGHT)
    if point.times_ms is None:
        return
    yield f"  connection = new NetCon(nothing, point)  connection.weight = {values[WEIGHT]!r}"
    yield from _vector("train", point.times_ms)
    yield "  connections.append(connection)  trains.append(train)"


def _vector(name: str, values: np.ndarray) -> Iterator[str]:
    yield f"  {name} = new Vector()"
    numbers = [repr(float(value)) for value in values]
    for start in range(0, len(numbers), _PER_LINE):
        yield f"  {name}.append({', '.join(numbers[start : start + _PER_LINE])})"


def _injection(cell: NeuronCell, injection: Injection) -> Iterator[str]:
    segment = cell.places[injection.site]
    yield f"  cell.{segment.sec.name().split('.')[-1]} clamp = new IClamp({segment.x!r})"
    yield f"  clamp.del = {injection.delay_ms!r}  clamp.dur = {injection.duration_ms!r}  clamps.append(clamp)"
    if injection.constant:
        yield f"  clamp.amp = {float(injection.i_nA[0])!r}"
        return
    yield from _vector("t_vector", injection.t_ms)
    yield from _vector("i_vector", injection.i_nA)
    yield "  times.append(t_vector)  currents.append(i_vector)"
    yield "  i_vector.play(&clamp.amp, t_vector, 1)"


def _identifier(name: str) -> str:
    return "".join(character if character.isalnum() else "_" for character in name)
