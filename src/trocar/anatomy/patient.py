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
from trocar.anatomy.reading import Reading, read_vertebra
from trocar.anatomy.skin import body_mask
from trocar.anatomy.surface import Surface
from trocar.anatomy.vertebra import Vertebra
from trocar.errors import LevelError
from trocar.geometry import SUPERIOR, Side, Vector
from trocar.measure import Finding, Measure
from trocar.volume import Volume

#: A bone less thick than this share of the scan's typical vertebra does not show the spine's course.
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
            why = "; ".join(f.text for f in vertebra.findings) or "the field of view cuts it"
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
    surfaces = {v: Surface.of(labels.vertebrae[v], ct) for v in levels}
    middles = {v: core(surfaces[v]) for v in levels}
    readings = {
        v: read_vertebra(
            v, labels.vertebrae[v], ct, surfaces[v], middles[v], _course(v, levels, middles), _ribs(v, labels)
        )
        for v in levels
    }
    structures, derived = _passages(readings, ct, labels)
    return Anatomy(
        ct=ct,
        vertebrae={v: _among_neighbours(v, readings) for v in levels},
        structures={**labels.structures, **structures},
        skin=body_mask(ct),
        derived=derived,
        findings=(*ct.findings, *labels.findings),
        scheme=labels.scheme,
        digests=labels.digests,
    )


def _course(level: Level, levels: list[Level], middles: dict[Level, Core]) -> Vector:
    """The spine's direction at a level: from the body below to the body above, LPS."""
    typical = float(np.median([middles[v].depth_mm for v in levels]))
    solid = frozenset(v for v in levels if middles[v].depth_mm >= COURSE_SHARE * typical) | {level}
    above, below = neighbours(level, solid)
    upper, lower = middles[above or level].centre_mm, middles[below or level].centre_mm
    return upper - lower if above or below else SUPERIOR


def _ribs(level: Level, labels: Labels) -> dict[Side, Volume]:
    """The ribs that belong to a thoracic level, by side, as far as they are labelled."""
    names = {side: f"rib_{side.value}_{str(level)[1:]}" for side in Side} if level.region == "thoracic" else {}
    return {side: labels.structures[n] for side, n in names.items() if n in labels.structures}


def _stations(readings: dict[Level, Reading]) -> list[Station]:
    out = []
    for level, r in readings.items():
        if r.tube is None or r.grid is None:
            continue
        ends = sorted(float(r.grid.pose.to_local(p.point_mm)[2]) for p in r.vertebra.endplates.values())
        out.append(
            Station(
                level,
                r.grid.pose,
                r.tube,
                (ends[0], ends[1]),
                float(r.grid.axes_mm[2][0]),
                r.grid.step_mm,
                r.isthmuses or {},
                r.vertebra.mask,
            )
        )
    return out


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
    if not vertebra.endplates:
        return vertebra
    seen = frozenset(v for v, r in readings.items() if r.vertebra.endplates and r.vertebra.whole)
    above, below = neighbours(level, seen)
    measures = list(vertebra.measures)
    if above and below:
        angle = cobb_deg(
            readings[above].vertebra.endplates["superior"],
            readings[below].vertebra.endplates["inferior"],
            vertebra.frame,
        )
        method = (
            f"Angle between the upper endplate of {above} and the lower endplate of {below} (Cobb), kyphosis positive."
        )
        measures.append(Measure("local_kyphosis", angle, "deg", method=method))
    others = [readings[v].vertebra.heights.posterior.value for v in (above, below) if v]
    found = fracture(vertebra.heights, float(np.mean(others)) if others else None)
    if found is not None:
        measures += found.measures()
    return replace(vertebra, measures=tuple(measures))
