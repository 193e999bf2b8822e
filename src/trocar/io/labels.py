"""Reading label maps: any format in, masks on the CT's grid out, checked against the geometry and the bone."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trocar.anatomy.labels import Labels, boxes_by_number, merge, split, union
from trocar.anatomy.levels import Level
from trocar.anatomy.placement import placement
from trocar.anatomy.plausibility import advice, concerns, in_one_piece, misfits, piece, rival, swapped_sides
from trocar.anatomy.schemes import Kind, Meaning, Scheme, own_scheme, schemes
from trocar.anatomy.schemes import scheme as built_in
from trocar.errors import FrameMismatchError, ImageError, LabelSchemeError
from trocar.io.label_file import Source, open_labels
from trocar.io.label_map import LabelMap, Layer
from trocar.io.onto_grid import cut_numbers, onto_grid
from trocar.measure import Finding, Severity
from trocar.volume import Volume

Named = str | os.PathLike[str] | Scheme | None

#: What carries the meaning in files that give it themselves, for sentences.
CODED = {"dicom-seg": "coded segments", "slicer": "named segments", "header": "label names in its header"}

#: Least share of labelled parts of vertebrae (bodies, arches) that lies in the vertebrae of the other file: two
#: programs draw the same edge half a voxel apart, and one may label a vertebra that the other leaves out.
PARTS_INSIDE_MIN = 0.5


@dataclass(frozen=True)
class _Read:
    """One file's labels on the CT's grid, and the number volumes they came from.

    ``coded``: the file said itself what they mean; ``framed``: a frame of reference ties it to the CT.
    """

    title: str
    labels: Labels
    volumes: tuple[Volume, ...]
    coded: bool
    framed: bool


def read_labels(source: Source | Sequence[Source], on: Volume, scheme: Named | Sequence[Named] = None) -> Labels:
    """The structures that one or several label files mark on the CT ``on``, as masks on its grid.

    ``source`` is a NIfTI, NRRD, MetaImage, .seg.nrrd or DICOM SEG file, a pydicom dataset, a
    ``Volume``, an array on the CT's own grid, or a list of them. ``scheme`` is the name of a built-in
    scheme, the path of your own JSON, or a list with one for each source; None reads what the file
    says of itself.

    Raises ``ValueError`` when there is no such scheme, :class:`LabelSchemeError` when the numbers cannot
    mean what it says, :class:`FrameMismatchError` when the labels belong to another scan, and
    :class:`ImageError` when a file is no label map, is empty, or has no vertebra.
    """
    sources: list[Source] = list(source) if isinstance(source, (list, tuple)) else [source]
    maps = [open_labels(one, on) for one in sources]
    read = [_read(one, on, named) for one, named in zip(maps, _schemes(scheme, len(maps)), strict=True)]
    found = in_one_piece(merge([one.labels for one in read]), on)
    told = _check_geometry(found, read, on) + _check_sides(found) + _check_place(read, on)
    return replace(found, findings=(*found.findings, *told))


def _schemes(scheme: Named | Sequence[Named], count: int) -> list[Named]:
    """One scheme for each source; "a + b", as a plan records two files, is two."""
    named: list[Named]
    if isinstance(scheme, (str, os.PathLike, Scheme)) or scheme is None:
        named = [scheme] * count
    else:
        named = list(scheme)
    if len(named) != count:
        raise ValueError(f"scheme: {len(named)} given for {count} label files; give one, or one for each.")
    parts = str(named[0]).split(" + ") if len(set(map(str, named))) == 1 else []
    return list(parts) if len(parts) == count > 1 else named


def _read(opened: LabelMap, on: Volume, named: Named) -> _Read:
    """Every layer of one file: its meaning, the CT's grid, the masks."""
    parts: list[Labels] = []
    volumes: list[Volume] = []
    findings = list(opened.findings)
    for layer in (one for one in opened.layers if one.volume.array.any()):
        meaning = _meaning(layer, opened, named)
        moved, told = onto_grid(layer, on, opened.title)
        cut = {meaning.levels[n] for n in cut_numbers(layer.volume, on) if n in meaning.levels}
        parts.append(_set_aside(split(moved.volume, meaning), cut))
        volumes.append(moved.volume)
        findings += (*layer.volume.findings, *told)
    if not parts:
        raise ImageError(f"{opened.title} is empty: no voxel is labelled. Give the label map of this scan.")
    labels = merge(parts)
    labels = replace(labels, findings=(*dict.fromkeys(findings), *labels.findings), digests=opened.digests)
    coded = bool(opened.scheme) and labels.scheme == opened.scheme
    framed = bool(on.frame_of_reference) and all(one.volume.frame_of_reference for one in opened.layers)
    return _Read(opened.title, labels, tuple(volumes), coded, framed)


