"""The two loops over time, in plain torch: the readable twin of the compiled kernels, and what GPUs run.

GRU with the reset gate before the recurrent product (Cho et al. 2014), states clipped; input projections come in ready
made.  Arrays are time first.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class GruWeights:
    """Recurrent weights: gates (2H, H), update above reset; candidate (H, H)."""

    gates: Tensor
    candidate: Tensor


@dataclass(frozen=True)
class DecoderWeights:
    """Weights inside the joint loop of controller, generator and factors.

    Attributes
    ----------
    generator, controller
        Recurrent weights; no controller: an autonomous generator.
    factors
        (F, G), rows of unit length.
    from_factors
        (3C, F), from the factors of the step before into the controller.
    to_inputs, to_inputs_bias
        (2U, C) and (2U,): mean above logarithm of variance of the inferred inputs.
    from_inputs
        (3G, U), from inferred inputs into the generator.
    """

    generator: GruWeights
    factors: Tensor
    controller: GruWeights | None = None
    from_factors: Tensor | None = None
    to_inputs: Tensor | None = None
    to_inputs_bias: Tensor | None = None
    from_inputs: Tensor | None = None


@dataclass(frozen=True)
class DecoderInputs:
    """What goes into the joint loop.

    Attributes
    ----------
    generator_start
        (B, G) at the step before the first.
    generator_bias
        (3G,), or (T, B, 3G) where a bias and external inputs are projected.
    controller_start
        (B, C).
    controller_drive
        (T, B, 3C): the encoding projected, and the bias.
    noise
        (T, B, U), standard normal; None: inputs are their means.
    factors_kept
        (T, B, F) factors that the controller sees, 0 or 1 / (1 - rate); None: all.
    states_kept
        (T, B, G) generator units that factors see; None: all.
    """

    generator_start: Tensor
    generator_bias: Tensor
    controller_start: Tensor | None = None
    controller_drive: Tensor | None = None
    noise: Tensor | None = None
    factors_kept: Tensor | None = None
    states_kept: Tensor | None = None


@dataclass(frozen=True)
class Decoded:
    """What the joint loop gives, time first: generator states (T, B, G), factors (T, B, F); of the inferred inputs
    means, logarithms of variances before the least one is added, and samples (T, B, U), None without controller.
    """

    states: Tensor
    factors: Tensor
    means: Tensor | None = None
    log_variances: Tensor | None = None
    inputs: Tensor | None = None


class Recurrence(Protocol):
    """Who computes the loops."""

    def sequence(self, drive: Tensor, start: Tensor, weights: GruWeights, clip: float, reverse: bool = False) -> Tensor:
        """States (T, B, H) of a GRU whose projected input and bias is drive (T, B, 3H), from start (B, H).

        reverse: from the last step to the first; states stay where their steps are.
        """
        ...

    def decode(
        self, steps: int, given: DecoderInputs, weights: DecoderWeights, clip: float, least_variance: float
    ) -> Decoded:
        """The joint loop."""
        ...


def gru_step(drive: Tensor, state: Tensor, weights: GruWeights, clip: float) -> Tensor:
    """One step: z, r = sigmoid(drive + U h); h' = z h + (1 - z) tanh(drive + U (r h)), clipped."""
    units = state.shape[-1]
    gates = torch.sigmoid(drive[..., : 2 * units] + state @ weights.gates.mT)
    update, reset = gates[..., :units], gates[..., units:]
    candidate = torch.tanh(drive[..., 2 * units :] + (reset * state) @ weights.candidate.mT)
    return torch.clamp(candidate + update * (state - candidate), -clip, clip)


class PlainRecurrence:
    """Loops in torch, differentiated by autograd; can be vmapped over members."""

    def sequence(self, drive: Tensor, start: Tensor, weights: GruWeights, clip: float, reverse: bool = False) -> Tensor:
        """See Recurrence.sequence."""
        state, states = start, []
        steps = range(len(drive) - 1, -1, -1) if reverse else range(len(drive))
        for step in steps:
            state = gru_step(drive[step], state, weights, clip)
            states.append(state)
        return torch.stack(states[::-1] if reverse else states)

    def decode(
        self, steps: int, given: DecoderInputs, weights: DecoderWeights, clip: float, least_variance: float
    ) -> Decoded:
        """See Recurrence.decode."""
        generator, controller = given.generator_start, given.controller_start
        found: dict[str, list[Tensor]] = {name: [] for name in ("states", "factors", "means", "logs", "inputs")}
        factors = generator @ weights.factors.mT
        for step in range(steps):
            bias = given.generator_bias
            drive = bias[step] if bias.dim() == 3 else bias
            if weights.controller is not None:
                assert controller is not None and given.controller_drive is not None
                assert weights.from_factors is not None and weights.to_inputs is not None
                assert weights.to_inputs_bias is not None and weights.from_inputs is not None
                seen = factors if given.factors_kept is None else factors * given.factors_kept[step]
                into = given.controller_drive[step] + seen @ weights.from_factors.mT
                controller = gru_step(into, controller, weights.controller, clip)
                mean, log = (controller @ weights.to_inputs.mT + weights.to_inputs_bias).chunk(2, -1)
                inputs = mean
                if given.noise is not None:
                    inputs = mean + torch.sqrt(torch.exp(log) + least_variance) * given.noise[step]
                drive = drive + inputs @ weights.from_inputs.mT
                for name, one in (("means", mean), ("logs", log), ("inputs", inputs)):
                    found[name].append(one)
            generator = gru_step(drive, generator, weights.generator, clip)
            seen = generator if given.states_kept is None else generator * given.states_kept[step]
            factors = seen @ weights.factors.mT
            found["states"].append(generator)
            found["factors"].append(factors)
        stacked = {name: torch.stack(parts) if parts else None for name, parts in found.items()}
        assert stacked["states"] is not None and stacked["factors"] is not None
        return Decoded(stacked["states"], stacked["factors"], stacked["means"], stacked["logs"], stacked["inputs"])
