"""Voxel elasticity against closed forms, convergence rates, symmetries and a direct solution of the same equations."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from trocar.measure import Status
from trocar.physics import elasticity
from trocar.physics.elasticity import Deformation, Equilibrium, deform
from trocar.physics.multigrid import conjugate_gradients
from trocar.physics.solid import MOST_MATERIALS, Boundary, Material, Solid

from .assembled import LAWS, assembled, body_nodes, largest_piece, random_body, solve_directly, squeezed
from .peer_problems import ORTHOTROPIC, bottom, held, moved, pushed, random_cube, top

#: Far below what the comparisons ask, where a comparison is not about the solver's own tolerance.
FINE = 1e-11
#: The strain of the bars: 0.1 %.
STRAIN = 0.001


def uniform(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    nu: float = 0.3,
    mpa: float | np.ndarray = 1000.0,
) -> Solid:
    modulus = np.broadcast_to(np.asarray(mpa, np.float32), shape)
    return Solid(modulus, np.ones(shape, np.uint8), (Material.isotropic("bone", nu),), spacing)


def height(solid: Solid) -> float:
    return solid.shape[0] * solid.spacing_mm[0]


def all_of(nodes: np.ndarray, mm: np.ndarray) -> Boundary:
    """All three components prescribed, ``mm[c, k, j, i]``."""
    boundary = Boundary(nodes.shape)
    for component in range(3):
        boundary = boundary + Boundary.displace(nodes, component, mm[component])
    return boundary


def pressed_free(solid: Solid) -> Boundary:
    """The lower face on a smooth plane, the upper one pressed by one: the sides are free."""
    index = np.indices(solid.nodes)
    edge = (index[0] == 0) & (index[1] == 0)
    corner, other = edge & (index[2] == 0), edge & (index[2] == solid.shape[2])
    return (
        Boundary.displace(bottom(solid), 0, 0.0)
        + Boundary.displace(top(solid), 0, -STRAIN * height(solid))
        + Boundary.displace(corner, 1, 0.0)
        + Boundary.displace(corner, 2, 0.0)
        + Boundary.displace(other, 1, 0.0)
    )


def pressed_confined(solid: Solid) -> Boundary:
    """The same in a smooth, rigid box."""
    boundary = Boundary.displace(bottom(solid), 0, 0.0) + Boundary.displace(top(solid), 0, -STRAIN * height(solid))
    for axis in (1, 2):
        place = np.indices(solid.nodes)[axis]
        boundary = boundary + Boundary.displace((place == 0) | (place == solid.shape[axis]), axis, 0.0)
    return boundary


def force_on_top(solid: Solid, boundary: Boundary, tolerance: float = 1e-9) -> float:
    answer = deform(solid, boundary, tolerance=tolerance)
    assert answer.status is Status.SUCCESS
    return -float(answer.force_n(top(solid))[0])


def same_as_direct(solid: Solid, boundary: Boundary, within: float = 1e-8) -> Deformation:
    """Every displacement of the body and every reaction as a direct solver gives them."""
    answer = deform(solid, boundary, tolerance=FINE)
    displacement, reaction = solve_directly(solid, boundary)
    assert answer.status is Status.SUCCESS
    assert np.abs(answer.displacement_mm - displacement).max() <= within * np.abs(displacement).max()
    assert np.abs(answer.reaction_n - reaction).max() <= within * np.abs(reaction).max()
    return answer


class TestPatch:
    """A linear field is a solution, whatever the voxels' sides and the names of equally stiff materials."""

    GRADIENT = np.array([[1.0, -0.4, 0.7], [0.3, -0.8, 0.2], [-0.6, 0.5, 0.9]]) * 1e-3

    def patch(self) -> tuple[Solid, np.ndarray, np.ndarray]:
        """Two laws whose numbers differ and whose stiffness does not, at random in one box."""
        half = Material("half", tuple(e / 2 for e in ORTHOTROPIC.young), tuple(g / 2 for g in ORTHOTROPIC.shear),
                        ORTHOTROPIC.poisson)  # fmt: skip
        kind = np.random.default_rng(0).integers(1, 3, (9, 6, 11)).astype(np.uint8)
        solid = Solid(np.where(kind == 1, 800.0, 1600.0), kind, (ORTHOTROPIC, half), (0.6, 1.3, 0.9))
        place = np.indices(solid.nodes) * np.reshape(solid.spacing_mm, (3, 1, 1, 1))
        inside = np.ones(solid.nodes, bool)
        inside[1:-1, 1:-1, 1:-1] = False
        return solid, inside, np.tensordot(self.GRADIENT, place, 1)

    def test_it_is_found(self) -> None:
        solid, surface, exact = self.patch()
        answer = deform(solid, all_of(surface, exact), tolerance=1e-13)
        assert np.abs(answer.displacement_mm - exact).max() < 1e-13 * np.abs(exact).max() * 10

    def test_it_is_in_balance_to_rounding(self) -> None:
        solid, surface, exact = self.patch()
        answer = deform(solid, all_of(surface, exact), start_mm=exact, tolerance=1e-14)
        assert answer.iterations == 0
        assert answer.imbalance < 1e-13

    def test_its_strain_stress_and_energy_are_one_everywhere(self) -> None:
        solid, surface, exact = self.patch()
        answer = deform(solid, all_of(surface, exact), start_mm=exact)
        twice = self.GRADIENT + self.GRADIENT.T
        strain = np.array([*np.diag(self.GRADIENT), twice[1, 2], twice[0, 2], twice[0, 1]])
        stress = 800.0 * ORTHOTROPIC.stiffness @ strain
        for field, value in ((answer.strain, strain), (answer.stress_mpa, stress)):
            assert np.abs(field - value[:, None, None, None]).max() < 1e-6 * np.abs(value).max()
        assert np.allclose(answer.energy_density_mpa, 0.5 * strain @ stress, rtol=1e-6)


