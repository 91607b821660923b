"""Random numbers by identity: whoever asks, in whatever order and for whichever trials, gets the same.

Philox 4x32-10, Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011).  A stream (seed, epoch, batch)
is the key; the counter says array, trial and element.  kernels/draws.hpp is the compiled twin.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Protocol

import torch
from torch import Tensor

_LOW = 0xFFFFFFFF
_COUNTERS = 16
"""Counters side by side: the numbers of one trial come in blocks of 16 from each word, or half word, of a counter."""

_IN_CACHE = 1 << 15
"""So many counters at a time, on a processor."""


@dataclass(frozen=True)
class Stream:
    """What all draws of a pass have in common."""

    key: int
    """64 bits."""


def stream_of(*identity: int | str) -> Stream:
    """The stream of an identity."""
    digest = hashlib.blake2b(repr(identity).encode(), digest_size=8).digest()
    return Stream(int.from_bytes(digest, "little"))


ARRAYS = (
    *("initial", "inputs", "encoding_kept", "input_encoding_kept", "factors_kept", "states_kept"),
    *("coordinated_dropout", "selective", "shift"),
)
"""What a stream can be asked for; places are part of the definition: add at the end."""


class Numbers(Protocol):
    """Who draws.  shape: (trials, ...); first: the batch's number of the first of them."""

    def kept(
        self, stream: Stream, array: str, shape: tuple[int, ...], rate: float, like: Tensor, first: int = 0
    ) -> Tensor:
        """0 with probability `rate` (to 2**-17), else 1 / (1 - rate)."""
        ...

    def normal(self, stream: Stream, array: str, shape: tuple[int, ...], like: Tensor, first: int = 0) -> Tensor:
        """Standard normal."""
        ...


class PlainNumbers:
    """Draws in torch, on any device."""

    def kept(
        self, stream: Stream, array: str, shape: tuple[int, ...], rate: float, like: Tensor, first: int = 0
    ) -> Tensor:
        """See Numbers.kept."""

        def some(words: list[Tensor]) -> Tensor:
            halves = torch.stack([half for word in words for half in (word & 0xFFFF, word >> 16)], 2)
            return (halves >= round(rate * 65536.0)).to(like.dtype) * (1.0 / (1.0 - rate))

        return _drawn(some, stream, array, shape, 8 * _COUNTERS, like, first)

    def normal(self, stream: Stream, array: str, shape: tuple[int, ...], like: Tensor, first: int = 0) -> Tensor:
        """See Numbers.normal.  Box & Muller 1958."""

        def some(words: list[Tensor]) -> Tensor:
            found = []
            for near, far in (words[:2], words[2:]):
                radius = torch.sqrt(-2.0 * torch.log(((near >> 8).to(like.dtype) + 0.5) * 2.0**-24))
                angle = (far >> 8).to(like.dtype) * 2.0**-24 * 6.283185307179586
                found += [radius * torch.cos(angle), radius * torch.sin(angle)]
            return torch.stack(found, 2)

        return _drawn(some, stream, array, shape, 4 * _COUNTERS, like, first)


def _drawn(
    some: Callable[[list[Tensor]], Tensor],
    stream: Stream,
    array: str,
    shape: tuple[int, ...],
    block: int,
    like: Tensor,
    first: int,
) -> Tensor:
    """Numbers that `some` makes of four words (trials, blocks, 16) of 32 bits, int64; a block makes `block` of them."""
    device, trials, numbers = like.device, shape[0], prod(shape[1:])
    blocks, found = -(-numbers // block), []
    at_once = trials if device.type != "cpu" else max(1, _IN_CACHE // (blocks * _COUNTERS))
    element = torch.arange(blocks * _COUNTERS, device=device).reshape(1, blocks, _COUNTERS)
    for rows in torch.split(torch.arange(first, first + trials, device=device).reshape(-1, 1, 1), at_once):
        zero = torch.zeros_like(element)
        drawn = some(philox([element, zero, zero + ARRAYS.index(array), rows], stream.key))
        found.append(drawn.flatten(1)[:, :numbers])
    return torch.cat(found).reshape(shape)


def philox(counter: list[Tensor], key: int) -> list[Tensor]:
    """Philox 4x32-10: four words of 32 bits from a counter of four, all int64; key: 64 bits."""
    low, high = key & _LOW, key >> 32
    one, two, three, four = counter
    for _ in range(10):
        # The product of two words fills 64 bits: its sign is no matter, a shift and a mask take the upper word.
        first, second = one * 0xD2511F53, three * 0xCD9E8D57
        one, two, three, four = (
            ((second >> 32) & _LOW) ^ two ^ low,
            second & _LOW,
            ((first >> 32) & _LOW) ^ four ^ high,
            first & _LOW,
        )
        low, high = (low + 0x9E3779B9) & _LOW, (high + 0xBB67AE85) & _LOW
    return [one, two, three, four]
