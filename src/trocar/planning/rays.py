"""Compiled kernels: many straight paths through the distance maps, and one path against voxel boxes.

A path is sampled from its tip outwards at ``n * step_mm``. Channel 0 of the maps is the depth under
the vertebra's own surface, the others are distances to structures; see :mod:`trocar.planning.maps`.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

#: Between samples of a path, mm. At 3 mm from a wall the nearest sample reads at most 0.04 mm too far.
STEP_MM = 1.0
#: Between samples on the way to the skin, mm.
SKIN_STEP_MM = 0.5
#: Slack is counted up to here, mm: what is free beyond changes no decision.
AMPLE_MM = 4.0
#: Between samples on the way from the bone to the skin, where the axis must meet no bone of its own, mm.
RETURN_STEP_MM = 0.25
#: A cylinder is never let nearer than this to a labelled voxel, whatever the uncertainty, mm.
CONTACT_MM = 0.3
#: Interpolated maps read up to this much above the exact distance: what is refused must be refused there too, mm.
MAP_ERROR_MM = 0.1
#: The needle's side may brush another bone, or a process of its own once clear of where it entered, this deep, mm.
BRUSH_MM = 0.5
#: A trilinear interpolant of a map whose slope is at most 1 per axis changes at most this fast.
_SLOPE = math.sqrt(3.0)

#: What ended a path, beside the channels 0, 1, 2 ... of the maps.
ENDPLATE, ANGLE, OWN_BONE, NO_BONE, FREE = -1, -2, -3, -4, -9
#: Slack of a path that is no path (wrong angle, no bone at the tip).
NEVER = -1.0e3


@nb.njit(cache=True, inline="always")
def _cell(maps, k, j, i):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Corner and weights of the cell that holds ``(k, j, i)``, clamped to the grid."""
    nk, nj, ni = maps.shape[1], maps.shape[2], maps.shape[3]
    k = min(max(k, 0.0), nk - 1.0)
    j = min(max(j, 0.0), nj - 1.0)
    i = min(max(i, 0.0), ni - 1.0)
    k0 = min(int(k), nk - 2)
    j0 = min(int(j), nj - 2)
    i0 = min(int(i), ni - 2)
    return k0, j0, i0, k - k0, j - j0, i - i0


@nb.njit(cache=True)
def value_at(maps, k, j, i, c):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Channel ``c`` at a node index, trilinear, clamped to the grid."""
    k0, j0, i0, wk, wj, wi = _cell(maps, k, j, i)
    field = maps[c]
    a = (field[k0, j0, i0] * (1.0 - wi) + field[k0, j0, i0 + 1] * wi) * (1.0 - wj)
    a += (field[k0, j0 + 1, i0] * (1.0 - wi) + field[k0, j0 + 1, i0 + 1] * wi) * wj
    b = (field[k0 + 1, j0, i0] * (1.0 - wi) + field[k0 + 1, j0, i0 + 1] * wi) * (1.0 - wj)
    b += (field[k0 + 1, j0 + 1, i0] * (1.0 - wi) + field[k0 + 1, j0 + 1, i0 + 1] * wi) * wj
    return a * (1.0 - wk) + b * wk


@nb.njit(cache=True)
def half_voxel(maps, k, j, i, c, node_mm, voxel_mm):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Half a voxel's extent along the slope of channel ``c``, mm: what the voxels leave open there."""
    gk = (value_at(maps, k + 1.0, j, i, c) - value_at(maps, k - 1.0, j, i, c)) / node_mm[0]
    gj = (value_at(maps, k, j + 1.0, i, c) - value_at(maps, k, j - 1.0, i, c)) / node_mm[1]
    gi = (value_at(maps, k, j, i + 1.0, c) - value_at(maps, k, j, i - 1.0, c)) / node_mm[2]
    norm = math.sqrt(gk * gk + gj * gj + gi * gi)
    if norm < 1e-6:
        return 0.5 * min(voxel_mm[0], voxel_mm[1], voxel_mm[2])
    return 0.5 * (abs(gk) * voxel_mm[0] + abs(gj) * voxel_mm[1] + abs(gi) * voxel_mm[2]) / norm


