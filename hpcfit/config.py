"""Read a TOML file into frozen, validated settings; every error names file, key, value got and values accepted."""

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from hpcfit.errors import ConfigError


class Settings(BaseModel):
    """Base of all settings: frozen, and a key that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Python takes true for 1; TOML does not, and neither does a person."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("must not be true or false")
        return value


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
        problems = _own(error.errors(include_url=False), model)
        first = min(problems, key=lambda problem: not _is_unknown_key(problem))
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ConfigError(f"{where}: {_describe(first, model)}{more}") from None


def _own(problems: list[Any], model: type[BaseModel]) -> list[Any]:
    """The problems less those that only follow from another one.

    A misspelt key is unknown, and missing under its right name; a list with one bad entry is found too short.
    """
    meant = {
        (*problem["loc"][:-1], _nearest(problem["loc"], model)) for problem in problems if _is_unknown_key(problem)
    }
    places = [problem["loc"] for problem in problems]

    def follows(problem: Any) -> bool:
        loc = problem["loc"]
        inside = any(len(other) > len(loc) and other[: len(loc)] == loc for other in places)
        return (problem["type"] == "missing" and loc in meant) or (problem["type"] == "too_short" and inside)

    return [problem for problem in problems if not follows(problem)]


def _is_unknown_key(problem: Any) -> bool:
    return problem["type"] == "extra_forbidden" or problem["loc"][-1:] == ("[key]",)


def _describe(problem: Any, model: type[BaseModel]) -> str:
    kind, loc, got = problem["type"], problem["loc"], problem.get("input")
    if kind == "extra_forbidden":
        return f"unknown key {_key_path(loc)}{_offer(loc, model)}"
    if loc[-1:] == ("[key]",):
        return f"unknown key {_key_path(loc[:-1])}; it {_expectation(problem)}"
    if kind == "missing":
        return f"{_key_path(loc)} is missing; add it"
    if kind.startswith("unknown_") and isinstance(got, dict):  # the key that says which table of a union this is
        key = kind.removeprefix("unknown_")
        loc, got = (*loc, key), got.get(key)
    shown = f" = {_short(got)}" if not isinstance(got, dict | list) and got is not None else ""
    place = f"{_key_path(loc)}{shown}: " if loc else ""
    return f"{place}{_expectation(problem)}"


_EXPECTED = {
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "path_type": "must be a path, as text",
}
"""What TOML and people call it, where pydantic's words are those of Python."""


def _expectation(problem: Any) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "tuple_type" and isinstance(problem.get("input"), dict):
        return f"must be a list of tables; write [[{_key_path(problem['loc'])}]]"
    for theirs in ("Input should be", "String should", "Tuple should"):
        message = message.replace(theirs, f"must{theirs.partition('should')[2]}")
    return _EXPECTED.get(problem["type"], message)


def _short(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
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


def _offer(loc: tuple[Any, ...], model: type[BaseModel]) -> str:
    if near := _nearest(loc, model):
        return f"; did you mean {near}?"
    known = _known(loc, model)
    return f"; known here: {', '.join(known)}" if known else ""


def _nearest(loc: tuple[Any, ...], model: type[BaseModel]) -> str | None:
    close = difflib.get_close_matches(str(loc[-1]), _known(loc, model), n=1, cutoff=0.6)
    return close[0] if close else None


def _known(loc: tuple[Any, ...], model: type[BaseModel]) -> list[str]:
    parent = _model_at(loc[:-1], model)
    return sorted(_keys(parent)) if parent else []


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
