"""Linear elasticity of a body of voxels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trocar.measure import Status
from trocar.physics.solid import Boundary, Solid

#: Relative residual at which a solution counts as converged.
TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class Deformation:
    """How a body deforms, and how well the equations are met.

    ``displacement_mm`` is ``[c, k, j, i]`` at the nodes. ``reaction_n`` has one force for each degree of freedom in
    ``boundary.displaced``: what the support does to the body. ``residual`` is relative to the load, ``imbalance`` the
    resultant of all reactions and forces over the greatest of them. ``status`` says whether the solver got there.
    """

    solid: Solid
    boundary: Boundary
    displacement_mm: NDArray[np.float64]
    reaction_n: NDArray[np.float64]
    iterations: int
    residual: float
    imbalance: float
    status: Status

    def force_n(self, where: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Total reaction along k, j, i of the supports at the nodes ``where[k, j, i]``."""
        component, node = np.divmod(self.boundary.displaced, where.size)
        chosen = where.reshape(-1)[node]
        return np.bincount(component[chosen], self.reaction_n[chosen], minlength=3).astype(np.float64)

    @cached_property
    def strain(self) -> NDArray[np.float32]:
        """Strain at the middle of every voxel, ``[6, k, j, i]`` in the order of ``solid.COMPONENTS``; 0 in voids."""
        raise NotImplementedError

    @cached_property
    def stress_mpa(self) -> NDArray[np.float32]:
        """Stress at the middle of every voxel, ``[6, k, j, i]``; 0 in voids."""
        raise NotImplementedError

    @cached_property
    def energy_density_mpa(self) -> NDArray[np.float32]:
        """Strain energy per volume in every voxel, over its whole deformation, ``[k, j, i]``; 1 MPa = 1 mJ/mm3."""
        raise NotImplementedError

    @cached_property
    def effective_strain(self) -> NDArray[np.float32]:
        """The uniaxial strain that would store the same energy, ``sqrt(2 U / E)``, ``[k, j, i]``.

        Pistoia W, et al. Bone 2002;30(6):842-848.
        """
        raise NotImplementedError


def deform(
    solid: Solid,
    boundary: Boundary,
    *,
    tolerance: float = TOLERANCE,
    start_mm: NDArray[np.float64] | None = None,
    threads: int | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Deformation:
    """Displacements under what is prescribed, to a relative residual of ``tolerance``.

    ``start_mm`` (nodes, ``[c, k, j, i]``) is a first guess; ``threads`` how many to use (default: all cores);
    ``progress`` is called with the iteration and the residual. Raises ``ValueError`` naming the place for a body in
    pieces, and for supports that leave a piece free to move.
    """
    raise NotImplementedError
