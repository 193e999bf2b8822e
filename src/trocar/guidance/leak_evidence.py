"""Evidence of cement outside the outline, gathered from frame to frame.

Each pixel keeps a cumulative sum (Page, Biometrika 41:100, 1954) of how far its blurred difference from the reference
stands out of its own spread: it grows while the difference lasts and falls back to nothing when it does not. One
frame's share is bounded, so that no single frame can alarm. A region speaks with the least of its best pixels that
together make the smallest area that is looked for: one number per frame, which the threshold is held against.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.guidance.motion import Patch
from trocar.guidance.silhouette import EDGE_MM
from trocar.guidance.vision import opencv

#: What is expected of a pixel in which nothing happens, standard deviations; and the most that one frame may say.
DRIFT_SD, MOST_SD = 1.5, 4.0
#: The sum is held at this: what was seen is forgotten within a second once it is gone.
CAP = 24.0
#: Regions are told apart where the sum exceeds this.
GROUND = 2.0
#: The smallest area that is looked for, mm2, and where the region has no contact with the outline's rim.
AREA_MM2, REMOTE_AREA_MM2 = 1.6, 6.0
#: Cement that appears without a way from the outline to it needs this many times the evidence, and farther away than
#: this it is not looked for, mm.
REMOTE_TIMES, FARTHEST_MM = 2.0, 20.0
#: A region whose nearest pixel is this close to the watched rim is attached to the outline, mm.
ATTACHED_MM = 2.0
#: A region must reach this far beyond the outline, mm.
REACHES_MM = EDGE_MM + 0.6
#: A needle's strip is at most this wide, mm: wider gaps are not bridged.
BRIDGED_MM = 5.0
#: Of a region that one pushed needle explains at least this share lies ahead of the needle's tip.
NEEDLE_SHARE = 0.7


@dataclass(frozen=True, eq=False)
class Region:
    """Connected pixels that stand out: ``mask`` on the window, ``score`` (standard deviations, summed), mm."""

    mask: NDArray[np.bool_]
    score: float
    reach_mm: float
    area_mm2: float
    attached: bool
    needle_like: bool = False


class Evidence:
    """The sums of all watched pixels; what it holds never grows."""

    def __init__(self, distance_mm: Patch, mm_per_pixel: float) -> None:
        self.distance_mm, self.mm_per_pixel = distance_mm, mm_per_pixel
        self.sum = np.zeros(distance_mm.shape, np.float32)

    def add(self, stands_out: Patch, watched: NDArray[np.bool_]) -> None:
        """Take in one frame: how far each pixel stands out, in standard deviations, where it was watched."""
        share = np.clip(stands_out, -MOST_SD, MOST_SD) - np.float32(DRIFT_SD)
        self.sum = np.where(watched, np.clip(self.sum + share, 0.0, CAP), self.sum).astype(np.float32)

    def regions(self, ahead: NDArray[np.bool_], shaft: NDArray[np.bool_] | None = None) -> list[Region]:
        """What stands out, the strongest first; ``ahead`` is where a needle would come if it were pushed on.

        What lies to both sides of the needle's ``shaft`` is one region.
        """
        out = (self.sum > GROUND).astype(np.uint8)
        if shaft is not None:
            width = 2 * int(np.ceil(0.5 * BRIDGED_MM / self.mm_per_pixel)) + 1
            closed = opencv().morphologyEx(out, opencv().MORPH_CLOSE, np.ones((width, width), np.uint8))
            out |= closed & shaft.astype(np.uint8)
        number, label, stats, _ = opencv().connectedComponentsWithStats(out)
        pixels = AREA_MM2 / self.mm_per_pixel**2
        found = [self._region(label, n, stats[n], ahead) for n in range(1, number) if stats[n][4] >= pixels]
        return sorted((r for r in found if r.score > 0.0), key=lambda r: -r.score)

    def _region(
        self, label: NDArray[np.int32], number: int, stat: NDArray[np.int32], ahead: NDArray[np.bool_]
    ) -> Region:
        left, top, width, height, size = (int(v) for v in stat)
        box = np.s_[top : top + height, left : left + width]
        mask = np.zeros(label.shape, dtype=bool)
        mask[box] = label[box] == number
        own, values, distance = mask[box], self.sum[box][mask[box]], self.distance_mm[box][mask[box]]
        attached = bool(distance.min() <= EDGE_MM + ATTACHED_MM)
        least = int(np.ceil((AREA_MM2 if attached else REMOTE_AREA_MM2) / self.mm_per_pixel**2))
        score = float(np.partition(values, len(values) - least)[len(values) - least]) if len(values) >= least else 0.0
        score = score if attached else score / REMOTE_TIMES
        reach = float(distance.max())
        return Region(
            mask,
            score if reach >= REACHES_MM else 0.0,
            reach,
            size * self.mm_per_pixel**2,
            attached,
            bool(ahead[box][own].mean() >= NEEDLE_SHARE),
        )
