"""Conjugate gradients preconditioned by one multigrid V-cycle: what every field on the voxel grid is solved with.

The numbers outside are float64, the cycle works in float32: a preconditioner need not be exact. Nothing here knows
which equation it solves; that is a :class:`Level`'s business.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

#: More iterations than any problem seen needed (plasticity near collapse takes the most).
ITERATION_LIMIT = 500
#: What the tolerance is multiplied by where a solution is not accepted.
TIGHTENED = 0.3
#: Where tightening the tolerance stops; float64 can't do much better on a body of a million voxels.
TIGHTEST = 1e-10
#: Boxes with fewer degrees of freedom are not worth a second thread.
SERIAL_SIZE = 60_000
#: Planes are worked on in this many pieces at most, whatever the number of threads, so that results don't depend on it.
PIECES = 4


class Level(Protocol):
    """One grid of the hierarchy: an approximate solution ``x`` and what can be done to it (float32)."""

    x: NDArray[np.float32]
    load: NDArray[np.float32]

    def begin(self, load: NDArray[Any]) -> None:
        """Smooth from ``x = 0``."""

    def gather(self, load: NDArray[Any], coarser: Any) -> None:
        """Give the coarser level what is left of the load."""

    def correct(self, coarser: Any) -> None:
        """Add the coarser level's solution."""

    def smooth(self, load: NDArray[Any]) -> None:
        """Smooth from the ``x`` there is."""

    def solve(self, load: NDArray[Any]) -> None:
        """Solve directly (the coarsest level only)."""


class Operator(Protocol):
    """The finest grid in float64."""

    def apply(self, x: NDArray[np.float64], out: NDArray[np.float64]) -> float:
        """``out = A x`` at free nodes; returns ``x . A x``."""


class Passes(Protocol):
    """A module of compiled passes over ranges of planes of the finest grid; ``over`` is its operator there."""

    def products(self, over: Any, first: int, last: int, *args: Any) -> None:
        """Sums of two products, plane by plane."""

    def turn(self, over: Any, first: int, last: int, *args: Any) -> None:
        """A direction from a step and the one before."""

    def advance(self, over: Any, first: int, last: int, *args: Any) -> None:
        """A step, and the sum of the squares that are left, plane by plane."""


def v_cycle(levels: Sequence[Level], load: NDArray[Any]) -> NDArray[np.float32]:
    """An approximate solution on the finest level; a symmetric function of ``load``."""
    loads = [load, *(level.load for level in levels[1:])]
    for n, (level, coarser) in enumerate(itertools.pairwise(levels)):
        level.begin(loads[n])
        level.gather(loads[n], coarser)
    levels[-1].solve(loads[-1])
    for n in range(len(levels) - 2, -1, -1):
        levels[n].correct(levels[n + 1])
        levels[n].smooth(loads[n])
    return levels[0].x


def chebyshev(steps: int, largest: float) -> tuple[tuple[float, float], ...]:
    """What each smoothing step keeps of the last change and takes of the scaled residual.

    Chebyshev polynomials of the fourth kind need no bound from below. Lottes J. Optimal polynomial smoothers for
    multigrid V-cycles. Numer Linear Algebra Appl 2023;30(6):e2518. ``largest`` bounds the eigenvalues.
    """
    return tuple(((2 * n - 1) / (2 * n + 3), (8 * n + 4) / ((2 * n + 3) * largest)) for n in range(steps))


@dataclass(frozen=True)
class Ending:
    """How the iteration ended: ``residual`` is relative to the norm it was asked to compare with."""

    iterations: int
    residual: float


