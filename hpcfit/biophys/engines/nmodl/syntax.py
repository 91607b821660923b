"""What a parsed .mod file is made of: statements before names are resolved, calls inlined and equations solved.

Expressions are those of the intermediate form; a derivative is the name `m'`, an element of an array Call("[]", ...).
"""

from dataclasses import dataclass, field

from hpcfit.biophys.codegen.ir import Call, Expression


@dataclass(frozen=True)
class Set:
    """target = value; the target of an equation for a derivative is `m'`.  index: which element, of an array."""

    line: int
    target: str
    value: Expression
    index: Expression | None = None


@dataclass(frozen=True)
class Local:
    """LOCAL names; sizes: of those that are arrays."""

    line: int
    names: tuple[str, ...]
    sizes: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Branch:
    """IF."""

    line: int
    test: Expression
    then: tuple["Node", ...]
    otherwise: tuple["Node", ...]


@dataclass(frozen=True)
class Loop:
    """FROM counter = first TO last BY step."""

    line: int
    counter: str
    first: Expression
    last: Expression
    step: Expression
    body: tuple["Node", ...]


@dataclass(frozen=True)
class Invoke:
    """A call that stands alone."""

    line: int
    call: Call


@dataclass(frozen=True)
class Solve:
    """SOLVE block METHOD method, or STEADYSTATE method."""

    line: int
    block: str
    method: str
    steady: bool


Terms = tuple[tuple[int, Expression], ...]
"""Species (names or elements of arrays) and how many of each: one side of a reaction."""


@dataclass(frozen=True)
class Reaction:
    """~ left <-> right (forward, backward); `->` has no right side and one rate, `<<` one flux."""

    line: int
    arrow: str
    left: Terms
    right: Terms
    rates: tuple[Expression, ...]


@dataclass(frozen=True)
class Equation:
    """~ left = right, of a LINEAR block."""

    line: int
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Conserve:
    """CONSERVE terms = total."""

    line: int
    terms: Terms
    total: Expression


@dataclass(frozen=True)
class Compartment:
    """COMPARTMENT counter, volume {species}; the counter goes over the elements of species that are arrays."""

    line: int
    volume: Expression
    species: tuple[str, ...]
    counter: str = ""


@dataclass(frozen=True)
class Tabled:
    """TABLE names FROM low TO high WITH count: what it stands in is interpolated; no names: its own value."""

    line: int
    names: tuple[str, ...]
    low: Expression
    high: Expression
    count: Expression


@dataclass(frozen=True)
class Start:
    """INITIAL inside NET_RECEIVE: what a connection starts with."""

    line: int
    body: tuple["Node", ...]


@dataclass(frozen=True)
class Refused:
    """Something that is not translated: an error only where a simulation would come to it."""

    line: int
    what: str


Node = (
    Set
    | Local
    | Branch
    | Loop
    | Invoke
    | Solve
    | Reaction
    | Equation
    | Conserve
    | Compartment
    | Tabled
    | Start
    | Refused
)


@dataclass(frozen=True)
class Block:
    """INITIAL, BREAKPOINT, NET_RECEIVE, PROCEDURE, FUNCTION, DERIVATIVE, KINETIC or LINEAR."""

    kind: str
    name: str
    line: int
    arguments: tuple[str, ...]
    body: tuple[Node, ...]


@dataclass(frozen=True)
class UseIon:
    """USEION."""

    line: int
    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    valence: float | None


def element(array: str, index: int) -> str:
    """The variable that an element of an array becomes; of a derivative, `m'`, that of the element."""
    return f"{array.rstrip(PRIME)}_at_{index}{PRIME * array.endswith(PRIME)}"


def array_of(variable: str, file: "File") -> str:
    """The array whose element a variable is, else the variable itself."""
    array, _, index = variable.rpartition("_at_")
    return array if array in file.arrays and index.isdigit() else variable


PRIME = "'"


@dataclass
class File:
    """A .mod file's declarations and blocks, filled in by the parser."""

    kind: str = ""
    name: str = ""
    ions: list[UseIon] = field(default_factory=list)
    ranges: set[str] = field(default_factory=set)
    globals_: set[str] = field(default_factory=set)
    nonspecific: list[str] = field(default_factory=list)
    electrode: list[str] = field(default_factory=list)
    parameters: dict[str, float] = field(default_factory=dict)
    constants: dict[str, float] = field(default_factory=dict)
    states: dict[str, float] = field(default_factory=dict)
    assigned: dict[str, float] = field(default_factory=dict)
    arrays: dict[str, int] = field(default_factory=dict)
    defines: dict[str, float] = field(default_factory=dict)
    blocks: dict[str, Block] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
