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
from trocar.io.hounsfield import AIR_HU, hounsfield
from trocar.io.source import existing
from trocar.io.stored import Stored
from trocar.io.volume_file import is_volume_file, read_volume_file
from trocar.volume import Volume

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
    if min(stored.array.shape) < 2:
        size = " × ".join(map(str, stored.array.shape[::-1]))
        raise ImageError(f"{stored.name} is a single slice ({size} voxels): give the whole volume.")
    array, findings = hounsfield(stored.array, stored.name)
    told = (*stored.findings, *findings)
    return replace(stored, array=array, findings=told).volume("HU", outside=AIR_HU)


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
