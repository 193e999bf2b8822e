"""Which DICOM files are slices of a CT, and which series is meant."""

from __future__ import annotations

from collections import Counter

from pydicom import Dataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    SecondaryCaptureImageStorage,
)

from trocar.errors import ImageError
from trocar.io.frames import Instance, is_localiser, number_or_none
from trocar.io.pixels import readable
from trocar.measure import Finding, Severity

#: The classes of DICOM files that hold CT slices.
CT_STORAGE = (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)


def slices_among(instances: list[Instance], name: str) -> tuple[list[Instance], Counter[str]]:
    """The CT slices, and what the others are."""
    kinds = [(instance, _other_than_slice(instance)) for instance in instances]
    slices = [instance for instance, other in kinds if not other]
    others = Counter(other for _, other in kinds if other)
    if not slices:
        raise ImageError(f"{name} holds no CT slice, but {_listed(others)}. Give the CT series itself.")
    return slices, others


def _other_than_slice(instance: Instance) -> str:
    """What a file is when it is no CT slice; empty for a slice."""
    header = instance.header
    with readable(instance.name):
        samples = int(header.get("SamplesPerPixel") or 1)
    modality = header.get("Modality") or ("CT" if header.get("SOPClassUID") in CT_STORAGE else "file of no modality")
    if modality != "CT":
        return str(modality)
    if is_localiser(header.get("ImageType") or ()):
        return "localiser"
    if header.get("SOPClassUID") == SecondaryCaptureImageStorage and "ImagePositionPatient" not in header:
        return "screen shot"
    if samples != 1 or header.get("PhotometricInterpretation") == "PALETTE COLOR":
        return "colour image"
    return "" if "Rows" in header and "Columns" in header else "CT file without an image"


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{n} × {what}" for what, n in sorted(counts.items()))


def skipped_told(counts: Counter[str]) -> tuple[Finding, ...]:
    """A note on files that are no slices, by what they are; nothing where there are none."""
    if not counts:
        return ()
    return (Finding(Severity.NOTE, f"Files that are not slices of the CT were skipped: {_listed(counts)}."),)


def chosen_series(slices: list[Instance], series: str | None, name: str) -> list[Instance]:
    """The slices of the one series there is, or of the one named."""
    by_uid: dict[str, list[Instance]] = {}
    for instance in slices:
        by_uid.setdefault(str(instance.header.get("SeriesInstanceUID") or ""), []).append(instance)
    wanted = [uid for uid, group in by_uid.items() if series is None or series in (uid, _number(group[0].header))]
    if len(wanted) == 1:
        return by_uid[wanted[0]]
    in_order = sorted(by_uid.items(), key=lambda item: (_number(item[1][0].header).zfill(12), item[0]))
    found = "\n".join(f"  {_described(uid, group)}" for uid, group in in_order)
    if not wanted:
        raise ImageError(
            f"{name} holds no CT series {series}. It holds:\n{found}\nName one of these with --series UID."
        )
    raise ImageError(f"{name} holds several CT series:\n{found}\nName the one to use with --series UID.")


def _number(header: Dataset) -> str:
    value = header.get("SeriesNumber")
    return "" if value is None else str(value)


def _described(uid: str, group: list[Instance]) -> str:
    """One line on a series: UID, number, description, slices, thickness, date."""
    header = group[0].header
    count = sum(int(i.header.get("NumberOfFrames") or 1) for i in group)
    thickness = number_or_none(header.get("SliceThickness"))
    parts = [
        uid or "(no UID)",
        f"number {_number(header) or 'unknown'}",
        f'"{header.get("SeriesDescription") or "no description"}"',
        f"{count} slices" if count != 1 else "1 slice",
        f"{thickness:g} mm thick" if thickness else "thickness unknown",
        _date(header),
    ]
    return ", ".join(parts)


def _date(header: Dataset) -> str:
    text = str(header.get("SeriesDate") or header.get("StudyDate") or "")
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}" if len(text) == 8 and text.isdigit() else "date unknown"
