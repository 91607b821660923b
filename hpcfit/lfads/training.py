"""One model in training: an epoch, its validation, its schedule; everything that a checkpoint holds.

Keshtkaran, Sedler et al. 2022, Methods: Adam, loss times 1e4 before the step, ramps, gradient clip, decay of the rate.
Batches, noise and masks follow from seed, epoch and batch alone, so a resumed training equals an uninterrupted one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hpcfit.lfads.augmentation import Batch, augmented, held_out_elements, plainly
from hpcfit.lfads.data.trials import Session, Trials, compact, one_array
from hpcfit.lfads.kernels.choice import recurrence_of
from hpcfit.lfads.loss import Scales, Terms, terms
from hpcfit.lfads.model import Noise, Passed, passed
from hpcfit.lfads.noise import draw_noise, generator_of
from hpcfit.lfads.numbers import stream_of
from hpcfit.lfads.optimiser import Adam, clipped
from hpcfit.lfads.reconstruction import RECONSTRUCTIONS
from hpcfit.lfads.recurrence import PlainRecurrence, Recurrence
from hpcfit.lfads.settings import HyperSettings, LfadsSettings, RampSettings
from hpcfit.lfads.stepping import Step, step_gradient
from hpcfit.lfads.weights import Layout, Sizes, layout


def ramp(settings: RampSettings, epoch: float) -> float:
    """The part of a weight that counts at a moment of training, 0 to 1."""
    if settings.shape == "step" or not settings.epochs:
        return float(epoch >= settings.start_epoch + settings.epochs)
    return min(max((epoch - settings.start_epoch) / settings.epochs, 0.0), 1.0)


def sizes_of(settings: LfadsSettings, session: Session) -> Sizes:
    """Dimensions of the model for these data.

    Raises
    ------
    InputError
        When trials are not longer than the window of the encoder of initial conditions.
    """
    from hpcfit.errors import InputError

    model = settings.model
    (seen, explained), (seen_steps, steps) = session.neurons, session.steps
    if model.ic_window >= seen_steps:
        raise InputError(
            f"model.ic_window = {model.ic_window} bins, but trials of {session.name} have {seen_steps}; nothing would "
            "be left to model: shorten the window, or give longer trials"
        )
    parameters = RECONSTRUCTIONS[model.reconstruction].parameters
    return Sizes(model, seen, explained, seen_steps, steps, parameters)


@dataclass
class Progress:
    """Where a training stands."""

    epoch: int = 0
    """Epochs done."""
    learning_rate: float = 0.0
    smoothed: float | None = None
    """Exponentially smoothed validation NLL per element."""
    best: float = float("inf")
    """The lowest smoothed one."""
    best_epoch: int = -1
    since_decay: int = 0
    """Epochs since the validation loss was last better, or the rate last lowered."""
    decay_best: float = float("inf")


@dataclass
class Member:
    """A model, its optimiser, and where it stands.  Hyperparameters may be replaced between epochs."""

    settings: LfadsSettings
    sizes: Sizes
    hyper: HyperSettings
    flat: Tensor
    adam: Adam
    progress: Progress = field(default_factory=Progress)
    recurrence: Recurrence = field(default_factory=PlainRecurrence)

    @classmethod
    def fresh(cls, settings: LfadsSettings, session: Session, recurrence: Recurrence | None = None) -> "Member":
        """An untrained model.  Raises InputError."""
        sizes = sizes_of(settings, session)
        places = layout(sizes)
        flat = places.drawn(settings.training.seed).to(device_of(settings))
        start_rates(flat, places, session, settings)
        adam = Adam.of(flat, settings.training.betas, settings.training.adam_epsilon)
        progress = Progress(learning_rate=settings.hyper.learning_rate)
        return cls(settings, sizes, settings.hyper, flat, adam, progress, recurrence or recurrence_of(settings))

    @property
    def places(self) -> Layout:
        """Where which weight is."""
        return layout(self.sizes)

    def scales(self, epoch: float) -> Scales:
        """Weights of the loss terms at a moment of training."""
        training, hyper = self.settings.training, self.hyper
        kl, l2 = ramp(training.kl_ramp, epoch), ramp(training.l2_ramp, epoch)
        return Scales(kl * hyper.kl_initial, kl * hyper.kl_inputs, l2 * hyper.l2_generator, l2 * hyper.l2_controller)

    def passed(self, x: Tensor, noise: Noise) -> Passed:
        """One pass with the weights as they are."""
        return passed(self.places.views(self.flat), x, noise, self.sizes, self.recurrence)


def device_of(settings: LfadsSettings) -> torch.device:
    """Where to compute.  Raises ConfigError."""
    from hpcfit.errors import ConfigError

    name = settings.training.device
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f'training.device = "{name}": torch cannot use it: {reason}; use "cpu" or "auto"') from None
    return device


def start_rates(flat: Tensor, places: Layout, session: Session, settings: LfadsSettings) -> None:
    """Poisson: rates start at each neuron's mean, so that training need not find it."""
    if settings.model.reconstruction == "poisson":
        trials = session.train
        bins = len(trials) * trials.recon.shape[1] if trials.lengths is None else int(np.sum(trials.lengths))
        mean = torch.as_tensor(np.log(trials.recon.sum((0, 1)) / bins + 1e-4), dtype=flat.dtype)
        places.views(flat)["rates.bias"].copy_(mean)


