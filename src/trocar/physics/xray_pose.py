"""How a projection changes when the volume, the source or the detector moves: analytic, in the same pass.

::

    image, gradient = line_integrals_and_gradient(volume, spacing_mm, beam, rigid_motions(beam, about_mm))

gives ``gradient[n, row, column]``, the derivative of the interpolated projection along motion ``n``. A motion is the
rate at which the beam's four vectors change with one parameter, ``[4, 3]``: source, corner, down and right, each
k, j, i. :func:`rigid_motions` writes the six of a body that is shifted and turned; for any other parameters (an
angle of the C-arm, its distance, a pose in the patient) :func:`motions_of` asks how the beam depends on them.

It is the derivative of the rule itself, ends of the ray included, not of the field it approximates; where a ray passes
from one cell to the next the rule has a kink, and the derivative is that of one side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.physics.compiled import compiled
from trocar.physics.xray import Beam, by_bands, checked, laid_out, refuse_unless_finite, vectors, wanted
from trocar.physics.xray_rays import (
    PLACE_B,
    PLACE_D,
    RAY,
    SLOPE_B,
    SLOPE_D,
    TO_PLANE,
    aim,
    box,
    clip,
    lay,
    others,
    plane_of,
)

#: Sums along a ray: the value, its slopes along b and d, and the slopes times the share of the way.
VALUE, BY_B, BY_D, BY_B_WAY, BY_D_WAY = range(5)
SUMS = 5


def line_integrals_and_gradient(
    volume: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    beam: Beam,
    motions: NDArray[np.float64],
    *,
    where: NDArray[np.bool_] | None = None,
    threads: int | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The interpolated projection ``[row, column]`` and its derivative ``[n, row, column]`` along each motion.

    ``motions`` is ``[n, 4, 3]``: rates of source, corner, down and right, k, j, i, mm per unit of the parameter.
    The other arguments are those of :func:`trocar.physics.xray.line_integrals`.
    """
    values, spacing = checked(volume, spacing_mm)
    rates = np.ascontiguousarray(motions, dtype=np.float64)
    if rates.ndim != 3 or rates.shape[1:] != (4, 3) or not np.isfinite(rates).all():
        raise ValueError(f"motions are finite and [n, 4, 3] (source, corner, down, right); these are {rates.shape}.")
    asked = wanted(where, beam)
    out = np.zeros(beam.shape, dtype=np.float32)
    gradient = np.zeros((len(rates), *beam.shape), dtype=np.float32)
    given = (*laid_out(values), spacing, *vectors(beam), asked, rates / spacing, rates, out, gradient)
    by_bands(_differentiate_rows, given, beam.shape[0], threads)
    refuse_unless_finite(out)
    return out, gradient


