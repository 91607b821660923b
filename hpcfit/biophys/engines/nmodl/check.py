"""What does the batched engine do with a .mod file: translate it, or refuse what, where, and what is to be done?"""

import re
from dataclasses import dataclass
from pathlib import Path

from hpcfit.biophys.engines.nmodl.front import read_mechanism
from hpcfit.biophys.engines.nmodl.parser import REFUSED_BLOCKS, REFUSED_NEURON
from hpcfit.biophys.engines.nmodl.tokens import Token, tokens_of
from hpcfit.errors import InputError, MechanismError

_REMARKS = {
    "TABLE": "TABLE is honoured in double precision and left out in single; engine.tables decides",
    "THREADSAFE": "",
    "PROTECT": "PROTECT is not needed: instances share nothing here",
    "MUTEXLOCK": "MUTEXLOCK is not needed: instances share nothing here",
    "CONDUCTANCE": "CONDUCTANCE is a hint that is not needed: conductances are found from the currents",
    "printf": "printf prints nothing",
    "fprintf": "fprintf prints nothing",
    "LAG": "LAG needs the past of a variable, which is not kept; remove it",
}


@dataclass(frozen=True)
class Finding:
    """One thing about a file: where and what."""

    line: int
    what: str


@dataclass(frozen=True)
class Checked:
    """What becomes of a .mod file.

    Attributes
    ----------
    name, kind
        As in the file; empty where it is refused.
    refusals
        Why it is not translated, by line; none where it is.
    remarks
        What is accepted but not done as it is written.
    """

    path: Path
    name: str
    kind: str
    refusals: tuple[Finding, ...]
    remarks: tuple[Finding, ...]


def check_file(path: Path) -> Checked:
    """Try to translate one file.  A refusal is a finding, not an error."""
    try:
        mechanism = read_mechanism(path)
    except InputError as error:
        return Checked(path, "", "", _refusals(path, error), ())
    remarks = tuple(
        Finding(word.line, _REMARKS[word.text])
        for word in _words(path)
        if _REMARKS.get(word.text) and word.kind == "name"
    )
    return Checked(path, mechanism.name, mechanism.kind, (), remarks)


def _refusals(path: Path, error: InputError) -> tuple[Finding, ...]:
    """The refusal that stopped the translation, and the constructs elsewhere that are refused wherever they stand."""
    found = re.match(rf"{re.escape(str(path))}(?:, line (\d+))?: (.*)", str(error), flags=re.DOTALL)
    line, what = (int(found[1] or 0), found[2]) if found else (0, str(error))
    first = Finding(line, what)
    words = _words(path)
    others = [
        Finding(w.line, f"{w.text} is not translated: {cure}") for w in words if (cure := _always_refused(w, words))
    ]
    return tuple(sorted({first, *(other for other in others if other.line != line)}, key=lambda finding: finding.line))


def _always_refused(word: Token, words: list[Token]) -> str:
    if word.kind != "name":
        return ""
    if word.text in REFUSED_NEURON and words[0].text:
        return REFUSED_NEURON[word.text]
    opens = next((w.text for w in words if w.start > word.start and w.text in "{("), "") == "{"
    return REFUSED_BLOCKS[word.text] if word.text in REFUSED_BLOCKS and opens else ""


def _words(path: Path) -> list[Token]:
    try:
        return tokens_of(path.read_text(errors="replace"), path)
    except (OSError, MechanismError):
        return []
