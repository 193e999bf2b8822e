"""Where the needle is in one fluoroscopic image: its axis and its tip, or why it cannot be told.

::

    seen = find_needle(frame, Needle.of_gauge(11), expected(frame.view, trajectory))
    if isinstance(seen, Sighting): seen.tip_px, seen.way
    else: seen.text          # one sentence

Lines of the needle's width are found by OpenCV (:mod:`trocar.guidance.needle_lines`) and each is fitted to a fraction
of a pixel (:mod:`trocar.guidance.needle_strip`). What is expected - the planned path, or where the needle was a moment
ago - says where to look, which line is meant, and which of its ends is the tip. An end that may be hidden is no tip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from trocar.errors import ImageError
from trocar.geometry import frozen
from trocar.guidance.carm import CArm
from trocar.guidance.expected_needle import Expected, width_px
from trocar.guidance.frames import Frame, Intensity
from trocar.guidance.needle_lines import MOST_LINES, SHORTEST_WIDTHS, density, even, pieces
from trocar.guidance.needle_strip import DARK_LOG, MODEL_PX, Kind, Shaft, fitted
from trocar.guidance.rods import STEEL_PER_MM
from trocar.measure import Range
from trocar.planning.instrument import Needle

#: A path seen shorter than this share of its length is seen end-on: 15 degrees from the ray.
END_ON_SHARE = math.sin(math.radians(15.0))
#: A shaft this many times thinner or thicker than the needle is something else; magnification is known to some 15 %.
WIDTH_SHARE = Range(0.65, 1.5)
#: Less of a needle's length standing out than this is not relied on, nor a contrast of so few standard deviations.
LEAST_SEEN, LEAST_CONTRAST_SD = 0.6, 3.0
#: A needle stands out to both sides: to the lesser by this share of its contrast, however the ground slopes.
LESSER_SHARE = 0.25
#: A second line this good beside the first leaves open which is the needle.
RIVAL_SHARE = 0.5
#: What lies beyond an end may hide it where it is denser than what lies beside the needle by so many of the needle's
#: own contrasts, or where it is as dark as behind a shutter.
HIDING_CONTRASTS = 1.5
#: Two fits that lie within this many widths of one another are of one shaft.
_TWIN_WIDTHS = 1.0
#: Pixels are square to this share, or angles in the image would be no angles.
_SQUARE = 0.01

Vector = NDArray[np.float64]


class Why(Enum):
    """Why a needle was not found; the value is the sentence for the user."""

    END_ON = "The needle is seen nearly end-on in this view: turn the C-arm."
    OUTSIDE = "The needle's planned path lies outside this image: move the table or open the shutters."
    FAINT = "No line of the needle's width stands out where it is expected: more dose, or another view."
    SEVERAL = "Several lines fit the needle: say where the others are, or use another view."
    HIDDEN = "The needle's tip may be hidden by the image's edge, a shutter or something dense: open the field."
    COVERED = (
        "The needle's tip is hidden by cement or something as dense: how deep it is cannot be told from this view. "
        "Turn the C-arm until the tip is clear of it."
    )
    WHICH_END = "A needle is seen, but not which of its ends is the tip: give the planned path."


@dataclass(frozen=True, eq=False)
class Sighting:
    """The needle in one image.

    ``tip_px`` is (row, column) and ``way`` the unit direction in the image towards the tip. ``along_se_px`` and
    ``across_se_px`` are the tip's standard errors along the needle and across it, ``angle_se_rad`` that of ``way``.
    ``length_px`` is how much of it is seen. ``confidence``, 0 to 1, is the share of that length in which a shaft of the
    needle's width stands out, times how well its width fits; it is no probability.
    """

    tip_px: Vector
    way: Vector
    along_se_px: float
    across_se_px: float
    angle_se_rad: float
    length_px: float
    width_px: float
    confidence: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "tip_px", frozen(self.tip_px))
        object.__setattr__(self, "way", frozen(self.way))

    @property
    def normal(self) -> Vector:
        """Unit vector across the needle in the image."""
        return np.array((-self.way[1], self.way[0]))

    @property
    def covariance_px2(self) -> NDArray[np.float64]:
        """The tip's covariance (row, column), 2x2."""
        a, c = np.outer(self.way, self.way), np.outer(self.normal, self.normal)
        return self.along_se_px**2 * a + self.across_se_px**2 * c


@dataclass(frozen=True)
class Unseen:
    """The needle was not found in an image, and why."""

    why: Why

    @property
    def text(self) -> str:
        """The sentence for the user."""
        return self.why.value


