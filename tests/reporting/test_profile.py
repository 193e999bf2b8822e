"""The chart of clearances against what the plan states, and against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trocar.planning.access import Margins
from trocar.planning.clearance import structure_clearances
from trocar.planning.trajectory import Clearance
from trocar.reporting.profile import (
    FAR_MM,
    bone_around_mm,
    depths_mm,
    profile_picture,
    profiles,
    to_boxes_mm,
)
from trocar.treatment import Plan
from trocar.volume import Volume


def _slab() -> Volume:
    """Voxels of 1 x 1 x 2 mm whose boxes fill x from 9.5 to 19.5 mm."""
    array = np.zeros((10, 30, 30), bool)
    array[:, :, 10:20] = True
    return Volume(array, np.diag([1.0, 1.0, 2.0, 1.0]), unit="mask")


def test_distance_to_a_slab_is_exact():
    points = np.array([[4.0, 15.0, 9.0], [9.5, 15.0, 9.0], [22.0, 15.0, 9.0]])
    assert to_boxes_mm(_slab(), points) == pytest.approx([5.5, 0.0, 2.5])


def test_distance_to_a_corner_is_exact():
    """Boxes end at x = 9.5, y = -0.5, z = -1: from (6.5, -4.5, -13) it is sqrt(9 + 16 + 144) = 13."""
    assert to_boxes_mm(_slab(), np.array([[6.5, -4.5, -13.0]])) == pytest.approx([13.0])


def test_what_is_out_of_reach_is_infinitely_far():
    assert to_boxes_mm(_slab(), np.array([[-900.0, 0.0, 0.0]])) == pytest.approx([np.inf])


def test_the_depths_run_from_skin_to_target(plan: Plan):
    t = plan.best.trajectories[0]
    depth = depths_mm(t)
    assert (depth[0], depth[-1]) == pytest.approx((0.0, t.length_mm))
    assert np.diff(depth).max() <= 0.5 + 1e-9


def test_profiles_are_of_structures_with_a_mask_least_to_spare_first(plan: Plan):
    t = plan.best.trajectories[0]
    found = profiles(plan.anatomy, t)
    assert [p.structure for p in found] == ["lung_right", "canal", "aorta"]
    canal = found[1]
    assert 0.0 < canal.free_mm.min() < FAR_MM
    assert (canal.minimum_mm, canal.uncertainty_mm, canal.margin_mm) == (2.6, 0.5, 2.0)


def test_a_profile_ends_where_the_planner_measures(plan: Plan):
    """The planner's own exact distance from needle to boxes is the least of the profile."""
    t = plan.best.trajectories[0]
    radius = t.instrument.radius_mm
    found = structure_clearances(plan.anatomy, t.level, t.target_mm, t.skin_mm, radius, Margins())
    measured = {c.structure: c.value_mm for c in found}
    near = [p for p in profiles(plan.anatomy, t) if p.structure in measured]
    assert {p.structure for p in near} == {"canal", "aorta"}  # the other lung is too far to be listed
    for profile in near:
        assert profile.free_mm.min() == pytest.approx(measured[profile.structure], abs=0.03)


def test_the_bone_around_the_needle_is_the_distance_to_its_surface(plan: Plan):
    """At the target (0, -5, 0) the nearest face of the body is its front, between 10 and 11.5 mm away."""
    t = plan.best.trajectories[0]
    bone = bone_around_mm(plan.anatomy, t)
    assert bone[-1] == pytest.approx(11.0 - t.instrument.radius_mm, abs=1.0)
    assert bone[0] < 0.0  # in soft tissue


def test_the_chart_is_a_picture_with_and_without_breaches(plan: Plan):
    t = plan.best.trajectories[0]
    whole = profile_picture(plan.anatomy, t)
    bare = profile_picture(plan.anatomy, replace(t, breach_probability=None, clearances=(Clearance("x", 1, 1, 1),)))
    assert whole[:8] == bare[:8] == b"\x89PNG\r\n\x1a\n"
    assert whole != bare
    assert whole == profile_picture(plan.anatomy, t)
