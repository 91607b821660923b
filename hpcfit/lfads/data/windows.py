"""Cutting a recording into trials, or into segments where it has none.

Trials are aligned as the Neural Latents Benchmark aligns them: a window's bins are those that begin in it.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hpcfit.errors import ConfigError, InputError
from hpcfit.lfads.data.chop import cut
from hpcfit.lfads.data.recording import Bins, Recording, binned, in_bins, mean_in_bins, nanoseconds
from hpcfit.lfads.data.settings import BehaviourSettings, ChopSettings, TrialsSettings, ValidationSettings
from hpcfit.lfads.data.splits import by_blocks, by_column
from hpcfit.lfads.data.trial_table import column_of, conditions_of, kept_rows, numbers_of
from hpcfit.lfads.data.trials import Session, Trials

JITTER_MOST_S = 0.3
JITTER_WITHIN_S = 1.5


@dataclass(frozen=True)
class Cutting:
    """How a recording becomes a session; `where` names it in errors."""

    bin_s: float
    trials: TrialsSettings
    chop: ChopSettings | None
    behaviour: BehaviourSettings
    validation: ValidationSettings
    where: str | Path


@dataclass(frozen=True)
class _Binned:
    """A recording in bins, its units in the order of a session's: those that are seen first.

    Attributes
    ----------
    counts, rates
        (bins, units); true rates per bin, where they are known.
    series
        Signals by name, (bins, dimensions).
    """

    recording: Recording
    cutting: Cutting
    bins: Bins
    counts: np.ndarray
    rates: np.ndarray | None
    series: dict[str, np.ndarray]
    units: tuple[str, ...]
    held_in: int


@dataclass(frozen=True)
class _Windows:
    """Which bins trials have: the first, counted from the recording's first; how many; their rows of the table."""

    first: np.ndarray
    steps: np.ndarray
    rows: np.ndarray

    def some(self, chosen: np.ndarray) -> "_Windows":
        return _Windows(self.first[chosen], self.steps[chosen], self.rows[chosen])


def session_from(recording: Recording, cutting: Cutting) -> Session:
    """Training and validation trials of a recording.

    Raises
    ------
    ConfigError, InputError
        When the settings name what the recording lacks, or nothing is left.
    """
    bins = binned(recording, cutting.bin_s)
    order = np.concatenate([np.flatnonzero(~recording.held_out), np.flatnonzero(recording.held_out)])
    rates = recording.rates
    source = _Binned(
        recording,
        cutting,
        bins,
        bins.counts[:, order],
        None if rates is None else mean_in_bins(rates, bins)[:, order] * cutting.bin_s,
        {name: in_bins(recording.signals[name], bins) for name in _signals(recording, cutting)},
        tuple(recording.units[unit] for unit in order),
        int((~recording.held_out).sum()),
    )
    return _from_trials(source) if cutting.chop is None else _from_segments(source, cutting.chop)


def whole_bins(seconds: float, cutting: Cutting, name: str) -> int:
    """How many bins that is.  Raises ConfigError when it is not a whole number."""
    found = seconds / cutting.bin_s
    number = round(found)
    if abs(found - number) > 1e-6 or (number < 1 and seconds > 0):
        raise ConfigError(
            f"{cutting.where}: data.{name} is {seconds:g} s, not a whole number of bins of {cutting.bin_s:g} s; give "
            f"{max(number, 1) * cutting.bin_s:g} s, or another bin_s"
        )
    return number


def _from_segments(source: _Binned, settings: ChopSettings) -> Session:
    """A continuous recording, chopped."""
    cutting, bins = source.cutting, source.bins
    window = whole_bins(settings.window_s, cutting, "chop.window_s")
    overlap = whole_bins(settings.overlap_s, cutting, "chop.overlap_s")
    if cutting.validation.column is not None:
        raise ConfigError(
            f"{cutting.where}: data.validation.column is of the trial table, but the recording is chopped without it; "
            "remove it, or give data.trials in place of data.chop"
        )
    if cutting.behaviour.columns:
        raise ConfigError(
            f"{cutting.where}: data.behaviour.columns are of the trial table, but the recording is chopped without it; "
            "remove them, or give data.trials in place of data.chop"
        )
    segments = cut(bins.observed, window, overlap, cutting.validation.block or 3)
    valid = by_blocks(segments.blocks, cutting.validation, cutting.where)
    number = len(segments.starts)
    windows = _Windows(segments.starts, np.full(number, window), np.arange(number))
    trials = _trials(source, windows, (window, window))
    more = {"recording_spikes": source.counts}
    more |= {f"recording_{name}": values.astype(np.float32) for name, values in source.series.items()}
    note = f"{segments.unused} of {len(bins)} bins are in no segment" if segments.unused else None
    return _session(source, (trials.rows(~valid), trials.rows(valid)), more, [note])


