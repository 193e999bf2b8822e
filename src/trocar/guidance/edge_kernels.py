"""Band-passed gradients of many small images, compiled: two separable filters in one go, on one core.

Matrix products would do the same, but their library starts threads for each, which costs more than images this small.
"""

from __future__ import annotations

from trocar.physics.compiled import compiled


@compiled
def correlate_rows(image, weights, out):  # type: ignore[no-untyped-def]
    """``out[r, c]`` gains the sum of ``weights[k] * image[r + k - reach, c]``; nothing lies beyond the border."""
    rows, columns = image.shape
    reach = weights.shape[0] // 2
    for r in range(rows):
        for k in range(max(0, reach - r), min(2 * reach + 1, rows + reach - r)):
            w = weights[k]
            source = r + k - reach
            for c in range(columns):
                out[r, c] += w * image[source, c]


@compiled
def correlate_columns(image, weights, out):  # type: ignore[no-untyped-def]
    """The same along the columns."""
    rows, columns = image.shape
    reach = weights.shape[0] // 2
    for r in range(rows):
        for k in range(2 * reach + 1):
            w = weights[k]
            s = k - reach
            for c in range(max(0, -s), min(columns, columns - s)):
                out[r, c] += w * image[r, c + s]


@compiled
def band_passed(images, smooth, slope, broad_smooth, broad_slope, out):  # type: ignore[no-untyped-def]
    """Slopes at a fine scale and (the weights see to the sign and size) those at a broad one, added up.

    ``images`` is ``[n, row, column]``, ``out`` ``[n, 2, row, column]``, zero at first: slopes down, then right.
    """
    part = images[0] * 0
    for n in range(images.shape[0]):
        for down in range(2):
            for broad in range(2):
                even = broad_smooth if broad else smooth
                odd = broad_slope if broad else slope
                part[:, :] = 0
                if down == 0:
                    correlate_rows(images[n], odd, part)
                    correlate_columns(part, even, out[n, 0])
                else:
                    correlate_rows(images[n], even, part)
                    correlate_columns(part, odd, out[n, 1])
