"""Fracture shape and grade, and what the inside and the walls of the body look like.

Hints for a reader, not a diagnosis: a lesion is told from texture by its size and its contrast to
the rest of the same body, a broken wall by the missing bright line of its cortex.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.ndimage import label as components

from trocar.anatomy.frame import Footprint
from trocar.anatomy.levels import Level
from trocar.anatomy.surface import Surface
from trocar.anatomy.tube import Tube
from trocar.anatomy.vertebra import Heights, Part
from trocar.geometry import Pose
from trocar.measure import Finding, Measure, Severity
from trocar.volume import Volume

#: Lower bounds of Genant's grades 1, 2 and 3 as percent of height lost: [20, 25) mild, [25, 40] moderate, above severe.
#: Genant et al., J Bone Miner Res 8:1137 (1993).
GENANT_PERCENT = (20.0, 25.0, 40.0)
#: The trabecular core keeps this far from the body's surface, mm, and this many of the largest voxel's sides:
#: cortex and its partial volume.
CORE_DEPTH_MM, CORE_DEPTH_VOXELS = 4.0, 1.25
#: CT numbers are averaged over this distance (1 SD) before a lesion is looked for, mm: texture is finer.
LESION_BLUR_MM = 1.5
#: A lesion is at least this large, ml: the basivertebral vein's hollow is smaller.
LESION_ML = 0.5
#: A lytic lesion lies at least this far below the core's median, a blastic one this far above, HU.
LYTIC_HU, BLASTIC_HU = -60.0, 150.0
#: The cortex of a wall is sought this far inside and outside of the mask's surface, mm.
WALL_INSIDE_MM, WALL_OUTSIDE_MM = 2.5, 2.0
#: A wall lacks its cortex where its brightest point rises above the bone before it by less than this share of the
#: rise that is usual in front and beside. Healthy posterior walls rise by a third of it (measured on a chest CT).
CORTEX_SHARE = 0.1
#: A hole in the posterior wall at least this large is told, mm2: the basivertebral vein's exit is 10 to 30.
BROKEN_MM2 = 50.0
#: Where the front and side walls rise by less than this, HU, the scan is too coarse to judge a wall.
LEAST_RISE_HU = 120.0
#: Spacing of the points at which a wall is looked at, mm.
WALL_STEP_MM = 1.0


class Deformity(Enum):
    """Which height is most reduced."""

    NONE = "no deformity"
    WEDGE = "wedge"
    BICONCAVE = "biconcave"
    CRUSH = "crush"


@dataclass(frozen=True)
class Fracture:
    """The largest loss of height, what kind it is, and Genant's grade (0 to 3)."""

    deformity: Deformity
    grade: int
    loss_percent: float
    method: str

    def measures(self) -> tuple[Measure, ...]:
        """The loss and the grade as measures."""
        return (
            Measure("height_loss", self.loss_percent, "%", method=self.method),
            Measure(
                "genant_grade", float(self.grade), "1", method=f"{self.deformity.value.capitalize()}. {self.method}"
            ),
        )

    def findings(self, level: Level) -> tuple[Finding, ...]:
        """A caution for a graded deformity."""
        if self.grade == 0:
            return ()
        text = f"{level} has a {self.deformity.value} deformity, Genant grade {self.grade}."
        return (Finding(Severity.CAUTION, text, f"{self.loss_percent:.0f} % of height lost"),)


def genant_grade(loss_percent: float) -> int:
    """0 below 20 % of height lost, 1 from 20 to below 25 %, 2 from 25 to 40 %, 3 above 40 %."""
    mild, moderate, severe = GENANT_PERCENT
    if loss_percent < mild:
        return 0
    if loss_percent < moderate:
        return 1
    return 2 if loss_percent <= severe else 3


def fracture(heights: Heights, reference_mm: float | None) -> Fracture | None:
    """The deformity of one body; ``reference_mm`` is the posterior height its neighbours lead one to expect.

    Wedge and biconcave losses are against the body's own posterior height, crush against
    ``reference_mm``. None where a height is missing.
    """
    front, middle, back = heights.anterior.value, heights.middle.value, heights.posterior.value
    if not all(np.isfinite(v) and v > 0 for v in (front, middle, back)):
        return None
    losses = {Deformity.WEDGE: 100.0 * (1.0 - front / back), Deformity.BICONCAVE: 100.0 * (1.0 - middle / back)}
    own = "anterior and middle height against the body's own posterior height"
    method = f"Largest loss among {own}; no whole neighbour to judge a crush by."
    if reference_mm is not None:
        losses[Deformity.CRUSH] = 100.0 * (1.0 - back / reference_mm)
        method = f"Largest loss among {own}, and posterior height against the mean of the neighbours'."
    kind = max(losses, key=lambda k: losses[k])
    grade = genant_grade(losses[kind])
    return Fracture(kind if grade else Deformity.NONE, grade, max(losses[kind], 0.0), method)


