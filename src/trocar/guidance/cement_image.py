"""Cement as one view shows it: where it is, how thick, how much.

Cement adds line integral to what the reference showed. On its way through the detector scatter dilutes it: with a
share ``s`` of scatter to primary, ``t`` mm of cement of attenuation ``mu`` above what it replaces appear as
``-ln((exp(-mu t) + s) / (1 + s))``. That is turned round here; the volume is the thickness summed over the pixels at
the vertebra's depth. What lies behind other cement adds up: the volume is all cement that the view holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.guidance.exposure import CEMENT_PER_MM, soft_per_mm
from trocar.guidance.motion import Patch, blurred
from trocar.guidance.vision import opencv
from trocar.measure import Measure, Range

#: Weight of the newest frame in the running picture of the cement: at 15 frames a second a quarter of a second's mean.
NEWEST = 0.4
#: Cement is what stands out by this many standard deviations of noise, and by this much of the reference's slope
#: (line integral per mm, times a slip of motion of so many mm).
OUT_SD, SLIP_MM = 4.0, 0.12
#: Cement thinner than this is not drawn, mm.
THINNEST_MM = 0.4
#: The blur of the background that is taken off, mm: broader than any leak that is looked for.
BACKGROUND_MM = 9.0
#: What a millimetre of cement may attenuate, as shares of what it is taken to: zirconia, or 100 kV, about half of it to
#: four fifths; 70 kV more (worked out with ``physics.attenuation``).
CONTRAST_LOW, CONTRAST_HIGH = 0.5, 1.4
#: Scatter to primary behind a trunk, and how far it may be otherwise: 0.3 to 1.5 with a grid (from memory, unverified).
SCATTER, SCATTER_RANGE = 0.5, Range(0.0, 10.0)
SCATTER_LOW, SCATTER_HIGH = 0.25, 1.0


@dataclass(frozen=True)
class Dilution:
    """What turns added line integral into millimetres of cement.

    ``per_mm`` is the cement's attenuation above what it replaces (PMMA with 30 % barium sulphate in soft tissue);
    ``scatter`` the ratio of scatter to primary behind the vertebra.
    """

    per_mm: float = CEMENT_PER_MM - soft_per_mm()
    scatter: float = SCATTER

    def __post_init__(self) -> None:
        Range(1e-3, 10.0, "/mm").check("per_mm", self.per_mm, "cement")
        SCATTER_RANGE.check("scatter", self.scatter, "a view")

    @property
    def seen_per_mm(self) -> float:
        """Line integral that the first millimetre appears to add."""
        return self.per_mm / (1.0 + self.scatter)

    def thickness_mm(self, added: Patch) -> Patch:
        """Cement along each ray from the line integral that it appears to add; at most what scatter lets be told."""
        s = np.float32(self.scatter)
        # beyond this the primary is a hundredth of the scatter, and no number is meant
        least = np.float32(0.01) * s + np.float32(1e-6)
        passed = np.maximum(np.exp(-np.maximum(added, 0.0)) * (1.0 + s) - s, least)
        return -np.log(np.minimum(passed, 1.0)) / np.float32(self.per_mm)


@dataclass(frozen=True, eq=False)
class Noise:
    """The spread of one pixel's line integral from frame to frame, at the reference's exposure."""

    plain: Patch
    smooth: Patch

    @classmethod
    def of(cls, spread: Patch, spread_smooth: Patch, sigma_px: float) -> Noise:
        """From the standard deviations over some frames, pooled with their neighbours'."""
        return cls(np.sqrt(blurred(spread**2, sigma_px)), np.sqrt(blurred(spread_smooth**2, sigma_px)))


class Cement:
    """The running picture of cement over one reference; what it holds never grows."""

    def __init__(self, shape: tuple[int, int], mm_per_pixel: float, dilution: Dilution) -> None:
        self.added = np.zeros(shape, np.float32)
        self.mask = np.zeros(shape, bool)
        self.mm_per_pixel, self.dilution = mm_per_pixel, dilution
        #: What a whole region may be off by in common, line integral.
        self.level_sd = 0.01

    def update(self, difference: Patch, held: NDArray[np.bool_], spread: Patch, steepness: Patch) -> None:
        """Take in one frame's difference from the reference."""
        fresh = np.where(held, difference, self.added)
        self.added += np.float32(NEWEST) * (fresh - self.added)
        # a running mean of independent frames: variance a / (2 - a) of one
        calm = np.float32(np.sqrt(NEWEST / (2.0 - NEWEST)))
        least = THINNEST_MM * self.dilution.seen_per_mm
        bar = np.maximum(OUT_SD * calm * spread, np.float32(least)) + np.float32(SLIP_MM) * steepness
        cv2 = opencv()
        mask = (blurred(self.added, 1.0) > bar).astype(np.uint8)
        self.mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0

    @property
    def thickness_mm(self) -> Patch:
        """Cement along each ray, 0 where none is drawn."""
        return np.where(self.mask, self.dilution.thickness_mm(self.added), np.float32(0.0))

    def volume(self, where: NDArray[np.bool_] | None = None) -> Measure:
        """Cement in the view, or where ``where`` holds, ml.

        The interval is what scatter, brightness, voltage and kind of cement leave open.
        """
        mask = self.mask if where is None else self.mask & where
        added, area = self.added[mask], self.mm_per_pixel**2 / 1000.0
        d = self.dilution

        def ml(scatter: float, shift: float, contrast: float = 1.0) -> float:
            other = Dilution(contrast * d.per_mm, scatter)
            return float(other.thickness_mm(added + np.float32(shift)).sum(dtype=np.float64)) * area

        low = ml(d.scatter * SCATTER_LOW / SCATTER, -2.0 * self.level_sd, CONTRAST_HIGH)
        high = ml(d.scatter * SCATTER_HIGH / SCATTER, 2.0 * self.level_sd, CONTRAST_LOW)
        how = (
            "Thickness from attenuation, as PMMA with 30 % barium sulphate at 80 kV; summed at the vertebra's depth: "
            "the interval is from scatter, brightness, 70 to 100 kV and cements half as dense."
        )
        return Measure("cement_seen", ml(d.scatter, 0.0), "ml", low, high, "scatter", how)


def without_background(difference: Patch, quiet: Patch, mm_per_pixel: float) -> Patch:
    """The difference less its broad part, which is worked out where ``quiet`` (0 to 1) says nothing is going on."""
    cv2 = opencv()
    shape = (max(difference.shape[1] // 4, 1), max(difference.shape[0] // 4, 1))
    weight = cv2.resize(quiet, shape, interpolation=cv2.INTER_AREA)
    part = cv2.resize(difference * quiet, shape, interpolation=cv2.INTER_AREA)
    sigma = BACKGROUND_MM / mm_per_pixel / 4.0
    # a little of nothing everywhere: far from every quiet pixel the background is taken as 0
    broad = blurred(part, sigma) / (blurred(weight, sigma) + np.float32(0.02))
    return difference - cv2.resize(broad, difference.shape[::-1])
