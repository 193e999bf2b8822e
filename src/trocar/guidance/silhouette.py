"""The vertebral body's own outline in one view: from the registered CT, or drawn by hand.

An outline is a mask and the signed distance from it, in millimetres at the body's depth; around it lie the zones into
which cement may go. What lies in front of the body or behind it is inside the outline, and one view cannot tell it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from trocar.anatomy.vertebra import Vertebra
from trocar.errors import ImageError
from trocar.geometry import Line, Pose, frozen
from trocar.guidance.carm import AT_REST, CArm
from trocar.guidance.leak_zones import (
    NEAR_MM,
    REACH_MM,
    UNDECIDABLE_SHARE,
    Surroundings,
    Zone,
    ZoneShadow,
    shadows,
    surroundings,
)
from trocar.guidance.vision import opencv
from trocar.measure import Finding, Severity
from trocar.physics.xray import line_integrals
from trocar.volume import Volume

#: Within this of the outline cement counts as inside, mm: a single view's registration is off by less than 1 mm in
#: the image in most runs (van de Kraats et al., IEEE Trans Med Imaging 24:1177, 2005, from memory, unverified), and
#: the detector blurs by a third of that.
EDGE_MM = 1.25
#: A ray belongs to the body where it passes through more bone than this, mm.
THROUGH_MM = 0.5
#: The body's mask is drawn on voxels of this size before it is projected, mm.
FINE_MM = 0.5
#: Detector pixels that differ by less than this share are of one size: over the 60 mm of a vertebra it makes 0.3 mm.
SAME_PIXEL = 0.005
#: A body of which less than this share is in the view is called cut.
WHOLE_SHARE = 0.98


class Drawn(Enum):
    """From where a drawn outline is seen; the value is what its image's left side shows."""

    FRONT = "the patient's right (detector in front)"
    BEHIND = "the patient's left (detector behind)"
    FACING_LEFT = "the patient's front (the patient faces the image's left edge)"
    FACING_RIGHT = "the patient's back (the patient faces the image's right edge)"


@dataclass(frozen=True, eq=False)
class Silhouette:
    """A body's outline in one view.

    ``mask`` is ``[row, column]`` over the whole detector; ``mm_per_pixel`` (row, column) are lengths at the body's
    depth; ``shadow`` are the zones around it. ``inside_view`` is the share of the body that the detector holds.
    ``view`` and ``displacement`` say where the image was taken from and where the bone was, None for a drawn outline.
    ``needle_px`` are two points (row, column) on the needle's axis, hub and tip, where it is known.
    """

    mask: NDArray[np.bool_]
    mm_per_pixel: tuple[float, float]
    shadow: dict[Zone, ZoneShadow]
    inside_view: float = 1.0
    view: CArm | None = None
    displacement: Pose | None = None
    needle_px: NDArray[np.float64] | None = None
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        if not self.mask.any():
            raise ImageError("the vertebra lies outside this view: move the table or open the shutters.")
        object.__setattr__(self, "mask", frozen(self.mask, bool))

    @cached_property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the outline with ``leak_zones.REACH_MM`` around it, cut at the detector's rim."""
        rows, columns = ndimage.find_objects(self.mask.astype(np.uint8))[0]
        margins = [int(np.ceil(REACH_MM / s)) for s in self.mm_per_pixel]
        return tuple(  # type: ignore[return-value]
            slice(max(s.start - m, 0), min(s.stop + m, n))
            for s, m, n in zip((rows, columns), margins, self.mask.shape, strict=True)
        )

    @cached_property
    def distance_mm(self) -> NDArray[np.float32]:
        """Signed distance from the outline within :attr:`box`, positive outside, mm at the body's depth."""
        mask = self.mask[self.box]
        out = ndimage.distance_transform_edt(~mask, sampling=self.mm_per_pixel)
        within = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=self.mm_per_pixel)[1:-1, 1:-1]
        half = 0.5 * float(np.mean(self.mm_per_pixel))
        return np.where(mask, half - within, out - half).astype(np.float32)

    @property
    def undecidable(self) -> tuple[Zone, ...]:
        """Zones that mostly lie in front of or behind the body here: a second view decides."""
        return tuple(z for z, s in self.shadow.items() if s.hidden > UNDECIDABLE_SHARE)

    def fits(self, view: CArm, degrees: float = 0.5, mm: float = 1.0) -> bool:
        """Whether an image from ``view`` is one that this outline was made for."""
        own = self.view
        return own is None or (
            _turned_deg(own.primary_angle_deg, view.primary_angle_deg) <= degrees
            and _turned_deg(own.secondary_angle_deg, view.secondary_angle_deg) <= degrees
            and _turned_deg(own.roll_deg, view.roll_deg) <= degrees
            and abs(own.source_to_detector_mm - view.source_to_detector_mm) <= mm
            and abs(own.source_to_isocentre_mm - view.source_to_isocentre_mm) <= mm
            and _alike(own.detector.row_spacing_mm, view.detector.row_spacing_mm)
            and _alike(own.detector.column_spacing_mm, view.detector.column_spacing_mm)
            and own.mirrored == view.mirrored
        )


