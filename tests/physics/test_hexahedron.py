"""One voxel's stiffness: published entries, exact energy of linear fields, and the 45 numbers the kernels use."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from trocar.physics.hexahedron import (
    CONSTANTS,
    CORNERS,
    MODES,
    constants,
    diagonal,
    element_matrix,
    largest_eigenvalue,
)
from trocar.physics.solid import Material

from .peer_problems import ORTHOTROPIC

BOX = (0.6, 1.1, 1.7)
CASES = [(Material.isotropic("a", 0.3), (1.0, 1.0, 1.0)), (Material.isotropic("b", 0.45), BOX), (ORTHOTROPIC, BOX)]
every_case = pytest.mark.parametrize(("material", "spacing"), CASES, ids=["cube", "box", "orthotropic"])


def places(spacing: tuple[float, float, float]) -> np.ndarray:
    """The eight corners in mm."""
    return CORNERS * np.array(spacing) / 2.0


def corners_of(gradient: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Corner displacements of ``u = G x``, component by component."""
    return (gradient @ places(spacing).T).reshape(-1)


def strain_of(gradient: np.ndarray) -> np.ndarray:
    """In the order of ``solid.COMPONENTS``, shears engineering."""
    twice = gradient + gradient.T
    return np.array([*np.diag(gradient), twice[1, 2], twice[0, 2], twice[0, 1]])


@pytest.mark.parametrize("nu", [0.0, 0.2, 0.3, 0.45])
def test_the_unit_cube_has_the_published_entries(nu: float) -> None:
    # Liu K, Tovar A. An efficient 3D topology optimization code written in Matlab. Struct Multidisc Optim 2014;50:1175,
    # function lk_H8: the matrix of a unit cube is made of these numbers over 144 (1 + nu) (1 - 2 nu).
    constant = np.array([32, 6, -8, 6, -6, 4, 3, -6, -10, 3, -3, -3, -4, -8])
    of_nu = np.array([-48, 0, 0, -24, 24, 0, 0, 0, 12, -12, 0, 12, 12, 12])
    published = (constant + of_nu * nu) / (144.0 * (1.0 + nu) * (1.0 - 2.0 * nu))
    ours = element_matrix(Material.isotropic("unit", nu), (1.0, 1.0, 1.0))
    assert diagonal(Material.isotropic("unit", nu), (1.0, 1.0, 1.0)) == pytest.approx(published[0], rel=1e-13)
    assert set(np.round(np.unique(ours), 12) + 0.0) == set(np.round(np.unique(published), 12) + 0.0)


@every_case
def test_only_rigid_motions_cost_nothing(material: Material, spacing: tuple[float, float, float]) -> None:
    matrix = element_matrix(material, spacing)
    values = np.linalg.eigvalsh(matrix)
    assert np.abs(matrix - matrix.T).max() <= 1e-15 * np.abs(matrix).max() * 10
    assert np.abs(values[:6]).max() < 1e-13 * values[-1]
    assert values[6] > 1e-3 * values[-1]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        turn = np.zeros((3, 3))
        turn[a, b], turn[b, a] = 1.0, -1.0
        assert np.abs(matrix @ corners_of(turn, spacing)).max() < 1e-13 * values[-1]
    assert np.abs(matrix.reshape(24, 3, 8).sum(axis=2)).max() < 1e-13 * values[-1]


@every_case
def test_a_linear_field_stores_its_exact_energy(material: Material, spacing: tuple[float, float, float]) -> None:
    gradient = np.random.default_rng(1).standard_normal((3, 3))
    u, strain = corners_of(gradient, spacing), strain_of(gradient)
    exact = strain @ material.stiffness @ strain * np.prod(spacing)
    assert u @ element_matrix(material, spacing) @ u == pytest.approx(exact, rel=1e-13)