@nb.njit(cache=True)
def _judge(maps, start, move, wall_mm, radius, need, contact, node_mm, voxel_mm, lowest, strict):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Slack of one path: see :func:`judge`. ``start`` and ``move`` (per mm) are node indices."""
    channels = maps.shape[0]
    slack, blocker, bone_mm, clear = lowest, FREE, -1.0, False
    n = 0
    while True:
        s = n * STEP_MM
        k, j, i = start[0] + s * move[0], start[1] + s * move[1], start[2] + s * move[2]
        outside = (
            k < 0.0 or j < 0.0 or i < 0.0
            or k > maps.shape[1] - 1.0 or j > maps.shape[2] - 1.0 or i > maps.shape[3] - 1.0
        )  # fmt: skip
        if outside:
            break
        depth = value_at(maps, k, j, i, 0)
        if n == 0 and depth <= 0.0:
            return NEVER, NO_BONE, bone_mm
        if s <= wall_mm and depth - need[0] < slack:
            slack, blocker = depth - need[0], 0
            if strict and slack < 0.0 and slack + half_voxel(maps, k, j, i, 0, node_mm, voxel_mm) < MAP_ERROR_MM:
                return NEVER, 0, bone_mm
        if bone_mm < 0.0 and depth <= 0.0:
            bone_mm = s
        clear = clear or (bone_mm >= 0.0 and depth <= -radius)
        spare = depth
        if bone_mm >= 0.0:
            # the axis stays out of its own bone; clear of it once, so does all but the needle's skin
            spare = min(BRUSH_MM - radius, 0.0) - depth if clear else -depth
            if spare < 0.0:
                return NEVER, OWN_BONE, bone_mm
            if not clear:
                spare = min(spare, depth + radius)
        if s <= wall_mm:
            spare = min(spare, depth - need[0] - max(slack, 0.0))
        for c in range(1, channels):
            free = value_at(maps, k, j, i, c) - need[c]
            spare = min(spare, free - max(slack, 0.0))
            if free < slack:
                slack, blocker = free, c
            if strict and free < 0.0:
                touched = free + need[c] < contact[c]
                if touched or free + half_voxel(maps, k, j, i, c, node_mm, voxel_mm) < MAP_ERROR_MM:
                    return NEVER, c, bone_mm
        # nothing within `spare` can lower the slack: those samples need not be looked at
        n += 1 + int(max(spare, 0.0) / (_SLOPE * STEP_MM))
    return slack, blocker, bone_mm


@nb.njit(cache=True, parallel=True)
def judge(maps, to_index, tips, ways, wall_mm, floors, radius, need, contact, node_mm, voxel_mm, strict):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Slack, blocker and length in bone of every path.

    ``tips`` and ``ways`` ``(n, 3)`` are LPS points and unit directions from the tip outwards.
    ``wall_mm[n]`` is how far from the tip the wall margin holds, ``floors[n]`` a slack that the
    caller already knows (endplates, angles: below -100 the path is not judged). ``need[c]`` is
    radius plus margin of each channel, ``contact[c]`` the least distance of the axis to its boxes.
    The slack is the least distance minus need over all samples, at most :data:`AMPLE_MM`. With
    ``strict`` a path whose slack is negative by more than the voxels leave open is given up at once
    (:data:`NEVER`).
    """
    count = tips.shape[0]
    slack = np.full(count, NEVER)
    blocker = np.full(count, ANGLE, np.int8)
    bone_mm = np.full(count, -1.0)
    for n in nb.prange(count):
        if floors[n] > -100.0:
            start = np.empty(3)
            move = np.empty(3)
            for a in range(3):
                start[a] = to_index[a, 3]
                move[a] = 0.0
                for x in range(3):
                    start[a] += to_index[a, x] * tips[n, x]
                    move[a] += to_index[a, x] * ways[n, x]
            slack[n], b, bone_mm[n] = _judge(
                maps,
                start,
                move,
                wall_mm[n],
                radius,
                need,
                contact,
                node_mm,
                voxel_mm,
                min(floors[n], AMPLE_MM),
                strict,
            )
            blocker[n] = ENDPLATE if b == FREE else b
    return slack, blocker, bone_mm


