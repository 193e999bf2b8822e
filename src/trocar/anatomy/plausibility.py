"""Whether labels can be what they are said to be: order, spacing, size and side.

Nothing here looks at numbers alone. Each label's size and place are measured once, and a scheme is
then only a way of naming them: the names must run from head to foot, at distances and in sizes that
vertebrae have, and left must lie left of right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy import ndimage

from trocar.anatomy.labels import Labels, boxes_by_number
from trocar.anatomy.levels import Level
from trocar.anatomy.schemes import schemes
from trocar.geometry import Vector
from trocar.measure import Finding, Range, Severity
from trocar.volume import Volume

#: Whole bones, ml. Engineering brackets: half the smallest and twice the largest that labelled CTs of ours show
#: (T9 27, T12 40 and 49, L1 45 and 59, L3 to L5 66, S1 46), narrowing upwards with the published body widths.
VOLUME_ML = {
    "cervical": Range(3.0, 40.0, "ml"),
    "upper thoracic": Range(5.0, 40.0, "ml"),
    "lower thoracic": Range(8.0, 80.0, "ml"),
    "lumbar": Range(16.0, 140.0, "ml"),
    "sacral": Range(8.0, 320.0, "ml"),
}

#: Distance between the centroids of neighbouring bones, mm, by the lower bone: body height and disc of small and of
#: tall adults, less a collapsed body, more a long arch that pulls the centroid down.
SPACING_MM = {
    "cervical": Range(8.0, 28.0, "mm"),
    "upper thoracic": Range(11.0, 29.0, "mm"),
    "lower thoracic": Range(12.0, 37.0, "mm"),
    "lumbar": Range(16.0, 52.0, "mm"),
    "sacral": Range(15.0, 60.0, "mm"),
}

#: The longest side of a vertebra's box, mm: the transverse processes of a broad L3 span some 100 mm.
LONGEST_SIDE_MM = 130.0

#: Labels smaller than this are specks: they neither prove nor disprove a scheme, ml.
SPECK_ML = 1.0

#: Parts of a vertebra smaller than this share of it are islands, dropped with a note.
ISLAND = 0.05

#: Whole neighbours whose volumes differ by more than this factor are told: labels of neighbours get mixed.
NEIGHBOUR_RATIO = 1.8

#: Levels that a normal variant may lack: eleven ribs, or four lumbar vertebrae.
MAY_BE_ABSENT = frozenset({Level.T12, Level.T13, Level.L5, Level.L6})

#: With fewer vertebrae than this, order and spacing prove little, and a rival scheme is looked for.
FEW = 3


@dataclass(frozen=True)
class Piece:
    """Size and place of one label: volume, centroid (LPS mm), sides of its box, whether the grid's edge cuts it."""

    volume_ml: float
    centroid_mm: Vector
    sides_mm: Vector
    cut: bool


def piece(mask: Volume, on: Volume) -> Piece:
    """Size and place of a mask on a sub-grid of ``on``."""
    start = np.rint(on.index_kji(mask.world_mm((0, 0, 0))))
    return Piece(
        volume_ml=float(np.count_nonzero(mask.array)) * mask.voxel_ml,
        centroid_mm=mask.world_mm(ndimage.center_of_mass(mask.array)),
        sides_mm=np.asarray(mask.shape) * np.asarray(mask.spacing_mm),
        cut=bool(np.any(start <= 0) or np.any(start + mask.shape >= on.shape)),
    )


def region(level: Level) -> str:
    """The region whose sizes a level has: the thoracic spine is divided at T6."""
    if level.region != "thoracic":
        return level.region
    return "upper thoracic" if level.order <= Level.T6.order else "lower thoracic"


def misfits(found: Mapping[Level, Piece]) -> list[str]:
    """What does not fit, one clause each; empty when the labels can be these vertebrae."""
    levels = [v for v in _head_to_foot(found) if found[v].volume_ml >= SPECK_ML]
    if not levels:
        return ["no label would be a vertebra"]
    texts = [text for level in levels for text in _size_misfits(level, found[level])]
    texts += _lone_variant(levels)
    for upper, lower in pairwise(levels):
        texts += _spacing_misfits(upper, found[upper], lower, found[lower])
    return texts


