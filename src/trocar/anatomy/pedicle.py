"""The pedicle: its isthmus and the axis through it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label as components

from trocar.anatomy.frame import exit_mm
from trocar.anatomy.surface import Surface
from trocar.anatomy.tube import Tube
from trocar.geometry import Line, Pose, Side, Vector, angle_deg, unit

#: Half the sides of the first cross-sections, across and up, mm: the widest L5 is 22 mm, the tallest T11 20 mm.
FIRST_HALF_MM = (13.0, 13.0)
#: Later cross-sections are cut off this far outside the isthmus, mm: what melts in there weighs little.
WINDOW_BEYOND_MM = 0.8
#: Sampling within a cross-section, mm, and distance between two of them, mm.
SECTION_STEP_MM = 0.6
SECTION_PITCH_MM = 0.75
#: Angles of convergence tried first, degrees.
FIRST_ANGLES_DEG = (0.0, 12.0, 24.0, 36.0)
#: Cross-sections are taken this far to either side of the middle, mm, at first and later.
FIRST_REACH_MM = 7.5
REACH_MM = 6.0
#: The isthmus lies between these depths of the canal: 0 is its front wall, 1 its back wall.
ISTHMUS_DEPTH = (-0.45, 0.45)
#: The isthmus may move this far along the axis per round, mm.
STRAY_MM = 1.5
#: A cross-section larger than the smallest by this share counts half towards the axis.
NECK_GROWTH = 0.25
#: The neck is not followed farther from the isthmus than this, mm.
NECK_HALF_MM = 4.5
#: Share of the turn applied each round: the end is the same, the way there is calm.
DAMPING = 0.6
#: Rounds of axis -> cross-sections -> axis, and the turn at which they end, degrees.
AXIS_ROUNDS = 12
STANDS_DEG = 0.1
#: Keeps the slope of a very short neck from running away, mm2.
SPREAD_FLOOR_MM2 = 0.5
#: Smallest weighted depth of bone beside the canal that is taken for a pedicle, mm2.
LEAST_SEED_MM2 = 4.0
#: Lines averaged for a width or a height lie within this of the centre, mm.
CHORD_BAND_MM = 1.0


@dataclass(frozen=True)
class Isthmus:
    """The narrowest place of a pedicle: axis through its centre into the body, and its size, mm.

    Width and height are the smaller of two readings, from the mask alone and with walls placed by
    the CT: blur makes the latter 0.2 to 0.4 mm too large, and a pedicle must not be read too wide.
    """

    side: Side
    axis: Line
    width_mm: float
    height_mm: float
    area_mm2: float
    neck_mm: tuple[float, float]


@dataclass(frozen=True)
class Sections:
    """Cross-sections along a line: place, area, centroid and half-axes (of the ellipse of equal moments), mm."""

    t: Vector
    area: Vector
    u: Vector
    v: Vector
    half_u: Vector
    half_v: Vector

    @property
    def found(self) -> NDArray[np.bool_]:
        """Where there is bone on the line."""
        return np.asarray(np.isfinite(self.area))


def find_isthmus(
    surface: Surface, pose: Pose, tube: Tube, side: Side, heights_mm: tuple[float, float]
) -> Isthmus | None:
    """The isthmus of one pedicle, or None where no bone bridges body and arch beside the canal.

    Cross-sections square to the axis are taken beside the front half of the canal. The axis is the
    line through the centroids of those about as small as the smallest, and is refined until it
    stands. Each section is cut off just outside the isthmus, so that the body, the articular and
    the transverse process, into which the pedicle melts, cannot pull the axis towards themselves.
    """
    start = _seed(surface, pose, tube, side, heights_mm)
    if start is None:
        return None
    line, half_mm = _first_line(surface, pose, tube, side, pose.to_world(start))
    area, neck = np.nan, (0.0, 0.0)
    for _ in range(AXIS_ROUNDS):
        found = _neck(surface, pose, tube, line, half_mm)
        if found is None:
            return None
        before, (line, half_mm, area, neck) = line, found
        if angle_deg(before.direction, line.direction) < STANDS_DEG:
            break
    width, height = np.minimum(_size(surface, pose, line), _size(surface.without_ct, pose, line))
    return Isthmus(side, line, float(width), float(height), area, neck)


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
    if weights.max() * step**2 < LEAST_SEED_MM2:
        return None
    best = region == int(weights.argmax()) + 1
    return np.average(local[best], axis=0, weights=depth[best] ** 2)


def _first_line(
    surface: Surface, pose: Pose, tube: Tube, side: Side, start_mm: Vector
) -> tuple[Line, tuple[float, float]]:
    """Through the seed, converging by the angle at which its narrowest place is narrowest; and half its size."""
    best, half, least = Line(start_mm, -pose.posterior), FIRST_HALF_MM, np.inf
    for angle in np.radians(FIRST_ANGLES_DEG):
        direction = -np.cos(angle) * pose.posterior - side.sign * np.sin(angle) * pose.left
        line = Line(start_mm, direction)
        s = _sections(surface, pose, line, _beside(pose, tube, line, FIRST_REACH_MM), FIRST_HALF_MM)
        waist = _waists(s.area)
        if np.isfinite(waist).any() and np.nanmin(waist) < least:
            n = int(np.nanargmin(waist))
            across, up = square_to(direction, pose)
            best, least = Line(line.at(s.t[n]) + s.u[n] * across + s.v[n] * up, direction), float(s.area[n])
            half = _window(s, n)
    return best, half


def _waists(area: Vector) -> Vector:
    """``area`` where it is no larger than both neighbours', NaN elsewhere and at the ends."""
    out = np.full(len(area), np.nan)
    middle = area[1:-1]
    out[1:-1] = np.where((middle <= area[:-2]) & (middle <= area[2:]), middle, np.nan)
    return out


