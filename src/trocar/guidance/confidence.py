"""How sure a registration is of its six numbers, from the surface of similarity at its optimum.

At an optimum the derivative of similarity is zero: a sum over the image of what each patch pulls. The patches pull
against each other, and how much they do says how far another such image would have moved the optimum: the covariance
is that of a sum over independent patches, between two inverse curvatures (the "sandwich" of Huber, 1967, with clusters
as of Liang & Zeger, Biometrika 73:13, 1986). A plain inverse curvature would take each pixel for a witness of its own,
which overlapping anatomy is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trocar.geometry import Vector, unit
from trocar.guidance.edge_view import EdgeView
from trocar.guidance.refinement import Normal
from trocar.guidance.rigid_motion import moved_mm

#: The size of a patch that is taken for one witness, mm at the isocentre: about that of a pedicle or a rib's head.
PATCH_MM = 8.0
#: A curvature below this share of the largest is none: the covariance is that of a wall this far away.
LEAST_CURVATURE = 1e-5


@dataclass(frozen=True, eq=False)
class Confidence:
    """The covariance (6x6, mm^2) of a registration's six numbers about ``centre_mm`` (of the fluoroscopy, LPS).

    Three shifts along left, posterior and superior, three turns about those axes on
    :data:`trocar.guidance.rigid_motion.LEVER_MM`.
    """

    centre_mm: Vector
    covariance_mm2: NDArray[np.float64]

    def along_mm(self, direction: ArrayLike) -> float:
        """One standard deviation of the centre's place along an LPS direction."""
        d = unit(direction)
        return float(np.sqrt(d @ self.covariance_mm2[:3, :3] @ d))

    def at_mm(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Covariance ``(n, 3, 3)`` (mm^2) of the places of points ``(n, 3)`` of the bone as it now lies."""
        move = moved_mm(np.atleast_2d(np.asarray(points_mm, dtype=np.float64)), self.centre_mm)
        return np.einsum("nij,jk,nlk->nil", move, self.covariance_mm2, move)

    def expected_mm(self, points_mm: ArrayLike, across: ArrayLike | None = None) -> float:
        """Root mean square of the error expected over points; ``across`` leaves out what lies along a direction."""
        covariance = self.at_mm(points_mm)
        keep = np.eye(3)
        if across is not None:
            d = unit(across)
            keep = keep - np.outer(d, d)
        return float(np.sqrt(np.mean(np.einsum("nij,ij->n", covariance, keep))))


def confidence(views: Sequence[EdgeView], problem: Normal, centre_mm: Vector) -> Confidence:
    """From the derivatives at an optimum (``normal(..., keep=True)``)."""
    curvature, pull = np.zeros((6, 6)), np.zeros((6, 6))
    for view, alike, (slopes, rest) in zip(views, problem.similarity, problem.derivatives, strict=True):
        flat = slopes.reshape(6, -1).astype(np.float64)
        curvature += max(alike, 1e-3) * np.einsum("in,jn->ij", flat, flat)
        patches = _patches(slopes * rest, max(1, round(PATCH_MM / view.pixel_mm)))
        pull += patches @ patches.T
    floor = LEAST_CURVATURE * float(np.linalg.eigvalsh(curvature)[-1]) + 1e-12
    inverse = np.linalg.inv(curvature + floor * np.eye(6))
    return Confidence(centre_mm, inverse @ pull @ inverse)


def _patches(pulls: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    """Sums ``[6, patch]`` of ``[6, 2, row, column]`` over square patches and both directions."""
    both = pulls.sum(axis=1, dtype=np.float64)
    rows, columns = (np.arange(0, n, size) for n in both.shape[1:])
    return np.add.reduceat(np.add.reduceat(both, rows, axis=1), columns, axis=2).reshape(6, -1)
