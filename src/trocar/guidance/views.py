"""Where the C-arm belongs: true AP and lateral of one vertebra, the view down the needle, the oblique of a pedicle.

A *true AP* has its central ray in the vertebra's midsagittal plane and at right angles to the mean of its endplates'
normals: both endplates stand on edge, the spinous process lies midway between the pedicles, and these are level. A
*true lateral* looks from side to side: endplates on edge, the pedicles one over the other. An *oblique* is the true AP
turned about the vertebra's own height until it looks along a pedicle. Their central ray goes through the centre of the
vertebral body. The view *down the barrel* looks along the needle, which is a point there; its central ray is the
needle's axis.

With e from entry to target, LPS, and the detector in front: primary atan2(ex, -ey), secondary asin(ez / length of e).
The detector behind, over a prone patient with the tube under the table, has the opposite ray: primary 180 degrees
further, secondary with the other sign.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from trocar.anatomy.vertebra import Vertebra
from trocar.geometry import Side, Vector, unit
from trocar.guidance.carm import CArm
from trocar.guidance.carm_edges import side_word
from trocar.measure import Range
from trocar.planning.trajectory import Trajectory

#: A picture turned by less than this, degrees, is upright to the eye.
LEVEL_DEG = 0.5
#: Turn of an oblique view from the true AP.
OBLIQUE_RANGE = Range(-90.0, 90.0, "deg")


class DetectorAt(Enum):
    """The side of the patient on which the detector stands; behind is usual over a prone patient."""

    FRONT = "in front of the patient"
    BEHIND = "behind the patient"

    @property
    def sign(self) -> int:
        """+1 where the central ray runs to the patient's front."""
        return 1 if self is DetectorAt.FRONT else -1


class Kind(Enum):
    """The views that are planned; the value is how a person calls them."""

    AP = "true AP"
    LATERAL = "true lateral"
    BARREL = "down the needle"
    OBLIQUE = "oblique along the pedicle"


@dataclass(frozen=True, eq=False)
class PlannedView:
    """A C-arm position, which kind of view it is meant to be, and of which vertebra."""

    kind: Kind
    vertebra: Vertebra
    arm: CArm

    @property
    def title(self) -> str:
        """For people: "true AP of L1"."""
        return f"{self.kind.value}{' of' if self.kind in (Kind.AP, Kind.LATERAL) else ','} {self.vertebra.level}"


#: Distances, detector and display of a C-arm that is not described further: those of :class:`CArm`.
USUAL = CArm(np.zeros(3))


def true_ap(vertebra: Vertebra, detector: DetectorAt = DetectorAt.BEHIND, arm: CArm = USUAL) -> PlannedView:
    """The true AP of one vertebra (strictly a PA with the detector behind).

    ``arm`` gives distances, detector and mirroring; its place and angles are not used.
    """
    ray = detector.sign * _forwards(vertebra)
    return PlannedView(Kind.AP, vertebra, upright(_aimed(arm, vertebra.frame.origin_mm, ray), vertebra))


def true_lateral(vertebra: Vertebra, detector: Side = Side.LEFT, arm: CArm = USUAL) -> PlannedView:
    """The true lateral of one vertebra with the detector at the patient's left or right."""
    ray = detector.sign * _sidewards(vertebra)
    return PlannedView(Kind.LATERAL, vertebra, upright(_aimed(arm, vertebra.frame.origin_mm, ray), vertebra))


def down_the_barrel(
    vertebra: Vertebra, trajectory: Trajectory, detector: DetectorAt = DetectorAt.BEHIND, arm: CArm = USUAL
) -> PlannedView:
    """The view along the needle, turned about the point of its axis nearest to the centre of the body."""
    axis = trajectory.axis
    nearest = axis.at(float((vertebra.frame.origin_mm - axis.point_mm) @ axis.direction))
    return PlannedView(Kind.BARREL, vertebra, _aimed(arm, nearest, detector.sign * trajectory.direction))


def oblique(
    vertebra: Vertebra,
    side: Side,
    detector: DetectorAt = DetectorAt.BEHIND,
    turn_deg: float | None = None,
    arm: CArm = USUAL,
) -> PlannedView:
    """The "Scottie dog" of one side: endplates on edge, the pedicle of that side seen along its axis (the dog's eye).

    ``turn_deg`` is the turn from the true AP about the vertebra's height, positive towards that pedicle's axis; without
    one it is the pedicle's own angle. Raises ``ValueError`` where neither is there.
    """
    if turn_deg is None:
        if side not in vertebra.pedicles:
            raise ValueError(f"{vertebra.level} has no {side.value} pedicle to look along: give turn_deg.")
        turn_deg = _convergence_deg(vertebra, side)
    turn = side.sign * np.radians(OBLIQUE_RANGE.check("turn_deg", turn_deg, "an oblique view"))
    # a path that enters on the left and converges runs to the right
    ray = np.cos(turn) * _forwards(vertebra) - np.sin(turn) * _sidewards(vertebra)
    return PlannedView(
        Kind.OBLIQUE, vertebra, upright(_aimed(arm, vertebra.frame.origin_mm, detector.sign * ray), vertebra)
    )


# --- directions of one vertebra -----------------------------------------------------------------


