"""How true a view is: what an operator looks for on an AP or a lateral, in millimetres, and how to turn the C-arm."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from trocar.anatomy.vertebra import Vertebra
from trocar.geometry import Pose, Side, Vector, unit
from trocar.guidance.carm import AT_REST, CArm
from trocar.guidance.carm_angles import angles_of
from trocar.guidance.view_landmarks import Landmarks, Points, Ruler, landmarks_of
from trocar.guidance.views import Kind, direction_of, lean_deg, turn_words
from trocar.measure import Measure

#: A view counts as true within this turn and tilt, degrees: a foot on the brake holds no less. Our judgement.
TRUE_DEG = 2.0


@dataclass(frozen=True)
class Trueness:
    """How far a C-arm's position is from a true AP or lateral, and what to turn.

    Lengths are millimetres at the depth of the isocentre. ``endplates_mm`` is the distance between the front and the
    back (AP) or the left and the right (lateral) edge of each endplate's outline: 0 is a line. In an AP
    ``spinous_off_mm`` is how far the tip of the spinous process lies to the patient's left of the middle between the
    pedicles, and ``spinous_off_percent`` the same in per cent of half their distance; NaN where there is none.
    ``pedicle_height_mm`` is by how much the left pedicle appears higher than the right, ``pedicle_shift_mm`` (lateral)
    how far they lie apart along the image. ``turn_deg`` and ``tilt_deg`` are to be added to the primary and the
    secondary angle, ``picture_deg`` to ``roll_deg`` afterwards.
    """

    kind: Kind
    endplates_mm: dict[str, float]
    spinous_off_mm: float
    spinous_off_percent: float
    pedicle_height_mm: float
    pedicle_shift_mm: float
    turn_deg: float
    tilt_deg: float
    picture_deg: float
    words: str

    @property
    def is_true(self) -> bool:
        """Whether neither turn nor tilt would change by more than :data:`TRUE_DEG`."""
        return max(abs(self.turn_deg), abs(self.tilt_deg)) <= TRUE_DEG

    def measures(self) -> tuple[Measure, ...]:
        """The numbers with their units, those that are of this view."""
        found = [
            Measure(f"endplate_double_contour_{name}", mm, "mm", method="between the edges of its outline")
            for name, mm in self.endplates_mm.items()
        ]
        if self.kind is Kind.AP:
            found += [
                Measure("spinous_process_off_centre", self.spinous_off_mm, "mm", method="positive to the left"),
                Measure("spinous_process_off_centre_share", self.spinous_off_percent, "%"),
            ]
        else:
            found.append(Measure("pedicles_apart", self.pedicle_shift_mm, "mm", method="along the image"))
        return (
            *found,
            Measure("pedicle_height_difference", self.pedicle_height_mm, "mm", method="positive: the left is higher"),
            Measure("turn_to_true", self.turn_deg, "deg", method="to be added to the primary angle"),
            Measure("tilt_to_true", self.tilt_deg, "deg", method="to be added to the secondary angle"),
        )


def trueness(
    arm: CArm, vertebra: Vertebra, kind: Kind = Kind.AP, displacement: Pose = AT_REST, marks: Landmarks | None = None
) -> Trueness:
    """How far ``arm`` is from a true AP or lateral of a vertebra that lies ``displacement`` away from its place in CT.

    Of the two true views of a kind (detector in front or behind, left or right) the nearer one counts. Raises
    ``ValueError`` for other kinds of view.
    """
    if kind not in (Kind.AP, Kind.LATERAL):
        raise ValueError(f"kind={kind.value!r}: only a true AP or a true lateral has marks to be measured by.")
    marks = landmarks_of(vertebra) if marks is None else marks
    seen = in_bone(arm, displacement)
    wanted = _nearer(seen.toward_detector, direction_of(kind, vertebra))
    turn, tilt = _to_add(arm, displacement.axes @ wanted)
    ruler = Ruler(seen, vertebra.frame.origin_mm)
    off, percent = _spinous(ruler, marks)
    height, shift = _pedicles(ruler, marks)
    turned = replace(
        arm, primary_angle_deg=arm.primary_angle_deg + turn, secondary_angle_deg=arm.secondary_angle_deg + tilt
    )
    picture = lean_deg(in_bone(turned, displacement), vertebra)
    return Trueness(
        kind,
        {name: _thickness(ruler, outline, vertebra, name, kind) for name, outline in marks.endplates.items()},
        off,
        percent,
        height,
        shift,
        turn,
        tilt,
        picture,
        turn_words(arm, turn, tilt, picture),
    )


def in_bone(arm: CArm, displacement: Pose) -> CArm:
    """The same C-arm as the displaced bone meets it: in the CT's coordinates."""
    back = displacement.axes.T
    there = arm.about(displacement.to_local(arm.isocentre_mm))
    turned = replace(there.facing(back @ arm.toward_detector), roll_deg=0.0)
    wanted, (right, down) = back @ arm.axes[1], turned.axes
    roll = np.degrees(np.arctan2((-1.0 if arm.mirrored else 1.0) * (wanted @ right), wanted @ down))
    return replace(turned, roll_deg=float(roll))


def _nearer(ray: Vector, axis: Vector) -> Vector:
    return axis if ray @ axis >= 0.0 else -axis


def _to_add(arm: CArm, wanted: Vector) -> tuple[float, float]:
    """What to add to the primary and the secondary angle so that the central ray runs along ``wanted``."""
    primary, secondary = angles_of(wanted)
    turn = (primary - arm.primary_angle_deg + 180.0) % 360.0 - 180.0
    return turn, secondary - arm.secondary_angle_deg


def _thickness(ruler: Ruler, outline: Points, vertebra: Vertebra, name: str, kind: Kind) -> float:
    """How thick the line is that an endplate makes: its outline's extent across the line, mm."""
    normal = vertebra.endplates[name].normal
    frame = vertebra.frame
    lies = frame.left if kind is Kind.AP else frame.posterior
    lies = unit(lies - (lies @ normal) * normal)
    right, down = ruler.arm.axes
    line = unit([lies @ down, lies @ right])
    return float(np.ptp(ruler.flat(outline) @ np.array([-line[1], line[0]])))


def _spinous(ruler: Ruler, marks: Landmarks) -> tuple[float, float]:
    """The tip of the spinous process against the middle between the pedicles: mm to the left, per cent."""
    left = marks.vertebra.frame.left
    if marks.spinous_tip is None or len(marks.ovals) < 2:
        return float("nan"), float("nan")
    a, b = (float(ruler.along(_centre(marks, side), left)) for side in (Side.LEFT, Side.RIGHT))
    off = float(ruler.along(marks.spinous_tip, left)) - 0.5 * (a + b)
    return off, 100.0 * off / (0.5 * abs(a - b))


def _pedicles(ruler: Ruler, marks: Landmarks) -> tuple[float, float]:
    """By how much the left pedicle appears higher than the right, and how far apart they lie sideways, mm."""
    if len(marks.ovals) < 2:
        return float("nan"), float("nan")
    left, right = (ruler.flat(_centre(marks, side)) for side in (Side.LEFT, Side.RIGHT))
    return float(right[0] - left[0]), float(abs(left[1] - right[1]))


def _centre(marks: Landmarks, side: Side) -> Points:
    return marks.vertebra.pedicles[side].axis.point_mm
