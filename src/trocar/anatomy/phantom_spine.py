"""The bones of the phantom: one vertebra from its measurements, and the column they stand in.

Coordinates of a vertebra are its own: left, posterior, superior, mm from the body's centre. The
same numbers place the surfaces and are handed out as truth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.levels import Level
from trocar.anatomy.morphometry import MEASURED_LEVELS, Morphometry, morphometry
from trocar.anatomy.phantom_shapes import BodyForm, Shape, rod
from trocar.geometry import Pose, Side, Vector

Rods = list[NDArray[np.float64]]

#: Heights are read this far inside the anterior and posterior edge of the body at the midline, mm:
#: beyond the rounding of the rims (BodyForm.rounding).
STATION_INSET_MM = 3.0
#: The pedicle's narrowest section lies this far behind the posterior wall, mm.
ISTHMUS_BEHIND_WALL_MM = 2.0
#: Left and right differ by these, as in people: share of the width, and degrees.
SIDE_WIDTH_SHARE = 0.03
SIDE_ANGLE_DEG = 0.8


@dataclass(frozen=True)
class PedicleForm:
    """One pedicle in its vertebra's frame: isthmus centre, direction into the body, size, angles."""

    side: Side
    isthmus_mm: Vector
    direction: Vector
    width_mm: float
    height_mm: float
    transverse_angle_deg: float
    sagittal_angle_deg: float


@dataclass(frozen=True, eq=False)
class VertebraForm:
    """A vertebra as drawn: its shape in place, its pedicles, and named points in its own frame."""

    level: Level
    measures: Morphometry
    shape: Shape
    body: BodyForm
    pedicles: dict[Side, PedicleForm]
    points: dict[str, Vector]

    @property
    def pose(self) -> Pose:
        """The vertebra's frame in the patient."""
        return self.shape.pose


@dataclass(frozen=True)
class Collapse:
    """How a body has lost height: the share lost in front, in the middle and everywhere."""

    wedge: float = 0.0
    biconcave: float = 0.0
    crush: float = 0.0


INTACT = Collapse()


def body_form(m: Morphometry, collapse: Collapse = INTACT) -> BodyForm:
    """The body of a level, collapsed by the given shares of its heights."""
    height = m.posterior_height_mm + 0.5 * m.wedge_mm
    half_depth = 0.25 * (m.upper_depth_mm + m.lower_depth_mm)
    slope = -0.5 * m.wedge_mm / (2.0 * half_depth)
    bowl = 0.045 * height
    notch = 0.05 * half_depth
    least = 0.5 * min(m.upper_depth_mm, m.lower_depth_mm)
    left = 1.0 - collapse.crush
    whole = BodyForm(
        half_width_top=0.5 * m.upper_width_mm,
        half_width_bottom=0.5 * m.lower_width_mm,
        half_depth_top=0.5 * m.upper_depth_mm,
        half_depth_bottom=0.5 * m.lower_depth_mm,
        waist=0.88,
        top=0.5 * height * left,
        top_slope=slope * left,
        top_bowl=bowl * left,
        bottom=-0.5 * height * left,
        bottom_slope=-slope * left,
        bottom_bowl=1.4 * bowl * left,
        notch=notch,
        squareness=2.4,
        rounding=1.5,
        wedge=0.0,
        front=-(least - STATION_INSET_MM),
        back=least - notch - STATION_INSET_MM,
        sink=0.0,
    )
    heights = body_heights_mm(whole)
    return replace(whole, wedge=collapse.wedge * heights[0], sink=0.5 * collapse.biconcave * heights[1])


def stations_mm(body: BodyForm) -> tuple[float, float, float]:
    """Where heights are read: front, middle and back, mm towards posterior, at the midline."""
    return (body.front, 0.5 * (body.front + body.back), body.back)


def body_heights_mm(body: BodyForm) -> tuple[float, float, float]:
    """Distance between the endplates at the three stations, along the body's superior axis."""
    plates = [body.endplates_mm(0.0, y) for y in stations_mm(body)]
    front, middle, back = (top - bottom for bottom, top in plates)
    return front, middle, back


def pedicle_form(m: Morphometry, side: Side) -> PedicleForm:
    """The pedicle of one side: its medial wall stands beside the canal at the isthmus."""
    width = m.pedicle_width_mm * (1.0 + SIDE_WIDTH_SHARE * side.sign)
    transverse = m.transverse_angle_deg + SIDE_ANGLE_DEG * side.sign
    t, s = np.radians(transverse), np.radians(m.sagittal_angle_deg)
    direction = np.array([-side.sign * np.sin(t) * np.cos(s), -np.cos(t) * np.cos(s), np.sin(s)])
    x = 0.5 * m.canal_width_mm + 0.3 + 0.5 * width / np.cos(t)
    z = 0.5 * m.posterior_height_mm - 0.5 * m.pedicle_height_mm - 0.04 * m.posterior_height_mm
    centre = np.array([side.sign * x, wall_mm(m) + ISTHMUS_BEHIND_WALL_MM, z])
    return PedicleForm(side, centre, direction, width, m.pedicle_height_mm, transverse, m.sagittal_angle_deg)


