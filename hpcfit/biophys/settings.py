"""What a fit file says: cell, parameters, stimuli, recording sites, targets, scores and simulator."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from hpcfit.biophys.consistency import check_names
from hpcfit.biophys.electrodes import Electrode, Name, NonNegative, Positive, Waveform
from hpcfit.biophys.expression import check_expression
from hpcfit.biophys.point_processes import PointProcessSettings
from hpcfit.config import InputPath, Settings
from hpcfit.settings import AnyStrategySettings, RunSettings, Seconds, StrategySettings

SD_FLOORS = {
    "Spikecount": 0.5,
    "Spikecount_stimint": 0.5,
    "voltage_base": 0.5,
    "steady_state_voltage": 0.5,
    "steady_state_voltage_stimend": 0.5,
    "voltage_after_stim": 0.5,
    "minimum_voltage": 0.5,
    "maximum_voltage": 0.5,
    "AP_begin_voltage": 0.5,
    "AP_height": 0.5,
    "AHP_depth": 0.5,
    "AHP_depth_abs": 0.5,
    "AHP_depth_abs_slow": 0.5,
}
"""Smallest sd that recordings can give these features: half a spike, half a millivolt."""

Region = Literal["all", "somatic", "axonal", "apical", "basal"]

DEFAULT_FEATURES = (
    "Spikecount",
    "mean_frequency",
    "time_to_first_spike",
    "ISI_values",
    "ISI_CV",
    "doublet_ISI",
    "inv_last_ISI",
    "adaptation_index2",
    "AP_amplitude",
    "AP_width",
    "AP_duration_half_width",
    "AP_begin_voltage",
    "AP_rise_rate",
    "AP_fall_rate",
    "AHP_depth",
    "AHP_slow_time",
    "voltage_base",
    "steady_state_voltage",
    "sag_amplitude",
    "decay_time_constant_after_stim",
)
"""Twenty score functions for step responses, by eFEL's names (doublet_ISI is the first interval)."""


PER_SECTION = ("Ra", "L")
"""Variables that a section has once, not once per segment."""


class CellSettings(Settings):
    """Morphology, mechanisms and where they sit."""

    morphology: InputPath
    """SWC or Neurolucida ASC."""
    mechanisms: InputPath | None = None
    """Folder of .mod files, compiled once for its content; none: NEURON's own mechanisms only."""
    regions: dict[Region, tuple[str, ...]]
    """Mechanisms inserted in each region."""
    axon: Literal["stub", "keep"] = "stub"
    """stub: the axon is replaced by two pieces of 30 um with its first diameters, as the field does."""
    segment_length_um: Positive = 40.0
    """nseg = 1 + 2 * floor(L / segment_length_um)."""
    celsius: float = 34.0
    v_init_mV: float = -65.0


class ParameterSettings(Settings):
    """One number of the model: fixed (`value`) or free (`bounds`)."""

    variable: Name
    """NEURON's name: gIhbar_Ih, g_pas, cm, Ra, ena; a mechanism's GLOBAL (ehcn_Ih), celsius or v_init; or NAME.variable
    of the point processes of that name (ampa.tau2, ampa.weight)."""
    regions: tuple[Region, ...] = ()
    """Where it is set; empty for a GLOBAL, celsius and v_init."""
    name: Name = ""
    """Default: variable.regions."""
    value: float | None = None
    bounds: tuple[float, float] | None = None
    unit: str | None = None
    """Checked against the unit that NEURON knows for the variable."""
    scale: Literal["linear", "log"] = "linear"
    """In which scale the strategy sees the range."""
    distribution: str = "uniform"
    """uniform, or an expression of `value` and `distance` (path from the middle of the soma, um)."""

    @field_validator("distribution")
    @classmethod
    def _expression(cls, text: str) -> str:
        if text != "uniform":
            check_expression(text, ("value", "distance"))
        return text

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("variable") and not data.get("name"):
            regions = data.get("regions") or ()
            place = "+".join(str(region) for region in regions) if isinstance(regions, list | tuple) else ""
            data = {**data, "name": f"{data['variable']}.{place}" if place else str(data["variable"])}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> "ParameterSettings":
        if (self.value is None) == (self.bounds is None):
            raise ValueError(f"{self.name}: give either value (fixed) or bounds (free), got {_which(self)}")
        if self.bounds is not None:
            low, high = self.bounds
            if not low < high:
                raise ValueError(f"{self.name}: bounds = [{low:g}, {high:g}] are reversed or empty; write [low, high]")
            if self.scale == "log" and low <= 0:
                raise ValueError(f"{self.name}: bounds start at {low:g}, but scale = 'log' needs bounds above 0")
        if self.variable == "v":
            raise ValueError(f"{self.name}: v is what the simulation computes; v_init sets where it starts")
        if "." in self.variable and self.regions:
            raise ValueError(f"{self.name}: {self.variable} is a point process' own; remove its regions")
        if self.distribution != "uniform" and (not self.regions or self.variable in PER_SECTION):
            raise ValueError(f"{self.name}: {self.variable} has no distance along a section; remove its distribution")
        return self


