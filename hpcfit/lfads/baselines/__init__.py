"""What a model must beat: simple ways from spikes to rates, all with the same interface."""

from hpcfit.lfads.baselines.registry import BASELINES, Baseline, fit_baseline

__all__ = ["BASELINES", "Baseline", "fit_baseline"]
