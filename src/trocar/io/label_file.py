"""Opening one label file, whatever its format: numbers, places, and what the file says of itself."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.misc import is_dicom

from trocar.anatomy.schemes import Meaning
from trocar.errors import ImageError
from trocar.io import seg, slicer
from trocar.io.label_map import LabelMap, Layer, whole_numbers
from trocar.io.nifti_names import header_names
from trocar.io.source import existing, file_digest
from trocar.io.stored import Stored
from trocar.volume import Volume


def open_labels(source: str | os.PathLike[str] | Dataset | Volume | NDArray[np.generic], on: Volume) -> LabelMap:
    """One label source as a :class:`LabelMap`, in canonical order; an array lies on the grid of ``on``."""
    if isinstance(source, Volume):
        stored = Stored("the label volume", source.array, source.affine, source.frame_of_reference)
        return LabelMap(stored.name, (_layer(stored, {}),))
    if isinstance(source, np.ndarray):
        if source.shape != on.shape:
            raise ValueError(f"labels: an array of shape {source.shape} does not lie on the CT's grid {on.shape}.")
        stored = Stored("the label array", source, on.affine, on.frame_of_reference)
        return LabelMap(stored.name, (_layer(stored, {}),))
    if isinstance(source, Dataset):
        return seg.open_segmentation(source, "the DICOM segmentation")
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"labels: {type(source).__name__} is not a path, a pydicom dataset, a Volume or an array.")
    return _open_path(existing(source))


def _open_path(path: Path) -> LabelMap:
    if path.is_dir():
        return _open_path(_only_segmentation(path))
    opened = _open_dicom(path) if is_dicom(path) else _open_image(path)
    return LabelMap(opened.title, opened.layers, opened.scheme, opened.findings, ((path.name, file_digest(path)),))


def _only_segmentation(folder: Path) -> Path:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and is_dicom(path)]
    found = [path for path in files if seg.is_segmentation(dcmread(path, specific_tags=["Modality"], force=True))]
    if len(found) != 1:
        raise ImageError(f"{folder} holds {len(found)} DICOM segmentations: name the one file to use.")
    return found[0]


def _open_dicom(path: Path) -> LabelMap:
    try:
        dataset = dcmread(path)
    except (InvalidDicomError, OSError, EOFError) as error:
        raise ImageError(f"{path.name} cannot be read as DICOM ({error}): copy it again from its source.") from error
    return seg.open_segmentation(dataset, path.name)


def _open_image(path: Path) -> LabelMap:
    image = _image(path)
    if slicer.is_segmentation(image):
        return _open_slicer(image, path.name)
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise ImageError(
            f"{path.name} has {image.GetNumberOfComponentsPerPixel()} values in each voxel, as a colour image has: "
            "give a label map, one number in each voxel."
        )
    says = header_names(path) if path.name.endswith((".nii", ".nii.gz")) else {}
    stored = Stored(path.name, sitk.GetArrayFromImage(image), _affine(image))
    return LabelMap(path.name, (_layer(stored, says),), "header" if says else "")


def _image(path: Path) -> sitk.Image:
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ImageError(f"{path.name} cannot be read as an image ({reason}).") from error
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        return image[:, :, :, 0]
    if image.GetDimension() != 3:
        raise ImageError(f"{path.name} has {image.GetDimension()} dimensions: a label map has three.")
    return image


def _open_slicer(image: sitk.Image, title: str) -> LabelMap:
    meanings, findings = slicer.segments(image, title)
    affine = _affine(image)
    layers = tuple(
        _layer(Stored(title, array, affine), {v: m for (layer, v), m in meanings.items() if layer == n})
        for n, array in enumerate(slicer.layers(image))
    )
    return LabelMap(title, layers, "slicer", findings)


def _layer(stored: Stored, says: dict[int, Meaning]) -> Layer:
    array = whole_numbers(np.asarray(stored.array), stored.name)
    whole = Stored(stored.name, array, stored.affine, stored.frame_of_reference)
    return Layer(whole.volume("label", 0.0), says)


def _affine(image: sitk.Image) -> NDArray[np.float64]:
    """Index ijk to LPS mm: ITK's own frame."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return affine
