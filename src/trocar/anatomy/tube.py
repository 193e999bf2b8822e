"""The spinal canal at one vertebra: a tube whose wall is found by rays from its axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label as components
from scipy.ndimage import map_coordinates

from trocar.anatomy.surface import Grid
from trocar.geometry import Vector

#: Rays around the canal's axis; half a step off the midplane, so that left and right have the same.
RAYS = 72
#: Farthest wall looked for from the canal's axis, mm: a wide lumbar canal is 30 mm across.
CANAL_REACH_MM = 22.0
#: Smallest half-depth that is taken for a canal, mm.
SMALLEST_CANAL_MM = 3.0
#: Where the ring is open at the back, the canal's axis is taken this far behind the body, mm.
HALF_DEPTH_MM = 7.0
#: A ray that goes this much farther than is typical for its direction has left through a gap, mm.
GAP_MM = 2.0


@dataclass(frozen=True, eq=False)
class Tube:
    """The canal at one vertebra, in its frame: a line and, for each direction, how far the wall is.

    The axis is ``x = centre_x_mm``, ``y = centre_y_mm + slope * z``. ``radius_mm`` holds the typical
    wall distance for each of ``RAYS`` directions, ``wall_mm`` ``[z, ray]`` the distance found at
    each height (filled in where the ring is open).
    """

    centre_x_mm: float
    centre_y_mm: float
    slope: float
    radius_mm: NDArray[np.float64]
    wall_mm: NDArray[np.float64]

    @property
    def front_y_mm(self) -> float:
        """Where the canal's front wall (the back of the body) lies at z = 0, mm."""
        return self.centre_y_mm - float(self.radius_mm[_sector(-np.pi / 2, np.radians(25.0))].mean())

    @property
    def back_y_mm(self) -> float:
        """Where the canal's back wall lies at z = 0, mm."""
        return self.centre_y_mm + float(self.radius_mm[_sector(np.pi / 2, np.radians(15.0))].mean())

    def half_width_mm(self, sign: int) -> float:
        """Distance of the lateral wall from the axis on the left (+1) or right (-1), mm."""
        return float(np.max(self.radius_mm * np.maximum(sign * np.cos(angles()), 0.0)))


def angles() -> NDArray[np.float64]:
    """Directions of the rays in the axial plane: 0 is left, pi/2 posterior."""
    return (np.arange(RAYS) + 0.5) * 2.0 * np.pi / RAYS


def _sector(centre: float, half: float) -> NDArray[np.bool_]:
    away = np.abs((angles() - centre + np.pi) % (2.0 * np.pi) - np.pi)
    return away <= half


def find_tube(
    distance: NDArray[np.float32],
    grid: Grid,
    back_wall_y_mm: float,
    heights_mm: tuple[float, float],
    arch_cut: bool = False,
) -> Tube | None:
    """The canal behind the body, from the bone's signed distance ``[z, y, x]`` on a grid of its frame.

    The bone between ``heights_mm`` (the endplates) is looked through along the canal: pedicles above
    and laminae below then close a ring, whose hole is the canal's core; where the scan cuts the arch
    off (``arch_cut``), the middle between the pedicles takes its place. The view is tilted along the
    posterior wall. From the core, rays find the wall at each height.
    """
    slope, centre = 0.0, None
    closed = _core(distance, grid, slope, back_wall_y_mm, heights_mm) is not None
    look = _open_core if arch_cut and not closed else _core
    for _ in range(3):
        centre = look(distance, grid, slope, back_wall_y_mm, heights_mm)
        if centre is None:
            return None
        slope = _posterior_slope(distance, grid, centre, slope, heights_mm)
    centre = look(distance, grid, slope, back_wall_y_mm, heights_mm)
    if centre is None:
        return None
    walls = _walls(distance, grid, centre, slope)
    radius = _typical(walls, grid, heights_mm)
    filled = np.where(np.isfinite(walls), np.minimum(walls, radius + GAP_MM), radius)
    return Tube(centre[0], centre[1], slope, radius, filled)


def _sheared(
    distance: NDArray[np.float32], grid: Grid, slope: float, heights_mm: tuple[float, float]
) -> NDArray[np.float64]:
    """The slices between ``heights_mm``, each shifted so that a canal of that slope runs straight."""
    z = grid.axes_mm[2]
    inside = np.flatnonzero((z >= heights_mm[0]) & (z <= heights_mm[1]))
    rows = np.arange(distance.shape[1], dtype=np.float64)
    layers = []
    for k in inside:
        at = np.clip(rows + slope * z[k] / grid.step_mm, 0, len(rows) - 1)
        low = np.minimum(at.astype(int), len(rows) - 2)
        share = (at - low)[:, None]
        layers.append(distance[k, low] * (1 - share) + distance[k, low + 1] * share)
    return np.array(layers)


def _core(
    distance: NDArray[np.float32], grid: Grid, slope: float, back_wall_y_mm: float, heights_mm: tuple[float, float]
) -> tuple[float, float] | None:
    """Centre (x, y at z = 0) of the hole seen along the canal, or None."""
    x, y, _ = grid.axes_mm
    through = _sheared(distance, grid, slope, heights_mm).min(axis=0)
    free = through > 0.0
    region, count = components(free)
    edge = set(np.unique(np.concatenate([region[0], region[-1], region[:, 0], region[:, -1]])))
    best, best_width = None, SMALLEST_CANAL_MM
    for n in range(1, count + 1):
        if n in edge:
            continue
        here = np.where(region == n, through, 0.0)
        jj, ii = np.nonzero(here)
        weight = here[jj, ii] ** 2
        cx, cy = float(np.average(x[ii], weights=weight)), float(np.average(y[jj], weights=weight))
        if here.max() > best_width and abs(cx) < 8.0 and cy > back_wall_y_mm - 4.0:
            best, best_width = (cx, cy), float(here.max())
    return best


