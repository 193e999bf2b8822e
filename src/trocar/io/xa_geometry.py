"""Where the C-arm stood: the geometry tags of an X-ray run, checked against each other.

Legacy XA (PS3.3 C.8.7.5) has angles about the patient and two distances; it takes the central ray for the middle of the
image and does not say where the isocentre lies in the patient. Enhanced XA (C.8.19) has the same for each frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from trocar.guidance.carm import CArm, Detector
from trocar.guidance.carm_position import PatientPosition, RoomAngles, about_patient, in_room
from trocar.io.xa_file import XRayFile, as_numbers, sentence_list
from trocar.io.xa_private import ISOCENTRES, PRINCIPAL, private_numbers
from trocar.io.xa_turn import Contradiction, turned
from trocar.measure import Finding, Severity

#: Tags that must be there, as a person finds them.
NEEDED = {
    "DistanceSourceToDetector": "Distance Source to Detector (0018,1110)",
    "DistanceSourceToIsocenter": "Distance Source to Patient (0018,1111)",
    "PositionerPrimaryAngle": "Positioner Primary Angle (0018,1510)",
    "PositionerSecondaryAngle": "Positioner Secondary Angle (0018,1511)",
    "ImagerPixelSpacing": "Imager Pixel Spacing (0018,1164)",
}

#: Estimated magnification and the two distances may differ by this much before it is told: makers round both.
MAGNIFICATION_TOLERANCE = 0.01

#: A detector tilted less than this against the central ray counts as perpendicular: 1 mm of error at 1 m, degrees.
OBLIQUE_DEG = 0.05

#: A tube more than this far above the level of the isocentre, as a sine, stands over the table.
TUBE_ABOVE = 0.5


@dataclass(frozen=True, eq=False)
class Geometry:
    """What a file says of its C-arm.

    ``positions`` has one entry per frame with the isocentre at the origin, or none where the file does not say enough
    or contradicts itself; ``isocentres_mm`` is ``(n, 3)`` in the patient's CT, or None.
    """

    positions: tuple[CArm, ...]
    isocentres_mm: NDArray[np.float64] | None
    patient: PatientPosition | None
    findings: tuple[Finding, ...]


def geometry(file: XRayFile) -> Geometry:
    """The C-arm's positions during a run; what is missing or contradicts itself is told."""
    patient = _patient(file)
    lacking = _lacking(file, patient)
    if lacking:
        text = f"{file.name} does not say where the C-arm stood: it lacks {sentence_list(lacking)}."
        return Geometry((), None, patient, (Finding(Severity.CAUTION, text, "no point can be placed in the patient"),))
    try:
        positions, told = _positions(file, patient)
    except Contradiction as found:
        told = (Finding(Severity.STOP, f"{file.name}: {found}", "its geometry is not used"),)
        return Geometry((), None, patient, told)
    isocentres = _isocentres(file)
    return Geometry(positions, isocentres, patient, (*told, *_about(file, positions[0], patient, isocentres)))


def _lacking(file: XRayFile, patient: PatientPosition | None) -> list[str]:
    there = {
        "DistanceSourceToDetector": file.number("DistanceSourceToDetector"),
        "DistanceSourceToIsocenter": _source_to_isocentre(file, 0),
        "PositionerPrimaryAngle": _angles(file, 0, patient),
        "PositionerSecondaryAngle": _angles(file, 0, patient),
        "ImagerPixelSpacing": _spacing(file, 0),
    }
    return [NEEDED[keyword] for keyword, value in there.items() if value is None]


def _source_to_isocentre(file: XRayFile, frame: int) -> float | None:
    """Enhanced XA's own tag (0018,9402), else that of legacy XA, else by the magnification."""
    for keyword in ("DistanceSourceToIsocenter", "DistanceSourceToPatient"):
        if (found := file.number(keyword, frame)) is not None:
            return found
    detector, factor = (
        file.number("DistanceSourceToDetector", frame),
        file.number("EstimatedRadiographicMagnificationFactor"),
    )
    return detector / factor if detector is not None and factor else None


def _spacing(file: XRayFile, frame: int) -> tuple[float, float] | None:
    found = as_numbers(file.value("ImagerPixelSpacing", frame))
    return (float(found[0]), float(found[1])) if found is not None and len(found) == 2 and found.min() > 0 else None


