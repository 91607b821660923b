"""What does a fit file say about scores?  Score functions, their units and weights, and penalties."""

import difflib
from collections.abc import Callable
from math import inf
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from hpcfit.biophys.default_features import DEFAULT_FEATURES
from hpcfit.biophys.electrodes import Name, NonNegative, Positive
from hpcfit.config import Settings

VOLTAGE_KINDS = ("rms", "mean_absolute", "soft_dtw")
SPIKE_KINDS = ("van_rossum", "victor_purpura")
KINDS = (*VOLTAGE_KINDS, *SPIKE_KINDS)
DEFAULT_SD_MV = 5.0


def _unit(*words: str) -> Callable[[Any], Any]:
    """A check that a unit is a number above 0 or one of these words."""

    def check(given: Any) -> Any:
        number = isinstance(given, int | float) and not isinstance(given, bool) and 0 < given < inf
        if given is None or number or given in words:
            return given
        near = difflib.get_close_matches(str(given), words, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        quoted = [repr(word) for word in words]
        listed = " or ".join(filter(None, [", ".join(["a number above 0", *quoted[:-1]]), quoted[-1]]))
        raise ValueError(f"must be {listed}{hint}")

    return check


VoltageUnit = Annotated[
    float | Literal["recording_sd", "recording_range", "repeats"] | None,
    BeforeValidator(_unit("recording_sd", "recording_range", "repeats")),
]
SpikeUnit = Annotated[float | Literal["repeats"], BeforeValidator(_unit("repeats"))]
Span = tuple[NonNegative, Positive]


class WindowSettings(Settings):
    """A stretch of the simulated time, and how much it counts."""

    start_ms: NonNegative
    end_ms: Positive
    weight: Positive = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> "WindowSettings":
        _check_span((self.start_ms, self.end_ms))
        return self


class PointwiseSettings(Settings):
    """Sample against sample: rms is the L2 distance, mean_absolute the L1 distance, both per sample, in mV."""

    kind: Literal["rms", "mean_absolute"]
    name: Name | None = None
    """Told apart by it from another distance of the same kind."""
    windows: tuple[WindowSettings, ...] = ()
    """Where to compare; default: the whole recorded time."""
    align: Literal["first_spike"] | None = None
    """Shift each response so that its first spike falls on that of the recording; latency is then not scored."""
    unit: VoltageUnit = None
    """What the distance is divided by: mV, the recording's own sd or range, or the distance between repeats; default:
    sd_mV."""


class SoftDtwSettings(Settings):
    """Time may be warped: the soft-DTW divergence as a root mean square, mV.

    Cuturi & Blondel 2017; Blondel, Mensch & Vert 2021.
    """

    kind: Literal["soft_dtw"]
    name: Name | None = None
    gamma_mV2: Positive = 1.0
    """Smoothing of the minimum over alignments; towards 0: dynamic time warping."""
    band_ms: Positive = 20.0
    """Samples further apart than this are never matched (Sakoe & Chiba 1978)."""
    every_ms: Positive = 1.0
    """Traces are averaged over bins of this width first."""
    window_ms: Span | None = None
    unit: VoltageUnit = None

    @model_validator(mode="after")
    def _ordered(self) -> "SoftDtwSettings":
        _check_span(self.window_ms)
        return self


class VanRossumSettings(Settings):
    """Spike times, each an exponential (van Rossum 2001): a spike too many costs sqrt(1/2), a moved one at most 1."""

    kind: Literal["van_rossum"]
    name: Name | None = None
    tau_ms: Positive = 10.0
    """Small: coincidences count; large: numbers of spikes."""
    window_ms: Span | None = None
    unit: SpikeUnit = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> "VanRossumSettings":
        _check_span(self.window_ms)
        return self


class VictorPurpuraSettings(Settings):
    """Spike times, the least cost of turning one train into the other (Victor & Purpura 1996): 1 to add or remove."""

    kind: Literal["victor_purpura"]
    name: Name | None = None
    cost_per_ms: NonNegative = 0.1
    """Of moving a spike; 0: only the numbers of spikes count."""
    window_ms: Span | None = None
    unit: SpikeUnit = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> "VictorPurpuraSettings":
        _check_span(self.window_ms)
        return self


def _tag(data: Any) -> str | None:
    kind = data.get("kind") if isinstance(data, dict) else getattr(data, "kind", None)
    return f"tag:{'rms' if kind == 'mean_absolute' else kind}" if kind in KINDS else None


def _trace_table(given: Any) -> Any:
    """The table that text stands for: trace = "rms" is short for trace = { kind = "rms" }."""
    if not isinstance(given, str | dict):
        return given
    table = {"kind": given} if isinstance(given, str) else given
    kind = table.get("kind")
    if kind not in KINDS:
        near = difflib.get_close_matches(str(kind), KINDS, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"kind = {kind!r} is no distance between traces; there are {', '.join(KINDS)}{hint}")
    return table


TraceSettings = Annotated[
    Annotated[PointwiseSettings, Tag("tag:rms")]
    | Annotated[SoftDtwSettings, Tag("tag:soft_dtw")]
    | Annotated[VanRossumSettings, Tag("tag:van_rossum")]
    | Annotated[VictorPurpuraSettings, Tag("tag:victor_purpura")],
    Discriminator(_tag),
    BeforeValidator(_trace_table),
]


class ScoreSettings(Settings):
    """Score functions: differences of features, or a distance between traces, each divided by its unit."""

    stimuli: tuple[Name, ...] = ()
    """Empty: every stimulus."""
    site: Name = "soma"
    features: tuple[str, ...] = ()
    """eFEL's names; empty and no trace: the twenty defaults."""
    unit: Literal["sd", "mad", "mean", "range"] = "sd"
    """What a feature's difference is divided by: sd of the sweeps; 1.4826 times their median absolute deviation, about
    the median; |mean|; or the range of the feature in generation 0."""
    list_values: Literal["mean", "each"] = "mean"
    """Of one value a spike: |their mean - target|; or the mean of |value - target|, as BluePyOpt scores."""
    trace: TraceSettings | None = None
    """Distance from the recorded traces in place of features: its kind, or a table with kind and options."""
    sd_mV: Positive = DEFAULT_SD_MV
    """Unit of a distance between voltages."""
    weight: NonNegative = 1.0
    weights: dict[str, NonNegative] = Field(default_factory=dict)
    """Per feature, multiplied with weight."""

    @model_validator(mode="after")
    def _one_kind(self) -> "ScoreSettings":
        if self.trace is not None:
            self._check_trace()
        elif self.sd_mV != DEFAULT_SD_MV:
            raise ValueError(f"sd_mV = {self.sd_mV:g} is the unit of a distance between traces; remove it")
        for name in self.weights:
            if name not in self.names:
                near = difflib.get_close_matches(name, self.names, n=1, cutoff=0.5)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise ValueError(f"weights names {name}, which is not among the features {', '.join(self.names)}{hint}")
        return self

    def _check_trace(self) -> None:
        assert self.trace is not None
        if self.features:
            raise ValueError("give features or trace, not both; write two [[scores]] tables")
        for option, default in (("unit", "sd"), ("list_values", "mean")):
            if getattr(self, option) != default:
                hint = "trace.unit" if option == "unit" else "no list"
                raise ValueError(
                    f"{option} = '{getattr(self, option)}' is for features; a distance has {hint}; remove it"
                )
        if self.sd_mV == DEFAULT_SD_MV:
            return
        if self.trace.kind in SPIKE_KINDS:
            raise ValueError(f"sd_mV = {self.sd_mV:g}, but {self.trace.kind} has no voltage; give trace.unit instead")
        if self.trace.unit is not None:
            raise ValueError(f"sd_mV = {self.sd_mV:g} and trace.unit = {self.trace.unit!r}; give one of them")

    @property
    def names(self) -> tuple[str, ...]:
        """The features of this table."""
        return () if self.trace else (self.features or DEFAULT_FEATURES)

    @property
    def trace_name(self) -> str:
        """What the distance's score function is called: trace.KIND, or trace.KIND.NAME."""
        assert self.trace is not None
        return ".".join(filter(None, ("trace", self.trace.kind, self.trace.name)))


class WeightingSettings(Settings):
    """Weights from data, on top of those of [[scores]]."""

    kind: Literal["given", "inverse_variance"] = "given"
    """inverse_variance: 1 / variance over the sweeps of each feature as it is scored, with mean 1 in each stimulus."""
    budget: Positive | dict[Name, Positive] | None = None
    """The weights of a stimulus add up to this, whatever the number of its score functions; or stimulus -> its sum."""


class PenaltySettings(Settings):
    """What a score function contributes, in its unit, when there is no number; counted in every generation."""

    undefined_feature: NonNegative = 25.0
    failed_simulation: NonNegative = 50.0
    cap: Positive | None = 25.0
    """A defined feature contributes at most this."""


def _check_span(span: tuple[float, float] | None) -> None:
    if span is not None and not span[0] < span[1]:
        raise ValueError(f"window [{span[0]:g}, {span[1]:g}] ms is empty or reversed; write the start first")
