"""Positioner angles: as a direction, and as people write them.

DICOM PS3.3 C.8.7.5.1.2 has them like longitude and latitude about the patient: the primary is 0 in front of the chest
and +90 degrees at the patient's left (LAO), the secondary +90 degrees at the head (CRA).
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import ArrayLike

from trocar.geometry import Vector, unit

#: A direction this near the patient's long axis has no primary angle of its own; it is written as 0.
POLE_DEG = 1e-6

#: The four words of the field, with the angle each one is about (0 primary, 1 secondary) and its sign.
WORDS = {"LAO": (0, 1.0), "RAO": (0, -1.0), "CRA": (1, 1.0), "CAU": (1, -1.0)}

#: Whole views that have a name of their own. "Lateral" has none: it is from the left or from the right.
NAMED = {"AP": (0.0, 0.0), "PA": (180.0, 0.0)}

_PART = re.compile(r"(?P<word>LAO|RAO|CRAN?|CAUD?)\s*(?P<value>\d+(?:[.]\d*)?)\s*(?:\u00b0|DEG)?", re.IGNORECASE)


def direction_of(primary_deg: float, secondary_deg: float) -> Vector:
    """Unit vector (LPS) from the isocentre to the detector."""
    a, b = np.radians((primary_deg, secondary_deg))
    return np.array((np.sin(a) * np.cos(b), -np.cos(a) * np.cos(b), np.sin(b)))


def angles_of(direction: ArrayLike) -> tuple[float, float]:
    """Primary and secondary angle, degrees, of a detector that lies in this direction (LPS, any length)."""
    left, posterior, superior = unit(direction)
    across = float(np.hypot(left, posterior))
    secondary = float(np.degrees(np.arctan2(superior, across)))
    if across < np.radians(POLE_DEG):
        return 0.0, secondary
    primary = float(np.degrees(np.arctan2(left, -posterior)))
    return (180.0 if primary == -180.0 else primary), secondary


def angles_text(primary_deg: float, secondary_deg: float) -> str:
    """As an operator reads it on the display, "LAO 25, CRA 15", to a tenth of a degree."""
    return f"{_signed(primary_deg, 'LAO', 'RAO')}, {_signed(secondary_deg, 'CRA', 'CAU')}"


def angles_from_text(text: str) -> tuple[float, float]:
    """Primary and secondary angle of "LAO 25, CRA 15", "cau10 rao 30", "RAO 5.5°", "AP" or "PA".

    An angle that is not named is 0. Raises ``ValueError`` for anything else, also for an angle named twice.
    """
    plain = text.strip().upper()
    if plain in NAMED:
        return NAMED[plain]
    rest = _PART.sub("", plain)
    parts = [(WORDS[m["word"][:3]], float(m["value"])) for m in _PART.finditer(plain)]
    which = [axis for (axis, _), _ in parts]
    if not parts or rest.strip(" ,;/+") or len(set(which)) < len(which):
        raise ValueError(f'"{text}" is no view: write for instance "LAO 25, CRA 15", "RAO 30", "AP" or "PA".')
    angles = [0.0, 0.0]
    for (axis, sign), value in parts:
        angles[axis] = sign * value
    if abs(angles[0]) > 180.0 or abs(angles[1]) > 90.0:
        raise ValueError(f'"{text}" is out of range: LAO and RAO go up to 180, CRA and CAU up to 90 degrees.')
    return angles[0], angles[1]


def _signed(value_deg: float, positive: str, negative: str) -> str:
    value = round(value_deg, 1)
    return f"{positive if value >= 0.0 else negative} {abs(value):g}"
