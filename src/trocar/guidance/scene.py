"""A patient parted into what moves differently, and its shadows in one view, made once for many frames.

``still`` is the trunk with soft tissue in place of the spine and of the organs, ``organs`` what the tissue in front of
the spine adds to that (gas, vessels, ribs), ``spine`` what the labelled vertebrae add. Each is projected once, with a
margin; a frame shifts each by as many pixels as its own depth asks for and adds them up. What that neglects (a shift
along the ray changes the magnification, a shift across it the parallax within a layer) is measured in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trocar.anatomy.labels import union
from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.errors import ImageError
from trocar.geometry import Vector
from trocar.guidance.carm import CArm, Detector
from trocar.guidance.exposure import Image, Technique, attenuation, integrals, parted, soft_per_mm
from trocar.guidance.neighbourhood import Neighbourhood
from trocar.physics.compiled import compiled
from trocar.volume import Volume

#: Soft layers are kept on voxels of about this size: they hold no edge that matters at a vertebra.
SOFT_VOXEL_MM = 1.6
#: How far the trunk goes on beyond the scan's ends, as its mirror image, so that the field of view is filled, mm.
BEYOND_MM = 120.0
#: What lies farther in front of the body's middle than this, and this far under the skin, moves with the organs, mm.
BEFORE_SPINE_MM, UNDER_SKIN_MM = 24.0, 12.0
#: How far in front of the vertebra the organs' layer is taken to lie, mm.
ORGANS_DEPTH_MM = 60.0
#: How far shadows may be shifted, unless told, mm at the vertebra: organs by a deep breath and the table by 1 cm.
ROOM_MM = 40.0
#: A vertebra of which less than this share is in the view is not looked at.
IN_VIEW_SHARE = 0.98
#: A ray belongs to the body's silhouette where it passes through more of it than this, mm.
THROUGH_MM = 0.5


@dataclass(frozen=True, eq=False)
class Scene:
    """The three parts of a patient as attenuation per mm, about the vertebra that is treated."""

    near: Neighbourhood
    technique: Technique
    still: Volume
    organs: Volume
    spine: Volume

    @classmethod
    def of(cls, anatomy: Anatomy, level: Level | str, technique: Technique | None = None) -> Scene:
        """A patient whose ``level`` is treated; raises ``LevelError`` for one that is absent or cut."""
        near = Neighbourhood(anatomy, Level.parse(level))
        how = technique or Technique()
        rest, (column,) = parted(attenuation(anatomy.ct, how), [union([v.mask for v in anatomy.vertebrae.values()])])
        coarse = _coarser(rest)
        more = (coarse.array - np.float32(soft_per_mm())) * _before(near).array
        parts = (replace(coarse, array=coarse.array - more), replace(coarse, array=more), _as_high(column, anatomy.ct))
        return cls(near, how, *(_extended(p) for p in parts))

    @property
    def level(self) -> Level:
        """The vertebra that is treated."""
        return self.near.level

    @property
    def centre_mm(self) -> Vector:
        """The middle of its body, LPS, as in the CT."""
        return self.near.frame.origin_mm


def _before(near: Neighbourhood) -> Volume:
    """What moves with the organs, 0 or 1 on coarse voxels of the scan: in front of the spine and under the skin."""
    skin = near.anatomy.skin
    share = _coarser(replace(skin, array=skin.array.astype(np.float32), unit="1"))
    # heights about a plane are linear in the index
    k, j, i = np.ogrid[: share.shape[0], : share.shape[1], : share.shape[2]]
    zero, *ones = near.frame.to_local(share.world_mm([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]))[:, 1]
    behind = zero + (ones[0] - zero) * k + (ones[1] - zero) * j + (ones[2] - zero) * i
    deep = np.stack([ndimage.distance_transform_edt(s > 0.5) for s in share.array]) * share.spacing_mm[1]
    inside = (behind < -BEFORE_SPINE_MM) & (deep > UNDER_SKIN_MM)
    return replace(share, array=inside.astype(np.float32))


def _as_high(part: Volume, whole: Volume) -> Volume:
    """A cropped volume with nothing added above and below, up to the ends of the grid it was cropped from."""
    below = round(float(whole.index_kji(part.world_mm((0, 0, 0)))[0]))
    array = np.pad(part.array, ((below, whole.shape[0] - below - part.shape[0]), (0, 0), (0, 0)))
    affine = part.affine.copy()
    affine[:3, 3] = part.world_mm((-below, 0, 0))
    return replace(part, array=array, affine=affine)


def _extended(volume: Volume) -> Volume:
    """The volume with its mirror image beyond its first and last slice, for :data:`BEYOND_MM` to either end."""
    more = int(np.ceil(BEYOND_MM / volume.spacing_mm[0]))
    array = np.pad(volume.array, ((more, more), (0, 0), (0, 0)), mode="symmetric")
    affine = volume.affine.copy()
    affine[:3, 3] = volume.world_mm((-more, 0, 0))
    return replace(volume, array=array, affine=affine)


def _coarser(volume: Volume) -> Volume:
    """Averages over blocks of whole voxels of about :data:`SOFT_VOXEL_MM`; a rest at the far ends is cut."""
    factors = [max(1, round(SOFT_VOXEL_MM / s)) for s in volume.spacing_mm]
    if factors == [1, 1, 1]:
        return volume
    k, j, i = (n // f for n, f in zip(volume.shape, factors, strict=True))
    a, b, c = factors
    blocks = volume.array[: k * a, : j * b, : i * c].reshape(k, a, j, b, i, c)
    affine = volume.affine.copy()
    affine[:3, :3] *= factors[::-1]
    affine[:3, 3] = volume.world_mm((np.array(factors) - 1) / 2.0)
    return replace(volume, array=blocks.mean(axis=(1, 3, 5), dtype=np.float32), affine=affine)


@dataclass(frozen=True, eq=False)
class Layers:
    """A scene's shadows in one view, on its detector with ``margin`` pixels more on every side."""

    scene: Scene
    view: CArm
    margin: int
    still: Image
    organs: Image
    spine: Image

    @classmethod
    def of(cls, scene: Scene, view: CArm, room_mm: float = ROOM_MM, binning: int = 2) -> Layers:
        """The shadows with room for shifts of ``room_mm`` at the vertebra.

        They are cast on ``binning`` x ``binning`` pixels taken together and interpolated between: a CT's voxel is
        larger. Raises :class:`trocar.errors.ImageError` for a view that does not hold the vertebra.
        """
        if scene_share(scene, view) < IN_VIEW_SHARE:
            raise ImageError(f"{scene.level} is not whole in this view: move the C-arm's isocentre to it.")
        finest = min(view.detector.row_spacing_mm, view.detector.column_spacing_mm)
        margin = int(np.ceil(room_mm * view.magnification / finest)) + 2
        wide = widened(view, margin)
        cast = [_cast(v, wide, binning) for v in (scene.still, scene.organs, scene.spine)]
        return cls(scene, view, margin, *cast)

    @cached_property
    def wide(self) -> CArm:
        """The same view on the detector with its margin."""
        return widened(self.view, self.margin)

    @cached_property
    def silhouette(self) -> NDArray[np.bool_]:
        """The vertebral body's shadow at rest, ``[row, column]`` with the margin."""
        near = self.scene.near
        body = Volume(near.body.astype(np.float32), near.grid.affine, near.grid.frame_of_reference, "1")
        return integrals(body, self.wide) > THROUGH_MM

    def shift_px(self, by_mm: Vector, at_mm: Vector, seen: CArm | None = None) -> NDArray[np.float64]:
        """Rows and columns by which a point at rest moves when displaced, and seen by a moved arm instead."""
        return (seen or self.view).project(at_mm + np.asarray(by_mm)) - self.view.project(at_mm)

    def exponents(self, spine: Image, seen: CArm, spine_mm: Vector, organs_mm: Vector) -> Image:
        """One frame's exponents: every layer where it is now. ``spine`` is this layer, with cement or without."""
        out = np.zeros(self.view.detector.shape, dtype=np.float32)
        shifts = self.shifts_px(seen, spine_mm, organs_mm)
        for layer, by_px in zip((self.still, self.organs, spine), shifts, strict=True):
            add_shifted(out, layer, self.margin, by_px)
        return out

    def shifts_px(self, seen: CArm, spine_mm: Vector, organs_mm: Vector) -> NDArray[np.float64]:
        """Rows and columns by which the still part, the organs and the spine are shifted, ``(3, 2)``."""
        middle = self.scene.centre_mm
        before = middle - ORGANS_DEPTH_MM * self.scene.near.frame.posterior
        parts = ((np.zeros(3), middle), (organs_mm, before), (spine_mm, middle))
        return np.array([self.shift_px(by, at, seen) for by, at in parts])


