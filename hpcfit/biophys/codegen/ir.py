"""The intermediate form of a mechanism: what its NMODL says, solved and inlined, as plain data.

One form for every back end (C++, CUDA) and for the slow twin that interprets it.  Nothing in it is specific to a cell:
where a mechanism sits and which of its parameters differ between individuals is decided when code is generated.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

# -- expressions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Number:
    """A literal."""

    value: float


@dataclass(frozen=True)
class Name:
    """A variable: of the mechanism, of an ion (cai, eca), or `v`, `dt`, `t`, `celsius`, `area`, `diam`."""

    name: str


@dataclass(frozen=True)
class Unary:
    """-x, or !x."""

    operator: Literal["-", "!"]
    operand: "Expression"


@dataclass(frozen=True)
class Binary:
    """Arithmetic, comparison or logic of two operands; ^ is a power."""

    operator: Literal["+", "-", "*", "/", "^", "<", "<=", ">", ">=", "==", "!=", "&&", "||"]
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True)
class Call:
    """A function of the mathematical library (exp, log, log10, sqrt, fabs, sin, cos, tanh, pow, ...)."""

    function: str
    arguments: tuple["Expression", ...]


Expression = Number | Name | Unary | Binary | Call

# -- statements -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Assign:
    """target = value.  A target that is no variable of the mechanism or an ion is a local one."""

    target: str
    value: Expression


@dataclass(frozen=True)
class If:
    """if test: then, else: otherwise."""

    test: Expression
    then: tuple["Statement", ...]
    otherwise: tuple["Statement", ...] = ()


Statement = Assign | If

# -- mechanisms -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ion:
    """USEION: which of e<ion>, i<ion>, <ion>i, <ion>o the mechanism reads and writes; valence as it is declared."""

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    valence: float | None = None


@dataclass(frozen=True)
class Current:
    """A membrane current, mA/cm2 (density) or nA (point process), that a BREAKPOINT leaves in `variable`.

    `conductance`: the name or expression of di/dv where it is known exactly; None: NEURON's difference quotient with
    0.001 mV must be taken, since the current is not linear in v.
    """

    variable: str
    ion: str | None
    conductance: Expression | None
    electrode: bool = False


@dataclass(frozen=True)
class Table:
    """What a TABLE interpolates: `output` after `statements` at `count` + 1 equidistant values of `argument`.

    Its name is that of a function of one argument, for those that carry statements out.
    """

    argument: str
    output: str
    statements: tuple[Statement, ...]
    low: Expression
    high: Expression
    count: int
    line: int


@dataclass(frozen=True)
class Send:
    """A net_send: statements leave its delay, ms, and its flag in these variables; without them nothing is sent."""

    delay: str
    flag: str
    line: int


@dataclass(frozen=True)
class Mechanism:
    """One SUFFIX or POINT_PROCESS.

    Attributes
    ----------
    name
        As inserted: Ih, NaTa_t.
    kind
        density or point_process.
    parameters
        RANGE parameters and their defaults: one value per instance.
    constants
        GLOBAL and plain PARAMETERs, CONSTANT and UNITS constants (F, R) and their values: one value for all instances.
        `globals_` names those that a user may set (h.<name>_<suffix>).
    states
        STATE variables that the mechanism owns (a state that is an ion's concentration is not among them).
    assigned
        Other variables that keep a value between the blocks below.
    initial
        INITIAL; `current`: BREAKPOINT without SOLVE; `advance`: one step `dt` of the states, solved.
    arguments
        Of NET_RECEIVE, the weight first: variables of a connection; empty when there is no such block.
    receive, receive_initial
        NET_RECEIVE, which also reads `flag` (0 for an event from outside) and finds the time of its event in `t`;
        and the INITIAL inside it, which runs after `initial`.
    sends
        The net_send calls in `initial` and `receive`.
    family
        Of an instance of a point process, whose `name` is its own: the mechanism that it is an instance of.
    """

    name: str
    kind: Literal["density", "point_process"]
    parameters: Mapping[str, float]
    constants: Mapping[str, float]
    globals_: tuple[str, ...]
    states: tuple[str, ...]
    assigned: tuple[str, ...]
    ions: tuple[Ion, ...]
    currents: tuple[Current, ...]
    initial: tuple[Statement, ...]
    current: tuple[Statement, ...]
    advance: tuple[Statement, ...]
    state_initials: Mapping[str, float] = field(default_factory=dict)
    """<state>0 defaults: what a state has before INITIAL runs (0 unless declared)."""
    source: str = ""
    """File it came from, for errors."""
    arguments: tuple[str, ...] = ()
    receive: tuple[Statement, ...] = ()
    receive_initial: tuple[Statement, ...] = ()
    sends: tuple[Send, ...] = ()
    family: str = ""
    tables: Mapping[str, Table] = field(default_factory=dict)

    @property
    def suffix(self) -> str:
        """What its GLOBALs end in."""
        return self.family or self.name
