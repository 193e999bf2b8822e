"""Stored values of a DICOM image: decompressed, sign and unused bits settled."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels import pixel_array
from pydicom.uid import UID, MultiFrameGrayscaleWordSecondaryCaptureImageStorage, generate_uid

from trocar.errors import ImageError

#: What pydicom, and the decoders it calls, raise on elements or pixels that are damaged.
DAMAGED = (
    *(
        InvalidDicomError,
        BytesLengthException,
        NotImplementedError,
        AttributeError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
    ),
    *(EOFError, OSError, OverflowError, struct.error),
)

#: The elements that say what the bytes of an image mean (DICOM PS3.3 C.7.6.3).
PIXEL_TAGS = (
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated"),
    *("BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
)


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Turn what damaged DICOM raises into an :class:`ImageError` that names the file."""
    try:
        yield
    except DAMAGED as error:
        raise ImageError(f"{name} is damaged ({error}): copy it again from its source, or remove it.") from error


def stored_values(dataset: Dataset, name: str) -> NDArray[Any]:
    """Frames ``[n, row, column]`` of ``dataset`` as integers, before rescaling.

    Raises :class:`ImageError`, naming the file, when pixels are missing, cut short, in colour or
    compressed in a way that no installed decoder knows.
    """
    if "PixelData" not in dataset:
        raise ImageError(f"{name} has no pixel data: it was cut short or is not an image. Copy it again.")
    syntax = _syntax(dataset, name)
    with readable(name):
        if not syntax.is_compressed:
            _check_length(dataset, name)
        values = _decoded(dataset, syntax, name)
        values = values if syntax.is_compressed else _used_bits(values, dataset)
        return values.reshape(-1, *values.shape[-2:])


def _syntax(dataset: Dataset, name: str) -> UID:
    syntax = getattr(dataset, "file_meta", {}).get("TransferSyntaxUID")
    if not syntax or not UID(syntax).is_transfer_syntax:
        raise ImageError(f"{name} does not say how its pixels are encoded (0002,0010): export it again.")
    return UID(syntax)


def _check_length(dataset: Dataset, name: str) -> None:
    frames = int(dataset.get("NumberOfFrames") or 1)
    expected = frames * int(dataset.Rows) * int(dataset.Columns) * int(dataset.BitsAllocated) // 8
    found = len(dataset.PixelData)
    if found < expected:
        raise ImageError(f"{name} is cut short: {found} of {expected} bytes of pixels. Copy it again from its source.")


def _decoded(dataset: Dataset, syntax: UID, name: str) -> NDArray[Any]:
    try:
        return pixel_array(dataset, raw=True)
    except (RuntimeError, NotImplementedError) as error:
        decoded = _by_gdcm(dataset) if syntax.is_compressed else None
        if decoded is not None:
            return decoded
        raise ImageError(
            f"{name} is compressed as {syntax.name}, which could not be decoded here: it is damaged or of a kind "
            "not known here. Export the series without compression."
        ) from error


def _by_gdcm(dataset: Dataset) -> NDArray[Any] | None:
    """Frames decoded by the GDCM inside SimpleITK, which knows JPEG Lossless as pydicom alone does not.

    It reads files only, so the pixels go through a temporary one, without the patient; without a
    rescale, so that stored values come back. None where GDCM cannot decode them either.
    """
    bare = Dataset()
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    bare.SOPClassUID = bare.file_meta.MediaStorageSOPClassUID = MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    bare.SOPInstanceUID = bare.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    for keyword in PIXEL_TAGS:
        if keyword in dataset:
            bare[keyword] = dataset[keyword]
    with TemporaryDirectory(prefix="trocar-") as folder:
        path = f"{folder}/pixels.dcm"
        dcmwrite(path, bare, enforce_file_format=True)
        try:
            return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(path, imageIO="GDCMImageIO")))
        except RuntimeError:
            return None


def _used_bits(values: NDArray[Any], dataset: Dataset) -> NDArray[Any]:
    """``values`` without the bits that DICOM leaves unused (old files keep overlays there), sign extended."""
    allocated, used = int(dataset.BitsAllocated), int(dataset.BitsStored)
    above = allocated - 1 - int(dataset.get("HighBit", used - 1))
    if used == allocated:
        return values
    return (values << above) >> (allocated - used)
