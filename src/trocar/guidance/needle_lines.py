"""Lines of a needle's width in one fluoroscopic image: candidates, found by OpenCV's Hough transform.

The image is first turned into what lies in the way (:func:`density`). A two-sided line filter follows: a pixel stands
out by the *lesser* of the steps to its two flanks, a needle's width away, so that the edge of a shutter or of a bone,
which is a step to one side only, does not (the idea of Tupin et al., IEEE Trans Geosci Remote Sens 36:434, 1998).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.guidance.frames import Frame, Intensity
from trocar.guidance.vision import opencv

#: Detection works on pixels of about this share of the needle's width.
_BINS_PER_WIDTH = 3.0
#: Directions that are looked along, degrees apart.
_STEP_DEG = 7.5
#: A line is summed over this many widths to either side of a pixel (standard deviation of a Gaussian).
_ALONG_WIDTHS = 2.5
#: Least contrast of a line pixel in standard deviations of the filtered image without lines.
_CONTRAST_SD = 5.0
#: A line shorter than this many widths is none; gaps up to so many widths are bridged.
SHORTEST_WIDTHS, _GAP_WIDTHS = 6.0, 4.0
#: Pieces within this angle and this many widths of one another belong to one line.
_SAME_DEG, _SAME_WIDTHS = 5.0, 1.0
#: No more candidates than this are refined.
MOST_LINES = 10
#: A standard deviation is this many median absolute deviations (normal distribution).
MAD_SD = 1.4826

Image = NDArray[np.float32]
Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Piece:
    """A straight line in an image: a point on it (row, column), a unit direction, how far it reaches to either side."""

    point: Vector
    way: Vector
    low: float
    high: float

    @property
    def normal(self) -> Vector:
        """Unit vector across the line."""
        return np.array((-self.way[1], self.way[0]))

    @property
    def length(self) -> float:
        """How long it is, pixels."""
        return self.high - self.low

    def ends(self) -> NDArray[np.float64]:
        """Both ends (row, column), ``(2, 2)``."""
        return self.point + np.outer((self.low, self.high), self.way)

    @classmethod
    def between(cls, first: Vector, last: Vector) -> Piece:
        """The line from one point to another."""
        d = np.asarray(last, dtype=np.float64) - first
        length = float(np.linalg.norm(d))
        return cls(np.asarray(first, dtype=np.float64), d / length, 0.0, length)


def density(frame: Frame) -> Image:
    """The image as what lies in the way, up to a factor and an offset: high where dense."""
    image = np.asarray(frame.image, dtype=np.float32)
    if frame.intensity is Intensity.LOG:
        return image
    if frame.intensity is not Intensity.LINEAR:
        return -image
    dose = image[image > 0.0]
    # a small offset keeps pixels without a single quantum finite; it is far below what any patient lets through
    least = 0.01 * float(np.percentile(dose, 5)) if dose.size else 1.0
    return -np.log(np.maximum(image, 0.0) + np.float32(least))


def even(frame: Frame) -> Image:
    """The image with the same noise everywhere, high where dense: less the square root of the dose (Bartlett 1936).

    Behind a shutter, where hardly a quantum arrives, a logarithm is all noise and full of chance lines.
    """
    if frame.intensity is not Intensity.LINEAR:
        return density(frame)
    return -np.sqrt(np.maximum(np.asarray(frame.image, dtype=np.float32), 0.0))


def pieces(
    image: Image, width: float, within: NDArray[np.bool_] | None, angles_deg: tuple[float, float]
) -> list[Piece]:
    """Straight lines about ``width`` pixels wide, the longest first.

    ``within`` says where they may lie (None: anywhere), ``angles_deg`` the middle and the half width of the directions
    they may have (0 along a row, 90 along a column, modulo 180).
    """
    cv = opencv()
    bins = max(1, int(width / _BINS_PER_WIDTH))
    small = cv.resize(image, (image.shape[1] // bins, image.shape[0] // bins), interpolation=cv.INTER_AREA)
    thin = width / bins
    lines = _ridges(small, thin, angles_deg)
    if within is not None:
        lines &= cv.resize(within.astype(np.uint8), small.shape[::-1], interpolation=cv.INTER_NEAREST) > 0
    found = cv.HoughLinesP(
        lines.astype(np.uint8),
        rho=1.0,
        theta=math.radians(1.0),
        threshold=max(8, int(0.5 * SHORTEST_WIDTHS * thin)),
        minLineLength=SHORTEST_WIDTHS * thin,
        maxLineGap=_GAP_WIDTHS * thin,
    )
    if found is None:
        return []
    xyxy = (np.asarray(found, dtype=np.float64).reshape(-1, 4) + 0.5) * bins - 0.5
    return _joined([Piece.between(row[1::-1], row[3:1:-1]) for row in xyxy], width)[:MOST_LINES]


def _ridges(image: Image, width: float, angles_deg: tuple[float, float]) -> NDArray[np.bool_]:
    """Pixels on the crest of a line ``width`` pixels wide that stands out of the noise on both sides."""
    middle, half = angles_deg
    angles = [
        a for a in np.arange(0.0, 180.0, _STEP_DEG) if abs((a - middle + 90.0) % 180.0 - 90.0) <= half + _STEP_DEG
    ]
    best, crest = np.full(image.shape, -np.inf, np.float32), np.zeros(image.shape, bool)
    for angle in angles:
        way = np.array((math.sin(math.radians(angle)), math.cos(math.radians(angle))))
        across = np.array((-way[1], way[0]))
        summed = _along(image, way, width)
        step = summed - np.maximum(_shifted(summed, width * across), _shifted(summed, -width * across))
        better = step > best
        best[better] = step[better]
        one = np.maximum(_shifted(step, across), _shifted(step, -across))
        crest[better] = (step >= one)[better]
    low = best[best < np.median(best)]
    noise = MAD_SD * float(np.median(np.median(best) - low)) if low.size else 0.0
    return np.asarray(crest & (best > float(np.median(best)) + _CONTRAST_SD * noise) & (best > 0.0))


def _along(image: Image, way: Vector, width: float) -> Image:
    """The image averaged along a direction with Gaussian weights, and across over about half a line."""
    cv = opencv()
    length, thin = _ALONG_WIDTHS * width, max(0.5, 0.25 * width)
    reach = math.ceil(2.5 * length)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    s, t = y * way[0] + x * way[1], x * way[0] - y * way[1]
    kernel = np.exp(-0.5 * ((s / length) ** 2 + (t / thin) ** 2))
    return cv.filter2D(image, cv.CV_32F, (kernel / kernel.sum()).astype(np.float32), borderType=cv.BORDER_REPLICATE)


def _shifted(image: Image, by: Vector) -> Image:
    """The image's values ``by`` (rows, columns) away from each pixel."""
    cv = opencv()
    move = np.array(((1.0, 0.0, by[1]), (0.0, 1.0, by[0])))
    flags = cv.INTER_LINEAR | cv.WARP_INVERSE_MAP
    return cv.warpAffine(image, move, image.shape[::-1], flags=flags, borderMode=cv.BORDER_REPLICATE)


def _joined(found: list[Piece], width: float) -> list[Piece]:
    """Pieces of the same line put together; the longest line first."""
    left, out = sorted(found, key=lambda p: -p.length), []
    while left:
        first = left.pop(0)
        same = [p for p in left if _on(first, p, width)]
        left = [p for p in left if not any(p is q for q in same)]
        out.append(_spanning([first, *same]))
    return sorted(out, key=lambda p: -p.length)


def _on(line: Piece, other: Piece, width: float) -> bool:
    across = np.abs((other.ends() - line.point) @ line.normal)
    turn = math.degrees(math.acos(min(1.0, abs(float(line.way @ other.way)))))
    return bool(turn <= _SAME_DEG and across.max() <= _SAME_WIDTHS * width)


def _spanning(parts: list[Piece]) -> Piece:
    """The straight line through the ends of several pieces, fitted with their lengths as weights."""
    points = np.concatenate([p.ends() for p in parts])
    weights = np.repeat([p.length for p in parts], 2)
    middle = np.average(points, axis=0, weights=weights)
    way = np.linalg.svd((points - middle) * np.sqrt(weights)[:, None])[2][0]
    along = (points - middle) @ way
    return Piece(middle, way, float(along.min()), float(along.max()))