class TestBars:
    """20 x 20 x 40 mm pressed by 0.1 %, of voxels with three different sides."""

    SHAPE, SPACING = (16, 8, 5), (2.5, 2.5, 4.0)

    def bar(self, nu: float = 0.3, mpa: float | np.ndarray = 1000.0) -> Solid:
        return uniform(self.SHAPE, self.SPACING, nu, mpa)

    def halves(self, axis: int) -> np.ndarray:
        """300 MPa in one half along an axis and 2500 in the other."""
        place = np.indices(self.SHAPE)[axis]
        return np.where(place < self.SHAPE[axis] // 2, 300.0, 2500.0)

    def test_free_sides(self) -> None:
        assert force_on_top(self.bar(), pressed_free(self.bar())) == pytest.approx(400.0, rel=1e-7)

    def test_confined(self) -> None:
        exact = 400.0 * (1 - 0.3) / ((1 + 0.3) * (1 - 0.6))
        assert exact == pytest.approx(538.4615, abs=5e-5)
        assert force_on_top(self.bar(), pressed_confined(self.bar())) == pytest.approx(exact, rel=1e-7)

    def test_one_half_on_the_other(self) -> None:
        bar = self.bar(0.0, self.halves(0))
        assert force_on_top(bar, pressed_free(bar)) == pytest.approx(214.2857, abs=5e-5)

    def test_one_half_beside_the_other(self) -> None:
        bar = self.bar(0.0, self.halves(1))
        assert force_on_top(bar, pressed_free(bar)) == pytest.approx(560.0, rel=1e-7)

    def test_one_half_on_the_other_confined(self) -> None:
        bar = self.bar(0.3, self.halves(0))
        assert force_on_top(bar, pressed_confined(bar)) == pytest.approx(288.4615, abs=5e-5)

    def test_an_orthotropic_bar_has_its_own_modulus_along_every_axis(self) -> None:
        for order in itertools.permutations(range(3)):
            turned = turned_law(ORTHOTROPIC, order)
            bar = Solid(np.full(self.SHAPE, 1000.0), np.ones(self.SHAPE, np.uint8), (turned,), self.SPACING)
            exact = 400.0 * ORTHOTROPIC.young[order[0]]
            assert force_on_top(bar, pressed_free(bar)) == pytest.approx(exact, rel=1e-7)

    def test_strain_energy_and_effective_strain_of_the_free_bar(self) -> None:
        bar = self.bar()
        answer = deform(bar, pressed_free(bar), tolerance=1e-9)
        assert np.allclose(answer.strain[0], -STRAIN, rtol=1e-5)
        assert np.allclose(answer.strain[1:3], 0.3 * STRAIN, rtol=1e-5)
        assert np.abs(answer.strain[3:]).max() < 1e-5 * STRAIN
        assert np.allclose(answer.stress_mpa[0], -1.0, rtol=1e-5)
        assert np.abs(answer.stress_mpa[1:]).max() < 1e-5
        assert np.allclose(answer.effective_strain, STRAIN, rtol=1e-5)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.tuples(*[st.integers(2, 9)] * 3), st.integers(0, 10**6), st.sampled_from([-0.2, 0.0, 0.3, 0.45]))
