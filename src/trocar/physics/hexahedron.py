"""The eight-node hexahedron in its corner modes.

Displacements inside a voxel are ``sum_m a_m xi^m`` with the eight monomials 1, i, j, k, ji, ki, kj, kji of the local
coordinates in [-1, 1]; ``a_m`` are the sums and differences of the corners' values over eight (a Hadamard transform).
The monomials' derivatives are orthogonal over the voxel, so that of the 24 x 24 entries of the stiffness matrix only 45
are left in this basis, made of 15 numbers: three normal moduli, two places for each of three shear moduli, and the
couplings. This holds for boxes of any sides and for orthotropic laws along them.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trocar.physics.solid import Material

#: How many numbers :func:`constants` gives.
CONSTANTS = 15
#: Local coordinates of the corners, k slowest: the order of the element matrix's rows within each component.
CORNERS = np.array([(k, j, i) for k in (-1, 1) for j in (-1, 1) for i in (-1, 1)])
#: Exponents of k, j, i in the eight monomials.
MODES = np.array([(k, j, i) for k in (0, 1) for j in (0, 1) for i in (0, 1)])


def constants(material: Material, spacing_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """The 15 numbers of a voxel with modulus 1, mm (times MPa gives N/mm).

    In order: normal stiffness along k, j, i; shear of component k along j and i, of j along k and i, of i along k
    and j; normal couplings kj, ki, ji; shear couplings kj, ki, ji. The factor V / 64 belongs to the transform.
    """
    law = material.stiffness
    slope = 2.0 / np.asarray(spacing_mm)  # d(local) / d(mm)
    k, j, i = slope
    shear_ji, shear_ki, shear_kj = law[3, 3], law[4, 4], law[5, 5]
    normal = [law[0, 0] * k * k, law[1, 1] * j * j, law[2, 2] * i * i]
    own = [shear_kj * j * j, shear_ki * i * i, shear_kj * k * k, shear_ji * i * i, shear_ki * k * k, shear_ji * j * j]
    coupled = [law[0, 1] * k * j, law[0, 2] * k * i, law[1, 2] * j * i]
    crossed = [shear_kj * k * j, shear_ki * k * i, shear_ji * j * i]
    return np.array(normal + own + coupled + crossed) * float(np.prod(spacing_mm)) / 64.0


@lru_cache(maxsize=64)
def element_matrix(material: Material, spacing_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """Stiffness of one voxel with modulus 1, ``[24, 24]``: component k, j, i, and within each the :data:`CORNERS`.

    Assembled from strains at 2 x 2 x 2 Gauss points, apart from :func:`constants`, which it is there to check.
    """
    stiffness = np.zeros((24, 24))
    for point in CORNERS / np.sqrt(3.0):
        b = _strain_matrix(point, spacing_mm)
        stiffness += b.T @ material.stiffness @ b * float(np.prod(spacing_mm)) / 8.0
    stiffness.flags.writeable = False  # it is handed out again
    return stiffness


def diagonal(material: Material, spacing_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """What one voxel with modulus 1 adds to the diagonal, for components k, j, i (the same at each corner)."""
    return np.diag(element_matrix(material, spacing_mm)).reshape(3, 8)[:, 0].copy()


def largest_eigenvalue(material: Material, spacing_mm: tuple[float, float, float]) -> float:
    """Of one voxel's matrix over its diagonal; it bounds that of any assembly over the assembly's diagonal."""
    matrix = element_matrix(material, spacing_mm)
    root = np.sqrt(np.diag(matrix))
    return float(np.linalg.eigvalsh(matrix / np.outer(root, root))[-1])


def _strain_matrix(point: NDArray[np.float64], spacing_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """From the 24 corner displacements to the strain at a local point, in the order of ``solid.COMPONENTS``."""
    factors = (1.0 + CORNERS * point) / 2.0
    slope = np.empty((3, 8))
    for axis in range(3):
        others = np.prod(np.delete(factors, axis, axis=1), axis=1)
        slope[axis] = CORNERS[:, axis] * others / spacing_mm[axis]
    k, j, i = slope
    b = np.zeros((6, 3, 8))
    b[0, 0], b[1, 1], b[2, 2] = k, j, i
    b[3, 1], b[3, 2] = i, j
    b[4, 0], b[4, 2] = i, k
    b[5, 0], b[5, 1] = j, k
    return b.reshape(6, 24)