def _head_to_foot(found: Mapping[Level, Piece]) -> list[Level]:
    return sorted(found, key=lambda v: v.order)


def _size_misfits(level: Level, found: Piece) -> list[str]:
    bounds = VOLUME_ML[region(level)]
    low = 0.0 if found.cut else bounds.low
    if not low <= found.volume_ml <= bounds.high:
        return [f"{level} would have {found.volume_ml:.0f} ml ({bounds.low:g} to {bounds.high:g} is usual)"]
    if level is not Level.S1 and float(np.max(found.sides_mm)) > LONGEST_SIDE_MM:
        return [f"{level} would be {np.max(found.sides_mm):.0f} mm long"]
    return []


def _lone_variant(levels: list[Level]) -> list[str]:
    """T13 and L6 exist only beside their neighbours."""
    texts = []
    if Level.T13 in levels and not {Level.T12, Level.L1} & set(levels):
        texts.append("T13 would stand without T12 or L1")
    if Level.L6 in levels and Level.L5 not in levels:
        texts.append("L6 would stand without L5")
    return texts


def _spacing_misfits(upper: Level, above: Piece, lower: Level, below: Piece) -> list[str]:
    if above.centroid_mm[2] <= below.centroid_mm[2]:
        return [f"{lower} would lie above {upper}"]
    distance = float(np.linalg.norm(above.centroid_mm - below.centroid_mm))
    low, high = _spacing_bounds(upper, lower)
    # the centroid of a cut vertebra lies anywhere in it
    if distance > high or (distance < low and not (above.cut or below.cut)):
        return [f"{upper} and {lower} would be {distance:.0f} mm apart ({low:.0f} to {high:.0f} is usual)"]
    return []


def _spacing_bounds(upper: Level, lower: Level) -> tuple[float, float]:
    """Bounds of the distance of two levels; absent ones between them count, and those that may be absent may."""
    steps = _between(upper, lower)
    needed = [v for v in steps if v is lower or v not in MAY_BE_ABSENT]
    return sum(SPACING_MM[region(v)].low for v in needed), sum(SPACING_MM[region(v)].high for v in steps)


def _between(upper: Level, lower: Level) -> list[Level]:
    """The levels below ``upper`` down to ``lower``; T13 and L6 only where they are ``lower``."""
    levels = [v for v in Level if upper.order < v.order <= lower.order]
    return [v for v in levels if v is lower or v not in (Level.T13, Level.L6)]


def fitting(labels: Volume) -> dict[str, int]:
    """The built-in schemes under which the numbers can be vertebrae, with how many, the most first."""
    measured = {
        n: piece(Volume(labels.array[box] == n, _affine_at(labels, box), unit="mask"), labels)
        for n, box in boxes_by_number(labels).items()
    }
    counts: dict[str, int] = {}
    for name, scheme in schemes().items():
        named = {level: measured[n] for n, level in scheme.levels.items() if n in measured}
        if named and not misfits(named):
            counts[name] = sum(p.volume_ml >= SPECK_ML for p in named.values())
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def _affine_at(labels: Volume, box: tuple[slice, slice, slice]) -> np.ndarray:
    affine = labels.affine.copy()
    affine[:3, 3] = labels.world_mm([s.start for s in box])
    return affine


def advice(labels: Volume) -> str:
    """One sentence: which built-in schemes would fit best."""
    counts = fitting(labels)
    best = [name for name, count in counts.items() if count == max(counts.values())]
    if not best:
        return "No built-in scheme fits: check the file, or write its numbers down in your own JSON scheme."
    return f"It would fit {' or '.join(best)}."


def rival(labels: Volume, count: int) -> str:
    """The scheme that makes much more of the numbers than the ``count`` vertebrae found, or nothing."""
    if count >= FEW:
        return ""
    return next((name for name, more in fitting(labels).items() if more >= count + FEW), "")


def swapped_sides(labels: Labels) -> tuple[list[str], int]:
    """Structures whose left lies right of its right, by the centres of their boxes, and how many pairs there are."""
    masks = {**labels.structures, **labels.subregions}
    swapped, pairs = [], 0
    for name, left in masks.items():
        right = masks.get(name.replace("_left", "_right"))
        if "_left" not in name or right is None or min(_ml(left), _ml(right)) < SPECK_ML:
            continue
        pairs += 1
        if _centre(left)[0] < _centre(right)[0]:
            swapped.append(name.replace("_left", ""))
    return swapped, pairs


