"""NIfTI-1 and NIfTI-2 volumes, exactly as their header places them.

Read by nibabel and not by SimpleITK, which (2.5, seen) takes the spacing from ``pixdim`` where the sform
says otherwise, reads a file that was cut short as noise, and does not know shear. nibabel's own loading
mends a damaged header and makes up a place where the header has none, so here its header is taken
unmended and what a patient cannot be placed by is refused.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Header, Nifti1Image
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError
from numpy.typing import DTypeLike, NDArray

from trocar.errors import ImageError
from trocar.io.source import Member, digest
from trocar.io.stored import Stored
from trocar.volume import Acquisition, Volume

#: Voxel types that are one real number each, as nibabel calls them.
_REAL = {
    *("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float32", "float64"),
}

#: xyzt_units: the low three bits are the unit of length; files that say nothing mean millimetres.
_LENGTHS = {1: "metres", 3: "micrometres"}

#: Two placements in one header that differ by more than this are two opinions, mm: both are stored
#: in single precision, which at 1 m from the origin is worth 0.0001 mm.
SAME_PLACE_MM = 0.1

#: A qform that turns by half a circle, as in every file stored in LPS, resolves no smaller turn, radians:
#: a quaternion's first number is not stored, and nibabel takes it for 0 below the root of three roundings.
QFORM_TURN_RAD = 2.0 * float(np.sqrt(3.0 * np.finfo(np.float32).eps))

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


def write_nifti(volume: Volume, path: Path, dtype: DTypeLike) -> Path:
    """Write ``volume`` as NIfTI-1 of voxels of ``dtype`` with its place and nothing else; returns ``path``."""
    path.write_bytes(nifti_bytes(volume, dtype, compressed=path.name.endswith(".gz")))
    return path


def nifti_bytes(volume: Volume, dtype: DTypeLike, compressed: bool, says: str = "") -> bytes:
    """``volume`` as the bytes of a ``.nii`` file, or of a ``.nii.gz`` one; rounded where ``dtype`` is whole numbers.

    ``says`` goes into the header's description, which has 79 bytes: longer text is cut. Fast rather than small where
    compressed, and without a date: equal volumes make equal files.
    """
    whole = np.issubdtype(np.dtype(dtype), np.integer)
    array = np.rint(volume.array) if whole and volume.array.dtype.kind == "f" else volume.array
    image = Nifti1Image(array.astype(dtype).T, _RAS_TO_LPS @ volume.affine)
    image.set_qform(image.affine, "scanner")
    image.set_sform(image.affine, "scanner")
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = says.encode("ascii", "replace")[:79]
    data = bytes(image.to_bytes())
    return gzip.compress(data, compresslevel=1, mtime=0) if compressed else data


def _inflated(data: bytes, name: str) -> bytes:
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise ImageError(f"{name} is damaged or cut short ({error}): copy it again from its source.") from error


def _header(content: bytes, name: str) -> Any:
    for kind in (Nifti1Header, Nifti2Header):
        if kind.may_contain_header(content):
            header = kind(content[: kind.sizeof_hdr], check=False)
            if header["magic"] == kind.single_magic:
                return header
    raise ImageError(f"{name} is not a NIfTI file of one piece (.nii or .nii.gz): convert it again.")


@contextmanager
def _sensible(name: str) -> Iterator[None]:
    """Refuse what nibabel finds senseless in a header; numbers that are none are refused by what uses them."""
    try:
        with np.errstate(all="ignore"):
            yield
    except (HeaderDataError, ValueError) as error:
        raise ImageError(f"{name} has a damaged header ({error}): convert it again from DICOM.") from error


def _shape(header: Any, name: str) -> tuple[int, int, int]:
    """Voxels along i, j, k; trailing axes of length one are dropped."""
    with _sensible(name):
        axes = list(header.get_data_shape())
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
    if header["pixdim"][0] == 0:
        header["pixdim"][0] = 1  # as nifti1.h has it, of the qform's handedness
    with _sensible(name):
        placed = [affine for affine, code in (header.get_sform(True), header.get_qform(True)) if code > 0]
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
    apart = np.linalg.norm((placed[0] - placed[-1]) @ corners, axis=0)
    reach = np.linalg.norm(placed[0][:3, :3] @ corners[:3], axis=0)
    if np.any(apart > SAME_PLACE_MM + QFORM_TURN_RAD * reach):
        raise ImageError(
            f"{name} places itself twice, {apart.max():.1f} mm apart (sform and qform): set both to the right one, "
            "or convert it again from DICOM."
        )


def _voxels(content: bytes, header: Any, shape: tuple[int, int, int], name: str) -> NDArray[Any]:
    """Values ``[k, j, i]`` with the header's scaling applied; unscaled values keep their type."""
    kind = header.get_value_label("datatype")
    if kind in ("RGB", "RGBA"):
        raise ImageError(f"{name} is a colour image, not a CT or a label map: give the original scan.")
    if kind not in _REAL:
        raise ImageError(f"{name} holds voxels of type {kind}, not one real number each: convert it.")
    # before nibabel makes room for them
    size = math.prod(shape) * header.get_data_dtype().itemsize
    start = header.get_data_offset() if np.isfinite(header["vox_offset"]) else len(content)
    found = max(0, len(content) - start) if start >= header.sizeof_hdr else 0
    if found < size:
        raise ImageError(f"{name} is cut short: {found} of {size} bytes of voxels. Copy it again.")
    with _sensible(name):
        array = header.data_from_fileobj(BytesIO(content))
    return array.reshape(shape, order="F").T.astype(array.dtype.newbyteorder("="), copy=False)
