"""Distance maps around one vertebra: how far every point is from what must not be met.

The maps lie on the CT's own grid, cropped around the level and subdivided to nodes of at most
1 mm. A labelled voxel is a box, not a point: the distance of a node to a structure is the exact
distance to its nearest box, so that nothing a voxel covers is ever called free. Distances are
capped at :data:`REACH_MM`; beyond it all is equally far. The region holds the vertebra and the back
behind it; where a long oblique path leaves it before the skin, what lies beyond is met by the exact
measure of :mod:`trocar.planning.clearance`, which follows every chosen path to the skin.

The bone's own surface is drawn more finely: the signed distance of the mask is interpolated to the
nodes, and depth is the exact distance to the points where it changes sign between two of them
(shape-based interpolation, Raya & Udupa, IEEE Trans Med Imaging 9:32, 1990), because a wall read from
whole voxels is short by half a voxel and more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import ArrayLike, NDArray

from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.vertebra import Part, Vertebra
from trocar.geometry import frozen
from trocar.planning.access import Kind, kind_of
from trocar.volume import Volume

#: Distances are exact up to here; margins (10 mm at most) plus the thickest needle lie below.
REACH_MM = 14.0
#: Largest step between nodes.
NODE_MM = 1.0
#: The region: to either side of the body's centre, to its front, to its back, up and down.
SIDEWAYS_MM, FORWARD_MM, BACKWARD_MM, UPDOWN_MM = 90.0, 42.0, 140.0, 45.0

#: The surface lies at zero; exact zeros, common between equal voxels, must round the same way when mirrored.
_SURFACE_MM = 1e-3

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Maps:
    """Distances at the nodes of a grid around one level.

    ``values[c, k, j, i]``, mm: channel 0 is the depth under the vertebra's own surface (negative
    outside it), channel ``1 + n`` the distance to the nearest box of kind ``kinds[n]``. ``affine``
    takes a node's ijk to LPS; ``region`` is the crop of the CT whose voxels are the boxes.
    """

    values: Float32
    kinds: tuple[Kind, ...]
    affine: NDArray[np.float64]
    region: Volume

    @property
    def voxel_mm(self) -> NDArray[np.float64]:
        """Size of the boxes along k, j, i."""
        return np.asarray(self.region.spacing_mm)

    @property
    def node_mm(self) -> NDArray[np.float64]:
        """Step between nodes along k, j, i."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0)[::-1])

    def to_index(self) -> NDArray[np.float64]:
        """3x4: an LPS point ``(x, y, z, 1)`` to node index k, j, i."""
        return np.ascontiguousarray(np.linalg.inv(self.affine)[[2, 1, 0]])

    def sample(self, points_mm: ArrayLike, channel: int = 0) -> NDArray[np.float64]:
        """One channel at LPS points ``(..., 3)``, trilinear, clamped to the grid."""
        from scipy.ndimage import map_coordinates

        points = np.asarray(points_mm, dtype=np.float64)
        index = points.reshape(-1, 3) @ self.to_index()[:, :3].T + self.to_index()[:, 3]
        found = map_coordinates(self.values[channel], index.T, output=np.float64, order=1, mode="nearest")
        return np.asarray(found).reshape(points.shape[:-1])


@nb.njit(cache=True, parallel=True)
def _rows(mask, factor, step_mm, cap):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Square distances along each row ``(rows, n)`` to its boxes, at ``factor`` nodes a box."""
    rows, n = mask.shape
    out = np.full((rows, n * factor), np.float32(cap))
    for row in nb.prange(rows):
        for sense in range(2):
            last = -1
            for m in range(n):
                c = m if sense == 0 else n - 1 - m
                if mask[row, c]:
                    last = c
                if last >= 0:
                    for f in range(factor):
                        gap = max(abs(c + (f + 0.5) / factor - 0.5 - last) - 0.5, 0.0) * step_mm
                        out[row, c * factor + f] = min(out[row, c * factor + f], np.float32(gap * gap))
    return out


@nb.njit(cache=True, parallel=True)
def _crossings(level, step_mm, cap):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Square distances along each row ``(rows, n)`` to the points where ``level`` changes sign between nodes."""
    rows, n = level.shape
    out = np.full((rows, n), np.float32(cap))
    for row in nb.prange(rows):
        for c in range(n - 1):
            here, there = level[row, c], level[row, c + 1]
            if (here > 0.0) != (there > 0.0):
                at = c + here / (here - there)
                for q in range(c, -1, -1):
                    square = np.float32(((at - q) * step_mm) ** 2)
                    if square >= out[row, q]:
                        break
                    out[row, q] = square
                for q in range(c + 1, n):
                    square = np.float32(((at - q) * step_mm) ** 2)
                    if square >= out[row, q]:
                        break
                    out[row, q] = square
    return out


