"""Laws and constants of materials: the published coefficients, the kinds of density, the guards."""

from __future__ import annotations

import numpy as np
import pytest

from trocar.physics.materials import (
    LAWS,
    NUCLEUS,
    OFFSET_STRAIN,
    ORTHOTROPIC_BONE,
    PMMA,
    PMMA_LOW_MODULUS,
    RELATIONS,
    SOFTEST_MPA,
    STIFFEST_MPA,
    SUBSTANCES,
    Density,
    Substance,
    converted,
    spread_mpa,
)
from trocar.physics.solid import Material

CHAIN = (Density.K2HPO4, Density.HYDROXYAPATITE, Density.ASH, Density.APPARENT_WET)


def modulus(name: str, density_g_cc: float, kind: Density) -> float:
    return float(LAWS[name].evaluate(density_g_cc, kind)[0])


@pytest.mark.parametrize(
    ("name", "kind", "mpa"),
    [
        ("kopperdahl-2002-linear", Density.K2HPO4, 449.8),
        ("morgan-2003-vertebra", Density.APPARENT_WET, 245.2),
        ("keller-1994-spine", Density.ASH, 49.5),
    ],
)
def test_one_number_is_three_moduli(name: str, kind: Density, mpa: float) -> None:
    """The trap: 0.15 g/cc means 450, 245 or 49 MPa, each law in the density it was fitted with."""
    assert LAWS[name].density is kind
    assert modulus(name, 0.15, kind) == pytest.approx(mpa, abs=0.05)


def test_a_law_converts_what_is_not_its_own() -> None:
    """0.15 g/cc of K2HPO4 is 0.1979 g/cc of ash, and never 0.15."""
    assert float(converted(0.15, Density.K2HPO4, Density.ASH)) == pytest.approx(1.06 * 0.15 + 0.0389)
    assert modulus("keller-1994-spine", 0.15, Density.K2HPO4) == pytest.approx(1890.0 * 0.1979**1.92, rel=1e-6)
    assert modulus("kopperdahl-2002-linear", 0.1979, Density.ASH) == pytest.approx(449.8, rel=1e-6)


@pytest.mark.parametrize("of", CHAIN)
@pytest.mark.parametrize("to", CHAIN)
def test_there_and_back(of: Density, to: Density) -> None:
    density = np.linspace(0.01, 0.6, 7)
    np.testing.assert_allclose(converted(converted(density, of, to), to, of), density, rtol=1e-13)


def test_the_way_round_is_the_way_through() -> None:
    """From hydroxyapatite to apparent density in one call or in three."""
    step = converted(0.2, Density.HYDROXYAPATITE, Density.K2HPO4)
    step = converted(step, Density.K2HPO4, Density.ASH)
    step = converted(step, Density.ASH, Density.APPARENT_WET)
    assert step == pytest.approx((1.06 * 0.835 * 0.2 + 0.0389) / 0.6)
    assert converted(0.2, Density.HYDROXYAPATITE, Density.APPARENT_WET) == pytest.approx(float(step))


def test_no_relation_no_modulus() -> None:
    with pytest.raises(ValueError, match="dry apparent density cannot be turned into a K2HPO4 density"):
        LAWS["kopperdahl-2002-power"].evaluate(0.15, Density.APPARENT_DRY)
    assert float(converted(0.15, Density.APPARENT_DRY, Density.APPARENT_DRY)) == 0.15


def test_every_relation_and_law_names_its_source() -> None:
    assert all(r.source for r in RELATIONS)
    assert all(law.source and name == law.name for name, law in LAWS.items())
    assert all(s.source and name == s.name for name, s in SUBSTANCES.items())


@pytest.mark.parametrize(
    ("name", "mpa", "strength"),
    [("kopperdahl-2002-linear", 449.8, 2.985), ("kopperdahl-2002-power", 406.548, 2.6769)],
)
def test_kopperdahl(name: str, mpa: float, strength: float) -> None:
    """E = -34.7 + 3230 rho or 2980 rho^1.05; yield -0.75 + 24.9 rho or 37.4 rho^1.39, at 0.15 g/cc."""
    e, y = LAWS[name].evaluate(0.15, Density.K2HPO4)
    assert (float(e), float(y)) == (pytest.approx(mpa, rel=1e-5), pytest.approx(strength, rel=1e-4))


