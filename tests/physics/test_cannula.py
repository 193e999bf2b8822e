"""Thick fluids in tubes: closed forms, and the pressures that were measured in patients."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from trocar.physics.cannula import INJECTORS, tube_drop_pa, wall_shear_per_s
from trocar.physics.cement import CEMENTS, STOPS_FLOWING_PA_S
from trocar.physics.pores import shear_rate_per_s

#: mm and mm3/s: an 11 gauge cannula, 125 mm of it, and 3 ml a minute.
RADIUS_MM, LENGTH_MM, FLOW_MM3_S = 1.194, 125.0, 50.0


@dataclass(frozen=True)
class PowerLaw:
    """Stress = consistency shear^n, whatever its age."""

    consistency: float
    n: float

    def viscosity_pa_s(self, age_s: np.ndarray, shear_per_s: np.ndarray) -> np.ndarray:
        return self.consistency * np.asarray(shear_per_s) ** (self.n - 1.0) + 0.0 * np.asarray(age_s)


@dataclass(frozen=True)
class Ellis:
    """Shear = stress (1 + stress / half) / viscosity: thins with shear, and has a closed form in a tube."""

    viscosity: float
    half_pa: float

    def viscosity_pa_s(self, age_s: np.ndarray, shear_per_s: np.ndarray) -> np.ndarray:
        shear = np.asarray(shear_per_s) + 0.0 * np.asarray(age_s)
        stress = 0.5 * self.half_pa * (np.sqrt(1.0 + 4.0 * self.viscosity * shear / self.half_pa) - 1.0)
        return stress / shear


def test_a_newtonian_fluid_follows_hagen_poiseuille() -> None:
    expected = 8.0 * 300.0 * LENGTH_MM * FLOW_MM3_S / (math.pi * RADIUS_MM**4)
    assert tube_drop_pa(PowerLaw(300.0, 1.0), RADIUS_MM, LENGTH_MM, FLOW_MM3_S, 0.0) == pytest.approx(
        expected, rel=1e-9
    )


@pytest.mark.parametrize("n", [0.2, 0.4, 0.5, 0.8])
def test_a_power_law_follows_its_closed_form(n: float) -> None:
    """Bird, Stewart & Lightfoot, Transport Phenomena: ``drop = 2 K L / R ((3n + 1) Q / (n pi R^3))^n``."""
    shear = (3.0 * n + 1.0) / n * FLOW_MM3_S / (math.pi * RADIUS_MM**3)
    fluid = PowerLaw(300.0, n)
    assert wall_shear_per_s(fluid, RADIUS_MM, FLOW_MM3_S, 0.0) == pytest.approx(shear, rel=1e-4)
    drop = tube_drop_pa(fluid, RADIUS_MM, LENGTH_MM, FLOW_MM3_S, 0.0)
    assert drop == pytest.approx(2.0 * LENGTH_MM / RADIUS_MM * 300.0 * shear**n, rel=1e-4)


def test_a_fluid_that_is_no_power_law_follows_its_closed_form() -> None:
    """``flow = pi R^3 stress (1 / 4 + stress / (5 half)) / viscosity`` at the wall's stress."""
    stress = 700.0
    flow = math.pi * RADIUS_MM**3 * stress * (0.25 + stress / (5.0 * 400.0)) / 100.0
    drop = tube_drop_pa(Ellis(100.0, 400.0), RADIUS_MM, LENGTH_MM, flow, 0.0)
    assert drop == pytest.approx(2.0 * LENGTH_MM / RADIUS_MM * stress, rel=1e-6)


def test_nothing_flows_without_pressure_and_no_tube_takes_none() -> None:
    cement = CEMENTS["low viscosity"]
    assert tube_drop_pa(cement, RADIUS_MM, LENGTH_MM, 0.0, 600.0) == 0.0
    assert tube_drop_pa(cement, RADIUS_MM, 0.0, FLOW_MM3_S, 600.0) == 0.0


@pytest.mark.parametrize("wrong", [(0.0, 125.0, 50.0), (1.2, -1.0, 50.0), (1.2, 125.0, -1.0), (math.nan, 125.0, 50.0)])
def test_a_tube_that_cannot_be_is_refused(wrong: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match=r"radius_mm=.* \(above 0 mm\)"):
        tube_drop_pa(PowerLaw(1.0, 1.0), *wrong, 0.0)


def test_cement_takes_the_pressures_that_were_measured_in_patients() -> None:
    """Krebs et al., Spine 30:E118 (2005): mean of the peaks 1.7 MPa, the highest 3.2 MPa; higher when older."""
    cement = CEMENTS["low viscosity"]
    ages = [cement.age_at_s(v) for v in (100.0, 1000.0, STOPS_FLOWING_PA_S)]
    drops = [tube_drop_pa(cement, RADIUS_MM, LENGTH_MM, FLOW_MM3_S, age) for age in ages]
    assert drops == sorted(drops)
    assert 1.7e6 < drops[-1] < 3.215e6
    unsheared = replace(cement, shear_index=1.0)
    assert tube_drop_pa(unsheared, RADIUS_MM, LENGTH_MM, FLOW_MM3_S, ages[-1]) > 3.0 * 3.215e6


def test_nearly_all_of_the_pressure_is_lost_in_the_cannula() -> None:
    """About 95 % at 4 ml a minute: Baroud & Steffen, Eur Spine J 14:474 (2005). Bone as a sphere about the tip."""
    cement = CEMENTS["low viscosity"]
    age, flow, permeability = cement.age_at_s(300.0), 4000.0 / 60.0, 0.04
    radius = np.geomspace(RADIUS_MM, 13.0, 2001)
    speed = flow / (4.0 * np.pi * radius**2)
    shear = shear_rate_per_s(speed, permeability, 0.85, cement.shear_index)
    gradient = cement.viscosity_pa_s(np.full_like(radius, age), shear) * speed / permeability
    tube = tube_drop_pa(cement, RADIUS_MM, LENGTH_MM, flow, age)
    assert tube / (tube + np.trapezoid(gradient, radius)) == pytest.approx(0.95, abs=0.03)


def test_a_narrower_cannula_takes_more() -> None:
    cement = CEMENTS["high viscosity"]
    wide, narrow = (tube_drop_pa(cement, d / 2.0, LENGTH_MM, FLOW_MM3_S, 300.0) for d in (2.388, 1.803))
    assert narrow / wide == pytest.approx((2.388 / 1.803) ** (1.0 + 3.0 * cement.shear_index), rel=0.02)


def test_a_smaller_syringe_pushes_harder_by_its_area() -> None:
    small, large = INJECTORS["1 ml syringe"].limit_pa, INJECTORS["10 ml syringe"].limit_pa
    assert small / large == pytest.approx((14.5 / 4.7) ** 2)
    assert INJECTORS["3 ml syringe"].limit_pa == pytest.approx(1693e3, abs=653e3)
    assert all(injector.source for injector in INJECTORS.values())
    assert [name for name, injector in INJECTORS.items() if injector.name != name] == []
