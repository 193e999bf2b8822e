"""Reading one vertebra: frame, canal, pedicles, parts and measures, from its mask and the CT."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.frame import Core, Footprint, endplates, footprint, own_frame, pose_from
from trocar.anatomy.heights import body_heights, no_heights, ratios, uncertain, wedge_angle_deg
from trocar.anatomy.landmarks import landmarks
from trocar.anatomy.lesion import look_at_walls, look_inside
from trocar.anatomy.levels import Level
from trocar.anatomy.parts import divide
from trocar.anatomy.pedicle import Isthmus, find_isthmus, square_to
from trocar.anatomy.surface import Grid, Surface
from trocar.anatomy.tube import Tube, find_tube
from trocar.anatomy.vertebra import Part, Pedicle, Vertebra
from trocar.geometry import POSTERIOR, SUPERIOR, Plane, Pose, Side, Vector
from trocar.measure import Finding, Measure, Severity
from trocar.volume import Volume

#: Step of the grid on which the canal is looked for, mm.
GRID_STEP_MM = 1.0
#: A bone nowhere thicker than this (half its thickness, mm) holds no body: a fragment.
THINNEST_BODY_MM = 4.0
#: A labelled body is used where it covers at least this share of the derived one: else it means another bone.
LABELLED_SHARE = 0.5
#: What a vertebra that is not whole lacks.
NOT_WHOLE = "body and both pedicles must lie within the scan"


@dataclass(frozen=True, eq=False)
class Bone:
    """What is known of a vertebra before it is read.

    ``up`` is the spine's course there (LPS). ``ribs`` are those that belong to it, ``body`` the
    vertebral bodies where a label file has them (all levels in one mask). ``cut`` says whether it
    reaches a border of the scan.
    """

    level: Level
    mask: Volume
    surface: Surface
    middle: Core
    up: Vector
    ribs: dict[Side, Volume] = field(default_factory=dict)
    body: Volume | None = None
    cut: bool = False


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the parts of a vertebra lie in its frame: what measuring, and its neighbours, need."""

    pose: Pose
    plan: Footprint
    plates: dict[str, Plane]
    heights_mm: tuple[float, float]
    grid: Grid
    tube: Tube
    isthmuses: dict[Side, Isthmus]


@dataclass(frozen=True, eq=False)
class Reading:
    """A vertebra, and its layout where it could be told."""

    vertebra: Vertebra
    layout: Layout | None = None


def measure_vertebra(bone: Bone, ct: Volume) -> Reading:
    """Everything that one bone tells by itself; one that cannot be read comes back not whole, with the reason."""
    layout = lay_out(bone)
    if isinstance(layout, str):
        return Reading(_unread(bone, ct, layout))
    parts, how = _parts(bone, layout)
    body = bone.mask.world_mm(np.argwhere(parts == Part.BODY))
    if len(body) == 0:
        return Reading(_unread(bone, ct, "no body was found in front of its canal"))
    findings = _cut(bone, parts, ct) + _sides_missing(bone.level, layout) + _facing(bone.level, layout.pose)
    vertebra = Vertebra(
        level=bone.level,
        mask=bone.mask,
        parts=replace(bone.mask, array=parts, unit="label"),
        frame=Pose(body.mean(axis=0), layout.pose.axes),
        pedicles={side: _pedicle(i, bone.surface, layout.pose) for side, i in layout.isthmuses.items()},
        endplates=layout.plates,
        heights=body_heights(bone.surface, layout.pose, layout.plan),
        landmarks=landmarks(bone, layout, parts),
        findings=findings,
        whole=not any(f.severity is Severity.STOP for f in findings),
        how=how,
    )
    if not vertebra.whole:
        return Reading(replace(vertebra, heights=no_heights("Not measured: the vertebra is not whole.")), layout)
    return Reading(_measured(vertebra, bone, layout, ct), layout)


def lay_out(bone: Bone) -> Layout | str:
    """The layout of a vertebra, or in words why it cannot be told."""
    surface = bone.surface
    if bone.level.region == "sacral":
        return "the sacrum is not divided into parts"
    if bone.middle.depth_mm < THINNEST_BODY_MM:
        return "too little of it is in the scan to tell its parts"
    pose = own_frame(surface, bone.middle, bone.up)
    plan = footprint(surface, pose)
    plates = endplates(surface, pose, plan)
    if len(plates) < 2:
        return "its endplates were not found"
    low, high = (float(pose.to_local(plates[n].point_mm)[2]) for n in ("inferior", "superior"))
    grid = Grid.around(pose, bone.mask.points_mm(), GRID_STEP_MM, 4.0)
    tube = find_tube(surface.on(grid), grid, plan.centre_y_mm + plan.half_depth_mm, (low, high), bone.cut)
    if tube is None:
        return "no canal was found behind its body"
    found = {side: find_isthmus(surface, pose, tube, side, (low, high)) for side in Side}
    isthmuses = {side: i for side, i in found.items() if i is not None}
    return Layout(pose, plan, plates, (low, high), grid, tube, isthmuses)