def _ml(mask: Volume) -> float:
    return float(np.count_nonzero(mask.array)) * mask.voxel_ml


def _centre(mask: Volume) -> Vector:
    return mask.world_mm((np.asarray(mask.shape) - 1) / 2)


def in_one_piece(labels: Labels, on: Volume) -> Labels:
    """The labels without the islands of their vertebrae; what was dropped, or lies in two parts, is told."""
    vertebrae: dict[Level, Volume] = {}
    findings: list[Finding] = []
    for level, mask in labels.vertebrae.items():
        vertebrae[level], told = _without_islands(level, mask, piece(mask, on).cut)
        findings += told
    return replace(labels, vertebrae=vertebrae, findings=(*labels.findings, *findings))


def _without_islands(level: Level, mask: Volume, cut: bool) -> tuple[Volume, list[Finding]]:
    numbered, count = ndimage.label(mask.array, structure=np.ones((3, 3, 3)))
    if count == 1:
        return mask, []
    sizes = np.bincount(numbered.ravel(), minlength=count + 1)[1:]
    large = np.flatnonzero(sizes >= ISLAND * sizes.sum()) + 1
    findings = []
    if len(large) < count:
        lost_ml = float(sizes.sum() - sizes[large - 1].sum()) * mask.voxel_ml
        text = f"{level}: {lost_ml:.2f} ml of the label were dropped, in {_islands(count - len(large))} apart from it."
        findings.append(Finding(Severity.NOTE, text, f"islands of less than {ISLAND:.0%} of the label"))
    if len(large) > 1 and not cut:
        shares = " and ".join(f"{s:.0%}" for s in sorted(sizes[large - 1] / sizes.sum(), reverse=True))
        text = f"{level}: the label lies in {len(large)} parts that do not touch ({shares})."
        findings.append(
            Finding(Severity.CAUTION, text, "a defect of the arch, a fracture, or a label of two vertebrae")
        )
    return _trimmed(replace(mask, array=np.isin(numbered, large))), findings


def _islands(count: int) -> str:
    return "1 island" if count == 1 else f"{count} islands"


def _trimmed(mask: Volume) -> Volume:
    box = ndimage.find_objects(mask.array.astype(np.uint8))[0]
    return mask.crop([s.start for s in box], [s.stop for s in box])


def concerns(found: Mapping[Level, Piece]) -> list[Finding]:
    """What is possible but must be told: absent levels, transitional ones, unequal neighbours, too few to check."""
    levels = _head_to_foot(found)
    told = [_transitional(v) for v in levels if v in (Level.T13, Level.L6)]
    for upper, lower in pairwise(levels):
        told += _absent(upper, lower) + _unequal(upper, found[upper], lower, found[lower])
    if len(levels) < 2:
        text = f"{levels[0]} is the only vertebra in the labels: their order could not be checked."
        told.append(Finding(Severity.CAUTION, text, "make sure of the level before treating it"))
    return told


def _transitional(level: Level) -> Finding:
    text = f"the labels have {level}, a transitional vertebra: make sure of the count before treating any level."
    return Finding(Severity.CAUTION, text, "levels are easily miscounted where the number of vertebrae varies")


def _absent(upper: Level, lower: Level) -> list[Finding]:
    missing = _between(upper, lower)[:-1]
    if not missing:
        return []
    text = f"the labels lack {', '.join(map(str, missing))} between {upper} and {lower}."
    return [Finding(Severity.CAUTION, text, "a normal variant, or a label that was lost: check the count")]


def _unequal(upper: Level, above: Piece, lower: Level, below: Piece) -> list[Finding]:
    ratio = max(above.volume_ml, below.volume_ml) / min(above.volume_ml, below.volume_ml)
    if above.cut or below.cut or Level.S1 in (upper, lower) or upper.region == "cervical" or ratio <= NEIGHBOUR_RATIO:
        return []
    text = f"{upper} has {above.volume_ml:.0f} ml and its neighbour {lower} {below.volume_ml:.0f} ml."
    return [Finding(Severity.CAUTION, text, "labels of neighbours are sometimes mixed, or one is incomplete")]
