"""LFADS as it is usually written for torch: what benchmarks/lfads_step.py measures against.

The input of every GRU is projected inside the loop over time, the decoder's whole state is concatenated after every
step and split before the next, masks and noise are drawn at every step, and autograd records each of these.  Same
equations, same weights as hpcfit.lfads.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn.functional import dropout, linear

from hpcfit.lfads.numbers import PlainNumbers
from hpcfit.lfads.recurrence import Decoded, DecoderInputs, DecoderWeights, GruWeights


def cell(x: Tensor, state: Tensor, weights: GruWeights, clip: float) -> Tensor:
    """One step of a GRU, all products within."""
    units = state.shape[-1]
    drive = linear(x, weights.input, weights.bias)
    gates = torch.sigmoid(drive[:, : 2 * units] + linear(state, weights.gates))
    update, reset = torch.split(gates, [units, units], 1)
    candidate = torch.tanh(drive[:, 2 * units :] + linear(reset * state, weights.candidate))
    return torch.clamp(update * state + (1 - update) * candidate, -clip, clip)


class InLoopRecurrence:
    """A Recurrence (hpcfit/lfads/recurrence.py); draws masks and noise where none are given."""

    trials_at_once = 0
    poisson = None

    def __init__(self, rate: float = 0.0) -> None:
        """rate: of dropout, where no masks are given."""
        self.rate = rate
        self.numbers = PlainNumbers()

    def stepping(self) -> AbstractContextManager[None]:
        """See Recurrence.stepping."""
        return nullcontext()

    def sequence(self, x: Tensor, start: Tensor, weights: GruWeights, clip: float, reverse: bool = False) -> Tensor:
        """See Recurrence.sequence."""
        state, states = start, []
        for step in reversed(x) if reverse else x:
            state = cell(step, state, weights, clip)
            states.append(state)
        return torch.stack(states[::-1] if reverse else states)

    def last(self, x: Tensor, start: Tensor, weights: GruWeights, clip: float, reverse: bool = False) -> Tensor:
        """See Recurrence.last."""
        return self.sequence(x, start, weights, clip, reverse)[0 if reverse else -1]

    def _kept(self, x: Tensor, kept: Tensor | None, step: int) -> Tensor:
        return dropout(x, self.rate) if kept is None else x * kept[step]

    def decode(
        self, steps: int, given: DecoderInputs, weights: DecoderWeights, clip: float, least_variance: float
    ) -> Decoded:
        """See Recurrence.decode."""
        generator, controller = given.generator_start, given.controller_start
        assert controller is not None and given.encoding is not None and weights.controller is not None
        assert weights.to_inputs is not None and weights.to_inputs_bias is not None
        inputs = weights.to_inputs.shape[0] // 2
        widths = [generator.shape[1], controller.shape[1], inputs, inputs, inputs, weights.factors.shape[0]]
        nothing = generator.new_zeros(len(generator), inputs)
        state = torch.cat([generator, controller, nothing, nothing, nothing, linear(generator, weights.factors)], 1)
        states = []
        for step in range(steps):
            generator, controller, _, _, _, factors = torch.split(state, widths, 1)
            told = given.encoding[step] if given.factors_kept is not None else dropout(given.encoding[step], self.rate)
            seen = torch.cat([told, self._kept(factors, given.factors_kept, step)], 1)
            controller = cell(seen, controller, weights.controller, clip)
            mean, log = torch.split(linear(controller, weights.to_inputs, weights.to_inputs_bias), [inputs, inputs], 1)
            noise = torch.randn_like(mean) if given.noise is None else given.noise[step]
            sample = mean + torch.sqrt(torch.exp(log) + least_variance) * noise
            generator = cell(sample, generator, weights.generator, clip)
            factors = linear(self._kept(generator, given.states_kept, step), weights.factors)
            state = torch.cat([generator, controller, mean, log, sample, factors], 1)
            states.append(state)
        generator, _, mean, log, sample, factors = torch.split(torch.stack(states), widths, 2)
        return Decoded(generator, factors, mean, log, sample)
