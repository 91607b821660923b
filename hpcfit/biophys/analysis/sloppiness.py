"""Which combinations of parameters does the score feel?  Gutenkunst et al. 2007 (PLoS Comput Biol 3:e189).

Residuals are the score terms with their sign, r = weight * (feature - mean) / sd, so the Hessian of sum(r**2) / 2 near
the best individual is J^T J with J = dr / d(parameter), each parameter in units of its range (in its logarithm where
its scale is log).  Large eigenvalues: stiff directions; small ones: sloppy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpcfit.errors import InputError

USED, UNDEFINED, CAPPED, JUMPS = "used", "undefined", "beyond the cap", "jumps"
UNSETTLED = 0.25
"""A term whose derivatives at no two neighbouring steps agree within this, relative to the larger, jumps."""


@dataclass(frozen=True)
class Curvature:
    """J^T J around a point.

    Attributes
    ----------
    fates
        Per term: used, or why not.
    chosen
        (terms,) index of the step that a term's row of J was taken at: of the two neighbouring steps that agree best,
        the smaller.  A feature read on a grid of time needs a larger step than one that curves.
    disagreement
        (terms,) relative difference between those two steps; NaN where undefined.
    jacobian
        (terms, parameters), all terms.
    eigenvalues, eigenvectors
        (parameters,) largest first, sd**2; (parameters, parameters), columns, largest component positive.
    spectra
        (steps, parameters) eigenvalues with every used term at that one step.
    overlap
        (steps,) |cosine| between the stiffest direction there and that of `eigenvectors`.
    """

    fates: tuple[str, ...]
    chosen: np.ndarray
    disagreement: np.ndarray
    jacobian: np.ndarray
    eigenvalues: np.ndarray
    eigenvectors: np.ndarray
    spectra: np.ndarray
    overlap: np.ndarray

    @property
    def used(self) -> np.ndarray:
        """(terms,) bool."""
        return np.array([fate == USED for fate in self.fates])


def curvature(jacobians: np.ndarray, capped: np.ndarray) -> Curvature:
    """Eigenvalues and eigenvectors of J^T J over the terms that have a derivative.

    Parameters
    ----------
    jacobians
        (steps, terms, parameters) of the residuals, steps rising; NaN where undefined; at least two steps.
    capped
        (terms,) terms whose distance is beyond the score's cap: the score does not feel them.

    Raises
    ------
    InputError
        When no term can be used.
    """
    assert len(jacobians) >= 2, "one step cannot be checked"
    undefined = np.isnan(jacobians).any(axis=(0, 2))
    differences = _relative_differences(jacobians)
    chosen = np.argmin(np.where(undefined, 0.0, differences), axis=0)
    disagreement = np.where(undefined, np.nan, differences[chosen, np.arange(len(chosen))])
    fates = np.full(len(capped), USED, dtype=object)
    for reason, where in ((JUMPS, disagreement > UNSETTLED), (CAPPED, capped), (UNDEFINED, undefined)):
        fates[where] = reason
    used = fates == USED
    if not used.any():
        counts = (f"{np.sum(fates == reason)} {reason}" for reason in (UNDEFINED, CAPPED, JUMPS))
        raise InputError(
            f"none of the {len(capped)} score terms has a derivative at the best individual ({', '.join(counts)}); fit "
            "further first, or try other --steps"
        )
    jacobian = jacobians[chosen, np.arange(len(chosen))]
    values, vectors = _eigen(jacobian[used])
    spectra, directions = zip(*(_eigen(one[used]) for one in jacobians), strict=True)
    overlap = [abs(float(one[:, 0] @ vectors[:, 0])) for one in directions]
    return Curvature(
        tuple(fates), chosen, disagreement, jacobian, values, vectors, np.array(spectra), np.array(overlap)
    )


def _relative_differences(jacobians: np.ndarray) -> np.ndarray:
    """(steps - 1, terms): |row - row at the next step| / the larger of the two; NaN where undefined.

    Two rows of zeros agree, unless a larger step sees a change: then both steps were below the feature's resolution.
    """
    sizes = np.linalg.norm(jacobians, axis=2)
    larger = np.maximum(sizes[:-1], sizes[1:])
    change = np.linalg.norm(np.diff(jacobians, axis=0), axis=2)
    blind = (larger == 0) & (sizes[-1] > 0)
    return np.divide(change, larger, out=np.where(blind, 1.0, 0.0), where=larger != 0)


def _eigen(jacobian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By singular values: squaring J first would lose the sloppy half of the digits."""
    _, singular, rows = np.linalg.svd(jacobian, full_matrices=True)
    values = np.zeros(jacobian.shape[1])
    values[: len(singular)] = singular**2
    largest = rows[np.arange(len(rows)), np.argmax(np.abs(rows), axis=1)]
    return values, (rows * np.sign(largest)[:, None]).T


def direction_text(direction: np.ndarray, names: Sequence[str], most: int = 4, least: float = 0.25) -> str:
    """A direction in words: its largest components with their parameters, +0.81 g_pas.all -0.45 gImbar_Im.apical."""
    order = np.argsort(-np.abs(direction), kind="stable")
    shown = [index for index in order[:most] if abs(direction[index]) >= least] or [order[0]]
    return " ".join(f"{direction[index]:+.2f} {names[index]}" for index in shown)


def profile_points(
    centre: np.ndarray, direction: np.ndarray, reach: float, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Points along a direction: distances (count,), and vectors (count, parameters) inside the unit cube.

    reach: largest distance from the centre, in units of ranges; less where the cube ends.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        walls = np.stack([(0.0 - centre) / direction, (1.0 - centre) / direction])
    walls = walls[:, direction != 0]
    low, high = np.max(np.min(walls, axis=0)), np.min(np.max(walls, axis=0))
    distances = np.linspace(max(-reach, low), min(reach, high), count)
    return distances, np.clip(centre + distances[:, None] * direction, 0.0, 1.0)


def predicted_scores(
    distances: np.ndarray, slopes: np.ndarray, residuals: np.ndarray, caps: np.ndarray, rest: float
) -> np.ndarray:
    """(distances,) scores if the features were straight lines: sum of min(|r + slope * distance|, cap), and the rest.

    slopes, residuals, caps: (used terms,); rest: what the other terms contribute.
    """
    return rest + np.minimum(np.abs(residuals + distances[:, None] * slopes), caps).sum(axis=1)
