"""The spinal canal along the whole spine, and the foramina through which the nerve roots leave it.

No label file of the common schemes has them, so they are derived from the bone:

*Canal.* Behind each body the canal is the tube found by rays (:mod:`trocar.anatomy.tube`). Between
two vertebrae the wall is interpolated from the lower end of the upper tube to the upper end of the
lower one; at the ends of the spine the tube goes on by :data:`END_MM`. Added to it are every hole
that an axial slice of a vertebra encloses around the canal's axis, and the spinal cord where it is
labelled. Bone is left out. It errs towards too large.

*Root foramen.* Below the pedicle of the named level: from the pedicle's lower edge to the upper
edge of the next pedicle (or :data:`FORAMEN_MM` where there is none), from the canal's side wall to
the outer wall of the pedicles, from the back of the body to the back of the canal, and not bone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes
from scipy.ndimage import label as components

from trocar.anatomy.levels import Level
from trocar.anatomy.parts import in_tube
from trocar.anatomy.pedicle import Isthmus
from trocar.anatomy.surface import voxels_in
from trocar.anatomy.tube import Tube
from trocar.geometry import Pose, Side
from trocar.volume import Volume

#: How far the canal is continued above the first and below the last vertebra, mm: half a vertebra.
END_MM = 12.0
#: A foramen whose lower pedicle is not in the scan reaches this far below the upper one, mm.
FORAMEN_MM = 14.0
#: Farthest from its axis that a point of the canal may lie, mm.
CANAL_HALF_MM = 22.0
#: A piece of a foramen smaller than this share of its largest piece is dropped.
PIECE_SHARE = 0.25
#: Farthest from the line between two pedicles that a point of their foramen may lie, mm.
FORAMEN_HALF_MM = 22.0
#: A foramen begins this far in front of the canal's front wall, mm: it opens forwards beside the disc.
FORAMEN_AHEAD_MM = 2.0


@dataclass(frozen=True, eq=False)
class Station:
    """One vertebra's share in the canal: its frame, its tube and where its body ends along it."""

    level: Level
    pose: Pose
    tube: Tube
    heights_mm: tuple[float, float]
    low_z_mm: float
    step_mm: float
    isthmuses: dict[Side, Isthmus]
    mask: Volume

    def axis_mm(self, z_mm: float) -> NDArray[np.float64]:
        """The canal's axis at a height of this vertebra, LPS mm."""
        t = self.tube
        return self.pose.to_world(np.array([t.centre_x_mm, t.centre_y_mm + t.slope * z_mm, z_mm]))


def spinal_canal(stations: list[Station], ct: Volume, bone: Volume, cord: Volume | None) -> Volume | None:
    """The canal through ``stations`` (head to foot) as a mask on a crop of the CT's grid.

    ``bone`` is the union of all vertebrae on the CT's grid or a crop of it; ``cord`` is the labelled
    spinal cord. None without a station.
    """
    if not stations:
        return None
    ends = [s.axis_mm(z) for s in stations for z in (s.heights_mm[0] - END_MM, s.heights_mm[1] + END_MM)]
    box = ct.crop_around(np.array(ends), CANAL_HALF_MM)
    if cord is not None:
        box = ct.crop_around(
            np.concatenate([box.world_mm(np.array([(0, 0, 0), np.array(box.shape) - 1])), cord.points_mm()]), 0.0
        )
    inside = np.zeros(box.shape, dtype=bool)
    for n, station in enumerate(stations):
        above = stations[n - 1] if n > 0 else None
        below = stations[n + 1] if n + 1 < len(stations) else None
        _fill(inside, box, station, above, below)
    core = inside.copy()
    for station in stations:
        _add_rings(inside, core, box, station.mask)
    inside &= ~bone.onto(replace(box, unit="mask")).array
    if cord is not None:
        inside |= cord.onto(replace(box, unit="mask")).array
    return Volume(inside, box.affine, ct.frame_of_reference, "mask")


def _window(box: Volume, points_mm: NDArray[np.float64], margin_mm: float) -> tuple[slice, slice, slice]:
    index = box.index_kji(points_mm)
    margin = margin_mm / np.asarray(box.spacing_mm)
    low = np.maximum(np.floor(index.min(axis=0) - margin).astype(int), 0)
    high = np.minimum(np.ceil(index.max(axis=0) + margin).astype(int) + 1, box.shape)
    k, j, i = (slice(a, max(a, b)) for a, b in zip(low, high, strict=True))
    return k, j, i


def _local_of(box: Volume, window: tuple[slice, slice, slice], pose: Pose) -> NDArray[np.float64]:
    return voxels_in(pose, box.crop([s.start for s in window], [s.stop for s in window]))


def _fill(inside: NDArray[np.bool_], box: Volume, own: Station, above: Station | None, below: Station | None) -> None:
    """Mark the tube beside one body, and beyond it to the next vertebra or the end, in place."""
    low, high = own.heights_mm
    reach_low = low - (_gap_mm(own, below) if below else END_MM)
    reach_high = high + (_gap_mm(above, own) if above else END_MM)
    window = _window(box, np.array([own.axis_mm(reach_low), own.axis_mm(reach_high)]), CANAL_HALF_MM)
    if any(s.stop <= s.start for s in window):
        return
    local = _local_of(box, window, own.pose)
    z = local[:, 2]
    held = local.copy()
    held[:, 2] = np.clip(z, low, high)
    held[:, 1] -= own.tube.slope * (z - held[:, 2])
    near = (z >= reach_low) & (z <= reach_high)
    found = np.zeros(len(local), dtype=bool)
    # half a voxel farther, so that a voxel is in where its near side is
    margin = 0.5 * max(box.spacing_mm[1:])
    found[near] = in_tube(held[near], own.tube, own.low_z_mm, own.step_mm, margin)
    shape = tuple(s.stop - s.start for s in window)
    inside[window] |= found.reshape(shape)


