"""The four figures of a run: score history, voltage traces, feature errors, parameters in their ranges."""

from hpcfit.report.plots.feature_errors import features
from hpcfit.report.plots.parameter_ranges import parameters
from hpcfit.report.plots.score_history import convergence
from hpcfit.report.plots.voltage import traces

__all__ = ["convergence", "features", "parameters", "traces"]