def _open_core(
    distance: NDArray[np.float32], grid: Grid, slope: float, back_wall_y_mm: float, heights_mm: tuple[float, float]
) -> tuple[float, float] | None:
    """The middle between the pedicles behind the body, where the arch that closes the ring is cut off; or None."""
    x, y, _ = grid.axes_mm
    through = _sheared(distance, grid, slope, heights_mm).min(axis=0)
    row = int(np.argmin(np.abs(y - (back_wall_y_mm + HALF_DEPTH_MM))))
    line = through[row]
    middle = len(x) // 2
    if line[middle] <= 0.0:
        return None
    left, right = np.flatnonzero(line[middle:] <= 0.0), np.flatnonzero(line[middle::-1] <= 0.0)
    if len(left) == 0 or len(right) == 0 or max(left[0], right[0]) * grid.step_mm > CANAL_REACH_MM:
        return None
    return 0.5 * float(x[middle + left[0]] + x[middle - right[0]]), float(y[row])


def _posterior_slope(
    distance: NDArray[np.float32],
    grid: Grid,
    centre: tuple[float, float],
    slope: float,
    heights_mm: tuple[float, float],
) -> float:
    """Tilt (dy/dz) of the canal's front wall over the middle of the body's height."""
    z = grid.axes_mm[2]
    low, high = heights_mm
    rows = np.flatnonzero((z >= low + 0.15 * (high - low)) & (z <= high - 0.15 * (high - low)))
    front = _sector(-np.pi / 2, np.radians(35.0))
    walls = _walls(distance, grid, centre, slope)[rows][:, front] * np.sin(angles()[front])
    good = np.isfinite(walls)
    if good.sum() < 10:
        return slope
    zz = np.broadcast_to(z[rows][:, None], walls.shape)[good]
    ray = np.broadcast_to(np.arange(int(front.sum()))[None, :], walls.shape)[good]
    value = walls[good]
    # each ray has its own offset: remove it, then one slope for all
    for n in np.unique(ray):
        pick = ray == n
        value[pick] -= value[pick].mean()
        zz = zz.copy()
        zz[pick] -= zz[pick].mean()
    spread = float(zz @ zz)
    return slope + float(zz @ value) / spread if spread > 0 else slope


def _walls(distance: NDArray[np.float32], grid: Grid, centre: tuple[float, float], slope: float) -> NDArray[np.float64]:
    """Distance ``[z, ray]`` from the axis to the first bone, NaN where there is none within reach."""
    z = grid.axes_mm[2]
    t = np.arange(0.0, CANAL_REACH_MM + 0.5, 0.5)
    a = angles()
    px = centre[0] + t[:, None] * np.cos(a)
    py = centre[1] + t[:, None] * np.sin(a)
    shape = (len(z), len(t), RAYS)
    xx = np.broadcast_to(px, shape)
    yy = np.broadcast_to(py, shape) + slope * z[:, None, None]
    kk = np.broadcast_to(np.arange(len(z))[:, None, None], shape)
    at = np.stack([kk, yy / grid.step_mm - grid.low[1], xx / grid.step_mm - grid.low[0]])
    values = map_coordinates(distance, at.reshape(3, -1), output=np.float64, order=1, mode="nearest").reshape(shape)
    hit = values <= 0.0
    first = hit.argmax(axis=1)
    kz, ray = np.ogrid[: len(z), :RAYS]
    before, after = values[kz, np.maximum(first - 1, 0), ray], values[kz, first, ray]
    share = np.clip(before / np.where(before == after, 1.0, before - after), 0.0, 1.0)
    wall = np.where(first > 0, t[np.maximum(first - 1, 0)] + share * 0.5, 0.0)
    return np.where(hit.any(axis=1), wall, np.nan)


def _typical(walls: NDArray[np.float64], grid: Grid, heights_mm: tuple[float, float]) -> NDArray[np.float64]:
    """Typical wall distance of each direction: the lower third over the body's height, closed around the ring."""
    z = grid.axes_mm[2]
    margin = 12.0
    rows = (z >= heights_mm[0] - margin) & (z <= heights_mm[1])
    radius = np.full(RAYS, np.nan)
    for n in range(RAYS):
        column = walls[rows, n]
        column = column[np.isfinite(column) & (column > 1.0)]
        if len(column) >= 2:
            radius[n] = float(np.quantile(column, 0.35))
    return _closed(radius)


def _closed(radius: Vector) -> Vector:
    """Gaps in a ring filled from their neighbours, linearly around the circle."""
    known = np.flatnonzero(np.isfinite(radius))
    if len(known) == 0:
        return np.full(RAYS, SMALLEST_CANAL_MM)
    wrapped = np.concatenate([known - RAYS, known, known + RAYS])
    return np.interp(np.arange(RAYS), wrapped, np.tile(radius[known], 3))