def widened(view: CArm, margin: int) -> CArm:
    """The same view on a detector with ``margin`` pixels more on every side."""
    d = view.detector
    row, column = d.middle
    more = replace(
        d, rows=d.rows + 2 * margin, columns=d.columns + 2 * margin, principal=(row + margin, column + margin)
    )
    return replace(view, detector=more)


def scene_share(scene: Scene, view: CArm) -> float:
    """The share of the vertebra's body that the detector holds."""
    points = scene.near.vertebra.body.points_mm()
    pixels = view.project(points)
    inside = np.all((pixels >= 0.0) & (pixels <= np.array(view.detector.shape) - 1.0), axis=1)
    return float(inside.mean())


def _cast(volume: Volume, view: CArm, binning: int) -> Image:
    """Line integrals on taken-together pixels, interpolated to all (cubic)."""
    if binning == 1:
        return integrals(volume, view)
    coarse = integrals(volume, replace(view, detector=_covering(view, binning)))
    rows, columns = view.detector.shape
    at = [(np.arange(n) - 0.5 * (binning - 1)) / binning + 1.0 for n in (rows, columns)]
    for axis, where in enumerate(at):
        coarse = _cubic(coarse, where, axis)
    return coarse


def _covering(view: CArm, factor: int) -> Detector:
    """A detector of larger pixels, one more on every side so that all pixels lie between its centres."""
    d = view.detector
    row, column = d.middle
    return replace(
        d,
        rows=-(-d.rows // factor) + 3,
        columns=-(-d.columns // factor) + 3,
        row_spacing_mm=d.row_spacing_mm * factor,
        column_spacing_mm=d.column_spacing_mm * factor,
        principal=((row + 0.5) / factor + 0.5, (column + 0.5) / factor + 0.5),
    )


def _cubic(image: Image, at: NDArray[np.float64], axis: int) -> Image:
    """Catmull and Rom's cubic between samples along one axis; ``at`` are fractional indices."""
    low = np.clip(np.floor(at).astype(int), 1, image.shape[axis] - 3)
    t = np.expand_dims((at - low).astype(np.float32), 1 - axis)
    weights = (
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )
    out = np.zeros(1, np.float32)
    for n, weight in enumerate(weights):
        out = out + weight.astype(np.float32) * np.take(image, low + n - 1, axis)
    return out


def add_shifted(out: Image, layer: Image, margin: int, by_px: NDArray[np.float64]) -> None:
    """Add a layer that has a margin to ``out``, moved down and right by so many (fractional) pixels, bilinear.

    Raises ``ValueError`` for more than its margin.
    """
    start = margin - np.asarray(by_px, dtype=np.float64)
    whole = np.floor(start).astype(int)
    room = np.array(layer.shape) - np.array(out.shape)
    if np.any(whole < 0) or np.any(whole + 1 > room):
        raise ValueError(f"a shift of {np.round(by_px, 1)} px is more than the layer's margin of {margin}.")
    (r, c), (a, b) = whole, start - whole
    _add_shifted(out, layer, r, c, np.float32(a), np.float32(b))


@compiled
def _add_shifted(out, layer, row, column, a, b):  # type: ignore[no-untyped-def]
    one = np.float32(1.0)
    w00, w01, w10, w11 = (one - a) * (one - b), (one - a) * b, a * (one - b), a * b
    for r in range(out.shape[0]):
        top, below, into = layer[row + r], layer[row + r + 1], out[r]
        for c in range(out.shape[1]):
            p = column + c
            into[c] += w00 * top[p] + w01 * top[p + 1] + w10 * below[p] + w11 * below[p + 1]
