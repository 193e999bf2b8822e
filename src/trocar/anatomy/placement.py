"""Whether labels lie where the CT has bone: the check of place for files without a frame of reference.

The measure is a contrast without a threshold of its own. Among the voxels of the labelled bones and
those just outside them, some threshold separates bright from dark best; the contrast is the share of
labelled voxels above it less the share of outside voxels above it (a one-sided Kolmogorov-Smirnov
distance): 0 where the labels lie anywhere, near 1 where every labelled voxel is denser than all around.
Osteoporosis and thick slices lower it, but they lower it at every other place too: so the place that
the file says is also compared with places near it and with its mirror images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trocar.anatomy.labels import union
from trocar.volume import Volume

#: Least contrast of labels that lie on bone. Measured on three real scans (2, 2.5 and 3 mm): 0.70 to 0.71, single
#: vertebrae 0.46 to 0.96, and 0.52 to 0.57 with marrow set to 20 HU and cortex thinned; mirrored 0.11 to 0.15,
#: upside down 0.08 to 0.42, one vertebra off 0.00 to 0.27.
CONTRAST_MIN = 0.30

#: A place that beats the file's own by more than this is taken for the true one.
CONTRAST_MARGIN = 0.05

#: How far outside the labels, in the same slice, "just outside" lies, mm: beyond partial volume, and within the
#: neighbouring soft tissue. Above and below lie other vertebrae, labelled or not.
NEAR_MM, FAR_MM = 2.0, 7.0

#: Trial displacements along each axis of the scan, mm: less than the distance of two cervical vertebrae, so that no
#: neighbour is taken for the vertebra itself.
SHIFTS_MM = (-10.0, -5.0, 5.0, 10.0)

#: Finer voxels than this are skipped over, mm, and at most so many looked at: ample for a contrast within 0.01.
GRAIN_MM = 1.5
SAMPLES = 60_000

#: HU classes of the histogram: 20 HU wide, from air to dense cortex.
HU_LOW, HU_HIGH, HU_STEP = -1000.0, 1400.0, 20.0


@dataclass(frozen=True)
class Placement:
    """The contrast at the place the file says, and at the best of the other places tried, which is named."""

    contrast: float
    elsewhere: float
    where: str

    @property
    def on_bone(self) -> bool:
        """Whether the labels lie on bone, and no other place tried is clearly better."""
        return self.contrast >= CONTRAST_MIN and self.elsewhere <= self.contrast + CONTRAST_MARGIN

    @property
    def sentence(self) -> str:
        """What was measured, for a refusal."""
        text = f"bone contrast under the vertebra labels is {self.contrast:.2f} ({CONTRAST_MIN:.2f} is needed)"
        if self.elsewhere > self.contrast + CONTRAST_MARGIN:
            text += f", and {self.elsewhere:.2f} when they are {self.where}"
        return text


def placement(bones: Sequence[Volume], ct: Volume) -> Placement:
    """How well masks on sub-grids of ``ct`` lie on its bone, there and elsewhere."""
    inside, outside = _samples(union(bones), ct)
    here = _contrast(inside, outside, ct)
    others = [(_contrast(a, b, ct), where) for a, b, where in _elsewhere(inside, outside, ct)]
    best, where = max(others, key=lambda item: item[0])
    return Placement(here, best, where)


def _samples(bone: Volume, ct: Volume) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Voxel indices ``(n, 3)`` on the CT's grid, in the bone and just outside it, thinned to a sample."""
    spacing = np.asarray(ct.spacing_mm)
    margin = np.ceil(FAR_MM / spacing).astype(int)
    stride = np.maximum(np.floor(GRAIN_MM / spacing).astype(int), 1)
    padded = np.pad(bone.array, [(m, m) for m in margin])[:: stride[0], :: stride[1], :: stride[2]]
    # slices count as far apart, so that the distance is one within the slice
    distance = ndimage.distance_transform_edt(~padded, sampling=spacing * stride * [1e3, 1.0, 1.0])
    start = np.rint(ct.index_kji(bone.world_mm((0, 0, 0)))).astype(int) - margin
    near = np.argwhere((distance >= NEAR_MM) & (distance <= FAR_MM))
    return _thinned(np.argwhere(padded)) * stride + start, _thinned(near) * stride + start


def _thinned(index: NDArray[np.intp]) -> NDArray[np.intp]:
    return index[:: max(1, len(index) // SAMPLES)]


def _contrast(inside: NDArray[np.intp], outside: NDArray[np.intp], ct: Volume) -> float:
    """The largest difference of the shares above any threshold."""
    above_in, above_out = _shares_above(inside, ct), _shares_above(outside, ct)
    return float(np.max(above_in - above_out))


def _shares_above(index: NDArray[np.intp], ct: Volume) -> NDArray[np.float64]:
    within = np.all((index >= 0) & (index < ct.shape), axis=1)
    k, j, i = index[within].T
    bins = int((HU_HIGH - HU_LOW) / HU_STEP)
    classes = np.clip((ct.array[k, j, i] - HU_LOW) / HU_STEP, 0, bins - 1).astype(np.intp)
    counts = np.bincount(classes, minlength=bins).astype(np.float64)
    counts[0] += np.count_nonzero(~within)  # outside the scan counts as air
    return np.cumsum(counts[::-1]) / max(len(index), 1)


def _elsewhere(
    inside: NDArray[np.intp], outside: NDArray[np.intp], ct: Volume
) -> list[tuple[NDArray[np.intp], NDArray[np.intp], str]]:
    """The same voxels displaced along each axis, and mirrored in the middle of the scan."""
    places = []
    last = np.asarray(ct.shape) - 1
    for axis, (name, mirrored) in enumerate(
        [
            ("towards the head", "turned head to foot"),
            ("backwards", "turned front to back"),
            ("to the left", "mirrored"),
        ]
    ):
        for shift_mm in SHIFTS_MM:
            step = np.zeros(3, dtype=np.intp)
            step[axis] = round(shift_mm / ct.spacing_mm[axis])
            places.append((inside + step, outside + step, f"moved {shift_mm:+.0f} mm {name}"))
        flip = np.ones(3, dtype=np.intp)
        flip[axis] = -1
        move = np.where(flip < 0, last, 0)
        places.append((inside * flip + move, outside * flip + move, mirrored))
    return places
