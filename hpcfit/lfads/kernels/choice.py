"""Compiled kernels or plain torch?  What settings ask for, and what this machine can do."""

import sys

from hpcfit.errors import ConfigError, EngineError
from hpcfit.lfads.recurrence import PlainRecurrence, Recurrence
from hpcfit.lfads.settings import LfadsSettings


def recurrence_of(settings: LfadsSettings) -> Recurrence:
    """Who computes the recurrences of a training.

    kernels = "auto" takes plain torch on a GPU, and where no kernel can be built; it says so in one line.

    Raises
    ------
    ConfigError
        When settings contradict each other: compiled kernels on a GPU, bfloat16 without them.
    EngineError
        When kernels = "compiled", and they cannot be built.
    """
    import torch

    training = settings.training
    bfloat16 = training.precision == "bfloat16"
    on_gpu = training.device not in ("auto", "cpu") or (training.device == "auto" and torch.cuda.is_available())
    why = _contradiction(training.kernels, training.device, on_gpu, bfloat16)
    if why:
        raise ConfigError(why)
    if training.kernels == "plain" or on_gpu:
        return PlainRecurrence()
    from hpcfit.lfads.kernels.recurrence import CompiledRecurrence

    try:
        return CompiledRecurrence(bfloat16=bfloat16)
    except EngineError as error:
        if training.kernels == "compiled" or bfloat16:
            raise
        print(f"{error}: plain torch computes the recurrences, several times slower", file=sys.stderr)
        return PlainRecurrence()


def _contradiction(kernels: str, device: str, on_gpu: bool, bfloat16: bool) -> str | None:
    if kernels == "compiled" and on_gpu:
        return (
            f'training.kernels = "compiled" with device = "{device}": the kernels run on a processor; set device = '
            '"cpu", or kernels = "auto"'
        )
    if bfloat16 and (kernels == "plain" or on_gpu):
        return (
            'training.precision = "bfloat16" needs the compiled kernels, on a processor; set kernels = "auto" and '
            'device = "cpu", or precision = "float32"'
        )
    return None