def test_a_random_field_lies_between_reuss_and_voigt(shape: tuple[int, int, int], seed: int, nu: float) -> None:
    """One Poisson's ratio: uniform stress and uniform strain are both admissible, and bound the energy."""
    modulus = np.exp(np.random.default_rng(seed).uniform(2.0, 7.0, shape)).astype(np.float32)
    solid = uniform(shape, (1.5, 1.0, 0.7), nu, modulus)
    area = shape[1] * shape[2] * 0.7
    reuss, voigt = 1.0 / np.mean(1.0 / modulus.astype(float)), np.mean(modulus, dtype=float)
    assert reuss < force_on_top(solid, pressed_free(solid)) / (area * STRAIN) < voigt


class TestEnergy:
    def test_it_is_the_work_of_the_supports(self) -> None:
        solid = random_body((9, 8, 7), 3, spacing_mm=(0.8, 1.0, 1.3))
        answer = deform(solid, squeezed(solid), tolerance=1e-10)
        stored = answer.energy_density_mpa.sum(dtype=float) * solid.voxel_mm3
        assert stored == pytest.approx(work_of(answer), rel=1e-5)

    def test_it_is_the_work_of_a_force(self) -> None:
        solid = random_cube(9)
        answer = deform(solid, pushed(solid), tolerance=1e-10)
        assert answer.energy_density_mpa.sum(dtype=float) == pytest.approx(work_of(answer), rel=1e-5)

    def test_a_body_moved_as_a_whole_stores_none(self) -> None:
        solid = random_cube(9)
        answer = deform(solid, all_of(bottom(solid) | top(solid), np.full((3, *solid.nodes), 0.25)), tolerance=1e-10)
        assert np.allclose(answer.displacement_mm, 0.25, rtol=1e-8)
        assert answer.energy_density_mpa.max() < 1e-10


def work_of(answer: Deformation) -> float:
    """Half of force times way, over supports and loads."""
    u, boundary = answer.displacement_mm.reshape(-1), answer.boundary
    return 0.5 * float(u[boundary.displaced] @ answer.reaction_n + u[boundary.loaded] @ boundary.force_n)


class TestConvergence:
    """Pure bending of a square bar: Saint-Venant's field is prescribed at both ends, the sides are free."""

    CURVATURE, LENGTH, WIDTH = 0.01, 8.0, 2.0

    def errors(self, n: int, nu: float) -> tuple[float, float]:
        """Of the displacement (root mean square) and, relatively, of the energy, with ``n`` voxels to a mm."""
        h = 1.0 / n
        solid = uniform((2 * n, 2 * n, 8 * n), (h, h, h), nu)
        z, y, x = (np.indices(solid.nodes) * h) - np.reshape([1.0, 1.0, 0.0], (3, 1, 1, 1))
        exact = self.CURVATURE * np.stack([-(x**2 + nu * (z**2 - y**2)) / 2.0, -nu * y * z, x * z])
        answer = deform(solid, all_of((x == 0.0) | (x == x.max()), exact), tolerance=1e-9)
        stored = answer.energy_density_mpa.sum(dtype=float) * solid.voxel_mm3
        energy = 0.5 * 1000.0 * self.CURVATURE**2 * self.WIDTH**4 / 12.0 * self.LENGTH
        return float(np.sqrt(np.mean((answer.displacement_mm - exact) ** 2))), stored / energy - 1.0

    def test_a_bent_bar_converges_with_the_square_of_the_voxel(self) -> None:
        errors = np.array([self.errors(n, 0.3) for n in (2, 4, 8)])
        rates = np.log2(errors[:-1] / errors[1:])
        assert np.all(np.abs(rates - 2.0) < 0.2)
        assert errors[-1, 1] < 0.0025

    def test_without_contraction_the_nodes_are_exact_and_the_energy_is_an_eighth_of_a_square_off(self) -> None:
        """The nodes lie on the parabola; within a voxel it is a chord, which stores (h / width)^2 / 2 too much."""
        for n in (2, 4):
            displacement, energy = self.errors(n, 0.0)
            assert displacement < 1e-8
            assert energy == pytest.approx(1.0 / (8.0 * n**2), rel=1e-4)


