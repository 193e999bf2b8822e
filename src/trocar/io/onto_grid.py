"""Bringing a label volume onto the CT's grid, or refusing to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from trocar.errors import FrameMismatchError, ImageError
from trocar.io.label_map import Layer
from trocar.measure import Finding, Severity
from trocar.volume import Volume

#: Least share of the smaller of the two scans' boxes that lies in the other, where no frame of reference tells that
#: they belong together. A crop of the scan passes; two scans that merely touch do not.
OVERLAP_MIN = 0.5

#: A face this large on the edge of a label volume is a cut through the bone, mm2: less than half the cross-section of
#: the smallest thoracic body, and more than the tips of two articular processes.
CUT_FACE_MM2 = 150.0


def onto_grid(layer: Layer, on: Volume, title: str) -> tuple[Layer, tuple[Finding, ...]]:
    """``layer`` on the grid of ``on`` (or the part of it that has labels), and what was done.

    Raises :class:`FrameMismatchError` when the frames of reference differ, or when there is none and
    the two do not overlap.
    """
    labels = layer.volume
    labels.check_frame(on)
    if labels.same_grid(on):
        return replace(layer, volume=replace(labels, affine=on.affine, frame_of_reference=on.frame_of_reference)), ()
    if not (labels.frame_of_reference and on.frame_of_reference):
        _check_overlap(labels, on, title)
    return replace(layer, volume=_resampled(labels, on, title)), (_told(labels, on, title),)


def _check_overlap(labels: Volume, on: Volume, title: str) -> None:
    share = overlap(labels, on)
    if share < OVERLAP_MIN:
        raise FrameMismatchError(
            f"{title} overlaps the CT by {share:.0%} of the smaller scan; {OVERLAP_MIN:.0%} is needed, because the "
            "file names no frame of reference. It belongs to another scan, or its header is wrong."
        )


def overlap(a: Volume, b: Volume) -> float:
    """The share of the smaller box that lies in the other, 0 to 1, by boxes along the patient's axes."""
    low_a, high_a = _box_mm(a)
    low_b, high_b = _box_mm(b)
    common = np.prod(np.clip(np.minimum(high_a, high_b) - np.maximum(low_a, low_b), 0.0, None))
    return float(common / min(np.prod(high_a - low_a), np.prod(high_b - low_b)))


def _box_mm(volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in volume.shape])).reshape(3, -1).T
    world = volume.world_mm(corners)
    return world.min(axis=0), world.max(axis=0)


def _resampled(labels: Volume, on: Volume, title: str) -> Volume:
    """The labelled part, nearest neighbour, on the part of the CT's grid that it covers."""
    (box,) = ndimage.find_objects((labels.array > 0).astype(np.uint8))
    part = labels.crop([s.start for s in box], [s.stop for s in box])
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in part.shape])).reshape(3, -1).T
    index = on.index_kji(part.world_mm(corners))
    start, stop = np.floor(index.min(axis=0)).astype(int), np.ceil(index.max(axis=0)).astype(int) + 1
    if np.any(stop <= 0) or np.any(start >= on.shape):
        raise FrameMismatchError(f"{title}: every label lies outside the CT. It belongs to another scan.")
    moved = part.onto(on.crop(start, stop))
    if not moved.array.any():
        raise ImageError(f"{title}: no label is left on the CT's grid. It belongs to another scan.")
    return replace(moved, frame_of_reference=on.frame_of_reference)


def _told(labels: Volume, on: Volume, title: str) -> Finding:
    def grid(volume: Volume) -> str:
        return " × ".join(f"{s:.2f}" for s in volume.spacing_mm[::-1]) + " mm"

    text = f"{title} lies on another grid ({grid(labels)}) and was resampled to the CT's ({grid(on)})."
    return Finding(Severity.NOTE, text, "its edges moved by up to half a voxel")


def cut_numbers(labels: Volume, on: Volume) -> set[int]:
    """Numbers with a broad face on the upper or lower edge of the label volume, where that lies within the CT.

    They are cut by their own grid. Labels are often cropped to what they mark (Slicer does, and DICOM
    leaves out empty frames); then processes touch those edges, but no broad face does.
    """
    face_mm2 = labels.spacing_mm[1] * labels.spacing_mm[2]
    cut: set[int] = set()
    for upper in (False, True):
        if _ends_within(labels, on, upper):
            numbers, counts = np.unique(labels.array[-1 if upper else 0], return_counts=True)
            cut |= {int(n) for n, count in zip(numbers, counts, strict=True) if n and count * face_mm2 >= CUT_FACE_MM2}
    return cut


def _ends_within(labels: Volume, on: Volume, upper: bool) -> bool:
    """Whether the CT's uppermost (or lowest) slice lies beyond the labels, above the middle of their own."""
    middle = (np.asarray(labels.shape, dtype=float) - 1) / 2
    middle[0] = labels.shape[0] - 1 if upper else 0
    place = on.index_kji(labels.world_mm(middle))
    place[0] = on.shape[0] - 1 if upper else 0
    k = float(labels.index_kji(on.world_mm(place))[0])
    return k > labels.shape[0] - 0.5 if upper else k < -0.5
