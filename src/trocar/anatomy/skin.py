"""Where the patient ends: the body without table, clothes and wires, and the way out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from trocar.geometry import Vector, frozen, unit
from trocar.volume import Volume

#: HU above which a voxel may be body. Clothes and foam (-950 to -400 HU) stay below it, all tissue but lung above.
BODY_HU = -350.0

#: HU of the skin's surface, half-way between air (-1000) and water (0): where a sharp edge really lies.
SKIN_HU = -500.0

#: Above this a thin mat and the skin it touches are still apart: the gap between them fills to -450 to -250 HU
#: by partial volume (measured on a chest scan of 0.7 mm voxels), fat stays near -100.
APART_HU = -250.0

#: Air thinner than this (HU) is room air or foam (-1000 to -940); lung in inspiration is -870 to -700. A space that
#: meets the border of the scan is open to the room where more than half of it is so thin, and a cut lung where not.
ROOM_HU = -930.0

#: A smaller space (square mm in one slice) is a fold or a cleft beside an arm, not lung.
LUNG_MM2 = 500.0

#: Voxels of about this size (mm) decide what belongs to the body; the edge is drawn at full resolution.
COARSE_MM = 2.0

#: Free-lying sheets thinner than this (mm) are table or blanket. Table tops are 1 to 4 mm of carbon or plastic.
SHEET_MM = 9.0

#: Mats that lie on the skin and are thinner than this (mm) are peeled off it.
MAT_MM = 3.5

#: A body surface this near (mm) to the border of the scan is the border, not skin.
BORDER_MM = 2.5

#: Slices whose edge is drawn in one go.
SLAB = 8

#: Rays are walked in steps of this many voxels.
STEP_VOXELS = 0.25


def body_mask(ct: Volume) -> Volume:
    """The body without table, clothes, wires and the air around it; unit "mask", on the CT's grid.

    Lungs and bowel gas are inside, also where the field of view cuts a lung. Only the largest piece
    is kept, so an arm that lies apart is left out. Slices are the array's own (axis k). Where the
    field of view cuts the body, the mask ends at that border, which is not skin: see :func:`skin_exit`.
    """
    bins = [_bins(n, mm) for n, mm in zip(ct.shape, ct.spacing_mm, strict=True)]
    hu = _block_mean(ct.array, bins)
    spacing_mm = [mm * n / m for mm, n, m in zip(ct.spacing_mm, ct.shape, hu.shape, strict=True)]
    near, inside = _outline(hu, spacing_mm)
    mask = _spread(inside, bins)
    near = _spread(near, bins)
    for k in range(0, ct.shape[0], SLAB):  # slab by slab: a tenth of the memory, and it stays in the cache
        slab = slice(k, k + SLAB)
        mask[slab] |= _edge(ct.array[slab], mask[slab], ct.spacing_mm) & near[slab]
    return Volume(mask, ct.affine, ct.frame_of_reference, "mask")


def _edge(hu: NDArray[np.floating[Any]], inside: NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> NDArray[np.bool_]:
    """Tissue of some slices at full resolution, without the mats that lie on the skin."""
    return _grown(_opened((hu > APART_HU) | inside, spacing_mm)) & (hu > BODY_HU)


def scanned_region(ct: Volume) -> NDArray[np.bool_]:
    """The part ``[j, i]`` of the slices that the scanner reconstructed.

    A disc where nothing but air (or padding) lies beyond the circle inscribed in the slices, as
    most scanners leave it; otherwise everything.
    """
    return _scanned(ct.array, ct.spacing_mm)


@dataclass(frozen=True)
class SkinExit:
    """Where a ray leaves the body for good.

    ``through_skin`` is False where it left through the border of the scan: the true skin lies
    further out, out of view. ``depth_mm`` is measured from the start of the ray.
    """

    point_mm: Vector
    depth_mm: float
    through_skin: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "point_mm", frozen(self.point_mm))


def skin_exit(ct: Volume, skin: Volume, start_mm: ArrayLike, direction: ArrayLike) -> SkinExit:
    """Follow a ray from inside the body (LPS mm) out through the skin, to a fraction of a voxel.

    ``skin`` is :func:`body_mask` of ``ct``. The surface lies where the interpolated CT passes
    -500 HU next to the mask's edge; where something lies on the skin, at the mask's edge itself.
    Raises ``ValueError`` when the start is not inside the body.
    """
    depth, through = skin_exits(ct, skin, start_mm, direction)
    start = np.asarray(start_mm, dtype=np.float64)
    return SkinExit(start + float(depth) * unit(direction), float(depth), bool(through))


def skin_exits(
    ct: Volume, skin: Volume, starts_mm: ArrayLike, directions: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Depth (mm) and ``through_skin`` of many rays; starts and directions ``(..., 3)`` broadcast."""
    starts, steps = np.broadcast_arrays(np.asarray(starts_mm, np.float64), np.asarray(directions, np.float64))
    flat = starts.reshape(-1, 3)
    for stray in flat[~_holds(skin, flat)]:
        raise ValueError(f"start_mm={np.round(stray, 1).tolist()} (LPS mm) is not inside the body.")
    region = scanned_region(ct)
    exits = [_exit(ct, skin, region, s, unit(d)) for s, d in zip(flat, steps.reshape(-1, 3), strict=True)]
    depth = np.array([e[0] for e in exits], dtype=np.float64).reshape(starts.shape[:-1])
    return depth, np.array([e[1] for e in exits], dtype=bool).reshape(starts.shape[:-1])


