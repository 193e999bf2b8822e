"""Which vertebra is it? A start that is one or two vertebrae off must not end at a confident-looking wrong level.

From every start the neighbours are tried, too: the vertebra is looked for where it should be, and one and two
vertebrae above and below. At each of these places it is compared with the image *with the bones around it* (its
neighbours, the heads of its ribs), which a wrong place shows elsewhere; then for itself, before those bones. Unless one
place fits clearly better than any other, the level is not known, and a person has to say it. The idea of comparing a
CT's levels with one image is LevelCheck's (Otake et al., Phys Med Biol 57:5485, 2012).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.vertebra import Vertebra
from trocar.geometry import Pose, Vector
from trocar.guidance.refinement import Optimum

#: How many vertebrae up and down are tried.
LEVELS_OFF = (0, -1, 1, -2, 2)
#: Where the last of them fits best the next one is tried, too, up to so many; what is found there is not relied on, as
#: nothing beyond was tried.
FARTHEST_OFF = 4
#: Two places nearer than this, mm, are one: half the height of a small vertebra with its disc.
SAME_PLACE_MM = 10.0
#: Between vertebrae of which a scan shows one alone, mm: about a lower thoracic body with its disc.
USUAL_STEP_MM = 28.0
#: The best place must fit this well, and better than the next by this much. Ours, and set by eye on simulated images of
#: two CTs: the benchmark's wrong levels were told with them, on cases of the same kind, which says little of others.
LEAST_FIT, LEAST_LEAD = 0.30, 0.06


@dataclass(frozen=True, eq=False)
class Place:
    """One level that was tried: how many vertebrae below the start (negative: above), where it ended, and how it fits.

    ``together`` is the optimum of the vertebra with the bones around it as one, ``own`` that of the vertebra before
    them. ``fit`` is the mean of both similarities, each taken off by the share of the silhouette that is not seen.
    """

    levels_off: int
    together: Optimum
    own: Optimum | None = None

    @property
    def fit(self) -> float:
        """How well the image is explained, about 0 to 1."""
        if self.own is None:
            return 0.5 * seen_fit(self.together)
        return 0.5 * (seen_fit(self.together) + seen_fit(self.own))

    @property
    def displacement(self) -> Pose:
        """Where the vertebra is there."""
        return (self.own or self.together).displacement


def seen_fit(optimum: Optimum) -> float:
    """The views' mean similarity, each taken off by what is not seen of the silhouette."""
    return float(np.mean([max(s, 0.0) * u for s, u in zip(optimum.similarity, optimum.usable, strict=True)]))


def step_mm(anatomy: Anatomy, vertebra: Vertebra, levels: int) -> Vector:
    """From a body's centre to that of the vertebra so many levels below (negative: above), LPS, mm.

    Beyond the vertebrae that the scan shows the spine goes straight on.
    """
    centres = _chain(anatomy, vertebra)
    here = centres.index_of(vertebra.level)
    return centres.at(here + levels) - centres.at(here)


@dataclass(frozen=True, eq=False)
class _Chain:
    levels: tuple[Level, ...]
    centres_mm: tuple[Vector, ...]

    def index_of(self, level: Level) -> int:
        return self.levels.index(level)

    def at(self, n: int) -> Vector:
        last = len(self.centres_mm) - 1
        if 0 <= n <= last:
            return self.centres_mm[n]
        if last == 0:
            return self.centres_mm[0] - np.array((0.0, 0.0, USUAL_STEP_MM * n))
        end, before = (0, 1) if n < 0 else (last, last - 1)
        return self.centres_mm[end] + abs(n - end) * (self.centres_mm[end] - self.centres_mm[before])


def _chain(anatomy: Anatomy, vertebra: Vertebra) -> _Chain:
    """The whole vertebrae that follow each other without a gap about this one, head to foot."""
    order = list(Level)
    present = [v for v in order if v in anatomy.vertebrae and (anatomy.vertebrae[v].whole or v is vertebra.level)]
    here = present.index(vertebra.level)
    first = last = here
    while first > 0 and present[first].order - present[first - 1].order <= 2:
        first -= 1
    while last + 1 < len(present) and present[last + 1].order - present[last].order <= 2:
        last += 1
    kept = present[first : last + 1]
    return _Chain(tuple(kept), tuple(anatomy.vertebrae[v].frame.origin_mm for v in kept))


def ranked(places: list[Place], centre_mm: Vector) -> list[Place]:
    """The places, best fit first, of those that are one and the same only the best."""
    out: list[Place] = []
    for place in sorted(places, key=lambda p: -p.fit):
        at = place.displacement.to_world(centre_mm)
        if all(np.linalg.norm(at - o.displacement.to_world(centre_mm)) > SAME_PLACE_MM for o in out):
            out.append(place)
    return out


def lead(places: list[Place]) -> float:
    """By how much the best of ranked places fits better than the next."""
    return places[0].fit - (places[1].fit if len(places) > 1 else 0.0)
