"""NIfTI-1 and NIfTI-2 volumes, exactly as their header places them.

Read here and not by SimpleITK, which (2.5, seen) takes the spacing from ``pixdim`` where the sform
says otherwise, reads a file that was cut short as noise, and does not know shear. The layout is
nifti1.h and nifti2.h of https://nifti.nimh.nih.gov.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.errors import ImageError
from trocar.io.source import Member, digest
from trocar.io.stored import Stored
from trocar.volume import Acquisition

_FIELDS = (
    *("dim", "datatype", "pixdim", "vox_offset", "scl_slope", "scl_inter", "xyzt_units"),
    *("qform_code", "sform_code", "quatern", "qoffset", "srow", "magic"),
)
_NIFTI1 = {
    "names": _FIELDS,
    "formats": ["8i2", "i2", "8f4", "f4", "f4", "f4", "u1", "i2", "i2", "3f4", "3f4", "(3,4)f4", "S4"],
    "offsets": [40, 70, 76, 108, 112, 116, 123, 252, 254, 256, 268, 280, 344],
    "itemsize": 348,
}
_NIFTI2 = {
    "names": _FIELDS,
    "formats": ["8i8", "i2", "8f8", "i8", "f8", "f8", "i4", "i4", "i4", "3f8", "3f8", "(3,4)f8", "S4"],
    "offsets": [16, 12, 104, 168, 176, 184, 500, 344, 348, 352, 376, 400, 4],
    "itemsize": 540,
}

#: NIfTI's numbers for voxel types that are one real number each.
_TYPES = {
    **{2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8"},
    **{256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"},
}
_COLOURS = (128, 2304)

#: xyzt_units: the low three bits are the unit of length; files that say nothing mean millimetres.
_LENGTHS = {1: "metres", 3: "micrometres"}

#: Two placements in one header that differ by more than this are two opinions, mm: both are stored
#: in single precision, which at 1 m from the origin is worth 0.0001 mm, and the qform as a rotation.
SAME_PLACE_MM = 0.1

#: No patient lies this far from the scanner's centre, mm; numbers beyond are damage.
FAR_MM = 1e6

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_nifti(path: Path) -> Stored:
    """A ``.nii`` or ``.nii.gz`` volume: array ``[k, j, i]`` in its own type, affine ijk to LPS mm.

    Raises :class:`ImageError` where the file is damaged, in colour, not three-dimensional, not in
    millimetres, or does not say where it lies.
    """
    data = Member(path.name, lambda: path.open("rb")).read()
    content = _inflated(data, path.name)
    header = _header(content, path.name)
    shape = _shape(header, path.name)
    affine = _affine(header, shape, path.name)
    array = _voxels(content, header, shape, path.name)
    return Stored(path.name, array, affine, acquisition=Acquisition(digests={path.name: digest(data)}))


def _inflated(data: bytes, name: str) -> bytes:
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise ImageError(f"{name} is damaged or cut short ({error}): copy it again from its source.") from error


def _header(content: bytes, name: str) -> Any:
    """The header as a NumPy record, in the file's own byte order."""
    for order in "<>":
        for layout in (_NIFTI1, _NIFTI2):
            size = int(layout["itemsize"])  # type: ignore[call-overload]
            if len(content) >= size and int(np.frombuffer(content, f"{order}i4", 1)[0]) == size:
                header = np.frombuffer(content, np.dtype(layout).newbyteorder(order), 1)[0]  # type: ignore[call-overload]
                if header["magic"].startswith(b"n+"):
                    return header
    raise ImageError(f"{name} is not a NIfTI file of one piece (.nii or .nii.gz): convert it again.")


def _shape(header: Any, name: str) -> tuple[int, int, int]:
    """Voxels along i, j, k; trailing axes of length one are dropped."""
    dim = [int(n) for n in header["dim"]]
    axes = dim[1 : 1 + max(0, min(dim[0], 7))]
    while len(axes) > 3 and axes[-1] == 1:
        axes.pop()
    if len(axes) != 3 or min(axes) < 1:
        size = " × ".join(map(str, axes)) or "no"
        raise ImageError(f"{name} has {size} voxels: one three-dimensional volume is needed. Extract it first.")
    return (axes[0], axes[1], axes[2])


