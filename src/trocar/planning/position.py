"""How the patient lies in the scanner, and how a needle stands in that room.

The room has three directions: *up*, *in* (from the table into the gantry) and *right*, the right
hand of someone who stands at the free end of the table and looks into the gantry. DICOM's patient
position (0018,5100) ties them to the patient: head or feet enter first, and the patient lies
prone, supine, or on one side. Decubitus left is lying *on* the left side.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike

from trocar.geometry import LEFT, POSTERIOR, SUPERIOR, Vector, unit

#: Flatter than this (degrees from the vertical, within the room's vertical planes) no tilt of the
#: gantry brings the needle into the slice: the two become parallel to the table.
TILTABLE_DEG = 75.0


class PatientPosition(Enum):
    """DICOM's words for how a patient lies in the scanner (0018,5100)."""

    HFP = "HFP"
    HFS = "HFS"
    FFP = "FFP"
    FFS = "FFS"
    HFDL = "HFDL"
    HFDR = "HFDR"
    FFDL = "FFDL"
    FFDR = "FFDR"

    @classmethod
    def parse(cls, text: str | PatientPosition) -> PatientPosition:
        """Read DICOM's word in any case; raises ``ValueError``."""
        if isinstance(text, PatientPosition):
            return text
        name = str(text).strip().upper()
        if name not in cls.__members__:
            raise ValueError(f"position={text!r} is not a patient position: use {', '.join(cls.__members__)}.")
        return cls[name]

    @property
    def head_first(self) -> bool:
        """Whether the head enters the gantry first."""
        return self.value.startswith("HF")

    @property
    def lies(self) -> str:
        """How the patient lies: "prone", "supine", "on the left side" or "on the right side"."""
        return _LIES[self.value[2:]]

    @property
    def on_side(self) -> bool:
        """Whether the patient lies on a side."""
        return self.value[2:] in ("DL", "DR")

    @property
    def up(self) -> Vector:
        """The room's up in LPS."""
        return {"P": POSTERIOR, "S": -POSTERIOR, "DL": -LEFT, "DR": LEFT}[self.value[2:]]

    @property
    def inward(self) -> Vector:
        """From the free end of the table into the gantry, in LPS."""
        return SUPERIOR if self.head_first else -SUPERIOR

    @property
    def right(self) -> Vector:
        """The right hand of someone at the free end of the table who looks into the gantry, in LPS."""
        return np.cross(self.inward, self.up)

    @property
    def across(self) -> Vector:
        """The patient's direction that lies level in the slice: left, or front when lying on a side (LPS)."""
        return -POSTERIOR if self.on_side else LEFT

    def __str__(self) -> str:
        return f"{self.lies}, {'head' if self.head_first else 'feet'} first ({self.value})"


_LIES = {"P": "prone", "S": "supine", "DL": "on the left side", "DR": "on the right side"}


@dataclass(frozen=True)
class NeedleAngles:
    """How a needle stands in the room, seen from the skin towards the tip; all in degrees.

    ``in_slice_deg`` is the angle from straight down within the axial slice, positive where the tip
    points to the patient's left (prone, supine) or front (lying on a side); beyond 90 the needle would come
    from below. ``out_of_slice_deg`` is the angle between needle and slice, positive where the tip
    points towards the head. ``tilt_deg`` is the acute angle along the body from the vertical, as the
    needle appears from the side: the gantry tilt that brings the whole needle into one slice,
    positive where the needle's lower end points towards the head (that is the tip, unless the needle
    comes from below); None where the needle is too flat for one.
    """

    in_slice_deg: float
    out_of_slice_deg: float
    tilt_deg: float | None
    position: PatientPosition

    @property
    def dicom_tilt_deg(self) -> float | None:
        """``tilt_deg`` with DICOM's sign (0018,1120): positive where the gantry's top leans over the table."""
        if self.tilt_deg is None:
            return None
        return self.tilt_deg if self.position.head_first else -self.tilt_deg

    @property
    def from_below(self) -> bool:
        """Whether the needle would have to come up through the table."""
        return abs(self.in_slice_deg) > 90.0


def angles_of(direction: ArrayLike, position: PatientPosition) -> NeedleAngles:
    """The angles of a needle that points along ``direction`` (LPS, skin to tip).

    With d the direction, n straight down and a level across: in the slice atan2(d.a, d.n), along
    the body atan2(d.s, d.n), out of the slice asin(d.s). Prone this is atan2(dx, -dy) and atan2(dz, -dy).
    A needle from below (d.n < 0) lies in the same tilted slice as one turned end for end.
    """
    d = unit(direction)
    down, aside, head = float(-d @ position.up), float(d @ position.across), float(d @ SUPERIOR)
    tilt = float(np.degrees(np.arctan2(np.copysign(1.0, down) * head, abs(down))))
    flat = float(np.degrees(np.arctan2(np.hypot(aside, head), abs(down)))) > TILTABLE_DEG
    return NeedleAngles(
        float(np.degrees(np.arctan2(aside, down))),
        float(np.degrees(np.arcsin(np.clip(head, -1.0, 1.0)))),
        None if flat else tilt,
        position,
    )