def _turned_deg(one: float, other: float) -> float:
    """The turn between two angles: -180 and 180 degrees, a detector behind the patient, are the same."""
    return abs((one - other + 180.0) % 360.0 - 180.0)


def _alike(one_mm: float, other_mm: float) -> bool:
    return abs(one_mm - other_mm) <= SAME_PIXEL * one_mm


def seen_from(
    view: CArm,
    vertebra: Vertebra,
    structures: Mapping[str, Volume] | None = None,
    displacement: Pose = AT_REST,
    needle: Line | None = None,
    around: Surroundings | None = None,
) -> Silhouette:
    """The outline and zones of a vertebra of the CT, registered by ``displacement``, in a view.

    ``structures`` are those of the :class:`trocar.anatomy.patient.Anatomy` (canal, foramina). ``needle`` is its axis
    during fluoroscopy, LPS, its point at the tip. ``around`` saves working the zones out again for a further view.
    Raises :class:`ImageError` where the body is not in the view at all.
    """
    points = displacement.to_world(vertebra.body.points_mm())
    pixel = view.project(points)
    held = np.all((pixel >= 0) & (pixel <= np.array(view.detector.shape) - 1), axis=1)
    if not held.any():
        raise ImageError(f"{vertebra.level} lies outside this view: move the table, or choose the level that is seen.")
    mask = _outline(vertebra.body, view, displacement, pixel)
    depth = (displacement.to_world(vertebra.frame.origin_mm) - view.source_mm) @ view.toward_detector
    scale = float(depth) / view.source_to_detector_mm
    sizes = (view.detector.row_spacing_mm * scale, view.detector.column_spacing_mm * scale)
    at_rest = None if needle is None else _brought_back(needle, displacement)
    around = around or surroundings(vertebra, structures, at_rest)
    share = float(held.mean())
    bare = Silhouette(mask, sizes, {}, share, view, displacement, _needle_px(needle, view), _cut(share, vertebra))
    return replace(bare, shadow=shadows(around, _widened(bare), view, displacement))


