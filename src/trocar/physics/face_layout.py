"""Compiled passes that lay out what a box of cells conducts for :mod:`trocar.physics.face_sweeps`, on every grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from trocar.physics.compiled import compiled
from trocar.physics.face_sweeps import WIDTH

#: What a coarse face conducts of what its four fine faces do together: it is twice as long as they are.
LENGTHENED = 0.5


@compiled
def take(given: Any, outside: int, out: Any, shape: Any, of: Any) -> bool:
    """Copy a box ``of`` cells into the padded order, without its last plane along the axis ``outside`` (3: with all).

    Returns whether every number is one and at least 0.
    """
    _, rows, stride = shape
    planes, _, places = of
    sound = True
    for k in range(planes):
        for j in range(rows):
            begin = ((k + 1) * rows + j) * stride
            last = places - (outside == 2)
            if (outside == 0 and k == planes - 1) or (outside == 1 and j == rows - 1):
                last = 0
            for i in range(last):
                value = given[k, j, i]
                sound &= (value >= 0.0) & (value < np.inf)
                out[begin + i] = value
            out[begin + last : begin + stride] = 0.0
    return sound


@compiled
def find_spans(cells: Any) -> float:
    """Where something conducts, in whole vectors of lanes, into ``cells.spans``; returns the greatest conductance."""
    planes, rows, stride = cells.shape
    size = rows * stride
    greatest = 0.0
    for row in range(planes * rows):
        low, high = stride, 0
        begin = (rows + row) * stride
        for n in range(stride):
            at = begin + n
            after = max(max(cells.k[at], cells.j[at]), max(cells.i[at], cells.ground[at]))
            before = max(max(cells.k[at - size], cells.j[at - stride]), cells.i[at - 1])
            if max(after, before) > 0.0:
                greatest = max(greatest, after)
                low, high = min(low, n), n + 1
        cells.spans[row, 0] = min(low, high) // WIDTH * WIDTH
        cells.spans[row, 1] = -(-high // WIDTH) * WIDTH
    return greatest


@compiled
def _root(parent: Any, at: int) -> int:
    while parent[at] != at:
        parent[at] = parent[parent[at]]
        at = parent[at]
    return at


@compiled
def _join(parent: Any, a: int, b: int) -> None:
    """The piece whose first cell comes first takes in the other."""
    a, b = _root(parent, a), _root(parent, b)
    if a < b:
        parent[b] = a
    else:
        parent[a] = b


@compiled
def close_off(cells: Any, source: Any, parent: Any, state: Any) -> int:
    """Take out of the operator every piece that nothing grounds.

    Returns a cell of such a piece that has a source, or of a source where nothing conducts; -1 where there is none.
    ``parent`` and ``state`` have room for a number a cell.
    """
    planes, rows, stride = cells.shape
    size = rows * stride
    for row in range(planes * rows):
        begin = (rows + row) * stride
        for at in range(begin + cells.spans[row, 0], begin + cells.spans[row, 1]):
            parent[at], state[at] = at, cells.ground[at] > 0.0
            if cells.k[at - size] > 0.0:
                _join(parent, at, at - size)
            if cells.j[at - stride] > 0.0:
                _join(parent, at, at - stride)
            if cells.i[at - 1] > 0.0:
                _join(parent, at, at - 1)
    for row in range(planes * rows):
        begin = (rows + row) * stride
        for at in range(begin + cells.spans[row, 0], begin + cells.spans[row, 1]):
            root = _root(parent, at)
            parent[at] = root
            state[root] |= state[at]
    found = -1
    for row in range(planes * rows):
        begin = (rows + row) * stride
        low, high = begin + cells.spans[row, 0], begin + cells.spans[row, 1]
        for at in range(low, high):
            if not state[parent[at]]:
                cells.k[at], cells.j[at], cells.i[at], cells.ground[at] = 0.0, 0.0, 0.0, 0.0
                if source[at] != 0.0 and found < 0:
                    found = at
        for at in range(begin, low):
            if source[at] != 0.0 and found < 0:
                found = at
        for at in range(high, begin + stride):
            if source[at] != 0.0 and found < 0:
                found = at
    return found


@compiled
def thin(exact: Any, scale: float, cells: Any) -> None:
    """The same operator in float32, times ``scale``; the spans are shared."""
    planes, rows, stride = exact.shape
    factor = np.float64(scale)
    for at in range(rows * stride, (planes + 1) * rows * stride):
        cells.k[at] = np.float32(exact.k[at] * factor)
        cells.j[at] = np.float32(exact.j[at] * factor)
        cells.i[at] = np.float32(exact.i[at] * factor)
        cells.ground[at] = np.float32(exact.ground[at] * factor)


@compiled
def coarsen(cells: Any, coarser: Any) -> None:
    """Every two by two by two cells become one: what their faces and their ground conduct, added up."""
    planes, rows, stride = cells.shape
    coarse_planes, coarse_rows, coarse_stride = coarser.shape
    half = np.float32(LENGTHENED)
    for row in range(coarse_planes * coarse_rows):
        begin = (coarse_rows + row) * coarse_stride
        k, j = 2 * (row // coarse_rows), 2 * (row % coarse_rows)
        coarser.k[begin : begin + coarse_stride] = np.float32(0.0)
        coarser.j[begin : begin + coarse_stride] = np.float32(0.0)
        coarser.i[begin : begin + coarse_stride] = np.float32(0.0)
        coarser.ground[begin : begin + coarse_stride] = np.float32(0.0)
        low, high = stride, 0
        for kk in range(k, min(k + 2, planes)):
            for jj in range(j, min(j + 2, rows)):
                own = kk * rows + jj
                if cells.spans[own, 1] > 0:
                    low, high = min(low, cells.spans[own, 0]), max(high, cells.spans[own, 1])
                fine = (rows + own) * stride
                for n in range(cells.spans[own, 0] // 2, cells.spans[own, 1] // 2):
                    at, to = fine + 2 * n, begin + n
                    coarser.ground[to] += cells.ground[at] + cells.ground[at + 1]
                    coarser.i[to] += half * cells.i[at + 1]
                    if jj > j:
                        coarser.j[to] += half * (cells.j[at] + cells.j[at + 1])
                    if kk > k:
                        coarser.k[to] += half * (cells.k[at] + cells.k[at + 1])
        coarser.spans[row, 0] = min(low, high) // 2 // WIDTH * WIDTH
        coarser.spans[row, 1] = -(-high // (2 * WIDTH)) * WIDTH


@compiled
def invert_diagonal(cells: Any, inverse: Any) -> None:
    """One over the diagonal where there is one; 0 elsewhere."""
    planes, rows, stride = cells.shape
    size = rows * stride
    for at in range(size, (planes + 1) * size):
        whole = cells.k[at] + cells.k[at - size] + cells.j[at] + cells.j[at - stride] + cells.i[at] + cells.i[at - 1]
        whole += cells.ground[at]
        inverse[at] = np.float32(1.0) / whole if whole > np.float32(0.0) else np.float32(0.0)
