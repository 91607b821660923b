"""What a fit file says about the simulator."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hpcfit.biophys.electrodes import Positive
from hpcfit.config import Settings
from hpcfit.settings import Seconds

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
    """What happens when the batched kernel cannot translate a mechanism: an error, or NEURON simulates and says so.
    TABLEs are then treated as the kernel would have."""
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
        exact = self.kind != "batched" or self.precision == "double"
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
