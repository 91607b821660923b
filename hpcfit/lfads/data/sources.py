"""From the data table of a training file to trials that a model can be trained on."""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from hpcfit.errors import ConfigError, InputError
from hpcfit.lfads.data.chaotic import chaotic_rnn
from hpcfit.lfads.data.checks import checked, long_enough, shaped
from hpcfit.lfads.data.correlated import arrays_without_correlated, without_correlated
from hpcfit.lfads.data.hdf5 import read_session
from hpcfit.lfads.data.lorenz import lorenz
from hpcfit.lfads.data.nlb import LAYOUTS, Layout
from hpcfit.lfads.data.nwb import read_nwb
from hpcfit.lfads.data.reaching import reaching
from hpcfit.lfads.data.recording import Recording
from hpcfit.lfads.data.settings import (
    RECORDINGS,
    BehaviourSettings,
    DataSettings,
    NwbSettings,
    TrialsSettings,
    ValidationSettings,
)
from hpcfit.lfads.data.spike_times import read_spike_times
from hpcfit.lfads.data.splits import by_blocks
from hpcfit.lfads.data.trials import Session, joined
from hpcfit.lfads.data.units import (
    held_out_units,
    soft_normalised,
    with_held_out,
    without_silent,
)
from hpcfit.lfads.data.windows import Cutting, session_from


def session_of(data: DataSettings, reconstruction: str = "poisson", ic_window: int = 0) -> Session:
    """The data that the settings name, checked; `notes` say what was done to them.

    reconstruction: the model's distribution, which decides what values may be; ic_window: bins that every trial must
    surpass, model.ic_window.

    Raises
    ------
    ConfigError, InputError
        When settings and files do not go together, or a model cannot be trained on them.
    """
    if data.normalise and reconstruction != "gaussian":
        raise ConfigError(
            f'data.normalise = "{data.normalise}" makes negative values; it needs model.reconstruction = "gaussian", '
            f'which is "{reconstruction}"'
        )
    where = _where(data)
    session = _of_recording(data, where) if data.source in RECORDINGS else _of_arrays(data, where)
    if not len(session.train):
        raise InputError(f"{where}: no train trials; give at least one, or another split")
    session = without_silent(session, data.units, where)
    long_enough(checked(session, where, reconstruction=reconstruction), ic_window, where)
    if data.normalise:
        session = soft_normalised(session, where)
    return session


def recording_of(data: DataSettings) -> Recording:
    """The recording before it is cut.  Raises ConfigError, InputError."""
    if data.reaching is not None:
        return reaching(data.reaching)
    trials = data.trials or TrialsSettings()
    if data.spike_times is not None:
        columns = tuple(name for name in (trials.align, trials.start, trials.stop) if name)
        return read_spike_times(data.spike_times, columns, trials.stop)
    assert data.nwb is not None
    behaviour = data.behaviour or BehaviourSettings()
    wanted = behaviour.signals if behaviour.signals is not None else (_layout(data) or _NOTHING).signals
    return read_nwb(data.nwb.path, wanted)


_NOTHING = Layout("start_time", (0.0, 0.0))
_S = TypeVar("_S", TrialsSettings, BehaviourSettings)


def _where(data: DataSettings) -> str | Path:
    if data.path is not None:
        return data.path
    if data.spike_times is not None:
        return data.spike_times.path
    return data.nwb.path if data.nwb is not None else f"data.{data.source}"


def _of_arrays(data: DataSettings, where: str | Path) -> Session:
    """Arrays of trials: a file's or a generator's."""
    for name in ("correlation_bin_s", "correlation_over_s"):
        if getattr(data.units, name) is not None:
            raise ConfigError(f"{where}: data.units.{name} is for recordings; arrays have their own bins: remove it")
    if data.chaotic_rnn is not None:
        session = chaotic_rnn(data.chaotic_rnn)
    elif data.lorenz is not None:
        session = lorenz(data.lorenz)
    else:
        assert data.path is not None
        session = shaped(read_session(data.path, data.bin_s, split=data.validation is None), where)
        if data.validation is not None:
            session = _split_anew(session, data.validation, where)
    if data.units.correlation_most is not None:
        session = arrays_without_correlated(session, data.units.correlation_most)
    names = session.units or tuple(str(unit) for unit in range(session.neurons[1]))
    chosen = held_out_units(names, data.units, where)
    return session if chosen is None else with_held_out(session, chosen, where)


