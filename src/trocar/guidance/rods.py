"""Straight steel in the beam: how much of each ray lies in a tube with flat ends, in closed form."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trocar.geometry import Line, Vector, frozen, unit
from trocar.guidance.carm import CArm
from trocar.physics.attenuation import STEEL
from trocar.physics.compiled import compiled
from trocar.planning.instrument import Needle
from trocar.planning.trajectory import Trajectory

#: The one energy that an exposed image is worked out at, near the mean of 80 kVp behind a trunk (from memory,
#: unverified), keV.
BEAM_KEV = 60.0
STEEL_PER_MM = float(STEEL.per_mm(BEAM_KEV))
#: A ray nearer than this to parallel to the axis (squared sine), or to square to it (cosine), counts as this near.
_PARALLEL, _ACROSS = 1e-18, 1e-12


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

    def filled(self, per_mm: float) -> Rod:
        """What fills its bore, as a rod of its own."""
        return replace(self, outer_diameter_mm=self.bore_mm, bore_mm=0.0, per_mm=per_mm)

    def displaced(self, by_mm: Vector) -> Rod:
        """The same elsewhere."""
        by = np.asarray(by_mm)
        return replace(self, start_mm=self.start_mm + by, tip_mm=self.tip_mm + by)


def rod_mm(rod: Rod, view: CArm) -> NDArray[np.float32]:
    """Length of steel along each ray, ``[row, column]``, mm; a rod that reaches behind the source is refused.

    Exact at each pixel's centre: nothing is averaged over a pixel.
    """
    out = np.zeros(view.detector.shape, dtype=np.float32)
    add_rod(out, rod, view, 1.0)
    return out


def add_rod(image: NDArray[np.float32], rod: Rod, view: CArm, weight: float) -> None:
    """Add ``weight`` times the length of steel to an image of this view, in place, where the rod's shadow falls."""
    rows, columns = shadow(rod, view)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    corner, below, beside = view.on_detector_mm([[0, 0], [1, 0], [0, 1]]) - view.source_mm
    box = np.array((rows.start, rows.stop, columns.start, columns.stop))
    start = view.source_mm - rod.start_mm
    radii = 0.5 * np.array((rod.outer_diameter_mm, rod.bore_mm))
    rays = (corner, below - corner, beside - corner)
    _add(image, weight, box, start, *rays, rod.axis.direction, rod.length_mm, radii)


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


@compiled
def _add(image, weight, box, start, corner, down, right, axis, length, radii):  # type: ignore[no-untyped-def]
    """For each pixel in ``box`` the chord of its ray in a tube whose hub is the origin; ``start`` is the source."""
    start_along = start[0] * axis[0] + start[1] * axis[1] + start[2] * axis[2]
    m0, m1, m2 = start[0] - start_along * axis[0], start[1] - start_along * axis[1], start[2] - start_along * axis[2]
    for r in range(box[0], box[1]):
        for c in range(box[2], box[3]):
            d0 = corner[0] + r * down[0] + c * right[0]
            d1 = corner[1] + r * down[1] + c * right[1]
            d2 = corner[2] + r * down[2] + c * right[2]
            far = np.sqrt(d0 * d0 + d1 * d1 + d2 * d2)
            d0, d1, d2 = d0 / far, d1 / far, d2 / far
            along = d0 * axis[0] + d1 * axis[1] + d2 * axis[2]
            p0, p1, p2 = d0 - along * axis[0], d1 - along * axis[1], d2 - along * axis[2]
            square = p0 * p0 + p1 * p1 + p2 * p2
            # how far along the ray the axis is nearest, and how near it is
            nearest = -(p0 * m0 + p1 * m1 + p2 * m2) / max(square, _PARALLEL)
            a0, a1, a2 = m0 + nearest * p0, m1 + nearest * p1, m2 + nearest * p2
            away = a0 * a0 + a1 * a1 + a2 * a2
            if away >= radii[0] * radii[0]:
                continue
            slow = along if abs(along) > _ACROSS else _ACROSS
            t0, t1 = -start_along / slow, (length - start_along) / slow
            low, high = min(t0, t1), max(t0, t1)
            steel = 0.0
            for n in range(2):
                if away < radii[n] * radii[n]:
                    half = np.sqrt((radii[n] * radii[n] - away) / max(square, _PARALLEL))
                    inside = max(0.0, min(nearest + half, high) - max(nearest - half, low))
                    steel += inside if n == 0 else -inside
            image[r, c] += weight * steel