@nb.njit(cache=True, parallel=True)
def least(maps, to_index, tips, ways, wall_mm, length_mm):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Least value ``(n, channels)`` of every channel on each path's axis, mm.

    Channel 0 over the first ``wall_mm`` from the tip, the others over ``length_mm``.
    """
    channels = maps.shape[0]
    out = np.full((tips.shape[0], channels), 1.0e3)
    for n in nb.prange(tips.shape[0]):
        for m in range(int(length_mm / STEP_MM) + 1):
            s = m * STEP_MM
            x, y, z = tips[n, 0] + s * ways[n, 0], tips[n, 1] + s * ways[n, 1], tips[n, 2] + s * ways[n, 2]
            k = to_index[0, 0] * x + to_index[0, 1] * y + to_index[0, 2] * z + to_index[0, 3]
            j = to_index[1, 0] * x + to_index[1, 1] * y + to_index[1, 2] * z + to_index[1, 3]
            i = to_index[2, 0] * x + to_index[2, 1] * y + to_index[2, 2] * z + to_index[2, 3]
            for c in range(1 if s > wall_mm else 0, channels):
                out[n, c] = min(out[n, c], value_at(maps, k, j, i, c))
    return out


@nb.njit(cache=True, parallel=True)
def way_out(inside, to_index, tips, ways):  # type: ignore[no-untyped-def]  # pragma: no cover
    """How far each path runs from its tip until it leaves the mask ``inside`` (nearest voxel), mm.

    Where it leaves the mask's grid first, the way out is not in view: minus the distance to the edge.
    """
    count = tips.shape[0]
    out = np.zeros(count)
    nk, nj, ni = inside.shape
    for n in nb.prange(count):
        s = 0.0
        while True:
            x, y, z = tips[n, 0] + s * ways[n, 0], tips[n, 1] + s * ways[n, 1], tips[n, 2] + s * ways[n, 2]
            k = round(to_index[0, 0] * x + to_index[0, 1] * y + to_index[0, 2] * z + to_index[0, 3])
            j = round(to_index[1, 0] * x + to_index[1, 1] * y + to_index[1, 2] * z + to_index[1, 3])
            i = round(to_index[2, 0] * x + to_index[2, 1] * y + to_index[2, 2] * z + to_index[2, 3])
            if k < 0 or j < 0 or i < 0 or k >= nk or j >= nj or i >= ni:
                out[n] = -s
                break
            if not inside[k, j, i]:
                out[n] = s
                break
            s += SKIN_STEP_MM
    return out


@nb.njit(cache=True, parallel=True)
def returns(maps, to_node, mask, to_voxel, tips, ways, bone_mm, grace_mm):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Whether each path meets its own bone again beyond ``bone_mm[n]``, the first sample outside it.

    Bone is what lies above zero in channel 0 of the maps or, farther than ``grace_mm`` from where the
    path left that, in a voxel of ``mask`` (voxels stand out of the surface drawn between them). The
    mask holds all the bone there is: a path that has left its grid does not return.
    """
    out = np.zeros(tips.shape[0], np.bool_)
    nk, nj, ni = mask.shape
    for n in nb.prange(tips.shape[0]):
        s = left = bone_mm[n] - STEP_MM
        while True:
            x, y, z = tips[n, 0] + s * ways[n, 0], tips[n, 1] + s * ways[n, 1], tips[n, 2] + s * ways[n, 2]
            k = round(to_voxel[0, 0] * x + to_voxel[0, 1] * y + to_voxel[0, 2] * z + to_voxel[0, 3])
            j = round(to_voxel[1, 0] * x + to_voxel[1, 1] * y + to_voxel[1, 2] * z + to_voxel[1, 3])
            i = round(to_voxel[2, 0] * x + to_voxel[2, 1] * y + to_voxel[2, 2] * z + to_voxel[2, 3])
            if k < 0 or j < 0 or i < 0 or k >= nk or j >= nj or i >= ni:
                break
            k_node = to_node[0, 0] * x + to_node[0, 1] * y + to_node[0, 2] * z + to_node[0, 3]
            j_node = to_node[1, 0] * x + to_node[1, 1] * y + to_node[1, 2] * z + to_node[1, 3]
            i_node = to_node[2, 0] * x + to_node[2, 1] * y + to_node[2, 2] * z + to_node[2, 3]
            under = value_at(maps, k_node, j_node, i_node, 0) > 0.0
            if under and s <= bone_mm[n]:
                left = s
            elif under or (mask[k, j, i] and s > left + grace_mm):
                out[n] = True
                break
            s += RETURN_STEP_MM
    return out


