"""Registration without X-rays: paired points (fiducials, the wires of a skin grid) and traced surfaces.

Paired points have a closed form (Arun et al., IEEE Trans Pattern Anal 9:698, 1987; Kabsch, Acta Cryst A32:922, 1976).
What their fit says of the target is Fitzpatrick & West, IEEE Trans Med Imaging 17:694 (1998) and 20:917 (2001).
Surfaces take turns of nearest points and a fit to the planes through them (Besl & McKay 1992; Chen & Medioni 1992),
with the worst share left out (Chetverikov et al., Image Vis Comput 23:299, 2005).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from trocar.errors import ImageError
from trocar.geometry import Pose, Vector
from trocar.guidance.carm import AT_REST
from trocar.guidance.rigid_motion import LEVER_MM, after, motion, moved_mm, turn_deg
from trocar.measure import Finding, Severity

Points = NDArray[np.float64]

#: Fiducials whose second widest spread (standard deviation, mm) is less than this lie on a line, and fix no turn.
LEAST_SPREAD_MM = 2.0
#: The share of traced points that is left out as not on the surface.
TRIMMED = 0.1
#: Surface registration ends when a step is shorter than this, mm, or after so many steps.
SHORTEST_MM, MOST_STEPS = 1e-4, 100
#: Fewer traced points than this decide nothing.
LEAST_POINTS = 20
#: A traced surface lies within this of the CT's, root mean square, mm, and is fixed to within this along its least
#: certain motion: a tracked pointer's own error is some tenths of a millimetre. Ours.
MOST_RESIDUAL_MM, MOST_EXPECTED_MM = 1.5, 1.5
#: Mean square by which the distance to the surface changes with a motion of 1 mm (mm^2) below which nothing holds the
#: points back: the error of normals estimated from neighbours alone reaches some thousandths. Ours.
LEAST_HOLD = 0.01
#: Neighbours that a plane is laid through for a normal.
PLANE_POINTS = 10


@dataclass(frozen=True, eq=False)
class PointRegistration:
    """Paired points brought together: ``displacement.to_world`` takes the first set to the second.

    ``fre_mm`` is the root mean square distance that remains at the fiducials, ``localisation_mm`` the error with which
    each was found that this speaks for (Fitzpatrick & West 1998: FRE^2 = (1 - 2/N) FLE^2).
    """

    displacement: Pose
    residuals_mm: Points
    fre_mm: float
    localisation_mm: float
    fiducials_mm: Points

    def expected_error_mm(self, targets_mm: ArrayLike, localisation_mm: float | None = None) -> NDArray[np.float64]:
        """Expected error (root mean square) at targets ``(n, 3)`` of the first set's space, mm.

        ``localisation_mm`` is the fiducials' own error (all three directions together), by default the one that the
        fit speaks for: of few fiducials that is a poor estimate.
        """
        own = self.localisation_mm if localisation_mm is None else localisation_mm
        centre = self.fiducials_mm.mean(axis=0)
        _, _, axes = np.linalg.svd(self.fiducials_mm - centre)
        fiducial = (self.fiducials_mm - centre) @ axes.T
        target = (np.atleast_2d(np.asarray(targets_mm, dtype=np.float64)) - centre) @ axes.T
        share = sum(
            np.sum(np.delete(target, k, axis=1) ** 2, axis=1) / np.mean(np.sum(np.delete(fiducial, k, axis=1) ** 2, 1))
            for k in range(3)
        )
        return own * np.sqrt((1.0 + share / 3.0) / len(fiducial))


def register_points(from_mm: ArrayLike, to_mm: ArrayLike) -> PointRegistration:
    """The rigid displacement that takes paired points ``(n, 3)`` to others, least squares, never a mirror image.

    Raises ``ValueError`` for fewer than three pairs, and :class:`trocar.errors.ImageError` for points on a line.
    """
    a, b = _pairs(from_mm, to_mm)
    p, q = a - a.mean(axis=0), b - b.mean(axis=0)
    u, _, vt = np.linalg.svd(p.T @ q)
    keep = np.diag((1.0, 1.0, np.sign(np.linalg.det(vt.T @ u.T))))
    turn = vt.T @ keep @ u.T
    displacement = Pose(b.mean(axis=0) - turn @ a.mean(axis=0), turn)
    residuals = displacement.to_world(a) - b
    fre = float(np.sqrt(np.mean(np.sum(residuals**2, axis=1))))
    return PointRegistration(displacement, residuals, fre, fre / np.sqrt(1.0 - 2.0 / len(a)), a)


def _pairs(from_mm: ArrayLike, to_mm: ArrayLike) -> tuple[Points, Points]:
    a, b = np.asarray(from_mm, dtype=np.float64), np.asarray(to_mm, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 3 or len(a) < 3:
        raise ValueError(f"points of shapes {a.shape} and {b.shape}: at least three pairs (n, 3) are needed.")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("a point that is not a number cannot be registered.")
    spread = np.linalg.svd(a - a.mean(axis=0), compute_uv=False)[1] / np.sqrt(len(a))
    if spread < LEAST_SPREAD_MM:
        raise ImageError(
            f"the fiducials lie on a line within {spread:.1f} mm: touch at least one {LEAST_SPREAD_MM:g} mm beside it."
        )
    return a, b


@dataclass(frozen=True, eq=False)
class Surface:
    """Points ``(n, 3)`` on a surface in the CT (LPS, mm) and their unit normals."""

    points_mm: Points
    normals: Points

    @classmethod
    def through(cls, points_mm: ArrayLike) -> Surface:
        """A surface whose normals are those of planes through each point's neighbours (their signs are arbitrary)."""
        points = np.asarray(points_mm, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 3 or len(points) < PLANE_POINTS:
            raise ValueError(f"a surface of shape {points.shape}: at least {PLANE_POINTS} points (n, 3) are needed.")
        _, near = cKDTree(points).query(points, k=PLANE_POINTS)
        patch = points[near] - points[near].mean(axis=1, keepdims=True)
        return cls(points, np.linalg.eigh(np.einsum("nki,nkj->nij", patch, patch))[1][:, :, 0])


@dataclass(frozen=True, eq=False)
class SurfaceRegistration:
    """Traced points brought onto a surface: ``displacement.to_world`` takes the tracker's space to the CT.

    ``residual_mm`` is the root mean square distance to the surface of the points that were kept (``kept``).
    ``covariance_mm2`` is that of six numbers about ``centre_mm``, as in
    :class:`trocar.guidance.confidence.Confidence`. How far from the truth a start may be is not told by any of them.
    """

    displacement: Pose
    residual_mm: float
    kept: NDArray[np.bool_]
    centre_mm: Vector
    covariance_mm2: NDArray[np.float64]
    findings: tuple[Finding, ...]

    @property
    def reliable(self) -> bool:
        """Whether nothing speaks against using it."""
        return all(f.severity is not Severity.STOP for f in self.findings)

    def expected_error_mm(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """One standard deviation of the place of points ``(n, 3)`` of the CT, all directions together, mm."""
        move = moved_mm(np.atleast_2d(np.asarray(points_mm, dtype=np.float64)), self.centre_mm)
        return np.sqrt(np.einsum("nij,jk,nik->n", move, self.covariance_mm2, move))


def register_surface(traced_mm: ArrayLike, surface: Surface, start: Pose = AT_REST) -> SurfaceRegistration:
    """Bring points ``(n, 3)`` that were traced with a tracked pointer onto a surface of the CT.

    ``start`` takes them near it (paired points do): the nearest optimum is found, no other. Raises ``ValueError`` for
    fewer than :data:`LEAST_POINTS` points.
    """
    traced = np.asarray(traced_mm, dtype=np.float64)
    if traced.ndim != 2 or traced.shape[1] != 3 or len(traced) < LEAST_POINTS:
        raise ValueError(f"{traced.shape} traced points: at least {LEAST_POINTS} of three numbers are needed.")
    tree, place = cKDTree(surface.points_mm), start
    converged = False
    for _ in range(MOST_STEPS):
        now = place.to_world(traced)
        kept, away, rows = _planes(now, surface, tree)
        step = np.linalg.lstsq(rows[kept], -away[kept], rcond=1e-8)[0]
        place = after(motion(now.mean(axis=0), step), place)
        if np.linalg.norm(step) < SHORTEST_MM:
            converged = True
            break
    return _judged(place, traced, surface, tree, converged)


def _planes(
    now: Points, surface: Surface, tree: cKDTree
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """Which points are kept, their distances to the planes nearest to them, and how these change with a motion."""
    _, near = tree.query(now)
    normal = surface.normals[near]
    away = np.sum((now - surface.points_mm[near]) * normal, axis=1)
    whole = np.linalg.norm(now - surface.points_mm[near], axis=1)
    kept = whole <= np.quantile(whole, 1.0 - TRIMMED)
    return kept, away, np.einsum("ni,nij->nj", normal, moved_mm(now, now.mean(axis=0)))


def _judged(place: Pose, traced: Points, surface: Surface, tree: cKDTree, converged: bool) -> SurfaceRegistration:
    """The result with its covariance and what speaks against it."""
    now = place.to_world(traced)
    kept, away, rows = _planes(now, surface, tree)
    residual = float(np.sqrt(np.mean(away[kept] ** 2)))
    freedom = max(int(kept.sum()) - 6, 1)
    variance = float(np.sum(away[kept] ** 2)) / freedom
    curvature = rows[kept].T @ rows[kept]
    covariance = variance * np.linalg.inv(curvature + 1e-9 * np.trace(curvature) * np.eye(6))
    held = float(np.linalg.eigvalsh(curvature)[0]) / int(kept.sum()) >= LEAST_HOLD
    loosest = float(np.sqrt(np.linalg.eigvalsh(covariance)[-1])) if held else np.inf
    return SurfaceRegistration(
        place, residual, kept, now.mean(axis=0), covariance, _doubts(residual, loosest, converged, turn_deg(place))
    )


def _doubts(residual: float, loosest: float, converged: bool, turned_deg: float) -> tuple[Finding, ...]:
    """What speaks against a surface registration."""
    out = []
    if not converged:
        text = "The traced points did not settle on the surface: trace again, from a better start."
        out.append(Finding(Severity.STOP, text, f"{MOST_STEPS} steps, turned by {turned_deg:.0f} degrees"))
    if residual > MOST_RESIDUAL_MM:
        text = (
            f"The traced points lie {residual:.1f} mm off the surface: trace bone, not soft tissue, and start nearer."
        )
        out.append(Finding(Severity.STOP, text, f"at most {MOST_RESIDUAL_MM} mm is relied on"))
    if loosest > MOST_EXPECTED_MM:
        text = "The traced points could slide along the surface: trace another side of the bone as well."
        sure = f"is known to ±{loosest:.1f} mm only" if np.isfinite(loosest) else "is not held back by anything"
        because = f"one motion {sure} (turns count on a lever of {LEVER_MM:g} mm)"
        out.append(Finding(Severity.STOP, text, because))
    return tuple(out)
