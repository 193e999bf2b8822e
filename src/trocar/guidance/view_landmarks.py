"""What of a vertebra makes a line on a fluoroscopic image: pedicle ovals, endplates on edge, walls and silhouettes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from scipy.ndimage import label as components

from trocar.anatomy.surface import Surface
from trocar.anatomy.vertebra import Vertebra
from trocar.geometry import Plane, Side, Vector, frozen, unit
from trocar.guidance.carm import CArm, Detector
from trocar.physics.xray import Beam, line_integrals
from trocar.volume import Volume

Points = NDArray[np.float64]

#: Directions in which a pedicle's cross-section is measured, and the step along each, mm.
OVAL_RAYS, OVAL_STEP_MM = 72, 0.2
#: A cross-section ends at this share of the isthmus' width and height from its centre (0.5 is the wall itself), where
#: bone goes on: as far as the pedicle's own part of the mask does (``anatomy.parts``).
OVAL_REACH = 0.75
#: Bone within this of an endplate, inside and outside the body, belongs to its rim, mm.
RIM_INSIDE_MM, RIM_OUTSIDE_MM = 6.0, 2.0
#: Pitch of the rays that find a silhouette, mm on the detector, and the length in bone from which a ray counts, mm.
SILHOUETTE_MM, SILHOUETTE_LEAST_MM = 1.0, 2.0
#: The shadow is blurred by this before it is outlined, pixels of that pitch: slices make stairs.
SILHOUETTE_BLUR = 1.2
#: The stairs of the slices are taken off an oval by a mean over about so many of its rays.
OVAL_BLUR_RAYS = 2.0
#: A wall is read at heights this far apart, mm; each reading reaches this far up and down, and the readings are blurred
#: by this.
WALL_STEP_MM, WALL_BAND_MM, WALL_BLUR_MM = 1.0, 1.5, 1.0
#: At its upper and lower end a wall stops where it falls back by more than this against its middle, mm: there the
#: endplate begins.
WALL_STRAY_MM = 4.0
#: Bone of less than this area, square to the wall, makes no line on an image: single voxels that stick out, mm2.
WALL_LEAST_MM2 = 9.0


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Curves ``(n, 3)`` and points of one vertebra, LPS mm.

    ``ovals`` are the pedicles' narrowest cross-sections, ``endplates`` the outlines of the body's footprint on both
    endplate planes; ``spinous_tip`` is None where the vertebra has none.
    """

    vertebra: Vertebra
    ovals: dict[Side, Points]
    endplates: dict[str, Points]
    spinous_tip: Vector | None

    @cached_property
    def body(self) -> Volume:
        """The body's largest piece: crumbs of its label elsewhere make no wall."""
        whole = self.vertebra.body
        pieces, count = components(whole.array)
        if count < 2:
            return whole
        return replace(whole, array=pieces == 1 + int(np.bincount(pieces.ravel())[1:].argmax()))

    @cached_property
    def body_mm(self) -> Points:
        """Centres of the body's voxels."""
        return self.body.points_mm()


def landmarks_of(vertebra: Vertebra) -> Landmarks:
    """The curves and points of one vertebra that a fluoroscopic image shows."""
    return Landmarks(
        vertebra,
        {side: frozen(isthmus_outline(vertebra, side)) for side in vertebra.pedicles},
        {name: frozen(_footprint(vertebra, plane)) for name, plane in vertebra.endplates.items()},
        vertebra.landmarks.get("spinous_tip"),
    )


def isthmus_outline(vertebra: Vertebra, side: Side) -> Points:
    """The bone's outline ``(n, 3)`` across a pedicle at its narrowest place, LPS mm."""
    pedicle = vertebra.pedicles[side]
    axis = pedicle.axis
    up = unit(vertebra.frame.superior - (vertebra.frame.superior @ axis.direction) * axis.direction)
    across = np.cross(up, axis.direction)
    half = OVAL_REACH * np.array([max(pedicle.width.value, 1.0), max(pedicle.height.value, 1.0)])
    turn = 2.0 * np.pi * np.arange(OVAL_RAYS) / OVAL_RAYS
    flat = np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    most = 1.0 / np.linalg.norm(flat / half, axis=-1)
    rays = flat @ np.stack([across, up])
    near = vertebra.mask.crop_around(axis.point_mm[None], float(half.max()) + 3.0)
    t = np.arange(0.0, float(most.max()) + OVAL_STEP_MM, OVAL_STEP_MM)
    depth = -Surface.of(near).at(axis.point_mm + t[:, None] * rays[:, None, :])
    reach = gaussian_filter1d(np.minimum(_first_crossing(depth, t), most), OVAL_BLUR_RAYS, mode="wrap")
    return axis.point_mm + reach[:, None] * rays


def _first_crossing(depth: Points, t: Vector) -> Vector:
    """Where each row of ``depth`` ``(rays, steps)`` first falls to zero, interpolated; the last step where never."""
    out = depth <= 0.0
    n = np.where(out.any(axis=1), np.maximum(out.argmax(axis=1), 1), len(t) - 1)
    row = np.arange(len(n))
    before, after = depth[row, n - 1], depth[row, n]
    share = np.divide(before, before - after, out=np.ones_like(before), where=before > after)
    return np.asarray(t[n - 1] + np.clip(share, 0.0, 1.0) * (t[n] - t[n - 1]))


