"""A strip of the image along a line: rows run along it, columns across."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trocar.guidance.needle_lines import Image, Piece

#: Steps of a strip, along and across, pixels.
STEP_PX = 0.5

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Strip:
    """Values ``[along, across]`` and where: pixels from the line's point and from the line; ``inside`` the image."""

    values: NDArray[np.float64]
    along: Vector
    across: Vector
    inside: NDArray[np.bool_]


def sampled(dense: Image, line: Piece, width: float, reach_widths: float, whole: bool = False) -> Strip:
    """The image along a line, so many of a needle's widths to either side; ``whole``: from border to border."""
    low, high = _border(dense.shape, line) if whole else (line.low, line.high)
    along = np.arange(low, high + 1e-9, STEP_PX)
    reach = max(reach_widths * width, 4.0)
    across = np.arange(-reach, reach + 1e-9, STEP_PX)
    at = line.point[:, None, None] + line.way[:, None, None] * along[None, :, None]
    at = at + line.normal[:, None, None] * across[None, None, :]
    values = ndimage.map_coordinates(dense, at, output=np.float64, order=1, mode="nearest")
    rows, columns = dense.shape
    inside = (at[0] >= 0) & (at[0] <= rows - 1) & (at[1] >= 0) & (at[1] <= columns - 1)
    return Strip(values, along, across, inside.all(axis=1))


def _border(shape: tuple[int, ...], line: Piece) -> tuple[float, float]:
    """Where the line leaves the image to either side, pixels from its point."""
    low, high = -math.inf, math.inf
    for x, w, n in zip(line.point, line.way, shape, strict=True):
        if abs(w) > 1e-12:
            a, b = sorted((-x / w, (n - 1 - x) / w))
            low, high = max(low, a), min(high, b)
    return low, high
