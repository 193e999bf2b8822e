"""One fluoroscopic image at one scale, as registration sees it: its edges, and those that a bone would make there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from dataclasses import field as declared
from functools import cached_property

import numpy as np
from scipy import ndimage

from trocar.geometry import Pose
from trocar.guidance.bone_parts import corners_mm
from trocar.guidance.carm import CArm
from trocar.guidance.frames import Frame
from trocar.guidance.similarity import (
    REACH_PX,
    SCALE_PX,
    Image,
    SeenSpectra,
    correlation,
    gradients,
    saturated,
    typical,
)
from trocar.guidance.usable_pixels import Mask, density
from trocar.physics.xray import Beam, line_integrals
from trocar.volume import Volume

#: A ray that meets less than this share of the densest ray's bone counts as beside the bone.
SILHOUETTE_SHARE = 0.02
#: The silhouette with its rim: where its indicator, blurred by two pixels, is above this (about three pixels more).
RIM_SHARE, RIM_PX = 0.07, 2.0
#: Sizes of templates are rounded up to this, so that transforms are kept for few of them.
TEMPLATE_PX = 32


@dataclass(frozen=True)
class Window:
    """Rows and columns of a view, which may lie beyond its detector."""

    top: int
    left: int
    rows: int
    columns: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return (self.rows, self.columns)

    def overlap(self, shape: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Where a window and an image share pixels: slices of the image, and of the window."""
        image, own = [], []
        for start, count, size in zip((self.top, self.left), self.shape, shape, strict=True):
            low = min(max(start, 0), size)
            high = max(min(start + count, size), low)
            image.append(slice(low, high))
            own.append(slice(low - start, high - start))
        return (image[0], image[1]), (own[0], own[1])


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a bone at some place would add: saturated gradients, where they count, and what counted half."""

    window: Window
    field: Image
    weight: Image
    half: float


@dataclass(frozen=True, eq=False)
class EdgeView:
    """The edges ``[2, row, column]`` of an image on large pixels; ``usable`` are the pixels that may be compared.

    ``behind`` is what bones that stay in place add to every image that is drawn (``None``: nothing); ``only`` is the
    window in which anything is compared (``None``: that of what is drawn).
    """

    arm: CArm
    field: Image
    usable: Image
    dense: Image
    behind: Image | None = None
    only: Window | None = None
    _spectra: dict[tuple[int, int], SeenSpectra] = declared(default_factory=dict, repr=False)

    @cached_property
    def pixel_mm(self) -> float:
        """A pixel's size at the isocentre."""
        return self.arm.detector.row_spacing_mm / self.arm.magnification

    def window(self, volume: Volume, displacement: Pose) -> Window:
        """What of the view a volume covers, with the reach of a gradient around it; or what alone is compared."""
        if self.only is not None:
            return self.only
        at = self.arm.project(displacement.to_world(corners_mm(volume)))
        low = np.floor(at.min(axis=0)).astype(int) - REACH_PX
        size = np.ceil(at.max(axis=0)).astype(int) + 1 + REACH_PX - low
        return Window(int(low[0]), int(low[1]), int(size[0]), int(size[1]))

    def shadow(self, volume: Volume, displacement: Pose, window: Window) -> Image:
        """Line integrals ``[row, column]`` of a displaced volume within a window."""
        at = np.add([[0, 0], [1, 0], [0, 1]], (window.top, window.left))
        points = displacement.to_local(np.vstack((self.arm.source_mm, self.arm.on_detector_mm(at))))
        source, first, below, beside = volume.index_kji(points) * volume.spacing_mm
        beam = Beam(source, first, below - first, beside - first, window.shape)
        return line_integrals(volume.array, volume.spacing_mm, beam, threads=1)

    def draw(self, volume: Volume, displacement: Pose, window: Window | None = None) -> Drawn:
        """The edges of a bone at a place."""
        window = window or self.window(volume, displacement)
        shadow = self.shadow(volume, displacement, window)
        weight = silhouette(shadow)
        edges = gradients(shadow + self._behind(window))
        half = typical(edges, weight > 0.0)
        return Drawn(window, saturated(edges, half), weight, half)

    def redraw(self, volume: Volume, displacements: Sequence[Pose], like: Drawn) -> Image:
        """The edges ``[n, 2, row, column]`` of a bone at several places, in one window and on one scale."""
        shadows = np.stack([self.shadow(volume, d, like.window) for d in displacements])
        return saturated(gradients(shadows + self._behind(like.window)), like.half)

    def seen(self, window: Window) -> tuple[Image, Image]:
        """The image's edges within a window, and which of its pixels may be compared (0 or 1)."""
        edges, usable = np.zeros((2, *window.shape), np.float32), np.zeros(window.shape, np.float32)
        image, own = window.overlap((self.usable.shape[0], self.usable.shape[1]))
        edges[(slice(None), *own)] = self.field[(slice(None), *image)]
        usable[own] = self.usable[image]
        return edges, usable

    def fit(self, volume: Volume, displacement: Pose) -> tuple[float, float]:
        """Similarity (-1 to 1) of a bone at a place, and the share of its silhouette that may be compared."""
        drawn = self.draw(volume, displacement)
        edges, usable = self.seen(drawn.window)
        share = float(np.sum(drawn.weight * usable)) / max(float(np.sum(drawn.weight)), 1.0)
        return correlation(edges, drawn.field, drawn.weight * usable), share

    def spectra(self, template: tuple[int, int]) -> SeenSpectra:
        """The transforms of the seen edges for templates of up to this size; kept."""
        rows, columns = (-(-n // TEMPLATE_PX) * TEMPLATE_PX for n in template)
        if (rows, columns) not in self._spectra:
            self._spectra[rows, columns] = SeenSpectra(self.field, self.usable, (rows, columns))
        return self._spectra[rows, columns]

    def _behind(self, window: Window) -> Image:
        out = np.zeros(window.shape, np.float32)
        if self.behind is not None:
            image, own = window.overlap((self.behind.shape[0], self.behind.shape[1]))
            out[own] = self.behind[image]
        return out

    def before(self, standing: Sequence[tuple[Volume, Pose]]) -> EdgeView:
        """The same view with bones that stay where they are behind every image that is drawn."""
        whole = Window(0, 0, *self.arm.detector.shape)
        behind = np.zeros(whole.shape, np.float32)
        for volume, displacement in standing:
            behind += self.shadow(volume, displacement, whole)
        return replace(self, behind=behind)


def silhouette(shadow: Image) -> Image:
    """1 on a bone's shadow and its rim, 0 beside it."""
    inside = (shadow > SILHOUETTE_SHARE * float(shadow.max(initial=0.0))).astype(np.float32)
    return (ndimage.gaussian_filter(inside, RIM_PX) > RIM_SHARE).astype(np.float32)


def edge_view(frame: Frame, arm: CArm, usable: Mask, pixel_mm: float) -> EdgeView:
    """An image on pixels of about ``pixel_mm`` at the isocentre."""
    factor = max(1, round(pixel_mm * arm.magnification / arm.detector.row_spacing_mm))
    dense, open_blocks = density(frame, usable, factor)
    edges = _edges(dense)
    kept = ndimage.distance_transform_edt(np.pad(open_blocks, 1))[1:-1, 1:-1] > SCALE_PX
    edges = saturated(edges, typical(edges, kept)) * kept
    return EdgeView(arm.binned(factor), edges, kept.astype(np.float32), dense)


def _edges(dense: Image) -> Image:
    padded = np.pad(dense, REACH_PX, mode="edge")
    return gradients(padded)[:, REACH_PX:-REACH_PX, REACH_PX:-REACH_PX]
