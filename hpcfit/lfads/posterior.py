"""What does a trained model say of each trial?  Means over samples of its posterior (K22: 50), in bounded memory.

Random numbers follow from seed, split and trial alone: the same whichever trials are asked for together.  A trial is
encoded once; only the decoder runs for every sample.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
import torch
from torch import Tensor

from hpcfit.lfads.augmentation import Batch, plainly
from hpcfit.lfads.data.trials import Session, Trials
from hpcfit.lfads.model import Noise, passed
from hpcfit.lfads.noise import generator_of
from hpcfit.lfads.reconstruction import RECONSTRUCTIONS
from hpcfit.lfads.recurrence import Decoded, DecoderInputs, DecoderWeights, Recurrence
from hpcfit.lfads.training import Member
from hpcfit.lfads.weights import Sizes
from hpcfit.population.files import replacing

SCHEMA = 1
TEST = "test_encod_data"
"""Of Session.more: trials without anything to explain, as a benchmark gives them out."""
_ROWS = 1000
"""Trials times samples decoded at once: some 250 MB at the sizes of K22."""
_REPEATED = {"controller_start": 0, "controller_drive": 1, "encoding": 1}
"""Inputs of the decoder that are the same for all samples, and their dimension of trials."""


@dataclass(frozen=True)
class Request:
    """What is asked of the posterior.

    Attributes
    ----------
    samples
        How many are averaged.
    generator_states
        Also give the generator's states?
    rows
        Most trials times samples at once: bounds memory, changes nothing else.
    """

    samples: int = 50
    generator_states: bool = False
    rows: int = _ROWS


def parts_of(session: Session) -> dict[str, Trials]:
    """The splits of a session: train, valid, and test where the session has trials without targets."""
    parts = {"train": session.train, "valid": session.valid}
    if (encod := session.more.get(TEST)) is not None:
        encod = np.asarray(encod, np.float32)
        parts["test"] = Trials(encod, np.zeros((len(encod), session.steps[1], session.neurons[1]), np.float32))
    return parts


def posterior(
    member: Member, trials: Trials, part: str, request: Request = Request()
) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    """Posterior means of all trials, some at a time; nothing is hidden from the model, nothing dropped.

    Parameters
    ----------
    member
        A trained model.
    trials
        Of one split; those shown to the model.
    part
        The split's name: with the seed and a trial's place it says which random numbers are drawn.

    Yields
    ------
    Which trials, and float32 arrays with one row each: rates (rows, T, N), what is expected per bin; factors
    (rows, T, F); initial_conditions and initial_variances (rows, I) of the posterior; inferred_inputs (rows, T, U) with
    a controller; generator_states (rows, T, G) on request.  T: bins after model.ic_window.
    """
    at_once = max(request.rows // request.samples, 1)
    for first in range(0, len(trials), at_once):
        rows = slice(first, min(first + at_once, len(trials)))
        yield rows, _means(member, trials, part, rows, request)


def write_posterior(
    path: Path, member: Member, session: Session, request: Request, provenance: Mapping[str, Any]
) -> None:
    """Write the posterior of every split, with what is known of its trials, whole or not at all.

    The file has a group for each split: the arrays of `posterior`, and where they are known spikes, truth (both from
    the first modelled bin on), lengths (bins), conditions and behaviour/NAME.  Its attributes say where it comes from.

    Raises
    ------
    StorageError
        When it cannot be written.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        model = member.sizes.model
        file.attrs.update(
            {
                "schema": SCHEMA,
                "kind": "posterior",
                "name": member.settings.name,
                "samples": request.samples,
                "seed": member.settings.training.seed,
                "first_bin": model.ic_window,
                "seen_bins": member.sizes.seen_steps,
                "seen_neurons": session.neurons[0],
                "reconstruction": model.reconstruction,
                **({} if session.bin_s is None else {"bin_s": session.bin_s}),
                **provenance,
            }
        )
        for part, trials in parts_of(session).items():
            group = file.create_group(part)
            for rows, arrays in posterior(member, trials, part, request):
                for name, array in arrays.items():
                    if name not in group:
                        group.create_dataset(name, (len(trials), *array.shape[1:]), np.float32)
                    cast(h5py.Dataset, group[name])[rows] = array
            if part != "test":
                _keep(group, trials, model.ic_window)


