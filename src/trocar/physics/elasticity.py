"""Linear elasticity of a body of voxels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.measure import Range, Status
from trocar.physics import sweeps
from trocar.physics.hexahedron import element_matrix
from trocar.physics.levels import hierarchy
from trocar.physics.multigrid import Crew, Ending, Vectors, conjugate_gradients
from trocar.physics.solid import Boundary, Solid
from trocar.physics.supports import check_supports
from trocar.physics.sweeps import WIDTH

#: Relative residual at which a solution counts as converged.
TOLERANCE = 1e-6
#: Below the smallest the residual that is carried along is no longer the real one.
TOLERANCES = Range(1e-15, 0.1)
#: What all reactions and loads may be out of balance by, over half their sum; more, and the solution is refined.
IMBALANCE = 1e-5


@dataclass(frozen=True, eq=False)
class Deformation:
    """How a body deforms, and how well the equations are met.

    ``displacement_mm`` is ``[c, k, j, i]`` at the nodes. ``reaction_n`` has one force for each degree of freedom in
    ``boundary.displaced``: what the support does to the body. ``residual`` is relative to the load, ``imbalance`` the
    resultant of all reactions and forces over half the sum of their sizes. ``status`` says whether the solver got
    there.
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
        check_nodes("where", where, self.solid)
        component, node = np.divmod(self.boundary.displaced, where.size)
        chosen = where.reshape(-1)[node]
        return np.bincount(component[chosen], self.reaction_n[chosen], minlength=3).astype(np.float64)

    @cached_property
    def strain(self) -> NDArray[np.float32]:
        """Strain at the middle of every voxel, ``[6, k, j, i]`` in the order of ``solid.COMPONENTS``; 0 in voids."""
        h = self.solid.spacing_mm
        strain = np.empty((6, *self.solid.shape), np.float32)
        for axis in range(3):
            strain[axis] = _slope(self.displacement_mm[axis], axis, h[axis])
        for n, (a, b) in enumerate(((1, 2), (0, 2), (0, 1)), start=3):
            strain[n] = _slope(self.displacement_mm[a], b, h[b]) + _slope(self.displacement_mm[b], a, h[a])
        strain[:, ~self.solid.filled] = 0.0
        return strain

    @cached_property
    def stress_mpa(self) -> NDArray[np.float32]:
        """Stress at the middle of every voxel, ``[6, k, j, i]``; 0 in voids."""
        stress = np.zeros_like(self.strain)
        for n, material in enumerate(self.solid.materials, start=1):
            here = self.solid.material == n
            law = material.stiffness.astype(np.float32)
            stress[:, here] = (law @ self.strain[:, here]) * self.solid.modulus_mpa[here]
        return stress

    @cached_property
    def energy_density_mpa(self) -> NDArray[np.float32]:
        """Strain energy per volume in every voxel, over its whole deformation, ``[k, j, i]``; 1 MPa = 1 mJ/mm3."""
        solid = self.solid
        matrices = np.stack([element_matrix(m, solid.spacing_mm) for m in solid.materials])
        energy = np.zeros(solid.shape, np.float32)
        u = self.displacement_mm
        sweeps.strain_energy(solid.material, solid.modulus_mpa, matrices, u, solid.voxel_mm3, energy)
        return energy

    @cached_property
    def effective_strain(self) -> NDArray[np.float32]:
        """The uniaxial strain that would store the same energy, ``sqrt(2 U / E)``, ``[k, j, i]``.

        Pistoia W, et al. Bone 2002;30(6):842-848.
        """
        modulus = np.where(self.solid.filled, self.solid.modulus_mpa, np.float32(1.0))
        return np.asarray(np.sqrt(2.0 * self.energy_density_mpa / modulus), np.float32)


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
    with Equilibrium(solid, boundary, threads=threads) as body:
        return body.solve(tolerance=tolerance, start_mm=start_mm, progress=progress)


