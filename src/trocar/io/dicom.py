"""DICOM CT: which files are slices, which series is meant, and its voxels in Hounsfield units."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom import Dataset

from trocar.errors import ImageError
from trocar.io.frames import Frame, Instance, frames, number_or_none
from trocar.io.pixels import DAMAGED, readable
from trocar.io.series import CT_STORAGE, chosen_series, skipped_told, slices_among
from trocar.io.source import Member, digest, file_digest, members
from trocar.io.stack import Stack, stacked
from trocar.io.stored import Stored, shear_deg
from trocar.io.volume_file import is_volume_file
from trocar.io.voxels import voxels
from trocar.measure import Finding, Severity
from trocar.volume import Acquisition, Slice

#: All that is read of a file before its series is chosen.
HEADER_TAGS = [
    *("SOPClassUID", "ImageType", "Modality", "StudyDate", "SeriesDate", "SeriesDescription"),
    *("SeriesInstanceUID", "SeriesNumber", "InstanceNumber", "FrameOfReferenceUID", "PatientPosition"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SliceLocation"),
    *("TablePosition", "GantryDetectorTilt", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel"),
    *("PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleSlope", "RescaleIntercept", "RescaleType"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
]

#: How a DICOM file without the 128-byte preamble begins: group 0002 or 0008, little endian.
BARE_STARTS = (b"\x02\x00", b"\x08\x00")

#: A gantry tilt in the header that the slice positions do not show, degrees.
TILT_DISAGREEMENT_DEG = 1.0

#: Slices within this of axial have one superior coordinate: at 200 mm from the centre they are off by 1.7 mm.
AXIAL_TOLERANCE_DEG = 0.5


def read_dicom(path: Path | Sequence[Path], series: str | None = None) -> Stored:
    """The CT series in a folder, a zip, one multi-frame file or a list of files, as :class:`Stored` Hounsfield units.

    ``series`` is a series' UID or number, needed where there are several. Raises
    :class:`ImageError` for everything that is not one whole, even CT series.
    """
    name = path.name if isinstance(path, Path) else f"the list of {len(path)} files"
    with _quiet(), members(path) as found:
        instances, skipped = _instances(found)
        if not instances:
            raise ImageError(f"{name} holds no DICOM image{_instead(found)}.")
        stored = _read(instances, skipped, series, name)
    return _with_digest(stored, path) if isinstance(path, Path) and zipfile.is_zipfile(path) else stored


def read_datasets(datasets: Sequence[Dataset], series: str | None = None) -> Stored:
    """The CT series among datasets in memory; otherwise like :func:`read_dicom`."""
    with _quiet():
        instances = [_in_memory(dataset, n) for n, dataset in enumerate(datasets, 1)]
        return _read(instances, Counter(), series, "the list of datasets")


def _in_memory(dataset: Dataset, number: int) -> Instance:
    file = getattr(dataset, "filename", None)
    name = Path(file).name if isinstance(file, (str, os.PathLike)) else f"dataset {number}"
    return Instance(name, dataset, lambda: (dataset, None))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without pydicom's remarks on the spelling of values: every value used is checked here by its meaning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pydicom(\..*)?")
        yield


# --- from files to headers -----------------------------------------------------------------------


def _instances(found: list[Member]) -> tuple[list[Instance], Counter[str]]:
    """The DICOM files among ``found``, and how many were something else."""
    headers = [(member, _header(member)) for member in found]
    skipped = Counter("not DICOM" for _, header in headers if header is None)
    return [Instance(m.name, h, _loader(m)) for m, h in headers if h is not None], skipped


def _header(member: Member) -> Dataset | None:
    """The header, or None for a file that is not DICOM."""
    start = member.read(132)
    marked = start[128:] == b"DICM"
    if not marked and not start.startswith(BARE_STARTS):
        return None
    with readable(member.name), member.open() as stream:
        header = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=[*HEADER_TAGS], force=not marked)
        _drop_damaged(header)
        if marked and _broken(header):
            raise ImageError(f"{member.name} ends within its header or is damaged: copy it again, or remove it.")
    return header


def _drop_damaged(header: Dataset) -> None:
    """Take elements that cannot be understood for absent: what is needed is then refused by name, the rest ignored."""
    for tag in list(header.keys()):
        try:
            header[tag]
        except DAMAGED:
            del header[tag]


def _broken(header: Dataset) -> bool:
    """Whether a file that calls itself a CT image does not say how large it is, or says nothing at all."""
    kind = header.file_meta.get("MediaStorageSOPClassUID")
    return "Rows" not in header and (kind in CT_STORAGE or not (kind or len(header)))


def _loader(member: Member) -> Any:
    def load() -> tuple[Dataset, str | None]:
        data = member.read()
        with readable(member.name):
            return pydicom.dcmread(BytesIO(data), force=True), digest(data)

    return load


def _instead(found: list[Member]) -> str:
    """What a source without DICOM holds instead."""
    volumes = [m.name for m in found if is_volume_file(m.name)]
    if volumes:
        return f"; it holds {', '.join(volumes[:3])}: give that file itself"
    if not found:
        return ": it is empty. Give the folder that holds the CT series"
    return f": none of its {len(found)} files is DICOM. Give the folder that holds the CT series"


# --- from headers to a CT ------------------------------------------------------------------------


def _read(instances: list[Instance], skipped: Counter[str], series: str | None, name: str) -> Stored:
    slices, others = slices_among(instances, name)
    chosen = chosen_series(slices, series, name)
    planes, scouts = _planes(chosen)
    if not planes:
        raise ImageError(f"{name}: the series holds only localiser images. Give the CT series itself.")
    stack = stacked(planes)
    array, digests, findings = voxels(stack)
    told = (
        *skipped_told(skipped + others + scouts),
        *stack.findings,
        *findings,
        *_tilt(chosen[0].header, stack),
        *_not_axial(stack),
    )
    return Stored(name, array, stack.affine, planes[0].frame_of_reference, _acquisition(chosen, stack, digests), told)


def _planes(chosen: list[Instance]) -> tuple[list[Frame], Counter[str]]:
    """All slices of a series, and how many frames are localisers."""
    planes: list[Frame] = []
    count = 0
    for instance in chosen:
        with readable(instance.name):
            planes += frames(instance)
            count += int(instance.header.get("NumberOfFrames") or 1)
    return planes, +Counter({"localiser frame": count - len(planes)})


def _with_digest(stored: Stored, path: Path) -> Stored:
    """``stored`` with the digest of its one archive in place of the digests of what lies inside."""
    acquisition = stored.acquisition or Acquisition()
    return replace(stored, acquisition=replace(acquisition, digests={path.name: file_digest(path)}))


def _tilt(header: Dataset, stack: Stack) -> tuple[Finding, ...]:
    """A caution where the header's gantry tilt and the slice positions disagree."""
    declared = number_or_none(header.get("GantryDetectorTilt"))
    measured = shear_deg(stack.affine)
    if declared is None or abs(abs(declared) - measured) <= TILT_DISAGREEMENT_DEG:
        return ()
    text = (
        f"The header gives a gantry tilt of {declared:.1f}°, the slice positions {measured:.1f}°: positions are used."
    )
    return (Finding(Severity.CAUTION, text, "Gantry/Detector Tilt"),)


