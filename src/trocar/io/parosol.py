"""A solid as the voxel file that ParOSol reads: an image of moduli with what is prescribed at its nodes, in HDF5.

ParOSol is a matrix-free multigrid solver for voxel models of bone: Flaig C, Arbenz P, Parallel Computing
2011;37(12):846-854. Its input is the HDF5 group ``Image_Data``: ``Image`` (GPa, 0 where there is nothing),
``Poisons_ratio`` (one number) and, where it varies, ``Poissons_ratio_Image``, ``Voxelsize`` (mm), and coordinates
``k, j, i, direction`` of nodes with a displacement (mm) or a force. Its axes are ours: images are ``[k, j, i]``,
directions 0, 1, 2 are x = i, y = j, z = k.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from trocar.errors import ToolError
from trocar.io.peer_model import acting
from trocar.io.whole import written_whole
from trocar.physics.solid import Boundary, Solid

#: Moduli go into the file in gigapascals; forces in it and out of it are newtons (seen by running it).
MPA_PER_GPA = 1000.0
#: Relative difference of edges above which a voxel is no cube.
CUBE = 1e-6
#: ParOSol keeps a node's place in 16 bits with a sign.
LARGEST_PLACE = np.iinfo(np.int16).max


def write_parosol(solid: Solid, boundary: Boundary, path: str | Path) -> Path:
    """Write the elastic problem as ``path`` (``.h5``), whole or not at all, and return it.

    ParOSol adds the groups ``Mesh`` and ``Solution`` to the same file. Raises ``ValueError`` for a model it cannot
    hold: voxels that are not cubes, bone that is not the same along every axis, a box of more than
    :data:`LARGEST_PLACE` voxels along an axis; :class:`~trocar.errors.ToolError` without the package h5py.
    """
    _check(solid)
    boundary = acting(solid, boundary)
    h5py = _h5py()
    with written_whole(path) as holding, h5py.File(holding, "w") as file:
        group = file.create_group("Image_Data")
        group["Image"] = np.where(solid.filled, _modulus_mpa(solid), 0.0) / MPA_PER_GPA
        group["Voxelsize"] = float(solid.spacing_mm[0])
        group["Poisons_ratio"] = float(solid.materials[int(solid.material.max()) - 1].poisson[0])
        group["Poissons_ratio_Image"] = _per_law(solid, [law.poisson[0] for law in solid.materials])
        group["Fixed_Displacement_Coordinates"] = _places(boundary, boundary.displaced)
        group["Fixed_Displacement_Values"] = boundary.displacement_mm
        group["Loaded_Nodes_Coordinates"] = _places(boundary, boundary.loaded)
        group["Loaded_Nodes_Values"] = boundary.force_n
    return Path(path)


def _check(solid: Solid) -> None:
    h = solid.spacing_mm
    if max(h) - min(h) > CUBE * max(h):
        raise ValueError(f"ParOSol knows cubes only, and these voxels are {h[0]:g} x {h[1]:g} x {h[2]:g} mm (k, j, i).")
    used = [law for n, law in enumerate(solid.materials, start=1) if np.any(solid.material == n)]
    uneven = [law.name for law in used if not law.is_isotropic]
    if uneven:
        raise ValueError(f"ParOSol knows materials that are the same along every axis only: {uneven[0]} is not.")
    if max(solid.shape) > LARGEST_PLACE:
        raise ValueError(f"ParOSol holds {LARGEST_PLACE} voxels along an axis; this box has {max(solid.shape)}.")


def _modulus_mpa(solid: Solid) -> NDArray[np.float64]:
    return solid.modulus_mpa * _per_law(solid, [law.young[0] for law in solid.materials])


def _per_law(solid: Solid, values: list[float]) -> NDArray[np.float64]:
    """A law's value at each of its voxels ``[k, j, i]``; the first law's where there is nothing."""
    return np.array([values[0], *values])[solid.material]


def _places(boundary: Boundary, dof: NDArray[np.int64]) -> NDArray[np.uint16]:
    """k, j, i and direction (0 = x = i) of each degree of freedom, one row each."""
    component, k, j, i = np.unravel_index(dof, (3, *boundary.nodes))
    return np.stack([k, j, i, 2 - component], axis=1).astype(np.uint16)


def _h5py() -> ModuleType:
    try:
        import h5py
    except ImportError:
        raise ToolError("ParOSol's file is HDF5, which needs the package h5py: pip install 'trocar[peers]'.") from None
    return h5py
