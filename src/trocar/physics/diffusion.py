"""Steady diffusion in a box of cells: the pressure of a flow in a porous medium, an electric potential.

What flows between two cells is the conductance of their face times the difference of their potentials; what flows in
is given, and leaves to a reservoir at 0.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.measure import Range, Status
from trocar.physics import face_layout, face_sweeps
from trocar.physics.face_levels import cells_of, face_levels
from trocar.physics.faces import Faces, first_cell
from trocar.physics.multigrid import Crew, Ending, Vectors, conjugate_gradients

#: Relative residual at which a solution counts as converged.
TOLERANCE = 1e-8
#: Below the smallest float64 can't meet the equations of a box of many cells.
TOLERANCES = Range(1e-14, 0.1)
#: The residual of the answer may be so many times the tolerance, which the residual carried along has met.
DRIFT = 2.0


@dataclass(frozen=True, eq=False)
class Potential:
    """``value`` (float64 ``[k, j, i]``; 0 outside), and how well the equations are met.

    ``residual`` is what is left over of the flows, relative to the source (both as root sums of squares).
    """

    value: NDArray[np.float64]
    iterations: int
    residual: float
    status: Status


class Diffusion:
    """A box of cells, ready to be solved for one set of conductances after another.

    The working space is made once and holds one solve at a time; several boxes may be solved side by side.
    """

    def __init__(self, shape: tuple[int, int, int], threads: int = 1) -> None:
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"shape={shape} must be three numbers of cells, each 1 or more.")
        self.shape = (int(shape[0]), int(shape[1]), int(shape[2]))
        self.crew = Crew(threads)
        self.levels = face_levels(self.shape, self.crew)
        finest = self.levels[0]
        self._exact = cells_of(finest.cells.shape, np.float64, finest.cells.spans)
        self._level, self._x, self._residual, *self._room = np.zeros((5, finest.x.size))
        self._piece = np.zeros(finest.x.size, np.int64)
        self._sums = np.zeros(self.shape[0])
        self.vectors = Vectors(face_sweeps, self._exact, finest.parts, self.crew)

    def solve(
        self, faces: Faces, source: NDArray[Any], *, start: NDArray[Any] | None = None, tolerance: float = TOLERANCE
    ) -> Potential:
        """The potential at which as much leaves each cell as ``source`` (``[k, j, i]``) puts in.

        ``start`` is a first guess; ``tolerance`` the relative residual. A cell that nothing conducts to is outside, and
        so is a piece without a way to the ground. Raises ``ValueError`` for a source in one of these, which has nowhere
        to go, and for conductances that are negative or not a number. Where the ground conducts so much less than the
        faces that rounding hides what flows, the status is ``NOT_CONVERGED``.
        """
        TOLERANCES.check("tolerance", tolerance, "a solve")
        size = self._lay_out(faces, source)
        self._begin(start)
        if size == 0.0:
            return Potential(np.zeros(self.shape), 0, 0.0, Status.SUCCESS)
        with self.crew.at_work():
            ending = conjugate_gradients(
                self,
                self.levels,
                self.vectors,
                self._x,
                self._residual,
                tolerance=tolerance,
                compared_with=size,
                room=self._room,
            )
        return self._potential(ending, source, size, tolerance)

    def apply(self, x: NDArray[np.float64], out: NDArray[np.float64]) -> float:
        """``out = A x`` in the padded order; returns ``x . out``."""
        self.crew.each(face_sweeps.apply, ((self._exact, a, b, x, out, self._sums) for a, b in self.levels[0].parts))
        return float(self._sums.sum())

    def _lay_out(self, faces: Faces, source: NDArray[Any]) -> float:
        """The operator on every grid, and the source as residual; returns the norm of the source.

        Of the potential the level of each piece is kept apart: beside a level far above all differences these would
        drown in rounding.
        """
        exact = self._exact
        self._take(faces)
        self._put(source)
        greatest = face_layout.find_spans(exact)
        norm = self._norm_of_residual()
        face_layout.find_pieces(exact, self._piece)
        face_layout.find_levels(exact, self._piece, self._residual, self._room[0], self._level)
        face_layout.thin(exact, 1.0 / greatest if greatest > 0.0 else 1.0, self.levels[0].cells)
        for level, coarser in itertools.pairwise(self.levels):
            face_layout.coarsen(level.cells, coarser.cells)
        for level in self.levels:
            face_layout.invert_diagonal(level.cells, level.inverse)
        self.levels[-1].factorise()
        self._check_ways_out()
        return norm

    def _take(self, faces: Faces) -> None:
        """The conductances in the padded order."""
        for axis, (name, array) in enumerate(faces.alike().items()):
            self._check_shape(name, array)
            if not face_layout.take(array, axis, self._exact[axis], self._exact.shape, self.shape):
                raise ValueError(faces.unsound(name))

    def _put(self, source: NDArray[Any]) -> None:
        self.levels[0].view(self._residual)[:] = self._numbers("source", source)

    def _check_ways_out(self) -> None:
        """Refuse a source that is left where nothing conducts."""
        finest = self.levels[0]
        stuck = (finest.view(finest.inverse) == 0.0) & (finest.view(self._residual) != 0.0)
        if stuck.any():
            raise ValueError(f"the source in cell {first_cell(stuck)} has nowhere to go: nothing leads to the ground.")

    def _check_shape(self, name: str, array: NDArray[Any]) -> None:
        if array.shape != self.shape:
            raise ValueError(f"{name} has the shape {array.shape}; the cells of this box are {self.shape}.")

    def _numbers(self, name: str, given: NDArray[Any]) -> NDArray[Any]:
        array = np.asarray(given)
        self._check_shape(name, array)
        if not np.isfinite(array).all():
            raise ValueError(f"the {name} in cell {first_cell(~np.isfinite(array))} is not a number.")
        return array

    def _begin(self, start: NDArray[Any] | None) -> None:
        """The first guess, 0 outside, and what it leaves of the source."""
        self._x[:] = 0.0
        if start is None:
            return
        view = self.levels[0].view
        np.subtract(self._numbers("start", start), view(self._level), out=view(self._x))
        view(self._x)[view(self.levels[0].inverse) == 0.0] = 0.0
        self.apply(self._x, self._room[0])
        self._residual -= self._room[0]

    def _potential(self, ending: Ending, source: NDArray[Any], size: float, tolerance: float) -> Potential:
        """The answer, its residual computed anew: the one that is carried along does not know what rounding costs."""
        value = self.levels[0].view(self._level) + self.levels[0].view(self._x)
        value.flags.writeable = False
        self._put(source)
        self.apply(self._x, self._room[0])
        self._residual -= self._room[0] + self._exact.ground * self._level
        residual = self._norm_of_residual() / size
        if not np.isfinite(residual):
            self._clear()
            return Potential(value, ending.iterations, residual, Status.NOT_FINITE)
        met = residual <= DRIFT * tolerance
        return Potential(value, ending.iterations, residual, Status.SUCCESS if met else Status.NOT_CONVERGED)

    def _norm_of_residual(self) -> float:
        return float(np.sqrt(self.vectors.products(self._residual, self._residual, self._residual)[0]))

    def _clear(self) -> None:
        """Leave nothing that is not a number to the next solve: where nothing conducts, 0 times that would be none."""
        for vector in (self._level, self._x, self._residual, *self._room):
            vector[:] = 0.0
        for level in self.levels:
            level.clear()
