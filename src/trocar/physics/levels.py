"""The grids of a voxel solid, each with half the voxels of the one below along every axis."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.physics import sweeps
from trocar.physics.hexahedron import constants, diagonal, largest_eigenvalue
from trocar.physics.multigrid import Crew, chebyshev, pieces
from trocar.physics.solid import Material, Solid
from trocar.physics.sweeps import WIDTH, Elements

#: Smoothing steps before and after each coarse correction. 2 to 5 take the same time; more take fewer iterations.
STEPS = 5
#: Grids with no more degrees of freedom than this are solved directly.
DIRECT_SIZE = 250
#: Share of a coarse node's surroundings above which it is held with them: just below the quarter of a plane beside it.
HELD_SHARE = 0.24
#: Power steps that estimate the greatest eigenvalue, and how much is added to their answer.
POWER_STEPS, POWER_MARGIN = 8, 1.2
#: Less than any entry of a vector that is not 0 throughout.
TINY = 1e-30
#: Relative size below which an eigenvalue of the coarsest grid counts as 0.
SINGULAR = 1e-6


@dataclass(frozen=True)
class Grid:
    """Nodes along k, j, i and how vectors on them are stored: rows padded to whole vectors of lanes."""

    nodes: tuple[int, int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes, rows, places with padding."""
        planes, rows, places = self.nodes
        return planes, rows, -(-places // WIDTH) * WIDTH

    @property
    def plane(self) -> int:
        """Numbers to a plane of nodes, three a node."""
        return 3 * self.shape[1] * self.shape[2]

    @property
    def size(self) -> int:
        """Numbers to a vector, with the spare width at its end."""
        return self.nodes[0] * self.plane + WIDTH

    @property
    def coarser(self) -> Grid:
        """Every other node; an odd voxel at the end is half outside."""
        k, j, i = (n // 2 + 1 for n in self.nodes)
        return Grid((k, j, i))

    def places(self, dof: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where flat indices into ``[c, k, j, i]`` are stored."""
        c, k, j, i = np.unravel_index(dof, (3, *self.nodes))
        _, rows, places = self.shape
        return np.asarray(((k * 3 + c) * rows + j) * places + i)

    def view(self, vector: NDArray[Any]) -> NDArray[Any]:
        """A vector as ``[c, k, j, i]``, without a copy."""
        planes, rows, places = self.shape
        whole = vector[: self.nodes[0] * self.plane].reshape(planes, 3, rows, places)
        return whole[..., : self.nodes[2]].transpose(1, 0, 2, 3)

    def of_voxels(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array of voxels ``[k, j, i]`` in the padded order of the nodes."""
        padded = np.zeros(self.nodes[0] * self.shape[1] * self.shape[2] + WIDTH, array.dtype)
        k, j, i = array.shape
        padded[:-WIDTH].reshape(self.shape)[:k, :j, :i] = array
        return padded


def elements_of(solid: Solid, grid: Grid) -> Elements:
    """The operator of a solid on its own grid."""
    kind = grid.of_voxels(solid.material)
    modulus = grid.of_voxels(np.where(solid.filled, solid.modulus_mpa, np.float32(0.0)))
    return _elements(modulus, kind, grid, solid.materials, solid.spacing_mm)


def _elements(
    modulus: NDArray[np.float32],
    kind: NDArray[np.uint8],
    grid: Grid,
    materials: tuple[Material, ...],
    spacing_mm: tuple[float, float, float],
) -> Elements:
    blocks = np.zeros(kind.size // WIDTH - 1, np.uint16)
    sweeps.mark_blocks(kind, blocks)
    exact = np.concatenate([constants(m, spacing_mm) for m in materials])
    spans, spans_from = np.empty((3 * blocks.size // 2 + 3, 2), np.int64), np.zeros(grid.nodes[0] + 1, np.int64)
    count = sweeps.find_spans(kind, blocks, grid.shape, spans, spans_from)
    return Elements(
        modulus, kind, blocks, exact.astype(np.float32), exact, spans[:count].copy(), spans_from, grid.shape
    )


class VoxelLevel:
    """One grid: its operator, its free nodes and its vectors. Implements ``multigrid.Level``.

    ``fixed`` are the degrees of freedom that can't move, as flat indices into ``[c, k, j, i]``.
    """

    def __init__(
        self,
        grid: Grid,
        elements: Elements,
        fixed: NDArray[np.int64],
        materials: tuple[Material, ...],
        spacing_mm: tuple[float, float, float],
        crew: Crew,
    ) -> None:
        self.grid, self.elements, self.fixed = grid, elements, fixed
        self.materials, self.spacing_mm, self.crew = materials, spacing_mm, crew
        self.inverse = self._inverse_diagonal()
        self.x = np.zeros(grid.size, np.float32)
        self.change = np.zeros(grid.size, np.float32)
        self.load = np.zeros(0, np.float32)
        self.parts = pieces(grid.nodes[0], grid.nodes[0] * grid.plane)
        self._rooms = [_Room(grid) for _ in self.parts]
        self.steps = chebyshev(STEPS, self._largest_eigenvalue())

    def _inverse_diagonal(self) -> NDArray[np.float32]:
        """One over the diagonal at free nodes that have material beside them; 0 elsewhere."""
        inverse = np.zeros(self.grid.size, np.float32)
        of_kind = np.array([diagonal(m, self.spacing_mm) for m in self.materials], np.float32)
        sweeps.add_diagonal(self.elements, of_kind, inverse)
        sweeps.invert(inverse)
        inverse[self.grid.places(self.fixed)] = 0.0
        return inverse

    def _largest_eigenvalue(self) -> float:
        """Of ``D^-1 A``: by power steps, and never above the bound a single voxel gives.

        The growth is that of the greatest entry: a lone stiff voxel counts as much as a whole field.
        """
        bound = max(largest_eigenvalue(m, self.spacing_mm) for m in self.materials)
        nothing, x = np.zeros(self.grid.size, np.float32), self.x
        x[:] = np.random.default_rng(0).random(x.size, np.float32) - np.float32(0.5)
        x[self.inverse == 0.0] = 0.0
        growth = _greatest(x)
        for _ in range(POWER_STEPS):
            x /= np.float32(max(growth, TINY))
            self._relax(nothing, 0.0, -1.0)  # x + D^-1 A x
            growth = _greatest(x)
        return min(POWER_MARGIN * (growth - 1.0), bound) if growth > 1.0 else bound

    def coarser(self) -> VoxelLevel:
        """The level of every other node."""
        grid = self.grid.coarser
        planes, rows, places = grid.shape
        modulus = np.zeros(planes * rows * places + WIDTH, np.float32)
        kind = np.zeros(modulus.size, np.uint8)
        sweeps.coarsen(self.elements, len(self.materials), grid.shape, modulus, kind)
        k, j, i = (2.0 * h for h in self.spacing_mm)
        elements = _elements(modulus, kind, grid, self.materials, (k, j, i))
        fixed = _fixed_above(self.fixed, self.grid, grid)
        level = VoxelLevel(grid, elements, fixed, self.materials, (k, j, i), self.crew)
        level.load = np.zeros(grid.size, np.float32)
        return level

    def begin(self, load: NDArray[Any]) -> None:
        """Smooth from ``x = 0``."""
        given = self.elements, self.x, self.change, load, self.inverse, self.steps[0][1]
        self.crew.each(sweeps.start, ((given[0], first, last, *given[1:]) for first, last in self.parts))
        for keeps, gains in self.steps[1:]:
            self._relax(load, keeps, gains)

    def smooth(self, load: NDArray[Any]) -> None:
        """Smooth from the ``x`` there is."""
        for keeps, gains in self.steps:
            self._relax(load, keeps, gains)

    def _relax(self, load: NDArray[Any], keeps: float, gains: float) -> None:
        for (first, last), room in zip(self.parts, self._rooms, strict=True):
            room.remember(self.x, first, last)
        self.crew.each(
            sweeps.relax,
            (
                (
                    self.elements, first, last, self.x, room.below, room.above, self.change, load, self.inverse,
                    keeps, gains, room.scratch,
                )
                for (first, last), room in zip(self.parts, self._rooms, strict=True)
            ),
        )  # fmt: skip

    def gather(self, load: NDArray[Any], coarser: VoxelLevel) -> None:
        """Give the coarser level what is left of the load."""
        self.crew.each(
            sweeps.restrict,
            (
                (
                    self.elements, first, last, self.x, load, self.inverse, coarser.elements.shape, coarser.load,
                    room.above, room.scratch, room.row,
                )
                for (first, last), room in zip(self.parts, self._rooms, strict=True)
            ),
        )  # fmt: skip
        for (_, last), room in zip(self.parts[:-1], self._rooms, strict=False):
            at, size = last // 2 * coarser.grid.plane, coarser.grid.plane
            coarser.load[at : at + size] += room.above[:size]

    def correct(self, coarser: VoxelLevel) -> None:
        """Add the coarser level's solution."""
        shapes = self.elements.shape, coarser.elements.shape
        self.crew.each(
            sweeps.interpolate,
            (
                (shapes[0], first, last, self.x, self.inverse, shapes[1], coarser.x, room.row)
                for (first, last), room in zip(self.parts, self._rooms, strict=True)
            ),
        )

    def solve(self, load: NDArray[Any]) -> None:
        """Solve directly."""
        self.grid.view(self.x)[self._free] = self._exact @ self.grid.view(load)[self._free]

    @cached_property
    def _free(self) -> NDArray[np.bool_]:
        return np.asarray(self.grid.view(self.inverse) != 0.0)

    @cached_property
    def _exact(self) -> NDArray[np.float64]:
        """The inverse of the operator at free nodes (pseudo-inverse: a coarse grid may lose a thin part's support)."""
        free = np.flatnonzero(self._free)
        columns = np.empty((free.size, free.size))
        one, out = np.zeros(self.grid.size), np.zeros(self.grid.size)
        sums, scratch = np.zeros(self.grid.nodes[0]), np.zeros((3, self.grid.plane + WIDTH))
        for n, place in enumerate(self.grid.places(free)):
            one[place] = 1.0
            sweeps.apply(self.elements, 0, self.grid.nodes[0], one, self.inverse, True, out, sums, scratch)
            one[place] = 0.0
            columns[:, n] = self.grid.view(out)[self._free]
        return np.asarray(np.linalg.pinv(columns, rcond=SINGULAR, hermitian=True))


def _greatest(x: NDArray[np.float32]) -> float:
    return max(float(x.max()), -float(x.min()))


class _Room:
    """Working space of one piece."""

    def __init__(self, grid: Grid) -> None:
        self.size = grid.plane
        self.scratch = np.zeros((3, grid.plane + WIDTH), np.float32)
        self.below = np.zeros(grid.plane + WIDTH, np.float32)
        self.above = np.zeros(grid.plane + WIDTH, np.float32)
        self.row = np.zeros(grid.shape[2] + 2 * WIDTH, np.float32)

    def remember(self, x: NDArray[np.float32], first: int, last: int) -> None:
        """Copy the planes beside a piece, before another changes them."""
        if first:
            self.below[: self.size] = x[(first - 1) * self.size : first * self.size]
        if (last + 1) * self.size < x.size:
            self.above[: self.size] = x[last * self.size : (last + 1) * self.size]


def hierarchy(solid: Solid, fixed: NDArray[np.int64], crew: Crew) -> list[VoxelLevel]:
    """All grids of a solid, finest first."""
    grid = Grid(solid.nodes)
    levels = [VoxelLevel(grid, elements_of(solid, grid), fixed, solid.materials, solid.spacing_mm, crew)]
    while 3 * np.prod(levels[-1].grid.nodes) > DIRECT_SIZE:
        levels.append(levels[-1].coarser())
    return levels


def _fixed_above(fixed: NDArray[np.int64], grid: Grid, coarser: Grid) -> NDArray[np.int64]:
    """The coarse degrees of freedom a quarter of whose share of the finer grid is fixed, or more.

    A fixed plane between two coarse ones holds both: too stiff a correction is small, too soft a one overshoots. A
    fixed point is left to the finer grid.
    """
    component, *place = np.unravel_index(fixed, (3, *grid.nodes))
    held = np.zeros((3, *coarser.nodes))
    for corner in np.ndindex(2, 2, 2):
        up = [(n + c) // 2 for n, c in zip(place, corner, strict=True)]
        np.add.at(held, (component, *up), 1.0)
    share = [_share(n, m) for n, m in zip(grid.nodes, coarser.nodes, strict=True)]
    whole = share[0][:, None, None] * share[1][:, None] * share[2]
    return np.flatnonzero((held > 0.0) & (held >= HELD_SHARE * whole))


def _share(nodes: int, coarser: int) -> NDArray[np.float64]:
    """How many halves of fine nodes each coarse node stands for along one axis."""
    fine = np.arange(nodes)
    return np.bincount(np.concatenate([fine // 2, (fine + 1) // 2]), minlength=coarser).astype(np.float64)
