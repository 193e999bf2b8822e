"""The phantom as files, so that it is read through the same door as a patient."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trocar.anatomy.phantom import Phantom
from trocar.io.nifti import write_nifti

SCAN, LABELS = "scan.nii.gz", "labels.nii.gz"


def write_phantom(patient: Phantom, folder: Path) -> tuple[Path, Path]:
    """Write the scan (whole HU) and its labels as NIfTI into an existing folder; returns both paths."""
    scan = write_nifti(patient.ct, folder / SCAN, np.int16)
    return scan, write_nifti(patient.labels, folder / LABELS, np.uint8)
