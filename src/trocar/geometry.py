"""Points, lines, planes and rigid poses in the patient: LPS, millimetres, float64.

Points are ``(3,)`` or ``(n, 3)`` arrays in the order left, posterior, superior.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vector = NDArray[np.float64]

LEFT, POSTERIOR, SUPERIOR = np.eye(3)
LEFT.flags.writeable = POSTERIOR.flags.writeable = SUPERIOR.flags.writeable = False


class Side(Enum):
    """The patient's side."""

    LEFT = "left"
    RIGHT = "right"

    @property
    def sign(self) -> int:
        """+1 for left, -1 for right: the sign of the first LPS axis."""
        return 1 if self is Side.LEFT else -1

    @property
    def other(self) -> Side:
        """The opposite side."""
        return Side.RIGHT if self is Side.LEFT else Side.LEFT


def frozen(values: ArrayLike, dtype: Any = np.float64) -> NDArray[Any]:
    """A read-only copy of ``values``."""
    array = np.array(values, dtype=dtype)
    array.flags.writeable = False
    return array


def unit(vector: ArrayLike) -> Vector:
    """``vector`` scaled to length one; raises ``ValueError`` for a zero vector."""
    v = np.asarray(vector, dtype=np.float64)
    length = float(np.linalg.norm(v))
    if not length > 0.0:
        raise ValueError(f"a direction of length {length} points nowhere.")
    return v / length


def angle_deg(a: ArrayLike, b: ArrayLike) -> float:
    """Angle between two directions, 0 to 180 degrees."""
    u, v = unit(a), unit(b)
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(u, v)), float(u @ v))))


@dataclass(frozen=True)
class Line:
    """A directed line: a point on it and a unit direction."""

    point_mm: Vector
    direction: Vector

    def __post_init__(self) -> None:
        object.__setattr__(self, "point_mm", frozen(self.point_mm))
        object.__setattr__(self, "direction", frozen(unit(self.direction)))

    def at(self, depth_mm: float) -> Vector:
        """The point ``depth_mm`` along the direction from ``point_mm``."""
        return self.point_mm + depth_mm * self.direction

    def distance_mm(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Distance of each point ``(..., 3)`` to the (endless) line."""
        d = np.asarray(points_mm, dtype=np.float64) - self.point_mm
        along = d @ self.direction
        return np.sqrt(np.maximum(np.sum(d * d, axis=-1) - along * along, 0.0))


@dataclass(frozen=True)
class Plane:
    """A plane: a point on it and its unit normal."""

    point_mm: Vector
    normal: Vector

    def __post_init__(self) -> None:
        object.__setattr__(self, "point_mm", frozen(self.point_mm))
        object.__setattr__(self, "normal", frozen(unit(self.normal)))

    def height_mm(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Signed distance of each point ``(..., 3)``, positive on the normal's side."""
        return np.asarray((np.asarray(points_mm, dtype=np.float64) - self.point_mm) @ self.normal)


@dataclass(frozen=True)
class Pose:
    """An orthonormal frame placed in the patient.

    ``axes`` is 3x3; its columns are the frame's own left, posterior and superior directions in
    LPS, so that ``world = origin_mm + axes @ local``.
    """

    origin_mm: Vector
    axes: NDArray[np.float64]

    def __post_init__(self) -> None:
        axes = frozen(self.axes)
        if axes.shape != (3, 3) or not np.allclose(axes.T @ axes, np.eye(3), atol=1e-6):
            raise ValueError("axes of a Pose are three orthonormal columns.")
        if np.linalg.det(axes) < 0:
            raise ValueError("axes of a Pose are right-handed: left, posterior, superior.")
        object.__setattr__(self, "origin_mm", frozen(self.origin_mm))
        object.__setattr__(self, "axes", axes)

    @property
    def left(self) -> Vector:
        """The frame's own left, in LPS."""
        return self.axes[:, 0]

    @property
    def posterior(self) -> Vector:
        """The frame's own posterior, in LPS."""
        return self.axes[:, 1]

    @property
    def superior(self) -> Vector:
        """The frame's own superior, in LPS."""
        return self.axes[:, 2]

    def to_local(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """World points ``(..., 3)`` in the frame's coordinates, mm."""
        return (np.asarray(points_mm, dtype=np.float64) - self.origin_mm) @ self.axes

    def to_world(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Frame coordinates ``(..., 3)`` in the world, mm."""
        return np.asarray(points_mm, dtype=np.float64) @ self.axes.T + self.origin_mm
