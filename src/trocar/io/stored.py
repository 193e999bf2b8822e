"""Voxels as a file stores them, and their way into a :class:`Volume`: canonical order, right angles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from trocar.errors import ImageError
from trocar.geometry import angle_deg, unit
from trocar.measure import Finding, Severity
from trocar.volume import Acquisition, Volume, canonical

#: A grid whose axes drift less than this over its whole length counts as rectangular, mm. Positions
#: written to one decimal, as many archives do, alone make a drift of up to 0.1 mm.
SHEAR_TOLERANCE_MM = 0.1

#: A shear beyond this is no gantry (gantries tilt by 30 degrees at most) but a damaged header.
LARGEST_TILT_DEG = 45.0


@dataclass(frozen=True)
class Stored:
    """An array ``[k, j, i]`` and its ``affine`` (ijk to LPS mm), in any order and perhaps sheared.

    ``name`` is what sentences call it.
    """

    name: str
    array: NDArray[Any]
    affine: NDArray[np.float64]
    frame_of_reference: str | None = None
    acquisition: Acquisition | None = None
    findings: tuple[Finding, ...] = ()

    def volume(self, unit: str, outside: float) -> Volume:
        """In canonical order and at right angles.

        A sheared grid (gantry tilt) is resampled, nearest for labels and masks and linear for the
        rest; ``outside`` fills what the scan did not see.
        """
        array, affine = canonical(self.array, self.affine)
        upright = replace(self, array=array, affine=affine)
        if drift_mm(affine, array.shape) > SHEAR_TOLERANCE_MM:
            upright = _resampled(upright, outside, nearest=unit in ("label", "mask"))
        return Volume(
            np.ascontiguousarray(upright.array),
            squared(upright.affine),
            self.frame_of_reference,
            unit,
            self.acquisition,
            upright.findings,
        )


def upright_axes(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Orthonormal columns: k along the affine's own third axis, i as near its first as that allows, j across."""
    i, j, k = affine[:3, :3].T
    superior = unit(k)
    left = unit(i - (i @ superior) * superior)
    across = np.cross(superior, left)
    return np.column_stack([left, across * np.sign(across @ j), superior])


def squared(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """``affine`` with its axes exactly at right angles, lengths and origin kept."""
    out = np.array(affine, dtype=np.float64)
    out[:3, :3] = upright_axes(affine) * np.linalg.norm(affine[:3, :3], axis=0)
    return out


def drift_mm(affine: NDArray[np.float64], shape_kji: tuple[int, ...]) -> float:
    """How far squaring the axes would move the grid's far end, mm."""
    lengths = np.asarray(shape_kji[::-1]) - 1
    return float(np.max(np.linalg.norm((affine - squared(affine))[:3, :3] * lengths, axis=0)))


def _resampled(stored: Stored, outside: float, nearest: bool) -> Stored:
    """``stored`` (canonical, sheared) on the smallest upright grid of the same spacing that holds it all."""
    tilt = shear_deg(stored.affine)
    if tilt > LARGEST_TILT_DEG:
        raise ImageError(
            f"{stored.name}: the axes of the grid are {tilt:.0f}° away from right angles, more than any gantry "
            "tilts; its header is wrong. Export the scan again from DICOM."
        )
    affine, shape = _upright_grid(stored.affine, stored.array.shape)
    filter_ = sitk.ResampleImageFilter()
    filter_.SetInterpolator(sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear)
    filter_.SetDefaultPixelValue(outside)
    filter_.SetSize([int(n) for n in shape[::-1]])
    filter_.SetOutputOrigin(affine[:3, 3].tolist())
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    filter_.SetOutputSpacing(spacing.tolist())
    filter_.SetOutputDirection((affine[:3, :3] / spacing).ravel().tolist())
    array = sitk.GetArrayFromImage(filter_.Execute(_as_itk(stored)))
    told = Finding(
        Severity.CAUTION,
        f"The gantry was tilted by {tilt:.1f}°: the slices were resampled to an upright grid.",
        "slice planes are not at right angles to the line of their centres",
    )
    return replace(stored, array=array, affine=affine, findings=(*stored.findings, told))


def shear_deg(affine: NDArray[np.float64]) -> float:
    """The largest departure of two axes from a right angle, degrees."""
    i, j, k = affine[:3, :3].T
    return max(abs(90.0 - angle_deg(a, b)) for a, b in ((i, j), (j, k), (i, k)))


def _upright_grid(affine: NDArray[np.float64], shape_kji: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Affine and shape ``[k, j, i]`` of the upright grid around all corners of a sheared one."""
    far = np.asarray(shape_kji[::-1]) - 1
    corners = np.array(np.meshgrid(*[(0, n) for n in far])).reshape(3, -1)
    world = affine[:3, :3] @ corners + affine[:3, 3:]
    axes = upright_axes(affine)
    local = axes.T @ world
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    low = local.min(axis=1)
    size = np.ceil((local.max(axis=1) - low) / spacing - 1e-6).astype(int) + 1
    out = np.eye(4)
    out[:3, :3] = axes * spacing
    out[:3, 3] = axes @ low
    return out, size[::-1]


def _as_itk(stored: Stored) -> sitk.Image:
    """The image with its sheared axes as direction: ITK's index transform takes any invertible matrix."""
    array = np.ascontiguousarray(stored.array)
    image = sitk.GetImageFromArray(array.astype(np.uint8) if array.dtype == bool else array)
    spacing = np.linalg.norm(stored.affine[:3, :3], axis=0)
    image.SetOrigin(stored.affine[:3, 3].tolist())
    image.SetSpacing(spacing.tolist())
    image.SetDirection((stored.affine[:3, :3] / spacing).ravel().tolist())
    return image
