"""Where cement lies in a vertebral body: ideal shapes on the model's grid, grown to a stated volume.

A region grows voxel by voxel from its middle in the order of an ellipsoid's size, so that its volume is met exactly,
a larger filling contains every smaller one of the same kind, and left mirrors right. Cement never enters the shell: a
stated depth under the surface of the body. Where an injection takes it is for :mod:`trocar.injection.goals` to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_fill_holes, distance_transform_edt

from trocar.anatomy.vertebra import Part
from trocar.geometry import Side, Vector, unit
from trocar.mechanics.model import BoneModel
from trocar.planning.candidates import TargetZone

#: Cement stays this far under the surface of the body: the cortex and the voxel it shares with what lies beside it.
SHELL_MM = 2.0
#: A lobe on one side has its middle at this share of the way from the midline to the side wall.
ASIDE_SHARE = 0.5
#: Half the width of the column in which the middle height of the body is looked for, mm.
COLUMN_MM = 5.0
#: Sizes closer than this are equal, mm: rounding must not tell left from right.
TIE_MM = 1e-6

Mask = NDArray[np.bool_]
Sizes = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Filling:
    """A region of cement: ``region[k, j, i]`` on the model's grid, ``percent`` of the body's volume.

    ``shell_mm`` is how far it stays under the surface of the body.
    """

    name: str
    region: Mask
    ml: float
    percent: float
    shell_mm: float = SHELL_MM


def central(
    model: BoneModel, *, ml: float | None = None, percent: float | None = None, shell_mm: float = SHELL_MM
) -> Filling:
    """One ellipsoid at the midline, its middle where the tip belongs: a third of the body's depth from the front."""
    return _ellipsoids("central", model, [0.0], 1.0, (ml, percent), shell_mm)


def one_sided(
    model: BoneModel, side: Side, *, ml: float | None = None, percent: float | None = None, shell_mm: float = SHELL_MM
) -> Filling:
    """One lobe half-way between the midline and the wall of one side; a large one crosses the midline."""
    return _ellipsoids(f"one-sided, {side.value}", model, [side.sign * ASIDE_SHARE], 0.5, (ml, percent), shell_mm)


def two_sided(
    model: BoneModel, *, ml: float | None = None, percent: float | None = None, shell_mm: float = SHELL_MM
) -> Filling:
    """Two lobes of one size, each half-way between the midline and the wall of its side."""
    return _ellipsoids("two-sided", model, [-ASIDE_SHARE, ASIDE_SHARE], 0.5, (ml, percent), shell_mm)


def filled(
    name: str,
    model: BoneModel,
    size: Sizes,
    *,
    ml: float | None = None,
    percent: float | None = None,
    shell_mm: float = SHELL_MM,
) -> Filling:
    """The part of the body where ``size`` (mm, ``[k, j, i]``) is least, up to a volume.

    Give the volume either in ml or in percent of the body. It is met to within one voxel. Raises ``ValueError`` for a
    volume that the body cannot hold within its shell.
    """
    body, voxel_ml = body_of(model), model.solid.voxel_mm3 / 1000.0
    whole_ml = float(body.sum()) * voxel_ml
    wanted_ml = _volume_ml(ml, percent, whole_ml)
    room = inside(model, shell_mm)
    room_ml = float(room.sum()) * voxel_ml
    if not 0.0 < wanted_ml <= room_ml:
        raise ValueError(
            f"{wanted_ml:.2f} ml do not fit: the body of {model.level} ({whole_ml:.1f} ml) holds up to "
            f"{room_ml:.2f} ml inside a shell of {shell_mm:g} mm."
        )
    region = _least(size, room, _midline_distance(model, body), round(wanted_ml / voxel_ml))
    got_ml = float(region.sum()) * voxel_ml
    return Filling(name, region, got_ml, 100.0 * got_ml / whole_ml, shell_mm)


def body_of(model: BoneModel) -> Mask:
    """The vertebral body with its holes filled, ``[k, j, i]``; raises ``ValueError`` for a model without one."""
    body = np.asarray(binary_fill_holes(model.parts == Part.BODY))
    if not body.any():
        raise ValueError(f"the model of {model.level} has no vertebral body: no part is marked as body.")
    return body


def inside(model: BoneModel, shell_mm: float = SHELL_MM) -> Mask:
    """Where the body is deeper than ``shell_mm``; the depth of a voxel is that of its middle."""
    if not (np.isfinite(shell_mm) and shell_mm >= 0.0):
        raise ValueError(f"shell_mm={shell_mm} must be zero or more millimetres.")
    return deeper(body_of(model), model.solid.spacing_mm, shell_mm)


def deeper(body: Mask, spacing_mm: tuple[float, float, float], shell_mm: float) -> Mask:
    """The voxels of a mask whose middle lies deeper than ``shell_mm`` under its surface."""
    # the transform gives the distance to the nearest middle outside; the surface lies half a voxel before it
    depth = distance_transform_edt(np.pad(body, 1), sampling=spacing_mm)[1:-1, 1:-1, 1:-1]
    return np.asarray(depth - 0.5 * min(spacing_mm) > shell_mm)


