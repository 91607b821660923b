"""How good are inferred rates?  Measures of the Neural Latents Benchmark (Pei et al. 2021) and of the LFADS papers."""

from hpcfit.lfads.metrics.decoding import LinearEstimator, decoded, lagged, velocity_r2
from hpcfit.lfads.metrics.glm import PoissonGlm, history, pseudo_r2, raised_cosines, relative_pseudo_r2
from hpcfit.lfads.metrics.likelihood import bits_per_spike, neg_log_likelihood, nll_per_bin
from hpcfit.lfads.metrics.psth import condition_means, psth_r2
from hpcfit.lfads.metrics.rates import rate_r2
from hpcfit.lfads.metrics.speed import neural_speed, speed_correlation
from hpcfit.lfads.metrics.submission import read_submission, write_submission

__all__ = [
    "LinearEstimator",
    "PoissonGlm",
    "bits_per_spike",
    "condition_means",
    "decoded",
    "history",
    "lagged",
    "neg_log_likelihood",
    "neural_speed",
    "nll_per_bin",
    "pseudo_r2",
    "psth_r2",
    "raised_cosines",
    "rate_r2",
    "read_submission",
    "relative_pseudo_r2",
    "speed_correlation",
    "velocity_r2",
    "write_submission",
]
