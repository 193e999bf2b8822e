"""The compiled kernels against the same thing written plainly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from trocar.planning import rays


@pytest.fixture(scope="module")
def field():
    """Three channels that change by at most 1 per node and axis, as distances do."""
    rng = np.random.default_rng(3)
    points = rng.uniform(0, 40, (3, 6, 3))
    at = np.stack(np.meshgrid(*[np.arange(40.0)] * 3, indexing="ij"), axis=-1)
    near = [np.linalg.norm(at[..., None, :] - p, axis=-1).min(axis=-1) for p in points]
    near[0] = 12.0 - np.linalg.norm(at - 20.0, axis=-1)
    return np.stack(near).astype(np.float32)


def plainly(field, tip, way, wall, need):
    """Least of (value - need) over every sample of one path, and where it leaves bone."""
    s = np.arange(0.0, 100.0, rays.STEP_MM)
    at = tip + s[:, None] * way
    inside = np.all((at >= 0) & (at <= 39), axis=1)
    s, at = s[: inside.argmin()], at[: inside.argmin()]
    values = [map_coordinates(c, at.T, output=np.float64, order=1) for c in field]
    bone = s[np.argmax(values[0] <= 0)]
    terms = [(values[0] - need[0])[s <= wall], *(v - n for v, n in zip(values[1:], need[1:], strict=True))]
    return min(rays.AMPLE_MM, *(t.min() for t in terms)), bone


def test_skipping_samples_changes_no_slack(field) -> None:
    rng = np.random.default_rng(4)
    n = 300
    tips = np.full((n, 3), 20.0) + rng.uniform(-4, 4, (n, 3))
    ways = rng.normal(size=(n, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    walls = rng.uniform(0, 6, n)
    need = np.array([2.0, 1.5, 3.0])
    one = np.ones(3)
    identity = np.eye(3, 4)
    slack, _, bone = rays.judge(
        field, identity, tips, ways, walls, np.full(n, 1e9), 0.0, need, np.zeros(3), one, one, False
    )
    for m in range(n):
        expected, leaves = plainly(field, tips[m], ways[m], walls[m], need)
        assert slack[m] == pytest.approx(expected, abs=1e-4)
        assert bone[m] == leaves


def test_a_path_is_given_up_only_below_half_a_voxel(field) -> None:
    """Strict judging keeps exactly the paths whose every term is within what the voxels leave open."""
    n = 200
    rng = np.random.default_rng(5)
    tips = np.full((n, 3), 20.0)
    ways = rng.normal(size=(n, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    args = (np.full(n, 4.0), np.full(n, 1e9), 0.0, np.array([2.0, 1.5, 3.0]), np.zeros(3), np.ones(3), np.ones(3))
    free, _, _ = rays.judge(field, np.eye(3, 4), tips, ways, *args, False)
    kept, _, _ = rays.judge(field, np.eye(3, 4), tips, ways, *args, True)
    assert np.array_equal(kept[kept > rays.NEVER], free[kept > rays.NEVER])
    assert np.all(kept[free >= 0.0] > rays.NEVER)
    assert np.all(kept[free < -0.5 * np.sqrt(3.0)] == rays.NEVER)
    assert np.sum((kept > rays.NEVER) & (free < 0.0)) > 0


def test_a_path_whose_tip_is_outside_bone_is_none(field) -> None:
    tip, way = np.array([[1.0, 1.0, 1.0]]), np.array([[1.0, 0.0, 0.0]])
    slack, blocker, _ = rays.judge(
        field,
        np.eye(3, 4),
        tip,
        way,
        np.ones(1),
        np.ones(1),
        0.0,
        np.zeros(3),
        np.zeros(3),
        np.ones(3),
        np.ones(3),
        True,
    )
    assert slack[0] == rays.NEVER
    assert blocker[0] == rays.NO_BONE


def test_the_distance_of_a_segment_to_boxes_is_exact() -> None:
    rng = np.random.default_rng(6)
    size = np.array([2.5, 0.7, 0.9])
    for _ in range(20):
        mask = rng.random((6, 8, 8)) < 0.01
        mask[3, 4, 4] = True
        start = rng.uniform(-6, 14, 3)
        move = rng.normal(size=3)
        move /= np.linalg.norm(move)
        got, half = rays.segment_to_mask(mask, size, start, move, 15.0, 60.0)
        along = start + np.linspace(0, 15, 3001)[:, None] * move
        boxes = np.argwhere(mask) * size
        gap = np.maximum(np.abs(along[:, None] - boxes) - size / 2, 0.0)
        assert got == pytest.approx(np.linalg.norm(gap, axis=-1).min(), abs=3e-3)
        assert 0.35 <= half <= np.linalg.norm(size) / 2


def test_the_half_voxel_of_a_segment_follows_the_line_of_closest_approach() -> None:
    mask = np.zeros((1, 1, 1), bool)
    mask[0, 0, 0] = True
    size = np.array([2.5, 0.7, 0.9])
    for axis in range(3):
        start = np.zeros(3)
        start[axis] = 10.0
        distance, half = rays.segment_to_mask(mask, size, start, np.roll(np.eye(3)[axis], 1), 1.0, 30.0)
        assert distance == pytest.approx(10.0 - size[axis] / 2)
        assert half == pytest.approx(size[axis] / 2)


def test_a_structure_out_of_reach_is_told_as_infinitely_far() -> None:
    mask = np.zeros((60, 1, 1), bool)
    mask[59] = True
    distance, _ = rays.segment_to_mask(mask, np.ones(3), np.zeros(3), np.array([0.0, 0.0, 1.0]), 5.0, 30.0)
    assert np.isinf(distance)


def test_the_way_out_ends_at_the_skin_or_says_that_it_is_not_in_view() -> None:
    inside = np.zeros((20, 20, 20), bool)
    inside[:, :12, :] = True
    tips = np.full((2, 3), 5.0)
    ways = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    back, side = rays.way_out(inside, np.eye(3, 4), tips, ways)
    assert back == pytest.approx(6.5, abs=rays.SKIN_STEP_MM)
    assert side == pytest.approx(-14.5, abs=rays.SKIN_STEP_MM)


def test_the_undominated_are_those_that_no_other_beats() -> None:
    terms = np.random.default_rng(7).integers(0, 6, (300, 3)).astype(float)
    plain = [n for n, t in enumerate(terms) if not np.any(np.all(terms <= t, axis=1) & np.any(terms < t, axis=1))]
    assert sorted(rays.undominated(terms)) == plain


def test_a_needle_that_crosses_a_second_piece_of_its_own_bone_is_none() -> None:
    """Bone, a gap, bone again: refused where the needle enters it, allowed where it only brushes it."""
    n = 60
    z = np.arange(n, dtype=np.float32)
    slabs = np.maximum(10.0 - np.abs(z - 10.0), 4.0 - np.abs(z - 40.0))  # bone below 20 and from 36 to 44
    field = np.ascontiguousarray(np.broadcast_to(slabs[:, None, None], (1, n, 9, 9))).astype(np.float32)
    tip, up, along = np.array([[10.0, 4.0, 4.0]]), np.array([[1.0, 0.0, 0.0]]), np.array([[0.0, 1.0, 0.0]])
    args = (np.ones(1), np.full(1, 1e9), 1.2, np.zeros(1), np.zeros(1), np.ones(3), np.ones(3), True)
    slack, blocker, bone = rays.judge(field, np.eye(3, 4), tip, up, *args)
    assert (slack[0], blocker[0]) == (rays.NEVER, rays.OWN_BONE)
    assert bone[0] == 10.0
    low = np.ascontiguousarray(field[:, :34])
    assert rays.judge(low, np.eye(3, 4), tip, up, *args)[0][0] > rays.NEVER
    assert rays.judge(field, np.eye(3, 4), tip, along, *args)[2][0] == -1.0
