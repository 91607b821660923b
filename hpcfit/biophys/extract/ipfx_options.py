"""How are IPFX's features read?  The arguments of its extractors, by their names and with their defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpcfit.biophys.extract.given import made
from hpcfit.errors import ConfigError


@dataclass(frozen=True)
class IpfxSettings:
    """Settings of IPFX's SpikeFeatureExtractor and SpikeTrainFeatureExtractor, in their units: s, mV, V/s, kHz.

    Raises
    ------
    ConfigError
        When a value cannot be meant: a fraction outside (0, 1], a negative time.
    """

    filter: float | None = 10.0
    """Cut-off of the Bessel filter before slopes are taken, kHz; None or 0: no filter.  It is left out where traces are
    sampled at no more than twice this frequency: there IPFX raises an error."""
    dv_cutoff: float = 20.0
    """A spike's slope exceeds this, V/s ..."""
    min_height: float = 2.0
    """... it rises by this from there to its peak, mV ..."""
    min_peak: float = -30.0
    """... which is at least this high, mV ..."""
    max_interval: float = 0.005
    """... and comes within this time, s."""
    thresh_frac: float = 0.05
    """The threshold is where the slope is this fraction of the mean upstroke."""
    reject_at_stim_start_interval: float = 0.0
    """What begins so soon after the start of the stimulus is no spike, s."""
    baseline_interval: float = 0.1
    """v_baseline is the mean of this time before the stimulus, s."""
    sag_baseline_interval: float = 0.03
    """The baseline of `sag`, and the end of the stimulus that is its steady state, s."""
    peak_width: float = 0.005
    """The lowest voltage of `sag` is a mean over this time, s."""
    burst_tol: float = 0.5
    """A slow trough below the next threshold by less than this is part of a burst, mV."""
    pause_cost: float = 1.0
    """The higher, the fewer intervals are pauses to `num_bursts`, `max_burstiness_index`, `n_pauses`, `pause_frac`."""

    def __post_init__(self) -> None:
        """Check what would otherwise end as a wrong number."""
        self._require("filter", self.filter is None or self.filter >= 0, "greater than 0, or 0 or None for no filter")
        self._require("thresh_frac", 0 < self.thresh_frac <= 1, "greater than 0 and at most 1")
        for name in ("dv_cutoff", "max_interval", "baseline_interval", "sag_baseline_interval", "peak_width"):
            self._require(name, getattr(self, name) > 0, "greater than 0")
        for name in ("reject_at_stim_start_interval", "pause_cost", "min_height"):
            self._require(name, getattr(self, name) >= 0, "0 or more")

    def _require(self, name: str, good: bool, wanted: str) -> None:
        if not good:
            raise ConfigError(f"IPFX settings: {name} = {getattr(self, name)!r}; it has to be {wanted}")

    @classmethod
    def of(cls, given: "IpfxSettings | Mapping[str, Any] | None") -> "IpfxSettings":
        """What the caller gave: settings, some of IPFX's names with values, or nothing.  Raises ConfigError."""
        return given if isinstance(given, IpfxSettings) else made(cls, given, "IPFX settings")