def _parts(bone: Bone, layout: Layout) -> tuple[NDArray[np.uint8], str]:
    """Part numbers on the mask's grid, and whether the body was labelled or derived."""
    low_z = float(layout.grid.axes_mm[2][0])
    given = (layout.plan, layout.tube, low_z, GRID_STEP_MM, layout.isthmuses, layout.heights_mm)
    derived = divide(bone.mask, layout.pose, *given)
    if bone.body is None:
        return derived, "derived"
    body = bone.body.onto(bone.mask).array & bone.mask.array
    if body.sum() < LABELLED_SHARE * (derived == Part.BODY).sum():
        return derived, "derived"
    return divide(bone.mask, layout.pose, *given, labelled_body=body), "labelled"


def _unread(bone: Bone, ct: Volume, why: str) -> Vertebra:
    """A vertebra of which no more than its place is known."""
    sides = borders(bone.mask, ct)
    cut = f"; {_cuts(sides)} it" if sides else ""
    text = f"{bone.level} cannot be used: {why}{cut}."
    return Vertebra(
        level=bone.level,
        mask=bone.mask,
        parts=replace(bone.mask, array=np.where(bone.mask.array, int(Part.ARCH), 0).astype(np.uint8), unit="label"),
        frame=pose_from(bone.middle.centroid_mm, bone.up, POSTERIOR),
        pedicles={},
        endplates={},
        heights=no_heights(f"Not measured: {why}."),
        findings=(Finding(Severity.STOP, text, NOT_WHOLE),),
        whole=False,
    )


def _measured(vertebra: Vertebra, bone: Bone, layout: Layout, ct: Volume) -> Vertebra:
    """The vertebra with its measures and what they tell."""
    h, sides = vertebra.heights, (vertebra.pedicles[s] for s in Side if s in vertebra.pedicles)
    pedicles = (m for p in sides for m in (p.width, p.height, p.transverse_angle, p.sagittal_angle))
    sizes = _sizes(bone.surface, layout)
    measures = (h.anterior, h.middle, h.posterior, *ratios(h), *pedicles, *sizes)
    findings = vertebra.findings
    hu = ct.onto(bone.mask).array.astype(np.float32)
    inside = look_inside(hu, vertebra.parts.array, bone.mask)
    walls = look_at_walls(ct, bone.surface, layout.pose, layout.plan, layout.tube, layout.heights_mm)
    for seen in (inside, walls):
        if seen is not None:
            measures += seen.measures()
            findings += seen.findings(bone.level)
    if walls is None:
        text = f"the scan is too coarse to tell whether the walls of the body of {bone.level} are broken."
        findings += (Finding(Severity.NOTE, text),)
    return replace(vertebra, measures=measures, findings=findings)


def _pedicle(isthmus: Isthmus, surface: Surface, pose: Pose) -> Pedicle:
    across, up = square_to(isthmus.axis.direction, pose)
    d = pose.axes.T @ isthmus.axis.direction
    name = f"pedicle_{isthmus.side.value}"
    place = "through the centre of the smallest cross-section; the smaller of two readings, mask alone and with the CT"
    wide = f"Distance between inner and outer wall {place}."
    tall = f"Distance between upper and lower wall {place}."
    transverse = float(np.degrees(np.arctan2(-isthmus.side.sign * d[0], -d[1])))
    sagittal = float(np.degrees(np.arctan2(d[2], np.hypot(d[0], d[1]))))
    line = "Angle of the axis, the line through the centroids of the pedicle's cross-sections, to the vertebra's own"
    return Pedicle(
        side=isthmus.side,
        axis=isthmus.axis,
        width=uncertain(f"{name}_width", isthmus.width_mm, surface.volume.half_voxel_mm(across), wide),
        height=uncertain(f"{name}_height", isthmus.height_mm, surface.volume.half_voxel_mm(up), tall),
        transverse_angle=Measure(
            f"{name}_transverse_angle",
            transverse,
            "deg",
            method=f"{line} midplane, seen from above; positive where it converges in front.",
        ),
        sagittal_angle=Measure(
            f"{name}_sagittal_angle",
            sagittal,
            "deg",
            method=f"{line} transverse plane; positive where it rises in front.",
        ),
    )


