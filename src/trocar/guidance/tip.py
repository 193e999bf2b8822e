"""Where a needle's tip is and which way the needle points, with how sure that is; every source ends here."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trocar.geometry import Line, Vector, frozen, unit

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tip:
    """A needle at one moment, in the coordinates of the patient's CT (LPS, mm).

    ``direction`` is the unit vector from hub to tip. ``covariance_mm2`` is that of the tip, ``turn_covariance`` that of
    ``direction`` (dimensionless, 3x3). ``source`` names what it comes from. ``unseen_along`` is a direction in which
    nothing was measured, if any: there the place rests on what ``assumed`` says in words.
    """

    time_s: float
    tip_mm: Vector
    direction: Vector
    covariance_mm2: Matrix
    turn_covariance: Matrix
    source: str
    unseen_along: Vector | None = None
    assumed: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tip_mm", frozen(self.tip_mm))
        object.__setattr__(self, "direction", frozen(unit(self.direction)))
        object.__setattr__(self, "covariance_mm2", frozen(self.covariance_mm2))
        object.__setattr__(self, "turn_covariance", frozen(self.turn_covariance))

    @property
    def axis(self) -> Line:
        """The needle's axis: a line through the tip, pointing ahead."""
        return Line(self.tip_mm, self.direction)

    @property
    def standard_error_mm(self) -> float:
        """The tip's standard error in its least certain direction."""
        return float(np.sqrt(max(np.linalg.eigvalsh(self.covariance_mm2)[-1], 0.0)))

    @property
    def angle_error_deg(self) -> float:
        """The direction's standard error in its least certain plane."""
        return float(np.degrees(np.sqrt(max(np.linalg.eigvalsh(self.turn_covariance)[-1], 0.0))))

    def error_mm(self, along: Vector, ahead_mm: float = 0.0) -> float:
        """The standard error, along a direction, of the axis' point ``ahead_mm`` beyond the tip (negative: behind).

        Errors of place and of direction are taken as independent.
        """
        a = unit(along)
        return float(np.sqrt(a @ (self.covariance_mm2 + ahead_mm**2 * self.turn_covariance) @ a))

    def widest_error_mm(self, ahead_mm: float) -> float:
        """The same in the least certain direction."""
        both = self.covariance_mm2 + ahead_mm**2 * self.turn_covariance
        return float(np.sqrt(max(np.linalg.eigvalsh(both)[-1], 0.0)))

    def blurred(self, sd_mm: float) -> Tip:
        """The same with a further error of the place, equal in all directions: of a registration, for instance."""
        return replace(self, covariance_mm2=self.covariance_mm2 + sd_mm**2 * np.eye(3))