def _window(s: Sections, n: int) -> tuple[float, float]:
    """Half the sides of later sections: just outside the ellipse of the section ``n``."""
    return (
        min(float(s.half_u[n]) + WINDOW_BEYOND_MM, FIRST_HALF_MM[0]),
        min(float(s.half_v[n]) + WINDOW_BEYOND_MM, FIRST_HALF_MM[1]),
    )


def _beside(pose: Pose, tube: Tube, line: Line, reach_mm: float) -> Vector:
    """Places along a line (mm, symmetric about its point) that lie beside the front of the canal."""
    n = int(reach_mm / SECTION_PITCH_MM)
    t = np.arange(-n, n + 1) * SECTION_PITCH_MM
    where = pose.to_local(line.point_mm + t[:, None] * line.direction)
    depth = (where[:, 1] - tube.slope * where[:, 2] - tube.front_y_mm) / (tube.back_y_mm - tube.front_y_mm)
    return np.asarray(t[(depth > ISTHMUS_DEPTH[0]) & (depth < ISTHMUS_DEPTH[1])], dtype=np.float64)


def square_to(direction: Vector, pose: Pose) -> tuple[Vector, Vector]:
    """Unit vectors square to ``direction``: across (to the left) and up."""
    up = unit(pose.superior - (pose.superior @ direction) * direction)
    across = np.cross(up, direction)
    return (across if across @ pose.left > 0 else -across), up


def _neck(
    surface: Surface, pose: Pose, tube: Tube, line: Line, half_mm: tuple[float, float]
) -> tuple[Line, tuple[float, float], float, tuple[float, float]] | None:
    """The axis through the neck's cross-sections, their window, the smallest area, and the neck's extent."""
    s = _sections(surface, pose, line, _beside(pose, tube, line, REACH_MM), half_mm)
    if s.found.sum() < 3:
        return None
    smooth = np.convolve(np.pad(np.nan_to_num(s.area, nan=1e9), 1, mode="edge"), np.full(3, 1 / 3), mode="valid")
    least = int(np.where((np.abs(s.t) <= STRAY_MM) & s.found, smooth, np.inf).argmin())
    if not s.found[least]:
        return None
    weight = _weights(s, least, float(smooth[least]))
    neck = weight > 0.05
    across, up = square_to(line.direction, pose)
    (u0, du), (v0, dv) = (_regress(s.t[neck] - s.t[least], c[neck], weight[neck]) for c in (s.u, s.v))
    point = line.at(float(s.t[least])) + u0 * across + v0 * up
    direction = unit(line.direction + DAMPING * (du * across + dv * up))
    ends = s.t[neck] - s.t[least]
    return Line(point, direction), _window(s, least), float(s.area[least]), (float(ends.min()), float(ends.max()))


def _weights(s: Sections, least: int, smallest: float) -> Vector:
    """How much each section counts: fully while about as small as the smallest, then falling steeply."""
    growth = np.maximum(np.where(s.found, s.area, np.inf) / smallest - 1.0, 0.0)
    near = np.abs(s.t - s.t[least]) <= NECK_HALF_MM
    run, _ = components(s.found)
    return np.where(near & (run == run[least]), 1.0 / (1.0 + (growth / NECK_GROWTH) ** 6), 0.0)


def _sections(surface: Surface, pose: Pose, line: Line, t: Vector, half_mm: tuple[float, float]) -> Sections:
    """Cross-sections of the bone around the line at each ``t``, within a window; NaN where the line is outside bone."""
    across, up = square_to(line.direction, pose)
    nu, nv = (int(np.ceil(h / SECTION_STEP_MM)) for h in half_mm)
    vv, uu = np.meshgrid(
        np.arange(-nv, nv + 1) * SECTION_STEP_MM, np.arange(-nu, nu + 1) * SECTION_STEP_MM, indexing="ij"
    )
    offset = uu[..., None] * across + vv[..., None] * up
    values = surface.at(line.point_mm + t[:, None, None, None] * line.direction + offset)
    share = np.clip(0.5 - values / SECTION_STEP_MM, 0.0, 1.0)
    out = np.full((5, len(t)), np.nan)
    for n in range(len(t)):
        region, _ = components(share[n] > 0.0)
        if region[nv, nu] == 0:
            continue
        part = np.where(region == region[nv, nu], share[n], 0.0)
        total = float(part.sum())
        u, v = float((part * uu).sum()) / total, float((part * vv).sum()) / total
        half_u = 2.0 * np.sqrt(float((part * (uu - u) ** 2).sum()) / total)
        half_v = 2.0 * np.sqrt(float((part * (vv - v) ** 2).sum()) / total)
        out[:, n] = total * SECTION_STEP_MM**2, u, v, half_u, half_v
    return Sections(t, *out)


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
