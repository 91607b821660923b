"""How are NMODL's expressions read?  Precedence as in nocmodl: || && comparison +- */ unary ^, ^ to the right."""

from collections.abc import Callable
from pathlib import Path

from hpcfit.biophys.codegen.ir import Binary, Call, Expression, Name, Number, Unary
from hpcfit.biophys.engines.nmodl.tokens import Token, refuse

_LEVELS = (("||",), ("&&",), ("<", "<=", ">", ">=", "==", "!="), ("+", "-"), ("*", "/"))


class Words:
    """A place in the words of a file, and the expressions that start there."""

    def __init__(self, words: list[Token], text: str, path: Path) -> None:
        self.words, self.text, self.path, self.place = words, text, path, 0
        self.defines: dict[str, float] = {}
        """What DEFINE has named so far: a number may be given by such a name."""

    @property
    def now(self) -> Token:
        return self.words[self.place]

    def ahead(self, count: int = 1) -> Token:
        return self.words[min(self.place + count, len(self.words) - 1)]

    def next(self) -> Token:
        word = self.now
        self.place = min(self.place + 1, len(self.words) - 1)
        return word

    def take(self, text: str) -> bool:
        """Step over the next word if it is this one."""
        if self.now.text != text or self.now.kind == "end":
            return False
        self.next()
        return True

    def expect(self, text: str) -> Token:
        if self.now.text != text:
            refuse(self.path, self.now.line, f"syntax error at {self.now.text!r}, where {text!r} is due; mend it")
        return self.next()

    def name(self) -> str:
        if self.now.kind != "name":
            refuse(self.path, self.now.line, f"syntax error at {self.now.text!r}, where a name is due; mend it")
        return self.next().text

    def names(self) -> tuple[str, ...]:
        """Names with commas between them."""
        found = [self.name()]
        while self.take(","):
            found.append(self.name())
        return tuple(found)

    def many(self, one: Callable[[], Expression]) -> tuple[Expression, ...]:
        """Items with commas between them, up to a closing parenthesis, which is stepped over."""
        found = []
        while not self.take(")"):
            found.append(one())
            self.take(",")
        return tuple(found)

    def signed(self) -> float:
        sign = -1.0 if self.take("-") else 1.0
        self.take("+")
        word = self.next()
        if word.text in self.defines:
            return sign * self.defines[word.text]
        if word.kind != "number":
            refuse(self.path, word.line, f"syntax error at {word.text!r}, where a number is due; mend it")
        return sign * float(word.text)

    def size(self) -> int:
        """The [number] of an array."""
        self.expect("[")
        line, size = self.now.line, self.signed()
        if not (size >= 1 and size == int(size)):
            refuse(self.path, line, f"an array of {size:g} elements; give a whole number above 0")
        self.expect("]")
        return int(size)

    def unit(self) -> str:
        """The text between the parentheses that come next."""
        start = self.expect("(")
        depth = 1
        while depth and self.now.kind != "end":
            word = self.next()
            depth += {"(": 1, ")": -1}.get(word.text, 0)
        return self.text[start.stop : word.start]

    def units(self) -> None:
        """Step over a unit where there is one."""
        if self.now.text == "(":
            self.unit()

    def expression(self, level: int = 0) -> Expression:
        if level == len(_LEVELS):
            return self._unary()
        left = self.expression(level + 1)
        while self.now.kind == "symbol" and self.now.text in _LEVELS[level]:
            operator = self.next().text
            left = Binary(operator, left, self.expression(level + 1))  # type: ignore[arg-type]
        return left

    def _unary(self) -> Expression:
        if self.now.kind == "symbol" and self.now.text in "-!+":
            operator = self.next().text
            operand = self._unary()
            return operand if operator == "+" else Unary(operator, operand)  # type: ignore[arg-type]
        base = self._atom()
        return Binary("^", base, self._unary()) if self.take("^") else base

    def _atom(self) -> Expression:
        word = self.next()
        if word.text == "(":
            inside = self.expression()
            self.expect(")")
            return inside
        if word.kind == "number":
            # A unit may follow a number; what follows an operand can be nothing else that opens a parenthesis.
            self.units()
            return Number(float(word.text))
        if word.kind == "string":
            return Call("text", ())
        if word.kind != "name":
            refuse(self.path, word.line, f"syntax error at {word.text!r} in an expression; mend it")
        if self.take("("):
            return Call(word.text, self.many(self.expression))
        name = word.text + ("'" if self.take("'") else "")
        if self.take("["):
            index = self.expression()
            self.expect("]")
            name += "'" if self.take("'") else ""
            return Call("[]", (Name(name), index))
        return Name(name)