def _which(parameter: ParameterSettings) -> str:
    return "both" if parameter.value is not None else "neither"


class StimulusSettings(Settings):
    """One protocol: what is injected where, for how long, and the window in which features are read."""

    name: Name
    duration_ms: Positive
    """Simulated time."""
    holding_nA: float = 0.0
    """Constant current into the soma, from the start to the end."""
    electrodes: tuple[Electrode, ...] = ()
    point_processes: tuple[PointProcessSettings, ...] = ()
    """Synapses and other POINT_PROCESSes that are there in this stimulus only, with the events that they receive."""
    window_ms: tuple[NonNegative, Positive] | None = None
    """Start and end of the stimulus for features; default: the first electrode's."""

    @model_validator(mode="after")
    def _inside(self) -> "StimulusSettings":
        start, end = self.window
        if not start < end <= self.duration_ms:
            raise ValueError(
                f"{self.name}: stimulus window [{start:g}, {end:g}] ms is not inside 0 to duration_ms = "
                f"{self.duration_ms:g}; change duration_ms, window_ms or the first electrode"
            )
        for index, electrode in enumerate(self.electrodes):
            if electrode.delay_ms >= self.duration_ms:
                raise ValueError(
                    f"{self.name}: electrodes[{index}].delay_ms = {electrode.delay_ms:g} is not before the end, "
                    f"duration_ms = {self.duration_ms:g}; change one of them or remove the electrode"
                )
        for index, point in enumerate(self.point_processes):
            point.check_inside(f"{self.name}: point_processes[{index}]", self.duration_ms)
        return self

    @property
    def window(self) -> tuple[float, float]:
        """Start and end, ms, of the stimulus as features see it."""
        if self.window_ms is not None:
            return self.window_ms
        for electrode in self.electrodes[:1]:
            if not isinstance(electrode, Waveform):
                return electrode.delay_ms, electrode.delay_ms + electrode.duration_ms
        return 0.0, self.duration_ms


class SiteSettings(Settings):
    """Where voltage is recorded or current injected: a place in a section, or at a path distance from the soma."""

    name: Name
    region: Region = "somatic"
    section: Annotated[int, Field(ge=0)] = 0
    """Index in the region's list of sections."""
    x: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    distance_um: NonNegative | None = None
    """Path distance from the middle of the soma; replaces section and x."""
    branch: Literal["longest", "last"] = "longest"
    """Which of several places at that distance: on the path to the farthest tip, or BluePyOpt's (last section)."""
    threshold_mV: float | None = None
    """Voltage above which a spike counts here, for dendrites; default: features.threshold_mV."""


class RheobaseSettings(Settings):
    """The cell's rheobase: given, or the smallest step that makes it fire in these recordings."""

    value_nA: Positive | None = None
    recordings: InputPath | None = None
    sweeps: tuple[str, ...] = ("*",)

    @model_validator(mode="after")
    def _one_source(self) -> "RheobaseSettings":
        if (self.value_nA is None) == (self.recordings is None):
            raise ValueError("give either value_nA or recordings")
        return self


