"""Shapes of leaked cement: as much as was asked for, where it may be, on the side it was asked for, the same again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from trocar.errors import SimulationError
from trocar.geometry import Side
from trocar.guidance.cement_inside import FILL, blob
from trocar.guidance.escape import ROUTES, VEIN_RADII_MM, Escape, escape
from trocar.guidance.growth import Course, box, grown, joined
from trocar.injection.routes import Route

from .simulated_cases import local, near, path

ML = 0.4


def leak(route: Route, seed: int = 1, side: Side | None = None, ml: float = ML) -> Escape:
    return escape(near(), route, ml, np.random.default_rng(seed), side=side, path=path())


def voxels(found: Escape) -> np.ndarray:
    return found.arrival.array > 0.0


@pytest.mark.parametrize("route", ROUTES)
def test_a_leak_is_as_large_as_asked_for_and_hangs_together(route: Route) -> None:
    found = leak(route)
    assert found.course.total_ml == pytest.approx(ML, rel=1e-12)
    _, parts = ndimage.label(voxels(found), np.ones((3, 3, 3)))
    assert parts == 1
    assert np.all(np.diff(found.course.arrival_ml) > 0.0)
    # every voxel holds what it can, only the last may hold less
    assert voxels(found).sum() == np.ceil(ML / (near().step_mm ** 3 / 1000.0) - 1e-9)


@pytest.mark.parametrize("route", ROUTES)
def test_a_leak_never_lies_in_bone_or_outside_the_room_it_is_given(route: Route) -> None:
    for seed in range(4):
        found = leak(route, seed)
        assert not (voxels(found) & near().bone).any()
        assert not (voxels(found) & ~found.region.array).any()
        in_canal = (voxels(found) & near().canal).sum() / voxels(found).sum()
        assert in_canal == 1.0 if route is Route.EPIDURAL else in_canal == 0.0 or route is Route.FORAMINAL


def test_each_route_lies_where_its_name_says() -> None:
    low, high = near().extent_mm[:, 0], near().extent_mm[:, 1]

    def middle(route: Route, side: Side | None = None) -> np.ndarray:
        return np.mean([local(leak(route, seed, side).course.points_mm).mean(axis=0) for seed in range(4)], axis=0)

    for seed in range(4):
        height = local(leak(Route.DISC, seed).course.points_mm)[:, 2]
        assert height.mean() > high[2] - 2.0 or height.mean() < low[2] + 2.0
    assert middle(Route.EPIDURAL)[1] > high[1]
    assert middle(Route.ANTERIOR)[1] < low[1] + 3.0
    assert middle(Route.FORAMINAL)[1] > 0.5 * high[1]
    assert middle(Route.LATERAL, Side.LEFT)[0] > 0.7 * high[0]
    along = path().axis.distance_mm(leak(Route.TRACT).course.points_mm)
    assert along.max() <= path().instrument.radius_mm + 2.0


@pytest.mark.parametrize("route", [Route.FORAMINAL, Route.LATERAL, Route.VENOUS])
def test_left_is_left(route: Route) -> None:
    for side in Side:
        for seed in range(3):
            found = leak(route, seed, side, 0.2)
            assert found.side is side
            assert local(found.course.points_mm)[:, 0].mean() * side.sign > 5.0


def test_a_sheet_in_the_disc_is_flat_and_a_vein_is_thin_and_long() -> None:
    spread = np.ptp(local(leak(Route.DISC).course.points_mm), axis=0)
    assert spread[2] < 0.7 * max(spread[:2])
    vein = leak(Route.VENOUS, ml=0.1)
    depth = ndimage.distance_transform_edt(vein.region.array).max() * near().step_mm
    assert depth <= VEIN_RADII_MM[-1] + near().step_mm
    assert np.linalg.norm(np.ptp(vein.course.points_mm, axis=0)) > 12.0


def test_the_same_seed_gives_the_same_shape_and_another_another() -> None:
    one, again, other = leak(Route.LATERAL, 5), leak(Route.LATERAL, 5), leak(Route.LATERAL, 6)
    assert np.array_equal(one.course.points_mm, again.course.points_mm)
    assert not np.array_equal(one.course.points_mm, other.course.points_mm)


def test_a_smaller_leak_is_the_beginning_of_a_larger_one() -> None:
    small, large = leak(Route.ANTERIOR, 2, ml=0.1), leak(Route.ANTERIOR, 2, ml=0.4)
    count = len(small.course.each_ml)
    assert np.array_equal(small.course.points_mm, large.course.points_mm[:count])


def test_what_has_no_room_or_no_shape_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="arterial"):
        escape(near(), Route.ARTERIAL, 0.1, rng)
    with pytest.raises(ValueError, match="more than 0 ml"):
        escape(near(), Route.DISC, 0.0, rng)
    with pytest.raises(SimulationError, match="needs a needle"):
        escape(near(), Route.TRACT, 0.1, rng)
    with pytest.raises(SimulationError, match=r"room for .* of 9.00 ml"):
        escape(near(), Route.FORAMINAL, 9.0, rng, side=Side.LEFT)


def test_a_foramen_that_the_anatomy_lacks_is_refused() -> None:
    anatomy = near().anatomy
    kept = {n: m for n, m in anatomy.structures.items() if not n.startswith("foramen_L1")}
    bare = replace(near(), anatomy=replace(anatomy, structures=kept))
    with pytest.raises(SimulationError, match="no room for a leak of the kind 'foraminal'"):
        escape(bare, Route.FORAMINAL, 0.1, np.random.default_rng(0))


def test_an_even_field_grows_into_a_ball() -> None:
    """2 ml about a point: of the ball of the same volume, no farther than the lattice's own shortest ways allow."""
    grid = box(np.zeros(3), (15.0, 15.0, 15.0), 0.8)
    course = grown(grid, np.ones(grid.shape, np.float32), np.zeros(3), 2.0, np.eye(3))
    radius = (3.0 * 2000.0 / (4.0 * np.pi)) ** (1.0 / 3.0)
    far = np.linalg.norm(course.points_mm, axis=1).max()
    # ways along 26 directions are up to 13 % longer than straight ones
    assert radius < far < 1.13 * radius
    assert np.linalg.norm(course.points_mm.mean(axis=0)) < 0.3


