"""What is drawn over a fluoroscopic image of a vertebra: named lines and points in pixels, no looks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trocar.geometry import Side, Vector, frozen
from trocar.guidance.carm import CArm
from trocar.guidance.view_landmarks import Landmarks, Points, Ruler, landmarks_of, silhouette, wall
from trocar.guidance.views import Kind, PlannedView, letters, upwards
from trocar.planning.trajectory import Trajectory
from trocar.volume import Volume

#: Points on the rim of a needle's end.
RIM_POINTS = 48
#: The line at the medial wall of a pedicle goes on this far above and below the oval, mm.
MEDIAL_BEYOND_MM = 4.0


class Mark(Enum):
    """What a line or a point means; the value is how a person calls it."""

    BODY = "vertebral body"
    ENDPLATE = "endplate"
    PEDICLE = "pedicle"
    MEDIAL = "medial border of the pedicle"
    POSTERIOR = "posterior wall"
    ANTERIOR = "anterior wall"
    CANAL = "spinal canal"
    SPINOUS = "tip of the spinous process"
    NEEDLE = "needle"
    MARGIN = "margin"
    SKIN = "skin"
    ENTRY = "bone entry"
    TARGET = "target"
    TIP = "needle tip"


@dataclass(frozen=True, eq=False)
class Outline:
    """A line ``(n, 2)``, row and column in pixels. ``name`` tells lines of one mark apart ("left", "2 mm: canal")."""

    mark: Mark
    name: str
    pixels: NDArray[np.float64]
    closed: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "pixels", frozen(self.pixels))


@dataclass(frozen=True, eq=False)
class Point:
    """A marked point, row and column in pixels; ``name`` tells points of one mark apart (the needle's side)."""

    mark: Mark
    name: str
    pixel: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ViewDrawing:
    """Everything that is drawn on one image.

    ``mm_per_pixel`` are rows and columns at the depth of the isocentre: a centimetre there is so many pixels.
    ``letters`` lie at the left, right, top and bottom edge. The view's detector says which pixels there are.
    """

    view: PlannedView
    outlines: tuple[Outline, ...]
    points: tuple[Point, ...]
    letters: tuple[str, str, str, str]
    mm_per_pixel: tuple[float, float]

    def of(self, mark: Mark) -> tuple[Outline, ...]:
        """The lines of one meaning."""
        return tuple(o for o in self.outlines if o.mark is mark)


def draw(
    view: PlannedView,
    trajectories: Sequence[Trajectory] = (),
    canal: Volume | None = None,
    marks: Landmarks | None = None,
) -> ViewDrawing:
    """The landmarks of the view's vertebra, with needles at their true diameter and their margins.

    ``canal`` is the labelled canal where there is one (a mask); without it the vertebra's own.
    """
    marks = landmarks_of(view.vertebra) if marks is None else marks
    canal = view.vertebra.canal if canal is None else canal
    ruler = Ruler(view.arm, view.vertebra.frame.origin_mm)
    outlines = [*_masks(view, marks.body, canal), *_bone(view, marks, ruler)]
    points = [] if marks.spinous_tip is None else [_point(view.arm, Mark.SPINOUS, "", marks.spinous_tip)]
    for trajectory in trajectories:
        outlines += needle_outlines(view.arm, trajectory)
        points += _path_points(view.arm, trajectory)
    return ViewDrawing(view, tuple(outlines), tuple(points), letters(view.arm), ruler.mm_per_pixel)


# --- bone ---------------------------------------------------------------------------------------


def _masks(view: PlannedView, body: Volume, canal: Volume) -> Iterable[Outline]:
    for mark, mask in ((Mark.BODY, body), (Mark.CANAL, canal)):
        where = np.argwhere(mask.array)
        if len(where):
            near = mask.crop(where.min(axis=0) - 1, where.max(axis=0) + 2)
            yield from (Outline(mark, "", line) for line in silhouette(near, view.arm))


def _bone(view: PlannedView, marks: Landmarks, ruler: Ruler) -> Iterable[Outline]:
    arm = view.arm
    for name, outline in marks.endplates.items():
        yield Outline(Mark.ENDPLATE, name, arm.project(outline))
    for side, oval in marks.ovals.items():
        yield Outline(Mark.PEDICLE, side.value, arm.project(oval))
        if view.kind is Kind.AP:
            yield Outline(Mark.MEDIAL, side.value, _medial_line(ruler, marks, side), closed=False)
    if view.kind is Kind.LATERAL:
        for mark, sign in ((Mark.POSTERIOR, 1.0), (Mark.ANTERIOR, -1.0)):
            yield Outline(mark, "", _wall_line(ruler, marks, sign * marks.vertebra.frame.posterior), closed=False)


def medial_mm(ruler: Ruler, marks: Landmarks, side: Side) -> float:
    """Where the medial border of a pedicle's oval lies, mm to the patient's left of the ruler's origin (AP)."""
    along = ruler.along(marks.ovals[side], marks.vertebra.frame.left)
    return side.sign * float((side.sign * along).min())


def _medial_line(ruler: Ruler, marks: Landmarks, side: Side) -> Points:
    """The upright line that touches the oval on its medial side, from above to below it, in pixels."""
    up = upwards(marks.vertebra)
    height = ruler.along(marks.ovals[side], up)
    at, ends = medial_mm(ruler, marks, side), (height.max() + MEDIAL_BEYOND_MM, height.min() - MEDIAL_BEYOND_MM)
    return _pixels(ruler, [(h, at) for h in ends], up, marks.vertebra.frame.left)


def _wall_line(ruler: Ruler, marks: Landmarks, outward: Vector) -> Points:
    up = upwards(marks.vertebra)
    return _pixels(ruler, wall(ruler, marks.vertebra.parts, marks.body_mm, outward, up), up, outward)


def _pixels(ruler: Ruler, rows: ArrayLike, up: Vector, aside: Vector) -> Points:
    """Pixels of (height, place) in millimetres of the ruler along two directions as they run on the image."""
    right, down = ruler.arm.axes
    ways = np.array([[way @ down, way @ right] for way in (up, aside)])
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    # what is measured along each way, back to (down, right)
    flat = np.linalg.solve(ways, np.asarray(rows, dtype=float).T).T
    return np.asarray(ruler.arm.project(ruler.origin_mm) + flat / ruler.mm_per_pixel)


# --- the needle ---------------------------------------------------------------------------------


def needle_outlines(arm: CArm, trajectory: Trajectory, tip_mm: Vector | None = None) -> Iterable[Outline]:
    """The needle from the skin to its target (or ``tip_mm``), and in bone its margins, as the arm shows them."""
    radius, side = trajectory.instrument.radius_mm, trajectory.side.value
    tip = trajectory.target_mm if tip_mm is None else tip_mm
    yield Outline(Mark.NEEDLE, side, shadow(arm, trajectory.skin_mm, tip, radius))
    if tip_mm is None:
        for margin, names in margins_of(trajectory).items():
            band = shadow(arm, trajectory.entry_mm, trajectory.target_mm, radius + margin)
            yield Outline(Mark.MARGIN, f"{margin:g} mm: {', '.join(names)}", band)


def shadow(arm: CArm, start_mm: Vector, end_mm: Vector, radius_mm: float) -> Points:
    """The outline ``(n, 2)``, in pixels, of a flat-ended cylinder: the convex hull of its two ends, both projected.

    A cylinder is the convex hull of its ends, and a projection from a point keeps hulls: this is exact but for the
    rim's :data:`RIM_POINTS` points.
    """
    from scipy.spatial import ConvexHull

    across = np.linalg.svd(np.asarray(end_mm - start_mm)[None])[2][1:]
    turn = 2.0 * np.pi * np.arange(RIM_POINTS) / RIM_POINTS
    rim = radius_mm * np.stack([np.cos(turn), np.sin(turn)], axis=-1) @ across
    pixels = arm.project(np.concatenate([start_mm + rim, end_mm + rim]))
    return np.asarray(pixels[ConvexHull(pixels).vertices])


def margins_of(trajectory: Trajectory) -> Mapping[float, tuple[str, ...]]:
    """The structures that ask for each margin around the needle, mm, the narrowest first; none where none is asked."""
    found: dict[float, list[str]] = {}
    for clearance in trajectory.clearances:
        if clearance.margin_mm > 0.0:
            found.setdefault(clearance.margin_mm, []).append(clearance.structure)
    return MappingProxyType({mm: tuple(found[mm]) for mm in sorted(found)})


def _path_points(arm: CArm, trajectory: Trajectory) -> list[Point]:
    places = (
        (Mark.SKIN, trajectory.skin_mm),
        (Mark.ENTRY, trajectory.entry_mm),
        (Mark.TARGET, trajectory.target_mm),
    )
    return [_point(arm, mark, trajectory.side.value, at) for mark, at in places]


def _point(arm: CArm, mark: Mark, name: str, at_mm: Vector) -> Point:
    return Point(mark, name, arm.project(at_mm))
