"""The bone that cement flows through: how much of it is room, and how easily a fluid passes.

Permeabilities are square millimetres (1e-8 m2 is 0.01 mm2) and, along three axes, ``[3, k, j, i]``: the vertebra's
superior, posterior and left axis. Values that differ from bone to bone are log-normal: a median and a standard
deviation on a logarithmic scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Two-sided 95 % of a normal distribution, in standard deviations.
_Z95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class LogNormal:
    """A positive quantity: its ``median`` in its own unit, and the standard deviation ``sd`` of its logarithm."""

    median: float
    sd: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.median) and self.median > 0.0):
            raise ValueError(f"median={self.median} of a log-normal quantity must be positive.")
        if not (math.isfinite(self.sd) and self.sd >= 0.0):
            raise ValueError(f"sd={self.sd} of a logarithm must be zero or more.")

    @classmethod
    def of_mean(cls, mean: float, sd: float) -> LogNormal:
        """The one with this arithmetic mean and standard deviation."""
        variance = math.log1p((sd / mean) ** 2)
        return cls(mean * math.exp(-0.5 * variance), math.sqrt(variance))

    @classmethod
    def of_interval(cls, low: float, high: float) -> LogNormal:
        """The one with 95 % of its values between two, the median their geometric mean."""
        if not 0.0 < low <= high:
            raise ValueError(f"an interval from {low} to {high} must be positive and in order.")
        return cls(math.sqrt(low * high), math.log(high / low) / (2.0 * _Z95))

    def draw(self, rng: np.random.Generator) -> float:
        """One value at random; takes one number from ``rng``."""
        return self.median * math.exp(self.sd * float(rng.standard_normal()))


#: Permeability of human lumbar vertebral cancellous bone to oil as thick as cement, along the superior axis (20 cores)
#: and from front to back (14 cores). Baroud G et al., J Biomech 2004;37:189-196: 4.45 +- 1.72 and 3.44 +- 1.26 times
#: 1e-8 m2. The stored abstract has lost the exponent's sign; it can only be negative. Another laboratory found 2.7e-11
#: to 2.0e-8 m2 over vertebra, femur and tibia, and in the vertebra half as much across as along (Nauman EA et al., Ann
#: Biomed Eng 1999;27:517-524): between laboratories the level differs by more than this spread.
SUPERIOR_MM2 = LogNormal.of_mean(0.0445, 0.0172)
TRANSVERSE_MM2 = LogNormal.of_mean(0.0344, 0.0126)
#: Bone volume fraction at which those means hold: that of the cores was not at hand. Elderly lumbar vertebrae have 7 to
#: 15 % (from memory, unverified).
MEAN_BONE = 0.10
#: Kozeny's law with a bone surface that grows as bone volume to this power: struts of one thickness would give 1,
#: Martin's curve for bone (Crit Rev Biomed Eng 1984;10:179, from memory, unverified) 3/4 between 5 and 20 % of bone.
SURFACE_POWER = 0.75
#: Bone volume fractions between which the law is used. Sparser bone is no lattice; denser is cortex with its canals.
SPARSEST_BONE, DENSEST_BONE = 0.03, 0.95

#: The wall of the body: about 0.35 mm, porous and irregular. Silva MJ et al., Bone 1994;15:409-414.
CORTEX_MM = 0.35
#: Canals of cortical bone: 10 to 50 um wide, 3 to 10 % of its volume. Materials (Basel) 2020;13(21):4794, table 5.
_CANAL_MM = LogNormal.of_interval(0.010, 0.050)
_CANAL_SHARE = LogNormal.of_interval(0.03, 0.10)
#: Permeability of intact cortex: straight canals of a share and a radius, ``share radius^2 / 8``.
CORTEX_MM2 = LogNormal(
    _CANAL_SHARE.median * (0.5 * _CANAL_MM.median) ** 2 / 8.0, math.hypot(_CANAL_SHARE.sd, 2.0 * _CANAL_MM.sd)
)
#: Viscosity of marrow, Pa s. 0.044 to 0.142 in the yellow marrow of 19 femurs (Biorheology 2011;48:89-97); not below
#: 0.04 in cattle, and ten times that where it is cooler (Bryant JD et al., Proc Inst Mech Eng H 1989;203:71-75).
MARROW_PA_S = LogNormal.of_interval(0.04, 0.4)


def permeability_mm2(bone_share: ArrayLike) -> NDArray[np.float64]:
    """Median permeability along k, j, i of cancellous bone with a bone volume fraction, ``[3, ...]``.

    Kozeny's law, ``porosity^3 / surface^2`` with :data:`SURFACE_POWER`, through the measured values at
    :data:`MEAN_BONE`. Left to right is taken as front to back. Bone volume predicts permeability weakly: the spread of
    the cores (``SUPERIOR_MM2.sd``) stays around this law.
    """
    share = within_law(bone_share)
    relative = ((1.0 - share) / (1.0 - MEAN_BONE)) ** 3 * (MEAN_BONE / share) ** (2.0 * SURFACE_POWER)
    along = np.array([SUPERIOR_MM2.median, TRANSVERSE_MM2.median, TRANSVERSE_MM2.median])
    return np.multiply.outer(along, relative)


def within_law(bone_share: ArrayLike) -> NDArray[np.float64]:
    """A bone volume fraction kept between :data:`SPARSEST_BONE` and :data:`DENSEST_BONE`; refuses what is no number."""
    share = np.asarray(bone_share, np.float64)
    if not np.all(np.isfinite(share)):
        bad = np.argwhere(~np.isfinite(np.atleast_1d(share)))
        raise ValueError(f"the bone volume fraction at {bad[0].tolist()} is not a number ({len(bad)} such places).")
    return np.clip(share, SPARSEST_BONE, DENSEST_BONE)


def slot_mm2(width_mm: float) -> float:
    """Permeability of the space between two plates: Poiseuille's ``width^2 / 12``."""
    return _positive("width_mm", width_mm) ** 2 / 12.0


def tube_mm4(radius_mm: float) -> float:
    """Permeability times area of a tube: Poiseuille's ``pi radius^4 / 8``."""
    return math.pi * _positive("radius_mm", radius_mm) ** 4 / 8.0


def mouth_mm(radius_mm: float) -> float:
    """Radius of the hemisphere that drains a half space as a disc does: ``2 radius / pi``.

    A disc at constant pressure takes ``4 permeability radius`` per viscosity and pressure, a hemisphere ``2 pi``.
    """
    return 2.0 * _positive("radius_mm", radius_mm) / math.pi


def _positive(name: str, value: float) -> float:
    if not (math.isfinite(value) and value > 0.0):
        raise ValueError(f"{name}={value} must be a positive length in mm.")
    return value