def _sizes(surface: Surface, layout: Layout) -> tuple[Measure, ...]:
    """Width and depth of body and canal, and the angle between the endplates."""
    plan, tube, pose = layout.plan, layout.tube, layout.pose
    across, along = (surface.volume.half_voxel_mm(v) for v in (pose.left, pose.posterior))
    side_walls = "Distance between the side walls at mid-height, in front of the pedicles."
    ends = "Distance between front and back wall at mid-height, in the midplane."
    canal_wide = "Widest distance between the canal's side walls, typical over the height of the body."
    canal_deep = "Distance between the canal's front and back wall near the midplane, typical over the body's height."
    wedge = "Angle between planes fitted to both endplates, seen from the side; positive where lower in front."
    canal_width = tube.half_width_mm(1) + tube.half_width_mm(-1)
    return (
        uncertain("body_width", 2.0 * plan.half_width_mm, across, side_walls),
        uncertain("body_depth", 2.0 * plan.half_depth_mm, along, ends),
        uncertain("canal_width", canal_width, across, canal_wide),
        uncertain("canal_depth", tube.back_y_mm - tube.front_y_mm, along, canal_deep),
        Measure("wedge_angle", wedge_angle_deg(layout.plates, pose), "deg", method=wedge),
    )


#: Names of the borders of a canonical grid along k, j, i, first and last.
_BORDERS = (("lower border", "upper border"), ("front border", "back border"), ("right border", "left border"))


def _cuts(names: list[str]) -> str:
    """The words "the lower border of the scan cuts", for one border or several."""
    return f"the {' and the '.join(names)} of the scan cut{'s' if len(names) == 1 else ''}"


def borders(mask: Volume, ct: Volume, among: NDArray[np.bool_] | None = None) -> list[str]:
    """Which borders of the CT the bone (or the part of it in ``among``) lies on, in words."""
    where = np.argwhere(mask.array if among is None else among & mask.array)
    if len(where) == 0:
        return []
    start = np.rint(ct.index_kji(mask.world_mm((0, 0, 0)))).astype(int)
    low, high = (where + start).min(axis=0), (where + start).max(axis=0)
    first = [_BORDERS[axis][0] for axis in range(3) if low[axis] <= 0]
    return first + [_BORDERS[axis][1] for axis in range(3) if high[axis] >= ct.shape[axis] - 1]


def _cut(bone: Bone, parts: NDArray[np.uint8], ct: Volume) -> tuple[Finding, ...]:
    """What the scan's borders cut: a stop for body and pedicles, a caution for the arch."""
    named = {"body": Part.BODY, "left pedicle": Part.PEDICLE_LEFT, "right pedicle": Part.PEDICLE_RIGHT}
    cut = {word: borders(bone.mask, ct, parts == number) for word, number in named.items()}
    stops = tuple(
        Finding(Severity.STOP, f"{_cuts(sides)} the {word} of {bone.level}.", NOT_WHOLE)
        for word, sides in cut.items()
        if sides
    )
    sides = borders(bone.mask, ct, parts == Part.ARCH)
    if not sides:
        return stops
    rest = "" if stops else "; body and pedicles are whole"
    return (
        *stops,
        Finding(Severity.CAUTION, f"{_cuts(sides)} the arch of {bone.level}{rest}."),
    )


def _facing(level: Level, pose: Pose) -> tuple[Finding, ...]:
    """A stop where the bone lies back to front, or upside down, against the scan's own axes."""
    for own, axis, word in ((pose.posterior, POSTERIOR, "front"), (pose.superior, SUPERIOR, "feet")):
        if own @ axis < 0.0:
            text = f"{level} faces the wrong way: by the scan's header its {_TURNED[word]} points to the {word}."
            return (Finding(Severity.STOP, text, "the header, or the labels, may exchange left and right"),)
    return ()


#: What should point away from there.
_TURNED = {"front": "spinous process", "feet": "upper endplate"}


def _sides_missing(level: Level, layout: Layout) -> tuple[Finding, ...]:
    return tuple(
        Finding(Severity.STOP, f"no {side.value} pedicle was found on {level}.", "no bone joins arch and body there")
        for side in Side
        if side not in layout.isthmuses
    )
