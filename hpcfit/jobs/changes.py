"""What does --set KEY=VALUE make of a fit file?  The file's tables, changed before they are validated.

KEY is a place as errors write it: run.seed, strategy.mutation.rate, stimuli[0].duration_ms, or by name
stimuli[step].duration_ms, parameters[g_pas.all].bounds.  VALUE is TOML; text needs no quotes.  stimuli=a+b keeps these.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from hpcfit.biophys.settings import FitSettings
from hpcfit.config import read_toml, validate
from hpcfit.errors import ConfigError

_STEP = re.compile(r"([^.\[\]]+)|\[([^\[\]]*)\]")


def split_assignment(text: str, option: str = "--set") -> tuple[str, str]:
    """KEY=VALUE as (KEY, VALUE).  Raises ConfigError."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip() or not value.strip():
        raise ConfigError(f"{option} {text!r}: write KEY=VALUE, for example {option} run.seed=3")
    return key.strip(), value.strip()


def changed_settings(path: str | Path, assignments: Sequence[str]) -> FitSettings:
    """The settings of a fit file with some values given otherwise.

    Raises
    ------
    ConfigError
        When the file is unusable by itself, a place does not exist, or a value is none that it may have.
    """
    path = Path(path)
    tables, folder = read_toml(path), path.resolve().parent
    settings = validate(FitSettings, tables, path, folder)
    if not assignments:
        return settings
    return settings_with(tables, assignments, path, folder)


def settings_with(tables: Mapping[str, Any], assignments: Sequence[str], path: Path, folder: Path) -> FitSettings:
    """`changed_settings`, of tables that were read already."""
    changed = deepcopy(dict(tables))
    pairs = [split_assignment(text) for text in assignments]
    for key, _ in pairs:
        if sum(key == other for other, _ in pairs) > 1:
            raise ConfigError(f"--set {key} is given twice; give it once")
    for key, value in pairs:
        if key == "stimuli":
            _keep_stimuli(changed, value)
        else:
            _assign(changed, key, _value(value))
    return validate(FitSettings, changed, f"{path} with {' '.join(f'--set {text}' for text in assignments)}", folder)


def _value(text: str) -> Any:
    """As TOML reads it; text that TOML does not know is itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _assign(tables: dict[str, Any], key: str, value: Any) -> None:
    steps = _steps(key)
    place: Any = tables
    for number, step in enumerate(steps[:-1]):
        place = place.setdefault(step, {}) if isinstance(place, dict) else place[_index(place, step, key)]
        if not isinstance(place, dict | list):
            raise ConfigError(f"--set {key}: {_joined(steps[: number + 1])} is no table, but {place!r}")
    if isinstance(place, dict):
        place[steps[-1]] = value
    else:
        place[_index(place, steps[-1], key)] = value


def _steps(key: str) -> list[str]:
    steps, end = [], 0
    for match in _STEP.finditer(key):
        if key[end : match.start()] not in ("", "."):
            break
        steps.append(match[1] if match[1] is not None else f"[{match[2]}]")
        end = match.end()
    if end != len(key) or not steps or steps[0].startswith("["):
        raise ConfigError(f"--set {key}: no place in a fit file; write it as run.seed or stimuli[step].duration_ms")
    return steps


def _joined(steps: Sequence[str]) -> str:
    return ".".join(steps).replace(".[", "[")


def _index(entries: list[Any], step: str, key: str) -> int:
    """Of the entry with that number or name.  Raises ConfigError."""
    wanted = step.strip("[]")
    names = [_name(entry) for entry in entries]
    if step.startswith("[") and wanted in names:
        return names.index(wanted)
    if step.startswith("[") and wanted.isdigit() and int(wanted) < len(entries):
        return int(wanted)
    known = ", ".join(f"[{name}]" for name in names if name) or f"[0] to [{len(entries) - 1}]"
    raise ConfigError(f"--set {key}: there is no {step} in that list of {len(entries)}; known: {known}")


def _name(entry: Any) -> str:
    if not isinstance(entry, dict):
        return ""
    if "variable" in entry and "name" not in entry:  # a parameter's default, as ParameterSettings makes it
        return ".".join(filter(None, [str(entry["variable"]), "+".join(entry.get("regions") or ())]))
    return str(entry.get("name", ""))


def _keep_stimuli(tables: dict[str, Any], text: str) -> None:
    """Only the stimuli named a+b, and what belongs to them: targets, score functions, budgets of weights."""
    wanted = [name.strip() for name in text.split("+")]
    known = [_name(entry) for entry in tables.get("stimuli", ())]
    for name in wanted:
        if name not in known:
            raise ConfigError(f"--set stimuli={text}: there is no stimulus {name!r}; known: {', '.join(known)}")
    tables["stimuli"] = [entry for entry in tables["stimuli"] if _name(entry) in wanted]
    tables["targets"] = {name: target for name, target in tables.get("targets", {}).items() if name in wanted}
    if not tables["targets"]:
        raise ConfigError(f"--set stimuli={text}: none of them has a target; keep one of those that have")
    budget = tables.get("weighting", {}).get("budget")
    if isinstance(budget, dict):
        tables["weighting"]["budget"] = {name: part for name, part in budget.items() if name in wanted}
    if "scores" in tables:
        tables["scores"] = [kept for score in tables["scores"] if (kept := _for_stimuli(score, wanted))]
        if not tables["scores"]:
            raise ConfigError(f"--set stimuli={text}: no [[scores]] is left for them; keep a stimulus that is scored")


def _for_stimuli(score: dict[str, Any], wanted: Sequence[str]) -> dict[str, Any] | None:
    if not score.get("stimuli"):
        return score
    left = [name for name in score["stimuli"] if name in wanted]
    return {**score, "stimuli": left} if left else None
