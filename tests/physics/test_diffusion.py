"""Steady diffusion: closed forms, rates, a direct solver, conservation, mirrors, few iterations, refusals."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.linalg import spsolve

from trocar.measure import Status
from trocar.physics.diffusion import Diffusion
from trocar.physics.face_levels import SMOOTHING
from trocar.physics.faces import Faces
from trocar.physics.multigrid import v_cycle

#: Potential at a unit source in an endless cubic lattice of unit conductances: Watson's third integral over 2.
#: Watson GN. Three triple integrals. Q J Math 1939;10:266-276.
LATTICE = 0.252731
#: A cycle in float32 is symmetric to about this, relative to its greatest products.
SINGLE = 1e-5


def along(axis: int, which: slice) -> tuple[slice, ...]:
    return tuple(which if a == axis else slice(None) for a in range(3))


def conducting(k: np.ndarray, ground: np.ndarray, side: float = 1.0, dtype: type = np.float64) -> Faces:
    """Cubes of a conductivity in series: half of one cell and half of the next."""
    faces = np.zeros((3, *k.shape))
    for axis in range(3):
        one, other = k[along(axis, slice(-1))], k[along(axis, slice(1, None))]
        whole = np.where(one + other > 0.0, one + other, 1.0)
        faces[axis][along(axis, slice(-1))] = 2.0 * side * one * other / whole
    return Faces(*(f.astype(dtype) for f in faces), ground.astype(dtype))


def sides(shape: tuple[int, ...], per_face: float = 1.0) -> np.ndarray:
    """A conductance to the ground through every face on the outside of the box."""
    ground = np.zeros(shape)
    for axis in range(3):
        ground[along(axis, slice(0, 1))] += per_face
        ground[along(axis, slice(-1, None))] += per_face
    return ground


def assembled(faces: Faces) -> csr_array:
    """The matrix, put together from its definition; 1 on the diagonal of a cell outside."""
    number = np.arange(faces.k.size).reshape(faces.k.shape)
    diagonal = faces.ground.astype(float)
    places, values = [], []
    for axis, g in enumerate((faces.k, faces.j, faces.i)):
        a, b = number[along(axis, slice(-1))], number[along(axis, slice(1, None))]
        g = g[along(axis, slice(-1))].astype(float)
        diagonal[along(axis, slice(-1))] += g
        diagonal[along(axis, slice(1, None))] += g
        places += [(a.ravel(), b.ravel()), (b.ravel(), a.ravel())]
        values += [-g.ravel(), -g.ravel()]
    diagonal[diagonal == 0.0] = 1.0
    places.append((number.ravel(), number.ravel()))
    values.append(diagonal.ravel())
    rows, columns = np.concatenate(places, axis=1)
    return csr_array((np.concatenate(values), (rows, columns)))


def contrasting(shape: tuple[int, int, int], seed: int, decades: float = 6.0) -> tuple[Faces, np.ndarray]:
    """A box with holes whose conductivity varies from cell to cell by as many decades; some pieces are closed."""
    rng = np.random.default_rng(seed)
    k = np.where(rng.random(shape) < 0.2, 0.0, 10.0 ** rng.uniform(-decades, 0.0, shape))
    ground = np.where((k > 0.0) & (rng.random(shape) < 0.3), 1e-3 * rng.random(shape), 0.0)
    ground.flat[0] = 1.0
    faces = conducting(k, ground)
    return faces, np.where(grounded(faces), rng.standard_normal(shape), 0.0)


def grounded(faces: Faces) -> np.ndarray:
    """Cells that a way leads from to the ground, found by walking."""
    found = faces.ground > 0.0
    while True:
        more = found.copy()
        for axis, g in enumerate((faces.k, faces.j, faces.i)):
            open_ = g[along(axis, slice(-1))] > 0.0
            more[along(axis, slice(-1))] |= open_ & found[along(axis, slice(1, None))]
            more[along(axis, slice(1, None))] |= open_ & found[along(axis, slice(-1))]
        if np.array_equal(more, found):
            return found
        found = more


def vertebral(n: int, *, channels: bool = False, outlets: int = 0) -> tuple[Faces, np.ndarray]:
    """A body with a ball in it that conducts a thousandth, perhaps channels one cell wide that conduct a hundredfold.

    Its whole rim is grounded, or a few cells weakly.
    """
    rng = np.random.default_rng(0)
    at = np.indices((n, n, n))
    z, y, x = (at - (n - 1) / 2) / (n / 2)
    body = (np.abs(z) < 0.6) & ((y / 0.65) ** 2 + (x / 0.9) ** 2 < 1.0) & ~((y - 0.75) ** 2 + x**2 < 0.16)
    k = np.where(body, np.exp(0.5 * rng.standard_normal(body.shape)), 0.0)
    if channels:
        k[n // 2, n // 2, :] *= 100.0
        k[n // 2 + 1, :, n // 3] *= 100.0
        for step in range(n // 2):
            k[n // 4 + step, n // 2 + (step + 1) // 2 - n // 8, n // 2 + step // 2 - n // 8] *= 100.0
    tip = n // 2, n // 2 - 2, n // 2 - n // 8
    k[sum((at[a] - tip[a]) ** 2 for a in range(3)) < (n / 6) ** 2] *= 1e-3
    inner = body.copy()
    for axis in range(3):
        inner &= np.roll(body, 1, axis) & np.roll(body, -1, axis)
    rim = np.flatnonzero(body & ~inner)
    ground, source = np.zeros_like(k), np.zeros_like(k)
    if outlets:
        ground.flat[rng.choice(rim, outlets, replace=False)] = 0.01
    else:
        ground.flat[rim] = 0.05 * k.flat[rim]
    source[tip] = 1.0
    return conducting(k, ground, dtype=np.float32), source


class TestClosedForms:
    @pytest.mark.parametrize("axis", range(3))
    def test_layers_in_series(self, axis: int) -> None:
        """Each face holds back the flow by one over what it conducts, whatever comes before."""
        shape = tuple(23 if a == axis else (3, 4, 5)[a] for a in range(3))
        layers = 10.0 ** np.random.default_rng(1).uniform(-6.0, 0.0, 23)
        line = tuple(slice(None) if a == axis else None for a in range(3))
        k = np.broadcast_to(layers[line], shape)
        ground, source = np.zeros(shape), np.zeros(shape)
        ground[along(axis, slice(-1, None))] = 2.0 * layers[-1]
        source[along(axis, slice(0, 1))] = 3.0
        drops = 0.5 / layers[:-1] + 0.5 / layers[1:]
        exact = 3.0 * (np.append(np.cumsum(drops[::-1])[::-1], 0.0) + 0.5 / layers[-1])
        found = Diffusion(shape).solve(conducting(k, ground), source, tolerance=1e-9)
        assert found.status is Status.SUCCESS
        assert np.allclose(found.value, np.broadcast_to(exact[line], shape), rtol=1e-7)

    def test_a_point_source_in_an_endless_medium(self) -> None:
        """Around the box the potential is that far from a source, ``1 / (4 pi r)``."""
        n = 33
        at = np.indices((n + 2,) * 3) - (n + 1) // 2
        r = np.sqrt((at**2).sum(0))
        far = np.divide(1.0, 4.0 * np.pi * r, out=np.zeros_like(r), where=r > 0.0)
        source = np.zeros((n, n, n))
        for axis in range(3):
            for inside, outside in ((slice(0, 1), slice(0, 1)), (slice(-1, None), slice(-1, None))):
                beyond = tuple(outside if a == axis else slice(1, -1) for a in range(3))
                source[along(axis, inside)] += far[beyond]
        source[n // 2, n // 2, n // 2] += 1.0
        found = Diffusion((n, n, n)).solve(conducting(np.ones((n, n, n)), sides((n, n, n))), source)
        assert found.value[n // 2, n // 2, n // 2] == pytest.approx(LATTICE, abs=2e-5)

    def test_smooth_fields_come_out_to_second_order(self) -> None:
        """``p = sin sin sin`` in a cube held at 0, where the conductivity is ``exp(x + y / 2 - z)``."""
        errors = []
        for n in (8, 16, 32):
            h = 1.0 / n
            z, y, x = (np.indices((n, n, n)) + 0.5) * h
            s, c, pi = np.sin, np.cos, np.pi
            p, k = s(pi * z) * s(pi * y) * s(pi * x), np.exp(x + 0.5 * y - z)
            slopes = -s(pi * y) * s(pi * x) * c(pi * z), 0.5 * s(pi * z) * s(pi * x) * c(pi * y)
            slope = pi * (slopes[0] + slopes[1] + s(pi * z) * s(pi * y) * c(pi * x))
            ground = np.zeros_like(k)
            for axis, rate in enumerate((-1.0, 0.5, 1.0)):
                for end, way in ((slice(0, 1), -1.0), (slice(-1, None), 1.0)):
                    wall = k[along(axis, end)] * np.exp(0.5 * h * way * rate)
                    ground[along(axis, end)] += 2.0 * h * wall
            source = k * (3.0 * pi**2 * p - slope) * h**3
            found = Diffusion((n, n, n)).solve(conducting(k, ground, side=h), source)
            errors.append(np.sqrt(np.mean((found.value - p) ** 2)))
        rates = np.log2(np.array(errors[:-1]) / errors[1:])
        assert np.all(np.abs(rates - 2.0) < 0.15)

    def test_shells_of_a_sphere_come_out_to_first_order(self) -> None:
        """Two shells in series, ``sum of (1 / a - 1 / b) / (4 pi K)``; steps on round borders cost first order."""
        inner, middle, outer = 0.25, 0.55, 0.9
        exact = (1 / inner - 1 / middle) / (4 * np.pi) + (1 / middle - 1 / outer) / (4 * np.pi * 0.05)
        errors = []
        for n in (16, 32, 64):
            r = np.sqrt((((np.indices((n, n, n)) + 0.5) * 2.0 / n - 1.0) ** 2).sum(0))
            k = np.where(r < inner, 1e4, np.where(r < middle, 1.0, 0.05))
            core = r < inner
            faces = conducting(k, np.where(r > outer, 1e4, 0.0), side=2.0 / n)
            found = Diffusion((n, n, n)).solve(faces, core / core.sum())
            errors.append(abs(found.value[core].mean() / exact - 1.0))
        assert errors[2] < 0.02
        assert errors[2] < 0.4 * errors[0]


class TestAgainstADirectSolver:
    @pytest.mark.parametrize(
        "shape", [(9, 12, 11), (16, 5, 7), (1, 9, 10), (4, 1, 30), (3, 2, 1), (1, 1, 1), (8, 8, 8)]
    )
    @pytest.mark.parametrize("seed", [0, 1])
    def test_six_decades_from_cell_to_cell(self, shape: tuple[int, int, int], seed: int) -> None:
        faces, source = contrasting(shape, seed)
        found = Diffusion(shape).solve(faces, source, tolerance=1e-12)
        open_ = np.flatnonzero(grounded(faces))
        exact = np.zeros(shape)
        exact.flat[open_] = spsolve(assembled(faces)[open_][:, open_].tocsc(), source.flat[open_])
        assert found.status is Status.SUCCESS
        assert np.allclose(found.value, exact, rtol=0.0, atol=1e-7 * np.abs(exact).max())

    def test_the_residual_is_the_equations_own(self) -> None:
        faces, source = contrasting((14, 13, 12), 3, decades=3.0)
        found = Diffusion(source.shape).solve(faces, source, tolerance=1e-7)
        left = source.ravel() - assembled(faces) @ found.value.ravel()
        assert found.residual <= 1e-7
        assert np.linalg.norm(left) / np.linalg.norm(source) == pytest.approx(found.residual, rel=1e-3)

    def test_an_answer_that_rounding_spoils_is_no_success(self) -> None:
        faces, source = contrasting((10, 11, 12), 0)
        found = Diffusion(source.shape).solve(faces, source, tolerance=1e-14)
        assert found.status is Status.NOT_CONVERGED
        left = source.ravel() - assembled(faces) @ found.value.ravel()
        assert 1e-14 < found.residual < 1e-6
        assert np.linalg.norm(left) / np.linalg.norm(source) == pytest.approx(found.residual, rel=0.5)


class TestConservation:
    @pytest.mark.parametrize("outlets", [0, 3])
    def test_what_flows_in_flows_out(self, outlets: int) -> None:
        faces, source = vertebral(24, channels=True, outlets=outlets)
        found = Diffusion(source.shape).solve(faces, source, tolerance=1e-10)
        assert (faces.ground * found.value).sum() == pytest.approx(source.sum(), rel=1e-8)

    def test_the_potential_is_greatest_at_the_source_and_nowhere_negative(self) -> None:
        faces, source = vertebral(24, channels=True)
        found = Diffusion(source.shape).solve(faces, source, tolerance=1e-10)
        assert found.value.min() > -1e-9 * found.value.max()
        assert found.value.argmax() == source.argmax()


class TestWeakGround:
    @pytest.mark.parametrize("weak", [1e-3, 1e-6, 1e-9])
    def test_what_flows_inside_is_not_lost_beside_a_great_level(self, weak: float) -> None:
        """A weaker ground lifts all potentials alike: the differences, and so the flows, stay what they are."""
        faces, source = vertebral(20, outlets=1)
        lifted = Faces(faces.k, faces.j, faces.i, weak * faces.ground.astype(float))
        box = Diffusion(source.shape)
        one, high = box.solve(faces, source, tolerance=1e-10), box.solve(lifted, source, tolerance=1e-10)
        assert high.status is Status.SUCCESS
        inside = one.value != 0.0
        lift = source.sum() / lifted.ground.sum() - source.sum() / faces.ground.sum()
        room = np.spacing(high.value.max()) + 1e-7 * np.ptp(one.value[inside])
        assert np.allclose(high.value[inside] - lift, one.value[inside], rtol=0.0, atol=4.0 * room)

    def test_each_piece_has_a_level_of_its_own(self) -> None:
        shape = (6, 5, 12)
        k, ground, source = np.ones(shape), np.zeros(shape), np.zeros(shape)
        k[:, :, 6] = 0.0
        ground[0, 0, 0], ground[5, 4, 11] = 1e-9, 1e-6
        source[2, 2, 2], source[3, 3, 8] = 1.0, -2.0
        found = Diffusion(shape).solve(conducting(k, ground), source)
        assert found.status is Status.SUCCESS
        assert found.value[0, 0, 0] == pytest.approx(1e9, rel=1e-8)
        assert found.value[5, 4, 11] == pytest.approx(-2e6, rel=1e-8)


class TestSymmetry:
    @pytest.mark.parametrize("axis", range(3))
    @pytest.mark.parametrize("shape", [(11, 14, 13), (16, 16, 16)])
    def test_what_is_mirrored_comes_out_mirrored(self, shape: tuple[int, int, int], axis: int) -> None:
        rng = np.random.default_rng(4)
        k, source = 10.0 ** rng.uniform(-2.0, 0.0, shape), rng.standard_normal(shape)
        box = Diffusion(shape)
        one = box.solve(conducting(k, sides(shape)), source, tolerance=1e-14)
        other = box.solve(conducting(np.flip(k, axis), sides(shape)), np.flip(source, axis), tolerance=1e-14)
        assert np.allclose(np.flip(other.value, axis), one.value, rtol=0.0, atol=1e-12 * np.abs(one.value).max())

    def test_the_answer_here_to_a_source_there_is_that_there_to_one_here(self) -> None:
        faces, source = vertebral(20)
        here, there = np.flatnonzero(source)[0], np.flatnonzero(faces.ground)[7]
        one, other = np.zeros(source.size), np.zeros(source.size)
        one[here], other[there] = 1.0, 1.0
        box = Diffusion(source.shape)
        answers = [box.solve(faces, s.reshape(source.shape), tolerance=1e-12).value.ravel() for s in (one, other)]
        assert answers[0][there] == pytest.approx(answers[1][here], rel=1e-8)

    @pytest.mark.parametrize("factor", [1e-60, 2.0**-40, 1e60])
    def test_the_unit_of_conductance_does_not_matter(self, factor: float) -> None:
        faces, source = vertebral(20)
        scaled = Faces(*(factor * np.asarray(f, float) for f in (faces.k, faces.j, faces.i, faces.ground)))
        box = Diffusion(source.shape)
        one, same = (box.solve(f, source) for f in (faces, scaled))
        assert same.iterations == one.iterations
        assert np.allclose(factor * same.value, one.value, rtol=0.0, atol=1e-6 * one.value.max())

    @pytest.mark.parametrize("factor", [1e-15, 2.0**40])
    def test_a_small_source_takes_no_more_iterations_than_a_great_one(self, factor: float) -> None:
        faces, source = vertebral(20)
        box = Diffusion(source.shape)
        one, driven = (box.solve(faces, f * source) for f in (1.0, factor))
        assert driven.iterations == one.iterations
        assert np.allclose(driven.value / factor, one.value, rtol=0.0, atol=1e-6 * one.value.max())


class TestCycle:
    @pytest.mark.parametrize("shape", [(12, 9, 10), (7, 5, 17)])
    def test_it_is_symmetric_and_positive(self, shape: tuple[int, int, int]) -> None:
        faces, source = contrasting(shape, 5, decades=3.0)
        box = Diffusion(shape)
        box.solve(faces, source)
        inside = box.levels[0].inverse != 0.0
        a, b = (np.where(inside, np.random.default_rng(n).standard_normal(inside.size), 0.0) for n in range(2))
        of_a = v_cycle(box.levels, a).astype(float)
        of_b = v_cycle(box.levels, b).astype(float)
        assert a @ of_a > 0.0
        assert b @ of_b > 0.0
        assert abs(b @ of_a - a @ of_b) < SINGLE * np.sqrt((a @ of_a) * (b @ of_b))
        assert not of_a[~inside].any()

    @pytest.mark.parametrize("shape", [(12, 9, 10), (7, 5, 17)])
    def test_gathering_is_the_transpose_of_correcting(self, shape: tuple[int, int, int]) -> None:
        faces, source = contrasting(shape, 6)
        box = Diffusion(shape)
        box.solve(faces, source)
        fine, coarse = box.levels[:2]
        rng = np.random.default_rng(7)
        load = np.where(fine.inverse != 0.0, rng.standard_normal(fine.x.size), 0.0)
        coarse.x[:] = np.where(coarse.inverse != 0.0, rng.standard_normal(coarse.x.size), 0.0)
        fine.x[:] = 0.0
        fine.gather(load, coarse)
        fine.correct(coarse)
        given = np.where(coarse.inverse != 0.0, coarse.load, 0.0).astype(float) @ coarse.x.astype(float)
        assert given == pytest.approx(load @ fine.x.astype(float), rel=SINGLE)

    def test_no_eigenvalue_is_beyond_what_the_smoother_was_made_for(self) -> None:
        faces, _ = contrasting((6, 7, 5), 8)
        matrix = assembled(faces).toarray()
        root = np.sqrt(matrix.diagonal())
        greatest = np.linalg.eigvalsh(matrix / root / root[:, None])[-1]
        assert 1.9 < greatest <= 4.0 / (3.0 * SMOOTHING[0, 1]) + 1e-12  # the first step gains 4 / (3 greatest)

    def test_smoothing_knows_nothing_of_what_was_smoothed_before(self) -> None:
        faces, source = contrasting((8, 9, 10), 11)
        box = Diffusion(source.shape)
        box.solve(faces, source)
        fine, answers = box.levels[0], []
        for before in (1.0, -7.0):
            load = np.where(fine.inverse != 0.0, 1.0, 0.0)
            fine.begin(before * load)
            fine.x[:] = 0.0
            fine.smooth(load)
            answers.append(fine.x.copy())
        assert np.array_equal(*answers)


class TestManySolves:
    def test_a_box_forgets_what_it_solved_before(self) -> None:
        """Also another body, a closed piece, a failed solve: the same bits as in a new box."""
        shape = (20, 20, 20)
        used = Diffusion(shape)
        for given in ({}, {"channels": True}, {"outlets": 3}, {}):
            faces, source = vertebral(20, **given)
            assert np.array_equal(used.solve(faces, source).value, Diffusion(shape).solve(faces, source).value)
            other, there = contrasting(shape, 9)
            used.solve(other, there)
            with pytest.raises(ValueError, match="not a number"):
                used.solve(other, np.full(shape, np.nan))

    @pytest.mark.parametrize("axis", range(3))
    def test_what_was_no_number_does_not_spread(self, axis: int) -> None:
        """Single precision can't hold these conductances; the next body ends beside where they were."""
        shape = (16, 16, 16)
        far = along(axis, slice(8, None))
        k, ground, source = np.ones(shape), np.zeros(shape), np.zeros(shape)
        k[far], source[2, 3, 4] = 1e-42, 1.0
        ground[0] = 1.0
        ground[far] = 1e-42
        box = Diffusion(shape)
        assert box.solve(conducting(k, ground), source + 1e-9).status is Status.NOT_FINITE
        k[far], ground[far] = 0.0, 0.0
        near = conducting(k, ground)
        assert np.array_equal(box.solve(near, source).value, Diffusion(shape).solve(near, source).value)

    @pytest.mark.parametrize("axis", range(3))
    def test_what_was_inside_can_be_outside(self, axis: int) -> None:
        shape = (12, 10, 9)
        k, ground = np.ones(shape), np.ones(shape)
        box = Diffusion(shape)
        box.solve(conducting(k, ground), np.ones(shape))
        k[along(axis, slice(4, None))] = 0.0
        ground[along(axis, slice(4, None))] = 0.0
        with pytest.raises(ValueError, match="nowhere to go"):
            box.solve(conducting(k, ground), np.ones(shape))

    def test_threads_give_the_same_bits(self) -> None:
        faces, source = vertebral(44, channels=True)
        one, two, three = (Diffusion(source.shape, threads=n).solve(faces, source) for n in (1, 2, 3))
        assert np.array_equal(one.value, two.value)
        assert np.array_equal(one.value, three.value)

    def test_boxes_side_by_side_give_the_same_bits_as_one_after_the_other(self) -> None:
        bodies = [vertebral(32), vertebral(32, channels=True, outlets=3)]
        alone = [Diffusion(source.shape).solve(faces, source).value for faces, source in bodies]
        with ThreadPoolExecutor(2) as pool:
            boxes = [Diffusion(source.shape) for _, source in bodies]
            for _ in range(3):
                jobs = [pool.submit(box.solve, *body) for box, body in zip(boxes, bodies, strict=True)]
                assert all(np.array_equal(j.result().value, one) for j, one in zip(jobs, alone, strict=True))

    def test_a_good_guess_saves_iterations(self) -> None:
        faces, source = vertebral(24)
        box = Diffusion(source.shape)
        first = box.solve(faces, source)
        assert box.solve(faces, source, start=first.value).iterations == 0
        near = box.solve(faces, source, start=first.value * (1.0 + 1e-4))
        assert 0 < near.iterations < first.iterations
        assert np.allclose(near.value, first.value, atol=1e-6 * first.value.max())

    def test_both_precisions_and_any_order_of_storage(self) -> None:
        faces, source = vertebral(16)
        box = Diffusion(source.shape)
        wide = Faces(*(np.asfortranarray(f, float) for f in (faces.k, faces.j, faces.i, faces.ground)))
        assert np.array_equal(box.solve(faces, source).value, box.solve(wide, source.astype(np.float32)).value)


