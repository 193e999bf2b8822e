"""What every file for another solver needs: a boundary that is acted on."""

from __future__ import annotations

import numpy as np

from trocar.physics.solid import Boundary, Solid, nodes_of


def acting(solid: Solid, boundary: Boundary) -> Boundary:
    """The boundary as a peer should be told it: without supports of empty nodes, one force to a degree of freedom.

    Raises ``ValueError`` for a boundary of another box, and naming the node where a force pushes on nothing.
    """
    if boundary.nodes != solid.nodes:
        raise ValueError(f"the boundary is of a box with {boundary.nodes} nodes, the solid's has {solid.nodes}.")
    used = nodes_of(solid.filled)
    held = used.reshape(-1)[boundary.displaced % used.size]
    loaded, place = np.unique(boundary.loaded, return_inverse=True)
    empty = loaded[~used.reshape(-1)[loaded % used.size]]
    if len(empty):
        node = [int(n) for n in np.unravel_index(empty[0] % used.size, used.shape)]
        raise ValueError(f"the force at node [k, j, i] = {node} pushes on nothing: no voxel with material meets there.")
    force_n = np.bincount(place, boundary.force_n, minlength=len(loaded)).astype(np.float64)
    return Boundary(solid.nodes, boundary.displaced[held], boundary.displacement_mm[held], loaded, force_n)
