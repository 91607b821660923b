"""How well does a distribution explain the data?  Negative log likelihoods, element by element, nats.

Poisson: K22.  Gaussian, gamma and zero-inflated gamma: EMG and calcium signals (Wimalasena et al. 2022; Zhu et al.
2022).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

_LEAST = 1e-5


@dataclass(frozen=True)
class Reconstruction:
    """A distribution: how many numbers it needs for each neuron, and what it makes of them.

    nll(x, raw): elements (..., N) from raw numbers (..., N * parameters), blocks of N;
    mean(raw): what is expected, (..., N); for spikes, counts per bin.
    """

    parameters: int
    nll: Callable[[Tensor, Tensor], Tensor]
    mean: Callable[[Tensor], Tensor]
    counts: bool = False


def _poisson(x: Tensor, raw: Tensor) -> Tensor:
    return torch.exp(raw) - x * raw + torch.lgamma(x + 1.0)


def _gaussian(x: Tensor, raw: Tensor) -> Tensor:
    mean, log_variance = raw.chunk(2, -1)
    return 0.5 * (log_variance + (x - mean) ** 2 * torch.exp(-log_variance) + 1.8378770664093453)


def _gamma(x: Tensor, raw: Tensor) -> Tensor:
    shape, rate = _shape_rate(raw)
    x = torch.clamp(x, min=_LEAST)
    return torch.lgamma(shape) - shape * torch.log(rate) - (shape - 1.0) * torch.log(x) + rate * x


def _zero_inflated(x: Tensor, raw: Tensor) -> Tensor:
    """Zero with probability 1 - q, else gamma; q is the third number."""
    ordinary, logit = raw[..., : 2 * x.shape[-1]], raw[..., 2 * x.shape[-1] :]
    return torch.where(x > 0, softplus(-logit) + _gamma(x, ordinary), softplus(logit))


def _shape_rate(raw: Tensor) -> tuple[Tensor, Tensor]:
    shape, rate = raw.chunk(2, -1)
    return softplus(shape) + _LEAST, softplus(rate) + _LEAST


def _gamma_mean(raw: Tensor) -> Tensor:
    shape, rate = _shape_rate(raw)
    return shape / rate


def _zero_inflated_mean(raw: Tensor) -> Tensor:
    neurons = raw.shape[-1] // 3
    return torch.sigmoid(raw[..., 2 * neurons :]) * _gamma_mean(raw[..., : 2 * neurons])


RECONSTRUCTIONS = {
    "poisson": Reconstruction(1, _poisson, torch.exp, counts=True),
    "gaussian": Reconstruction(2, _gaussian, lambda raw: raw.chunk(2, -1)[0]),
    "gamma": Reconstruction(2, _gamma, _gamma_mean),
    "zero_inflated_gamma": Reconstruction(3, _zero_inflated, _zero_inflated_mean),
}
