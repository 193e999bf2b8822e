"""A label file as it was opened, before it meets a scheme or a CT."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.schemes import Meaning
from trocar.errors import ImageError
from trocar.io.stored import Stored
from trocar.measure import Finding, Severity
from trocar.volume import Volume

#: Label numbers above this are no labels: the largest that any scheme here knows is 228.
LARGEST_NUMBER = 65535


@dataclass(frozen=True)
class Layer:
    """A label volume (unit "label", canonical order), and what its numbers mean where the file says so itself."""

    volume: Volume
    says: dict[int, Meaning]


@dataclass(frozen=True)
class LabelMap:
    """One label file. Overlapping segments come as several layers.

    ``scheme`` names how the file says what its labels mean ("dicom-seg", "slicer", "header"), or is
    empty where it gives numbers alone. ``title`` is what sentences call the file.
    """

    title: str
    layers: tuple[Layer, ...]
    scheme: str = ""
    findings: tuple[Finding, ...] = ()
    digests: tuple[tuple[str, str], ...] = ()


def layer(stored: Stored, says: dict[int, Meaning]) -> Layer:
    """A stored label array in canonical order; raises :class:`ImageError` when its values are no labels."""
    array = whole_numbers(np.asarray(stored.array), stored.name)
    return Layer(replace(stored, array=array).volume("label", 0.0), says)


def whole_numbers(array: NDArray[Any], title: str) -> NDArray[np.uint8 | np.uint16]:
    """``array`` as unsigned integers; raises :class:`ImageError` when it holds anything but small whole numbers.

    Floats are taken where every one is whole: some tools write 18.0.
    """
    if array.dtype == np.uint8 or array.dtype == np.uint16:
        return array
    if array.dtype.kind not in "biuf":
        raise ImageError(f"{title} holds {array.dtype}, not label numbers: it is not a label map.")
    if array.dtype.kind == "f":
        _check_whole(array, title)
    low, high = array.min(), array.max()
    if low < 0 or high > LARGEST_NUMBER:
        raise ImageError(
            f"{title} holds numbers from {low:g} to {high:g}; labels run from 0 to {LARGEST_NUMBER}. "
            "It is an image, not a label map."
        )
    return array.astype(np.uint8 if high < 256 else np.uint16)


def _check_whole(array: NDArray[Any], title: str) -> None:
    wrong = array != np.rint(array)
    if wrong.any():
        raise ImageError(
            f"{title} holds {array[wrong][0]:g}; labels are whole numbers. It is an image or a probability map, "
            "or was resampled with interpolation: use nearest neighbour."
        )


def kept_by_name(unknown: list[str]) -> tuple[Finding, ...]:
    """What is told of segments that no scheme knows: they are kept, and avoided."""
    if not unknown:
        return ()
    return (
        Finding(
            Severity.NOTE,
            f"segments by names that no scheme here uses: {', '.join(sorted(unknown))}.",
            "they are kept under those names; what is not named as muscle, fat or bone is avoided like an organ",
        ),
    )
