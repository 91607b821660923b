"""What training does to data before a pass, and which elements it then learns from.

Coordinated dropout and sample validation: Keshtkaran & Pandarinath 2019; selective backpropagation through time: Zhu et
al. 2021.  They compose: every one is a mask of what is seen and a mask of what is learned.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hpcfit.lfads.loss import Shown
from hpcfit.lfads.numbers import Numbers, PlainNumbers, Stream
from hpcfit.lfads.settings import AugmentationSettings


@dataclass(frozen=True)
class Batch:
    """Trials as they come from the data.

    Attributes
    ----------
    encod, recon
        (B, seen time, seen), (B, T, N).
    there
        (B, T) of 0 and 1, bins that trials have; None: all.
    held_out
        (B, T, N) of 0 and 1: elements of sample validation, the same in every epoch; None: none.
    """

    encod: Tensor
    recon: Tensor
    there: Tensor | None = None
    held_out: Tensor | None = None


def held_out_elements(shape: tuple[int, int, int], rate: float, seed: int) -> Tensor:
    """Which elements of a data set (trials, time, neurons) sample validation keeps away, bool; by `seed` alone."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator) < rate


def plainly(batch: Batch, sample_validation: float = 0.0) -> Shown:
    """A batch as validation and inference see it: nothing random; held-out elements still hidden."""
    x, counted = batch.encod, _counted(batch)
    if batch.there is not None:
        x = x * batch.there[:, : x.shape[1], None]
    if batch.held_out is not None:
        x = x * (1.0 - _of_input(batch.held_out, x)) / (1.0 - sample_validation)
    return Shown(x, batch.recon, counted, None, batch.held_out)


def augmented(
    batch: Batch,
    coordinated_dropout: float,
    settings: AugmentationSettings,
    stream: Stream,
    numbers: Numbers | None = None,
) -> Shown:
    """A batch as a training step sees it; random numbers are those of `stream`, drawn by torch if not said."""
    drawn = numbers or PlainNumbers()
    if settings.temporal_shift:
        batch = _shifted(
            batch, settings.temporal_shift, drawn.normal(stream, "shift", (len(batch.recon),), batch.recon)
        )
    shown = plainly(batch, settings.sample_validation)
    x, counted = shown.x, shown.counted
    if settings.selective_backpropagation:
        rate = settings.selective_backpropagation
        kept = drawn.kept(stream, "selective", tuple(batch.recon.shape[:2]), rate, x)[..., None]
        x = x * kept[:, : x.shape[1]]
        there = (kept > 0).to(x.dtype)
        counted = there.expand(batch.recon.shape) if counted is None else counted * there
    learned = counted
    if coordinated_dropout:
        kept = drawn.kept(stream, "coordinated_dropout", tuple(x.shape), coordinated_dropout, x)
        x = x * kept
        hidden = (kept == 0).to(x.dtype)
        if counted is None and x.shape == batch.recon.shape:
            learned = hidden
        else:
            learned = torch.ones_like(batch.recon) if counted is None else counted.clone()
            learned[:, : x.shape[1], : x.shape[2]] *= hidden
    return Shown(x, batch.recon, counted, learned, batch.held_out)


def _counted(batch: Batch) -> Tensor | None:
    counted = None
    if batch.there is not None:
        counted = batch.there[..., None].expand(batch.recon.shape)
    if batch.held_out is not None:
        counted = (1.0 if counted is None else counted) * (1.0 - batch.held_out)
    return counted


def _of_input(mask: Tensor, x: Tensor) -> Tensor:
    return mask[:, : x.shape[1], : x.shape[2]]


def _shifted(batch: Batch, bins: float, normal: Tensor) -> Batch:
    """Every trial moved in time by a normal number of bins; its first or last bin is repeated.

    Only what is seen whole can be moved: with steps to predict, input and target would come apart.
    """
    steps, device = batch.recon.shape[1], batch.recon.device
    by = torch.round(normal * bins).long()
    where = (torch.arange(steps, device=device)[None] + by[:, None]).clamp(0, steps - 1)

    def moved(array: Tensor) -> Tensor:
        return torch.gather(array, 1, where[:, : array.shape[1], None].expand(-1, -1, array.shape[2]))

    held_out = None if batch.held_out is None else moved(batch.held_out)
    there = None if batch.there is None else torch.gather(batch.there, 1, where)
    return Batch(moved(batch.encod), moved(batch.recon), there, held_out)
