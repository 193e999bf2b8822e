"""DICOM Segmentation objects: BINARY, LABELMAP, and FRACTIONAL cut at one half."""

from __future__ import annotations

from collections.abc import Iterator

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.coding import Code

from trocar.anatomy.schemes import (
    Kind,
    Meaning,
    by_code,
    by_name,
    check_unique,
    code_values,
    is_known,
    looks_like_level,
)
from trocar.errors import ImageError, LabelSchemeError
from trocar.io.label_map import LabelMap, Layer, kept_by_name
from trocar.io.stored import Stored
from trocar.measure import Finding, Severity
from trocar.volume import Volume

#: A voxel of a fractional segment counts where at least this much of it is occupied, or probable.
FRACTION = 0.5


def open_segmentation(dataset: Dataset, title: str) -> LabelMap:
    """A DICOM segmentation as a label map; each segment's code, or else its label, says what it is."""
    if dataset.get("Modality") != "SEG":
        raise ImageError(
            f"{title} is a DICOM {dataset.get('Modality', 'object')}, not a segmentation: give a DICOM SEG object."
        )
    seg = _parsed(dataset, title)
    says, unknown = _meanings(seg)
    check_unique(says, title)
    fractional = seg.segmentation_type == hd.seg.SegmentationTypeValues.FRACTIONAL
    findings = kept_by_name(unknown) + (_cut_at_half(title) if fractional else ())
    layers = tuple(Layer(volume, says) for volume in _volumes(seg, title, fractional))
    return LabelMap(title, layers, "dicom-seg", findings)


def _parsed(dataset: Dataset, title: str) -> hd.seg.Segmentation:
    try:
        return hd.seg.Segmentation.from_dataset(dataset, copy=False)
    except (AttributeError, KeyError, ValueError) as error:
        raise ImageError(f"{title} is not a complete DICOM segmentation ({error}): export it again.") from error


def _meanings(seg: hd.seg.Segmentation) -> tuple[dict[int, Meaning], list[str]]:
    says: dict[int, Meaning] = {}
    unknown: list[str] = []
    for number in (n for n in seg.segment_numbers if n):
        description = seg.get_segment_description(number)
        says[number] = _by_code(description) or _by_label(description)
        if not is_known(says[number]):
            unknown.append(str(description.segment_label))
    return says, unknown


def _by_code(description: hd.seg.SegmentDescription) -> Meaning | None:
    value = _sct(description.segmented_property_type)
    of_type = _items(description.SegmentedPropertyTypeCodeSequence[0], "SegmentedPropertyTypeModifierCodeSequence")
    regions = _items(description, "AnatomicRegionSequence")
    of_regions = [m for region in regions for m in _items(region, "AnatomicRegionModifierSequence")]
    sides = [
        _sct(Code(m.get("CodeValue", ""), m.get("CodingSchemeDesignator", ""), "")) for m in (*of_type, *of_regions)
    ]
    return by_code(value, next((s for s in sides if s), None)) if value else None


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    return list(dataset.get(keyword) or [])


def _sct(code: Code) -> str | None:
    """The SNOMED CT value of a code, also of one in the retired SRT numbering (pydicom holds them equal)."""
    bare = Code(str(code.value), str(code.scheme_designator), "")
    if bare.scheme_designator == "SCT":
        return bare.value
    return next((value for value in code_values() if bare == Code(value, "SCT", "")), None)


def _by_label(description: hd.seg.SegmentDescription) -> Meaning:
    """What the segment's label says; a structure of that name where no scheme knows it."""
    label = str(description.segment_label)
    meaning = by_name(label)
    if meaning.kind is not Kind.VERTEBRA and looks_like_level(label):
        raise LabelSchemeError(f"segment {label!r} is not a vertebra: name it C1 to C7, T1 to T13, L1 to L6 or S1.")
    return meaning


def _volumes(seg: hd.seg.Segmentation, title: str, fractional: bool) -> Iterator[Volume]:
    """The label volume; where segments overlap, one for each segment."""
    try:
        together = None if fractional else _together(seg)
        if together is not None:
            yield _placed(together, together.array, seg, title)
            return
        for number in seg.segment_numbers:
            one = seg.get_volume(segment_numbers=[number], rescale_fractional=True)
            mask = one.array[..., 0] >= (FRACTION if fractional else 1)
            yield _placed(one, mask.astype(np.uint16) * np.uint16(number), seg, title)
    except (RuntimeError, ValueError) as error:
        raise ImageError(f"the frames of {title} do not make a volume ({error}): export it again.") from error


def _together(seg: hd.seg.Segmentation) -> hd.Volume | None:
    try:
        return seg.get_volume(combine_segments=True)
    except RuntimeError as error:
        if "overlap" in str(error).lower():
            return None
        raise


def _placed(volume: hd.Volume, array: NDArray[np.uint16], seg: hd.seg.Segmentation, title: str) -> Volume:
    """From highdicom's affine, whose columns step along the array's axes k, j, i, to ijk and canonical order."""
    affine = np.asarray(volume.affine)[:, [2, 1, 0, 3]]
    frame = seg.get("FrameOfReferenceUID")
    return Stored(title, array, affine, str(frame) if frame else None).volume("label", 0.0)


def _cut_at_half(title: str) -> tuple[Finding, ...]:
    text = f"{title} is a fractional segmentation: voxels of at least {FRACTION:.0%} count as labelled."
    return (Finding(Severity.CAUTION, text, "its edges are less certain than a binary segmentation's"),)
