"""From pixels to the patient: exact where the pixels are, honest where they are not, refused where they cannot tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trocar.errors import ImageError
from trocar.geometry import Pose, angle_deg, unit
from trocar.guidance.carm import AT_REST, CArm
from trocar.guidance.needle_image import Sighting
from trocar.guidance.triangulation import (
    LEAST_ANGLE_DEG,
    Look,
    from_one_view,
    gap_mm,
    planned_plane,
    triangulate,
    views_apart_deg,
)

from .needle_scene import path, view

TIP, WAY = np.array([4.0, -3.0, 7.0]), unit([0.4, -0.8, 0.35])


def exact(where: CArm, tip: np.ndarray = TIP, way: np.ndarray = WAY, displacement: Pose = AT_REST) -> Look:
    """What a view shows of a needle, without error."""
    here, behind = where.project(displacement.to_world(np.stack((tip, tip - 30.0 * way))))
    return Look(where, Sighting(here, unit(here - behind), 0.5, 0.2, 0.002, 100.0, 8.0, 1.0), displacement)


def turned(axis: np.ndarray, angle_deg: float, by_mm: tuple[float, ...] = (3.0, -2.0, 5.0)) -> Pose:
    from scipy.spatial.transform import Rotation

    return Pose(by_mm, Rotation.from_rotvec(np.radians(angle_deg) * unit(axis)).as_matrix())


def shaken(look: Look, rng: np.random.Generator) -> Look:
    """The same with errors of its own standard errors."""
    s = look.seen
    turn = s.angle_se_rad * rng.standard_normal()
    way = np.cos(turn) * s.way + np.sin(turn) * s.normal
    off = s.along_se_px * rng.standard_normal() * s.way + s.across_se_px * rng.standard_normal() * s.normal
    return replace(look, seen=replace(s, tip_px=s.tip_px + off, way=way))


@pytest.mark.parametrize("second_deg", [90.0, -90.0, 135.0, 210.0])
def test_two_exact_views_give_the_exact_needle(second_deg: float) -> None:
    found = triangulate(exact(view(180.0)), exact(view(second_deg, 10.0)))
    assert found.tip_mm == pytest.approx(TIP, abs=1e-6)
    assert angle_deg(found.direction, WAY) < 1e-4
    assert found.unseen_along is None


def test_a_mirrored_patient_mirrors_the_needle() -> None:
    flip = np.array([-1.0, 1.0, 1.0])
    a = triangulate(exact(view(170.0)), exact(view(80.0)))
    b = triangulate(exact(view(-170.0), TIP * flip, WAY * flip), exact(view(-80.0), TIP * flip, WAY * flip))
    assert b.tip_mm == pytest.approx(a.tip_mm * flip, abs=1e-6)
    assert b.direction == pytest.approx(a.direction * flip, abs=1e-6)
    assert np.diag(b.covariance_mm2) == pytest.approx(np.diag(a.covariance_mm2), rel=1e-3)


def test_bone_that_moved_between_two_views_is_followed_by_its_displacements() -> None:
    """Each view with a displacement of its own; the answer lies in the CT."""
    poses = turned([1, 2, 3], 6.0), turned([3, 1, 0], -4.0)
    looks = [exact(view(deg), displacement=pose) for deg, pose in zip((180.0, 90.0), poses, strict=True)]
    found = triangulate(*looks)
    assert found.tip_mm == pytest.approx(TIP, abs=1e-6)
    assert angle_deg(found.direction, WAY) < 1e-4
    with pytest.raises(ImageError, match="miss by"):
        triangulate(looks[0], replace(looks[1], displacement=AT_REST))


def test_the_covariance_is_that_of_many_noisy_views() -> None:
    rng, looks = np.random.default_rng(1), (exact(view(180.0)), exact(view(100.0)))
    told = triangulate(*looks)
    many = [triangulate(*(shaken(x, rng) for x in looks)) for _ in range(400)]
    tips = np.cov(np.stack([t.tip_mm for t in many]).T)
    ways = np.cov(np.stack([t.direction for t in many]).T)
    assert np.sqrt(np.diag(tips)) == pytest.approx(np.sqrt(np.diag(told.covariance_mm2)), rel=0.15)
    assert np.sqrt(np.diag(ways)) == pytest.approx(np.sqrt(np.diag(told.turn_covariance)), rel=0.15)


def test_depth_is_the_less_certain_the_nearer_the_views() -> None:
    """Across the mean ray by about 1 / (sqrt 2 cos(a/2)), along it by 1 / (sqrt 2 sin(a/2)) of one view's error."""

    def long_and_short(apart: float) -> float:
        told = triangulate(exact(view(180.0 - apart / 2), way=np.array([0.0, 0.0, 1.0])),
                           exact(view(180.0 + apart / 2), way=np.array([0.0, 0.0, 1.0])), planned=None)  # fmt: skip
        depth, side = told.error_mm(np.array([0.0, 1.0, 0.0])), told.error_mm(np.array([1.0, 0.0, 0.0]))
        return depth / side

    for apart in (30.0, 60.0):
        assert long_and_short(apart) == pytest.approx(1.0 / np.tan(np.radians(apart / 2)), rel=0.05)


