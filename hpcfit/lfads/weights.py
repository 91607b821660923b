"""Where is which weight?  All of a model's weights lie in one flat vector: one call clips, moves or copies them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod, sqrt

import torch

from hpcfit.lfads.settings import ModelSettings

_ALIGNED = 16
"""Every weight starts at a multiple of so many numbers: a cache line of float32."""


@dataclass(frozen=True)
class Sizes:
    """Dimensions of a model: those of the settings, and those of its data."""

    model: ModelSettings
    seen: int
    """Dimensions of the input: encoded neurons, or those that several sessions are read into."""
    explained: int
    """Neurons whose rates are read out."""
    seen_steps: int
    steps: int
    parameters_per_neuron: int = 1
    """Of the reconstruction's distribution."""

    @property
    def controlled(self) -> bool:
        """Is there a controller?"""
        return self.model.inferred_inputs > 0


@dataclass(frozen=True)
class Entry:
    """One weight: where it begins in the vector, its shape, and the scale it is drawn with (0: zeros)."""

    name: str
    start: int
    shape: tuple[int, ...]
    scale: float = 0.0
    value: float = 0.0

    @property
    def numbers(self) -> int:
        """How many."""
        return prod(self.shape)


class Layout:
    """The entries of a flat vector, by name."""

    def __init__(self, parts: Sequence[tuple[str, tuple[int, ...], float, float]]) -> None:
        """parts: name, shape, scale and value that it starts with."""
        self.entries: dict[str, Entry] = {}
        start = 0
        for name, shape, scale, value in parts:
            self.entries[name] = Entry(name, start, shape, scale, value)
            start += -(-prod(shape) // _ALIGNED) * _ALIGNED
        self.length = start

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())

    def views(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """Every weight as a view of flat (..., length)."""
        lead = flat.shape[:-1]
        return {one.name: flat[..., one.start : one.start + one.numbers].reshape(*lead, *one.shape) for one in self}

    def drawn(self, seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """A fresh vector (length,): normal with each entry's scale about its value; padding is zero."""
        generator = torch.Generator().manual_seed(seed)
        flat = torch.zeros(self.length, dtype=dtype)
        for one in self:
            drawn = torch.randn(one.numbers, generator=generator, dtype=torch.float64) * one.scale + one.value
            flat[one.start : one.start + one.numbers] = drawn.to(dtype)
        return flat

    def from_named(self, named: Mapping[str, torch.Tensor], like: torch.Tensor) -> torch.Tensor:
        """The flat vector of weights given by name.  Raises ValueError when names or shapes differ."""
        flat = torch.zeros_like(like)
        if set(named) != set(self.entries):
            raise ValueError(f"weights {sorted(set(named) ^ set(self.entries))} are not in both")
        for one in self:
            if tuple(named[one.name].shape) != one.shape:
                raise ValueError(f"{one.name} has shape {tuple(named[one.name].shape)}, this model {one.shape}")
            flat[one.start : one.start + one.numbers] = named[one.name].reshape(-1)
        return flat


def layout(sizes: Sizes) -> Layout:
    """All weights of a model.  GRU blocks are in the order update, reset, candidate."""
    model = sizes.model
    parts = [
        *_encoder("ic_encoder", sizes.seen, model.ic_encoder),
        *_linear("initial", 2 * model.initial_condition, 2 * model.ic_encoder),
        ("initial.prior_mean", (model.initial_condition,), 0.0, 0.0),
        *_linear("generator.start", model.generator, model.initial_condition),
        *_gru("generator", model.inferred_inputs, model.generator),
        ("factors.weight", (model.factors, model.generator), 1.0 / sqrt(model.generator), 0.0),
        *_linear("rates", sizes.explained * sizes.parameters_per_neuron, model.factors),
    ]
    if sizes.controlled:
        inputs = model.inferred_inputs
        parts += [
            *_encoder("input_encoder", sizes.seen, model.controller_encoder),
            *_gru("controller", 2 * model.controller_encoder + model.factors, model.controller),
            ("controller.start", (model.controller,), 0.0, 0.0),
            *_linear("inputs", 2 * inputs, model.controller),
            *_input_prior(model),
        ]
    return Layout(parts)


_Part = tuple[str, tuple[int, ...], float, float]


def _input_prior(model: ModelSettings) -> list[_Part]:
    """Logarithms, one for each inferred input."""
    from math import log

    inputs = model.inferred_inputs
    parts: list[_Part] = [("inputs.prior_log_variance", (inputs,), 0.0, log(model.input_variance))]
    if model.input_prior == "ar1":
        parts.append(("inputs.prior_log_tau", (inputs,), 0.0, log(model.input_tau)))
    else:
        parts.append(("inputs.prior_mean", (inputs,), 0.0, 0.0))
    return parts


def _linear(name: str, out: int, into: int) -> list[_Part]:
    return [(f"{name}.weight", (out, into), 1.0 / sqrt(into), 0.0), (f"{name}.bias", (out,), 0.0, 0.0)]


def _gru(name: str, into: int, units: int) -> list[_Part]:
    """Gates start half open (bias 1), as in Sussillo et al. 2016."""
    return [
        (f"{name}.input", (3 * units, into), 1.0 / sqrt(max(into, 1)), 0.0),
        (f"{name}.gates", (2 * units, units), 1.0 / sqrt(units), 0.0),
        (f"{name}.candidate", (units, units), 1.0 / sqrt(units), 0.0),
        (f"{name}.gate_bias", (2 * units,), 0.0, 1.0),
        (f"{name}.candidate_bias", (units,), 0.0, 0.0),
    ]


def _encoder(name: str, into: int, units: int) -> list[_Part]:
    directions = ("forward", "backward")
    return [
        part
        for way in directions
        for part in (*_gru(f"{name}.{way}", into, units), (f"{name}.{way}.start", (units,), 0.0, 0.0))
    ]
