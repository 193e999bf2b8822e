"""Heights of the vertebral body between its endplates, and the angle between neighbours."""

from __future__ import annotations

import numpy as np

from trocar.anatomy.frame import Footprint, exit_mm
from trocar.anatomy.surface import Surface
from trocar.anatomy.vertebra import Heights
from trocar.geometry import Plane, Pose, Vector
from trocar.measure import Measure

#: Heights are read this far inside the front and back walls, mm: on the rim, clear of rounded corners and bone spurs.
STATION_INSET_MM = 3.0
#: Columns within this of the midline are read, as a share of the body's half width.
MIDLINE_SHARE = 0.2
#: Columns within this of a station are read, mm.
STATION_BAND_MM = 1.0


def uncertain(name: str, value: float, half_mm: float, method: str) -> Measure:
    """A distance in mm with half a voxel to either side."""
    return Measure(name, value, "mm", max(value - half_mm, 0.0), value + half_mm, "voxel", method)


def body_heights(surface: Surface, pose: Pose, plan: Footprint) -> Heights:
    """Anterior, middle and posterior height, each the median over columns near the midline at its station."""
    front = plan.centre_y_mm - plan.half_depth_mm + STATION_INSET_MM
    back = plan.centre_y_mm + plan.half_depth_mm - STATION_INSET_MM
    half = surface.volume.half_voxel_mm(pose.superior)
    stations = {"anterior": front, "middle": (front + back) / 2.0, "posterior": back}
    where = {
        "anterior": f"{STATION_INSET_MM:g} mm behind the front wall",
        "middle": "midway between front and back",
        "posterior": f"{STATION_INSET_MM:g} mm in front of the back wall",
    }
    found = {}
    for name, y in stations.items():
        value = _height(surface, pose, plan, y)
        method = f"Distance between the endplates along the body's own axis, near the midline, {where[name]}."
        found[name] = uncertain(f"{name}_height", value, half, method)
    return Heights(found["anterior"], found["middle"], found["posterior"])


def _height(surface: Surface, pose: Pose, plan: Footprint, y_mm: float) -> float:
    x = plan.centre_x_mm + np.linspace(-1.0, 1.0, 9) * MIDLINE_SHARE * plan.half_width_mm
    y = y_mm + np.linspace(-1.0, 1.0, 5) * STATION_BAND_MM
    xx, yy = np.meshgrid(x, y)
    starts = pose.to_world(np.column_stack([xx.ravel(), yy.ravel(), np.zeros(xx.size)]))
    total = exit_mm(surface, starts, pose.superior, 30.0) + exit_mm(surface, starts, -pose.superior, 30.0)
    good = total[np.isfinite(total)]
    return float(np.median(good)) if len(good) else float("nan")


def lean_deg(normal: Vector, pose: Pose) -> float:
    """How far a normal that points up leans forwards in the sagittal plane of ``pose``, degrees."""
    return float(np.degrees(np.arctan2(-(normal @ pose.posterior), normal @ pose.superior)))


def cobb_deg(upper: Plane, lower: Plane, pose: Pose) -> float:
    """Angle between a superior endplate above and an inferior endplate below, kyphosis positive, degrees.

    Normals point out of their bodies; the angle is seen in the sagittal plane of ``pose``.
    """
    return lean_deg(upper.normal, pose) - lean_deg(-lower.normal, pose)


def missing(name: str, why: str) -> Measure:
    """A height that could not be measured: not a number, and why."""
    return Measure(name, float("nan"), "mm", method=why)


def no_heights(why: str) -> Heights:
    """Heights of a vertebra that could not be measured."""
    return Heights(missing("anterior_height", why), missing("middle_height", why), missing("posterior_height", why))


def ratios(heights: Heights) -> tuple[Measure, ...]:
    """Anterior and middle height over posterior height."""
    back = heights.posterior.value
    return tuple(
        Measure(
            f"{name}_posterior_ratio",
            h.value / back,
            "1",
            method=f"The {name} height divided by the posterior height of the same body.",
        )
        for name, h in (("anterior", heights.anterior), ("middle", heights.middle))
    )


def wedge_angle_deg(plates: dict[str, Plane], pose: Pose) -> float:
    """Angle between the endplates of one body in its sagittal plane, positive where it is lower in front."""
    return lean_deg(plates["superior"].normal, pose) - lean_deg(-plates["inferior"].normal, pose)
