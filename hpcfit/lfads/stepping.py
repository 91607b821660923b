"""Loss and gradient of one training step, some trials at a time: what a pass makes of few trials stays in cache.

Trials meet only in the sums of the loss, so parts of a batch add up to it; the order of the parts is fixed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hpcfit.lfads.loss import Scales, Shown, Terms, Whole, terms
from hpcfit.lfads.model import passed
from hpcfit.lfads.noise import draw_noise
from hpcfit.lfads.numbers import Stream
from hpcfit.lfads.recurrence import Recurrence
from hpcfit.lfads.weights import Layout, Sizes


@dataclass(frozen=True)
class Step:
    """What a step is made of.

    Attributes
    ----------
    shown
        The batch, augmented.
    stream, dropout
        Its random numbers, and the part of units that is dropped.
    scales
        Weights of the loss terms.
    loss_scale
        What the loss is multiplied by.
    """

    shown: Shown
    stream: Stream
    dropout: float
    scales: Scales
    loss_scale: float = 1.0


def step_gradient(
    flat: Tensor, step: Step, places: Layout, sizes: Sizes, recurrence: Recurrence
) -> tuple[Terms, Tensor]:
    """Terms of the loss, and the gradient (length,) of their scaled total at the weights `flat`."""
    gradient, sums = torch.zeros_like(flat), None
    into, whole = places.views(gradient), Whole.of(step.shown, sizes)
    with recurrence.stepping():
        for rows, shown in _parts(step.shown, recurrence.trials_at_once):
            # Leaves of their own: a view's gradient would be a whole vector of zeros with a few numbers in it.
            leaves = {name: view.detach().requires_grad_() for name, view in places.views(flat).items()}
            found = _part_terms(leaves, rows, shown, whole, step, sizes, recurrence)
            loss = found.total(step.scales) * step.loss_scale
            gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
            for name, one in zip(leaves, gradients, strict=True):
                if one is not None:
                    into[name].add_(one)
            sums = found.detached() if sums is None else sums.plus(found)
    assert sums is not None
    return sums, gradient


def _part_terms(
    leaves: Mapping[str, Tensor],
    rows: range,
    shown: Shown,
    whole: Whole,
    step: Step,
    sizes: Sizes,
    recurrence: Recurrence,
) -> Terms:
    poisson = recurrence.poisson if sizes.model.reconstruction == "poisson" else None
    noise = draw_noise(rows, step.dropout, sizes, step.stream, shown.x, recurrence.numbers)
    made = passed(leaves, shown.x, noise, sizes, recurrence, read_out=poisson is None)
    return terms(leaves, shown, made, sizes, whole, poisson)


def _parts(shown: Shown, at_once: int) -> Iterator[tuple[range, Shown]]:
    trials = len(shown.x)
    for first in range(0, trials, at_once or trials):
        rows = range(first, min(first + (at_once or trials), trials))
        masks = (shown.counted, shown.learned, shown.held_out)
        some = [None if one is None else one[first : rows.stop] for one in masks]
        yield rows, Shown(shown.x[first : rows.stop], shown.target[first : rows.stop], *some)
