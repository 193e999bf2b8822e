"""Bone cements for vertebroplasty: how thick they are at an age and a shear rate, and what that age is in a warm bone.

Ages are seconds at 23 degC since mixing; another temperature only makes them pass faster or slower. Viscosity is
``reference(age) (1 + (shear / plateau)^2)^((n - 1) / 2)``, Carreau's law (Trans Soc Rheol 16:99, 1972): thinner when
sheared, a plateau when hardly. Rotating rheometers slip on cement (Trivedi et al., arXiv 2312.11426) and no whole curve
of a brand was at hand: so the cements here are classes, not brands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trocar.measure import Range
from trocar.physics import curing
from trocar.physics.pores import SHEAR_INDEX_RANGE

#: Pa s at 1/s from which cement spreads evenly rather than in fingers (Loeffel et al., Spine 33:1352, 2008; Baroud
#: et al., Spine 31:2562, 2006; the number from memory, unverified).
THICK_ENOUGH_PA_S = 100.0
#: Pa s at 1/s at which it no longer goes through an 11 gauge cannula by hand: 3 ml a minute then takes a pressure
#: between the mean peak, 1.7 MPa, and the highest, 3.2 MPa, that Krebs et al., Spine 30:E118 (2005), saw in patients.
STOPS_FLOWING_PA_S = 2000.0
#: Pa s that three cements reached when they were solid (Nicholas et al., J Mater Sci Mater Med 18:1407, 2007).
SET_PA_S = 75e3
#: 1/s below which it is no thinner for being sheared less (chosen: slower than any flow that matters here).
PLATEAU_PER_S = 0.1
#: 1/s at which tables of viscosity are written.
TABLE_SHEAR_PER_S = 1.0
#: degC of the rooms and bodies that its ageing is trusted in (chosen: little beyond those it was measured in).
TEMPERATURE_RANGE = Range(15.0, 40.0, "degC")


@dataclass(frozen=True)
class Window:
    """When cement may be injected: real seconds since mixing (never: its end is its start)."""

    start_s: float
    end_s: float


@dataclass(frozen=True)
class Cement:
    """A bone cement: its viscosity by age, when it sets, and how much of it reacts.

    ``ages_s`` at 23 degC and ``table_pa_s`` at 1/s are the curve (straight in the logarithm between), ``shear_index``
    the n of the shear thinning (1: none), ``setting_s`` when a lump sets at 23 degC, ``monomer_share`` the share of
    its mass that reacts. ``examples`` are products that ``source`` calls so; none of the curves is a product's own.
    """

    name: str
    examples: tuple[str, ...]
    ages_s: tuple[float, ...]
    table_pa_s: tuple[float, ...]
    shear_index: float
    setting_s: float
    monomer_share: float
    source: str

    def __post_init__(self) -> None:
        if not (len(self.ages_s) == len(self.table_pa_s) >= 2 and _grow(self.ages_s) and _grow(self.table_pa_s)):
            raise ValueError(
                f"{self.name}: ages_s and table_pa_s must be equally long, at least 2, and grow from above 0."
            )
        SHEAR_INDEX_RANGE.check("shear_index", self.shear_index, self.name)
        MONOMER_RANGE.check("monomer_share", self.monomer_share, self.name)
        SETTING_RANGE.check("setting_s", self.setting_s, self.name)

    @property
    def valid_age_s(self) -> Range:
        """The ages at 23 degC between which its viscosity is known."""
        return Range(self.ages_s[0], self.ages_s[-1], "s")

    def viscosity_pa_s(self, age_s: ArrayLike, shear_per_s: ArrayLike) -> NDArray[np.float64]:
        """Viscosity at ages (23 degC) and shear rates, arrays of one shape; ``ValueError`` beyond ``valid_age_s``."""
        ages = np.asarray(age_s, dtype=float)
        known = self.valid_age_s
        unknown = ages[~((ages >= known.low) & (ages <= known.high))]
        if unknown.size:
            raise ValueError(
                f"viscosity of {self.name} is known from {known.low / 60.0:g} to {known.high / 60.0:g} min "
                f"at {curing.REFERENCE_C:g} degC; asked {unknown.flat[0] / 60.0:g} min."
            )
        table = np.exp(np.interp(ages, self.ages_s, np.log(self.table_pa_s)))
        return table * self._thinning(shear_per_s) / self._thinning(TABLE_SHEAR_PER_S)

    def _thinning(self, shear_per_s: ArrayLike) -> NDArray[np.float64]:
        """How much thinner than on the plateau."""
        ratio = np.asarray(shear_per_s, dtype=float) / PLATEAU_PER_S
        return (1.0 + ratio * ratio) ** (0.5 * (self.shear_index - 1.0))

    def ageing(self, temperature_c: float) -> float:
        """Seconds of age for each second at a temperature; ``ValueError`` outside ``TEMPERATURE_RANGE``."""
        return float(curing.ageing(TEMPERATURE_RANGE.check("temperature_c", temperature_c, self.name)))

    def in_bone(self, room_c: float, body_c: float) -> InBone:
        """This cement as it is injected: mixed and waiting at ``room_c``, then in bone at ``body_c``."""
        return InBone(self, self.ageing(room_c), self.ageing(body_c))

    def age_at_s(self, viscosity_pa_s: float) -> float:
        """The first known age at 23 degC at which it is this thick at 1/s; ``ValueError`` if it never is."""
        if not 0.0 < viscosity_pa_s <= self.table_pa_s[-1]:
            raise ValueError(
                f"viscosity of {self.name} is known up to {self.table_pa_s[-1]:g} Pa s; asked {viscosity_pa_s:g} Pa s."
            )
        return float(np.interp(np.log(viscosity_pa_s), np.log(self.table_pa_s), self.ages_s))

    def working_window(self, room_c: float) -> Window:
        """From thick enough to no longer flowing, at the room's temperature: real seconds since mixing."""
        ends = (self.age_at_s(THICK_ENOUGH_PA_S), self.age_at_s(STOPS_FLOWING_PA_S))
        return Window(*(age / self.ageing(room_c) for age in ends))

    def thickened(self, factor: float) -> Cement:
        """The same cement, ``factor`` times as thick at every age: another batch, another mix."""
        return replace(self, table_pa_s=tuple(factor * value for value in self.table_pa_s))

    @property
    def heat_j_per_mm3(self) -> float:
        """All the heat that a volume of it can give: that of its monomer."""
        return curing.DENSITY_G_PER_MM3 * self.monomer_share * curing.MONOMER_HEAT_J_PER_G

    @property
    def adiabatic_rise_c(self) -> float:
        """How much warmer a lump gets that cures to the end and keeps its heat."""
        return self.heat_j_per_mm3 / curing.HEAT_CAPACITY_J_PER_MM3_K

    @cached_property
    def _rate_per_s(self) -> float:
        """The rate constant at 23 degC with which a lump sets when ``setting_s`` says."""
        return curing.unit_setting(self.adiabatic_rise_c) / self.setting_s

    def setting_time_s(self, start_c: float) -> float:
        """When a lump sets that keeps its heat and started at this temperature: real seconds since mixing."""
        start = TEMPERATURE_RANGE.check("start_c", start_c, self.name)
        return curing.unit_setting(self.adiabatic_rise_c, start) / self._rate_per_s

    def cure_rate_per_s(self, degree: ArrayLike, temperature_c: ArrayLike) -> NDArray[np.float64]:
        """Rise of the degree of cure per second, at degrees and temperatures (any: hot cement too), arrays."""
        return self._rate_per_s * curing.unit_rate(degree, temperature_c)

    def degree_at(self, age_s: ArrayLike) -> NDArray[np.float64]:
        """Degree of cure at ages at 23 degC: ``cure_rate_per_s`` integrated at that temperature. An array."""
        return curing.unit_degree(self._rate_per_s * np.asarray(age_s, dtype=float))