def upwards(vertebra: Vertebra) -> Vector:
    """The mean of the endplates' normals, towards the head (LPS); the frame's own where an endplate is not known."""
    plates = vertebra.endplates
    if not {"superior", "inferior"} <= plates.keys():
        return vertebra.frame.superior
    return unit(plates["superior"].normal - plates["inferior"].normal)


def direction_of(kind: Kind, vertebra: Vertebra) -> Vector:
    """The central ray (LPS, unit) of a true AP with the detector in front, or a true lateral with it at the left."""
    return _forwards(vertebra) if kind is Kind.AP else _sidewards(vertebra)


def _sidewards(vertebra: Vertebra) -> Vector:
    """The vertebra's left, made square to :func:`upwards`."""
    up = upwards(vertebra)
    return unit(vertebra.frame.left - (vertebra.frame.left @ up) * up)


def _forwards(vertebra: Vertebra) -> Vector:
    return np.cross(_sidewards(vertebra), upwards(vertebra))


def _convergence_deg(vertebra: Vertebra, side: Side) -> float:
    """The angle of a pedicle's axis to the midplane, seen along the vertebra's height, positive where it converges."""
    axis = vertebra.pedicles[side].axis.direction
    aside, ahead = float(axis @ _sidewards(vertebra)), float(axis @ _forwards(vertebra))
    return float(np.degrees(np.arctan2(-side.sign * aside, ahead)))


# --- the arm ------------------------------------------------------------------------------------


def _aimed(arm: CArm, isocentre_mm: Vector, ray: Vector) -> CArm:
    """The arm about a point, its central ray along ``ray`` (LPS, from the source to the detector)."""
    return replace(arm.about(isocentre_mm).facing(ray), roll_deg=0.0)


def upright(arm: CArm, vertebra: Vertebra) -> CArm:
    """The same view, its picture turned until the vertebra stands upright: a turn of the image, not of the arm."""
    return replace(arm, roll_deg=arm.roll_deg + lean_deg(arm, vertebra))


def lean_deg(arm: CArm, vertebra: Vertebra) -> float:
    """By how much the vertebra leans to the left on the screen: the picture's turn, clockwise, that sets it upright."""
    right, down = arm.axes
    up = upwards(vertebra)
    lean = float(np.degrees(np.arctan2(-float(up @ right), -float(up @ down))))
    # the roll is applied before the mirror, which turns it round
    return -lean if arm.mirrored else lean


def letters(arm: CArm) -> tuple[str, str, str, str]:
    """What lies at the left, right, top and bottom edge of the image: DICOM's L R, P A, H F, or two of them."""
    right, down = arm.axes
    return side_word(-right), side_word(right), side_word(-down), side_word(down)


def position_words(arm: CArm) -> str:
    """The arm's position in words: "detector behind, 3° to the patient's left, 12° towards the head"."""
    primary, secondary = arm.primary_angle_deg, arm.secondary_angle_deg
    primary = (primary + 180.0) % 360.0 - 180.0
    start, off = _nearest_quarter(primary)
    parts = [f"detector {start}"]
    if abs(off) >= LEVEL_DEG:
        parts.append(f"{abs(off):.0f}° {_way(start, off)}")
    if abs(secondary) >= LEVEL_DEG:
        parts.append(f"{abs(secondary):.0f}° towards the {'head' if secondary > 0.0 else 'feet'}")
    return ", ".join(parts)


#: Where a detector stands by its primary angle, and where it goes as the angle grows.
_QUARTERS = {
    0.0: ("in front", "to the patient's left", "to the patient's right"),
    90.0: ("at the patient's left", "towards the back", "towards the front"),
    -90.0: ("at the patient's right", "towards the front", "towards the back"),
    180.0: ("behind", "to the patient's right", "to the patient's left"),
}


def _nearest_quarter(primary_deg: float) -> tuple[str, float]:
    """Where the detector stands to the nearest right angle, and the rest, degrees."""
    quarter = min(_QUARTERS, key=lambda q: abs((primary_deg - q + 180.0) % 360.0 - 180.0))
    return _QUARTERS[quarter][0], (primary_deg - quarter + 180.0) % 360.0 - 180.0


def _way(start: str, off_deg: float) -> str:
    further, back = next((f, b) for s, f, b in _QUARTERS.values() if s == start)
    return further if off_deg > 0.0 else back


def turn_words(arm: CArm, turn_deg: float, tilt_deg: float, picture_deg: float = 0.0) -> str:
    """What to do in words: "turn 4° to the patient's left (LAO), tilt 6° cranial"; "as it stands" for nothing."""
    start, _ = _nearest_quarter((arm.primary_angle_deg + 180.0) % 360.0 - 180.0)
    parts = []
    if abs(turn_deg) >= LEVEL_DEG:
        oblique = f" ({'LAO' if turn_deg > 0.0 else 'RAO'})" if start == "in front" else ""
        parts.append(f"turn {abs(turn_deg):.0f}° {_way(start, turn_deg)}{oblique}")
    if abs(tilt_deg) >= LEVEL_DEG:
        parts.append(f"tilt {abs(tilt_deg):.0f}° {'cranial' if tilt_deg > 0.0 else 'caudal'}")
    if abs(picture_deg) >= LEVEL_DEG:
        shown = -picture_deg if arm.mirrored else picture_deg
        parts.append(f"turn the picture {abs(shown):.0f}° {'clockwise' if shown > 0.0 else 'anticlockwise'}")
    return ", ".join(parts) or "as it stands"
