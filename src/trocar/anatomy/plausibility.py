"""Whether labels can be what their scheme says: order, spacing and size of vertebrae.

Nothing here looks at numbers alone. Each label's size and place are measured once, and a scheme is
then only a way of naming them: the names must run from head to foot, at distances and in sizes that
vertebrae have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import ndimage

from trocar.anatomy.labels import boxes_by_number
from trocar.anatomy.levels import Level
from trocar.anatomy.schemes import Scheme, schemes
from trocar.errors import LabelSchemeError
from trocar.geometry import Vector
from trocar.measure import Range
from trocar.volume import Volume

#: Whole bones, ml. Engineering brackets: half the smallest and twice the largest that labelled CTs show.
VOLUME_ML = {
    "cervical": Range(3.0, 40.0, "ml"),
    "upper thoracic": Range(5.0, 40.0, "ml"),
    "lower thoracic": Range(10.0, 75.0, "ml"),
    "lumbar": Range(18.0, 140.0, "ml"),
    "sacral": Range(8.0, 160.0, "ml"),
}

#: Distance between the centroids of neighbouring bones, mm: body height and disc of small and of tall adults, by the
#: lower bone (a collapsed body takes a few millimetres off; arches pull centroids about).
SPACING_MM = {
    "cervical": Range(8.0, 28.0, "mm"),
    "upper thoracic": Range(11.0, 29.0, "mm"),
    "lower thoracic": Range(13.0, 37.0, "mm"),
    "lumbar": Range(18.0, 52.0, "mm"),
    "sacral": Range(15.0, 55.0, "mm"),
}

#: The longest way from one end of a vertebra's box to the other, mm: transverse processes of L3 span some 100 mm.
LONGEST_MM = 160.0

#: Labels smaller than this are specks: they neither prove nor disprove a scheme, ml.
SPECK_ML = 1.0

#: Levels that a normal variant may lack: eleven ribs, or four lumbar vertebrae.
MAY_BE_ABSENT = frozenset({Level.T12, Level.T13, Level.L5, Level.L6})


@dataclass(frozen=True)
class Piece:
    """Size and place of one label: volume, centroid (LPS mm), its box, and whether the scan's edge cuts it."""

    volume_ml: float
    centroid_mm: Vector
    extent_mm: Vector
    cut: bool


def pieces(labels: Volume, numbers: Iterable[int] | None = None) -> dict[int, Piece]:
    """Size and place of the given numbers of a label volume, or of all."""
    boxes = boxes_by_number(labels)
    wanted = boxes.keys() if numbers is None else [n for n in numbers if n in boxes]
    return {n: _piece(labels, n, boxes[n]) for n in wanted}


def _piece(labels: Volume, number: int, box: tuple[slice, slice, slice]) -> Piece:
    mask = labels.array[box] == number
    start = np.array([s.start for s in box])
    stop = np.array([s.stop for s in box])
    centre = np.array(ndimage.center_of_mass(mask)) + start
    return Piece(
        volume_ml=float(np.count_nonzero(mask)) * labels.voxel_ml,
        centroid_mm=labels.world_mm(centre),
        extent_mm=(stop - start) * np.asarray(labels.spacing_mm),
        cut=bool(np.any(start == 0) or np.any(stop == labels.shape)),
    )


def region(level: Level) -> str:
    """The region whose sizes a level has: the thoracic spine is divided at T6."""
    if level.region != "thoracic":
        return level.region
    return "upper thoracic" if level.order <= Level.T6.order else "lower thoracic"


def misfits(found: Mapping[Level, Piece]) -> list[str]:
    """What does not fit, one sentence each; empty when the labels can be these vertebrae."""
    levels = sorted((v for v in found if found[v].volume_ml >= SPECK_ML), key=lambda v: v.order)
    if not levels:
        return ["it leaves no vertebra in the file"]
    texts = [text for level in levels for text in _size_misfits(level, found[level])]
    for upper, lower in pairwise(levels):
        texts += _spacing_misfits(upper, found[upper], lower, found[lower])
    return texts


def _size_misfits(level: Level, piece: Piece) -> list[str]:
    bounds = VOLUME_ML[region(level)]
    low = 0.0 if piece.cut else bounds.low
    if not low <= piece.volume_ml <= bounds.high:
        return [f"{level} would be {piece.volume_ml:.0f} ml ({bounds.low:g} to {bounds.high:g} is usual)"]
    if float(np.linalg.norm(piece.extent_mm)) > LONGEST_MM:
        return [f"{level} would reach over {np.linalg.norm(piece.extent_mm):.0f} mm"]
    return []


def _spacing_misfits(upper: Level, above: Piece, lower: Level, below: Piece) -> list[str]:
    down = float(above.centroid_mm[2] - below.centroid_mm[2])
    if down <= 0.0:
        return [f"{lower} would lie above {upper}"]
    distance = float(np.linalg.norm(above.centroid_mm - below.centroid_mm))
    low, high = _spacing_bounds(upper, lower)
    cut = above.cut or below.cut
    if distance > high or (distance < low and not cut):
        return [f"{upper} and {lower} would be {distance:.0f} mm apart ({low:.0f} to {high:.0f} is usual)"]
    return []


def _spacing_bounds(upper: Level, lower: Level) -> tuple[float, float]:
    steps = [
        v for v in Level if upper.order < v.order <= lower.order and (v not in (Level.T13, Level.L6) or v is lower)
    ]
    needed = [v for v in steps if v is lower or v not in MAY_BE_ABSENT]
    return sum(SPACING_MM[region(v)].low for v in needed), sum(SPACING_MM[region(v)].high for v in steps)


def fitting(labels: Volume) -> list[str]:
    """The built-in schemes under which the labels can be vertebrae, the one with most of them first."""
    measured = pieces(labels)
    counts: dict[str, int] = {}
    for name, scheme in schemes().items():
        named = {level: measured[n] for n, level in scheme.levels.items() if n in measured}
        if named and not misfits(named):
            counts[name] = sum(p.volume_ml >= SPECK_ML for p in named.values())
    most = max(counts.values(), default=0)
    return [name for name, count in counts.items() if count == most]


def check_scheme(labels: Volume, scheme: Scheme) -> None:
    """Raise :class:`LabelSchemeError` when the vertebrae of ``scheme`` cannot be what ``labels`` hold.

    The error says what did not fit, and which built-in scheme would.
    """
    measured = pieces(labels, scheme.levels)
    texts = misfits({level: measured[n] for n, level in scheme.levels.items() if n in measured})
    if texts:
        more = f" and {len(texts) - 3} more" if len(texts) > 3 else ""
        raise LabelSchemeError(
            f"the labels do not fit the scheme {scheme.name}: {'; '.join(texts[:3])}{more}. {advice(labels)}"
        )


def advice(labels: Volume) -> str:
    """One sentence: which built-in schemes would fit."""
    names = fitting(labels)
    if not names:
        return "No built-in scheme fits: check the file, or write its numbers down in your own JSON scheme."
    return f"It would fit {' or '.join(names)}: name the scheme that made the file."
