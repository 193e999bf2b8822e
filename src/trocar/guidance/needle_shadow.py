"""Where a needle's shadow lies in the watched window, and where it would lie if it were pushed on.

A needle is long, thin, straight, darker than bone, and comes in from the window's rim. Its own strip is not watched
(what lies there cannot be told from steel, nor from cement in its bore); the strip ahead of its tip is watched for what
is wider than a needle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.guidance.motion import Patch
from trocar.guidance.vision import opencv

#: Needles are at most this wide, mm (8G and blur), at least this long in the window, mm, and stand out by this much
#: line integral: the walls of a 15G cannula, diluted by scatter. Cortical bone edge-on stays below it. Ours.
WIDEST_MM, SHORTEST_MM, STANDS_OUT = 6.0, 12.0, 0.35
#: A strip is this much wider than the shadow to either side, mm: blur, and a hand that leans on it.
BESIDE_MM = 0.3
#: How far ahead of the tip a needle may be pushed, mm.
AHEAD_MM = 30.0
#: A needle's width where only its axis is told, mm: 11G.
USUAL_MM = 3.1


@dataclass(frozen=True, eq=False)
class NeedleShadow:
    """``shaft``: where it lies; ``ahead``: where it would come. Both ``[row, column]`` on the window's pixels."""

    shaft: NDArray[np.bool_]
    ahead: NDArray[np.bool_]


def strip(
    shape: tuple[int, int], hub: NDArray[np.float64], tip: NDArray[np.float64], half_px: float, ahead_px: float
) -> NeedleShadow:
    """The shadow of a straight needle from its ``hub`` (or anything on it) to its ``tip``, (row, column)."""
    way = (tip - hub) / max(float(np.hypot(*(tip - hub))), 1e-9)
    r, c = np.ogrid[: shape[0], : shape[1]]
    along = (r - tip[0]) * way[0] + (c - tip[1]) * way[1]
    across = np.abs((c - tip[1]) * way[0] - (r - tip[0]) * way[1])
    near = across <= half_px
    return NeedleShadow(near & (along <= half_px), near & (along > half_px) & (along <= ahead_px))


def found(line_integrals: Patch, mm_per_pixel: float) -> list[NeedleShadow]:
    """The needles in a picture, by their shape."""
    cv2 = opencv()
    width = 2 * int(np.ceil(0.5 * WIDEST_MM / mm_per_pixel)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    out = cv2.morphologyEx(line_integrals, cv2.MORPH_TOPHAT, disc) > STANDS_OUT
    joined = cv2.morphologyEx(out.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    number, label, boxes, _ = cv2.connectedComponentsWithStats(joined)
    least = SHORTEST_MM / mm_per_pixel
    long = [n for n in range(1, number) if max(boxes[n][2:4]) >= 0.7 * least]
    return [s for n in long if (s := _straight(label == n, mm_per_pixel, least)) is not None]


def _straight(region: NDArray[np.bool_], mm_per_pixel: float, least_px: float) -> NeedleShadow | None:
    """The needle that a region is, if it is one."""
    places = np.argwhere(region).astype(np.float64)
    middle = places.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov((places - middle).T))
    way = vectors[:, 1]
    along, across = (places - middle) @ way, np.abs((places - middle) @ vectors[:, 0])
    half = float(np.percentile(across, 98))
    if np.ptp(along) < least_px or 2.0 * half * mm_per_pixel > WIDEST_MM:
        return None
    ends = [middle + a * way for a in (along.min(), along.max())]
    inward = [_to_rim(e, region.shape) for e in ends]
    hub, tip = (ends[0], ends[1]) if inward[0] < inward[1] else (ends[1], ends[0])
    if min(inward) > 4.0 / mm_per_pixel:
        return None
    return strip(region.shape, hub, tip, half + BESIDE_MM / mm_per_pixel, AHEAD_MM / mm_per_pixel)


def _to_rim(place: NDArray[np.float64], shape: tuple[int, ...]) -> float:
    return float(min(place[0], place[1], shape[0] - 1 - place[0], shape[1] - 1 - place[1]))


def all_of(shape: tuple[int, int], shadows: list[NeedleShadow]) -> NeedleShadow:
    """Several needles as one."""
    nothing = np.zeros(shape, dtype=bool)
    shaft = np.any([s.shaft for s in shadows], axis=0) if shadows else nothing
    ahead = np.any([s.ahead for s in shadows], axis=0) if shadows else nothing
    return NeedleShadow(shaft, ahead & ~shaft)
