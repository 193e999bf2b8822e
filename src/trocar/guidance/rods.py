"""Straight steel in the beam: how much of each ray lies in a tube with flat ends, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.geometry import Line, Vector, frozen, unit
from trocar.guidance.carm import CArm
from trocar.planning.instrument import Needle
from trocar.planning.trajectory import Trajectory

#: Iron at 60 keV, 1.205 cm2/g (Hubbell & Seltzer, NISTIR 5632, 1995) times 7.87 g/cm3, per mm; steel is near it.
STEEL_PER_MM = 0.948
#: A ray this near to parallel to the axis (squared sine) is taken as parallel.
_PARALLEL = 1e-18


@dataclass(frozen=True, eq=False)
class Rod:
    """A straight tube from ``start_mm`` (its hub) to ``tip_mm``, LPS; a bore of 0 is solid, as with its stylet in."""

    start_mm: Vector
    tip_mm: Vector
    outer_diameter_mm: float
    bore_mm: float = 0.0
    per_mm: float = STEEL_PER_MM

    def __post_init__(self) -> None:
        object.__setattr__(self, "start_mm", frozen(self.start_mm))
        object.__setattr__(self, "tip_mm", frozen(self.tip_mm))
        if not 0.0 <= self.bore_mm < self.outer_diameter_mm:
            raise ValueError(f"a bore of {self.bore_mm} mm does not fit into {self.outer_diameter_mm} mm.")
        unit(self.tip_mm - self.start_mm)  # refuses a rod without length

    @classmethod
    def of(cls, needle: Needle, tip_mm: Vector, direction: Vector, *, stylet: bool = False) -> Rod:
        """A needle whose tip is there and that points this way; without its stylet it is a tube."""
        start = np.asarray(tip_mm) - needle.length_mm * unit(direction)
        return cls(start, np.asarray(tip_mm), needle.outer_diameter_mm, 0.0 if stylet else needle.bore_mm)

    @classmethod
    def along(cls, path: Trajectory, short_mm: float = 0.0, *, stylet: bool = False) -> Rod:
        """The instrument of a planned path, ``short_mm`` before its target."""
        return cls.of(path.instrument, path.target_mm - short_mm * path.direction, path.direction, stylet=stylet)

    @property
    def axis(self) -> Line:
        """From its start towards its tip."""
        return Line(self.start_mm, self.tip_mm - self.start_mm)

    @property
    def length_mm(self) -> float:
        """From end to end."""
        return float(np.linalg.norm(self.tip_mm - self.start_mm))

    def displaced(self, by_mm: Vector) -> Rod:
        """The same elsewhere."""
        by = np.asarray(by_mm)
        return Rod(self.start_mm + by, self.tip_mm + by, self.outer_diameter_mm, self.bore_mm, self.per_mm)


def rod_mm(rod: Rod, view: CArm) -> NDArray[np.float32]:
    """Length of steel along each ray, ``[row, column]``, mm; a rod from behind the source is refused.

    Exact at each pixel's centre: nothing is averaged over a pixel.
    """
    out = np.zeros(view.detector.shape, dtype=np.float32)
    rows, columns = shadow(rod, view)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return out
    r, c = np.meshgrid(np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop), indexing="ij")
    rays = view.on_detector_mm(np.stack((r, c), axis=-1)) - view.source_mm
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    steel = _chord(rod, 0.5 * rod.outer_diameter_mm, view.source_mm, rays)
    if rod.bore_mm > 0.0:
        steel -= _chord(rod, 0.5 * rod.bore_mm, view.source_mm, rays)
    out[rows, columns] = steel
    return out


def shadow(rod: Rod, view: CArm) -> tuple[slice, slice]:
    """Rows and columns of the detector that the rod's shadow lies within; empty where it misses.

    Raises ``ValueError`` for a rod that reaches behind the source, which has no shadow.
    """
    ends = np.stack((rod.start_mm, rod.tip_mm))
    pixels = view.project(ends)
    if not np.isfinite(pixels).all():
        raise ValueError("a rod reaches behind the X-ray source: its position or the view is wrong.")
    depth = float(((ends - view.source_mm) @ view.toward_detector).min())
    finest = min(view.detector.row_spacing_mm, view.detector.column_spacing_mm)
    # twice the radius where it is magnified most: oblique rays widen it
    margin = 2.0 + rod.outer_diameter_mm * view.source_to_detector_mm / depth / finest
    low = np.floor(pixels.min(axis=0) - margin).astype(int)
    high = np.ceil(pixels.max(axis=0) + margin).astype(int) + 1
    (r0, c0), (r1, c1) = np.clip(low, 0, view.detector.shape), np.clip(high, 0, view.detector.shape)
    return slice(int(r0), int(r1)), slice(int(c0), int(c1))


def _chord(rod: Rod, radius_mm: float, source_mm: Vector, rays: NDArray[np.float64]) -> NDArray[np.float64]:
    """Length of each ray (unit vectors) in a solid cylinder with flat ends."""
    axis = rod.axis.direction
    start = source_mm - rod.start_mm
    along, start_along = rays @ axis, float(start @ axis)
    across, start_across = rays - along[..., None] * axis, start - start_along * axis
    square = np.sum(across * across, axis=-1)
    parallel = square < _PARALLEL
    nearest = -(across @ start_across) / np.where(parallel, 1.0, square)
    away = start_across + nearest[..., None] * across
    half = np.sqrt(np.maximum(radius_mm**2 - np.sum(away * away, axis=-1), 0.0) / np.where(parallel, 1.0, square))
    endless = np.where(float(start_across @ start_across) < radius_mm**2, np.inf, 0.0)
    half = np.where(parallel, endless, half)
    # between the two end planes
    slow = np.where(np.abs(along) < 1e-12, 1e-12, along)
    t0, t1 = -start_along / slow, (rod.length_mm - start_along) / slow
    low = np.maximum(nearest - half, np.minimum(t0, t1))
    high = np.minimum(nearest + half, np.maximum(t0, t1))
    return np.maximum(high - low, 0.0)
