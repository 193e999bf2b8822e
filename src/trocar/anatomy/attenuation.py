"""How much the tissues of a CT attenuate at one photon energy, and the CT number that makes.

Mass attenuation coefficients: Hubbell & Seltzer, NIST Standard Reference Database 126 (NISTIR 5632), tables 3 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from scipy.interpolate import CubicSpline

from trocar.measure import Range

#: Energies of the tables below, keV; between them the logarithms are interpolated (K2HPO4 at 70 keV: 0.3012 against
#: 0.3015 cm2/g computed from its elements there).
TABLE_KEV = (40.0, 50.0, 60.0, 80.0, 100.0, 150.0)
#: Energies at which the tables may be asked.
ENERGY_KEV = Range(TABLE_KEV[0], TABLE_KEV[-1], "keV")


@dataclass(frozen=True)
class Absorber:
    """A substance: its density and its mass attenuation coefficients (cm2/g) at :data:`TABLE_KEV`."""

    density_g_cc: float
    mass_attenuation_cm2_g: tuple[float, ...]

    def at(self, energy_kev: float) -> float:
        """Mass attenuation coefficient, cm2/g, at a photon energy of 40 to 150 keV."""
        ENERGY_KEV.check("energy_kev", energy_kev)
        log = CubicSpline(np.log(TABLE_KEV), np.log(self.mass_attenuation_cm2_g))
        return float(np.exp(log(np.log(energy_kev))))

    def linear_per_cm(self, energy_kev: float) -> float:
        """Linear attenuation coefficient, 1/cm."""
        return self.density_g_cc * self.at(energy_kev)


def _mixture(*parts: tuple[float, tuple[float, ...]]) -> tuple[float, ...]:
    """Coefficients of a compound from shares of mass and the coefficients of its elements."""
    return tuple(float(sum(share * mu[n] for share, mu in parts)) for n in range(len(TABLE_KEV)))


_HYDROGEN = (0.3458, 0.3355, 0.3260, 0.3091, 0.2944, 0.2651)
_OXYGEN = (0.2585, 0.2132, 0.1907, 0.1678, 0.1551, 0.1361)
_PHOSPHORUS = (0.8096, 0.4916, 0.3494, 0.2324, 0.1865, 0.1432)
_POTASSIUM = (1.541, 0.8679, 0.5678, 0.3251, 0.2345, 0.1582)

WATER = Absorber(1.0, (0.2683, 0.2269, 0.2059, 0.1837, 0.1707, 0.1505))
#: Shares of mass from the atomic weights K 39.098, H 1.008, P 30.974, O 15.999; the density is that of the dry salt
#: and enters nowhere.
K2HPO4 = Absorber(
    2.44, _mixture((0.44895, _POTASSIUM), (0.00579, _HYDROGEN), (0.17783, _PHOSPHORUS), (0.36743, _OXYGEN))
)


class Reference(Enum):
    """What is found in every patient and can be compared with the CT numbers it should have."""

    AIR = "air"
    FAT = "fat"
    MUSCLE = "muscle"
    BLOOD = "blood"
    CORTICAL_BONE = "cortical bone"


#: ICRU-44 compositions and densities, but fat at 0.92 g/cc (ICRP): at 0.95 it would be -73 HU at 70 keV, where scans
#: of adults show -110 to -100.
ABSORBERS = {
    Reference.AIR: Absorber(0.001205, (0.2485, 0.2080, 0.1875, 0.1662, 0.1541, 0.1356)),
    Reference.FAT: Absorber(0.92, (0.2396, 0.2123, 0.1974, 0.1800, 0.1688, 0.1500)),
    Reference.MUSCLE: Absorber(1.05, (0.2685, 0.2262, 0.2048, 0.1823, 0.1693, 0.1492)),
    Reference.BLOOD: Absorber(1.06, (0.2715, 0.2278, 0.2057, 0.1827, 0.1695, 0.1492)),
    Reference.CORTICAL_BONE: Absorber(1.92, (0.6655, 0.4242, 0.3148, 0.2229, 0.1855, 0.1480)),
}


def expected_hu(reference: Reference, energy_kev: float) -> float:
    """The CT number a reference would have on a perfect scanner of that one energy, by the definition of HU."""
    return 1000.0 * (ABSORBERS[reference].linear_per_cm(energy_kev) / WATER.linear_per_cm(energy_kev) - 1.0)
