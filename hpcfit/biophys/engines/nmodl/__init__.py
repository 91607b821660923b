"""The front end: a .mod file becomes a Mechanism of the intermediate form."""

from hpcfit.biophys.codegen.interpret import run
from hpcfit.biophys.engines.nmodl.front import read_mechanism

__all__ = ["read_mechanism", "run"]
