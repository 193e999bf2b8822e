"""Shear in pores: its scaling, the published formula, the pressure of a bundle of tubes, and its limit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import ArrayLike

from trocar.physics.cannula import tube_drop_pa
from trocar.physics.pores import ROCK_SHEAR, shear_rate_per_s


def test_shear_rate_grows_with_speed_and_falls_with_permeability() -> None:
    speed = np.array([0.1, 0.2, -0.2])
    rate = shear_rate_per_s(speed, 0.04, 0.85, 0.5)
    assert rate[1:] == pytest.approx(2.0 * rate[0])
    assert shear_rate_per_s(speed, 0.16, 0.85, 0.5) == pytest.approx(0.5 * rate)


def test_shear_rate_is_the_formula_of_flow_in_rock() -> None:
    """Cannella, Huh & Seright, SPE 18089 (1988): 6 ((3n+1)/4n)^(n/(n-1)) u / sqrt(k phi)."""
    expected = 6.0 * (2.5 / 2.0) ** (0.5 / -0.5) * 0.16 / np.sqrt(0.04 * 0.85)
    assert shear_rate_per_s(0.16, 0.04, 0.85, 0.5, ROCK_SHEAR) == pytest.approx(expected)


@pytest.mark.parametrize("n", [0.3, 0.5, 0.8, 1.0])
def test_shear_rate_gives_the_pressure_of_a_bundle_of_tubes(n: float) -> None:
    """A share ``porosity`` of tubes, permeability = porosity radius^2 / 8, and a fluid in them that is a power law."""

    @dataclass(frozen=True)
    class PowerLaw:
        def viscosity_pa_s(self, age_s: ArrayLike, shear_per_s: ArrayLike) -> np.ndarray:
            return 300.0 * np.asarray(shear_per_s) ** (n - 1.0) + 0.0 * np.asarray(age_s)

    radius, porosity, speed = 0.6, 0.85, 0.16
    permeability = porosity * radius**2 / 8.0
    per_mm = tube_drop_pa(PowerLaw(), radius, 1.0, speed / porosity * np.pi * radius**2, 0.0)
    viscosity = PowerLaw().viscosity_pa_s(0.0, shear_rate_per_s(speed, permeability, porosity, n))
    assert viscosity * speed / permeability == pytest.approx(per_mm, rel=1e-4)


def test_shear_rate_is_steady_where_the_formula_is_nothing_over_nothing() -> None:
    almost, one = (shear_rate_per_s(0.16, 0.04, 0.85, n) for n in (1.0 - 1e-7, 1.0))
    assert almost == pytest.approx(one, rel=1e-6)
    with pytest.raises(ValueError, match=r"n=1.1 is outside 0.1 to 1"):
        shear_rate_per_s(0.16, 0.04, 0.85, 1.1)
