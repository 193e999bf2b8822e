"""A phantom patient of two lumbar levels, read as a scan with its labels would be."""

from __future__ import annotations

from functools import cache

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
