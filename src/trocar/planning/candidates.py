"""The grid of the search: tips in the target zone, gates beside or in the pedicle, and all their pairs.

A gate is the point where the needle's axis crosses the coronal plane through the pedicle's isthmus.
Both grids lie in the vertebra's own frame and are mirrored for the other side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.vertebra import Pedicle, Vertebra
from trocar.errors import LevelError
from trocar.geometry import Side, Vector
from trocar.measure import Range
from trocar.planning.access import Approach, Margins
from trocar.planning.clearance import bone_along_mm
from trocar.planning.instrument import Needle
from trocar.planning.maps import Maps, level_maps

#: Step of the tips' grid, mm; that of the gates is the approach's.
TIP_STEP_MM = 2.0
#: The stretch behind the tip where instrument and cement work: endplates and cortex must stay clear of it, mm.
WORKING_MM = 10.0
#: The wall margin holds from this far behind the pedicle's isthmus to the tip, mm.
BEHIND_ISTHMUS_MM = 3.0


@dataclass(frozen=True)
class Site:
    """One level made ready for the search: its maps, shared by all sides and approaches."""

    anatomy: Anatomy
    level: Level
    maps: Maps

    @classmethod
    def of(cls, anatomy: Anatomy, level: Level) -> Site:
        """Build the maps around one whole level."""
        return cls(anatomy, level, level_maps(anatomy, level))

    @property
    def vertebra(self) -> Vertebra:
        """The vertebra at the site."""
        return self.anatomy.vertebra(self.level)

    def pedicle(self, side: Side) -> Pedicle:
        """The pedicle of one side; raises :class:`LevelError` when it could not be measured."""
        found = self.vertebra.pedicles.get(side)
        if found is None:
            raise LevelError(f"the {side.value} pedicle of {self.level} could not be found: plan the other side.")
        return found


@dataclass(frozen=True)
class TargetZone:
    """Where the tip may lie: the anterior-middle third of the body, near the midline.

    ``depth`` are fractions of the body's depth from its front, with ``ideal_depth`` the best;
    ``aside_mm`` how far from the midline towards the needle's side, ``across_mm`` beyond it;
    ``updown_mm`` from mid height.
    """

    depth: Range = field(default_factory=lambda: Range(1.0 / 6.0, 0.5))
    ideal_depth: float = 1.0 / 3.0
    aside_mm: float = 14.0
    across_mm: float = 2.0
    updown_mm: float = 4.0


@dataclass(frozen=True)
class Candidates:
    """All pairs of tips and gates of one side: LPS tips, unit ways from tip to gate, and what is known beforehand.

    ``gate_mm`` is how far from the tip the gate lies, ``wall_mm`` how far from it the needle must lie
    in bone; ``floor_mm`` is the slack to endplates and cortex, ``ruled_out`` where that is negative by
    more than half a voxel; ``deviation_mm`` ``(n, 3)`` is the tip's place outwards of the midline,
    behind the ideal depth and above mid height.
    """

    tips_mm: NDArray[np.float64]
    ways: NDArray[np.float64]
    gate_mm: NDArray[np.float64]
    wall_mm: NDArray[np.float64]
    floor_mm: NDArray[np.float64]
    ruled_out: NDArray[np.bool_]
    deviation_mm: NDArray[np.float64]

    @property
    def off_mm(self) -> NDArray[np.float64]:
        """The tip's distance from the mid-sagittal plane."""
        return np.abs(self.deviation_mm[:, 0])

    def at(self, rows: NDArray[np.intp]) -> Candidates:
        """Some of the candidates."""
        return Candidates(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def enumerate_candidates(
    site: Site, side: Side, approach: Approach, instrument: Needle, margins: Margins, target: TargetZone
) -> Candidates:
    """Every pair of a tip and a gate within the approach's angles, in the order tip, gate."""
    frame, pedicle = site.vertebra.frame, site.pedicle(side)
    mirror = np.array([side.sign, 1.0, 1.0])
    tips, deviation = _tips(site, side, target)
    gates = _gates(frame.to_local(pedicle.axis.point_mm) * mirror, pedicle, approach)
    tip, gate = (a.ravel() for a in np.meshgrid(range(len(tips)), range(len(gates)), indexing="ij"))
    way = gates[gate] - tips[tip]
    far = np.linalg.norm(way, axis=1)
    way /= far[:, None]
    transverse = np.degrees(np.arctan2(way[:, 0], way[:, 1]))
    sagittal = np.degrees(np.arctan2(-way[:, 2], way[:, 1]))
    ok = _within(transverse, approach.transverse_deg) & _within(sagittal, approach.sagittal_deg)
    tip, way = tip[ok], way[ok]
    tips_mm, ways = frame.to_world(tips[tip] * mirror), (way * mirror) @ frame.axes.T
    wall = wall_stretch_mm(approach, pedicle, tips_mm, ways)
    floor, ruled_out = _floor_mm(site, tips_mm, ways, instrument, margins)
    return Candidates(tips_mm, ways, far[ok], wall, floor, ruled_out, deviation[tip])


def _within(values: NDArray[np.float64], limits: Range) -> NDArray[np.bool_]:
    return np.asarray((values >= limits.low) & (values <= limits.high))


def body_depth(site: Site) -> tuple[float, float]:
    """Front and back of the body on the midline, as posterior coordinates in the vertebra's frame, mm."""
    frame = site.vertebra.frame
    front, back = (bone_along_mm(site.maps, frame.origin_mm, s * frame.posterior) for s in (-1.0, 1.0))
    return -front, back


def _tips(site: Site, side: Side, target: TargetZone) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tips ``(n, 3)``, outwards, posterior, superior in the vertebra's frame, and how they lie to the ideal."""
    front, back = body_depth(site)
    depth = back - front
    ideal = front + target.ideal_depth * depth
    x = np.arange(-target.across_mm, target.aside_mm + 1e-9, TIP_STEP_MM)
    y = ideal + _steps(
        (target.depth.low - target.ideal_depth) * depth, (target.depth.high - target.ideal_depth) * depth, TIP_STEP_MM
    )
    z = np.arange(-target.updown_mm, target.updown_mm + 1e-9, TIP_STEP_MM)
    grid = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1).reshape(-1, 3)
    deviation = grid - (0.0, ideal, 0.0)
    grid[:, 2] += _mid_height(site, side, grid)
    return grid, deviation


