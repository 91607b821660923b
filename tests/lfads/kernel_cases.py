"""Small models and batches on which kernels and plain torch are compared."""

from typing import Any

import numpy as np
import torch

from hpcfit.lfads.augmentation import Batch, augmented
from hpcfit.lfads.data.trials import Session, Trials
from hpcfit.lfads.loss import Terms
from hpcfit.lfads.numbers import stream_of
from hpcfit.lfads.recurrence import PlainRecurrence, Recurrence
from hpcfit.lfads.settings import ChaoticRnnSettings, DataSettings, LfadsSettings
from hpcfit.lfads.stepping import Step, step_gradient
from hpcfit.lfads.training import Member

SMALL = {
    "generator": 10,
    "initial_condition": 5,
    "ic_encoder": 7,
    "factors": 6,
    "inferred_inputs": 3,
    "controller": 9,
    "controller_encoder": 5,
}


def subject(
    trials: int, steps: int, neurons: int, dtype: torch.dtype = torch.float32, **settings: Any
) -> tuple[Member, Batch]:
    """A model, and a batch of counts.

    settings: of the model; or `predicted` and `unseen`, steps and neurons of the target alone; `augmentations`;
    `missing`: the last bins of some trials are not there.
    """
    rng = np.random.default_rng(3)
    predicted, unseen = settings.pop("predicted", 0), settings.pop("unseen", 0)
    augmentations, missing = settings.pop("augmentations", {}), settings.pop("missing", False)
    recon = rng.poisson(0.4, (trials + 1, steps + predicted, neurons + unseen)).astype(np.float32)
    encod = recon[:, :steps, :neurons]
    rows = slice(trials), slice(trials, None)
    train, valid = (Trials(encod[part], recon[part]) for part in rows)
    whole = LfadsSettings.model_validate(
        {
            "name": "case",
            "data": DataSettings(chaotic_rnn=ChaoticRnnSettings()),
            "model": {**SMALL, **settings},
            "augmentations": augmentations,
        }
    )
    member = Member.fresh(whole, Session(train, valid), PlainRecurrence())
    member.flat = member.flat.to(dtype)
    there = torch.ones(trials, steps + predicted, dtype=dtype)
    there[::3, -2:] = 0.0
    held_out = torch.as_tensor(rng.random(recon[:trials].shape) < 0.2).to(dtype)
    return member, Batch(
        torch.as_tensor(encod[:trials]).to(dtype),
        torch.as_tensor(recon[:trials]).to(dtype),
        there if missing else None,
        held_out if augmentations.get("sample_validation") else None,
    )


def stepped(
    member: Member, batch: Batch, recurrence: Recurrence, dropout: float = 0.3, coordinated: float = 0.3
) -> tuple[Terms, float, torch.Tensor]:
    """Terms of the loss, their total and its gradient, of one training step."""
    stream = stream_of(1, "step", 0, 0)
    shown = augmented(batch, coordinated, member.settings.augmentations, stream, recurrence.numbers)
    scales = member.scales(35.0)
    found, gradient = step_gradient(
        member.flat, Step(shown, stream, dropout, scales, 1e4), member.places, member.sizes, recurrence
    )
    return found, float(found.total(scales)), gradient
