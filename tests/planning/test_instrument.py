"""Real needles: which pedicle takes which, and which shaft reaches."""

from __future__ import annotations

import pytest

from trocar.planning.instrument import Needle, least_pedicle_mm, longest_mm, reaching, vertebroplasty_needle


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
