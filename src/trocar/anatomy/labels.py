"""What a label map says, freed from its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trocar.anatomy.levels import Level
from trocar.anatomy.schemes import Kind, Meaning, Scheme
from trocar.measure import Finding, Severity
from trocar.volume import Volume

K = TypeVar("K")


@dataclass(frozen=True)
class Labels:
    """The structures of one patient, each a mask (unit "mask") cropped to its bounding box.

    All masks lie on sub-grids of the CT's grid. ``vertebrae`` are whole bones by level.
    ``structures`` use TotalSegmentator's names with the lobes joined ("lung_left", "lung_right",
    "aorta", "inferior_vena_cava", "kidney_left", "spinal_cord", "spinal_canal", "rib_left_9",
    "sacrum", "intervertebral_discs" ...); ribs whose side no label tells are "rib_9", and a vertebra
    that the label map's own edge cuts is "vertebra_L3" here. ``subregions`` are parts of vertebrae that
    some schemes give, not split by level ("body", "arch", "spinous_process",
    "superior_articular_left" ...). ``digests`` are pairs of a file's name and its SHA-256.
    """

    scheme: str
    vertebrae: dict[Level, Volume]
    structures: dict[str, Volume] = field(default_factory=dict)
    subregions: dict[str, Volume] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    digests: tuple[tuple[str, str], ...] = ()


def split(labels: Volume, scheme: Scheme) -> Labels:
    """The masks that ``labels`` (unit "label", whole numbers) holds under ``scheme``.

    Numbers that the scheme does not know are told in a finding and left out.
    """
    boxes = boxes_by_number(labels)
    parts: dict[Meaning, list[Volume]] = {}
    unknown: dict[int, int] = {}
    for number, box in boxes.items():
        found = scheme.labels.get(number)
        if found is None:
            unknown[number] = int(np.count_nonzero(labels.array[box] == number))
        else:
            parts.setdefault(found, []).append(_mask(labels, number, box))
    masks = {found: union(volumes) for found, volumes in parts.items()}
    return Labels(
        scheme=scheme.name,
        vertebrae={m.level: v for m, v in sorted(masks.items(), key=_head_to_foot) if m.kind is Kind.VERTEBRA},
        structures={m.name: v for m, v in masks.items() if m.kind is Kind.STRUCTURE},
        subregions={m.name: v for m, v in masks.items() if m.kind is Kind.SUBREGION},
        findings=_unknown_numbers(unknown, scheme),
    )


def boxes_by_number(labels: Volume) -> dict[int, tuple[slice, slice, slice]]:
    """The bounding box of every number above 0 in a label volume, found in one pass."""
    boxes = ndimage.find_objects(labels.array)
    return {number: box for number, box in enumerate(boxes, start=1) if box is not None}


def union(masks: Sequence[Volume]) -> Volume:
    """One mask that holds all ``masks``, which lie on sub-grids of one grid."""
    if len(masks) == 1:
        return masks[0]
    first = masks[0]
    starts = np.array([np.rint(first.index_kji(m.world_mm((0, 0, 0)))).astype(int) for m in masks])
    stops = starts + np.array([m.shape for m in masks])
    low = starts.min(axis=0)
    array = np.zeros(stops.max(axis=0) - low, dtype=bool)
    for mask, start, stop in zip(masks, starts - low, stops - low, strict=True):
        array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] |= mask.array
    affine = first.affine.copy()
    affine[:3, 3] = first.world_mm(low)
    return replace(first, array=array, affine=affine)


def merge(several: Sequence[Labels]) -> Labels:
    """The labels of several files as one; what two of them hold is joined, with a note."""
    if len(several) == 1:
        return several[0]
    return Labels(
        scheme=" + ".join(dict.fromkeys(part.scheme for part in several)),
        vertebrae=dict(sorted(_joined(p.vertebrae for p in several).items(), key=lambda item: item[0].order)),
        structures=_joined(part.structures for part in several),
        subregions=_joined(part.subregions for part in several),
        findings=tuple(f for part in several for f in part.findings) + _told_twice(several),
        digests=tuple(d for part in several for d in part.digests),
    )


def _mask(labels: Volume, number: int, box: tuple[slice, slice, slice]) -> Volume:
    start = [s.start for s in box]
    affine = labels.affine.copy()
    affine[:3, 3] = labels.world_mm(start)
    array: NDArray[np.bool_] = labels.array[box] == number
    return Volume(array, affine, labels.frame_of_reference, "mask")


def _head_to_foot(item: tuple[Meaning, Volume]) -> int:
    return item[0].level.order if item[0].kind is Kind.VERTEBRA else -1


def _unknown_numbers(unknown: dict[int, int], scheme: Scheme) -> tuple[Finding, ...]:
    if not unknown:
        return ()
    counts = ", ".join(f"{number} ({voxels} voxels)" for number, voxels in unknown.items())
    return (
        Finding(
            Severity.NOTE,
            f"label numbers that {scheme.name} does not name were left out: {counts}.",
            "what they mark is not checked",
        ),
    )


def _joined(parts: Iterable[dict[K, Volume]]) -> dict[K, Volume]:
    masks: dict[K, list[Volume]] = {}
    for part in parts:
        for name, mask in part.items():
            masks.setdefault(name, []).append(mask)
    return {name: union(found) for name, found in masks.items()}


def _told_twice(several: Sequence[Labels]) -> tuple[Finding, ...]:
    names = [str(n) for part in several for group in (part.vertebrae, part.structures, part.subregions) for n in group]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not twice:
        return ()
    return (Finding(Severity.NOTE, f"in more than one label file or layer, joined: {', '.join(twice)}."),)