class Equilibrium:
    """A supported solid, ready to be solved for one load after another.

    Use as a context: ``with Equilibrium(solid, boundary) as body: body.solve()``; outside one it works on one thread.
    The grids are made once; loads and the size of the prescribed displacements may change from solve to solve, the
    solid and the supports may not. Its working space holds one solve at a time; several bodies may be solved side by
    side.
    """

    def __init__(self, solid: Solid, boundary: Boundary, *, threads: int | None = None) -> None:
        check_supports(solid, boundary)
        self.solid, self.boundary = solid, boundary
        self.crew = Crew(threads)
        self.levels = hierarchy(solid, boundary.displaced, self.crew)
        self.finest = self.levels[0]
        self.vectors = Vectors(sweeps, self.finest.elements, self.finest.parts, self.crew)
        room = self.finest.grid.plane + WIDTH
        self._scratch = [np.zeros((3, room)) for _ in self.finest.parts]
        self._sums = np.zeros(self.finest.grid.nodes[0])

    def __enter__(self) -> Equilibrium:
        self._working = self.crew.at_work()
        self._working.__enter__()
        return self

    def __exit__(self, *ending: Any) -> None:
        self._working.__exit__(*ending)

    def apply(self, x: NDArray[np.float64], out: NDArray[np.float64], free_only: bool = True) -> float:
        """``out = A x``, at free nodes or everywhere; returns ``x . out``."""
        level = self.finest
        self.crew.each(
            sweeps.apply,
            (
                (level.elements, first, last, x, level.inverse, free_only, out, self._sums, scratch)
                for (first, last), scratch in zip(level.parts, self._scratch, strict=True)
            ),
        )
        return float(self._sums.sum())

    def solve(
        self,
        *,
        boundary: Boundary | None = None,
        tolerance: float = TOLERANCE,
        start_mm: NDArray[np.float64] | None = None,
        progress: Callable[[int, float], None] | None = None,
    ) -> Deformation:
        """Displacements for ``boundary``, which holds the same degrees of freedom as the one this was made with."""
        TOLERANCES.check("tolerance", tolerance, "a solve")
        boundary = self._checked(boundary)
        if start_mm is not None:
            check_nodes("start_mm", start_mm, self.solid, components=3)
        x, residual, load_norm = self._begin(boundary, start_mm)
        if load_norm == 0.0:
            return self._deformation(boundary, x, residual, Ending(0, 0.0), tolerance)
        reaction = np.zeros_like(x)
        ending = conjugate_gradients(
            self,
            self.levels,
            self.vectors,
            x,
            residual,
            tolerance=tolerance,
            compared_with=load_norm,
            accept=lambda: self._reactions(boundary, x, reaction)[1] <= IMBALANCE,
            progress=progress,
        )
        return self._deformation(boundary, x, reaction, ending, tolerance)

    def _checked(self, boundary: Boundary | None) -> Boundary:
        if boundary is None:
            return self.boundary
        if not np.array_equal(boundary.displaced, self.boundary.displaced):
            raise ValueError("the supports changed: make a new Equilibrium.")
        return boundary

    def _begin(
        self, boundary: Boundary, start_mm: NDArray[np.float64] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """The first guess, its residual, and the norm of the residual without a guess."""
        grid = self.finest.grid
        x, residual = np.zeros(grid.size), np.zeros(grid.size)
        x[grid.places(boundary.displaced)] = boundary.displacement_mm
        load_norm = self.residual_of(boundary, x, residual)
        if start_mm is not None and load_norm > 0.0:  # a body that nothing loads stays where it is
            grid.view(x)[:] = start_mm
            x[grid.places(boundary.displaced)] = boundary.displacement_mm
            self.residual_of(boundary, x, residual)
        return x, residual, load_norm

    def residual_of(self, boundary: Boundary, x: NDArray[np.float64], out: NDArray[np.float64]) -> float:
        """``f - A x`` at free nodes into ``out``; returns its norm."""
        grid = self.finest.grid
        self.apply(x, out, free_only=False)
        np.negative(out, out=out)
        np.add.at(out, grid.places(boundary.loaded), boundary.force_n)
        out[grid.places(boundary.displaced)] = 0.0
        return float(np.sqrt(self.vectors.products(out, out, out)[0]))

    def _deformation(
        self, boundary: Boundary, x: NDArray[np.float64], out: NDArray[np.float64], ending: Ending, tolerance: float
    ) -> Deformation:
        """The result, its reactions taken from the displacements anew."""
        reaction, imbalance = self._reactions(boundary, x, out)
        displacement = self.finest.grid.view(x)
        displacement.flags.writeable = False
        return Deformation(
            self.solid,
            boundary,
            displacement,
            reaction,
            ending.iterations,
            ending.residual,
            imbalance,
            _status(ending, imbalance, tolerance),
        )

    def _reactions(
        self, boundary: Boundary, x: NDArray[np.float64], out: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], float]:
        """What the supports do, and what that and the loads are out of balance by."""
        grid = self.finest.grid
        self.apply(x, out, free_only=False)
        np.negative(out, out=out)
        np.add.at(out, grid.places(boundary.loaded), boundary.force_n)
        reaction = -out[grid.places(boundary.displaced)]
        size = int(np.prod(grid.nodes))
        left = grid.view(out).sum(axis=(1, 2, 3))
        # all inner forces cancel: what is left over at free nodes is what reactions and loads are out of balance by
        left += np.bincount(boundary.displaced // size, reaction, minlength=3)
        pushed = np.bincount(boundary.displaced // size, np.abs(reaction), minlength=3)
        pushed += np.bincount(boundary.loaded // size, np.abs(boundary.force_n), minlength=3)
        return reaction, 2.0 * float(np.linalg.norm(left) / pushed.max()) if pushed.any() else 0.0


def check_nodes(name: str, array: NDArray[Any], solid: Solid, components: int = 0) -> None:
    """Refuse what is not one value (or ``components`` values) for every node of the solid."""
    wanted = (components, *solid.nodes) if components else solid.nodes
    if np.shape(array) != wanted:
        raise ValueError(f"{name} has the shape {np.shape(array)}; the nodes of this solid are {wanted}.")


def _status(ending: Ending, imbalance: float, tolerance: float) -> Status:
    if not np.isfinite(ending.residual + imbalance):
        return Status.NOT_FINITE
    met = ending.residual <= tolerance and imbalance <= IMBALANCE
    return Status.SUCCESS if met else Status.NOT_CONVERGED


def _slope(u: NDArray[np.float64], axis: int, spacing_mm: float) -> NDArray[np.float64]:
    """The derivative along an axis at the middle of every voxel."""
    for other in range(3):
        low, high = (tuple(s if a == other else slice(None) for a in range(3)) for s in (slice(-1), slice(1, None)))
        u = (u[high] - u[low]) / spacing_mm if other == axis else (u[high] + u[low]) / 2.0
    return u