def again(seen: Sighting, before: Expected, move_px: float, turn_deg: float = 4.0) -> Expected:
    """Where a needle that was seen a moment ago should be now, at most ``move_px`` from there."""
    outer = seen.tip_px - max(seen.length_px, before.length_px) * seen.way
    return Expected(
        outer, seen.tip_px, before.width_px, move_px, turn_deg, max(before.beyond_px, move_px), before.slant
    )


def check_geometry(frame: Frame) -> CArm:
    """The frame's view; raises :class:`ImageError` for a frame that has none, or another size than its detector."""
    if frame.view is None:
        raise ImageError(
            f"image {frame.number} of {frame.source} has no geometry: positions cannot be told from it; "
            "give the C-arm's angles and distances."
        )
    if frame.image.shape != frame.view.detector.shape:
        rows, columns = frame.view.detector.shape
        raise ImageError(
            f"image {frame.number} of {frame.source} has {' x '.join(map(str, frame.image.shape))} pixels where its "
            f"geometry is for {rows} x {columns}: the source changed its size; give the geometry of the new one."
        )
    d = frame.view.detector
    if abs(d.row_spacing_mm / d.column_spacing_mm - 1.0) > _SQUARE:
        raise ImageError(
            f"pixels of {d.row_spacing_mm:g} x {d.column_spacing_mm:g} mm are not square: resample the image first."
        )
    return frame.view


def find_needle(
    frame: Frame, needle: Needle, where: Expected | None = None, *, beside: tuple[Expected, ...] = ()
) -> Sighting | Unseen:
    """The needle in one image, or why it is not found.

    ``where`` is what is expected (:func:`expected`, :func:`again`); without it the needle is looked for everywhere and
    its tip is the end that does not leave the image. ``beside`` are other needles' places: a line nearer to one of
    those is not this needle. Raises :class:`ImageError` for a frame whose geometry is absent or of another size.
    """
    view = check_geometry(frame)
    width = where.width_px if where else width_px(view, needle)
    if where is not None and (refused := _hopeless(where, width, frame.image.shape)):
        return Unseen(refused)
    shafts = _shafts(frame, _kind(frame, needle, width, where), where)
    if where is None:
        return _unguided(shafts, width)
    mine = [r for r in shafts if _fits(r, where) and not any(_off(r, b) < _off(r, where) for b in beside)]
    return _chosen(mine, where)


def _hopeless(where: Expected, width: float, shape: tuple[int, ...]) -> Why | None:
    """Why there is no use in looking, if so."""
    if not np.all(np.isfinite((where.outer_px, where.target_px))):
        return Why.OUTSIDE
    if where.length_px < SHORTEST_WIDTHS * width:
        return Why.END_ON
    along = np.linspace(0.0, 1.0, 50)[:, None]
    path = where.outer_px + along * (where.target_px - where.outer_px)
    inside = np.all((path >= 0.0) & (path <= np.array(shape) - 1.0), axis=1)
    return None if inside.mean() * where.length_px >= SHORTEST_WIDTHS * width else Why.OUTSIDE


def _kind(frame: Frame, needle: Needle, width: float, where: Expected | None) -> Kind:
    """What the needle looks like where it is expected."""
    slant = where.slant if where else 0.0
    # steel in the beam grows as the needle turns towards the ray; beyond the end-on limit nothing is looked for
    steel = STEEL_PER_MM * needle.outer_diameter_mm / math.sqrt(max(1.0 - slant * slant, END_ON_SHARE**2))
    bore = needle.bore_mm / needle.outer_diameter_mm
    return Kind(width, bore, slant * width, steel, frame.intensity is Intensity.LINEAR)


def _shafts(frame: Frame, kind: Kind, where: Expected | None) -> list[Shaft]:
    """Every shaft of about the needle's width, the most convincing first, no line twice."""
    width, dense = kind.width_px, density(frame)
    angles = (0.0, 90.0) if where is None else (math.degrees(math.atan2(*where.way)), where.angle_deg)
    within = None if where is None else _corridor(dense.shape, where)
    found = [fitted(dense, piece, kind) for piece in pieces(even(frame), width, within, angles)]
    out: list[Shaft] = []
    for shaft in sorted((f for f in found if f is not None and _convincing(f, width)), key=_weight, reverse=True):
        if not any(_twins(shaft, other, width) for other in out):
            out.append(shaft)
    return out[:MOST_LINES]


def _corridor(shape: tuple[int, ...], where: Expected) -> NDArray[np.bool_]:
    """Pixels where the expected needle may lie."""
    row, column = np.mgrid[: shape[0], : shape[1]]
    d = np.stack((row - where.outer_px[0], column - where.outer_px[1]), axis=-1)
    s, t = d @ where.way, d @ np.array((-where.way[1], where.way[0]))
    # turned about its middle
    room = where.across_px + math.tan(math.radians(where.angle_deg)) * np.abs(s - 0.5 * where.length_px)
    return np.asarray((np.abs(t) <= room) & (s <= where.length_px + where.beyond_px))


