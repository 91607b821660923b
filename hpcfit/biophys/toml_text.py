"""How is a value written in TOML?  Only what settings files need; Python reads TOML but does not write it."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

_BARE = re.compile(r"^[A-Za-z0-9_-]+$")


def key(name: str) -> str:
    """A key, quoted where it must be."""
    return name if _BARE.match(name) else json.dumps(name, ensure_ascii=False)


def value(item: object) -> str:
    """A number, text, path, list or (inline) table."""
    match item:
        case bool():
            return "true" if item else "false"
        case float():
            return repr(item)
        case int():
            return str(item)
        case str() | Path():
            return json.dumps(str(item), ensure_ascii=False)
        case Mapping():
            return "{ " + ", ".join(f"{key(str(name))} = {value(each)}" for name, each in item.items()) + " }"
        case Sequence():
            return "[" + ", ".join(value(each) for each in item) + "]"
    raise TypeError(f"{item!r} cannot be written as TOML")


def pairs(table: Mapping[str, object]) -> list[str]:
    """One line a key."""
    return [f"{key(name)} = {value(item)}" for name, item in table.items()]


def wrapped(lines: Sequence[str], width: int = 120) -> list[str]:
    """The lines of `pairs`, lists of texts longer than `width` broken after commas."""
    broken: list[str] = []
    for line in lines:
        head, bracket, items = line.partition(" = [")
        if len(line) <= width or not bracket:
            broken.append(line)
            continue
        broken += [f"{head} = [", *_filled(items.removesuffix("]").split(", "), width), "]"]
    return broken


def _filled(items: Sequence[str], width: int) -> list[str]:
    rows = [" "]
    for item in items:
        if len(rows[-1]) + len(item) + 2 > width:
            rows.append(" ")
        rows[-1] += f" {item},"
    return rows
