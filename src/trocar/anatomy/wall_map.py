"""Where the cortex of a bone is missing: a map over its surface, by the rule of :mod:`trocar.anatomy.lesion`.

Across an intact wall the CT number rises well above the bone before it. Where it rises by less than a tenth of what is
usual in the same bone, cortex is missing: broken, eaten away, or pierced by a vessel. Where the bone is dense all the
way to the wall there is nothing to rise above, and the wall is whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.spatial import cKDTree

from trocar.anatomy.lesion import CORTEX_SHARE, LEAST_RISE_HU, WALL_INSIDE_MM, across_wall
from trocar.anatomy.surface import Surface
from trocar.volume import Volume

#: A row of points starts this deep under the surface, mm; under a thin bone's less deep.
DEPTHS_MM = (7.0, 4.5)
#: It goes on this far beyond the surface, mm, and its points are this far apart.
BEYOND_MM, STEP_MM = 3.0, 0.5
#: The rise is averaged over the surface within this distance, mm: noise is finer, holes worth telling are not.
AVERAGE_MM = 1.75
#: A wall whose brightest point stands this share of the usual rise above the usual bone inside is whole, however little
#: it rises. Ours: on a chest CT the dense front rims of healthy endplates were taken for holes without it.
DENSE_SHARE = 0.5

Points = NDArray[np.float64]
Values = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class WallMap:
    """CT numbers across the wall at points of a bone's surface.

    ``points_mm`` ``(n, 3)`` LPS; ``peak_hu`` ``(n,)`` the brightest near the wall and ``before_hu`` ``(n,)`` the bone
    before it (NaN where they could not be read); ``usual_hu`` the median rise over the walls that serve for comparison
    and ``inside_hu`` the median of the bone before those (0 where there is none).
    """

    points_mm: Points
    peak_hu: Values
    before_hu: Values
    usual_hu: float
    inside_hu: float

    @property
    def rise_hu(self) -> Values:
        """How far the brightest point stands above the bone before it, ``(n,)``."""
        return self.peak_hu - self.before_hu

    @property
    def judged(self) -> bool:
        """Whether the scan is fine enough to tell a wall with cortex from one without."""
        return self.usual_hu >= LEAST_RISE_HU

    @property
    def known(self) -> Bools:
        """Where the wall could be read, ``(n,)``."""
        return np.asarray(np.isfinite(self.peak_hu))

    @property
    def missing(self) -> Bools:
        """Where the cortex is missing, ``(n,)``; nowhere when the scan cannot tell."""
        if not self.judged:
            return np.zeros(len(self.peak_hu), bool)
        flat = np.where(self.known, self.rise_hu, np.inf) < CORTEX_SHARE * self.usual_hu
        dense = np.where(self.known, self.peak_hu, np.inf) >= self.inside_hu + DENSE_SHARE * self.usual_hu
        return np.asarray(flat & ~dense)


def wall_map(ct: Volume, surface: Surface, points_mm: Points, outward: Points, where: Bools, compare: Bools) -> WallMap:
    """CT numbers across the wall at points on ``surface``, ``outward`` ``(n, 3)`` unit LPS directions out of the bone.

    ``where`` ``(n,)`` marks the points that are read, ``compare`` those of them that say what is usual.
    """
    read = np.full((2, len(points_mm)), np.nan)
    read[:, where] = _averaged(points_mm[where], _read(ct, surface, points_mm[where], outward[where]))
    peak, before = read
    usual = compare & np.isfinite(peak)
    rise, inside = (float(np.median(v[usual])) if usual.any() else 0.0 for v in (peak - before, before))
    return WallMap(points_mm, peak, before, rise, inside)


def _read(ct: Volume, surface: Surface, points_mm: Points, outward: Points) -> Values:
    """Peak and bone before it at each point ``[2, n]``, from as deep as the bone is thick."""
    out = np.full((2, len(points_mm)), np.nan)
    for depth_mm in DEPTHS_MM:
        t = np.arange(0.0, depth_mm + BEYOND_MM + STEP_MM / 2, STEP_MM)
        rows = points_mm[:, None] + (t - depth_mm)[:, None] * outward[:, None]
        here = _here(surface, rows, t, depth_mm)
        found = np.where(here, np.stack(across_wall(ct, surface, rows, t)), np.nan)
        out = np.where(np.isnan(out), found, out)
    return out


def _here(surface: Surface, rows: Points, t: Values, depth_mm: float) -> Bools:
    """Whether each row leaves the bone near its point, not through another wall before it."""
    wall_mm = t[(surface.at(rows) >= 0.0).argmax(axis=-1)]
    return np.asarray(np.abs(wall_mm - depth_mm) <= WALL_INSIDE_MM)


def _averaged(points_mm: Points, values: Values) -> Values:
    """The mean over known points nearby ``[2, n]``; NaN where a point's own is not known."""
    known = np.flatnonzero(np.isfinite(values[0]))
    if len(known) == 0:
        return values
    pairs = cKDTree(points_mm[known]).query_pairs(AVERAGE_MM, output_type="ndarray")
    n = len(known)
    near = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n)).tocsr()
    near = near + near.T
    out = np.full(values.shape, np.nan)
    count = 1.0 + np.asarray(near.sum(axis=1)).ravel()
    for row, own in zip(out, values, strict=True):
        row[known] = (own[known] + near @ own[known]) / count
    return out
