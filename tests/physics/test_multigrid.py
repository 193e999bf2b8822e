"""The parts of the solver: the smoother's polynomial, the grids, what passes between them, the cycle, the threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import diags_array
from scipy.sparse.linalg import eigsh

from trocar.measure import Status
from trocar.physics import sweeps
from trocar.physics.elasticity import Equilibrium, deform
from trocar.physics.levels import Grid, VoxelLevel, hierarchy
from trocar.physics.multigrid import PIECES, SERIAL_SIZE, Crew, Ending, chebyshev, conjugate_gradients, pieces, v_cycle
from trocar.physics.solid import Boundary, Material, Solid

from .assembled import assembled, free_of, random_body, squeezed
from .peer_problems import ORTHOTROPIC, held, moved, phantom, random_cube

#: A cycle in float32 is symmetric to about this, relative to its greatest products.
SINGLE = 1e-5


def crew() -> Crew:
    return Crew(1)


def random_load(level: VoxelLevel, seed: int) -> np.ndarray:
    """Numbers at free nodes, 0 elsewhere (float64)."""
    load = np.random.default_rng(seed).standard_normal(level.grid.size)
    load[level.inverse == 0.0] = 0.0
    return load


class TestChebyshev:
    @pytest.mark.parametrize("steps", [1, 2, 3, 6])
    def test_it_is_the_polynomial_of_the_fourth_kind(self, steps: int) -> None:
        """What is left of an error with eigenvalue s is W_n(1 - 2 s) / (2 n + 1), W_n = sin((n+1/2) t) / sin(t/2)."""
        largest = 3.7
        s = np.linspace(0.01, 0.999, 200)
        x, change = np.zeros_like(s), np.zeros_like(s)  # solve s largest x = s largest: the error is 1 - x
        for keeps, gains in chebyshev(steps, largest):
            change = keeps * change + gains * largest * s * (1.0 - x)
            x = x + change
        turn = np.arccos(1.0 - 2.0 * s)
        assert np.allclose(1.0 - x, np.sin((steps + 0.5) * turn) / np.sin(0.5 * turn) / (2 * steps + 1), atol=1e-13)
        assert np.abs(1.0 - x).max() < 1.0


class TestPieces:
    @given(st.integers(2, 700), st.integers(1, 10**9))
    def test_they_cover_every_plane_once_and_begin_even(self, planes: int, size: int) -> None:
        found = pieces(planes, size)
        assert [k for first, last in found for k in range(first, last)] == list(range(planes))
        assert all(first % 2 == 0 and last > first for first, last in found)
        assert len(found) <= PIECES
        assert len(found) == 1 or size >= SERIAL_SIZE

    def test_a_crew_does_each_once_and_passes_on_what_goes_wrong(self) -> None:
        done: list[int] = []
        for threads in (1, 3):
            with Crew(threads).at_work() as several:
                several.each(done.append, ((n,) for n in range(7)))
                with pytest.raises(ZeroDivisionError):
                    several.each(lambda n: 1 // n, [(1,), (0,), (2,)])
        assert sorted(done) == sorted([*range(7)] * 2)

    def test_a_crew_works_on_after_a_block_that_failed(self) -> None:
        crew, done = Crew(3), list[int]()
        with pytest.raises(ZeroDivisionError), crew.at_work():
            crew.each(lambda n: 1 // n, [(1,), (0,)])
        crew.each(done.append, ((n,) for n in range(3)))
        assert done == [0, 1, 2]

    def test_cores_are_counted_on_every_system(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda: 5)
        assert Crew().threads == 5
        monkeypatch.setattr(os, "cpu_count", lambda: None)
        assert Crew().threads == 1

    def test_sums_and_products_of_vectors(self) -> None:
        solid = random_cube(9)
        vectors, grid = Equilibrium(solid, moved(solid), threads=1).vectors, Grid(solid.nodes)
        x, r, p, q = np.zeros((4, grid.size))
        z = np.zeros(grid.size, np.float32)
        for seed, vector in enumerate((x, r, p, q, z)):
            grid.view(vector)[:] = np.random.default_rng(seed).standard_normal((3, *solid.nodes))
        assert vectors.products(z, r, q) == pytest.approx((z @ r, z @ q), rel=1e-12)
        turned, after, left = z + 0.7 * p, x + 0.3 * p, r - 0.3 * q
        assert vectors.advance(x, r, p, q, 0.3) == pytest.approx(left @ left, rel=1e-12)
        vectors.turn(p, z, 0.7)
        assert np.allclose([x, r, p], [after, left, turned], rtol=1e-13, atol=1e-15)


class TestGrid:
    @pytest.mark.parametrize("nodes", [(2, 2, 2), (3, 5, 9), (7, 4, 18)])
    def test_a_degree_of_freedom_is_found_where_the_view_shows_it(self, nodes: tuple[int, int, int]) -> None:
        grid = Grid(nodes)
        vector = np.zeros(grid.size)
        dof = np.arange(3 * np.prod(nodes))
        vector[grid.places(dof)] = dof + 1.0
        assert np.array_equal(grid.view(vector).reshape(-1), dof + 1.0)
        assert np.count_nonzero(vector) == dof.size

    @given(st.tuples(*[st.integers(2, 40)] * 3))
    def test_a_coarser_grid_covers_the_finer_one(self, nodes: tuple[int, int, int]) -> None:
        for fine, coarse in zip(nodes, Grid(nodes).coarser.nodes, strict=True):
            assert 0 <= 2 * (coarse - 1) - (fine - 1) <= 1


def levels_of(shape: tuple[int, int, int], seed: int = 0, void: float = 0.2) -> list[VoxelLevel]:
    rng = np.random.default_rng(seed)
    material = np.where(rng.random(shape) < void, 0, rng.integers(1, 3, shape)).astype(np.uint8)
    material[0] = 1
    modulus = np.exp(rng.uniform(0.0, 5.0, shape)).astype(np.float32)
    solid = Solid(modulus, material, (Material.isotropic("bone"), ORTHOTROPIC), (0.7, 1.0, 1.6))
    return hierarchy(solid, held(solid).displaced, crew())


SHAPES = [(8, 8, 8), (7, 5, 9), (13, 6, 11)]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


class TestLevels:
    @shapes
    def test_a_coarse_modulus_is_the_mean_of_eight_with_voids_as_nothing(self, shape: tuple[int, int, int]) -> None:
        fine, coarse = levels_of(shape)[:2]
        at = [level.elements.modulus[: -sweeps.WIDTH].reshape(level.grid.shape) for level in (fine, coarse)]
        k, j, i = (n - 1 for n in coarse.grid.nodes)
        padded = np.zeros((2 * k, 2 * j, 2 * i))
        padded[: shape[0], : shape[1], : shape[2]] = at[0][: shape[0], : shape[1], : shape[2]]
        mean = padded.reshape(k, 2, j, 2, i, 2).mean(axis=(1, 3, 5))
        assert np.allclose(at[1][:k, :j, :i], mean, rtol=1e-5)
        kinds = coarse.elements.kind[: -sweeps.WIDTH].reshape(coarse.grid.shape)[:k, :j, :i]
        assert np.array_equal(kinds > 0, mean > 0.0)

    @shapes
    def test_gathering_is_the_transpose_of_interpolating(self, shape: tuple[int, int, int]) -> None:
        fine, coarse = levels_of(shape)[:2]
        load = random_load(fine, 1)
        fine.x[:] = 0.0
        fine.gather(load, coarse)
        coarse.x[:] = 0.0
        coarse.grid.view(coarse.x)[:] = np.random.default_rng(2).standard_normal((3, *coarse.grid.nodes))
        other = coarse.x.astype(float)
        fine.correct(coarse)
        assert coarse.load.astype(float) @ other == pytest.approx(load @ fine.x.astype(float), rel=SINGLE)

    @shapes
    def test_interpolation_keeps_a_linear_field(self, shape: tuple[int, int, int]) -> None:
        fine, coarse = levels_of(shape, void=0.0)[:2]
        slope = np.array([[0.3, -0.2, 0.5], [0.1, 0.7, -0.4], [-0.6, 0.2, 0.9]])
        coarse.grid.view(coarse.x)[:] = np.tensordot(slope, 2.0 * np.indices(coarse.grid.nodes), 1)
        fine.x[:] = 0.0
        fine.correct(coarse)
        exact = np.where(fine._free, np.tensordot(slope, np.indices(fine.grid.nodes), 1), 0.0)
        assert np.allclose(fine.grid.view(fine.x), exact, atol=1e-5)

    @pytest.mark.parametrize("seed", range(4))
    def test_the_smoother_reaches_the_greatest_eigenvalue(self, seed: int) -> None:
        """Beyond what it was made for the polynomial grows: an error would be made greater, not smaller."""
        solid = random_body((8, 7, 9), seed, spacing_mm=(0.7, 1.0, 1.6))
        boundary = squeezed(solid)
        matrix = assembled(solid)
        free = free_of(matrix, boundary)
        root = np.sqrt(matrix.diagonal()[free])
        largest = eigsh(
            diags_array(1 / root) @ matrix[free][:, free] @ diags_array(1 / root), 1, return_eigenvectors=False
        )[0]
        _, gains = hierarchy(solid, boundary.displaced, crew())[0].steps[0]
        assert largest <= 1.02 * 4.0 / (3.0 * gains)  # the first step gains 4 / (3 largest)

    def test_a_step_is_the_same_to_the_bit_however_many_pieces_it_is_done_in(self) -> None:
        level = levels_of((16, 9, 13))[0]
        load = random_load(level, 5)
        answers = []
        for parts in ([(0, 17)], [(0, 6), (6, 12), (12, 17)], [(0, 2), (2, 16), (16, 17)]):
            level.parts = tuple(parts)
            level._rooms = [level._rooms[0].__class__(level.grid) for _ in parts]
            level.begin(load)
            level.smooth(load)
            answers.append(level.x.copy())
        assert np.array_equal(answers[0], answers[1])
        assert np.array_equal(answers[0], answers[2])

    @shapes
    def test_gathering_in_pieces_loses_nothing(self, shape: tuple[int, int, int]) -> None:
        fine, coarse = levels_of(shape)[:2]
        load = random_load(fine, 6)
        fine.begin(load)
        fine.gather(load, coarse)
        whole = coarse.load.copy()
        fine.parts = ((0, 2), (2, 6), (6, fine.grid.nodes[0]))
        fine._rooms = [fine._rooms[0].__class__(fine.grid) for _ in fine.parts]
        fine.gather(load, coarse)
        assert np.allclose(coarse.load, whole, atol=1e-5 * np.abs(whole).max())


class TestCycle:
    @shapes
    @pytest.mark.parametrize("void", [0.0, 0.3])
    def test_it_is_symmetric_and_positive(self, shape: tuple[int, int, int], void: float) -> None:
        levels = levels_of(shape, void=void)
        a, b = random_load(levels[0], 1), random_load(levels[0], 2)
        of_a = v_cycle(levels, a).astype(float).copy()
        of_b = v_cycle(levels, b).astype(float).copy()
        scale = np.sqrt((a @ of_a) * (b @ of_b))
        assert a @ of_a > 0.0
        assert b @ of_b > 0.0
        assert abs(b @ of_a - a @ of_b) < SINGLE * scale

    def test_it_is_linear_in_scale(self) -> None:
        levels = levels_of((9, 9, 9))
        load = random_load(levels[0], 3)
        one = v_cycle(levels, load).copy()
        assert np.array_equal(v_cycle(levels, 1024.0 * load), 1024.0 * one)

    @shapes
    def test_it_is_nothing_where_nothing_can_move(self, shape: tuple[int, int, int]) -> None:
        levels = levels_of(shape)
        answer = v_cycle(levels, random_load(levels[0], 4))
        assert not answer[levels[0].inverse == 0.0].any()


class Run:
    """One compressed cube, advanced from nothing as often as asked."""

    def __init__(self, body: Equilibrium) -> None:
        self.body, grid = body, body.finest.grid
        self.begin = np.zeros(grid.size)
        self.begin[grid.places(body.boundary.displaced)] = body.boundary.displacement_mm
        self.size = self.left(self.begin)[1]

    def left(self, x: np.ndarray) -> tuple[np.ndarray, float]:
        residual = np.zeros_like(x)
        return residual, self.body.residual_of(self.body.boundary, x, residual)

    def __call__(self, tolerance: float, **more: Any) -> tuple[np.ndarray, Ending]:
        x, body = self.begin.copy(), self.body
        given = {"tolerance": tolerance, "compared_with": self.size} | more
        return x, conjugate_gradients(body, body.levels, body.vectors, x, self.left(x)[0], **given)


class TestConjugateGradients:
    @pytest.fixture
    def run(self) -> Iterator[Run]:
        solid = random_cube(12)
        with Equilibrium(solid, moved(solid), threads=1) as body:
            yield Run(body)

    def test_its_residual_is_the_equations_own(self, run: Run) -> None:
        x, ending = run(1e-8)
        assert ending.residual <= 1e-8
        assert run.left(x)[1] / run.size == pytest.approx(ending.residual, rel=1e-3)

    def test_a_limit_ends_it_unconverged(self, run: Run) -> None:
        _, ending = run(1e-8, limit=2)
        assert ending.iterations == 2
        assert 1e-8 < ending.residual < 1.0

    def test_the_energy_of_the_error_falls_with_every_step(self, run: Run) -> None:
        exact, _ = run(1e-12)
        before, out = np.inf, np.zeros_like(exact)
        for steps in range(5):
            x, _ = run(1e-12, limit=steps)
            energy = run.body.apply(x - exact, out)
            assert energy < 0.2 * before
            before = energy

    def test_progress_tells_every_step(self, run: Run) -> None:
        told: list[tuple[int, float]] = []
        _, ending = run(1e-6, progress=lambda n, residual: told.append((n, residual)))
        assert [n for n, _ in told] == list(range(ending.iterations + 1))
        assert told[0][1] == pytest.approx(1.0)
        assert told[-1][1] == ending.residual


def steps_to(solid: Solid, residual: float = 1e-6) -> int:
    """The first iteration at which the relative residual is met."""
    told: list[tuple[int, float]] = []
    deform(solid, moved(solid), tolerance=residual, progress=lambda n, left: told.append((n, left)))
    return next(n for n, left in told if left <= residual)


def test_iterations_do_not_grow_with_the_grid() -> None:
    assert steps_to(random_cube(48)) <= steps_to(random_cube(24)) + 3


@pytest.mark.parametrize("n", [16, 32, 48])
def test_a_body_with_a_shell_a_tumour_cement_and_a_hole_takes_few_iterations(n: int) -> None:
    assert steps_to(phantom(n)) <= 12


@pytest.mark.parametrize("shape", [(31, 28, 27), (40, 25, 26)], ids=str)
def test_one_thread_and_several_give_the_same_bits(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(8)
    material = (rng.random(shape) < 0.9).astype(np.uint8)
    material[:, ::2] = 1
    material[:, :, ::2] = 1
    solid = Solid(rng.uniform(10.0, 1000.0, shape).astype(np.float32), material)
    assert 3 * np.prod(solid.nodes) >= SERIAL_SIZE
    one, two, three = (deform(solid, moved(solid), threads=n) for n in (1, 2, 3))
    assert one.status is Status.SUCCESS
    for other in (two, three):
        assert np.array_equal(one.displacement_mm, other.displacement_mm)
        assert np.array_equal(one.reaction_n, other.reaction_n)
        assert one.iterations == other.iterations


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.sampled_from([2.0**-10, 2.0**10, 1e-3, 3.7e4]), st.sampled_from([(6, 9, 11), (16, 5, 8)]))
def test_the_unit_of_modulus_and_length_does_not_matter(factor: float, shape: tuple[int, int, int]) -> None:
    modulus = np.random.default_rng(1).uniform(50.0, 2000.0, shape)
    one = Solid(modulus, np.ones(shape, np.uint8))
    stiffer = Solid(factor * modulus, np.ones(shape, np.uint8))
    larger = Solid(modulus, np.ones(shape, np.uint8), spacing_mm=(factor, factor, factor))
    answer = deform(one, moved(one))
    for other, unit in ((stiffer, 1.0), (larger, factor)):
        same = deform(other, moved(other))
        assert same.iterations == answer.iterations
        close = 1e-6 * np.abs(answer.displacement_mm).max()
        assert np.allclose(same.displacement_mm / unit, answer.displacement_mm, rtol=0.0, atol=close)


def test_a_tiny_load_takes_no_more_iterations_than_a_great_one() -> None:
    solid = random_cube(10)
    boundary: Boundary = moved(solid)
    once, tiny = deform(solid, boundary), deform(solid, boundary.scaled(1e-9))
    assert tiny.iterations == once.iterations
    assert np.allclose(1e9 * tiny.displacement_mm, once.displacement_mm, atol=1e-8)