def _from_trials(source: _Binned) -> Session:
    """A recording with a trial table, aligned."""
    cutting, bins, table = source.cutting, source.bins, source.recording.trials
    if not table:
        raise InputError(f"{cutting.where}: has no trial table; give data.chop to cut a continuous recording")
    rows = kept_rows(table, cutting.trials.keep, cutting.where)
    windows = _windows(source, rows)
    explained = int(windows.steps.max(initial=0))
    ahead = whole_bins(cutting.trials.forward_s or 0.0, cutting, "trials.forward_s")
    windows, note = _recorded(windows, bins, ahead)
    notes = [note]
    if not len(windows.rows):
        raise InputError(f"{cutting.where}: no trial is left: all {len(rows)} reach beyond what was recorded")
    names = cutting.trials.conditions
    labels = conditions_of(table, names, rows, cutting.where)[1] if names else None
    halves, note = _halves(source, windows, rows)
    notes.append(note)
    parts = []
    for some, drawn in halves:
        some, note = _recorded(_jittered(source, some, drawn), bins, ahead)
        notes.append(note)
        trials = _trials(source, some, (explained, explained + ahead))
        if names:
            numbers = conditions_of(table, names, rows, cutting.where)[0]
            trials = replace(trials, conditions=numbers[np.searchsorted(rows, some.rows)])
        parts.append(trials)
    return _session(source, (parts[0], parts[1]), {} if labels is None else {"condition_labels": labels}, notes)


