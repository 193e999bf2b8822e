"""Points a finger or a needle tip can find: process tips, and the notches where needles enter bone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.frame import exit_mm
from trocar.anatomy.surface import Surface
from trocar.anatomy.tube import Tube
from trocar.anatomy.vertebra import Part
from trocar.geometry import Pose, Side, Vector
from trocar.volume import Volume

if TYPE_CHECKING:
    from trocar.anatomy.reading import Bone, Layout

Points = NDArray[np.float64]

#: A tip is the mean of the bone this close to the farthest voxel, mm.
TIP_MM = 2.0
#: The spinous process lies within this of the midplane, mm.
SPINOUS_HALF_MM = 10.0
#: The root of a transverse process starts this far lateral of the pedicle's outer wall, mm.
ROOT_MM = 2.0
#: The superior articular process stands clear of the transverse process this far above it, mm.
ABOVE_MM = 1.0
#: Rib bone farther than this from the transverse process is not the rib's neck, mm.
RIB_NEAR_MM = 15.0


def landmarks(bone: Bone, layout: Layout, parts: NDArray[np.uint8]) -> dict[str, Vector]:
    """LPS points by name; a name is absent where its bone is."""
    pose, plan, tube = layout.pose, layout.plan, layout.tube
    arch = pose.to_local(bone.mask.world_mm(np.argwhere(parts == Part.ARCH)))
    found = {
        "posterior_wall": np.array([tube.centre_x_mm, tube.front_y_mm, 0.0]),
        "anterior_wall": np.array([plan.centre_x_mm, plan.centre_y_mm - plan.half_depth_mm, 0.0]),
    }
    spinous = arch[np.abs(arch[:, 0] - tube.centre_x_mm) < SPINOUS_HALF_MM]
    if len(spinous):
        found["spinous_tip"] = _tip(spinous, np.array([0.0, 1.0, 0.0]))
    for side in layout.isthmuses:
        found |= _of_side(bone, layout, arch, side)
    return {name: pose.to_world(point) for name, point in found.items()}


def _tip(points: NDArray[np.float64], direction: Vector) -> Vector:
    reach = points @ direction
    return points[reach >= reach.max() - TIP_MM].mean(axis=0)


def _of_side(bone: Bone, layout: Layout, arch: Points, side: Side) -> dict[str, Vector]:
    """Transverse tip and the entry notch of one side, in local mm."""
    isthmus, pose, tube = layout.isthmuses[side], layout.pose, layout.tube
    centre = pose.to_local(isthmus.axis.point_mm)
    lateral = side.sign * arch[:, 0]
    outer = side.sign * centre[0] + isthmus.width_mm / 2.0
    process = arch[(lateral > outer + ROOT_MM) & (arch[:, 1] > tube.front_y_mm)]
    if len(process) == 0:
        return {}
    out = {f"transverse_tip_{side.value}": _tip(process, np.array([float(side.sign), 0.0, 0.0]))}
    if bone.level.region == "lumbar":
        name = f"articular_transverse_junction_{side.value}"
        out[name] = _junction(arch, process, bone.surface, pose, side, centre, tube)
    elif bone.level.region == "thoracic":
        out[f"rib_transverse_notch_{side.value}"] = _notch(process, pose, side, bone.ribs.get(side))
    return out


def _junction(
    arch: Points, process: Points, surface: Surface, pose: Pose, side: Side, centre: Vector, tube: Tube
) -> Vector:
    """Where the lateral edge of the superior articular process meets the middle of the transverse process, behind."""
    lateral = side.sign * process[:, 0]
    outer = process[lateral >= np.median(lateral)]
    above = arch[
        (side.sign * arch[:, 0] > 0)
        & (arch[:, 2] > np.quantile(outer[:, 2], 0.95) + ABOVE_MM)
        & (arch[:, 1] > tube.front_y_mm)
    ]
    edge = np.quantile(side.sign * above[:, 0], 0.95) if len(above) else side.sign * centre[0]
    return _behind(surface, pose, side.sign * float(edge), float(np.median(process[:, 2])), float(centre[1]))


def _behind(surface: Surface, pose: Pose, x: float, z: float, y_inside: float) -> Vector:
    """The bone's rearmost surface at (x, z): a gap between pedicle and process does not end it."""
    y = np.arange(y_inside - 5.0, y_inside + 40.0, 0.5)
    points = np.column_stack([np.full(len(y), x), y, np.full(len(y), z)])
    inside = np.flatnonzero(surface.at(pose.to_world(points)) < 0.0)
    start = points[inside[-1]] if len(inside) else np.array([x, y_inside, z])
    depth = float(exit_mm(surface, pose.to_world(start)[None], pose.posterior)[0]) if len(inside) else 0.0
    return start + np.array([0.0, depth, 0.0])


def _notch(process: Points, pose: Pose, side: Side, rib: Volume | None) -> Vector:
    """The gap between rib and transverse process, or the process's upper outer edge without a rib label."""
    if rib is not None:
        neck = pose.to_local(rib.points_mm())
        middle = process.mean(axis=0)
        neck = neck[np.linalg.norm(neck - middle, axis=1) < RIB_NEAR_MM]
        if len(neck):
            gap = np.linalg.norm(process[:, None, :] - neck[None, :, :], axis=2)
            weight = np.maximum(gap.min() + 1.0 - gap, 0.0)
            pairs = np.argwhere(weight > 0)
            w = weight[tuple(pairs.T)]
            return np.average((process[pairs[:, 0]] + neck[pairs[:, 1]]) / 2.0, axis=0, weights=w)
    return _tip(process, np.array([side.sign, 0.0, 1.0]) / np.sqrt(2.0))
