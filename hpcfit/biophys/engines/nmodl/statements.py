"""How are NMODL's statements read?"""

import re

from hpcfit.biophys.codegen.ir import Call, Expression, Name, Number
from hpcfit.biophys.engines.nmodl.expressions import Words
from hpcfit.biophys.engines.nmodl.syntax import (
    Branch,
    Compartment,
    Conserve,
    Equation,
    Invoke,
    Local,
    Loop,
    Node,
    Reaction,
    Refused,
    Set,
    Solve,
    Start,
    Tabled,
    Terms,
)
from hpcfit.biophys.engines.nmodl.tokens import refuse

_LINEWISE = {"UNITSON", "UNITSOFF", "THREADSAFE", "MUTEXLOCK", "MUTEXUNLOCK", "REPRESENTS"}
# The old idiom by which a PROCEDURE that is solved tells that it succeeded: it computes nothing.
_EMPTY_C = re.compile(r"VERBATIM\s*(return\s*\(?\s*0\s*\)?\s*;)?\s*ENDVERBATIM")
_CURES = {
    "WHILE": "write a WHILE loop as a closed formula",
    "LONGITUDINAL_DIFFUSION": "remove LONGITUDINAL_DIFFUSION: segments exchange no substance here",
    "WATCH": "a condition that is watched sends events of its own; test it in BREAKPOINT",
    "FOR_NETCONS": "a point process has one connection here; write what it does without the loop",
    "LAG": "LAG needs the past of a variable, which is not kept",
}


def body(words: Words) -> tuple[Node, ...]:
    """The statements between braces."""
    words.expect("{")
    found: list[Node] = []
    while not words.take("}"):
        if words.now.kind == "end":
            refuse(words.path, words.now.line, "syntax error: the file ends inside a block; close it with '}'")
        found.extend(_statement(words))
    return tuple(found)


def _statement(words: Words) -> tuple[Node, ...]:
    word, line = words.now, words.now.line
    if word.kind == "verbatim":
        words.next()
        if _EMPTY_C.fullmatch(word.text):
            return ()
        return (Refused(line, "VERBATIM is C code, which is not translated; write it in NMODL"),)
    if word.text in _LINEWISE:
        words.next()
        return ()
    if word.text == "~":
        return (_tilde(words),)
    if word.text == "{":
        return (Branch(line, Call("always", ()), body(words), ()),)
    if word.kind == "name" and (reader := KEYWORDS.get(word.text)):
        words.next()
        return reader(words, line)
    if word.text in _CURES or word.text == "while":
        return (_refused(words, line),)
    return (_plain(words, line),)


def _plain(words: Words, line: int) -> Node:
    target = words.expression(4)
    if isinstance(target, Call) and target.function != "[]":
        return Invoke(line, target)
    words.expect("=")
    value = words.expression()
    if isinstance(target, Name):
        return Set(line, target.name, value)
    assert isinstance(target, Call)
    array, index = target.arguments
    return Set(line, array.name, value, index)  # type: ignore[union-attr]


def _refused(words: Words, line: int) -> Node:
    """Step over a statement of a kind that is not translated."""
    what = words.next().text
    while words.now.text not in ("{", "}") and words.now.line == line:
        words.next()
    if words.now.text == "{":
        depth = 0
        while True:
            depth += {"{": 1, "}": -1}.get(words.next().text, 0)
            if depth == 0 or words.now.kind == "end":
                break
    return Refused(line, f"{what} is not translated; {_CURES[what.upper()]}")


def _local(words: Words, line: int) -> tuple[Node, ...]:
    names, sizes = [], []
    while True:
        name = words.name()
        if words.now.text == "[":
            sizes.append((name, words.size()))
        else:
            names.append(name)
        if not words.take(","):
            return (Local(line, tuple(names), tuple(sizes)),)


def _loop(words: Words, line: int) -> tuple[Node, ...]:
    counter = words.name()
    words.expect("=")
    first = words.expression()
    words.expect("TO")
    last, step = words.expression(), Number(1.0)
    if words.take("BY"):
        step = words.expression()
    return (Loop(line, counter, first, last, step, body(words)),)


