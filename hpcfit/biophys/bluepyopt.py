"""How is a BluePyOpt model written as a fit file?  Reads its JSON files, writes TOML (Van Geit et al. 2016).

Understood: the folder of BluePyOpt's examples (mechanisms.json, parameters.json or params.json with fixed_params.json,
protocols.json, features.json), and BluePyEModel's params.json with its extracted features (efeatures and protocols in
one file).  What has no counterpart here is told in notes, never dropped in silence.
"""

import json
import os
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from hpcfit.biophys.bluepyopt_parameters import Model, read_entries, read_lists, read_tables
from hpcfit.biophys.bluepyopt_protocols import Protocols, plain, read_features, read_protocols
from hpcfit.biophys.settings import FitSettings
from hpcfit.biophys.toml_text import key, pairs, value, wrapped
from hpcfit.config import validate
from hpcfit.errors import ConfigError, InputError

_MORPHOLOGIES = (".asc", ".swc")
_EFEL = {
    "Threshold": "threshold_mV",
    "DerivativeThreshold": "derivative_threshold",
    "interp_step": "interpolation_step_ms",
    "strict_stiminterval": "strict_stimulus_interval",
}


def import_model(
    folder: Path,
    saved_in: Path | None = None,
    morphology: Path | None = None,
    mechanisms: Path | None = None,
    name: str | None = None,
) -> tuple[str, tuple[str, ...]]:
    """The text of a fit file for a BluePyOpt model, and notes: assumptions made, things left out.

    Parameters
    ----------
    folder
        Where the JSON files are.
    saved_in
        The folder that the fit file will be saved in: paths are written relative to it.  Default: absolute paths.
    morphology, mechanisms
        The cell's morphology, and the folder of its .mod files; default: looked for in and beside `folder`.
    name
        The fit's; default: the folder's.

    Raises
    ------
    InputError
        When a file is missing or no JSON.
    ConfigError
        When something in a file cannot be understood, or what it says makes no valid fit.
    """
    model, protocols = _read(folder)
    model.name_apart()
    cell = _cell(folder, morphology, mechanisms, saved_in, model)
    for stimulus in [each for each in protocols.stimuli if each not in protocols.statistics]:
        protocols.notes.append(f"{folder}: protocol {stimulus} is left out; no feature is read from it")
        del protocols.stimuli[stimulus]
    features = _feature_settings(protocols)
    text = _text(folder, plain(name or _default_name(folder)), cell, model, protocols, features)
    validate(FitSettings, tomllib.loads(text), f"{folder} (as a fit file)", saved_in)
    return text, tuple(model.notes + protocols.notes)


def _read(folder: Path) -> tuple[Model, Protocols]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the one that holds a model's JSON files")
    model, protocols = Model(), Protocols()
    try:
        tables = _json(folder, "params.json", dict) if (folder / "params.json").is_file() else {}
        if "mechanisms" in tables and "parameters" in tables:
            read_tables(str(folder / "params.json"), tables, model)
        else:
            _read_bluepyopt(folder, tables, model)
        features = _json(folder, "features.json", dict)
        if "efeatures" in features and "protocols" in features:
            read_protocols(str(folder / "features.json"), features["protocols"], protocols)
        else:
            read_protocols(str(folder / "protocols.json"), _json(folder, "protocols.json", dict), protocols)
        read_features(str(folder / "features.json"), features, protocols)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # JSON that is well formed but has a list where a table belongs, or lacks a key, shows up as one of these.
        raise ConfigError(
            f"{folder}: a file is not laid out like BluePyOpt's ({type(error).__name__}: {error}); compare it with the "
            "example l5pc of BluePyOpt"
        ) from error
    return model, protocols


def _read_bluepyopt(folder: Path, tables: dict[str, Any], model: Model) -> None:
    for section_list, names in _json(folder, "mechanisms.json", dict).items():
        model.insert(str(folder / "mechanisms.json"), section_list, names)
    if (folder / "parameters.json").is_file():
        read_entries(str(folder / "parameters.json"), _json(folder, "parameters.json", list), model)
        if tables:
            model.notes.append(
                f"{folder}: parameters.json is used, not its older form params.json with fixed_params.json"
            )
    elif tables:
        fixed = _json(folder, "fixed_params.json", dict)
        read_lists(str(folder / "fixed_params.json"), fixed, model, free=False)
        read_lists(str(folder / "params.json"), tables, model, free=True)
    else:
        raise InputError(
            f"{folder}: has neither parameters.json nor params.json; give the folder of a BluePyOpt model (of "
            "BluePyEModel, copy the files of parameters and of extracted features into one folder as params.json and "
            "features.json)"
        )


def _json(folder: Path, name: str, kind: type) -> Any:
    path = folder / name
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; a BluePyOpt model needs it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not valid JSON: line {error.lineno}: {error.msg}; mend the file") from None
    if not isinstance(content, kind):
        raise ConfigError(
            f"{path}: holds a {type(content).__name__}, expected a {kind.__name__}; is it the right file?"
        )
    return content


def _default_name(folder: Path) -> str:
    resolved = folder.resolve()
    return resolved.parent.name if resolved.name == "config" else resolved.name


