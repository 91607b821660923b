"""What training lowers: reconstruction of what was not seen, KL divergences, L2 penalties; each term by name.

Coordinated dropout and sample validation block gradients, not values (Keshtkaran & Pandarinath 2019, section 3).
"""

from collections.abc import Callable, Sequence
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

    def detached(self) -> "Terms":
        """The same numbers, without their graph."""
        return Terms(*(getattr(self, name).detach() for name in self.__dataclass_fields__))

    def plus(self, other: "Terms") -> "Terms":
        """Sums of these and other parts of a batch, without graph."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__)
        return Terms(*(mine + theirs.detach() for mine, theirs in pairs))

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


@dataclass(frozen=True)
class Whole:
    """What the means of a batch are taken over, so that terms of its parts add up to those of the whole.

    Attributes
    ----------
    trials
        How many.
    counted, held_out
        Elements whose NLL is in the value, and those that sample validation keeps away.
    """

    trials: int
    counted: float | Tensor
    held_out: float | Tensor | None

    @classmethod
    def of(cls, shown: Shown, sizes: Sizes) -> "Whole":
        """Of a whole batch."""
        first, target = sizes.model.ic_window, shown.target
        counted = target[:, first:].numel() if shown.counted is None else shown.counted[:, first:].sum()
        return cls(len(target), counted, None if shown.held_out is None else shown.held_out[:, first:].sum())


PoissonSums = Callable[[Tensor, Tensor, Tensor, Tensor, Sequence[Tensor | None]], tuple[Tensor, Tensor]]
"""Of factors (T, B, F), the read-out's weight and bias, target and the masks counted, learned and held_out (B, T, N):
the Poisson NLL summed over counted elements, with the gradient of the learned ones, and over held-out elements."""


def terms(
    weights: Weights,
    shown: Shown,
    passed: Passed,
    sizes: Sizes,
    whole: Whole | None = None,
    poisson: PoissonSums | None = None,
) -> Terms:
    """All terms of a pass over a batch, or over some trials of the batch `whole`.

    poisson: a kernel for the NLL of counts, which needs no passed.raw.
    """
    whole = whole or Whole.of(shown, sizes)
    share = len(shown.target) / whole.trials
    first = sizes.model.ic_window

    def of_time(mask: Tensor | None) -> Tensor | None:
        return None if mask is None else mask[:, first:]

    masks = [of_time(mask) for mask in (shown.counted, shown.learned, shown.held_out)]
    target = shown.target[:, first:]
    if poisson is None:
        total, held_out = _masked_sums(RECONSTRUCTIONS[sizes.model.reconstruction].nll(target, passed.raw), *masks)
    else:
        total, held_out = poisson(passed.factors, weights["rates.weight"], weights["rates.bias"], target, masks)
    nll = total / whole.counted
    nothing = nll.new_zeros(())
    missed = nll.new_full((), torch.nan) if whole.held_out is None else held_out / whole.held_out
    prior = weights["initial.prior_mean"]
    variance = torch.full_like(prior, sizes.model.ic_prior_variance)
    initial = kl_normal(passed.initial_mean, passed.initial_variance, prior, variance)
    return Terms(
        nll,
        initial * share,
        _kl_inputs(weights, passed, sizes) * share if sizes.controlled else nothing,
        _l2(weights, "generator") * share,
        _l2(weights, "controller") * share if sizes.controlled else nothing,
        missed,
    )


def _masked_sums(
    elements: Tensor, counted: Tensor | None, learned: Tensor | None, held_out: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The sum over counted elements, with the gradient of the learned ones; the sum over held-out ones."""
    total = (elements if counted is None else elements * counted).sum()
    if learned is not None:
        some = (elements * learned).sum()
        total = some + (total.detach() - some.detach())
    return total, (elements.detach() * (0.0 if held_out is None else held_out)).sum()


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
