"""The projection on JAX's device against the compiled one, and its derivative against the analytic one."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from trocar.errors import ToolError
from trocar.physics.xray import line_integrals, vectors
from trocar.physics.xray_device import Projector, device, project
from trocar.physics.xray_pose import line_integrals_and_gradient, rigid_motions

from .xray_scenes import apart, c_arm, gaussians, moved

SHAPE, SPACING = (20, 36, 40), (2.0, 1.5, 1.25)
VIEWS = pytest.mark.parametrize("view", [(0.0, 0.0), (43.0, -20.0), (5.0, 75.0)])
#: Float32 throughout, on the device: relative L2.
AGREEMENT = 1e-5


@pytest.fixture(scope="module")
def jax() -> Any:
    return pytest.importorskip("jax", reason="JAX is not here: pip install 'trocar[gpu]'")


def off_centre(view: tuple[float, float], **given: Any) -> Any:
    """Not along the voxels' own planes, where rounding decides on which side of the border a ray is."""
    return moved(c_arm(SHAPE, SPACING, *view, **given), np.array((0.31, -0.17, 0.23)))


@VIEWS
def test_it_agrees_with_the_compiled_path(jax: Any, view: tuple[float, float]) -> None:
    assert device()
    beam = off_centre(view, pixels=48, pixel_mm=1.4)
    for volume in (
        gaussians(SHAPE, SPACING, 5, (4.0, 6.0)).volume(SHAPE, SPACING),
        np.random.default_rng(2).random(SHAPE).astype(np.float32),
    ):
        assert apart(project(volume, SPACING, beam), line_integrals(volume, SPACING, beam)) < AGREEMENT


def test_rays_that_miss_are_zero_and_an_axis_may_have_one_voxel(jax: Any) -> None:
    beam = off_centre((0.0, 0.0), pixels=16)
    assert not project(np.ones(SHAPE, np.float32), SPACING, moved(beam, np.array((500.0, 0.0, 0.0)))).any()
    flat = np.ones((20, 1, 40), np.float32)
    # where it enters and leaves are told apart by float32's digits at the source, 500 voxels off
    assert apart(project(flat, SPACING, beam), line_integrals(flat, SPACING, beam)) < 5e-5


def test_its_derivative_is_the_analytic_one(jax: Any) -> None:
    volume = gaussians(SHAPE, SPACING, 5, (4.0, 6.0)).volume(SHAPE, SPACING)
    beam = off_centre((25.0, 15.0), pixels=24, pixel_mm=2.0)
    motions = rigid_motions(beam, np.zeros(3))
    _, analytic = line_integrals_and_gradient(volume, SPACING, beam, motions)
    rays, at = Projector(volume, SPACING, beam.shape), np.stack(vectors(beam)).astype(np.float32)
    along = jax.jit(lambda motion: jax.jvp(rays, (at,), (motion,))[1])
    for n, motion in enumerate(motions.astype(np.float32)):
        assert apart(np.asarray(along(motion)), analytic[n]) < 2e-3


def test_what_is_no_volume_is_refused(jax: Any) -> None:
    beam = off_centre((0.0, 0.0), pixels=8)
    with pytest.raises(ValueError, match="not finite"):
        project(np.full(SHAPE, np.nan, np.float32), SPACING, beam)
    with pytest.raises(ValueError, match="three axes"):
        project(np.ones((3, 3)), SPACING, beam)


def test_without_jax_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(ToolError, match=r"JAX is not installed.*pip install 'trocar\[gpu\]'"):
        project(np.ones(SHAPE, np.float32), SPACING, off_centre((0.0, 0.0)))
