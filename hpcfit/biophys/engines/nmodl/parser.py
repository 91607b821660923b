"""How is a .mod file read into declarations and blocks?"""

from pathlib import Path

from hpcfit.biophys.engines.nmodl import statements
from hpcfit.biophys.engines.nmodl.expressions import Words
from hpcfit.biophys.engines.nmodl.syntax import Block, File, Local, UseIon, element
from hpcfit.biophys.engines.nmodl.tokens import refuse, tokens_of
from hpcfit.biophys.engines.nmodl.units import UnknownUnit, factor
from hpcfit.errors import InputError

_ARRAY = "a PARAMETER that is an array is not translated; write its elements as scalars"
REFUSED_BLOCKS = {
    "DISCRETE": "only DERIVATIVE, KINETIC and LINEAR blocks are solved; write it as a DERIVATIVE block",
    "NONLINEAR": "only DERIVATIVE, KINETIC and LINEAR blocks are solved; write its solution as assignments",
    "FUNCTION_TABLE": "a table that a script fills is not known here; write the function as a formula",
    "CONSTRUCTOR": "it runs code of its own for each instance; remove it",
    "DESTRUCTOR": "it runs code of its own for each instance; remove it",
    "BEFORE": "it hooks into NEURON's own steps; move its statements to BREAKPOINT or INITIAL",
    "AFTER": "it hooks into NEURON's own steps; move its statements to BREAKPOINT or INITIAL",
    "PARTIAL": "partial differential equations are not solved; remove it",
    "INCLUDE": "files are read alone; paste what it includes",
}
REFUSED_NEURON = {
    "POINTER": "another object's variable cannot be reached; use an ion (USEION) to share it",
    "BBCOREPOINTER": "memory of its own cannot be reached; remove it",
    "RANDOM": "random numbers are not drawn in a mechanism; remove it",
    "EXTERNAL": "variables of another mechanism cannot be reached; declare it as a PARAMETER",
    "ARTIFICIAL_CELL": "a cell of events only has no membrane; remove the mechanism",
}
_CODE = ("INITIAL", "BREAKPOINT", "PROCEDURE", "FUNCTION", "DERIVATIVE", "KINETIC", "LINEAR", "NET_RECEIVE")


def parse(path: Path) -> File:
    """The declarations and blocks of a .mod file.

    Raises
    ------
    InputError
        When the file cannot be read.
    MechanismError
        At what is no NMODL or cannot be translated, with the line.
    """
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); mend the path") from error
    words, file = Words(tokens_of(text, path), text, path), File()
    while words.now.kind != "end":
        _top(words, file)
    if not file.name or file.name == "nothing":
        refuse(path, 1, "no SUFFIX or POINT_PROCESS names a mechanism; a file of functions only is of no use here")
    return file


def _top(words: Words, file: File) -> None:
    word = words.next()
    if word.kind == "verbatim":
        # Such code can only matter to other VERBATIM, which is refused where it is reached, or as a macro.
        if "#define" in word.text:
            refuse(words.path, word.line, "VERBATIM with #define may change the code that follows; remove it")
    elif word.text in REFUSED_BLOCKS:
        refuse(words.path, word.line, f"{word.text} is not translated: {REFUSED_BLOCKS[word.text]}")
    elif word.text in _CODE:
        _code(words, file, word.text, word.line)
    elif word.text == "LOCAL":
        for node in statements.KEYWORDS["LOCAL"](words, word.line):
            assert isinstance(node, Local)
            file.assigned.update(dict.fromkeys(node.names, 0.0))
            for array, size in node.sizes:
                _array(file, file.assigned, array, size, 0.0)
    elif word.text == "DEFINE":
        name = words.name()
        file.defines[name] = words.defines[name] = words.signed()
    elif reader := _DECLARATIONS.get(word.text):
        reader(words, file)
    elif word.text not in ("UNITSON", "UNITSOFF"):
        refuse(words.path, word.line, f"syntax error at {word.text!r}, where a block is due; mend it")


def _code(words: Words, file: File, kind: str, line: int) -> None:
    name, arguments = kind, []
    if kind == "NET_RECEIVE" and file.kind == "density":
        refuse(words.path, line, "NET_RECEIVE is not translated: only a POINT_PROCESS receives events; make it one")
    if kind not in ("INITIAL", "BREAKPOINT"):
        name = kind if kind == "NET_RECEIVE" else words.name()
        if words.take("("):
            while not words.take(")"):
                arguments.append(words.name())
                words.units()
                words.take(",")
            words.units()
        if words.take("SOLVEFOR"):
            words.names()
    if name in file.blocks:
        refuse(words.path, line, f"{name} is defined a second time; remove one")
    file.blocks[name] = Block(kind, name, line, tuple(arguments), statements.body(words))


