"""Compiled passes of the voxel operator over the node planes of a box.

Vectors at nodes are flat arrays ordered plane k, component, row j, place i; rows are padded to whole vectors of
:mod:`trocar.physics.lanes`, and one vector's width is spare at the end. A pass works on the planes ``[first, last)``
and may run beside another on other planes: what it needs of its neighbours' planes, as they were before the pass, it
gets as the copies ``below`` (plane ``first - 1``) and ``above`` (plane ``last``). ``scratch`` has room for three
planes. Sums are taken plane by plane, so that no result depends on how many work on it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from trocar.physics.compiled import compiled
from trocar.physics.lanes import keep, load, load_as, load_where, shifted, splat, store, total

#: Places to a vector of lanes.
WIDTH = 8
#: Numbers to a kind of voxel (``hexahedron.constants``).
CONSTANTS = 15


class Elements(NamedTuple):
    """The operator on one level.

    ``modulus`` and ``kind`` (1 + place among the materials) per voxel, in the padded order of the nodes (planes, rows,
    places); ``blocks`` has for each vector's width of voxels one bit a kind that occurs there (0: skipped);
    ``constants`` 15 numbers a kind, once in each precision; ``spans[spans_from[k] : spans_from[k + 1]]`` the ranges
    ``[from, to)`` of plane k where a node touches a voxel (the rest stays 0); ``shape`` the planes, rows and padded
    places of nodes.
    """

    modulus: NDArray[np.float32]
    kind: NDArray[np.uint8]
    blocks: NDArray[np.uint16]
    constants32: NDArray[np.float32]
    constants64: NDArray[np.float64]
    spans: NDArray[np.int64]
    spans_from: NDArray[np.int64]
    shape: tuple[int, int, int]


@nb.njit(inline="always")
def _modes(a: Any, b: Any, c: Any, d: Any) -> Any:
    """Modes 1, j, k, kj of four rows (k j = 00, 01, 10, 11)."""
    low, high, tilt_low, tilt_high = a + b, c + d, b - a, d - c
    return low + high, tilt_low + tilt_high, high - low, tilt_high - tilt_low


@nb.njit(inline="always")
def _rows(one: Any, j: Any, k: Any, kj: Any) -> Any:
    """The transpose of :func:`_modes`."""
    back, front, lower, upper = one - k, one + k, j - kj, j + kj
    return back - lower, back + lower, front - upper, front + upper


@nb.njit(inline="always")
def _read(plane: Any, start: Any, row: Any, stride: Any, upper: Any, upper_start: Any, e: Any) -> Any:
    """The seven straining modes of one component, times the modulus."""
    at, up = start + row, upper_start + row
    a, aj, ak, akj = _modes(load(plane, at), load(plane, at + stride), load(upper, up), load(upper, up + stride))
    at, up = at + 1, up + 1
    b, bj, bk, bkj = _modes(load(plane, at), load(plane, at + stride), load(upper, up), load(upper, up + stride))
    return (
        (b - a) * e,
        (aj + bj) * e,
        (ak + bk) * e,
        (bj - aj) * e,
        (bk - ak) * e,
        (akj + bkj) * e,
        (bkj - akj) * e,
    )


@nb.njit(inline="always")
def _give(out: Any, out_upper: Any, row: Any, stride: Any, f: Any, carry: Any, zero: Any) -> Any:
    """Add the forces of eight voxels, given by modes i, j, k, ji, ki, kj, kji, to the nodes of four rows.

    A voxel's far corner along i belongs to the next node: those forces, moved up by one place, are added with the last
    of the block before (``carry``); returned are this block's.
    """
    i, j, k, ji, ki, kj, kji = f
    s0, s1, s2, s3 = _rows(zero, j, k, kj)
    d0, d1, d2, d3 = _rows(i, ji, ki, kji)
    q0, q1, q2, q3 = s0 + d0, s1 + d1, s2 + d2, s3 + d3
    store(out, row, load(out, row) + (s0 - d0 + shifted(carry[0], q0)))
    store(out, row + stride, load(out, row + stride) + (s1 - d1 + shifted(carry[1], q1)))
    store(out_upper, row, load(out_upper, row) + (s2 - d2 + shifted(carry[2], q2)))
    store(out_upper, row + stride, load(out_upper, row + stride) + (s3 - d3 + shifted(carry[3], q3)))
    return q0, q1, q2, q3


@nb.njit(inline="always")
def _flush(out: Any, out_upper: Any, row: Any, stride: Any, carry: Any, zero: Any) -> None:
    """Add what the block before left for the first place of an empty one."""
    store(out, row, load(out, row) + shifted(carry[0], zero))
    store(out, row + stride, load(out, row + stride) + shifted(carry[1], zero))
    store(out_upper, row, load(out_upper, row) + shifted(carry[2], zero))
    store(out_upper, row + stride, load(out_upper, row + stride) + shifted(carry[3], zero))


@nb.njit(inline="always")
def _first_nine(constants: Any, at: Any) -> Any:
    """Normal moduli along k, j, i; shear of k along j and i, of j along k and i, of i along k and j."""
    return (
        splat(constants[at]),
        splat(constants[at + 1]),
        splat(constants[at + 2]),
        splat(constants[at + 3]),
        splat(constants[at + 4]),
        splat(constants[at + 5]),
        splat(constants[at + 6]),
        splat(constants[at + 7]),
        splat(constants[at + 8]),
    )


@nb.njit(inline="always")
def _last_six(constants: Any, at: Any) -> Any:
    """Couplings kj, ki, ji of normal strains, then of shears."""
    return (
        splat(constants[at]),
        splat(constants[at + 1]),
        splat(constants[at + 2]),
        splat(constants[at + 3]),
        splat(constants[at + 4]),
        splat(constants[at + 5]),
    )


@nb.njit(inline="always")
def _sum(a: Any, b: Any) -> Any:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]


@compiled
def add_layer(
    elements: Any,
    constants: Any,
    layer: int,
    lower: Any,
    lower_start: int,
    upper: Any,
    upper_start: int,
    out: Any,
    out_upper: Any,
) -> None:
    """Add the forces of one layer of voxels to the node planes below (``out``) and above it (``out_upper``).

    ``lower`` and ``upper`` hold the displacements of those planes from their starts on.
    """
    _, rows, stride = elements.shape
    plane = rows * stride
    number = constants.dtype.type(0.0)
    zero = splat(number)
    third = splat(constants.dtype.type(1.0 / 3.0))
    none = (zero, zero, zero, zero)
    for row in range(rows - 1):
        start = row * stride
        voxel = layer * plane + start
        block = voxel // WIDTH
        carried = False
        carry_k, carry_j, carry_i = none, none, none
        for place in range(0, stride, WIDTH):
            kinds = elements.blocks[block]
            block += 1
            at = start + place
            if kinds == 0:
                if carried:
                    _flush(out, out_upper, at, stride, carry_k, zero)
                    _flush(out, out_upper, plane + at, stride, carry_j, zero)
                    _flush(out, out_upper, 2 * plane + at, stride, carry_i, zero)
                    carry_k, carry_j, carry_i = none, none, none
                    carried = False
                continue
            left_k, left_j, left_i = none, none, none
            kind = nb.uint8(1)
            offset = 0
            while kinds:
                if kinds & 1:
                    e = load_where(elements.modulus, elements.kind, voxel + place, kind, number)
                    wi, wj, wk, wji, wki, wkj, wkji = _read(lower, lower_start, at, stride, upper, upper_start, e)
                    at_j, up_j = lower_start + plane, upper_start + plane
                    vi, vj, vk, vji, vki, vkj, vkji = _read(lower, at_j, at, stride, upper, up_j, e)
                    at_i, up_i = at_j + plane, up_j + plane
                    xi, xj, xk, xji, xki, xkj, xkji = _read(lower, at_i, at, stride, upper, up_i, e)
                    nk, nj, ni, kj, ki, jk, ji, ik, ij = _first_nine(constants, offset)
                    lkj, lki, lji, hkj, hki, hji = _last_six(constants, offset + 9)
                    force = (
                        ki * wi + hki * xk,
                        kj * wj + hkj * vk,
                        nk * wk + lkj * vj + lki * xi,
                        third * ((kj + ki) * wji + hkj * vki + hki * xkj),
                        third * ((nk + ki) * wki + lkj * vji),
                        third * ((nk + kj) * wkj + lki * xji),
                        third * third * (nk + kj + ki) * wkji,
                    )
                    left_k = _sum(left_k, _give(out, out_upper, at, stride, force, carry_k, zero))
                    force = (
                        ji * vi + hji * xj,
                        nj * vj + lkj * wk + lji * xi,
                        jk * vk + hkj * wj,
                        third * ((nj + ji) * vji + lkj * wki),
                        third * ((jk + ji) * vki + hkj * wji + hji * xkj),
                        third * ((nj + jk) * vkj + lji * xki),
                        third * third * (nj + jk + ji) * vkji,
                    )
                    left_j = _sum(left_j, _give(out, out_upper, plane + at, stride, force, carry_j, zero))
                    force = (
                        ni * xi + lki * wk + lji * vj,
                        ij * xj + hji * vi,
                        ik * xk + hki * wi,
                        third * ((ni + ij) * xji + lki * wkj),
                        third * ((ni + ik) * xki + lji * vkj),
                        third * ((ij + ik) * xkj + hki * wji + hji * vki),
                        third * third * (ni + ij + ik) * xkji,
                    )
                    left_i = _sum(left_i, _give(out, out_upper, 2 * plane + at, stride, force, carry_i, zero))
                    carry_k, carry_j, carry_i = none, none, none
                kinds >>= 1
                kind += nb.uint8(1)
                offset += CONSTANTS
            carry_k, carry_j, carry_i = left_k, left_j, left_i
            carried = True


@nb.njit(inline="always")
def _plane(elements: Any) -> int:
    """Numbers to a plane of nodes."""
    return 3 * elements.shape[1] * elements.shape[2]


@compiled
def _forces_of(elements: Any, constants: Any, k: int, last: int, x: Any, above: Any, here: Any, there: Any) -> None:
    """Complete the forces on plane ``k`` (``here``) with the layer above it, and begin the next plane's (``there``)."""
    planes, rows, stride = elements.shape
    size = 3 * rows * stride
    there[:] = 0.0
    if k + 1 < planes:
        if k + 1 < last:
            add_layer(elements, constants, k, x, k * size, x, (k + 1) * size, here, there)
        else:
            add_layer(elements, constants, k, x, k * size, above, 0, here, there)


