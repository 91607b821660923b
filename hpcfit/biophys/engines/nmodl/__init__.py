"""The front end: a .mod file becomes a Mechanism of the intermediate form."""

from hpcfit.biophys.engines.nmodl.front import read_mechanism
from hpcfit.biophys.engines.nmodl.interpret import run

__all__ = ["read_mechanism", "run"]
