"""The patient as the planner sees it: CT, vertebrae, the structures around them, the skin."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from trocar.anatomy.canal import Station, foramina, spinal_canal
from trocar.anatomy.frame import Core, core
from trocar.anatomy.heights import cobb_deg
from trocar.anatomy.labels import Labels, union
from trocar.anatomy.lesion import fracture
from trocar.anatomy.levels import Level, neighbours
from trocar.anatomy.reading import Bone, Reading, borders, measure_vertebra
from trocar.anatomy.skin import body_mask
from trocar.anatomy.surface import Surface
from trocar.anatomy.unlabelled import unlabelled
from trocar.anatomy.vertebra import Vertebra
from trocar.errors import LevelError
from trocar.geometry import SUPERIOR, Side, Vector
from trocar.measure import Finding, Measure
from trocar.volume import Volume

#: A neighbour less thick than this share of a vertebra has no body in the scan to show the spine's course.
COURSE_SHARE = 0.6


@dataclass(frozen=True)
class Anatomy:
    """A CT and what is known to lie in it.

    ``structures`` maps a name ("aorta", "lung_left", "spinal_canal", "rib_left_9" ...) to a mask on
    a cropped grid of its own. ``derived`` names the structures that no label file gave and the
    software worked out (always the canal and the root foramina, unless labelled).
    ``skin`` is the body without table and clothes, on the CT's grid. ``findings`` are about
    the images and the labels; each vertebra carries its own. ``scheme`` is the label scheme used.
    """

    ct: Volume
    vertebrae: dict[Level, Vertebra]
    structures: dict[str, Volume]
    skin: Volume
    derived: frozenset[str] = frozenset()
    findings: tuple[Finding, ...] = ()
    scheme: str = ""
    digests: tuple[tuple[str, str], ...] = ()

    def vertebra(self, level: Level | str) -> Vertebra:
        """The whole vertebra at ``level``; raises :class:`LevelError` when absent or cut."""
        level = Level.parse(level)
        if level not in self.vertebrae:
            have = ", ".join(str(v) for v in sorted(self.vertebrae, key=lambda v: v.order)) or "no vertebra"
            raise LevelError(f"level {level} is not in the labels, which have {have}: name one of those.")
        vertebra = self.vertebrae[level]
        if not vertebra.whole:
            why = "; ".join(f.text.rstrip(".") for f in vertebra.findings) or "the field of view cuts it"
            raise LevelError(f"level {level} is not whole ({why}): scan further, or choose a whole level.")
        return vertebra

    @property
    def whole_levels(self) -> tuple[Level, ...]:
        """Levels that can be planned, head to foot."""
        return tuple(sorted((v for v, x in self.vertebrae.items() if x.whole), key=lambda v: v.order))


def build_anatomy(ct: Volume, labels: Labels) -> Anatomy:
    """Understand every labelled vertebra of a CT, derive the canal and the root foramina, find the skin.

    ``labels`` lie on sub-grids of the CT's grid (``io`` sees to that). A vertebra that is cut or
    cannot be told apart stays in the result with ``whole=False`` and a finding that says why.
    """
    levels = sorted(labels.vertebrae, key=lambda v: v.order)
    readings = {bone.level: measure_vertebra(bone, ct) for bone in _bones(levels, ct, labels)}
    structures, derived = _passages(readings, ct, labels)
    skin = body_mask(ct)
    seen, told = unlabelled(ct, skin, labels)
    return Anatomy(
        ct=ct,
        vertebrae={v: _among_neighbours(v, readings) for v in levels},
        structures={**labels.structures, **structures, **seen},
        skin=skin,
        derived=derived | seen.keys(),
        findings=(*ct.findings, *labels.findings, *told),
        scheme=labels.scheme,
        digests=labels.digests,
    )


def _bones(levels: list[Level], ct: Volume, labels: Labels) -> list[Bone]:
    """What is known of each vertebra before it is read."""
    surfaces = {v: Surface.of(labels.vertebrae[v], ct) for v in levels}
    middles = {v: core(surfaces[v]) for v in levels}
    body = labels.subregions.get("body")
    return [
        Bone(
            level=v,
            mask=labels.vertebrae[v],
            surface=surfaces[v],
            middle=middles[v],
            up=_course(v, levels, middles),
            ribs=_ribs(v, labels),
            body=body,
            cut=bool(borders(labels.vertebrae[v], ct)),
        )
        for v in levels
    ]


def _course(level: Level, levels: list[Level], middles: dict[Level, Core]) -> Vector:
    """The spine's direction at a level: from the body below to the body above, LPS."""
    least = COURSE_SHARE * middles[level].depth_mm
    solid = frozenset(v for v in levels if middles[v].depth_mm >= least)
    above, below = neighbours(level, solid)
    upper, lower = middles[above or level].centre_mm, middles[below or level].centre_mm
    return upper - lower if above or below else SUPERIOR


