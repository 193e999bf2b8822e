"""From loose image planes to a regular stack: order, duplicates, gaps, spacing, tilt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.errors import ImageError
from trocar.geometry import Vector
from trocar.io.frames import Frame
from trocar.io.stored import SHEAR_TOLERANCE_MM
from trocar.measure import Finding, Severity

#: A slice may lie this far from its place in the regular stack, mm: archives that write positions to
#: one decimal are off by 0.05 mm, which is a tenth of the finest voxel.
POSITION_TOLERANCE_MM = 0.06

#: Irregularity below this is the rounding of the third decimal and not worth a word, mm.
POSITION_NOISE_MM = 0.006

#: Slices closer than this are one position, mm: no scanner reconstructs so finely.
DUPLICATE_TOLERANCE_MM = 0.01

#: Direction cosines and pixel spacings of one series differ at most by this: rounding of the file.
HEADER_TOLERANCE = 1e-4

#: A gap is a whole number of missing slices when it is within this share of a slice step of one.
GAP_TOLERANCE = 0.1

#: Slices that lie further apart than this multiple of their thickness leave unseen bone between them.
CONTIGUOUS_RATIO = 1.1


@dataclass(frozen=True)
class Stack:
    """Planes in order along their common normal and the affine (ijk to LPS mm, perhaps sheared) of the grid.

    ``duplicates`` are planes at the position of the kept plane with that index.
    """

    frames: tuple[Frame, ...]
    duplicates: tuple[tuple[int, Frame], ...]
    affine: NDArray[np.float64]
    findings: tuple[Finding, ...]


def stacked(frames: list[Frame]) -> Stack:
    """Order ``frames`` and check that they make one regular grid; raises :class:`ImageError` if not."""
    _check_alike(frames)
    normal = frames[0].normal
    ordered = sorted(frames, key=lambda f: (float(f.position_mm @ normal), f.number, f.instance.name, f.index))
    kept, duplicates = _without_duplicates(ordered)
    if len(kept) < 2:
        raise ImageError(
            f"{frames[0].instance.name}: one slice at {_place(kept[0])} is not a volume. "
            "Give the folder of the whole series."
        )
    _check_gaps(kept, normal)
    affine, residual = _affine(kept)
    return Stack(tuple(kept), tuple(duplicates), affine, (*_uneven(residual), *_apart(kept, affine)))


def _check_alike(frames: list[Frame]) -> None:
    first = frames[0]
    for f in frames[1:]:
        if f.shape != first.shape:
            _refuse_mixture(first, f, "image sizes", f"{_size(first)} and {_size(f)} voxels")
        if not np.allclose(f.pixel_mm, first.pixel_mm, rtol=0.0, atol=HEADER_TOLERANCE):
            _refuse_mixture(first, f, "pixel spacings", f"{_numbers(first.pixel_mm)} and {_numbers(f.pixel_mm)} mm")
        turned = np.abs(np.concatenate([f.row - first.row, f.column - first.column]))
        if np.max(turned) > HEADER_TOLERANCE:
            axes = [_numbers([*g.row, *g.column]) for g in (first, f)]
            _refuse_mixture(first, f, "orientations", f"{axes[0]} and {axes[1]}")
        if f.frame_of_reference != first.frame_of_reference:
            _refuse_mixture(
                first, f, "frames of reference", f"{first.frame_of_reference or 'none'} and {f.frame_of_reference}"
            )


def _refuse_mixture(a: Frame, b: Frame, what: str, values: str) -> None:
    raise ImageError(
        f"the series mixes {what}: {values} in {a.called} ({a.instance.name}) and {b.called} ({b.instance.name}). "
        "Give one series of one acquisition."
    )


def _size(frame: Frame) -> str:
    return f"{frame.shape[1]} × {frame.shape[0]}"


def _numbers(values: NDArray[np.float64] | list[float] | tuple[float, ...]) -> str:
    return "[" + ", ".join(f"{float(v):.4g}" for v in values) + "]"


def _without_duplicates(ordered: list[Frame]) -> tuple[list[Frame], list[tuple[int, Frame]]]:
    kept: list[Frame] = []
    duplicates: list[tuple[int, Frame]] = []
    for f in ordered:
        if kept and np.linalg.norm(f.position_mm - kept[-1].position_mm) <= DUPLICATE_TOLERANCE_MM:
            duplicates.append((len(kept) - 1, f))
        else:
            kept.append(f)
    return kept, duplicates


def _check_gaps(kept: list[Frame], normal: Vector) -> None:
    """Refuse missing slices and uneven spacing, naming the place."""
    gaps = np.diff([float(f.position_mm @ normal) for f in kept])
    step = float(np.sort(gaps)[(len(gaps) - 1) // 2])  # the lower median: of two gaps the smaller is the step
    steps = gaps / max(step, DUPLICATE_TOLERANCE_MM)
    whole = np.abs(steps - np.rint(steps)) <= GAP_TOLERANCE
    wide = np.flatnonzero(np.rint(steps) >= 2)
    if wide.size and np.all(whole):
        _refuse_missing(kept, gaps, step, wide)
    worst = int(np.argmax(np.abs(gaps - step)))
    if abs(gaps[worst] - step) > 2.0 * POSITION_TOLERANCE_MM:
        a, b = kept[worst], kept[worst + 1]
        raise ImageError(
            f"the slices are unevenly spaced: {step:.2f} mm apart mostly, but {gaps[worst]:.2f} mm between {a.called} "
            f"({_place(a)}) and {b.called} ({_place(b)}). Give a series with even spacing."
        )


def _refuse_missing(kept: list[Frame], gaps: NDArray[np.float64], step: float, wide: NDArray[np.intp]) -> None:
    a, b = kept[int(wide[0])], kept[int(wide[0]) + 1]
    missing = int(np.sum(np.rint(gaps[wide] / step) - 1))
    what = "1 slice is" if missing == 1 else f"{missing} slices are"
    raise ImageError(
        f"{what} missing: the first gap lies between {a.called} ({_place(a)}) and {b.called} ({_place(b)}), "
        f"{gaps[wide[0]]:.2f} mm where slices are {step:.2f} mm apart. Fetch the whole series again."
    )


def _place(frame: Frame) -> str:
    """Where a slice is: its superior coordinate, or the whole centre for slices that are not axial."""
    x, y, z = frame.centre_mm
    return f"z {z:.2f} mm" if abs(frame.normal[2]) > np.sqrt(0.5) else f"centre {_numbers([x, y, z])} mm"


def _affine(kept: list[Frame]) -> tuple[NDArray[np.float64], float]:
    """The regular grid closest to the planes' positions, and the largest distance of a plane from it, mm."""
    positions = np.array([f.position_mm for f in kept])
    k = np.arange(len(kept)) - (len(kept) - 1) / 2.0
    step = k @ positions / (k @ k)
    first = positions.mean(axis=0) + k[0] * step
    residual = float(np.max(np.linalg.norm(positions - positions.mean(axis=0) - np.outer(k, step), axis=1)))
    if residual > POSITION_TOLERANCE_MM:
        raise ImageError(
            f"the slices do not lie on one straight, even line: one is {residual:.2f} mm from its place "
            f"(up to {POSITION_TOLERANCE_MM} mm is accepted). Give a series with even spacing."
        )
    frame = kept[0]
    affine = np.eye(4)
    affine[:3, 0] = frame.row * frame.pixel_mm[1]
    affine[:3, 1] = frame.column * frame.pixel_mm[0]
    affine[:3, 2] = _straight(step, frame.normal, len(kept))
    affine[:3, 3] = first
    return affine, residual


def _straight(step: Vector, normal: Vector, count: int) -> Vector:
    """``step`` along the normal exactly, unless the slices drift sideways by more than rounding explains."""
    along = (step @ normal) * normal
    drift = float(np.linalg.norm(step - along)) * (count - 1)
    return along if drift <= SHEAR_TOLERANCE_MM else step


def _uneven(residual: float) -> tuple[Finding, ...]:
    if residual <= POSITION_NOISE_MM:
        return ()
    text = f"Slice positions are uneven by up to {residual:.3f} mm; the slices were taken as evenly spaced."
    return (Finding(Severity.NOTE, text),)


def _apart(kept: list[Frame], affine: NDArray[np.float64]) -> tuple[Finding, ...]:
    thickness = kept[0].thickness_mm
    step = float(np.linalg.norm(affine[:3, 2]))
    if not thickness or step <= CONTIGUOUS_RATIO * thickness:
        return ()
    text = f"Slices {thickness:.2f} mm thick lie {step:.2f} mm apart: what is between them was not scanned."
    return (Finding(Severity.CAUTION, text, "slice thickness and slice positions"),)