def _outline(body: Volume, view: CArm, displacement: Pose, pixel: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The body's mask in a view: only the detector's part that can see it is cast."""
    mask = np.zeros(view.detector.shape, dtype=bool)
    low = np.clip(np.floor(pixel.min(axis=0)).astype(int) - 8, 0, np.array(mask.shape) - 1)
    high = np.clip(np.ceil(pixel.max(axis=0)).astype(int) + 9, low + 1, mask.shape)
    row, column = view.detector.middle
    part = replace(
        view.detector,
        rows=int(high[0] - low[0]),
        columns=int(high[1] - low[1]),
        principal=(row - low[0], column - low[1]),
    )
    fine = _fine(body)
    length = line_integrals(fine.array, fine.spacing_mm, replace(view, detector=part).beam(fine, displacement))
    mask[low[0] : high[0], low[1] : high[1]] = length > THROUGH_MM
    return mask


def _fine(body: Volume) -> Volume:
    """The body's mask on small voxels, cut where its interpolated edge is one half."""
    box = body.crop_around(body.points_mm(), 2.0)
    steps = np.ones(3, int) * np.maximum(np.rint(np.asarray(box.spacing_mm) / FINE_MM).astype(int), 1)
    shape = (np.asarray(box.shape) - 1) * steps + 1
    grid = [np.linspace(0.0, n - 1.0, m) for n, m in zip(box.shape, shape, strict=True)]
    index = np.stack(np.meshgrid(*grid, indexing="ij"))
    soft = ndimage.map_coordinates(box.array.astype(np.float32), index, order=1)
    affine = box.affine.copy()
    affine[:3, :3] /= steps[::-1]
    return Volume((soft >= 0.5).astype(np.float32), affine, box.frame_of_reference, "1")


def _brought_back(line: Line, displacement: Pose) -> Line:
    """A line of the live patient in the CT's place of the bone."""
    return Line(displacement.to_local(line.point_mm), displacement.axes.T @ line.direction)


def _needle_px(needle: Line | None, view: CArm) -> NDArray[np.float64] | None:
    return None if needle is None else view.project([needle.at(-30.0), needle.point_mm])


def _cut(share: float, vertebra: Vertebra) -> tuple[Finding, ...]:
    if share >= WHOLE_SHARE:
        return ()
    text = f"Only {100 * share:.0f} % of the body of {vertebra.level} is in view: what leaks elsewhere is not seen."
    return (Finding(Severity.CAUTION, text, "the detector or its shutters cut the vertebra"),)


def _widened(outline: Silhouette) -> NDArray[np.bool_]:
    out = np.zeros_like(outline.mask)
    out[outline.box] = outline.distance_mm <= EDGE_MM
    return out


def drawn(
    corners_px: ArrayLike,
    shape: tuple[int, int],
    mm_per_pixel: float,
    seen: Drawn | None = None,
    needle_px: ArrayLike | None = None,
) -> Silhouette:
    """An outline that the user drew: its corners (row, column) in order on a detector of ``shape``.

    ``mm_per_pixel`` is the pixel's size at the body's depth (detector pixel over magnification). The head is up.
    ``seen`` says from where; without it what leaves the outline to a side is told as left or right of the image only
    as "outside the body".
    """
    corners = np.asarray(corners_px, dtype=np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
        raise ValueError(f"an outline needs three corners (row, column) or more; got an array of {corners.shape}.")
    if not mm_per_pixel > 0.0:
        raise ValueError(f"mm_per_pixel={mm_per_pixel} must be positive.")
    canvas = np.zeros(shape, dtype=np.uint8)
    opencv().fillPoly(canvas, [np.rint(corners[:, ::-1]).astype(np.int32)], 1)
    needle = None if needle_px is None else frozen(needle_px)
    bare = Silhouette(canvas > 0, (mm_per_pixel, mm_per_pixel), {}, needle_px=needle)
    return replace(bare, shadow=_sectors(bare, seen))


#: What lies to the left and to the right of a drawn outline, and what it hides.
_BESIDE = {
    Drawn.FRONT: (Zone.RIGHT, Zone.LEFT, (Zone.FRONT, Zone.CANAL, Zone.TRACT)),
    Drawn.BEHIND: (Zone.LEFT, Zone.RIGHT, (Zone.FRONT, Zone.CANAL, Zone.TRACT)),
    Drawn.FACING_LEFT: (Zone.FRONT, Zone.CANAL, (Zone.LEFT, Zone.RIGHT)),
    Drawn.FACING_RIGHT: (Zone.CANAL, Zone.FRONT, (Zone.LEFT, Zone.RIGHT)),
}


def _sectors(outline: Silhouette, seen: Drawn | None) -> dict[Zone, ZoneShadow]:
    """Above, below, and to both sides of an outline, by its own sizes; a hidden zone has no place of its own."""
    rows, columns = np.nonzero(outline.mask)
    middle = 0.5 * (rows.min() + rows.max()), 0.5 * (columns.min() + columns.max())
    half = 0.5 * np.ptp(rows) + 1.0, 0.5 * np.ptp(columns) + 1.0
    r, c = np.ogrid[: outline.mask.shape[0], : outline.mask.shape[1]]
    y, x = (r - middle[0]) / half[0], (c - middle[1]) / half[1]
    free = ~outline.mask
    beside = _BESIDE.get(seen) if seen else None
    left, right, hidden = beside or (Zone.ELSEWHERE, Zone.ELSEWHERE, ())
    found = {
        Zone.DISC_ABOVE: (-y >= np.abs(x)) & free,
        Zone.DISC_BELOW: (y >= np.abs(x)) & free,
    }
    for zone, where in ((left, -x > np.abs(y)), (right, x > np.abs(y))):
        found[zone] = found.get(zone, np.zeros_like(free)) | (where & free)
    nothing = np.zeros_like(free)
    area = float(outline.mask.sum() * np.prod(outline.mm_per_pixel))
    return {z: ZoneShadow(m, 0.0, 0.0) for z, m in found.items()} | {
        z: ZoneShadow(nothing, 1.0, area * NEAR_MM) for z in hidden
    }
