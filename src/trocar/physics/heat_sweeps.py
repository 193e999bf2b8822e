"""Compiled sweeps of the heat solver: what flows into each voxel, and lines of voxels solved along i, j and k.

All arrays are ``[k, j, i]`` of one precision. ``excess`` has a layer of ghosts on every side. ``along_k`` (one plane
more than there are voxels), ``along_j`` and ``along_i`` hold the conductances of the faces before and after each voxel,
per voxel volume. ``pivot`` is the inverse of what elimination leaves on the diagonal (:func:`trocar.physics.heat.
pivots`), ``share`` the part of the step that is taken implicitly. A sweep works on ``[first, last)`` of its outermost
index and may run beside another on other lines.
"""

from __future__ import annotations

from typing import Any

from trocar.physics.compiled import compiled


@compiled
def sweep_i(
    excess: Any,
    along_k: Any,
    along_j: Any,
    along_i: Any,
    perfusion: Any,
    source: Any,
    pivot: Any,
    step: Any,
    share: Any,
    change: Any,
    first: int,
    last: int,
) -> None:
    """``change`` from the heat that flows in during a whole ``step``, solved along i in planes k."""
    rows, places = perfusion.shape[1], perfusion.shape[2]
    for k in range(first, last):
        for j in range(rows):
            for i in range(places):
                own = excess[k + 1, j + 1, i + 1]
                into = along_k[k, j, i] * (excess[k, j + 1, i + 1] - own)
                into += along_k[k + 1, j, i] * (excess[k + 2, j + 1, i + 1] - own)
                into += along_j[k, j, i] * (excess[k + 1, j, i + 1] - own)
                into += along_j[k, j + 1, i] * (excess[k + 1, j + 2, i + 1] - own)
                into += along_i[k, j, i] * (excess[k + 1, j + 1, i] - own)
                into += along_i[k, j, i + 1] * (excess[k + 1, j + 1, i + 2] - own)
                change[k, j, i] = step * (into - perfusion[k, j, i] * own + source[k, j, i]) * pivot[k, j, i]
            for i in range(1, places):
                change[k, j, i] += share * along_i[k, j, i] * pivot[k, j, i] * change[k, j, i - 1]
            for i in range(places - 2, -1, -1):
                change[k, j, i] += share * along_i[k, j, i + 1] * pivot[k, j, i] * change[k, j, i + 1]


@compiled
def sweep_j(along_j: Any, capacity: Any, pivot: Any, share: Any, change: Any, first: int, last: int) -> None:
    """``change`` times the capacity, solved along j in planes k."""
    rows, places = capacity.shape[1], capacity.shape[2]
    for k in range(first, last):
        for i in range(places):
            change[k, 0, i] *= capacity[k, 0, i] * pivot[k, 0, i]
        for j in range(1, rows):
            for i in range(places):
                before = share * along_j[k, j, i] * change[k, j - 1, i]
                change[k, j, i] = (capacity[k, j, i] * change[k, j, i] + before) * pivot[k, j, i]
        for j in range(rows - 2, -1, -1):
            for i in range(places):
                change[k, j, i] += share * along_j[k, j + 1, i] * pivot[k, j, i] * change[k, j + 1, i]


@compiled
def sweep_k(along_k: Any, capacity: Any, pivot: Any, share: Any, change: Any, first: int, last: int) -> None:
    """``change`` times the capacity, solved along k in planes j."""
    planes, places = capacity.shape[0], capacity.shape[2]
    for j in range(first, last):
        for i in range(places):
            change[0, j, i] *= capacity[0, j, i] * pivot[0, j, i]
        for k in range(1, planes):
            for i in range(places):
                before = share * along_k[k, j, i] * change[k - 1, j, i]
                change[k, j, i] = (capacity[k, j, i] * change[k, j, i] + before) * pivot[k, j, i]
        for k in range(planes - 2, -1, -1):
            for i in range(places):
                change[k, j, i] += share * along_k[k + 1, j, i] * pivot[k, j, i] * change[k + 1, j, i]
