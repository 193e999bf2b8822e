"""What the CT shows beside the spine and no label names: bone, and lung or gas.

Labels may lack a structure, or half of one. A needle is kept out of what is plainly visible all the
same: voxels of bone or of air inside the body, in pieces of at least :data:`LEAST_ML`, more than
:data:`NEAR_MM` away from everything labelled (label edges are no new structure) and, for air, from the
skin. It is a net under the labels, not a segmentation: thin bone, fluid and soft organs fall through it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trocar.anatomy.labels import Labels
from trocar.measure import Finding, Severity
from trocar.volume import Volume

#: Cortical bone lies above (contrast medium too), lung and gas below; soft tissue and spongy bone between, HU.
BONE_HU, AIR_HU = 250.0, -500.0
#: Smaller pieces are noise or calcifications, millilitres.
LEAST_ML = 0.5
#: Edges of labels, and the skin, are uncertain by this much, mm.
NEAR_MM = 4.0
#: How far to the side, to the back and along the spine a needle may come from, mm, from the vertebrae.
SIDEWAYS_MM, BACKWARD_MM, ALONG_MM = 95.0, 120.0, 40.0

AIR, BONE = "unlabelled_air", "unlabelled_bone"


def unlabelled(ct: Volume, skin: Volume, labels: Labels) -> tuple[dict[str, Volume], tuple[Finding, ...]]:
    """Masks named :data:`AIR` and :data:`BONE`, each only where there is any, and what is told of them."""
    if not labels.vertebrae:
        return {}, ()
    hu = _beside_the_spine(ct, labels)
    body, known = skin.onto(hu).array, _labelled(labels, hu)
    deep = ndimage.minimum_filter(body.view(np.uint8), _box(hu)).view(bool)
    seen = {
        BONE: _pieces((hu.array > BONE_HU) & deep & ~known, hu),
        AIR: _pieces((hu.array < AIR_HU) & deep & ~known, hu),
    }
    found = {name: mask for name, mask in seen.items() if mask.array.any()}
    return found, tuple(_told(name, mask) for name, mask in found.items())


def _beside_the_spine(ct: Volume, labels: Labels) -> Volume:
    corners = [mask.world_mm(np.array([(0, 0, 0), mask.shape]) - 0.5) for mask in labels.vertebrae.values()]
    low, high = np.min(corners, axis=(0, 1)), np.max(corners, axis=(0, 1))
    low -= (SIDEWAYS_MM, NEAR_MM, ALONG_MM)
    high += (SIDEWAYS_MM, BACKWARD_MM, ALONG_MM)
    return ct.crop_around(np.stack(np.meshgrid(*zip(low, high, strict=True)), axis=-1), 0.0)


def _box(volume: Volume) -> tuple[int, ...]:
    """The size of a box that reaches :data:`NEAR_MM` to either side, voxels k, j, i."""
    return tuple(2 * max(1, round(NEAR_MM / s)) + 1 for s in volume.spacing_mm)


def _labelled(labels: Labels, on: Volume) -> NDArray[np.bool_]:
    """Everything labelled, and its surroundings."""
    out = np.zeros(on.shape, dtype=bool)
    for mask in (*labels.vertebrae.values(), *labels.structures.values(), *labels.subregions.values()):
        out |= mask.onto(on).array
    return np.asarray(ndimage.maximum_filter(out.view(np.uint8), _box(on)).view(bool))


def _pieces(mask: NDArray[np.bool_], grid: Volume) -> Volume:
    pieces, _ = ndimage.label(mask)
    large = np.bincount(pieces.ravel()) * grid.voxel_ml >= LEAST_ML
    large[0] = False
    return replace(grid, array=large[pieces], unit="mask", acquisition=None, findings=())


def _told(name: str, mask: Volume) -> Finding:
    what = "bone (or contrast medium)" if name == BONE else "lung or gas"
    volume_ml = float(mask.array.sum()) * mask.voxel_ml
    text = f"{volume_ml:.1f} ml of {what} beside the spine are in no label: needles keep clear of it."
    return Finding(Severity.NOTE, text, "seen by its CT number; what cannot be seen so is not checked")
