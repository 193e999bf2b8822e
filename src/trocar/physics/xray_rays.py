"""What every ray needs before it is followed: where it is in voxels, where it enters the box and where it leaves.

Compiled, for the kernels of :mod:`trocar.physics.xray` alone. A place along a ray is the share ``t`` of the way from
the source (0) to the pixel (1); positions are voxel indices k, j, i.
"""

from __future__ import annotations

import math

import numpy as np

from trocar.physics.compiled import compiled

#: What is kept of a ray, in voxels: slope, place at plane 0 and 1 / slope along both other axes; mm to a plane.
SLOPE_B, SLOPE_D, PLACE_B, PLACE_D, PER_SLOPE_B, PER_SLOPE_D, TO_PLANE = range(7)
RAY = 7


@compiled
def aim(corner, down, right, source, spacing, r, c, step):  # type: ignore[no-untyped-def]
    """Write into ``step`` the way from the source to one pixel (voxels); returns its length in mm."""
    square = 0.0
    for axis in range(3):
        way = corner[axis] + r * down[axis] + c * right[axis] - source[axis]
        step[axis] = way / spacing[axis]
        square += way * way
    return math.sqrt(square)


@compiled
def clip(start, step, low, high):  # type: ignore[no-untyped-def]
    """Where between source and pixel the ray enters and leaves the box; the first is not the lesser where it misses."""
    near, far = 0.0, 1.0
    for axis in range(3):
        if step[axis] == 0.0:
            if start[axis] < low[axis] or start[axis] > high[axis]:
                return 1.0, 0.0
        else:
            t, u = (low[axis] - start[axis]) / step[axis], (high[axis] - start[axis]) / step[axis]
            near, far = max(near, min(t, u)), min(far, max(t, u))
    return near, far


@compiled
def steepest(step):  # type: ignore[no-untyped-def]
    """The axis along which the ray crosses most planes."""
    a = 0
    if abs(step[1]) > abs(step[a]):
        a = 1
    if abs(step[2]) > abs(step[a]):
        a = 2
    return a


@compiled
def others(a):  # type: ignore[no-untyped-def]
    """The two other axes, in the array's order."""
    return (0 if a else 1), (1 if a == 2 else 2)


@compiled
def box(shape, walls):  # type: ignore[no-untyped-def]
    """The box up to the outermost voxels' walls, or to their centres; an axis of one voxel keeps its walls."""
    low, high = np.zeros(3), np.empty(3)
    for axis in range(3):
        high[axis] = shape[axis] - 1.0
        if walls or shape[axis] == 1:
            low[axis], high[axis] = -0.5, shape[axis] - 0.5
    return low, high


@compiled
def lay(start, step, near, far, length, ray):  # type: ignore[no-untyped-def]
    """Write the line of a ray; returns its steepest axis and the lesser and greater place along it where it is cut."""
    a = steepest(step)
    b, d = others(a)
    ray[SLOPE_B], ray[SLOPE_D] = step[b] / step[a], step[d] / step[a]
    ray[PLACE_B], ray[PLACE_D] = start[b] - start[a] * ray[SLOPE_B], start[d] - start[a] * ray[SLOPE_D]
    ray[PER_SLOPE_B], ray[PER_SLOPE_D] = _per(ray[SLOPE_B]), _per(ray[SLOPE_D])
    ray[TO_PLANE] = length / abs(step[a])
    p, q = start[a] + near * step[a], start[a] + far * step[a]
    return a, min(p, q), max(p, q)


@compiled
def _per(slope):  # type: ignore[no-untyped-def]
    return 1.0 / slope if slope != 0.0 else 0.0


@compiled
def plane_of(place, count):  # type: ignore[no-untyped-def]
    """The plane in whose slab a place along the steepest axis lies."""
    return min(max(int(np.floor(place + 0.5)), 0), count - 1)
