"""A vertebra as a voxel solid in its own frame, with the ends through which it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.levels import Level
from trocar.measure import Finding
from trocar.physics.solid import Solid


class Tissue(IntEnum):
    """What a voxel of the model is: the numbers in ``Solid.material``."""

    VOID = 0
    BONE = 1
    CAP = 2
    CEMENT = 3
    TUMOUR = 4
    ANNULUS = 5
    NUCLEUS = 6
    TITANIUM = 7


class Ends(Enum):
    """How the load reaches the body; it moves the answer by per cents and is always named beside it."""

    CAPS = "PMMA caps"
    EMBEDDED = "embedded endplates"
    PLATES = "plate contact"


@dataclass(frozen=True, eq=False)
class BoneModel:
    """One vertebra (or a motion segment) as a solid.

    The grid is the vertebra's own: k runs along its superior axis, j along its posterior, i along its left; ``affine``
    takes ``(i, j, k, 1)`` to LPS mm (the middle of a voxel). All arrays are ``[k, j, i]`` on that grid. ``parts``
    (:class:`trocar.anatomy.vertebra.Part`) divides the bone; ``density_g_cc`` is the calibrated K2HPO4-equivalent
    density the moduli came from; ``solid.material`` holds :class:`Tissue`. ``law`` and ``calibration`` name how density
    and modulus were found, ``ends`` how it is loaded.
    """

    level: Level
    solid: Solid
    affine: NDArray[np.float64]
    parts: NDArray[np.uint8]
    density_g_cc: NDArray[np.float32]
    law: str
    calibration: str
    ends: Ends = Ends.CAPS
    findings: tuple[Finding, ...] = ()

    def tissue(self, *kinds: Tissue) -> NDArray[np.bool_]:
        """Where the model consists of these."""
        return np.isin(self.solid.material, [int(t) for t in kinds])