def _angles(file: XRayFile, frame: int, patient: PatientPosition | None) -> tuple[float, float] | None:
    """About the patient; from the machine's own angles where only these are given and the table is level."""
    primary = file.number("PositionerPrimaryAngle", frame)
    secondary = file.number("PositionerSecondaryAngle", frame)
    if primary is not None and secondary is not None:
        return primary, secondary
    room = [file.number(f"PositionerIsocenter{which}Angle", frame) for which in ("Primary", "Secondary")]
    table = [file.number(f"Table{which}Angle", frame) for which in ("HorizontalRotation", "HeadTilt", "CradleTilt")]
    if patient is None or None in room or any(table) or abs(room[1] or 0.0) > 90.0:
        return None
    view = about_patient(CArm(np.zeros(3)), RoomAngles(room[0] or 0.0, room[1] or 0.0), patient)
    return view.primary_angle_deg, view.secondary_angle_deg


def _positions(file: XRayFile, patient: PatientPosition | None) -> tuple[tuple[CArm, ...], tuple[Finding, ...]]:
    first, told = turned(file, _unturned(file, 0, patient), patient)
    changes = _angle_offsets(file)
    if "PerFrameFunctionalGroupsSequence" not in file.header and not changes.any():
        return (first,) * file.count, told
    return tuple(_frame(file, n, first, changes[n], patient) for n in range(file.count)), told


def _frame(file: XRayFile, n: int, first: CArm, change: NDArray[np.float64], patient: PatientPosition | None) -> CArm:
    """The position at one frame, turned and mirrored as the first."""
    own = first if "PerFrameFunctionalGroupsSequence" not in file.header else _unturned(file, n, patient)
    primary = (own.primary_angle_deg + change[0] + 180.0) % 360.0 - 180.0 if change[0] else own.primary_angle_deg
    secondary = own.secondary_angle_deg + change[1]
    if abs(secondary) > 90.0:
        raise Contradiction(f"the secondary angle of frame {n + 1} would be {secondary:g}°, beyond the pole.")
    shown = replace(own, roll_deg=first.roll_deg, mirrored=first.mirrored)
    return replace(shown, primary_angle_deg=float(primary), secondary_angle_deg=float(secondary))


def _unturned(file: XRayFile, frame: int, patient: PatientPosition | None) -> CArm:
    """Angles and distances of one frame, head up; raises where they are impossible."""
    detector = file.number("DistanceSourceToDetector", frame)
    isocentre, angles, spacing = _source_to_isocentre(file, frame), _angles(file, frame, patient), _spacing(file, frame)
    if detector is None or isocentre is None or angles is None or spacing is None:
        raise Contradiction(f"frame {frame + 1} does not say where the C-arm stood, though the first does.")
    if not 0.0 < isocentre < detector:
        raise Contradiction(
            f"source to detector is {detector:g} mm and source to patient {isocentre:g} mm: the second must be between "
            "0 and the first."
        )
    if abs(angles[0]) > 180.0 or abs(angles[1]) > 90.0:
        raise Contradiction(f"angles of {angles[0]:g}° and {angles[1]:g}° do not exist.")
    pixels = Detector(*file.shape, *spacing, principal=_principal(file, frame, spacing))
    return CArm(np.zeros(3), *angles, detector, isocentre, pixels)


def _principal(file: XRayFile, frame: int, spacing: tuple[float, float]) -> tuple[float, float] | None:
    """Row and column where the central ray meets the image; None (its middle) where the file does not say.

    Position of Isocenter Projection (0018,9430) counts detector elements from the centre of the detector's first;
    Field of View Origin (0018,7030) says where the image, before it was turned and flipped, begins on the detector.
    """
    if (own := private_numbers(file.header, PRINCIPAL)) is not None:
        return float(own[0]), float(own[1])
    keywords = ("PositionOfIsocenterProjection", "FieldOfViewOrigin", "DetectorElementSpacing")
    centre, origin, element = (as_numbers(file.value(keyword, frame)) for keyword in keywords)
    if centre is None or origin is None or element is None or {len(centre), len(origin), len(element)} != {2}:
        return None
    upright = spacing if _quarters(file) % 2 == 0 else spacing[::-1]
    row, column = (centre - origin + 0.5) * element / upright - 0.5
    rows, columns = file.shape
    for _ in range(_quarters(file)):  # back to the unturned image, then forward: each turn exchanges its sides
        rows, columns = columns, rows
    for _ in range(_quarters(file)):
        row, column, rows, columns = column, rows - 1.0 - row, columns, rows
    flipped = file.value("FieldOfViewHorizontalFlip", frame) == "YES"
    return float(row), float(columns - 1.0 - column if flipped else column)


def _quarters(file: XRayFile) -> int:
    return round((file.number("FieldOfViewRotation") or 0.0) / 90.0) % 4