def _affine(header: Any, shape: tuple[int, int, int], name: str) -> NDArray[np.float64]:
    """Index ijk to LPS mm: the sform where there is one, else the qform."""
    length = _LENGTHS.get(int(header["xyzt_units"]) & 7)
    if length:
        raise ImageError(f"{name} says it is in {length}: convert it to millimetres first.")
    with np.errstate(invalid="ignore"):  # what is not a number is refused below
        placed = [f(header) for code, f in (("sform_code", _sform), ("qform_code", _qform)) if int(header[code]) > 0]
    if not placed:
        raise ImageError(
            f"{name} does not say where it lies in the patient (sform and qform codes are 0): "
            "left and right would be a guess. Convert it again from DICOM."
        )
    _check_placement(placed, shape, name)
    return _RAS_TO_LPS @ placed[0]


def _check_placement(placed: list[NDArray[np.float64]], shape: tuple[int, int, int], name: str) -> None:
    if not np.all(np.abs(placed) < FAR_MM) or any(abs(np.linalg.det(a[:3, :3])) < 1e-9 for a in placed):
        raise ImageError(f"{name} has a broken affine (sform or qform): convert it again from DICOM.")
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], [1])).reshape(4, -1)
    apart = float(np.max(np.linalg.norm((placed[0] - placed[-1]) @ corners, axis=0)))
    if apart > SAME_PLACE_MM:
        raise ImageError(
            f"{name} places itself twice, {apart:.1f} mm apart (sform and qform): set both to the right one, "
            "or convert it again from DICOM."
        )


def _sform(header: Any) -> NDArray[np.float64]:
    return np.vstack([header["srow"].astype(np.float64), [0.0, 0.0, 0.0, 1.0]])


def _qform(header: Any) -> NDArray[np.float64]:
    """The affine (RAS) of a unit quaternion, voxel sizes and an offset, as nifti1.h defines it."""
    b, c, d = header["quatern"].astype(np.float64)
    a = np.sqrt(max(0.0, 1.0 - (b * b + c * c + d * d)))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    pixdim = header["pixdim"].astype(np.float64)
    handed = -1.0 if pixdim[0] < 0 else 1.0
    affine = np.eye(4)
    affine[:3, :3] = rotation * pixdim[1:4] * [1.0, 1.0, handed]
    affine[:3, 3] = header["qoffset"]
    return affine


def _voxels(content: bytes, header: Any, shape: tuple[int, int, int], name: str) -> NDArray[Any]:
    """Values ``[k, j, i]`` with the header's scaling applied; unscaled values keep their type."""
    code = int(header["datatype"])
    if code in _COLOURS:
        raise ImageError(f"{name} is a colour image, not a CT or a label map: give the original scan.")
    if code not in _TYPES:
        raise ImageError(f"{name} holds voxels of NIfTI type {code}, not one real number each: convert it.")
    dtype = np.dtype(_TYPES[code]).newbyteorder(header.dtype["dim"].base.byteorder)
    count = int(np.prod(shape, dtype=np.int64))
    start = int(header["vox_offset"]) if np.isfinite(header["vox_offset"]) else len(content)
    found = max(0, len(content) - start) if start >= header.dtype.itemsize else 0
    if found < count * dtype.itemsize:
        raise ImageError(f"{name} is cut short: {found} of {count * dtype.itemsize} bytes of voxels. Copy it again.")
    array = np.frombuffer(content, dtype, count, start).reshape(shape[::-1])
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if (slope in (0.0, 1.0) and intercept == 0.0) or not np.isfinite([slope, intercept]).all():
        return array.astype(dtype.newbyteorder("="), copy=False)
    return array * np.float64(slope or 1.0) + intercept
