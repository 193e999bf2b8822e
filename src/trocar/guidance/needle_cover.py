"""Whether cement, or something as dense and wider than the needle, lies about its end in an image.

Steel is followed into cement, and out of it, as if it were steel: the end that is found is then the blob's edge. What
gives it away are the needle's sides: next to the shaft it is as dense as in the shaft, and farther out it is not. Bone
does that on one side (an edge) or faintly on both (a pedicle's ring), so the lesser of both sides counts, in shares of
the needle's own contrast.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trocar.guidance.needle_lines import Image, Piece
from trocar.guidance.needle_sampling import STEP_PX, Strip, sampled

#: It is looked for from so many widths before the end to so many beyond it, in steps averaged over half a width: an end
#: that was found may be the far edge of a blob as well as its near one.
BEFORE_WIDTHS, BEYOND_WIDTHS, _SMOOTH_WIDTHS = 3.0, 3.5, 0.5
#: Next to the shaft, in widths from its axis: past its blurred edge.
_NEXT = (0.65, 1.1)
#: Farther out, in widths from the axis, and by what share of the needle's contrast it must be denser next to the shaft
#: than there, on both sides. Without cement 0.18 and 0.40 were the most beside 184 needles in true AP and lateral views
#: of real scans (those of benchmarks/tracking.py); 0.5 ml of cement at the tip gave 0.35 and 0.41 at the least.
_FARTHER = (((1.6, 2.2), 0.2), ((2.5, 3.5), 0.45))
#: The strip reaches this many widths to either side.
_REACH_WIDTHS = 3.5


def covered(dense: Image, line: Piece, width_px: float, contrast: float) -> tuple[bool, bool]:
    """For either end of a shaft whether something dense and wider than it lies about there.

    ``line`` is the shaft from end to end, ``contrast`` its height in the density image.
    """
    longer = Piece(line.point, line.way, line.low - BEYOND_WIDTHS * width_px, line.high + BEYOND_WIDTHS * width_px)
    strip = sampled(dense, longer, width_px, _REACH_WIDTHS)
    return _at(strip, line.low, -1, width_px, contrast), _at(strip, line.high, 1, width_px, contrast)


def _at(strip: Strip, end: float, sense: int, width_px: float, contrast: float) -> bool:
    """Whether it does at one end, ``sense`` leading out of the shaft."""
    beyond = sense * (strip.along - end) / width_px
    here = (beyond > -BEFORE_WIDTHS) & (beyond < BEYOND_WIDTHS) & strip.inside
    if not here.any():
        return False
    return any(float(_lesser(strip, width_px, far)[here].max()) > least * contrast for far, least in _FARTHER)


def _lesser(strip: Strip, width_px: float, far: tuple[float, float]) -> NDArray[np.float64]:
    """How much denser it is next to the shaft than farther out, to the side where that is less, along the strip."""
    sides = [_band(strip, side, width_px, _NEXT) - _band(strip, side, width_px, far) for side in (-1.0, 1.0)]
    return np.minimum(*sides)


def _band(strip: Strip, side: float, width_px: float, band: tuple[float, float]) -> NDArray[np.float64]:
    """The mean density in a band to one side, along the strip."""
    off = side * strip.across / width_px
    mean = strip.values[:, (off >= band[0]) & (off <= band[1])].mean(axis=1)
    return np.asarray(ndimage.uniform_filter1d(mean, max(1, round(_SMOOTH_WIDTHS * width_px / STEP_PX))))
