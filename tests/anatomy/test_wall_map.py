"""The cortex over a drawn ball of bone, whose gaps are known."""

from __future__ import annotations

import numpy as np
import pytest

from trocar.anatomy.cleft import CLEFT_ML, gas_cleft
from trocar.anatomy.surface import Surface
from trocar.anatomy.wall_map import WallMap, wall_map
from trocar.volume import Volume

RADIUS_MM, CORTEX_MM, STEP_MM = 16.0, 1.5, 0.8
OUTSIDE_HU, CORE_HU, CORTEX_HU = 50.0, 160.0, 1000.0


def ball(
    cap_deg: float = 0.0, cap_hu: float = OUTSIDE_HU, cortex_hu: float = CORTEX_HU, deep_mm: float = CORTEX_MM
) -> tuple[Volume, Volume]:
    """CT and mask of a ball of bone; about its left pole the outer ``deep_mm`` are ``cap_hu``."""
    n = int(2 * (RADIUS_MM + 8.0) / STEP_MM)
    affine = np.diag([STEP_MM] * 3 + [1.0])
    affine[:3, 3] = -0.5 * (n - 1) * STEP_MM
    volume = Volume(np.zeros((n, n, n), np.float32), affine)
    places = volume.world_mm(np.moveaxis(np.indices(volume.shape), 0, -1))
    away = np.linalg.norm(places, axis=-1)
    hu = np.where(away <= RADIUS_MM, np.where(away > RADIUS_MM - CORTEX_MM, cortex_hu, CORE_HU), OUTSIDE_HU)
    capped = (places[..., 0] >= np.cos(np.radians(cap_deg)) * away) & (away > RADIUS_MM - deep_mm) & (away <= RADIUS_MM)
    hu = np.where(capped, cap_hu, hu) if cap_deg else hu
    mask = Volume(away <= RADIUS_MM, affine, unit="mask")
    return Volume(hu.astype(np.float32), affine), mask


def looked_at(ct: Volume, mask: Volume, count: int = 4000) -> WallMap:
    """The map at points spread evenly over the ball (a Fibonacci lattice); the right half says what is usual."""
    i = np.arange(count) + 0.5
    z, turn = 1.0 - 2.0 * i / count, np.pi * (1.0 + 5.0**0.5) * i
    across = np.sqrt(1.0 - z**2)
    way = np.column_stack([z, across * np.cos(turn), across * np.sin(turn)])
    everywhere = np.ones(count, bool)
    return wall_map(ct, Surface.of(mask), RADIUS_MM * way, way, everywhere, way[:, 0] < 0.0)


def test_an_intact_wall_lacks_nothing() -> None:
    found = looked_at(*ball())
    assert found.judged
    assert found.known.all()
    assert not found.missing.any()
    assert found.inside_hu == pytest.approx(CORE_HU, abs=40.0)


@pytest.mark.parametrize("cap_deg", [25.0, 40.0])
def test_the_area_of_a_gap_is_that_of_the_cap(cap_deg: float) -> None:
    """A cap is (1 - cos a) / 2 of a ball; its edge is known to the reach of the average and of the scan."""
    found = looked_at(*ball(cap_deg))
    margin = np.degrees(2.0 / RADIUS_MM)
    share = float(found.missing.mean())
    assert _cap(cap_deg - margin) < share < _cap(cap_deg + margin)
    missing = way_of(found)[found.missing]
    assert (missing[:, 0] > np.cos(np.radians(cap_deg + margin))).all()


def way_of(found: WallMap) -> np.ndarray:
    """Unit directions to the points from the middle of the ball."""
    return found.points_mm / RADIUS_MM


def _cap(angle_deg: float) -> float:
    return float(0.5 * (1.0 - np.cos(np.radians(angle_deg))))


def test_a_lesion_behind_a_gap_does_not_hide_it() -> None:
    found = looked_at(*ball(35.0, deep_mm=9.0))
    assert found.missing[way_of(found)[:, 0] > np.cos(np.radians(25.0))].all()


def test_bone_that_is_dense_to_its_wall_is_whole() -> None:
    """Nothing rises there, and nothing is missing: the rim of an endplate, an osteophyte, a sclerotic lesion."""
    found = looked_at(*ball(35.0, cap_hu=CORTEX_HU, deep_mm=12.0))
    dense = way_of(found)[:, 0] > np.cos(np.radians(25.0))
    assert np.abs(found.rise_hu[dense]).max() < 0.1 * found.usual_hu
    assert not found.missing.any()


def test_a_wall_that_hardly_rises_anywhere_is_not_judged() -> None:
    found = looked_at(*ball(35.0, cortex_hu=CORE_HU + 100.0))
    assert 0.0 < found.usual_hu < 120.0
    assert not found.judged
    assert not found.missing.any()


def test_bone_too_thin_for_a_row_of_points_is_unknown() -> None:
    ct, mask = ball()
    places = ct.world_mm(np.moveaxis(np.indices(ct.shape), 0, -1))
    thin = Volume(mask.array & (np.abs(places[..., 2]) < 1.5), mask.affine, unit="mask")
    up = np.array([[0.0, 0.0, 1.0]])
    found = wall_map(ct, Surface.of(thin), np.array([[0.0, 0.0, 1.5]]), up, np.ones(1, bool), np.ones(1, bool))
    assert not found.known.any()
    assert found.usual_hu == 0.0
    assert not found.missing.any()


def test_gas_is_a_cleft_from_a_size_on() -> None:
    hu = np.full((30, 30, 30), 100.0, np.float32)
    body = np.ones(hu.shape, bool)
    side = int(np.ceil((1000.0 * CLEFT_ML) ** (1.0 / 3.0)))
    hu[5 : 5 + side, 5 : 5 + side, 5 : 5 + side] = -500.0
    hu[20:22, 20:22, 20:22] = -500.0
    found = gas_cleft(hu, body, (1.0, 1.0, 1.0))
    assert found.sum() == side**3
    assert found[6, 6, 6]
    assert not gas_cleft(hu, ~body, (1.0, 1.0, 1.0)).any()
