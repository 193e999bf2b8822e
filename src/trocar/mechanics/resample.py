"""A vertebra and its CT on a grid of the vertebra's own, whose k is the vertebra's superior axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, distance_transform_edt, gaussian_filter

from trocar.anatomy.surface import Surface
from trocar.anatomy.vertebra import Part, Vertebra
from trocar.geometry import Pose
from trocar.measure import Finding, Severity
from trocar.volume import Volume

#: Voxels a linear interpolation reaches to, and one for the smoothing before it.
READ_AROUND_MM = 3.0
#: Holes inside a label are told from this volume on, and are a caution from this one on, ml.
HOLE_ML, LARGE_HOLE_ML = 0.05, 0.5


def grid_around(pose: Pose, points_mm: NDArray[np.float64], spacing_mm: float, margin_mm: float = 0.0) -> Volume:
    """An empty grid (unit "mask") along the pose's axes around LPS points ``(n, 3)``.

    The pose's origin lies on a corner of voxels, so that the grid of a mirrored vertebra is the mirrored grid.
    """
    local = pose.to_local(points_mm)
    low = np.floor((local.min(axis=0) - margin_mm) / spacing_mm).astype(int)
    high = np.ceil((local.max(axis=0) + margin_mm) / spacing_mm).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = pose.axes * spacing_mm
    affine[:3, 3] = pose.to_world((low + 0.5) * spacing_mm)
    shape = tuple(int(n) for n in np.maximum(high - low, 1)[::-1])
    return Volume(np.zeros(shape, bool), affine, unit="mask")


def parts_on(grid: Volume, vertebra: Vertebra) -> tuple[NDArray[np.uint8], tuple[Finding, ...]]:
    """:class:`Part` numbers on a grid, and what had to be filled.

    A voxel is bone where its middle lies within the surface of the mask (a distance, interpolated linearly), which
    is where about half of it or more is bone. It takes the part of the nearest labelled voxel. A hole that the label
    encloses is taken as bone, as dense as the scan shows it: labels leave out lesions and bright marrow, and a void
    would be a guess.
    """
    inside = Surface.of(vertebra.mask).volume.onto(grid, outside=np.inf).array < 0.0
    filled = binary_fill_holes(inside)
    parts = vertebra.parts.onto(grid).array.astype(np.uint8)
    bone = (parts != Part.NONE) & (parts != Part.CANAL)
    if (filled & ~bone).any() and bone.any():
        nearest = distance_transform_edt(~bone, return_distances=False, return_indices=True)
        parts = np.where(filled, parts[tuple(nearest)], parts)
    kept = np.where(filled | (parts == Part.CANAL), parts, np.uint8(Part.NONE)).astype(np.uint8)
    return kept, _holes(vertebra, int(filled.sum() - inside.sum()) * grid.voxel_ml)


def _holes(vertebra: Vertebra, ml: float) -> tuple[Finding, ...]:
    if ml < HOLE_ML:
        return ()
    text = f"the label of {vertebra.level} has holes of {ml:.1f} ml in the bone: taken as bone as dense as the scan"
    severity = Severity.CAUTION if ml >= LARGE_HOLE_ML else Severity.NOTE
    return (Finding(severity, text, "a lesion may have been left out of the label"),)


def hu_on(grid: Volume, ct: Volume) -> NDArray[np.float32]:
    """CT numbers at the voxels of a grid, linear between those of the scan.

    Where the grid is coarser than the scan, the scan is first smoothed by the difference: a Gaussian that brings
    the scan's voxel (a box of that width) to the variance of the grid's. What a voxel on the edge of bone shares with
    its surroundings is thus in its number, as in the scan.
    """
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in grid.shape])).reshape(3, -1).T
    near = ct.crop_around(grid.world_mm(corners), READ_AROUND_MM)
    wide = max(grid.spacing_mm)
    sigma = [np.sqrt(max(wide**2 - h**2, 0.0) / 12.0) / h for h in near.spacing_mm]
    smooth = gaussian_filter(near.array.astype(np.float32), sigma, mode="nearest")
    return Volume(smooth, near.affine).onto(grid, outside=float(smooth.min())).array
