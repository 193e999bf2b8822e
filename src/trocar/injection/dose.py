"""What the voxels of a region took while their temperature changed: minutes above thresholds, equivalent minutes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.physics.heat import equivalent, minutes_above

#: degC above which minutes are counted.
THRESHOLDS_C = (45.0, 50.0)


@dataclass(frozen=True, eq=False)
class Exposure:
    """For each voxel of a region: minutes above each threshold (degC), and equivalent minutes at 43 degC."""

    above_min: Mapping[float, NDArray[np.float64]]
    cem43_min: NDArray[np.float64]


class Dosimeter:
    """Sums up what ``count`` voxels take, step by step."""

    def __init__(self, count: int) -> None:
        self._above = {c: np.zeros(count) for c in THRESHOLDS_C}
        self._cem43 = np.zeros(count)

    def add(self, before_c: NDArray[np.float64], after_c: NDArray[np.float64], dt_s: float) -> None:
        """A step of ``dt_s`` that leads straight from one temperature to another (Simpson's rule for the dose)."""
        for threshold, minutes in self._above.items():
            minutes += minutes_above(threshold, before_c, after_c, dt_s)
        middle = equivalent(0.5 * (before_c + after_c))
        self._cem43 += (equivalent(before_c) + 4.0 * middle + equivalent(after_c)) * dt_s / 360.0

    @property
    def exposure(self) -> Exposure:
        """What they have taken so far."""
        return Exposure({c: m.copy() for c, m in self._above.items()}, self._cem43.copy())
