"""The pedicle: its isthmus and the axis through it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label as components

from trocar.anatomy.frame import exit_mm
from trocar.anatomy.surface import Surface
from trocar.anatomy.tube import Tube
from trocar.geometry import Line, Pose, Side, Vector, unit

#: Half the side of a square cross-section, mm: the highest pedicles are 18 mm, the widest L5 22 mm.
SECTION_HALF_MM = 15.0
#: Sampling within a cross-section, mm.
SECTION_STEP_MM = 0.5
#: Cross-sections are taken this far to either side of the middle, mm, and this far apart.
SECTION_REACH_MM = 9.0
SECTION_PITCH_MM = 0.75
#: A cross-section larger than the smallest by this share counts 1/e towards the axis: the neck ends smoothly.
NECK_GROWTH = 0.15
#: The neck is not followed farther from the isthmus than this, mm.
NECK_HALF_MM = 4.5
#: After the first round the isthmus may move this far along the axis per round, mm.
STRAY_MM = 2.0
#: Share of the correction applied each round; the end point is the same, the way there is calm.
DAMPING = 0.6
#: Rounds of axis -> cross-sections -> axis.
AXIS_ROUNDS = 12
#: Keeps the slope of a very short neck from running away, mm2.
SPREAD_FLOOR_MM2 = 0.5
#: Lines averaged for a width or a height lie within this of the centre, mm.
CHORD_BAND_MM = 1.0


@dataclass(frozen=True)
class Isthmus:
    """The narrowest place of a pedicle: axis through its centre into the body, and its size, mm."""

    side: Side
    axis: Line
    width_mm: float
    height_mm: float
    area_mm2: float
    neck_mm: tuple[float, float]


def find_isthmus(
    surface: Surface, pose: Pose, tube: Tube, side: Side, heights_mm: tuple[float, float]
) -> Isthmus | None:
    """The isthmus of one pedicle, or None where no bone bridges body and arch beside the canal.

    Cross-sections square to the axis are taken from the canal's front to its middle; the axis is the
    line through the centroids of those about as small as the smallest, and is refined until it stands.
    """
    start = _seed(surface, pose, tube, side, heights_mm)
    if start is None:
        return None
    line = Line(pose.to_world(start), -pose.posterior)
    found = None
    for n in range(AXIS_ROUNDS):
        found = _neck(surface, pose, tube, line, SECTION_REACH_MM if n == 0 else STRAY_MM)
        if found is None:
            return None
        turned = float(np.arccos(np.clip(found[0].direction @ line.direction, -1.0, 1.0)))
        moved = float(line.distance_mm(found[0].point_mm))
        line = found[0]
        if turned < 1e-3 and moved < 0.05:
            break
    if found is None:
        return None
    line, area, neck = found
    width, height = _size(surface, pose, line)
    return Isthmus(side, line, width, height, area, neck)


def _seed(surface: Surface, pose: Pose, tube: Tube, side: Side, heights_mm: tuple[float, float]) -> Vector | None:
    """A point inside the pedicle (local mm): the bone beside the canal, a third of the way back."""
    step = SECTION_STEP_MM
    z = np.arange(np.ceil(heights_mm[0] / step), np.floor(heights_mm[1] / step) + 1) * step
    x = np.arange(0.0, 26.0, step)
    y0 = tube.front_y_mm + 0.3 * (tube.back_y_mm - tube.front_y_mm)
    zz, xx = np.meshgrid(z, x, indexing="ij")
    local = np.stack([tube.centre_x_mm + side.sign * xx, y0 + tube.slope * zz, zz], axis=-1)
    depth = np.maximum(-surface.at(pose.to_world(local)), 0.0)
    region, count = components(depth > 0.0)
    if count == 0:
        return None
    weights = np.array([float((depth[region == n] ** 2).sum()) for n in range(1, count + 1)])
    best = region == int(weights.argmax()) + 1
    if weights.max() < 4.0:
        return None
    return np.average(local[best], axis=0, weights=depth[best] ** 2)


def _neck(
    surface: Surface, pose: Pose, tube: Tube, line: Line, stray_mm: float
) -> tuple[Line, float, tuple[float, float]] | None:
    """The axis through the neck's cross-sections, the smallest area, and the neck's extent along the axis."""
    across, up = square_to(line.direction, pose)
    t = np.arange(-SECTION_REACH_MM, SECTION_REACH_MM + 1e-6, SECTION_PITCH_MM)
    where = pose.to_local(line.point_mm + t[:, None] * line.direction)
    depth_in_canal = (where[:, 1] - tube.slope * where[:, 2] - tube.front_y_mm) / (tube.back_y_mm - tube.front_y_mm)
    allowed = (depth_in_canal > -0.2) & (depth_in_canal < 0.5)
    if allowed.sum() < 3:
        return None
    t = t[allowed]
    area, u, v = _sections(surface, line, across, up, t)
    if not np.isfinite(area).any():
        return None
    smooth = np.convolve(np.pad(np.nan_to_num(area, nan=1e9), 1, mode="edge"), np.full(3, 1 / 3), mode="valid")
    least = int(np.where(np.abs(t) <= stray_mm, smooth, np.inf).argmin())
    ratio = np.where(np.isfinite(area), area, np.inf) / smooth[least]
    weight = np.exp(-((np.maximum(ratio - 1.0, 0.0) / NECK_GROWTH) ** 2)) * (np.abs(t - t[least]) <= NECK_HALF_MM)
    weight *= _around(np.isfinite(area), least)
    neck = weight > 0.05
    if neck.sum() < 2:
        return None
    s = t[neck] - t[least]
    (u0, du), (v0, dv) = (_regress(s, c[neck], weight[neck]) for c in (u, v))
    point = line.point_mm + t[least] * line.direction + u0 * across + v0 * up
    direction = unit(line.direction + DAMPING * (du * across + dv * up))
    return Line(point, direction), float(area[least]), (float(s.min()), float(s.max()))


def square_to(direction: Vector, pose: Pose) -> tuple[Vector, Vector]:
    """Unit vectors square to ``direction``: across (to the left) and up."""
    up = unit(pose.superior - (pose.superior @ direction) * direction)
    across = np.cross(up, -direction) * -1.0
    across = across if across @ pose.left > 0 else -across
    return across, up


def _sections(surface: Surface, line: Line, across: Vector, up: Vector, t: Vector) -> tuple[Vector, Vector, Vector]:
    """Area and centroid (along ``across`` and ``up``) of the bone around the line at each ``t``; NaN outside bone."""
    s = np.arange(-SECTION_HALF_MM, SECTION_HALF_MM + 1e-6, SECTION_STEP_MM)
    vv, uu = np.meshgrid(s, s, indexing="ij")
    offset = uu[..., None] * across + vv[..., None] * up
    points = line.point_mm + t[:, None, None, None] * line.direction + offset
    values = surface.at(points)
    share = np.clip(0.5 - values / SECTION_STEP_MM, 0.0, 1.0)
    area, u, v = (np.full(len(t), np.nan) for _ in range(3))
    mid = len(s) // 2
    for n in range(len(t)):
        region, _ = components(share[n] > 0.0)
        if region[mid, mid] == 0:
            continue
        part = np.where(region == region[mid, mid], share[n], 0.0)
        total = float(part.sum())
        area[n] = total * SECTION_STEP_MM**2
        u[n], v[n] = float((part * uu).sum()) / total, float((part * vv).sum()) / total
    return area, u, v


def _around(flags: NDArray[np.bool_], at: int) -> NDArray[np.bool_]:
    """The run of True that holds ``at``."""
    region, _ = components(flags)
    return np.asarray(region == region[at])


def _regress(t: Vector, values: Vector, weights: Vector) -> tuple[float, float]:
    """Value at t = 0 and slope of the weighted straight line through ``values``."""
    mean = float(np.average(t, weights=weights))
    spread = float(np.average((t - mean) ** 2, weights=weights)) + SPREAD_FLOOR_MM2
    level = float(np.average(values, weights=weights))
    slope = float(np.average((t - mean) * (values - level), weights=weights)) / spread
    return level - slope * mean, slope


def _size(surface: Surface, pose: Pose, line: Line) -> tuple[float, float]:
    """Width and height of the isthmus: chords through its centre, the middle one of five each."""
    across, up = square_to(line.direction, pose)
    band = np.linspace(-CHORD_BAND_MM, CHORD_BAND_MM, 5)

    def chord(along: Vector, aside: Vector) -> float:
        starts = line.point_mm + band[:, None] * aside
        total = exit_mm(surface, starts, along, 20.0) + exit_mm(surface, starts, -along, 20.0)
        good = total[np.isfinite(total)]
        return float(np.median(good)) if len(good) else 0.0

    return chord(across, up), chord(up, across)
