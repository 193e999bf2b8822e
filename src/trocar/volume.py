"""Voxels placed in the patient."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trocar.errors import FrameMismatchError
from trocar.geometry import frozen, unit
from trocar.measure import Finding

#: Affines closer than this (mm, over the corners of the grid) describe the same grid.
SAME_GRID_TOLERANCE_MM = 0.01


@dataclass(frozen=True)
class Slice:
    """One acquired axial image: its number, its place along the patient and the table's.

    ``position_mm`` is the superior LPS coordinate of the slice's centre; ``slice_location_mm`` and
    ``table_position_mm`` are what the scanner shows (DICOM 0020,1041 and 0018,9327), when known.
    """

    instance_number: int
    position_mm: float
    slice_location_mm: float | None = None
    table_position_mm: float | None = None


@dataclass(frozen=True)
class Acquisition:
    """Where a volume came from.

    ``patient_position`` is DICOM's word (0018,5100): HFS, HFP, FFS, FFP, HFDR, HFDL, FFDR, FFDL,
    or None when the file does not say. ``digests`` maps a file's name to its SHA-256.
    """

    patient_position: str | None = None
    series_uid: str | None = None
    slices: tuple[Slice, ...] = ()
    digests: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Volume:
    """An array ``[k, j, i]`` and where its voxels lie.

    ``affine`` is 4x4 and takes an index ``(i, j, k, 1)`` to LPS millimetres; its columns are
    orthogonal (gantry tilt and shear are settled in ``io``). Volumes made by ``io`` are in
    canonical order: i runs to the patient's left, j to posterior, k to superior. ``unit`` is "HU",
    "label" (integers), "mask" (bool), "degC", "MPa", "Gy" ... The array is read-only.
    """

    array: NDArray[Any]
    affine: NDArray[np.float64]
    frame_of_reference: str | None = None
    unit: str = "HU"
    acquisition: Acquisition | None = None
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        array = np.asarray(self.array)
        if array.ndim != 3 or 0 in array.shape:
            raise ValueError(f"a Volume has three axes [k, j, i], each at least one voxel; got shape {array.shape}.")
        affine = frozen(self.affine)
        if affine.shape != (4, 4) or not np.all(np.isfinite(affine)):
            raise ValueError("the affine of a Volume is a finite 4x4 matrix from ijk to LPS mm.")
        steps = affine[:3, :3]
        lengths = np.linalg.norm(steps, axis=0)
        if np.any(lengths <= 0.0):
            raise ValueError(f"voxel spacing must be positive; got {lengths} mm.")
        cosines = (steps / lengths).T @ (steps / lengths) - np.eye(3)
        if np.max(np.abs(cosines)) > 1e-3:
            raise ValueError("the axes of a Volume are at right angles; resample a sheared (tilted) grid first.")
        view = array.view()
        view.flags.writeable = False
        object.__setattr__(self, "array", view)
        object.__setattr__(self, "affine", affine)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along k, j, i."""
        k, j, i = self.array.shape
        return (k, j, i)

    @cached_property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along k, j, i (the array's order)."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return (float(k), float(j), float(i))

    @cached_property
    def inverse_affine(self) -> NDArray[np.float64]:
        """LPS mm to index ijk."""
        return frozen(np.linalg.inv(self.affine))

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel, millilitres."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    def half_voxel_mm(self, direction: ArrayLike) -> float:
        """Half a voxel's extent along an LPS direction, mm: what the grid leaves open of a place along it."""
        lengths = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(0.5 * np.abs(unit(direction) @ (self.affine[:3, :3] / lengths)) @ lengths)

    def world_mm(self, index_kji: ArrayLike) -> NDArray[np.float64]:
        """LPS positions of (fractional) array indices ``(..., 3)`` in the order k, j, i."""
        ijk = np.asarray(index_kji, dtype=np.float64)[..., ::-1]
        return ijk @ self.affine[:3, :3].T + self.affine[:3, 3]

    def index_kji(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Fractional array indices ``(..., 3)``, order k, j, i, of LPS positions."""
        p = np.asarray(points_mm, dtype=np.float64)
        ijk = p @ self.inverse_affine[:3, :3].T + self.inverse_affine[:3, 3]
        return ijk[..., ::-1]

    def sample(self, points_mm: ArrayLike, outside: float = 0.0, order: int = 1) -> NDArray[np.float64]:
        """Values at LPS points ``(..., 3)``: trilinear (order 1) or nearest (order 0)."""
        from scipy.ndimage import map_coordinates

        index = self.index_kji(points_mm)
        flat = index.reshape(-1, 3).T
        source = self.array.astype(np.float32) if self.array.dtype == bool else self.array
        # "constant" would take the outer half of every border voxel for outside
        mode = "grid-constant" if order == 0 else "constant"
        values = map_coordinates(source, flat, output=np.float64, order=order, mode=mode, cval=outside)
        return np.asarray(values).reshape(index.shape[:-1])

    def same_grid(self, other: Volume) -> bool:
        """Whether both have the same shape and the same place, to 0.01 mm at every corner."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1).T
        return bool(np.max(np.abs(self.world_mm(corners) - other.world_mm(corners))) <= SAME_GRID_TOLERANCE_MM)

    def check_frame(self, other: Volume) -> None:
        """Raise :class:`FrameMismatchError` when both name a frame of reference and they differ."""
        mine, theirs = self.frame_of_reference, other.frame_of_reference
        if mine and theirs and mine != theirs:
            raise FrameMismatchError(f"frame of reference {mine} is not {theirs}: register the two images first.")

    def crop(self, start_kji: ArrayLike, stop_kji: ArrayLike) -> Volume:
        """The sub-volume ``[start, stop)`` in array order, clipped to the grid; shares memory."""
        start = np.maximum(np.asarray(start_kji, dtype=int), 0)
        stop = np.minimum(np.asarray(stop_kji, dtype=int), self.shape)
        if np.any(stop <= start):
            raise ValueError(f"a crop from {start.tolist()} to {stop.tolist()} is empty.")
        part = self.array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
        affine = self.affine.copy()
        affine[:3, 3] = self.world_mm(start)
        return replace(self, array=part, affine=affine)

    def crop_around(self, points_mm: ArrayLike, margin_mm: float) -> Volume:
        """The sub-volume that holds all ``points_mm`` with a margin on every side."""
        index = self.index_kji(np.asarray(points_mm, dtype=np.float64).reshape(-1, 3))
        margin = margin_mm / np.asarray(self.spacing_mm)
        return self.crop(
            np.floor(index.min(axis=0) - margin).astype(int),
            np.ceil(index.max(axis=0) + margin).astype(int) + 1,
        )

    def points_mm(self) -> NDArray[np.float64]:
        """LPS positions ``(n, 3)`` of the non-zero voxels' centres."""
        return self.world_mm(np.argwhere(self.array))

    def onto(self, other: Volume, outside: float = 0.0) -> Volume:
        """This volume's values on ``other``'s grid: nearest for masks and labels, else trilinear.

        An axis-aligned grid of the same spacing is copied, not interpolated.
        """
        shift = self.index_kji(other.world_mm((0, 0, 0)))
        whole = np.rint(shift)
        steps_equal = np.allclose(self.affine[:3, :3], other.affine[:3, :3], atol=1e-4)
        if steps_equal and np.max(np.abs(shift - whole)) < 0.01:
            out = np.full(other.shape, outside, dtype=self.array.dtype)
            start = whole.astype(int)
            lo = np.maximum(start, 0)
            hi = np.minimum(start + other.shape, self.shape)
            if np.all(hi > lo):
                src = tuple(slice(a, b) for a, b in zip(lo, hi, strict=True))
                dst = tuple(slice(a, b) for a, b in zip(lo - start, hi - start, strict=True))
                out[dst] = self.array[src]
        else:
            from scipy.ndimage import affine_transform

            flip = np.eye(4)[[2, 1, 0, 3]]
            matrix = flip @ self.inverse_affine @ other.affine @ flip
            discrete = self.unit in ("mask", "label")
            source = self.array.astype(np.uint8) if self.array.dtype == bool else self.array
            out = affine_transform(
                source,
                matrix,
                output_shape=other.shape,
                order=0 if discrete else 1,
                # "constant" would take the outer half of every border voxel for outside
                mode="grid-constant" if discrete else "constant",
                cval=outside,
            ).astype(self.array.dtype)
        return replace(
            self, array=out, affine=other.affine, frame_of_reference=other.frame_of_reference or self.frame_of_reference
        )


def canonical(array: NDArray[Any], affine: ArrayLike) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The same voxels with axes permuted and flipped to run left, posterior, superior.

    ``array`` is ``[k, j, i]`` and ``affine`` takes ijk to LPS. Nothing is interpolated; the array
    returned is a view. Equal scans stored in different orientations become equal here.
    """
    affine = np.array(affine, dtype=np.float64)
    steps = affine[:3, :3]
    cosines = np.abs(steps / np.linalg.norm(steps, axis=0))
    # which index axis (i, j, k) runs most along each LPS axis, without using one twice
    order = [-1, -1, -1]
    for _ in range(3):
        world, index = np.unravel_index(int(np.argmax(cosines)), (3, 3))
        order[int(world)] = int(index)
        cosines[world, :] = -1.0
        cosines[:, index] = -1.0
    ijk = array.transpose(2, 1, 0).transpose(order)
    out = np.eye(4)
    out[:3, :3] = steps[:, order]
    out[:3, 3] = affine[:3, 3]
    for axis in range(3):
        if out[axis, axis] < 0:
            out[:3, 3] += out[:3, axis] * (ijk.shape[axis] - 1)
            out[:3, axis] *= -1.0
            ijk = np.flip(ijk, axis)
    return ijk.transpose(2, 1, 0), out