def _convincing(shaft: Shaft, width: float) -> bool:
    return bool(
        shaft.line.length >= SHORTEST_WIDTHS * width
        and WIDTH_SHARE.low <= shaft.scale <= WIDTH_SHARE.high
        and shaft.seen_share >= LEAST_SEEN
        and shaft.contrast >= LEAST_CONTRAST_SD * shaft.noise
        and shaft.lesser >= LESSER_SHARE * shaft.contrast
    )


def _weight(shaft: Shaft) -> float:
    """How much speaks for a shaft: its length times its contrast."""
    return shaft.line.length * shaft.contrast * shaft.seen_share


def _twins(a: Shaft, b: Shaft, width: float) -> bool:
    """Whether two fits are of one shaft: either lies within a width of the other all along."""
    off = min(np.abs((p.line.ends() - q.line.point) @ q.line.normal).max() for p, q in ((a, b), (b, a)))
    return bool(off < _TWIN_WIDTHS * width)


def _turn_deg(a: Vector, b: Vector) -> float:
    """Angle between two lines, whichever way they run, 0 to 90 degrees."""
    return math.degrees(math.acos(min(1.0, abs(float(a @ b)))))


def _off(shaft: Shaft, where: Expected) -> float:
    """How far a shaft lies from what is expected, in the tolerances of that."""
    middle = where.outer_px + 0.5 * (where.target_px - where.outer_px)
    across = abs(float((middle - shaft.line.point) @ shaft.line.normal)) / where.across_px
    return math.hypot(across, _turn_deg(shaft.line.way, where.way) / where.angle_deg)


def _fits(shaft: Shaft, where: Expected) -> bool:
    middle = where.outer_px + 0.5 * (where.target_px - where.outer_px)
    across = abs(float((middle - shaft.line.point) @ shaft.line.normal))
    return across <= where.across_px and _turn_deg(shaft.line.way, where.way) <= where.angle_deg


def _chosen(shafts: list[Shaft], where: Expected) -> Sighting | Unseen:
    """The shaft that is meant, unless none is or another is nearly as good."""
    if not shafts:
        return Unseen(Why.FAINT)
    # a line far from what was expected counts less
    worth = sorted(((_weight(r) * math.exp(-0.5 * _off(r, where) ** 2), n) for n, r in enumerate(shafts)), reverse=True)
    if len(worth) > 1 and worth[1][0] > RIVAL_SHARE * worth[0][0]:
        return Unseen(Why.SEVERAL)
    shaft = shafts[worth[0][1]]
    return _sighting(shaft, 1 if float(shaft.line.way @ where.way) > 0.0 else 0, where.width_px)


def _unguided(shafts: list[Shaft], width: float) -> Sighting | Unseen:
    """Without an expectation: the one line there is, its tip the end that does not leave the image."""
    if not shafts:
        return Unseen(Why.FAINT)
    if len(shafts) > 1 and _weight(shafts[1]) > RIVAL_SHARE * _weight(shafts[0]):
        return Unseen(Why.SEVERAL)
    hidden = [_hidden(shafts[0], end) for end in (0, 1)]
    if all(hidden):
        return Unseen(Why.HIDDEN)
    if not any(hidden):
        return Unseen(Why.WHICH_END)
    return _sighting(shafts[0], hidden.index(None), width)


def _hidden(shaft: Shaft, end: int) -> Why | None:
    """Why an end may not be where the shaft ends, if so."""
    dense = shaft.beyond[end]
    if shaft.edge[end] or dense > DARK_LOG:
        return Why.HIDDEN
    if shaft.covered[end]:
        return Why.COVERED
    return Why.HIDDEN if dense > HIDING_CONTRASTS * shaft.contrast else None


def _sighting(shaft: Shaft, end: int, width: float) -> Sighting | Unseen:
    hidden = _hidden(shaft, end)
    if hidden is not None:
        return Unseen(hidden)
    sense = 1.0 if end == 1 else -1.0
    # the axis is surest at its middle, the tip lies half a length away
    across = math.hypot(shaft.across_se_px, shaft.angle_se_rad * 0.5 * shaft.line.length)
    return Sighting(
        shaft.line.ends()[end],
        sense * shaft.line.way,
        max(shaft.ends_se_px[end], MODEL_PX),
        across,
        shaft.angle_se_rad,
        shaft.line.length,
        shaft.scale * width,
        shaft.seen_share * max(0.0, 1.0 - abs(math.log(shaft.scale))),
    )
