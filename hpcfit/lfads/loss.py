"""What training lowers: reconstruction of what was not seen, KL divergences, L2 penalties; each term by name.

Coordinated dropout and sample validation block gradients, not values (Keshtkaran & Pandarinath 2019, section 3).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hpcfit.lfads.model import Passed, Weights
from hpcfit.lfads.priors import kl_ar1, kl_normal
from hpcfit.lfads.reconstruction import RECONSTRUCTIONS
from hpcfit.lfads.weights import Sizes


@dataclass(frozen=True)
class Scales:
    """Weights of the loss terms at a step: those of the hyperparameters times their ramps."""

    kl_initial: float | Tensor
    kl_inputs: float | Tensor
    l2_generator: float | Tensor
    l2_controller: float | Tensor


@dataclass(frozen=True)
class Terms:
    """Terms of the loss, each a scalar.

    Attributes
    ----------
    nll
        Mean per element, over those that count; its gradient is that of the learned elements alone.
    kl_initial, kl_inputs
        Nats per trial.
    l2_generator, l2_controller
        Half the mean square of recurrent weights.
    held_out
        Mean NLL of elements that sample validation holds out, NaN without.
    """

    nll: Tensor
    kl_initial: Tensor
    kl_inputs: Tensor
    l2_generator: Tensor
    l2_controller: Tensor
    held_out: Tensor

    def total(self, scales: Scales) -> Tensor:
        """What is differentiated."""
        return (
            self.nll
            + scales.kl_initial * self.kl_initial
            + scales.kl_inputs * self.kl_inputs
            + scales.l2_generator * self.l2_generator
            + scales.l2_controller * self.l2_controller
        )


@dataclass(frozen=True)
class Shown:
    """A batch as a pass sees it.

    Attributes
    ----------
    x
        (B, seen time, seen): the input, after augmentation.
    target
        (B, T, N): what is to be explained.
    counted
        (B, T, N) of 0 and 1: elements whose NLL is in the value (there, and not held out); None: all.
    learned
        (B, T, N): elements whose NLL has a gradient; None: all that count.
    held_out
        (B, T, N): elements that sample validation keeps away; None: none.
    """

    x: Tensor
    target: Tensor
    counted: Tensor | None = None
    learned: Tensor | None = None
    held_out: Tensor | None = None


def terms(weights: Weights, shown: Shown, passed: Passed, sizes: Sizes) -> Terms:
    """All terms of a pass over a batch."""
    first = sizes.model.ic_window

    def of_time(mask: Tensor | None) -> Tensor | None:
        return None if mask is None else mask[:, first:]

    elements = RECONSTRUCTIONS[sizes.model.reconstruction].nll(shown.target[:, first:], passed.raw)
    nll = _counted(elements, of_time(shown.counted), of_time(shown.learned))
    held_out = of_time(shown.held_out)
    nothing = elements.new_zeros(())
    missed = elements.new_full((), torch.nan)
    if held_out is not None:
        missed = (elements.detach() * held_out).sum() / held_out.sum()
    prior = weights["initial.prior_mean"]
    variance = torch.full_like(prior, sizes.model.ic_prior_variance)
    initial = kl_normal(passed.initial_mean, passed.initial_variance, prior, variance)
    return Terms(
        nll,
        initial,
        _kl_inputs(weights, passed, sizes) if sizes.controlled else nothing,
        _l2(weights, "generator"),
        _l2(weights, "controller") if sizes.controlled else nothing,
        missed,
    )


def _counted(elements: Tensor, counted: Tensor | None, learned: Tensor | None) -> Tensor:
    """The mean over counted elements; its gradient is of the learned ones, over the same number."""
    number = elements.numel() if counted is None else counted.sum()
    value = elements if counted is None else elements * counted
    if learned is None:
        return value.sum() / number
    some = (elements * learned).sum() / number
    return some + (value.detach().sum() / number - some.detach())


def _kl_inputs(weights: Weights, passed: Passed, sizes: Sizes) -> Tensor:
    means, wide, sample = passed.input_means, passed.input_variances, passed.inputs
    assert means is not None and wide is not None and sample is not None
    log_variance = weights["inputs.prior_log_variance"]
    if sizes.model.input_prior == "ar1":
        return kl_ar1(means, wide, sample, weights["inputs.prior_log_tau"], log_variance)
    prior = weights["inputs.prior_mean"]
    return kl_normal(means, wide, prior, torch.exp(log_variance)) * (means.shape[0] / means.shape[1])


def _l2(weights: Weights, place: str) -> Tensor:
    """Half the mean square of a GRU's recurrent weights."""
    gates, candidate = weights[f"{place}.gates"], weights[f"{place}.candidate"]
    return 0.5 * ((gates**2).sum() + (candidate**2).sum()) / (gates.numel() + candidate.numel())
