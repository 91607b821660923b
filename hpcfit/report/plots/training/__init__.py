"""Figures of a training: its losses, and what its model makes of spikes."""

from hpcfit.report.plots.training.behaviour import decoded_behaviour
from hpcfit.report.plots.training.factors import inferred_inputs, latent_trajectories
from hpcfit.report.plots.training.losses import losses
from hpcfit.report.plots.training.rates import condition_rates, rasters, true_rates

__all__ = [
    "condition_rates",
    "decoded_behaviour",
    "inferred_inputs",
    "latent_trajectories",
    "losses",
    "rasters",
    "true_rates",
]
