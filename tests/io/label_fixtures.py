"""Writers of label files in every format, for the tests that read them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from .dicom_fixtures import ct_series

SCT_STRUCTURE = Code("123037004", "SCT", "Anatomical Structure")


def write_image(path: Path, array: np.ndarray, affine: np.ndarray) -> Path:
    """An array ``[k, j, i]`` with an affine ijk to LPS, in the format of the path's ending."""
    image = sitk.GetImageFromArray(array)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    sitk.WriteImage(image, str(path))
    return path


def write_named_nifti(path: Path, array: np.ndarray, affine: np.ndarray, names: dict[int, str]) -> Path:
    """A NIfTI whose header names its labels, as TotalSegmentator writes it (an XML extension)."""
    plain = path.with_name("plain.nii")
    write_image(plain, array, affine)
    data = bytearray(plain.read_bytes())
    plain.unlink()
    labels = "".join(f'<Label Key="{n}" Red="1.0"><![CDATA[{name}]]></Label>\n' for n, name in names.items())
    xml = f'<?xml version="1.0"?><CaretExtension><VolumeInformation><LabelTable>{labels}</LabelTable>'.encode()
    xml += b"</VolumeInformation></CaretExtension>"
    xml += b" " * (-(len(xml) + 8) % 16)
    block = np.array([len(xml) + 8, 0], "<i4").tobytes() + xml
    data[108:112] = np.array([352 + len(block)], "<f4").tobytes()
    content = bytes(data[:348]) + b"\x01\0\0\0" + block + bytes(data[352:])
    path.write_bytes(gzip.compress(content) if path.name.endswith(".gz") else content)
    return path


def write_seg_nrrd(path: Path, layers: list[np.ndarray], affine: np.ndarray, segments: list[dict[str, Any]]) -> Path:
    """3D Slicer's file: one layer, or several along a fourth axis; ``segments`` give Name, LabelValue, Layer, Tags."""
    steps = [f"({','.join(str(x) for x in affine[:3, axis])})" for axis in range(3)]
    sizes = [str(n) for n in layers[0].shape[::-1]]
    kinds = ["domain"] * 3
    if len(layers) > 1:
        sizes, steps, kinds = [str(len(layers)), *sizes], ["none", *steps], ["list", *kinds]
    fields = [f"Segment{n}_{key}:={value}" for n, one in enumerate(segments) for key, value in one.items()]
    header = [
        *("NRRD0004", "type: unsigned char", f"dimension: {len(sizes)}", "space: left-posterior-superior"),
        *(f"sizes: {' '.join(sizes)}", f"space directions: {' '.join(steps)}", f"kinds: {' '.join(kinds)}"),
        *("encoding: gzip", f"space origin: ({','.join(str(x) for x in affine[:3, 3])})", *fields),
    ]
    voxels = np.stack(layers, axis=-1) if len(layers) > 1 else layers[0]
    path.write_bytes("\n".join(header).encode() + b"\n\n" + gzip.compress(voxels.astype(np.uint8).tobytes()))
    return path


def terminology(code: str, side: str = "") -> str:
    """Slicer's tag for a SNOMED CT type with a laterality, or none."""
    modifier = f"SCT^{side}^side" if side else "^^"
    return (
        "Segmentation.Status:inprogress|TerminologyEntry:Segmentation category and type~"
        f"SCT^123037004^Anatomical Structure~SCT^{code}^what~{modifier}~Anatomic codes~^^~^^|"
    )


def described(number: int, label: str, code: Code, side: Code | None = None) -> hd.seg.SegmentDescription:
    """A segment with its code, and its side as a modifier of the type."""
    made = hd.seg.SegmentDescription(number, label, SCT_STRUCTURE, code, hd.seg.SegmentAlgorithmTypeValues.MANUAL)
    if side:
        modifier = Dataset()
        modifier.CodeValue, modifier.CodingSchemeDesignator, modifier.CodeMeaning = side.value, "SCT", side.meaning
        made.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [modifier]
    return made


def dicom_seg(
    hu: np.ndarray,
    affine: np.ndarray,
    pixels: np.ndarray,
    descriptions: list[hd.seg.SegmentDescription],
    kind: str = "BINARY",
) -> Dataset:
    """A DICOM segmentation of the scan ``hu``: ``pixels`` as highdicom takes them (labels, or one channel each)."""
    source = ct_series(hu.astype(np.int16), affine)
    for dataset in source:
        dataset.PatientName, dataset.PatientID = "phantom^", "phantom"
        dataset.PatientBirthDate = dataset.PatientSex = dataset.AccessionNumber = ""
        dataset.StudyID = dataset.StudyDate = dataset.StudyTime = ""
    return hd.seg.Segmentation(
        source,
        pixels,
        kind,
        descriptions,
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="Trocar tests",
        manufacturer_model_name="none",
        software_versions="0",
        device_serial_number="0",
    )
