"""Volumes that are one file: NIfTI, NRRD, MetaImage; scans and label maps alike."""

from __future__ import annotations

import os

from trocar.errors import ImageError
from trocar.io.itk import read_itk
from trocar.io.nifti import read_nifti
from trocar.io.source import existing
from trocar.io.stored import Stored

#: How the names of volume files end, in lower case: those that nibabel reads, and all.
NIFTI_SUFFIXES = (".nii", ".nii.gz")
VOLUME_SUFFIXES = (*NIFTI_SUFFIXES, ".nrrd", ".mha", ".mhd")


def is_volume_file(path: str | os.PathLike[str]) -> bool:
    """Whether the name says NIfTI, NRRD or MetaImage."""
    return os.fspath(path).lower().endswith(VOLUME_SUFFIXES)


def read_volume_file(path: str | os.PathLike[str]) -> Stored:
    """The voxels of a NIfTI, NRRD or MetaImage file in their own type, as stored.

    ``.volume(unit, outside)`` of the result brings them into canonical order. Raises
    :class:`ImageError` for what :func:`read_nifti` and :func:`read_itk` refuse.
    """
    found = existing(path)
    if not is_volume_file(found):
        raise ImageError(f"{found.name} is not a volume file: use one ending in {', '.join(VOLUME_SUFFIXES)}.")
    return read_nifti(found) if found.name.lower().endswith(NIFTI_SUFFIXES) else read_itk(found)
