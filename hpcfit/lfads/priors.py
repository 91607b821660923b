"""How far is a posterior from its prior?  KL divergences, nats; sums over dimensions and time, means over trials."""

import torch
from torch import Tensor


def kl_normal(mean: Tensor, variance: Tensor, prior_mean: Tensor, prior_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(prior)), summed over all but the first dimension, the mean over that (trials)."""
    ratio = variance / prior_variance
    apart = (mean - prior_mean) ** 2 / prior_variance
    return (0.5 * (ratio + apart - 1.0 - torch.log(ratio))).sum() / mean.shape[0]


def kl_ar1(mean: Tensor, variance: Tensor, sample: Tensor, log_tau: Tensor, log_variance: Tensor) -> Tensor:
    """KL(q(u) || AR(1)) of inputs (T, B, U), estimated at the sample (Sussillo et al. 2016, eq. 18; Pandarinath 2018).

    u_t ~ N(a u_{t-1}, v) with a = exp(-1 / tau), v the noise variance; u_0 ~ N(0, v / (1 - a^2)), so it is stationary.
    """
    decay = torch.exp(-torch.exp(-log_tau))
    step = torch.exp(log_variance)
    process = step / (1.0 - decay**2)
    expected = torch.cat([torch.zeros_like(sample[:1]), decay * sample[:-1]])
    wide = torch.cat([process.expand_as(sample[:1]), step.expand_as(sample[:-1])])
    log_q = -0.5 * (torch.log(variance) + (sample - mean) ** 2 / variance)
    log_p = -0.5 * (torch.log(wide) + (sample - expected) ** 2 / wide)
    return (log_q - log_p).sum() / sample.shape[1]
