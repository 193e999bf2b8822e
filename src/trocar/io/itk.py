"""NRRD and MetaImage volumes, read by SimpleITK."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from trocar.errors import ImageError
from trocar.io.source import file_digest
from trocar.io.stored import Stored
from trocar.volume import Acquisition

#: How SimpleITK reports the space of an NRRD file that has one; it converts RAS and LAS to this.
_LPS = "left-posterior-superior"

#: As much of a file as holds its text header.
_HEADER_BYTES = 65536


def read_itk(path: Path) -> Stored:
    """A ``.nrrd``, ``.mha`` or ``.mhd`` volume: array ``[k, j, i]`` in its own type, affine ijk to LPS mm.

    Raises :class:`ImageError` where the file is damaged, in colour, not three-dimensional, not in
    millimetres, or does not say where it lies.
    """
    text = _header_text(path)
    _check_units(text, path.name)
    files = [path, *_data_file(path, text)]
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        _check_kind(reader, path)
        image = reader.Execute()
    except RuntimeError as error:
        last = str(error).strip().splitlines()[-1]
        raise ImageError(f"{path.name} is damaged or cut short ({last}): copy or convert it again.") from error
    acquisition = Acquisition(digests={p.name: file_digest(p) for p in files})
    return Stored(path.name, sitk.GetArrayFromImage(image), affine_of(image), acquisition=acquisition)


def _header_text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(_HEADER_BYTES).split(b"\n\n")[0].decode("latin-1")
    except OSError as error:
        raise ImageError(f"{path.name} cannot be read ({error.strerror}): check the file.") from error


def _check_units(text: str, name: str) -> None:
    """Refuse an NRRD whose ``space units`` are not millimetres; SimpleITK does not look at them."""
    match = re.search(r"^space units:(.*)$", text, re.MULTILINE)
    units = set(re.findall(r'"([^"]*)"', match[1])) if match else set()
    if units - {"mm", "millimeter", "millimeters", ""}:
        raise ImageError(f"{name} is in {', '.join(sorted(units))}: convert it to millimetres first.")


def _data_file(path: Path, text: str) -> list[Path]:
    """The second file of a MetaImage that keeps its voxels apart."""
    match = re.search(r"^ElementDataFile *= *(.+?) *$", text, re.MULTILINE)
    if path.suffix.lower() != ".mhd" or not match or match[1] == "LOCAL":
        return []
    raw = path.with_name(match[1])
    if not raw.is_file():
        raise ImageError(f"{path.name} keeps its voxels in {match[1]}, which is not beside it: copy both files.")
    return [raw]


def _check_kind(reader: Any, path: Path) -> None:
    if reader.GetNumberOfComponents() != 1:
        raise ImageError(f"{path.name} is a colour or vector image, not a CT or a label map: give the original scan.")
    if reader.GetDimension() != 3:
        size = " × ".join(str(n) for n in reader.GetSize())
        raise ImageError(f"{path.name} has {size} voxels: one three-dimensional volume is needed. Extract it first.")
    if path.suffix.lower() == ".nrrd" and not reader.HasMetaDataKey("NRRD_space"):
        raise ImageError(
            f"{path.name} does not name its space (LPS or RAS): left and right would be a guess. Save it again "
            "from a program that writes it, such as 3D Slicer."
        )
    if path.suffix.lower() == ".nrrd" and reader.GetMetaData("NRRD_space") != _LPS:
        space = reader.GetMetaData("NRRD_space")
        raise ImageError(f"{path.name} lies in the space {space}, not in the patient: save it in LPS or RAS.")


def affine_of(image: sitk.Image) -> NDArray[np.float64]:
    """Index ijk to LPS mm of an image that SimpleITK has read."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return affine