class Data:
    """Trials as tensors, with what sample validation holds out of them."""

    def __init__(self, trials: Trials, settings: LfadsSettings, device: torch.device, part: str) -> None:
        self.recon = torch.as_tensor(compact(trials.recon), device=device)
        if one_array(trials):
            self.encod = self.recon[:, : trials.encod.shape[1], : trials.encod.shape[2]]
        else:
            self.encod = torch.as_tensor(compact(trials.encod), device=device)
        steps = self.recon.shape[1]
        self.there: Tensor | None = None
        if trials.lengths is not None:
            lengths = torch.as_tensor(np.asarray(trials.lengths), device=device)
            self.there = (torch.arange(steps, device=device)[None] < lengths[:, None]).float()
        self.held_out: Tensor | None = None
        if rate := settings.augmentations.sample_validation:
            shape = (len(self.recon), steps, self.recon.shape[2])
            identity = generator_of(settings.training.seed, "sample validation", part).initial_seed()
            self.held_out = held_out_elements(shape, rate, identity).to(device)

    def __len__(self) -> int:
        return len(self.encod)

    def batch(self, rows: Tensor) -> Batch:
        """Some trials."""
        there = None if self.there is None else self.there[rows]
        held_out = None if self.held_out is None else self.held_out[rows].float()
        return Batch(self.encod[rows].float(), self.recon[rows].float(), there, held_out)

    def batches(self, most: int, order: Tensor | None = None) -> Iterator[Batch]:
        """All trials in batches of about the same size, none left out."""
        order = torch.arange(len(self), device=self.encod.device) if order is None else order.to(self.encod.device)
        for rows in torch.tensor_split(order, -(-len(self) // most)):
            yield self.batch(rows)


def train_epoch(member: Member, data: Data) -> dict[str, float]:
    """One epoch; gives the means of the loss's terms over batches, and the largest gradient norm.

    Raises
    ------
    FloatingPointError
        When the loss is not finite; the member is as it was before that step.
    """
    settings, training = member.settings, member.settings.training
    epoch, places = member.progress.epoch, member.places
    order = torch.randperm(len(data), generator=generator_of(training.seed, "order", epoch))
    tally: dict[str, float] = {}
    number = -(-len(data) // training.batch)
    norm = 0.0
    for index, batch in enumerate(data.batches(training.batch, order)):
        stream = stream_of(training.seed, "step", epoch, index)
        numbers = member.recurrence.numbers
        shown = augmented(batch, member.hyper.coordinated_dropout, settings.augmentations, stream, numbers)
        scales = member.scales(epoch + index / number)
        step = Step(shown, stream, member.hyper.dropout, scales, training.loss_scale)
        found, gradient = step_gradient(member.flat, step, places, member.sizes, member.recurrence)
        loss = found.total(scales)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"loss = {float(loss)} at epoch {epoch}, batch {index}")
        gradient, before = clipped(gradient, training.gradient_clip)
        member.adam.step(member.flat, gradient, member.progress.learning_rate)
        norm = max(norm, before)
        for name, value in _numbers(found, loss).items():
            tally[name] = tally.get(name, 0.0) + value / number
    return {**tally, "gradient_norm": norm}


@torch.no_grad()
def validate(member: Member, data: Data) -> dict[str, float]:
    """Terms of the loss on data that are not trained on: nothing dropped, posteriors sampled by identity."""
    training, places = member.settings.training, member.places
    weights = places.views(member.flat)
    tally: dict[str, float] = {}
    for index, batch in enumerate(data.batches(training.batch)):
        stream = stream_of(training.seed, "validation", member.progress.epoch, index)
        shown = plainly(batch, member.settings.augmentations.sample_validation)
        noise = draw_noise(range(len(shown.x)), 0.0, member.sizes, stream, shown.x, member.recurrence.numbers)
        found = terms(weights, shown, passed(weights, shown.x, noise, member.sizes, member.recurrence), member.sizes)
        for name, value in _numbers(found, found.total(member.scales(member.progress.epoch))).items():
            tally[name] = tally.get(name, 0.0) + value * len(shown.x) / len(data)
    return tally


@torch.no_grad()
def mean_rates(member: Member, data: Data) -> np.ndarray:
    """What is expected, (trials, time, neurons), from posterior means alone."""
    parts = []
    for batch in data.batches(member.settings.training.batch):
        shown = plainly(batch, member.settings.augmentations.sample_validation)
        raw = member.passed(shown.x, Noise()).raw
        parts.append(RECONSTRUCTIONS[member.sizes.model.reconstruction].mean(raw).cpu().numpy())
    return np.concatenate(parts)


def after_epoch(member: Member, valid_nll: float) -> None:
    """Count the epoch, smooth its validation loss, lower the learning rate when it has stopped falling."""
    progress, training = member.progress, member.settings.training
    progress.epoch += 1
    alpha = training.smoothing
    progress.smoothed = valid_nll if progress.smoothed is None else alpha * valid_nll + (1 - alpha) * progress.smoothed
    if progress.smoothed < progress.best:
        progress.best, progress.best_epoch = progress.smoothed, progress.epoch - 1
    if progress.smoothed < progress.decay_best:
        progress.decay_best, progress.since_decay = progress.smoothed, 0
    else:
        progress.since_decay += 1
    if progress.since_decay >= training.decay_patience:
        progress.learning_rate *= training.learning_rate_decay
        progress.since_decay = 0


def changed(member: Member, **hyper: float) -> None:
    """Give a member other hyperparameters, from its next step on."""
    member.hyper = replace_settings(member.hyper, hyper)
    if "learning_rate" in hyper:
        member.progress.learning_rate = hyper["learning_rate"]


def replace_settings(hyper: HyperSettings, values: Mapping[str, Any]) -> HyperSettings:
    """Hyperparameters with some replaced, validated."""
    return HyperSettings.model_validate({**hyper.model_dump(), **values})


def r_squared(found: np.ndarray, truth: np.ndarray) -> float:
    """1 - residual / variance over trials and time for each neuron; the mean over neurons (K22)."""
    residual = ((found - truth) ** 2).sum((0, 1))
    return float(np.mean(1.0 - residual / ((truth - truth.mean((0, 1))) ** 2).sum((0, 1))))


def _numbers(found: Terms, loss: Tensor) -> dict[str, float]:
    values = {name: float(getattr(found, name).detach()) for name in Terms.__dataclass_fields__}
    return {"loss": float(loss.detach()), **values}
