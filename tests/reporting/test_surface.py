"""Surfaces: size, orientation of their normals, and which way the picture faces."""

from __future__ import annotations

import numpy as np
import pytest

from trocar.reporting.surface import (
    Scene,
    cylinder,
    from_behind,
    from_the_side,
    mesh_of,
    render,
    scene,
    surface_picture,
)
from trocar.reporting.views import View
from trocar.treatment import Plan
from trocar.volume import Volume

WHITE = (1.0, 1.0, 1.0)


def _turned(spacing: tuple[float, float, float]) -> np.ndarray:
    """An affine with that spacing along i, j, k, turned by 20 degrees about the table's long axis."""
    c, s = np.cos(np.radians(20.0)), np.sin(np.radians(20.0))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) * spacing
    return affine


def _ball(
    radius_mm: float, affine: np.ndarray, shape: tuple[int, int, int] = (20, 40, 40)
) -> tuple[Volume, np.ndarray]:
    volume = Volume(np.zeros(shape, bool), affine, unit="mask")
    centre = volume.world_mm((np.array(shape) - 1) / 2.0)
    points = volume.world_mm(np.indices(shape).transpose(1, 2, 3, 0))
    inside = np.linalg.norm(points - centre, axis=-1) <= radius_mm
    return Volume(inside, affine, unit="mask"), centre


def test_a_ball_keeps_its_radius_and_its_normals_point_outward():
    """Within half the largest voxel side, on a turned grid with long voxels."""
    mask, centre = _ball(14.0, _turned((1.0, 1.0, 2.0)))
    mesh = mesh_of(mask)
    assert mesh is not None
    out = mesh.points_mm - centre
    assert np.linalg.norm(out, axis=-1) == pytest.approx(14.0, abs=1.0)
    cosines = np.sum(out * mesh.normals, axis=-1) / np.linalg.norm(out, axis=-1) / np.linalg.norm(mesh.normals, axis=-1)
    assert cosines.min() > 0.7
    assert cosines.mean() > 0.97


def test_an_empty_mask_has_no_surface():
    assert mesh_of(Volume(np.zeros((4, 4, 4), bool), np.eye(4), unit="mask")) is None


def test_a_cylinder_is_where_it_should_be():
    start, end = np.array([5.0, 40.0, 3.0]), np.array([0.0, 0.0, 0.0])
    mesh = cylinder(start, end, 1.5)
    d = (end - start) / np.linalg.norm(end - start)
    rim = mesh.points_mm[:-2]
    along = (rim - start) @ d
    assert np.linalg.norm(rim - start - along[:, None] * d, axis=-1) == pytest.approx(1.5)
    assert sorted({round(float(a), 6) for a in along}) == pytest.approx([0.0, np.linalg.norm(end - start)])


def test_a_rendered_cylinder_covers_the_pixels_of_its_shadow():
    """Closed form: length times diameter."""
    view = View("v", "v", np.zeros(3), np.array([1.0, 0, 0]), np.array([0, 0, -1.0]), 60.0)
    layer = render([(cylinder(np.array([-20.0, 0, 0]), np.array([20.0, 0, 0]), 3.0), WHITE)], view, 600)
    area_mm2 = np.isfinite(layer.depth).sum() * 0.1**2
    assert area_mm2 == pytest.approx(40.0 * 6.0, rel=0.02)
    assert np.nanmin(layer.depth[np.isfinite(layer.depth)]) == pytest.approx(-3.0, abs=0.05)


def test_the_nearer_of_two_surfaces_is_seen():
    view = View("v", "v", np.zeros(3), np.array([1.0, 0, 0]), np.array([0, 0, -1.0]), 40.0)
    near = cylinder(np.array([-10.0, -8.0, 0]), np.array([10.0, -8.0, 0]), 2.0)
    far = cylinder(np.array([-10.0, 8.0, 0]), np.array([10.0, 8.0, 0]), 2.0)
    towards = view.normal @ (0, 1, 0)
    red, blue = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
    layer = render([(near, red), (far, blue)] if towards > 0 else [(far, red), (near, blue)], view, 200)
    assert layer.colour[100, 100, 0 if towards > 0 else 2] > 0.2
    assert layer.colour[100, 100, 2 if towards > 0 else 0] == 0.0


def test_from_behind_the_patients_left_is_on_the_left(plan: Plan):
    trajectory = plan.best.trajectories[0]  # comes from the left
    view = from_behind(plan, trajectory)
    assert view.letters == ("L", "R", "H", "F")
    assert view.project(trajectory.entry_mm)[0] < view.project(trajectory.target_mm)[0]
    assert view.project(trajectory.skin_mm)[2] < view.project(trajectory.target_mm)[2]  # skin is nearer to the eye


def test_from_the_side_the_needle_comes_towards_the_viewer(two_sided_plan: Plan):
    for trajectory in two_sided_plan.best.trajectories:
        view = from_the_side(two_sided_plan, trajectory)
        assert view.normal @ trajectory.direction > 0.5
        assert trajectory.side.value in view.title


def test_pictures_are_made_and_repeat(plan: Plan):
    made = scene(plan)
    trajectories = plan.best.trajectories
    view = from_behind(plan, trajectories[0])
    first = surface_picture(made, trajectories, view)
    assert first[:8] == b"\x89PNG\r\n\x1a\n"
    assert first == surface_picture(made, trajectories, view)
    assert first != surface_picture(Scene(made.bone, None), trajectories, view)