def middles_mm(model: BoneModel) -> tuple[Sizes, Sizes, Sizes]:
    """Open grids of the voxels' middles along k, j, i, mm from the box's corner."""
    k, j, i = (
        np.float64(h) * (np.arange(n) + 0.5) for n, h in zip(model.solid.shape, model.solid.spacing_mm, strict=True)
    )
    return k[:, None, None], j[None, :, None], i[None, None, :]


def ellipsoid_mm(model: BoneModel, centre_mm: ArrayLike, ratio: ArrayLike) -> Sizes:
    """Size ``[k, j, i]`` of the ellipsoid through each voxel: its half axis along the longest direction, mm.

    ``centre_mm`` (k, j, i from the box's corner) is its middle, ``ratio`` its axes along k, j, i to one another.
    """
    shape = np.asarray(ratio, np.float64) / np.max(ratio)
    away = (
        ((x - c) / r) ** 2 for x, c, r in zip(middles_mm(model), np.asarray(centre_mm, np.float64), shape, strict=True)
    )
    return np.sqrt(sum(away, np.zeros(model.solid.shape)))


def index_mm(model: BoneModel, point_mm: ArrayLike) -> Vector:
    """An LPS point in the model's box: mm along k, j, i from its corner."""
    ijk = np.linalg.inv(model.affine) @ np.append(np.asarray(point_mm, np.float64), 1.0)
    return (ijk[2::-1] + 0.5) * np.asarray(model.solid.spacing_mm)


def direction_of(model: BoneModel, way: ArrayLike) -> Vector:
    """An LPS direction as a unit vector along k, j, i of the model."""
    axes = model.affine[:3, :3] / np.linalg.norm(model.affine[:3, :3], axis=0)
    return unit((np.asarray(way, np.float64) @ axes)[::-1])


def _ellipsoids(
    name: str,
    model: BoneModel,
    aside: Sequence[float],
    width: float,
    volume: tuple[float | None, float | None],
    shell_mm: float,
) -> Filling:
    """Ellipsoids of one size at shares ``aside`` of the half width, shaped as the body but ``width`` times as wide."""
    extent = _extent_mm(model)
    ratio = (extent[:, 1] - extent[:, 0]) * (1.0, 1.0, width)
    size = np.minimum.reduce([ellipsoid_mm(model, _place_mm(model, a, shell_mm), ratio) for a in aside])
    return filled(name, model, size, ml=volume[0], percent=volume[1], shell_mm=shell_mm)


def _place_mm(model: BoneModel, aside: float, shell_mm: float) -> Vector:
    """A third of the depth from the front, ``aside`` of the half width from the midline, at the body's mid height."""
    (_, _), (front, back), (right, left) = _extent_mm(model)
    j = front + TargetZone().ideal_depth * (back - front)
    i = 0.5 * (right + left) + aside * 0.5 * (left - right)
    kk, jj, ii = middles_mm(model)
    column = inside(model, shell_mm) & (np.abs(jj - j) <= COLUMN_MM) & (np.abs(ii - i) <= COLUMN_MM)
    if not column.any():
        raise ValueError(
            f"no room for cement in the body of {model.level} inside a shell of {shell_mm:g} mm at its anterior-middle "
            "third: take a thinner shell."
        )
    return np.array([np.broadcast_to(kk, column.shape)[column].mean(), j, i])


def _extent_mm(model: BoneModel) -> Sizes:
    """First and last face of the body along k, j, i, ``(3, 2)``, mm from the box's corner."""
    where = np.argwhere(body_of(model))
    return np.stack([where.min(axis=0), where.max(axis=0) + 1], axis=1) * np.asarray(model.solid.spacing_mm)[:, None]


def _midline_distance(model: BoneModel, body: Mask) -> Sizes:
    """Distance of every voxel's middle from the middle of the body's width, mm, ``[1, 1, i]``."""
    where = np.flatnonzero(body.any(axis=(0, 1)))
    return np.abs(np.arange(body.shape[2]) - 0.5 * (where[0] + where[-1]))[None, None] * model.solid.spacing_mm[2]


def _volume_ml(ml: float | None, percent: float | None, whole_ml: float) -> float:
    if (ml is None) == (percent is None):
        raise ValueError(f"give the volume either in ml or in percent of the body; got ml={ml}, percent={percent}.")
    given = ml if ml is not None else percent
    if not (given is not None and np.isfinite(given) and given > 0.0):
        raise ValueError(f"the volume of a filling must be positive; got ml={ml}, percent={percent}.")
    return ml if ml is not None else given / 100.0 * whole_ml


def _least(size: Sizes, room: Mask, aside_mm: Sizes, count: int) -> Mask:
    """The ``count`` voxels of ``room`` of the least ``size``; one less where the last would tell left from right."""
    place = np.flatnonzero(room)
    k, j, _ = np.unravel_index(place, room.shape)
    key = np.rint(size[room] / TIE_MM)
    aside = np.rint(np.broadcast_to(aside_mm, room.shape)[room] / TIE_MM)
    order = np.lexsort((j, k, aside, key))
    last, following = order[count - 1 : count], order[count : count + 1]
    if len(following) and all(np.array_equal(a[last], a[following]) for a in (key, aside, k, j)):
        count -= 1
    region = np.zeros(room.shape, bool)
    region.reshape(-1)[place[order[: max(count, 1)]]] = True
    return region
