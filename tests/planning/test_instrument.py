"""Real needles: which pedicle takes which, and which shaft reaches."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from trocar.planning.instrument import (
    BALLOONS,
    INNER_DIAMETER_MM,
    OUTER_DIAMETER_MM,
    PSI_MPA,
    Needle,
    least_pedicle_mm,
    longest_mm,
    reaching,
    vertebroplasty_needle,
)


@pytest.mark.parametrize(("gauge", "least_mm"), [(10, 5.40), (11, 5.05), (13, 4.41), (15, 3.83)])
def test_the_least_pedicle_is_the_published_one(gauge: int, least_mm: float) -> None:
    """Table of minimum pedicle widths at 1 mm of bone per side."""
    assert least_pedicle_mm(Needle.of_gauge(gauge)) == pytest.approx(least_mm, abs=0.005)


@pytest.mark.parametrize(
    ("region", "width", "gauge"),
    [
        ("lumbar", None, 11), ("lumbar", 9.0, 11), ("lumbar", 5.0, 13), ("lumbar", 4.0, 15), ("lumbar", 2.0, 15),
        ("thoracic", None, 13), ("thoracic", 9.0, 13), ("thoracic", 4.0, 15),
    ],
)  # fmt: skip
def test_the_needle_follows_the_region_and_the_pedicle(region: str, width: float | None, gauge: int) -> None:
    assert vertebroplasty_needle(region, width).gauge == gauge


def test_a_short_needle_is_replaced_by_the_next_shaft_sold() -> None:
    needle = Needle.of_gauge(11, 125.0)
    assert reaching(needle, 120.0) is needle
    assert reaching(needle, 131.0).length_mm == 150.0
    assert reaching(needle, 131.0).outer_diameter_mm == needle.outer_diameter_mm
    assert longest_mm(needle) == 200.0
    assert longest_mm(Needle.of_gauge(11, 250.0)) == 250.0


def test_an_unknown_gauge_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"gauge=12 is not in the table \(8G, 10G, 11G"):
        Needle.of_gauge(12)


def test_more_bone_asked_for_takes_a_thinner_needle() -> None:
    gauges = [vertebroplasty_needle("lumbar", 6.0, wall_mm=wall).gauge for wall in (1.0, 1.7, 2.0)]
    assert gauges == [11, 13, 15]


@pytest.mark.parametrize("length", sorted(BALLOONS))
def test_a_balloon_holds_what_is_put_in_and_grows(length: int) -> None:
    """The shape is an ellipsoid of just that volume, longer than it is thick until it is round."""
    balloon = BALLOONS[length]
    sizes = [balloon.size_mm(ml) for ml in (0.5, 1.0, 2.0, 4.0)]
    for (long, thick), ml in zip(sizes, (0.5, 1.0, 2.0, 4.0), strict=True):
        assert math.pi / 6.0 * long * thick**2 == pytest.approx(1000.0 * ml, rel=1e-12)
        assert long >= max(thick, length) - 1e-12
    assert sizes == sorted(sizes, key=lambda size: size[1])


def test_a_round_balloon_of_4_ml_is_as_thick_as_a_ball() -> None:
    assert BALLOONS[10].size_mm(4.0) == pytest.approx((19.695, 19.695), abs=0.001)


def test_a_balloon_passes_its_cannula() -> None:
    for balloon in BALLOONS.values():
        assert balloon.diameter_mm < balloon.cannula().outer_diameter_mm
        assert balloon.cannula(150.0).length_mm == 150.0
    assert BALLOONS[15].max_pressure_mpa / PSI_MPA == pytest.approx(400.0, rel=1e-3)


def test_a_balloon_is_not_filled_beyond_its_limit_and_must_be_possible() -> None:
    with pytest.raises(ValueError, match=r"volume_ml=4\.5 is outside 0 to 4 mL for 15 mm balloon"):
        BALLOONS[15].size_mm(4.5)
    with pytest.raises(ValueError, match=r"max_pressure_mpa=400 is outside 0.3 to 7 MPa"):
        replace(BALLOONS[15], max_pressure_mpa=400)
    with pytest.raises(ValueError, match=r"length_mm=150 is outside 5 to 40 mm"):
        replace(BALLOONS[15], length_mm=150)
    with pytest.raises(ValueError, match=r"gauge=9 is not in the table"):
        replace(BALLOONS[15], cannula_gauge=9)


def test_a_bore_is_narrower_than_its_needle_by_two_walls() -> None:
    """Regular walls of the needle gauge table: 0.356 mm in 10G, 0.330 in 11G, 0.305 in 13G, 0.229 in 15G."""
    assert INNER_DIAMETER_MM.keys() == OUTER_DIAMETER_MM.keys()
    walls = {gauge: (OUTER_DIAMETER_MM[gauge] - INNER_DIAMETER_MM[gauge]) / 2.0 for gauge in INNER_DIAMETER_MM}
    assert [walls[gauge] for gauge in (10, 11, 13, 15)] == pytest.approx([0.356, 0.330, 0.305, 0.229], abs=1e-3)
    assert all(0.1 < wall < 0.4 for wall in walls.values())
