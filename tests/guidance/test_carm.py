"""A C-arm: where markers at known places appear, for any angle, position, roll and mirror."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trocar.geometry import Pose
from trocar.guidance.carm import CArm, Detector
from trocar.physics.xray import line_integrals
from trocar.volume import Volume

ISOCENTRE = np.array([12.0, -30.0, 240.0])
DETECTOR = Detector(rows=400, columns=500, row_spacing_mm=0.5, column_spacing_mm=0.4)
SDD, SID = 1000.0, 600.0
PLAIN = CArm(
    ISOCENTRE, source_to_detector_mm=SDD, source_to_isocentre_mm=SID, detector=DETECTOR
)  # detector in front: AP by the patient's side that faces it
MIDDLE = np.array([199.5, 249.5])

LEFT, BACK, HEAD = np.eye(3)


def at(row: float, column: float) -> np.ndarray:
    """A pixel, so far from the middle."""
    return MIDDLE + np.array((row, column))


#: Primary and secondary angle, and what then lies at the image's right edge, at its upper edge, and at the detector.
SEEN = [
    (0.0, 0.0, LEFT, HEAD, -BACK),
    (180.0, 0.0, -LEFT, HEAD, BACK),
    (-180.0, 0.0, -LEFT, HEAD, BACK),
    (90.0, 0.0, BACK, HEAD, LEFT),
    (-90.0, 0.0, -BACK, HEAD, -LEFT),
    (0.0, 90.0, LEFT, BACK, HEAD),
    (0.0, -90.0, LEFT, -BACK, -HEAD),
    (180.0, 90.0, -LEFT, -BACK, HEAD),
]

angles = st.tuples(st.floats(-180.0, 180.0), st.floats(-85.0, 85.0))
offsets = st.tuples(*[st.floats(-150.0, 150.0)] * 3).map(np.array)
carms = st.builds(
    lambda a, roll, mirrored, principal: replace(
        PLAIN,
        primary_angle_deg=a[0],
        secondary_angle_deg=a[1],
        roll_deg=roll,
        mirrored=mirrored,
        detector=replace(DETECTOR, principal=principal),
    ),
    angles,
    st.floats(-180.0, 180.0),
    st.booleans(),
    st.none() | st.tuples(st.floats(0.0, 399.0), st.floats(0.0, 499.0)),
)


def other_matrix(view: CArm) -> np.ndarray:
    """The projection written another way: rotations of the whole machine, from the position in front of the patient.

    Primary about the long axis, then secondary about the machine's own left-right axis; image axes are turned with it.
    """
    a, b = np.radians((view.primary_angle_deg, view.secondary_angle_deg))
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), np.sin(b)], [0, -np.sin(b), np.cos(b)]])
    turn = about_z @ about_x  # columns: the machine's right, its source's direction, its up
    r = np.radians(view.roll_deg)
    clockwise = np.array([[np.cos(r), np.sin(r)], [-np.sin(r), np.cos(r)]])  # of (right, up)
    image = clockwise @ np.stack((turn[:, 0], turn[:, 2]))
    flip = -1.0 if view.mirrored else 1.0
    extrinsic = np.stack((flip * image[0], -image[1], -turn[:, 1]))
    source = view.isocentre_mm + view.source_to_isocentre_mm * turn[:, 1]
    row, column = view.detector.middle
    intrinsic = np.array(
        [
            [view.source_to_detector_mm / view.detector.column_spacing_mm, 0, column],
            [0, view.source_to_detector_mm / view.detector.row_spacing_mm, row],
            [0, 0, 1],
        ]
    )
    return intrinsic @ np.column_stack((extrinsic, -extrinsic @ source))


@pytest.mark.parametrize(("primary", "secondary", "right", "up", "facing"), SEEN)
def test_left_is_left_wherever_the_detector_stands(
    primary: float, secondary: float, right: np.ndarray, up: np.ndarray, facing: np.ndarray
) -> None:
    """PS3.3 C.8.7.5.1.2: +90 is the patient's left hand side, cranial is positive; seen from the detector."""
    view = replace(PLAIN, primary_angle_deg=primary, secondary_angle_deg=secondary)
    np.testing.assert_allclose(view.source_mm, ISOCENTRE - SID * facing, atol=1e-9)
    np.testing.assert_allclose(view.project(ISOCENTRE), MIDDLE, atol=1e-9)
    ten_mm = 10.0 * SDD / SID
    np.testing.assert_allclose(view.project(ISOCENTRE + 10.0 * right), at(0.0, ten_mm / 0.4), atol=1e-9)
    np.testing.assert_allclose(view.project(ISOCENTRE + 10.0 * up), MIDDLE - (ten_mm / 0.5, 0.0), atol=1e-9)


