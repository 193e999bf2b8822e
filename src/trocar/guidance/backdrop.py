"""What stands behind some vertebrae in an image: the rest of the patient, ribs, lungs and soft tissue.

Over the thoracic spine the strongest edges are not the vertebra's: ribs, the diaphragm and the lungs cross it. Drawn
without them, it is pulled towards them. The rest moves for itself (a breath, another table), and so has a place of its
own; where it explains the image worse than bone alone, it is left out (:mod:`trocar.guidance.articulation`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.patient import Anatomy
from trocar.anatomy.vertebra import Vertebra
from trocar.volume import Volume

#: Air, HU, and the attenuation of water above it, per mm and HU (0.02 per mm at about 70 keV). A scale only.
AIR_HU, PER_MM_HU = -1000.0, 2e-5
#: Rays through a vertebra's window leave its slices by less than this, mm, within a patient 40 cm across.
BESIDE_MM = 60.0
#: Denser than any bone, HU: metal and its streaks end here.
DENSEST_HU = 2000.0


def rest_of(anatomy: Anatomy, vertebra: Vertebra, without: Sequence[Volume]) -> Volume:
    """The patient's attenuation (per mm) at a vertebra's height and beside it, less what some parts already hold.

    ``without`` lie on the CT's voxels. Beyond the ends of the CT its last slices are repeated: an end is no edge.
    """
    ct = anatomy.ct
    at = ct.index_kji(vertebra.mask.points_mm())[:, 0]
    reach = BESIDE_MM / ct.spacing_mm[0]
    first, last = int(np.floor(at.min() - reach)), int(np.ceil(at.max() + reach)) + 1
    low, high = max(first, 0), min(last, ct.shape[0])
    mu = _attenuation(np.asarray(ct.array[low:high], np.float32), anatomy.skin.array[low:high])
    for part in without:
        _take_away(mu, part, ct.index_kji(part.world_mm((0, 0, 0))) - (low, 0, 0))
    affine = ct.affine.copy()
    affine[:3, 3] = ct.world_mm((first, 0, 0))
    whole = np.pad(mu, ((low - first, last - high), (0, 0), (0, 0)), mode="edge")
    return replace(ct, array=whole, affine=affine, unit="/mm", findings=())


def _attenuation(hu: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    out = np.clip(hu, AIR_HU, DENSEST_HU)
    out -= np.float32(AIR_HU)
    out *= np.float32(PER_MM_HU)
    out *= inside
    return out


def _take_away(mu: NDArray[np.float32], part: Volume, corner_kji: NDArray[np.float64]) -> None:
    """Take a part's attenuation off, where it lies within."""
    corner = np.rint(corner_kji).astype(int)
    here = [slice(max(c, 0), min(c + n, size)) for c, n, size in zip(corner, part.shape, mu.shape, strict=True)]
    own = tuple(slice(h.start - c, h.stop - c) for h, c in zip(here, corner, strict=True))
    mu[tuple(here)] -= part.array[own]