@compiled
def _begin(elements: Any, constants: Any, first: int, x: Any, below: Any, here: Any, spare: Any) -> None:
    """What the layer below the first plane does to it; the rest of that layer is another pass's."""
    _, rows, stride = elements.shape
    here[:] = 0.0
    if first > 0:
        add_layer(elements, constants, first - 1, below, 0, x, first * 3 * rows * stride, spare, here)


@compiled
def relax(
    elements: Any, first: int, last: int, x: Any, below: Any, above: Any, d: Any, b: Any, inverse: Any,
    keeps: float, gains: float, scratch: Any,
) -> None:  # fmt: skip
    """One Chebyshev step in place: ``d = keeps d + gains D^-1 (b - A x)``, then ``x += d``."""
    _, rows, stride = elements.shape
    size = 3 * rows * stride
    here, there = scratch[0], scratch[1]
    kept, gained = splat(np.float32(keeps)), splat(np.float32(gains))
    _begin(elements, elements.constants32, first, x, below, here, scratch[2])
    for k in range(first, last):
        _forces_of(elements, elements.constants32, k, last, x, above, here, there)
        for span in range(elements.spans_from[k], elements.spans_from[k + 1]):
            for n in range(elements.spans[span, 0], elements.spans[span, 1], WIDTH):
                at = k * size + n
                step = kept * load(d, at) + gained * load(inverse, at) * (
                    load_as(b, at, np.float32(0.0)) - load(here, n)
                )
                store(d, at, step)
                store(x, at, load(x, at) + step)
        here, there = there, here


