"""Read a TOML file into frozen, validated settings; every error names file, key, value got and values accepted."""

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo

from hpcfit.errors import ConfigError


class Settings(BaseModel):
    """Base of all settings: frozen, and a key that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


S = TypeVar("S", bound=Settings)


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises
    ------
    ConfigError
        When the file is missing, unreadable or not TOML (with the line).
    """
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; give the path of a settings file (TOML)") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    return (folder / path).resolve() if folder else path


InputPath = Annotated[Path, AfterValidator(_beside_the_file)]
"""A path in a settings file: relative to that file, wherever the command was typed."""


def validate(model: type[S], tables: dict[str, Any], where: str | Path, folder: Path | None = None) -> S:
    """Settings of type `model` from tables that came from `where` (named in errors); paths start at `folder`.

    Raises
    ------
    ConfigError
        One line for the first thing wrong, and how many more there are.
    """
    try:
        return model.model_validate(tables, context={"folder": folder})
    except ValidationError as error:
        problems = error.errors(include_url=False)
        # A misspelt key shows up twice: unknown here, missing there.  The unknown one is what the user must read.
        first = min(problems, key=lambda problem: problem["type"] != "extra_forbidden")
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ConfigError(f"{where}: {_describe(first, model)}{more}") from None


def _describe(problem: Any, model: type[BaseModel]) -> str:
    key = _key_path(problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key}{_nearest(problem['loc'], model)}"
    if problem["type"] == "missing":
        return f"{key} is missing; {_expectation(problem)}"
    got = problem.get("input")
    shown = f" = {_short(got)}" if not isinstance(got, dict) else ""
    return f"{key}{shown}: {_expectation(problem)}"


def _expectation(problem: Any) -> str:
    message = str(problem["msg"])
    if problem["type"] == "missing":
        return "add it"
    return message.removeprefix("Value error, ").replace("Input should be", "must be")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _key_path(loc: tuple[Any, ...]) -> str:
    """TOML's way of writing a place: stimuli[0].electrodes[1].delay_ms (counted from 0)."""
    path = ""
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not _is_union_tag(part):
            path += f".{part}" if path else str(part)
    return path or "(top level)"


def _is_union_tag(part: str) -> bool:
    # pydantic puts the tag of a discriminated union into the location; it is no key of the file.
    return part.startswith("tag:")


def _nearest(loc: tuple[Any, ...], model: type[BaseModel]) -> str:
    parent = _model_at(loc[:-1], model)
    known = sorted(_keys(parent)) if parent else []
    close = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known here: {', '.join(known)}" if known else ""


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_at(loc: tuple[Any, ...], model: type[BaseModel]) -> type[BaseModel] | None:
    """The settings class that a location inside `model` leads to."""
    candidates: list[Any] = [model]
    for part in loc:
        following: list[Any] = []
        for candidate in candidates:
            if isinstance(part, str) and part in candidate.model_fields:
                following += _models_in(candidate.model_fields[part].annotation)
            elif isinstance(part, str) and part.startswith("tag:"):
                following += [candidate] if _tag(candidate) == part else []
            else:  # an index of a list, or a key of a table of tables
                following.append(candidate)
        candidates = following
    return candidates[0] if candidates else None


def _tag(model: type[BaseModel]) -> str | None:
    for name in ("shape", "kind"):
        if name in model.model_fields:
            return f"tag:{get_args(model.model_fields[name].annotation)[0]}"
    return None


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
