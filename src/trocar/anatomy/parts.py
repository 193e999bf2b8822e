"""The division of one vertebra's voxels into body, pedicles, arch and canal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from trocar.anatomy.frame import Footprint
from trocar.anatomy.pedicle import Isthmus
from trocar.anatomy.surface import voxels_in
from trocar.anatomy.tube import RAYS, Tube
from trocar.anatomy.vertebra import Part
from trocar.geometry import Pose, Side, Vector
from trocar.volume import Volume

Points = NDArray[np.float64]

#: The canal of one vertebra is drawn this far beyond its endplates, mm.
BEYOND_ENDPLATE_MM = 2.0
#: Behind the isthmus a pedicle reaches at least this far, mm.
PEDICLE_BACK_MM = 3.0
#: A pedicle whose isthmus lies in front of the canal begins this far before it, mm.
PEDICLE_FRONT_MM = 1.5
#: Bone this much farther to the side than the body is wide belongs to a process, mm.
PROCESS_BEYOND_MM = 4.0
#: Processes spring from behind this share of the body's half depth.
FLANK_SHARE = 0.25


def divide(
    mask: Volume,
    pose: Pose,
    plan: Footprint,
    tube: Tube,
    grid_low_z_mm: float,
    step_mm: float,
    isthmuses: dict[Side, Isthmus],
    heights_mm: tuple[float, float],
    labelled_body: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """:class:`Part` numbers ``[k, j, i]`` on the mask's grid.

    Canal: not bone, within the tube between the endplates. Body: bone in front of the canal's front
    wall, or in the canal's front half (a fragment pushed back). Pedicle: bone beside the canal from
    there (or, as at L5, from just before the isthmus) to just behind it, around the pedicle's axis.
    Arch: the rest. ``labelled_body`` (on the mask's grid) takes the place of the derived body where
    a label file has it.
    """
    local = voxels_in(pose, mask)
    bone = mask.array.ravel()
    out = np.where(bone, int(Part.ARCH), int(Part.NONE)).astype(np.uint8)
    x = local[:, 0] - tube.centre_x_mm
    y = local[:, 1] - tube.slope * local[:, 2]
    body = _in_body(local, x, y, plan, tube) if labelled_body is None else labelled_body.ravel()
    out[bone & body] = int(Part.BODY)
    for side, isthmus in isthmuses.items():
        out[bone & _in_pedicle(local, x, y, pose, tube, side, isthmus)] = int(_PART[side])
    inside = in_tube(local, tube, grid_low_z_mm, step_mm)
    between = (local[:, 2] > heights_mm[0] - BEYOND_ENDPLATE_MM) & (local[:, 2] < heights_mm[1] + BEYOND_ENDPLATE_MM)
    out[~bone & inside & between] = int(Part.CANAL)
    return out.reshape(mask.shape)


_PART = {Side.LEFT: Part.PEDICLE_LEFT, Side.RIGHT: Part.PEDICLE_RIGHT}


def _in_body(local: Points, x: Vector, y: Vector, plan: Footprint, tube: Tube) -> NDArray[np.bool_]:
    within = np.where(x > 0, x < 0.9 * tube.half_width_mm(1), -x < 0.9 * tube.half_width_mm(-1))
    pushed_back = within & (y < tube.centre_y_mm)
    flank = local[:, 1] > plan.centre_y_mm + FLANK_SHARE * plan.half_depth_mm
    process = (np.abs(x) > plan.half_width_mm + PROCESS_BEYOND_MM) & flank
    return ((y <= tube.front_y_mm) | pushed_back) & ~process


def _in_pedicle(
    local: Points, x: Vector, y: Vector, pose: Pose, tube: Tube, side: Side, isthmus: Isthmus
) -> NDArray[np.bool_]:
    centre = pose.to_local(isthmus.axis.point_mm)
    direction = pose.axes.T @ isthmus.axis.direction
    along = (local - centre) @ direction
    away = local - centre - along[:, None] * direction
    wide = away[:, 0] ** 2 + away[:, 1] ** 2
    tall = np.abs(away[:, 2])
    behind = -max(PEDICLE_BACK_MM, -isthmus.neck_mm[0])
    ellipse = wide / (0.75 * isthmus.width_mm) ** 2 + (tall / (0.75 * isthmus.height_mm)) ** 2 <= 1.0
    in_front = (y > tube.front_y_mm) | (along < PEDICLE_FRONT_MM)
    beside = side.sign * x > 0.8 * tube.half_width_mm(side.sign)
    return beside & in_front & (along > behind) & ellipse


def in_tube(local: Points, tube: Tube, low_z_mm: float, step_mm: float, margin_mm: float = 0.0) -> NDArray[np.bool_]:
    """Whether points ``(n, 3)`` of the vertebra's frame lie within the canal's tube, or up to a margin outside."""
    dx = local[:, 0] - tube.centre_x_mm
    dy = local[:, 1] - tube.centre_y_mm - tube.slope * local[:, 2]
    radius = np.hypot(dx, dy)
    near = radius < 25.0
    out = np.zeros(len(local), dtype=bool)
    ray = (np.arctan2(dy[near], dx[near]) % (2.0 * np.pi)) * RAYS / (2.0 * np.pi) - 0.5
    k = np.clip((local[near, 2] - low_z_mm) / step_mm, 0, len(tube.wall_mm) - 1)
    wrapped = np.concatenate([tube.wall_mm[:, -1:], tube.wall_mm, tube.wall_mm[:, :1]], axis=1)
    wall = map_coordinates(wrapped, np.stack([k, ray + 1.0]), output=np.float64, order=1, mode="nearest")
    out[near] = radius[near] <= wall + margin_mm
    return out