@pytest.mark.parametrize("name", LAWS)
def test_positive_capped_and_rising_everywhere(name: str) -> None:
    """From fat to metal: nothing below the floor, above the cap, falling, or yielding before the offset."""
    law = LAWS[name]
    density = np.linspace(-0.3, 4.0, 2000)
    e, y = law.evaluate(density, law.density)
    assert e.dtype == y.dtype == np.float32
    assert e.min() == SOFTEST_MPA
    assert e.max() <= STIFFEST_MPA
    assert np.all(np.diff(e) >= 0.0)
    assert np.all(np.diff(y) >= 0.0)
    assert np.all(y >= OFFSET_STRAIN * e * (1.0 - 1e-6))


def test_the_linear_law_ends_on_the_floor() -> None:
    """Negative below 34.7/3230 = 10.7 mg/cc; 1 MPa up to 11.05 mg/cc."""
    e, _ = LAWS["kopperdahl-2002-linear"].evaluate([0.0, 0.0107, 0.0110, 0.0112], Density.K2HPO4)
    np.testing.assert_allclose(e, [1.0, 1.0, 1.0, 1.476], rtol=1e-4)


def test_a_box_keeps_its_shape() -> None:
    density = np.random.default_rng(3).uniform(0.0, 0.3, (3, 4, 5)).astype(np.float32)
    e, y = LAWS["kopperdahl-2002-power"].evaluate(density, Density.K2HPO4)
    assert e.shape == y.shape == (3, 4, 5)
    assert e[2, 1, 3] == pytest.approx(modulus("kopperdahl-2002-power", float(density[2, 1, 3]), Density.K2HPO4))


def test_the_range_of_the_specimens_is_told() -> None:
    law = LAWS["kopperdahl-2002-linear"]
    assert law.within([0.01, 0.15, 1.2], Density.K2HPO4).tolist() == [False, True, False]
    assert bool(law.within(0.15 / 0.835, Density.HYDROXYAPATITE))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_density_that_is_no_number(bad: float) -> None:
    density = np.full((2, 2, 2), 0.1)
    density[1, 0, 1] = bad
    with pytest.raises(ValueError, match=r"density at \[1, 0, 1\] is not a number"):
        LAWS["morgan-2003-vertebra"].evaluate(density, Density.K2HPO4)


def test_the_spread_holds_every_law() -> None:
    density = np.array([[[0.05, 0.1, 0.15, 0.2]]])
    low, high = spread_mpa(density, Density.K2HPO4)
    every = {name: law.evaluate(density, Density.K2HPO4)[0] for name, law in LAWS.items()}
    assert low.shape == high.shape == density.shape
    for name, mpa in every.items():
        if LAWS[name].standardised:
            assert np.all((low <= mpa) & (mpa <= high))
    assert any(np.all(mpa < low) for name, mpa in every.items() if not LAWS[name].standardised), "the others stay out"


def test_orthotropic_shares() -> None:
    """Pulled along k as stiff as its modulus, a third of it across; shear 0.121 across and 0.157 upright."""
    compliance = np.linalg.inv(ORTHOTROPIC_BONE.stiffness)
    np.testing.assert_allclose(1.0 / np.diag(compliance), [1.0, 1 / 3, 1 / 3, 0.121, 0.157, 0.157], rtol=1e-12)
    assert -compliance[1, 0] / compliance[1, 1] == pytest.approx(0.104)


def test_the_nucleus_does_not_lock() -> None:
    """0.499 is refused by the elements; what is used instead has a bulk modulus of 3.3 MPa."""
    with pytest.raises(ValueError, match=r"0.499 is above 0.45"):
        Material.isotropic("nucleus", 0.499)
    bulk = NUCLEUS.modulus_mpa * np.sum(NUCLEUS.material.stiffness[:3, :3]) / 9.0
    assert bulk == pytest.approx(10.0 / 3.0)


def test_cements() -> None:
    assert (PMMA.modulus_mpa, PMMA.yield_mpa, PMMA.range_mpa.low, PMMA.range_mpa.high) == (2500.0, 70.0, 2100.0, 3100.0)
    assert PMMA_LOW_MODULUS.modulus_mpa == 954.0
    assert np.isinf(SUBSTANCES["titanium"].yield_mpa)


def test_a_substance_outside_its_own_range() -> None:
    with pytest.raises(ValueError, match=r"modulus_mpa=1.0 is outside 2100 to 3100 MPa for PMMA"):
        Substance(1.0, PMMA.range_mpa, PMMA.material, "nobody")
