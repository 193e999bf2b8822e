"""How acrylic bone cement sets: how fast it ages at a temperature, how much of it has cured, what heat that gives.

One rate law for all of it, ``d(degree)/dt = k ageing(T) degree^m (most(T) - degree)^n``: autocatalytic, faster when
warm, and ended by the glass it turns into. Ages are seconds at 23 degC that do the same; degrees are shares, 0 to 1,
of the monomer's heat.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: degC at which handling times are stated (ISO 5833:2002, implants for surgery, acrylic resin cements).
REFERENCE_C = 23.0
#: K at 0 degC (SI brochure).
ZERO_C_K = 273.15
#: J/(mol K), CODATA 2018.
GAS_CONSTANT = 8.314462618
#: degC between which three cements were seen to cure in half the time (Nicholas et al., J Mater Sci Mater Med 18:1407,
#: 2007). Four others took 1.5 to 2 times as long for 10 K less (doi 10.1007/BF00419028).
HALVED_BETWEEN_C = (25.0, 37.0)
#: J/mol, the Arrhenius energy which that halving is.
ACTIVATION_J_PER_MOL = (
    GAS_CONSTANT * np.log(2.0) / (1.0 / (HALVED_BETWEEN_C[0] + ZERO_C_K) - 1.0 / (HALVED_BETWEEN_C[1] + ZERO_C_K))
)
#: Exponents of the degree and of what is left, and degC of the glass transition that ends it at ``most = T / Tg``
#: (kelvin): Borzacchiello et al. 1998 in Quarini et al., Proc Inst Mech Eng H 220:625 (2006).
CURED_POWER, LEFT_POWER, GLASS_C = 0.98, 1.14, 105.0
#: Degree at mixing: the law needs some to begin with. Rates are fitted to setting times, so that it only says how long
#: it stays quiet before the heat comes (chosen).
FIRST_DEGREE = 1e-6
#: Share of its rise in temperature at which a lump counts as set (ISO 5833:2002, half way;
#: from memory, unverified).
SETTING_SHARE = 0.5
#: J per gram of monomer: 57.8 kJ/mol of methyl methacrylate, 100.12 g/mol (from memory, unverified).
MONOMER_HEAT_J_PER_G = 57.8e3 / 100.12
#: g/mm3 and J/(mm3 K) of cement (from memory, unverified: 1.19 g/ml, 1.46 J/(g K)).
DENSITY_G_PER_MM3, HEAT_CAPACITY_J_PER_MM3_K = 1.19e-3, 1.19e-3 * 1.46
#: Points of its tables, and the logarithm of cured over left where nothing is left (chosen: errors below 1e-5).
_POINTS, _ALL_CURED = 4001, 40.0


def ageing(temperature_c: ArrayLike) -> NDArray[np.float64]:
    """Seconds at 23 degC that one second at ``temperature_c`` is worth: an Arrhenius law.

    An array of the same shape. No bounds here: curing cement gets hot. A cement's own ``ageing`` has them.
    """
    kelvin = np.asarray(temperature_c, dtype=float) + ZERO_C_K
    return np.exp(ACTIVATION_J_PER_MOL / GAS_CONSTANT * (1.0 / (REFERENCE_C + ZERO_C_K) - 1.0 / kelvin))


def most_cured(temperature_c: ArrayLike) -> NDArray[np.float64]:
    """The degree at which it stops while it stays at ``temperature_c``: glass lets no more monomer meet."""
    kelvin = np.asarray(temperature_c, dtype=float) + ZERO_C_K
    return np.minimum(kelvin / (GLASS_C + ZERO_C_K), 1.0)


def unit_rate(degree: ArrayLike, temperature_c: ArrayLike) -> NDArray[np.float64]:
    """The rate law with ``k = 1``: per second, an array of the shape of both together."""
    cured = np.maximum(np.asarray(degree, dtype=float), FIRST_DEGREE)
    left = np.maximum(most_cured(temperature_c) - cured, 0.0)
    return ageing(temperature_c) * cured**CURED_POWER * left**LEFT_POWER


def unit_degree(age: ArrayLike) -> NDArray[np.float64]:
    """Degree of cure at ``k`` times the age, kept at 23 degC."""
    ages, logs = _isothermal()
    return _degree(np.interp(np.asarray(age, dtype=float), ages, logs))


@cache
def _isothermal() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``k`` times the age at 23 degC, by the logarithm of what has cured over what is still to cure there.

    In that variable the law is nearly a straight line: ``d(age) = cured^(1 - m) left^(1 - n) / most d(log)``.
    """
    most = float(most_cured(REFERENCE_C))
    logs = np.linspace(np.log(FIRST_DEGREE / (most - FIRST_DEGREE)), _ALL_CURED, _POINTS)
    cured, left = _degree(logs), _degree(-logs)
    return _accumulated(cured ** (1.0 - CURED_POWER) * left ** (1.0 - LEFT_POWER) / most, logs), logs


def unit_setting(capacity_rise_c: float, start_c: float = REFERENCE_C) -> float:
    """``k`` times the seconds a lump that loses no heat takes from ``start_c`` to half of its rise.

    ``capacity_rise_c`` is the rise if all of it cured. A thin layer, which does lose heat, takes longer.
    """
    final = _lump_end(capacity_rise_c, start_c)
    degree = np.exp(np.linspace(np.log(FIRST_DEGREE), np.log(SETTING_SHARE * final), _POINTS))
    rate = unit_rate(degree, start_c + capacity_rise_c * degree)
    return float(_accumulated(degree / rate, np.log(degree))[-1])


def _lump_end(capacity_rise_c: float, start_c: float) -> float:
    """Where a lump that warms itself stops: all of it, unless it stays below the glass transition."""
    glass, start = GLASS_C + ZERO_C_K, start_c + ZERO_C_K
    return min(1.0, start / (glass - capacity_rise_c)) if capacity_rise_c < glass else 1.0


def _degree(log: NDArray[np.float64]) -> NDArray[np.float64]:
    """The degree at 23 degC where the logarithm of cured over left is this."""
    return most_cured(REFERENCE_C) / (1.0 + np.exp(-log))


def _accumulated(slope: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """The integral of ``slope`` from the first of ``at`` to each of them (trapezia)."""
    return np.concatenate([[0.0], np.cumsum(0.5 * (slope[1:] + slope[:-1]) * np.diff(at))])
