"""The exact radiological path: each voxel counts by the length of the ray within it.

Siddon RL. Fast calculation of the exact radiological path for a three-dimensional CT array. Med Phys
1985;12(2):252-255. The ray is followed slab by slab across its steepest axis: within a slab it meets at most one wall
along each of the other two, hence at most three voxels, and nothing is carried from slab to slab that could round.
"""

from __future__ import annotations

import numpy as np

from trocar.physics.compiled import compiled
from trocar.physics.xray_rays import PER_SLOPE_B, PER_SLOPE_D, PLACE_B, PLACE_D, SLOPE_B, SLOPE_D, others, plane_of


@compiled
def ends(flat, shape, strides, ray, a, n0, n1, p, q):  # type: ignore[no-untyped-def]
    """What the slabs of planes ``n0`` and ``n1`` add; the ray enters at ``p`` and leaves at ``q`` along ``a``."""
    if n0 == n1:
        return _within(flat, shape, strides, ray, a, n0, p, q)
    first = _within(flat, shape, strides, ray, a, n0, p, n0 + 0.5)
    return first + _within(flat, shape, strides, ray, a, n1, n1 - 0.5, q)


@compiled
def through(flat, shape, strides, ray, a, first, last):  # type: ignore[no-untyped-def]
    """Sum over the slabs of planes ``first`` to ``last``, all of them crossed from wall to wall."""
    b, d = others(a)
    # unsigned, so that no index is taken to count from the end
    along, across, beside = np.uint64(strides[a]), np.uint64(strides[b]), np.uint64(strides[d])
    most_i, most_j = np.int32(shape[b] - 1), np.int32(shape[d] - 1)
    plane, total = np.uint64(first) * along, 0.0
    # half a voxel on, so that the whole part is the voxel
    x, y = ray[PLACE_B] + (first - 0.5) * ray[SLOPE_B] + 0.5, ray[PLACE_D] + (first - 0.5) * ray[SLOPE_D] + 0.5
    i, j = min(np.int32(x), most_i), min(np.int32(y), most_j)
    for _ in range(first, last):
        here = plane + np.uint64(i) * across + np.uint64(j) * beside
        to_x, to_y = x + ray[SLOPE_B], y + ray[SLOPE_D]
        k, m = min(np.int32(to_x), most_i), min(np.int32(to_y), most_j)
        if i == k and j == m:
            total += flat[here]
        else:
            wall_b = _share(x, i, k, ray[PER_SLOPE_B])
            wall_d = _share(y, j, m, ray[PER_SLOPE_D])
            there = plane + np.uint64(k) * across + np.uint64(m) * beside
            if wall_b < wall_d:
                between = plane + np.uint64(k) * across + np.uint64(j) * beside
            else:
                between = plane + np.uint64(i) * across + np.uint64(m) * beside
            early, late = min(wall_b, wall_d), max(wall_b, wall_d)
            total += flat[here] * early + flat[between] * (late - early) + flat[there] * (1.0 - late)
        plane += along
        x, y, i, j = to_x, to_y, k, m
    return total


@compiled
def _share(x, i, k, per_slope):  # type: ignore[no-untyped-def]
    """Which share of a slab lies before the wall between voxels ``i`` and ``k``."""
    if i == k:
        return 1.0
    return min(max((max(i, k) - x) * per_slope, 0.0), 1.0)


@compiled
def _within(flat, shape, strides, ray, a, n, begin, end):  # type: ignore[no-untyped-def]
    """Sum of value times length within part of a slab, from ``begin`` to ``end`` along ``a`` (both in voxels)."""
    b, d = others(a)
    i, k, wall_b = _voxels(ray[PLACE_B], ray[SLOPE_B], ray[PER_SLOPE_B], begin, end, shape[b])
    j, m, wall_d = _voxels(ray[PLACE_D], ray[SLOPE_D], ray[PER_SLOPE_D], begin, end, shape[d])
    plane, early, late = n * strides[a], min(wall_b, wall_d), max(wall_b, wall_d)
    here, there = plane + i * strides[b] + j * strides[d], plane + k * strides[b] + m * strides[d]
    between = plane + (k * strides[b] + j * strides[d] if wall_b < wall_d else i * strides[b] + m * strides[d])
    return flat[here] * (early - begin) + flat[between] * (late - early) + flat[there] * (end - late)


@compiled
def _voxels(place, slope, per_slope, begin, end, count):  # type: ignore[no-untyped-def]
    """The voxels at both ends of a stretch along one axis, and where the wall between them is met, else the end."""
    first, last = plane_of(place + begin * slope, count), plane_of(place + end * slope, count)
    if first == last:
        return first, last, end
    return first, last, min(max((max(first, last) - 0.5 - place) * per_slope, begin), end)
