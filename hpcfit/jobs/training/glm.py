"""Do the factors tell of held-out neurons what their own past does not?  Poisson GLMs, one for each neuron.

Only held-out neurons are asked: the factors know the spikes of those seen.
"""

from dataclasses import astuple
from typing import Any

import numpy as np

from hpcfit.errors import ConfigError
from hpcfit.lfads import metrics
from hpcfit.lfads.baselines.means import counts_there
from hpcfit.lfads.data.trials import Session
from hpcfit.report.posterior_view import PosteriorView

_FUNCTIONS, _LAST_BIN = 4, 20
"""Of the history's basis: raised cosines up to so many bins ago."""
_L2 = 1e-6


def glm_of_held_out(session: Session, view: PosteriorView) -> dict[str, Any]:
    """Pseudo-R2 of history and factors, and relative to history alone; both fitted on training trials.

    Returns
    -------
    dict
        neurons; pseudo_r2 and relative_pseudo_r2, for each neuron value, lower and upper bound (95 % of a bootstrap
        over validation trials).

    Raises
    ------
    ConfigError
        When no neuron is held out, or trials end at different times.
    """
    (bins, seen), first = view.seen, view.first_bin
    neurons = range(seen, session.neurons[1])
    if not neurons:
        raise ConfigError("--glm: no neuron is held out, and the factors know the spikes of those that are seen")
    if session.train.lengths is not None or session.valid.lengths is not None:
        raise ConfigError("--glm: trials of different lengths are not supported")
    basis = metrics.raised_cosines(min(_FUNCTIONS, bins - 1), min(_LAST_BIN, bins - 1))
    factors = {part: view.needed(part, "factors")[:, :bins].astype(float) for part in ("train", "valid")}
    counts = {
        part: np.asarray(counts_there(trials), float)[:, first : first + bins]
        for part, trials in (("train", session.train), ("valid", session.valid))
    }
    found: dict[str, Any] = {"neurons": list(neurons), "pseudo_r2": [], "relative_pseudo_r2": []}
    for neuron in neurons:
        one = {part: array[..., neuron] for part, array in counts.items()}
        past = {part: metrics.history(array, basis) for part, array in one.items()}
        both = {part: np.concatenate([factors[part], past[part]], -1) for part in one}
        reduced = metrics.PoissonGlm.fit(past["train"], one["train"], _L2).rates(past["valid"])
        full = metrics.PoissonGlm.fit(both["train"], one["train"], _L2).rates(both["valid"])
        found["pseudo_r2"].append(astuple(metrics.pseudo_r2(one["valid"], full)))
        found["relative_pseudo_r2"].append(astuple(metrics.relative_pseudo_r2(one["valid"], full, reduced)))
    return found
