"""Opening one label file, whatever its format: numbers, places, and what the file says of itself."""

from __future__ import annotations

import os
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.misc import is_dicom

from trocar.anatomy.schemes import Meaning
from trocar.errors import ImageError
from trocar.io import slicer
from trocar.io.itk import read_itk
from trocar.io.label_map import LabelMap, layer
from trocar.io.nifti import read_nifti
from trocar.io.nifti_names import header_names
from trocar.io.source import existing, file_digest
from trocar.io.stored import Stored
from trocar.io.volume_file import NIFTI_SUFFIXES, is_volume_file
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
        return _segmentation(deepcopy(source), "the DICOM segmentation")
    if isinstance(source, (str, os.PathLike)):
        return _from_path(existing(source))
    raise TypeError(f"labels: {type(source).__name__} is not a path, a pydicom dataset, a Volume or an array.")


def _numbers(stored: Stored, says: dict[int, Meaning] | None = None) -> LabelMap:
    digests = tuple(stored.acquisition.digests.items()) if stored.acquisition else ()
    return LabelMap(stored.name, (layer(stored, says or {}),), "header" if says else "", digests=digests)


def _from_path(path: Path) -> LabelMap:
    name = path.name.lower()
    if name.endswith(NIFTI_SUFFIXES):
        return _numbers(read_nifti(path), header_names(path))
    if name.endswith(".nrrd") and slicer.is_segmentation(path):
        return _hashed(slicer.open_segmentation(path), path)
    return _numbers(read_itk(path)) if is_volume_file(path) else _dicom(path)


def _hashed(opened: LabelMap, path: Path) -> LabelMap:
    return replace(opened, digests=((path.name, file_digest(path)),))


def _dicom(path: Path) -> LabelMap:
    """A DICOM file, or the one segmentation in a folder."""
    if path.is_dir():
        path = _only_segmentation(path)
    try:
        dataset = dcmread(path)
    except (InvalidDicomError, OSError, EOFError) as error:
        raise ImageError(
            f"{path.name} is no label map that can be read: give NIfTI (.nii, .nii.gz), NRRD, MetaImage or DICOM SEG."
        ) from error
    return _hashed(_segmentation(dataset, path.name), path)


def _segmentation(dataset: Dataset, title: str) -> LabelMap:
    # highdicom takes as long to import as a label map to read: only who needs it waits
    from trocar.io.seg import open_segmentation

    return open_segmentation(dataset, title)


def _only_segmentation(folder: Path) -> Path:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and is_dicom(path)]
    found = [path for path in files if dcmread(path, specific_tags=["Modality"]).get("Modality") == "SEG"]
    if len(found) != 1:
        raise ImageError(f"{folder.name} holds {len(found)} DICOM segmentations: name the one file to use.")
    return found[0]
