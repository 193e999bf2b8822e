"""Which way an X-ray image is shown: its turn and its mirror, held against the sides it says are at its edges."""

from __future__ import annotations

from dataclasses import replace

from trocar.guidance.carm import CArm
from trocar.guidance.carm_edges import agrees, patient_orientation, shown_as
from trocar.guidance.carm_position import PatientPosition
from trocar.io.xa_file import XRayFile
from trocar.io.xa_private import ROLL, private_numbers
from trocar.measure import Finding, Severity


class Contradiction(Exception):
    """Two tags of one file that cannot both be true, in words."""


def turned(file: XRayFile, view: CArm, patient: PatientPosition | None) -> tuple[CArm, tuple[Finding, ...]]:
    """The view as its image is turned and mirrored; raises where angles and image contradict each other."""
    declared = _declared_turn(file, view, patient)
    plain = _feet(view, patient)
    words = file.value("PatientOrientation")
    if words is None or isinstance(words, str) or len(words) != 2 or not all(words):
        return declared or plain, _unsaid(file, declared or plain)
    return _agreed(view, declared, [str(w).strip().upper() for w in words], plain)


def _declared_turn(file: XRayFile, view: CArm, patient: PatientPosition | None) -> CArm | None:
    """As Field of View Rotation and Horizontal Flip say (C.8.19.6.2): clockwise from the detector, then flipped."""
    own = private_numbers(file.header, ROLL)
    flip = str(file.value("FieldOfViewHorizontalFlip") or "")
    rotation = file.number("FieldOfViewRotation")
    if own is not None:
        return replace(view, roll_deg=float(own[0]), mirrored=flip == "YES")
    detector = file.number("PositionerIsocenterDetectorRotationAngle")
    if rotation is None and detector is None and not flip:
        return None
    roll = _feet(view, patient).roll_deg - (detector or 0.0) + (rotation or 0.0)
    return replace(view, roll_deg=_half_turn(roll), mirrored=flip == "YES")


def _feet(view: CArm, patient: PatientPosition | None) -> CArm:
    """As a detector that is not turned shows the patient: feet first is feet up."""
    feet_first = patient is not None and patient.value.startswith("FF")
    return replace(view, roll_deg=180.0 if feet_first else 0.0)


def _half_turn(angle_deg: float) -> float:
    turned = (angle_deg + 180.0) % 360.0 - 180.0
    return 180.0 if turned == -180.0 else turned


def _agreed(view: CArm, declared: CArm | None, words: list[str], plain: CArm) -> tuple[CArm, tuple[Finding, ...]]:
    """What angles, turn and mirror give, if the words at the edges agree with it; else the turn the words tell of."""
    expected = declared or plain
    if agrees(expected, words):
        return expected, ()
    found = None if declared is not None else shown_as(plain, words)
    said = f"Patient Orientation (0020,0020) has {words[0]} at the right and {words[1]} at the lower edge"
    if found is not None and not found.mirrored:
        return found, (Finding(Severity.NOTE, f"The image is turned by {found.roll_deg:g}°: {said}.", "as it says"),)
    right, lower = patient_orientation(expected)
    given = f"{view} gives" if declared is None else f"{view} with its rotation and flip gives"
    why = "the image is mirrored, or the patient lay the other way round" if found else "one of them is wrong"
    raise Contradiction(f"{said}, but {given} {right} and {lower}: {why}.")


def _unsaid(file: XRayFile, taken: CArm) -> tuple[Finding, ...]:
    right, down = patient_orientation(taken)
    text = f"{file.name} has no Patient Orientation: {right} is taken to be at the right and {down} at the lower edge."
    return (Finding(Severity.CAUTION, text, "from the angles alone; check left and right on the image"),)
