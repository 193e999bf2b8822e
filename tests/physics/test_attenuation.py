"""Attenuation against NIST's tables, Beer's law in its limits, and SpekPy's mean energies."""

from __future__ import annotations

import numpy as np
import pytest

from trocar.physics.attenuation import (
    AIR,
    ALUMINIUM,
    COPPER,
    CORTICAL_BONE,
    SOFT_TISSUE,
    STEEL,
    WATER,
    ZIRCONIA,
    Material,
    attenuation,
    bone_cement,
    mixed,
    spectrum,
    transmission,
    water_and_bone,
)

NIST_KEV = (20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0, 150.0)
#: Mass attenuation, cm2/g: Hubbell & Seltzer, NISTIR 5632 (1995), table 4.
NIST = {
    WATER: (0.8096, 0.3756, 0.2683, 0.2269, 0.2059, 0.1837, 0.1707, 0.1505),
    CORTICAL_BONE: (4.001, 1.331, 0.6655, 0.4242, 0.3148, 0.2229, 0.1855, 0.1480),
    SOFT_TISSUE: (np.nan, np.nan, 0.2688, np.nan, 0.2048, 0.1823, 0.1693, 0.1492),
}
#: Mean energy (keV) of SpekPy 2.5.4, ``Spek(kvp, th=12)``, behind these filters and behind 200 mm of water as well.
SPEKPY = {
    (70.0, ((ALUMINIUM, 3.0),)): (40.28, 50.74),
    (80.0, ((ALUMINIUM, 3.0),)): (43.83, 55.50),
    (80.0, ((ALUMINIUM, 3.0), (COPPER, 0.1))): (48.38, 56.82),
    (110.0, ((ALUMINIUM, 3.0),)): (52.88, 66.89),
}


@pytest.mark.parametrize("material", NIST, ids=lambda m: m.name)
def test_mixtures_are_those_of_nist(material: Material) -> None:
    found, table = material.mass_attenuation(NIST_KEV), np.array(NIST[material])
    known = np.isfinite(table)
    np.testing.assert_allclose(found[known], table[known], rtol=0.01)


def test_water_is_zero_air_is_a_thousand_below_and_bone_far_above() -> None:
    assert WATER.hu() == 0.0
    assert AIR.hu() == pytest.approx(-1000.0, abs=2.0)
    assert SOFT_TISSUE.hu() == pytest.approx(50.0, abs=15.0)
    assert CORTICAL_BONE.hu(60.0) > CORTICAL_BONE.hu(70.0) > 1300.0


def test_barium_steps_up_at_its_edge_and_zirconia_does_not() -> None:
    below, above = bone_cement().per_mm((37.4, 37.5))
    assert above > 2.0 * below
    cement = bone_cement(0.3, ZIRCONIA)
    assert np.all(np.diff(cement.per_mm(np.linspace(20.0, 150.0, 200))) < 0.0)


def test_a_mixture_keeps_mass_and_volume() -> None:
    half = mixed("half", {WATER: 0.5, ALUMINIUM: 0.5}, "test")
    assert half.density_g_per_cm3 == pytest.approx(2.0 / (1.0 / 1.0 + 1.0 / 2.699))
    mean = 0.5 * (WATER.mass_attenuation(60.0) + ALUMINIUM.mass_attenuation(60.0))
    assert half.mass_attenuation(60.0) == pytest.approx(mean, rel=1e-3)


def test_hu_to_attenuation_is_exact_for_air_water_and_bone_at_any_energy() -> None:
    hu = np.array((-3024.0, -1000.0, 0.0, CORTICAL_BONE.hu()))
    for energy in (40.0, 60.0, 100.0):
        truth = (0.0, 0.0, WATER.per_mm(energy), CORTICAL_BONE.per_mm(energy))
        np.testing.assert_allclose(attenuation(hu, energy), truth, rtol=2e-6, atol=1e-9)
    assert np.all(np.diff(attenuation(np.arange(-1000, 3000, 50), 60.0)) > 0.0)


