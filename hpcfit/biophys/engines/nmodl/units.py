"""What number does `F = (faraday) (coulomb)` stand for?  NEURON's own table of units decides.

Its syntax: products by - or space, quotients by / (all that follows one is below), powers as trailing digits,
prefixes, plurals; a number may be written 1.38-23 for 1.38e-23 or 5|9 for a fraction.
"""

import importlib.util
import re
from functools import cache
from pathlib import Path

from hpcfit.errors import EngineError

_PRIMITIVE = re.compile(r"\*[a-j]\*")
_PREFIX = re.compile(r"/([A-Za-z]+)-\s+(\S+)")  # a line such as /milli-  1e-3; other lines with / are comments
_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)(?:[eE]?([-+]\d+)|[eE](\d+))?(?:\|(\d+\.?\d*))?")

Dimension = tuple[int, ...]
Unit = tuple[float, Dimension]
_NONE: Dimension = (0,) * 10


class UnknownUnit(ValueError):
    """No such unit, or two that do not measure the same."""


@cache
def _table() -> tuple[dict[str, str], dict[str, float]]:
    """Units and prefixes of the table that is installed with NEURON (found without importing it)."""
    found = importlib.util.find_spec("neuron")
    places = [Path(p) / ".data/share" for p in (found.submodule_search_locations or [])] if found else []
    file = next((f for p in places for f in (p / "nrn/lib/nrnunits.lib", p / "nmodl/nrnunits.lib") if f.exists()), None)
    if file is None:
        raise EngineError("NEURON's table of units (nrnunits.lib) is not found; reinstall NEURON (pip install neuron)")
    units: dict[str, str] = {}
    prefixes: dict[str, float] = {}
    for line in file.read_text().splitlines():
        words = line.split(None, 1)
        if prefix := _PREFIX.match(line):
            prefixes[prefix[1]] = prefixes[prefix[2]] if prefix[2] in prefixes else float(prefix[2])
        elif len(words) == 2 and not line.startswith("/"):
            units.setdefault(words[0], words[1].strip())
    return units, prefixes


def factor(one: str, other: str, own: dict[str, str]) -> float:
    """How many `other` there are in `one`.  own: units that the .mod file defines.  Raises UnknownUnit."""
    (a, of_a), (b, of_b) = _evaluate(one, own), _evaluate(other, own)
    if of_a != of_b:
        raise UnknownUnit(f"({one}) and ({other}) do not measure the same")
    return a / b


def _evaluate(text: str, own: dict[str, str]) -> Unit:
    value, dimension, power = 1.0, _NONE, 1
    for word in re.findall(r"/|[^\s/]+", text):
        if word == "/":
            power = -1
            continue
        for number, rest in _factors(word):
            factor_value, factor_dimension = (number, _NONE) if rest is None else _power(rest, own)
            value = value * factor_value if power > 0 else value / factor_value
            dimension = tuple(d + power * f for d, f in zip(dimension, factor_dimension, strict=True))
    return value, dimension


def _factors(word: str) -> list[tuple[float, str | None]]:
    """The numbers and names of a word such as 5|9, 1.6-19, k-mole or kg-m."""
    found: list[tuple[float, str | None]] = []
    while word:
        if match := _NUMBER.match(word):
            whole, short, long, below = match.groups()
            found.append((float(f"{whole}e{short or long or 0}") / float(below or 1), None))
            word = word[match.end() :].lstrip("-")
            continue
        name, _, word = word.partition("-")
        found.append((1.0, name))
    return found


def _power(name: str, own: dict[str, str]) -> Unit:
    units, _ = _table()
    exponent = 1
    if name not in own and name not in units and name[-1].isdigit():
        name, exponent = name[:-1], int(name[-1])
    value, dimension = _named(name, own)
    return value**exponent, tuple(d * exponent for d in dimension)


def _named(name: str, own: dict[str, str]) -> Unit:
    units, prefixes = _table()
    if name in own:
        # A unit defined by itself, such as (S) = (siemens), must not be looked up in the file again.
        return _evaluate(own[name], {k: v for k, v in own.items() if k != name})
    if name in units:
        if _PRIMITIVE.fullmatch(units[name]):
            return 1.0, tuple(int(i == "abcdefghij".index(units[name][1])) for i in range(10))
        return _evaluate(units[name], own)
    if name.endswith("s") and name[:-1] in (own | units):
        return _named(name[:-1], own)
    for prefix in sorted(prefixes, key=len, reverse=True):
        if name.startswith(prefix) and (name in prefixes or len(name) > len(prefix)):
            rest = name[len(prefix) :]
            value, dimension = _named(rest, own) if rest else (1.0, _NONE)
            return prefixes[prefix] * value, dimension
    raise UnknownUnit(f"no unit ({name}) is known")
