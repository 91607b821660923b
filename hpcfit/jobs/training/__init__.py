"""Trainings: from a training file to a run folder with checkpoints, loss curves and what the model found."""

from hpcfit.jobs.training.evaluation import Asked, evaluate, names_of, submission
from hpcfit.jobs.training.inference import infer, open_training
from hpcfit.jobs.training.lfads import train
from hpcfit.jobs.training.load import load_training

__all__ = ["Asked", "evaluate", "infer", "load_training", "names_of", "open_training", "submission", "train"]