@dataclass(frozen=True, eq=False)
class Inside:
    """What the core of the body looks like: its density and the lesions in it, ml."""

    mean_hu: float
    spread_hu: float
    lytic_ml: float
    blastic_ml: float
    depth_mm: float

    def measures(self) -> tuple[Measure, ...]:
        """Density and lesion volumes as measures."""
        where = f"deeper than {self.depth_mm:.1f} mm in the body"
        density = f"Mean CT number of the bone {where}, lesions left out; the bounds are one standard deviation."
        spot = f"Largest region {where} whose smoothed CT number"
        lytic = f"{spot} lies at least {-LYTIC_HU:g} HU below the core's median."
        blastic = f"{spot} lies at least {BLASTIC_HU:g} HU above the core's median."
        low, high = self.mean_hu - self.spread_hu, self.mean_hu + self.spread_hu
        return (
            Measure("trabecular_hu", self.mean_hu, "[hnsf'U]", low, high, "1 SD", density),
            Measure("lytic_volume", self.lytic_ml, "mL", method=lytic),
            Measure("blastic_volume", self.blastic_ml, "mL", method=blastic),
        )

    def findings(self, level: Level) -> tuple[Finding, ...]:
        """A caution for each kind of lesion."""
        told = ((self.lytic_ml, "darker", "lysis"), (self.blastic_ml, "brighter", "sclerosis, cement or metal"))
        return tuple(
            Finding(Severity.CAUTION, f"{ml:.1f} ml of the body of {level} is much {word} than the rest.", f"{why}?")
            for ml, word, why in told
            if ml > 0.0
        )


def look_inside(hu: NDArray[np.float32], parts: NDArray[np.uint8], grid: Volume) -> Inside | None:
    """Density of the body's core and lesions in it; ``hu`` and ``parts`` lie on ``grid``. None without a core."""
    body = np.pad(parts == Part.BODY, 1)
    depth = distance_transform_edt(body, sampling=grid.spacing_mm)[1:-1, 1:-1, 1:-1]
    least_mm = max(CORE_DEPTH_MM, CORE_DEPTH_VOXELS * max(grid.spacing_mm))
    core = depth > least_mm
    if int(core.sum()) < 10:
        return None
    smooth = _smoothed_within(hu, parts == Part.BODY, grid.spacing_mm)
    middle = float(np.median(hu[core]))
    least = LESION_ML / grid.voxel_ml
    lytic = _largest(core & (smooth < middle + LYTIC_HU), least)
    blastic = _largest(core & (smooth > middle + BLASTIC_HU), least)
    plain = core & ~lytic & ~blastic
    values = hu[plain if plain.any() else core]
    dark, bright = (float(m.sum()) * grid.voxel_ml for m in (lytic, blastic))
    return Inside(float(values.mean()), float(values.std()), dark, bright, least_mm)


def _smoothed_within(
    hu: NDArray[np.float32], region: NDArray[np.bool_], spacing_mm: tuple[float, ...]
) -> NDArray[np.float64]:
    """``hu`` averaged over its neighbourhood, counting only voxels of ``region``."""
    sigma = [LESION_BLUR_MM / s for s in spacing_mm]
    weight = gaussian_filter(region.astype(np.float64), sigma)
    return gaussian_filter(np.where(region, hu, 0.0).astype(np.float64), sigma) / np.maximum(weight, 1e-6)


def _largest(found: NDArray[np.bool_], least_voxels: float) -> NDArray[np.bool_]:
    """The largest piece of ``found``; nothing where it is smaller than ``least_voxels``."""
    region, count = components(found)
    sizes = np.bincount(region.ravel(), minlength=count + 1)[1:]
    if count == 0 or sizes.max() < least_voxels:
        return np.zeros(found.shape, dtype=bool)
    return np.isin(region, np.flatnonzero(sizes == sizes.max()) + 1)


@dataclass(frozen=True)
class Walls:
    """How much of the body's walls lacks a bright cortex, mm2 and percent."""

    posterior_hole_mm2: float
    posterior_percent: float
    side_percent: float

    def measures(self) -> tuple[Measure, ...]:
        """The defects as measures."""
        how = f"where the brightest point across the wall rises less than {100 * CORTEX_SHARE:g} % of the usual cortex"
        return (
            Measure(
                "posterior_wall_hole",
                self.posterior_hole_mm2,
                "mm2",
                method=f"Largest connected area of the posterior wall {how}.",
            ),
            Measure("posterior_wall_defect", self.posterior_percent, "%", method=f"Share of the posterior wall {how}."),
            Measure("side_wall_defect", self.side_percent, "%", method=f"Share of the front and side walls {how}."),
        )

    def findings(self, level: Level) -> tuple[Finding, ...]:
        """A caution where the posterior wall looks broken."""
        if self.posterior_hole_mm2 < BROKEN_MM2:
            return ()
        text = f"the posterior wall of {level} shows no cortex over {self.posterior_hole_mm2:.0f} mm²."
        return (Finding(Severity.CAUTION, text, "cement may pass into the canal"),)


