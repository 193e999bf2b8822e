"""How far everything is from the needle along its way in, and what a hand error would do: one wide chart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.patient import Anatomy
from trocar.measure import Measure
from trocar.planning.clearance import reported_name
from trocar.planning.maps import named_masks, signed_depth
from trocar.planning.trajectory import Trajectory
from trocar.reporting.chart import PENS, SOFT, plain_axes
from trocar.reporting.figures import padded
from trocar.reporting.palette import INK
from trocar.reporting.panel import PIXELS, blank, png
from trocar.reporting.words import number, plain
from trocar.volume import Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Step along the needle, and how much of it is shown outside the bone at least, mm.
STEP_MM = 0.5
OUTSIDE_MM = 25.0
#: Distances beyond this are not drawn, mm.
FAR_MM = 20.0
#: At most this many structures are drawn, those with the least to spare.
LINES = 5

_BONE_PEN = "#009E73"


@dataclass(frozen=True)
class Profile:
    """Free space from the needle's surface at each depth, mm.

    ``depth_mm`` is counted from the skin along the needle. ``minimum_mm`` is the clearance that the
    plan states for the whole needle, with its uncertainty and margin.
    """

    structure: str
    depth_mm: NDArray[np.float64]
    free_mm: NDArray[np.float64]
    minimum_mm: float
    uncertainty_mm: float
    margin_mm: float


def profiles(anatomy: Anatomy, trajectory: Trajectory) -> tuple[Profile, ...]:
    """One profile for each structure with a mask, those with the least to spare first."""
    ordered = sorted(trajectory.clearances, key=lambda c: (c.value_mm - c.margin_mm, c.structure))
    masks: dict[str, list[Volume]] = {}
    for name, mask in named_masks(anatomy, trajectory.level):
        masks.setdefault(reported_name(name), []).append(mask)
    depth = depths_mm(trajectory)
    points = trajectory.axis.at(0.0) + depth[:, None] * trajectory.direction
    found: list[Profile] = []
    for c in ordered:
        if c.structure in masks and len(found) < LINES:
            distance = np.min([to_boxes_mm(m, points) for m in masks[c.structure]], axis=0)
            free = distance - trajectory.instrument.radius_mm
            found.append(Profile(c.structure, depth, free, c.value_mm, c.uncertainty_mm, c.margin_mm))
    return tuple(found)


def depths_mm(trajectory: Trajectory) -> NDArray[np.float64]:
    """Depths from the skin to the target at which everything is measured."""
    steps = int(np.ceil(trajectory.length_mm / STEP_MM)) + 1
    return np.linspace(0.0, trajectory.length_mm, steps)


def to_boxes_mm(mask: Volume, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each point to the nearest voxel of a mask, the voxel taken as a box; infinite beyond reach.

    Exact, as the planner's own clearances are; voxels farther than ``FAR_MM`` from all points are left out.
    """
    voxels = _near_voxels(mask, points_mm)
    if not len(voxels):
        return np.full(len(points_mm), np.inf)
    spacing = np.asarray(mask.spacing_mm)
    at = mask.index_kji(points_mm) * spacing
    gaps = np.abs(at[:, None, :] - (voxels * spacing)[None]) - spacing / 2.0
    return np.sqrt(np.sum(np.square(np.maximum(gaps, 0.0)), axis=-1).min(axis=1))


def _near_voxels(mask: Volume, points_mm: NDArray[np.float64]) -> NDArray[np.intp]:
    """Indices ``(n, 3)`` of the mask's surface voxels within ``FAR_MM`` of the points' bounding box."""
    from scipy.ndimage import binary_erosion

    index = mask.index_kji(points_mm)
    reach = (FAR_MM + 5.0) / np.asarray(mask.spacing_mm)
    low = np.maximum(np.floor(index.min(axis=0) - reach), 0).astype(int)
    high = np.minimum(np.ceil(index.max(axis=0) + reach) + 1, mask.shape).astype(int)
    if np.any(high <= low):
        return np.empty((0, 3), dtype=np.intp)
    near = mask.array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    return np.argwhere(near & ~binary_erosion(near)) + low


def bone_around_mm(anatomy: Anatomy, trajectory: Trajectory) -> NDArray[np.float64]:
    """Bone around the needle's surface at each of :func:`depths_mm`, in its thinnest direction (below 0: none)."""
    mask = padded(anatomy.vertebra(trajectory.level).mask)
    depth = Volume(signed_depth(mask.array > 0, mask.spacing_mm), mask.affine, unit="mm")
    points = trajectory.axis.at(0.0) + depths_mm(trajectory)[:, None] * trajectory.direction
    return depth.sample(points, outside=-1.0) - trajectory.instrument.radius_mm


# --- the chart ----------------------------------------------------------------------------------


