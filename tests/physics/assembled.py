"""The same equations assembled into a sparse matrix and solved directly: slow, short, and apart from the solver."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array, csr_array
from scipy.sparse.linalg import spsolve

from trocar.physics.hexahedron import element_matrix
from trocar.physics.solid import Boundary, Material, Solid

from .peer_problems import ORTHOTROPIC

#: Laws of the random bodies.
LAWS = (Material.isotropic("bone", 0.3), ORTHOTROPIC, Material.isotropic("soft", 0.45))


def assembled(solid: Solid) -> csr_array:
    """The stiffness matrix over all ``[c, k, j, i]``, zero rows where there is no material."""
    size = 3 * int(np.prod(solid.nodes))
    number = np.arange(size).reshape(3, *solid.nodes)
    whole = csr_array((size, size))
    for kind, material in enumerate(solid.materials, start=1):
        k, j, i = np.nonzero(solid.material == kind)
        corners = [number[:, k + a, j + b, i + c] for a, b, c in np.ndindex(2, 2, 2)]
        dof = np.stack(corners, axis=1).reshape(24, -1)  # component slowest, then the corner: the matrix's order
        matrix = element_matrix(material, solid.spacing_mm)
        values = matrix[:, :, None] * solid.modulus_mpa[k, j, i].astype(float)
        rows, columns = np.broadcast_to(dof[:, None], values.shape), np.broadcast_to(dof[None], values.shape)
        whole = whole + coo_array((values.ravel(), (rows.ravel(), columns.ravel())), (size, size)).tocsr()
    return whole


def free_of(matrix: csr_array, boundary: Boundary) -> np.ndarray:
    """The degrees of freedom to solve for."""
    free = matrix.diagonal() > 0.0
    free[boundary.displaced] = False
    return np.flatnonzero(free)


def solve_directly(solid: Solid, boundary: Boundary) -> tuple[np.ndarray, np.ndarray]:
    """Displacements ``[c, k, j, i]`` and the reaction at each of ``boundary.displaced``."""
    matrix = assembled(solid)
    u, force = np.zeros(matrix.shape[0]), np.zeros(matrix.shape[0])
    u[boundary.displaced] = boundary.displacement_mm
    np.add.at(force, boundary.loaded, boundary.force_n)
    free = free_of(matrix, boundary)
    if free.size:
        u[free] = spsolve(matrix[free][:, free].tocsc(), (force - matrix @ u)[free])
    reaction = (matrix @ u - force)[boundary.displaced]
    return u.reshape(3, *solid.nodes), reaction


def random_body(
    shape: tuple[int, int, int], seed: int, *, void: float = 0.25, spacing_mm: tuple[float, float, float] = (1, 1, 1)
) -> Solid:
    """Voxels of three laws and moduli over two decades, some missing: the largest piece joined by faces."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(1, len(LAWS) + 1, shape).astype(np.uint8)
    kind[~largest_piece(rng.random(shape) >= void)] = 0
    return Solid(np.exp(rng.uniform(2.0, 7.0, shape)), kind, LAWS, spacing_mm)


def largest_piece(filled: np.ndarray) -> np.ndarray:
    """The largest part joined by faces; all of an empty box's first voxel."""
    filled = filled.copy()
    filled.flat[0] |= not filled.any()
    piece, _ = ndimage.label(filled)
    return piece == np.argmax(np.bincount(piece[filled]))


def body_nodes(solid: Solid, layer: int) -> np.ndarray:
    """The nodes of the body on one node plane ``k = layer`` that belong to the voxels above or below it."""
    around = np.zeros(solid.nodes, bool)
    k, j, i = solid.shape
    for a, b, c in np.ndindex(2, 2, 2):
        around[a : a + k, b : b + j, c : c + i] |= solid.filled
    return around & (np.indices(solid.nodes)[0] == layer)


def squeezed(solid: Solid) -> Boundary:
    """The lowest nodes of the body held, the highest moved along k, j and i, one node of the middle pushed."""
    layers = np.flatnonzero(solid.filled.any(axis=(1, 2)))
    low, high = body_nodes(solid, int(layers[0])), body_nodes(solid, int(layers[-1]) + 1)
    boundary = Boundary(solid.nodes)
    for component, mm in enumerate((-0.01, 0.003, 0.004)):
        boundary = boundary + Boundary.displace(low, component, 0.0) + Boundary.displace(high, component, mm)
    corner = np.zeros(solid.nodes, bool)
    corner[tuple(np.argwhere(solid.filled)[int(solid.filled.sum()) // 2])] = True
    return boundary + Boundary.load(corner, 1, 2.5)
