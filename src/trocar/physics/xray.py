"""Rays through voxels: line integrals from a point source to the pixels of a flat detector.

Lengths are millimetres in the volume's own frame: axes in the array's order ``[k, j, i]``, the centre of voxel
``[0, 0, 0]`` at the origin. A volume of attenuation per millimetre gives the exponent of Beer's law.

The interpolated path is Joseph's, IEEE Trans Med Imaging 1:192 (1982).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.physics.compiled import compiled


@dataclass(frozen=True, eq=False)
class Beam:
    """A point source and a flat detector in a volume's own frame: vectors in the order k, j, i, mm.

    ``corner_mm`` is the centre of pixel [0, 0]; ``down_mm`` leads from a pixel to the one in the next row,
    ``right_mm`` to the one in the next column. ``shape`` is rows and columns.
    """

    source_mm: NDArray[np.float64]
    corner_mm: NDArray[np.float64]
    down_mm: NDArray[np.float64]
    right_mm: NDArray[np.float64]
    shape: tuple[int, int]


def line_integrals(volume: NDArray[Any], spacing_mm: tuple[float, float, float], beam: Beam) -> NDArray[np.float32]:
    """Integral of ``volume`` ``[k, j, i]`` along each ray, ``[row, column]``: the volume's unit times mm."""
    out = np.zeros(beam.shape, dtype=np.float32)
    _joseph(
        np.ascontiguousarray(volume, dtype=np.float32),
        np.asarray(spacing_mm, dtype=np.float64),
        beam.source_mm,
        beam.corner_mm,
        beam.down_mm,
        beam.right_mm,
        out,
    )
    return out


@compiled
def _joseph(volume, spacing, source, corner, down, right, out):  # type: ignore[no-untyped-def]
    shape = np.array(volume.shape)
    start = source / spacing
    for r in range(out.shape[0]):
        for c in range(out.shape[1]):
            step = (corner + r * down + c * right - source) / spacing
            a = 0
            for axis in range(3):
                if abs(step[axis]) > abs(step[a]):
                    a = axis
            length = np.sqrt(np.sum((step * spacing) ** 2)) / abs(step[a])
            b, d = (a + 1) % 3, (a + 2) % 3
            total = 0.0
            for n in range(shape[a]):
                t = (n - start[a]) / step[a]
                if t < 0.0 or t > 1.0:
                    continue
                p, q = start[b] + t * step[b], start[d] + t * step[d]
                p0, q0 = int(np.floor(p)), int(np.floor(q))
                for u in range(2):
                    for v in range(2):
                        x, y = p0 + u, q0 + v
                        if 0 <= x < shape[b] and 0 <= y < shape[d]:
                            w = (1.0 - abs(p - x)) * (1.0 - abs(q - y))
                            if a == 0:
                                total += w * volume[n, x, y]
                            elif a == 1:
                                total += w * volume[y, n, x]
                            else:
                                total += w * volume[x, y, n]
            out[r, c] = total * length