def test_an_oblique_cranial_view_shows_markers_where_trigonometry_puts_them() -> None:
    """LAO 30, CRA 20: the detector is left, in front and above; a marker towards the head appears higher."""
    view = replace(PLAIN, primary_angle_deg=30.0, secondary_angle_deg=20.0)
    s30, c30, s20, c20 = 0.5, np.sqrt(0.75), np.sin(np.radians(20.0)), np.cos(np.radians(20.0))
    np.testing.assert_allclose(view.toward_detector, (s30 * c20, -c30 * c20, s20), atol=1e-12)
    row, column = view.project(ISOCENTRE + 40.0 * HEAD)
    scale = SDD / (SID + 40.0 * s20)
    assert (column - 249.5) == pytest.approx(0.0, abs=1e-9)
    assert (199.5 - row) * 0.5 == pytest.approx(40.0 * c20 * scale)
    row, column = view.project(ISOCENTRE + 40.0 * LEFT)
    scale = SDD / (SID + 40.0 * s30 * c20)
    assert (column - 249.5) * 0.4 == pytest.approx(40.0 * c30 * scale)
    assert (199.5 - row) * 0.5 == pytest.approx(-40.0 * s30 * s20 * scale)


@pytest.mark.parametrize("toward_mm", [-100.0, 0.0, 150.0])
def test_things_nearer_the_source_are_magnified_more(toward_mm: float) -> None:
    view = replace(PLAIN, primary_angle_deg=-40.0, secondary_angle_deg=10.0)
    centre = ISOCENTRE + toward_mm * view.toward_detector
    right, _ = view.axes
    ends = view.project([centre, centre + 5.0 * right])
    expected = SDD / (SID + toward_mm)
    assert (ends[1, 1] - ends[0, 1]) * 0.4 == pytest.approx(5.0 * expected)
    assert view.depth_mm(centre) == pytest.approx(SID + toward_mm)
    pixels = ends[1, 1] - ends[0, 1]
    assert pixels * view.mm_per_pixel(centre)[1] == pytest.approx(5.0)
    if toward_mm == 0.0:
        assert view.magnification == pytest.approx(expected)


def test_a_point_beside_or_behind_the_source_appears_nowhere() -> None:
    behind = PLAIN.source_mm - 5.0 * PLAIN.toward_detector
    assert np.isnan(PLAIN.project(behind)).all()
    assert np.isnan(PLAIN.project(PLAIN.source_mm + LEFT)).all()
    assert np.isnan(PLAIN.mm_per_pixel(behind)).all()
    assert not PLAIN.sees(behind)


def test_the_detector_ends_at_the_outer_edge_of_its_outer_pixels() -> None:
    edge = PLAIN.on_detector_mm([[-0.49, -0.49], [399.49, 499.49], [-0.51, 10.0], [10.0, 499.51]])
    assert PLAIN.sees(edge).tolist() == [True, True, False, False]


