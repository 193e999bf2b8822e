"""How much tissue, metal and cement attenuate X-rays, from Hounsfield units to a beam of many energies.

Linear attenuation is density times the mass attenuation of the elements by their share of the mass. The elements'
coefficients (20 to 150 keV, coherent scatter included) are those of Elam WT, Ravel BD, Sieber JR. A new atomic database
for X-ray spectroscopic calculations. Radiat Phys Chem 2002;63:121-128; of the tissues they make, the tests compare
water, soft tissue and cortical bone with NIST's tables (Hubbell & Seltzer, NISTIR 5632, 1995). Between the energies
they are straight lines in logarithms.

A CT says one number where two are needed. Up to water a voxel is taken for a mixture of air and water, above it for
one of water and cortical bone (bilinear, as in Burger C et al. PET attenuation coefficients from CT images. Eur J Nucl
Med Mol Imaging 2002;29:922-927). Metal and contrast agent in the CT are thereby taken for very dense bone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trocar.measure import Range

#: Energies of the table, keV; two lie on either side of barium's edge at 37.441.
ENERGIES_KEV = (20.0, 25.0, 30.0, 35.0, 37.44, 37.442, 40.0, 45.0, 50.0, 60.0, 70.0, 80.0, 100.0, 120.0, 150.0)
_TABLE = """
H  0.3695 0.3631 0.357  0.3513 0.3486 0.3486 0.3458 0.3406 0.3355 0.326  0.3173 0.3091 0.2944 0.2816 0.2651
C  0.442  0.3136 0.2562 0.2258 0.2159 0.2159 0.2076 0.1957 0.1871 0.1753 0.1672 0.161  0.1514 0.1438 0.1347
N  0.6179 0.4019 0.3067 0.2574 0.2417 0.2416 0.2288 0.2105 0.198  0.1817 0.1714 0.1639 0.1529 0.1448 0.1353
O  0.8653 0.5265 0.3779 0.3019 0.278  0.2779 0.2585 0.2314 0.2133 0.1907 0.1772 0.1679 0.1551 0.1462 0.1361
Na 2.057  1.128  0.7199 0.5131 0.4487 0.4485 0.3969 0.3262 0.2804 0.2268 0.1976 0.1796 0.1585 0.1459 0.1335
Mg 2.763  1.49   0.9305 0.6471 0.5589 0.5586 0.488  0.3915 0.3292 0.257  0.2184 0.1951 0.1686 0.1536 0.1394
Al 3.442  1.836  1.128  0.7696 0.658  0.6576 0.5684 0.4466 0.3682 0.2778 0.2301 0.2018 0.1704 0.1533 0.1378
Si 4.463  2.364  1.436  0.9652 0.8187 0.8181 0.701  0.5412 0.4385 0.3206 0.259  0.2228 0.1835 0.1629 0.1448
P  5.354  2.822  1.7    1.13   0.952  0.9514 0.8095 0.616  0.4918 0.3494 0.2754 0.2324 0.1865 0.163  0.1432
S  6.71   3.528  2.113  1.392  1.168  1.167  0.9873 0.7423 0.585  0.4053 0.3123 0.2586 0.202  0.1738 0.1506
Cl 7.74   4.066  2.426  1.588  1.327  1.326  1.116  0.8313 0.6484 0.4394 0.3316 0.2696 0.205  0.1733 0.148
Ar 8.63   4.531  2.696  1.757  1.464  1.463  1.228  0.9071 0.7012 0.4664 0.3453 0.276  0.2043 0.1696 0.1427
K  10.93  5.744  3.412  2.216  1.842  1.841  1.541  1.131  0.8678 0.5678 0.4134 0.3252 0.2345 0.1912 0.1582
Ca 13.06  6.871  4.08   2.643  2.193  2.191  1.83   1.337  1.019  0.6579 0.4717 0.3655 0.2571 0.2059 0.1674
Ti 15.85  8.371  4.972  3.212  2.659  2.657  2.213  1.605  1.213  0.766  0.5361 0.4053 0.2721 0.2102 0.1649
V  17.68  9.36   5.565  3.594  2.973  2.971  2.472  1.788  1.348  0.8438 0.5845 0.4371 0.2877 0.2185 0.1682
Cr 20.38  10.82  6.435  4.154  3.436  3.433  2.855  2.063  1.551  0.964  0.662  0.4905 0.3166 0.2365 0.1788
Mn 22.53  11.99  7.142  4.614  3.815  3.812  3.169  2.285  1.714  1.06   0.7225 0.5306 0.3366 0.2476 0.1838
Fe 25.68  13.7   8.177  5.286  4.37   4.367  3.629  2.614  1.957  1.205  0.8164 0.5952 0.3717 0.2693 0.1964
Ni 32.2   17.29  10.34  6.696  5.539  5.534  4.6    3.311  2.475  1.511  1.014  0.7306 0.4439 0.3131 0.2208
Cu 33.8   18.2   10.91  7.074  5.853  5.848  4.861  3.498  2.613  1.593  1.064  0.763  0.4585 0.3195 0.2217
Zr 72.38  40.45  24.86  16.38  13.64  13.63  11.39  8.247  6.174  3.744  2.461  1.721  0.9656 0.6198 0.3791
Ba 29.38  16.11  9.904  6.569  5.5    29.17  24.57  18.12  13.79  8.511  5.65   3.963  2.195  1.367  0.7827
"""
#: Mass attenuation, cm2/g, at those.
ELEMENTS = {row.split()[0]: tuple(float(x) for x in row.split()[1:]) for row in _TABLE.strip().splitlines()}
_KEV = Range(ENERGIES_KEV[0], ENERGIES_KEV[-1], "keV")
_MM_PER_CM = 10.0
_NIST = "composition and density as in NIST's table 2 (Hubbell & Seltzer 1995)"
_ICRU = f"ICRU Report 44 (1989), {_NIST}"

#: Energies at which a spectrum is worked out before it is put into bins, and the most bins that all get some of them.
FINE_ENERGIES, MOST_BINS = 2001, 500
#: Mean energy of a CT's beam at 120 kVp behind a body, keV: about 70 (from memory, unverified); scanners differ.
CT_KEV = 70.0
#: HU of air.
AIR_HU = -1000.0


@dataclass(frozen=True, eq=False)
class Material:
    """Something in the beam: its density, and each element's share of its mass."""

    name: str
    density_g_per_cm3: float
    composition: Mapping[str, float]
    source: str

    def __post_init__(self) -> None:
        unknown = sorted(set(self.composition) - set(ELEMENTS))
        if unknown:
            raise ValueError(f"{self.name}: no coefficients for {', '.join(unknown)}; there are {', '.join(ELEMENTS)}.")
        if not abs(sum(self.composition.values()) - 1.0) < 5e-3:
            raise ValueError(f"{self.name}: the shares of the elements add up to {sum(self.composition.values()):g}.")
        if not self.density_g_per_cm3 > 0.0:
            raise ValueError(f"{self.name}: density_g_per_cm3={self.density_g_per_cm3} must be positive.")

    @cached_property
    def _mass(self) -> NDArray[np.float64]:
        shares = [(np.array(ELEMENTS[element]), share) for element, share in self.composition.items()]
        return np.sum([values * share for values, share in shares], axis=0)

    def mass_attenuation(self, energy_kev: ArrayLike) -> NDArray[np.float64]:
        """Mass attenuation at some energies of 20 to 150 keV, cm2/g."""
        energies = np.asarray(energy_kev, dtype=np.float64)
        for energy in (energies.min(), energies.max()):
            _KEV.check("energy_kev", float(energy), self.name)
        return np.exp(np.interp(np.log(energies), np.log(ENERGIES_KEV), np.log(self._mass)))

    def per_mm(self, energy_kev: ArrayLike) -> NDArray[np.float64]:
        """Linear attenuation at some energies, per mm."""
        return self.mass_attenuation(energy_kev) * self.density_g_per_cm3 / _MM_PER_CM

    def hu(self, energy_kev: float = CT_KEV) -> float:
        """What a CT of this energy shows of it, HU."""
        return float(1000.0 * (self.per_mm(energy_kev) / WATER.per_mm(energy_kev) - 1.0))


