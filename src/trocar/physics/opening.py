"""Where a needle lets go among cells wider than itself, and what its surface feels of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ive

#: Points along each edge of a cell at which the ball of a tip is looked for.
FINE = 5
#: Relative distance within which a point lies on the ball: rounding must not tell one side from the other.
TIE = 1e-9
#: Logarithms of the times over which the lattice's Green's function is summed; what is cut off is below 1e-4 of it.
LOG_TIMES = np.linspace(-12.0, 18.0, 301)


@dataclass(frozen=True, eq=False)
class Opening:
    """Where a tip lets go: shares of the flow by cell.

    ``beyond`` (per mm3) times flow and viscosity is the pressure on the tip's surface less the mean over the cells.
    """

    cells: NDArray[np.int64]
    shares: NDArray[np.float64]
    beyond: float


def opening(
    porosity: NDArray[np.float32],
    permeability_mm2: NDArray[np.float32],
    spacing_mm: tuple[float, float, float],
    tip_mm: NDArray[np.float64],
    radius_mm: float,
) -> Opening:
    """The cells with pores that a ball about ``tip_mm`` (k, j, i from the corner) covers, and how much of each.

    Arrays as in :class:`trocar.physics.porous.Medium`. Raises ``ValueError`` where there is none.
    """
    spacing, shape = np.asarray(spacing_mm), porosity.shape
    low = np.maximum(np.floor((tip_mm - radius_mm) / spacing).astype(int), 0)
    high = np.minimum(np.ceil((tip_mm + radius_mm) / spacing).astype(int), shape)
    if np.any(high <= low):
        raise ValueError(f"the tip at {np.round(tip_mm, 1).tolist()} mm lies outside the box of {shape} cells.")
    fine = [(np.arange(a * FINE, b * FINE) + 0.5) * h / FINE for a, b, h in zip(low, high, spacing, strict=True)]
    away = sum((x - t) ** 2 for x, t in zip(np.meshgrid(*fine, indexing="ij"), tip_mm, strict=True))
    inside = (away <= radius_mm**2 * (1.0 + TIE)).reshape(*np.stack([high - low, np.full(3, FINE)], axis=1).ravel())
    part = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    covered = np.zeros(shape)
    covered[part] = inside.mean(axis=(1, 3, 5)) * (porosity[part] > 0.0)
    cells = np.flatnonzero(covered)
    if not cells.size:
        raise ValueError(f"there is no medium within {radius_mm:g} mm of the tip at {np.round(tip_mm, 1).tolist()} mm.")
    shares = covered.reshape(-1)[cells] / covered.sum()
    own = permeability_mm2.reshape(3, -1)[:, cells].astype(np.float64) @ shares
    sphere = 1.0 / (4.0 * np.pi * np.cbrt(own.prod()) * radius_mm)
    at = np.stack(np.unravel_index(cells, shape), axis=1)
    return Opening(cells, shares, sphere - _spread(at, shares, own, spacing))


def _spread(
    cells: NDArray[np.int64], shares: NDArray[np.float64], permeability_mm2: NDArray[np.float64], spacing: NDArray[Any]
) -> float:
    """Mean pressure over the cells that let go, per flow and viscosity, in endless cells of one permeability (per mm3).

    Cells that let go of a whole flow see each other through the lattice's own Green's function, ``integral of the
    product over the axes of exp(-2 g t) I_n(2 g t) dt``, with n cells between them and conductance g along an axis.
    Economou EN. Green's Functions in Quantum Physics, 3rd ed., Springer 2006, chapter 5.
    """
    along = permeability_mm2 * spacing.prod() / spacing**2
    apart = np.abs(cells[:, None] - cells[None])
    offsets, which = np.unique(apart.reshape(-1, 3), axis=0, return_inverse=True)
    t = np.exp(LOG_TIMES) / along.mean()
    decay = ive(offsets[:, :, None], 2.0 * along[None, :, None] * t).prod(axis=1)
    green = (decay * t).sum(axis=1) * (LOG_TIMES[1] - LOG_TIMES[0])
    return float(shares @ green[which].reshape(len(cells), len(cells)) @ shares)
