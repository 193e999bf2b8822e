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

#: Air thinner than this (HU) is room air; lung in inspiration is -870 to -700, foam -970 to -880. A space of which
#: more than half is so thin is not lung.
ROOM_HU = -930.0

#: A smaller space (square mm in one slice) is a fold or a cleft beside an arm, not lung.
LUNG_MM2 = 500.0

#: Share of a lung that lies within the convex hull of the trunk's core, at least. Measured on a chest scan narrowed
#: to circles of 180 and 155 mm about the spine: lung 0.46 to 1, foam under the back 0 to 0.03.
LUNG_SHARE = 0.25

#: Sides of the polygon that stands for the convex hull of a slice: at 16 it is 2 % too large.
HULL_SIDES = 16

_IN_SLICE = np.zeros((3, 3, 3), dtype=bool)
_IN_SLICE[1] = ndimage.generate_binary_structure(2, 1)

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
    Raises ``ValueError`` for a volume that is not in Hounsfield units.
    """
    if ct.unit != "HU":
        raise ValueError(f"unit={ct.unit!r} of the volume: the body is found in a CT in HU only.")
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


@dataclass(frozen=True, eq=False)
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
    Raises ``ValueError`` when the start is not inside the body, or the mask is not on the CT's grid.
    """
    depth, through = skin_exits(ct, skin, start_mm, direction)
    start = np.asarray(start_mm, dtype=np.float64)
    return SkinExit(start + float(depth) * unit(direction), float(depth), bool(through))


def skin_exits(
    ct: Volume, skin: Volume, starts_mm: ArrayLike, directions: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Depth (mm) and ``through_skin`` of many rays; starts and directions ``(..., 3)`` broadcast.

    See :func:`skin_exit`, also for what is refused; it takes about a millisecond a ray.
    """
    if not ct.same_grid(skin):
        raise ValueError("the skin mask lies on another grid than the CT: make it with body_mask(ct).")
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
    tissue = (hu > BODY_HU) & region
    half = [max(1, int(SHEET_MM / 2.0 / mm)) for mm in spacing_mm[1:]]
    least = LUNG_MM2 / (spacing_mm[1] * spacing_mm[2])
    # lungs first, or a thin chest wall would be taken for a sheet
    solid = tissue | _lungs(region & ~tissue, _core(tissue, region, half), hu, least)
    near = ndimage.maximum_filter(_core(solid, region, half), size=(1, 2 * half[0] + 3, 2 * half[1] + 3))
    filled = _filled(solid & near, region)
    inside = ndimage.minimum_filter(filled | ~region, size=(1, 3, 3), mode="constant", cval=1) & filled
    return near | inside, inside


def _core(solid: NDArray[np.bool_], region: NDArray[np.bool_], half: list[int]) -> NDArray[np.bool_]:
    """The largest piece of what is left when ``solid`` is worn down in the slice by ``half`` voxels (rows, columns)."""
    # beyond the border of the scan nothing is known: body cut there is not thin
    size = (1, 2 * half[0] + 1, 2 * half[1] + 1)
    return _largest(ndimage.minimum_filter(solid | ~region, size=size, mode="constant", cval=1) & region)


def _lungs(
    spaces: NDArray[np.bool_], core: NDArray[np.bool_], hu: NDArray[np.float32], least: float
) -> NDArray[np.bool_]:
    """The spaces in a slice that are lung: at least ``least`` voxels, too dense for room air, and within the trunk.

    Foam under the patient can be as dense as lung, but lies outside the convex hull of the core.
    """
    pieces, count = ndimage.label(spaces, _IN_SLICE)
    size = np.bincount(pieces.ravel(), minlength=count + 1)
    thin = np.bincount(pieces[hu < ROOM_HU], minlength=count + 1)
    lung = (2 * thin < size) & (size > least)
    lung[0] = False
    voxels = np.argwhere(lung[pieces])
    piece = pieces[tuple(voxels.T)]
    within = np.bincount(piece, _in_hull(voxels, core), minlength=count + 1)
    return (lung & (within > LUNG_SHARE * size))[pieces]


def _in_hull(voxels: NDArray[np.intp], core: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether voxels ``(n, 3)`` lie in the hull of their slice's core, a polygon of ``HULL_SIDES`` sides."""
    rows, columns = core.shape[1:]
    ends = np.stack([core.argmax(axis=2), columns - 1 - core[:, :, ::-1].argmax(axis=2)], axis=-1)
    empty = ~core.any(axis=2)
    inside = np.ones(len(voxels), dtype=bool)
    for angle in 2.0 * np.pi * np.arange(HULL_SIDES) / HULL_SIDES:
        y, x = np.sin(angle), np.cos(angle)
        reach = np.max(x * ends + y * np.arange(rows)[:, None], axis=-1)
        support = np.where(empty, -np.inf, reach).max(axis=1)
        inside &= x * voxels[:, 2] + y * voxels[:, 1] <= support[voxels[:, 0]] + 1e-6
    return inside


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


def _filled(mask: NDArray[np.bool_], region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``mask`` and the spaces of each slice that do not meet the border of the scan."""
    pieces, count = ndimage.label(~mask & region, _IN_SLICE)
    closed = np.ones(count + 1, dtype=bool)
    closed[0] = False
    closed[pieces[:, region & ~ndimage.binary_erosion(region)].ravel()] = False
    return mask | closed[pieces]


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
        out = slid(out, axis, width, np.logical_and)
    for axis, width in widths.items():
        out = slid(_padded(out, axis, width - 1), axis, width, np.logical_or)
    return out


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``mask`` and its eight neighbours in the slice."""
    out = mask
    for axis in (1, 2):
        out = slid(_padded(out, axis, 1), axis, 3, np.logical_or)
    return out


def _padded(mask: NDArray[np.bool_], axis: int, by: int) -> NDArray[np.bool_]:
    return np.pad(mask, [(by, by) if a == axis else (0, 0) for a in range(3)])


def slid(mask: NDArray[np.bool_], axis: int, width: int, join: np.ufunc) -> NDArray[np.bool_]:
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