def _angle_offsets(file: XRayFile) -> NDArray[np.float64]:
    """Of each frame from the first, primary and secondary ``(n, 2)`` (C.8.7.5.1.3): one step, or one value a frame."""
    out = np.zeros((file.count, 2))
    for column, which in enumerate(("Primary", "Secondary")):
        value = file.header.get(f"Positioner{which}AngleIncrement")
        if value is None or value == "" or (found := as_numbers(value)) is None or len(found) == 0:
            continue
        if len(found) not in (1, file.count):
            raise Contradiction(f"{len(found)} {which.lower()} angle increments for {file.count} frames.")
        out[:, column] = found[0] * np.arange(file.count) if len(found) == 1 < file.count else found
    return out


# --- what else is told ---------------------------------------------------------------------------


def _about(
    file: XRayFile, view: CArm, patient: PatientPosition | None, isocentres: NDArray[np.float64] | None
) -> tuple[Finding, ...]:
    told = [*_oblique(file), *_magnification(file, view), *_over_the_table(view, patient)]
    if isocentres is None:
        text = f"{file.name} does not say where the isocentre lies in the CT: the view is known in its angles only."
        told.append(Finding(Severity.CAUTION, text, "register the image, or give the isocentre"))
    elif not file.header.get("FrameOfReferenceUID"):
        text = f"{file.name} places its isocentre, but does not say in which CT: check that it is this one."
        told.append(Finding(Severity.CAUTION, text, "no Frame of Reference UID (0020,0052)"))
    if file.header.get("TableMotion") == "DYNAMIC" and private_numbers(file.header, ISOCENTRES) is None:
        text = f"The table moved during {file.name}: only for the first frame does the isocentre hold."
        told.append(Finding(Severity.CAUTION, text, "Table Motion (0018,1134) is DYNAMIC; register again after a move"))
    return tuple(told)


def _oblique(file: XRayFile) -> list[Finding]:
    """A beam that does not meet the detector at a right angle (C.8.7.5.1.4) is beyond what is read here."""
    tilts = [file.number(f"Detector{which}Angle") or 0.0 for which in ("Primary", "Secondary")]
    if max(map(abs, tilts)) <= OBLIQUE_DEG:
        return []
    tilt = max(tilts, key=abs)
    text = f"The central ray of {file.name} meets the detector {tilt:g}° off the perpendicular: it is taken as upright."
    return [Finding(Severity.CAUTION, text, "Detector Primary and Secondary Angle (0018,1530 and 1531)")]


def _magnification(file: XRayFile, view: CArm) -> list[Finding]:
    said = file.number("EstimatedRadiographicMagnificationFactor")
    if said is None or abs(said / view.magnification - 1.0) <= MAGNIFICATION_TOLERANCE:
        return []
    text = f"The header gives a magnification of {said:g}, its distances {view.magnification:.3f}: distances are used."
    return [Finding(Severity.CAUTION, text, "Estimated Radiographic Magnification Factor (0018,1114)")]


def _over_the_table(view: CArm, patient: PatientPosition | None) -> list[Finding]:
    """Angles that were recorded as if the patient lay on the other side put the tube over the table."""
    if patient is None:
        return []
    room = in_room(view, patient)
    above = -np.cos(np.radians(room.primary_deg)) * np.cos(np.radians(room.secondary_deg))
    if above < TUBE_ABOVE:
        return []
    text = f"{view} with the patient {patient.words} puts the tube over the table: check that the position was entered."
    return [Finding(Severity.CAUTION, text, "Patient Position (0018,5100) and the angles")]


def _patient(file: XRayFile) -> PatientPosition | None:
    said = str(file.header.get("PatientPosition") or "")
    if said in PatientPosition.__members__:
        return PatientPosition[said]
    lies = _code(file.header, "PatientOrientationCodeSequence", "PatientOrientationModifierCodeSequence")
    first = _code(file.header, "PatientGantryRelationshipCodeSequence")
    found = f"{_FIRST.get(first, '?')}{_LIES.get(lies, '?')}"
    return PatientPosition.__members__.get(found)


#: SNOMED CT codes of CID 20 and CID 21 that Enhanced XA says the patient's position with.
_LIES = {"40199007": "S", "1240000": "P", "102536004": "DL", "102535000": "DR"}
_FIRST = {"102540008": "HF", "102541007": "FF"}


def _code(header: Dataset, *keywords: str) -> str:
    """The value of a code, or of the modifier within it."""
    item = header
    for keyword in keywords:
        sequence = item.get(keyword) or []
        if not sequence:
            return ""
        item = sequence[0]
    return str(item.get("CodeValue") or "")


def _isocentres(file: XRayFile) -> NDArray[np.float64] | None:
    """Of each frame: as this program keeps them, or Isocenter Position (300A,012C) for all."""
    own = private_numbers(file.header, ISOCENTRES)
    if own is not None and own.size == 3 * file.count:
        return own.reshape(-1, 3)
    found = as_numbers(file.value("IsocenterPosition"))
    if found is None or found.shape != (3,):
        return None
    return np.tile(found, (file.count, 1))
