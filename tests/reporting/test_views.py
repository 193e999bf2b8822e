"""Radiological convention: which side of the patient is on which side of the image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trocar.geometry import LEFT, POSTERIOR, SUPERIOR, Side, unit
from trocar.reporting.views import View, along, letters, orthogonal
from trocar.treatment import Plan

ORIGIN = np.zeros(3)


def _edges(view: View) -> str:
    return " ".join(view.letters)


def test_the_orthogonal_views_are_in_radiological_convention():
    axial, sagittal, coronal = orthogonal(ORIGIN)
    assert _edges(axial) == "R L A P"
    assert _edges(sagittal) == "A P H F"
    assert _edges(coronal) == "R L H F"


def test_the_left_of_the_patient_projects_to_the_right_of_axial_and_coronal():
    axial, sagittal, coronal = orthogonal(ORIGIN)
    point = np.array([10.0, 20.0, 30.0])  # left, behind, above
    assert axial.project(point)[:2] == pytest.approx((10.0, 20.0))
    assert coronal.project(point)[:2] == pytest.approx((10.0, -30.0))
    assert sagittal.project(point)[:2] == pytest.approx((20.0, -30.0))


@pytest.mark.parametrize(
    ("direction", "text"),
    [(LEFT, "L"), (-LEFT, "R"), (POSTERIOR, "P"), (-POSTERIOR, "A"), (SUPERIOR, "H"), (-SUPERIOR, "F")],
)
def test_letters_of_the_axes(direction, text):
    assert letters(direction) == text


def test_an_oblique_edge_names_the_larger_direction_first():
    assert letters((0.5, 0.8, 0.0)) == "PL"
    assert letters((0.99, 0.1, 0.05)) == "L"


def test_the_planes_along_the_needle_hold_it(plan: Plan):
    trajectory = plan.best.trajectories[0]
    for view in along(trajectory):
        heights = view.project(np.stack([trajectory.skin_mm, trajectory.entry_mm, trajectory.target_mm]))[:, 2]
        assert np.abs(heights).max() < 1e-9
        assert view.holds(trajectory.skin_mm)
        assert view.holds(trajectory.target_mm)


def test_the_planes_along_the_needle_stay_nearest_to_their_namesakes(plan: Plan):
    """Closed form: the normal nearest to an axis, among those at right angles to d, is the axis without its d part."""
    d = plan.best.trajectories[0].direction
    axial, sagittal = along(plan.best.trajectories[0])
    assert axial.normal == pytest.approx(unit(SUPERIOR - SUPERIOR @ d * d))
    assert axial.right @ LEFT > 0.9
    assert abs(sagittal.normal @ LEFT) == pytest.approx(np.sqrt(1.0 - (d @ LEFT) ** 2))
    assert sagittal.down @ SUPERIOR < -0.9


def test_a_needle_straight_down_the_table_still_has_planes(plan: Plan):
    """Degenerate: the needle runs along the axis that the plane is named after."""
    trajectory = plan.best.trajectories[0]
    for d in (SUPERIOR, LEFT, POSTERIOR):
        lying = replace(
            trajectory,
            skin_mm=trajectory.target_mm - 80 * d,
            entry_mm=trajectory.target_mm - 30 * d,
        )
        for view in along(lying):
            axes = np.stack([view.right, view.down, view.normal])
            assert axes @ axes.T == pytest.approx(np.eye(3), abs=1e-9)
            assert abs(view.normal @ d) < 1e-9


def test_mirrored_needles_have_mirrored_planes(two_sided_plan: Plan):
    left, right = two_sided_plan.best.trajectories
    assert (left.side, right.side) == (Side.LEFT, Side.RIGHT)
    mirror = np.diag([-1.0, 1.0, 1.0])
    (axial_l, sagittal_l), (axial_r, sagittal_r) = along(left), along(right)
    assert axial_l.right == pytest.approx(-mirror @ axial_r.right)
    assert axial_l.down == pytest.approx(mirror @ axial_r.down)
    assert sagittal_l.right == pytest.approx(mirror @ sagittal_r.right)
    assert sagittal_l.down == pytest.approx(mirror @ sagittal_r.down)


def test_pixel_centres_cover_the_panel():
    view = orthogonal(ORIGIN)[0]
    points = view.points_mm(11)
    assert points[5, 5] == pytest.approx(ORIGIN)
    assert points[0, 0] == pytest.approx((-50.0, -50.0, 0.0))
