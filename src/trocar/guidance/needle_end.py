"""How the density of a needle falls off at its flat end in an image: seen obliquely, through scatter, blurred."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

#: The blur of a detector, standard deviation, pixels; the fit is not sensitive to it.
BLUR_PX = 0.7
#: Places of an end that are tried, pixels apart.
PLACE_PX = 0.1

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class End:
    """How the density of a shaft falls off at its end, along its middle: 1 within it, 0 beyond.

    Seen obliquely, a flat end ``slant_px`` long in the image lets the steel in the beam fall off linearly, to one half
    at the axis' end. Scatter fills what the steel casts: of a steel that should show ``full`` (an exponent) only
    ``shown`` is seen, and the fall looks later than it is. The detector blurs the dose, not its logarithm.
    """

    places: Vector
    heights: Vector

    @classmethod
    def of(cls, slant_px: float, full: float, shown: float) -> End:
        """The shape of an end; ``full`` and ``shown`` are natural logarithms of the dose before over that behind."""
        reach = 0.5 * slant_px + 6.0 * BLUR_PX
        x = np.arange(-reach, reach + 1e-9, PLACE_PX)
        steel = np.clip(0.5 - x / max(slant_px, PLACE_PX), 0.0, 1.0)
        veil = _veil(full, shown)
        dose = (np.exp(-full * steel) + veil) / (1.0 + veil)
        dense = -np.log(ndimage.gaussian_filter1d(dose, BLUR_PX / PLACE_PX, mode="nearest"))
        return cls(x, dense / dense[0])

    def at(self, beyond_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Its height so far beyond the axis' end (negative: before it)."""
        return np.interp(beyond_px, self.places, self.heights)


def _veil(full: float, shown: float) -> float:
    """Scatter over primary behind the tissue beside the needle that turns ``full`` into ``shown``; at least none."""
    if shown >= full or shown <= 0.0:
        return 0.0
    return (math.exp(-shown) - math.exp(-full)) / (1.0 - math.exp(-shown))
