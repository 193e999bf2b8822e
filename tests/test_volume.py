"""Voxels in their places: any storage order, crops, grids, frames."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trocar.errors import FrameMismatchError
from trocar.volume import Volume, canonical

SPACING = np.array([0.7, 0.9, 2.5])


def turned(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) * SPACING
    affine[:3, 3] = (-30.0, 12.0, 140.0)
    return affine


@given(
    order=st.permutations(range(3)),
    flips=st.tuples(*[st.booleans()] * 3),
    shape=st.tuples(*[st.integers(1, 5)] * 3),
    degrees=st.floats(-40.0, 40.0),
)
@settings(max_examples=60, deadline=None)
def test_every_storage_order_becomes_the_same_volume(
    order: list[int], flips: tuple[bool, ...], shape: tuple[int, int, int], degrees: float
) -> None:
    array, affine = np.arange(np.prod(shape)).reshape(shape), turned(degrees)
    ijk = array.transpose(2, 1, 0).transpose(order)
    stored = np.eye(4)
    stored[:3, :3], stored[:3, 3] = affine[:3, order], affine[:3, 3]
    for axis in np.flatnonzero(flips):
        stored[:3, 3] += stored[:3, axis] * (ijk.shape[axis] - 1)
        stored[:3, axis] *= -1.0
        ijk = np.flip(ijk, axis)
    back, place = canonical(ijk.transpose(2, 1, 0), stored)
    np.testing.assert_array_equal(back, array)
    np.testing.assert_allclose(place, affine, atol=1e-9)


def test_index_and_position_are_inverse() -> None:
    volume = Volume(np.zeros((4, 5, 6)), turned(25.0))
    index = np.array(list(itertools.product((0, 3), (0, 4), (0.5, 5))))
    np.testing.assert_allclose(volume.index_kji(volume.world_mm(index)), index, atol=1e-9)
    np.testing.assert_allclose(volume.spacing_mm, SPACING[::-1])
    assert volume.voxel_ml == pytest.approx(0.7 * 0.9 * 2.5 / 1000.0)


def test_half_a_voxel_is_half_its_box_seen_along_a_direction() -> None:
    """Along an axis half the spacing; along any direction half the extent of the voxel's eight corners."""
    volume = Volume(np.zeros((4, 5, 6)), turned(25.0))
    for axis, size in enumerate(SPACING):
        assert volume.half_voxel_mm(volume.affine[:3, axis]) == pytest.approx(size / 2.0)
    corners = volume.world_mm(list(itertools.product((-0.5, 0.5), repeat=3)))
    for direction in np.random.default_rng(2).normal(size=(20, 3)):
        extent = np.ptp(corners @ direction) / np.linalg.norm(direction)
        assert volume.half_voxel_mm(direction) == pytest.approx(extent / 2.0)


def test_a_crop_keeps_every_voxel_in_its_place() -> None:
    volume = Volume(np.random.default_rng(1).normal(size=(6, 7, 8)), turned(10.0))
    part = volume.crop((1, 2, 3), (5, 6, 9))
    assert part.shape == (4, 4, 5)
    np.testing.assert_allclose(part.world_mm((0, 0, 0)), volume.world_mm((1, 2, 3)))
    assert part.sample(volume.world_mm((3, 4, 5)))[()] == pytest.approx(volume.array[3, 4, 5])
    with pytest.raises(ValueError, match="is empty"):
        volume.crop((6, 0, 0), (6, 7, 8))


def test_a_linear_field_is_sampled_exactly() -> None:
    k, j, i = np.meshgrid(range(5), range(6), range(7), indexing="ij")
    volume = Volume(2.0 * i - 3.0 * j + 5.0 * k, turned(15.0))
    at = np.array([[1.25, 2.5, 3.75], [0.1, 4.9, 5.5]])
    values = volume.sample(volume.world_mm(at))
    np.testing.assert_allclose(values, 2.0 * at[:, 2] - 3.0 * at[:, 1] + 5.0 * at[:, 0])


def test_a_mask_goes_onto_a_larger_grid_and_back() -> None:
    big = Volume(np.zeros((9, 9, 9), dtype=bool), turned(0.0), unit="mask")
    small = Volume(np.ones((2, 3, 2), dtype=bool), big.crop((4, 3, 2), (6, 6, 4)).affine, unit="mask")
    there = small.onto(big)
    assert there.array.sum() == 12
    np.testing.assert_array_equal(there.crop((4, 3, 2), (6, 6, 4)).array, small.array)


def test_a_mask_resampled_to_half_the_step_keeps_its_volume() -> None:
    mask = Volume(np.ones((4, 4, 4), dtype=bool), np.diag([2.0, 2.0, 2.0, 1.0]), unit="mask")
    affine = np.eye(4)
    affine[:3, 3] = -2.5
    fine = mask.onto(Volume(np.zeros((12, 12, 12)), affine))
    assert fine.array.sum() * fine.voxel_ml == pytest.approx(mask.array.sum() * mask.voxel_ml)


def test_frames_of_reference_must_agree_where_both_are_named() -> None:
    one, two = (Volume(np.zeros((2, 2, 2)), np.eye(4), uid) for uid in ("1.2.3", "1.2.4"))
    one.check_frame(one)
    one.check_frame(Volume(np.zeros((2, 2, 2)), np.eye(4)))
    with pytest.raises(FrameMismatchError, match=r"1\.2\.3 is not 1\.2\.4: register the two images first"):
        one.check_frame(two)


def test_the_array_is_read_only() -> None:
    array = np.zeros((2, 2, 2))
    with pytest.raises(ValueError, match="read-only"):
        Volume(array, np.eye(4)).array[0, 0, 0] = 1.0
    array[0, 0, 0] = 1.0  # the caller's own array stays the caller's


@pytest.mark.parametrize(
    ("array", "affine", "said"),
    [
        (np.zeros((2, 2)), np.eye(4), "three axes"),
        (np.zeros((2, 0, 2)), np.eye(4), "three axes"),
        (np.zeros((2, 2, 2)), np.eye(3), "4x4"),
        (np.zeros((2, 2, 2)), np.diag([1.0, 0.0, 1.0, 1.0]), "spacing must be positive"),
        (np.zeros((2, 2, 2)), np.eye(4) + np.eye(4, k=1) * 0.2, "right angles"),
        (np.zeros((2, 2, 2)), np.eye(4) * np.nan, "finite"),
    ],
)
def test_what_is_no_volume_is_refused(array: np.ndarray, affine: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Volume(array, affine)
