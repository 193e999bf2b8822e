"""Compiled passes of two-fluid flow over the cells of a box: conductances, speeds, and the advance of the front.

The front is sharp. A cell gives the fluid that is pushed in to the next ones only once it is full; what then arrives
goes on in proportion to the flows out of it. Cells are taken from the highest pressure to the lowest, so that each is
visited once, whatever the step; nothing is lost between two cells, and no cell holds more than it has room for unless
it has no way to pass it on. (Control-volume filling, as for moulds: Bruschke MV, Advani SG. Polym Compos
1990;11(6):398-405.)

All arrays are ``[k, j, i]`` of one box; permeabilities ``[3, k, j, i]``. Units as in :mod:`trocar.physics.porous`.
"""

from __future__ import annotations

from typing import Any

from trocar.physics.compiled import compiled

#: Share of its room beyond which a cell is too full, and how often what is over is passed on at most.
OVER, MOST_PASSES = 1e-6, 2000


@compiled
def conductances(permeability: Any, viscosity: Any, spacing: Any, faces: Any) -> None:
    """Fill ``faces`` ``[3, k, j, i]``: flow per pressure between each cell and the next along k, j, i.

    Two half cells in series; 0 where either has no permeability.
    """
    nk, nj, ni = viscosity.shape
    cell = spacing[0] * spacing[1] * spacing[2]
    for k in range(nk):
        for j in range(nj):
            for i in range(ni):
                mu = viscosity[k, j, i]
                for axis in range(3):
                    a, b, c = k + (axis == 0), j + (axis == 1), i + (axis == 2)
                    faces[axis, k, j, i] = 0.0
                    if a >= nk or b >= nj or c >= ni:
                        continue
                    one, other = permeability[axis, k, j, i], permeability[axis, a, b, c]
                    if one > 0.0 and other > 0.0:
                        length = spacing[axis]
                        resistance = 0.5 * length * (mu / one + viscosity[a, b, c] / other)
                        faces[axis, k, j, i] = cell / (length * resistance)


@compiled
def speeds(faces: Any, pressure: Any, content: Any, spacing: Any, speed: Any) -> None:
    """Fill ``speed`` with the size of Darcy's velocity, mm/s, where there is content: the mean of opposite faces."""
    nk, nj, ni = pressure.shape
    cell = spacing[0] * spacing[1] * spacing[2]
    for k in range(nk):
        for j in range(nj):
            for i in range(ni):
                speed[k, j, i] = 0.0
                if content[k, j, i] <= 0.0:
                    continue
                p, square = pressure[k, j, i], 0.0
                for axis in range(3):
                    a, b, c = axis == 0, axis == 1, axis == 2
                    flow = 0.0
                    if k + a < nk and j + b < nj and i + c < ni:
                        flow += faces[axis, k, j, i] * (p - pressure[k + a, j + b, i + c])
                    if k >= a and j >= b and i >= c:
                        flow += faces[axis, k - a, j - b, i - c] * (pressure[k - a, j - b, i - c] - p)
                    square += (0.5 * flow * spacing[axis] / cell) ** 2
                speed[k, j, i] = square**0.5