@every_case
def test_in_corner_modes_the_matrix_is_the_fifteen_constants(
    material: Material, spacing: tuple[float, float, float]
) -> None:
    """What the kernels compute, written out mode by mode, is the Gauss-point matrix in another basis."""
    hadamard = np.array([[np.prod(corner**mode) for corner in CORNERS] for mode in MODES])
    transform = np.kron(np.eye(3), hadamard)  # from corners to 8 times the modes
    numbers = constants(material, spacing)
    in_modes = _forces_of_modes(numbers)
    assert len(numbers) == CONSTANTS
    assert np.count_nonzero(in_modes) == 45
    exact = element_matrix(material, spacing)
    assert np.abs(transform.T @ in_modes @ transform - exact).max() < 1e-14 * np.abs(exact).max() * 10


def _forces_of_modes(numbers: np.ndarray) -> np.ndarray:
    """The integral over the voxel of ``derivative : law : derivative`` for pairs of monomials, term by term."""
    normal, own, coupled, crossed = numbers[:3], numbers[3:9], numbers[9:12], numbers[12:]
    along = {(0, 1): own[0], (0, 2): own[1], (1, 0): own[2], (1, 2): own[3], (2, 0): own[4], (2, 1): own[5]}
    pair = {(0, 1): 0, (0, 2): 1, (1, 2): 2}
    matrix = np.zeros((3, 8, 3, 8))
    for (a, m), (b, n) in itertools.product(itertools.product(range(3), range(8)), repeat=2):
        if a == b:
            for axis in range(3):
                modulus = normal[a] if axis == a else along[a, axis]
                matrix[a, m, b, n] += modulus * _mean(_slope(MODES[m], axis), _slope(MODES[n], axis))
        else:
            which = pair[min(a, b), max(a, b)]
            matrix[a, m, b, n] += coupled[which] * _mean(_slope(MODES[m], a), _slope(MODES[n], b))
            matrix[a, m, b, n] += crossed[which] * _mean(_slope(MODES[m], b), _slope(MODES[n], a))
    return matrix.reshape(24, 24)


def _slope(mode: np.ndarray, axis: int) -> np.ndarray | None:
    """The exponents left of a monomial's derivative, None where it is 0."""
    return mode - np.eye(3, dtype=int)[axis] if mode[axis] else None


def _mean(a: np.ndarray | None, b: np.ndarray | None) -> float:
    """Of the product of two monomials over the cube [-1, 1]^3."""
    if a is None or b is None or np.any((a + b) % 2):
        return 0.0
    return float(np.prod(1.0 / (a + b + 1)))


@every_case
def test_twice_the_size_is_twice_as_stiff(material: Material, spacing: tuple[float, float, float]) -> None:
    k, j, i = (2.0 * h for h in spacing)
    assert np.allclose(element_matrix(material, (k, j, i)), 2.0 * element_matrix(material, spacing), rtol=1e-13)
    assert np.allclose(constants(material, (k, j, i)), 2.0 * constants(material, spacing), rtol=1e-13)


@every_case
def test_one_voxel_bounds_the_eigenvalues_of_two(material: Material, spacing: tuple[float, float, float]) -> None:
    """Two voxels of very different modulus with a face in common."""
    matrix, node = element_matrix(material, spacing), np.arange(12).reshape(3, 2, 2)
    whole = np.zeros((36, 36))
    for layer, modulus in enumerate((1.0, 700.0)):
        dof = (12 * np.arange(3)[:, None] + node[layer : layer + 2].reshape(-1)).reshape(-1)
        whole[np.ix_(dof, dof)] += modulus * matrix
    root = np.sqrt(np.diag(whole))
    largest = np.linalg.eigvalsh(whole / np.outer(root, root))[-1]
    assert 0.5 * largest_eigenvalue(material, spacing) < largest <= largest_eigenvalue(material, spacing) * (1 + 1e-12)
    assert np.allclose(np.diag(matrix).reshape(3, 8), diagonal(material, spacing)[:, None])
