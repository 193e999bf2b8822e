"""Ways out as flow sees them: what a channel adds to the permeability of its voxels, and how easily one leaves.

A channel narrower than a voxel adds its own conductance to the voxels that it runs through. Where no channel leads to
an opening, the flow converges on it inside one voxel, which a grid does not resolve: the missing resistance is that
between the opening and the ball at whose surface the voxel's pressure holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trocar.injection.routes import Shape, WayOut
from trocar.injection.walls import free_faces
from trocar.mechanics.filling import Mask
from trocar.physics.marrow import CORTEX_MM, CORTEX_MM2, mouth_mm, slot_mm2, tube_mm4
from trocar.physics.porous import Outlet

#: At the surface of a half space the pressure of a voxel that is drained is that of a hemisphere of this many voxels,
#: from the Green's function of the seven-point lattice: 1 / (2 pi (0.2527 + 0.0860)).
HEMISPHERE_VOXELS = 1.0 / (2.0 * math.pi * (0.2527 + 0.0860))
#: The same for a row of voxels drained along a line: the square root of exp(-pi/2), as Peaceman's radius of a well.
HALF_CYLINDER_VOXELS = math.sqrt(math.exp(-0.5 * math.pi))
#: A slit of a width drains a half plane as a half cylinder of a quarter of it.
_SLIT_SHARE = 0.25

Field = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Bed:
    """Porosity ``[k, j, i]`` (0 outside) and permeability ``[3, k, j, i]`` (mm2) of voxels ``spacing_mm``."""

    porosity: Field
    permeability_mm2: Field
    spacing_mm: tuple[float, float, float]

    @property
    def voxel_mm(self) -> float:
        """The edge of a cube as large as a voxel."""
        return float(np.prod(self.spacing_mm) ** (1.0 / 3.0))

    def face_mm2(self, axis: int) -> float:
        """Area of a voxel's face across an axis."""
        return float(np.prod(self.spacing_mm) / self.spacing_mm[axis])

    def only(self, kept: Mask) -> Bed:
        """Nothing outside ``kept``."""
        return replace(
            self,
            porosity=np.where(kept, self.porosity, 0.0),
            permeability_mm2=np.where(kept, self.permeability_mm2, 0.0),
        )


def carved(bed: Bed, way: WayOut, factor: float) -> Bed:
    """The bed with a way's channel up to its exits, its bore ``factor`` times the median; an opening has none."""
    if way.shape is Shape.OPENING or not way.channel.any():
        return bed
    run = _run(way)
    wide, added = _own(bed, way, factor, run)
    porosity = np.where(run, bed.porosity + (1.0 - bed.porosity) * wide, bed.porosity)
    permeability = np.array(bed.permeability_mm2)
    for axis in range(3):
        permeability[axis][run & _beside(run, axis)] += added[axis]
        # a voxel outside the bone that only the channel makes part of the medium seeps across as cortex does
        permeability[axis][run] = np.maximum(permeability[axis][run], CORTEX_MM2.median)
    return replace(bed, porosity=porosity, permeability_mm2=permeability)


def outlet(bed: Bed, way: WayOut, factor: float) -> Outlet:
    """The outlet of a way; raises ``ValueError`` where none of its exits is joined to the bone."""
    cells = np.flatnonzero(np.asarray(way.exits, bool) & (bed.porosity > 0.0))
    if len(cells) == 0:
        raise ValueError(f"{way.name}: none of its {int(np.sum(way.exits))} exits is joined to the body.")
    if way.shape is Shape.OPENING:
        return Outlet(way.name, cells, _open(bed, way, cells))
    bore = way.bore_mm * factor
    if way.shape is Shape.TUBE:
        return Outlet(way.name, cells, _tube(bed, way, bore, cells), bore)
    return Outlet(way.name, cells, _slit(bed, way, bore, cells))


def cortex(bed: Bed, where: Mask, factor: float) -> Outlet:
    """The intact wall: every voxel ``where`` the bed has a free face, through pores that let only marrow pass."""
    per_face = [bed.face_mm2(a) * factor * CORTEX_MM2.median / CORTEX_MM for a in range(3)]
    total = np.zeros(bed.porosity.shape)
    for axis, free in enumerate(free_faces(bed.porosity > 0.0)):
        half = bed.permeability_mm2[axis] * bed.face_mm2(axis) / (0.5 * bed.spacing_mm[axis])
        total += free * _series(half, per_face[axis])
    cells = np.flatnonzero((total > 0.0) & where)
    return Outlet("cortex", cells, total.reshape(-1)[cells], passes=False)


def _run(way: WayOut) -> Mask:
    """The voxels that a channel makes part of the medium."""
    return np.asarray(way.channel, bool) | np.asarray(way.exits, bool)