def _set_aside(labels: Labels, cut: set[Level]) -> Labels:
    """Vertebrae cut by the label map's own edge, within the CT, are kept as obstacles and not as vertebrae."""
    cut = cut & set(labels.vertebrae)
    if not cut:
        return labels
    names = ", ".join(str(v) for v in sorted(cut, key=lambda v: v.order))
    text = f"the label map ends within the CT and cuts {names}: no path is planned there."
    return replace(
        labels,
        vertebrae={v: mask for v, mask in labels.vertebrae.items() if v not in cut},
        structures=labels.structures | {f"vertebra_{v}": labels.vertebrae[v] for v in cut},
        findings=(*labels.findings, Finding(Severity.CAUTION, text, "label the whole scan to use these levels")),
    )


def _meaning(layer: Layer, opened: LabelMap, named: Named) -> Scheme:
    """The scheme of a layer: what was named, or what the file says of itself."""
    if isinstance(named, Scheme):
        return named
    if named is None or str(named) in CODED:
        return _coded(layer, opened, str(named or ""))
    if str(named).endswith(".json"):
        return _own(Path(named))
    name = _spineps_file(opened.title) if str(named) == "spineps" else str(named)
    scheme = built_in(name)
    _check_header(scheme, layer, opened)
    return scheme


def _coded(layer: Layer, opened: LabelMap, named: str) -> Scheme:
    if opened.scheme and named in ("", opened.scheme):
        return Scheme(opened.scheme, layer.says, schemes()[opened.scheme].meaning)
    if named:
        raise LabelSchemeError(f"{opened.title} has no {CODED[named]}, so {named} cannot read it: name its scheme.")
    raise LabelSchemeError(
        f"{opened.title} gives its labels as numbers alone: name their scheme with --scheme. {advice(layer.volume)}"
    )