def _branch(words: Words, line: int) -> tuple[Node, ...]:
    words.expect("(")
    test = words.expression()
    words.expect(")")
    then = body(words)
    otherwise: tuple[Node, ...] = ()
    if words.now.text in ("else", "ELSE"):
        words.next()
        again = words.now
        if again.text in ("if", "IF"):
            words.next()
            otherwise = _branch(words, again.line)
        else:
            otherwise = body(words)
    return (Branch(line, test, then, otherwise),)


def _solve(words: Words, line: int) -> tuple[Node, ...]:
    block, method, steady = words.name(), "", False
    if words.now.text in ("METHOD", "USING", "STEADYSTATE"):
        steady = words.next().text == "STEADYSTATE"
        method = words.name()
    if words.now.text == "IFERROR":
        words.next()
        body(words)
    return (Solve(line, block, method, steady),)


def _terms(words: Words) -> Terms:
    found = []
    while True:
        count = int(words.next().text) if words.now.kind == "number" else 1
        species: Expression = Name(words.name())
        if words.take("["):
            species = Call("[]", (species, words.expression()))
            words.expect("]")
        found.append((count, species))
        if not words.take("+"):
            return tuple(found)


def _tilde(words: Words) -> Node:
    """A reaction, or an equation of a LINEAR block."""
    line, start = words.next().line, words.place
    try_reaction = [w.text for w in words.words[start : start + 40] if w.line == line]
    if not {"<->", "->", "<<"} & set(try_reaction):
        one = words.expression()
        words.expect("=")
        return Equation(line, one, words.expression())
    left = _terms(words)
    arrow = words.next().text
    right = _terms(words) if arrow == "<->" else ()
    words.expect("(")
    start = words.place
    rates: tuple[Expression, ...] = words.many(words.expression)
    if arrow != "<<" and _bare_sum(words, start):
        what = "a rate is a sum, of which NEURON multiplies only the last term by the concentrations"
        return Refused(line, f"{what}; put the rate into parentheses")
    return Reaction(line, arrow, left, right, rates)


def _bare_sum(words: Words, start: int) -> bool:
    """Is there a + or - between two terms outside all parentheses, in the rates that were read from `start` on?"""
    depth, before = 0, "("
    for word in words.words[start : words.place - 1]:
        if word.text in "+-" and depth == 0 and before not in "(,*/^":
            return True
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(word.text, 0)
        before = word.text
    return False


def _conserve(words: Words, line: int) -> tuple[Node, ...]:
    terms = _terms(words)
    words.expect("=")
    return (Conserve(line, terms, words.expression()),)


def _compartment(words: Words, line: int) -> tuple[Node, ...]:
    counter = ""
    if words.now.kind == "name" and words.ahead().text == ",":
        counter = words.name()
        words.next()
    volume = words.expression()
    words.expect("{")
    species = []
    while not words.take("}"):
        species.append(words.name())
        words.take(",")
    return (Compartment(line, volume, tuple(species), counter),)


def _table(words: Words, line: int) -> tuple[Node, ...]:
    names: list[str] = []
    while words.now.text not in ("DEPEND", "FROM", "}"):
        names.append(words.name())
        words.take(",")
    while words.now.text not in ("FROM", "}"):  # DEPEND: here a table is made anew for every kernel
        words.next()
    words.expect("FROM")
    low = words.expression()
    words.expect("TO")
    high = words.expression()
    words.expect("WITH")
    return (Tabled(line, tuple(names), low, high, words.expression()),)


def _conductance(words: Words, line: int) -> tuple[Node, ...]:
    """CONDUCTANCE is a hint; conductances are found from the currents themselves."""
    words.name()
    if words.take("USEION"):
        words.name()
    return ()


KEYWORDS = {
    "INITIAL": lambda words, line: (Start(line, body(words)),),
    "LOCAL": _local,
    "FROM": _loop,
    "if": _branch,
    "IF": _branch,
    "SOLVE": _solve,
    "CONSERVE": _conserve,
    "COMPARTMENT": _compartment,
    "TABLE": _table,
    "CONDUCTANCE": _conductance,
    "PROTECT": lambda words, line: (_plain(words, line),),
}
