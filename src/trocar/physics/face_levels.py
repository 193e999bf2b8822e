"""The grids of a box of cells, each with half the cells of the one below along every axis.

Eight cells become one, and all eight take what is found for it. That asks nothing of the conductances, so that a front,
a channel one cell wide or an outside of any shape needs no care, and new ones are laid out in the time of a few passes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.physics import face_sweeps
from trocar.physics.face_sweeps import WIDTH, Cells
from trocar.physics.multigrid import Crew, chebyshev, pieces

#: Smoothing steps before and after each coarse correction. 3 to 8 take the same time; more take fewer iterations.
STEPS = 5
#: Each step's share of the change before and of the scaled residual. No eigenvalue of ``D^-1 A`` is above 2: no
#: off-diagonal row sum is above the diagonal (Gershgorin).
SMOOTHING = np.array(chebyshev(STEPS, 2.0))
SMOOTHING[0, 0] = 0.0  # nothing changed before the first step
#: Grids with no more cells than this are solved directly.
DIRECT_SIZE = 100


class FaceLevel:
    """One grid: its operator and its vectors, in float32. Implements ``multigrid.Level``."""

    def __init__(self, cells_along: tuple[int, int, int], crew: Crew) -> None:
        planes, rows, places = cells_along
        self.cells_along, self.crew = cells_along, crew
        shape = (planes, rows, -(-places // WIDTH) * WIDTH)
        self.cells = cells_of(shape, np.float32, np.zeros((planes * rows, 2), np.int64))
        self.inverse, self.x, self.load, self._change, self._other = (zeros(shape, np.float32) for _ in range(5))
        self.parts = pieces(planes, math.prod(shape)) if crew.threads > 1 else ((0, planes),)
        self._rows = [np.zeros(2 * (shape[2] + WIDTH), np.float32) for _ in self.parts]
        self._exact: NDArray[np.float64] = np.zeros((0, 0))

    def coarser(self) -> FaceLevel:
        """The grid of cells twice as long; the last may be half outside."""
        k, j, i = (-(-n // 2) for n in self.cells_along)
        return FaceLevel((k, j, i), self.crew)

    def clear(self) -> None:
        """Set every vector to 0."""
        for vector in (self.x, self.load, self._change, self._other):
            vector[:] = 0.0

    def begin(self, load: NDArray[Any]) -> None:
        """Smooth from ``x = 0``."""
        given = self.inverse, load, SMOOTHING[0, 1], self._change, self.x
        self.crew.each(face_sweeps.start, ((self.cells, a, b, *given) for a, b in self.parts))
        self._relax(load, SMOOTHING[1:])

    def smooth(self, load: NDArray[Any]) -> None:
        """Smooth from the ``x`` there is."""
        self._relax(load, SMOOTHING)

    def _relax(self, load: NDArray[Any], steps: NDArray[np.float64]) -> None:
        if len(self.parts) == 1:
            face_sweeps.relax_often(self.cells, self.inverse, self.x, load, steps, self._change, self._other)
            if len(steps) % 2:
                self.x, self._other = self._other, self.x
            return
        for keeps, gains in steps:
            given = self.inverse, self.x, load, keeps, gains, self._change, self._other
            self.crew.each(face_sweeps.relax, ((self.cells, a, b, *given) for a, b in self.parts))
            self.x, self._other = self._other, self.x

    def gather(self, load: NDArray[Any], coarser: FaceLevel) -> None:
        """Give the coarser level what is left of the load."""
        given = self.x, load, coarser.cells, coarser.load
        work = zip(self.parts, self._rows, strict=True)
        self.crew.each(face_sweeps.restrict, ((self.cells, a, b, *given, row) for (a, b), row in work))

    def correct(self, coarser: FaceLevel) -> None:
        """Add the coarser level's solution."""
        given = self.inverse, self.x, coarser.cells, coarser.x
        work = zip(self.parts, self._rows, strict=True)
        self.crew.each(face_sweeps.interpolate, ((self.cells, a, b, *given, row) for (a, b), row in work))

    def view(self, vector: NDArray[Any]) -> NDArray[Any]:
        """A vector as ``[k, j, i]``, without a copy."""
        planes, rows, stride = self.cells.shape
        return vector.reshape(planes + 2, rows, stride)[1:-1, :, : self.cells_along[2]]

    def factorise(self) -> None:
        """Prepare to solve directly (the coarsest level only)."""
        number = np.arange(math.prod(self.cells_along)).reshape(self.cells_along)
        matrix = np.zeros((number.size, number.size))
        matrix[number.ravel(), number.ravel()] = self.view(self.cells.ground).ravel()
        for axis, conductance in enumerate((self.cells.k, self.cells.j, self.cells.i)):
            inner = range(self.cells_along[axis] - 1)
            g = self.view(conductance).take(inner, axis).ravel()
            a, b = number.take(inner, axis).ravel(), np.roll(number, -1, axis).take(inner, axis).ravel()
            for one, other in ((a, b), (b, a)):
                matrix[one, one] += g
                matrix[one, other] -= g
        empty = np.flatnonzero(matrix.diagonal() == 0.0)
        matrix[empty, empty] = 1.0
        self._exact = np.asarray(np.linalg.inv(matrix))

    def solve(self, load: NDArray[Any]) -> None:
        """Solve directly."""
        self.view(self.x)[:] = (self._exact @ self.view(load).ravel()).reshape(self.cells_along)


def face_levels(shape: tuple[int, int, int], crew: Crew) -> list[FaceLevel]:
    """All grids of a box, finest first."""
    levels = [FaceLevel(shape, crew)]
    while math.prod(levels[-1].cells_along) > DIRECT_SIZE:
        levels.append(levels[-1].coarser())
    return levels


def zeros(shape: tuple[int, int, int], dtype: Any) -> NDArray[Any]:
    """A vector with its planes of zeros before and after."""
    planes, rows, stride = shape
    return np.zeros((planes + 2) * rows * stride, dtype)


def cells_of(shape: tuple[int, int, int], dtype: Any, spans: NDArray[np.int64]) -> Cells:
    """An operator that conducts nothing yet."""
    k, j, i, ground = (zeros(shape, dtype) for _ in range(4))
    return Cells(k, j, i, ground, spans, shape)
