"""DICOM CT: which files are slices, which series is meant, and its voxels in Hounsfield units."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    SecondaryCaptureImageStorage,
)

from trocar.errors import ImageError
from trocar.io.frames import Frame, Instance, frames, is_localiser, number_or_none
from trocar.io.pixels import DAMAGED, readable, stored_values
from trocar.io.source import Member, digest, file_digest, members
from trocar.io.stack import Stack, stacked
from trocar.io.stored import Stored, shear_deg
from trocar.io.volume_file import is_volume_file
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

#: The classes of DICOM files that hold CT slices.
CT_STORAGE = (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)

#: Slices within this of axial have one superior coordinate: at 200 mm from the centre they are off by 1.7 mm.
AXIAL_TOLERANCE_DEG = 0.5

#: Reading threads: inflating and hashing run beside Python; more than this only costs memory.
THREADS = 4

#: Lowest stored value that padding can be told from tissue by itself: see ``trocar.io.ct.AIR_HU``.
AIR_HU = -1024.0


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


# --- from headers to one series ------------------------------------------------------------------


def _read(instances: list[Instance], skipped: Counter[str], series: str | None, name: str) -> Stored:
    slices, reasons = _slices(instances, name)
    chosen = _chosen(slices, series, name)
    planes = [f for instance in chosen for f in _planes(instance)]
    if not planes:
        raise ImageError(f"{name}: the series holds only localiser images. Give the CT series itself.")
    stack = stacked(planes)
    array, digests, findings = _voxels(stack)
    told = (
        *_skipped(skipped + reasons),
        *stack.findings,
        *findings,
        *_tilt(chosen[0].header, stack),
        *_not_axial(stack),
    )
    return Stored(name, array, stack.affine, planes[0].frame_of_reference, _acquisition(chosen, stack, digests), told)


def _slices(instances: list[Instance], name: str) -> tuple[list[Instance], Counter[str]]:
    """The CT slices, and what the others are."""
    kinds = [(instance, _other_than_slice(instance)) for instance in instances]
    slices = [instance for instance, other in kinds if not other]
    others = Counter(other for _, other in kinds if other)
    if not slices:
        raise ImageError(f"{name} holds no CT slice, but {_listed(others)}. Give the CT series itself.")
    return slices, others


def _planes(instance: Instance) -> list[Frame]:
    with readable(instance.name):
        return list(frames(instance))


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


def _skipped(counts: Counter[str]) -> tuple[Finding, ...]:
    if not counts:
        return ()
    return (Finding(Severity.NOTE, f"Files that are not slices of the CT were skipped: {_listed(counts)}."),)


def _chosen(slices: list[Instance], series: str | None, name: str) -> list[Instance]:
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


# --- from one series to voxels -------------------------------------------------------------------


@dataclass(frozen=True)
class _Loaded:
    """What one file contributed: its digest, its duplicate planes that differ, and its padding that was ignored."""

    name: str
    digest: str | None
    unlike: tuple[tuple[int, Frame], ...] = ()
    padded: int = 0
    doubted: int = 0


def _voxels(stack: Stack) -> tuple[NDArray[np.float32], dict[str, str], tuple[Finding, ...]]:
    """Hounsfield units ``[k, j, i]`` in stack order, digests by file name, and what was met on the way."""
    out = np.empty((len(stack.frames), *stack.frames[0].shape), dtype=np.float32)
    kept = _by_instance(list(enumerate(stack.frames)))
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        loaded = list(pool.map(lambda group: _fill(out, group), kept))
        again = list(pool.map(lambda group: _compare(out, group), _by_instance(list(stack.duplicates))))
    for unlike in (u for done in again for u in done.unlike):
        _refuse_duplicate(stack.frames[unlike[0]], unlike[1])
    return out, _digests([*loaded, *again]), (*_duplicates(stack), *_padding_told(loaded, out.size))


def _by_instance(planes: list[tuple[int, Frame]]) -> list[list[tuple[int, Frame]]]:
    groups: dict[int, list[tuple[int, Frame]]] = {}
    for k, frame in planes:
        groups.setdefault(id(frame.instance), []).append((k, frame))
    return list(groups.values())


def _fill(out: NDArray[np.float32], group: list[tuple[int, Frame]]) -> _Loaded:
    """Write the planes of one file into ``out``."""
    values, sha = _values(group[0][1])
    padded = doubted = 0
    for k, frame in group:
        stored = values[frame.index]
        _hounsfield(stored, frame, out[k])
        covered = _padding_mask(stored, frame)
        if covered is not None and _frames_the_image(covered):
            out[k][covered] = AIR_HU
            padded += int(covered.sum())
        elif covered is not None:
            doubted += int(covered.sum())
    return _Loaded(group[0][1].instance.name, sha, (), padded, doubted)


def _compare(out: NDArray[np.float32], group: list[tuple[int, Frame]]) -> _Loaded:
    """Which planes of one file differ from the kept plane at the same place."""
    values, sha = _values(group[0][1])
    unlike = []
    for k, frame in group:
        again = np.empty_like(out[k])
        _hounsfield(values[frame.index], frame, again)
        covered = _padding_mask(values[frame.index], frame)
        if covered is not None and _frames_the_image(covered):
            again[covered] = AIR_HU
        if not np.array_equal(again, out[k]):
            unlike.append((k, frame))
    return _Loaded(group[0][1].instance.name, sha, tuple(unlike))


def _values(frame: Frame) -> tuple[NDArray[Any], str | None]:
    dataset, sha = frame.instance.load()
    values = stored_values(dataset, frame.instance.name)
    if values.shape[1:] != frame.shape or frame.index >= len(values):
        raise ImageError(f"{frame.instance.name} holds {values.shape} pixels where its header says otherwise.")
    return values, sha


def _hounsfield(stored: NDArray[Any], frame: Frame, out: NDArray[np.float32]) -> None:
    """Stored values times this frame's own slope plus its own intercept, into ``out``."""
    np.multiply(stored, frame.slope, out=out, casting="unsafe")
    out += np.float32(frame.intercept)


