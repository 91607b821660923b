"""The composer: from a fit file to a problem, a strategy, an engine and an executor, and to a run on disk."""

from hpcfit.jobs.calls import Calls
from hpcfit.jobs.description import describe
from hpcfit.jobs.fit import run, run_on
from hpcfit.jobs.load import import_bluepyopt, load, load_settings
from hpcfit.jobs.responses import simulate
from hpcfit.report.run_view import open_run

__all__ = ["Calls", "describe", "import_bluepyopt", "load", "load_settings", "open_run", "run", "run_on", "simulate"]
