"""Points, lines, planes and poses in LPS."""

from __future__ import annotations

import numpy as np
import pytest

from trocar.geometry import Line, Plane, Pose, Side, angle_deg, unit


def test_left_is_positive() -> None:
    assert (Side.LEFT.sign, Side.RIGHT.sign, Side.LEFT.other) == (1, -1, Side.RIGHT)


def test_distance_to_a_line() -> None:
    line = Line(np.zeros(3), np.array([0.0, 0.0, 4.0]))
    np.testing.assert_allclose(line.distance_mm([[3.0, 4.0, 99.0], [0.0, 0.0, -7.0]]), [5.0, 0.0])
    np.testing.assert_allclose(line.at(2.5), [0.0, 0.0, 2.5])


def test_height_over_a_plane_is_signed() -> None:
    plane = Plane(np.array([0.0, 0.0, 1.0]), np.array([0.0, 0.0, 2.0]))
    np.testing.assert_allclose(plane.height_mm([[5.0, 5.0, 3.0], [0.0, 0.0, 0.0]]), [2.0, -1.0])


@pytest.mark.parametrize("degrees", [0.0, 1e-6, 45.0, 90.0, 179.999999, 180.0])
def test_an_angle_is_exact_also_when_small(degrees: float) -> None:
    turn = np.radians(degrees)
    assert angle_deg([1.0, 0.0, 0.0], [np.cos(turn), np.sin(turn), 0.0]) == pytest.approx(degrees, abs=1e-9)


def test_a_pose_goes_there_and_back() -> None:
    axes = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    pose = Pose(np.array([10.0, 20.0, 30.0]), axes)
    points = np.random.default_rng(3).normal(size=(5, 3))
    np.testing.assert_allclose(pose.to_local(pose.to_world(points)), points, atol=1e-12)
    np.testing.assert_allclose(pose.to_world([1.0, 0.0, 0.0]), pose.origin_mm + pose.left)


def test_what_is_no_direction_or_pose_is_refused() -> None:
    with pytest.raises(ValueError, match="points nowhere"):
        unit([0.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="orthonormal"):
        Pose(np.zeros(3), np.diag([1.0, 1.0, 2.0]))
    with pytest.raises(ValueError, match="right-handed"):
        Pose(np.zeros(3), np.diag([1.0, 1.0, -1.0]))
