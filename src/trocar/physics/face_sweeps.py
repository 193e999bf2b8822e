"""Compiled passes over the cells of a box that exchange a flow through their faces.

Vectors are flat: one plane of zeros, the planes k of rows j of places i, another plane of zeros. Rows are padded to
whole vectors of :mod:`trocar.physics.lanes`. A face belongs to the cell before it; those of the last plane, row and
place conduct nothing, so every cell may be treated alike. Only the ``spans`` are visited; elsewhere vectors stay 0. A
pass works on the planes ``[first, last)`` and may run beside another on other planes. Sums are taken plane by plane, so
that no result depends on how many work on it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from trocar.physics.compiled import compiled
from trocar.physics.lanes import keep, load, load_as, splat, store, total

#: Places to a vector of lanes.
WIDTH = 8


class Cells(NamedTuple):
    """The operator on one grid, in one precision.

    ``k``, ``j`` and ``i`` are conductances to the next cell along that axis, ``ground`` that to a reservoir at 0;
    ``spans[k * rows + j]`` the range ``[from, to)`` of places in a row outside of which nothing conducts; ``shape``
    the planes, rows and padded places.
    """

    k: NDArray[Any]
    j: NDArray[Any]
    i: NDArray[Any]
    ground: NDArray[Any]
    spans: NDArray[np.int64]
    shape: tuple[int, int, int]


@nb.njit(inline="always")
def _outflow(cells: Any, x: Any, at: Any, stride: Any, size: Any) -> Any:
    """What leaves eight cells. Made of differences: a constant loses nothing but what is grounded, in any precision."""
    here = load(x, at)
    along_k = load(cells.k, at) * (here - load(x, at + size)) + load(cells.k, at - size) * (here - load(x, at - size))
    along_j = load(cells.j, at) * (here - load(x, at + stride)) + load(cells.j, at - stride) * (
        here - load(x, at - stride)
    )
    along_i = load(cells.i, at) * (here - load(x, at + 1)) + load(cells.i, at - 1) * (here - load(x, at - 1))
    return along_k + along_j + along_i + load(cells.ground, at) * here


@compiled
def start(cells: Any, first: int, last: int, inverse: Any, b: Any, gains: float, change: Any, out: Any) -> None:
    """The first Chebyshev step from ``x = 0``, which needs no operator."""
    _, rows, stride = cells.shape
    gained = splat(np.float32(gains))
    for row in range(first * rows, last * rows):
        begin = (rows + row) * stride
        for at in range(begin + cells.spans[row, 0], begin + cells.spans[row, 1], WIDTH):
            step = gained * load(inverse, at) * load_as(b, at, np.float32(0.0))
            store(change, at, step)
            store(out, at, step)


@compiled
def relax(
    cells: Any, first: int, last: int, inverse: Any, x: Any, b: Any, keeps: float, gains: float, change: Any, out: Any
) -> None:
    """One Chebyshev step: ``change = keeps change + gains D^-1 (b - A x)``, then ``out = x + change``."""
    _, rows, stride = cells.shape
    size = rows * stride
    kept, gained = splat(np.float32(keeps)), splat(np.float32(gains))
    for row in range(first * rows, last * rows):
        begin = (rows + row) * stride
        for at in range(begin + cells.spans[row, 0], begin + cells.spans[row, 1], WIDTH):
            left = load_as(b, at, np.float32(0.0)) - _outflow(cells, x, at, stride, size)
            step = kept * load(change, at) + gained * load(inverse, at) * left
            store(change, at, step)
            store(out, at, load(x, at) + step)


@compiled
def relax_often(cells: Any, inverse: Any, x: Any, b: Any, steps: Any, change: Any, other: Any) -> None:
    """One step after another on the whole box, there and back between ``x`` and ``other``."""
    for n in range(steps.shape[0]):
        relax(cells, 0, cells.shape[0], inverse, x, b, steps[n, 0], steps[n, 1], change, other)
        x, other = other, x


@compiled
def restrict(cells: Any, first: int, last: int, x: Any, b: Any, coarser: Any, out: Any, sums: Any) -> None:
    """The residual ``b - A x`` of every eight cells added up. ``first`` is even, ``sums`` has room for a row."""
    planes, rows, stride = cells.shape
    size = rows * stride
    _, coarse_rows, coarse_stride = coarser.shape
    for k in range(first, last, 2):
        for j in range(0, rows, 2):
            row = k // 2 * coarse_rows + j // 2
            low, high = coarser.spans[row, 0], coarser.spans[row, 1]
            sums[2 * low : 2 * high] = np.float32(0.0)
            for kk in range(k, min(k + 2, planes)):
                for jj in range(j, min(j + 2, rows)):
                    begin = (kk + 1) * size + jj * stride
                    for n in range(cells.spans[kk * rows + jj, 0], cells.spans[kk * rows + jj, 1], WIDTH):
                        left = load_as(b, begin + n, np.float32(0.0)) - _outflow(cells, x, begin + n, stride, size)
                        store(sums, n, load(sums, n) + left)
            begin = (coarse_rows + row) * coarse_stride
            for n in range(low, high):
                out[begin + n] = sums[2 * n] + sums[2 * n + 1]


@compiled
def interpolate(cells: Any, first: int, last: int, inverse: Any, x: Any, coarser: Any, coarse: Any, row: Any) -> None:
    """Add to each of eight cells what the coarse cell they make up has. ``row`` has room for a row."""
    planes, rows, stride = cells.shape
    size = rows * stride
    _, coarse_rows, coarse_stride = coarser.shape
    for k in range(first, last, 2):
        for j in range(0, rows, 2):
            own = k // 2 * coarse_rows + j // 2
            begin = (coarse_rows + own) * coarse_stride
            for n in range(coarser.spans[own, 0], coarser.spans[own, 1]):
                row[2 * n] = coarse[begin + n]
                row[2 * n + 1] = coarse[begin + n]
            for kk in range(k, min(k + 2, planes)):
                for jj in range(j, min(j + 2, rows)):
                    begin = (kk + 1) * size + jj * stride
                    for n in range(cells.spans[kk * rows + jj, 0], cells.spans[kk * rows + jj, 1], WIDTH):
                        at = begin + n
                        store(x, at, load(x, at) + keep(load(row, n), load(inverse, at)))


@compiled
def apply(cells: Any, first: int, last: int, x: Any, out: Any, sums: Any) -> None:
    """``out = A x`` and ``sums[k] = x . out`` of every plane."""
    _, rows, stride = cells.shape
    size = rows * stride
    for k in range(first, last):
        dot = splat(0.0)
        for row in range(k * rows, (k + 1) * rows):
            begin = (rows + row) * stride
            for at in range(begin + cells.spans[row, 0], begin + cells.spans[row, 1], WIDTH):
                flow = _outflow(cells, x, at, stride, size)
                store(out, at, flow)
                dot = dot + flow * load(x, at)
        sums[k] = total(dot)


@compiled
def advance(cells: Any, first: int, last: int, x: Any, r: Any, p: Any, q: Any, step: float, sums: Any) -> None:
    """``x += step p``, ``r -= step q``, and ``sums[k] = r . r`` of every plane."""
    _, rows, stride = cells.shape
    s = splat(step)
    for k in range(first, last):
        dot = splat(0.0)
        for row in range(k * rows, (k + 1) * rows):
            begin = (rows + row) * stride
            for at in range(begin + cells.spans[row, 0], begin + cells.spans[row, 1], WIDTH):
                store(x, at, load(x, at) + s * load(p, at))
                left = load(r, at) - s * load(q, at)
                store(r, at, left)
                dot = dot + left * left
        sums[k] = total(dot)


@compiled
def products(cells: Any, first: int, last: int, z: Any, r: Any, q: Any, with_r: Any, with_q: Any) -> None:
    """``z . r`` and ``z . q`` of every plane."""
    _, rows, stride = cells.shape
    for k in range(first, last):
        one, other = splat(0.0), splat(0.0)
        for row in range(k * rows, (k + 1) * rows):
            begin = (rows + row) * stride
            for at in range(begin + cells.spans[row, 0], begin + cells.spans[row, 1], WIDTH):
                value = load_as(z, at, 0.0)
                one = one + value * load(r, at)
                other = other + value * load(q, at)
        with_r[k] = total(one)
        with_q[k] = total(other)


@compiled
def turn(cells: Any, first: int, last: int, p: Any, z: Any, keeps: float) -> None:
    """``p = z + keeps p``."""
    _, rows, stride = cells.shape
    kept = splat(keeps)
    for row in range(first * rows, last * rows):
        begin = (rows + row) * stride
        for at in range(begin + cells.spans[row, 0], begin + cells.spans[row, 1], WIDTH):
            store(p, at, load_as(z, at, 0.0) + kept * load(p, at))
