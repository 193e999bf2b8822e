"""Numbers with names, and the ranges they may lie in."""

from __future__ import annotations

import math

import pytest

from trocar.measure import Finding, Measure, Range, Severity, Status, Topic, ending, worst


@pytest.mark.parametrize("value", [0.5, 8, 3.3])
def test_both_ends_of_a_range_are_allowed(value: float) -> None:
    assert Range(0.5, 8.0, "mL").check("volume_ml", value) == value


@pytest.mark.parametrize("value", [0.49, 40, math.nan, math.inf, "3", None])
def test_what_lies_outside_is_refused_with_value_bounds_and_owner(value: float) -> None:
    with pytest.raises(ValueError, match=rf"^volume_ml={value} is outside 0.5 to 8 mL for Vertebroplasty\.$"):
        Range(0.5, 8.0, "mL").check("volume_ml", value, "Vertebroplasty")


@pytest.mark.parametrize(
    ("measure", "text"),
    [
        (Measure("width", 7.123, "mm"), "7.1 mm"),
        (Measure("width", 7.123, "mm", 6.5, 7.7), "7.1 (6.5 to 7.7) mm"),
        (Measure("width", 3.0, "mm", 2.98, 3.04), "3.0 mm"),
        (Measure("width", 3.0, "mm", 3.0, 3.2), "3.0 (3.0 to 3.2) mm"),
        (Measure("angle", -3.04, "deg"), "-3.0°"),
        (Measure("density", 131.2, "[hnsf'U]"), "131.2 HU"),
        (Measure("share", 0.000977, "1"), "0.00098"),
        (Measure("rest", 1e-18, "mm"), "0.0 mm"),
        (Measure("rest", -1e-18, "1"), "0.0"),
        (Measure("tilt", 0.0312, "deg"), "0.031°"),
        (Measure("tilt", -0.0312, "deg", -0.05, 0.0), "-0.031 (-0.05 to 0.0)°"),
        (Measure("strain", 0.000031, "%"), "0.000031 %"),
        (Measure("gap", 0.0999, "mm"), "0.1 mm"),
        (Measure("gap", -0.1, "mm"), "-0.1 mm"),
        (Measure("gap", math.nan, "mm"), "nan mm"),
        (Measure("gap", math.inf, "mm"), "inf mm"),
    ],
)
def test_a_measure_reads_as_people_write_it(measure: Measure, text: str) -> None:
    assert str(measure) == text


def test_a_stop_outweighs_any_number_of_cautions() -> None:
    findings = (*[Finding(Severity.CAUTION, "c")] * 3, Finding(Severity.STOP, "s", "because"))
    assert worst(findings) is Severity.STOP
    assert worst(()) is None
    assert str(findings[-1]) == "stop: s (because)"


def test_the_same_concern_of_another_topic_is_the_same() -> None:
    one, other = (Finding(Severity.NOTE, "thin bone", topic=topic) for topic in Topic)
    assert dict.fromkeys((one, other)) == {one: None}


def test_of_several_endings_the_first_that_is_no_success_counts() -> None:
    assert ending() is Status.SUCCESS
    assert ending(Status.SUCCESS, Status.SUCCESS) is Status.SUCCESS
    assert ending(Status.SUCCESS, Status.COLLAPSED, Status.CANCELLED) is Status.COLLAPSED