def _grow(values: tuple[float, ...]) -> bool:
    """Whether they rise from above 0, each above the one before."""
    return values[0] > 0.0 and all(a < b for a, b in pairwise(values))


@dataclass(frozen=True)
class InBone:
    """Cement while it is injected (a ``porous.Injectate``).

    Older than the table it is as stiff as its last entry, and flows no more for any injector; younger, as its first.
    """

    cement: Cement
    ageing_outside: float
    ageing: float

    @property
    def shear_index(self) -> float:
        """The cement's index of shear thinning."""
        return self.cement.shear_index

    def viscosity_pa_s(self, age_s: ArrayLike, shear_per_s: ArrayLike) -> NDArray[np.float64]:
        """Viscosity at ages (23 degC) and shear rates, arrays of one shape; refuses only not-a-number."""
        known = self.cement.valid_age_s
        return self.cement.viscosity_pa_s(np.clip(np.asarray(age_s, dtype=float), known.low, known.high), shear_per_s)


#: Shares of monomer by mass: thick putty to twice what makers say.
MONOMER_RANGE = Range(0.1, 0.6)
#: Setting times at 23 degC: ISO 5833 asks for 3 to 15 min, cements for the spine are slower.
SETTING_RANGE = Range(180.0, 2400.0, "s")
#: Shear thins cement moderately (Ferracane & Greener, Biomater Med Devices Artif Organs 9:213, 1981); the number from
#: memory, unverified. With it the pressures through a cannula are those of Krebs 2005, without it several times more.
_INDEX = 0.5
#: 19.5 ml of methyl methacrylate (0.94 g/ml) in 20 ml of liquid to 40 g of powder: Simplex P, its package insert.
_SIMPLEX_SHARE = 19.5 * 0.94 / (40.0 + 20.0 * 0.94)
#: 10 ml of liquid to 26 g of powder, most of the difference barium or zirconium (from memory, unverified).
_SPINE_SHARE = 10.0 * 0.94 / (26.0 + 10.0 * 0.94)
_HABIB = "Habib et al., SAS J 4:26 (2010)"
_CURVE = (
    "Curve, at about 1/s: drawn through 50 to 100 Pa s when injection begins and about 1000 Pa s when it ends, both "
    "from memory, unverified, to 75 000 Pa s when solid (Nicholas et al., J Mater Sci Mater Med 18:1407, 2007). "
)


