"""What an electrode injects: the shapes that a stimulus in a fit file is made of."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from hpcfit.config import InputPath, Settings

Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.+\-]+$", min_length=1)]


class _Pulse(Settings):
    """A current that starts at `delay_ms`, lasts `duration_ms` and enters at `site`."""

    site: Name = "soma"
    delay_ms: NonNegative
    duration_ms: Positive


class Step(_Pulse):
    """A constant current, in nA or as a multiple of the rheobase."""

    shape: Literal["step"]
    amplitude_nA: float | None = None
    amplitude_rheobase: float | None = None

    @model_validator(mode="after")
    def _one_amplitude(self) -> "Step":
        if (self.amplitude_nA is None) == (self.amplitude_rheobase is None):
            raise ValueError("give either amplitude_nA or amplitude_rheobase")
        return self


class Ramp(_Pulse):
    """A current that changes linearly."""

    shape: Literal["ramp"]
    start_nA: float = 0.0
    end_nA: float


class Chirp(_Pulse):
    """A sine whose frequency runs from start_Hz to end_Hz (linear in time, or exponential)."""

    shape: Literal["chirp"]
    amplitude_nA: float
    start_Hz: Positive
    end_Hz: Positive
    sweep: Literal["linear", "exponential"] = "linear"


class Noise(_Pulse):
    """An Ornstein-Uhlenbeck current, the same for every individual."""

    shape: Literal["noise"]
    mean_nA: float = 0.0
    sd_nA: Positive
    tau_ms: Positive = 3.0
    seed: Annotated[int, Field(ge=0)] = 0


class Waveform(Settings):
    """A sampled current from a file: a column of a CSV (time_ms, current_nA), or a sweep of an HDF5 or NWB file."""

    shape: Literal["file"]
    site: Name = "soma"
    path: InputPath
    sweep: str | None = None
    """GROUP/NUMBER of an HDF5 file, or the name of a stimulus series of an NWB file."""
    delay_ms: NonNegative = 0.0
    scale: float = 1.0


SHAPES = ("step", "ramp", "chirp", "noise", "file")


def _shape(data: Any) -> str | None:
    shape = data.get("shape") if isinstance(data, dict) else getattr(data, "shape", None)
    return f"tag:{shape}" if shape in SHAPES else None


Electrode = Annotated[
    Annotated[Step, Tag("tag:step")]
    | Annotated[Ramp, Tag("tag:ramp")]
    | Annotated[Chirp, Tag("tag:chirp")]
    | Annotated[Noise, Tag("tag:noise")]
    | Annotated[Waveform, Tag("tag:file")],
    Discriminator(
        _shape,
        custom_error_type="unknown_shape",
        custom_error_message=f"must be one of {', '.join(SHAPES)}",
    ),
]
