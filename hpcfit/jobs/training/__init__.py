"""Trainings: from a training file to a run folder with checkpoints, loss curves and what the model found."""

from hpcfit.jobs.training.lfads import train
from hpcfit.jobs.training.load import load_training

__all__ = ["load_training", "train"]
