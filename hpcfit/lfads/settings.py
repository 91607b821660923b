"""What a training file says of an LFADS model: its sizes, priors, regularisation, data and schedule.

Defaults are those of Keshtkaran, Sedler et al. 2022 (K22) for their synthetic data.
"""

from typing import Annotated, Literal

from pydantic import Field

from hpcfit.config import Settings
from hpcfit.lfads.data.settings import ChaoticRnnSettings as ChaoticRnnSettings
from hpcfit.lfads.data.settings import DataSettings
from hpcfit.settings import Count, NonNegative, Positive, Seconds

Rate = Annotated[float, Field(ge=0.0, lt=1.0)]
Whole = Annotated[int, Field(ge=0)]


class ModelSettings(Settings):
    """Sizes that data do not give; neurons, time steps and sessions come from the data."""

    generator: Count = 100
    """Units of the generator."""
    initial_condition: Count = 100
    """Dimensions of the initial condition's posterior; a linear map makes the generator's first state of it."""
    ic_encoder: Count = 100
    """Units of the encoder of initial conditions, in each direction."""
    ic_window: Whole = 0
    """Bins at the start of a trial that only the encoder of initial conditions sees; 0: it sees the whole trial, and
    all of it is modelled."""
    factors: Count = 40
    inferred_inputs: Whole = 4
    """Inputs that the controller infers at every step; 0: an autonomous generator, without controller."""
    controller: Count = 80
    controller_encoder: Count = 80
    """Units of the controller's encoder, in each direction."""
    controller_lag: Whole = 1
    """Bins by which the controller's view of the data is held back, from either side."""
    ic_prior_variance: Positive = 0.1
    """Of the initial condition; its mean is trained, from 0."""
    input_prior: Literal["ar1", "normal"] = "ar1"
    """Of inferred inputs: an autoregressive process of order 1 with trained tau and variance, or independent normal."""
    input_tau: Positive = 10.0
    """Where the AR(1) prior's correlation time starts, bins."""
    input_variance: Positive = 0.1
    """Where the variance of the prior's noise starts (normal: of the inputs themselves)."""
    posterior_variance_least: NonNegative = 1e-4
    state_clip: Positive = 5.0
    """Largest absolute value of an encoder's, controller's or generator's state."""
    reconstruction: Literal["poisson", "gaussian", "gamma", "zero_inflated_gamma"] = "poisson"


class HyperSettings(Settings):
    """Numbers that population based training moves; each may change between generations without rebuilding anything."""

    learning_rate: Positive = 4e-3
    dropout: Rate = 0.3
    coordinated_dropout: Rate = 0.3
    """Part of the input's elements that a step drops; only those are learned from (Keshtkaran & Pandarinath 2019)."""
    kl_initial: NonNegative = 1e-4
    """Weight of the initial conditions' KL divergence, nats per trial, beside the NLL per bin."""
    kl_inputs: NonNegative = 1e-5
    """Weight of the inferred inputs' KL divergence."""
    l2_generator: NonNegative = 1e-4
    """Weight of half the mean square of the generator's recurrent weights."""
    l2_controller: NonNegative = 1e-4


class RampSettings(Settings):
    """How a weight of the loss grows from 0 at the start of training."""

    shape: Literal["linear", "step"] = "linear"
    start_epoch: NonNegative = 0.0
    epochs: NonNegative = 70.0
    """It is whole after so many; `step`: it is 0 until then."""


class AugmentationSettings(Settings):
    """What is done to data on their way into training, beside coordinated dropout."""

    sample_validation: Rate = 0.0
    """Part of all elements (trials, time, neurons) that training never sees: reconstruction there is reported."""
    temporal_shift: NonNegative = 0.0
    """Standard deviation of a shift of each trial in time, bins; its ends are repeated."""
    selective_backpropagation: Rate = 0.0
    """Part of a trial's bins left out at random, at the input and in the loss (Zhu et al. 2021)."""


class TrainingSettings(Settings):
    """Optimiser, schedule and ends."""

    epochs: Count = 200
    batch: Count = 500
    seed: Whole = 1
    gradient_clip: Positive = 200.0
    """Largest norm of the whole gradient, of the scaled loss."""
    loss_scale: Positive = 1e4
    adam_epsilon: Positive = 1e-8
    betas: tuple[Rate, Rate] = (0.9, 0.999)
    learning_rate_decay: Annotated[float, Field(gt=0.0, le=1.0)] = 0.95
    """Factor of the learning rate when `decay_patience` epochs have brought no better validation; 1: never."""
    decay_patience: Count = 6
    learning_rate_least: NonNegative = 1e-5
    """Training ends when the learning rate has come down to it."""
    patience: Count | None = None
    """Training ends after so many epochs without a better smoothed validation loss."""
    smoothing: Annotated[float, Field(gt=0.0, le=1.0)] = 0.7
    """Weight of the newest epoch in the smoothed validation loss."""
    wall_clock_s: Seconds | None = None
    """Training ends before an epoch that would not end within it."""
    kl_ramp: RampSettings = RampSettings()
    l2_ramp: RampSettings = RampSettings()
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the products of matrices in compiled kernels; sums, states and weights are float32 in both."""
    kernels: Literal["auto", "compiled", "plain"] = "auto"
    """Who computes the recurrences: our compiled kernels or plain torch; auto: compiled on a CPU where they build."""
    device: str = "auto"
    """torch's name of a device; auto: a GPU if there is one."""
    keep_checkpoints: Count = 2
    """How many of the newest checkpoints stay, beside the best."""


class PosteriorSettings(Settings):
    """What is inferred with the best checkpoint when a training ends."""

    samples: Count = 50
    """Of the posterior, averaged."""
    generator_states: bool = False
    """Also keep the generator's states."""
    at_end: bool = True
    """Write posterior.h5 when training ends; `hpcfit infer` writes it at any time."""


class LfadsSettings(Settings):
    """A training file."""

    name: Annotated[str, Field(pattern=r"^[\w.+-]+$")]
    kind: Literal["lfads"] = "lfads"
    data: DataSettings
    model: ModelSettings = ModelSettings()
    hyper: HyperSettings = HyperSettings()
    augmentations: AugmentationSettings = AugmentationSettings()
    training: TrainingSettings = TrainingSettings()
    posterior: PosteriorSettings = PosteriorSettings()
