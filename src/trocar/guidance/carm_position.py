"""A patient on a table in a room: positioner angles of the machine, those about the patient, and moves of the table.

The room's frame is the isocentre coordinate system of DICOM Enhanced XA (PS3.3 C.8.19.6.13.1): its origin is the
isocentre, X points to the table's left, Y down, Z to the table's head, with the table level and not turned. For a
patient who lies supine with the head at the table's head these are left, posterior and superior.

The angles of the machine are Positioner Isocenter Primary, Secondary and Detector Rotation Angle (0018,9463 to 9465).
The primary is positive with the detector to the table's left, the secondary with the detector to the table's head. A
positive detector rotation turns the detector clockwise as seen along the beam's far end towards the source, so that
what it shows turns the other way. These are the signs of the matrices of PS3.17 Z.2 as other programs write them; the
drawing itself was not at hand, and the last two were not checked on a machine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from trocar.geometry import frozen
from trocar.guidance.carm import CArm
from trocar.guidance.carm_angles import angles_of

_X, _Y, _Z = np.eye(3)


class PatientPosition(Enum):
    """How the patient lies on the table: DICOM Patient Position (0018,5100), PS3.3 C.7.3.1.1.2.

    ``HF`` has the head at the table's head, ``FF`` the feet. ``DL`` and ``DR`` are decubitus with that side down.
    """

    HFS = "HFS"
    HFP = "HFP"
    HFDL = "HFDL"
    HFDR = "HFDR"
    FFS = "FFS"
    FFP = "FFP"
    FFDL = "FFDL"
    FFDR = "FFDR"

    @property
    def to_room(self) -> NDArray[np.float64]:
        """3x3: ``to_room @ lps`` is a direction of the patient in the room's frame."""
        return _TO_ROOM[self]

    @property
    def words(self) -> str:
        """As a sentence says it."""
        ends = "head first" if self.value.startswith("HF") else "feet first"
        lies = {"S": "supine", "P": "prone", "DL": "on the left side", "DR": "on the right side"}
        return f"{lies[self.value[2:]]}, {ends}"


def _patient(left: NDArray[np.float64], posterior: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the patient's left and back point in the room decides the rest: the head is across both."""
    return frozen(np.column_stack((left, posterior, np.cross(left, posterior))))


_TO_ROOM = {
    PatientPosition.HFS: _patient(_X, _Y),
    PatientPosition.HFP: _patient(-_X, -_Y),
    PatientPosition.HFDL: _patient(_Y, -_X),
    PatientPosition.HFDR: _patient(-_Y, _X),
    PatientPosition.FFS: _patient(-_X, _Y),
    PatientPosition.FFP: _patient(_X, -_Y),
    PatientPosition.FFDL: _patient(_Y, _X),
    PatientPosition.FFDR: _patient(-_Y, -_X),
}


@dataclass(frozen=True)
class RoomAngles:
    """Where the machine stands, whoever lies on the table: 0018,9463, 9464 and 9465, degrees."""

    primary_deg: float
    secondary_deg: float
    detector_rotation_deg: float = 0.0


def about_patient(view: CArm, angles: RoomAngles, position: PatientPosition) -> CArm:
    """``view`` with the machine at these angles about a patient who lies in this position.

    Primary and secondary angle and the roll are replaced; the roll says how the patient appears on a detector that
    was turned with the machine (180 degrees for feet first: the feet are up).
    """
    room = CArm(
        np.zeros(3), angles.primary_deg, _secondary(angles.secondary_deg), roll_deg=-angles.detector_rotation_deg
    )
    towards, right = (room.toward_detector @ position.to_room, room.axes[0] @ position.to_room)
    primary, secondary = angles_of(towards)
    upright = replace(view, primary_angle_deg=primary, secondary_angle_deg=secondary, roll_deg=0.0, mirrored=False)
    return replace(upright, roll_deg=_roll_deg(upright, right), mirrored=view.mirrored)


def in_room(view: CArm, position: PatientPosition) -> RoomAngles:
    """Where the machine stands for ``view`` when the patient lies in this position.

    A mirrored image stands where the same one does that is not mirrored.
    """
    plain = replace(view, mirrored=False)
    towards, right = (position.to_room @ plain.toward_detector, position.to_room @ plain.axes[0])
    primary, secondary = angles_of(towards)
    return RoomAngles(primary, secondary, 0.0 - _roll_deg(CArm(np.zeros(3), primary, secondary), right))


def after_table_move(
    view: CArm, position: PatientPosition, to_left_mm: float, down_mm: float, to_head_mm: float
) -> CArm:
    """``view`` after the table, and the patient on it, moved along the room's X, Y and Z.

    The patient's frame moves with the patient, so the isocentre moves the other way in it. These are the signs of
    Table X, Y and Z Position to Isocenter (0018,9466 to 9468).
    """
    moved = np.array((to_left_mm, down_mm, to_head_mm)) @ position.to_room
    return view.about(view.isocentre_mm - moved)


def _secondary(angle_deg: float) -> float:
    if not -90.0 <= angle_deg <= 90.0:
        raise ValueError(f"a secondary angle of {angle_deg} degrees is outside -90 to 90.")
    return angle_deg


def _roll_deg(upright: CArm, right: NDArray[np.float64]) -> float:
    """By how much ``upright`` must be rolled for its image to have ``right`` (LPS) at its right."""
    across, down = upright.axes
    angle = float(np.degrees(np.arctan2(-(right @ down), right @ across)))
    return 180.0 if np.isclose(angle, -180.0, rtol=0.0, atol=1e-9) else angle + 0.0
