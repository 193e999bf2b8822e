"""Reading one vertebra: frame, canal, pedicles, parts and measures, from its mask and the CT."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from trocar.anatomy.frame import Core, Footprint, endplates, footprint, own_frame, pose_from
from trocar.anatomy.heights import body_heights, no_heights, ratios, uncertain, voxel_along_mm, wedge_angle_deg
from trocar.anatomy.landmarks import landmarks
from trocar.anatomy.levels import Level
from trocar.anatomy.parts import divide
from trocar.anatomy.pedicle import Isthmus, find_isthmus, square_to
from trocar.anatomy.surface import Grid, Surface
from trocar.anatomy.tube import Tube, find_tube
from trocar.anatomy.vertebra import Part, Pedicle, Vertebra
from trocar.geometry import POSTERIOR, Plane, Pose, Side, Vector
from trocar.measure import Finding, Measure, Severity
from trocar.volume import Volume

#: Step of the grid on which the canal is looked for, mm.
GRID_STEP_MM = 1.0
#: A bone nowhere thicker than this (half its thickness, mm) holds no body: a fragment.
THINNEST_BODY_MM = 4.0
#: The trabecular core keeps this far from the body's surface, mm: cortex and its partial volume.
CORE_DEPTH_MM = 4.0


@dataclass(frozen=True, eq=False)
class Reading:
    """A vertebra and what was found on the way to it, which its neighbours need."""

    vertebra: Vertebra
    surface: Surface
    middle: Core
    plan: Footprint | None = None
    tube: Tube | None = None
    grid: Grid | None = None
    isthmuses: dict[Side, Isthmus] | None = None


def read_vertebra(
    level: Level, mask: Volume, ct: Volume, surface: Surface, middle: Core, up: Vector, ribs: dict[Side, Volume]
) -> Reading:
    """Everything that one bone tells by itself; a fragment comes back not whole, with the reason."""
    if middle.depth_mm < THINNEST_BODY_MM:
        return _unread(level, mask, surface, middle, up, ct, "too little of it is in the scan to tell its parts")
    pose = own_frame(surface, middle, up)
    plan = footprint(surface, pose)
    plates = endplates(surface, pose, plan)
    if len(plates) < 2:
        return _unread(level, mask, surface, middle, up, ct, "its endplates were not found")
    ends = tuple(float(pose.to_local(plates[n].point_mm)[2]) for n in ("inferior", "superior"))
    heights_mm = (ends[0], ends[1])
    grid = Grid.around(pose, mask.points_mm(), GRID_STEP_MM, 4.0)
    tube = find_tube(surface.on(grid), grid, plan.centre_y_mm + plan.half_depth_mm, heights_mm)
    if tube is None:
        return _unread(level, mask, surface, middle, up, ct, "no canal was found behind its body", pose)
    found = {side: find_isthmus(surface, pose, tube, side, heights_mm) for side in Side}
    isthmuses = {side: i for side, i in found.items() if i is not None}
    parts = divide(mask, pose, plan, tube, float(grid.axes_mm[2][0]), grid.step_mm, isthmuses, heights_mm)
    body = mask.world_mm(np.argwhere(parts == Part.BODY))
    if len(body) == 0:
        return _unread(level, mask, surface, middle, up, ct, "no body was found in front of its canal", pose)
    heights = body_heights(surface, pose, plan)
    pedicles = {side: _pedicle(i, surface, pose) for side, i in isthmuses.items()}
    findings = _cut(level, mask, parts, ct) + _sides_missing(level, isthmuses)
    points = landmarks(level, mask, parts, surface, pose, plan, tube, isthmuses, ribs)
    measures = (*_measures(surface, pose, plan, plates, tube), *ratios(heights), *_density(ct, mask, parts))
    vertebra = Vertebra(
        level=level,
        mask=mask,
        parts=replace(mask, array=parts, unit="label"),
        frame=Pose(body.mean(axis=0), pose.axes),
        pedicles=pedicles,
        endplates=plates,
        heights=heights,
        landmarks=points,
        measures=measures,
        findings=findings,
        whole=not any(f.severity is Severity.STOP for f in findings),
    )
    return Reading(vertebra, surface, middle, plan, tube, grid, isthmuses)


def _unread(
    level: Level,
    mask: Volume,
    surface: Surface,
    middle: Core,
    up: Vector,
    ct: Volume,
    why: str,
    pose: Pose | None = None,
) -> Reading:
    """A vertebra of which no more than its place is known."""
    sides = _borders(mask, ct, np.ones(mask.shape, dtype=bool))
    cut = f"; the scan's {' and '.join(sides)} border cuts it" if sides else ""
    text = f"{level} is not whole: {why}{cut}."
    vertebra = Vertebra(
        level=level,
        mask=mask,
        parts=replace(mask, array=np.where(mask.array, int(Part.ARCH), 0).astype(np.uint8), unit="label"),
        frame=pose or pose_from(middle.centroid_mm, up, POSTERIOR),
        pedicles={},
        endplates={},
        heights=no_heights(f"Not measured: {why}."),
        findings=(Finding(Severity.STOP, text, "body and both pedicles must lie within the scan"),),
        whole=False,
    )
    return Reading(vertebra, surface, middle)


def _pedicle(isthmus: Isthmus, surface: Surface, pose: Pose) -> Pedicle:
    across, up = square_to(isthmus.axis.direction, pose)
    d = pose.axes.T @ isthmus.axis.direction
    sign = isthmus.side.sign
    name = f"pedicle_{isthmus.side.value}"
    place = "at the isthmus, the smallest cross-section between arch and body"
    return Pedicle(
        side=isthmus.side,
        axis=isthmus.axis,
        width=uncertain(
            f"{name}_width",
            isthmus.width_mm,
            voxel_along_mm(surface, across) / 2.0,
            f"Distance between inner and outer wall through the centre, square to the axis, {place}.",
        ),
        height=uncertain(
            f"{name}_height",
            isthmus.height_mm,
            voxel_along_mm(surface, up) / 2.0,
            f"Distance between upper and lower wall through the centre, square to the axis, {place}.",
        ),
        transverse_angle=Measure(
            f"{name}_transverse_angle",
            float(np.degrees(np.arctan2(-sign * d[0], -d[1]))),
            "deg",
            method="Angle of the axis to the vertebra's midplane, seen from above; positive converges in front.",
        ),
        sagittal_angle=Measure(
            f"{name}_sagittal_angle",
            float(np.degrees(np.arctan2(d[2], np.hypot(d[0], d[1])))),
            "deg",
            method="Angle of the axis to the vertebra's transverse plane; positive rises in front.",
        ),
    )


def _measures(
    surface: Surface, pose: Pose, plan: Footprint, plates: dict[str, Plane], tube: Tube
) -> tuple[Measure, ...]:
    half = {n: voxel_along_mm(surface, v) / 2.0 for n, v in (("left", pose.left), ("posterior", pose.posterior))}
    return (
        uncertain(
            "body_width",
            2 * plan.half_width_mm,
            half["left"],
            "Distance between the side walls at mid-height, in front of the pedicles.",
        ),
        uncertain(
            "body_depth",
            2 * plan.half_depth_mm,
            half["posterior"],
            "Distance between front and back wall at mid-height, in the midplane.",
        ),
        uncertain(
            "canal_width",
            tube.half_width_mm(1) + tube.half_width_mm(-1),
            half["left"],
            "Widest distance between the canal's side walls, typical over the height of the body.",
        ),
        uncertain(
            "canal_depth",
            tube.back_y_mm - tube.front_y_mm,
            half["posterior"],
            "Distance between the canal's front and back wall near the midplane, typical over the height of the body.",
        ),
        Measure(
            "wedge_angle",
            wedge_angle_deg(plates, pose),
            "deg",
            method="Angle between planes fitted to both endplates, seen from the side; positive is lower in front.",
        ),
    )


def _density(ct: Volume, mask: Volume, parts: NDArray[np.uint8]) -> tuple[Measure, ...]:
    """Mean CT number of the body's core."""
    body = np.pad(parts == Part.BODY, 1)
    depth = distance_transform_edt(body, sampling=mask.spacing_mm)[1:-1, 1:-1, 1:-1]
    inner = depth > CORE_DEPTH_MM
    if int(inner.sum()) < 10:
        return ()
    values = ct.onto(mask).array[inner]
    spread = float(values.std())
    method = f"Mean CT number of the body deeper than {CORE_DEPTH_MM:g} mm; the bounds are one standard deviation."
    mean = float(values.mean())
    return (Measure("trabecular_density", mean, "[hnsf'U]", mean - spread, mean + spread, "1 SD", method),)


