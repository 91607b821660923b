"""How are features read?  eFEL's settings, by eFEL's names and with its defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hpcfit.biophys.extract.given import made
from hpcfit.biophys.extract.ipfx_options import IpfxSettings
from hpcfit.errors import ConfigError


@dataclass(frozen=True)
class ExtractSettings:
    """Settings of an extraction.  Voltages in mV, times in ms, slopes in mV/ms.

    Raises
    ------
    ConfigError
        When a value cannot be meant: a step that is not positive, a fraction outside [0, 1).
    """

    Threshold: float = -20.0
    """A spike rises and falls through it."""
    strict_stiminterval: bool = False
    """Whether spikes outside the stimulus do not count."""
    interp_step: float = 0.1
    """Traces are interpolated to this step before anything is read."""
    DerivativeThreshold: float = 10.0
    """A spike begins where the slope last exceeds this ..."""
    DerivativeWindow: int = 3
    """... for so many samples ..."""
    DownDerivativeThreshold: float = -12.0
    """... and ends where, after its steepest fall, the slope is back above this."""
    ignore_first_ISI: bool = True
    spike_skipf: float = 0.1
    max_spike_skip: int = 2
    """adaptation_index and ISI_log_slope_skip leave out the first spike_skipf of the spikes, at most max_spike_skip."""
    initial_perc: float = 0.1
    voltage_base_start_perc: float = 0.9
    voltage_base_end_perc: float = 1.0
    """voltage_base is read between these fractions of the stimulus' start ..."""
    voltage_base_mode: str = "mean"
    """... as a mean or a median."""
    rise_start_perc: float = 0.0
    rise_end_perc: float = 1.0
    sahp_start: float = 5.0
    burst_factor: float = 1.5
    strict_burst_factor: float = 2.0
    initburst_freq_threshold: float = 50
    initburst_sahp_start: float = 5
    initburst_sahp_end: float = 100
    AP_phaseslope_range: int = 2
    precision_threshold: float = 1e-10
    decay_start_after_stim: float = 1.0
    decay_end_after_stim: float = 10.0
    multi_stim_start: tuple[float, ...] = ()
    multi_stim_end: tuple[float, ...] = ()
    """Starts and ends of the steps of a stimulus of several, for multiple_decay_time_constant_after_stim."""
    depol_block_min_duration: float = 50.0
    """As long above where spikes begin, or below -75 mV, is a depolarisation block."""
    current_base_start_perc: float = 0.9
    current_base_end_perc: float = 1.0
    current_base_mode: str = "mean"
    """As those of voltage_base."""
    impedance_max_freq: float = 50.0
    """impedance is looked for up to this frequency, Hz."""
    ipfx: IpfxSettings | Mapping[str, Any] = field(default_factory=IpfxSettings)
    """How the features whose names begin with "ipfx:" are read, which take none of the settings above."""

    def __post_init__(self) -> None:
        """Check what would otherwise end as a wrong number."""
        object.__setattr__(self, "ipfx", IpfxSettings.of(self.ipfx))
        for name in ("multi_stim_start", "multi_stim_end"):
            object.__setattr__(self, name, tuple(float(t_ms) for t_ms in getattr(self, name)))
        for name in ("interp_step", "DerivativeWindow", "burst_factor", "strict_burst_factor", "impedance_max_freq"):
            self._require(name, getattr(self, name) > 0, "greater than 0")
        for name in ("spike_skipf", "initial_perc"):
            self._require(name, 0 <= getattr(self, name) < 1, "at least 0 and below 1")
        for name in ("max_spike_skip", "AP_phaseslope_range", "depol_block_min_duration"):
            self._require(name, getattr(self, name) >= 0, "0 or more")
        for name in ("voltage_base_mode", "current_base_mode"):
            self._require(name, getattr(self, name) in ("mean", "median"), "mean or median")
        steps = len(self.multi_stim_start)
        self._require("multi_stim_end", len(self.multi_stim_end) == steps, f"as long as multi_stim_start ({steps})")
        self._require(
            "decay_end_after_stim",
            self.decay_end_after_stim > self.decay_start_after_stim,
            "after decay_start_after_stim",
        )

    def _require(self, name: str, good: bool, wanted: str) -> None:
        if not good:
            raise ConfigError(f"feature settings: {name} = {getattr(self, name)!r}; it has to be {wanted}")

    @classmethod
    def of(cls, given: "ExtractSettings | Mapping[str, Any] | None") -> "ExtractSettings":
        """What the caller gave: settings, some of eFEL's names with values, or nothing.  Raises ConfigError."""
        return given if isinstance(given, ExtractSettings) else made(cls, given, "feature settings")
