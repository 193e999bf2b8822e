"""Bodies that fall apart or slip away are refused before they are solved, and those that hold are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trocar.physics.elasticity import deform
from trocar.physics.solid import Boundary, Solid
from trocar.physics.supports import check_supports

from .peer_problems import bottom, held


def solid_of(filled: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Solid:
    return Solid(np.full(filled.shape, 1000.0, np.float32), filled.astype(np.uint8), spacing_mm=spacing)


def full(*shape: int) -> Solid:
    return solid_of(np.ones(shape, bool))


def node(solid: Solid, *place: int) -> np.ndarray:
    where = np.zeros(solid.nodes, bool)
    where[place] = True
    return where


def pins(solid: Solid, *given_: tuple[tuple[int, int, int], str]) -> Boundary:
    """Supports ``((k, j, i), "kji")`` at single nodes."""
    boundary = Boundary(solid.nodes)
    for place, components in given_:
        for name in components:
            boundary = boundary + Boundary.displace(node(solid, *place), "kji".index(name), 0.0)
    return boundary


def test_six_supports_hold_a_body_and_any_five_of_them_do_not() -> None:
    solid = full(3, 4, 5)
    six = [((0, 0, 0), "k"), ((0, 0, 0), "j"), ((0, 0, 0), "i"), ((0, 4, 0), "k"), ((0, 4, 0), "i"), ((0, 0, 5), "k")]
    check_supports(solid, pins(solid, *six))
    for missing in range(6):
        with pytest.raises(ValueError, match="the supports leave the body free to move"):
            check_supports(solid, pins(solid, *six[:missing], *six[missing + 1 :]))


@pytest.mark.parametrize("axis", range(3))
def test_a_shift_left_free_is_named(axis: int) -> None:
    solid = full(4, 4, 4)
    boundary = Boundary(solid.nodes)
    for component in {0, 1, 2} - {axis}:
        boundary = boundary + Boundary.displace(np.ones(solid.nodes, bool), component, 0.0)
    with pytest.raises(ValueError, match=rf"free to move along {'kji'[axis]}.*voxel \[k, j, i\] = \[0, 0, 0\]"):
        deform(solid, boundary)


@pytest.mark.parametrize("axis", range(3))
def test_a_hinge_along_an_axis_is_named(axis: int) -> None:
    solid = full(4, 4, 4)
    index = np.indices(solid.nodes)
    line = np.all([index[other] == 2 for other in range(3) if other != axis], axis=0)
    boundary = Boundary(solid.nodes)
    for component in range(3):
        boundary = boundary + Boundary.displace(line, component, 0.0)
    with pytest.raises(ValueError, match=f"free to move about the {'kji'[axis]} axis"):
        check_supports(solid, boundary)


def test_a_plate_pressed_without_lateral_support_is_refused() -> None:
    solid = full(3, 3, 3)
    top = np.indices(solid.nodes)[0] == 3
    pressed = Boundary.displace(bottom(solid), 0, 0.0) + Boundary.displace(top, 0, -0.01)
    with pytest.raises(ValueError, match=r"free to move along [ji]|about the k axis"):
        deform(solid, pressed)


def test_nothing_held_at_all() -> None:
    solid = full(2, 2, 2)
    with pytest.raises(ValueError, match="free to move"):
        deform(solid, Boundary(solid.nodes))


def test_supports_in_the_void_hold_nothing() -> None:
    filled = np.zeros((6, 3, 3), bool)
    filled[3:] = True
    solid = solid_of(filled)
    with pytest.raises(ValueError, match=r"free to move .* begins at voxel \[k, j, i\] = \[3, 0, 0\]"):
        deform(solid, held(solid))


def test_a_floating_island_is_refused_with_its_size_and_place() -> None:
    filled = np.ones((8, 4, 4), bool)
    filled[4:] = False
    filled[6, 1:3, 2] = True
    solid = solid_of(filled)
    with pytest.raises(
        ValueError, match=r"1 of 2 pieces .* has 2 voxels and begins at \[k, j, i\] = \[6, 1, 2\]: leave out floating"
    ):
        deform(solid, held(solid))


@pytest.mark.parametrize("upper", [(slice(2, 4), slice(2, 4), slice(0, 4)), (slice(2, 4), slice(2, 4), slice(2, 4))])
def test_what_hangs_on_an_edge_or_a_corner_is_refused(upper: tuple[slice, slice, slice]) -> None:
    filled = np.zeros((4, 4, 4), bool)
    filled[:2, :2, : 4 if upper[2].start == 0 else 2] = True
    filled[upper] = True
    solid = solid_of(filled)
    with pytest.raises(ValueError, match=rf"1 of 2 pieces .* begins at \[k, j, i\] = \[2, 2, {upper[2].start}\]"):
        deform(solid, held(solid))


def test_two_pieces_that_are_both_held_are_solved_as_two_bodies() -> None:
    filled = np.ones((6, 5, 11), bool)
    filled[:, :, 5] = False
    both = solid_of(filled)
    top = np.indices(both.nodes)[0] == 6
    together = deform(both, held(both) + Boundary.displace(top, 0, -0.01), tolerance=1e-10)
    one = full(6, 5, 5)
    alone = deform(one, held(one) + Boundary.displace(np.indices(one.nodes)[0] == 6, 0, -0.01), tolerance=1e-10)
    for start in (0, 6):
        part = together.displacement_mm[..., start : start + 6]
        assert np.abs(part - alone.displacement_mm).max() < 1e-10


def test_a_force_in_a_void_is_refused_at_its_node() -> None:
    filled = np.ones((4, 4, 6), bool)
    filled[:, :, 4:] = False
    solid = solid_of(filled)
    with pytest.raises(ValueError, match=r"force acts at node \[k, j, i\] = \[2, 3, 5\], where there is no material"):
        deform(solid, held(solid) + Boundary.load(node(solid, 2, 3, 5), 0, -1.0))
    check_supports(solid, held(solid) + Boundary.load(node(solid, 2, 3, 4), 0, -1.0))  # the body's surface
    check_supports(solid, held(solid) + Boundary.load(node(solid, 2, 3, 5), 0, 0.0))  # no force at all


def test_the_boundary_of_another_box_is_refused() -> None:
    with pytest.raises(ValueError, match=r"boundary is for \(4, 4, 4\) nodes, the solid has \(4, 4, 5\)"):
        deform(full(3, 3, 4), held(full(3, 3, 3)))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.data())
def test_a_single_held_voxel_of_any_box_is_accepted(data: st.DataObject) -> None:
    """However small beside its box and wherever in it: the box must not decide what counts as loose."""
    shape = data.draw(st.tuples(*[st.integers(1, 120)] * 3).filter(lambda s: np.prod(s) < 300_000))
    place = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    spacing = data.draw(st.tuples(*[st.floats(0.05, 5.0)] * 3))
    filled = np.zeros(shape, bool)
    filled[place] = True
    solid = solid_of(filled, spacing)
    k, j, i = place
    six = [((k, j, i), "kji"), ((k, j + 1, i), "ki"), ((k, j, i + 1), "k")]
    check_supports(solid, pins(solid, *six))
    with pytest.raises(ValueError, match="free to move"):
        check_supports(solid, pins(solid, *six[:2]))