def _ribs(level: Level, labels: Labels) -> dict[Side, Volume]:
    """The ribs that belong to a thoracic level, by side, as far as they are labelled."""
    names = {side: f"rib_{side.value}_{str(level)[1:]}" for side in Side} if level.region == "thoracic" else {}
    return {side: labels.structures[n] for side, n in names.items() if n in labels.structures}


def _stations(readings: dict[Level, Reading]) -> list[Station]:
    """Every vertebra whose layout is known as a station of the canal, head to foot."""
    return [
        Station(
            level,
            r.layout.pose,
            r.layout.tube,
            r.layout.heights_mm,
            float(r.layout.grid.axes_mm[2][0]),
            r.layout.grid.step_mm,
            r.layout.isthmuses,
            r.vertebra.mask,
        )
        for level, r in readings.items()
        if r.layout is not None
    ]


def _passages(readings: dict[Level, Reading], ct: Volume, labels: Labels) -> tuple[dict[str, Volume], frozenset[str]]:
    """The canal and the root foramina as structures, and which of them were derived."""
    stations = _stations(readings)
    if not stations:
        return {}, frozenset()
    bone = union(list(labels.vertebrae.values()))
    canal = spinal_canal(stations, ct, bone, labels.structures.get("spinal_cord"))
    found = foramina(stations, ct, bone)
    if canal is not None and "spinal_canal" not in labels.structures:
        found["spinal_canal"] = canal
    return found, frozenset(found)


def _among_neighbours(level: Level, readings: dict[Level, Reading]) -> Vertebra:
    """The vertebra with what only its neighbours can tell: local kyphosis and the grade of a fracture."""
    vertebra = readings[level].vertebra
    if not vertebra.whole:
        return vertebra
    whole = {v: r.vertebra for v, r in readings.items() if r.vertebra.whole}
    above, below = neighbours(level, frozenset(whole))
    measures = vertebra.measures + _kyphosis(vertebra, above and whole[above], below and whole[below])
    others = [whole[v].heights.posterior.value for v in (above, below) if v]
    found = fracture(vertebra.heights, float(np.mean(others)) if others else None)
    if found is None:
        return replace(vertebra, measures=measures)
    return replace(vertebra, measures=measures + found.measures(), findings=vertebra.findings + found.findings(level))


def _kyphosis(own: Vertebra, above: Vertebra | None, below: Vertebra | None) -> tuple[Measure, ...]:
    """Local kyphosis: from the upper endplate of the level above to the lower endplate of the level below."""
    upper, lower = above or own, below or own
    if upper is lower:
        return ()
    angle = cobb_deg(upper.endplates["superior"], lower.endplates["inferior"], own.frame)
    ends = f"the upper endplate of {upper.level} and the lower endplate of {lower.level}"
    method = f"Angle between {ends} (Cobb), seen from the side of {own.level}; kyphosis is positive."
    return (Measure("local_kyphosis", angle, "deg", method=method),)