_BORDER_NAMES = (("lower", "upper"), ("front", "back"), ("right", "left"))


def _borders(mask: Volume, ct: Volume, among: NDArray[np.bool_]) -> list[str]:
    """Which borders of the CT the voxels of ``among`` lie on, in words."""
    start = np.rint(ct.index_kji(mask.world_mm((0, 0, 0)))).astype(int)
    where = np.argwhere(among & mask.array)
    names = []
    for axis in range(3):
        if len(where) == 0:
            continue
        at = where[:, axis] + start[axis]
        for low, name in ((True, _BORDER_NAMES[axis][0]), (False, _BORDER_NAMES[axis][1])):
            if (at.min() <= 0) if low else (at.max() >= ct.shape[axis] - 1):
                names.append(name)
    return names


def _cut(level: Level, mask: Volume, parts: NDArray[np.uint8], ct: Volume) -> tuple[Finding, ...]:
    findings = []
    for word, numbers in (
        ("body", (Part.BODY,)),
        ("left pedicle", (Part.PEDICLE_LEFT,)),
        ("right pedicle", (Part.PEDICLE_RIGHT,)),
    ):
        sides = _borders(mask, ct, np.isin(parts, numbers))
        if sides:
            text = f"the {' and '.join(sides)} border of the scan cuts the {word} of {level}."
            findings.append(Finding(Severity.STOP, text, "body and both pedicles must lie within the scan"))
    sides = _borders(mask, ct, parts == Part.ARCH)
    if sides:
        text = (
            f"the {' and '.join(sides)} border of the scan cuts the arch of {level}; its body and pedicles are whole."
        )
        if findings:
            text = f"the {' and '.join(sides)} border of the scan cuts the arch of {level}."
        findings.append(Finding(Severity.CAUTION, text))
    return tuple(findings)


def _sides_missing(level: Level, isthmuses: dict[Side, Isthmus]) -> tuple[Finding, ...]:
    return tuple(
        Finding(Severity.STOP, f"no {side.value} pedicle was found on {level}.", "no bone joins arch and body there")
        for side in Side
        if side not in isthmuses
    )