def _cell(
    folder: Path, morphology: Path | None, mechanisms: Path | None, saved_in: Path | None, model: Model
) -> dict[str, Any]:
    found = morphology or _find_morphology(folder)
    cell: dict[str, Any] = {"morphology": _written(found, saved_in)}
    if mechanisms is None:
        near = [path for path in (folder / "mechanisms", folder.parent / "mechanisms") if any(path.glob("*.mod"))]
        mechanisms = near[0] if near else None
    if mechanisms is not None:
        cell["mechanisms"] = _written(mechanisms, saved_in)
    else:
        model.notes.append(f"{folder}: no folder of .mod files is there; name it in cell.mechanisms")
    for quantity, default in (("celsius", 6.3), ("v_init_mV", -65.0)):
        if quantity not in model.cell:
            model.notes.append(
                f"{folder}: {quantity} is not given; it is {default:g}, NEURON's default, as in BluePyOpt"
            )
        cell[quantity] = model.cell.get(quantity, default)
    cell["axon"] = "stub"
    model.notes.append(
        f"{folder}: the axon becomes a stub, as with BluePyOpt's do_replace_axon; else set axon = 'keep'"
    )
    return cell


def _find_morphology(folder: Path) -> Path:
    places = (folder, folder / "morphology", folder.parent / "morphology")
    files = [path for place in places if place.is_dir() for path in sorted(place.iterdir())]
    found = [path for path in files if path.suffix.lower() in _MORPHOLOGIES]
    if len(found) != 1:
        there = f"there are {', '.join(path.name for path in found)}" if found else "none is there"
        raise InputError(f"{folder}: needs one morphology (.asc or .swc), {there}; say which with the option for it")
    return found[0]


def _written(path: Path, saved_in: Path | None) -> str:
    absolute = path.resolve()
    return Path(os.path.relpath(absolute, saved_in.resolve())).as_posix() if saved_in else absolute.as_posix()


def _feature_settings(protocols: Protocols) -> dict[str, Any]:
    """EFEL settings that the features carry; there is one set a fit here, so the most common values."""
    chosen: dict[str, Any] = {}
    for efel, ours in _EFEL.items():
        given = Counter(item for name, item in protocols.settings if name == efel)
        if given:
            chosen[ours] = given.most_common(1)[0][0]
        if len(given) > 1:
            values = ", ".join(f"{item:g}" for item in given)
            protocols.notes.append(f"features differ in eFEL's {efel} ({values}); {chosen[ours]:g} is used for all")
    for efel in sorted({name for name, _ in protocols.settings} - set(_EFEL)):
        protocols.notes.append(f"eFEL's setting {efel} is left out; it has no counterpart here")
    return chosen


def _text(
    folder: Path, name: str, cell: dict[str, Any], model: Model, protocols: Protocols, features: dict[str, Any]
) -> str:
    lines = [f"# Imported from the BluePyOpt model in {folder.resolve().as_posix()}.", "schema = 1"]
    lines += [f"name = {value(name)}", "", *_parameter_lines(model)]
    lines += ["", "[cell]", *pairs(cell), "", "[cell.regions]", *pairs(model.regions)]
    for site, table in protocols.sites.items():
        lines += ["", "[[sites]]", *pairs({"name": site, **table})]
    for stimulus, table in protocols.stimuli.items():
        electrodes = table["electrodes"]
        rest = {name: item for name, item in table.items() if name != "electrodes"}
        lines += ["", "[[stimuli]]", *pairs({"name": stimulus, **rest})]
        lines += ["electrodes = [", *(f"  {value(electrode)}," for electrode in electrodes), "]"]
    lines += ["", "# feature = [mean, sd], from features.json"]
    for stimulus, sites in protocols.statistics.items():
        for site, statistics in sites.items():
            lines += [f"[targets.{key(stimulus)}.statistics.{key(site)}]", *pairs(statistics), ""]
    for score in _scores(protocols):
        lines += ["[[scores]]", *wrapped(pairs(score)), ""]
    if features:
        lines += ["[features]", *pairs(features), ""]
    lines += [
        "[penalties]",
        "# In BluePyOpt a feature without value, and every feature of a failed simulation, counts 250 sd.  It has no",
        "# cap; this one keeps features that have a value from counting more than those that have none.",
        *pairs({"undefined_feature": 250.0, "failed_simulation": 250.0, "cap": 250.0}),
        "",
        "[engine]",
        '# BluePyOpt integrates with CVODE; integrator = "fixed" is the default here.',
        *pairs({"kind": "neuron", "integrator": "cvode"}),
    ]
    return "\n".join(lines) + "\n"


def _parameter_lines(model: Model) -> list[str]:
    free = sum("bounds" in entry for entry in model.parameters)
    lines = [
        f"# {free} free parameters (bounds) and {len(model.parameters) - free} fixed ones (value), set in this order:",
        "# where two name the same place, the later one holds.",
        "parameters = [",
    ]
    place = None
    for entry in model.parameters:
        if entry.get("regions") != place:
            place = entry.get("regions")
            lines.append(f"  # {', '.join(place or ['everywhere'])}")
        lines.append(f"  {value(entry)},")
    return [*lines, "]"]


def _scores(protocols: Protocols) -> list[dict[str, Any]]:
    """One table for all stimuli that have the same features, equally weighted, at a site."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for stimulus, sites in protocols.statistics.items():
        for site, statistics in sites.items():
            weights = {name: protocols.weights.get((stimulus, site, name), 1.0) for name in statistics}
            same = (site, tuple(statistics), tuple(weights.values()))
            groups.setdefault(same, []).append(stimulus)
    tables = []
    for (site, names, weights), stimuli in groups.items():
        table: dict[str, Any] = {"stimuli": stimuli, "site": site, "features": list(names)}
        unequal = {name: weight for name, weight in zip(names, weights, strict=True) if weight != 1.0}
        tables.append({**table, **({"weights": unequal} if unequal else {})})
    return tables