#: Iterations to 1e-8: (size, what the body has, most).
BODIES = [(32, {}), (64, {}), (64, {"channels": True}), (64, {"channels": True, "outlets": 3})]


@pytest.mark.parametrize(("n", "has"), BODIES, ids=str)
def test_a_body_with_slow_and_fast_parts_takes_few_iterations(n: int, has: dict[str, int]) -> None:
    faces, source = vertebral(n, **has)
    found = Diffusion(source.shape).solve(faces, source)
    assert found.status is Status.SUCCESS
    assert found.iterations <= 15


def test_iterations_hardly_grow_with_the_box() -> None:
    counts = []
    for n in (16, 32, 64):
        source = np.zeros((n, n, n))
        source[n // 2, n // 2, n // 2] = 1.0
        counts.append(
            Diffusion((n, n, n)).solve(conducting(np.ones((n, n, n)), sides((n, n, n), 2.0)), source).iterations
        )
    assert counts[-1] <= min(12, counts[0] + 4)


class TestOutside:
    def test_pieces_are_found_as_by_walking(self) -> None:
        """A maze: what nothing leads to from the ground stays at 0, the rest is lifted by what is put in."""
        rng = np.random.default_rng(10)
        for shape in ((9, 8, 11), (5, 14, 6)):
            faces = Faces(*(np.where(rng.random((3, *shape)) < 0.4, 1.0, 0.0)), np.zeros(shape))
            faces.ground[tuple(n // 2 for n in shape)] = 1.0
            reached = grounded(faces)
            found = Diffusion(shape).solve(faces, np.where(reached, 1.0, 0.0))
            assert 10 < reached.sum() < reached.size
            assert np.array_equal(found.value > 0.0, reached)

    def test_nothing_is_outside_and_in_a_closed_piece_without_a_source(self) -> None:
        shape = (6, 7, 20)
        k = np.ones(shape)
        k[:, :, 9] = 0.0
        ground = np.zeros(shape)
        ground[0, 0, 0] = 1.0
        source = np.zeros(shape)
        source[5, 5, 5] = 1.0
        found = Diffusion(shape).solve(conducting(k, ground), source, start=np.ones(shape))
        assert not found.value[:, :, 9:].any()
        assert found.value[:, :, :9].min() > 0.9

    def test_no_source_is_no_flow(self) -> None:
        faces, source = vertebral(12)
        found = Diffusion(source.shape).solve(faces, 0.0 * source, start=np.ones(source.shape))
        assert (found.iterations, found.residual, found.status) == (0, 0.0, Status.SUCCESS)
        assert not found.value.any()

    def test_the_last_plane_row_and_place_are_ignored(self) -> None:
        faces, source = vertebral(16)
        box = Diffusion(source.shape)
        expected = box.solve(faces, source).value
        for axis, g in enumerate((faces.k, faces.j, faces.i)):
            g[along(axis, slice(-1, None))] = np.nan
        assert np.array_equal(box.solve(faces, source).value, expected)


class TestRefusals:
    @pytest.fixture
    def box(self) -> Diffusion:
        return Diffusion((4, 5, 6))

    @pytest.fixture
    def faces(self) -> Faces:
        return Faces(*np.ones((4, 4, 5, 6)))

    @pytest.mark.parametrize("shape", [(4, 5), (4, 0, 6), (1, 2, 3, 4)])
    def test_a_shape_that_is_none(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match="three numbers of cells"):
            Diffusion(shape)

    @pytest.mark.parametrize("name", ["k", "j", "i", "ground"])
    @pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
    def test_a_conductance_that_is_none(self, box: Diffusion, faces: Faces, name: str, value: float) -> None:
        getattr(faces, name)[2, 3, 4] = value
        with pytest.raises(ValueError, match=re.escape(f"{name} of cell (2, 3, 4) is {value:g}")):
            box.solve(faces, np.ones((4, 5, 6)))

    def test_arrays_of_another_box(self, box: Diffusion, faces: Faces) -> None:
        ones = np.ones((4, 5, 6))
        with pytest.raises(ValueError, match=re.escape("source has the shape (5, 6)")):
            box.solve(faces, ones[0])
        with pytest.raises(ValueError, match=re.escape("start has the shape (4, 5, 5)")):
            box.solve(faces, ones, start=ones[..., :5])
        with pytest.raises(ValueError, match=re.escape("ground has the shape (4, 5, 5)")):
            box.solve(Faces(ones, ones, ones, ones[..., :5]), ones)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_numbers_that_are_none(self, box: Diffusion, faces: Faces, value: float) -> None:
        wrong = np.ones((4, 5, 6))
        wrong[1, 2, 3] = value
        with pytest.raises(ValueError, match=re.escape("source in cell (1, 2, 3)")):
            box.solve(faces, wrong)
        with pytest.raises(ValueError, match=re.escape("start in cell (1, 2, 3)")):
            box.solve(faces, np.ones((4, 5, 6)), start=wrong)

    def test_a_source_with_nowhere_to_go(self, box: Diffusion, faces: Faces) -> None:
        faces.ground[:] = 0.0
        faces.ground[0, 0, 0] = 1.0
        faces.k[1] = 0.0
        source = np.zeros((4, 5, 6))
        source[3, 2, 1] = 1.0
        with pytest.raises(ValueError, match=re.escape("source in cell (3, 2, 1) has nowhere to go")):
            box.solve(faces, source)

    def test_a_source_outside(self, box: Diffusion, faces: Faces) -> None:
        for g in (faces.k, faces.j, faces.i, faces.ground):
            g[:, :, 3:] = 0.0
        faces.i[:, :, 2] = 0.0
        with pytest.raises(ValueError, match=re.escape("source in cell (0, 0, 3) has nowhere to go")):
            box.solve(faces, np.ones((4, 5, 6)))

    @pytest.mark.parametrize("tolerance", [0.0, 0.5, np.nan])
    def test_a_tolerance_out_of_reach(self, box: Diffusion, faces: Faces, tolerance: float) -> None:
        with pytest.raises(ValueError, match="tolerance"):
            box.solve(faces, np.ones((4, 5, 6)), tolerance=tolerance)

    def test_what_overflows_is_told_and_forgotten(self, box: Diffusion, faces: Faces) -> None:
        ones = np.ones((4, 5, 6))
        expected = box.solve(faces, ones).value
        assert box.solve(faces, 1e300 * ones).status is Status.NOT_FINITE
        assert np.array_equal(box.solve(faces, ones).value, expected)