def conjugate_gradients(
    operator: Operator,
    levels: Sequence[Level],
    vectors: Vectors,
    x: NDArray[np.float64],
    residual: NDArray[np.float64],
    *,
    tolerance: float,
    compared_with: float,
    accept: Callable[[], bool] = lambda: True,
    progress: Callable[[int, float], None] | None = None,
    limit: int = ITERATION_LIMIT,
    room: Sequence[NDArray[np.float64]] | None = None,
) -> Ending:
    """Advance ``x`` in place until ``residual`` (in place) is below ``tolerance`` times ``compared_with``.

    There ``accept`` is asked; where it says no, the tolerance is tightened, down to :data:`TIGHTEST`.
    ``room`` may give it two vectors to work in, whatever finite numbers they hold.
    The direction is updated in Polak and Ribiere's way, which forgives a preconditioner that rounds to float32.
    """
    p, q = room or (np.zeros_like(x), np.zeros_like(x))
    size = float(np.sqrt(vectors.products(residual, residual, residual)[0]))
    before, step = 0.0, 0.0
    for n in range(limit):
        if progress is not None:
            progress(n, size / compared_with)
        if not size > tolerance * compared_with:  # also on a residual that is no number
            if not np.isfinite(size) or tolerance <= TIGHTEST or accept():
                return Ending(n, size / compared_with)
            tolerance *= TIGHTENED
        z = v_cycle(levels, residual)
        with_r, with_q = vectors.products(z, residual, q)
        # residuals differ by step q, so (z, r - r_before) / (z, r)_before needs no second copy of the residual
        keeps = 0.0 if n == 0 else -step * with_q / before
        vectors.turn(p, z, keeps)
        curvature = operator.apply(p, q)
        with_p = with_r if n == 0 else vectors.products(p, residual, q)[0]
        step = with_p / curvature if curvature > 0.0 else np.nan
        size = float(np.sqrt(vectors.advance(x, residual, p, q, step)))
        before = with_r
    return Ending(limit, size / compared_with)


class Crew:
    """Works on pieces of a box, on one thread or on several; the same pieces whatever their number."""

    def __init__(self, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads={threads} must be 1 or more; leave it out for all cores.")
        self.threads = threads or cores()
        self._pool: ThreadPoolExecutor | None = None

    @contextmanager
    def at_work(self) -> Iterator[Crew]:
        """Keep the threads for as long as the block lasts."""
        if self.threads == 1:
            yield self
            return
        try:
            with ThreadPoolExecutor(self.threads) as self._pool:
                yield self
        finally:
            self._pool = None

    def each(self, work: Callable[..., None], calls: Iterable[tuple[Any, ...]]) -> None:
        """Call ``work`` with each of ``calls``."""
        calls = list(calls)
        if self._pool is None or len(calls) == 1:
            for call in calls:
                work(*call)
            return
        for done in [self._pool.submit(work, *call) for call in calls]:
            done.result()


def cores() -> int:
    """How many cores this process may use; where the system does not say, how many there are."""
    allowed: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)  # Linux alone
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def pieces(planes: int, size: int) -> tuple[tuple[int, int], ...]:
    """Ranges of planes to work on side by side; each begins with an even plane. ``size`` is that of the whole."""
    count = 1 if size < SERIAL_SIZE else min(PIECES, planes // 4)
    if count < 2:
        return ((0, planes),)
    length = -(-planes // (2 * count)) * 2
    return tuple((first, min(first + length, planes)) for first in range(0, planes, length))


class Vectors:
    """Sums and products of whole vectors on the finest grid, ``parts`` of its planes side by side."""

    def __init__(self, passes: Passes, over: Any, parts: Sequence[tuple[int, int]], crew: Crew) -> None:
        self.passes, self.over, self.parts, self.crew = passes, over, tuple(parts), crew
        self._one, self._other = np.zeros((2, self.parts[-1][1]))

    def products(self, z: NDArray[Any], r: NDArray[np.float64], q: NDArray[np.float64]) -> tuple[float, float]:
        """``z . r`` and ``z . q``."""
        self._each(self.passes.products, z, r, q, self._one, self._other)
        return float(self._one.sum()), float(self._other.sum())

    def turn(self, p: NDArray[np.float64], z: NDArray[np.float32], keeps: float) -> None:
        """``p = z + keeps p``."""
        self._each(self.passes.turn, p, z, keeps)

    def advance(
        self,
        x: NDArray[np.float64],
        r: NDArray[np.float64],
        p: NDArray[np.float64],
        q: NDArray[np.float64],
        step: float,
    ) -> float:
        """``x += step p``, ``r -= step q``; returns ``r . r``."""
        self._each(self.passes.advance, x, r, p, q, step, self._one)
        return float(self._one.sum())

    def _each(self, work: Callable[..., None], *args: Any) -> None:
        self.crew.each(work, ((self.over, first, last, *args) for first, last in self.parts))
