"""Cement that grows voxel by voxel: which place it reaches after which, and how much is there by then.

Order of arrival is that of the shortest way through a field of costs (Dijkstra, Numer Math 1:269, 1959), stopped when
the volume is in. This gives shapes, no flow: nothing here knows pressure or viscosity.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from trocar.errors import SimulationError
from trocar.geometry import Vector, frozen
from trocar.physics.compiled import compiled
from trocar.volume import Volume

#: How far apart the random texture of costs is alike, and how strongly it varies (of the logarithm). Ours.
TEXTURE_MM, TEXTURE_SPREAD = 3.0, 0.5
_MM3_PER_ML = 1000.0


@dataclass(frozen=True, eq=False)
class Course:
    """Cement in order of its arrival: cubes of ``edge_mm`` at ``points_mm`` ``(n, 3)``, LPS, that hold ``each_ml``.

    ``arrival_ml`` says how much had come this way when a cube was full; it never falls.
    """

    points_mm: NDArray[np.float64]
    each_ml: NDArray[np.float64]
    edge_mm: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "points_mm", frozen(self.points_mm).reshape(-1, 3))
        object.__setattr__(self, "each_ml", frozen(self.each_ml))
        if len(self.points_mm) != len(self.each_ml):
            raise ValueError(f"{len(self.points_mm)} places and {len(self.each_ml)} amounts do not belong together.")

    @property
    def arrival_ml(self) -> NDArray[np.float64]:
        """Cumulated amounts, ``(n,)``."""
        return np.cumsum(self.each_ml)

    @property
    def total_ml(self) -> float:
        """All of it."""
        return float(self.each_ml.sum())

    def count(self, ml: ArrayLike) -> NDArray[np.int64]:
        """How many of the cubes are full when so much has come this way."""
        return np.searchsorted(self.arrival_ml, np.asarray(ml) + 1e-9, side="right")

    def arrival(self, grid: Volume) -> Volume:
        """On a grid: how much had come when the cement reached a voxel, ml; 0 where it never does."""
        out = np.zeros(grid.shape, np.float32)
        index = np.rint(grid.index_kji(self.points_mm)).astype(int)
        inside = np.all((index >= 0) & (index < grid.shape), axis=1)
        # backwards, so that the first to reach a voxel is the one that counts
        out[tuple(index[inside][::-1].T)] = self.arrival_ml[inside][::-1]
        return Volume(out, grid.affine, grid.frame_of_reference, "mL")


#: Nothing.
NO_CEMENT = Course(np.zeros((0, 3)), np.zeros(0), 1.0)


def joined(courses: Sequence[Course]) -> Course:
    """Several courses one after the other, of equal cubes."""
    edges = {c.edge_mm for c in courses if len(c.each_ml)}
    if len(edges) > 1:
        raise ValueError(f"cubes of {sorted(edges)} mm are not joined.")
    points, each = [c.points_mm for c in courses], [c.each_ml for c in courses]
    return Course(np.concatenate(points), np.concatenate(each), edges.pop() if edges else 1.0)


def box(centre_mm: Vector, half_mm: Sequence[float], step_mm: float) -> Volume:
    """An empty grid along LPS about a point; ``half_mm`` along left, posterior, superior."""
    counts = [2 * int(np.ceil(h / step_mm)) + 1 for h in half_mm]
    affine = np.diag((step_mm, step_mm, step_mm, 1.0))
    affine[:3, 3] = np.asarray(centre_mm) - 0.5 * step_mm * (np.array(counts) - 1)
    return Volume(np.zeros(counts[::-1], bool), affine, unit="mask")


def texture(shape: tuple[int, int, int], step_mm: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Random factors about 1 on the costs, smooth over :data:`TEXTURE_MM`."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), TEXTURE_MM / step_mm)
    return np.exp(np.float32(TEXTURE_SPREAD / field.std()) * field)


def grown(
    grid: Volume,
    cost: NDArray[np.float32],
    start_mm: Vector,
    ml: float,
    stretch: NDArray[np.float64],
    share: float = 1.0,
) -> Course:
    """``ml`` of cement from a place outwards, through voxels of finite ``cost``, the nearest first.

    ``stretch`` (3x3) takes a step in LPS to how far it counts: a sheet grows where one direction counts more. ``share``
    of each voxel is filled. It starts at the open voxel nearest to ``start_mm``. The cement is exactly ``ml``; raises
    :class:`trocar.errors.SimulationError` where there is no room for it.
    """
    step = grid.spacing_mm[0]
    each = share * step**3 / _MM3_PER_ML
    wanted = max(1, int(np.ceil(ml / each - 1e-9)))
    steps = np.array([s for s in np.ndindex(3, 3, 3) if s != (1, 1, 1)]) - 1
    lengths = np.linalg.norm((steps[:, ::-1] * step) @ np.asarray(stretch).T, axis=1)
    order = _reached(
        np.ascontiguousarray(cost, np.float32), _nearest_open(grid, cost, start_mm), steps, lengths, wanted
    )
    if len(order) < wanted:
        raise SimulationError(
            f"there is room for {len(order) * each:.2f} of {ml:.2f} ml of cement: ask for less, or for another place."
        )
    amounts = np.full(wanted, each)
    amounts[-1] = ml - each * (wanted - 1)
    return Course(grid.world_mm(np.stack(np.unravel_index(order, grid.shape), axis=1)), amounts, step)


def _nearest_open(grid: Volume, cost: NDArray[np.float32], start_mm: Vector) -> NDArray[np.int64]:
    """The open voxel nearest to a place."""
    open_ = np.argwhere(np.isfinite(cost))
    if not len(open_):
        raise SimulationError("there is no room for cement at all: ask for another place.")
    return open_[np.argmin(np.sum((grid.world_mm(open_) - start_mm) ** 2, axis=1))]


@compiled
def _reached(cost, start, steps, lengths, wanted):  # type: ignore[no-untyped-def]
    """Flat indices in the order in which voxels are reached, at most ``wanted``."""
    nk, nj, ni = cost.shape
    first = (start[0] * nj + start[1]) * ni + start[2]
    best = np.full(cost.size, np.inf)
    done = np.zeros(cost.size, np.bool_)
    order = np.empty(wanted, np.int64)
    flat = cost.ravel()
    best[first] = 0.0
    heap = [(0.0, first)]
    found = 0
    while len(heap) > 0 and found < wanted:
        far, at = heapq.heappop(heap)
        if done[at]:
            continue
        done[at] = True
        order[found] = at
        found += 1
        k, j, i = at // (nj * ni), (at // ni) % nj, at % ni
        for n in range(len(steps)):
            a, b, c = k + steps[n, 0], j + steps[n, 1], i + steps[n, 2]
            if a < 0 or b < 0 or c < 0 or a >= nk or b >= nj or c >= ni:
                continue
            to = (a * nj + b) * ni + c
            if done[to] or not np.isfinite(flat[to]):
                continue
            way = far + 0.5 * (flat[at] + flat[to]) * lengths[n]
            if way < best[to]:
                best[to] = way
                heapq.heappush(heap, (way, to))
    return order[:found]
