"""Random numbers of a pass, drawn by identity: seed, epoch and batch say which, so a step can be repeated anywhere."""

import hashlib

import torch
from torch import Tensor

from hpcfit.lfads.model import Noise
from hpcfit.lfads.numbers import Numbers, PlainNumbers, Stream
from hpcfit.lfads.weights import Sizes


def generator_of(*identity: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator that starts where the identity says: for what is drawn once, such as the order of trials."""
    digest = hashlib.blake2b(repr(identity).encode(), digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "little") >> 1)


def draw_noise(
    rows: range, dropout: float, sizes: Sizes, stream: Stream, like: Tensor, numbers: Numbers | None = None
) -> Noise:
    """Noise and dropout masks of a pass over some trials of a batch; dropout = 0: no masks.

    rows: which trials of the batch; numbers: who draws, torch if not said.  Arrays lie trial by trial in memory.
    """
    model, drawn = sizes.model, numbers or PlainNumbers()
    steps = sizes.steps - model.ic_window

    def normal(array: str, *shape: int) -> Tensor:
        return drawn.normal(stream, array, (len(rows), *shape), like, rows.start)

    def kept(array: str, *shape: int) -> Tensor | None:
        return drawn.kept(stream, array, (len(rows), *shape), dropout, like, rows.start) if dropout else None

    def time_first(array: Tensor | None) -> Tensor | None:
        return None if array is None else array.transpose(0, 1)

    initial = normal("initial", model.initial_condition)
    encoding = kept("encoding_kept", 2 * model.ic_encoder)
    states = time_first(kept("states_kept", steps, model.generator))
    if not sizes.controlled:
        return Noise(initial, encoding_kept=encoding, states_kept=states)
    inputs = time_first(normal("inputs", steps, model.inferred_inputs))
    told = time_first(kept("input_encoding_kept", steps, 2 * model.controller_encoder))
    return Noise(initial, inputs, encoding, told, time_first(kept("factors_kept", steps, model.factors)), states)
