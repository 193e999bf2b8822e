"""From CT numbers to calibrated density: with a phantom, by a scanner's line, or from the patient's own tissues.

A calibration is a straight line from HU to the density of a mineral with the same attenuation. Without a phantom the
line comes from what is in every scan (air, fat, muscle, blood), as in Michalski et al., Med Eng Phys 78:55 (2020): how
far the CT numbers of those tissues are from what their attenuation makes them corrects scale and zero, and the
attenuation of K2HPO4 at the effective energy of the beam gives the slope. Michalski fits the energy to a region of
cortical bone and reads a voxel as mineral in fat, which is a curve; here the energy is given
(:func:`effective_energy_kev` fits it) and a voxel is mineral in water, as in a liquid phantom.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from trocar.anatomy.attenuation import K2HPO4, WATER, Reference, expected_hu
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.references import reference_hu
from trocar.errors import ImageError
from trocar.measure import Finding, Range, Severity
from trocar.volume import Volume

#: Effective energy of a 120 kV beam in a trunk, and the band that leaves open, keV. Virtual images of dual-energy
#: scanners look like 120 kV at 70 keV; there fat comes to -106 HU, and two scans show -107. At 80, 100 and 140 kV it is
#: another; a scan does not always say how it was made.
EFFECTIVE_KEV, LOWEST_KEV, HIGHEST_KEV = 70.0, 65.0, 75.0
#: Energies among which a region of cortical bone chooses, keV.
FITTED_KEV = (50.0, 120.0)
#: What dissolved salt displaces: HU lost per mg/cc, and the zero of the line, HU. QCT PRO User Guide 5.0, Mindways.
DISPLACED_HU, ZERO_HU = 0.2174, -0.4
#: Root-mean-square deviation from simultaneous calibration, as a share of density: a scanner's line measured at
#: another time, and internal references. Kaesmacher et al., J Comput Assist Tomogr 41:217 (2017), 46 patients.
#: Contrast medium raised the density by more than 6 mg/cc on average.
SCANNER_SPREAD, INTERNAL_SPREAD = 0.080, 0.078
#: No phantom is better than this, however well two rods lie on a line: the best error on a vertebra of known density,
#: the European Spine Phantom. Wang et al., Sci Rep 7:6284 (2017), 1.4 to 6.7 %.
PHANTOM_SPREAD = 0.014
#: Slopes, g/cc per HU, that a CT can have: 50 to 120 keV gives 0.0004 to 0.0013.
SLOPES = Range(0.0003, 0.002, "g/cc per HU")
#: How well the CT number of each reference is known, HU: blood by its haematocrit, muscle and fat by their mixture.
UNCERTAIN_HU = {
    Reference.AIR: 5.0,
    Reference.FAT: 8.0,
    Reference.MUSCLE: 8.0,
    Reference.BLOOD: 8.0,
    Reference.CORTICAL_BONE: 100.0,
}


class Mineral(Enum):
    """What a density is expressed in; the values are those of the laws' kinds of density."""

    K2HPO4 = "K2HPO4"
    HYDROXYAPATITE = "hydroxyapatite"


class Kind(Enum):
    """How a calibration was come by, best first."""

    PHANTOM = "phantom"
    SCANNER = "scanner line"
    INTERNAL = "internal references"
    DEFAULT = "default line"