def wall_mm(m: Morphometry) -> float:
    """Half the body's depth: where its posterior wall stands, mm behind the centre."""
    return 0.25 * (m.upper_depth_mm + m.lower_depth_mm)


def _pedicle_rod(p: PedicleForm) -> NDArray[np.float64]:
    back, front = 6.0, 9.0
    return rod(
        p.isthmus_mm - back * p.direction,
        p.isthmus_mm + front * p.direction,
        (0.5 * p.width_mm, 0.5 * p.height_mm),
        flare=0.35,
        waist_mm=back,
        reach_mm=7.0,
        cap_mm=2.0,
        blend_mm=1.5,
    )


def _is_lumbar(level: Level) -> bool:
    return level.region == "lumbar"


def _side_rods(m: Morphometry, p: PedicleForm, points: dict[str, Vector]) -> Rods:
    g, x, z, w = p.side.sign, abs(p.isthmus_mm[0]), p.isthmus_mm[2], wall_mm(m)
    parts = _lumbar_side if _is_lumbar(m.level) else _thoracic_side
    return [_pedicle_rod(p), *parts(m, g, float(x), float(z), w, points)]


def _lumbar_side(m: Morphometry, g: int, x: float, z: float, w: float, points: dict[str, Vector]) -> Rods:
    side = "left" if g > 0 else "right"
    back = w + m.canal_depth_mm
    span = 0.5 * m.transverse_span_mm
    tip = np.array([g * (span - 3.0), w + 14.0, z + 1.0])
    root = np.array([g * (x + 3.0), w + 12.0, z - 1.0])
    joint = np.array([g * (x + 2.5), w + 13.5, z + 14.0])
    points[f"transverse_tip_{side}"] = tip
    points[f"crease_{side}"] = np.array([joint[0] + g * 3.5, w + 12.0, root[2] + 4.0])
    return [
        rod([g * (x + 1.5), w + 12.0, z + 1.0], joint, (5.0, 5.0), (4.0, 3.6)),
        rod(root, tip, (4.2, 5.0), (2.6, 4.0), across=(0, 1, 0)),
        rod([g * (x + 1.0), w + 12.5, z - 2.0], [g * (0.55 * x + 2.0), back + 1.0, z - 13.0], (5.0, 4.0)),
        rod([g * (0.55 * x + 2.0), back + 1.0, z - 10.0], [g * (0.55 * x + 2.5), back + 1.5, z - 25.0], (4.0, 4.2)),
        rod([g * x, w + 14.0, z - 7.0], [0.0, back + 4.0, z - 11.0], (3.0, 8.5), across=(0, 1, 0)),
    ]


def _thoracic_side(m: Morphometry, g: int, x: float, z: float, w: float, points: dict[str, Vector]) -> Rods:
    side = "left" if g > 0 else "right"
    back = w + m.canal_depth_mm
    size = m.posterior_height_mm / 20.0
    span = 0.5 * m.transverse_span_mm
    low = m.level is Level.T12
    tip = np.array([g * (span - 4.0), w + 10.0 + 0.75 * (span - 4.0 - x), z + (0.0 if low else 3.0)])
    points[f"transverse_tip_{side}"] = tip
    points[f"rib_facet_{side}"] = np.array([g * (x + 1.0), w - 3.0, z])
    inner = 0.55 * x + 2.0 if low else x - 1.0
    return [
        rod([g * (x + 1.0), w + 11.5, z + 1.0], tip, (4.0, 4.5 * size), (3.6, 4.4), across=(0, 1, 0)),
        rod([g * x, w + 12.0, z + 1.0], [g * (x - 0.5), w + 12.8, z + 8.0 + 3.0 * size], (4.6, 1.9)),
        rod([g * x, w + 12.0, z - 2.0], [0.0, back + 3.0, z - 8.0 * size], (2.4, 7.5 * size), across=(0, 1, 0)),
        rod([g * inner, back - 0.5, z - 8.0], [g * inner, back + 1.2, z - 10.0 - 9.0 * size], (4.4, 2.0)),
    ]


def _spinous(m: Morphometry, z: float) -> NDArray[np.float64]:
    slope = np.radians(m.spinous_slope_deg)
    start = np.array([0.0, wall_mm(m) + m.canal_depth_mm + 4.0, z - 9.0])
    stop = start + m.spinous_length_mm * np.array([0.0, np.cos(slope), -np.sin(slope)])
    height = 7.5 if _is_lumbar(m.level) else 5.0
    return rod(start, stop, (2.6, height), (3.4, height - 1.5), blend_mm=3.0)