def _footprint(vertebra: Vertebra, plane: Plane) -> Points:
    """The convex outline of the body's bone near an endplate, dropped onto its plane."""
    from scipy.spatial import ConvexHull

    points = vertebra.body.points_mm()
    height = plane.height_mm(points)
    rim = points[(height > -RIM_INSIDE_MM) & (height < RIM_OUTSIDE_MM)]
    rim = points if len(rim) < 12 else rim
    flat = rim - plane.height_mm(rim)[:, None] * plane.normal
    left = unit(vertebra.frame.left - (vertebra.frame.left @ plane.normal) * plane.normal)
    back = np.cross(plane.normal, left)
    hull = ConvexHull(np.stack([(flat - plane.point_mm) @ left, (flat - plane.point_mm) @ back], axis=-1))
    return np.asarray(flat[hull.vertices])


# --- on the image -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Ruler:
    """Millimetres at the depth of the isocentre, from where ``origin_mm`` appears, along LPS directions as projected.

    What an operator measures on the image once it is scaled by something of known size in the bone.
    """

    arm: CArm
    origin_mm: Vector

    @property
    def mm_per_pixel(self) -> tuple[float, float]:
        """Rows and columns at the depth of the isocentre."""
        detector = self.arm.detector
        return detector.row_spacing_mm / self.arm.magnification, detector.column_spacing_mm / self.arm.magnification

    def flat(self, points_mm: Points) -> Points:
        """Points ``(..., 3)`` as (down, right), mm."""
        at = self.arm.project(points_mm) - self.arm.project(self.origin_mm)
        return np.asarray(at * self.mm_per_pixel)

    def along(self, points_mm: Points, direction: Vector) -> Points:
        """How far points lie along a direction as it runs on the image, mm; the direction must not point at the eye."""
        right, down = self.arm.axes
        way = unit([direction @ down, direction @ right])
        return np.asarray(self.flat(points_mm) @ way)


def wall(ruler: Ruler, body: Volume, points_mm: Points, outward: Vector, up: Vector) -> Points:
    """The outermost bone along ``outward`` at heights along ``up``, as an image shows it: rows (height, place), mm.

    ``points_mm`` are the centres of the body's voxels. What is smaller than :data:`WALL_LEAST_MM2` is passed over, and
    the wall lies half a voxel beyond the outermost centre that is not.
    """
    half = body.half_voxel_mm(outward)
    passed = int(WALL_LEAST_MM2 * 2.0 * half / (1000.0 * body.voxel_ml))
    height, reach = ruler.along(points_mm, up), ruler.along(points_mm, outward)
    order = np.argsort(height)
    height, reach = height[order], reach[order]
    rows = []
    for level in np.arange(np.ceil(height[0]), np.floor(height[-1]) + 1e-9, WALL_STEP_MM):
        low, high = np.searchsorted(height, (level - WALL_BAND_MM, level + WALL_BAND_MM))
        if high - low > passed:
            rows.append((level, float(np.partition(reach[low:high], -1 - passed)[-1 - passed]) + half))
    if not rows:  # a body smaller than what is passed over
        rows = [(float(height.mean()), float(reach.max()) + half)]
    found = np.array(rows)
    stands = np.flatnonzero(found[:, 1] > np.median(found[:, 1]) - WALL_STRAY_MM)
    found = found[stands[0] : stands[-1] + 1]
    found[:, 1] = gaussian_filter1d(found[:, 1], WALL_BLUR_MM / WALL_STEP_MM, mode="nearest")
    return found


def silhouette(mask: Volume, arm: CArm) -> list[Points]:
    """Outlines ``(n, 2)`` of a mask's shadow, row and column on the arm's detector, to about half a voxel: to draw."""
    from skimage.measure import find_contours

    pitch = SILHOUETTE_MM / np.array([arm.detector.row_spacing_mm, arm.detector.column_spacing_mm])
    corners = arm.project(mask.world_mm(np.array(list(np.ndindex(2, 2, 2))) * (np.array(mask.shape) - 1)))
    first = corners.min(axis=0) - 3.0 * pitch
    shape = np.ceil((corners.max(axis=0) + 3.0 * pitch - first) / pitch).astype(int)
    shadow = line_integrals(mask.array.astype(np.float32), mask.spacing_mm, _window(arm, mask, first, pitch, shape))
    # a straight edge stays where it is when what is blurred has two values
    dark = gaussian_filter((shadow > SILHOUETTE_LEAST_MM).astype(np.float32), SILHOUETTE_BLUR)
    lines = find_contours(dark, 0.5)
    return [first + line * pitch for line in lines if len(line) > 8]


def _window(arm: CArm, volume: Volume, first: Vector, pitch: Vector, shape: NDArray[np.int_]) -> Beam:
    """A beam onto a part of the detector: from pixel ``first``, every ``pitch`` pixels, ``shape`` of them."""
    detector = Detector(
        int(shape[0]),
        int(shape[1]),
        arm.detector.row_spacing_mm * pitch[0],
        arm.detector.column_spacing_mm * pitch[1],
        tuple((np.asarray(arm.detector.middle) - first) / pitch),
    )
    return replace(arm, detector=detector).beam(volume)