@given(carms, offsets)
@settings(max_examples=60, deadline=None)
def test_the_projection_agrees_with_a_matrix_written_another_way(view: CArm, offset: np.ndarray) -> None:
    points = ISOCENTRE + np.stack((offset, -offset))
    with_one = np.column_stack((points, np.ones(2)))
    for matrix in (other_matrix(view), view.projection_matrix):
        seen = with_one @ matrix.T
        np.testing.assert_allclose(seen[:, 1::-1] / seen[:, 2:], view.project(points), atol=1e-6)
        np.testing.assert_allclose(seen[:, 2], view.depth_mm(points), atol=1e-9)
    assert (np.linalg.det(view.projection_matrix[:, :3]) > 0) == view.mirrored


@given(carms, offsets)
@settings(max_examples=60, deadline=None)
def test_the_ray_through_a_points_image_meets_the_point(view: CArm, offset: np.ndarray) -> None:
    point = ISOCENTRE + offset
    pixel = view.project(point)
    ray = view.ray(pixel)
    assert np.linalg.norm(np.cross(point - ray.point_mm, ray.direction)) < 1e-6
    assert ray.direction @ view.toward_detector > 0.0
    np.testing.assert_allclose(view.project(view.on_detector_mm(pixel)), pixel, atol=1e-6)


@given(angles)
@settings(max_examples=60, deadline=None)
def test_facing_is_the_inverse_of_the_angles(pair: tuple[float, float]) -> None:
    view = replace(PLAIN, primary_angle_deg=pair[0], secondary_angle_deg=pair[1])
    again = PLAIN.facing(17.0 * view.toward_detector)
    np.testing.assert_allclose(again.toward_detector, view.toward_detector, atol=1e-9)
    np.testing.assert_allclose(again.axes, view.axes, atol=1e-7)
    assert -180.0 < again.primary_angle_deg <= 180.0


def test_facing_the_way_a_needle_came_shows_it_as_a_point() -> None:
    entry, target = ISOCENTRE + np.array((-35.0, 90.0, 12.0)), ISOCENTRE
    view = PLAIN.facing(entry - target)
    np.testing.assert_allclose(view.project([entry, target]), [MIDDLE, MIDDLE], atol=1e-9)
    assert view.depth_mm(entry) > view.depth_mm(target)  # the detector is on the operator's side


def test_facing_the_head_has_the_back_up() -> None:
    assert PLAIN.facing((0.0, 0.0, 5.0)).primary_angle_deg == 0.0
    with pytest.raises(ValueError, match="points nowhere"):
        PLAIN.facing((0.0, 0.0, 0.0))


def test_a_quarter_turn_clockwise_brings_what_was_right_down() -> None:
    turned = replace(PLAIN, roll_deg=90.0)
    mm = 10.0 * SDD / SID
    np.testing.assert_allclose(turned.project(ISOCENTRE + 10.0 * LEFT), at(mm / 0.5, 0.0), atol=1e-9)
    np.testing.assert_allclose(turned.project(ISOCENTRE + 10.0 * HEAD), at(0.0, mm / 0.4), atol=1e-9)


def test_the_mirror_comes_after_the_turn() -> None:
    """As Field of View Horizontal Flip (0018,7034) comes after Field of View Rotation (0018,7032)."""
    view = replace(PLAIN, roll_deg=90.0, mirrored=True)
    mm = 10.0 * SDD / SID
    np.testing.assert_allclose(view.project(ISOCENTRE + 10.0 * HEAD), MIDDLE - (0.0, mm / 0.4), atol=1e-9)


def test_a_patient_and_the_mirror_image_are_told_apart() -> None:
    """Something on the left alone: its image and that of its mirror image lie on different sides."""
    oblique = replace(PLAIN, primary_angle_deg=25.0, secondary_angle_deg=15.0)
    opposite = replace(PLAIN, primary_angle_deg=-25.0, secondary_angle_deg=15.0)
    point, twin = np.array((22.0, -7.0, 31.0)), np.array((-22.0, -7.0, 31.0))
    seen = oblique.project(ISOCENTRE + point) - MIDDLE
    np.testing.assert_allclose(opposite.project(ISOCENTRE + twin) - MIDDLE, seen * (1.0, -1.0), atol=1e-9)
    assert not np.allclose(oblique.project(ISOCENTRE + twin) - MIDDLE, seen * (1.0, -1.0))


