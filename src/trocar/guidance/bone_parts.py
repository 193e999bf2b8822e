"""One vertebra alone, the bones around it, and both: what each adds to soft tissue, ready to be projected."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trocar.anatomy.levels import neighbours
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.vertebra import Vertebra
from trocar.geometry import Vector
from trocar.guidance.backdrop import DENSEST_HU, rest_of
from trocar.volume import Volume

#: Soft tissue, HU: what is above it is taken for bone's.
SOFT_HU = 50.0
#: Around a vertebra, where no mask says what is bone: above this, HU, it is. Contrast-filled vessels are, too.
BONE_HU = 120.0
#: How far beyond its mask a vertebra reaches, mm: the scanner's blur takes its rim out of a mask at half height.
RIM_MM = 2.0
#: How far around a vertebra the surroundings go, mm: its neighbours' bodies and the heads of its ribs.
AROUND_MM = 35.0
#: Attenuation of bone above soft tissue, per mm and HU. A scale only: similarity does not depend on it.
PER_MM_HU = 2e-5
#: Voxels no larger than this, mm, for the fine and for the coarse pixels.
FINE_MM, COARSE_MM = 1.5, 3.0


@dataclass(frozen=True, eq=False)
class BonePart:
    """Attenuation above soft tissue (per mm) of some bone; ``centre_mm`` is what it turns about, LPS."""

    volume: Volume
    centre_mm: Vector

    @cached_property
    def fine(self) -> Volume:
        """The same with voxels of up to :data:`FINE_MM`."""
        return coarser(self.volume, FINE_MM)

    @cached_property
    def coarse(self) -> Volume:
        """The same with voxels of up to :data:`COARSE_MM`."""
        return coarser(self.volume, COARSE_MM)


@dataclass(frozen=True, eq=False)
class BoneParts:
    """A vertebra by itself (``own``), the vertebrae next to it, the other bones around it, and ``all`` as one.

    ``rest`` is the whole patient at that height but for the vertebra and its neighbours, soft tissue included.
    """

    vertebra: Vertebra
    own: BonePart
    neighbours: tuple[BonePart, ...]
    others: BonePart
    all: BonePart
    rest: BonePart


def bone_parts(anatomy: Anatomy, vertebra: Vertebra) -> BoneParts:
    """A vertebra of an anatomy, parted from the bones around it."""
    region = anatomy.ct.crop_around(vertebra.mask.points_mm(), AROUND_MM)
    hu = np.asarray(region.array, dtype=np.float32)
    more = np.clip(hu - SOFT_HU, 0.0, DENSEST_HU - SOFT_HU) * np.float32(PER_MM_HU)
    unlabelled = (hu > BONE_HU) & anatomy.skin.onto(region).array
    parts = []
    for one in (vertebra, *_next_to(anatomy, vertebra)):
        mask = _with_rim(anatomy, one, region)
        unlabelled &= ~mask
        parts.append(BonePart(_attenuating(np.where(mask, more, 0.0), region), one.frame.origin_mm))
    others = BonePart(_attenuating(np.where(unlabelled, more, 0.0), region), vertebra.frame.origin_mm)
    together = sum((p.volume.array for p in parts), others.volume.array)
    own, *neighbours = (BonePart(_trimmed(p.volume), p.centre_mm) for p in parts)
    whole = BonePart(_attenuating(np.minimum(together, more), region), vertebra.frame.origin_mm)
    rest = BonePart(rest_of(anatomy, vertebra, [p.volume for p in (own, *neighbours)]), vertebra.frame.origin_mm)
    return BoneParts(vertebra, own, tuple(neighbours), others, whole, rest)


def _next_to(anatomy: Anatomy, vertebra: Vertebra) -> list[Vertebra]:
    """The labelled vertebrae directly above and below, whole or not."""
    return [anatomy.vertebrae[v] for v in neighbours(vertebra.level, frozenset(anatomy.vertebrae)) if v]


def _with_rim(anatomy: Anatomy, vertebra: Vertebra, region: Volume) -> NDArray[np.bool_]:
    """The vertebra's mask with its rim, less what other masks of vertebrae claim."""
    mask = vertebra.mask.onto(region).array
    reach = max(RIM_MM, min(region.spacing_mm))
    near = ndimage.distance_transform_edt(~mask, sampling=region.spacing_mm) <= reach
    for other in anatomy.vertebrae.values():
        if other.level is not vertebra.level:
            near &= ~other.mask.onto(region).array
    return near


def _attenuating(array: NDArray[np.float32], region: Volume) -> Volume:
    return replace(region, array=np.ascontiguousarray(array, dtype=np.float32), unit="/mm", findings=())


def _trimmed(volume: Volume) -> Volume:
    """Without the empty border."""
    where = ndimage.find_objects((volume.array > 0.0).astype(np.uint8))
    if not where:
        return volume
    return volume.crop([s.start for s in where[0]], [s.stop for s in where[0]])


def coarser(volume: Volume, most_mm: float) -> Volume:
    """Whole numbers of voxels taken together, as many as fit into ``most_mm`` along each axis."""
    by = [max(1, int(most_mm / s + 1e-6)) for s in volume.spacing_mm]
    if max(by) == 1:
        return volume
    padded = np.pad(volume.array, [(0, -n % b) for n, b in zip(volume.shape, by, strict=True)])
    k, j, i = (n // b for n, b in zip(padded.shape, by, strict=True))
    means = padded.reshape(k, by[0], j, by[1], i, by[2]).mean(axis=(1, 3, 5), dtype=np.float32)
    affine = volume.affine.copy()
    affine[:3, 3] = volume.world_mm([(b - 1) / 2 for b in by])
    affine[:3, :3] *= by[::-1]
    return replace(volume, array=means, affine=affine)


def corners_mm(volume: Volume) -> NDArray[np.float64]:
    """The eight corners ``(8, 3)`` of a volume's box, LPS."""
    ends = [(-0.5, n - 0.5) for n in volume.shape]
    return volume.world_mm(np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3))
