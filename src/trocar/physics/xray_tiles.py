"""One compiled loop over the rays of a detector, whichever way each is followed.

A tile of neighbouring rays goes through a slab of planes together before it goes on, so that what one ray reads is
still in the cache for the next.
"""

from __future__ import annotations

import numpy as np

from trocar.physics import xray_joseph, xray_siddon
from trocar.physics.compiled import compiled
from trocar.physics.xray_rays import RAY, TO_PLANE, aim, box, clip, lay, plane_of

#: Rows and columns of a tile.
TILE_ROWS, TILE_COLUMNS = 4, 16
TILE = TILE_ROWS * TILE_COLUMNS
#: Planes to a slab.
SLAB = 32

# the names a compiled function may call
_joseph_ends, _joseph_through = xray_joseph.ends, xray_joseph.through
_siddon_ends, _siddon_through = xray_siddon.ends, xray_siddon.through


@compiled
def follow_rows(flat, shape, strides, spacing, source, corner, down, right, asked, out, exact, first, last):  # type: ignore[no-untyped-def]
    """Fill rows ``first`` to ``last`` of ``out`` where ``asked``; the volume is ``flat`` with ``strides`` k, j, i."""
    start, step = source / spacing, np.empty(3)
    low, high = box(shape, exact)
    # of each ray of a tile: its line, the planes after its first and before its last, its steepest axis
    rays, planes, total = np.empty((TILE, RAY)), np.empty((TILE, 3), np.int64), np.empty(TILE)
    for top in range(first, last, TILE_ROWS):
        for left in range(0, out.shape[1], TILE_COLUMNS):
            bottom, end = min(top + TILE_ROWS, last), min(left + TILE_COLUMNS, out.shape[1])
            n, begin, finish = 0, np.int64(1) << 40, np.int64(0)
            for r in range(top, bottom):
                for c in range(left, end):
                    total[n], planes[n, 0], planes[n, 1] = 0.0, 1, 0
                    if asked[r, c]:
                        length = aim(corner, down, right, source, spacing, r, c, step)
                        near, far = clip(start, step, low, high)
                        if near < far:
                            total[n] = _enter(
                                flat, shape, strides, start, step, near, far, length, rays[n], planes[n], exact
                            )
                            begin, finish = min(begin, planes[n, 0]), max(finish, planes[n, 1])
                    n += 1
            for plane in range(begin, finish, SLAB):
                for m in range(n):
                    n0, n1 = max(plane, planes[m, 0]), min(plane + SLAB, planes[m, 1])
                    if n0 >= n1:
                        continue
                    if exact:
                        total[m] += _siddon_through(flat, shape, strides, rays[m], planes[m, 2], n0, n1)
                    else:
                        total[m] += _joseph_through(flat, shape, strides, rays[m], planes[m, 2], n0, n1)
            n = 0
            for r in range(top, bottom):
                for c in range(left, end):
                    if total[n] != 0.0:
                        out[r, c] = total[n] * rays[n, TO_PLANE]
                    n += 1


@compiled
def _enter(flat, shape, strides, start, step, near, far, length, ray, planes, exact):  # type: ignore[no-untyped-def]
    """Lay out a ray that meets the box, keep the planes between its first and last; returns what those two add."""
    a, p, q = lay(start, step, near, far, length, ray)
    n0, n1 = plane_of(p, shape[a]), plane_of(q, shape[a])
    planes[0], planes[1], planes[2] = n0 + 1, n1, a
    if exact:
        return _siddon_ends(flat, shape, strides, ray, a, n0, n1, p, q)
    return _joseph_ends(flat, shape, strides, ray, a, n0, n1, p, q)
