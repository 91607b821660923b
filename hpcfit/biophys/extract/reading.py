"""What is to be read of the responses to a stimulus at a site?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from hpcfit.biophys.extract.current import CurrentTrace
from hpcfit.biophys.extract.names import check_names
from hpcfit.biophys.extract.options import ExtractSettings
from hpcfit.errors import InputError


@dataclass(frozen=True)
class Reading:
    """Features of the voltage at one site under one stimulus.

    Attributes
    ----------
    stimulus, site
        Their names.
    window_ms
        Start and end of the stimulus.
    names
        Features, by eFEL's names.
    settings
        How they are read.
    stimulus_nA
        Amplitude of the step, which the input resistances need.
    current
        What is injected, where the voltage is sampled; `impedance` and the features of the current need it.

    Raises
    ------
    ConfigError
        When a feature does not exist: the nearest name.
    InputError
        When the window does not end after its start.
    """

    stimulus: str
    site: str
    window_ms: tuple[float, float]
    names: tuple[str, ...]
    settings: ExtractSettings = field(default_factory=ExtractSettings)
    stimulus_nA: float | None = None
    current: CurrentTrace | None = None

    def __post_init__(self) -> None:
        """Check names and window; keep them as tuples."""
        names = tuple(self.names)
        check_names(names, f"reading of {self.stimulus} at {self.site}")
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "window_ms", checked_window(self.window_ms, "window_ms"))


def checked_window(given: Sequence[float], name: str = "stimulus_window") -> tuple[float, float]:
    """Start and end, ms.  Raises InputError unless they are finite and in this order."""
    start_ms, end_ms = (float(edge) for edge in given)
    if not (math.isfinite(start_ms) and math.isfinite(end_ms) and start_ms < end_ms):
        raise InputError(f"{name} = ({start_ms:g}, {end_ms:g}) ms; it has to end after its start")
    return start_ms, end_ms
