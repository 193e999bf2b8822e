"""Which way an image is shown: the patient's sides at its edges (DICOM Patient Orientation, 0020,0020).

The first word says where columns grow (to the image's right), the second where rows grow (down): L, R, A, P, H (head)
and F (feet), the nearest direction first (PS3.3 C.7.6.1.1.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trocar.geometry import Vector
from trocar.guidance.carm import CArm

#: Letters along the positive and the negative LPS axes.
LETTERS = (("L", "R"), ("P", "A"), ("H", "F"))

#: A side is named where the edge turns towards it by at least this many degrees.
NAMED_FROM_DEG = 10.0

#: A word agrees with an edge when its first letter lies within this of it: less than the 54.7 degrees at which three
#: sides are equally near, so that no edge agrees with two opposite or with three neighbouring sides.
AGREES_WITHIN_DEG = 54.0


def side_word(direction: Vector) -> str:
    """The patient's sides that an LPS direction points to, the nearest first: "L", "LP", "F" ..."""
    least = np.sin(np.radians(NAMED_FROM_DEG))
    named = [axis for axis in np.argsort(-np.abs(direction), kind="stable") if abs(direction[axis]) >= least]
    return "".join(LETTERS[axis][0 if direction[axis] > 0 else 1] for axis in named)


def patient_orientation(view: CArm) -> tuple[str, str]:
    """What lies at the image's right edge and at its lower edge, as Patient Orientation (0020,0020) has it."""
    right, down = view.axes
    return side_word(right), side_word(down)


def shown_as(view: CArm, words: Sequence[str]) -> CArm | None:
    """The view as an image with these words at its edges shows it; None where the angles and the words contradict.

    Tried are the four quarter turns, then the same mirrored. ``words`` may name the nearest side only.
    """
    for mirrored in (False, True):
        for roll in (0.0, 90.0, 180.0, -90.0):
            turned = replace(view, roll_deg=roll, mirrored=mirrored)
            if all(_agrees(word, axis) for word, axis in zip(words, turned.axes, strict=True)):
                return turned
    return None


def _agrees(word: str, direction: Vector) -> bool:
    for axis, letters in enumerate(LETTERS):
        if word[:1] in letters and word:
            sign = 1.0 if word[0] == letters[0] else -1.0
            return bool(sign * direction[axis] >= np.cos(np.radians(AGREES_WITHIN_DEG)))
    return False