@pytest.mark.parametrize("factor", [2, 3, 7])
def test_a_binned_pixel_lies_in_the_middle_of_those_it_takes_together(factor: int) -> None:
    view = replace(PLAIN, primary_angle_deg=33.0, detector=replace(DETECTOR, principal=(180.3, 260.9)))
    binned = view.binned(factor)
    assert binned.detector.shape == (400 // factor, 500 // factor)
    first = np.arange(factor)
    corners = np.array([(5 * factor + r, 8 * factor + c) for r in first for c in first])
    np.testing.assert_allclose(binned.on_detector_mm((5, 8)), view.on_detector_mm(corners).mean(axis=0), atol=1e-9)


def test_a_moved_isocentre_moves_everything_with_it() -> None:
    shift = np.array((5.0, -8.0, 60.0))
    view = replace(PLAIN, primary_angle_deg=70.0, secondary_angle_deg=-12.0)
    moved = view.about(ISOCENTRE + shift)
    np.testing.assert_allclose(moved.project(ISOCENTRE + shift + 9.0), view.project(ISOCENTRE + 9.0), atol=1e-9)


def test_a_ball_in_a_volume_appears_where_its_centre_projects() -> None:
    """The beam and the projection agree, also for a bone that moved and a volume whose axes are not the patient's."""
    k, j, i = np.indices((40, 36, 44))
    at_kji = np.array((24.0, 11.0, 30.0))
    ball = ((k - at_kji[0]) ** 2 + (j - at_kji[1]) ** 2 + (i - at_kji[2]) ** 2 <= 9.0).astype(np.float32)
    tilt = np.radians(20.0)
    turn = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn * (0.8, 0.9, 1.1)
    affine[:3, 3] = ISOCENTRE - affine[:3, :3] @ (22.0, 18.0, 20.0)
    volume = Volume(ball, affine, None, "1/mm")
    centre = (affine @ (*at_kji[::-1], 1.0))[:3]
    displacement = Pose(ISOCENTRE + np.array((3.0, -2.0, 6.0)) - turn @ ISOCENTRE, turn)
    view = replace(PLAIN, primary_angle_deg=-35.0, secondary_angle_deg=20.0, detector=Detector(80, 90, 1.5, 1.5))
    for pose, where in ((Pose(np.zeros(3), np.eye(3)), centre), (displacement, displacement.to_world(centre))):
        image = line_integrals(volume.array, volume.spacing_mm, view.beam(volume, pose))
        rows, columns = np.indices(image.shape)
        seen = np.array(((rows * image).sum(), (columns * image).sum())) / image.sum()
        np.testing.assert_allclose(seen, view.project(where), atol=0.05)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"secondary_angle_deg": 91.0}, "outside -90 to 90"),
        ({"secondary_angle_deg": float("nan")}, "outside -90 to 90"),
        ({"primary_angle_deg": float("inf")}, "must be finite"),
        ({"source_to_isocentre_mm": 1000.0}, "between 0 and"),
        ({"source_to_isocentre_mm": -1.0}, "between 0 and"),
        ({"isocentre_mm": (1.0, 2.0)}, "three finite numbers"),
        ({"isocentre_mm": (1.0, 2.0, float("nan"))}, "three finite numbers"),
    ],
)
def test_an_impossible_c_arm_is_refused(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        replace(PLAIN, **wrong)


def test_an_impossible_detector_is_refused() -> None:
    with pytest.raises(ValueError, match="both must be positive"):
        Detector(column_spacing_mm=0.0)
    with pytest.raises(ValueError, match="is none"):
        Detector(rows=0)
    with pytest.raises(ValueError, match="outside 1 to 400"):
        DETECTOR.binned(401)
    with pytest.raises(ValueError, match="outside 1 to 400"):
        DETECTOR.binned(0)
