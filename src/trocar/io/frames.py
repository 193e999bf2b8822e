"""One DICOM image plane: where it lies and what its numbers mean, from single- or multi-frame files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from trocar.errors import ImageError
from trocar.geometry import Vector, frozen

#: Functional groups (DICOM PS3.3 C.7.6.16) that hold what single-frame files keep at the top.
GROUPS = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
    "CTPositionSequence",
    "CTImageFrameTypeSequence",
)

#: Direction cosines may be off unit length and right angle by this much: they are written with few digits.
COSINE_TOLERANCE = 1e-3


#: Rescale types of a CT that are Hounsfield units: "US" is DICOM's "unspecified", written by older scanners.
HU_TYPES = ("", "HU", "US")


@dataclass(frozen=True)
class Instance:
    """One DICOM file (or a dataset in memory): its header, and how to come by all of it.

    ``load`` gives the whole dataset and, for a file of its own, its SHA-256.
    """

    name: str
    header: Dataset
    load: Callable[[], tuple[Dataset, str | None]]


@dataclass(frozen=True, eq=False)
class Frame:
    """One image plane in LPS millimetres.

    ``position_mm`` is the centre of the first voxel; ``row`` is the direction of growing column
    index, ``column`` of growing row index; ``pixel_mm`` is the step between rows, then columns.
    Stored values times ``slope`` plus ``intercept`` are Hounsfield units. ``padding`` is the
    range of stored values that mean "nothing was measured here".
    """

    instance: Instance
    index: int
    number: int
    position_mm: Vector
    row: Vector
    column: Vector
    pixel_mm: tuple[float, float]
    shape: tuple[int, int]
    slope: float
    intercept: float
    padding: tuple[int, int] | None
    frame_of_reference: str | None
    thickness_mm: float | None
    slice_location_mm: float | None
    table_position_mm: float | None

    @property
    def normal(self) -> Vector:
        """Unit normal of the plane, right-handed with row and column."""
        return np.cross(self.row, self.column)

    @property
    def centre_mm(self) -> Vector:
        """The middle of the plane."""
        down, across = (np.asarray(self.shape) - 1) / 2.0 * self.pixel_mm
        return self.position_mm + across * self.row + down * self.column

    @property
    def called(self) -> str:
        """For sentences: "instance 12", or the file where instances have no number."""
        return f"instance {self.number}" if self.number else self.instance.name


def frames(instance: Instance) -> Iterator[Frame]:
    """The planes of one file that are slices (a localiser frame is none)."""
    header = instance.header
    shared = _flat(header.get("SharedFunctionalGroupsSequence") or [], 0)
    count = int(header.get("NumberOfFrames") or 1)
    each = header.get("PerFrameFunctionalGroupsSequence") or []
    for index in range(count):
        tags = {**shared, **_flat(each, index)}
        if not is_localiser(tags.get("FrameType") or ()):
            yield _frame(instance, index, tags, count)


def is_localiser(image_type: Any) -> bool:
    """Whether an ImageType or FrameType says localiser (Siemens, GE: LOCALIZER; others: SCOUT, TOPOGRAM)."""
    return bool({"LOCALIZER", "SCOUT", "TOPOGRAM"} & {str(word).upper() for word in image_type})


def _flat(groups: Any, index: int) -> dict[str, Any]:
    """All elements of one item's functional groups by keyword."""
    if index >= len(groups):
        return {}
    found = (groups[index].get(name) for name in GROUPS)
    return {e.keyword: e.value for sequence in found if sequence for e in sequence[0] if e.value is not None}


