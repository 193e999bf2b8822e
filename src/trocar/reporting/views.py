"""The planes a radiologist looks at: orthogonal through the target, and two along the needle.

Radiological convention. Axial: patient's right on the image's left, front on top. Coronal: right on the
left, head on top. Sagittal: front on the left, head on top. The oblique planes keep the convention of
the plane they are closest to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trocar.geometry import LEFT, POSTERIOR, SUPERIOR, Vector, frozen, unit
from trocar.planning.trajectory import Trajectory

#: Edge of a panel through the target, mm: a vertebra with its neighbours and the great vessels.
CLOSE_MM = 110.0
#: Edge of the panel across the needle, mm.
ACROSS_MM = 70.0
#: Room around the needle in a panel that holds all of it, mm.
AROUND_MM = 22.0
#: A component of a direction below this is not named at the panel's edge.
LETTER_FLOOR = 0.26  # sine of 15 degrees


@dataclass(frozen=True)
class View:
    """A square panel in the patient: ``right`` and ``down`` are the unit vectors of its columns and rows (LPS)."""

    name: str
    title: str
    centre_mm: Vector
    right: Vector
    down: Vector
    size_mm: float

    def __post_init__(self) -> None:
        for name in ("centre_mm", "right", "down"):
            object.__setattr__(self, name, frozen(getattr(self, name)))

    @property
    def normal(self) -> Vector:
        """Unit normal of the plane, LPS."""
        return np.cross(self.right, self.down)

    def points_mm(self, pixels: int) -> NDArray[np.float64]:
        """LPS positions ``(pixels, pixels, 3)`` of the pixel centres, row by row."""
        at = ((np.arange(pixels) + 0.5) / pixels - 0.5) * self.size_mm
        return self.centre_mm + at[None, :, None] * self.right + at[:, None, None] * self.down

    def corners_mm(self) -> NDArray[np.float64]:
        """The four corners ``(4, 3)``, LPS."""
        h = self.size_mm / 2.0
        return np.array([self.centre_mm + a * h * self.right + b * h * self.down for a in (-1, 1) for b in (-1, 1)])

    def project(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Points ``(..., 3)`` as (right, down, height above the plane), mm from the panel's centre."""
        d = np.asarray(points_mm, dtype=np.float64) - self.centre_mm
        return np.stack([d @ self.right, d @ self.down, d @ self.normal], axis=-1)

    def holds(self, point_mm: ArrayLike) -> bool:
        """Whether a point projects into the panel."""
        return bool(np.max(np.abs(self.project(point_mm)[:2])) < self.size_mm / 2.0)

    @property
    def letters(self) -> tuple[str, str, str, str]:
        """What lies at the left, right, top and bottom edge: "R", "L", "A", "P" or two of them in an oblique plane."""
        return letters(-self.right), letters(self.right), letters(-self.down), letters(self.down)


def letters(direction: ArrayLike) -> str:
    """DICOM's letters of a direction, the largest component first: L R, P A, H F (head, feet)."""
    d = unit(direction)
    names = [("L", "R"), ("P", "A"), ("H", "F")]
    order = sorted((n for n in range(3) if abs(d[n]) > LETTER_FLOOR), key=lambda n: -abs(d[n]))
    return "".join(names[n][0 if d[n] > 0 else 1] for n in order)


def orthogonal(target_mm: Vector) -> tuple[View, View, View]:
    """Axial, sagittal and coronal through the target."""
    return (
        View("axial", "Axial through the target", target_mm, LEFT, POSTERIOR, CLOSE_MM),
        View("sagittal", "Sagittal through the target", target_mm, POSTERIOR, -SUPERIOR, CLOSE_MM),
        View("coronal", "Coronal through the target", target_mm, LEFT, -SUPERIOR, CLOSE_MM),
    )


def along(trajectory: Trajectory) -> tuple[View, View]:
    """The two planes that hold the whole needle: nearest to axial, and nearest to sagittal."""
    d = trajectory.direction
    axial = rejected(SUPERIOR, d, POSTERIOR)
    sagittal = rejected(LEFT, d, POSTERIOR)
    down = rejected(POSTERIOR, axial, SUPERIOR)
    caudal = rejected(-SUPERIOR, sagittal, POSTERIOR)
    centre = trajectory.skin_mm + d * (trajectory.length_mm + AROUND_MM) / 2.0
    size = trajectory.length_mm + 2.0 * AROUND_MM
    return (
        View("along_axial", "Along the needle, nearest to axial", centre, np.cross(down, axial), down, size),
        View(
            "along_sagittal", "Along the needle, nearest to sagittal", centre, np.cross(sagittal, caudal), caudal, size
        ),
    )


def across(trajectory: Trajectory, at_mm: Vector) -> View:
    """The plane at right angles to the needle, at its point nearest to ``at_mm``; left and head as in a coronal."""
    d = trajectory.direction
    centre = trajectory.skin_mm + ((at_mm - trajectory.skin_mm) @ d) * d
    down = rejected(-SUPERIOR, d, POSTERIOR)
    right = np.cross(down, d)
    right, down = (right, down) if right @ LEFT >= 0.0 else (-right, down)
    return View("across", "Across the needle, at the pedicle", centre, right, down, ACROSS_MM)


def rejected(vector: Vector, direction: Vector, spare: Vector) -> Vector:
    """The unit part of ``vector`` at right angles to ``direction``; ``spare`` stands in where the two are parallel."""
    part = vector - (vector @ direction) * direction
    return unit(part) if np.linalg.norm(part) > 1e-6 else unit(spare - (spare @ direction) * direction)
