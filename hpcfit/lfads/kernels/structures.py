"""How are tensors handed to the kernels?  The structures of sequence.hpp and decoder.hpp, field by field."""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

_Pointer, _Long, _Double = ctypes.c_void_p, ctypes.c_long, ctypes.c_double


class Array(ctypes.Structure):
    """(time, trial, unit) or (trial, unit) with units next to each other."""

    _fields_ = (("at", _Pointer), ("time", _Long), ("trial", _Long))

    @classmethod
    def of(cls, tensor: Tensor | None) -> "Array":
        """A view of the tensor, null of an empty one.  The tensor must outlive it, see `dense`."""
        if tensor is None or not tensor.numel():
            return cls(None, 0, 0)
        assert tensor.shape[-1] == 1 or tensor.stride(-1) == 1
        return cls(tensor.data_ptr(), tensor.stride(0) if tensor.dim() == 3 else 0, tensor.stride(-2))


class Gru(ctypes.Structure):
    """Weights of a GRU, contiguous."""

    _fields_ = (
        *((name, _Pointer) for name in ("input", "bias", "gates", "candidate")),
        ("inputs", _Long),
        ("units", _Long),
    )

    @classmethod
    def of(cls, weights: Sequence[Tensor]) -> "Gru":
        """Of input (3H, inputs), bias (3H,), gates (2H, H), candidate (H, H)."""
        pointers = [one.data_ptr() for one in weights]
        assert all(one.is_contiguous() for one in weights)
        return cls(*pointers, weights[0].shape[1], weights[3].shape[0])


class SequenceCall(ctypes.Structure):
    """See sequence.hpp."""

    _fields_ = (
        *((name, _Long) for name in ("steps", "trials", "reverse", "last_only", "threads")),
        ("clip", _Double),
        ("weights", Gru),
        *((name, Array) for name in ("x", "start", "states")),
        ("kept", _Pointer),
        *((name, Array) for name in ("d_states", "d_start", "d_x")),
        ("gradient", Gru),
    )


DECODER_INPUTS = ("generator_start", "controller_start", "encoding", "noise", "factors_kept", "states_kept")
DECODER_FOUND = ("states", "read", "means", "logs", "samples")
DECODER_STARTS = ("generator_start", "controller_start", "encoding")


class DecoderCall(ctypes.Structure):
    """See decoder.hpp."""

    _fields_ = (
        *((name, _Long) for name in ("steps", "trials", "factors", "inputs", "told", "threads")),
        ("clip", _Double),
        ("least_variance", _Double),
        ("generator", Gru),
        ("controller", Gru),
        *((name, _Pointer) for name in ("to_factors", "to_inputs", "to_inputs_bias")),
        *((name, Array) for name in (*DECODER_INPUTS, *DECODER_FOUND)),
        ("kept", _Pointer),
        *((f"d_{name}", Array) for name in (*DECODER_FOUND, *DECODER_STARTS)),
        ("gradient", _Pointer),
    )


class DrawCall(ctypes.Structure):
    """See draws.hpp."""

    _fields_ = (
        ("key", ctypes.c_uint64),
        ("array", ctypes.c_uint32),
        ("first", ctypes.c_uint32),
        *((name, _Long) for name in ("trials", "numbers", "threads")),
        ("rate", _Double),
        ("to", _Pointer),
    )


class PoissonCall(ctypes.Structure):
    """See poisson.hpp."""

    _fields_ = (
        *((name, _Long) for name in ("steps", "trials", "neurons", "factors", "threads")),
        *((name, _Pointer) for name in ("weight", "bias")),
        *((name, Array) for name in ("read", "target", "counted", "learned", "held_out", "d_read")),
        *((name, _Pointer) for name in ("gradient", "sums")),
    )


def present(tensors: Sequence[Tensor | None], like: Tensor) -> list[Tensor]:
    """The tensors, an empty one for each that is not there: torch does not differentiate lists with gaps."""
    return [like.new_empty(0) if one is None else one for one in tensors]


def dense(tensor: Tensor) -> Tensor:
    """The tensor itself where its last dimension is contiguous, else a copy that is."""
    return tensor if not tensor.numel() or tensor.stride(-1) == 1 or tensor.shape[-1] == 1 else tensor.contiguous()


def split(flat: Tensor, shapes: list[tuple[int, ...]]) -> list[Tensor]:
    """Copies, one after the other, of a flat vector's stretches."""
    parts = torch.split(flat, [torch.Size(shape).numel() for shape in shapes])
    return [part.reshape(shape).clone() for part, shape in zip(parts, shapes, strict=True)]
