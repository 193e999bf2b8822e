"""Names and numbers on paper."""

from __future__ import annotations

import pytest

from trocar.measure import Measure
from trocar.reporting.words import amount, number, phrase, plain, sentence, title


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lung_left", "left lung"),
        ("rib_left_9", "left rib 9"),
        ("foramen_T12_right", "right foramen T12"),
        ("pedicle_left_width", "left pedicle width"),
        ("inferior_vena_cava", "inferior vena cava"),
        ("esophagus", "oesophagus"),
    ],
)
def test_names_for_people(name, text):
    assert plain(name) == text


def test_a_title_has_a_capital_and_keeps_the_rest():
    assert title("foramen_T12_right") == "Right foramen T12"


@pytest.mark.parametrize(
    ("measure", "text"),
    [
        (Measure("h", 24.04, "mm"), "24.0 mm"),
        (Measure("h", 24.0, "mm", 23.5, 24.5), "24.0 (23.5 to 24.5) mm"),
        (Measure("a", 8.4e-16, "deg"), "0.0°"),
        (Measure("a", -0.04, "mm"), "-0.04 mm"),
        (Measure("d", 131.0, "[hnsf'U]"), "131.0 HU"),
        (Measure("tilt", 0.043, "deg"), "0.043°"),
        (Measure("tilt", -0.5, "deg"), "-0.5°"),
        (Measure("ratio", 0.936, "1"), "0.94"),
        (Measure("strain", 0.00412, "1"), "0.0041"),
        (Measure("stiffness", 12362.4, "N/mm"), "12\N{NARROW NO-BREAK SPACE}362 N/mm"),
        (Measure("strength", 980.4, "N", 0.2, 1100.0), "980 (0 to 1\N{NARROW NO-BREAK SPACE}100) N"),
        (Measure("energy", 0.25, "mJ/mm3"), "0.2 mJ/mm³"),
        (Measure("grade", 2.0, "1"), "2"),
        (Measure("loss", 6.1, "%"), "6.1 %"),
        (Measure("breach_probability", 0.00195, "1"), "0.2 %"),
    ],
)
def test_amounts(measure, text):
    assert amount(measure) == text


def test_no_minus_nothing():
    assert number(-1e-9) == "0.0"
    assert number(-9e-6) == "0.0"
    assert number(-0.06) == "-0.06"


@pytest.mark.parametrize("value", [-0.0264, 0.0999, 0.000616, 1e-5, 0.0, 0.1, -3.44, 24.04])
def test_small_numbers_are_those_that_measures_print(value):
    assert number(value, "mm") == str(Measure("m", value, "mm")).removesuffix(" mm")


def test_what_is_no_number_is_not_printed_as_nothing():
    assert number(float("nan")) == "–"


def test_bounds_that_print_as_the_value_are_left_out():
    assert amount(Measure("h", 28.3, "mm", 28.3, 28.3)) == "28.3 mm"
    assert amount(Measure("h", 28.3, "mm", 28.29, 28.31)) == "28.3 mm"
    assert amount(Measure("h", 28.3, "mm", 28.3, 28.4)) == "28.3 (28.3 to 28.4) mm"


def test_sentences_of_others_begin_with_a_capital_and_count_in_litres_as_tables_do():
    assert sentence("the blood holds contrast: 3.0 ml.") == "The blood holds contrast: 3.0 mL."
    assert phrase("html of 2 ml") == "html of 2 mL"
