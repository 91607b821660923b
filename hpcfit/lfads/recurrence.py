"""The two loops over time, in plain torch: the readable twin of the compiled kernels, and what GPUs run.

GRU with the reset gate before the recurrent product (Cho et al. 2014), states clipped; inputs of all steps are
projected in one product, before the loop.  Arrays are time first.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import linear

from hpcfit.lfads.numbers import Numbers, PlainNumbers


@dataclass(frozen=True)
class GruWeights:
    """Weights of a GRU, blocks in the order update, reset, candidate.

    Attributes
    ----------
    input, bias
        (3H, inputs), (3H,).
    gates, candidate
        Recurrent: (2H, H), update above reset; (H, H).
    """

    input: Tensor
    bias: Tensor
    gates: Tensor
    candidate: Tensor


@dataclass(frozen=True)
class DecoderWeights:
    """Weights inside the joint loop of controller, generator and factors.

    Attributes
    ----------
    generator, controller
        The generator reads inferred inputs (U), the controller encoding and factors of the step before (E + F); no
        controller: an autonomous generator.
    factors
        (F, G), rows of unit length.
    to_inputs, to_inputs_bias
        (2U, C) and (2U,): mean above logarithm of variance of the inferred inputs.
    """

    generator: GruWeights
    factors: Tensor
    controller: GruWeights | None = None
    to_inputs: Tensor | None = None
    to_inputs_bias: Tensor | None = None


@dataclass(frozen=True)
class DecoderInputs:
    """What goes into the joint loop.

    Attributes
    ----------
    generator_start
        (B, G) at the step before the first.
    controller_start
        (B, C).
    encoding
        (T, B, E): what the controller is told of the data.
    noise
        (T, B, U), standard normal; None: inputs are their means.
    factors_kept
        (T, B, F) factors that the controller sees, 0 or 1 / (1 - rate); None: all.
    states_kept
        (T, B, G) generator units that factors see; None: all.
    """

    generator_start: Tensor
    controller_start: Tensor | None = None
    encoding: Tensor | None = None
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
    """Who computes the loops, and draws the numbers that go into them."""

    @property
    def numbers(self) -> Numbers:
        """Who draws."""
        ...

    @property
    def trials_at_once(self) -> int:
        """How many trials a training step gives it at a time; 0: a whole batch."""
        ...

    @property
    def poisson(self) -> Callable[..., tuple[Tensor, Tensor]] | None:
        """Read-out and masked likelihood of counts in one pass, loss.PoissonSums; None: as loss.py does it."""
        ...

    def stepping(self) -> AbstractContextManager[None]:
        """What a training step is wrapped in, so that its numbers do not depend on threads."""
        ...

    def sequence(self, x: Tensor, start: Tensor, weights: GruWeights, clip: float, reverse: bool = False) -> Tensor:
        """States (T, B, H) of a GRU that reads x (T, B, inputs), from start (B, H).

        reverse: from the last step to the first; states stay where their steps are.
        """
        ...

    def last(self, x: Tensor, start: Tensor, weights: GruWeights, clip: float, reverse: bool = False) -> Tensor:
        """The state (B, H) after the last step of `sequence` (of time 0, where reverse)."""
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

    trials_at_once = 0
    poisson = None

    def __init__(self) -> None:
        self.numbers = PlainNumbers()

    def stepping(self) -> AbstractContextManager[None]:
        """See Recurrence.stepping.  Nothing: torch's products depend on threads in their last bits."""
        return nullcontext()

    def sequence(self, x: Tensor, start: Tensor, weights: GruWeights, clip: float, reverse: bool = False) -> Tensor:
        """See Recurrence.sequence."""
        drive = linear(x, weights.input, weights.bias)
        state, states = start, []
        steps = range(len(drive) - 1, -1, -1) if reverse else range(len(drive))
        for step in steps:
            state = gru_step(drive[step], state, weights, clip)
            states.append(state)
        return torch.stack(states[::-1] if reverse else states)

    def last(self, x: Tensor, start: Tensor, weights: GruWeights, clip: float, reverse: bool = False) -> Tensor:
        """See Recurrence.last."""
        return self.sequence(x, start, weights, clip, reverse)[0 if reverse else -1]

    def decode(
        self, steps: int, given: DecoderInputs, weights: DecoderWeights, clip: float, least_variance: float
    ) -> Decoded:
        """See Recurrence.decode."""
        generator, controller, told = given.generator_start, given.controller_start, None
        from_factors = None
        if weights.controller is not None:
            assert given.encoding is not None and weights.to_inputs is not None and weights.to_inputs_bias is not None
            wide = given.encoding.shape[-1]
            told = linear(given.encoding, weights.controller.input[..., :wide], weights.controller.bias)
            from_factors = weights.controller.input[..., wide:]
        found: dict[str, list[Tensor]] = {name: [] for name in ("states", "factors", "means", "logs", "inputs")}
        factors = generator @ weights.factors.mT
        for step in range(steps):
            drive = weights.generator.bias
            if weights.controller is not None:
                assert controller is not None and told is not None and from_factors is not None
                assert weights.to_inputs is not None and weights.to_inputs_bias is not None
                seen = factors if given.factors_kept is None else factors * given.factors_kept[step]
                controller = gru_step(told[step] + seen @ from_factors.mT, controller, weights.controller, clip)
                mean, log = (controller @ weights.to_inputs.mT + weights.to_inputs_bias).chunk(2, -1)
                inputs = mean
                if given.noise is not None:
                    inputs = mean + torch.sqrt(torch.exp(log) + least_variance) * given.noise[step]
                drive = drive + inputs @ weights.generator.input.mT
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
