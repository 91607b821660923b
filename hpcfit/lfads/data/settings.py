"""What a training file says of its data: where the spikes come from, how they become trials, which of them count.

One source; for a recording the tables trials or chop, and behaviour, say how it is cut; units and validation say which
units and trials count.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hpcfit.config import InputPath, Settings
from hpcfit.settings import Count, NonNegative, Positive, Seconds

Whole = Annotated[int, Field(ge=0)]
Part = Annotated[float, Field(gt=0.0, lt=1.0)]
LayoutName = Literal["mc_maze", "mc_maze_large", "mc_maze_medium", "mc_maze_small", "mc_rtt", "area2_bump", "dmfc_rsg"]
Value = bool | int | float | str


class ChaoticRnnSettings(Settings):
    """Spikes of a chaotic network driven by inputs, the synthetic data of both AutoLFADS papers."""

    gamma: Positive = 1.5
    """Gain of the recurrence: 1.5 in K22, 2.5 in Keshtkaran & Pandarinath 2019 (K19)."""
    neurons: Count = 50
    steps: Count = 100
    bin_s: Positive = 0.01
    tau_s: Positive = 0.025
    inputs: Count = 2
    conditions: Count = 400
    trials_per_condition: Count = 10
    validation_trials_per_condition: Count = 2
    inputs_per: Literal["condition", "trial"] = "condition"
    """Whose inputs are drawn anew: K22 condition, K19 trial."""
    rate_most_Hz: Positive = 30.0
    seed: Whole = 5

    @model_validator(mode="after")
    def _some_train(self) -> Self:
        return _leaves_training(self)


class LorenzSettings(Settings):
    """Spikes of neurons that read out a Lorenz system (Sussillo et al. 2016)."""

    neurons: Count = 30
    steps: Count = 100
    bin_s: Positive = 0.01
    speed: Positive = 0.6
    """Units of the Lorenz system's time that pass in a second (0.006 in a bin of 10 ms)."""
    conditions: Count = 65
    """First states."""
    trials_per_condition: Count = 20
    validation_trials_per_condition: Count = 4
    base_rate_Hz: Positive = 5.0
    """Rate of a neuron at the system's mean state."""
    seed: Whole = 5

    @model_validator(mode="after")
    def _some_train(self) -> Self:
        return _leaves_training(self)


class ReachingSettings(Settings):
    """Simulated reaches to targets: a recording in the layout of MC_Maze, whose true rates are known."""

    units: Annotated[int, Field(ge=2)] = 60
    held_out: Part = 0.25
    """Part of the units that are marked as held out."""
    targets: Annotated[int, Field(ge=2)] = 8
    versions: Annotated[int, Field(ge=1, le=3)] = 2
    """Paths to a target: straight, curved to one side, curved to the other."""
    trials_per_condition: Annotated[int, Field(ge=2)] = 12
    validation_part: Part = 0.2
    """Part of the trials whose split is `val`."""
    base_rate_Hz: Positive = 8.0
    seed: Whole = 5


class SignalSettings(Settings):
    """A signal that was recorded with the spikes, in the same HDF5 file or in a CSV file."""

    path: InputPath | None = None
    """CSV file with a header; default: the recording's HDF5 file."""
    values: str | tuple[str, ...]
    """HDF5: a data set (samples,) or (samples, dimensions), or several (samples,).  CSV: columns."""
    times: str | None = None
    """Data set or column with the samples' times, in the recording's unit of time."""
    rate_Hz: Positive | None = None
    """Samples per second, where there are no times; the first is at start_s."""
    start_s: float | None = None

    @model_validator(mode="after")
    def _one_clock(self) -> Self:
        if (self.times is None) == (self.rate_Hz is None):
            raise ValueError("give either times (where the samples' times are) or rate_Hz")
        if self.start_s is not None and self.times is not None:
            raise ValueError("start_s goes with rate_Hz; the samples' times say when they start: remove start_s")
        return self


