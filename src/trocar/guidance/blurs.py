"""What blurs an X-ray image: scatter, broadly, and the detector, over neighbouring pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trocar.guidance.carm import CArm
from trocar.physics.compiled import compiled

#: The blur of scatter on the detector, standard deviation, mm: broad against every structure of interest. Ours.
SCATTER_MM = 40.0
#: Scatter is worked out on pixels of about this size, mm.
_SCATTER_PIXEL_MM = 8.0

Image = NDArray[np.float32]


def scattered(passed: Image, view: CArm) -> Image:
    """What scatter is a share of: the primary, blurred over :data:`SCATTER_MM`; beyond the border it goes on."""
    sizes = (view.detector.row_spacing_mm, view.detector.column_spacing_mm)
    bins = [max(1, min(round(_SCATTER_PIXEL_MM / s), n)) for s, n in zip(sizes, passed.shape, strict=True)]
    edges = [np.arange(0, n, b) for n, b in zip(passed.shape, bins, strict=True)]
    sums = np.add.reduceat(np.add.reduceat(passed, edges[0], axis=0), edges[1], axis=1)
    ones = [np.diff(np.append(e, n)) for e, n in zip(edges, passed.shape, strict=True)]
    sigma = [SCATTER_MM / (s * b) for s, b in zip(sizes, bins, strict=True)]
    coarse = ndimage.gaussian_filter(sums / np.outer(*ones).astype(np.float32), sigma, mode="nearest")
    at = [np.clip((np.arange(n) - 0.5 * (b - 1)) / b, 0.0, None) for n, b in zip(passed.shape, bins, strict=True)]
    return _between(coarse, at[0], at[1])


@compiled
def _between(coarse, rows, columns):  # type: ignore[no-untyped-def]
    """A coarse image at fractional rows and columns, bilinear."""
    out = np.empty((len(rows), len(columns)), np.float32)
    last_row, last_column = coarse.shape[0] - 1, coarse.shape[1] - 1
    line = np.empty(coarse.shape[1], np.float32)
    for r in range(len(rows)):
        low = min(int(rows[r]), last_row)
        high, share = min(low + 1, last_row), np.float32(rows[r] - low)
        for c in range(coarse.shape[1]):
            line[c] = coarse[low, c] + share * (coarse[high, c] - coarse[low, c])
        for c in range(len(columns)):
            at = min(int(columns[c]), last_column)
            out[r, c] = line[at] + np.float32(columns[c] - at) * (line[min(at + 1, last_column)] - line[at])
    return out


@compiled
def blurred(image, weights):  # type: ignore[no-untyped-def]
    """Correlated with the weights along rows and columns; beyond the border the border goes on."""
    rows, columns = image.shape
    reach = len(weights) // 2
    down, out = np.empty_like(image), np.empty_like(image)
    wide = np.empty(columns + 2 * reach, np.float32)
    for r in range(rows):
        into = down[r]
        into[:] = 0.0
        for n in range(len(weights)):
            row = image[min(max(r + n - reach, 0), rows - 1)]
            for c in range(columns):
                into[c] += weights[n] * row[c]
    for r in range(rows):
        wide[:reach], wide[columns + reach :] = down[r, 0], down[r, columns - 1]
        wide[reach : columns + reach] = down[r]
        into = out[r]
        into[:] = 0.0
        for n in range(len(weights)):
            for c in range(columns):
                into[c] += weights[n] * wide[c + n]
    return out