def _seconds(*minutes: float) -> tuple[float, ...]:
    """Minutes, as handling times are published, in seconds."""
    return tuple(60.0 * m for m in minutes)


_LOW = Cement(
    name="low viscosity",
    examples=("Vertebroplastic", "Osteopal V"),
    ages_s=_seconds(3, 5, 7, 9, 11, 13, 15, 16.5),
    table_pa_s=(15.0, 45.0, 120.0, 330.0, 1000.0, 4000.0, 20e3, SET_PA_S),
    shear_index=_INDEX,
    setting_s=840.0,
    monomer_share=_SIMPLEX_SHARE,
    source=f"{_CURVE}Products: {_HABIB}; doi 10.1186/s13018-020-01835-y, which calls the second one of high viscosity "
    "once it has waited. Times: below 100 Pa s until 6 to 7 min at 20 degC (US patent 4341691); leaks less at 9.5 than "
    "at 3.5 min (Habib); in patients 5 to 8 min and later (Krebs et al., Spine 30:E118, 2005). Setting: from memory, "
    "unverified. Monomer: as in Simplex P, its package insert.",
)
_MEDIUM = Cement(
    name="medium viscosity",
    examples=("Vertecem V+",),
    ages_s=_seconds(2.5, 6, 10, 14, 17, 20, 23.5),
    table_pa_s=(120.0, 180.0, 320.0, 750.0, 2000.0, 9000.0, SET_PA_S),
    shear_index=_INDEX,
    setting_s=1200.0,
    monomer_share=_SPINE_SHARE,
    source=f"{_CURVE}Times: usable as soon as mixed, hard about 11 min after it is brought to 37 degC (Boger & "
    "Wheeler, ISRN Mater Sci 2011:571728 and 780510). Product, setting and monomer: from memory, unverified.",
)
_HIGH = Cement(
    name="high viscosity",
    examples=("Confidence",),
    ages_s=_seconds(2, 4, 6, 8, 10, 12, 15),
    table_pa_s=(350.0, 600.0, 900.0, 1400.0, 2600.0, 9000.0, SET_PA_S),
    shear_index=_INDEX,
    setting_s=780.0,
    monomer_share=_SPINE_SHARE,
    source=f"{_CURVE}Product: {_HABIB}, where at 3.5 min it already leaks less than a thin cement at 9.5. Times, of "
    "another: 500 Pa s at more than 3 min 15 s, set at 13 min (US patent 7968616). Monomer: from memory, unverified.",
)
#: Bone cements by name.
CEMENTS: Mapping[str, Cement] = MappingProxyType({cement.name: cement for cement in (_LOW, _MEDIUM, _HIGH)})
