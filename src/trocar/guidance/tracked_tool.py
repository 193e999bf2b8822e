"""A tracked tool: its tip from a pivot calibration, and where that is in the patient."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.errors import TrocarError
from trocar.geometry import Pose, Vector, frozen, unit
from trocar.guidance.carm import AT_REST
from trocar.guidance.frames import ToolPose
from trocar.guidance.tip import Tip
from trocar.measure import Range

#: Tilts of the tool by less than this tell a pivot's centre badly, degrees (our judgement; makers ask for 20 to 60).
LEAST_PIVOT_DEG = 20.0


@dataclass(frozen=True, eq=False)
class Tool:
    """A tracked tool: where its tip is and which way it points in the tool's own coordinates (pivot calibration).

    ``to_patient`` takes the tracker's coordinates to the CT's (``to_world``). ``tip_sd_mm`` is the spread of the pivot
    calibration and ``registration_sd_mm`` that of the registration, both per axis; ``angle_sd_deg`` that of the
    direction.
    """

    name: str
    tip_mm: Vector
    direction: Vector
    to_patient: Pose = AT_REST
    tip_sd_mm: float = 0.5
    registration_sd_mm: float = 1.0
    angle_sd_deg: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "tip_mm", frozen(self.tip_mm))
        object.__setattr__(self, "direction", frozen(unit(self.direction)))
        for name in ("tip_sd_mm", "registration_sd_mm"):
            Range(0.0, 20.0, "mm").check(name, getattr(self, name), "a tool")
        Range(0.0, 30.0, "deg").check("angle_sd_deg", self.angle_sd_deg, "a tool")

    def at(self, pose: ToolPose) -> Tip:
        """The needle, from one pose of the tool."""
        tip = self.to_patient.to_world(pose.pose.to_world(self.tip_mm))
        way = self.to_patient.axes @ (pose.pose.axes @ self.direction)
        place = (self.tip_sd_mm**2 + self.registration_sd_mm**2) * np.eye(3)
        turn = np.radians(self.angle_sd_deg) ** 2 * (np.eye(3) - np.outer(way, way))
        return Tip(pose.time_s, tip, way, place, turn, pose.source)


@dataclass(frozen=True, eq=False)
class Pivoted:
    """A pivot calibration: the tip in the tool's coordinates, what it turned about in the tracker's, the residual."""

    tip_mm: Vector
    pivot_mm: Vector
    rms_mm: float


def pivot_calibration(poses: Iterable[Pose]) -> Pivoted:
    """The tip of a tool that was turned about it: least squares of ``R t + p = c`` over all poses.

    Raises :class:`trocar.errors.TrocarError` where the tool was tilted too little for that.
    """
    held = list(poses)
    if len(held) < 3:
        raise ValueError(f"{len(held)} poses do not make a pivot calibration: at least 3.")
    left = np.concatenate([np.hstack((p.axes, -np.eye(3))) for p in held])
    right = np.concatenate([-p.origin_mm for p in held])
    tilt = _widest_deg(np.stack([p.axes for p in held]))
    if tilt < LEAST_PIVOT_DEG:
        raise TrocarError(
            f"the tool was tilted by {tilt:.0f}° only, which does not tell its tip: tilt it by "
            f"{LEAST_PIVOT_DEG:.0f}° or more about its tip, in all directions."
        )
    found, *_ = np.linalg.lstsq(left, right, rcond=None)
    rest = (left @ found - right).reshape(-1, 3)
    return Pivoted(found[:3], found[3:], float(np.sqrt(np.mean(np.sum(rest**2, axis=1)))))


def _widest_deg(axes: NDArray[np.float64]) -> float:
    """The widest angle between any two orientations."""
    cosines = 0.5 * (np.einsum("aij,bij->ab", axes, axes) - 1.0)
    return float(np.degrees(np.arccos(np.clip(cosines.min(), -1.0, 1.0))))
