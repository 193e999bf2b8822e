"""Exact clearances of one path: to every voxel box of every structure, to the pedicle's walls, to the endplates.

The search ranks on interpolated maps; what is reported is measured again here, without interpolation
where the structure is a labelled mask.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.vertebra import Vertebra
from trocar.geometry import Side, Vector, unit
from trocar.planning.access import Margins, kind_of
from trocar.planning.maps import Maps, named_masks
from trocar.planning.rays import STEP_MM, segment_to_mask
from trocar.planning.trajectory import Clearance
from trocar.volume import Volume

#: Structures farther than this from the needle's axis are not listed.
REPORTED_MM = 30.0
#: Walls are looked for this far from the axis, in steps of, mm.
_WALL_REACH_MM, _WALL_STEP_MM = 40.0, 0.25


def reported_name(structure: str) -> str:
    """The name a clearance is reported under: ribs together, neighbouring vertebrae together, one canal."""
    if structure.startswith("vertebra_"):
        return "neighbouring_vertebrae"
    if structure.startswith("rib_"):
        return "ribs"
    return "canal" if structure.startswith(("canal", "spinal_canal")) else structure


def structure_clearances(
    anatomy: Anatomy, level: Level, tip_mm: Vector, outer_mm: Vector, radius_mm: float, margins: Margins
) -> list[Clearance]:
    """Free space between the needle from ``tip_mm`` to ``outer_mm`` and every structure within 30 mm."""
    out: dict[str, Clearance] = {}
    for name, mask in named_masks(anatomy, level):
        kind = kind_of(name)
        if kind is None:
            continue
        size = np.asarray(mask.spacing_mm)
        start = mask.index_kji(tip_mm) * size
        run = mask.index_kji(outer_mm) * size - start
        length = float(np.linalg.norm(run))
        voxels = np.require(mask.array, bool, ("C", "W"))  # one layout, one compiled kernel
        distance, half = segment_to_mask(voxels, size, start, run / length, length, REPORTED_MM)
        known = out.get(reported_name(name))
        if distance <= REPORTED_MM and (known is None or distance - radius_mm < known.value_mm):
            out[reported_name(name)] = Clearance(reported_name(name), distance - radius_mm, half, margins.of(kind))
    return list(out.values())


def wall_clearances(
    maps: Maps,
    vertebra: Vertebra,
    side: Side,
    tip_mm: Vector,
    way: Vector,
    stretch_mm: tuple[float, float],
    radius: float,
    margin_mm: float,
) -> list[Clearance]:
    """Bone left on the medial, lateral, cranial and caudal side of the needle.

    ``stretch_mm`` is the part of the axis that passes the pedicle, from the tip along ``way``.
    """
    up = unit(vertebra.frame.superior - way * float(way @ vertebra.frame.superior))
    across = np.cross(up, way)
    outwards = unit(across) * np.sign(float(across @ vertebra.frame.left) * side.sign)
    axis = tip_mm + np.arange(stretch_mm[0], stretch_mm[1] + 1e-9, STEP_MM)[:, None] * way
    named = {"medial": -outwards, "lateral": outwards, "cranial": up, "caudal": -up}
    return [
        Clearance(
            f"pedicle_wall_{name}",
            float(_to_surface(maps, axis, direction).min()) - radius,
            maps.region.half_voxel_mm(direction),
            margin_mm,
        )
        for name, direction in named.items()
    ]


def bone_clearance(
    maps: Maps, tip_mm: Vector, way: Vector, wall_mm: float, radius: float, margin_mm: float
) -> Clearance:
    """Bone around the needle in every direction, over the stretch that must stay in bone."""
    axis = tip_mm + np.arange(0.0, wall_mm + 1e-9, STEP_MM)[:, None] * way
    depth = maps.sample(axis)
    thinnest = axis[int(np.argmin(depth))]
    step = np.diag(maps.node_mm[::-1])
    slope = maps.sample(thinnest + step) - maps.sample(thinnest - step)
    flat = float(np.linalg.norm(slope)) == 0.0
    half = 0.5 * float(maps.voxel_mm.min()) if flat else maps.region.half_voxel_mm(slope)
    return Clearance("bone_wall", float(depth.min()) - radius, half, margin_mm)


def bone_along_mm(maps: Maps, point_mm: Vector, direction: Vector) -> float:
    """How far bone reaches from a point along a direction, mm."""
    return float(_to_surface(maps, np.asarray(point_mm)[None], direction)[0])


def _to_surface(maps: Maps, points_mm: NDArray[np.float64], direction: Vector) -> NDArray[np.float64]:
    """How far from each point along ``direction`` the bone ends, mm (0 outside bone)."""
    along = np.arange(0.0, _WALL_REACH_MM + 1e-9, _WALL_STEP_MM)
    depth = maps.sample(points_mm[:, None] + along[:, None] * direction)
    out = depth <= 0.0
    first = np.where(out.any(axis=1), out.argmax(axis=1), len(along) - 1)
    row, before = np.arange(len(first)), np.maximum(first - 1, 0)
    rise = depth[row, before] - depth[row, first]
    part = np.divide(depth[row, before], rise, out=np.ones_like(rise), where=rise > 0.0)
    return np.where(first == 0, 0.0, along[before] + _WALL_STEP_MM * np.clip(part, 0.0, 1.0))


def endplate_clearances(
    vertebra: Vertebra, region: Volume, tip_mm: Vector, way: Vector, working_mm: float, radius: float, margin_mm: float
) -> list[Clearance]:
    """Free space to both endplates over the working stretch behind the tip."""
    ends = np.stack([tip_mm, tip_mm + working_mm * np.asarray(way)])
    return [
        Clearance(
            f"endplate_{name}",
            float((-plane.height_mm(ends)).min()) - radius,
            region.half_voxel_mm(plane.normal),
            margin_mm,
        )
        for name, plane in vertebra.endplates.items()
    ]