class TargetSettings(Settings):
    """What one stimulus should evoke: recorded sweeps, or given feature statistics."""

    recordings: InputPath | None = None
    """HDF5 (GROUP/NUMBER with voltage_mV, current_nA, attribute dt_ms), CSV (time_ms, voltage_mV ...) or NWB."""
    sweeps: tuple[str, ...] = ("*",)
    """Names or shell patterns of the sweeps that are repeats of this stimulus."""
    site: Name = "soma"
    """Where they were recorded."""
    window_ms: tuple[NonNegative, Positive] | None = None
    """Stimulus window in the recordings when it differs from the model's stimulus."""
    rheobase_range: tuple[float, float] | None = None
    """Keep only sweeps whose step, less holding, lies in this range of multiples of the rheobase."""
    amplitude_range_nA: tuple[float, float] | None = None
    """Keep only sweeps whose step, less holding, lies in this range."""
    junction_potential_mV: float = 0.0
    """Liquid junction potential, subtracted from the recorded voltage."""
    statistics: dict[str, dict[str, tuple[float, Positive]]] = Field(default_factory=dict)
    """site -> feature -> [mean, sd]; goes before what recordings give."""

    @model_validator(mode="after")
    def _something(self) -> "TargetSettings":
        if self.recordings is None and not self.statistics:
            raise ValueError("give recordings or statistics")
        return self