def _padding_mask(stored: NDArray[Any], frame: Frame) -> NDArray[np.bool_] | None:
    """Voxels that carry the padding value, where that value would otherwise pass for air or tissue."""
    if frame.padding is None:
        return None
    low, high = frame.padding
    if frame.slope * high + frame.intercept <= AIR_HU:
        return None  # so low that no tissue has it: becomes air with everything else below air
    covered = (stored >= low) & (stored <= high)
    return covered if covered.any() else None


def _frames_the_image(covered: NDArray[np.bool_]) -> bool:
    """Whether padding reaches a corner, as everything outside a scanner's round field does."""
    return bool(covered[[0, 0, -1, -1], [0, -1, 0, -1]].any())


def _refuse_duplicate(kept: Frame, other: Frame) -> None:
    raise ImageError(
        f"two different images lie at the same position {np.round(kept.position_mm, 2).tolist()} mm: {kept.called} "
        f"({kept.instance.name}) and {other.called} ({other.instance.name}). Give one acquisition (phase) only."
    )


def _digests(loaded: list[_Loaded]) -> dict[str, str]:
    """SHA-256 by file name, in order of name; a name used twice gets a number."""
    out: dict[str, str] = {}
    for done in sorted((d for d in loaded if d.digest), key=lambda d: (d.name, d.digest or "")):
        name, n = done.name, 1
        while out.get(name, done.digest) != done.digest:
            n += 1
            name = f"{done.name} ({n})"
        out[name] = done.digest or ""
    return out


def _with_digest(stored: Stored, path: Path) -> Stored:
    """``stored`` with the digest of its one archive in place of the digests of what lies inside."""
    acquisition = stored.acquisition or Acquisition()
    return replace(stored, acquisition=replace(acquisition, digests={path.name: file_digest(path)}))


# --- what is told --------------------------------------------------------------------------------


def _duplicates(stack: Stack) -> tuple[Finding, ...]:
    if not stack.duplicates:
        return ()
    which = ", ".join(str(f.number) for _, f in stack.duplicates[:8])
    text = f"Slices that were there twice, pixel for pixel, were read once: {len(stack.duplicates)} (instance {which})."
    return (Finding(Severity.NOTE, text),)


def _padding_told(loaded: list[_Loaded], size: int) -> tuple[Finding, ...]:
    padded, doubted = sum(d.padded for d in loaded), sum(d.doubted for d in loaded)
    found = []
    if padded:
        text = (
            f"{100.0 * padded / size:.1f} % of the voxels are padding outside the field of view; they are read as air."
        )
        found.append(Finding(Severity.NOTE, text, "Pixel Padding Value"))
    if doubted:
        text = f"{doubted} voxels inside slices carry the padding value; they are taken for measured values."
        found.append(Finding(Severity.CAUTION, text, "Pixel Padding Value"))
    return tuple(found)


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
        str(header.get("StudyDate") or "") or None,
        "CT",
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
