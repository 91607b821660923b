"""What does NET_RECEIVE do with an event?  Its statements, those of the INITIAL in it, and what it sends itself."""

from dataclasses import dataclass

from hpcfit.biophys.codegen.algebra import ZERO, assigned_in
from hpcfit.biophys.codegen.ir import Assign, Send, Statement
from hpcfit.biophys.engines.nmodl.syntax import File, Start
from hpcfit.biophys.engines.nmodl.translate import Translator

WEIGHT = "connection_weight"
"""What the first argument is called, whatever the file calls it: what a stimulus or a free parameter sets."""
FLAG = "flag"


@dataclass(frozen=True)
class Received:
    """NET_RECEIVE, translated; all empty where there is none."""

    arguments: tuple[str, ...] = ()
    initial: tuple[Statement, ...] = ()
    statements: tuple[Statement, ...] = ()
    sends: tuple[Send, ...] = ()


def received(file: File, to: Translator) -> Received:
    """Translate NET_RECEIVE, after the other entries: `to.sends` holds what INITIAL sends.

    Raises
    ------
    MechanismError
        At what is not translated, with the line: WATCH, FOR_NETCONS, net_move, an assignment to v.
    """
    if "NET_RECEIVE" not in file.blocks:
        return Received()
    block = file.blocks["NET_RECEIVE"]
    to.line = block.line
    arguments = tuple(to.fresh(name) for name in (WEIGHT, *block.arguments[1:]))
    if not block.arguments:
        to.refuse("NET_RECEIVE has no argument; its first one is the weight, as in NET_RECEIVE(weight)")
    scope = {**dict(zip(block.arguments, arguments, strict=True)), FLAG: FLAG}
    starts = [node for node in block.body if isinstance(node, Start)]
    sends, to.sends = to.sends, None
    # A connection's arguments but the weight are zero unless the block's own INITIAL says otherwise.
    initial = to.body(starts[0].body, scope) if starts else tuple(Assign(n, ZERO) for n in arguments[1:])
    to.sends = sends
    statements = to.body((node for node in block.body if not isinstance(node, Start)), scope)
    to.line = block.line
    if "v" in assigned_in(statements):
        to.refuse("NET_RECEIVE assigns v, which an event cannot change here; use a current")
    return Received(arguments, initial, statements, tuple(to.sends or ()))