class ScoreSettings(Settings):
    """Score functions: features in units of sd, or a distance between traces."""

    stimuli: tuple[Name, ...] = ()
    """Empty: every stimulus."""
    site: Name = "soma"
    features: tuple[str, ...] = ()
    """eFEL's names; empty and no trace: the twenty defaults."""
    trace: Literal["rms", "mean_absolute"] | None = None
    """Distance from the mean recorded trace, mV, in place of features."""
    sd_mV: Positive = 5.0
    """Unit of a trace distance."""
    weight: NonNegative = 1.0
    weights: dict[str, NonNegative] = Field(default_factory=dict)
    """Per feature, multiplied with weight."""

    @model_validator(mode="after")
    def _one_kind(self) -> "ScoreSettings":
        if self.trace and self.features:
            raise ValueError("give features or trace, not both; write two [[scores]] tables")
        unknown = [name for name in self.weights if name not in self.names]
        if unknown:
            raise ValueError(f"weights names {unknown[0]}, which is not among the features {', '.join(self.names)}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The features of this table."""
        return () if self.trace else (self.features or DEFAULT_FEATURES)


class FeatureSettings(Settings):
    """How eFEL reads features, and the smallest sd a recorded feature is given."""

    threshold_mV: float = -20.0
    derivative_threshold: Positive = 10.0
    interpolation_step_ms: Positive = 0.1
    strict_stimulus_interval: bool = False
    relative_sd_floor: NonNegative = 0.05
    """An sd from recordings is at least this times |mean| ..."""
    absolute_sd_floor: Positive = 1e-3
    """... and at least this, in the feature's unit ..."""
    sd_floor: dict[str, Positive] = Field(default_factory=lambda: dict(SD_FLOORS))
    """... but for the features named here this alone is the floor: counts, and voltages, whose zero means nothing."""

    @field_validator("sd_floor")
    @classmethod
    def _with_defaults(cls, floors: dict[str, float]) -> dict[str, float]:
        return {**SD_FLOORS, **floors}


class PenaltySettings(Settings):
    """What a score function contributes, in sd, when there is no number; counted in every generation."""

    undefined_feature: NonNegative = 25.0
    failed_simulation: NonNegative = 50.0
    cap: Positive | None = 25.0
    """A defined feature contributes at most this."""


MODES: dict[str, dict[str, Any]] = {
    "default": {"precision": "single", "order": 2, "dt_ms": 0.025},
    "fast": {"precision": "single", "order": 2, "dt_ms": 0.05},
    "exact": {"precision": "double", "order": 2, "dt_ms": 0.025},
}
"""What engine.mode stands for; docs/accuracy.md has the table of error against cost that they were chosen from."""


class EngineSettings(Settings):
    """The simulator.  Order 2 is NEURON's secondorder = 2: as cheap as order 1, spikes ten times nearer the limit."""

    kind: Literal["neuron", "batched", "coreneuron"] = "neuron"
    """neuron: one individual per worker process; batched: the population in one compiled kernel, fixed step only;
    coreneuron: NEURON's own compute engine, 16 individuals at a time in a worker process, fixed step only."""
    precision: Literal["single", "double"] | None = None
    """Of the batched kernel: single (default) keeps the voltage as a pair of numbers; double equals NEURON's own."""
    tables: Literal["honour", "ignore"] | None = None
    """TABLE statements of mechanisms.  honour: interpolated as NEURON does, the default of NEURON and of double, which
    is there to give NEURON's own numbers; ignore: computed exactly, the default of single: a table is an approximation
    of the model, and costs more than the polynomials which stand for gates there."""
    mode: Literal["default", "fast", "exact"] | None = None
    """Of the batched kernel: sets precision, order and dt_ms together (MODES); one that is given goes first."""
    fallback: Literal["refuse", "neuron"] = "refuse"
    """What happens when the batched kernel cannot translate a mechanism: an error, or NEURON simulates and says so."""
    integrator: Literal["fixed", "cvode"] = "fixed"
    dt_ms: Positive = 0.025
    order: Literal[1, 2] = 2
    cvode_atol: Positive = 1e-3
    record_dt_ms: Positive = 0.1
    """Sampling of the responses; with a fixed step a multiple of dt_ms."""
    deadline_s: Seconds = 60.0
    """A simulation that takes longer is ended; its status says so.  batched: processor time of the block it is in;
    coreneuron: 16 of them take longer than 16 times that."""
    voltage_limit_mV: Positive = 500.0
    """A response beyond it, or not finite, has diverged."""
    gpu: bool = False
    """Of CoreNEURON: simulate on the GPU; needs a NEURON that was built for one (pip's is not)."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Processes, or threads of the batched kernel; 0: one for every core this process may use."""
    memory_GiB: Positive | None = None
    """Most that responses and what makes them may take; a population that needs more is simulated in portions.
    Default: 80 % of what is free when a generation starts."""

    @property
    def tables_honoured(self) -> bool:
        """Are TABLE statements honoured?"""
        exact = self.kind == "neuron" or self.precision == "double"
        return exact if self.tables is None else self.tables == "honour"

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("kind", cls.model_fields["kind"].default) != "batched":
            return data
        return {**MODES.get(str(data.get("mode")), {}), **data}

    @model_validator(mode="after")
    def _multiple(self) -> "EngineSettings":
        steps = self.record_dt_ms / self.dt_ms
        if self.integrator == "fixed" and (steps < 1 - 1e-9 or abs(steps - round(steps)) > 1e-6):
            raise ValueError(
                f"record_dt_ms = {self.record_dt_ms:g} is not a multiple of dt_ms = {self.dt_ms:g}; "
                f"choose for example record_dt_ms = {max(1, round(steps)) * self.dt_ms:g}"
            )
        if self.kind != "neuron" and self.integrator == "cvode":
            raise ValueError(f"integrator = 'cvode', but kind = '{self.kind}' has a fixed step; remove integrator")
        if self.gpu and self.kind != "coreneuron":
            raise ValueError(f"gpu = true belongs to kind = 'coreneuron', but kind = '{self.kind}'; remove gpu")
        for key, given in (("mode", self.mode is not None), ("fallback", self.fallback != "refuse")):
            if given and self.kind != "batched":
                value = getattr(self, key)
                raise ValueError(f"{key} = '{value}' belongs to kind = 'batched'; add that or remove {key}")
        if self.kind != "batched" and self.precision is not None:
            raise ValueError(f"precision = '{self.precision}' belongs to kind = 'batched'; NEURON is double; remove it")
        return self


class FitSettings(Settings):
    """A whole fit file."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    name: Name
    """Names the run folder."""
    cell: CellSettings
    parameters: Annotated[tuple[ParameterSettings, ...], Field(min_length=1)]
    stimuli: Annotated[tuple[StimulusSettings, ...], Field(min_length=1)]
    sites: tuple[SiteSettings, ...] = ()
    """`soma` is always there."""
    rheobase: RheobaseSettings | None = None
    targets: dict[Name, TargetSettings]
    """By stimulus."""
    scores: tuple[ScoreSettings, ...] = (ScoreSettings(),)
    features: FeatureSettings = FeatureSettings()
    penalties: PenaltySettings = PenaltySettings()
    engine: EngineSettings = EngineSettings()
    strategy: AnyStrategySettings = StrategySettings()
    run: RunSettings = RunSettings()

    @model_validator(mode="after")
    def _names_agree(self) -> "FitSettings":
        check_names(self)
        return self

    @property
    def all_sites(self) -> tuple[SiteSettings, ...]:
        """The soma, and the sites of the file."""
        named = {site.name for site in self.sites}
        return (() if "soma" in named else (SiteSettings(name="soma"),)) + self.sites
