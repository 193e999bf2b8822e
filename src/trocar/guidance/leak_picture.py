"""The picture that goes with an alarm: the watched window with outline, cement and leak."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trocar.guidance.motion import Patch
from trocar.guidance.vision import opencv

#: RGB: the outline, cement, cement outside.
OUTLINE, CEMENT, LEAK = (255, 210, 0), (90, 200, 255), (255, 40, 40)
#: The picture is this many times the window's pixels.
ENLARGED = 2
#: Brightness runs between these percentiles of the window.
DARKEST, BRIGHTEST = 0.5, 99.0


def picture(
    line_integrals: Patch, distance_mm: Patch, cement: NDArray[np.bool_], leak: NDArray[np.bool_] | None = None
) -> NDArray[np.uint8]:
    """RGB ``[row, column, 3]``: the image as it is shown, contours of the outline, of cement and of a leak."""
    low, high = np.percentile(line_integrals[::4, ::4], (DARKEST, BRIGHTEST))
    grey = np.clip(255.0 * (high - line_integrals) / max(high - low, 1e-6), 0, 255).astype(np.uint8)
    cv2 = opencv()
    shape = tuple(ENLARGED * n for n in grey.shape)
    out = cv2.cvtColor(cv2.resize(grey, shape[::-1], interpolation=cv2.INTER_CUBIC), cv2.COLOR_GRAY2RGB)
    for mask, colour, width in ((distance_mm <= 0, OUTLINE, 1), (cement, CEMENT, 1), (leak, LEAK, 2)):
        if mask is not None:
            big = cv2.resize(mask.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST)
            lines, _ = cv2.findContours(big, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(out, lines, -1, colour, width, cv2.LINE_AA)
    return np.asarray(out)