def _frame(instance: Instance, index: int, tags: dict[str, Any], count: int) -> Frame:
    source = _Tags(instance, tags)
    row, column = source.vector("ImageOrientationPatient", 6).reshape(2, 3)
    _check_axes(row, column, instance.name)
    _check_hounsfield(source)
    down, across = source.vector("PixelSpacing", 2)
    number = index + 1 if count > 1 else int(source.optional("InstanceNumber") or 0)
    frame_uid = source.header.get("FrameOfReferenceUID")
    return Frame(
        instance,
        index,
        number,
        frozen(source.vector("ImagePositionPatient", 3)),
        frozen(row / np.linalg.norm(row)),
        frozen(column / np.linalg.norm(column)),
        (float(down), float(across)),
        (int(source.header.Rows), int(source.header.Columns)),
        source.number("RescaleSlope"),
        source.number("RescaleIntercept"),
        _padding(source.header),
        str(frame_uid) if frame_uid else None,
        source.optional("SliceThickness"),
        source.optional("SliceLocation"),
        source.optional("TablePosition"),
    )


@dataclass(frozen=True)
class _Tags:
    """Numbers from a frame's functional groups, or else from the file's top level."""

    instance: Instance
    tags: dict[str, Any]

    @property
    def header(self) -> Dataset:
        return self.instance.header

    def vector(self, keyword: str, length: int) -> NDArray[np.float64]:
        """``length`` finite numbers, or a refusal that names the tag."""
        try:
            value = self.tags.get(keyword, self.header.get(keyword))
            values = np.atleast_1d(np.asarray(value, dtype=np.float64))
        except (TypeError, ValueError):
            values = np.array([np.nan])
        if values.shape != (length,) or not np.all(np.isfinite(values)):
            raise ImageError(
                f"{self.instance.name} has no usable {_words(keyword)}: it cannot be placed in the patient "
                "or read in Hounsfield units. Export the original series from the scanner or the archive."
            )
        return values

    def number(self, keyword: str) -> float:
        """One finite number, or a refusal that names the tag."""
        return float(self.vector(keyword, 1)[0])

    def optional(self, keyword: str) -> float | None:
        """One number, or None where the file does not give it."""
        return number_or_none(self.tags.get(keyword, self.header.get(keyword)))


def number_or_none(value: Any) -> float | None:
    """``value`` as a number; None where it is absent or none."""
    try:
        return None if value in (None, "") else float(value)
    except (TypeError, ValueError):
        return None


def _words(keyword: str) -> str:
    """A tag as people know it: "ImagePositionPatient" -> "Image Position Patient"."""
    return "".join(f" {c}" if c.isupper() else c for c in keyword).strip()


def _check_axes(row: NDArray[np.float64], column: NDArray[np.float64], name: str) -> None:
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if np.max(np.abs(np.array(lengths) - 1.0)) > COSINE_TOLERANCE or abs(float(row @ column)) > COSINE_TOLERANCE:
        raise ImageError(
            f"{name}: the image orientation {np.round([*row, *column], 4).tolist()} is not two unit vectors at "
            "right angles. Export the original series."
        )


def _check_hounsfield(source: _Tags) -> None:
    kind = str(source.tags.get("RescaleType", source.header.get("RescaleType")) or "").strip().upper()
    if kind not in HU_TYPES:
        raise ImageError(
            f"{source.instance.name} holds {kind} values, not Hounsfield units (Rescale Type): give the CT in HU."
        )


def _padding(header: Dataset) -> tuple[int, int] | None:
    """Pixel Padding Value to Range Limit as the pixels are typed.

    Many files declare the value unsigned where pixels are signed (63536 for -2000), so its bits
    are read again with the pixels' own sign.
    """
    value = header.get("PixelPaddingValue")
    if value is None or isinstance(value, bytes):
        return None
    limit = header.get("PixelPaddingRangeLimit")
    bits, signed = int(header.BitsAllocated), int(header.get("PixelRepresentation", 0)) == 1
    ends = [_typed(int(v), bits, signed) for v in (value, value if limit is None else limit)]
    return min(ends), max(ends)


def _typed(value: int, bits: int, signed: bool) -> int:
    wrapped = value % (1 << bits)
    return wrapped - (1 << bits) if signed and wrapped >= 1 << (bits - 1) else wrapped