WATER = Material("water", 1.0, {"H": 0.111898, "O": 0.888102}, _NIST)
AIR = Material("air", 1.205e-3, {"C": 0.000124, "N": 0.755268, "O": 0.231781, "Ar": 0.012827}, _NIST)
SOFT_TISSUE = Material(
    "soft tissue", 1.06,
    {"H": 0.102, "C": 0.143, "N": 0.034, "O": 0.708, "Na": 0.002, "P": 0.003, "S": 0.003, "Cl": 0.002, "K": 0.003},
    _ICRU,
)  # fmt: skip
CORTICAL_BONE = Material(
    "cortical bone", 1.92,
    {"H": 0.034, "C": 0.155, "N": 0.042, "O": 0.435, "Na": 0.001, "Mg": 0.002, "P": 0.103, "S": 0.003, "Ca": 0.225},
    _ICRU,
)  # fmt: skip
PMMA = Material("PMMA", 1.19, {"H": 0.080538, "C": 0.599848, "O": 0.319614}, _NIST)
ALUMINIUM = Material("aluminium", 2.699, {"Al": 1.0}, _NIST)
COPPER = Material("copper", 8.96, {"Cu": 1.0}, _NIST)
TITANIUM = Material("titanium", 4.54, {"Ti": 1.0}, _NIST)
STEEL = Material(
    "stainless steel 304", 8.0, {"Cr": 0.19, "Ni": 0.0925, "Mn": 0.01, "Si": 0.005, "Fe": 0.7025},
    "middle of the grade's ranges; from memory, unverified",
)  # fmt: skip
BARIUM_SULPHATE = Material(
    "barium sulphate", 4.5, {"Ba": 0.5884, "S": 0.1374, "O": 0.2742}, "formula BaSO4; density from memory, unverified"
)
ZIRCONIA = Material("zirconia", 5.68, {"Zr": 0.7403, "O": 0.2597}, "formula ZrO2; density from memory, unverified")


