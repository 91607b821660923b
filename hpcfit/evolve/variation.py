"""How does one offspring arise from its parents?  Deb & Agrawal 1995 (SBX), Deb & Goyal 1996 (polynomial mutation).

Deterministic functions of vectors in the unit cube and of uniform numbers in [0, 1).  All arguments that are arrays are
(members, P) and all results too; every gene looks only at its own numbers, so rows are independent of each other.
`u_gene < gene_rate` says whether a gene takes part: strictly less, so that a rate of 0 changes nothing.
"""

from __future__ import annotations

import numpy as np

SAME = 1e-14  # genes closer than this are equal for SBX, which divides by their distance; the value is Deb's and DEAP's


def simulated_binary(
    a: np.ndarray,
    b: np.ndarray,
    eta: float,
    gene_rate: float,
    u_gene: np.ndarray,
    u_spread: np.ndarray,
    u_side: np.ndarray,
) -> np.ndarray:
    """First child of the bounded simulated binary crossover; the second is not computed.

    Source: Deb & Agrawal 1995 with the bounds of Deb's NSGA-II code, as in DEAP `cxSimulatedBinaryBounded` (where
    gene_rate is 0.5).  Large `eta` keeps the child near its parents.

    Parameters
    ----------
    a, b : numpy.ndarray
        (members, P) in [0, 1].  A gene that takes no part is that of `a`.
    eta : float
        Crowding degree, >= 0.
    gene_rate : float
        Probability of a gene to be crossed.
    u_gene, u_spread, u_side : numpy.ndarray
        (members, P): whether a gene is crossed, how far from the parents, on the side of which one.
    """
    child = a.copy()
    crossed = (u_gene < gene_rate) & (np.abs(a - b) > SAME)
    one, other, u = a[crossed], b[crossed], u_spread[crossed]
    low, high = np.minimum(one, other), np.maximum(one, other)
    upper = u_side[crossed] <= 0.5
    room = np.where(upper, 1.0 - high, low)
    beta = 1.0 + 2.0 * room / (high - low)
    alpha = 2.0 - beta ** -(eta + 1.0)
    inward = u <= 1.0 / alpha
    beta_q = np.where(inward, u * alpha, 1.0 / (2.0 - u * alpha)) ** (1.0 / (eta + 1.0))
    spread = beta_q * (high - low)
    child[crossed] = np.clip(0.5 * (low + high + np.where(upper, spread, -spread)), 0.0, 1.0)
    return child


def uniform_crossover(a: np.ndarray, b: np.ndarray, gene_rate: float, u_gene: np.ndarray) -> np.ndarray:
    """First child of the uniform crossover (Syswerda 1989, DEAP `cxUniform`): `a` with some genes of `b`."""
    return np.where(u_gene < gene_rate, b, a)


def polynomial(x: np.ndarray, eta: float, gene_rate: float, u_gene: np.ndarray, u_step: np.ndarray) -> np.ndarray:
    """Bounded polynomial mutation: a step within the room the gene has, small for large `eta` (>= 0).

    Source: Deb & Goyal 1996 with the bounds of Deb's NSGA-II code, as in DEAP `mutPolynomialBounded`.

    Parameters
    ----------
    x : numpy.ndarray
        (members, P) in [0, 1].
    u_gene, u_step : numpy.ndarray
        (members, P): whether a gene mutates, and its step (below 0.5 down, above up).
    """
    mutant = x.copy()
    mutated = u_gene < gene_rate
    gene, u = x[mutated], u_step[mutated]
    down = u < 0.5
    tail = np.where(down, u, 1.0 - u)
    far = 1.0 - np.where(down, gene, 1.0 - gene)
    size = 1.0 - (2.0 * tail + (1.0 - 2.0 * tail) * far ** (eta + 1.0)) ** (1.0 / (eta + 1.0))
    mutant[mutated] = np.clip(gene + np.where(down, -size, size), 0.0, 1.0)
    return mutant


def gaussian(x: np.ndarray, sigma: float, gene_rate: float, u_gene: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Gaussian mutation, reflected at the bounds; sigma > 0 in units of the range between the bounds.

    Reflected, not clipped: clipping heaps members exactly on the bounds, where a channel density is zero, and a heap of
    equal genes is lost to SBX, which only moves genes that differ.

    Parameters
    ----------
    x : numpy.ndarray
        (members, P) in [0, 1].
    u_gene, normals : numpy.ndarray
        (members, P): whether a gene mutates, and its step in units of sigma.
    """
    return np.where(u_gene < gene_rate, reflected(x + sigma * normals), x)


def uniform_mutation(x: np.ndarray, gene_rate: float, u_gene: np.ndarray, u_value: np.ndarray) -> np.ndarray:
    """Uniform mutation: some genes of `x` are replaced by `u_value`, anywhere between the bounds."""
    return np.where(u_gene < gene_rate, u_value, x)


def standard_normals(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Normal numbers of the shape of `u` and `v`, from two uniform ones each (Box & Muller 1958).

    Not numpy's ziggurat, which consumes a varying number of draws and so breaks the tie of number to member.
    """
    return np.sqrt(-2.0 * np.log1p(-u)) * np.cos(2.0 * np.pi * v)


def reflected(y: np.ndarray) -> np.ndarray:
    """Fold the real line into [0, 1], as often as needed; a value inside stays as it is, to the last bit."""
    folded = np.abs(y) % 2.0
    return np.minimum(folded, 2.0 - folded)
