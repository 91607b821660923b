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


def passed(weights: Weights, x: Tensor, noise: Noise, sizes: Sizes, recurrence: Recurrence) -> Passed:
    """Everything that the model makes of data x (B, seen time, seen), time 0 first."""
    model = sizes.model
    seen = x.transpose(0, 1)  # time first: one product for all steps, and a step's rows lie together
    window = seen if not model.ic_window else seen[: model.ic_window]
    modelled = seen[model.ic_window :]
    forward, backward = encoded(weights, "ic_encoder", window, model.state_clip, recurrence)
    ends = _kept(torch.cat([forward[-1], backward[0]], -1), noise.encoding_kept)
    mean, log = linear(ends, weights["initial.weight"], weights["initial.bias"]).chunk(2, -1)
    variance = torch.exp(log) + model.posterior_variance_least
    start = mean if noise.initial is None else mean + torch.sqrt(variance) * noise.initial
    state = linear(start, weights["generator.start.weight"], weights["generator.start.bias"])
    steps = sizes.steps - model.ic_window
    given = DecoderInputs(
        torch.clamp(state, -model.state_clip, model.state_clip),
        _bias(weights, "generator"),
        noise=noise.inputs,
        factors_kept=noise.factors_kept,
        states_kept=noise.states_kept,
        **_controller_drive(weights, modelled, noise, sizes, recurrence),
    )
    decoded = recurrence.decode(
        steps, given, decoder_weights(weights, sizes), model.state_clip, model.posterior_variance_least
    )
    raw = linear(decoded.factors, weights["rates.weight"], weights["rates.bias"]).transpose(0, 1)
    wide = None if decoded.log_variances is None else torch.exp(decoded.log_variances) + model.posterior_variance_least
    return Passed(raw, decoded.factors, decoded.states, mean, variance, decoded.means, wide, decoded.inputs)


def encoded(weights: Weights, name: str, x: Tensor, clip: float, recurrence: Recurrence) -> tuple[Tensor, Tensor]:
    """States (T, B, E) of an encoder that reads x (T, B, N) forwards, and of one that reads it backwards."""
    both = []
    for way in ("forward", "backward"):
        place = f"{name}.{way}"
        drive = linear(x, weights[f"{place}.input"], _bias(weights, place))
        start = weights[f"{place}.start"].expand(x.shape[1], -1)
        both.append(recurrence.sequence(drive, start, gru_weights(weights, place), clip, way == "backward"))
    return both[0], both[1]


def gru_weights(weights: Weights, place: str) -> GruWeights:
    """Of the GRU of that name."""
    return GruWeights(weights[f"{place}.gates"], weights[f"{place}.candidate"])


def decoder_weights(weights: Weights, sizes: Sizes) -> DecoderWeights:
    """Those inside the joint loop."""
    factors = weights["factors.weight"]
    factors = factors / factors.norm(dim=-1, keepdim=True)
    generator = gru_weights(weights, "generator")
    if not sizes.controlled:
        return DecoderWeights(generator, factors)
    encoding = 2 * sizes.model.controller_encoder
    return DecoderWeights(
        generator,
        factors,
        gru_weights(weights, "controller"),
        weights["controller.input"][..., encoding:],
        weights["inputs.weight"],
        weights["inputs.bias"],
        weights["generator.input"],
    )


def _controller_drive(
    weights: Weights, x: Tensor, noise: Noise, sizes: Sizes, recurrence: Recurrence
) -> dict[str, Tensor]:
    """The controller's first state, and what its encoder tells it at every step."""
    model = sizes.model
    if not sizes.controlled:
        return {}
    forward, backward = encoded(weights, "input_encoder", x, model.state_clip, recurrence)
    told = torch.cat([_later(forward, model.controller_lag), _later(backward, -model.controller_lag)], -1)
    beyond = sizes.steps - model.ic_window - len(told)
    if beyond:  # steps to be predicted: nothing is told
        told = torch.cat([told, told.new_zeros(beyond, *told.shape[1:])])
    told = _kept(told, noise.input_encoding_kept)
    into = weights["controller.input"][..., : 2 * model.controller_encoder]
    drive = linear(told, into, _bias(weights, "controller"))
    return {"controller_start": weights["controller.start"].expand(x.shape[1], -1), "controller_drive": drive}


def _later(states: Tensor, lag: int) -> Tensor:
    """States moved by so many steps towards later (or earlier) ones; zeros come in."""
    if lag == 0:
        return states
    nothing = torch.zeros_like(states[: abs(lag)])
    return torch.cat([nothing, states[:-lag]]) if lag > 0 else torch.cat([states[-lag:], nothing])


def _kept(x: Tensor, kept: Tensor | None) -> Tensor:
    return x if kept is None else x * kept


def _bias(weights: Weights, place: str) -> Tensor:
    return torch.cat([weights[f"{place}.gate_bias"], weights[f"{place}.candidate_bias"]], -1)
