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
#: Steps across the shaft, pixels.
_ACROSS_PX = 0.25
#: The middle of a shaft: so many widths to either side of its axis, where a round one is about equally thick.
CORE_WIDTHS = 0.2

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
    def of(cls, slant_px: float, width_px: float, full: float, shown: float) -> End:
        """The shape of a round shaft's end; ``full`` and ``shown`` are logarithms: dose beside it over dose behind."""
        reach = 0.5 * slant_px + 6.0 * BLUR_PX
        x, t = np.arange(-reach, reach + 1e-9, PLACE_PX), np.arange(0.0, width_px, _ACROSS_PX)
        chord = np.sqrt(np.maximum(1.0 - (2.0 * t / width_px) ** 2, 0.0))
        # the flat end is an ellipse: at its rim shorter, and the steel before it thinner
        steel = chord * np.clip(0.5 - x[:, None] / np.maximum(slant_px * chord, PLACE_PX), 0.0, 1.0)
        veil = _veil(full, shown)
        dose = (np.exp(-full * steel) + veil) / (1.0 + veil)
        # mirrored at the axis, as the shaft is
        blurred = ndimage.gaussian_filter(dose, (BLUR_PX / PLACE_PX, BLUR_PX / _ACROSS_PX), mode="mirror")
        dense = -np.log(blurred[:, t <= max(CORE_WIDTHS * width_px, _ACROSS_PX)]).mean(axis=1)
        return cls(x, (dense - dense[-1]) / (dense[0] - dense[-1]))

    def at(self, beyond_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Its height so far beyond the axis' end (negative: before it)."""
        return np.interp(beyond_px, self.places, self.heights)


def _veil(full: float, shown: float) -> float:
    """Scatter over primary behind the tissue beside the needle that turns ``full`` into ``shown``; at least none."""
    if shown >= full or shown <= 0.0:
        return 0.0
    return (math.exp(-shown) - math.exp(-full)) / (1.0 - math.exp(-shown))
