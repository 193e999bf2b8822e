"""The mark on the skin in words: short lines that a nurse can read out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trocar.geometry import LEFT, SUPERIOR

if TYPE_CHECKING:
    from trocar.planning.position import NeedleAngles, PatientPosition
    from trocar.planning.skin import SkinMark, SkinPoint, SlicePlace

#: Below half a millimetre a distance reads as nothing: a pen line is wider.
PEN_MM = 0.5

#: From this distance (mm) on it is told that the spinous process leans off the midline: a finger takes it for that.
LEANS_MM = 1.5

#: Below half a degree an angle reads as nothing: no hand holds it.
HAND_DEG = 0.5


def lines(mark: SkinMark) -> tuple[str, ...]:
    """The mark in short sentences, in the order of work."""
    t = mark.trajectory
    return (
        f"{t.level}, {t.side.value}, {t.approach}. Patient {mark.position}.",
        f"Needle's mark: {mark.needle.place}{_off_slice(mark.needle.place)}.",
        f"Needle's mark: {mark.needle}; grid {mark.needle.wire}{_origin(mark.needle)}.{_slope(mark)}",
        f"Laser's mark, straight above the bone entry: {mark.laser.place}{_off_slice(mark.laser.place)}.",
        f"Laser's mark: {mark.laser}; grid {mark.laser.wire}{_origin(mark.laser)}.",
        _midline(mark),
        _angle_in_slice(mark),
        _angle_along_body(mark.angles),
        _depth_along_needle(mark),
        _depth_straight_down(mark),
        _cut(mark),
        *_feel(mark),
        _at_the_table(mark),
        _on_the_screen(mark),
    )


def _slope(mark: SkinMark) -> str:
    return " The skin falls away here: measure level, not along the skin." if mark.falls_away else ""


def _midline(mark: SkinMark) -> str:
    """Which midline is meant; a finger finds the tip of the spinous process, which may lean."""
    text = "Midline: the mid-plane of the vertebra"
    return f"{text}; {lean(mark)}." if lean(mark) else f"{text}."


def lean(mark: SkinMark) -> str:
    """How far the tip of the spinous process lies off the midline; empty where that does not matter."""
    off = mark.spinous_off_mm
    if off is None or abs(off) < LEANS_MM:
        return ""
    return f"the tip of the spinous process lies {abs(off):.0f} mm {'left' if off > 0 else 'right'} of this midline"


def _depth_along_needle(mark: SkinMark) -> str:
    t = mark.trajectory
    spare = t.instrument.length_mm - t.length_mm
    rest = f"{spare:.0f} mm of the {t.instrument.length_mm:.0f} mm needle stay outside"
    if spare < 0:
        rest = f"the {t.instrument.length_mm:.0f} mm needle is {-spare:.0f} mm too short"
    return (
        f"Depth along the needle: {t.skin_to_bone_mm:.0f} mm to bone, {t.bone_to_target_mm:.0f} mm more to the target, "
        f"{t.length_mm:.0f} mm in all; {rest}."
    )


def _depth_straight_down(mark: SkinMark) -> str:
    deeper = "deeper" if mark.vertical_to_target_mm >= 0 else "higher"
    return (
        f"Straight down from the laser's mark: {mark.vertical_to_bone_mm:.0f} mm to bone; "
        f"the target lies {abs(mark.vertical_to_target_mm):.0f} mm {deeper}."
    )


def _off_slice(place: SlicePlace) -> str:
    if abs(place.offset_mm) < PEN_MM:
        return ""
    return f", {abs(place.offset_mm):.1f} mm from it towards the {'head' if place.offset_mm > 0 else 'feet'}"


def _origin(point: SkinPoint) -> str:
    if point.face.flank:
        return ""
    side = point.face.side_of(point.from_origin_mm)
    return f"; {abs(point.from_origin_mm):.0f} mm {side} of the scan's centre line (x = 0)"


def aside(position: PatientPosition, angle_deg: float) -> str:
    """Where a tip with an angle of that sign points."""
    names = ("front", "back") if position.on_side else ("left", "right")
    return f"tip to the patient's {names[0] if angle_deg > 0 else names[1]}"


def _angle_in_slice(mark: SkinMark) -> str:
    angle = mark.angles.in_slice_deg
    if abs(angle) < HAND_DEG:
        return "Angle in the slice: straight down."
    toward = ""
    if not mark.position.on_side and abs(mark.needle.offset_mm) >= PEN_MM:
        toward = ", towards the midline" if angle * mark.needle.offset_mm < 0 else ", away from the midline"
    return f"Angle in the slice: {abs(angle):.0f}° from straight down, {aside(mark.position, angle)}{toward}."


def _angle_along_body(angles: NeedleAngles) -> str:
    out = angles.out_of_slice_deg
    if abs(out) < HAND_DEG:
        return "Angle along the body: none, the needle stays in its slice."
    text = f"Angle along the body: {abs(out):.0f}° out of the slice, tip towards the {'head' if out > 0 else 'feet'}"
    if angles.tilt_deg is None:
        return f"{text}; no gantry tilt shows the whole needle in one slice."
    top = "feet" if angles.tilt_deg > 0 else "head"
    return f"{text}; a gantry tilt of {abs(angles.tilt_deg):.0f}°, its top towards the {top}, shows it in one slice."


def _way(across_mm: float, headwards_mm: float, start: SkinPoint) -> str:
    """A step on the skin in words, e.g. "12 mm towards the midline and 5 mm towards the head"."""
    parts = []
    if abs(across_mm) >= PEN_MM:
        end_mm = start.offset_mm + across_mm
        if start.face.flank:
            way = f"towards the {start.face.side_of(across_mm)}"
        elif abs(start.offset_mm) < PEN_MM or (end_mm * start.offset_mm < 0 and abs(end_mm) >= PEN_MM):
            way = f"to the patient's {start.face.side_of(across_mm)}"
        else:
            way = "towards the midline" if across_mm * start.offset_mm < 0 else "away from the midline"
        parts.append(f"{abs(across_mm):.0f} mm {way}")
    if abs(headwards_mm) >= PEN_MM:
        parts.append(f"{abs(headwards_mm):.0f} mm towards the {'head' if headwards_mm > 0 else 'feet'}")
    return " and ".join(parts)


def _cut(mark: SkinMark) -> str:
    text = (
        f"Skin cut: {mark.cut_mm:.0f} mm ({mark.cut_mm / 10:.1f} cm) across the body, its middle on the needle's mark"
    )
    if mark.laser.face is not mark.needle.face:
        return f"{text}; the laser's mark lies on the {mark.laser.face.value}."
    step = mark.laser.point_mm - mark.needle.point_mm
    way = _way(float(step @ mark.needle.face.across), float(step @ SUPERIOR), mark.needle)
    return f"{text}; the laser's mark lies {way} of it." if way else f"{text}, which is also the laser's."


def _feel(mark: SkinMark) -> tuple[str, ...]:
    if mark.landmark is None:
        return ()
    p = mark.landmark
    way = _way(p.across_mm, p.headwards_mm, mark.needle)
    where = f"{way} from the needle's mark" if way else "straight under the needle's mark"
    return (
        f"Feel for the {p.name}: {where}, {p.under_skin_mm:.0f} mm under the skin; "
        f"the needle passes it at {p.along_needle_mm:.0f} mm of depth, {p.aside_mm:.0f} mm aside.",
    )


_FROM_THE_TABLE = "From the free end of the table, looking into the gantry"


def _at_the_table(mark: SkinMark) -> str:
    """As seen by someone at the free end of the table who looks into the gantry."""
    right = mark.position.right
    hand = "right" if -mark.trajectory.direction @ right > 0 else "left"
    lean = "" if abs(mark.angles.in_slice_deg) < HAND_DEG else f"; the hub leans to your {hand}"
    if mark.needle.face.flank or mark.position.on_side:
        return f"{_FROM_THE_TABLE}: the mark is on the {mark.needle.face.value}{lean}."
    side = "right" if mark.needle.offset_mm * float(LEFT @ right) > 0 else "left"
    where = "on the midline" if abs(mark.needle.offset_mm) < PEN_MM else f"to your {side} of the midline"
    return f"{_FROM_THE_TABLE}: the mark is {where}{lean}."


def _on_the_screen(mark: SkinMark) -> str:
    """In the usual view of axial images: the patient's left on the right of the screen, front at the top."""
    x, y, _ = mark.trajectory.direction
    across = "" if abs(x) < 0.01 else ("right" if x > 0 else "left")
    along = "" if abs(y) < 0.01 else ("down" if y > 0 else "up")
    way = " and ".join(w for w in (along, across) if w)
    return f"On the screen with the front at the top and the patient's left on the right: the needle runs {way}."