@compiled
def start(elements: Any, first: int, last: int, x: Any, d: Any, b: Any, inverse: Any, gains: float) -> None:
    """The first step of the same from ``x = 0``, which needs no operator."""
    _, rows, stride = elements.shape
    size = 3 * rows * stride
    gained = splat(np.float32(gains))
    for k in range(first, last):
        for span in range(elements.spans_from[k], elements.spans_from[k + 1]):
            for at in range(k * size + elements.spans[span, 0], k * size + elements.spans[span, 1], WIDTH):
                step = gained * load(inverse, at) * load_as(b, at, np.float32(0.0))
                store(d, at, step)
                store(x, at, step)


@compiled
def restrict(
    elements: Any, first: int, last: int, x: Any, b: Any, inverse: Any, coarse_shape: Any, coarse: Any, spill: Any,
    scratch: Any, row: Any,
) -> None:  # fmt: skip
    """The residual ``b - A x`` of free nodes, gathered on the coarse nodes by the transpose of interpolation.

    ``first`` is even; what belongs to the coarse plane of ``last`` goes to ``spill``. Reads x only.
    """
    planes, rows, stride = elements.shape
    size = 3 * rows * stride
    coarse_planes, coarse_rows, coarse_stride = coarse_shape
    coarse_size = 3 * coarse_rows * coarse_stride
    here, there = scratch[0], scratch[1]
    own_last = coarse_planes if last == planes else last // 2
    coarse[first // 2 * coarse_size : own_last * coarse_size] = 0.0
    spill[:] = 0.0
    _begin(elements, elements.constants32, first, x, x[max(first - 1, 0) * size :], here, scratch[2])
    for k in range(first, last):
        _forces_of(elements, elements.constants32, k, planes, x, x, here, there)
        for span in range(elements.spans_from[k], elements.spans_from[k + 1]):
            for n in range(elements.spans[span, 0], elements.spans[span, 1], WIDTH):
                at = k * size + n
                store(here, n, keep(load_as(b, at, np.float32(0.0)) - load(here, n), load(inverse, at)))
        for component in range(3):
            for r in range(coarse_rows):
                _gather_row(here[component * rows * stride :], rows, stride, 2 * r, row)
                out = (component * coarse_rows + r) * coarse_stride
                if k % 2 == 0:
                    _gather(row, stride, coarse[k // 2 * coarse_size + out :], coarse_stride, np.float32(1.0))
                else:
                    _gather(row, stride, coarse[k // 2 * coarse_size + out :], coarse_stride, np.float32(0.5))
                    up = k // 2 + 1
                    if 2 * up < last or last == planes:
                        _gather(row, stride, coarse[up * coarse_size + out :], coarse_stride, np.float32(0.5))
                    else:
                        _gather(row, stride, spill[out:], coarse_stride, np.float32(0.5))
        here, there = there, here


@compiled
def _gather_row(plane: Any, rows: int, stride: int, r: int, row: Any) -> None:
    """Row ``r`` of a plane with half of the rows beside it."""
    half = splat(np.float32(0.5))
    zero = splat(np.float32(0.0))
    for n in range(0, stride, WIDTH):
        middle = load(plane, r * stride + n) if r < rows else zero
        before = load(plane, (r - 1) * stride + n) if 0 < r <= rows else zero
        after = load(plane, (r + 1) * stride + n) if r + 1 < rows else zero
        store(row, WIDTH + n, middle + half * (before + after))


@compiled
def _gather(row: Any, stride: int, out: Any, coarse_stride: int, weight: Any) -> None:
    """Add every other place of a row (which begins after one vector of zeros) with half of the places beside it."""
    for n in range(min(coarse_stride, stride // 2 + 1)):
        at = WIDTH + 2 * n
        out[n] += weight * (row[at] + np.float32(0.5) * (row[at - 1] + row[at + 1]))


@compiled
def interpolate(
    shape: Any, first: int, last: int, x: Any, inverse: Any, coarse_shape: Any, coarse: Any, row: Any
) -> None:
    """Add the coarse level's correction to the free nodes. Leaves the first vector of ``row`` alone, as all do."""
    _, rows, stride = shape
    _, coarse_rows, coarse_stride = coarse_shape
    half = splat(np.float32(0.5))
    for k in range(first, last):
        for component in range(3):
            for r in range(rows):
                low = ((k // 2 * 3 + component) * coarse_rows + r // 2) * coarse_stride
                up = low + 3 * coarse_rows * coarse_stride if k % 2 else low
                side = coarse_stride if r % 2 else 0
                for n in range(0, coarse_stride, WIDTH):
                    near = load(coarse, low + n) + load(coarse, up + n)
                    far = load(coarse, low + side + n) + load(coarse, up + side + n)
                    store(row, WIDTH + n, half * half * (near + far))
                at = ((k * 3 + component) * rows + r) * stride
                for n in range(stride // 2):
                    if inverse[at + 2 * n] != 0.0:
                        x[at + 2 * n] += row[WIDTH + n]
                    if inverse[at + 2 * n + 1] != 0.0:
                        x[at + 2 * n + 1] += np.float32(0.5) * (row[WIDTH + n] + row[WIDTH + n + 1])


@compiled
def apply(
    elements: Any, first: int, last: int, x: Any, inverse: Any, free_only: bool, out: Any, sums: Any, scratch: Any
) -> None:
    """``out = A x`` (float64), with ``free_only`` 0 where ``inverse`` is, and ``sums[k] = x . out`` of every plane."""
    planes, rows, stride = elements.shape
    size = 3 * rows * stride
    here, there = scratch[0], scratch[1]
    _begin(elements, elements.constants64, first, x, x[max(first - 1, 0) * size :], here, scratch[2])
    for k in range(first, last):
        _forces_of(elements, elements.constants64, k, planes, x, x, here, there)
        dot = splat(0.0)
        for span in range(elements.spans_from[k], elements.spans_from[k + 1]):
            for n in range(elements.spans[span, 0], elements.spans[span, 1], WIDTH):
                at = k * size + n
                force = load(here, n)
                if free_only:
                    force = keep(force, load_as(inverse, at, 0.0))
                store(out, at, force)
                dot = dot + force * load(x, at)
        sums[k] = total(dot)
        here, there = there, here


@compiled
def advance(elements: Any, first: int, last: int, x: Any, r: Any, p: Any, q: Any, step: float, sums: Any) -> None:
    """``x += step p``, ``r -= step q``, and ``sums[k] = r . r`` of every plane."""
    size = _plane(elements)
    s = splat(step)
    for k in range(first, last):
        dot = splat(0.0)
        for span in range(elements.spans_from[k], elements.spans_from[k + 1]):
            for at in range(k * size + elements.spans[span, 0], k * size + elements.spans[span, 1], WIDTH):
                store(x, at, load(x, at) + s * load(p, at))
                left = load(r, at) - s * load(q, at)
                store(r, at, left)
                dot = dot + left * left
        sums[k] = total(dot)


@compiled
def products(elements: Any, first: int, last: int, z: Any, r: Any, q: Any, with_r: Any, with_q: Any) -> None:
    """``z . r`` and ``z . q`` of every plane."""
    size = _plane(elements)
    for k in range(first, last):
        one, other = splat(0.0), splat(0.0)
        for span in range(elements.spans_from[k], elements.spans_from[k + 1]):
            for at in range(k * size + elements.spans[span, 0], k * size + elements.spans[span, 1], WIDTH):
                value = load_as(z, at, 0.0)
                one = one + value * load(r, at)
                other = other + value * load(q, at)
        with_r[k] = total(one)
        with_q[k] = total(other)


@compiled
def turn(elements: Any, first: int, last: int, p: Any, z: Any, keeps: float) -> None:
    """``p = z + keeps p``."""
    size = _plane(elements)
    kept = splat(keeps)
    for k in range(first, last):
        for span in range(elements.spans_from[k], elements.spans_from[k + 1]):
            for at in range(k * size + elements.spans[span, 0], k * size + elements.spans[span, 1], WIDTH):
                store(p, at, load_as(z, at, 0.0) + kept * load(p, at))


@compiled
def coarsen(elements: Any, kinds: int, coarse_shape: Any, modulus: Any, kind: Any) -> None:
    """The level above: the mean modulus of eight voxels (voids count as 0), and the kind that carries most of it."""
    planes, rows, stride = elements.shape
    coarse_planes, coarse_rows, coarse_stride = coarse_shape
    weight = np.zeros(kinds + 1, np.float32)
    for k in range(coarse_planes - 1):
        for j in range(coarse_rows - 1):
            for i in range(coarse_stride):
                whole = np.float32(0.0)
                weight[:] = 0.0
                for n in range(8):
                    kk, jj, ii = 2 * k + (n >> 2), 2 * j + ((n >> 1) & 1), 2 * i + (n & 1)
                    if kk < planes - 1 and jj < rows - 1 and ii < stride:
                        at = (kk * rows + jj) * stride + ii
                        weight[elements.kind[at]] += elements.modulus[at]
                        whole += elements.modulus[at]
                if whole > 0.0:
                    at = (k * coarse_rows + j) * coarse_stride + i
                    modulus[at] = whole / np.float32(8.0)
                    kind[at] = np.argmax(weight)


@compiled
def mark_blocks(kind: Any, blocks: Any) -> None:
    """One bit for each kind that occurs in a block."""
    for block in range(blocks.size):
        bits = 0
        for n in range(block * WIDTH, (block + 1) * WIDTH):
            if kind[n]:
                bits |= 1 << (kind[n] - 1)
        blocks[block] = bits


@compiled
def find_spans(kind: Any, blocks: Any, shape: Any, spans: Any, spans_from: Any) -> int:
    """Where nodes touch voxels, in whole blocks, for :class:`Elements`; returns how many spans there are."""
    planes, rows, stride = shape
    count = 0
    for k in range(planes):
        spans_from[k] = count
        for component in range(3):
            for j in range(rows):
                for place in range(0, stride, WIDTH):
                    touched = False
                    for up in range(max(k - 1, 0), min(k + 1, planes - 1)):
                        for side in range(max(j - 1, 0), min(j + 1, rows - 1)):
                            at = (up * rows + side) * stride + place
                            touched |= blocks[at // WIDTH] != 0 or (place > 0 and kind[at - 1] != 0)
                    if touched:
                        begin = (component * rows + j) * stride + place
                        if count > spans_from[k] and spans[count - 1, 1] == begin:
                            spans[count - 1, 1] = begin + WIDTH
                        else:
                            spans[count, 0], spans[count, 1] = begin, begin + WIDTH
                            count += 1
    spans_from[planes] = count
    return count


@compiled
def add_diagonal(elements: Any, of_kind: Any, out: Any) -> None:
    """Add the diagonal of the operator to ``out``; ``of_kind[kind - 1, component]`` is a voxel's with modulus 1."""
    planes, rows, stride = elements.shape
    size = rows * stride
    for k in range(planes - 1):
        for j in range(rows - 1):
            for i in range(stride - 1):
                at = (k * rows + j) * stride + i
                kind = elements.kind[at]
                if kind:
                    for component in range(3):
                        value = elements.modulus[at] * of_kind[kind - 1, component]
                        corner = (k * 3 + component) * size + j * stride + i
                        for up in (0, 3 * size):
                            for side in (0, stride):
                                out[corner + up + side] += value
                                out[corner + up + side + 1] += value


@compiled
def invert(values: Any) -> None:
    """One over every value that is not 0, in place."""
    for n in range(values.size):
        if values[n] != 0.0:
            values[n] = np.float32(1.0) / values[n]


@compiled
def strain_energy(material: Any, modulus: Any, matrices: Any, u: Any, voxel_mm3: float, out: Any) -> None:
    """``u . K u / 2`` of every voxel over its volume; ``matrices[kind - 1]`` for a modulus of 1."""
    corner = np.empty(24)
    planes, rows, places = material.shape
    for k in range(planes):
        for j in range(rows):
            for i in range(places):
                kind = material[k, j, i]
                if kind:
                    for n in range(24):
                        m = n % 8
                        corner[n] = u[n // 8, k + m // 4, j + m // 2 % 2, i + m % 2]
                    whole = 0.0
                    for a in range(24):
                        force = 0.0
                        for b in range(24):
                            force += matrices[kind - 1, a, b] * corner[b]
                        whole += force * corner[a]
                    out[k, j, i] = 0.5 * modulus[k, j, i] * whole / voxel_mm3
