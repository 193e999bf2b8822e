"""Series as curves: every column with its name and unit, uneven ones refused."""

from __future__ import annotations

import numpy as np
import pytest

from trocar.reporting.curves import _without_amount, columns, section_picture, sweep_picture, without_common


def test_a_column_says_its_unit():
    place, fill, stiffness = columns(
        {"place": ["central"], "fill_percent": [7.5], "stiffness_as_is_n_per_mm": np.array([11240.0])}
    )
    assert (place.head, fill.head, stiffness.head) == ("Place", "Fill, %", "Stiffness as is, N/mm")
    assert place.cells() == ("Central",)
    assert fill.cells() == ("7.5",)
    assert stiffness.cells() == ("11\N{NARROW NO-BREAK SPACE}240",)


def test_what_is_missing_is_a_dash_and_no_number():
    (column,) = columns({"tilt_deg": [1.0, None, float("nan")]})
    assert column.cells() == ("1.0", "–", "–")
    assert np.isnan(column.numbers()[1:]).all()


def test_uneven_columns_are_refused():
    with pytest.raises(ValueError, match="equally long"):
        columns({"a": [1.0], "b": [1.0, 2.0]})


def test_a_sweep_needs_no_place_and_no_strength():
    png = sweep_picture({"fill_percent": [5.0, 10.0], "stiffness_n_per_mm": [1.0, 2.0]})
    assert png.startswith(b"\x89PNG")


def test_a_filling_is_a_point_on_the_line_of_its_kind():
    names = ("central 5 %", "central 12.5 %", "left, eccentric, 3.5 mL", "two-sided")
    assert [_without_amount(n) for n in names] == ["central", "central", "left, eccentric", "two-sided"]


def test_what_all_names_begin_with_is_left_out():
    names = ["as it is, cement central", "as it is, cement one-sided, left"]
    assert without_common(names) == ["central", "one-sided, left"]
    assert without_common(["a b", "a"]) == ["a b", "a"]
    assert without_common(["same name", "same name"]) == ["same name", "same name"]
    assert without_common([]) == []


def test_an_answer_in_a_series_has_the_heading_of_its_column():
    (column,) = columns({"strength_section_n": [1.0]})
    assert column.head == "Strength of the weakest section, N"


def test_a_section_of_one_curve_with_slivers_at_its_ends():
    rigid = np.array([np.nan, 2e6, 1e6, np.nan])
    assert section_picture({"height_mm": np.arange(4.0), "axial_rigidity_as_is_n": rigid}).startswith(b"\x89PNG")


def test_a_section_of_one_curve():
    assert section_picture({"height_mm": [0.0, 1.0], "axial_rigidity_n": [2e6, 1e6]}).startswith(b"\x89PNG")