def _exit(ct: Volume, skin: Volume, region: NDArray[np.bool_], start: Vector, direction: Vector) -> tuple[float, bool]:
    """Depth along one ray and whether it ended in skin."""
    voxel_mm = 1.0 / float(np.linalg.norm(ct.inverse_affine[:3, :3] @ direction))
    step_mm = STEP_VOXELS * voxel_mm
    reach_mm = float(np.linalg.norm(np.multiply(ct.shape, ct.spacing_mm)))
    depths = np.arange(0.0, reach_mm + step_mm, step_mm)
    inside = _holds(skin, start + depths[:, None] * direction)
    last_mm = float(depths[np.flatnonzero(inside)[-1]])
    edge_mm = last_mm + step_mm / 2.0
    if not _in_view(start + (last_mm + step_mm) * direction, ct, region):
        return edge_mm, False
    return _crossing(ct, start, direction, edge_mm, voxel_mm), True


def _holds(mask: Volume, points_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each point's nearest voxel is in the mask; a point off the grid is not."""
    index = np.floor(mask.index_kji(points_mm) + 0.5).astype(int)
    on_grid = np.all((index >= 0) & (index < mask.shape), axis=-1)
    k, j, i = np.where(on_grid[:, None], index, 0).T
    return on_grid & (mask.array[k, j, i] != 0)


def _in_view(point_mm: Vector, ct: Volume, region: NDArray[np.bool_]) -> bool:
    """Whether scanned voxels lie all around a point, within its slice, to ``BORDER_MM``."""
    k, j, i = ct.index_kji(point_mm)
    _, dj, di = BORDER_MM / np.asarray(ct.spacing_mm)
    around = np.array([[j - dj, i], [j + dj, i], [j, i - di], [j, i + di]])
    near = np.rint(around).astype(int)
    if not -0.5 <= k <= ct.shape[0] - 0.5 or np.any(near < 0) or np.any(near >= region.shape):
        return False
    return bool(np.all(region[near[:, 0], near[:, 1]]))


def _crossing(ct: Volume, start: Vector, direction: Vector, edge_mm: float, voxel_mm: float) -> float:
    """Depth of the outward crossing of ``SKIN_HU`` nearest to the mask's edge, else the edge."""
    depths = edge_mm + voxel_mm * np.linspace(-1.5, 1.5, 61)
    hu = ct.sample(start + depths[:, None] * direction, outside=-1000.0)
    falls = np.flatnonzero((hu[:-1] > SKIN_HU) & (hu[1:] <= SKIN_HU))
    if not falls.size:
        return edge_mm
    at = depths[falls] + (depths[1] - depths[0]) * (hu[falls] - SKIN_HU) / (hu[falls] - hu[falls + 1])
    return float(at[np.argmin(np.abs(at - edge_mm))])


def _outline(hu: NDArray[np.float32], spacing_mm: list[float]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """On the coarse grid: where body may lie, and where it certainly does (lungs and gas included)."""
    region = _scanned(hu, spacing_mm)
    if not region.all():
        region = ndimage.binary_erosion(region, border_value=1)  # blocks on the circle are part padding
    least = LUNG_MM2 / (spacing_mm[1] * spacing_mm[2])
    # lungs first, or a thin chest wall would be taken for a sheet
    solid = _with_spaces(hu > BODY_HU, hu, region, least, lungs_only=True)
    half = [max(1, int(SHEET_MM / 2.0 / mm)) for mm in spacing_mm]
    # beyond the border of the scan nothing is known: body cut there is neither thin nor pulled back from it
    thick = ndimage.minimum_filter(solid | ~region, size=(1, 2 * half[1] + 1, 2 * half[2] + 1), mode="constant", cval=1)
    core = _largest(thick & region)
    near = ndimage.maximum_filter(core, size=(1, 2 * half[1] + 3, 2 * half[2] + 3))
    filled = _with_spaces(solid & near, hu, region, least, lungs_only=False)
    inside = ndimage.minimum_filter(filled | ~region, size=(1, 3, 3), mode="constant", cval=1) & filled
    return near | inside, inside


def _scanned(array: NDArray[np.generic], spacing_mm: tuple[float, ...] | list[float]) -> NDArray[np.bool_]:
    _, rows, columns = array.shape
    y = (np.arange(rows) - (rows - 1) / 2.0) * spacing_mm[1]
    x = (np.arange(columns) - (columns - 1) / 2.0) * spacing_mm[2]
    radius_mm = np.hypot(y[:, None], x[None, :])
    edge_mm = min(rows * spacing_mm[1], columns * spacing_mm[2]) / 2.0
    beyond = radius_mm > edge_mm + max(spacing_mm[1:])
    if not beyond.any() or float(np.max(array[:, beyond])) > ROOM_HU:
        return np.ones((rows, columns), dtype=bool)
    return radius_mm <= edge_mm


def _with_spaces(
    mask: NDArray[np.bool_], hu: NDArray[np.float32], region: NDArray[np.bool_], least: float, *, lungs_only: bool
) -> NDArray[np.bool_]:
    """``mask`` and, slice by slice, the spaces in it: those filled with lung, or all but the room's air.

    A lung has at least ``least`` voxels in the slice.
    """
    in_slice = np.zeros((3, 3, 3), dtype=bool)
    in_slice[1] = ndimage.generate_binary_structure(2, 1)
    pieces, count = ndimage.label(~mask & region, in_slice)
    thin = np.bincount(pieces[hu < ROOM_HU], minlength=count + 1)
    airy = np.bincount(pieces[hu < BODY_HU], minlength=count + 1)
    kept = (2 * thin < airy) & (airy > least)
    if not lungs_only:
        closed = np.ones(count + 1, dtype=bool)
        closed[pieces[:, region & ~ndimage.binary_erosion(region)].ravel()] = False
        kept |= closed
    kept[0] = False
    return (mask & region) | kept[pieces]


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected piece; pieces of the very same size are all kept, so that no order decides."""
    pieces, count = ndimage.label(mask)
    if not count:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return (sizes == sizes.max())[pieces]


def _opened(mask: NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> NDArray[np.bool_]:
    """What an in-plane square wider than ``MAT_MM`` can reach while it stays inside ``mask``."""
    out = mask
    widths = {axis: min(int(MAT_MM / spacing_mm[axis]) + 1, mask.shape[axis]) for axis in (1, 2)}
    for axis, width in widths.items():
        out = _slid(out, axis, width, np.logical_and)
    for axis, width in widths.items():
        out = _slid(_padded(out, axis, width - 1), axis, width, np.logical_or)
    return out


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``mask`` and its eight neighbours in the slice."""
    out = mask
    for axis in (1, 2):
        out = _slid(_padded(out, axis, 1), axis, 3, np.logical_or)
    return out


def _padded(mask: NDArray[np.bool_], axis: int, by: int) -> NDArray[np.bool_]:
    return np.pad(mask, [(by, by) if a == axis else (0, 0) for a in range(3)])


def _slid(mask: NDArray[np.bool_], axis: int, width: int, join: np.ufunc) -> NDArray[np.bool_]:
    """``join`` over every window of ``width`` voxels along an axis, by doubling; shorter by ``width`` - 1."""
    out, have = np.moveaxis(mask, axis, 0), 1
    while have < width:
        step = min(have, width - have)
        out = join(out[:-step], out[step:])
        have += step
    return np.moveaxis(out, 0, axis)


def _bins(n: int, spacing_mm: float) -> NDArray[np.intp]:
    """Edges of nearly equal bins over ``n`` voxels, the same read from either end."""
    count = min(n, max(1, round(n * spacing_mm / COARSE_MM)))
    if n % 2 and count % 2 == 0:
        count -= 1  # an odd axis has a middle voxel, which an even number of bins would have to split
    first = np.arange(count // 2 + 1) * n // count
    last = n - first[::-1]
    return np.concatenate([first, last if count % 2 else last[1:]])


def _block_mean(array: NDArray[np.generic], bins: list[NDArray[np.intp]]) -> NDArray[np.float32]:
    """Mean over the blocks that the bins (one list of edges per axis) cut out."""
    out: NDArray[np.float32] = np.asarray(array, dtype=np.float32)
    for axis in (2, 1, 0):
        counts = np.diff(bins[axis]).astype(np.float32)
        if len(counts) < out.shape[axis]:
            shape = [-1 if a == axis else 1 for a in range(3)]
            out = (np.add.reduceat(out, bins[axis][:-1], axis=axis) / counts.reshape(shape)).astype(np.float32)
    return out


def _spread(coarse: NDArray[np.bool_], bins: list[NDArray[np.intp]]) -> NDArray[np.bool_]:
    """Each coarse voxel over the fine voxels of its bin."""
    out = coarse
    for axis in (0, 1, 2):
        out = np.repeat(out, np.diff(bins[axis]), axis=axis)
    return out
