"""An X-ray run in a DICOM file: its header, what holds for each frame, and its pixels, one frame at a time."""

from __future__ import annotations

import itertools
import math
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    EnhancedXAImageStorage,
    EnhancedXRFImageStorage,
    ExplicitVRBigEndian,
    XRayAngiographicImageStorage,
    XRayRadiofluoroscopicImageStorage,
)

from trocar.errors import ImageError
from trocar.io.frames import number_or_none
from trocar.io.pixels import DAMAGED, PIXEL_TAGS, readable, stored_values
from trocar.io.source import existing

#: The classes of DICOM files that hold projection images of a C-arm or a fluoroscopy table.
X_RAY_STORAGE = (
    XRayAngiographicImageStorage,
    XRayRadiofluoroscopicImageStorage,
    EnhancedXAImageStorage,
    EnhancedXRFImageStorage,
)

#: Pixel Data (7FE0,0010) as it is written at the head of its bytes, little and big endian.
_PIXEL_DATA = {True: b"\xe0\x7f\x10\x00", False: b"\x7f\xe0\x00\x10"}

#: An item's tag, and the end of a sequence of items, little endian: compressed data always is.
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"

#: The length of an element that ends with a mark of its own.
_UNDEFINED = 0xFFFFFFFF


@contextmanager
def quiet() -> Iterator[None]:
    """Without pydicom's remarks on the spelling of values: every value used is checked here by its meaning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pydicom(\..*)?")
        yield


@dataclass(frozen=True, eq=False)
class XRayFile:
    """One file: ``header`` is all but the pixels; these lie ``length`` bytes long from ``start``.

    ``length`` is None for compressed pixels, which end with a mark. ``inflated`` holds the file's content where that
    itself was compressed and cannot be read in parts.
    """

    path: Path
    header: Dataset
    syntax: UID
    start: int
    length: int | None
    inflated: bytes | None = None

    @property
    def name(self) -> str:
        """The bare file name: folders may name the patient."""
        return self.path.name

    @property
    def count(self) -> int:
        """How many frames the header promises."""
        return max(1, int(self.number("NumberOfFrames") or 1))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.header.Rows), int(self.header.Columns)

    def value(self, keyword: str, frame: int = 0) -> Any:
        """What holds for one frame: from its own functional groups, those all share, or the header; None if absent."""
        for groups in (self._groups("PerFrameFunctionalGroupsSequence", frame), self._groups(SHARED, 0)):
            for sequence in groups:
                if sequence.VR == "SQ" and sequence.value and keyword in sequence.value[0]:
                    return _filled(sequence.value[0][keyword].value)
        return _filled(self.header.get(keyword))

    def number(self, keyword: str, frame: int = 0) -> float | None:
        """The same as one finite number; None where it is absent or none."""
        found = number_or_none(self.value(keyword, frame))
        return found if found is not None and math.isfinite(found) else None

    def _groups(self, keyword: str, frame: int) -> list[Any]:
        sequence = self.header.get(keyword) or []
        return list(sequence[frame]) if frame < len(sequence) else []

    def images(self) -> Iterator[NDArray[Any]]:
        """Each frame's stored values ``[row, column]``, decoded when it is asked for."""
        number = 0
        with self._open() as stream, quiet():
            for number, data in enumerate(itertools.islice(self._frames(stream), self.count), 1):
                yield stored_values(self._alone(data), f"frame {number} of {self.name}")[0]
        if number < self.count:
            raise ImageError(f"{self.name} holds {number} of {self.count} frames: copy it again from its source.")

    def _open(self) -> IO[bytes]:
        return BytesIO(self.inflated) if self.inflated is not None else self.path.open("rb")

    def _frames(self, stream: IO[bytes]) -> Iterator[bytes]:
        stream.seek(self.start)
        if self.length is None:
            with readable(self.name):
                yield from generate_frames(stream, number_of_frames=self.count)
        else:
            size = frame_bytes(self.header)
            for _ in range(self.count):
                yield stream.read(size)

    def _alone(self, data: bytes) -> Dataset:
        """One frame as an image of its own."""
        bare = Dataset()
        bare.file_meta = self.header.file_meta
        for keyword in PIXEL_TAGS:  # elements are shared with the header: none that is set below may be among them
            if keyword in self.header and keyword != "NumberOfFrames":
                bare[keyword] = self.header[keyword]
        bare.NumberOfFrames = 1
        bare.PixelData = encapsulate([data]) if self.length is None else data + b"\0" * (len(data) % 2)
        bare["PixelData"].VR = "OB" if self.length is None or bare.BitsAllocated == 8 else "OW"
        return bare


#: Functional groups that hold for all frames.
SHARED = "SharedFunctionalGroupsSequence"


def _filled(value: Any) -> Any:
    """``value``, or None where an element is there but empty."""
    return None if value is None or (hasattr(value, "__len__") and len(value) == 0) else value


def frame_bytes(header: Dataset) -> int:
    """How long one uncompressed frame is."""
    return int(header.Rows) * int(header.Columns) * int(header.BitsAllocated) // 8