class TestSphericalVoid:
    """An eighth of a cube of three radii with a spherical void, pulled along k; its outer faces move as they would in
    an infinite solid, so that voxels are all that is wrong.

    Goodier JN. Concentration of stress around spherical and cylindrical inclusions and flaws. J Appl Mech 1933;1:39-44
    (the displacements were checked by their stresses: none on the void's surface, the concentration at its equator).
    A stepped surface has no stress of its own, so the profile along the equator beyond 1.3 radii is compared, and
    what is found there is carried to the surface by the exact profile: it must give the stress concentration.
    """

    NU, MPA, BOX = 0.3, 1000.0, 3
    CONCENTRATION = (27.0 - 15.0 * NU) / (2.0 * (7.0 - 5.0 * NU))

    def displacement(self, place: np.ndarray, radius: float) -> np.ndarray:
        """Of the infinite solid under a remote stress of 1 MPa along k, ``[c, k, j, i]``; 0 within the void."""
        nu, far = self.NU, np.linalg.norm(place, axis=0)
        r = np.maximum(far, radius)
        cos, sin = place[0] / r, np.hypot(place[1], place[2]) / r
        unit = 2.0 * (1.0 + nu) / (8.0 * self.MPA * (7.0 - 5.0 * nu))  # stress over eight shear moduli
        a, b, c = -(13.0 - 10.0 * nu) * unit * radius**3, unit * radius**5, 5.0 * (1.0 - 2.0 * nu) * unit * radius**3
        twice = (5.0 - 4.0 * nu) / (1.0 - 2.0 * nu) * c / r**2 - 9.0 * b / r**4
        outward = -a / r**2 - 3.0 * b / r**4 + twice * (cos**2 - sin**2)
        around = -(2.0 * c / r**2 + 6.0 * b / r**4) * 2.0 * sin * cos
        flat = np.hypot(place[1], place[2])
        side = np.divide(place[1:], flat, out=np.zeros_like(place[1:]), where=flat > 0.0)
        own = np.concatenate([[outward * cos - around * sin], (outward * sin + around * cos) * side])
        return (own + np.reshape([1.0, -nu, -nu], (3, 1, 1, 1)) * place / self.MPA) * (far >= radius)

    def profile(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Stress along k on the equator and the exact one, with ``n`` voxels to the radius."""
        size = self.BOX * n
        hole = np.linalg.norm(np.indices((size,) * 3) + 0.5, axis=0) <= n
        solid = Solid(np.full(hole.shape, self.MPA), ~hole, (Material.isotropic("bone", self.NU),))
        radius = (6.0 / np.pi * np.count_nonzero(hole)) ** (1.0 / 3.0)  # of the sphere of equal volume
        place = np.indices(solid.nodes).astype(float)
        outside = (place == size).any(axis=0)
        boundary = all_of(outside, self.displacement(place, radius))
        for axis in range(3):
            boundary = boundary + Boundary.displace((place[axis] == 0.0) & ~outside, axis, 0.0)
        at = np.hypot(np.arange(size) + 0.5, np.sqrt(0.5))
        far = at > 1.3 * radius
        return deform(solid, boundary).stress_mpa[0, 0, 0, far], self.exact(radius / at[far])

    def exact(self, q: np.ndarray) -> np.ndarray:
        """The stress on the equator at ``1 / q`` radii."""
        return 1.0 + ((4.0 - 5.0 * self.NU) * q**3 + 9.0 * q**5) / (2.0 * (7.0 - 5.0 * self.NU))

    def errors(self, n: int) -> tuple[float, float]:
        """The greatest along the profile, and that of the concentration it gives."""
        found, exact = self.profile(n)
        share = float((found - 1.0) @ (exact - 1.0) / ((exact - 1.0) @ (exact - 1.0)))
        concentration = 1.0 + share * (self.CONCENTRATION - 1.0)
        return float(np.abs(found / exact - 1.0).max()), abs(concentration - 2.0455)

    def test_the_profile_ends_in_the_concentration(self) -> None:
        assert self.exact(np.ones(1))[0] == pytest.approx(self.CONCENTRATION)
        assert pytest.approx(2.0455, abs=5e-5) == self.CONCENTRATION

    def test_the_voxels_come_closer_the_finer_they_are(self) -> None:
        coarse, fine = self.errors(4), self.errors(16)
        assert fine[0] < 0.5 * coarse[0]
        assert fine[1] < 0.5 * coarse[1]
        assert fine[0] < 0.01
        assert fine[1] < 0.03


class TestAgainstADirectSolver:
    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(st.data())
    def test_random_bodies_of_any_size(self, data: st.DataObject) -> None:
        """Three laws, two decades of modulus, voids and holes, sides between 0.4 and 2 mm."""
        shape = data.draw(st.tuples(*[st.integers(1, 9)] * 3))
        spacing = data.draw(st.tuples(*[st.sampled_from([0.4, 1.0, 1.25, 2.0])] * 3))
        void = data.draw(st.sampled_from([0.0, 0.25, 0.5]))
        solid = random_body(shape, data.draw(st.integers(0, 10**6)), void=void, spacing_mm=spacing)
        same_as_direct(solid, squeezed(solid))

    @pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 3), (2, 2, 100), (100, 1, 2), (17, 5, 23)], ids=str)
    def test_odd_prime_and_tiny_boxes(self, shape: tuple[int, int, int]) -> None:
        solid = random_body(shape, 5, void=0.0)
        same_as_direct(solid, squeezed(solid))

    def test_a_trabecular_structure(self) -> None:
        """A random foam of a quarter bone, struts one or two voxels thick."""
        field = gaussian_filter(np.random.default_rng(11).standard_normal((14, 14, 14)), 1.1)
        filled = largest_piece(field > np.quantile(field, 0.7))
        solid = Solid(np.full(field.shape, 12_000.0), filled)
        assert 0.2 < filled.mean() < 0.3
        assert same_as_direct(solid, squeezed(solid)).imbalance < 1e-5

    @pytest.mark.parametrize("count", [10, MOST_MATERIALS])
    def test_many_laws(self, count: int) -> None:
        laws = tuple(Material.isotropic(f"law {n}", 0.02 * n) for n in range(1, count + 1))
        kind = np.random.default_rng(2).integers(1, count + 1, (7, 7, 9)).astype(np.uint8)
        solid = Solid(np.full(kind.shape, 500.0), kind, laws)
        same_as_direct(solid, squeezed(solid))

    @pytest.mark.parametrize("contrast", [1e-7, 1e-3, 1e3, 1e7])
    def test_voxels_much_softer_or_stiffer_than_their_neighbours(self, contrast: float) -> None:
        shape = (9, 8, 10)
        third = np.indices(shape).sum(axis=0) % 3 == 0
        solid = uniform(shape, mpa=np.where(third, 100.0 * contrast, 100.0))
        same_as_direct(solid, squeezed(solid))

    @pytest.mark.parametrize(("shape", "axis"), [((2, 2, 60), 2), ((60, 1, 2), 0), ((2, 60, 1), 1), ((20, 20, 1), 0)])
    def test_thin_bodies_at_the_usual_tolerance(self, shape: tuple[int, int, int], axis: int) -> None:
        """A small residual need not mean a small error where a body bends easily: here it does."""
        solid = uniform(shape)
        at = np.indices(solid.nodes)[axis]
        boundary = all_of(at == 0, np.zeros((3, *solid.nodes)))
        for component, newton in enumerate((0.01, 0.02, 0.03)):
            boundary = boundary + Boundary.load(at == shape[axis], component, newton)
        answer = deform(solid, boundary)
        assert answer.status is Status.SUCCESS
        close(answer.displacement_mm, solve_directly(solid, boundary)[0], 1e-6)

    def test_reactions_at_loaded_supports_and_free_force(self) -> None:
        """A force on a node that is held goes straight into its support."""
        solid = random_cube(6)
        boundary = pushed(solid) + Boundary.load(bottom(solid), 0, 4.0)
        same_as_direct(solid, boundary)


class TestSymmetry:
    @pytest.mark.parametrize("axis", range(3))
    def test_the_mirrored_body_deforms_mirrored(self, axis: int) -> None:
        solid = random_body((11, 9, 10), 4, spacing_mm=(0.8, 1.1, 1.7))
        boundary = mirrored_boundary(squeezed(solid), axis)
        mirrored = Solid(np.flip(solid.modulus_mpa, axis), np.flip(solid.material, axis), LAWS, solid.spacing_mm)
        here, there = deform(solid, squeezed(solid), tolerance=FINE), deform(mirrored, boundary, tolerance=FINE)
        back = np.flip(there.displacement_mm, axis + 1).copy()
        back[axis] *= -1.0
        close(back, here.displacement_mm)
        close(np.flip(there.energy_density_mpa, axis), here.energy_density_mpa, 1e-6)

    @pytest.mark.parametrize("order", [p for p in itertools.permutations(range(3)) if p != (0, 1, 2)])
    def test_exchanged_axes_exchange_the_answer(self, order: tuple[int, int, int]) -> None:
        solid = random_body((7, 9, 12), 6, spacing_mm=(0.8, 1.1, 1.7))
        boundary = squeezed(solid)
        turned = Solid(
            solid.modulus_mpa.transpose(order),
            solid.material.transpose(order),
            tuple(turned_law(law, order) for law in LAWS),
            tuple(solid.spacing_mm[a] for a in order),
        )
        here = deform(solid, boundary, tolerance=FINE)
        there = deform(turned, turned_boundary(boundary, order), tolerance=FINE)
        close(there.displacement_mm, here.displacement_mm[list(order)].transpose(0, *(a + 1 for a in order)))
        close(there.energy_density_mpa, here.energy_density_mpa.transpose(order), 1e-6)
        close(there.stress_mpa[:3], here.stress_mpa[list(order)].transpose(0, *(a + 1 for a in order)), 1e-5)

    @pytest.mark.parametrize("wider", [(3, 0, 0), (0, 5, 0), (0, 0, 9), (6, 6, 6)], ids=str)
    def test_void_around_the_body_changes_nothing(self, wider: tuple[int, int, int]) -> None:
        solid = random_body((9, 8, 10), 9)
        padding = [(n, n + 1) for n in wider]
        within = tuple(slice(n, n + size) for n, size in zip(wider, solid.nodes, strict=True))
        wide = Solid(np.pad(solid.modulus_mpa, padding), np.pad(solid.material, padding), LAWS)
        here, there = deform(solid, squeezed(solid), tolerance=FINE), deform(wide, squeezed(wide), tolerance=FINE)
        body = np.any([body_nodes(solid, k) for k in range(solid.nodes[0])], axis=0)
        close(there.displacement_mm[:, *within][:, body], here.displacement_mm[:, body])
        close(there.reaction_n, here.reaction_n)

    def test_two_answers_add_up(self) -> None:
        solid = random_body((8, 7, 9), 12)
        once = deform(solid, squeezed(solid), tolerance=FINE)
        close(deform(solid, squeezed(solid).scaled(-3.0), tolerance=FINE).displacement_mm, -3.0 * once.displacement_mm)

    def test_two_places_pushed_in_turn_move_each_other_alike(self) -> None:
        """Maxwell and Betti: what a force here does there, the same force there does here."""
        solid = random_body((8, 7, 9), 13)
        boundary = squeezed(solid).scaled(0.0)
        body = np.flatnonzero(np.any([body_nodes(solid, k) for k in range(2, 7)], axis=0))
        ways = []
        places = [(0, body[3]), (2, body[-5])]
        for component, node in places:
            where = np.zeros(solid.nodes, bool)
            where.flat[node] = True
            answer = deform(solid, boundary + Boundary.load(where, component, 1.0), tolerance=FINE)
            ways.append([answer.displacement_mm[c].flat[n] for c, n in places])
        assert ways[0][1] == pytest.approx(ways[1][0], rel=1e-7)


def close(found: np.ndarray, exact: np.ndarray, within: float = 1e-8) -> None:
    assert np.abs(found - exact).max() <= within * np.abs(exact).max()


def mirrored_boundary(boundary: Boundary, axis: int) -> Boundary:
    """Node order and the sign of one component reversed along an axis."""

    def places(dof: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        component, *node = np.unravel_index(dof, (3, *boundary.nodes))
        node[axis] = boundary.nodes[axis] - 1 - node[axis]
        return np.ravel_multi_index((component, *node), (3, *boundary.nodes)), np.where(component == axis, -1.0, 1.0)

    displaced, sign = places(boundary.displaced)
    loaded, push = places(boundary.loaded)
    return Boundary(boundary.nodes, displaced, sign * boundary.displacement_mm, loaded, push * boundary.force_n)


def turned_boundary(boundary: Boundary, order: tuple[int, int, int]) -> Boundary:
    """The same with new axis ``m`` the old ``order[m]``."""
    nodes = tuple(boundary.nodes[a] for a in order)

    def places(dof: np.ndarray) -> np.ndarray:
        component, *node = np.unravel_index(dof, (3, *boundary.nodes))
        return np.ravel_multi_index((np.argsort(order)[component], *(node[a] for a in order)), (3, *nodes))

    displaced, loaded = places(boundary.displaced), places(boundary.loaded)
    return Boundary(nodes, displaced, boundary.displacement_mm, loaded, boundary.force_n)


def turned_law(law: Material, order: tuple[int, int, int]) -> Material:
    """The same material with new axis ``m`` the old ``order[m]``."""
    pairs = ((1, 2), (0, 2), (0, 1))
    shear, poisson = [], []
    for a, b in ((order[a], order[b]) for a, b in pairs):
        which = pairs.index((min(a, b), max(a, b)))
        shear.append(law.shear[which])
        poisson.append(law.poisson[which] * (1.0 if a < b else law.young[a] / law.young[b]))
    return Material(law.name, tuple(law.young[a] for a in order), tuple(shear), tuple(poisson))


class TestBalance:
    @pytest.mark.parametrize("seed", range(6))
    def test_whenever_it_succeeds_the_reactions_are_in_balance(self, seed: int) -> None:
        solid = random_body((12, 13, 11), seed, void=0.4)
        answer = deform(solid, squeezed(solid))
        assert answer.status is Status.SUCCESS
        assert answer.imbalance <= 1e-5
        total = np.bincount(answer.boundary.displaced // np.prod(solid.nodes), answer.reaction_n, 3)
        assert np.abs(total + np.array([0.0, 2.5, 0.0])).max() <= 1e-5 * np.abs(answer.reaction_n).sum()

    def test_force_n_is_the_resultant_of_a_face(self) -> None:
        solid = random_cube(8)
        answer = deform(solid, pushed(solid), tolerance=1e-9)
        count = int(((answer.boundary.loaded // np.prod(solid.nodes)) == 0).sum())
        assert np.allclose(answer.force_n(bottom(solid)), -count * np.array([-3.0, 1.0, 0.5]), rtol=1e-7)
        assert not answer.force_n(top(solid)).any()

    def test_forces_in_balance_leave_the_supports_nothing_to_do(self) -> None:
        """A bar pulled at both ends by the same force, held at three nodes."""
        solid = uniform((8, 5, 5))
        index = np.indices(solid.nodes)
        weight = np.prod([np.where((x == 0) | (x == x.max()), 0.5, 1.0) for x in index[1:]], axis=0)
        pulls = Boundary.load(top(solid), 0, weight) + Boundary.load(bottom(solid), 0, -weight)
        places = (((0, 0, 0), (0, 1, 2)), ((0, 0, 5), (0, 1)), ((0, 5, 0), (0,)))
        for place, components in places:
            where = np.zeros(solid.nodes, bool)
            where[place] = True
            for component in components:
                pulls = pulls + Boundary.displace(where, component, 0.0)
        answer = deform(solid, pulls, tolerance=1e-9)
        assert answer.status is Status.SUCCESS
        assert answer.imbalance < 1e-5
        assert np.abs(answer.reaction_n).max() < 1e-5
        assert np.allclose(answer.strain[0], 1.0 / 1000.0, rtol=1e-5)

    def test_a_force_and_the_way_it_goes_give_the_same_answer(self) -> None:
        solid = random_cube(9)
        by_way = deform(solid, moved(solid, (-0.001, 0.0004, 0.0007)), tolerance=FINE)
        forces = np.zeros((3, *solid.nodes))
        forces.reshape(-1)[by_way.boundary.displaced] = by_way.reaction_n
        boundary = held(solid)
        for component in range(3):
            boundary = boundary + Boundary.load(top(solid), component, forces[component])
        close(deform(solid, boundary, tolerance=FINE).displacement_mm, by_way.displacement_mm)


class TestEnding:
    @pytest.mark.parametrize("tolerance", [0.0, 1e-20, -1.0, 1.0])
    def test_a_tolerance_out_of_reach_is_refused(self, tolerance: float) -> None:
        solid = random_cube(5)
        with pytest.raises(ValueError, match=r"tolerance=.* is outside 1e-15 to 0\.1"):
            deform(solid, moved(solid), tolerance=tolerance)

    def test_nodes_of_another_box_have_no_force(self) -> None:
        solid = random_cube(6)
        with pytest.raises(
            ValueError, match=r"where has the shape \(6, 6, 6\); the nodes of this solid are \(7, 7, 7\)"
        ):
            deform(solid, moved(solid)).force_n(np.ones(solid.shape, bool))

    def test_a_guess_of_another_box_is_refused(self) -> None:
        solid = random_cube(4)
        with pytest.raises(ValueError, match="start_mm has the shape"):
            deform(solid, moved(solid), start_mm=np.zeros((3, 4, 4, 4)))

    @pytest.mark.parametrize("threads", [0, -1])
    def test_no_thread_is_refused(self, threads: int) -> None:
        solid = random_cube(4)
        with pytest.raises(ValueError, match="must be 1 or more"):
            deform(solid, moved(solid), threads=threads)

    def test_a_good_first_guess_saves_iterations_and_changes_nothing(self) -> None:
        solid = random_cube(12)
        cold = deform(solid, moved(solid), tolerance=1e-9)
        near = cold.displacement_mm * 1.0001
        warm = deform(solid, moved(solid), tolerance=1e-9, start_mm=near)
        assert warm.iterations < cold.iterations
        close(warm.displacement_mm, cold.displacement_mm)
        assert deform(solid, moved(solid), start_mm=cold.displacement_mm).iterations == 0

    def test_one_equilibrium_bears_one_load_after_another(self) -> None:
        solid = random_cube(10)
        loads = [moved(solid, strain) for strain in ((-0.001, 0.0, 0.0), (0.0, 0.002, 0.0), (0.0, 0.0, 0.0))]
        with Equilibrium(solid, loads[0]) as body:
            answers = [body.solve(boundary=load) for load in loads] + [body.solve()]
        for load, answer in zip([*loads, loads[0]], answers, strict=True):
            assert np.array_equal(answer.displacement_mm, deform(solid, load).displacement_mm)
            assert answer.status is Status.SUCCESS
        assert not answers[2].displacement_mm.any()

    def test_other_supports_need_another_equilibrium(self) -> None:
        solid = random_cube(6)
        with Equilibrium(solid, moved(solid)) as body, pytest.raises(ValueError, match="the supports changed"):
            body.solve(boundary=held(solid))

    def test_iterations_that_run_out_are_no_success(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(elasticity, "conjugate_gradients", partial(conjugate_gradients, limit=2))
        solid = random_cube(12)
        answer = deform(solid, moved(solid))
        assert answer.status is Status.NOT_CONVERGED
        assert answer.iterations == 2
        assert answer.residual > elasticity.TOLERANCE
        assert np.isfinite(answer.displacement_mm).all()

    def test_the_residual_told_is_that_of_the_displacements(self) -> None:
        solid = random_body((8, 7, 6), 2)
        boundary = squeezed(solid)
        for tolerance in (1e-3, 1e-6, 1e-10):
            answer = deform(solid, boundary, tolerance=tolerance)
            assert relative_residual(answer) == pytest.approx(answer.residual, rel=0.01)
            assert answer.residual <= tolerance

    def test_a_guess_that_is_no_number_is_told(self) -> None:
        solid = random_cube(5)
        guess = np.full((3, *solid.nodes), np.nan)
        assert deform(solid, moved(solid), start_mm=guess).status is Status.NOT_FINITE

    def test_nothing_asked_is_nothing_done(self) -> None:
        solid = random_cube(5)
        answer = deform(solid, held(solid))
        assert (answer.iterations, answer.status) == (0, Status.SUCCESS)
        assert not answer.displacement_mm.any()
        assert not answer.reaction_n.any()
        guessed = deform(solid, held(solid), start_mm=deform(solid, moved(solid)).displacement_mm)
        assert guessed.status is Status.SUCCESS
        assert not guessed.displacement_mm.any()

    def test_what_stands_in_a_void_does_not_matter(self) -> None:
        solid = random_body((8, 7, 6), 2)
        spoilt = solid.modulus_mpa.copy()
        spoilt[~solid.filled] = np.nan
        other = Solid(spoilt, solid.material, LAWS)
        here, there = deform(solid, squeezed(solid)), deform(other, squeezed(other))
        assert np.array_equal(here.displacement_mm, there.displacement_mm)
        for name in ("strain", "stress_mpa", "energy_density_mpa", "effective_strain"):
            assert np.array_equal(getattr(here, name), getattr(there, name))
            assert not getattr(here, name)[..., ~solid.filled].any()


def relative_residual(answer: Deformation) -> float:
    """Of the assembled equations, over that of the supports' displacements alone."""
    matrix, boundary = assembled(answer.solid), answer.boundary
    force = np.zeros(matrix.shape[0])
    np.add.at(force, boundary.loaded, boundary.force_n)
    alone = np.zeros(matrix.shape[0])
    alone[boundary.displaced] = boundary.displacement_mm
    left = []
    for u in (answer.displacement_mm.reshape(-1), alone):
        residual = force - matrix @ u
        residual[boundary.displaced] = 0.0
        left.append(np.linalg.norm(residual))
    return float(left[0] / left[1])
