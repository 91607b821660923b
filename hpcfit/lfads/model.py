"""From spikes to rates: encoders, controller, generator, factors, rates, as a pure function of weights and noise.

Pandarinath et al. 2018; sizes and priors of Keshtkaran, Sedler et al. 2022.  Nothing is drawn here: random numbers come
in, so that members can be stacked (torch.func.vmap), kernels compared, and a step repeated.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear

from hpcfit.lfads.recurrence import DecoderInputs, DecoderWeights, GruWeights, Recurrence
from hpcfit.lfads.weights import Sizes

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Noise:
    """Random numbers of one pass; None: the mean of a posterior, nothing dropped.

    Attributes
    ----------
    initial
        (B, I) standard normal.
    inputs
        (T, B, U) standard normal.
    encoding_kept, input_encoding_kept, factors_kept, states_kept
        Dropout: 0 or 1 / (1 - rate), shapes (B, 2E), (T, B, 2Ec), (T, B, F), (T, B, G).
    """

    initial: Tensor | None = None
    inputs: Tensor | None = None
    encoding_kept: Tensor | None = None
    input_encoding_kept: Tensor | None = None
    factors_kept: Tensor | None = None
    states_kept: Tensor | None = None


@dataclass(frozen=True)
class Passed:
    """What a pass gave; time first inside, trials first in `raw`.

    Attributes
    ----------
    raw
        (B, T, N * parameters) of the reconstruction's distribution; Poisson: logarithms of rates per bin.
    factors
        (T, B, F).
    states
        (T, B, G) of the generator.
    initial_mean, initial_variance
        (B, I) of the initial condition's posterior.
    input_means, input_variances, inputs
        (T, B, U) of the inferred inputs' posterior, and the sample; None without controller.
    """

    raw: Tensor
    factors: Tensor
    states: Tensor
    initial_mean: Tensor
    initial_variance: Tensor
    input_means: Tensor | None = None
    input_variances: Tensor | None = None
    inputs: Tensor | None = None


def passed(
    weights: Weights, x: Tensor, noise: Noise, sizes: Sizes, recurrence: Recurrence, read_out: bool = True
) -> Passed:
    """Everything that the model makes of data x (B, seen time, seen), time 0 first.

    read_out: False: leave out `raw` (empty), for who reads the factors out.
    """
    model = sizes.model
    seen = x.transpose(0, 1)  # time first: one product for all steps, and a step's rows lie together
    window = seen if not model.ic_window else seen[: model.ic_window]
    modelled = seen[model.ic_window :]
    clip = model.state_clip
    ends = [recurrence.last(*_read(weights, f"ic_encoder.{way}", window), clip, back) for way, back in _WAYS]
    ends = _kept(torch.cat(ends, -1), noise.encoding_kept)
    mean, log = linear(ends, weights["initial.weight"], weights["initial.bias"]).chunk(2, -1)
    variance = torch.exp(log) + model.posterior_variance_least
    start = mean if noise.initial is None else mean + torch.sqrt(variance) * noise.initial
    state = linear(start, weights["generator.start.weight"], weights["generator.start.bias"])
    steps = sizes.steps - model.ic_window
    given = DecoderInputs(
        torch.clamp(state, -clip, clip),
        noise=noise.inputs,
        factors_kept=noise.factors_kept,
        states_kept=noise.states_kept,
        **_told(weights, modelled, noise, sizes, recurrence),
    )
    decoded = recurrence.decode(steps, given, decoder_weights(weights, sizes), clip, model.posterior_variance_least)
    raw = x.new_empty(0)
    if read_out:
        raw = linear(decoded.factors, weights["rates.weight"], weights["rates.bias"]).transpose(0, 1)
    wide = None if decoded.log_variances is None else torch.exp(decoded.log_variances) + model.posterior_variance_least
    return Passed(raw, decoded.factors, decoded.states, mean, variance, decoded.means, wide, decoded.inputs)


_WAYS = (("forward", False), ("backward", True))


def _read(weights: Weights, place: str, x: Tensor) -> tuple[Tensor, Tensor, GruWeights]:
    """What the encoder of that name reads, where it starts, and its weights."""
    return x, weights[f"{place}.start"].expand(x.shape[1], -1), gru_weights(weights, place)


def gru_weights(weights: Weights, place: str) -> GruWeights:
    """Of the GRU of that name."""
    bias = torch.cat([weights[f"{place}.gate_bias"], weights[f"{place}.candidate_bias"]], -1)
    return GruWeights(weights[f"{place}.input"], bias, weights[f"{place}.gates"], weights[f"{place}.candidate"])


def decoder_weights(weights: Weights, sizes: Sizes) -> DecoderWeights:
    """Those inside the joint loop."""
    factors = weights["factors.weight"]
    factors = factors / factors.norm(dim=-1, keepdim=True)
    generator = gru_weights(weights, "generator")
    if not sizes.controlled:
        return DecoderWeights(generator, factors)
    controller = gru_weights(weights, "controller")
    return DecoderWeights(generator, factors, controller, weights["inputs.weight"], weights["inputs.bias"])


def _told(weights: Weights, x: Tensor, noise: Noise, sizes: Sizes, recurrence: Recurrence) -> dict[str, Tensor]:
    """The controller's first state, and what its encoder tells it at every step."""
    model = sizes.model
    if not sizes.controlled:
        return {}
    forward, backward = (
        recurrence.sequence(*_read(weights, f"input_encoder.{way}", x), model.state_clip, back) for way, back in _WAYS
    )
    told = torch.cat([_later(forward, model.controller_lag), _later(backward, -model.controller_lag)], -1)
    beyond = sizes.steps - model.ic_window - len(told)
    if beyond:  # steps to be predicted: nothing is told
        told = torch.cat([told, told.new_zeros(beyond, *told.shape[1:])])
    start = weights["controller.start"].expand(x.shape[1], -1)
    return {"controller_start": start, "encoding": _kept(told, noise.input_encoding_kept)}


def _later(states: Tensor, lag: int) -> Tensor:
    """States moved by so many steps towards later (or earlier) ones; zeros come in."""
    if lag == 0:
        return states
    nothing = torch.zeros_like(states[: abs(lag)])
    return torch.cat([nothing, states[:-lag]]) if lag > 0 else torch.cat([states[-lag:], nothing])


def _kept(x: Tensor, kept: Tensor | None) -> Tensor:
    return x if kept is None else x * kept
