"""What is a feature's target, and what is a difference from it divided by?  Over sweeps, or over generation 0."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from hpcfit.biophys.settings import FeatureSettings
from hpcfit.biophys.terms import Term
from hpcfit.errors import ConfigError
from hpcfit.population.ranges import first_generation_ranges

_NORMAL_MAD = 1.4826022185056018
"""An sd over a median absolute deviation, of normally distributed numbers."""


def floor_of(feature: str, mean: float, settings: FeatureSettings) -> float:
    """The smallest number that differences of a feature are divided by, so that none is 0."""
    return settings.sd_floor.get(feature) or max(settings.relative_sd_floor * abs(mean), settings.absolute_sd_floor)


def feature_target(
    feature: str,
    values: np.ndarray,
    unit: Literal["sd", "mad", "mean", "range"],
    settings: FeatureSettings,
) -> tuple[float, float]:
    """Target and unit of a feature whose values over the sweeps these are.

    "sd" and "range": their mean and, sample's (ddof = 1), their sd; "mad": their median and 1.4826 times the median
    absolute deviation from it; "mean": their mean and its size.  No unit is smaller than the feature's floor.  A
    "range" is that of generation 0: until it is known, and where it is smaller, the floor stands for it.

    Raises
    ------
    ConfigError
        When the unit is the mean, and the mean is 0 or as good as that.
    """
    if unit == "mad":
        median = float(np.median(values))
        spread = _NORMAL_MAD * float(np.median(np.abs(values - median)))
        return median, max(spread, floor_of(feature, median, settings))
    mean = float(np.mean(values))
    if unit == "mean":
        return mean, relative_unit(feature, mean, settings)
    sd = float(np.std(values, ddof=1)) if unit == "sd" and len(values) > 1 else 0.0
    return mean, max(sd, floor_of(feature, mean, settings))


def relative_unit(feature: str, mean: float, settings: FeatureSettings) -> float:
    """|mean|, for differences relative to it.  Raises ConfigError when it is 0 or as good as that."""
    if abs(mean) <= settings.absolute_sd_floor:
        raise ConfigError(
            f"{feature} has the mean {mean:g}, so a difference relative to it means nothing; take it out of the table "
            "with unit = 'mean', or score it with unit = 'sd'"
        )
    return abs(mean)


def with_ranges(terms: Sequence[Term], first_features: np.ndarray) -> tuple[Term, ...]:
    """The terms, with ranges in generation 0 where they are scored in these.

    first_features: (individuals of generation 0, terms), NaN where undefined.
    """
    ranged = np.array([term.unit == "range" for term in terms])
    sds = first_generation_ranges(np.array([term.sd for term in terms]), ranged, first_features)
    return tuple(replace(term, sd=float(sd)) if its else term for term, sd, its in zip(terms, sds, ranged, strict=True))
