"""What a voxel problem may be, and the sentence with which each thing it may not be is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from trocar.physics.solid import LARGEST_POISSON, MOST_MATERIALS, Boundary, Material, Solid, nodes_of

from .peer_problems import ORTHOTROPIC

SHAPE = (3, 4, 5)


def block(shape: tuple[int, int, int] = SHAPE, **changes: object) -> Solid:
    given: dict = {"modulus_mpa": np.full(shape, 1000.0, np.float32), "material": np.ones(shape, np.uint8)}
    return Solid(**(given | changes))


def spoilt(value: float, place: tuple[int, int, int] = (1, 2, 3)) -> np.ndarray:
    field = np.full(SHAPE, 1000.0, np.float32)
    field[place] = value
    return field


class TestMaterial:
    @pytest.mark.parametrize("nu", [-0.3, 0.0, 0.3, LARGEST_POISSON])
    def test_the_isotropic_law_is_lames(self, nu: float) -> None:
        lame, shear = nu / ((1 + nu) * (1 - 2 * nu)), 0.5 / (1 + nu)
        law = np.zeros((6, 6))
        law[:3, :3] = lame
        law += np.diag([2 * shear] * 3 + [shear] * 3)
        assert np.allclose(Material.isotropic("bone", nu).stiffness, law, rtol=1e-13, atol=1e-14)

    @pytest.mark.parametrize("nu", [-0.3, 0.0, 0.3])
    def test_a_law_is_isotropic_or_not_in_moduli_shears_and_ratios(self, nu: float) -> None:
        shear = 1.5 / (1.0 + nu)
        same = Material("bone", (3.0,) * 3, (shear,) * 3, (nu,) * 3)
        assert same.is_isotropic
        assert Material.isotropic("bone", nu).is_isotropic
        assert not replace(same, young=(3.0, 3.0, 3.001)).is_isotropic
        assert not replace(same, shear=(shear, 1.001 * shear, shear)).is_isotropic
        assert not replace(same, poisson=(nu, nu, nu + 0.001)).is_isotropic
        assert not ORTHOTROPIC.is_isotropic

    def test_pulled_along_one_axis_it_narrows_by_its_ratios(self) -> None:
        (ek, ej, ei), (nu_ji, nu_ki, nu_kj) = ORTHOTROPIC.young, ORTHOTROPIC.poisson
        compliance = np.linalg.inv(ORTHOTROPIC.stiffness)
        assert np.allclose(compliance[:3, 0], [1 / ek, -nu_kj / ek, -nu_ki / ek])
        assert np.allclose(compliance[1:3, 1], [1 / ej, -nu_ji / ej])
        assert np.allclose(np.diag(compliance), [1 / ek, 1 / ej, 1 / ei, *(1 / g for g in ORTHOTROPIC.shear)])
        assert np.allclose(compliance, compliance.T)

    @pytest.mark.parametrize("nu", [0.4501, 0.499, 0.5, np.inf])
    def test_a_ratio_that_locks_is_refused(self, nu: float) -> None:
        with pytest.raises(ValueError, match=r"nucleus: Poisson's ratio .* is above 0\.45, where these elements lock"):
            Material("nucleus", poisson=(0.3, nu, 0.3))
        if np.isfinite(nu):
            with pytest.raises(ValueError, match="lock"):
                Material.isotropic("nucleus", nu)

    @pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
    def test_a_modulus_that_is_not_positive_is_refused(self, bad: float) -> None:
        with pytest.raises(ValueError, match="bone: relative moduli must be positive"):
            Material("bone", young=(1.0, bad, 1.0))
        with pytest.raises(ValueError, match="bone: relative moduli must be positive"):
            Material("bone", shear=(0.4, 0.4, bad))

    def test_an_unstable_law_is_refused(self) -> None:
        # pulled along k, j would narrow so much that energy is won: nu_kj^2 < E_k / E_j is violated
        with pytest.raises(ValueError, match=r"bone: .* not a stable material"):
            Material("bone", young=(0.05, 1.0, 1.0), poisson=(0.3, 0.3, 0.3))


class TestSolid:
    def test_the_callers_array_is_no_way_around_the_guards(self) -> None:
        modulus = np.full(SHAPE, 5.0, np.float32)
        solid = block(modulus_mpa=modulus)
        modulus[0, 0, 0] = 0.0
        assert solid.modulus_mpa[0, 0, 0] == 5.0

    @pytest.mark.parametrize("number", [256, -1, 1.5])
    def test_a_material_that_is_no_small_whole_number_is_refused(self, number: float) -> None:
        with pytest.raises(ValueError, match="no whole numbers from 0 to 255"):
            block(material=np.full(SHAPE, number))

    def test_no_bone_in_the_box(self) -> None:
        with pytest.raises(ValueError, match="no bone in the box"):
            block(material=np.zeros(SHAPE, np.uint8))
        with pytest.raises(ValueError, match="no bone in the box"):
            block((0, 4, 5))

    @pytest.mark.parametrize("bad", [0.0, -5.0, np.nan, np.inf, -np.inf])
    def test_a_modulus_that_is_no_modulus_is_refused_at_its_place(self, bad: float) -> None:
        with pytest.raises(ValueError, match=r"modulus at voxel \[k, j, i\] = \[1, 2, 3\] is .* MPa \(1 such"):
            block(modulus_mpa=spoilt(bad))

    @pytest.mark.parametrize("bad", [0.0, -5.0, np.nan])
    def test_a_yield_stress_that_is_none_is_refused_at_its_place(self, bad: float) -> None:
        with pytest.raises(ValueError, match=r"yield stress at voxel \[k, j, i\] = \[1, 2, 3\] is .* MPa"):
            block(yield_mpa=spoilt(bad))

    def test_a_material_need_not_yield(self) -> None:
        assert block(yield_mpa=spoilt(np.inf)).yield_mpa[1, 2, 3] == np.inf

    @pytest.mark.parametrize("bad", [0.0, -5.0, np.nan])
    def test_in_a_void_anything_may_stand(self, bad: float) -> None:
        material = np.ones(SHAPE, np.uint8)
        material[1, 2, 3] = 0
        solid = block(material=material, modulus_mpa=spoilt(bad), yield_mpa=spoilt(bad))
        assert solid.filled.sum() == material.sum()

    def test_an_unknown_material_is_refused(self) -> None:
        with pytest.raises(ValueError, match="material 2 is used, but only 1 are given"):
            block(material=np.full(SHAPE, 2, np.uint8))

    def test_more_laws_than_the_solver_has_bits_are_refused(self) -> None:
        laws = tuple(Material.isotropic(f"law {n}") for n in range(MOST_MATERIALS + 1))
        assert block(materials=laws[1:]).materials == laws[1:]
        with pytest.raises(ValueError, match="17 materials are given; a solid has at most 16"):
            block(materials=laws)

    @pytest.mark.parametrize("bad", [(1.0, 1.0), (1.0, 0.0, 1.0), (1.0, -1.0, 1.0), (1.0, np.nan, 1.0)])
    def test_a_voxel_without_size_is_refused(self, bad: tuple) -> None:
        with pytest.raises(ValueError, match=r"spacing_mm=.* must be three positive lengths along k, j, i"):
            block(spacing_mm=bad)

    def test_fields_of_another_box_are_refused(self) -> None:
        with pytest.raises(ValueError, match="must be one box"):
            block(material=np.ones((4, 4, 5), np.uint8))
        with pytest.raises(ValueError, match=r"yield_mpa .* must have the shape of material"):
            block(yield_mpa=np.ones((4, 4, 5), np.float32))

    def test_its_sizes(self) -> None:
        solid = block(spacing_mm=(0.5, 1.0, 3.0))
        assert (solid.shape, solid.nodes, solid.voxel_mm3) == (SHAPE, (4, 5, 6), 1.5)

    def test_its_fields_cannot_be_written_to(self) -> None:
        solid = block(yield_mpa=spoilt(5.0))
        for field in (solid.modulus_mpa, solid.material, solid.yield_mpa):
            with pytest.raises(ValueError, match="read-only"):
                field[0, 0, 0] = 1

    def test_a_spacing_may_come_as_an_array(self) -> None:
        ones = np.ones((2, 2, 2))
        solid = Solid(ones, ones.astype(np.uint8), spacing_mm=np.array([1.0, 2.0, 3.0]))
        assert solid.spacing_mm == (1.0, 2.0, 3.0)
        assert hash(solid.spacing_mm)


class TestBoundary:
    NODES = (4, 5, 6)

    def at(self, *place: int) -> np.ndarray:
        where = np.zeros(self.NODES, bool)
        where[place] = True
        return where

    def test_numbers_are_found_at_their_nodes(self) -> None:
        where = np.indices(self.NODES)[0] == 3
        values = np.random.default_rng(0).standard_normal(self.NODES)
        for make, dof, given in (
            (Boundary.displace, "displaced", "displacement_mm"),
            (Boundary.load, "loaded", "force_n"),
        ):
            boundary = make(where, 2, values)
            found = np.zeros((3, *self.NODES))
            found.reshape(-1)[getattr(boundary, dof)] = getattr(boundary, given)
            assert np.array_equal(found[2], np.where(where, values, 0.0))
            assert not found[:2].any()

    def test_two_displacements_at_one_node_are_refused_at_their_place(self) -> None:
        one, other = Boundary.displace(self.at(1, 2, 3), 1, 0.5), Boundary.displace(self.at(1, 2), 1, -0.25)
        with pytest.raises(
            ValueError, match=r"\[k, j, i\] = \[1, 2, 3\] is given two displacements along j: 0\.5 and -0\.25"
        ):
            one + other

    def test_the_same_displacement_twice_is_one(self) -> None:
        both = Boundary.displace(self.at(1, 2, 3), 1, 0.5) + Boundary.displace(self.at(1, 2), 1, 0.5)
        assert len(both.displaced) == len(np.unique(both.displaced)) == 6

    def test_another_component_or_a_force_is_no_contradiction(self) -> None:
        node = self.at(1, 2, 3)
        both = Boundary.displace(node, 1, 0.5) + Boundary.displace(node, 0, 0.1) + Boundary.load(node, 1, 3.0)
        assert (len(both.displaced), len(both.loaded)) == (2, 1)

    @pytest.mark.parametrize("component", [-1, 3])
    @pytest.mark.parametrize(("make", "what"), [(Boundary.displace, "displacement"), (Boundary.load, "force")])
    def test_a_component_that_is_none_is_refused(self, make: Callable, what: str, component: int) -> None:
        with pytest.raises(ValueError, match=f"a {what} is prescribed outside the box"):
            make(self.at(0, 0, 0), component, 1.0)

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    @pytest.mark.parametrize(("make", "what"), [(Boundary.displace, "displacement"), (Boundary.load, "force")])
    def test_what_is_no_number_is_refused(self, make: Callable, what: str, bad: float) -> None:
        with pytest.raises(ValueError, match=f"a prescribed {what} is not a number"):
            make(self.at(0, 0, 0), 0, bad)

    def test_boundaries_of_two_boxes_are_not_added(self) -> None:
        with pytest.raises(ValueError, match="cannot be added"):
            Boundary(self.NODES) + Boundary((4, 5, 7))

    def test_scaled(self) -> None:
        both = Boundary.displace(self.at(1), 1, 0.5) + Boundary.load(self.at(2), 0, 3.0)
        twice = both.scaled(-2.0)
        assert np.all(twice.displacement_mm == -1.0)
        assert np.all(twice.force_n == -6.0)
        assert np.array_equal(twice.displaced, both.displaced)
        assert np.array_equal(twice.loaded, both.loaded)


def test_the_nodes_of_voxels_are_their_corners() -> None:
    voxels = np.zeros((2, 3, 4), bool)
    voxels[0, 2, 3] = voxels[1, 2, 3] = True
    assert np.argwhere(nodes_of(voxels)).tolist() == [[k, j, i] for k in (0, 1, 2) for j in (2, 3) for i in (3, 4)]
