"""Angles as words and directions, patients in any position on the table, image edges, and what a machine reaches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trocar.guidance.carm import CArm
from trocar.guidance.carm_angles import angles_from_text, angles_of, angles_text
from trocar.guidance.carm_edges import patient_orientation, shown_as
from trocar.guidance.carm_position import PatientPosition, RoomAngles, about_patient, after_table_move, in_room
from trocar.guidance.carm_reach import FIXED, MOBILE, Reach, out_of_reach
from trocar.measure import Range, Severity

HFS, HFP, FFS, FFP, HFDL, HFDR, FFDL, FFDR = (
    PatientPosition[n] for n in ("HFS", "HFP", "FFS", "FFP", "HFDL", "HFDR", "FFDL", "FFDR")
)
AP = CArm((10.0, 20.0, 30.0))
positions = st.sampled_from(list(PatientPosition))
tilts = st.tuples(st.floats(-179.0, 179.0), st.floats(-80.0, 80.0), st.floats(-179.0, 179.0))


# --- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "angles"),
    [
        ("LAO 25, CRA 15", (25.0, 15.0)),
        ("rao 30.5° cau 10°", (-30.5, -10.0)),
        ("CAUD10 LAO 5", (5.0, -10.0)),
        ("CRAN 12", (0.0, 12.0)),
        ("AP", (0.0, 0.0)),
        ("pa", (180.0, 0.0)),
        ("LAO 180 deg", (180.0, 0.0)),
    ],
)
def test_a_view_is_read_as_people_write_it(text: str, angles: tuple[float, float]) -> None:
    assert angles_from_text(text) == angles


@pytest.mark.parametrize(
    "text", ["", "lateral", "LAO", "LAO 20 RAO 10", "LAO 200", "CRA 95", "LAO 20 and more", "L 20"]
)
def test_what_is_no_view_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no view|out of range"):
        angles_from_text(text)


@given(st.integers(-1800, 1800), st.integers(-900, 900))
@settings(max_examples=50, deadline=None)
def test_words_and_angles_go_both_ways(primary: int, secondary: int) -> None:
    assert angles_from_text(angles_text(primary / 10, secondary / 10)) == (primary / 10, secondary / 10)


def test_a_c_arm_says_its_view() -> None:
    assert str(replace(AP, primary_angle_deg=-24.96, secondary_angle_deg=15.0)) == "RAO 25, CRA 15"
    assert str(replace(AP, primary_angle_deg=-0.01)) == "LAO 0, CRA 0"


def test_a_direction_has_one_pair_of_angles() -> None:
    assert angles_of((0.0, -3.0, 0.0)) == (0.0, 0.0)
    assert angles_of((0.0, 1.0, 0.0)) == (180.0, 0.0)
    assert angles_of((-0.0, 1.0, 0.0)) == (180.0, 0.0)
    assert angles_of((0.0, 0.0, -1.0)) == (0.0, -90.0)


# --- positions on the table ----------------------------------------------------------------------

#: The detector straight above the table, not turned: how it stands about the patient, and what the image's edges show.
ABOVE = [
    (HFS, (0.0, 0.0), ("L", "F")),
    (HFP, (180.0, 0.0), ("R", "F")),
    (FFS, (0.0, 0.0), ("R", "H")),
    (FFP, (180.0, 0.0), ("L", "H")),
    (HFDL, (-90.0, 0.0), ("A", "F")),
    (HFDR, (90.0, 0.0), ("P", "F")),
    (FFDL, (-90.0, 0.0), ("P", "H")),
    (FFDR, (90.0, 0.0), ("A", "H")),
]


@pytest.mark.parametrize(("position", "angles", "edges"), ABOVE)
def test_the_detector_above_the_table_shows_each_patient_as_they_lie(
    position: PatientPosition, angles: tuple[float, float], edges: tuple[str, str]
) -> None:
    view = about_patient(AP, RoomAngles(0.0, 0.0), position)
    assert (view.primary_angle_deg, view.secondary_angle_deg) == pytest.approx(angles, abs=1e-9)
    assert patient_orientation(view) == edges


#: The detector at the table's left, level, and above with a tilt of 20 degrees to the table's head.
@pytest.mark.parametrize(
    ("position", "at_left", "to_head"),
    [
        (HFS, (90.0, 0.0), (0.0, 20.0)),
        (HFP, (-90.0, 0.0), (180.0, 20.0)),
        (FFS, (-90.0, 0.0), (0.0, -20.0)),
        (FFP, (90.0, 0.0), (180.0, -20.0)),
        # who rolls from supine onto the left side faces the table's left
        (HFDL, (0.0, 0.0), (-90.0, 20.0)),
        (HFDR, (180.0, 0.0), (90.0, 20.0)),
        (FFDL, (180.0, 0.0), (-90.0, -20.0)),
        (FFDR, (0.0, 0.0), (90.0, -20.0)),
    ],
)
def test_the_same_machine_stands_elsewhere_about_each_patient(
    position: PatientPosition, at_left: tuple[float, float], to_head: tuple[float, float]
) -> None:
    for room, expected in ((RoomAngles(90.0, 0.0), at_left), (RoomAngles(0.0, 20.0), to_head)):
        view = about_patient(AP, room, position)
        assert (view.primary_angle_deg, view.secondary_angle_deg) == pytest.approx(expected, abs=1e-9)


@given(positions, tilts)
@example(PatientPosition.FFS, (0.0, 0.0, -6.1e-05))  # a small roll beside half a turn
@settings(max_examples=80, deadline=None)
def test_room_and_patient_angles_go_both_ways(position: PatientPosition, tilt: tuple[float, float, float]) -> None:
    there = in_room(about_patient(AP, RoomAngles(*tilt), position), position)
    assert (there.primary_deg, there.secondary_deg) == pytest.approx(tilt[:2], abs=1e-7)
    turn = (there.detector_rotation_deg - tilt[2] + 180.0) % 360.0 - 180.0
    assert turn == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("position", list(PatientPosition))
def test_a_patient_keeps_left_and_right_in_every_position(position: PatientPosition) -> None:
    assert np.linalg.det(position.to_room) == pytest.approx(1.0)
    down = {"S": (0, 1, 0), "P": (0, -1, 0), "DL": (1, 0, 0), "DR": (-1, 0, 0)}[position.value[2:]]
    head = 1.0 if position.value.startswith("HF") else -1.0
    np.testing.assert_allclose(position.to_room @ down, (0, 1, 0), atol=1e-12)
    np.testing.assert_allclose(position.to_room @ (0, 0, 1), (0, 0, head), atol=1e-12)


def test_a_turned_detector_turns_the_picture_the_other_way() -> None:
    view = about_patient(AP, RoomAngles(0.0, 0.0, 90.0), HFS)
    assert view.roll_deg == pytest.approx(-90.0)
    assert patient_orientation(view) == ("F", "R")  # what was on the right, the patient's left, is up


@pytest.mark.parametrize(
    ("position", "moved"),
    [(HFS, (-1.0, -2.0, -3.0)), (HFP, (1.0, 2.0, -3.0)), (FFS, (1.0, -2.0, 3.0)), (HFDL, (-2.0, 1.0, -3.0))],
)
def test_a_table_that_moves_takes_the_patient_along(position: PatientPosition, moved: tuple[float, ...]) -> None:
    """Table to its left by 1, down by 2, to its head by 3 mm: the isocentre goes the other way in the patient."""
    view = after_table_move(AP, position, 1.0, 2.0, 3.0)
    np.testing.assert_allclose(view.isocentre_mm - AP.isocentre_mm, moved, atol=1e-12)


def test_raising_the_table_of_a_supine_patient_magnifies_less() -> None:
    """The source is below: a patient who is lifted is farther from it."""
    spine = AP.isocentre_mm
    lifted = after_table_move(AP, HFS, 0.0, -50.0, 0.0)
    assert lifted.depth_mm(spine) == pytest.approx(AP.depth_mm(spine) + 50.0)


def test_a_secondary_angle_past_the_pole_is_refused() -> None:
    with pytest.raises(ValueError, match="outside -90 to 90"):
        about_patient(AP, RoomAngles(0.0, 100.0), HFS)


# --- edges of the image --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "edges"),
    [
        ({}, ("L", "F")),
        ({"mirrored": True}, ("R", "F")),
        ({"roll_deg": 180.0}, ("R", "H")),
        ({"primary_angle_deg": 180.0}, ("R", "F")),
        ({"primary_angle_deg": 90.0}, ("P", "F")),
        ({"primary_angle_deg": -90.0}, ("A", "F")),
        ({"primary_angle_deg": 25.0}, ("LP", "F")),
        ({"primary_angle_deg": -60.0}, ("AL", "F")),
        ({"secondary_angle_deg": 30.0}, ("L", "FA")),
        ({"primary_angle_deg": 5.0}, ("L", "F")),
    ],
)
def test_the_edges_are_named_by_the_sides_they_show(changes: dict[str, float], edges: tuple[str, str]) -> None:
    assert patient_orientation(replace(AP, **changes)) == edges


@given(
    st.tuples(st.floats(-180.0, 180.0), st.floats(-45.0, 45.0)),
    st.sampled_from([0.0, 90.0, 180.0, -90.0]),
    st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_turn_and_mirror_are_found_again_from_the_edges(
    angles: tuple[float, float], roll: float, mirrored: bool
) -> None:
    view = replace(AP, primary_angle_deg=angles[0], secondary_angle_deg=angles[1])
    shown = replace(view, roll_deg=roll, mirrored=mirrored)
    found = shown_as(view, patient_orientation(shown))
    assert found is not None
    np.testing.assert_allclose(found.axes, shown.axes, atol=1e-12)


@pytest.mark.parametrize("words", [("A", "F"), ("P", "F"), ("L", "A"), ("", "F"), ("X", "F"), ("L", "")])
def test_edges_that_no_turn_explains_are_told(words: tuple[str, str]) -> None:
    assert shown_as(AP, words) is None


# --- reach ---------------------------------------------------------------------------------------


def test_a_view_within_the_limits_needs_no_word() -> None:
    assert out_of_reach(replace(AP, primary_angle_deg=90.0), HFS) is None
    assert out_of_reach(replace(AP, primary_angle_deg=90.0), HFS, MOBILE) is None


def test_the_detector_above_a_prone_patient_is_within_reach() -> None:
    above = replace(AP, primary_angle_deg=180.0)
    assert out_of_reach(above, HFP) is None
    told = out_of_reach(above, HFS)
    assert told is not None
    assert told.severity is Severity.CAUTION
    assert "LAO 180, CRA 0" in told.text
    assert "exchange tube and detector (LAO 0, CRA 0 about the patient)" in told.text
    assert "supine, head first" in told.text


def test_a_steep_view_is_out_of_reach_from_either_side() -> None:
    told = out_of_reach(replace(AP, secondary_angle_deg=60.0), HFS)
    assert told is not None
    assert "take another view" in told.text
    assert "unverified" in told.because


def test_the_limits_are_those_of_the_room_not_of_the_patient() -> None:
    lopsided = Reach("this arm", Range(-30.0, 120.0, "deg"), FIXED.secondary, "its manual")
    left = replace(AP, primary_angle_deg=90.0)
    assert out_of_reach(left, HFS, lopsided) is None
    told = out_of_reach(left, FFS, lopsided)
    assert told is not None
    assert "RAO 90" in told.because