class SpikeTimesSettings(Settings):
    """A recording as spike times: HDF5 or CSV, laid out as these settings say."""

    path: InputPath
    """HDF5 (.h5, .hdf5); or CSV with a header and a row for each spike."""
    units: str | None = None
    """HDF5: a group with a data set of spike times for each unit, or one data set of all spikes' times (default:
    units).  CSV: the column that says whose the spike is (default: unit)."""
    unit_of_spike: str | None = None
    """HDF5 with one data set of all spikes: the data set of the same length that says whose each is."""
    times: str | None = None
    """CSV: the column of times (default: time)."""
    time_unit_s: Positive = 1.0
    """Length of the file's unit of time: 0.001 for ms, 1 / 30000 for samples at 30 kHz.  Of all times in it."""
    start_s: float | None = None
    """The recording's first moment; default: that of the first signal, else 0.  Spikes before it do not count."""
    stop_s: float | None = None
    """Its end; default: of the first signal, else of the last trial, else the last spike."""
    trials: str | None = None
    """HDF5: the group with a data set for each column of the trial table."""
    trials_csv: InputPath | None = None
    """CSV file with a header and a row for each trial."""
    signals: dict[str, SignalSettings] = Field(default_factory=dict)
    """By name, what else was recorded."""

    @model_validator(mode="after")
    def _one_table(self) -> Self:
        if self.trials is not None and self.trials_csv is not None:
            raise ValueError("give trials (a group of the HDF5 file) or trials_csv, not both")
        if self.start_s is not None and self.stop_s is not None and not self.start_s < self.stop_s:
            raise ValueError(f"start_s = {self.start_s:g} is not before stop_s = {self.stop_s:g}")
        return self


class NwbSettings(Settings):
    """A recording as an NWB 2 file: units, trials, behaviour."""

    path: InputPath
    layout: LayoutName | None = None
    """Which set of the Neural Latents Benchmark it is like: gives defaults for trials, behaviour and validation."""
    test_path: InputPath | None = None
    """The benchmark's file of test trials: their held-in spikes go along, as test_encod_data."""


class TrialsSettings(Settings):
    """How a recording with a trial table is cut into trials."""

    align: str | None = None
    """Column of the times that trials are aligned to; without window_s trials last from `start` to `stop`."""
    window_s: tuple[float, float] | None = None
    """First and last moment of a trial, from the time it is aligned to."""
    start: str = "start_time"
    stop: str = "stop_time"
    """Columns; trials of different length are filled up with zeros that do not count."""
    forward_s: NonNegative | None = None
    """So much after the window is not seen, but to be predicted."""
    conditions: tuple[str, ...] | None = None
    """Columns whose values make a condition."""
    keep: dict[str, Value | tuple[Value, ...]] = Field(default_factory=dict)
    """Only trials with this value, or one of these, in this column."""
    jitter: Literal["none", "nlb"] | None = None
    """nlb: windows are moved later at random, as the benchmark does with DMFC_RSG (the default there)."""
    jitter_seed: Whole = 0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.window_s is not None and not self.window_s[0] < self.window_s[1]:
            raise ValueError(f"window_s = {list(self.window_s)} is empty; give its first and last moment")
        if self.align is not None and self.window_s is None:
            raise ValueError(f"align = {self.align!r} needs window_s, e.g. [-0.25, 0.45]")
        return self


class ChopSettings(Settings):
    """How a continuous recording is cut into segments."""

    window_s: Seconds
    overlap_s: NonNegative = 0.0
    """What neighbouring segments share."""

    @model_validator(mode="after")
    def _moves_on(self) -> Self:
        if self.overlap_s >= self.window_s:
            raise ValueError(f"overlap_s = {self.overlap_s:g} must be less than window_s = {self.window_s:g}")
        return self


class BehaviourSettings(Settings):
    """What goes along with the spikes of a trial."""

    signals: tuple[str, ...] | None = None
    """Names of signals; default: those of the layout; of a recording of spike times, all."""
    lag_s: float | None = None
    """How much later than the spikes the signals' window lies."""
    columns: tuple[str, ...] | None = None
    """Columns of the trial table, numbers: a value for each trial."""