def mixed(name: str, parts: Mapping[Material, float], source: str) -> Material:
    """A mixture by shares of the mass, whose volumes add up."""
    if not abs(sum(parts.values()) - 1.0) < 1e-6 or min(parts.values()) < 0.0:
        raise ValueError(f"{name}: the shares {list(parts.values())} must be 0 or more and add up to 1.")
    composition: dict[str, float] = {}
    for part, share in parts.items():
        for element, of_part in part.composition.items():
            composition[element] = composition.get(element, 0.0) + share * of_part
    volume = sum(share / part.density_g_per_cm3 for part, share in parts.items())
    return Material(name, 1.0 / volume, composition, source)


def bone_cement(share: float = 0.3, filler: Material = BARIUM_SULPHATE) -> Material:
    """PMMA cement with a share of its mass of something that is seen; without pores.

    About 30 % of barium sulphate is usual in cements for vertebroplasty (from memory, unverified): the maker's
    leaflet counts.
    """
    Range(0.0, 0.6).check("share", share, filler.name)
    return mixed(f"PMMA cement, {100 * share:g} % {filler.name}", {PMMA: 1.0 - share, filler: share}, filler.source)


def water_and_bone(hu: NDArray[Any], ct_kev: float = CT_KEV) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Which share of each voxel is water and which cortical bone, float32: together what the CT measured.

    Below air is padding, taken as air. Line integrals of the two are millimetres of water and of bone, for
    :func:`transmission`.
    """
    values = np.maximum(np.asarray(hu, dtype=np.float32), np.float32(AIR_HU))
    bone = np.asarray(np.maximum(values, 0.0) / np.float32(CORTICAL_BONE.hu(ct_kev)), dtype=np.float32)
    water = np.asarray(np.minimum(np.float32(1.0) + np.float32(1e-3) * values, 1.0) - bone, dtype=np.float32)
    return water, bone


def attenuation(hu: NDArray[Any], energy_kev: float, ct_kev: float = CT_KEV) -> NDArray[np.float32]:
    """Linear attenuation per mm, float32, at one energy of what a CT showed."""
    water, bone = water_and_bone(hu, ct_kev)
    return water * np.float32(WATER.per_mm(energy_kev)) + bone * np.float32(CORTICAL_BONE.per_mm(energy_kev))


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Energies of a beam, and which share of what the detector records without a patient comes from each."""

    energies_kev: NDArray[np.float64]
    shares: NDArray[np.float64]

    @property
    def mean_kev(self) -> float:
        """The mean energy, keV."""
        return float(self.energies_kev @ self.shares)

    def effective_kev(self, water_mm: float) -> float:
        """The one energy that as much water lets through as much of, keV."""
        met = -np.log(
            transmission(self, [(WATER, np.array(float(Range(0.1, 1000.0, "mm").check("water_mm", water_mm))))])
        )
        grid = np.linspace(ENERGIES_KEV[0], ENERGIES_KEV[-1], 1301)
        return float(np.interp(-float(met) / water_mm, -WATER.per_mm(grid), grid))


