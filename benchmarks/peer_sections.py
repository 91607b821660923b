"""What sections does NEURON build of a cell?  As other simulators can build them again."""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hpcfit.biophys.cell import Cell
from hpcfit.population.executor import Task
from hpcfit.run.processes import Processes


@dataclass(frozen=True)
class Section:
    """A section as other simulators build it: a chain of cylinders at the end of its parent."""

    region: str
    parent: int
    lengths_um: tuple[float, ...]
    diameters_um: tuple[float, ...]


def sections_of(cell: Cell, library: Path | None) -> list[Section]:
    """The cell's sections with NEURON's segments, parents before children."""
    here, before = str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([here, before]).strip(os.pathsep)  # for the worker to find this module
    with Processes({"sections": partial(SectionService, cell, library)}, 1) as executor:
        outcome = executor.map([Task("sections", "sections", ())])[0]
    os.environ["PYTHONPATH"] = before
    assert outcome.value is not None, outcome.reason
    return outcome.value


class SectionService:
    """In a worker process: the sections of the cell that NEURON builds."""

    def __init__(self, cell: Cell, library: Path | None) -> None:
        from hpcfit.biophys.engines.neuron_cell import NeuronCell

        self._built = NeuronCell(cell, library)

    def sections(self) -> list[Section]:
        """Parents before children."""
        regions = {
            section.name(): region
            for region in ("somatic", "axonal", "basal", "apical")
            for section in self._built.sections(region)
        }
        every = sorted(self._built.sections("all"), key=_depth)
        names = [section.name() for section in every]
        found = []
        for section in every:
            above = section.parentseg()
            parent = names.index(above.sec.name()) if above is not None else -1
            lengths = (section.L / section.nseg,) * section.nseg
            diameters = tuple(segment.diam for segment in section)
            found.append(Section(regions[section.name()], parent, lengths, diameters))
        return found


def _depth(section) -> int:
    above = section.parentseg()
    return 0 if above is None else 1 + _depth(above.sec)
