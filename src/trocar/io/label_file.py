"""Opening one label file, whatever its format: numbers, places, and what the file says of itself."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.misc import is_dicom

from trocar.errors import ImageError
from trocar.io import seg, slicer
from trocar.io.itk import read_itk
from trocar.io.label_map import LabelMap, layer
from trocar.io.nifti import read_nifti
from trocar.io.nifti_names import header_names
from trocar.io.source import existing, file_digest
from trocar.io.stored import Stored
from trocar.volume import Volume

Source: TypeAlias = "str | os.PathLike[str] | Dataset | Volume | NDArray[Any]"


def open_labels(source: Source, on: Volume) -> LabelMap:
    """One label source as a :class:`LabelMap`, in canonical order; an array lies on the grid of ``on``."""
    if isinstance(source, Volume):
        return _numbers(Stored("the label volume", source.array, source.affine, source.frame_of_reference))
    if isinstance(source, np.ndarray):
        if source.shape != on.shape:
            raise ValueError(f"labels: an array of shape {source.shape} does not lie on the CT's grid {on.shape}.")
        return _numbers(Stored("the label array", source, on.affine, on.frame_of_reference))
    if isinstance(source, Dataset):
        return seg.open_segmentation(source, "the DICOM segmentation")
    if isinstance(source, (str, os.PathLike)):
        return _from_path(existing(source))
    raise TypeError(f"labels: {type(source).__name__} is not a path, a pydicom dataset, a Volume or an array.")


def _numbers(stored: Stored) -> LabelMap:
    return LabelMap(stored.name, (layer(stored, {}),))


def _from_path(path: Path) -> LabelMap:
    if path.is_dir():
        path = _only_segmentation(path)
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        opened = _nifti(path)
    elif name.endswith((".nrrd", ".mha", ".mhd")):
        opened = slicer.open_segmentation(path) if slicer.is_segmentation(path) else _numbers(read_itk(path))
    else:
        opened = seg.open_segmentation(_dicom(path), path.name)
    return replace(opened, digests=((path.name, file_digest(path)),))


def _nifti(path: Path) -> LabelMap:
    says = header_names(path)
    return LabelMap(path.name, (layer(read_nifti(path), says),), "header" if says else "")


def _dicom(path: Path) -> Dataset:
    try:
        return dcmread(path)
    except (InvalidDicomError, OSError, EOFError) as error:
        raise ImageError(
            f"{path.name} is no label map that can be read: give NIfTI (.nii, .nii.gz), NRRD, MetaImage or DICOM SEG."
        ) from error


def _only_segmentation(folder: Path) -> Path:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and is_dicom(path)]
    found = [path for path in files if seg.is_segmentation(dcmread(path, specific_tags=["Modality"], force=True))]
    if len(found) != 1:
        raise ImageError(f"{folder.name} holds {len(found)} DICOM segmentations: name the one file to use.")
    return found[0]
