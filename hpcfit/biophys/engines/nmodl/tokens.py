"""What are the words of an NMODL text, and on which line is each?"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from hpcfit.errors import MechanismError

_TOKEN = re.compile(
    r"""
    (?P<skip>[ \t\r]+ | [:?][^\n]*)
  | (?P<newline>\n)
  | (?P<comment>\bCOMMENT\b.*?\bENDCOMMENT\b)
  | (?P<verbatim>\bVERBATIM\b.*?\bENDVERBATIM\b)
  | (?P<title>\bTITLE\b[^\n]*)
  | (?P<number>(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)?)
  | (?P<name>[A-Za-z_]\w*)
  | (?P<string>"[^"\n]*")
  | (?P<symbol><->|<<|->|<=|>=|==|!=|&&|\|\||[-+*/^%<>=!(){}\[\],~'&.@\#|$;\\])
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """A word: `kind` is number, name, string, symbol, verbatim or end; `start`, `stop` are its place in the text."""

    kind: str
    text: str
    line: int
    start: int
    stop: int


def refuse(path: Path, line: int, what: str) -> NoReturn:
    """Raise the error of a construct: every refusal names file and line."""
    raise MechanismError(f"{path}, line {line}: {what}")


def tokens_of(text: str, path: Path) -> list[Token]:
    """All words but comments and titles, then one of kind end.  Raises MechanismError at a character NMODL lacks."""
    found, line, place = [], 1, 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            refuse(path, line, f"syntax error at {text[place]!r}; mend it")
        kind = match.lastgroup or ""
        if kind in ("number", "name", "string", "symbol", "verbatim"):
            found.append(Token(kind, match.group(), line, place, match.end()))
        line += match.group().count("\n")
        place = match.end()
    return [*found, Token("end", "end of file", line, place, place)]