@nb.njit(cache=True)
def undominated(terms):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Rows of ``terms`` ``(n, m)`` that no other row beats in one column and equals in the rest (less is better)."""
    front = np.empty(terms.shape[0], np.int64)
    count = 0
    for n in range(terms.shape[0]):
        beaten = False
        for f in range(count):
            if np.all(terms[front[f]] <= terms[n]) and np.any(terms[front[f]] < terms[n]):
                beaten = True
                break
        if not beaten:
            kept = 0
            for f in range(count):
                if not (np.all(terms[n] <= terms[front[f]]) and np.any(terms[n] < terms[front[f]])):
                    front[kept] = front[f]
                    kept += 1
            front[kept] = n
            count = kept + 1
    return front[:count]


@nb.njit(cache=True)
def _gap_square(start, move, s, box, half):  # type: ignore[no-untyped-def]  # pragma: no cover
    total = 0.0
    for a in range(3):
        gap = max(abs(start[a] + s * move[a] - box[a]) - half[a], 0.0)
        total += gap * gap
    return total


@nb.njit(cache=True)
def _nearest_on(start, move, length, box, half):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Where along a segment a box is nearest: the square of the gap is convex, so thirds close in."""
    low, high = 0.0, length
    for _ in range(48):
        a, b = low + (high - low) / 3.0, high - (high - low) / 3.0
        if _gap_square(start, move, a, box, half) <= _gap_square(start, move, b, box, half):
            high = b
        else:
            low = a
    return 0.5 * (low + high)


@nb.njit(cache=True)
def segment_to_mask(mask, size, start, move, length, reach):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Exact distance of a segment to the nearest voxel box of a mask, and half a voxel along that line.

    In mm along the mask's own axes k, j, i, from the centre of its first voxel: ``size`` of a voxel,
    ``start`` and unit ``move`` of the segment. Voxels farther than ``reach`` from the segment's
    bounding box are not looked at. Returns ``(distance, half_voxel)``; distance is infinite when
    there is none within reach.
    """
    half = 0.5 * size
    corner = math.sqrt(half[0] ** 2 + half[1] ** 2 + half[2] ** 2)
    low, high = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for a in range(3):
        ends = (start[a], start[a] + length * move[a])
        low[a] = max(0, math.floor((min(ends) - reach) / size[a]))
        high[a] = min(mask.shape[a], math.ceil((max(ends) + reach) / size[a]) + 1)
    best, where = math.inf, 0.0
    box, nearest = np.zeros(3), np.zeros(3)
    for k in range(low[0], high[0]):
        for j in range(low[1], high[1]):
            for i in range(low[2], high[2]):
                if not mask[k, j, i]:
                    continue
                box[0], box[1], box[2] = k * size[0], j * size[1], i * size[2]
                s = 0.0
                for a in range(3):
                    s += (box[a] - start[a]) * move[a]
                s = min(max(s, 0.0), length)
                centre = 0.0
                for a in range(3):
                    centre += (start[a] + s * move[a] - box[a]) ** 2
                if math.sqrt(centre) - corner < math.sqrt(best):
                    s = _nearest_on(start, move, length, box, half)
                    square = _gap_square(start, move, s, box, half)
                    if square < best:
                        best, where = square, s
                        nearest[:] = box
    if math.isinf(best):
        return math.inf, 0.0
    distance = math.sqrt(best)
    if distance < 1e-9:
        return 0.0, min(half[0], half[1], half[2])
    spread = 0.0
    for a in range(3):
        spread += max(abs(start[a] + where * move[a] - nearest[a]) - half[a], 0.0) * half[a]
    return distance, spread / distance
