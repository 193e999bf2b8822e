"""Bone as a porous medium: measured values, Poiseuille's closed forms, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trocar.physics.marrow import (
    CORTEX_MM2,
    DENSEST_BONE,
    MARROW_PA_S,
    MEAN_BONE,
    SPARSEST_BONE,
    SUPERIOR_MM2,
    TRANSVERSE_MM2,
    LogNormal,
    mouth_mm,
    permeability_mm2,
    slot_mm2,
    tube_mm4,
)


def many(quantity: LogNormal, count: int = 20000) -> np.ndarray:
    rng = np.random.default_rng(3)
    return np.array([quantity.draw(rng) for _ in range(count)])


@pytest.mark.parametrize(("quantity", "mean", "sd"), [(SUPERIOR_MM2, 4.45, 1.72), (TRANSVERSE_MM2, 3.44, 1.26)])
def test_draws_have_the_mean_and_spread_of_the_cores_of_baroud(quantity: LogNormal, mean: float, sd: float) -> None:
    found = many(quantity) / 0.01  # 1e-8 m2 is 0.01 mm2
    # the standard errors are 0.3 % of the mean and 1 % of the standard deviation
    assert found.mean() == pytest.approx(mean, rel=0.01)
    assert found.std() == pytest.approx(sd, rel=0.04)


def test_marrow_lies_in_its_interval_in_95_of_100() -> None:
    found = many(MARROW_PA_S)
    assert MARROW_PA_S.median == pytest.approx(math.sqrt(0.04 * 0.4))
    assert np.mean((found > 0.04) & (found < 0.4)) == pytest.approx(0.95, abs=0.006)


def test_the_law_passes_through_the_measured_values_and_keeps_their_ratio() -> None:
    along, back, aside = permeability_mm2(MEAN_BONE)
    assert (along, back, aside) == pytest.approx((SUPERIOR_MM2.median, TRANSVERSE_MM2.median, TRANSVERSE_MM2.median))
    assert back / along == pytest.approx(0.78, abs=0.01)  # Baroud 2004
    ratios = permeability_mm2(np.linspace(0.04, 0.6, 9))
    assert ratios[1] / ratios[0] == pytest.approx(back / along)


def test_the_law_falls_with_bone_volume_and_ends_where_there_is_no_lattice() -> None:
    share = np.linspace(SPARSEST_BONE, DENSEST_BONE, 40)
    assert np.all(np.diff(permeability_mm2(share)[0]) < 0.0)
    assert np.array_equal(permeability_mm2([-1.0, 0.0, 2.0])[0], permeability_mm2([0.03, 0.03, 0.95])[0])


@pytest.mark.parametrize(("share", "within"), [(0.05, 0.12), (0.075, 0.06), (0.15, 0.05), (0.2, 0.05)])
def test_it_depends_on_bone_volume_as_a_mesh_of_struts_does(share: float, within: float) -> None:
    """Random fibres in three dimensions: Jackson & James, Can J Chem Eng 1986;64:364, valid up to a fifth."""

    def mesh(volume: float) -> float:
        return 3.0 / (20.0 * volume) * (-math.log(volume) - 0.931)

    law = float(permeability_mm2(share)[0] / permeability_mm2(MEAN_BONE)[0])
    assert law == pytest.approx(mesh(share) / mesh(MEAN_BONE), rel=within)


def test_the_level_is_that_of_kozeny_on_measured_surfaces() -> None:
    """Nine vertebral cores: 6.75 % bone with a surface of 1.77 mm2/mm3; Kozeny's constant for pores is near 5.

    Slyfield CR et al., table 1 (PMC3352993).
    """
    kozeny = (1.0 - 0.0675) ** 3 / (5.0 * 1.77**2)
    assert 0.5 < float(permeability_mm2(0.0675)[0]) / kozeny < 2.0


def test_cortex_is_canals_of_a_share_and_a_radius() -> None:
    share, radius = math.sqrt(0.03 * 0.10), 0.5 * math.sqrt(0.010 * 0.050)
    assert CORTEX_MM2.median == pytest.approx(share * radius**2 / 8.0)
    per_mm2 = share / (math.pi * radius**2)
    assert CORTEX_MM2.median == pytest.approx(per_mm2 * tube_mm4(radius))


def test_poiseuille() -> None:
    assert slot_mm2(1.2) == pytest.approx(0.12)
    assert tube_mm4(2.0) == pytest.approx(2.0 * math.pi)
    # 1 mm3/s of 1 Pa s through a tube of 1 mm radius and 8 mm length: 64 / pi Pa
    assert 1.0 * 8.0 / tube_mm4(1.0) == pytest.approx(64.0 / math.pi)
    assert 2.0 * math.pi * mouth_mm(1.5) == pytest.approx(4.0 * 1.5)


def test_an_interval_and_a_mean_give_back_what_was_put_in() -> None:
    assert LogNormal.of_interval(2.0, 2.0) == LogNormal(2.0, 0.0)
    wide = LogNormal.of_interval(1.0, 100.0)
    assert wide.median == pytest.approx(10.0)
    assert math.exp(1.959964 * wide.sd) == pytest.approx(10.0, rel=1e-6)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: LogNormal(0.0, 1.0), "median=0.0"),
        (lambda: LogNormal(1.0, -1.0), "sd=-1.0"),
        (lambda: LogNormal(1.0, math.nan), "sd=nan"),
        (lambda: LogNormal.of_interval(2.0, 1.0), "from 2.0 to 1.0"),
        (lambda: slot_mm2(0.0), "width_mm=0.0"),
        (lambda: tube_mm4(math.inf), "radius_mm=inf"),
        (lambda: permeability_mm2([0.1, math.nan]), r"at \[1\] is not a number \(1 such"),
    ],
)
def test_what_cannot_be_is_refused(wrong, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        wrong()
