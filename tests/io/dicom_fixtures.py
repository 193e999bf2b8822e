"""A synthetic scan, and writers that store it as DICOM in any orientation, whole or spoiled on purpose."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian

SERIES_UID = "1.2.826.0.1.3680043.8.498.1"
FRAME_UID = "1.2.826.0.1.3680043.8.498.2"

Edit = Callable[[Dataset, int], Any]


def scan(shape: tuple[int, int, int] = (8, 12, 10)) -> tuple[np.ndarray, np.ndarray]:
    """HU ``[k, j, i]`` (int16) and affine in canonical order: every axis, and its direction, looks different."""
    rng = np.random.default_rng(7)
    array = rng.normal(40.0, 12.0, shape).round().astype(np.int16)
    array[:, 0, :] = array[:, :, 0] = -1000
    array[-1, 1:4, 6:] = 1200  # top, front, left
    array[0, 8:, 1:3] = 400  # bottom, back, right
    return array, placed((0.8, 0.9, 2.0), (-5.0, 20.0, 100.0))


def placed(spacing_ijk: Sequence[float], origin: Sequence[float]) -> np.ndarray:
    affine = np.diag([*spacing_ijk, 1.0])
    affine[:3, 3] = origin
    return affine


def reordered(
    array: np.ndarray, affine: np.ndarray, order: Sequence[int], flips: Sequence[bool]
) -> tuple[np.ndarray, np.ndarray]:
    """The same voxels in the same places with index axes (i, j, k) taken in ``order`` and reversed by ``flips``."""
    ijk = array.transpose(2, 1, 0).transpose(order)
    out = np.eye(4)
    out[:3, :3] = affine[:3, list(order)]
    out[:3, 3] = affine[:3, 3]
    for axis in np.flatnonzero(flips):
        out[:3, 3] += out[:3, axis] * (ijk.shape[axis] - 1)
        out[:3, axis] *= -1.0
        ijk = np.flip(ijk, axis)
    return np.ascontiguousarray(ijk.transpose(2, 1, 0)), out


def tilted(affine: np.ndarray, degrees: float) -> np.ndarray:
    """``affine`` with its slice planes tilted about the left-right axis, the table still moving along superior."""
    out = affine.copy()
    angle = np.radians(degrees)
    out[:3, 1] = np.linalg.norm(affine[:3, 1]) * np.array([0.0, np.cos(angle), np.sin(angle)])
    return out


def ct_series(array: np.ndarray, affine: np.ndarray, edit: Edit | None = None, **tags: Any) -> list[Dataset]:
    """One CT dataset for each slice of ``array`` (HU), in order of k; ``edit(dataset, k)`` spoils it."""
    datasets = [_slice(array[k], affine, k) for k in range(len(array))]
    for k, dataset in enumerate(datasets):
        for keyword, value in tags.items():
            setattr(dataset, keyword, value)
        if edit:
            edit(dataset, k)
    return datasets


def enhanced_ct(array: np.ndarray, affine: np.ndarray) -> Dataset:
    """The scan as one multi-frame Enhanced CT; slopes and intercepts differ from frame to frame."""
    dataset = _common(array.shape[1:], EnhancedCTImageStorage)
    dataset.NumberOfFrames = len(array)
    dataset.SharedFunctionalGroupsSequence = [_shared(affine)]
    dataset.PerFrameFunctionalGroupsSequence = [_per_frame(affine, k) for k in range(len(array))]
    intercepts = np.array([-1024 - k for k in range(len(array))])[:, None, None]
    dataset.PixelData = (array.astype(np.int32) - intercepts).astype("<u2").tobytes()
    return dataset


def write(datasets: Sequence[Dataset], folder: Path, names: Sequence[str] = ()) -> Path:
    """Write datasets as files into ``folder`` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for n, dataset in enumerate(datasets):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # spoiled on purpose
            dcmwrite(folder / (names[n] if names else f"{n:03d}.dcm"), dataset, enforce_file_format=True)
    return folder


def set_stored(dataset: Dataset, values: np.ndarray) -> None:
    """Replace the stored pixels."""
    dataset.PixelData = values.astype("<u2" if values.min() >= 0 else "<i2").tobytes()


def _slice(plane: np.ndarray, affine: np.ndarray, k: int) -> Dataset:
    dataset = _common(plane.shape, CTImageStorage)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    position = affine @ [0, 0, k, 1]
    dataset.SOPInstanceUID = f"{SERIES_UID}.{k + 1}"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.InstanceNumber = k + 1
    dataset.ImagePositionPatient = _decimals(position[:3])
    dataset.ImageOrientationPatient = _decimals((affine[:3, :2] / spacing[:2]).T.ravel())
    dataset.PixelSpacing = _decimals([spacing[1], spacing[0]])
    dataset.SliceThickness = f"{spacing[2]:.6f}"
    dataset.SliceLocation = f"{position[2]:.6f}"
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "-1024", "1", "HU"
    dataset.PixelData = (plane.astype(np.int32) + 1024).astype("<u2").tobytes()
    return dataset


def _common(shape: tuple[int, ...], sop_class: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = f"{SERIES_UID}.0"
    dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.StudyDate = dataset.SeriesDate = "20240517"
    dataset.SeriesDescription, dataset.SeriesNumber = "Spine 2.0", 3
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.3", SERIES_UID
    dataset.FrameOfReferenceUID, dataset.PatientPosition = FRAME_UID, "HFS"
    dataset.Rows, dataset.Columns = shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = 0
    return dataset


def _shared(affine: np.ndarray) -> Dataset:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    measures, orientation, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = _decimals([spacing[1], spacing[0]])
    measures.SliceThickness = f"{spacing[2]:.6f}"
    orientation.ImageOrientationPatient = _decimals((affine[:3, :2] / spacing[:2]).T.ravel())
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    return shared


def _per_frame(affine: np.ndarray, k: int) -> Dataset:
    position, values, table, frame = Dataset(), Dataset(), Dataset(), Dataset()
    position.ImagePositionPatient = _decimals((affine @ [0, 0, k, 1])[:3])
    values.RescaleIntercept, values.RescaleSlope, values.RescaleType = str(-1024 - k), "1", "HU"
    table.TablePosition = 500.0 + k
    frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [position], [values]
    frame.CTPositionSequence = [table]
    return frame


def _decimals(values: Sequence[float] | np.ndarray) -> list[str]:
    return [f"{v:.9f}"[:16] for v in values]