@pytest.mark.parametrize("second_deg", [180.0 + LEAST_ANGLE_DEG - 2.0, 2.0, 180.0])
def test_views_too_near_or_opposite_are_refused(second_deg: float) -> None:
    looks = exact(view(180.0)), exact(view(second_deg))
    assert views_apart_deg(*looks) < LEAST_ANGLE_DEG
    with pytest.raises(ImageError, match=r"views are \d+° apart"):
        triangulate(*looks)


def test_rays_that_do_not_meet_are_refused_with_how_far_they_miss() -> None:
    first, second = exact(view(180.0)), exact(view(90.0), TIP + np.array((0.0, 0.0, 6.0)))
    assert gap_mm(first, second)[0] == pytest.approx(6.0, rel=0.05)
    with pytest.raises(ImageError, match=r"miss by [56]\.\d mm"):
        triangulate(first, second)


def test_a_needle_in_the_plane_of_both_views_has_its_direction_from_the_plan_and_says_so() -> None:
    """At right angles to the spine, in a true AP and a true lateral view: both lines fix the same plane."""
    way = unit([0.4, -0.9, 0.0])
    looks = exact(view(180.0), np.zeros(3), way), exact(view(90.0), np.zeros(3), way)
    planned = unit([0.45, -0.88, 0.02])
    found = triangulate(*looks, planned=planned)
    assert found.tip_mm == pytest.approx(np.zeros(3), abs=0.05)
    assert angle_deg(found.direction, planned) < 3.5
    assert found.angle_error_deg > 3.0
    free = triangulate(exact(view(180.0)), exact(view(90.0)), planned=planned)
    assert free.angle_error_deg < 0.5


def test_one_view_tells_what_lies_in_the_planned_plane_and_nothing_along_the_ray() -> None:
    plan, where = path(), view(180.0)
    look = exact(where, plan.target_mm - 12.0 * plan.direction, plan.direction)
    found = from_one_view(look, plan, off_plane_sd_mm=4.0)
    assert found.tip_mm == pytest.approx(plan.target_mm - 12.0 * plan.direction, abs=1e-6)
    assert angle_deg(found.direction, plan.direction) < 1e-4
    assert found.unseen_along == pytest.approx(look.tip_ray.direction)
    assert found.error_mm(look.tip_ray.direction) >= 4.0
    assert found.error_mm(np.cross(look.tip_ray.direction, plan.direction)) < 0.5
    assert "one view" in found.assumed


def test_one_view_keeps_to_its_ray_where_the_needle_is_off_the_plane() -> None:
    plan, where = path(), view(180.0)
    tip = plan.target_mm + np.array((2.0, 5.0, 1.0))
    look = exact(where, tip, plan.direction)
    found = from_one_view(look, plan)
    assert look.tip_ray.distance_mm(found.tip_mm) < 1e-6
    assert abs(planned_plane(plan, look).height_mm(found.tip_mm)) < 1e-6


def test_one_view_down_the_barrel_cannot_tell_depth() -> None:
    plan = path()
    a, b = np.degrees((np.arctan2(-plan.direction[0], plan.direction[1]), np.arcsin(-plan.direction[2])))
    where = CArm(plan.target_mm, float(a), float(b))
    assert angle_deg(where.toward_detector, -plan.direction) < 1e-6
    look = Look(where, Sighting(where.project(plan.target_mm), np.array([1.0, 0.0]), 0.5, 0.2, 0.002, 50.0, 8.0, 1.0))
    with pytest.raises(ImageError, match="straight at the source"):
        from_one_view(look, plan)
