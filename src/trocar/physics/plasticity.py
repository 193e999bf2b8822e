"""A body of voxels that yields: elastic and perfectly plastic, pressed step by step.

Von Mises' condition with the associated flow, one plastic strain a voxel, returned radially to the yield surface
(Simo JC, Hughes TJR. Computational inelasticity. Springer 1998, boxes 3.1 and 3.2, without hardening). Newton's steps
use the consistent tangent; each is solved by the elastic body's multigrid.

The strain in the middle of a voxel does not see it bend or twist. Left elastic, those twelve modes would harden the
body without end, and few voxels between rough plates would bear far more than their yield stress. So they count: what
is held to the yield stress is the root of the energy of all that a voxel resists with, but for its mean pressure, and
the modes flow in proportion. In uniform strain that is von Mises' condition. What is one or two voxels thick and bends
comes out too strong, the more so at a high Poisson's ratio, and it goes on hardening by the share of its bending
(:data:`BENDING_KEPT`) that stays elastic. Finer voxels lower the load, of porous bone more than of solid; eight-point
elements without remedy (CalculiX's C3D8) are stiffer still.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from trocar.measure import Status
from trocar.physics.compiled import compiled
from trocar.physics.elasticity import Equilibrium
from trocar.physics.hexahedron import CORNERS, element_matrix
from trocar.physics.multigrid import conjugate_gradients
from trocar.physics.solid import Boundary, Material, Solid

#: Forces out of equilibrium at which a step counts as found, relative to those at supports and loads (norms of the
#: nodes' forces). The load then moves far less than a yield stress is known to.
TOLERANCE = 1e-3
#: What each Newton step's linear problem is solved to, and how many iterations it may take.
INNER_TOLERANCE, INNER_LIMIT = 0.1, 200
#: The share of its elastic stiffness that a flowing voxel keeps in Newton's steps (not in the equations): a body that
#: flows as a whole would leave them singular.
KEPT = 1e-3
#: The share of their stiffness that bending modes never lose: a corner of bone that hangs on one flowing voxel would
#: otherwise be held by nothing.
BENDING_KEPT = 0.05
#: Newton steps before a load step is given up, and how many of them may go by without a fall of the residual below
#: this share of its least: a load beyond what the body bears leaves a residual that nothing takes away.
NEWTON_LIMIT, PATIENCE, FALL = 40, 8, 0.9
#: Halvings of a Newton step that does not lower the residual.
HALVINGS = 4


@dataclass(frozen=True, eq=False)
class LoadStep:
    """One point of a load curve.

    ``factor`` multiplies what the boundary prescribes; ``force_n`` is the reaction along k, j, i of the chosen nodes;
    ``yielded`` the share of the voxels that can yield and did; ``displacement_mm`` ``[c, k, j, i]`` at the nodes;
    ``iterations`` those of the linear solver; ``residual`` what is out of equilibrium, relative to the greatest forces
    at supports and loads so far.
    """

    factor: float
    force_n: NDArray[np.float64]
    yielded: float
    displacement_mm: NDArray[np.float64]
    iterations: int
    residual: float
    status: Status


def press(
    solid: Solid,
    boundary: Boundary,
    factors: Sequence[float],
    where: NDArray[np.bool_],
    *,
    threads: int | None = None,
) -> Iterator[LoadStep]:
    """Prescribe ``factor`` times the boundary, for one factor after another, and tell the reaction at ``where``.

    Factors may rise, fall and change their sign; bone flows alike in tension and compression. Steps may be as large as
    the curve is to be coarse: a step's result depends on the steps before it only through the plastic strains.
    ``solid.yield_mpa`` must be given; laws of voxels that yield must be isotropic (``ValueError`` otherwise). Ends
    after the first step that does not converge; where a force pushes on bone that yields, its ``status`` is
    ``COLLAPSED``.
    """
    if where.shape != solid.nodes:
        raise ValueError(f"where {where.shape} must mark nodes, of which the solid has {solid.nodes}.")
    with Equilibrium(solid, boundary, threads=threads) as body:
        state = _Yielding(body)
        for factor in factors:
            step = state.advance(factor, where)
            yield step
            if step.status is not Status.SUCCESS:
                return


class _Yielding:
    """The state of a pressed body: displacements and plastic strains."""

    def __init__(self, body: Equilibrium) -> None:
        self.body, grid = body, body.finest.grid
        self.law = _law(body.solid)
        self.corner = _corners(body.solid, grid)
        self.bending = np.stack([_bending(m, body.solid.spacing_mm) for m in body.solid.materials])
        count = len(self.law)
        # six strains, then the amplitudes of the twelve bending modes, mm
        self.plastic, self.flow, self.trial = np.zeros((3, count, 18))
        self.theta = np.ones(count)
        self.x, self.before = np.zeros(grid.size), np.zeros(grid.size)
        self.factors, self.greatest, self.forces = (0.0, 0.0), 0.0, 0.0
        self._elastic: NDArray[np.float64] | None = None
        self.held = grid.places(body.boundary.displaced)
        self.loaded = grid.places(body.boundary.loaded)
        self.pushing = float(np.linalg.norm(body.boundary.force_n))

    def advance(self, factor: float, where: NDArray[np.bool_]) -> LoadStep:
        """Find equilibrium at the next factor."""
        self._guess(factor)
        residual = np.zeros_like(self.x)
        size = least = self._residual(factor, self.x, residual)
        spent = waited = 0
        for _ in range(NEWTON_LIMIT):
            if waited == PATIENCE or not size > TOLERANCE * self._scale():  # also ends on a residual that is no number
                break
            change = np.zeros_like(self.x)
            spent += conjugate_gradients(
                self, self.body.levels, self.body.vectors, change, residual,
                tolerance=INNER_TOLERANCE, compared_with=size, limit=INNER_LIMIT,
            ).iterations  # fmt: skip
            size = self._move(factor, change, residual, size)
            waited = 0 if size < FALL * least else waited + 1
            least = min(size, least)
        return self._told(factor, where, spent, size)

    def _guess(self, factor: float) -> None:
        """Go on as in the last step, or back as an elastic body; the flow at turning points is not known before."""
        before, here = self.factors
        x = self.x.copy()
        if (factor - here) * (here - before) > 0.0:
            self.x += (factor - here) / (here - before) * (x - self.before)
        elif factor != here:
            self.x += (factor - here) * self._unit()
        self.x[self.held] = factor * self.body.boundary.displacement_mm
        self.before, self.factors = x, (here, factor)

    def _unit(self) -> NDArray[np.float64]:
        """What the boundary does to the elastic body."""
        if self._elastic is None:
            self._elastic = np.zeros_like(self.x)
            self.body.finest.grid.view(self._elastic)[:] = self.body.solve().displacement_mm
        return self._elastic

    def _move(self, factor: float, change: NDArray[Any], residual: NDArray[Any], size: float) -> float:
        """Take a Newton step, shortened where it does not help."""
        share = 1.0
        for _ in range(HALVINGS):
            self.x += share * change
            new = self._residual(factor, self.x, residual)
            if new < size:
                return new
            self.x -= share * change
            share *= 0.5
        self.x += share * change
        return self._residual(factor, self.x, residual)

    def _residual(self, factor: float, x: NDArray[np.float64], out: NDArray[np.float64]) -> float:
        """What is out of equilibrium at free nodes, with the plastic strains that ``x`` calls for; returns its norm."""
        _return(
            self.law, self.bending, self.corner, self._steps(), self._voxel(), x,
            self.plastic, self.trial, self.flow, self.theta,
        )  # fmt: skip
        self._unbalanced(factor, x, out)
        self.forces = float(np.hypot(np.linalg.norm(out[self.held]), abs(factor) * self.pushing))
        out[self.held] = 0.0
        return float(np.sqrt(self.body.vectors.products(out, out, out)[0]))

    def _unbalanced(self, factor: float, x: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        """Outer less inner forces at every node; at supports the reaction is missing."""
        self.body.apply(x, out, free_only=False)
        np.negative(out, out=out)
        np.add.at(out, self.loaded, factor * self.body.boundary.force_n)
        _add_stress(self.law, self.bending, self.corner, self._steps(), self.trial, self._voxel(), out)

    def apply(self, x: NDArray[np.float64], out: NDArray[np.float64]) -> float:
        """The consistent tangent at free nodes; returns ``x . out``. Makes this a ``multigrid.Operator``."""
        self.body.apply(x, out)
        _add_tangent(
            self.law, self.bending, self.corner, self._steps(), self.flow, self.theta, self._voxel(), x, out
        )  # fmt: skip
        out[self.held] = 0.0
        return self.body.vectors.products(x, out, out)[0]

    def _told(self, factor: float, where: NDArray[np.bool_], spent: int, size: float) -> LoadStep:
        """The step as found; its plastic strains are the body's from now on."""
        self.plastic[:] = self.trial
        self.greatest = self._scale()
        residual = size / self.greatest if self.greatest else size
        share = float(np.any(self.plastic != 0.0, axis=1).mean()) if len(self.plastic) else 0.0
        shown = self.body.finest.grid.view(self.x.copy())
        status = _status(residual, forced=self.pushing > 0.0 and share > 0.0 and bool(np.isfinite(factor)))
        return LoadStep(factor, self._reaction(factor, where), share, shown, spent, residual, status)

    def _scale(self) -> float:
        """The greatest forces so far, with those of the state that was looked at last."""
        return max(self.greatest, self.forces)

    def _reaction(self, factor: float, where: NDArray[np.bool_]) -> NDArray[np.float64]:
        """What the supports at the chosen nodes do to the body."""
        out = np.zeros_like(self.x)
        self._unbalanced(factor, self.x, out)
        component, node = np.divmod(self.body.boundary.displaced, where.size)
        chosen = where.reshape(-1)[node]
        return np.bincount(component[chosen], -out[self.held][chosen], minlength=3).astype(np.float64)

    def _steps(self) -> tuple[int, int, int, NDArray[np.float64]]:
        """Strides from a voxel's first corner to the next along k and j, to the next component, and 1 / (4 h)."""
        grid = self.body.finest.grid
        _, rows, places = grid.shape
        return grid.plane, places, rows * places, 0.25 / np.array(self.body.solid.spacing_mm)

    def _voxel(self) -> float:
        return self.body.solid.voxel_mm3