def canal_rod(m: Morphometry, reach_mm: float) -> NDArray[np.float64]:
    """The bony canal at one level as a straight rod along the vertebra's superior axis."""
    y = canal_centre_mm(m)
    radii = (0.5 * m.canal_width_mm, 0.5 * m.canal_depth_mm)
    return rod([0, y, -reach_mm], [0, y, reach_mm], radii, blend_mm=0.5)


def canal_centre_mm(m: Morphometry) -> float:
    """The canal's centre, mm behind the body's centre."""
    return wall_mm(m) * (1.0 - 0.05) + 0.5 * m.canal_depth_mm


def vertebra_form(level: Level, pose: Pose, collapse: Collapse = INTACT) -> VertebraForm:
    """The vertebra of a level at its place."""
    m = morphometry(level)
    body = body_form(m, collapse)
    points: dict[str, Vector] = {}
    pedicles = {side: pedicle_form(m, side) for side in Side}
    rods: Rods = [row for side in Side for row in _side_rods(m, pedicles[side], points)]
    spinous = _spinous(m, float(pedicles[Side.LEFT].isthmus_mm[2]))
    rods.append(spinous)
    points["spinous_tip"] = spinous[0:3] + spinous[12] * spinous[3:6]
    reach = 2.0 * m.posterior_height_mm
    shape = Shape(pose, np.array(rods), body, np.array([canal_rod(m, reach)]))
    return VertebraForm(level, m, shape, body, pedicles, points)


# --- the column ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bend:
    """A lateral curve: Cobb angle and apex; and the lean that a collapse adds to what stands above."""

    cobb_deg: float = 0.0
    apex: Level = Level.L1
    collapse: Collapse = INTACT


STRAIGHT = Bend()
#: A lateral curve reverses over this many levels to either side of its apex.
CURVE_REACH_LEVELS = 3.0
#: Axial rotation of the apex as a share of the Cobb angle; typical, unverified.
ROTATION_SHARE = 0.4


def column(bend: Bend = STRAIGHT) -> dict[Level, Pose]:
    """Poses of T1 to L5 in the patient: the apex's (or L1's) body centre at the origin.

    Each vertebra leans as the table says, stands on the disc below, and bends sideways and turns
    by the curve. A wedge-shaped collapse leans what is above by its angle.
    """
    axes = {level: _axes(level, bend) for level in MEASURED_LEVELS}
    centres = {Level.L5: np.zeros(3)}
    for upper, lower in zip(reversed(MEASURED_LEVELS[:-1]), reversed(MEASURED_LEVELS[1:]), strict=True):
        gap = 0.5 * morphometry(upper).disc_height_mm
        below = 0.5 * _standing_mm(lower, bend) + gap
        above = 0.5 * _standing_mm(upper, bend) + gap
        centres[upper] = centres[lower] + below * axes[lower][:, 2] + above * axes[upper][:, 2]
    origin = centres[Level.L1]
    return {level: Pose(centres[level] - origin, axes[level]) for level in MEASURED_LEVELS}


def _standing_mm(level: Level, bend: Bend) -> float:
    collapse = bend.collapse if level is bend.apex else INTACT
    body = body_form(morphometry(level), collapse)
    return body.top - body.bottom - 0.5 * body.wedge


def _axes(level: Level, bend: Bend) -> NDArray[np.float64]:
    place = level.order - bend.apex.order
    lateral = 0.5 * bend.cobb_deg * _curve(place / CURVE_REACH_LEVELS)
    turn = ROTATION_SHARE * bend.cobb_deg * max(0.0, 1.0 - abs(place) / (CURVE_REACH_LEVELS + 1.0))
    lean = morphometry(level).forward_tilt_deg + (_collapse_angle_deg(bend) if place < 0 else 0.0)
    return _rotation("z", turn) @ _rotation("y", lateral) @ _rotation("x", lean)


def _curve(t: float) -> float:
    """0 at the apex, -1 and 1 at the ends of the curve, falling back to 0 beyond."""
    return float(np.sign(t) * (min(abs(t), 1.0) if abs(t) <= 1.0 else max(0.0, 2.0 - abs(t))))


def _collapse_angle_deg(bend: Bend) -> float:
    body = body_form(morphometry(bend.apex), bend.collapse)
    return float(np.degrees(np.arctan2(body.wedge, body.back - body.front)))


@cache
def _plane(axis: str) -> tuple[int, int]:
    return {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]


def _rotation(axis: str, degrees: float) -> NDArray[np.float64]:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    a, b = _plane(axis)
    out = np.eye(3)
    out[a, a] = out[b, b] = c
    out[a, b], out[b, a] = -s, s
    return out
