"""Small rigid motions: six numbers about a point, and one displacement after another."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from trocar.geometry import Pose

#: The lever on which a turn is written as a length, mm: about half the width of a vertebra with its processes, so that
#: one millimetre of each of the six numbers moves the bone's edges by about as much.
LEVER_MM = 25.0


def motion(about_mm: ArrayLike, parts_mm: ArrayLike) -> Pose:
    """The displacement of six numbers: a shift (LPS, mm), and a turn about ``about_mm`` on :data:`LEVER_MM` (mm)."""
    about, parts = np.asarray(about_mm, dtype=np.float64), np.asarray(parts_mm, dtype=np.float64)
    turn = Rotation.from_rotvec(parts[3:] / LEVER_MM).as_matrix()
    return Pose(about + parts[:3] - turn @ about, turn)


def shift(by_mm: ArrayLike) -> Pose:
    """A displacement without a turn."""
    return Pose(np.asarray(by_mm, dtype=np.float64), np.eye(3))


def after(second: Pose, first: Pose) -> Pose:
    """First one displacement, then the other."""
    return Pose(second.to_world(first.origin_mm), second.axes @ first.axes)


def inverse(displacement: Pose) -> Pose:
    """The displacement back."""
    return Pose(-displacement.axes.T @ displacement.origin_mm, displacement.axes.T)


def turn_deg(displacement: Pose) -> float:
    """By how much a displacement turns, degrees, whatever its axis."""
    return float(np.degrees(Rotation.from_matrix(displacement.axes).magnitude()))


def moved_mm(points_mm: ArrayLike, centre_mm: ArrayLike) -> NDArray[np.float64]:
    """How each point ``(n, 3)`` moves with the six numbers about a centre: ``(n, 3, 6)``, mm per mm."""
    arm = (np.asarray(points_mm, dtype=np.float64) - np.asarray(centre_mm)) / LEVER_MM
    out = np.zeros((len(arm), 3, 6))
    out[:, :, :3] = np.eye(3)
    for axis in range(3):
        out[:, :, 3 + axis] = np.cross(np.eye(3)[axis], arm)
    return out
