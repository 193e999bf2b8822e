"""Paired points and traced surfaces against closed forms and drawn samples."""

from __future__ import annotations

import numpy as np
import pytest

from trocar.errors import ImageError
from trocar.geometry import Pose
from trocar.guidance.rigid_motion import after, inverse, motion, turn_deg
from trocar.guidance.surface_registration import Surface, register_points, register_surface

GRID = np.array([(x, y, z) for x in (-40.0, 40.0) for y in (-25.0, 25.0) for z in (0.0, 18.0)])


def moved(seed: int = 3) -> Pose:
    return motion(np.array((10.0, 20.0, 30.0)), np.random.default_rng(seed).uniform(-20.0, 20.0, 6))


def test_paired_points_are_brought_together_exactly() -> None:
    truth = moved()
    found = register_points(GRID, truth.to_world(GRID))
    assert found.fre_mm < 1e-9
    assert np.allclose(found.displacement.axes, truth.axes)
    assert np.allclose(found.displacement.origin_mm, truth.origin_mm)


def test_points_to_their_mirror_image_are_turned_and_never_mirrored() -> None:
    found = register_points(GRID * (1.0, 1.0, 1.2), GRID * (-1.0, 1.0, 1.0))
    assert np.linalg.det(found.displacement.axes) == pytest.approx(1.0)


def test_the_predicted_error_is_that_of_drawn_fiducials() -> None:
    """Fitzpatrick & West: FRE^2 = (1 - 2/N) FLE^2, and TRE at targets near and far, within 5 % of 3,000 draws."""
    rng = np.random.default_rng(1)
    sigma, targets = 0.5, np.array([[0.0, 0.0, 9.0], [0.0, 120.0, 0.0], [60.0, -30.0, 80.0]])
    fre, tre = [], []
    for _ in range(3000):
        found = register_points(GRID, GRID + rng.normal(0.0, sigma, GRID.shape))
        fre.append(found.fre_mm**2)
        tre.append(np.sum((found.displacement.to_world(targets) - targets) ** 2, axis=1))
    fle = sigma * np.sqrt(3.0)
    assert np.mean(fre) == pytest.approx((1.0 - 2.0 / len(GRID)) * fle**2, rel=0.05)
    assert np.sqrt(np.mean(tre, axis=0)) == pytest.approx(found.expected_error_mm(targets, fle), rel=0.05)


@pytest.mark.parametrize(
    ("points", "error", "says"),
    [
        (GRID[:2], ValueError, "three pairs"),
        (np.full((4, 3), np.nan), ValueError, "not a number"),
        (np.outer(np.arange(5.0), (10.0, 0.0, 0.0)), ImageError, "on a line"),
    ],
)
def test_too_few_unnamed_and_aligned_points_are_refused(points: np.ndarray, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        register_points(points, points)


def arch(count: int, rng: np.random.Generator) -> np.ndarray:
    """An asymmetric hilly sheet, as the back of a vertebra is."""
    x, z = rng.uniform(-30.0, 30.0, (2, count))
    y = 12.0 * np.exp(-((x / 6.0) ** 2)) + 5.0 * np.sin(z / 7.0) + 0.01 * (x - 8.0) ** 2
    return np.column_stack([x, y, z])


def test_a_traced_surface_is_found_with_a_tenth_of_the_points_far_off() -> None:
    rng = np.random.default_rng(2)
    surface = Surface.through(arch(6000, rng))
    truth = motion(np.zeros(3), (2.0, -3.0, 2.5, 2.0, -1.5, 2.0))
    traced = inverse(truth).to_world(arch(300, rng) + rng.normal(0.0, 0.2, (300, 3)))
    traced[:20] += (0.0, -15.0, 0.0)
    found = register_surface(traced, surface)
    assert found.reliable, found.findings
    off = after(found.displacement, inverse(truth))
    assert np.linalg.norm(off.to_world(np.zeros(3))) < 0.3
    assert turn_deg(off) < 0.5
    assert not found.kept[:20].any()
    assert found.residual_mm < 0.5


def test_a_sphere_may_slide_and_that_is_said() -> None:
    rng = np.random.default_rng(4)
    ball = rng.normal(size=(4000, 3))
    ball *= 30.0 / np.linalg.norm(ball, axis=1, keepdims=True)
    traced = ball[:200] + rng.normal(0.0, 0.3, (200, 3))
    found = register_surface(traced, Surface.through(ball))
    assert not found.reliable
    assert any("slide" in f.text for f in found.findings)


def test_points_off_the_surface_are_not_relied_on() -> None:
    rng = np.random.default_rng(5)
    found = register_surface(arch(200, rng) + rng.normal(0.0, 6.0, (200, 3)), Surface.through(arch(4000, rng)))
    assert any("off the surface" in f.text for f in found.findings)


def test_too_few_traced_points_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 20"):
        register_surface(GRID, Surface.through(arch(100, np.random.default_rng(0))))
