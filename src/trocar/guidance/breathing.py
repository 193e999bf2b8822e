"""How breathing moves a spine on the table, and what lies in front of it more.

The course of one breath is that of Lujan et al., Med Phys 26:715 (1999; from memory, unverified): ``cos^(2n)`` with
``n = 3``, long at rest and short at full inspiration. Amplitudes are our own choice within what the alarm must bear,
1 to 3 mm for a vertebra.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.geometry import POSTERIOR, SUPERIOR, Pose, Vector
from trocar.measure import Range

#: The exponent of Lujan's course.
SHARPNESS = 3


@dataclass(frozen=True)
class Breathing:
    """Inspiration moves a vertebra towards the feet, and backwards by ``backwards`` of that; organs ``organs`` as far.

    ``depth_mm`` is from rest to full inspiration, towards the feet (0: apnoea). ``uneven`` is the spread of depth and
    period from breath to breath, as a share; the breaths are drawn from ``seed``.
    """

    depth_mm: float = 2.0
    period_s: float = 4.0
    backwards: float = 0.4
    organs: float = 5.0
    phase: float = 0.0
    uneven: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        Range(0.0, 20.0, "mm").check("depth_mm", self.depth_mm, "breathing")
        Range(1.0, 20.0, "s").check("period_s", self.period_s, "breathing")
        Range(-2.0, 2.0).check("backwards", self.backwards, "breathing")
        Range(0.0, 20.0).check("organs", self.organs, "breathing")
        Range(0.0, 1.0).check("phase", self.phase, "breathing")
        Range(0.0, 0.3).check("uneven", self.uneven, "breathing")

    def inspired(self, time_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far in each instant, 0 at rest to about 1."""
        time = np.asarray(time_s, dtype=np.float64)
        count = int(np.ceil((time.max(initial=0.0) / self.period_s + 2.0) * 2.0)) + 2
        # a stream each, so that a breath is the same however many are drawn
        lengths, depths = (
            np.clip(1.0 + self.uneven * np.random.default_rng((self.seed, of)).standard_normal(count), 0.5, 1.5)
            for of in (0, 1)
        )
        lengths = self.period_s * lengths
        starts = np.concatenate(([0.0], np.cumsum(lengths))) - self.phase * lengths[0]
        breath = np.clip(np.searchsorted(starts, time, side="right") - 1, 0, count - 1)
        within = (time - starts[breath]) / lengths[breath]
        return depths[breath] * np.sin(np.pi * within) ** (2 * SHARPNESS)

    def spine_mm(self, time_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where the spine is against the CT, LPS ``(n, 3)``, mm: at rest where the CT has it."""
        return self.inspired(time_s)[..., None] * self.depth_mm * self.direction

    def organs_mm(self, time_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same of what lies in front of the spine: towards the feet only."""
        return self.inspired(time_s)[..., None] * self.depth_mm * self.organs * -SUPERIOR

    @property
    def direction(self) -> Vector:
        """What the spine does per mm towards the feet."""
        return self.backwards * POSTERIOR - SUPERIOR


def shifted(by_mm: Vector) -> Pose:
    """A displacement without a turn."""
    return Pose(np.asarray(by_mm, dtype=np.float64), np.eye(3))
