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

#: A word agrees with an edge when its first letter lies within this of it: just over the 54.7 degrees at which three
#: sides are equally near, so that the nearest side always agrees and an opposite one never.
AGREES_WITHIN_DEG = 55.0


def side_word(direction: Vector) -> str:
    """The patient's sides that an LPS direction points to, the nearest first: "L", "LP", "F" ..."""
    least = np.sin(np.radians(NAMED_FROM_DEG))
    named = [axis for axis in np.argsort(-np.abs(direction), kind="stable") if abs(direction[axis]) >= least]
    return "".join(LETTERS[axis][0 if direction[axis] > 0 else 1] for axis in named)


def patient_orientation(view: CArm) -> tuple[str, str]:
    """What lies at the image's right edge and at its lower edge, as Patient Orientation (0020,0020) has it."""
    right, down = view.axes
    return side_word(right), side_word(down)


def agrees(view: CArm, words: Sequence[str]) -> bool:
    """Whether an image of this view can have these words at its right and its lower edge."""
    least = np.cos(np.radians(AGREES_WITHIN_DEG))
    return all(_along(word, axis) >= least for word, axis in zip(words, view.axes, strict=True))


def shown_as(view: CArm, words: Sequence[str]) -> CArm | None:
    """The view as an image with these words at its edges shows it; None where the angles and the words contradict.

    Of the four quarter turns, and the same mirrored, that which agrees best. ``words`` may name the nearest side only.
    """
    turns = [replace(view, roll_deg=r, mirrored=m) for m in (False, True) for r in (0.0, 90.0, 180.0, -90.0)]
    possible = [turned for turned in turns if agrees(turned, words)]
    return max(possible, key=lambda v: sum(map(_along, words, v.axes)), default=None)


def _along(word: str, direction: Vector) -> float:
    """How far a direction goes to the side that the word's first letter names; -1 for no such side."""
    for axis, (positive, negative) in enumerate(LETTERS):
        if word[:1] == positive:
            return float(direction[axis])
        if word[:1] == negative:
            return -float(direction[axis])
    return -1.0
