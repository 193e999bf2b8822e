"""The needle on a plane: the exact shadow of a cylinder, and the part of it that the plane really cuts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trocar.geometry import Vector
from trocar.reporting.views import View

#: Directions in which the outline is sampled.
OUTLINE_POINTS = 240


def shadow(
    view: View, start_mm: Vector, end_mm: Vector, radius_mm: float, margin_mm: float = 0.0
) -> NDArray[np.float64]:
    """Outline ``(n, 2)`` of a flat-ended cylinder seen along the plane's normal, mm (right, down) from the centre.

    The shadow is convex, so it is the curve of its support points: the farther end, plus the ellipse
    that a round end casts, plus ``margin_mm`` in every direction.
    """
    a, b = view.project(start_mm), view.project(end_mm)
    along = (b - a) / np.linalg.norm(b - a)
    angle = np.linspace(0.0, 2.0 * np.pi, OUTLINE_POINTS, endpoint=False)
    u = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    ends = np.where((u @ (b - a)[:2] > 0.0)[:, None], b[:2], a[:2])
    lean = along[:2]
    disc = u - (u @ lean)[:, None] * lean
    length = np.sqrt(np.maximum(np.sum(u * disc, axis=-1), 1e-12))
    return ends + radius_mm * disc / length[:, None] + margin_mm * u


def cut(view: View, start_mm: Vector, end_mm: Vector, radius_mm: float) -> tuple[Vector, Vector] | None:
    """The stretch of the axis whose cylinder meets the plane (within one radius of it), or None."""
    h0, h1 = view.project(start_mm)[2], view.project(end_mm)[2]
    if abs(h1 - h0) < 1e-9:
        return (start_mm, end_mm) if abs(h0) <= radius_mm else None
    t = np.sort((np.array([-radius_mm, radius_mm]) - h0) / (h1 - h0))
    t = np.clip(t, 0.0, 1.0)
    if t[1] - t[0] < 1e-9:
        return None
    step = end_mm - start_mm
    return start_mm + t[0] * step, start_mm + t[1] * step
