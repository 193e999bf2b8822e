"""Patient positions and the angles of a needle in the room."""

from __future__ import annotations

import numpy as np
import pytest

from trocar.geometry import LEFT, POSTERIOR, SUPERIOR, unit
from trocar.planning.position import PatientPosition, angles_of

MIRROR = np.array([-1.0, 1.0, 1.0])
MIRRORED = {"HFDL": "HFDR", "HFDR": "HFDL", "FFDL": "FFDR", "FFDR": "FFDL"}

#: What an onlooker at the free end of the table sees on the right hand: worked out by hand for each position.
RIGHT_HAND = {
    "HFS": LEFT,
    "HFP": -LEFT,
    "FFS": -LEFT,
    "FFP": LEFT,
    "HFDL": -POSTERIOR,
    "HFDR": POSTERIOR,
    "FFDL": POSTERIOR,
    "FFDR": -POSTERIOR,
}
#: What faces the ceiling.
TOP = {"S": -POSTERIOR, "P": POSTERIOR, "DL": -LEFT, "DR": LEFT}


@pytest.mark.parametrize("position", PatientPosition)
def test_room_axes(position):
    np.testing.assert_array_equal(position.up, TOP[position.value[2:]])
    np.testing.assert_array_equal(position.right, RIGHT_HAND[position.value])
    np.testing.assert_array_equal(position.inward, SUPERIOR if position.value.startswith("HF") else -SUPERIOR)
    room = np.column_stack([position.right, position.up, -position.inward])
    assert np.linalg.det(room) == pytest.approx(1.0)


@pytest.mark.parametrize("position", PatientPosition)
@pytest.mark.parametrize(("aside_deg", "tilt_deg"), [(0.0, 0.0), (22.0, 5.0), (-22.0, 5.0), (40.0, -17.0)])
def test_a_needle_built_from_its_angles_has_those_angles(position, aside_deg, tilt_deg):
    """Closed form: straight down plus tan(angle) aside and tan(tilt) along the body."""
    a, t = np.tan(np.radians([aside_deg, tilt_deg]))
    direction = -position.up + a * position.across + t * SUPERIOR
    angles = angles_of(direction, position)
    assert angles.in_slice_deg == pytest.approx(aside_deg)
    assert angles.tilt_deg == pytest.approx(tilt_deg)
    assert angles.out_of_slice_deg == pytest.approx(np.degrees(np.arcsin(unit(direction)[2])))
    assert not angles.from_below


def test_prone_angles_are_the_formulas_of_the_literature():
    """atan2(dx, -dy) in the slice and atan2(dz, -dy) along the body (patient prone)."""
    dx, dy, dz = d = unit([0.31, -0.9, -0.12])
    angles = angles_of(d, PatientPosition.HFP)
    assert angles.in_slice_deg == pytest.approx(np.degrees(np.arctan2(dx, -dy)))
    assert angles.tilt_deg == pytest.approx(np.degrees(np.arctan2(dz, -dy)))


@pytest.mark.parametrize("position", PatientPosition)
def test_the_needle_lies_in_the_tilted_slice(position):
    """Tilting the gantry about the level axis by the angle brings the direction into its plane."""
    a, t = np.tan(np.radians([18.0, -9.0]))
    direction = unit(-position.up + a * position.across + t * SUPERIOR)
    tilt = np.radians(angles_of(direction, position).tilt_deg)
    normal = np.cos(tilt) * SUPERIOR + np.sin(tilt) * position.up
    assert normal @ direction == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("position", PatientPosition)
def test_dicom_tilt_is_positive_where_the_top_leans_over_the_table(position):
    """0018,1120: negative where the top of the gantry leans away from where the table enters."""
    direction = unit(-position.up + 0.2 * position.across + 0.3 * SUPERIOR)
    angles = angles_of(direction, position)
    leans_over_table = -direction @ -position.inward > 0  # the hub shows where the top has to go
    assert (angles.dicom_tilt_deg > 0) == leans_over_table


@pytest.mark.parametrize("position", PatientPosition)
def test_mirrored_needle_mirrored_angles(position):
    direction = unit([0.2, -0.5, 0.3])
    other = PatientPosition.parse(MIRRORED.get(position.value, position.value))
    ours, theirs = angles_of(direction, position), angles_of(direction * MIRROR, other)
    sign = 1.0 if position.on_side else -1.0  # left and right are exchanged, front and back are not
    assert theirs.in_slice_deg == pytest.approx(sign * ours.in_slice_deg)
    assert theirs.out_of_slice_deg == pytest.approx(ours.out_of_slice_deg)
    assert theirs.tilt_deg == (None if ours.tilt_deg is None else pytest.approx(ours.tilt_deg))


@pytest.mark.parametrize("position", PatientPosition)
def test_a_needle_from_below_shows_in_the_slice_of_the_same_needle_turned_end_for_end(position):
    direction = unit(-position.up + 0.3 * position.across - 0.2 * SUPERIOR)
    ours, turned = angles_of(direction, position), angles_of(-direction, position)
    assert turned.from_below
    assert turned.tilt_deg == pytest.approx(ours.tilt_deg) == pytest.approx(-np.degrees(np.arctan(0.2)))
    tilt = np.radians(turned.tilt_deg)
    assert (np.cos(tilt) * SUPERIOR + np.sin(tilt) * position.up) @ direction == pytest.approx(0.0, abs=1e-12)


def test_from_below_and_too_flat():
    back = unit([0.3, -0.9, 0.1])
    assert angles_of(back, PatientPosition.HFS).from_below
    assert not angles_of(back, PatientPosition.HFP).from_below
    assert angles_of([1.0, 0.0, 0.1], PatientPosition.HFP).tilt_deg is None
    assert angles_of([1.0, 0.0, 0.1], PatientPosition.HFP).dicom_tilt_deg is None
    assert angles_of([1.0, 0.0, 0.1], PatientPosition.HFDR).from_below
    assert angles_of([1.0, 0.0, 0.1], PatientPosition.HFDL).tilt_deg == pytest.approx(np.degrees(np.arctan(0.1)))


def test_words_and_refusal():
    assert str(PatientPosition.parse(" hfp ")) == "prone, head first (HFP)"
    assert str(PatientPosition.FFDL) == "on the left side, feet first (FFDL)"
    assert PatientPosition.parse(PatientPosition.FFS) is PatientPosition.FFS
    with pytest.raises(ValueError, match="position='SITTING' is not a patient position: use HFP"):
        PatientPosition.parse("SITTING")
