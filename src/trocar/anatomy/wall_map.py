"""Where the cortex of a bone is missing: a map over its surface, by the rule of :mod:`trocar.anatomy.lesion`.

Across an intact wall the CT number rises well above the bone before it. Where it rises by less than a tenth of what is
usual in the same bone, cortex is missing: broken, eaten away, or pierced by a vessel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.spatial import cKDTree

from trocar.anatomy.lesion import CORTEX_SHARE, LEAST_RISE_HU, WALL_INSIDE_MM, rise_along
from trocar.anatomy.surface import Surface
from trocar.volume import Volume

#: A row of points starts this deep under the surface, mm; under a thin bone's less deep.
DEPTHS_MM = (7.0, 4.5)
#: It goes on this far beyond the surface, mm, and its points are this far apart.
BEYOND_MM, STEP_MM = 3.0, 0.5
#: The rise is averaged over the surface within this distance, mm: noise is finer, holes worth telling are not.
AVERAGE_MM = 1.75

Points = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class WallMap:
    """The rise across the wall at points of a bone's surface.

    ``points_mm`` ``(n, 3)`` LPS, ``outward`` ``(n, 3)`` unit directions out of the bone, ``rise_hu`` ``(n,)`` how far
    the brightest point near the wall stands above the bone before it (NaN where it could not be read), ``usual_hu``
    the median of that over the walls that serve for comparison (0 where there is none).
    """

    points_mm: Points
    outward: Points
    rise_hu: NDArray[np.float64]
    usual_hu: float

    @property
    def judged(self) -> bool:
        """Whether the scan is fine enough to tell a wall with cortex from one without."""
        return self.usual_hu >= LEAST_RISE_HU

    @property
    def known(self) -> Bools:
        """Where the wall could be read, ``(n,)``."""
        return np.asarray(np.isfinite(self.rise_hu))

    @property
    def missing(self) -> Bools:
        """Where the cortex is missing, ``(n,)``; nowhere when the scan cannot tell."""
        least = CORTEX_SHARE * self.usual_hu if self.judged else -np.inf
        return np.asarray(self.known & (np.nan_to_num(self.rise_hu, nan=np.inf) < least))


def wall_map(ct: Volume, surface: Surface, points_mm: Points, outward: Points, where: Bools, compare: Bools) -> WallMap:
    """The rise across the wall at points on ``surface``.

    ``where`` ``(n,)`` marks those that are read, ``compare`` those of them that say what is usual.
    """
    rise = np.full(len(points_mm), np.nan)
    rise[where] = _averaged(points_mm[where], _rise_hu(ct, surface, points_mm[where], outward[where]))
    usual = rise[compare & np.isfinite(rise)]
    return WallMap(points_mm, outward, rise, float(np.median(usual)) if len(usual) else 0.0)


def _rise_hu(ct: Volume, surface: Surface, points_mm: Points, outward: Points) -> NDArray[np.float64]:
    """The rise at each point, from as deep as the bone is thick."""
    out = np.full(len(points_mm), np.nan)
    for depth_mm in DEPTHS_MM:
        t = np.arange(0.0, depth_mm + BEYOND_MM + STEP_MM / 2, STEP_MM)
        rows = points_mm[:, None] + (t - depth_mm)[:, None] * outward[:, None]
        found = _reached_in_time(surface, rows, t, depth_mm, rise_along(ct, surface, rows, t))
        out = np.where(np.isnan(out), found, out)
    return out


def _reached_in_time(
    surface: Surface, rows: Points, t: NDArray[np.float64], depth_mm: float, rise: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The rise where the row leaves the bone near its point, not through another wall before it."""
    wall_mm = t[(surface.at(rows) >= 0.0).argmax(axis=-1)]
    return np.where(np.abs(wall_mm - depth_mm) <= WALL_INSIDE_MM, rise, np.nan)


def _averaged(points_mm: Points, rise: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over known points nearby; NaN where a point's own rise is not known."""
    known = np.flatnonzero(np.isfinite(rise))
    if len(known) == 0:
        return rise
    pairs = cKDTree(points_mm[known]).query_pairs(AVERAGE_MM, output_type="ndarray")
    n = len(known)
    ones = np.ones(len(pairs))
    near = coo_matrix((ones, (pairs[:, 0], pairs[:, 1])), shape=(n, n)).tocsr()
    near = near + near.T
    out = np.full(len(rise), np.nan)
    out[known] = (rise[known] + near @ rise[known]) / (1.0 + np.asarray(near.sum(axis=1)).ravel())
    return out