def test_a_stretched_direction_grows_flat_by_as_much() -> None:
    grid = box(np.zeros(3), (18.0, 18.0, 18.0), 0.8)
    course = grown(grid, np.ones(grid.shape, np.float32), np.zeros(3), 2.0, np.diag((1.0, 1.0, 3.0)))
    spread = np.ptp(course.points_mm, axis=0)
    assert spread[0] / spread[2] == pytest.approx(3.0, rel=0.2)


def test_the_stand_in_for_the_flow_model_stays_in_the_body() -> None:
    course = blob(near(), 3.0, np.random.default_rng(0), path().target_mm)
    assert course.total_ml == pytest.approx(3.0)
    index = np.rint(near().grid.index_kji(course.points_mm)).astype(int)
    assert near().body[tuple(index.T)].all()
    assert course.each_ml[0] == pytest.approx(FILL * near().step_mm ** 3 / 1000.0)
    with pytest.raises(SimulationError, match="room for"):
        blob(near(), 200.0, np.random.default_rng(0), path().target_mm)


def test_cubes_of_different_size_are_not_joined() -> None:
    one, other = (Course(np.zeros((1, 3)), np.ones(1), edge) for edge in (0.8, 1.0))
    with pytest.raises(ValueError, match="not joined"):
        joined((one, other))
    assert joined((one, one)).total_ml == 2.0
    with pytest.raises(ValueError, match="do not belong together"):
        Course(np.zeros((2, 3)), np.ones(1), 0.8)