def _split_anew(session: Session, settings: ValidationSettings, where: str | Path) -> Session:
    """All trials of a file, in the order they were recorded where it tells, split by the settings."""
    if settings.column is not None:
        raise ConfigError(f"{where}: data.validation.column is of a trial table, which a file of arrays has not")
    everything = joined(session.train, session.valid) if len(session.valid) else session.train
    if everything.inds is not None and len(everything.inds) == len(everything):
        everything = everything.rows(np.argsort(everything.inds, kind="stable"))
    valid = by_blocks(np.arange(len(everything)) // (settings.block or 1), settings, where)
    return replace(session, train=everything.rows(~valid), valid=everything.rows(valid), notes=())


def _of_recording(data: DataSettings, where: str | Path) -> Session:
    recording = recording_of(data)
    notes = []
    units = data.units
    if units.correlation_most is not None:
        bin_s = units.correlation_bin_s or 1e-3
        recording, note = without_correlated(recording, units.correlation_most, bin_s, units.correlation_over_s)
        notes += [note] if note else []
    chosen = held_out_units(recording.units, units, where)
    if chosen is not None:
        recording = replace(recording, held_out=chosen)
    if recording.held_out.all():
        raise InputError(f"{where}: all units are held out; some must be seen: set data.units.held_out")
    cutting = _cutting(data, where)
    session = session_from(recording, cutting)
    session = replace(session, notes=(*notes, *session.notes))
    if data.nwb is not None and data.nwb.test_path is not None:
        seen = tuple(name for name, out in zip(recording.units, recording.held_out, strict=True) if not out)
        session.more["test_encod_data"] = _test_spikes(data.nwb, cutting, seen)
    return session


def _cutting(data: DataSettings, where: str | Path) -> Cutting:
    """How to cut, with a layout's rules where the settings say nothing."""
    assert data.bin_s is not None
    trials = data.trials or TrialsSettings()
    behaviour = data.behaviour or BehaviourSettings()
    validation = data.validation or ValidationSettings()
    layout = _layout(data)
    if layout is not None:
        behaviour = _filled(behaviour, signals=layout.signals)
    if layout is not None and data.chop is None:
        if trials.window_s is None:
            trials = _filled(trials, align=layout.align, window_s=layout.window_s)
        trials = _filled(
            trials, align=layout.align, forward_s=layout.forward_s, conditions=layout.conditions, jitter=layout.jitter
        )
        behaviour = _filled(behaviour, lag_s=layout.lag_s, columns=layout.columns)
        if data.validation is None:
            validation = ValidationSettings(column="split")
    return Cutting(data.bin_s, trials, data.chop, behaviour, validation, where)


def _filled(settings: _S, **values: object) -> _S:
    """The settings with these values where they have none."""
    return settings.model_copy(
        update={name: value for name, value in values.items() if getattr(settings, name) is None}
    )


def _layout(data: DataSettings) -> Layout | None:
    if data.reaching is not None:
        return LAYOUTS["mc_maze"]
    return None if data.nwb is None or data.nwb.layout is None else LAYOUTS[data.nwb.layout]


def _test_spikes(settings: NwbSettings, cutting: Cutting, seen: tuple[str, ...]) -> np.ndarray:
    """(trials, time, units) of the benchmark's test file, cut like the others."""
    assert settings.test_path is not None
    recording = read_nwb(settings.test_path)
    if recording.units != seen:
        raise InputError(
            f"{settings.test_path}: has {len(recording.units)} units, {settings.path} {len(seen)} that are seen; they "
            "must be the same ones"
        )
    only = ValidationSettings(column="split", train=("test",), valid=("test",))
    trials = cutting.trials.model_copy(update={"forward_s": None, "conditions": None, "keep": {}})
    plain = replace(cutting, trials=trials, validation=only, behaviour=BehaviourSettings(), where=settings.test_path)
    return session_from(recording, plain).train.encod