def _own(path: Path) -> Scheme:
    if not path.is_file():
        raise ValueError(f"there is no scheme file {path}: check the path.")
    try:
        return own_scheme(path.read_text(encoding="utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise LabelSchemeError(f"{path.name} cannot be read as text ({error}).") from error


def _spineps_file(title: str) -> str:
    """SPINEPS names its files ``..._seg-vert_msk`` and ``..._seg-spine_msk``; their numbers overlap."""
    words = set(re.split(r"[^a-z]+", title.lower()))
    kinds = [kind for kind in ("vert", "spine") if kind in words]
    if len(kinds) != 1:
        raise LabelSchemeError(
            f"the name {title} does not tell which SPINEPS file it is: use the scheme spineps-vert or spineps-spine."
        )
    return f"spineps-{kinds[0]}"


def _check_header(scheme: Scheme, layer: Layer, opened: LabelMap) -> None:
    """Refuse a scheme that calls a number a vertebra which the file itself calls something else, or the reverse."""
    for number in boxes_by_number(layer.volume) if layer.says else ():
        ours, theirs = scheme.labels.get(number), layer.says.get(number)
        if theirs and ours != theirs and Kind.VERTEBRA in (theirs.kind, ours.kind if ours else None):
            raise LabelSchemeError(
                f"{opened.title} says itself that label {number} is {theirs.name}; in {scheme.name} it is "
                f"{_called(ours)}. {advice(layer.volume)} Without a scheme, what the file says is used."
            )


def _called(meaning: Meaning | None) -> str:
    return meaning.name if meaning else "nothing"


def _check_geometry(found: Labels, read: Sequence[_Read], on: Volume) -> tuple[Finding, ...]:
    """Raise unless the vertebrae can be what they are called; otherwise what must be told of them."""
    pieces = {level: piece(mask, on) for level, mask in found.vertebrae.items()}
    texts = misfits(pieces)
    numbered = [volume for one in read if not one.coded for volume in one.volumes]
    if not found.vertebrae and not any(rival(volume, 0) for volume in numbered):
        raise ImageError(f"no vertebra is labelled ({found.scheme}): give a label map that has vertebrae by level.")
    if texts:
        more = f", and {len(texts) - 3} more" if len(texts) > 3 else ""
        which = " ".join(advice(volume) for volume in numbered[:1])
        raise LabelSchemeError(
            f"the labels do not fit the scheme {found.scheme}: {'; '.join(texts[:3])}{more}. {which}".rstrip()
        )
    for better in (rival(volume, len(pieces)) for volume in numbered):
        if better:
            levels = ", ".join(map(str, pieces))
            raise LabelSchemeError(f"as {found.scheme} the labels have only {levels}. They fit {better} far better.")
    return tuple(concerns(pieces))


def _check_sides(found: Labels) -> tuple[Finding, ...]:
    swapped, pairs = swapped_sides(found)
    if not swapped:
        return ()
    names = ", ".join(swapped)
    if 2 * len(swapped) > pairs:
        raise ImageError(
            f"left and right are exchanged in the labels ({names}): the label map, or the scan, is mirrored. "
            "Export both again from the same source."
        )
    text = f"the labels have the left on the right side for {names}."
    return (Finding(Severity.CAUTION, text, "the other pairs lie as they should"),)


def _check_place(read: Sequence[_Read], on: Volume) -> tuple[Finding, ...]:
    """Raise unless the bones of every file lie on the CT's bone, and parts of bones on those bones."""
    if on.unit != "HU":
        text = f"the place of the labels was not checked: the scan is in {on.unit}, not HU."
        return (Finding(Severity.CAUTION, text, "bone under the labels is what the check looks for"),)
    whole = union([mask for one in read for mask in one.labels.vertebrae.values()])
    return tuple(finding for one in read for finding in _check_file(one, whole, on))


def _check_file(one: _Read, whole: Volume, on: Volume) -> tuple[Finding, ...]:
    parts = [mask for name, mask in one.labels.subregions.items() if name != "endplate"]
    if one.labels.vertebrae:
        _check_bones(one, on)
    elif parts:
        _check_parts(one.title, union(parts), whole)
    elif not one.framed:
        text = f"the place of {one.title} was not checked: it labels no bone and names no frame of reference."
        return (Finding(Severity.NOTE, text, "bone under the labels is what the check looks for"),)
    return ()


def _check_bones(one: _Read, on: Volume) -> None:
    found = placement(list(one.labels.vertebrae.values()), on)
    if not found.on_bone:
        raise FrameMismatchError(
            f"{one.title} does not lie on the bone of this CT: {found.sentence}. "
            "It belongs to another scan, or its header turns or moves it."
        )


def _check_parts(title: str, parts: Volume, whole: Volume) -> None:
    inside = np.count_nonzero(parts.array & whole.onto(parts).array) / np.count_nonzero(parts.array)
    if inside < PARTS_INSIDE_MIN:
        raise FrameMismatchError(
            f"{inside:.0%} of the parts of vertebrae in {title} lie in the vertebrae ({PARTS_INSIDE_MIN:.0%} is "
            "needed): the two files belong to different scans."
        )
