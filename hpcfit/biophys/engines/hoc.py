"""A cell with its parameters as a hoc file that NEURON loads without hpcfit, stimuli included.

Values are written segment by segment as the live cell has them, so a distribution over the tree needs no translation.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from hpcfit.biophys.engines.neuron_cell import STUB_PIECE_UM, TEMPLATE, NeuronCell
from hpcfit.biophys.stimulus import Injection, Stimulus

if TYPE_CHECKING:
    from hpcfit.biophys.settings import EngineSettings, ParameterSettings

_PER_LINE = 40


def hoc_text(cell: NeuronCell, values: np.ndarray, stimuli: Iterable[Stimulus], settings: "EngineSettings") -> str:
    """The file's text.  It reads the morphology beside it, under the name that the cell's settings give.

    values: (free parameters,), in their units.
    """
    cell.set_parameters(values)
    stimuli = list(stimuli)
    lines = [*_head(stimuli), TEMPLATE, *_globals(cell, values), *_build(cell)]
    lines += [line for parameter in cell.cell.parameters for line in _parameter(cell, parameter)]
    lines += ["", "objref clamps, times, currents, cvode", "cvode = new CVode()", *_integrator(settings)]
    for stimulus in stimuli:
        lines += _stimulus(cell, stimulus)
    return "\n".join(lines) + "\n"


def _head(stimuli: list[Stimulus]) -> list[str]:
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
    names = {parameter.variable for parameter in cell.cell.parameters if not parameter.regions}
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


def _stimulus(cell: NeuronCell, stimulus: Stimulus) -> Iterator[str]:
    yield ""
    yield f"proc stimulus_{_identifier(stimulus.name)}() {{ localobj clamp, t_vector, i_vector"
    yield "  clamps = new List()  times = new List()  currents = new List()"
    for injection in stimulus.injections:
        yield from _injection(cell, injection)
    yield f"  tstop = {stimulus.duration_ms!r}"
    yield "}"


def _injection(cell: NeuronCell, injection: Injection) -> Iterator[str]:
    segment = cell.places[injection.site]
    yield f"  cell.{segment.sec.name().split('.')[-1]} clamp = new IClamp({segment.x!r})"
    yield f"  clamp.del = {injection.delay_ms!r}  clamp.dur = {injection.duration_ms!r}  clamps.append(clamp)"
    if injection.constant:
        yield f"  clamp.amp = {float(injection.i_nA[0])!r}"
        return
    for name, values in (("t_vector", injection.t_ms), ("i_vector", injection.i_nA)):
        yield f"  {name} = new Vector()"
        numbers = [repr(float(value)) for value in values]
        for start in range(0, len(numbers), _PER_LINE):
            yield f"  {name}.append({', '.join(numbers[start : start + _PER_LINE])})"
    yield "  times.append(t_vector)  currents.append(i_vector)"
    yield "  i_vector.play(&clamp.amp, t_vector, 1)"


def _identifier(name: str) -> str:
    return "".join(character if character.isalnum() else "_" for character in name)