def _gap_mm(upper: Station, lower: Station) -> float:
    """Distance along the canal from the upper vertebra's body to the lower one's, at least 0."""
    end = upper.axis_mm(upper.heights_mm[0])
    start = lower.axis_mm(lower.heights_mm[1])
    return float(np.linalg.norm(end - start))


def _add_rings(inside: NDArray[np.bool_], core: NDArray[np.bool_], box: Volume, mask: Volume) -> None:
    """Add the holes that axial slices of one vertebra enclose around the canal, in place."""
    start = np.rint(box.index_kji(mask.world_mm((0, 0, 0)))).astype(int)
    for k in range(mask.shape[0]):
        at = k + start[0]
        if not 0 <= at < box.shape[0]:
            continue
        holes = binary_fill_holes(mask.array[k]) & ~mask.array[k]
        if not holes.any():
            continue
        region, _ = components(holes)
        j, i = np.nonzero(holes)
        jj, ii = j + start[1], i + start[2]
        good = (jj >= 0) & (jj < box.shape[1]) & (ii >= 0) & (ii < box.shape[2])
        j, i, jj, ii = j[good], i[good], jj[good], ii[good]
        numbers = region[j, i]
        touched = np.unique(numbers[core[at, jj, ii]])
        pick = np.isin(numbers, touched)
        inside[at, jj[pick], ii[pick]] = True


def foramina(stations: list[Station], ct: Volume, bone: Volume) -> dict[str, Volume]:
    """Root foramina on both sides, ``"foramen_L1_left"`` for the one below L1's left pedicle."""
    out = {}
    for n, upper in enumerate(stations):
        below = stations[n + 1] if n + 1 < len(stations) else None
        for side in Side:
            if side in upper.isthmuses:
                mask = _foramen(upper, below, side, ct, bone)
                if mask is not None:
                    out[f"foramen_{upper.level}_{side.value}"] = mask
    return out


def _foramen(upper: Station, lower: Station | None, side: Side, ct: Volume, bone: Volume) -> Volume | None:
    lower = lower if lower is not None and side in lower.isthmuses else None
    top = _pedicle_edge(upper, side, -1)
    if lower is not None:
        bottom = _pedicle_edge(lower, side, +1)
    else:
        bottom = top - FORAMEN_MM * upper.pose.superior
    box = ct.crop_around(np.array([top, bottom]), FORAMEN_HALF_MM)
    own = voxels_in(upper.pose, box)
    a, a_span, a_wall = _beside(upper, side, own)
    depth_from_top = upper.pose.to_local(top)[2] - own[:, 2]
    if lower is not None:
        theirs = voxels_in(lower.pose, box)
        b, b_span, b_wall = _beside(lower, side, theirs)
        height_over = theirs[:, 2] - lower.pose.to_local(bottom)[2]
        share = np.clip(depth_from_top / np.maximum(depth_from_top + height_over, 1e-6), 0.0, 1.0)
    else:
        b, b_span, b_wall = a, a_span, a_wall
        height_over = FORAMEN_MM - depth_from_top
        share = np.zeros(len(own))

    def mix(p: Any, q: Any) -> Any:
        return (1.0 - share) * p + share * q

    x, y = mix(a[:, 0], b[:, 0]), mix(a[:, 1], b[:, 1])
    inner, outer = mix(a_span[0], b_span[0]), mix(a_span[1], b_span[1])
    front, back = mix(a_wall[0], b_wall[0]), mix(a_wall[1], b_wall[1])
    inside = (depth_from_top >= 0) & (height_over >= 0)
    inside &= (x >= inner) & (x <= outer) & (y >= front) & (y <= back)
    found = inside.reshape(box.shape) & ~bone.onto(replace(box, unit="mask")).array
    found = _main_pieces(found)
    if not found.any():
        return None
    where = np.argwhere(found)
    mask = Volume(found, box.affine, ct.frame_of_reference, "mask")
    return mask.crop(where.min(axis=0), where.max(axis=0) + 1)


def _main_pieces(found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``found`` without pieces much smaller than the largest: clefts between bones are no foramen."""
    region, count = components(found, np.ones((3, 3, 3), dtype=bool))
    sizes = np.bincount(region.ravel(), minlength=count + 1)[1:]
    if count == 0:
        return found
    return np.isin(region, np.flatnonzero(sizes >= PIECE_SHARE * sizes.max()) + 1)


def _pedicle_edge(station: Station, side: Side, sign: int) -> NDArray[np.float64]:
    """The middle of the pedicle's lower (-1) or upper (+1) edge, LPS mm."""
    isthmus = station.isthmuses[side]
    return isthmus.axis.point_mm + sign * 0.5 * isthmus.height_mm * station.pose.superior


def _beside(
    station: Station, side: Side, local: NDArray[np.float64]
) -> tuple[NDArray[np.float64], tuple[float, float], tuple[float, float]]:
    """Points of its frame as (lateral, posterior along the canal), and the foramen's bounds along both, mm."""
    tube, isthmus = station.tube, station.isthmuses[side]
    lateral = side.sign * (local[:, 0] - tube.centre_x_mm)
    y = local[:, 1] - tube.slope * local[:, 2]
    centre = side.sign * (station.pose.to_local(isthmus.axis.point_mm)[0] - tube.centre_x_mm)
    span = (0.85 * tube.half_width_mm(side.sign), centre + 0.5 * isthmus.width_mm)
    wall = (tube.front_y_mm - FORAMEN_AHEAD_MM, tube.back_y_mm)
    return np.column_stack([lateral, y]), span, wall
