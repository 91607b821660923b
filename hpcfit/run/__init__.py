"""How does a run reach the machine?  The room of executors; called, it is the public verb `hpcfit.run(...)`.

A package and a function cannot both be `hpcfit.run`: importing any module in here puts this package in that place, and
the function would be gone or not, depending on who imported what first.  So the package itself can be called.
"""

import importlib
import sys
from types import ModuleType
from typing import Any


class _CallableRoom(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Start or continue a run: `hpcfit.jobs.run`, with its arguments."""
        return importlib.import_module("hpcfit.jobs").run(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableRoom
