"""Compile generated source: what of ours it may include; the compiler itself is population/compiling.py's."""

import ctypes
from pathlib import Path

from hpcfit.errors import EngineError
from hpcfit.population import compiling
from hpcfit.population.compiling import FLAGS

__all__ = ["FLAGS", "HEADERS", "HERE", "compiler", "library", "machine", "vector_bytes"]

HERE = Path(__file__).resolve().parent
HEADERS = (
    "lanes.hpp",
    "pair.hpp",
    "gates.hpp",
    "events.hpp",
    "block.hpp",
    "solver.hpp",
    "sums.hpp",
    "recorders.hpp",
    "feature_recorder.hpp",
    "harness.hpp",
)


def library(source: str, folder: Path, target: str = "native", flags: tuple[str, ...] = FLAGS) -> ctypes.CDLL:
    """The compiled source, see compiling.library.  Raises EngineError, StorageError."""
    compiler()
    return compiling.library(source, compiling.Headers(HERE, HEADERS), folder, target, flags)


def compiler() -> str:
    """The C++ compiler.  Raises EngineError."""
    try:
        return compiling.compiler()
    except EngineError as error:
        raise EngineError(f"{error}, or use engine.kind = 'neuron'") from None


def vector_bytes(target: str = "native") -> int:
    """How wide this target's vector registers are.  Raises EngineError when there is no compiler."""
    compiler()
    return compiling.vector_bytes(target)


def machine() -> str:
    """What code that is tuned for this machine depends on.  Raises EngineError when there is no compiler."""
    compiler()
    return compiling.machine()
