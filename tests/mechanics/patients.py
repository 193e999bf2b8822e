"""A phantom patient of two lumbar levels, read as a scan with its labels would be."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import trocar
from trocar.anatomy.bone import Calibration
from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.phantom import PhantomSpec, phantom

LINE = Calibration.from_scanner(0.0008, 0.0, "a test")


@cache
def patient(mirror: bool = False) -> Anatomy:
    spec = PhantomSpec(levels=(Level.L1, Level.L2), focus=Level.L1, voxel_mm=(1.5, 1.0, 1.0), mirror=mirror)
    drawn = phantom(spec)
    return trocar.read_anatomy(drawn.labels, on=drawn.ct, scheme="totalseg-v2")


@cache
def thoracolumbar(shared_data: Path) -> Anatomy:
    """A real scan, 2.5 mm slices, T9 to L1."""
    folder = shared_data / "lidc0001"
    ct = trocar.read_ct(folder / "lidc0001_lower_dicom.zip")
    return trocar.read_anatomy(folder / "lidc0001_lower_totalseg_mask.nii.gz", on=ct, scheme="totalseg-v2")
