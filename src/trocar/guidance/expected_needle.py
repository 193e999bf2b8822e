"""Where in an image a needle should be: its planned path, projected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from trocar.geometry import Pose, Vector, frozen, unit
from trocar.guidance.carm import AT_REST, CArm
from trocar.guidance.needle_lines import Piece
from trocar.measure import Range
from trocar.planning.instrument import Needle
from trocar.planning.trajectory import Trajectory

#: How far a needle may lie from the planned path and still be looked for, mm at the patient, and how much it may be
#: turned: free-hand punctures were found 6.1 mm and 3.4 deg off (Korean J Radiol 2015), here about twice that.
STRAY_MM, STRAY_DEG = 12.0, 10.0
#: How far beyond the planned target a tip is looked for, mm.
BEYOND_MM = 25.0


@dataclass(frozen=True, eq=False)
class Expected:
    """Where in an image a needle should be: row and column of a point on its outer shaft and of its target.

    ``across_px`` and ``angle_deg`` are how far the needle's axis may lie from that, ``beyond_px`` how far beyond the
    target its tip may be. ``width_px`` is its width there, ``slant`` the cosine of its angle to the ray: 0 across the
    beam, 1 end-on.
    """

    outer_px: Vector
    target_px: Vector
    width_px: float
    across_px: float
    angle_deg: float
    beyond_px: float
    slant: float = 0.0

    def __post_init__(self) -> None:
        for name in ("outer_px", "target_px"):
            object.__setattr__(self, name, frozen(getattr(self, name)))
        Range(0.5, 500.0, "px").check("width_px", self.width_px, "an expected needle")

    @property
    def way(self) -> Vector:
        """Unit direction in the image from the shaft to the tip; raises ``ValueError`` for a needle seen end-on."""
        return Piece.between(self.outer_px, self.target_px).way

    @property
    def length_px(self) -> float:
        """How long the path appears."""
        return float(np.linalg.norm(self.target_px - self.outer_px))


def width_px(view: CArm, needle: Needle, at_mm: ArrayLike | None = None) -> float:
    """How wide a needle appears at an LPS point (without one: at the isocentre), pixels."""
    point = view.isocentre_mm if at_mm is None else np.asarray(at_mm, dtype=np.float64)
    depth = float((point - view.source_mm) @ view.toward_detector)
    return needle.outer_diameter_mm * view.source_to_detector_mm / depth / view.detector.column_spacing_mm


def expected(
    view: CArm,
    trajectory: Trajectory,
    displacement: Pose = AT_REST,
    *,
    stray_mm: float = STRAY_MM,
    stray_deg: float = STRAY_DEG,
) -> Expected:
    """Where a planned path appears in a view, and how far from it the needle is looked for.

    ``displacement`` takes the CT's coordinates to where the bone is now.
    """
    outer, target = view.project(displacement.to_world(np.stack((trajectory.skin_mm, trajectory.target_mm))))
    width = width_px(view, trajectory.instrument, displacement.to_world(trajectory.target_mm))
    scale = width / trajectory.instrument.outer_diameter_mm
    # a turn out of the image's plane shows larger where the path is foreshortened
    seen = float(np.linalg.norm(target - outer)) / (scale * trajectory.length_mm)
    turn = min(45.0, stray_deg / max(seen, 0.1))
    slant = abs(float(unit(trajectory.target_mm - trajectory.skin_mm) @ _ray(view, trajectory, displacement)))
    return Expected(outer, target, width, stray_mm * scale, turn, BEYOND_MM * scale, slant)


def _ray(view: CArm, trajectory: Trajectory, displacement: Pose) -> Vector:
    """The ray through the target, in the CT's coordinates."""
    return displacement.axes.T @ unit(displacement.to_world(trajectory.target_mm) - view.source_mm)