def _status(residual: float, forced: bool) -> Status:
    """How a step ended; ``forced``: a finite force pushes on a body part of which has yielded."""
    if residual <= TOLERANCE:
        return Status.SUCCESS
    if forced:
        return Status.COLLAPSED
    return Status.NOT_CONVERGED if np.isfinite(residual) else Status.NOT_FINITE


def _law(solid: Solid) -> NDArray[np.float64]:
    """For every voxel that can yield twice the shear modulus, the radius of its yield surface, modulus, material."""
    if solid.yield_mpa is None:
        raise ValueError("the solid has no yield_mpa: give every voxel's yield stress (inf where it does not yield).")
    yields = solid.filled & np.isfinite(solid.yield_mpa)
    law, modulus = solid.material[yields] - 1, solid.modulus_mpa[yields]
    for n in np.unique(law):
        if not solid.materials[n].is_isotropic:
            raise ValueError(f"{solid.materials[n].name} is not isotropic: only isotropic laws can yield here.")
    shear = np.array([m.shear[0] for m in solid.materials])[law]
    radius = np.sqrt(2.0 / 3.0) * solid.yield_mpa[yields]
    columns = [2.0 * modulus * shear, radius, modulus, law]
    return np.stack(columns, axis=1).astype(np.float64)


def _bending(material: Material, spacing_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """What can flow of the stiffness of a voxel's twelve modes, ``[12, 12]`` N/mm, for a modulus of 1 MPa.

    A mode is one component times one of :func:`_pattern`'s signs at the corners.
    """
    k, j, i = CORNERS.T
    modes = np.kron(np.eye(3), np.stack([j * i, k * i, k * j, k * j * i], axis=1))
    whole = modes.T @ element_matrix(material, spacing_mm) @ modes
    return np.asarray((1.0 - BENDING_KEPT) * whole, np.float64)


def _corners(solid: Solid, grid: Any) -> NDArray[np.int64]:
    """Where the first component of every yielding voxel's first corner is stored."""
    assert solid.yield_mpa is not None
    k, j, i = np.nonzero(solid.filled & np.isfinite(solid.yield_mpa))
    places = grid.shape[2]
    return np.asarray(k * grid.plane + j * places + i, np.int64)


@nb.njit(inline="always")
def _gradient(x, corner, steps, out):  # type: ignore[no-untyped-def]
    """Strain in the middle of a voxel as kk, jj, ii, ji, ki, kj (tensor shears)."""
    up, side, component, slope = steps
    grad = np.zeros((3, 3))
    for c in range(3):
        for n in range(8):
            value = x[corner + c * component + (n >> 2) * up + ((n >> 1) & 1) * side + (n & 1)]
            grad[c, 0] += value * slope[0] * (2 * (n >> 2) - 1)
            grad[c, 1] += value * slope[1] * (2 * ((n >> 1) & 1) - 1)
            grad[c, 2] += value * slope[2] * (2 * (n & 1) - 1)
    out[0], out[1], out[2] = grad[0, 0], grad[1, 1], grad[2, 2]
    out[3] = 0.5 * (grad[1, 2] + grad[2, 1])
    out[4] = 0.5 * (grad[0, 2] + grad[2, 0])
    out[5] = 0.5 * (grad[0, 1] + grad[1, 0])


@nb.njit(inline="always")
def _spread(stress, volume, corner, steps, out):  # type: ignore[no-untyped-def]
    """Add the nodal forces of a uniform stress in a voxel."""
    up, side, component, slope = steps
    for n in range(8):
        k = slope[0] * (2 * (n >> 2) - 1) * volume
        j = slope[1] * (2 * ((n >> 1) & 1) - 1) * volume
        i = slope[2] * (2 * (n & 1) - 1) * volume
        at = corner + (n >> 2) * up + ((n >> 1) & 1) * side + (n & 1)
        out[at] += stress[0] * k + stress[5] * j + stress[4] * i
        out[at + component] += stress[5] * k + stress[1] * j + stress[3] * i
        out[at + 2 * component] += stress[4] * k + stress[3] * j + stress[2] * i


@nb.njit(inline="always")
def _pattern(n, m):  # type: ignore[no-untyped-def]
    """The sign of mode m at corner n: the products of its places along ji, ki, kj and kji."""
    k, j, i = 2 * (n >> 2) - 1, 2 * ((n >> 1) & 1) - 1, 2 * (n & 1) - 1
    return (k if m != 0 else 1) * (j if m != 1 else 1) * (i if m != 2 else 1)


@nb.njit(inline="always")
def _amplitudes(x, corner, steps, out):  # type: ignore[no-untyped-def]
    """How much of each mode there is in a voxel's displacements, mm."""
    up, side, component, _ = steps
    for c in range(3):
        for m in range(4):
            out[4 * c + m] = 0.0
        for n in range(8):
            value = 0.125 * x[corner + c * component + (n >> 2) * up + ((n >> 1) & 1) * side + (n & 1)]
            for m in range(4):
                out[4 * c + m] += value * _pattern(n, m)


@nb.njit(inline="always")
def _resisted(bending, amplitude, out):  # type: ignore[no-untyped-def]
    """The modes' forces for a modulus of 1 MPa."""
    for a in range(12):
        out[a] = 0.0
        for b in range(12):
            out[a] += bending[a, b] * amplitude[b]


@nb.njit(inline="always")
def _bend(force, factor, corner, steps, out):  # type: ignore[no-untyped-def]
    """Add the nodal forces of the modes."""
    up, side, component, _ = steps
    for c in range(3):
        for n in range(8):
            at = corner + c * component + (n >> 2) * up + ((n >> 1) & 1) * side + (n & 1)
            for m in range(4):
                out[at] += 0.125 * factor * force[4 * c + m] * _pattern(n, m)


@compiled
def _return(law, bending, corners, steps, volume, x, plastic, trial, flow, theta):  # type: ignore[no-untyped-def]
    """Radial return: new plastic strains ``trial``, direction of flow, and what is left of the shear stiffness."""
    strain, amplitude, force = np.zeros(6), np.zeros(12), np.zeros(12)
    for v in range(len(corners)):
        _gradient(x, corners[v], steps, strain)
        mean = (strain[0] + strain[1] + strain[2]) / 3.0
        energy = 0.0
        for n in range(6):
            part = strain[n] - (mean if n < 3 else 0.0) - plastic[v, n]
            flow[v, n] = part
            energy += part * part * (1.0 if n < 3 else 2.0)
        _amplitudes(x, corners[v], steps, amplitude)
        for n in range(12):
            amplitude[n] -= plastic[v, 6 + n]
            flow[v, 6 + n] = amplitude[n]
        _resisted(bending[int(law[v, 3])], amplitude, force)
        scale = law[v, 2] / (law[v, 0] * volume)
        for n in range(12):
            energy += scale * amplitude[n] * force[n]
        size = law[v, 0] * np.sqrt(energy)
        theta[v] = min(1.0, law[v, 1] / size) if size > 0.0 else 1.0
        for n in range(18):
            trial[v, n] = plastic[v, n] + (1.0 - theta[v]) * flow[v, n]
            if theta[v] < 1.0:
                flow[v, n] *= law[v, 0] / size


@compiled
def _add_stress(law, bending, corners, steps, plastic, volume, out):  # type: ignore[no-untyped-def]
    """Add the nodal forces of the stress that plastic strains relieve."""
    stress, force = np.zeros(6), np.zeros(12)
    for v in range(len(corners)):
        any_ = False
        for n in range(6):
            stress[n] = law[v, 0] * plastic[v, n]
            any_ |= plastic[v, n] != 0.0
        if any_:
            _spread(stress, volume, corners[v], steps, out)
            _resisted(bending[int(law[v, 3])], plastic[v, 6:], force)
            _bend(force, law[v, 2], corners[v], steps, out)


@compiled
def _add_tangent(law, bending, corners, steps, flow, theta, volume, x, out):  # type: ignore[no-untyped-def]
    """Take from ``A x`` what voxels that flow do not resist: ``2 G ((1 - theta) e + theta n (n : e))``."""
    strain, stress, amplitude, force = np.zeros(6), np.zeros(6), np.zeros(12), np.zeros(12)
    for v in range(len(corners)):
        if theta[v] < 1.0:
            modes = bending[int(law[v, 3])]
            _gradient(x, corners[v], steps, strain)
            _amplitudes(x, corners[v], steps, amplitude)
            mean = (strain[0] + strain[1] + strain[2]) / 3.0
            along, most = 0.0, 1.0 - KEPT
            for n in range(6):
                strain[n] -= mean if n < 3 else 0.0
                along += strain[n] * flow[v, n] * (1.0 if n < 3 else 2.0)
            _resisted(modes, amplitude, force)
            scale = law[v, 2] / (law[v, 0] * volume)
            for n in range(12):
                along += scale * flow[v, 6 + n] * force[n]
            for n in range(6):
                stress[n] = -most * law[v, 0] * ((1.0 - theta[v]) * strain[n] + theta[v] * along * flow[v, n])
            for n in range(12):
                amplitude[n] = (1.0 - theta[v]) * amplitude[n] + theta[v] * along * flow[v, 6 + n]
            _resisted(modes, amplitude, force)
            _spread(stress, volume, corners[v], steps, out)
            _bend(force, -most * law[v, 2], corners[v], steps, out)
