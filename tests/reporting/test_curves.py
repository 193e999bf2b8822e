"""Series as curves: every column with its name and unit, uneven ones refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trocar.measure import Measure
from trocar.reporting import curves
from trocar.reporting.curves import (
    _without_amount,
    columns,
    pressure_picture,
    section_picture,
    sweep_picture,
    without_common,
)


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


def _axes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The axes of the pictures that follow."""
    found: list[Any] = []
    monkeypatch.setattr(curves, "png", lambda figure: found.extend(figure.axes) or b"")
    return found


def test_no_cement_is_a_point_of_no_line(monkeypatch: pytest.MonkeyPatch):
    drawn = _axes(monkeypatch)
    sweep_picture({"place": ["", "central", "two-sided"], "fill_percent": [0.0, 5.0, 5.0],
                   "stiffness_n_per_mm": [1.0, 2.0, 3.0]})  # fmt: skip
    lines = {line.get_label(): line.get_xdata().tolist() for line in drawn[0].lines}
    assert lines == {"No cement": [0.0], "Central": [5.0], "Two-sided": [5.0]}


def test_the_pressure_is_read_in_psi_and_against_its_limit(monkeypatch: pytest.MonkeyPatch):
    drawn = _axes(monkeypatch)
    end = Measure("left_balloon_pressure", 0.8, "MPa", 0.7, 1.9)
    curve = {"volume_ml": [0.5, 3.0], "pressure_mpa": [0.9, 0.8]}
    pressure_picture({"left_balloon": curve}, 2.07, {"left_balloon": end})
    (axes,) = drawn
    lines = [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines]
    assert ([3.0, 3.0], [0.7, 1.9]) in lines
    assert ([0, 1], [2.07, 2.07]) in lines
    (psi,) = axes.child_axes
    psi.get_figure().canvas.draw()
    assert psi.get_ylim()[1] == pytest.approx(axes.get_ylim()[1] * 145.04, rel=1e-3)
    assert axes.get_ylim()[1] > 2.07


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
