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
from trocar.geometry import Pose, Side, Vector, unit

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
    tip = np.array([g * (0.5 * m.transverse_span_mm - 3.0), w + 14.0, z + 1.0])
    root = np.array([g * (x + 3.0), w + 12.0, z - 1.0])
    facet = np.array([g * (x + 2.5), w + 13.0, 0.5 * m.posterior_height_mm - 1.0])
    points[f"transverse_tip_{side}"] = tip
    points[f"facet_{side}"] = facet
    points[f"crease_{side}"] = np.array([facet[0] + g * 3.5, w + 12.0, root[2] + 0.5])
    return [
        rod([g * (x + 1.5), w + 12.0, z - 2.0], [*facet[:2], facet[2] + 2.0], (5.0, 5.0), (4.0, 3.6)),
        rod(root, tip, (4.2, 5.0), (2.6, 4.0), across=(0, 1, 0)),
        rod([g * x, w + 13.5, z - 6.0], [0.0, back + 4.0, z - 10.0], (3.0, 8.0), across=(0, 1, 0)),
    ]


def _thoracic_side(m: Morphometry, g: int, x: float, z: float, w: float, points: dict[str, Vector]) -> Rods:
    side = "left" if g > 0 else "right"
    back = w + m.canal_depth_mm
    size = m.posterior_height_mm / 20.0
    span = 0.5 * m.transverse_span_mm - 4.0
    rise = 0.0 if m.level is Level.T12 else 1.5
    tip = np.array([g * span, w + 11.0 + 0.75 * (span - x), z + rise])
    facet = np.array([g * (x + 1.0), w + 9.6, 0.5 * m.posterior_height_mm + 0.5])
    points[f"transverse_tip_{side}"] = tip
    points[f"facet_{side}"] = facet
    return [
        rod([g * (x + 1.0), w + 11.5, z - 1.0], tip, (4.0, 4.0), (3.6, 4.2), across=(0, 1, 0)),
        rod([g * (x + 0.5), w + 10.0, z - 1.0], [*facet[:2], facet[2] + 2.0 * size], (4.6, 3.0), (4.0, 1.9)),
        rod([g * x, w + 12.0, z - 3.0], [0.0, back + 3.0, z - 8.0 * size], (2.6, 7.0 * size), across=(0, 1, 0)),
    ]


#: Gap of the facet joints, mm.
FACET_GAP_MM = 1.3


def _inferior_facet(m: Morphometry, p: PedicleForm, facet: Vector, up: Vector, lumbar: bool) -> Rods:
    """The inferior articular process of one side, set against the facet of the level below.

    ``facet`` is that facet's centre and ``up`` the lower vertebra's superior axis, both in this
    vertebra's frame; lumbar facets are met from the midline, thoracic ones from behind.
    """
    g, w = p.side.sign, wall_mm(m)
    towards = unit([-0.75 * g, 0.66, 0.0] if lumbar else [0.0, 1.0, 0.0])
    half, radii = (3.8, (3.8, 3.8)) if lumbar else (1.9, (4.2, 1.9))
    centre = facet + (half + (3.8 if lumbar else 1.9) + FACET_GAP_MM) * towards
    reach = 0.4 * m.posterior_height_mm
    pillar = [p.isthmus_mm[0], w + 12.5, p.isthmus_mm[2] - 4.0]
    top = centre + reach * up
    return [rod(pillar, top, (4.5, 3.2), (4.0, 3.0)), rod(top, centre, (4.0, 3.0), radii)]


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


def vertebra_form(
    m: Morphometry, pose: Pose, collapse: Collapse = INTACT, below: VertebraForm | None = None
) -> VertebraForm:
    """A vertebra of these measures at its place, its inferior facets set against those of the one below."""
    body = body_form(m, collapse)
    points: dict[str, Vector] = {}
    pedicles = {side: pedicle_form(m, side) for side in Side}
    rods: Rods = [row for side in Side for row in _side_rods(m, pedicles[side], points)]
    for side in Side:
        facet, up, lumbar = _facet_below(m, pose, points[f"facet_{side.value}"], below, side)
        rods += _inferior_facet(m, pedicles[side], facet, up, lumbar)
    spinous = _spinous(m, float(pedicles[Side.LEFT].isthmus_mm[2]))
    rods.append(spinous)
    points["spinous_end"] = spinous[0:3] + spinous[12] * spinous[3:6]
    reach = 2.0 * m.posterior_height_mm
    shape = Shape(pose, np.array(rods), body, np.array([canal_rod(m, reach)]))
    return VertebraForm(m.level, m, shape, body, pedicles, points)


def _facet_below(
    m: Morphometry, pose: Pose, own: Vector, below: VertebraForm | None, side: Side
) -> tuple[Vector, Vector, bool]:
    """The superior facet that this level stands on: its centre, its up and whether it is lumbar."""
    if below is None:
        drop = m.posterior_height_mm + m.disc_height_mm
        return own - np.array([0.0, 0.0, drop]), np.array([0.0, 0.0, 1.0]), True
    facet = pose.to_local(below.pose.to_world(below.points[f"facet_{side.value}"]))
    return facet, pose.axes.T @ below.pose.superior, _is_lumbar(below.level)


# --- the column ---------------------------------------------------------------------------------


def stand(
    poses: dict[Level, Pose], focus: Level, collapse: Collapse, pedicle_share: float = 1.0
) -> dict[Level, VertebraForm]:
    """The vertebrae at their places, each on the one below, head to foot; the focus collapsed.

    ``pedicle_share`` scales the width of all pedicles.
    """
    forms: dict[Level, VertebraForm] = {}
    below: VertebraForm | None = None
    for level in reversed(MEASURED_LEVELS):
        m = morphometry(level)
        m = replace(m, pedicle_width_mm=m.pedicle_width_mm * pedicle_share)
        below = vertebra_form(m, poses[level], collapse if level is focus else INTACT, below)
        forms[level] = below
    return dict(reversed(forms.items()))


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
    place = MEASURED_LEVELS.index(level) - MEASURED_LEVELS.index(bend.apex)
    lateral = 0.5 * bend.cobb_deg * _curve(place / CURVE_REACH_LEVELS)
    turn = ROTATION_SHARE * bend.cobb_deg * max(0.0, 1.0 - abs(place) / (CURVE_REACH_LEVELS + 1.0))
    lean = morphometry(level).forward_tilt_deg + (_collapse_angle_deg(bend) if place < 0 else 0.0)
    return _rotation("y", lateral) @ _rotation("x", lean) @ _rotation("z", turn)  # turned about its own axis


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
