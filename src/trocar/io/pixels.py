"""Stored values of a DICOM image: decompressed, sign and unused bits settled."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels import pixel_array
from pydicom.uid import UID

from trocar.errors import ImageError

#: What pydicom raises for pixel data that is damaged (the decoders it calls add a few of their own).
DAMAGED = (AttributeError, ValueError, TypeError, KeyError, IndexError, EOFError, OSError)


def stored_values(dataset: Dataset, name: str) -> NDArray[Any]:
    """Frames ``[n, row, column]`` of ``dataset`` as integers, before rescaling.

    Raises :class:`ImageError`, naming the file, when pixels are missing, cut short, in colour or
    compressed in a way that no installed decoder knows.
    """
    if "PixelData" not in dataset:
        raise ImageError(f"{name} has no pixel data: it was cut short or is not an image. Copy it again.")
    syntax = _syntax(dataset, name)
    if not syntax.is_compressed:
        _check_length(dataset, name)
    values = _decoded(dataset, syntax, name)
    values = values if syntax.is_compressed else _used_bits(values, dataset)
    return values.reshape(-1, *values.shape[-2:])


def _syntax(dataset: Dataset, name: str) -> UID:
    syntax = getattr(dataset, "file_meta", {}).get("TransferSyntaxUID")
    if not syntax:
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
        raise ImageError(
            f"{name} is compressed as {syntax.name}, which could not be decoded here: "
            "export the series without compression, or install pylibjpeg with its plug-ins."
        ) from error
    except DAMAGED as error:
        raise ImageError(f"the pixels of {name} are damaged ({error}): copy it again from its source.") from error


def _used_bits(values: NDArray[Any], dataset: Dataset) -> NDArray[Any]:
    """``values`` without the bits that DICOM leaves unused (old files keep overlays there), sign extended."""
    allocated, used = int(dataset.BitsAllocated), int(dataset.BitsStored)
    above = allocated - 1 - int(dataset.get("HighBit", used - 1))
    if used == allocated:
        return values
    return (values << above) >> (allocated - used)
