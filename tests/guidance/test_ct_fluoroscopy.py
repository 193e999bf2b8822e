"""A needle in slices of CT-fluoroscopy: found finer than a voxel, unsure by as much as the slices are thick."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trocar.geometry import angle_deg, unit
from trocar.guidance.ct_fluoroscopy import SlabSighting, Unclear, _concern, find_in_slices
from trocar.guidance.frames import Slab
from trocar.planning.trajectory import Trajectory
from trocar.volume import Volume

from .needle_scene import NEEDLE, path

PLAN = path((0.35, -0.9, 0.0))


def slab(
    needles: list[tuple[np.ndarray, np.ndarray]],
    slices: int = 3,
    thick_mm: float = 3.0,
    pixel_mm: float = 0.8,
    middle_mm: tuple[float, ...] = (0.0, 25.0, 0.0),
    seed: int | None = 0,
    artefact_hu: float = 0.0,
    radius_mm: float = NEEDLE.radius_mm,
) -> Slab:
    """Steel of 8000 HU in soft tissue, each voxel the mean of 3 x 3 x 5 points, clipped as a 12-bit scanner does."""
    n = 128
    affine = np.diag([pixel_mm, pixel_mm, thick_mm, 1.0])
    affine[:3, 3] = np.array(middle_mm) - np.array([n / 2, n / 2, (slices - 1) / 2]) * (pixel_mm, pixel_mm, thick_mm)
    empty = Volume(np.zeros((slices, n, n)), affine)
    index = np.stack(np.meshgrid(*(np.arange(s) for s in empty.shape), indexing="ij"), axis=-1)
    share = np.zeros(empty.shape)
    for tip, way in needles:
        near = np.linalg.norm(np.cross(empty.world_mm(index) - tip, way), axis=-1) < radius_mm + thick_mm + pixel_mm
        parts = np.stack(np.meshgrid((np.arange(5) - 2) / 5, (np.arange(3) - 1) / 3, (np.arange(3) - 1) / 3), axis=-1)
        d = empty.world_mm(index[near][:, None] + parts.reshape(-1, 3)) - tip
        along = d @ way
        off = np.sqrt(np.maximum(np.sum(d * d, axis=-1) - along**2, 0.0))
        share[near] += ((off <= radius_mm) & (along <= 0.0) & (along >= -80.0)).mean(axis=1)
    hu = 50.0 + share * 7950.0
    if artefact_hu:  # the dark streak ahead of a tip
        tip, way = needles[0]
        d = empty.world_mm(index) - tip
        along = d @ way
        off = np.sqrt(np.maximum(np.sum(d * d, axis=-1) - along**2, 0.0))
        hu -= artefact_hu * ((off < 2.0) & (along > 0.0) & (along < 15.0))
    if seed is not None:
        hu += np.random.default_rng(seed).normal(0.0, 30.0, hu.shape)
    return Slab(1, 2.0, "ct", replace(empty, array=np.clip(hu, -1024.0, 3071.0).astype(np.int16)))


def found_in(where: Slab, plan: Trajectory = PLAN) -> SlabSighting:
    found = find_in_slices(where, NEEDLE, plan)
    assert isinstance(found, SlabSighting), found
    return found


@pytest.mark.parametrize("tilt", [0.0, 0.05, -0.08])
def test_a_needle_in_a_few_slices_is_found_finer_than_a_voxel(tilt: float) -> None:
    rng = np.random.default_rng(int(100 * abs(tilt)))
    for n in range(4):
        way = unit(PLAN.direction + np.array([0.0, 0.0, tilt]))
        tip = PLAN.target_mm + np.array([*rng.normal(0.0, 2.0, 2), rng.uniform(-0.7, 0.7)]) - 5.0 * way
        found = found_in(slab([(tip, way)], slices=7, thick_mm=1.5, seed=n))
        assert found.concern is None
        off = found.tip.tip_mm - tip
        assert abs(float(off @ way)) < 0.6
        assert np.linalg.norm(off - float(off @ way) * way) < 0.4
        assert angle_deg(found.tip.direction, way) < 1.0
        assert found.tip.time_s == 2.0


def test_standard_errors_hold_what_is_missed_and_grow_with_the_slices() -> None:
    rng = np.random.default_rng(5)
    for thick, slices in ((1.5, 7), (3.0, 5)):
        ratios = []
        for n in range(10):
            way = unit(PLAN.direction + np.array([0.0, 0.0, rng.normal(0.0, 0.05)]))
            tip = PLAN.target_mm + np.array([*rng.normal(0.0, 2.0, 2), rng.uniform(-1.0, 1.0)]) - 5.0 * way
            found = found_in(slab([(tip, way)], slices=slices, thick_mm=thick, seed=n))
            off = found.tip.tip_mm - tip
            ratios.append(float(off @ np.linalg.solve(found.tip.covariance_mm2, off)) / 3.0)
        assert 0.02 < np.mean(ratios) < 2.0
    thin, coarse = (found_in(slab([(PLAN.target_mm, PLAN.direction)], 3, t)).tip for t in (1.0, 3.0))
    up = np.array([0.0, 0.0, 1.0])
    assert coarse.error_mm(up) == pytest.approx(3.0 * thin.error_mm(up), rel=0.05)


def test_one_slice_says_nothing_of_where_in_it_the_needle_lies() -> None:
    found = found_in(slab([(PLAN.target_mm + np.array((0.0, 0.0, 0.8)), PLAN.direction)], slices=1, thick_mm=4.0))
    assert found.tip.unseen_along == pytest.approx([0.0, 0.0, 1.0])
    assert "one slice of 4 mm" in found.tip.assumed
    assert found.tip.error_mm(np.array([0.0, 0.0, 1.0])) >= 4.0 / np.sqrt(12.0)


def test_a_needle_that_leaves_the_slices_may_have_its_tip_outside() -> None:
    steep = unit(PLAN.direction + np.array([0.0, 0.0, 0.5]))
    through = PLAN.target_mm + 30.0 * steep  # the tip lies far beyond the last slice
    assert found_in(slab([(through, steep)], slices=5, thick_mm=2.0)).concern is Unclear.OUTSIDE
    slight = unit(PLAN.direction + np.array([0.0, 0.0, 0.12]))
    cut = PLAN.target_mm + 25.0 * slight
    assert found_in(slab([(cut, slight)], slices=1, thick_mm=2.0)).concern is Unclear.OUTSIDE


def test_the_dark_streak_ahead_of_a_tip_does_not_move_it() -> None:
    tip = PLAN.target_mm - 5.0 * PLAN.direction
    clean = found_in(slab([(tip, PLAN.direction)])).tip
    streaked = found_in(slab([(tip, PLAN.direction)], artefact_hu=600.0)).tip
    assert streaked.tip_mm == pytest.approx(clean.tip_mm, abs=0.3)


def test_a_thin_needle_in_thick_slices_is_found_by_what_it_fills() -> None:
    thin = replace(NEEDLE, outer_diameter_mm=0.9, gauge=None)
    where = slab([(PLAN.target_mm, PLAN.direction)], slices=3, thick_mm=3.0, radius_mm=0.45)
    found = find_in_slices(where, thin, PLAN)
    assert isinstance(found, SlabSighting)
    assert found.tip.tip_mm == pytest.approx(PLAN.target_mm, abs=1.2)


def test_which_end_is_the_tip_and_which_needle_is_meant_follow_from_the_plan() -> None:
    back = replace(PLAN, skin_mm=-PLAN.skin_mm, entry_mm=-PLAN.entry_mm)
    short = slab([(PLAN.target_mm, PLAN.direction)], slices=5)
    assert found_in(short).tip.direction @ found_in(short, back).tip.direction < -0.99
    other = PLAN.target_mm + np.array([-30.0, 0.0, 0.0])
    two = slab([(PLAN.target_mm, PLAN.direction), (other, PLAN.direction)])
    assert found_in(two).tip.tip_mm == pytest.approx(PLAN.target_mm, abs=1.0)
    between = replace(PLAN, skin_mm=PLAN.skin_mm - [15.0, 0, 0], entry_mm=PLAN.entry_mm - [15.0, 0, 0],
                      target_mm=PLAN.target_mm - [15.0, 0, 0])  # fmt: skip
    assert find_in_slices(two, NEEDLE, between) is Unclear.SEVERAL


def test_slices_without_a_needle_or_with_too_little_of_one_are_told() -> None:
    assert find_in_slices(slab([]), NEEDLE, PLAN) is Unclear.ABSENT
    across = np.array([0.0, 0.0, 1.0])  # square through the slices: a dot in each
    assert find_in_slices(slab([(np.array([0, 25.0, 40.0]), across)], slices=2), NEEDLE, PLAN) is Unclear.SHORT


def test_a_mirrored_slab_has_the_mirrored_needle() -> None:
    flip = np.array([-1.0, 1.0, 1.0])
    right = replace(PLAN, **{n: getattr(PLAN, n) * flip for n in ("skin_mm", "entry_mm", "target_mm")})
    a = found_in(slab([(PLAN.target_mm, PLAN.direction)], seed=None)).tip
    b = found_in(slab([(right.target_mm, right.direction)], seed=None, middle_mm=(0.8, 25.0, 0.0)), right).tip
    assert b.tip_mm == pytest.approx(a.tip_mm * flip, abs=0.15)
    assert b.direction == pytest.approx(a.direction * flip, abs=0.01)


@pytest.mark.parametrize(
    ("slice_", "rise", "outside"), [(4, 0.3, True), (0, -0.3, True), (0, 0.3, False), (2, 0.3, False)]
)
def test_a_sharp_end_in_the_last_slice_may_go_on_beyond(slice_: int, rise: float, outside: bool) -> None:
    volume = slab([], slices=5).volume
    way = unit(PLAN.direction + np.array([0.0, 0.0, rise]))
    concern = _concern(volume, volume.world_mm([slice_, 60, 60]), way, fade_mm=0.0)
    assert concern is (Unclear.OUTSIDE if outside else None)
