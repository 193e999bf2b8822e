"""Bevel-tip needles: circles, straight lines, mirrors, and where the closed forms say the tip comes to lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trocar.geometry import unit
from trocar.guidance.bent_needle import (
    BEVELS,
    Bevel,
    Front,
    Medium,
    Push,
    curvature,
    path_mm,
    pushed,
    spread,
    steering,
)

BEVEL = Bevel(1.0 / 200.0, 0.0005, Medium.SOFT_TISSUE, "test", orientation_sd_deg=0.0)
FRONT = Front(np.array([1.0, 2.0, 3.0]), np.array([0.0, -1.0, 0.0]), np.array([1.0, 0.0, 0.0]))


def test_a_push_without_turning_runs_on_a_circle() -> None:
    points = path_mm(FRONT, [Push(150.0)], BEVEL)
    centre = FRONT.tip_mm + 200.0 * FRONT.bends
    assert np.linalg.norm(points - centre, axis=1) == pytest.approx(200.0, rel=1e-12)
    angle = 150.0 / 200.0
    assert points[-1] == pytest.approx(FRONT.tip_mm + 200.0 * np.array([1 - np.cos(angle), -np.sin(angle), 0.0]))


def test_a_whole_turn_of_the_circle_ends_where_it_began() -> None:
    end = pushed(FRONT, Push(2.0 * np.pi * 200.0), BEVEL)
    assert end.tip_mm == pytest.approx(FRONT.tip_mm, abs=1e-9)
    assert end.direction == pytest.approx(FRONT.direction, abs=1e-9)


@pytest.mark.parametrize("behind_mm", [0.0, 20.0])
def test_without_curvature_and_while_spinning_the_needle_runs_straight(behind_mm: float) -> None:
    flat = replace(BEVEL, curvature_per_mm=0.0, behind_mm=behind_mm)
    for push, bevel in ((Push(80.0), flat), (Push(80.0, spinning=True), BEVEL)):
        assert pushed(FRONT, push, bevel).tip_mm == pytest.approx(FRONT.tip_mm + 80.0 * FRONT.direction)
        assert pushed(FRONT, push, bevel).direction == pytest.approx(FRONT.direction)


def test_two_pushes_are_one_and_a_bevel_turned_half_round_bends_back() -> None:
    once = pushed(FRONT, Push(70.0), BEVEL)
    twice = pushed(pushed(FRONT, Push(30.0), BEVEL), Push(40.0), BEVEL)
    assert twice.tip_mm == pytest.approx(once.tip_mm, abs=1e-12)
    back = pushed(once, Push(70.0, turn_deg=180.0), BEVEL)
    assert back.direction == pytest.approx(FRONT.direction, abs=1e-12)


def test_a_mirrored_needle_runs_the_mirrored_path() -> None:
    flip = np.array([-1.0, 1.0, 1.0])
    pushes = [Push(40.0, turn_deg=30.0), Push(20.0, turn_deg=75.0)]
    mirrored = Front(FRONT.tip_mm * flip, FRONT.direction * flip, FRONT.bends * flip)
    other = [replace(p, turn_deg=-p.turn_deg) for p in pushes]
    assert path_mm(mirrored, other, BEVEL) == pytest.approx(path_mm(FRONT, pushes, BEVEL) * flip)


def test_the_bicycle_and_the_unicycle_turn_about_one_centre() -> None:
    """Behind a tip that leads by ``l`` a point runs on the radius r, so the tip on sqrt(r^2 + l^2)."""
    bicycle = replace(BEVEL, behind_mm=30.0)
    points = path_mm(FRONT, [Push(100.0)], bicycle)
    centre = FRONT.tip_mm - 30.0 * FRONT.direction + 200.0 * FRONT.bends
    assert np.linalg.norm(points - centre, axis=1) == pytest.approx(np.hypot(200.0, 30.0), rel=1e-12)
    length = np.sum(np.linalg.norm(np.diff(path_mm(FRONT, [Push(100.0)], bicycle, 0.05), axis=0), axis=1))
    assert length == pytest.approx(100.0, rel=1e-5)  # a push is as long as the way of the tip


def test_published_deflections_come_out_again() -> None:
    """Rand et al. 2016: 8.89 mm beside the straight path 80 mm deep."""
    bevel = BEVELS["22G Quincke"]
    assert bevel.curvature_per_mm == pytest.approx(curvature(8.89, 80.0))
    points = path_mm(FRONT, [Push(90.0)], bevel, 0.01) - FRONT.tip_mm
    at = np.argmin(np.abs(points @ FRONT.direction - 80.0))
    assert points[at] @ FRONT.bends == pytest.approx(8.89, abs=0.01)


@pytest.mark.parametrize("aside_mm", [0.5, 3.0, 12.0])
@pytest.mark.parametrize("ahead_mm", [20.0, 60.0, 90.0])
def test_steering_ends_in_its_target(aside_mm: float, ahead_mm: float) -> None:
    side = unit([0.6, 0.0, 0.8])
    target = FRONT.tip_mm + ahead_mm * FRONT.direction + aside_mm * side
    way = steering(FRONT.tip_mm, FRONT.direction, target, BEVEL)
    assert way is not None
    assert way.bends == pytest.approx(side)
    start = Front(FRONT.tip_mm - way.pull_back_mm * FRONT.direction, FRONT.direction, way.bends)
    assert path_mm(start, way.pushes, BEVEL)[-1] == pytest.approx(target, abs=1e-9)
    assert min(way.pull_back_mm, way.straight_mm) == 0.0  # nothing is pulled back that is pushed again straight


def test_a_target_beyond_the_circle_is_out_of_reach_and_one_ahead_needs_no_bend() -> None:
    straight = replace(BEVEL, curvature_per_mm=0.0)
    assert steering(FRONT.tip_mm, FRONT.direction, FRONT.tip_mm + 201.0 * FRONT.bends, BEVEL) is None
    assert steering(FRONT.tip_mm, FRONT.direction, FRONT.tip_mm + FRONT.bends, straight) is None
    ahead = steering(FRONT.tip_mm, FRONT.direction, FRONT.tip_mm + 30.0 * FRONT.direction, BEVEL)
    assert ahead is not None
    assert (ahead.pull_back_mm, ahead.straight_mm, ahead.bent_mm) == (0.0, pytest.approx(30.0), 0.0)


def test_the_spread_at_the_target_is_what_curvature_and_orientation_leave() -> None:
    """Aside y = k x^2 / 2 for a short push: its spread is s_k x^2 / 2 in the bend's plane and y s_a across it."""
    bevel = replace(BEVEL, orientation_sd_deg=5.0)
    found = spread(FRONT, [Push(40.0)], bevel, np.random.default_rng(0), samples=2000)
    across = np.cross(FRONT.direction, FRONT.bends)
    aside = 0.5 * BEVEL.curvature_per_mm * 40.0**2
    assert np.sqrt(FRONT.bends @ found.covariance_mm2 @ FRONT.bends) == pytest.approx(0.5 * 0.0005 * 1600.0, rel=0.06)
    assert np.sqrt(across @ found.covariance_mm2 @ across) == pytest.approx(aside * np.radians(5.0), rel=0.06)
    again = spread(FRONT, [Push(40.0)], bevel, np.random.default_rng(0), samples=2000)
    assert np.array_equal(found.tips_mm, again.tips_mm)


def test_what_is_open_about_the_needle_now_is_carried_along() -> None:
    still = replace(BEVEL, curvature_sd_per_mm=0.0)
    found = spread(FRONT, [Push(50.0)], still, np.random.default_rng(0), samples=1500,
                   tip_covariance_mm2=0.25 * np.eye(3), direction_sd_deg=1.0)  # fmt: skip
    across = np.cross(FRONT.direction, FRONT.bends)
    assert across @ found.covariance_mm2 @ across == pytest.approx(0.25 + (50.0 * np.radians(1.0)) ** 2, rel=0.12)


def test_a_bevel_out_of_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="curvature_per_mm"):
        replace(BEVEL, curvature_per_mm=0.5)
    with pytest.raises(ValueError, match="samples"):
        spread(FRONT, [Push(10.0)], BEVEL, np.random.default_rng(0), samples=1)
