"""Compiled passes that lay out what a box of cells conducts for :mod:`trocar.physics.face_sweeps`, on every grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from trocar.physics.compiled import compiled
from trocar.physics.face_sweeps import WIDTH
from trocar.physics.lanes import load, total

#: What a coarse face conducts of what its four fine faces do together: the way is twice as long as theirs.
#: Braess D. Towards algebraic multigrid for elliptic problems of second order. Computing 1995;55:379-393.
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
        for n in range(0, stride, WIDTH):
            at = (rows + row) * stride + n
            after = load(cells.k, at) + load(cells.j, at) + load(cells.i, at) + load(cells.ground, at)
            before = load(cells.k, at - size) + load(cells.j, at - stride) + load(cells.i, at - 1)
            if total(after + before) > 0.0:
                low, high = min(low, n), n + WIDTH
        cells.spans[row, 0], cells.spans[row, 1] = min(low, high), high
        for at in range((rows + row) * stride + min(low, high), (rows + row) * stride + high):
            greatest = max(greatest, max(max(cells.k[at], cells.j[at]), max(cells.i[at], cells.ground[at])))
    return greatest


@compiled
def _root(parent: Any, at: int) -> int:
    while parent[at] != at:
        parent[at] = parent[parent[at]]
        at = parent[at]
    return at


@compiled
def _joined(parent: Any, a: int, b: int) -> int:
    """The piece whose first cell comes first takes in the other; returns that cell."""
    a, b = _root(parent, a), _root(parent, b)
    parent[max(a, b)] = min(a, b)
    return min(a, b)


@compiled
def find_pieces(cells: Any, piece: Any) -> None:
    """For every cell the first one of the piece it belongs to: the cells that ways lead to."""
    planes, rows, stride = cells.shape
    size = rows * stride
    for row in range(planes * rows):
        begin = (rows + row) * stride
        for at in range(begin + cells.spans[row, 0], begin + cells.spans[row, 1]):
            own = piece[at - 1] if cells.i[at - 1] > 0.0 else at
            piece[at] = own
            if cells.j[at - stride] > 0.0 and piece[at - stride] != own:
                own = _joined(piece, at, at - stride)
            if cells.k[at - size] > 0.0 and piece[at - size] != own:
                _joined(piece, at, at - size)
    for row in range(planes * rows):
        begin = (rows + row) * stride
        for at in range(begin + cells.spans[row, 0], begin + cells.spans[row, 1]):
            piece[at] = piece[piece[at]]  # the first cell of a piece comes before it and is settled already


@compiled
def find_levels(cells: Any, piece: Any, source: Any, drained: Any, level: Any) -> None:
    """The potential at which each piece, were it the same all over, would let go what is put in.

    That is taken off ``source``. A piece that nothing grounds is taken out of the operator; its level is 0.
    ``drained`` has room for a number a cell.
    """
    planes, rows, stride = cells.shape
    level[:] = 0.0
    drained[:] = 0.0
    for row in range(planes * rows):
        begin = (rows + row) * stride
        for at in range(begin + cells.spans[row, 0], begin + cells.spans[row, 1]):
            drained[piece[at]] += cells.ground[at]
            level[piece[at]] += source[at]
    for row in range(planes * rows):
        begin = (rows + row) * stride
        for at in range(begin + cells.spans[row, 0], begin + cells.spans[row, 1]):
            first = piece[at]
            if drained[first] > 0.0:
                level[at] = level[first] / drained[first] if at == first else level[first]
                source[at] -= cells.ground[at] * level[at]
            else:
                level[at] = 0.0
                cells.k[at], cells.j[at], cells.i[at], cells.ground[at] = 0.0, 0.0, 0.0, 0.0


@compiled
def thin(exact: Any, scale: float, cells: Any) -> None:
    """The same operator in float32, times ``scale``; the spans are shared."""
    planes, rows, stride = exact.shape
    for row in range(planes * rows):
        begin, end = (rows + row) * stride, (rows + row + 1) * stride
        if exact.spans[row, 1] == 0:
            cells.k[begin:end] = np.float32(0.0)
            cells.j[begin:end] = np.float32(0.0)
            cells.i[begin:end] = np.float32(0.0)
            cells.ground[begin:end] = np.float32(0.0)
            continue
        for at in range(begin, end):
            cells.k[at] = exact.k[at] * scale
            cells.j[at] = exact.j[at] * scale
        for at in range(begin, end):
            cells.i[at] = exact.i[at] * scale
            cells.ground[at] = exact.ground[at] * scale


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
    for row in range(planes * rows):
        begin, end = (rows + row) * stride, (rows + row + 1) * stride
        if cells.spans[row, 1] == 0:
            inverse[begin:end] = np.float32(0.0)
            continue
        for at in range(begin, end):
            whole = cells.k[at] + cells.k[at - size] + cells.j[at] + cells.j[at - stride]
            whole += cells.i[at] + cells.i[at - 1] + cells.ground[at]
            inverse[at] = np.float32(1.0) / whole if whole > np.float32(0.0) else np.float32(0.0)
