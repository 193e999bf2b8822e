"""A vertebra and its neighbours, each moved for itself before the others: patients bend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from trocar.geometry import Pose
from trocar.guidance.bone_parts import BonePart, BoneParts
from trocar.guidance.edge_view import EdgeView
from trocar.guidance.pose_search import search
from trocar.guidance.refinement import Optimum, evaluate, refine

#: How far a bone may lie from where the others say, mm, when it is first looked for alone, and the turns that are
#: tried, degrees.
APART_MM = 4.0
_TURNS = np.array([[0, 0, 0], [4, 0, 0], [-4, 0, 0], [0, 4, 0], [0, -4, 0], [0, 0, 4], [0, 0, -4]], dtype=np.float64)
#: Steps of refinement of one bone at a time, of the rest of the patient, and of the last one.
STEPS, REST_STEPS, LAST_STEPS = 4, 3, 12
#: A neighbour of which less is seen stays with the others.
LEAST_SEEN = 0.6


@dataclass(frozen=True, eq=False)
class Apart:
    """Where the bones are: the vertebra itself, its neighbours in order, and all else (``behind``) as one."""

    own: Optimum
    neighbours: tuple[Pose, ...]
    others: Pose
    behind: BonePart


def alone(views: Sequence[EdgeView], bones: BoneParts, together: Pose) -> Apart:
    """The vertebra at its optimum before the others, which stay where they are together."""
    unmoved = unbent(bones, together, evaluate((), bones.own.coarse, together))
    return replace(unmoved, own=_first(views, bones, unmoved))


def unbent(bones: BoneParts, together: Pose, own: Optimum) -> Apart:
    """The vertebra at an optimum of its own, all others where they are together."""
    return Apart(own, (together,) * len(bones.neighbours), together, bones.others)


def articulate(views: Sequence[EdgeView], bones: BoneParts, apart: Apart) -> Apart:
    """The neighbours, each at its optimum before all else, and the vertebra anew."""
    return _own(views, bones, _neighbours(views, bones, apart))


def backed(views: Sequence[EdgeView], bones: BoneParts, apart: Apart, sweeps: int) -> Apart:
    """The same with the rest of the patient behind, who is put in place first, where that explains the image better.

    The soft tissue of the image need not be the CT's: the patient lies otherwise, and the bowel is filled otherwise.
    """
    whole = replace(apart, behind=bones.rest)
    for _ in range(sweeps):
        whole = _own(views, bones, _neighbours(views, bones, _rest(views, bones, whole)))
    return whole if whole.own.mean > apart.own.mean else apart


def settled(views: Sequence[EdgeView], bones: BoneParts, apart: Apart) -> tuple[list[EdgeView], Optimum]:
    """The vertebra at its optimum before the others, and the views with those in them; all on the finest pixels."""
    apart = _neighbours(views, bones, _own(views, bones, apart, fine=True), fine=True)
    if apart.behind is bones.rest:
        apart = _rest(views, bones, apart, fine=True)
    before = _before(views, bones, apart, bones.own, fine=True)
    return before, refine(before, bones.own.fine, bones.own.centre_mm, apart.own.displacement, LAST_STEPS)


def _first(views: Sequence[EdgeView], bones: BoneParts, apart: Apart) -> Optimum:
    """The vertebra, looked for near where the others say it is."""
    before, part = _before(views, bones, apart, bones.own), bones.own
    starts = search(before, part.coarse, part.centre_mm, apart.others, APART_MM, 1, _TURNS)
    places = (apart.others, *(s.displacement for s in starts))
    return max((refine(before, part.coarse, part.centre_mm, p, STEPS) for p in places), key=lambda o: o.mean)


def _own(views: Sequence[EdgeView], bones: BoneParts, apart: Apart, fine: bool = False) -> Apart:
    """The vertebra at its optimum before all else."""
    before = _before(views, bones, apart, bones.own, fine)
    volume = bones.own.fine if fine else bones.own.coarse
    return replace(apart, own=refine(before, volume, bones.own.centre_mm, apart.own.displacement, STEPS))


def _rest(views: Sequence[EdgeView], bones: BoneParts, apart: Apart, fine: bool = False) -> Apart:
    """All else at its optimum behind the vertebrae, about the vertebra: further away it may have moved otherwise.

    On fine pixels no further than the vertebra itself, for time.
    """
    before = _before(views, bones, apart, apart.behind, fine)
    about = bones.own.fine if fine else bones.all.coarse
    volume = apart.behind.fine if fine else apart.behind.coarse
    here = [replace(v, only=v.window(about, apart.own.displacement)) for v in before]
    found = refine(here, volume, apart.behind.centre_mm, apart.others, REST_STEPS)
    return replace(apart, others=found.displacement)


def _neighbours(views: Sequence[EdgeView], bones: BoneParts, apart: Apart, fine: bool = False) -> Apart:
    """Each neighbour at its optimum before all else."""
    for n, part in enumerate(bones.neighbours):
        before = _before(views, bones, apart, part, fine)
        found = refine(before, part.fine if fine else part.coarse, part.centre_mm, apart.neighbours[n], STEPS)
        if min(found.usable) >= LEAST_SEEN:
            places = (*apart.neighbours[:n], found.displacement, *apart.neighbours[n + 1 :])
            apart = replace(apart, neighbours=places)
    return apart


def _before(
    views: Sequence[EdgeView], bones: BoneParts, apart: Apart, moving: BonePart, fine: bool = False
) -> list[EdgeView]:
    """The views with everything behind but the part that is ``moving``."""
    places = [(apart.behind, apart.others), (bones.own, apart.own.displacement)]
    places += list(zip(bones.neighbours, apart.neighbours, strict=True))
    standing = [(part.fine if fine else part.coarse, place) for part, place in places if part is not moving]
    return [view.before(standing) for view in views]
