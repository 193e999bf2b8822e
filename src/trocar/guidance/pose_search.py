"""Where a bone may be within some reach of a start: all shifts, and a few turns, by maps of similarity.

For each turn the bone is drawn once per view; its similarity at *every* shift follows from a few Fourier transforms
(:class:`trocar.guidance.similarity.SeenSpectra`). Shifts in the patient are then read off the views' maps together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trocar.geometry import Pose, Vector
from trocar.guidance.edge_view import EdgeView
from trocar.guidance.rigid_motion import LEVER_MM, after, motion, shift
from trocar.guidance.similarity import Image
from trocar.volume import Volume

#: The grid of shifts, mm; the grid of turns, degrees: each way about each axis, and to the corners of a smaller cube.
STEP_MM, TURN_DEG, CORNER_SHARE = 2.0, 7.0, 0.7
#: Less of a silhouette than this on usable pixels decides nothing.
LEAST_USABLE = 0.4


@dataclass(frozen=True, eq=False)
class Start:
    """A place worth refining, and the views' mean similarity on the maps."""

    displacement: Pose
    similarity: float


def turns() -> NDArray[np.float64]:
    """The turns that are tried, ``(15, 3)``, degrees: none, about each axis, and about the diagonals."""
    axes = [s * e for e in np.eye(3) for s in (-1.0, 1.0)]
    corners = [CORNER_SHARE * np.array(c) for c in product((-1.0, 1.0), repeat=3)]
    return TURN_DEG * np.array([np.zeros(3), *axes, *corners])


def shifts(views: Sequence[EdgeView], reach_mm: float) -> NDArray[np.float64]:
    """Shifts ``(n, 3)``, LPS: a cube for two views; for one, the square across its central ray."""
    line = np.arange(-reach_mm, reach_mm + 0.5 * STEP_MM, STEP_MM)
    if len(views) > 1:
        return np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    across = np.linalg.svd(views[0].arm.toward_detector[None])[2][1:]
    return np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2) @ across


def search(
    views: Sequence[EdgeView],
    volume: Volume,
    centre_mm: Vector,
    start: Pose,
    reach_mm: float,
    keep: int,
    turned: NDArray[np.float64] | None = None,
) -> list[Start]:
    """The best places within reach of a start, one for each turn at most, best first."""
    at = start.to_world(centre_mm)
    grid = shifts(views, reach_mm)
    found = []
    for turn in turns() if turned is None else turned:
        place = after(motion(at, np.append(np.zeros(3), np.radians(turn) * LEVER_MM)), start)
        total = np.mean([_on_map(view, volume, place, at, grid) for view in views], axis=0)
        best = int(np.argmax(total))
        found.append(Start(after(shift(grid[best]), place), float(total[best])))
    return sorted(found, key=lambda s: -s.similarity)[:keep]


def similarity_map(view: EdgeView, volume: Volume, place: Pose) -> tuple[Image, tuple[int, int]]:
    """Similarity of a bone, drawn at ``place``, for its window's corner at each pixel; and that corner's pixel now."""
    drawn = view.draw(volume, place)
    spectra = view.spectra(drawn.window.shape)
    similarity, _ = spectra.similarity_map(drawn.field, drawn.weight, LEAST_USABLE)
    return similarity, (drawn.window.top, drawn.window.left)


def _on_map(
    view: EdgeView, volume: Volume, place: Pose, at_mm: Vector, grid: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Similarity of a bone in one view after each of many shifts."""
    values, corner = similarity_map(view, volume, place)
    to = view.arm.project(at_mm + grid) - view.arm.project(at_mm) + corner
    wrapped = np.mod(to, values.shape).T
    out = ndimage.map_coordinates(values, wrapped, order=1, mode="grid-wrap")
    size = np.array(view.arm.detector.shape)
    return np.where(np.all((to > -size) & (to < size), axis=1), out, 0.0)
