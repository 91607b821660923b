"""What a stimulus may hold besides electrodes: synapses, and any other POINT_PROCESS."""

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from hpcfit.biophys.electrodes import Name, NonNegative
from hpcfit.config import Settings

_NMODL_NAME = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class PointProcessSettings(Settings):
    """One POINT_PROCESS of NEURON or of the cell's .mod files, and the events that reach it."""

    mechanism: _NMODL_NAME
    """Exp2Syn, ExpSyn, or a POINT_PROCESS of cell.mechanisms."""
    site: Name = "soma"
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_+\-]*$")] = ""
    """What [[parameters]] call it: variable = "NAME.tau2".  Several may share a name, and then the parameter."""
    parameters: dict[_NMODL_NAME, float] = Field(default_factory=dict)
    """Its RANGE parameters; those left out are as the mechanism has them."""
    times_ms: tuple[NonNegative, ...] | None = None
    """When events reach it, ascending; left out: none do, and its parameters alone say what it injects."""
    weight: float | None = None
    """Of every event: the first argument of NET_RECEIVE, in the mechanism's unit (ExpSyn and Exp2Syn: uS)."""

    @field_validator("times_ms")
    @classmethod
    def _ascending(cls, times: tuple[float, ...] | None) -> tuple[float, ...] | None:
        for before, after in zip(times or (), (times or ())[1:], strict=False):
            if after < before:
                raise ValueError(f"{after:g} comes after {before:g}; put the times in ascending order")
        return times

    @model_validator(mode="after")
    def _both_or_neither(self) -> "PointProcessSettings":
        if (self.times_ms is None) != (self.weight is None):
            given, lacking = ("weight", "times_ms") if self.times_ms is None else ("times_ms", "weight")
            raise ValueError(f"{given} is given without {lacking}; give both, or neither where no events reach it")
        return self

    def check_inside(self, place: str, duration_ms: float) -> None:
        """Raise ValueError when an event comes after the end of its stimulus, where it would do nothing."""
        if self.times_ms and self.times_ms[-1] >= duration_ms:
            raise ValueError(
                f"{place}.times_ms ends at {self.times_ms[-1]:g}, which is not before the end, duration_ms = "
                f"{duration_ms:g}; change one of them"
            )