def spectrum(
    kvp: float,
    filters: Sequence[tuple[Material, float]] = ((ALUMINIUM, 3.0),),
    bins: int = 6,
    *,
    integrating: bool = True,
) -> Spectrum:
    """The beam of a tube at ``kvp`` (40 to 150) behind filters (material, mm), in bins of equal share.

    Kramers' law for a thick target, quanta per energy as (kVp - E) / E (Kramers HA. Philos Mag 1923;46:836-871), above
    20 keV and behind the filters. Neither the target's own filtering nor its characteristic lines are in it: the tests
    show how far its mean energy lies from SpekPy's. An ``integrating`` detector records a quantum by its energy, and
    is taken to stop all of them alike.
    """
    Range(40.0, 150.0, "kV").check("kvp", kvp)
    Range(1, MOST_BINS).check("bins", bins)
    energies = np.linspace(ENERGIES_KEV[0], kvp, FINE_ENERGIES)
    weights = (kvp - energies) / energies * (energies if integrating else 1.0)
    for material, thickness_mm in filters:
        weights = weights * np.exp(-material.per_mm(energies) * thickness_mm)
    part = np.minimum((np.cumsum(weights) - 0.5 * weights) / weights.sum() * bins, bins - 1e-9).astype(int)
    shares = np.bincount(part, weights, bins)
    return Spectrum(np.bincount(part, weights * energies, bins) / shares, shares / shares.sum())


def transmission(beam: Spectrum, met: Sequence[tuple[Material, NDArray[Any]]]) -> NDArray[np.float32]:
    """Which share of the beam passes so many mm of each material, element by element: Beer's law energy by energy.

    The lengths are line integrals, e.g. of the two parts of :func:`water_and_bone`; they may be negative where
    something is replaced by something else.
    """
    if not met:
        raise ValueError("transmission asks for at least one material and its lengths in mm.")
    passed = np.zeros(np.broadcast_shapes(*(np.shape(lengths) for _, lengths in met)), dtype=np.float32)
    for energy, share in zip(beam.energies_kev, beam.shares, strict=True):
        exponent = sum(
            np.float32(material.per_mm(energy)) * np.asarray(lengths, np.float32) for material, lengths in met
        )
        passed += np.float32(share) * np.exp(-exponent)
    return passed
