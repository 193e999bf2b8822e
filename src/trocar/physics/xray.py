"""Rays through voxels: line integrals from a point source to the pixels of a flat detector.

Lengths are millimetres in the volume's own frame: axes in the array's order ``[k, j, i]``, the centre of voxel
``[0, 0, 0]`` at the origin. A volume of attenuation per millimetre gives the exponent of Beer's law,

    I / I_0 = exp(- integral of mu along the ray).

Each ray runs from the source to the centre of a pixel; what lies behind the source or beyond the detector does not
count. Two rules are offered, see :class:`Method`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from trocar.physics.multigrid import Crew
from trocar.physics.xray_tiles import TILE_ROWS, follow_rows

#: Rows of the detector that one thread takes at a time.
BAND = 4 * TILE_ROWS
#: Sine of the least angle at which the two directions of a detector may meet, and at which a ray may meet it.
LEAST_SINE = 1e-9


class Method(Enum):
    """How a ray is followed; the value says what is taken to lie between the voxels' centres."""

    INTERPOLATED = "interpolated between the voxels' centres (Joseph 1982); the box ends at the outermost centres"
    EXACT = "constant within each voxel (Siddon 1985); the box ends half a voxel beyond the outermost centres"


@dataclass(frozen=True, eq=False)
class Beam:
    """A point source and a flat detector in a volume's own frame: vectors in the order k, j, i, mm.

    ``corner_mm`` is the centre of pixel [0, 0]; ``down_mm`` leads from a pixel to the one in the next row,
    ``right_mm`` to the one in the next column. ``shape`` is rows and columns.
    """

    source_mm: NDArray[np.float64]
    corner_mm: NDArray[np.float64]
    down_mm: NDArray[np.float64]
    right_mm: NDArray[np.float64]
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        for vector in fields(self)[:4]:
            value = np.asarray(getattr(self, vector.name), dtype=np.float64)
            if value.shape != (3,) or not np.isfinite(value).all():
                raise ValueError(
                    f"{vector.name}={value.tolist()} of a beam must be three finite numbers k, j, i in mm."
                )
            object.__setattr__(self, vector.name, value)
        if min(self.shape) < 1:
            raise ValueError(f"a detector of {self.shape[0]} x {self.shape[1]} pixels is none.")
        normal, area = (
            np.cross(self.down_mm, self.right_mm),
            np.linalg.norm(self.down_mm) * np.linalg.norm(self.right_mm),
        )
        if not np.linalg.norm(normal) > LEAST_SINE * area:
            raise ValueError(f"pixels {self.down_mm.tolist()} by {self.right_mm.tolist()} mm have no area.")
        way = self.corner_mm - self.source_mm
        if not abs(normal @ way) > LEAST_SINE * area * np.linalg.norm(way):
            raise ValueError("the source lies in the plane of the detector: it must be in front of it.")


def line_integrals(
    volume: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    beam: Beam,
    method: Method = Method.INTERPOLATED,
    *,
    where: NDArray[np.bool_] | None = None,
    threads: int | None = None,
) -> NDArray[np.float32]:
    """Integral of ``volume`` ``[k, j, i]`` along each ray, ``[row, column]``: the volume's unit times mm.

    ``where`` ``[row, column]`` names the pixels that are wanted; the others are 0 and cost nothing. All cores work
    unless ``threads`` says how many; the result does not depend on it. A float32 volume is never copied, a view of
    part of one neither; others are converted.
    """
    values, spacing = checked(volume, spacing_mm)
    asked = wanted(where, beam)
    out = np.zeros(beam.shape, dtype=np.float32)
    exact = method is Method.EXACT
    by_bands(follow_rows, (*laid_out(values), spacing, *vectors(beam), asked, out, exact), beam.shape[0], threads)
    refuse_unless_finite(out)
    return out


def checked(
    volume: NDArray[Any], spacing_mm: tuple[float, float, float]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The volume in float32, as it is where it can be, and its spacing; refuses what is none."""
    values, spacing = np.asarray(volume), np.asarray(spacing_mm, dtype=np.float64)
    if values.ndim != 3 or 0 in values.shape:
        raise ValueError(f"a volume has three axes k, j, i with voxels in each; this one's shape is {values.shape}.")
    if values.dtype.kind not in "biuf":
        raise TypeError(f"a volume holds real numbers; this one's type is {values.dtype}.")
    if spacing.shape != (3,) or not (np.isfinite(spacing).all() and (spacing > 0.0).all()):
        raise ValueError(f"spacing_mm={spacing_mm} must be three positive numbers k, j, i in mm.")
    steps_up = all(s > 0 and s % 4 == 0 for s in values.strides)
    as_it_is = values.dtype == np.float32 and values.flags.aligned and steps_up
    return values if as_it_is else np.ascontiguousarray(values, dtype=np.float32), spacing


def laid_out(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """The volume as one row of numbers without a copy, its shape, and its strides in numbers k, j, i."""
    shape, strides = np.array(values.shape), np.array(values.strides) // values.itemsize
    span = int(np.sum((shape - 1) * strides)) + 1
    flat = as_strided(values, (span,), (values.itemsize,), writeable=False)
    # an axis of one voxel has no second one to interpolate with: its neighbour is itself
    return flat, shape, np.where(shape > 1, strides, 0)


def vectors(beam: Beam) -> tuple[NDArray[np.float64], ...]:
    """Source, corner, down and right."""
    return beam.source_mm, beam.corner_mm, beam.down_mm, beam.right_mm


def wanted(where: NDArray[np.bool_] | None, beam: Beam) -> NDArray[np.bool_]:
    """The pixels that are asked for."""
    asked = np.ones(beam.shape, dtype=np.bool_) if where is None else np.ascontiguousarray(where, dtype=np.bool_)
    if asked.shape != tuple(beam.shape):
        raise ValueError(f"where has the shape {asked.shape}, the detector {tuple(beam.shape)}.")
    return asked


def by_bands(work: Callable[..., None], given: tuple[Any, ...], rows: int, threads: int | None) -> None:
    """Call compiled ``work`` for bands of the detector's rows, side by side."""
    with Crew(threads).at_work() as crew:
        crew.each(work, [(*given, top, min(top + BAND, rows)) for top in range(0, rows, BAND)])


def refuse_unless_finite(image: NDArray[np.float32]) -> None:
    """What is not a number in the volume shows in the image: cheaper than to look through the volume."""
    bad = int(np.size(image) - np.count_nonzero(np.isfinite(image)))
    if bad:
        raise ValueError(f"the volume holds values that are not finite: {bad} of {np.size(image)} rays meet one.")
