"""Settings from what a caller gave by the names of another package."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar, cast

from hpcfit.errors import ConfigError

T = TypeVar("T")


def made(kind: type[T], given: Mapping[str, Any] | None, title: str) -> T:
    """The settings, a dataclass, with these values.  Raises ConfigError when there is none of a name."""
    known = {each.name for each in fields(cast(Any, kind))}
    for name in given or {}:
        if name not in known:
            raise ConfigError(f"{title}: there is no {name}; there are {', '.join(sorted(known))}")
    return kind(**dict(given or {}))
