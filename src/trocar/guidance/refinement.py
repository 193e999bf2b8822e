"""The nearest optimum of similarity over a bone's six degrees of freedom.

Similarity of normalised fields is one less half their squared distance, so that maximising it is a problem of least
squares: Gauss and Newton's steps, damped as Levenberg (1944) and Marquardt (1963) have it, with the derivative of the
drawn edges by differences of projections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.geometry import Pose, Vector
from trocar.guidance.edge_view import EdgeView
from trocar.guidance.rigid_motion import after, motion
from trocar.volume import Volume

#: The difference by which a derivative is taken, in pixels at the isocentre: its error moves the optimum by half of it.
DIFFERENCE_PX = 0.05
#: A step shorter than this, mm, ends the search; a longer one than the second is shortened.
SHORTEST_MM, LONGEST_MM = 0.02, 8.0
#: Marquardt's damping: at first, by how much it grows and shrinks, and how often it may grow in vain.
DAMPING, HARDER, EASIER, ATTEMPTS = 1e-2, 8.0, 0.2, 4


@dataclass(frozen=True, eq=False)
class Normal:
    """The least-squares problem at a place: ``matrix`` and ``slope`` of its six numbers, and what they are of.

    ``derivatives`` hold, view by view, the drawn field's derivative ``[6, 2, row, column]`` and what remains
    ``[2, row, column]``, both under the root of the weight.
    """

    matrix: NDArray[np.float64]
    slope: Vector
    similarity: tuple[float, ...]
    derivatives: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...] = ()


@dataclass(frozen=True, eq=False)
class Optimum:
    """Where similarity is highest: the displacement, per view similarity and usable share, and the steps taken."""

    displacement: Pose
    similarity: tuple[float, ...]
    usable: tuple[float, ...]
    steps: int

    @property
    def mean(self) -> float:
        """The views' mean similarity."""
        return float(np.mean(self.similarity))


def evaluate(views: Sequence[EdgeView], volume: Volume, displacement: Pose, steps: int = 0) -> Optimum:
    """Similarity at a place, nothing refined."""
    fits = [view.fit(volume, displacement) for view in views]
    return Optimum(displacement, tuple(f[0] for f in fits), tuple(f[1] for f in fits), steps)


def refine(views: Sequence[EdgeView], volume: Volume, centre_mm: Vector, start: Pose, most_steps: int) -> Optimum:
    """The optimum that is reached uphill from a start; turns are about where ``centre_mm`` (of the CT) then is."""
    best, damping = evaluate(views, volume, start), DAMPING
    for n in range(most_steps):
        about = best.displacement.to_world(centre_mm)
        problem = normal(views, volume, best.displacement, about)
        step, best, damping = _step(views, volume, problem, about, best, damping)
        if step < SHORTEST_MM:
            return Optimum(best.displacement, best.similarity, best.usable, n + 1)
    return Optimum(best.displacement, best.similarity, best.usable, most_steps)


def _step(
    views: Sequence[EdgeView], volume: Volume, problem: Normal, about_mm: Vector, best: Optimum, damping: float
) -> tuple[float, Optimum, float]:
    """One step uphill: its length (0 where none was found), the better place, the damping that goes on."""
    size = np.diag(np.diag(problem.matrix)) + 1e-12 * np.eye(6)
    for _ in range(ATTEMPTS):
        step = np.linalg.solve(problem.matrix + damping * size, problem.slope)
        length = float(np.linalg.norm(step))
        step *= min(1.0, LONGEST_MM / max(length, 1e-9))
        tried = evaluate(views, volume, after(motion(about_mm, step), best.displacement))
        if tried.mean > best.mean:
            return min(length, LONGEST_MM), tried, max(damping * EASIER, 1e-4)
        damping *= HARDER
    return 0.0, best, damping


def normal(views: Sequence[EdgeView], volume: Volume, place: Pose, about_mm: Vector, keep: bool = False) -> Normal:
    """The normal equations of least squares at a place, summed over the views."""
    matrix, slope, similarity, kept = np.zeros((6, 6)), np.zeros(6), [], []
    for view in views:
        derivative, rest, alike = _linearised(view, volume, place, about_mm)
        flat = derivative.reshape(6, -1).astype(np.float64)
        matrix += np.einsum("in,jn->ij", flat, flat)
        slope += np.einsum("in,n->i", flat, rest.reshape(-1))
        similarity.append(alike)
        kept.append((derivative, rest))
    return Normal(matrix, slope, tuple(similarity), tuple(kept) if keep else ())


def _linearised(
    view: EdgeView, volume: Volume, place: Pose, about_mm: Vector
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """The derivative of the normalised drawn field, what the seen one has beyond it, and their similarity."""
    h = DIFFERENCE_PX * view.pixel_mm
    drawn = view.draw(volume, place)
    edges, usable = view.seen(drawn.window)
    root = np.sqrt(drawn.weight * usable)
    moved = [after(motion(about_mm, h * e), place) for e in np.eye(6)]
    fields = np.concatenate((drawn.field[None], view.redraw(volume, moved, drawn))) * root
    sizes = np.sqrt(np.sum(fields * fields, axis=(1, 2, 3), keepdims=True))
    fields = fields / np.maximum(sizes, 1e-9)
    seen = edges * root
    seen = seen / max(float(np.sqrt(np.sum(seen * seen))), 1e-9)
    slopes = (fields[1:] - fields[0]) / np.float32(h)
    # a field of length one changes across itself only; a difference over a finite step does not quite
    slopes -= np.sum(slopes * fields[0], axis=(1, 2, 3), keepdims=True) * fields[0]
    return slopes, seen - fields[0], float(np.sum(seen * fields[0]))