@compiled
def advance(
    order: Any, faces: Any, pressure: Any, ways_from: Any, flows: Any, room: Any,
    content: Any, aged: Any, arriving: Any, arriving_aged: Any, leaving: Any,
) -> None:  # fmt: skip
    """Move the fluid by one step, in place.

    ``order`` are the flat indices of the cells from the highest pressure down. The ways out of a cell are the entries
    ``ways_from[cell]`` to ``ways_from[cell + 1]`` (one more entry than there are cells) of ``flows``. ``room`` is
    what a cell can hold, ``content`` what it holds, ``aged`` content times age; ``arriving`` and ``arriving_aged``
    hold the same of what is pushed in and are 0 again afterwards; what could not go anywhere stays in its cell, beyond
    its room. ``leaving`` collects what leaves by each way.
    """
    nk, nj, ni = pressure.shape
    strides = (nj * ni, ni, 1)
    counts = (nk, nj, ni)
    f_content, f_aged = content.reshape(-1), aged.reshape(-1)
    f_arriving, f_arriving_aged = arriving.reshape(-1), arriving_aged.reshape(-1)
    f_pressure, f_room = pressure.reshape(-1), room.reshape(-1)
    f_faces = faces.reshape(3, -1)
    for cell in order:
        volume = f_content[cell] + f_arriving[cell]
        if volume <= 0.0:
            continue
        sum_aged = f_aged[cell] + f_arriving_aged[cell]
        f_arriving[cell] = 0.0
        f_arriving_aged[cell] = 0.0
        excess = volume - f_room[cell]
        if excess <= 0.0:
            f_content[cell], f_aged[cell] = volume, sum_aged
            continue
        place = (cell // strides[0], cell // ni % nj, cell % ni)
        p, out = f_pressure[cell], 0.0
        for axis in range(3):
            if place[axis] + 1 < counts[axis]:
                out += max(f_faces[axis, cell] * (p - f_pressure[cell + strides[axis]]), 0.0)
            if place[axis] > 0:
                below = cell - strides[axis]
                out += max(f_faces[axis, below] * (p - f_pressure[below]), 0.0)
        for n in range(ways_from[cell], ways_from[cell + 1]):
            out += max(flows[n], 0.0)
        if out <= 0.0:
            f_content[cell], f_aged[cell] = volume, sum_aged
            continue
        age = sum_aged / volume
        share, share_aged = excess / out, excess / out * age
        for axis in range(3):
            if place[axis] + 1 < counts[axis]:
                above = cell + strides[axis]
                flow = max(f_faces[axis, cell] * (p - f_pressure[above]), 0.0)
                f_arriving[above] += flow * share
                f_arriving_aged[above] += flow * share_aged
            if place[axis] > 0:
                below = cell - strides[axis]
                flow = max(f_faces[axis, below] * (p - f_pressure[below]), 0.0)
                f_arriving[below] += flow * share
                f_arriving_aged[below] += flow * share_aged
        for n in range(ways_from[cell], ways_from[cell + 1]):
            leaving[n] += max(flows[n], 0.0) * share
        f_content[cell], f_aged[cell] = f_room[cell], f_room[cell] * age


@compiled
def settle(room: Any, content: Any, aged: Any) -> None:
    """Move what cells hold beyond their room to neighbours that have some, in place, and on from there.

    Where pores let out only the other fluid, a cell fills in the middle of a step, and the rest of the step's flow into
    it finds no way on. Where no cell within reach has room, it stays.
    """
    nk, nj, ni = room.shape
    for _ in range(MOST_PASSES):
        over = False
        for k in range(nk):
            for j in range(nj):
                for i in range(ni):
                    excess = content[k, j, i] - room[k, j, i]
                    if excess <= OVER * room[k, j, i]:
                        continue
                    beside, with_room = 0, 0
                    for axis in range(3):
                        for step in (-1, 1):
                            a, b, c = k + step * (axis == 0), j + step * (axis == 1), i + step * (axis == 2)
                            if 0 <= a < nk and 0 <= b < nj and 0 <= c < ni and room[a, b, c] > 0.0:
                                beside += 1
                                with_room += content[a, b, c] < room[a, b, c]
                    if beside == 0:
                        continue
                    over = True
                    age = aged[k, j, i] / content[k, j, i]
                    share = excess / (with_room if with_room > 0 else beside)
                    for axis in range(3):
                        for step in (-1, 1):
                            a, b, c = k + step * (axis == 0), j + step * (axis == 1), i + step * (axis == 2)
                            inside = 0 <= a < nk and 0 <= b < nj and 0 <= c < ni
                            if inside and room[a, b, c] > 0.0 and (with_room == 0 or content[a, b, c] < room[a, b, c]):
                                content[a, b, c] += share
                                aged[a, b, c] += share * age
                    content[k, j, i] = room[k, j, i]
                    aged[k, j, i] = room[k, j, i] * age
        if not over:
            return
