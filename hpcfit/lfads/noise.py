"""Random numbers of a pass, drawn by identity: seed, epoch and batch say which, so a step can be repeated anywhere."""

import hashlib

import torch
from torch import Tensor

from hpcfit.lfads.model import Noise
from hpcfit.lfads.weights import Sizes


def generator_of(*identity: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator that starts where the identity says."""
    digest = hashlib.blake2b(repr(identity).encode(), digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "little") >> 1)


def draw_noise(trials: int, dropout: float, sizes: Sizes, generator: torch.Generator, like: Tensor) -> Noise:
    """Noise and dropout masks of one pass over so many trials; dropout = 0: no masks."""
    model = sizes.model
    steps = sizes.steps - model.ic_window

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)

    def kept(*shape: int) -> Tensor | None:
        if not dropout:
            return None
        uniform = torch.rand(shape, generator=generator, dtype=like.dtype, device=like.device)
        return (uniform >= dropout).to(like.dtype) / (1.0 - dropout)

    initial, encoding = normal(trials, model.initial_condition), kept(trials, 2 * model.ic_encoder)
    states = kept(steps, trials, model.generator)
    if not sizes.controlled:
        return Noise(initial, encoding_kept=encoding, states_kept=states)
    inputs = normal(steps, trials, model.inferred_inputs)
    told = kept(steps, trials, 2 * model.controller_encoder)
    return Noise(initial, inputs, encoding, told, kept(steps, trials, model.factors), states)
