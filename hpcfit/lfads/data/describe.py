"""What is in these data?  Lines for people: shapes, rates, silent and correlated units, behaviour, memory."""

import numpy as np

from hpcfit.lfads.data.correlated import correlations
from hpcfit.lfads.data.trials import Session, Trials, one_array

_LISTED = 8
_CORRELATED = 0.2


def described(session: Session) -> list[str]:
    """Lines about a session."""
    (seen, units), (steps, explained) = session.neurons, session.steps
    bin_s = session.bin_s
    lines = [f"{session.name}: {len(session.train)} training trials, {len(session.valid)} validation trials"]
    lasting = "" if bin_s is None else f" of {bin_s:g} s, {steps * bin_s:g} s"
    lines.append(
        f"bins: {steps}{lasting}" + (f", and {explained - steps} to be predicted" if explained > steps else "")
    )
    if bin_s is None:
        lines[-1] += "; their width is not known: set data.bin_s"
    lines.append(f"units: {units}" + (f": {seen} seen, {units - seen} held out" if seen < units else ""))
    lines += _values(session)
    for part, trials in (("training", session.train), ("validation", session.valid)):
        if trials.lengths is not None:
            lengths = np.asarray(trials.lengths)
            lines.append(
                f"{part} trials last {lengths.min():g} to {lengths.max():g} bins, {lengths.mean():.1f} on average"
            )
    lines += _conditions(session)
    train = session.train
    if train.behaviour:
        lines.append(f"behaviour: {', '.join(map(_signal, train.behaviour.items()))}")
    lines.append("true rates: known" if train.truth is not None else "true rates: not known")
    lines.append(_memory((session.train, session.valid)))
    return [*lines, *(f"note: {note}" for note in session.notes)]


def _values(session: Session) -> list[str]:
    recon = session.train.recon
    units = recon.shape[2]
    there = _there(session.train)
    flat: np.ndarray = recon[there]
    if not _are_counts(flat):
        return [f"values: {flat.min():g} to {flat.max():g}, mean {flat.mean():.4g}: no spike counts"]
    mean = flat.mean(0)
    ordered = np.sort(mean)
    if session.bin_s is None:
        lines = [f"spikes per bin: {ordered[0]:.3g} to {ordered[-1]:.3g}, median {np.median(ordered):.3g}"]
    else:
        Hz = ordered / session.bin_s
        lines = [f"rates: {Hz[0]:.3g} to {Hz[-1]:.3g} Hz, median {np.median(Hz):.3g} Hz"]
    lines[0] += f"; at most {flat.max():g} spikes in a bin"
    lines.append(
        _listed("silent in training", [_named(session, int(unit)) for unit in np.flatnonzero(mean == 0)], units)
    )
    found = correlations(flat)
    pairs = sorted(
        ((found[i, k], i, k) for i in range(units) for k in range(i) if found[i, k] > _CORRELATED), reverse=True
    )
    over = f"coincidences of bins over {_CORRELATED:g}"
    text = [f"{_named(session, k)}-{_named(session, i)} {value:.2f}" for value, i, k in pairs]
    lines.append(_listed(over, text, units * (units - 1) // 2, "pairs"))
    return lines


def _conditions(session: Session) -> list[str]:
    conditions = session.train.conditions
    if conditions is None:
        return []
    found, counts = np.unique(conditions[conditions >= 0], return_counts=True)
    if not len(found):
        return ["conditions: none is known"]
    return [f"conditions: {len(found)}, with {counts.min()} to {counts.max()} training trials"]


def _memory(parts: tuple[Trials, Trials]) -> str:
    elements = sum(array.size for trials in parts for array in _own(trials))
    counts = all(_are_counts(trials.recon) and trials.recon.max(initial=0) <= 255 for trials in parts)
    text = f"memory: {_size(4 * elements)} as float32"
    return f"{text}, {_size(elements)} as bytes" if counts else f"{text}; the values do not fit into bytes"


def _own(trials: Trials) -> list[np.ndarray]:
    return [trials.recon] if one_array(trials) else [trials.encod, trials.recon]


def _there(trials: Trials) -> np.ndarray:
    number, steps, _ = trials.recon.shape
    lengths = np.full(number, steps) if trials.lengths is None else np.asarray(trials.lengths)
    return np.arange(steps)[None] < lengths[:, None]


def _are_counts(values: np.ndarray) -> bool:
    return values.dtype.kind in "ui" or bool((values == np.rint(values)).all() and (values >= 0).all())


def _signal(item: tuple[str, np.ndarray]) -> str:
    name, values = item
    missing = np.isnan(values).mean() if values.dtype.kind == "f" else 0.0
    shape = " x ".join(map(str, values.shape[1:])) or "one value a trial"
    return f"{name} ({shape}{f', {100 * missing:.2g} % missing' if missing else ''})"


def _listed(what: str, names: list[str], of: int, things: str = "units") -> str:
    if not names:
        return f"{things} that are {what}: none of {of}" if things == "units" else f"{things} with {what}: none of {of}"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    joint = "that are" if things == "units" else "with"
    return f"{things} {joint} {what}: {len(names)} of {of}: {', '.join(names[:_LISTED])}{more}"


def _named(session: Session, unit: int) -> str:
    return session.units[unit] if session.units else str(unit)


def _size(octets: float) -> str:
    for unit in ("B", "KB", "MB"):
        if octets < 1000:
            return f"{octets:.3g} {unit}"
        octets /= 1000
    return f"{octets:.3g} GB"
