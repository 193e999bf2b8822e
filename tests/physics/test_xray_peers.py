"""RTK and plastimatch cast the same rays through the same voxels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trocar.physics.xray import Beam, Method, line_integrals

from .xray_peers import Problem, need_plastimatch, need_rtk, run_plastimatch, run_rtk
from .xray_scenes import apart, c_arm, gaussians, moved

SHAPE, SPACING = (60, 90, 80), (1.25, 0.8, 0.9)
ANGLES = [(0.0, 0.0), (25.0, 15.0), (90.0, 0.0), (-50.0, -30.0), (170.0, 20.0), (10.0, 80.0)]
VIEWS = pytest.mark.parametrize("view", ANGLES)
#: Relative L2: the same rule on the same rays.
RTK_AGREES = 1e-5
#: The same path through the same voxels, partly in float32.
PLASTIMATCH_AGREES = 1e-4
#: Another rule for the same field.
SAMPLES_AGREE = 2e-3


def smooth() -> np.ndarray:
    """Bodies that end within the box."""
    return gaussians(SHAPE, SPACING, 20, (2.0, 3.0)).volume(SHAPE, SPACING)


def noise() -> np.ndarray:
    """To the very border: how the box ends counts."""
    return np.random.default_rng(8).random(SHAPE).astype(np.float32)


def off_centre(view: tuple[float, float]) -> Beam:
    return moved(c_arm(SHAPE, SPACING, *view, pixels=90, pixel_mm=1.7), np.array((1.3, -0.4, 2.2)))


@pytest.fixture(scope="module")
def of_rtk(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, tuple[float, float]], np.ndarray]:
    """RTK's answers to all problems: its start takes longer than they do."""
    asked = {(of.__name__, view): Problem(of(), SPACING, off_centre(view)) for of in (smooth, noise) for view in ANGLES}
    answers = run_rtk(need_rtk(), list(asked.values()), tmp_path_factory.mktemp("rtk"))
    return dict(zip(asked, (answer.image for answer in answers), strict=True))


@VIEWS
@pytest.mark.parametrize("of", [smooth, noise])
def test_the_interpolated_path_is_that_of_rtk(
    view: tuple[float, float], of: Callable[[], np.ndarray], of_rtk: dict[object, np.ndarray]
) -> None:
    image = line_integrals(of(), SPACING, off_centre(view))
    theirs = of_rtk[of.__name__, view]
    assert apart(image, theirs) < RTK_AGREES
    shifted = line_integrals(of(), SPACING, moved(off_centre(view), np.array((0.0, 0.01, 0.01))))
    assert apart(shifted, theirs) > RTK_AGREES


@VIEWS
def test_the_exact_path_is_that_of_plastimatch(view: tuple[float, float], tmp_path: Path) -> None:
    problem = Problem(smooth(), SPACING, c_arm(SHAPE, SPACING, *view, pixels=90, pixel_mm=1.7))
    theirs = run_plastimatch(need_plastimatch(), problem, tmp_path).image
    assert apart(line_integrals(problem.volume, SPACING, problem.beam, Method.EXACT), theirs) < PLASTIMATCH_AGREES


def test_the_interpolated_path_is_near_plastimatch_s_samples(tmp_path: Path) -> None:
    """Its ``uniform`` algorithm interpolates along the ray."""
    problem = Problem(smooth(), SPACING, c_arm(SHAPE, SPACING, 25.0, 15.0, pixels=90, pixel_mm=1.7))
    theirs = run_plastimatch(need_plastimatch(), problem, tmp_path, "uniform").image
    assert apart(line_integrals(problem.volume, SPACING, problem.beam), theirs) < SAMPLES_AGREE
