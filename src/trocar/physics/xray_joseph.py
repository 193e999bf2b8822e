"""The interpolated path: one bilinear sample in each plane of voxel centres that a ray crosses.

Joseph PM. An improved algorithm for reprojecting rays through pixel images. IEEE Trans Med Imaging 1982;1(3):192-196.
The planes are those across the axis along which the ray is steepest. The ray is cut where it leaves the box of the
voxels' centres; the first and the last plane count by the part of their slab that lies within, and are sampled where
the ray meets them or, where that is outside the box, at the nearest place within.
"""

from __future__ import annotations

import numpy as np

from trocar.physics.compiled import compiled
from trocar.physics.xray_rays import PLACE_B, PLACE_D, SLOPE_B, SLOPE_D, others


@compiled
def ends(flat, shape, strides, ray, a, n0, n1, p, q):  # type: ignore[no-untyped-def]
    """What the first plane ``n0`` and the last ``n1`` add; the ray enters at ``p`` and leaves at ``q`` along ``a``."""
    first = at_border(flat, shape, strides, ray, a, n0)
    if n0 == n1:
        return first * (q - p)
    return first * (n0 + 0.5 - p) + at_border(flat, shape, strides, ray, a, n1) * (q - n1 + 0.5)


@compiled
def at_border(flat, shape, strides, ray, a, n):  # type: ignore[no-untyped-def]
    """The sample in plane ``n``, or at the nearest place of the box."""
    b, d = others(a)
    x = min(max(ray[PLACE_B] + n * ray[SLOPE_B], 0.0), shape[b] - 1.0)
    y = min(max(ray[PLACE_D] + n * ray[SLOPE_D], 0.0), shape[d] - 1.0)
    i, j = min(int(x), max(shape[b] - 2, 0)), min(int(y), max(shape[d] - 2, 0))
    at = np.uint64(n * strides[a] + i * strides[b] + j * strides[d])
    return bilinear(flat, at, np.uint64(strides[b]), np.uint64(strides[d]), np.float32(x - i), np.float32(y - j))


@compiled
def through(flat, shape, strides, ray, a, first, last):  # type: ignore[no-untyped-def]
    """Sum of the samples in planes ``first`` to ``last``, all of them within the box."""
    b, d = others(a)
    # unsigned, so that no index is taken to count from the end
    along, across, beside = np.uint64(strides[a]), np.uint64(strides[b]), np.uint64(strides[d])
    most_i, most_j = np.int32(max(shape[b] - 2, 0)), np.int32(max(shape[d] - 2, 0))
    x, y = ray[PLACE_B] + first * ray[SLOPE_B], ray[PLACE_D] + first * ray[SLOPE_D]
    to_x, to_y = ray[SLOPE_B], ray[SLOPE_D]
    plane, total = np.uint64(first) * along, np.float32(0.0)
    for _ in range(first, last):
        i, j = min(np.int32(x), most_i), min(np.int32(y), most_j)
        at = plane + np.uint64(i) * across + np.uint64(j) * beside
        total += bilinear(flat, at, across, beside, np.float32(x - i), np.float32(y - j))
        plane += along
        x += to_x
        y += to_y
    return total


@compiled
def bilinear(flat, at, across, beside, u, v):  # type: ignore[no-untyped-def]
    """The value a share ``u`` and ``v`` of the way from voxel ``at`` to its neighbours."""
    near, far = flat[at], flat[at + across]
    near += v * (flat[at + beside] - near)
    far += v * (flat[at + across + beside] - far)
    return near + u * (far - near)