def _acquisition(chosen: list[Instance], stack: Stack, digests: dict[str, str]) -> Acquisition:
    header = chosen[0].header
    positions = {str(i.header.get("PatientPosition") or "") for i in chosen}
    return Acquisition(
        positions.pop() or None if len(positions) == 1 else None,
        str(header.get("SeriesInstanceUID") or "") or None,
        _listed_slices(stack),
        digests,
    )


def _not_axial(stack: Stack) -> tuple[Finding, ...]:
    if _off_axial_deg(stack) <= AXIAL_TOLERANCE_DEG:
        return ()
    return (Finding(Severity.NOTE, "The images are not axial: no slice number can be given for the mark on the skin."),)


def _off_axial_deg(stack: Stack) -> float:
    """Between the slices' normal and the patient's long axis."""
    return float(np.degrees(np.arccos(min(1.0, abs(stack.frames[0].normal[2])))))


def _listed_slices(stack: Stack) -> tuple[Slice, ...]:
    """The axial slices from foot to head; none where they are tilted, sagittal or coronal.

    One superior coordinate says where a slice lies only when it is axial: tilted by 15 degrees it
    is 40 mm higher at the back than at the centre.
    """
    if _off_axial_deg(stack) > AXIAL_TOLERANCE_DEG:
        return ()
    made = [Slice(f.number, float(f.centre_mm[2]), f.slice_location_mm, f.table_position_mm) for f in stack.frames]
    return tuple(sorted(made, key=lambda s: s.position_mm))
