"""The derivative of a projection against differences, and against the rule's own symmetries."""

from __future__ import annotations

import numpy as np
import pytest

from trocar.physics.xray import Beam, line_integrals
from trocar.physics.xray_pose import line_integrals_and_gradient, motions_of, rigid_motions

from .xray_scenes import apart, c_arm, gaussians

SHAPE, SPACING = (20, 24, 28), (2.0, 1.5, 1.25)
MIDDLE_MM = (np.array(SHAPE) - 1) / 2 * SPACING
VIEWS = pytest.mark.parametrize("view", [(0.0, 0.0), (25.0, 15.0), (95.0, -10.0), (-160.0, 60.0)])


def bodies(inside: bool) -> np.ndarray:
    """Smooth bodies wholly within the box, or cut by it on all sides."""
    scene = gaussians(SHAPE, SPACING, 5, (2.5, 3.5) if inside else (8.0, 12.0))
    return scene.volume(SHAPE, SPACING) + np.float32(0.0 if inside else 0.01)


def shifted(beam: Beam, motion: np.ndarray, by: float) -> Beam:
    return Beam(
        beam.source_mm + by * motion[0],
        beam.corner_mm + by * motion[1],
        beam.down_mm + by * motion[2],
        beam.right_mm + by * motion[3],
        beam.shape,
    )


def difference(volume: np.ndarray, beam: Beam, motion: np.ndarray, step: float) -> np.ndarray:
    ahead, behind = (
        line_integrals(volume, SPACING, shifted(beam, motion, sign * step)).astype(np.float64) for sign in (1, -1)
    )
    return (ahead - behind) / (2.0 * step)


@VIEWS
@pytest.mark.parametrize("inside", [True, False])
def test_it_is_what_differences_tend_to(view: tuple[float, float], inside: bool) -> None:
    """The median pixel, as single rays pass a kink within the step; images in float32 blur the differences."""
    volume, beam = bodies(inside), c_arm(SHAPE, SPACING, *view, pixels=24, pixel_mm=1.6)
    motions = rigid_motions(beam, MIDDLE_MM)
    image, gradient = line_integrals_and_gradient(volume, SPACING, beam, motions)
    np.testing.assert_allclose(image, line_integrals(volume, SPACING, beam), atol=2e-6 * image.max())
    for n, motion in enumerate(motions):
        step = 2e-3 if n < 3 else 1e-4
        scale, blur = np.abs(gradient[n]).max(), 2e-7 * image.max() / step
        assert scale > 10.0 * blur
        off = np.abs(gradient[n] - difference(volume, beam, motion, step))
        assert np.median(off) < 1e-3 * scale + blur
        assert np.quantile(off, 0.9) < 1e-2 * scale + 3.0 * blur


@pytest.mark.parametrize("motion", range(6))
def test_the_image_elsewhere_is_foretold_to_second_order(motion: int) -> None:
    """On a fine grid the kinks are small: what is left after the linear term falls with the square of the step."""
    shape, spacing = (96, 96, 96), (0.5, 0.5, 0.5)
    volume = gaussians(shape, spacing, 4, (4.0, 5.0)).volume(shape, spacing)
    beam = c_arm(shape, spacing, 20.0, 10.0, pixels=24, pixel_mm=1.5)
    rates = rigid_motions(beam, (np.array(shape) - 1) / 2 * spacing)
    image, gradient = line_integrals_and_gradient(volume, spacing, beam, rates)
    left = []
    for step in (1.0, 0.5) if motion < 3 else (0.08, 0.04):
        there = line_integrals(volume, spacing, shifted(beam, rates[motion], step))
        left.append(np.linalg.norm(there - image - step * gradient[motion]))
    assert np.log2(left[0] / left[1]) == pytest.approx(2.0, abs=0.25)


def test_the_derivative_of_a_gaussians_closed_form() -> None:
    shape, spacing = (120, 120, 120), (0.5, 0.5, 0.5)
    scene = gaussians(shape, spacing, 3, (4.0, 5.0))
    beam = c_arm(shape, spacing, 30.0, 10.0, pixels=32, pixel_mm=1.8)
    rates = rigid_motions(beam, np.zeros(3))
    _, gradient = line_integrals_and_gradient(scene.volume(shape, spacing), spacing, beam, rates)
    for n, motion in enumerate(rates):
        step = 1e-3 if n < 3 else 1e-5
        truth = (scene.projected(shifted(beam, motion, step)) - scene.projected(shifted(beam, motion, -step))) / (
            2 * step
        )
        assert apart(gradient[n], truth) < 5e-3


def test_a_shift_of_the_volume_is_a_shift_of_the_beam_the_other_way() -> None:
    """Left and right: shifted towards +i, the shadow moves with it."""
    volume = gaussians(SHAPE, SPACING, 1, (2.5, 3.0)).volume(SHAPE, SPACING)
    beam = c_arm(SHAPE, SPACING)  # its columns run along +i
    image, gradient = line_integrals_and_gradient(volume, SPACING, beam, rigid_motions(beam, MIDDLE_MM))
    columns = np.arange(beam.shape[1])
    centre = (image.sum(0) * columns).sum() / image.sum()
    assert (gradient[2].sum(0) * (columns - centre)).sum() > 0.0
    mirrored = np.flip(volume, 2)
    _, other = line_integrals_and_gradient(mirrored, SPACING, beam, rigid_motions(beam, MIDDLE_MM))
    np.testing.assert_allclose(other[2], -np.fliplr(gradient[2]), atol=1e-4 * np.abs(gradient[2]).max())


def test_motions_of_any_parameters_are_found() -> None:
    """The C-arm's own angles, and a rigid motion found again."""
    volume = bodies(True)
    angles = np.array((25.0, 15.0))
    motions = motions_of(lambda x: c_arm(SHAPE, SPACING, *x, pixels=24, pixel_mm=1.6), angles, (1e-3, 1e-3))
    beam = c_arm(SHAPE, SPACING, *angles, pixels=24, pixel_mm=1.6)
    _, gradient = line_integrals_and_gradient(volume, SPACING, beam, motions)
    for n, motion in enumerate(motions):
        off = gradient[n] - difference(volume, beam, motion, 2e-3)
        assert np.median(np.abs(off)) < 1e-3 * np.abs(gradient[n]).max()
    rigid = rigid_motions(beam, MIDDLE_MM)
    found = motions_of(lambda x: shifted(beam, np.tensordot(x, rigid, 1), 1.0), np.zeros(6), (1e-3,) * 6)
    np.testing.assert_allclose(found, rigid, atol=1e-9)


def test_mask_and_threads_change_nothing_and_motions_that_are_none_are_refused() -> None:
    beam, volume = c_arm(SHAPE, SPACING, pixels=40), bodies(True)
    motions = rigid_motions(beam, MIDDLE_MM)
    where = np.arange(40) % 3 == 0
    where = where[:, None] & where
    _, whole = line_integrals_and_gradient(volume, SPACING, beam, motions, threads=1)
    image, part = line_integrals_and_gradient(volume, SPACING, beam, motions, where=where, threads=3)
    np.testing.assert_array_equal(part, np.where(where, whole, np.float32(0.0)))
    assert not image[~where].any()
    for wrong in (motions[0], motions[:, :3], np.full((1, 4, 3), np.nan)):
        with pytest.raises(ValueError, match=r"motions are finite and \[n, 4, 3\]"):
            line_integrals_and_gradient(volume, SPACING, beam, wrong)
