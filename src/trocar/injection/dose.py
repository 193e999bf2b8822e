"""What the voxels of a region took while their temperature changed: minutes above thresholds, equivalent minutes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.physics.heat import equivalent, minutes_above

#: degC above which minutes are counted.
THRESHOLDS_C = (45.0, 50.0)
#: What stays cooler takes no dose: 20 minutes just below it are five seconds at 43 degC, and most voxels do.
COUNTED_C = 39.0


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
        warm = np.flatnonzero(np.maximum(before_c, after_c) > COUNTED_C)
        before, after = before_c[warm], after_c[warm]
        for threshold, minutes in self._above.items():
            minutes[warm] += minutes_above(threshold, before, after, dt_s)
        middle = equivalent(0.5 * (before + after))
        self._cem43[warm] += (equivalent(before) + 4.0 * middle + equivalent(after)) * dt_s / 360.0

    @property
    def exposure(self) -> Exposure:
        """What they have taken so far."""
        return Exposure({c: m.copy() for c, m in self._above.items()}, self._cem43.copy())
