"""What lies over a vertebra in the image and moves otherwise than it: skin, ribs, bowel.

In an image that is brought onto the vertebra these change with the vertebra's own displacement: to first order each
pixel by its own slope. Mean and slope are learned before the injection by least squares, and followed slowly after.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trocar.guidance.motion import Patch, blurred

#: A displacement of this size is what slopes are held against: less breathing than that teaches none, mm.
TEACHES_MM = 0.3
#: Slopes hold so far beyond what was learned, mm: farther away the table moved, and all that lies there moves alike.
BEYOND_MM = 1.0
#: The blur of the slopes, patch pixels.
SLOPE_BLUR_PX = 1.0
#: The mean and the slopes follow by this share per frame, where nothing stands out: at 15 frames/s within four seconds.
FOLLOWS = 1.0 / 60.0
#: One frame moves them by at most this many standard deviations of noise.
MOST_SD = 1.5
#: What a slope may be off by, as a share of itself.
SLOPE_SHARE = 0.25


class Overlay:
    """Mean and slope of each pixel against the vertebra's displacement along its main direction."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.mean = np.zeros(shape, np.float32)
        self.slope = np.zeros(shape, np.float32)
        self.way = np.array([1.0, 0.0])
        self.middle_mm = 0.0
        self.spread_mm2 = TEACHES_MM**2
        self.farthest_mm = BEYOND_MM

    @classmethod
    def learned(cls, stack: NDArray[np.float32], at_mm: NDArray[np.float64]) -> Overlay:
        """From differences ``[frame, row, column]`` and the displacements ``(frame, 2)`` that they were taken at."""
        out = cls((stack.shape[1], stack.shape[2]))
        spread = np.cov(at_mm.T)
        out.way = np.linalg.eigh(spread)[1][:, -1]
        along = at_mm @ out.way
        out.middle_mm = float(along.mean())
        out.spread_mm2 = float(along.var()) + TEACHES_MM**2
        out.farthest_mm = float(np.ptp(along)) + BEYOND_MM
        off = (along - out.middle_mm).astype(np.float32)
        slope = np.tensordot(off, stack, axes=1) / (len(off) * out.spread_mm2)
        out.slope = blurred(slope.astype(np.float32), SLOPE_BLUR_PX)
        return out

    def along_mm(self, at_mm: NDArray[np.float64]) -> float:
        """A displacement along the main direction, from the middle; no farther than was learned, and a little."""
        return float(np.clip(float(at_mm @ self.way) - self.middle_mm, -self.farthest_mm, self.farthest_mm))

    def begin_here(self) -> None:
        """The reference was renewed: displacements count from there, and nothing is to be taken off."""
        self.mean[:] = 0.0
        self.middle_mm = 0.0

    def at(self, along_mm: float) -> Patch:
        """What is to be taken off the difference at a displacement."""
        return self.mean + np.float32(along_mm) * self.slope

    def doubt(self, along_mm: float) -> Patch:
        """What that may be off by, standard deviation."""
        return np.float32(SLOPE_SHARE * abs(along_mm)) * np.abs(self.slope)

    def follow(self, rest: Patch, along_mm: float, spread: Patch, quiet: NDArray[np.bool_]) -> None:
        """Learn from what was left over, where nothing stands out."""
        bound = np.float32(MOST_SD) * spread
        step = np.float32(FOLLOWS) * np.where(quiet, np.clip(rest, -bound, bound), np.float32(0.0))
        self.mean += step
        self.slope += np.float32(along_mm / self.spread_mm2) * step
