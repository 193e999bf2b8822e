"""A thick fluid through a narrow tube, and what hands and pumps can push it with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Gauss-Legendre points and weights from -1 to 1, and moved to 0 to 1, across the shear rates in the bore (chosen).
_GAUSS = np.polynomial.legendre.leggauss(24)
_POINTS, _WEIGHTS = 0.5 * (_GAUSS[0] + 1.0), 0.5 * _GAUSS[1]
#: Relative change of the wall's shear rate at which its iteration ends, and its steps at most: a power law needs two.
_CLOSE, _MOST_STEPS = 1e-10, 60


class Fluid(Protocol):
    """Anything with a viscosity by age and shear rate."""

    def viscosity_pa_s(self, age_s: ArrayLike, shear_per_s: ArrayLike) -> NDArray[np.float64]:
        """Viscosity at an age and a shear rate, arrays of one shape."""


def tube_drop_pa(fluid: Fluid, radius_mm: float, length_mm: float, flow_mm3_s: float, age_s: float) -> float:
    """Pressure that drives ``flow_mm3_s`` through a tube: ``2 length / radius`` times the shear stress at the wall.

    Slow steady flow of one age. Newtonian it is Hagen-Poiseuille's ``8 viscosity length flow / (pi radius^4)``.
    """
    if not (radius_mm > 0.0 and length_mm >= 0.0 and flow_mm3_s >= 0.0):
        raise ValueError(
            f"A tube of radius_mm={radius_mm:g} (above 0 mm) and length_mm={length_mm:g} (0 mm or more) cannot carry "
            f"flow_mm3_s={flow_mm3_s:g} (0 mm3/s or more)."
        )
    shear = wall_shear_per_s(fluid, radius_mm, flow_mm3_s, age_s)
    return 2.0 * length_mm / radius_mm * float(_stress_pa(fluid, np.array([shear]), age_s)[0])


def wall_shear_per_s(fluid: Fluid, radius_mm: float, flow_mm3_s: float, age_s: float) -> float:
    """Shear rate at a tube's wall for any law of viscosity, after Rabinowitsch (Z Phys Chem A 145:1, 1929).

    ``flow / (pi radius^3) = (wall / 3) (1 - integral over x from 0 to 1 of (stress(x wall) / stress(wall))^3)``.
    """
    mean = flow_mm3_s / (math.pi * radius_mm**3)
    wall = 4.0 * mean
    for _ in range(_MOST_STEPS if mean > 0.0 else 0):
        stress = _stress_pa(fluid, wall * np.append(_POINTS, 1.0), age_s)
        before, wall = wall, 3.0 * mean / (1.0 - float(_WEIGHTS @ (stress[:-1] / stress[-1]) ** 3))
        if abs(wall - before) <= _CLOSE * wall:
            break
    return wall


def _stress_pa(fluid: Fluid, shear_per_s: NDArray[np.float64], age_s: float) -> NDArray[np.float64]:
    """Shear stress at shear rates."""
    return fluid.viscosity_pa_s(np.full_like(shear_per_s, age_s), shear_per_s) * shear_per_s


@dataclass(frozen=True)
class Injector:
    """What pushes the cement, and the highest pressure it gives."""

    name: str
    limit_pa: float
    source: str


#: N a thumb pushes for a while (from memory, unverified). Over the bore of a 3 ml syringe that is 1.7 MPa, the mean
#: peak in patients (Krebs et al., Spine 30:E118, 2005: 1693 +/- 653 kPa); the highest they saw was 3215 kPa.
THUMB_N = 100.0


def _thumb(name: str, bore_mm: float) -> Injector:
    """A thumb on a plunger of this bore."""
    source = f"A thumb's {THUMB_N:g} N over a bore of {bore_mm:g} mm (both from memory, unverified; Krebs 2005 agrees)."
    return Injector(name, THUMB_N / (math.pi / 4.0 * bore_mm**2) * 1e6, source)


_HYDRAULIC = "Makers' pumps by screw or hydraulics: from memory, unverified; the device's own instructions count."
#: What pushes cement, by name.
INJECTORS = {
    injector.name: injector
    for injector in (
        _thumb("1 ml syringe", 4.7),
        _thumb("3 ml syringe", 8.66),
        _thumb("10 ml syringe", 14.5),
        _thumb("bone filler", 3.0),
        Injector("screw pump", 10e6, _HYDRAULIC),
    )
}
