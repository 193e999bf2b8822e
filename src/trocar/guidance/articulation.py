"""A vertebra and its neighbours, each moved for itself before the others: patients bend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trocar.geometry import Pose
from trocar.guidance.bone_parts import BoneParts
from trocar.guidance.edge_view import EdgeView
from trocar.guidance.pose_search import search
from trocar.guidance.refinement import Optimum, evaluate, refine

#: How far a bone may lie from where the others say, mm, when it is first looked for alone, and the turns that are
#: tried, degrees.
APART_MM = 4.0
_TURNS = np.array([[0, 0, 0], [4, 0, 0], [-4, 0, 0], [0, 4, 0], [0, -4, 0], [0, 0, 4], [0, 0, -4]], dtype=np.float64)
#: Steps of refinement of one bone at a time, and of the last one.
STEPS, LAST_STEPS = 4, 12
#: A neighbour of which less is seen stays with the others.
LEAST_SEEN = 0.6


@dataclass(frozen=True, eq=False)
class Apart:
    """Where the bones are: the vertebra itself, its neighbours in order, and all others as one."""

    own: Optimum
    neighbours: tuple[Pose, ...]
    others: Pose


def articulate(views: Sequence[EdgeView], bones: BoneParts, together: Pose, sweeps: int) -> Apart:
    """Part the bones, from where they are together: the vertebra, then its neighbours, then anew."""
    same = (together,) * len(bones.neighbours)
    unmoved = Apart(evaluate((), bones.own.coarse, together), same, together)
    apart = Apart(_first(views, bones, unmoved), same, together)
    for _ in range(1, sweeps):
        apart = _neighbours(views, bones, apart)
        before = _before(views, bones, apart, None)
        own = refine(before, bones.own.coarse, bones.own.centre_mm, apart.own.displacement, STEPS)
        apart = Apart(own, apart.neighbours, together)
    return apart


def settled(views: Sequence[EdgeView], bones: BoneParts, apart: Apart) -> tuple[list[EdgeView], Optimum]:
    """The vertebra at its optimum before the others, and the views with those in them."""
    before = _before(views, bones, apart, None, fine=True)
    return before, refine(before, bones.own.fine, bones.own.centre_mm, apart.own.displacement, LAST_STEPS)


def _first(views: Sequence[EdgeView], bones: BoneParts, apart: Apart) -> Optimum:
    """The vertebra, looked for near where the others say it is."""
    before, part = _before(views, bones, apart, None), bones.own
    starts = search(before, part.coarse, part.centre_mm, apart.others, APART_MM, 1, _TURNS)
    places = (apart.others, *(s.displacement for s in starts))
    return max((refine(before, part.coarse, part.centre_mm, p, STEPS) for p in places), key=lambda o: o.mean)


def _neighbours(views: Sequence[EdgeView], bones: BoneParts, apart: Apart) -> Apart:
    """Each neighbour at its optimum before all else."""
    for n, part in enumerate(bones.neighbours):
        before = _before(views, bones, apart, n)
        found = refine(before, part.coarse, part.centre_mm, apart.neighbours[n], STEPS)
        if min(found.usable) >= LEAST_SEEN:
            places = (*apart.neighbours[:n], found.displacement, *apart.neighbours[n + 1 :])
            apart = Apart(apart.own, places, apart.others)
    return apart


def _before(
    views: Sequence[EdgeView], bones: BoneParts, apart: Apart, moving: int | None, fine: bool = False
) -> list[EdgeView]:
    """The views with all bones behind but one: the vertebra itself, or the neighbour ``moving``."""
    standing = [(bones.others, apart.others)]
    standing += [(b, p) for n, (b, p) in enumerate(zip(bones.neighbours, apart.neighbours, strict=True)) if n != moving]
    if moving is not None:
        standing.append((bones.own, apart.own.displacement))
    parts = [(b.fine if fine else b.coarse, p) for b, p in standing]
    return [view.before(parts) for view in views]