def rigid_motions(beam: Beam, about_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """The six motions of a rigid volume ``[6, 4, 3]``: shifts along k, j, i (per mm), then turns (per radian).

    The turns are about axes through ``about_mm`` (k, j, i, mm, in the volume's frame) along k, j and i: each takes
    the next axis of the cycle k, j, i towards the one after it (about k: j towards i). The beam moves the other way.
    """
    place = np.stack((beam.source_mm - about_mm, beam.corner_mm - about_mm, beam.down_mm, beam.right_mm))
    rates = np.zeros((6, 4, 3))
    for axis in range(3):
        rates[axis, :2, axis] = -1.0
        first, second = (axis + 1) % 3, (axis + 2) % 3
        rates[3 + axis, :, second] = -place[:, first]
        rates[3 + axis, :, first] = place[:, second]
    return rates


def motions_of(
    beam_at: Callable[[NDArray[np.float64]], Beam], at: NDArray[np.float64], steps: Sequence[float]
) -> NDArray[np.float64]:
    """Motions ``[n, 4, 3]`` along the parameters of any beam, by central differences of its four vectors.

    ``beam_at(parameters)`` is the beam, ``at`` where the rates are wanted, ``steps`` how far to either side to look
    along each parameter. The vectors are smooth, so that the relative error is about the square of the step.
    """
    rates = np.zeros((len(at), 4, 3))
    for n, step in enumerate(steps):
        shift = np.zeros(len(at))
        shift[n] = step
        ahead, behind = (np.stack(vectors(beam_at(at + sign * shift))) for sign in (1.0, -1.0))
        rates[n] = (ahead - behind) / (2.0 * step)
    return rates


@compiled
def _differentiate_rows(  # type: ignore[no-untyped-def]
    flat, shape, strides, spacing, source, corner, down, right, asked, rates, rates_mm, out, gradient, first, last
):
    """Fill rows ``first`` to ``last``; ``rates`` are in voxels."""
    start, step, low_high = source / spacing, np.empty(3), box(shape, False)
    ray, sums, edge = np.empty(RAY), np.empty(SUMS), np.empty(2)
    by_source, by_pixel = np.empty(3), np.empty(3)
    for r in range(first, last):
        for c in range(out.shape[1]):
            if not asked[r, c]:
                continue
            length = aim(corner, down, right, source, spacing, r, c, step)
            near, far = clip(start, step, low_high[0], low_high[1])
            if near >= far:
                continue
            a, p, q = lay(start, step, near, far, length, ray)
            _sum_up(flat, shape, strides, start[a], step[a], ray, a, p, q, sums, edge)
            _by_ends(start, step, ray, a, sums, by_source, by_pixel)
            # what is gained or lost where the ray enters and leaves
            entering, leaving = (edge[0], edge[1]) if step[a] > 0.0 else (edge[1], edge[0])
            along = 1.0 if step[a] > 0.0 else -1.0
            _by_cut(start, step, low_high, a, near, -along * entering, by_source, by_pixel)
            _by_cut(start, step, low_high, a, far, along * leaving, by_source, by_pixel)
            out[r, c] = sums[VALUE] * ray[TO_PLANE]
            for n in range(len(rates)):
                total, stretch = 0.0, 0.0
                for axis in range(3):
                    pixel = rates[n, 1, axis] + r * rates[n, 2, axis] + c * rates[n, 3, axis]
                    total += by_source[axis] * rates[n, 0, axis] + by_pixel[axis] * pixel
                    way = pixel - rates[n, 0, axis]
                    stretch += way * step[axis] * spacing[axis] ** 2
                # mm to a plane: length over steps along a
                of_a = rates[n, 1, a] + r * rates[n, 2, a] + c * rates[n, 3, a] - rates[n, 0, a]
                longer = stretch / length**2 - of_a / step[a]
                gradient[n, r, c] = ray[TO_PLANE] * (total + sums[VALUE] * longer)


@compiled
def _sum_up(flat, shape, strides, start, step, ray, a, p, q, sums, edge):  # type: ignore[no-untyped-def]
    """Add up values and slopes over the planes from ``p`` to ``q``; ``edge`` takes the values at first and last."""
    b, d = others(a)
    n0, n1 = plane_of(p, shape[a]), plane_of(q, shape[a])
    most_i, most_j = max(shape[b] - 2, 0), max(shape[d] - 2, 0)
    across, beside = np.uint64(strides[b]), np.uint64(strides[d])
    sums[:] = 0.0
    for n in range(n0, n1 + 1):
        weight = min(q, n + 0.5) - max(p, n - 0.5)
        x, y = ray[PLACE_B] + n * ray[SLOPE_B], ray[PLACE_D] + n * ray[SLOPE_D]
        # only the samples at the border lie outside, and there they do not follow the ray
        inside_x, inside_y = 0.0 <= x <= shape[b] - 1.0, 0.0 <= y <= shape[d] - 1.0
        x, y = min(max(x, 0.0), shape[b] - 1.0), min(max(y, 0.0), shape[d] - 1.0)
        i, j = min(int(x), most_i), min(int(y), most_j)
        u, v = x - i, y - j
        at = np.uint64(n * strides[a] + i * strides[b] + j * strides[d])
        f00, f01 = flat[at], flat[at + beside]
        f10, f11 = flat[at + across], flat[at + across + beside]
        value = (1.0 - u) * ((1.0 - v) * f00 + v * f01) + u * ((1.0 - v) * f10 + v * f11)
        by_b = weight * ((1.0 - v) * (f10 - f00) + v * (f11 - f01)) if inside_x else 0.0
        by_d = weight * ((1.0 - u) * (f01 - f00) + u * (f11 - f10)) if inside_y else 0.0
        way = (n - start) / step
        sums[VALUE] += weight * value
        sums[BY_B] += by_b
        sums[BY_D] += by_d
        sums[BY_B_WAY] += way * by_b
        sums[BY_D_WAY] += way * by_d
        if n == n0:
            edge[0] = value
        if n == n1:
            edge[1] = value


@compiled
def _by_ends(start, step, ray, a, sums, by_source, by_pixel):  # type: ignore[no-untyped-def]
    """Derivative of the sum by the source's and the pixel's place, as the samples slide in their planes.

    A sample is a share w of the way from the source s to the pixel e, w = (n - s_a) / (e_a - s_a): it lies at
    s_b + w (e_b - s_b), which changes by 1 - w with s_b, by w with e_b, and by -slope times as much with s_a and e_a.
    """
    b, d = others(a)
    by_source[b], by_pixel[b] = sums[BY_B] - sums[BY_B_WAY], sums[BY_B_WAY]
    by_source[d], by_pixel[d] = sums[BY_D] - sums[BY_D_WAY], sums[BY_D_WAY]
    by_source[a] = -ray[SLOPE_B] * by_source[b] - ray[SLOPE_D] * by_source[d]
    by_pixel[a] = -ray[SLOPE_B] * by_pixel[b] - ray[SLOPE_D] * by_pixel[d]


@compiled
def _by_cut(start, step, low_high, a, t, value, by_source, by_pixel):  # type: ignore[no-untyped-def]
    """Add the change of where the ray is cut, a share ``t`` of the way, times the value there.

    The place along ``a`` is s_a + t (e_a - s_a), and t follows the face that cuts: t = (face - s_c) / (e_c - s_c).
    """
    by_source[a] += value * (1.0 - t)
    by_pixel[a] += value * t
    for axis in range(3):
        if step[axis] != 0.0:
            for side in range(2):
                if (low_high[side][axis] - start[axis]) / step[axis] == t:
                    by_source[axis] -= value * step[a] * (1.0 - t) / step[axis]
                    by_pixel[axis] -= value * step[a] * t / step[axis]
                    return
