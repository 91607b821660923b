"""What can a program use?  These names; each is imported from its room when it is first asked for."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpcfit.biophys import extract as features
    from hpcfit.jobs import load, open_run, run, simulate

    __version__: str

__all__ = ["__version__", "features", "load", "open_run", "run", "simulate"]


def __getattr__(name: str) -> Any:
    if name == "run":
        # The package of that name, which is callable: it would take this place anyway once anything imports it.
        return importlib.import_module("hpcfit.run")
    if name == "__version__":
        value = importlib.import_module("importlib.metadata").version("hpcfit")
    elif name == "features":
        value = importlib.import_module("hpcfit.biophys.extract")
    elif name in __all__:
        value = getattr(importlib.import_module("hpcfit.jobs"), name)
    else:
        raise AttributeError(f"module 'hpcfit' has no attribute {name!r}; it has {', '.join(__all__)}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