def test_at_the_ct_s_own_energy_it_gives_back_the_hu() -> None:
    hu = np.linspace(-1000.0, 2000.0, 31)
    again = 1000.0 * (attenuation(hu, 70.0, 70.0) / float(WATER.per_mm(70.0)) - 1.0)
    np.testing.assert_allclose(again, hu, atol=0.01)
    water, bone = water_and_bone(hu)
    assert water.dtype == bone.dtype == np.float32
    assert np.all(bone[hu <= 0.0] == 0.0)


@pytest.mark.parametrize("given", SPEKPY, ids=lambda g: f"{g[0]:g} kVp, {len(g[1])} filters")
def test_mean_energies_are_near_spekpy_s(given: tuple[float, tuple[tuple[Material, float], ...]]) -> None:
    """Kramers' law is harder at the low end, as the target filters nothing of itself: within 6 %."""
    kvp, filters = given
    for water_mm, mean in zip((0.0, 200.0), SPEKPY[given], strict=True):
        found = spectrum(kvp, (*filters, (WATER, water_mm)), bins=60, integrating=False).mean_kev
        assert found == pytest.approx(mean, rel=0.06)


def test_few_bins_transmit_nearly_what_many_do() -> None:
    water, bone = np.linspace(0.0, 300.0, 7), np.linspace(0.0, 60.0, 7)
    few, many = (transmission(spectrum(80.0, bins=n), [(WATER, water), (CORTICAL_BONE, bone)]) for n in (6, 300))
    np.testing.assert_allclose(np.log(few[1:]), np.log(many[1:]), rtol=0.02)
    assert few[0] == pytest.approx(1.0)


def test_one_energy_is_beers_law_and_many_harden() -> None:
    lengths = np.array((0.0, 50.0, 100.0, 200.0))
    one = spectrum(80.0, bins=1)
    np.testing.assert_allclose(
        transmission(one, [(WATER, lengths)]), np.exp(-WATER.per_mm(one.energies_kev[0]) * lengths), rtol=1e-5
    )
    beam = spectrum(80.0, bins=20)
    per_mm = -np.log(transmission(beam, [(WATER, lengths[1:])])) / lengths[1:]
    assert np.all(np.diff(per_mm) < 0.0)
    effective = [beam.effective_kev(mm) for mm in (1.0, 100.0, 300.0)]
    assert beam.energies_kev[0] < effective[0] < effective[1] < effective[2] < 80.0
    assert np.exp(-WATER.per_mm(effective[1]) * 100.0) == pytest.approx(
        transmission(beam, [(WATER, lengths)])[2], rel=1e-3
    )


def test_order_of_attenuation() -> None:
    per_mm = [float(m.per_mm(60.0)) for m in (AIR, WATER, SOFT_TISSUE, CORTICAL_BONE, bone_cement(), STEEL)]
    assert per_mm == sorted(per_mm)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: WATER.per_mm(10.0), "energy_kev"),
        (lambda: WATER.per_mm((60.0, 200.0)), "energy_kev"),
        (lambda: Material("lead", 11.3, {"Pb": 1.0}, ""), "lead: no coefficients for Pb"),
        (lambda: Material("half", 1.0, {"H": 0.5}, ""), "add up to 0.5"),
        (lambda: Material("nothing", 0.0, {"H": 1.0}, ""), "density_g_per_cm3=0.0 must be positive"),
        (lambda: mixed("m", {WATER: 0.7, PMMA_LIKE: 0.7}, ""), "must be 0 or more and add up to 1"),
        (lambda: bone_cement(0.9), "share"),
        (lambda: spectrum(30.0), "kvp"),
        (lambda: spectrum(80.0, bins=0), "bins=0 is outside 1 to 500"),
        (lambda: spectrum(80.0, bins=2000), "bins=2000 is outside 1 to 500"),
        (lambda: transmission(spectrum(80.0), []), "at least one material"),
        (lambda: spectrum(80.0).effective_kev(0.0), "water_mm"),
    ],
)
def test_what_has_no_answer_is_refused(call: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()  # type: ignore[operator]


PMMA_LIKE = Material("carbon", 1.2, {"C": 1.0}, "test")
