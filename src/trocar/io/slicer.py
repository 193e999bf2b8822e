"""3D Slicer's segmentation files (.seg.nrrd), overlapping segments included.

Slicer developer guide, "Segmentations": a fourth axis, where there is one, runs over layers; each
segment names its layer, its label value, its name and its terminology.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from trocar.anatomy.schemes import Kind, Meaning, by_code, by_name, is_known, looks_like_level
from trocar.errors import ImageError, LabelSchemeError
from trocar.io.itk import affine_of
from trocar.io.label_map import LabelMap, kept_by_name, layer
from trocar.io.stored import Stored
from trocar.measure import Finding


def is_segmentation(path: Path) -> bool:
    """Whether an NRRD file carries Slicer's segment fields; a file that cannot be read does not."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return False
    return bool(reader.HasMetaDataKey("Segment0_LabelValue") or reader.HasMetaDataKey("Segment0_ID"))


def open_segmentation(path: Path) -> LabelMap:
    """A .seg.nrrd file as a label map, one layer or as many as its overlapping segments need."""
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ImageError(f"{path.name} is damaged or cut short ({reason}): save it again.") from error
    if image.GetDimension() != 3:
        raise ImageError(f"{path.name} has {image.GetDimension()} axes in space: save the segmentation again.")
    meanings, findings = segments(image, path.name)
    affine = affine_of(image)
    layers = tuple(
        layer(Stored(path.name, array, affine), {v: m for (at, v), m in meanings.items() if at == n})
        for n, array in enumerate(_layers(image))
    )
    return LabelMap(path.name, layers, "slicer", findings)


def _layers(image: sitk.Image) -> list[NDArray[Any]]:
    """The layers as arrays ``[k, j, i]``."""
    array = sitk.GetArrayFromImage(image)
    return [array] if array.ndim == 3 else [np.ascontiguousarray(array[..., n]) for n in range(array.shape[-1])]


def segments(image: sitk.Image, title: str) -> tuple[dict[tuple[int, int], Meaning], tuple[Finding, ...]]:
    """What each (layer, label value) means, by terminology or else by name; and what could not be told.

    Raises :class:`LabelSchemeError` when a segment is named like a vertebra and is none.
    """
    found: dict[tuple[int, int], Meaning] = {}
    unknown: list[str] = []
    for n in _numbers(image):
        name = _field(image, n, "Name") or _field(image, n, "ID")
        meaning = _by_terminology(_field(image, n, "Tags")) or by_name(name)
        if meaning.kind is not Kind.VERTEBRA and looks_like_level(name):
            raise LabelSchemeError(
                f"{title}: segment {name!r} is not a vertebra: rename it C1 to C7, T1 to T13 ... S1."
            )
        if not is_known(meaning):
            unknown.append(name)
        found[(int(_field(image, n, "Layer") or 0), int(_field(image, n, "LabelValue") or 1))] = meaning
    return found, kept_by_name(unknown)


def _numbers(image: sitk.Image) -> list[int]:
    matches = (re.fullmatch(r"Segment(\d+)_(?:ID|LabelValue)", key) for key in image.GetMetaDataKeys())
    return sorted({int(match[1]) for match in matches if match})


def _field(image: sitk.Image, number: int, name: str) -> str:
    key = f"Segment{number}_{name}"
    return str(image.GetMetaData(key)).strip() if image.HasMetaDataKey(key) else ""


def _by_terminology(tags: str) -> Meaning | None:
    """The type and modifier of ``TerminologyEntry:context~category~type~modifier~...``, each scheme^code^meaning."""
    entry = re.search(r"TerminologyEntry:([^|]*)", tags)
    parts = entry[1].split("~") if entry else []
    if len(parts) < 3 or not parts[2].startswith("SCT^"):
        return None
    side = parts[3].split("^")[1] if len(parts) > 3 and parts[3].count("^") >= 2 else None
    return by_code(parts[2].split("^")[1], side)
