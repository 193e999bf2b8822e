"""Reading a CT, whatever it comes as, into Hounsfield units in the patient."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from trocar.errors import ImageError
from trocar.io.dicom import read_datasets, read_dicom
from trocar.io.source import existing
from trocar.io.stored import Stored
from trocar.io.volume_file import is_volume_file, read_volume_file
from trocar.measure import Finding, Severity
from trocar.volume import Volume

#: Air, HU. Scanners pad what lies outside their round field with -2000, -2048 or -3024; nothing
#: measured is less dense than air, which 12-bit scanners store as -1024.
AIR_HU = -1024.0

#: Every CT of a trunk has fat (-150 to -50 HU, lower with noise) or air below this; MR, PET, label
#: maps and CT stored with an offset start at 0.
FAT_HU = -100.0

#: And bone above this: the trabecular bone of the old begins near 50 HU, cortex at 300 HU.
BONE_HU = 150.0

#: A CT cut off below this level has lost its cortical bone (300 to 2000 HU).
CORTEX_HU = 1000.0

#: A share of voxels at the very highest value that only clipping explains.
CLIPPED_SHARE = 1e-4

Source = (
    str
    | os.PathLike[str]
    | Volume
    | Sequence[str | os.PathLike[str]]
    | Sequence[Dataset]
    | tuple[NDArray[Any], NDArray[Any]]
)


def read_ct(source: Source, *, series: str | None = None) -> Volume:
    """A CT as float32 Hounsfield units in canonical order (left, posterior, superior), LPS mm.

    ``source`` is a folder or zip of DICOM files, one multi-frame DICOM file, a NIfTI (``.nii``,
    ``.nii.gz``), NRRD or MetaImage (``.mha``, ``.mhd``) file, a list of DICOM files or of pydicom
    datasets, a :class:`Volume` in HU, or a pair of an array ``[k, j, i]`` and its affine from ijk to LPS mm.
    ``series`` names a DICOM series by UID or number where there are several. What was mended is
    in the ``findings`` of the result; what cannot be used raises :class:`ImageError`.
    """
    stored = _stored(source, None if series is None else str(series))
    array, findings = _air(_finite(stored))
    _check_hounsfield(array, stored.name)
    volume = replace(stored, array=array).volume("HU", outside=AIR_HU)
    return replace(volume, findings=(*volume.findings, *findings, *_clipped(array)))


def _stored(source: Any, series: str | None) -> Stored:
    if isinstance(source, (str, os.PathLike)):
        return _from_path(source, series)
    if isinstance(source, Volume):
        return _from_volume(source)
    if isinstance(source, tuple) and len(source) == 2 and isinstance(source[0], np.ndarray):
        return _from_array(*source)
    items = list(source) if isinstance(source, Sequence) else []
    if items and all(isinstance(item, Dataset) for item in items):
        return read_datasets(items, series)
    if items and all(isinstance(item, (str, os.PathLike)) for item in items):
        return read_dicom([existing(item) for item in items], series)
    raise TypeError(
        "a CT is read from a path, a list of DICOM files or pydicom datasets, a Volume or (array, affine), "
        f"not from {type(source).__name__}."
    )


def _from_path(source: str | os.PathLike[str], series: str | None) -> Stored:
    path = existing(source)
    return read_volume_file(path) if is_volume_file(path) and path.is_file() else read_dicom(path, series)


def _from_volume(volume: Volume) -> Stored:
    if volume.unit != "HU":
        raise ValueError(f"a CT is in HU; this Volume has unit={volume.unit!r}.")
    return Stored(
        "the volume", volume.array, volume.affine, volume.frame_of_reference, volume.acquisition, volume.findings
    )


def _from_array(array: Any, affine: Any) -> Stored:
    values, matrix = np.asarray(array), np.asarray(affine, dtype=np.float64)
    if values.ndim != 3 or 0 in values.shape or values.dtype.kind not in "iuf":
        raise ValueError(f"a CT array is [k, j, i] of real numbers; got shape {values.shape} of {values.dtype}.")
    if matrix.shape != (4, 4) or not np.all(np.isfinite(matrix)) or abs(np.linalg.det(matrix[:3, :3])) < 1e-9:
        raise ValueError("the affine of a CT array is an invertible 4x4 matrix from ijk to LPS mm.")
    theirs = values.view()
    theirs.flags.writeable = False
    return Stored("the array", theirs, matrix)


def _finite(stored: Stored) -> NDArray[np.float32]:
    """The values as float32; refuses single slices and values that are not numbers."""
    if min(stored.array.shape) < 2:
        size = " × ".join(map(str, stored.array.shape[::-1]))
        raise ImageError(f"{stored.name} is a single slice ({size} voxels): give the whole volume.")
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite, and is refused below
        array = stored.array.astype(np.float32, copy=False)
    if not np.isfinite(array.min()) or not np.isfinite(array.max()):
        bad = int(np.count_nonzero(~np.isfinite(array)))
        raise ImageError(f"{stored.name} has {bad} voxels that are not numbers: export or convert it again.")
    return array


def _air(array: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[Finding, ...]]:
    """``array`` with all below air made air (in place where it is ours to write), and what to tell."""
    lowest = float(array.min())
    if lowest >= AIR_HU:
        return array, ()
    share = 100.0 * np.count_nonzero(array < AIR_HU) / array.size
    text = f"{share:.2g} % of the voxels were below air (down to {lowest:.0f} HU), as padding is; they are read as air."
    raised = np.maximum(array, np.float32(AIR_HU), out=array if array.flags.writeable else None)
    return raised, (Finding(Severity.NOTE, text, f"air is {AIR_HU:.0f} HU"),)


def _check_hounsfield(array: NDArray[np.float32], name: str) -> None:
    """Refuse values that cannot be the Hounsfield units of a trunk."""
    lowest, highest = float(array.min()), float(array.max())
    if lowest <= FAT_HU and highest >= BONE_HU:
        return
    lacks = "no air or fat" if lowest > FAT_HU else "no bone"
    raise ImageError(
        f"{name} is not in Hounsfield units: its values run from {lowest:g} to {highest:g}, with {lacks}. "
        "Give the CT as scanned, not an MR, a mask or a rescaled image."
    )


def _clipped(array: NDArray[np.float32]) -> tuple[Finding, ...]:
    """A caution where the brightest values were cut off below cortical bone."""
    highest = float(array.max())
    if highest >= CORTEX_HU or np.count_nonzero(array == highest) < CLIPPED_SHARE * array.size:
        return ()
    text = f"Values seem cut off at {highest:.0f} HU: bone density and cortical thickness cannot be trusted."
    return (Finding(Severity.CAUTION, text, "many voxels share the highest value"),)