def profile_picture(anatomy: Anatomy, trajectory: Trajectory) -> bytes:
    """Free space against depth, and beside it the chance of each breach."""
    figure = blank(2 * PIXELS + 16, int(0.62 * PIXELS), "white")
    breaches = tuple(_breaches(trajectory))
    chart = figure.add_axes((0.035, 0.14, 0.50 if breaches else 0.76, 0.75))
    _draw_profiles(chart, anatomy, trajectory)
    if breaches:
        bars = figure.add_axes((0.835, 0.14, 0.155, 0.75))
        _draw_breaches(bars, breaches)
    return png(figure)


def _draw_profiles(axes: Axes, anatomy: Anatomy, trajectory: Trajectory) -> None:
    depth, bone = depths_mm(trajectory), bone_around_mm(anatomy, trajectory)
    shown = profiles(anatomy, trajectory)
    axes.fill_between(depth, 0.0, np.maximum(bone, 0.0), color=_BONE_PEN, alpha=0.13, lw=0)
    axes.plot(depth, np.where(bone > 0, bone, np.nan), color=_BONE_PEN, lw=1.1, label="bone around the needle")
    for profile, (colour, dashes) in zip(shown, PENS, strict=False):
        _draw_profile(axes, profile, colour, dashes)
    for at, name in ((trajectory.skin_to_bone_mm, "bone"), (trajectory.length_mm, "target")):
        axes.axvline(at, color=INK, lw=0.8)
        axes.text(at, FAR_MM * 1.015, name, ha="center", va="bottom", fontsize=7.5, color=INK)
    axes.set(xlim=(_first_shown_mm(trajectory, shown), trajectory.length_mm + 0.8), ylim=(0.0, FAR_MM))
    axes.set_xlabel("depth from the skin along the needle, mm", fontsize=7.5, color=SOFT)
    axes.set_title("Free space around the needle's surface, mm", loc="left", fontsize=8.5, color=INK, pad=14)
    axes.legend(
        fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.02), handlelength=2.6, labelspacing=0.8
    )
    plain_axes(axes)


def _first_shown_mm(trajectory: Trajectory, shown: tuple[Profile, ...]) -> float:
    """Where the chart begins: before the bone, and before every nearest point on it."""
    nearest = [float(p.depth_mm[np.argmin(p.free_mm)]) for p in shown if p.free_mm.min() < FAR_MM]
    return max(0.0, min([trajectory.skin_to_bone_mm - OUTSIDE_MM, *(n - 4.0 for n in nearest)]))


def _draw_profile(axes: Axes, profile: Profile, colour: str, dashes: tuple[float, ...]) -> None:
    style: Any = (0, dashes) if dashes else "solid"
    low, high = profile.free_mm - profile.uncertainty_mm, profile.free_mm + profile.uncertainty_mm
    label = f"{plain(profile.structure)}: {number(profile.minimum_mm)} ± {number(profile.uncertainty_mm)} mm"
    axes.fill_between(profile.depth_mm, low, high, color=colour, alpha=0.16, lw=0)
    axes.plot(profile.depth_mm, profile.free_mm, color=colour, lw=1.3, ls=style, label=label)
    nearest = int(np.argmin(profile.free_mm))
    if profile.free_mm[nearest] < FAR_MM:
        x, y = profile.depth_mm[nearest], profile.free_mm[nearest]
        axes.plot([x], [y], "o", ms=4, color=colour)
        if profile.margin_mm > 0.0:
            axes.plot([x - 4.0, x + 4.0], [profile.margin_mm] * 2, color=colour, lw=1.0, ls=(0, (2.5, 1.5)))
            axes.plot([x, x], [profile.margin_mm, y], color=colour, lw=0.7)


def _breaches(trajectory: Trajectory) -> Iterator[tuple[str, Measure]]:
    if trajectory.breach_probability is not None:
        yield "any breach", trajectory.breach_probability
        for m in trajectory.measures:
            if m.name.startswith("breach_probability_"):
                yield plain(m.name.removeprefix("breach_probability_")), m


def _draw_breaches(axes: Axes, breaches: tuple[tuple[str, Measure], ...]) -> None:
    values = [100.0 * m.value for _, m in breaches]
    rows = [float(n) for n in range(len(breaches))]
    axes.barh(rows, values, color=[INK] + ["#8494A3"] * (len(values) - 1), height=0.62)
    top = max(2.0, 1.3 * max(100.0 * (m.high or m.value) for _, m in breaches))
    for row, (_, m) in zip(rows, breaches, strict=True):
        end = 100.0 * m.value
        if m.low is not None and m.high is not None:
            axes.plot([100.0 * m.low, 100.0 * m.high], [row, row], color="#E69F00", lw=1.6)
            end = 100.0 * m.high
        axes.text(end + 0.02 * top, row, f"{number(100.0 * m.value, '%')} %", va="center", fontsize=7, color=INK)
    axes.set(xlim=(0.0, top), yticks=rows, ylim=(len(breaches) - 0.5, -0.5))
    axes.set_yticklabels([name for name, _ in breaches], fontsize=7.5)
    axes.set_title("Chance of a breach by hand error, %", loc="right", fontsize=8.5, color=INK, pad=14)
    plain_axes(axes)
    axes.grid(visible=False)