def _halves(
    source: _Binned, windows: _Windows, rows: np.ndarray
) -> tuple[list[tuple[_Windows, np.ndarray]], str | None]:
    """Windows that train and that validate, each with the rows of the table that are in that split."""
    cutting = source.cutting
    settings = cutting.validation
    if settings.column is None:
        valid = by_blocks(np.arange(len(windows.rows)) // (settings.block or 1), settings, cutting.where)
        return [(windows.some(mask), windows.rows[mask]) for mask in (~valid, valid)], None
    column = column_of(source.recording.trials, settings.column, cutting.where, "validation.column")
    train, valid, note = by_column(column[rows], settings, cutting.where)
    halves = [(windows.some(np.isin(windows.rows, rows[mask])), rows[mask]) for mask in (train, valid)]
    return halves, note


def _session(
    source: _Binned, parts: tuple[Trials, Trials], more: dict[str, np.ndarray], notes: list[str | None]
) -> Session:
    said = tuple(note for note in notes if note)
    return Session(*parts, source.recording.name, source.cutting.bin_s, more, source.units, said)


def _windows(source: _Binned, rows: np.ndarray) -> _Windows:
    """The bins of each of these trials; trials whose times are unknown are left out."""
    cutting, table, settings = source.cutting, source.recording.trials, source.cutting.trials
    bin_ns = source.bins.bin_ns

    def times(name: str, key: str) -> np.ndarray:
        return numbers_of(table, name, cutting.where, f"trials.{key}")[rows]

    if settings.window_s is not None:
        steps = whole_bins(settings.window_s[1] - settings.window_s[0], cutting, "trials.window_s")
        at = times(settings.align or settings.start, "align" if settings.align else "start")
        known = np.isfinite(at)
        begin = nanoseconds(at[known]) + int(nanoseconds(settings.window_s[0]))
        return _Windows(-(-begin // bin_ns) - source.bins.first, np.full(known.sum(), steps), rows[known])
    if settings.forward_s:
        raise ConfigError(f"{cutting.where}: data.trials.forward_s needs trials of one length: give window_s too")
    begin, end = times(settings.start, "start"), times(settings.stop, "stop")
    known = np.isfinite(begin) & np.isfinite(end)
    first, last = -(-nanoseconds(begin[known]) // bin_ns), -(-nanoseconds(end[known]) // bin_ns)
    empty = np.flatnonzero(last <= first)
    if len(empty):
        bad = np.flatnonzero(known)[empty[0]]
        raise InputError(
            f"{cutting.where}: trial {rows[bad]} lasts from {begin[bad]:g} to {end[bad]:g} s, which holds no bin; mend "
            "the trial table, or leave it out with data.trials.keep"
        )
    return _Windows(first - source.bins.first, last - first, rows[known])


def _jittered(source: _Binned, windows: _Windows, drawn: np.ndarray) -> _Windows:
    """Windows moved later at random; a number is drawn for each row in `drawn`, as nlb_tools does."""
    cutting = source.cutting
    if cutting.trials.jitter != "nlb":
        return windows
    produced_s = 1e-3 * numbers_of(source.recording.trials, "tp", cutting.where, "trials.jitter")[drawn]
    most = np.floor(np.round(np.clip(JITTER_WITHIN_S - produced_s, 0.0, JITTER_MOST_S) / cutting.bin_s, 4))
    # The generator of nlb_tools, so that its windows are found again.
    moved = np.round(np.random.RandomState(cutting.trials.jitter_seed).random_sample(len(most)) * most)
    moved = moved[np.searchsorted(drawn, windows.rows)]
    known = np.isfinite(moved)
    some = windows.some(known)
    return replace(some, first=some.first + moved[known].astype(np.int64))


def _recorded(windows: _Windows, bins: Bins, ahead: int) -> tuple[_Windows, str | None]:
    """Windows whose every bin was recorded, the bins to be predicted too; and a note of the others."""
    steps = windows.steps + ahead
    before = np.concatenate([[0], np.cumsum(bins.observed)])
    inside = (windows.first >= 0) & (windows.first + steps <= len(bins))
    begin, end = np.where(inside, windows.first, 0), np.where(inside, windows.first + steps, 0)
    whole = inside & (before[end] - before[begin] == steps)
    if whole.all():
        return windows, None
    rest = windows.rows[~whole]
    return windows.some(whole), f"{len(rest)} trials reach beyond what was recorded, the first {rest[0]}: left out"


def _trials(source: _Binned, windows: _Windows, steps: tuple[int, int]) -> Trials:
    """The windows' spikes and behaviour; steps: how many bins are seen, and how many explained."""
    cutting = source.cutting
    seen, explained = steps
    lengths = windows.steps + (explained - seen)
    over = np.arange(explained)[None] >= lengths[:, None]

    def some(values: np.ndarray, first: np.ndarray, number: int, fill: float) -> np.ndarray:
        """Windows of values (bins, ...); what lies outside is `fill`."""
        places = first[:, None] + np.arange(number)
        outside = (places < 0) | (places >= len(values)) | over[:, :number]
        found = values[np.where(outside, 0, places)].astype(np.float32)
        found[outside] = fill
        return found

    recon = some(source.counts, windows.first, explained, 0.0)
    later = -(-int(nanoseconds(cutting.behaviour.lag_s or 0.0)) // source.bins.bin_ns)
    behaviour = {name: some(values, windows.first + later, seen, np.nan) for name, values in source.series.items()}
    for name in cutting.behaviour.columns or ():
        table = source.recording.trials
        behaviour[name] = numbers_of(table, name, cutting.where, "behaviour.columns")[windows.rows]
    whole = steps == (seen, seen) and source.held_in == len(source.units)
    return Trials(
        recon if whole else recon[:, :seen, : source.held_in],
        recon,
        None if source.rates is None else some(source.rates, windows.first, explained, 0.0),
        lengths if over.any() else None,
        inds=windows.rows,
        starts=windows.first,
        behaviour=behaviour,
    )


def _signals(recording: Recording, cutting: Cutting) -> tuple[str, ...]:
    wanted = cutting.behaviour.signals
    names = tuple(recording.signals) if wanted is None else wanted
    for name in names:
        if name not in recording.signals:
            raise ConfigError(
                f"{cutting.where}: data.behaviour.signals: no signal is called {name!r}; there are "
                f"{', '.join(recording.signals) or 'none'}"
            )
    return names
