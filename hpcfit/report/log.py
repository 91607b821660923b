"""One generation as one line of key=value: for log files, batch output and grep."""

from datetime import datetime

import numpy as np

from hpcfit.population.ledger import Generation

FAILURES = ("diverged", "deadline", "crashed", "error")
"""Counts of simulations that gave no response, by cause."""
TIMINGS = ("simulate", "score", "evolve", "write", "total")


def failed_simulations(generation: Generation) -> int:
    """How many simulations of a generation gave no response."""
    return sum(generation.counts.get(cause, 0) for cause in FAILURES)


def evaluations(generation: Generation) -> int:
    """How many individuals a generation evaluated."""
    return generation.counts.get("evaluations", len(generation.arrays["scores"]))


def median_score(generation: Generation) -> float:
    """Median score of a generation's individuals; NaN when there is none."""
    scores = generation.arrays["scores"]
    defined = scores[~np.isnan(scores)]
    return float(np.median(defined)) if len(defined) else float("nan")


def log_line(generation: Generation, best: float) -> str:
    """A time stamp and key=value pairs, separated by blanks, without an end of line.

    Parameters
    ----------
    generation : Generation
        A whole generation; `evaluations` and `failed` count this one alone.
    best : float
        The run's best score so far.
    """
    values = {
        "generation": str(generation.number),
        "evaluations": str(evaluations(generation)),
        "best": f"{best:.10g}",
        "median": f"{median_score(generation):.10g}",
    }
    values |= {f"{name}_s": f"{generation.timings_s[name]:.3f}" for name in TIMINGS if name in generation.timings_s}
    values["failed"] = str(failed_simulations(generation))
    values["undefined"] = str(generation.counts.get("undefined_features", 0))
    stamp = datetime.now().isoformat(timespec="seconds")
    return " ".join([stamp, *(f"{key}={value}" for key, value in values.items())])