def _keep(group: h5py.Group, trials: Trials, first: int) -> None:
    """What a person compares the posterior with, so that the file needs no other."""
    spikes = trials.recon[:, first:]
    fits = spikes.size and spikes.min() >= 0 and spikes.max() < 256 and not np.mod(spikes, 1.0).any()
    group.create_dataset("spikes", data=spikes.astype(np.uint8) if fits else spikes, compression="gzip", shuffle=True)
    if trials.truth is not None:
        group["truth"] = trials.truth[:, first:]
    for name in ("lengths", "conditions"):
        if (array := getattr(trials, name)) is not None:
            group[name] = array
    for name, array in trials.behaviour.items():
        group[f"behaviour/{name}"] = array[:, first:] if array.ndim > 1 else array


@torch.no_grad()
def _means(member: Member, trials: Trials, part: str, rows: slice, request: Request) -> dict[str, np.ndarray]:
    sizes, device = member.sizes, member.flat.device
    x = plainly(_batch(trials, rows, device)).x
    sums: dict[str, Tensor] = {}
    noise = [_drawn(member, part, trial, request.samples) for trial in range(rows.start, rows.stop)]
    most = max(request.rows // len(x), 1)
    weights = member.places.views(member.flat)
    for first in range(0, request.samples, most):
        some = torch.stack([one[first : first + most] for one in noise], 1).to(device)
        recurrence = cast(Recurrence, _Sampling(member.recurrence, len(some)))
        found = passed(weights, x, _split(some, sizes), sizes, recurrence)
        rates = RECONSTRUCTIONS[sizes.model.reconstruction].mean(found.raw)
        arrays = {"rates": rates.unflatten(0, (len(some), len(x))).sum(0)}
        timed = {"factors": found.factors, "inferred_inputs": found.input_means}
        timed |= {"generator_states": found.states} if request.generator_states else {}
        for name, array in timed.items():
            if array is not None:
                arrays[name] = array.unflatten(1, (len(some), len(x))).sum(1).transpose(0, 1)
        for name, array in arrays.items():
            sums[name] = sums[name] + array if name in sums else array
        sums["initial_conditions"], sums["initial_variances"] = found.initial_mean, found.initial_variance
    once = ("initial_conditions", "initial_variances")
    means = {name: array if name in once else array / request.samples for name, array in sums.items()}
    return {name: array.float().cpu().numpy() for name, array in means.items()}


def _batch(trials: Trials, rows: slice, device: torch.device) -> Batch:
    encod = torch.as_tensor(trials.encod[rows], device=device)
    if trials.lengths is None:
        return Batch(encod, encod)
    bins = torch.arange(encod.shape[1], device=device)
    lengths = torch.as_tensor(np.asarray(trials.lengths[rows]), device=device)
    return Batch(encod, encod, (bins[None] < lengths[:, None]).float())


def _drawn(member: Member, part: str, trial: int, samples: int) -> Tensor:
    """(samples, numbers that a pass of one trial needs), standard normal; drawn on the CPU, the same on any device."""
    model = member.sizes.model
    numbers = model.initial_condition + (member.sizes.steps - model.ic_window) * model.inferred_inputs
    generator = generator_of(member.settings.training.seed, "posterior", part, trial)
    return torch.randn((samples, numbers), generator=generator, dtype=member.flat.dtype)


def _split(drawn: Tensor, sizes: Sizes) -> Noise:
    """Noise with a dimension of samples before that of trials, from drawn (samples, trials, numbers)."""
    model = sizes.model
    initial, rest = drawn[..., : model.initial_condition], drawn[..., model.initial_condition :]
    if not sizes.controlled:
        return Noise(initial)
    return Noise(initial, rest.unflatten(-1, (-1, model.inferred_inputs)).permute(2, 0, 1, 3))


class _Sampling:
    """A recurrence that encodes trials once and decodes several samples of each: rows are samples times trials."""

    def __init__(self, inner: Recurrence, samples: int) -> None:
        self._inner, self._samples = inner, samples

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def decode(
        self, steps: int, given: DecoderInputs, weights: DecoderWeights, clip: float, least_variance: float
    ) -> Decoded:
        """See Recurrence.decode; start (S, B, G) and noise (T, S, B, U)."""
        rows: dict[str, Tensor] = {"generator_start": given.generator_start.flatten(0, 1)}
        if given.noise is not None:
            rows["noise"] = given.noise.flatten(1, 2).contiguous()
        for name, dimension in _REPEATED.items():
            if (array := getattr(given, name, None)) is not None:
                sizes = [-1] * (array.dim() + 1)
                sizes[dimension] = self._samples
                rows[name] = array.unsqueeze(dimension).expand(sizes).flatten(dimension, dimension + 1)
        return self._inner.decode(steps, replace(given, **rows), weights, clip, least_variance)