@dataclass(frozen=True)
class Calibration:
    """Density in g/cc of ``mineral`` = ``slope`` (g/cc per HU) times HU plus ``intercept`` (g/cc).

    ``spread`` is one standard deviation as a share of the density; ``how`` is one sentence on where the line comes
    from. Raises ``ValueError`` for a slope no CT has, which mostly is one in mg/cc.
    """

    slope: float
    intercept: float
    kind: Kind
    how: str
    spread: float
    mineral: Mineral = Mineral.K2HPO4
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        SLOPES.check("slope", self.slope, "a calibration from HU to g/cc")
        if not (np.isfinite(self.intercept) and abs(self.intercept) < 0.2):
            raise ValueError(f"intercept={self.intercept:g} g/cc: the density of water must be near 0.")

    @property
    def text(self) -> str:
        """The line and where it comes from, for people."""
        line = (
            f"{1000.0 * self.slope:.3f} mg/cm3 {self.mineral.value} for each HU {1000.0 * self.intercept:+.1f} mg/cm3"
        )
        return f"{line}, give or take {100.0 * self.spread:.0f} %. {self.how}"

    def density(self, hu: ArrayLike) -> NDArray[np.float32]:
        """Density, g/cc, float32, of CT numbers of any shape; negative where there is more fat than mineral."""
        return (self.slope * np.asarray(hu, np.float64) + self.intercept).astype(np.float32)

    def interval(self, hu: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Densities one standard deviation below and above."""
        middle = self.density(hu)
        reach = (self.spread * np.abs(middle)).astype(np.float32)
        return middle - reach, middle + reach

    @classmethod
    def from_phantom(
        cls,
        hu: ArrayLike,
        mineral_g_cc: ArrayLike,
        water_g_cc: ArrayLike | None = None,
        mineral: Mineral = Mineral.K2HPO4,
    ) -> Calibration:
        """By least squares through the mean CT numbers of a phantom's rods and their densities.

        ``water_g_cc`` are the rods' water-equivalent densities from the certificate of a liquid-equivalent phantom
        (Mindways); a solid phantom has none. Raises ``ValueError`` for fewer than two different rods.
        """
        measured, known = np.asarray(hu, np.float64), np.asarray(mineral_g_cc, np.float64)
        water = np.ones(known.shape) if water_g_cc is None else np.asarray(water_g_cc, np.float64)
        if not (measured.shape == known.shape == water.shape and measured.ndim == 1 and len(np.unique(known)) > 1):
            raise ValueError("a phantom needs the HU, mineral and water densities of two or more different rods, g/cc.")
        if not np.all(np.isfinite([measured, known, water])):
            raise ValueError(f"the rods' HU {measured.tolist()} and densities must be numbers.")
        over_water = measured - 1000.0 * (water - 1.0)
        per_g_cc, zero = np.polyfit(known, over_water, 1)
        off = (over_water - zero) / per_g_cc - known
        spread = float(np.sqrt(np.sum(off**2) / max(1, len(known) - 2)) / np.abs(known).max())
        if water_g_cc is not None:
            per_g_cc, zero = per_g_cc - 1000.0 * DISPLACED_HU, zero + ZERO_HU
        how = f"Least squares through {len(known)} rods of {mineral.value} in the scan."
        return cls(1.0 / per_g_cc, -zero / per_g_cc, Kind.PHANTOM, how, max(spread, PHANTOM_SPREAD), mineral)

    @classmethod
    def from_scanner(
        cls, slope: float, intercept: float, scanner: str, mineral: Mineral = Mineral.K2HPO4
    ) -> Calibration:
        """A line measured once on this scanner with this protocol; ``scanner`` says which and when."""
        how = f"Line of the scanner, measured at another time: {scanner}."
        return cls(slope, intercept, Kind.SCANNER, how, SCANNER_SPREAD, mineral)

    @classmethod
    def default(cls, energy_kev: float = EFFECTIVE_KEV) -> Calibration:
        """The line of a perfect scanner of one energy: for a scan nothing is known about, with a caution."""
        spread = float(np.hypot(SCANNER_SPREAD, _energy_spread()))
        finding = Finding(
            Severity.CAUTION,
            "the bone density is not calibrated on this scanner or patient: a default line was used.",
            f"120 kV assumed; density, stiffness and strength may be off by {100 * spread:.0f} % or more",
        )
        how = f"Attenuation of K2HPO4 in water at {energy_kev:.0f} keV (NIST), the scanner taken as perfect."
        return cls(*_line(1.0, 0.0, energy_kev), Kind.DEFAULT, how, spread, findings=(finding,))

    @classmethod
    def from_tissues(cls, hu: Mapping[Reference, float], energy_kev: float = EFFECTIVE_KEV) -> Calibration:
        """From the mean CT numbers of references in the patient's own scan, and the beam's effective energy.

        The line goes through air and the soft tissues. Cortical bone is not on it: its density varies too much.
        Raises ``ValueError`` without air and at least one soft tissue.
        """
        soft: dict[Reference, float] = {r: v for r, v in hu.items() if r is not Reference.CORTICAL_BONE}
        if Reference.AIR not in soft or len(soft) < 2:
            raise ValueError(f"air and a soft tissue are needed; got {', '.join(r.value for r in hu) or 'nothing'}.")
        if not np.all(np.isfinite(list(soft.values()))):
            raise ValueError(f"the CT numbers of the references must be numbers; got {list(soft.values())} HU.")
        gain, zero, _ = _fit(soft, energy_kev)
        names = ", ".join(f"{r.value} {v:.0f} HU" for r, v in soft.items())
        how = f"From {names} in the patient's own scan, at {energy_kev:.0f} keV."
        spread = float(np.hypot(INTERNAL_SPREAD, _energy_spread()))
        return cls(*_line(gain, zero, energy_kev), Kind.INTERNAL, how, spread)


def _hu_per_g_cc(energy_kev: float) -> float:
    """CT number of 1 g/cc of K2HPO4 in place of the water it displaces."""
    return 1000.0 * (K2HPO4.at(energy_kev) / WATER.at(energy_kev) - DISPLACED_HU)


def _energy_spread() -> float:
    """What not knowing the energy leaves open, as a share of the density: half the band about the usual energy."""
    return (_hu_per_g_cc(LOWEST_KEV) - _hu_per_g_cc(HIGHEST_KEV)) / (2.0 * _hu_per_g_cc(EFFECTIVE_KEV))


def _line(gain: float, zero_hu: float, energy_kev: float) -> tuple[float, float]:
    """Slope and intercept of density on measured HU, where measured = gain times expected + zero."""
    slope = 1.0 / (gain * _hu_per_g_cc(energy_kev))
    return slope, -slope * (zero_hu + gain * ZERO_HU)


def _fit(hu: Mapping[Reference, float], energy_kev: float) -> tuple[float, float, float]:
    """Gain and zero of the measured against the expected CT numbers, and the weighted sum of squares left."""
    expected = np.array([expected_hu(r, energy_kev) for r in hu])
    measured = np.array(list(hu.values()), np.float64)
    weight = 1.0 / np.array([UNCERTAIN_HU[r] for r in hu])
    gain, zero = np.polyfit(expected, measured, 1, w=weight)
    return float(gain), float(zero), float(np.sum((weight * (gain * expected + zero - measured)) ** 2))


def effective_energy_kev(hu: Mapping[Reference, float]) -> float:
    """The energy at which the references lie best on one line: Michalski's principle.

    Raises ``ValueError`` without air, a soft tissue and cortical bone, which alone tells the energy. Bone is taken as
    dense as ICRU-44's, 1.92 g/cc; a porous or thin cortex has a lower CT number and so reads as a higher energy.
    """
    if not {Reference.AIR, Reference.CORTICAL_BONE} < set(hu):
        raise ValueError(f"air, a soft tissue and cortical bone are needed; got {', '.join(r.value for r in hu)}.")
    return float(minimize_scalar(lambda e: _fit(hu, e)[2], bounds=FITTED_KEV, method="bounded").x)


def density(hu: Volume | ArrayLike, calibration: Calibration) -> Volume | NDArray[np.float32]:
    """Density, g/cc: a Volume of a Volume in HU (unit "g/cm3"), an array of anything else."""
    if not isinstance(hu, Volume):
        return calibration.density(hu)
    if hu.unit != "HU":
        raise ValueError(f"unit={hu.unit!r} of the volume: density is calibrated from HU only.")
    return replace(hu, array=calibration.density(hu.array), unit="g/cm3")


def calibrated(anatomy: Anatomy) -> Calibration:
    """The best calibration this scan allows by itself: internal references, else the default line and why."""
    try:
        return internal(anatomy)
    except ImageError as refusal:
        line = Calibration.default()
        return replace(line, findings=(*line.findings, Finding(Severity.NOTE, str(refusal))))


def internal(anatomy: Anatomy, energy_kev: float = EFFECTIVE_KEV) -> Calibration:
    """Calibrate on air, fat, muscle and blood found in the patient's own scan.

    Blood that holds contrast medium is left out, with a caution. Raises :class:`trocar.errors.ImageError` naming what
    is missing unless there are air and two of fat, muscle and blood.
    """
    hu, findings = reference_hu(anatomy)
    missing = [r.value for r in Reference if r not in hu and r is not Reference.CORTICAL_BONE]
    if Reference.AIR not in hu or len(hu) < 3:
        raise ImageError(
            f"the scan cannot be calibrated on the patient's own tissues: too little usable {' and '.join(missing)}; "
            "give the line of the scanner, or a scan with a phantom."
        )
    return replace(Calibration.from_tissues(hu, energy_kev), findings=findings)