class UnitsSettings(Settings):
    """Which units count."""

    held_out: Part | tuple[str, ...] | None = None
    """Units that are not seen but to be explained: a part of all, drawn at random, or their names.  Default: those
    that an NWB file marks as `heldout`."""
    held_out_seed: Whole = 0
    silent: Literal["keep", "drop", "refuse"] = "keep"
    """What becomes of units without a spike in any training trial: they stay, with a rate that starts at 0.0001 per
    bin; they are left out; or it is an error."""
    correlation_most: Part | None = None
    """Units are left out until no pair correlates more than this: 0.2 or 0.0625 in K22."""
    correlation_bin_s: Positive | None = None
    """Bin for that, of a recording; default 0.001."""
    correlation_over_s: Seconds | None = None
    """How much of a recording's beginning is looked at; default: all."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in ("correlation_bin_s", "correlation_over_s"):
            if self.correlation_most is None and getattr(self, name) is not None:
                raise ValueError(f"{name} goes with correlation_most; give that too, or remove it")
        return self


class ValidationSettings(Settings):
    """Which trials validate."""

    column: str | None = None
    """Column of the trial table that says it; those in neither list are left out."""
    train: tuple[str, ...] = ("train",)
    valid: tuple[str, ...] = ("val", "valid")
    part: Part | None = None
    """Without a column: so much of all (default 0.2)."""
    choose: Literal["every", "random"] | None = None
    """Every k-th block of trials (the default), beginning with the first; or at random."""
    seed: Whole = 0
    block: Count | None = None
    """Neighbours that stay together: default 1 trial, or 3 segments of a continuous recording.  Segments of different
    blocks do not overlap."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        idle = [name for name in ("part", "choose", "block") if getattr(self, name) is not None]
        if self.column is not None and idle:
            raise ValueError(f"column = {self.column!r} says which trials validate; remove {' and '.join(idle)}")
        return self


SOURCES = ("path", "chaotic_rnn", "lorenz", "reaching", "spike_times", "nwb")
RECORDINGS = ("reaching", "spike_times", "nwb")
"""Sources that are cut into trials."""


class DataSettings(Settings):
    """Where the spikes come from, one of `path` and the sources' tables, and what is made of them."""

    path: InputPath | None = None
    """HDF5 with train_encod_data, train_recon_data, valid_encod_data, valid_recon_data (trials, time, neurons)."""
    chaotic_rnn: ChaoticRnnSettings | None = None
    lorenz: LorenzSettings | None = None
    reaching: ReachingSettings | None = None
    spike_times: SpikeTimesSettings | None = None
    nwb: NwbSettings | None = None
    bin_s: Positive | None = None
    """Width of a bin; of a file of arrays, where it does not say."""
    trials: TrialsSettings | None = None
    chop: ChopSettings | None = None
    behaviour: BehaviourSettings | None = None
    units: UnitsSettings = UnitsSettings()
    validation: ValidationSettings | None = None
    normalise: Literal["soft"] | None = None
    """Signals that are no spike counts: minus their mean, over their 90th percentile plus 0.01."""

    @property
    def source(self) -> str:
        """The name of the source that is given."""
        return next(name for name in SOURCES if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of {', '.join(SOURCES)}; got {' and '.join(given) or 'none'}")
        source = given[0]
        if source not in RECORDINGS:
            self._no_idle(("trials", "chop", "behaviour"), f"is for recordings ({', '.join(RECORDINGS)})")
        elif self.bin_s is None:
            raise ValueError(f"{source} needs bin_s, the width of a bin, e.g. bin_s = 0.005")
        if source in ("chaotic_rnn", "lorenz"):
            self._no_idle(("bin_s", "validation"), f"is in the table {source}")
        if self.trials is not None and self.chop is not None:
            raise ValueError("give trials (cut by the trial table) or chop (cut without it), not both")
        return self

    def _no_idle(self, names: tuple[str, ...], why: str) -> None:
        for name in names:
            if getattr(self, name) is not None:
                raise ValueError(f"{name} {why}, but the source is {self.source}; remove {name}")


def _leaves_training(settings: Any) -> Any:
    every, valid = settings.trials_per_condition, settings.validation_trials_per_condition
    if valid >= every:
        raise ValueError(
            f"validation_trials_per_condition = {valid} leaves none of trials_per_condition = {every} to train on"
        )
    return settings
