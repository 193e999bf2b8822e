"""Fracture shape and grade, and what the inside of the body looks like."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from trocar.anatomy.vertebra import Heights
from trocar.measure import Measure

#: Lower bounds of Genant's grades 1, 2 and 3 as percent of height lost: [20, 25) mild, [25, 40] moderate, above severe.
#: Genant et al., J Bone Miner Res 8:1137 (1993).
GENANT_PERCENT = (20.0, 25.0, 40.0)


class Deformity(Enum):
    """Which height is most reduced."""

    NONE = "no deformity"
    WEDGE = "wedge"
    BICONCAVE = "biconcave"
    CRUSH = "crush"


@dataclass(frozen=True)
class Fracture:
    """The largest loss of height, what kind it is, and Genant's grade (0 to 3)."""

    deformity: Deformity
    grade: int
    loss_percent: float
    method: str

    def measures(self) -> tuple[Measure, ...]:
        """The loss and the grade as measures."""
        return (
            Measure("height_loss", self.loss_percent, "%", method=self.method),
            Measure("genant_grade", float(self.grade), "1", method=f"{self.deformity.value}; {self.method}"),
        )


def genant_grade(loss_percent: float) -> int:
    """0 below 20 % of height lost, 1 from 20 to below 25 %, 2 from 25 to 40 %, 3 above 40 %."""
    mild, moderate, severe = GENANT_PERCENT
    if loss_percent < mild:
        return 0
    if loss_percent < moderate:
        return 1
    return 2 if loss_percent <= severe else 3


def fracture(heights: Heights, reference_mm: float | None) -> Fracture | None:
    """The deformity of one body; ``reference_mm`` is the posterior height its neighbours lead one to expect.

    Wedge and biconcave losses are against the body's own posterior height, crush against
    ``reference_mm``. None where a height is missing.
    """
    front, middle, back = heights.anterior.value, heights.middle.value, heights.posterior.value
    if not all(np.isfinite(v) and v > 0 for v in (front, middle, back)):
        return None
    losses = {Deformity.WEDGE: 100.0 * (1.0 - front / back), Deformity.BICONCAVE: 100.0 * (1.0 - middle / back)}
    own = "anterior and middle height against the body's own posterior height"
    method = f"Largest loss among {own}; no neighbour to judge a crush by."
    if reference_mm is not None:
        losses[Deformity.CRUSH] = 100.0 * (1.0 - back / reference_mm)
        method = f"Largest loss among {own}, and posterior height against the mean of the neighbours'."
    kind = max(losses, key=lambda k: losses[k])
    grade = genant_grade(losses[kind])
    return Fracture(kind if grade else Deformity.NONE, grade, max(losses[kind], 0.0), method)
