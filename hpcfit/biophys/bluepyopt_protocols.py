"""Which stimuli, recording sites and feature statistics does a BluePyOpt or BluePyEModel configuration hold?"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hpcfit.biophys.bluepyopt_parameters import REGIONS
from hpcfit.biophys.features import feature_names
from hpcfit.errors import ConfigError

_STEPS = ("Protocol", "StepProtocol", "SweepProtocol", "")
"""Types of protocols that consist of square pulses."""
_DENDRITE_THRESHOLD_MV = -55.0


@dataclass
class Protocols:
    """What was read: tables in the form of a fit file, and what could not be translated."""

    stimuli: dict[str, dict[str, Any]] = field(default_factory=dict)
    sites: dict[str, dict[str, Any]] = field(default_factory=dict)
    renamed: dict[tuple[str, str], str] = field(default_factory=dict)
    """(protocol, location) -> site, where two protocols mean different places by one name."""
    statistics: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)
    """stimulus -> site -> feature -> [mean, sd]"""
    weights: dict[tuple[str, str, str], float] = field(default_factory=dict)
    settings: list[tuple[str, Any]] = field(default_factory=list)
    """eFEL settings of every feature, as read."""
    notes: list[str] = field(default_factory=list)


def plain(name: str) -> str:
    """A name with only the characters that names have here."""
    return re.sub(r"[^A-Za-z0-9_.+\-]", "_", name)


def read_protocols(where: str, tables: dict[str, Any] | list[Any], found: Protocols) -> None:
    """Protocols by name (BluePyOpt), or a list of them (BluePyEModel)."""
    items = tables.items() if isinstance(tables, dict) else [(str(each.get("name", "")), each) for each in tables]
    for name, table in items:
        kind = str(table.get("type", table.get("protocol_type", "")))
        if kind not in _STEPS or "stimuli" not in table:
            found.notes.append(
                f"{where}: protocol {name} of type {kind!r} is left out; only square pulses are translated"
            )
            continue
        pulses, holding_nA = _pulses(f"{where}: protocol {name}", table["stimuli"])
        if pulses is None:
            found.notes.append(
                f"{where}: protocol {name} is left out; its amplitude is only given relative to a rheobase"
            )
            continue
        found.stimuli[plain(name)] = _stimulus(f"{where}: protocol {name}", name, pulses, holding_nA, found)
        for recording in [*table.get("extra_recordings", ()), *table.get("recordings_from_config", ())]:
            _add_site(f"{where}: protocol {name}", plain(name), recording, found)


def read_features(where: str, tables: dict[str, Any], found: Protocols) -> None:
    """Means and sds, by protocol and location (BluePyOpt) or as a list (BluePyEModel)."""
    known = feature_names()
    for protocol, location, feature, mean, sd, weight, settings in _features(where, tables):
        what = f"{where}: {protocol}.{location}.{feature}"
        stimulus, site = plain(protocol), _site(protocol, location, found)
        reason = ""
        if stimulus not in found.stimuli:
            reason = "there is no such protocol"
        elif site is None:
            reason = "nothing is recorded there, or not the voltage"
        elif feature not in known:
            reason = "eFEL has no such feature"
        elif not sd > 0:
            reason = f"its sd is {sd:g}, which must be above 0"
        elif feature in found.statistics.get(stimulus, {}).get(site, {}):
            reason = "it stands there twice"
        if reason or site is None:
            found.notes.append(f"{what} is left out: {reason}")
            continue
        found.statistics.setdefault(stimulus, {}).setdefault(site, {})[feature] = [mean, sd]
        found.settings += settings
        if weight != 1.0:
            found.weights[stimulus, site, feature] = weight


def _pulses(where: str, stimuli: Any) -> tuple[list[dict[str, float]] | None, float]:
    """Square pulses with the step first, and holding current given apart; None without an amplitude in nA."""
    holding_nA = 0.0
    if isinstance(stimuli, dict):
        steps = stimuli.get("step", [])
        stimuli = [
            *(steps if isinstance(steps, list) else [steps]),
            *([stimuli["holding"]] if "holding" in stimuli else []),
        ]
    if not isinstance(stimuli, list) or not stimuli:
        raise ConfigError(f"{where}: has no stimuli; give at least one with delay, amp, duration and totduration")
    pulses = []
    for table in stimuli:
        if table.get("amp") is None and table.get("thresh_perc") is not None:
            return None, 0.0
        try:
            pulses.append({key: float(table[key]) for key in ("delay", "amp", "duration", "totduration")})
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{where}: stimulus {table!r}: {error} is missing or no number; give it") from None
        holding_nA += float(table.get("holding_current") or 0.0)
    return pulses, holding_nA


def _stimulus(
    where: str, name: str, pulses: list[dict[str, float]], holding_nA: float, found: Protocols
) -> dict[str, Any]:
    total_ms = max(pulse["totduration"] for pulse in pulses)
    electrodes = []
    for number, pulse in enumerate(pulses):
        duration_ms = pulse["duration"]
        if number and pulse["delay"] == 0 and duration_ms >= total_ms:
            holding_nA += pulse["amp"]
            continue
        if pulse["delay"] + duration_ms > total_ms:
            duration_ms = total_ms - pulse["delay"]
            found.notes.append(f"{where}: a pulse outlasts the simulation and is cut to {duration_ms:g} ms")
        electrodes.append(
            {"shape": "step", "delay_ms": pulse["delay"], "duration_ms": duration_ms, "amplitude_nA": pulse["amp"]}
        )
    stimulus: dict[str, Any] = {"duration_ms": total_ms}
    if holding_nA:
        stimulus["holding_nA"] = holding_nA
    if name == "bAP":
        stimulus["window_ms"] = [pulses[0]["delay"], total_ms]
        found.notes.append(
            f"{where}: features are read until the end of the simulation, as BluePyOpt's l5pc example does"
        )
    stimulus["electrodes"] = electrodes
    return stimulus


def _add_site(where: str, stimulus: str, recording: dict[str, Any], found: Protocols) -> None:
    kind, name = str(recording.get("type", "")), plain(str(recording.get("name", "")))
    variable = recording.get("var", recording.get("variable", "v"))
    if kind == "CompRecording" and recording.get("location", "soma") == "soma" and variable == "v":
        return  # the soma is always recorded
    region = REGIONS.get(str(recording.get("seclist_name", recording.get("sectionlist", ""))), ())
    if variable != "v" or len(region) != 1 or kind not in ("somadistance", "nrnseclistcomp"):
        found.notes.append(f"{where}: recording {name} of {variable} ({kind}) is left out; it has no counterpart here")
        return
    site: dict[str, Any] = {"region": region[0]}
    if kind == "somadistance":
        # BluePyOpt takes the last section of the list that reaches this distance.
        site |= {"distance_um": float(recording["somadistance"]), "branch": "last"}
    else:
        site |= {"section": int(recording.get("sec_index", 0)), "x": float(recording.get("comp_x", 0.5))}
    if "dend" in name:
        site["threshold_mV"] = _DENDRITE_THRESHOLD_MV
        found.notes.append(f"{where}: spikes at {name} count above -55 mV, as BluePyOpt's l5pc example has it")
    own = name if found.sites.get(name, site) == site else f"{name}.{stimulus}"
    found.sites[own] = site
    found.renamed[stimulus, name] = own


def _site(protocol: str, location: str, found: Protocols) -> str | None:
    """The site of `soma`, `dend1`, `soma.v` or `Step1.soma.v`; None when it is not recorded."""
    name, dot, variable = location.removeprefix(f"{protocol}.").partition(".")
    if dot and variable != "v":
        return None
    return "soma" if name == "soma" else found.renamed.get((plain(protocol), plain(name)))


_Row = tuple[str, str, str, float, float, float, list[tuple[str, Any]]]


def _features(where: str, tables: dict[str, Any]) -> Iterator[_Row]:
    """protocol, location, feature, mean, sd, weight and eFEL settings of every feature."""
    if "efeatures" in tables:
        for row in tables["efeatures"]:
            settings = list((row.get("efel_settings") or {}).items())
            names = (str(row[key]) for key in ("protocol_name", "recording_name", "efel_feature_name"))
            protocol, location, feature = names
            yield protocol, location, feature, float(row["mean"]), _sd(row), float(row.get("weight", 1.0)), settings
        return
    for protocol, locations in tables.items():
        for location, features in locations.items():
            for feature, numbers, settings in _rows(features):
                try:
                    mean, sd = (float(each) for each in numbers)
                except (TypeError, ValueError):
                    what = f"{protocol}.{location}.{feature}"
                    raise ConfigError(f"{where}: {what} is {numbers!r}; expected [mean, sd]") from None
                yield protocol, location, feature, mean, sd, 1.0, settings


def _rows(features: Any) -> Iterator[tuple[str, Any, list[tuple[str, Any]]]]:
    """Feature, [mean, sd] and settings: BluePyOpt's table, or the list of its thalamocortical example."""
    if isinstance(features, dict):
        for feature, numbers in features.items():
            yield str(feature), numbers, []
        return
    for row in features:
        yield str(row["feature"]), row["val"], [("strict_stiminterval", bool(row.get("strict_stim")))]


def _sd(row: dict[str, Any]) -> float:
    """BluePyEModel: the sd as extracted, at least threshold_efeature_std times the mean, or its default for 0."""
    sd = float(row.get("original_std", row.get("std", 0.0)) or 0.0)
    least = row.get("threshold_efeature_std")
    sd = max(sd, abs(float(row["mean"]) * float(least))) if least is not None else sd
    return sd or float(row.get("default_std_value") or 0.0)
