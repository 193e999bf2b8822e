"""Whether a body holds together and its supports hold it: asked before it is solved."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trocar.physics.solid import Boundary, Solid

#: Eigenvalues of the supports' grip on the six rigid motions below this share of the greatest leave a motion free.
LOOSE = 1e-9


def check_supports(solid: Solid, boundary: Boundary) -> None:
    """Refuse, naming the place, a body in pieces of which one is free to move, or a force where nothing is.

    Pieces are told apart by the voxels' faces: what hangs on an edge or a corner is a hinge.
    """
    if boundary.nodes != solid.nodes:
        raise ValueError(f"the boundary is for {boundary.nodes} nodes, the solid has {solid.nodes}.")
    _check_loads(solid, boundary)
    piece, count = ndimage.label(solid.filled)
    grips = _grips(piece, count, solid, boundary)
    values = np.linalg.eigvalsh(grips)
    free = np.flatnonzero(values[:, 0] <= LOOSE * np.maximum(values[:, -1], np.finfo(float).tiny)) + 1
    if not len(free):
        return
    place = [int(n) for n in np.argwhere(piece == free[0])[0]]
    size = int((piece == free[0]).sum())
    if count == 1:
        raise ValueError(
            f"the supports leave the body free to move {_motion(grips[0])}: hold more of it. "
            f"It begins at voxel [k, j, i] = {place}."
        )
    raise ValueError(
        f"{len(free)} of {count} pieces of the body are not held; the first has {size} voxels and begins at "
        f"[k, j, i] = {place}: leave out floating islands, or support them."
    )


def _check_loads(solid: Solid, boundary: Boundary) -> None:
    """A force needs a voxel to act on."""
    pushed = boundary.loaded[boundary.force_n != 0.0]
    near = _pieces_at(solid.material.astype(np.int32), pushed, solid.nodes)
    empty = np.flatnonzero(near.max(axis=0, initial=0) == 0)
    if len(empty):
        place = np.unravel_index(pushed[empty[0]], (3, *solid.nodes))[1:]
        raise ValueError(f"a force acts at node [k, j, i] = {[int(n) for n in place]}, where there is no material.")


def _pieces_at(piece: NDArray[np.int32], dof: NDArray[np.int64], nodes: tuple[int, int, int]) -> NDArray[np.int32]:
    """The pieces of the eight voxels around each node, 0 for none, ``[8, dof]``."""
    place = np.unravel_index(dof, (3, *nodes))[1:]
    around = np.zeros((8, len(dof)), np.int32)
    for n, corner in enumerate(np.ndindex(2, 2, 2)):
        voxel = [x - c for x, c in zip(place, corner, strict=True)]
        inside = np.all([(v >= 0) & (v < size) for v, size in zip(voxel, piece.shape, strict=True)], axis=0)
        around[n, inside] = piece[tuple(v[inside] for v in voxel)]
    return around


def _grips(piece: NDArray[np.int32], count: int, solid: Solid, boundary: Boundary) -> NDArray[np.float64]:
    """The supports' Gram matrix of the six rigid motions (lengths scaled by the box), ``[piece, 6, 6]``."""
    grips = np.zeros((count, 6, 6))
    held = boundary.displaced
    motion = _rigid_motions(held, solid)
    around = _pieces_at(piece, held, solid.nodes)
    for n in range(8):
        new = np.all(around[:n] != around[n], axis=0) & (around[n] > 0)  # a node counts once for each piece it touches
        order = np.argsort(around[n, new], kind="stable")
        pieces = around[n, new][order]
        if not len(pieces):  # no held node has a voxel of its own at this corner
            continue
        first = np.flatnonzero(np.r_[True, pieces[1:] != pieces[:-1]])
        for a, b in zip(first, [*first[1:], len(pieces)], strict=True):
            rows = motion[new][order[a:b]]
            grips[pieces[a] - 1] += rows.T @ rows
    return grips


def _rigid_motions(dof: NDArray[np.int64], solid: Solid) -> NDArray[np.float64]:
    """How much each takes part in three shifts and three turns about the box's middle, ``[dof, 6]``."""
    component, *place = np.unravel_index(dof, (3, *solid.nodes))
    size = np.array(solid.shape) * np.array(solid.spacing_mm)
    at = (np.stack(place, axis=1) * np.array(solid.spacing_mm) - size / 2.0) / size.max()
    rows = np.zeros((len(dof), 6))
    rows[np.arange(len(dof)), component] = 1.0
    for axis in range(3):
        turn = np.cross(np.eye(3)[axis], at)
        rows[:, 3 + axis] = turn[np.arange(len(dof)), component]
    return rows


def _motion(grip: NDArray[np.float64]) -> str:
    """The loosest motion in words."""
    loosest = np.abs(np.linalg.eigh(grip)[1][:, 0])
    shift, turn = loosest[:3], loosest[3:]
    if turn.max() > shift.max():
        return f"about the {'kji'[int(turn.argmax())]} axis"
    return f"along {'kji'[int(shift.argmax())]}"
