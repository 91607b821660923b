"""Which units are seen, held out, or left out because they are silent?  And signals made alike in size."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from hpcfit.errors import ConfigError, InputError
from hpcfit.lfads.data.settings import UnitsSettings
from hpcfit.lfads.data.trials import Session, Trials, one_array


def held_out_units(names: tuple[str, ...], settings: UnitsSettings, where: str | Path) -> np.ndarray | None:
    """(units,) bool: which are held out by the settings; None: the settings do not say.

    Raises
    ------
    ConfigError
        When a name is unknown, or none or all would be held out.
    """
    wanted = settings.held_out
    if wanted is None:
        return None
    chosen = np.zeros(len(names), bool)
    if isinstance(wanted, tuple):
        unknown = [name for name in wanted if name not in names]
        if unknown:
            raise ConfigError(
                f"{where}: data.units.held_out: no unit is called {unknown[0]!r}; there are {', '.join(names[:8])}"
                f"{' ...' if len(names) > 8 else ''}"
            )
        chosen[[names.index(name) for name in wanted]] = True
    else:
        rng = np.random.default_rng(settings.held_out_seed)
        chosen[rng.permutation(len(names))[: round(wanted * len(names))]] = True
    if not chosen.any() or chosen.all():
        raise ConfigError(
            f"{where}: data.units.held_out leaves {len(names) - chosen.sum()} of {len(names)} units to see and "
            f"{chosen.sum()} to hold out; there must be some of each"
        )
    return chosen


def without_silent(session: Session, settings: UnitsSettings, where: str | Path) -> Session:
    """The session after its rule for units that never change in training: without a spike, or a constant signal.

    Raises
    ------
    InputError
        When the rule is to refuse, or nothing would be left.
    """
    seen, _ = session.neurons
    recon = session.train.recon
    if not recon.size:
        return session
    still = (recon.max((0, 1)) == recon.min((0, 1))) & ((recon.max((0, 1)) == 0) | (settings.silent == "drop"))
    if not still.any():
        return session
    named = [session.units[unit] if session.units else str(unit) for unit in np.flatnonzero(still)]
    which = f"{len(named)} of {len(still)} units are silent in training: {', '.join(named[:10])}"
    which += " ..." if len(named) > 10 else ""
    if settings.silent == "refuse":
        raise InputError(f'{where}: {which}; leave them out with data.units.silent = "drop", or keep them with "keep"')
    if settings.silent == "keep":
        return replace(session, notes=(*session.notes, f"{which}; they are kept, their rates start at 0.0001 per bin"))
    if not (~still[:seen]).any():
        raise InputError(f"{where}: no unit that is seen has a spike in training; is the split, or the window, right?")
    return chosen_units(session, ~still, f"{which}; they are left out")


def chosen_units(session: Session, chosen: np.ndarray, note: str) -> Session:
    """The session with some of its units, and which they were in more["units_kept"]."""
    seen, _ = session.neurons

    def of(trials: Trials) -> Trials:
        truth = None if trials.truth is None else trials.truth[..., chosen]
        recon = trials.recon[..., chosen]
        first = recon[:, : trials.encod.shape[1], : int(chosen[:seen].sum())]
        encod = first if one_array(trials) else trials.encod[..., chosen[:seen]]
        return replace(trials, encod=encod, recon=recon, truth=truth)

    units = tuple(name for name, kept in zip(session.units, chosen, strict=False) if kept)
    before = session.more.get("units_kept", np.arange(len(chosen)))
    more = {**session.more, "units_kept": before[chosen]}
    for name, count in (("recording_spikes", len(chosen)), ("test_encod_data", seen)):
        if name in more:
            more[name] = more[name][..., chosen[:count]]
    notes = (*session.notes, note)
    return replace(session, train=of(session.train), valid=of(session.valid), units=units, more=more, notes=notes)


def with_held_out(session: Session, chosen: np.ndarray, where: str | Path) -> Session:
    """A session whose chosen units are explained but not seen; they come last.

    Raises
    ------
    ConfigError
        When some are held out already.
    """
    seen, explained = session.neurons
    if seen != explained:
        raise ConfigError(
            f"{where}: encod_data has {seen} neurons and recon_data {explained}: units are held out already; remove "
            "data.units.held_out"
        )
    order = np.concatenate([np.flatnonzero(~chosen), np.flatnonzero(chosen)])
    number = int((~chosen).sum())

    def of(trials: Trials) -> Trials:
        truth = None if trials.truth is None else trials.truth[..., order]
        recon = trials.recon[..., order]
        first = recon[:, : trials.encod.shape[1], :number]
        encod = first if one_array(trials) else trials.encod[..., order[:number]]
        return replace(trials, encod=encod, recon=recon, truth=truth)

    units = tuple(session.units[unit] for unit in order) if session.units else ()
    more = {**session.more, "units_kept": session.more.get("units_kept", np.arange(len(chosen)))[order]}
    return replace(session, train=of(session.train), valid=of(session.valid), units=units, more=more)


def soft_normalised(session: Session, where: str | Path) -> Session:
    """Signals minus their mean over training bins, divided by their 90th percentile plus 0.01 (K22).

    What was taken off and divided by goes into more["normalise_mean"] and more["normalise_scale"].

    Raises
    ------
    InputError
        When a percentile is not positive.
    """
    seen, explained = session.neurons
    train = session.train
    trials, steps, _ = train.recon.shape
    lengths = np.full(trials, steps) if train.lengths is None else np.asarray(train.lengths)
    flat: np.ndarray = train.recon[np.arange(steps)[None] < lengths[:, None]]
    mean = flat.mean(0)
    scale = np.asarray(np.percentile(flat, 90, axis=0)) + 0.01
    bad = np.flatnonzero(~(scale > 0))
    if len(bad):
        raise InputError(
            f"{where}: the 90th percentile of signal {bad[0]} is {scale[bad[0]] - 0.01:g}; it cannot be divided by: "
            "soft normalisation is for signals that are mostly positive"
        )

    def of(trials: Trials) -> Trials:
        recon = ((trials.recon - mean) / scale).astype(np.float32)
        first = recon[:, : trials.encod.shape[1], :seen]
        encod = first if one_array(trials) else ((trials.encod - mean[:seen]) / scale[:seen]).astype(np.float32)
        truth = None if trials.truth is None else ((trials.truth - mean) / scale).astype(np.float32)
        return replace(trials, encod=encod, recon=recon, truth=truth)

    assert len(scale) == explained
    more = {**session.more, "normalise_mean": mean, "normalise_scale": scale}
    return replace(session, train=of(session.train), valid=of(session.valid), more=more)