@nb.njit(cache=True, parallel=True)
def _sweep(source, factor, half, step_mm, cap):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Square distances carried along the middle axis of ``source``, at ``factor`` nodes a cell.

    ``half`` of a cell is 0.5 where what is met fills it (boxes) and 0 where it lies on its middle (points).
    """
    outer, n, inner = source.shape
    out = np.full((outer, n * factor, inner), np.float32(cap))
    reach = int(math.sqrt(cap) / step_mm) + 2
    for row in nb.prange(outer * n * factor):
        o, q = row // (n * factor), row % (n * factor)
        at = (q + 0.5) / factor - 0.5
        for c in range(max(0, int(at) - reach), min(n, int(at) + reach + 1)):
            gap = max(abs(at - c) - half, 0.0) * step_mm
            square = np.float32(gap * gap)
            if square < cap:
                for x in range(inner):
                    out[o, q, x] = min(out[o, q, x], source[o, c, x] + square)
    return out


def box_distance(mask: NDArray[np.bool_], voxel_mm: ArrayLike, factors: ArrayLike = (1, 1, 1)) -> Float32:
    """Distance of every node to the nearest box of ``mask``, mm, capped at :data:`REACH_MM`.

    Each voxel (size ``voxel_mm``, order k, j, i) holds ``factors`` nodes along each axis, at the
    centres of its equal parts; inside the mask the distance is 0.
    """
    cap = REACH_MM**2
    size, (fk, fj, fi) = np.asarray(voxel_mm, dtype=np.float64), (int(f) for f in np.asarray(factors))
    nk, nj, ni = mask.shape
    square = _rows(np.ascontiguousarray(mask).reshape(nk * nj, ni), fi, size[2], cap)
    square = _sweep(square.reshape(nk, nj, ni * fi), fj, 0.5, size[1], cap)
    square = _sweep(square.reshape(1, nk, nj * fj * ni * fi), fk, 0.5, size[0], cap)
    return np.sqrt(square, out=square).reshape(nk * fk, nj * fj, ni * fi)


def signed_depth(mask: NDArray[np.bool_], voxel_mm: ArrayLike, factors: ArrayLike = (1, 1, 1)) -> Float32:
    """Depth under the surface of ``mask`` (negative outside), mm, the surface interpolated between voxels."""
    coarse = box_distance(~mask, voxel_mm) - box_distance(mask, voxel_mm)
    level = subdivide(coarse, factors) - np.float32(_SURFACE_MM)
    size = np.asarray(voxel_mm, dtype=np.float64) / np.asarray(factors)
    square = np.min([_to_crossings(level, size, axis) for axis in range(3)], axis=0)
    return np.where(level > 0.0, np.sqrt(square), -np.sqrt(square))


def _to_crossings(level: Float32, size_mm: NDArray[np.float64], axis: int) -> Float32:
    """Square distance of every node to the nearest point where ``level`` changes sign along one axis."""
    cap = REACH_MM**2
    turned = np.ascontiguousarray(np.moveaxis(level, axis, 2))
    nk, nj, ni = turned.shape
    sk, sj, si = np.append(np.delete(size_mm, axis), size_mm[axis])
    square = _crossings(turned.reshape(nk * nj, ni), si, cap).reshape(nk, nj, ni)
    square = _sweep(square, 1, 0.0, sj, cap)
    square = _sweep(square.reshape(1, nk, nj * ni), 1, 0.0, sk, cap)
    return np.moveaxis(square.reshape(nk, nj, ni), 2, axis)


def subdivide(array: Float32, factors: ArrayLike) -> Float32:
    """``array`` interpolated linearly to ``factors`` nodes per voxel along each axis."""
    for axis, factor in enumerate(np.asarray(factors)):
        n = array.shape[axis]
        at = np.clip((np.arange(n * factor) + 0.5) / factor - 0.5, 0, n - 1)
        low = np.minimum(at.astype(int), max(n - 2, 0))
        weight = (at - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        high = np.minimum(low + 1, n - 1)
        array = np.take(array, low, axis) * (1 - weight) + np.take(array, high, axis) * weight
    return array


def level_maps(anatomy: Anatomy, level: Level) -> Maps:
    """The maps around one whole level."""
    vertebra = anatomy.vertebra(level)
    region = _within_skin(anatomy.ct.crop_around(_corners(vertebra), 0.0), anatomy.skin)
    factors = tuple(math.ceil(s / NODE_MM - 1e-6) for s in region.spacing_mm)
    joined = {kind: _joined(anatomy, level, kind, region) for kind in Kind}
    present = {kind: mask for kind, mask in joined.items() if mask.any()}
    shape = (1 + len(present), *(n * f for n, f in zip(region.shape, factors, strict=True)))
    values = np.full(shape, REACH_MM, dtype=np.float32)
    values[0] = -REACH_MM
    _fill(values[0], vertebra.mask.onto(region).array, region, factors, signed_depth)
    for channel, mask in zip(values[1:], present.values(), strict=True):
        _fill(channel, mask, region, factors, box_distance)
    return Maps(values, tuple(present), _node_affine(region, factors), region)


def _within_skin(region: Volume, skin: Volume) -> Volume:
    """The region without what lies wholly outside the body."""
    inside = skin.onto(region).array
    kept = [np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return region.crop([k[0] for k in kept], [k[-1] + 1 for k in kept]) if all(len(k) for k in kept) else region


def _fill(
    out: Float32,
    mask: NDArray[np.bool_],
    region: Volume,
    factors: tuple[int, ...],
    distance: Callable[[NDArray[np.bool_], ArrayLike, ArrayLike], Float32],
) -> None:
    """Work a channel out within reach of its mask; beyond, it stays at the cap."""
    found = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    pad = np.ceil(REACH_MM / np.asarray(region.spacing_mm)).astype(int)
    low = [max(f[0] - p, 0) for f, p in zip(found, pad, strict=True)]
    high = [min(f[-1] + 1 + p, n) for f, p, n in zip(found, pad, mask.shape, strict=True)]
    near = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    fine = tuple(slice(a * f, b * f) for a, b, f in zip(low, high, factors, strict=True))
    out[fine] = distance(mask[near], region.spacing_mm, factors)


def _corners(vertebra: Vertebra) -> NDArray[np.float64]:
    sides = ((-SIDEWAYS_MM, SIDEWAYS_MM), (-FORWARD_MM, BACKWARD_MM), (-UPDOWN_MM, UPDOWN_MM))
    local = np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 3)
    return np.asarray(vertebra.frame.origin_mm + local)


def _node_affine(region: Volume, factors: tuple[int, ...]) -> NDArray[np.float64]:
    ijk = np.asarray(factors[::-1], dtype=np.float64)
    affine = region.affine.copy()
    affine[:3, :3] /= ijk
    affine[:3, 3] += region.affine[:3, :3] @ (0.5 / ijk - 0.5)
    return frozen(affine)


def _joined(anatomy: Anatomy, level: Level, kind: Kind, region: Volume) -> NDArray[np.bool_]:
    out = np.zeros(region.shape, dtype=bool)
    for mask in masks_of(anatomy, level, kind):
        out |= mask.onto(region).array
    return out


def masks_of(anatomy: Anatomy, level: Level, kind: Kind) -> Iterable[Volume]:
    """Every mask of one kind that a needle at ``level`` must keep clear of."""
    yield from (mask for name, mask in named_masks(anatomy, level) if kind_of(name) is kind)


def named_masks(anatomy: Anatomy, level: Level) -> Iterable[tuple[str, Volume]]:
    """Every structure with its name: those labelled, the canal of each vertebra, the other vertebrae."""
    yield from anatomy.structures.items()
    for other, vertebra in anatomy.vertebrae.items():
        canal = vertebra.part(Part.CANAL)
        if canal.array.any():
            yield f"canal_{other}", canal
        if other is not level:
            yield f"vertebra_{other}", vertebra.mask