def _neuron(words: Words, file: File) -> None:
    words.expect("{")
    while not words.take("}"):
        word = words.next()
        if word.text in REFUSED_NEURON:
            refuse(words.path, word.line, f"{word.text} is not translated: {REFUSED_NEURON[word.text]}")
        if word.text in ("SUFFIX", "POINT_PROCESS"):
            file.kind = "density" if word.text == "SUFFIX" else "point_process"
            file.name = words.name()
        elif word.text == "USEION":
            _use_ion(words, file, word.line)
        elif word.text in _NAMES_OF:
            _NAMES_OF[word.text](file, words.names())
        elif word.text == "REPRESENTS":
            while words.now.line == word.line and words.now.text != "}":
                words.next()
        elif word.text not in ("THREADSAFE", ","):
            refuse(words.path, word.line, f"syntax error at {word.text!r} in the NEURON block; mend it")


_NAMES_OF = {
    "RANGE": lambda file, names: file.ranges.update(names),
    "GLOBAL": lambda file, names: file.globals_.update(names),
    "NONSPECIFIC_CURRENT": lambda file, names: file.nonspecific.extend(names),
    "ELECTRODE_CURRENT": lambda file, names: file.electrode.extend(names),
}


def _use_ion(words: Words, file: File, line: int) -> None:
    name, reads, writes, valence = words.name(), (), (), None
    while (word := words.now).text in ("READ", "WRITE", "VALENCE", "CHARGE", "REPRESENTS"):
        words.next()
        if word.text == "READ":
            reads = words.names()
        elif word.text == "WRITE":
            writes = words.names()
        elif word.text == "REPRESENTS":
            while words.now.line == word.line and words.now.text not in ("}", "READ", "WRITE", "VALENCE"):
                words.next()
        else:
            valence = words.signed()
    file.ions.append(UseIon(line, name, reads, writes, valence))


def _units(words: Words, file: File) -> None:
    words.expect("{")
    own: dict[str, str] = {}
    while not words.take("}"):
        line = words.now.line
        if words.now.text == "(":
            name = words.unit().strip()
            words.expect("=")
            own[name] = words.unit().strip()
            continue
        if words.now.text in ("UNITSON", "UNITSOFF"):
            words.next()
            continue
        name = words.name()
        words.expect("=")
        if words.now.text != "(":
            file.constants[name] = words.signed()
            words.units()
            continue
        one = words.unit()
        words.take("->")
        try:
            file.constants[name] = factor(one, words.unit(), own)
        except UnknownUnit as error:
            refuse(words.path, line, f"{name}: {error}; give its value as a number")


def _values(words: Words, into: dict[str, float], file: File) -> None:
    """The entries of PARAMETER and CONSTANT: name = value (unit) <limits>."""
    words.expect("{")
    while not words.take("}"):
        if words.now.text in ("UNITSON", "UNITSOFF"):
            words.next()
            continue
        line, name = words.now.line, words.name()
        file.lines[name] = line
        into[name] = 0.0
        if words.now.text == "[":
            refuse(words.path, line, f"{name}: {_ARRAY}")
        if words.take("="):
            into[name] = words.signed()
        words.units()
        if words.take("<"):
            words.signed()
            words.take(",")
            words.signed()
            words.expect(">")


def _variables(words: Words, into: dict[str, float], file: File) -> None:
    """The entries of STATE and ASSIGNED: name FROM number TO number START number (unit) <tolerance>."""
    words.expect("{")
    while not words.take("}"):
        if words.now.text in ("UNITSON", "UNITSOFF", ","):
            words.next()
            continue
        line, name = words.now.line, words.name()
        file.lines[name] = line
        size, number = words.size() if words.now.text == "[" else 0, 0.0
        while words.now.text in ("FROM", "TO", "START"):
            start = words.next().text == "START"
            value = words.signed()
            number = value if start else number
        if size:
            _array(file, into, name, size, number)
        else:
            into[name] = number
        words.units()
        if words.take("<"):
            words.signed()
            words.expect(">")


def _array(file: File, into: dict[str, float], name: str, size: int, start: float) -> None:
    """Declare an array: each element is a variable of its own from here on."""
    file.arrays[name] = size
    into.update({element(name, index): start for index in range(size)})


def _independent(words: Words, file: File) -> None:
    while not words.take("}"):
        words.next()


_DECLARATIONS = {
    "NEURON": _neuron,
    "UNITS": _units,
    "PARAMETER": lambda words, file: _values(words, file.parameters, file),
    "CONSTANT": lambda words, file: _values(words, file.constants, file),
    "STATE": lambda words, file: _variables(words, file.states, file),
    "ASSIGNED": lambda words, file: _variables(words, file.assigned, file),
    "INDEPENDENT": _independent,
}
