"""Bone cement as data and laws: closed forms, published figures, and every refusal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from trocar.physics import curing
from trocar.physics.cement import (
    CEMENTS,
    PLATEAU_PER_S,
    SET_PA_S,
    STOPS_FLOWING_PA_S,
    THICK_ENOUGH_PA_S,
    Cement,
)
from trocar.physics.porous import Injectate

CEMENT = pytest.mark.parametrize("cement", CEMENTS.values(), ids=CEMENTS)
LOW, MEDIUM, HIGH = (CEMENTS[f"{name} viscosity"] for name in ("low", "medium", "high"))


def ages(cement: Cement, count: int = 40) -> np.ndarray:
    known = cement.valid_age_s
    return np.linspace(known.low, known.high, count)


# viscosity


@CEMENT
def test_it_thickens_with_age_and_thins_with_shear(cement: Cement) -> None:
    shear = np.geomspace(1e-4, 1e4, 60)
    viscosity = cement.viscosity_pa_s(ages(cement)[:, None], shear)
    assert viscosity.shape == (40, 60)
    assert (np.diff(viscosity, axis=0) > 0.0).all()
    assert (np.diff(viscosity, axis=1) < 0.0).all()


@CEMENT
def test_it_is_the_table_at_the_tables_shear(cement: Cement) -> None:
    assert cement.viscosity_pa_s(cement.ages_s, np.ones(len(cement.ages_s))) == pytest.approx(cement.table_pa_s)


def test_between_two_rows_it_is_their_geometric_mean_half_way() -> None:
    middle = 0.5 * (LOW.ages_s[2] + LOW.ages_s[3])
    assert LOW.viscosity_pa_s(middle, 1.0) == pytest.approx(np.sqrt(LOW.table_pa_s[2] * LOW.table_pa_s[3]))


def test_it_is_a_power_law_when_sheared_and_flat_when_not() -> None:
    fast = LOW.viscosity_pa_s(600.0, np.array([1e3, 2e3]))
    still = LOW.viscosity_pa_s(600.0, np.array([0.0, 1e-3 * PLATEAU_PER_S]))
    assert np.log2(fast[1] / fast[0]) == pytest.approx(LOW.shear_index - 1.0, abs=1e-6)
    assert still[1] == pytest.approx(still[0], rel=1e-6)


def test_the_plateau_joins_the_power_law_without_a_step() -> None:
    shear = PLATEAU_PER_S * np.linspace(0.5, 1.5, 2001)
    viscosity = LOW.viscosity_pa_s(np.full_like(shear, 600.0), shear)
    slope = np.diff(np.log(viscosity)) / np.diff(np.log(shear))
    assert np.abs(np.diff(np.log(viscosity))).max() < 1e-3
    assert np.abs(np.diff(slope)).max() < 1e-3


def test_without_shear_thinning_shear_does_not_matter() -> None:
    newtonian = replace(LOW, shear_index=1.0)
    assert newtonian.viscosity_pa_s(600.0, np.array([0.0, 1.0, 1e3])) == pytest.approx(
        newtonian.viscosity_pa_s(600.0, 1.0)
    )


def test_the_classes_are_in_order_while_they_can_be_injected() -> None:
    together = np.linspace(180.0, 540.0, 20)
    low, medium, high = (cement.viscosity_pa_s(together, 1.0) for cement in (LOW, MEDIUM, HIGH))
    assert (high > medium).all()
    assert (medium[together < 420.0] > low[together < 420.0]).all()


def test_low_viscosity_cement_stays_thin_as_long_as_was_patented() -> None:
    """Below 1000 poise up to the sixth or seventh minute at 20 degC: US patent 4341691 (1982)."""
    minutes = np.linspace(3.7, 7.0, 20)
    assert (LOW.viscosity_pa_s(60.0 * minutes * LOW.ageing(20.0), 1.0) < 100.0).all()


def test_high_viscosity_cement_is_thick_and_sets_when_was_patented() -> None:
    """500 Pa s at more than about 3:15 min after mixing, setting at about 13 min: US patent 7968616 (2011)."""
    assert HIGH.age_at_s(500.0) == pytest.approx(195.0, abs=15.0)
    assert HIGH.setting_time_s(23.0) == pytest.approx(13.0 * 60.0)


@CEMENT
@pytest.mark.parametrize("beyond", [-1.0, 1.0])
def test_an_age_that_nobody_measured_is_refused_with_its_bounds(cement: Cement, beyond: float) -> None:
    age = cement.valid_age_s.low - 1.0 if beyond < 0.0 else cement.valid_age_s.high + 1.0
    bounds = (
        f"known from {cement.ages_s[0] / 60:g} to {cement.ages_s[-1] / 60:g} min at 23 degC; asked {age / 60:g} min"
    )
    with pytest.raises(ValueError, match=f"{cement.name} is {bounds}"):
        cement.viscosity_pa_s(np.array([cement.ages_s[1], age]), 1.0)


def test_an_age_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="asked nan min"):
        LOW.viscosity_pa_s(np.nan, 1.0)


def test_another_batch_is_thicker_at_every_age() -> None:
    twice = LOW.thickened(2.0)
    assert twice.viscosity_pa_s(ages(LOW), 3.0) == pytest.approx(2.0 * LOW.viscosity_pa_s(ages(LOW), 3.0))
    assert twice.working_window(23.0).end_s < LOW.working_window(23.0).end_s


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"ages_s": (60.0, 60.0), "table_pa_s": (1.0, 2.0)}, "must be equally long"),
        ({"table_pa_s": LOW.table_pa_s[::-1]}, "grow from above 0"),
        ({"table_pa_s": (0.0, *LOW.table_pa_s[1:])}, "grow from above 0"),
        ({"table_pa_s": LOW.table_pa_s[:-1]}, "must be equally long"),
        ({"ages_s": (60.0,), "table_pa_s": (1.0,)}, "at least 2"),
        ({"shear_index": 1.2}, "shear_index=1.2 is outside 0.1 to 1"),
        ({"monomer_share": 0.0}, "monomer_share=0.0 is outside"),
        ({"setting_s": 60.0}, "setting_s=60.0 is outside 180 to 2400 s"),
    ],
)
def test_a_cement_that_cannot_be_is_refused(wrong: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(LOW, **wrong)


# age and temperature


def test_a_second_is_a_second_at_23_degrees() -> None:
    assert LOW.ageing(23.0) == pytest.approx(1.0)


def test_it_cures_twice_as_fast_at_37_as_at_25_degrees() -> None:
    """Nicholas et al., J Mater Sci Mater Med 18:1407 (2007): three cements, curing times halved."""
    assert LOW.ageing(37.0) / LOW.ageing(25.0) == pytest.approx(2.0)


@pytest.mark.parametrize("room_c", [15.0, 18.0, 22.0])
def test_ten_degrees_more_make_it_one_and_a_half_to_two_times_as_fast(room_c: float) -> None:
    """Sulfix-6, CMW, Simplex and Palacos: factor 1.5 to 2.0 for 10 degC (doi 10.1007/BF00419028)."""
    assert 1.5 <= LOW.ageing(room_c + 10.0) / LOW.ageing(room_c) <= 2.0


@pytest.mark.parametrize("temperature_c", [14.9, 40.1, np.nan])
def test_a_temperature_nobody_measured_is_refused(temperature_c: float) -> None:
    with pytest.raises(ValueError, match=f"temperature_c={temperature_c} is outside 15 to 40 degC for low viscosity"):
        LOW.ageing(temperature_c)
    with pytest.raises(ValueError, match="outside 15 to 40 degC"):
        LOW.working_window(temperature_c)
    with pytest.raises(ValueError, match="outside 15 to 40 degC"):
        LOW.in_bone(23.0, temperature_c)


@CEMENT
def test_the_window_opens_before_it_closes_and_is_longer_in_a_cold_room(cement: Cement) -> None:
    cold, warm = cement.working_window(19.0), cement.working_window(26.0)
    assert 0.0 < warm.start_s < warm.end_s < cold.end_s
    assert cold.end_s / warm.end_s == pytest.approx(cement.ageing(26.0) / cement.ageing(19.0))


@CEMENT
def test_the_window_is_where_the_viscosity_passes_the_thresholds(cement: Cement) -> None:
    window = cement.working_window(23.0)
    assert cement.viscosity_pa_s(window.start_s, 1.0) >= THICK_ENOUGH_PA_S * (1.0 - 1e-12)
    assert cement.viscosity_pa_s(window.end_s, 1.0) == pytest.approx(STOPS_FLOWING_PA_S)
    assert window.start_s == cement.ages_s[0] or cement.age_at_s(THICK_ENOUGH_PA_S) == pytest.approx(window.start_s)


@pytest.mark.parametrize("never", [80e3, 0.0, -1.0, np.nan])
def test_a_viscosity_it_never_has_is_refused(never: float) -> None:
    with pytest.raises(ValueError, match=f"low viscosity is known up to 75000 Pa s; asked {never:g} Pa s"):
        LOW.age_at_s(never)


def test_a_cement_too_thick_from_the_start_has_no_window() -> None:
    window = HIGH.thickened(10.0).working_window(23.0)
    assert window.start_s == window.end_s == HIGH.ages_s[0]


# in bone


def test_in_bone_it_is_an_injectate_that_ages_by_its_two_temperatures() -> None:
    injectate: Injectate = LOW.in_bone(20.0, 37.0)
    assert injectate.ageing == LOW.ageing(37.0)
    assert injectate.ageing_outside == LOW.ageing(20.0)
    assert injectate.viscosity_pa_s(ages(LOW), 2.0) == pytest.approx(LOW.viscosity_pa_s(ages(LOW), 2.0))


@CEMENT
def test_in_bone_it_is_stiff_when_older_than_known_and_never_refuses(cement: Cement) -> None:
    injectate = cement.in_bone(23.0, 37.0)
    beyond = injectate.viscosity_pa_s(np.array([0.0, 1e5, np.inf]), np.ones(3))
    assert beyond == pytest.approx([cement.table_pa_s[0], SET_PA_S, SET_PA_S])
    assert injectate.shear_index == cement.shear_index
    with pytest.raises(ValueError, match="asked nan min"):
        injectate.viscosity_pa_s(np.array([np.nan]), np.ones(1))


def test_in_bone_coarse_numbers_do_not_push_an_age_beyond_the_last() -> None:
    """Fields of age are float32, where 990.2 is more than 990.2."""
    cement = replace(LOW, ages_s=(*LOW.ages_s[:-1], 990.2))
    stiff = cement.in_bone(23.0, 37.0).viscosity_pa_s(np.full(3, 2e3, np.float32), np.ones(3, np.float32))
    assert stiff == pytest.approx(SET_PA_S)


# curing


@CEMENT
def test_the_heat_of_a_lump_raises_it_as_is_reported(cement: Cement) -> None:
    """85 to 130 K: 577 J per gram of monomer, a quarter to a third of the mass, 1.46 J/(g K)."""
    assert 85.0 <= cement.adiabatic_rise_c <= 130.0
    grams = cement.heat_j_per_mm3 / curing.DENSITY_G_PER_MM3
    assert 577.3 * cement.monomer_share == pytest.approx(grams, rel=1e-4)


@CEMENT
def test_the_degree_is_the_rate_integrated(cement: Cement) -> None:
    at = np.linspace(0.0, 3.0 * cement.setting_s, 30)

    def rate(_: float, degree: np.ndarray) -> np.ndarray:
        return cement.cure_rate_per_s(degree, 23.0)

    solved = solve_ivp(rate, (0.0, at[-1]), [curing.FIRST_DEGREE], t_eval=at, rtol=1e-9, atol=1e-12)
    assert cement.degree_at(at) == pytest.approx(solved.y[0], abs=1e-5)


def test_the_degree_begins_small_only_grows_and_ends_in_glass() -> None:
    degree = LOW.degree_at(np.linspace(0.0, 1e5, 500))
    assert degree[0] == pytest.approx(curing.FIRST_DEGREE)
    assert (np.diff(degree) >= 0.0).all()
    assert degree[-1] == pytest.approx(296.15 / 378.15, rel=1e-5)
    assert LOW.cure_rate_per_s(degree[-1] + 0.01, 23.0) == 0.0


def test_curing_at_one_temperature_is_ageing_at_that_temperature() -> None:
    """Viscosity and heat follow one clock, as far as glass does not end the curing."""
    assert LOW.cure_rate_per_s(1e-3, 37.0) / LOW.cure_rate_per_s(1e-3, 23.0) == pytest.approx(
        LOW.ageing(37.0), rel=0.06
    )
    assert curing.most_cured(37.0) > curing.most_cured(23.0)


@CEMENT
def test_a_lump_sets_when_it_should_and_sooner_when_warm(cement: Cement) -> None:
    times = [cement.setting_time_s(start) for start in (18.0, 23.0, 37.0)]
    assert times == sorted(times, reverse=True)
    assert times[1] == pytest.approx(cement.setting_s)


def test_the_lump_is_the_rate_integrated_with_its_own_heat() -> None:
    """Warm the lump by hand and stop it half way up."""
    cured, time, step = curing.FIRST_DEGREE, 0.0, 0.25
    while cured < curing.SETTING_SHARE:
        middle = cured + 0.5 * step * LOW.cure_rate_per_s(cured, 23.0 + LOW.adiabatic_rise_c * cured)
        cured += step * LOW.cure_rate_per_s(middle, 23.0 + LOW.adiabatic_rise_c * middle)
        time += step
    assert time == pytest.approx(LOW.setting_s, rel=2e-3)


def test_a_lump_too_poor_to_pass_the_glass_sets_half_way_to_where_it_stops() -> None:
    assert curing._lump_end(20.0, 23.0) == pytest.approx(
        float(curing.most_cured(23.0 + 20.0 * curing._lump_end(20.0, 23.0)))
    )
    assert curing._lump_end(120.0, 23.0) == 1.0
    assert curing._lump_end(500.0, 23.0) == 1.0


def test_medium_cement_hardens_in_the_body_when_it_was_seen_to() -> None:
    """About 11 min after it is brought to 37 degC (Boger & Wheeler, ISRN Mater Sci 2011:571728)."""
    half = 0.5 * curing.most_cured(23.0)
    age = np.interp(half, MEDIUM.degree_at(np.arange(3000.0)), np.arange(3000.0))
    assert age / MEDIUM.ageing(37.0) / 60.0 == pytest.approx(11.0, abs=1.5)


@CEMENT
def test_it_stops_flowing_before_it_has_cured_and_is_solid_about_when_it_sets(cement: Cement) -> None:
    assert cement.degree_at(cement.working_window(23.0).end_s) < 0.05
    assert 0.2 < cement.degree_at(cement.ages_s[-1]) < 0.5
    assert cement.ages_s[-1] == pytest.approx(cement.setting_s, rel=0.25)