def open_x_ray(path: str | os.PathLike[str]) -> XRayFile:
    """The X-ray run in a file, checked for being one and for being whole.

    Raises :class:`ImageError` for what is no DICOM, no X-ray projection, in colour, without pixels or cut short.
    """
    found = existing(path)
    if found.is_dir():
        raise ImageError(f"{found.name} is a folder: name the file of one X-ray run in it.")
    with quiet(), readable(found.name):
        opened = _located(found)
        _check_kind(opened)
        _check_whole(opened)
    return opened


def _located(path: Path) -> XRayFile:
    with path.open("rb") as stream:
        if stream.read(132)[128:] != b"DICM":
            raise ImageError(f"{path.name} is not DICOM: name the file of an X-ray run (XA or RF).")
        stream.seek(0)
        header = pydicom.dcmread(stream, stop_before_pixels=True)
        _drop_damaged(header)
        syntax = UID(str(header.file_meta.get("TransferSyntaxUID") or ""))
        if syntax == DeflatedExplicitVRLittleEndian:
            return _inflated(path, header)
        start, length = _pixel_head(stream, syntax, path.name)
    return XRayFile(path, header, syntax, start, length)


def _drop_damaged(dataset: Dataset) -> None:
    """Take elements that cannot be understood for absent, so that what is needed is then missed by name."""
    for tag in list(dataset.keys()):
        try:
            element = dataset[tag]
        except DAMAGED:
            del dataset[tag]
            continue
        if element.VR == "SQ":
            for item in element.value:
                _drop_damaged(item)


def _inflated(path: Path, header: Dataset) -> XRayFile:
    """A file that is compressed as a whole: its pixels are held in memory."""
    data = bytes(pydicom.dcmread(path).get("PixelData") or b"")
    return XRayFile(path, header, UID(str(header.file_meta.TransferSyntaxUID)), 0, len(data), data)


def _pixel_head(stream: IO[bytes], syntax: UID, name: str) -> tuple[int, int | None]:
    """Where the bytes of Pixel Data begin and how many they are, from where the header ended."""
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    if stream.read(4) != _PIXEL_DATA[order == "<"]:
        raise ImageError(f"{name} has no pixel data: it was cut short or is not an image. Copy it again.")
    if not syntax.is_implicit_VR:
        stream.read(4)
    (length,) = struct.unpack(f"{order}I", stream.read(4))
    return stream.tell(), None if length == _UNDEFINED else length


def _check_kind(file: XRayFile) -> None:
    kind = UID(str(file.header.get("SOPClassUID") or ""))
    if kind not in X_RAY_STORAGE:
        called = kind.name if kind else "a file of no known kind"
        raise ImageError(f"{file.name} is {called}, not an X-ray run: give an XA or RF image.")
    shown = str(file.header.get("PhotometricInterpretation") or "")
    if (file.number("SamplesPerPixel") or 1) != 1 or shown not in ("MONOCHROME1", "MONOCHROME2"):
        raise ImageError(f"{file.name} is in colour: a screen shot is no X-ray image. Export the run itself.")
    for keyword, most in (("Rows", 65535), ("Columns", 65535), ("BitsAllocated", 16), ("BitsStored", 16)):
        if not 1 <= (file.number(keyword) or 0) <= most:
            raise ImageError(f"{file.name} does not say its {keyword}: it is damaged. Copy it again from its source.")


def _check_whole(file: XRayFile) -> None:
    if file.length is None:
        found = _items(file)
        if found < file.count:
            raise ImageError(
                f"{file.name} is cut short: {found} of {file.count} frames. Copy it again from its source."
            )
        return
    there = len(file.inflated) if file.inflated is not None else file.path.stat().st_size - file.start
    expected = file.count * frame_bytes(file.header)
    if min(there, file.length) < expected:
        raise ImageError(
            f"{file.name} is cut short: {min(there, file.length)} of {expected} bytes of pixels. "
            "Copy it again from its source."
        )


def _items(file: XRayFile) -> int:
    """How many whole pieces of compressed pixels there are, found by their lengths alone.

    A frame may come in several pieces, never several frames in one (PS3.5 A.4). Raises :class:`ImageError` where the
    last piece or the mark of the end is missing.
    """
    size = file.path.stat().st_size
    with file.path.open("rb") as stream:
        stream.seek(file.start)
        pieces = -1  # the first item is the table of offsets
        while (head := stream.read(8))[:4] == _ITEM and len(head) == 8:
            stream.seek(struct.unpack("<I", head[4:])[0], os.SEEK_CUR)
            if stream.tell() > size:
                break
            pieces += 1
    if head[:4] != _END or len(head) < 8:
        raise ImageError(f"{file.name} is cut short after {max(pieces, 0)} pieces of pixels: copy it again.")
    return max(pieces, 0)


def sentence_list(words: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else words[0]


def as_numbers(value: Any) -> NDArray[np.float64] | None:
    """One or several numbers as an array; None where any of them is none."""
    values = [number_or_none(v) for v in (value if isinstance(value, (list, tuple)) or _many(value) else [value])]
    if any(v is None or not math.isfinite(v) for v in values):
        return None
    return np.array(values, dtype=np.float64)


def _many(value: Any) -> bool:
    return isinstance(value, pydicom.multival.MultiValue)
