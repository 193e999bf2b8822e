"""Where the patient ends: the body without table, clothes and wires, and the way out of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trocar.volume import Volume

#: HU between air (-1000) and skin (about -50): the surface lies where the scan passes this value.
#: Kept above half-way so that clothes and foam (-950 to -400 HU) stay outside.
SURFACE_HU = -350.0

#: Voxels of about this size (mm) decide what belongs to the body; the edge is drawn at full resolution.
COARSE_MM = 2.0

#: Sheets thinner than this (mm) are table, blanket or wire, not body. Carbon table tops are 1 to 4 mm.
SHEET_MM = 9.0


def body_mask(ct: Volume) -> Volume:
    """The body without table, clothes, wires and the air around it; unit "mask", on the CT's grid.

    Lungs and bowel gas are inside. Only the largest piece is kept, so a separate arm is left out.
    Slices are the array's own (axis k). Where the field of view cuts the body, the mask ends at the
    border of the grid, which is not skin: see :func:`skin_exit`.
    """
    bins = [_bins(n, mm) for n, mm in zip(ct.shape, ct.spacing_mm, strict=True)]
    tissue = _block_mean(ct.array, bins) > SURFACE_HU
    reach = [
        max(1, int(SHEET_MM / 2 * n / (mm * size)))
        for n, mm, size in zip(tissue.shape, ct.spacing_mm, ct.shape, strict=True)
    ]
    core = _largest(ndimage.minimum_filter(tissue, size=(1, 2 * reach[1] + 1, 2 * reach[2] + 1)))
    near = ndimage.maximum_filter(core, size=(1, 2 * reach[1] + 3, 2 * reach[2] + 3))
    inside = ndimage.minimum_filter(_filled(tissue & near), size=(1, 3, 3))
    mask = ct.array > SURFACE_HU
    mask &= _spread(near, bins)
    mask |= _spread(inside, bins)
    return Volume(mask, ct.affine, ct.frame_of_reference, "mask")


def _bins(n: int, spacing_mm: float) -> NDArray[np.intp]:
    """Edges of nearly equal bins over ``n`` voxels, the same read from either end."""
    count = max(1, round(n * spacing_mm / COARSE_MM))
    count = min(n, count)
    if n % 2 and count % 2 == 0:
        count -= 1  # an odd axis has a middle voxel, which an even number of bins would have to split
    first = np.arange(count // 2 + 1) * n // count
    last = n - first[::-1]
    return np.concatenate([first, last if count % 2 else last[1:]])


def _block_mean(array: NDArray[np.generic], bins: list[NDArray[np.intp]]) -> NDArray[np.float32]:
    out = np.asarray(array, dtype=np.float32)
    for axis in (2, 1, 0):
        edges = bins[axis]
        if len(edges) <= out.shape[axis]:
            shape = [1, 1, 1]
            shape[axis] = -1
            out = np.add.reduceat(out, edges[:-1], axis=axis) / np.diff(edges).astype(np.float32).reshape(shape)
    return out


def _spread(coarse: NDArray[np.bool_], bins: list[NDArray[np.intp]]) -> NDArray[np.bool_]:
    """Each coarse voxel over the fine voxels of its bin."""
    out = coarse
    for axis in (0, 1, 2):
        out = np.repeat(out, np.diff(bins[axis]), axis=axis)
    return out


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected piece; pieces of the very same size are all kept, so that no order decides."""
    pieces, count = ndimage.label(mask)
    if not count:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return (sizes == sizes.max())[pieces]


def _filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``mask`` with the holes of each slice filled: air that does not reach the slice's border."""
    in_slice = np.zeros((3, 3, 3), dtype=bool)
    in_slice[1] = ndimage.generate_binary_structure(2, 1)
    pieces, count = ndimage.label(~mask, in_slice)
    outside = np.zeros(count + 1, dtype=bool)
    for edge in (pieces[:, 0], pieces[:, -1], pieces[:, :, 0], pieces[:, :, -1]):
        outside[edge.ravel()] = True
    outside[0] = False
    return ~outside[pieces]