def look_at_walls(
    ct: Volume, surface: Surface, pose: Pose, plan: Footprint, tube: Tube, heights_mm: tuple[float, float]
) -> Walls | None:
    """How much of the body's walls lacks its cortex, against the usual brightness of its front and side walls.

    None where those are hardly brighter than the core: the scan is too coarse to judge by.
    """
    z = _between(heights_mm)
    rise_front = _rise(ct, surface, pose, _front_and_sides(plan, z))
    x = np.arange(-np.floor(0.8 * tube.half_width_mm(-1)), np.floor(0.8 * tube.half_width_mm(1)) + 0.5, WALL_STEP_MM)
    zz, xx = np.meshgrid(z, x + tube.centre_x_mm, indexing="ij")
    start = np.stack([xx, np.full(xx.shape, tube.front_y_mm - 8.0) + tube.slope * zz, zz], axis=-1)
    rise_back = _rise(ct, surface, pose, (start, np.broadcast_to([0.0, 1.0, 0.0], start.shape)))
    known = np.isfinite(rise_front)
    usual = float(np.median(rise_front[known])) if known.any() else 0.0
    if usual < LEAST_RISE_HU or not np.isfinite(rise_back).any():
        return None
    missing = np.nan_to_num(rise_back, nan=0.0) < CORTEX_SHARE * usual
    region, count = components(missing)
    hole = float(np.bincount(region.ravel(), minlength=count + 1)[1:].max(initial=0)) * WALL_STEP_MM**2
    side = float(np.mean(rise_front[known] < CORTEX_SHARE * usual))
    return Walls(hole, 100.0 * float(missing.mean()), 100.0 * side)


def _between(heights_mm: tuple[float, float]) -> NDArray[np.float64]:
    """Heights between the endplates, away from their rims, symmetric about the middle, mm."""
    n = int(0.35 * (heights_mm[1] - heights_mm[0]) / WALL_STEP_MM)
    return np.mean(heights_mm) + np.arange(-n, n + 1) * WALL_STEP_MM


def _front_and_sides(plan: Footprint, z: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Starts half-way out and directions ``[z, ray, 3]`` (local) towards the walls in front and beside."""
    angle = np.radians(np.arange(180.0 + 5.0, 360.0, 10.0))
    direction = np.stack([np.cos(angle), np.sin(angle), np.zeros(len(angle))], axis=-1)
    middle = np.array([plan.centre_x_mm, plan.centre_y_mm, 0.0])
    half = np.array([plan.half_width_mm, plan.half_depth_mm, 0.0])
    start = middle + 0.5 * direction * half + z[:, None, None] * np.array([0.0, 0.0, 1.0])
    return start, np.broadcast_to(direction, start.shape)


def _rise(
    ct: Volume, surface: Surface, pose: Pose, rays: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """By how many HU the brightest point near the wall exceeds the bone before it, for each local ray; NaN without."""
    starts, directions = rays
    t = np.arange(0.0, 24.0, 0.5)
    points = pose.to_world(starts[..., None, :] + t[:, None] * directions[..., None, :])
    peak, before = across_wall(ct, surface, points, t)
    return peak - before


def across_wall(
    ct: Volume, surface: Surface, points: NDArray[np.float64], t: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The brightest point near the wall and the mean of the bone before it, HU, for each row of points.

    ``points`` are ``[..., t, 3]`` LPS mm, at distances ``t`` (mm) from where each row starts inside the bone. NaN where
    a row starts outside, does not come to the wall, or comes to it too soon.
    """
    outside = surface.at(points) >= 0.0
    wall = np.where(outside.any(axis=-1) & ~outside[..., 0], t[outside.argmax(axis=-1)], np.nan)
    hu = ct.sample(points, outside=-1000.0)
    with np.errstate(invalid="ignore"):
        near = (t >= wall[..., None] - WALL_INSIDE_MM) & (t <= wall[..., None] + WALL_OUTSIDE_MM)
    inside = (t < np.nan_to_num(wall, nan=0.0)[..., None] - WALL_INSIDE_MM) & ~outside
    peak = np.where(near, hu, -np.inf).max(axis=-1)
    count = inside.sum(axis=-1)
    before = np.where(inside, hu, 0.0).sum(axis=-1) / np.maximum(count, 1)
    known = np.isfinite(wall) & (count > 0)
    return np.where(known, peak, np.nan), np.where(known, before, np.nan)