def _own(bed: Bed, way: WayOut, factor: float, run: Mask) -> tuple[float, tuple[float, ...]]:
    """The share of its voxels that a channel fills, and the permeability that it adds along k, j, i."""
    bore = way.bore_mm * factor
    if way.shape is Shape.SLIT:
        wide, flow = bore / (bed.voxel_mm * _layers(run)), bore * slot_mm2(bore)
        return min(wide, 1.0), (flow / (bed.voxel_mm * _layers(run)),) * 3
    side_by_side, detour = _across(run)
    wide = math.pi * bore**2 / (bed.voxel_mm**2 * side_by_side)
    return min(wide, 1.0), tuple(detour * tube_mm4(bore) / (bed.face_mm2(a) * side_by_side) for a in range(3))


def _across(run: Mask) -> tuple[float, float]:
    """How many voxels lie side by side in a line of voxels that touch by faces, and its detour; a thin line has one.

    The line's length is that of its middle, in steps along the axes, from slice to slice across its longest extent;
    the detour is that over the straight way from end to end.
    """
    where = np.argwhere(run)
    main = int(np.argmax(where.max(axis=0) - where.min(axis=0)))
    _, at = np.unique(where[:, main], return_inverse=True)
    middles = np.stack([np.bincount(at, where[:, axis]) / np.bincount(at) for axis in range(3)], axis=1)
    steps = float(np.abs(np.diff(middles, axis=0)).sum())
    straight = float(np.linalg.norm(middles[-1] - middles[0]))
    return max(1.0, len(where) / (steps + 1.0)), max(1.0, (steps + 1.0) / (straight + 1.0))


def _layers(run: Mask) -> int:
    """How many voxels lie on one another in a sheet, seen from where it is widest."""
    widest = max(int(run.any(axis=a).sum()) for a in range(3))
    return max(1, round(int(run.sum()) / widest))


def _beside(run: Mask, axis: int) -> Mask:
    """Voxels with a neighbour of the same run along an axis."""
    padded = np.pad(run, 1)
    near = np.roll(padded, 1, axis) | np.roll(padded, -1, axis)
    return np.asarray(near[1:-1, 1:-1, 1:-1])


def _open(bed: Bed, way: WayOut, cells: NDArray[np.int64]) -> Field:
    """Through the free faces: the voxel's own permeability over half of it."""
    total = np.zeros(bed.porosity.shape)
    for axis, free in enumerate(free_faces(bed.porosity > 0.0)):
        total += free * bed.permeability_mm2[axis] * bed.face_mm2(axis) / (0.5 * bed.spacing_mm[axis])
    found = total.reshape(-1)[cells]
    if not found.all():
        raise ValueError(
            f"{way.name}: {int((found == 0.0).sum())} of its exits lie inside the bone, with no free face."
        )
    return found


def _tube(bed: Bed, way: WayOut, bore_mm: float, cells: NDArray[np.int64]) -> Field:
    """Half a voxel of tube, shared among the exits; where no channel leads to it, after converging on its mouth."""
    own = np.full(len(cells), tube_mm4(bore_mm) / (0.5 * bed.voxel_mm) / len(cells))
    if way.channel.any():
        return own
    mouth = mouth_mm(bore_mm / math.sqrt(len(cells)))
    away = max(0.0, 1.0 / mouth - 1.0 / (HEMISPHERE_VOXELS * bed.voxel_mm))
    return _converging(own, _mean_mm2(bed, cells) * 2.0 * math.pi, away)


def _slit(bed: Bed, way: WayOut, width_mm: float, cells: NDArray[np.int64]) -> Field:
    """Half a voxel between two plates as long as the exits; where no channel leads to it, after converging on it."""
    per_cell = width_mm * slot_mm2(width_mm) * bed.voxel_mm / (0.5 * bed.voxel_mm)
    own = np.full(len(cells), per_cell / _across(np.asarray(way.exits, bool))[0])
    if way.channel.any():
        return own
    away = max(0.0, math.log(HALF_CYLINDER_VOXELS * bed.voxel_mm / (_SLIT_SHARE * width_mm)))
    return _converging(own, _mean_mm2(bed, cells) * math.pi * bed.voxel_mm, away)


def _mean_mm2(bed: Bed, cells: NDArray[np.int64]) -> Field:
    """The permeability that an anisotropic half space shows a small hole: near the geometric mean of the three."""
    return np.asarray(np.cbrt(np.prod(bed.permeability_mm2.reshape(3, -1)[:, cells], axis=0)))


def _converging(own: Field, scale: Field, away: float) -> Field:
    """A conductance behind a resistance ``away / scale``."""
    return own if away == 0.0 else _series(own, scale / away)


def _series(one: Field, other: Field | float) -> Field:
    """Two conductances one behind the other; 0 where either is."""
    product, total = one * other, one + other
    return np.divide(product, total, out=np.zeros_like(product), where=total > 0.0)
