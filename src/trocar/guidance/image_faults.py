"""Whether an image is what it says: not mirrored, not upside down, not inverted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from trocar.geometry import Pose
from trocar.guidance.bone_parts import BonePart
from trocar.guidance.edge_view import EdgeView
from trocar.guidance.pose_search import search
from trocar.guidance.refinement import refine

#: How far about its expected place the bone is looked for in each way of reading the image, mm: a vertebra and more.
REACH_MM = 44.0
#: An image that fits another way of reading it by this much better is refused. Ours: see docs/registration.md.
BETTER_BY = 0.04
#: Turns tried (degrees), and steps of refinement.
_TURNS = np.array([[0, 0, 0], [7, 0, 0], [-7, 0, 0], [0, 7, 0], [0, -7, 0], [0, 0, 7], [0, 0, -7]], dtype=np.float64)
_STEPS = 4


class Reading(Enum):
    """How an image may have to be read; the value is what is then wrong with it."""

    AS_GIVEN = ""
    MIRRORED = "left and right exchanged (mirrored, or seen from the other side of the patient)"
    UPSIDE_DOWN = "head and feet exchanged (upside down)"
    TURNED = "turned by 180 degrees"
    INVERTED = "black and white exchanged (inverted)"


@dataclass(frozen=True)
class Read:
    """How well the bones fit an image in one way of reading it."""

    reading: Reading
    similarity: float


def read_as(view: EdgeView, reading: Reading) -> EdgeView:
    """The view as it were if the image had to be read that way: edges flip, and change their sign."""
    field: NDArray[np.float32] = view.field
    usable = view.usable
    if reading is Reading.INVERTED:
        return replace(view, field=-field, _spectra={})
    if reading in (Reading.MIRRORED, Reading.TURNED):
        field, usable = field[:, :, ::-1] * np.array([1, -1], np.float32)[:, None, None], usable[:, ::-1]
    if reading in (Reading.UPSIDE_DOWN, Reading.TURNED):
        field, usable = field[:, ::-1] * np.array([-1, 1], np.float32)[:, None, None], usable[::-1]
    return replace(view, field=np.ascontiguousarray(field), usable=np.ascontiguousarray(usable), _spectra={})


def readings(view: EdgeView, bones: BonePart, start: Pose) -> tuple[Read, ...]:
    """How well the bones fit the image, read in each way, somewhere near where they should be; the best first."""
    found = []
    for reading in Reading:
        seen = [read_as(view, reading)]
        begin = search(seen, bones.coarse, bones.centre_mm, start, REACH_MM, 1, _TURNS)[0]
        best = refine(seen, bones.coarse, bones.centre_mm, begin.displacement, _STEPS)
        found.append(Read(reading, best.mean * min(1.0, best.usable[0])))
    return tuple(sorted(found, key=lambda r: -r.similarity))


def fault(read: tuple[Read, ...]) -> Reading:
    """What is wrong with the image, or that it is as given."""
    given = next(r for r in read if r.reading is Reading.AS_GIVEN)
    return read[0].reading if read[0].similarity > given.similarity + BETTER_BY else Reading.AS_GIVEN
