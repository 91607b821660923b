"""What a fit file says: cell, parameters, stimuli, recording sites, targets, scores and simulator."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from hpcfit.biophys.consistency import check_names
from hpcfit.biophys.default_features import SD_FLOORS
from hpcfit.biophys.electrodes import Electrode, Name, NonNegative, Positive, Waveform
from hpcfit.biophys.engine_settings import EngineSettings
from hpcfit.biophys.expression import check_expression
from hpcfit.biophys.extract.ipfx_options import IpfxSettings
from hpcfit.biophys.point_processes import PointProcessSettings
from hpcfit.biophys.score_settings import PenaltySettings, ScoreSettings, WeightingSettings
from hpcfit.config import InputPath, Settings
from hpcfit.errors import ConfigError
from hpcfit.settings import AnyStrategySettings, RunSettings, StrategySettings

Region = Literal["all", "somatic", "axonal", "apical", "basal"]
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


class FeatureSettings(Settings):
    """How features are read, in eFEL's definitions, and the smallest sd a recorded feature is given."""

    backend: Literal["hpcfit", "efel", "ipfx"] = "hpcfit"
    """Who reads them: our kernel, which leaves to eFEL the features that it lacks; or the package itself, eFEL for its
    features, or IPFX for those that begin with "ipfx:", and our kernel the others.  Numbers agree."""
    threshold_mV: float = -20.0
    derivative_threshold: Positive = 10.0
    interpolation_step_ms: Positive = 0.1
    strict_stimulus_interval: bool = False
    ipfx: dict[str, float] = Field(default_factory=dict)
    """Arguments of IPFX's extractors, by their names, for the features that begin with "ipfx:"."""
    relative_sd_floor: NonNegative = 0.05
    """An sd from recordings is at least this times |mean| ..."""
    absolute_sd_floor: Positive = 1e-3
    """... and at least this, in the feature's unit ..."""
    sd_floor: dict[str, Positive] = Field(default_factory=lambda: dict(SD_FLOORS))
    """... but for the features named here this alone is the floor: counts, and voltages, whose zero means nothing."""

    @field_validator("ipfx")
    @classmethod
    def _arguments(cls, given: dict[str, float]) -> dict[str, float]:
        try:
            IpfxSettings.of(given)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return given

    @field_validator("sd_floor")
    @classmethod
    def _with_defaults(cls, floors: dict[str, float]) -> dict[str, float]:
        return {**SD_FLOORS, **floors}


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
    weighting: WeightingSettings = WeightingSettings()
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
