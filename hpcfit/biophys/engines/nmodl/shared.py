"""Does a GLOBAL carry what one segment computes into the next?

NEURON keeps one GLOBAL for all segments.  Where it is set and read within one block that does not matter; where a block
reads what an earlier one has set, it reads what the last segment left there, in whatever order NEURON visits them.
"""

from pathlib import Path

from hpcfit.biophys.codegen.algebra import depends_on
from hpcfit.biophys.codegen.ir import Mechanism
from hpcfit.biophys.engines.nmodl.syntax import File
from hpcfit.biophys.engines.nmodl.tokens import refuse

_OF_SEGMENT = {"v", "area", "diam"}


def check_globals(file: File, mechanism: Mechanism, copies: dict[str, str], path: Path) -> None:
    """Raises MechanismError when a GLOBAL carries a value that may differ between segments from block to block.

    copies: of the mechanism's variables that stand for a PARAMETER that is assigned, which PARAMETER.
    """
    single = {name: copies.get(name, name) for name in mechanism.assigned}
    single = {
        name: given
        for name, given in single.items()
        if given in file.globals_ or (given in file.parameters and given not in file.ranges)
    }
    if not single:
        return
    currents = {f"i{ion.name}" for ion in mechanism.ions}
    ions = {name for ion in mechanism.ions for name in (*ion.reads, *ion.writes)} - currents
    own = _OF_SEGMENT | ions | set(file.states) | file.ranges | {*file.nonspecific, *file.electrode}
    own -= set(single)
    # No current has been computed when INITIAL runs: they are all zero.
    at_start = depends_on((*mechanism.initial, *mechanism.receive_initial), own)
    turn = (*mechanism.current, *mechanism.advance, *mechanism.receive)
    differing = depends_on((*turn, *turn), at_start | own | currents)
    outputs = {*mechanism.states, *mechanism.assigned, *(current.variable for current in mechanism.currents)}
    outputs |= {name for ion in mechanism.ions for name in ion.writes}
    blocks = (mechanism.current, mechanism.advance, mechanism.receive)
    for name in sorted(set(single) & differing):
        reading = (*blocks, mechanism.initial) if name in at_start else blocks
        if not any(depends_on(block, [name]) & outputs - {name} for block in reading):
            continue  # a tally that only a script would read
        given = single[name]
        what = f"GLOBAL {given} carries a value of one segment's into another block, where all segments read it"
        refuse(path, file.lines.get(given, 1), f"{what}: NEURON's result depends on their order; make it RANGE")
