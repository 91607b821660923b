"""What does a simulation in NEURON leave behind for the next one, and how is it put away?

finitialize() sets STATEs and runs INITIAL blocks; nothing else is reset.  A mechanism whose INITIAL or first BREAKPOINT
reads an ASSIGNED variable before setting it (`h = hinf` above `rates(v)`) starts from where the last simulation ended:
from zero in a cell that has just been built, from another individual's numbers in one that is used again.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hpcfit.biophys.codegen.algebra import assigned_in, read_before_set
from hpcfit.biophys.codegen.ir import Mechanism
from hpcfit.biophys.engines.mod_files import mechanism_name, mod_files
from hpcfit.biophys.engines.nmodl import read_mechanism
from hpcfit.errors import MechanismError

_FIRST_GLOBALS: dict[str, dict[tuple[str, int], float]] = {}
"""Of each mechanism in this process, its GLOBALs before anything ran: (name, element) -> value."""


def leftovers(mechanism: Mechanism) -> set[str]:
    """Variables that a mechanism reads before it has set them: another simulation's, if there was one."""
    blocks = (*mechanism.initial, *mechanism.current, *mechanism.advance)
    own = read_before_set(blocks) & assigned_in(blocks) - set(mechanism.states)
    # Currents of ions are added up anew before anything but an INITIAL reads them.
    return own | read_before_set(mechanism.initial) & {f"i{ion.name}" for ion in mechanism.ions}


class Leftovers:
    """Puts away what the last simulation left in one cell.

    Concerned are mechanisms of the cell's folder that `leftovers` finds, and those that it cannot read.
    """

    def __init__(self, h: Any, sections: Sequence[Any], folder: Path | None) -> None:
        self._h = h
        self.mechanisms = _concerned(folder, {name for section in sections for name in _inserted(section)})
        self._places = [(name, s) for name in self.mechanisms for s in sections if s.has_membrane(name)]
        for name in self.mechanisms:
            _FIRST_GLOBALS.setdefault(name, _globals(h, name))
        ions = {section: _ions(section) for _, section in self._places}
        self._currents = [
            getattr(segment, f"_ref_i{ion}") for section, names in ions.items() for ion in names for segment in section
        ]

    def put_away(self) -> None:
        """Make the mechanisms anew, as they were when they were first inserted; references to their variables end."""
        for name, section in self._places:
            section.uninsert(name)
            section.insert(name)
        for name in self.mechanisms:
            for (variable, element), value in _FIRST_GLOBALS[name].items():
                if element < 0:
                    setattr(self._h, variable, value)
                else:
                    getattr(self._h, variable)[element] = value
        for reference in self._currents:
            reference[0] = 0.0


def _concerned(folder: Path | None, inserted: Iterable[str]) -> tuple[str, ...]:
    files = {mechanism_name(path): path for path in mod_files(folder)} if folder is not None else {}
    found = []
    for name in sorted(set(inserted) & set(files)):
        try:
            if leftovers(read_mechanism(files[name])):
                found.append(name)
        except MechanismError:
            found.append(name)
    return tuple(found)


def _inserted(section: Any) -> list[str]:
    return [mechanism.name() for mechanism in section(0.5)]


def _ions(section: Any) -> list[str]:
    return [name.removesuffix("_ion") for name in _inserted(section) if name.endswith("_ion")]


def _globals(h: Any, mechanism: str) -> dict[tuple[str, int], float]:
    standard, text = h.MechanismStandard(mechanism, -1), h.ref("")
    found = {}
    for number in range(int(standard.count())):
        size = int(standard.name(text, number))
        name = text[0]
        if name.startswith("usetable_"):
            continue
        if size > 1:
            found.update({(name, element): getattr(h, name)[element] for element in range(size)})
        else:
            found[name, -1] = getattr(h, name)
    return found