def _mid_height(site: Site, side: Side, local: NDArray[np.float64]) -> NDArray[np.float64]:
    """Height half-way between the endplates above each point ``(outwards, posterior, 0)``."""
    frame, mirror = site.vertebra.frame, np.array([side.sign, 1.0, 1.0])
    flat = frame.to_world(local * (1.0, 1.0, 0.0) * mirror)
    upper, lower = (-p.height_mm(flat) / float(p.normal @ frame.superior) for p in site.vertebra.endplates.values())
    return np.asarray(0.5 * (upper + lower))


def _gates(isthmus: Vector, pedicle: Pedicle, approach: Approach) -> NDArray[np.float64]:
    """Gates ``(n, 3)``: outwards, posterior, superior; on a grid centred on the isthmus."""
    half_width, half_height = pedicle.width.value / 2.0, pedicle.height.value / 2.0
    low = max(half_width + approach.gate_lateral_mm.low, -half_width - approach.gate_height_mm)
    across = _steps(low, half_width + approach.gate_lateral_mm.high, approach.gate_step_mm)
    upward = _steps(
        -half_height - approach.gate_height_mm, half_height + approach.gate_height_mm, approach.gate_step_mm
    )
    a, u = (g.ravel() for g in np.meshgrid(across, upward, indexing="ij"))
    return np.asarray(isthmus + np.stack([a, np.zeros_like(a), u], axis=-1))


def _steps(low: float, high: float, step: float) -> NDArray[np.float64]:
    """Whole steps between two offsets, counted from zero."""
    return np.arange(math.ceil(low / step), math.floor(high / step) + 1, dtype=np.float64) * step


def wall_stretch_mm(
    approach: Approach, pedicle: Pedicle, tips: NDArray[np.float64], ways: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How far from the tip the needle must lie in bone with its wall margin."""
    if not approach.through_pedicle:
        return np.full(len(tips), WORKING_MM)
    axis = pedicle.axis
    return np.asarray(((tips - axis.point_mm) @ axis.direction + BEHIND_ISTHMUS_MM) / -(ways @ axis.direction))


def _floor_mm(
    site: Site, tips: NDArray[np.float64], ways: NDArray[np.float64], instrument: Needle, margins: Margins
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Slack known before any sample: both endplates along the working stretch, the cortex at the tip.

    With it, where it is negative by more than half a voxel.
    """
    region, terms = site.maps.region, []
    for plane in site.vertebra.endplates.values():
        nearest = np.minimum(-plane.height_mm(tips), -plane.height_mm(tips + WORKING_MM * ways))
        terms.append((nearest - instrument.radius_mm - margins.endplate_mm, region.half_voxel_mm(plane.normal)))
    cortex = site.maps.sample(tips) - margins.anterior_cortex_mm
    terms.append((cortex, region.half_voxel_mm(site.vertebra.frame.posterior)))
    return np.min([t for t, _ in terms], axis=0), np.any([t < -half for t, half in terms], axis=0)
