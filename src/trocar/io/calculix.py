"""A solid as an input deck of CalculiX, so that a sceptic can solve the same equations with another program.

The deck is the solid exactly: one C3D8 element (eight nodes, eight Gauss points) a voxel, one material for each law and
modulus that occurs. Axes: x runs along i, y along j, z along k; the middle of node [0, 0, 0] is the origin. Node
``[k, j, i]`` of ``(K, J, I)`` nodes has the number ``1 + i + I (j + J k)``, and elements are numbered likewise, so that
every line can be traced to its voxel; numbers of empty places are left out. Millimetres, newtons, megapascals.

CalculiX: Dhondt G, The Finite Element Method for Three-Dimensional Thermomechanical Applications, Wiley 2004.
Keywords as in its manual, CalculiX CrunchiX USER'S MANUAL version 2.20.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from trocar import __version__
from trocar.io.peer_model import acting
from trocar.io.whole import written_whole
from trocar.physics.solid import Boundary, Material, Solid, nodes_of

#: Offsets along k, j, i of an element's nodes in the order CalculiX counts them: round the bottom face, then the top.
CORNERS = ((0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0), (1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0))


class Equations(Enum):
    """How CalculiX solves: the value is its word for it.

    The iterative ones stop early and leave forces out of balance (up to 1 % for ``CHOLESKY``, measured on a random
    field of 64 x 64 x 64 voxels); compare with ``DIRECT`` where memory allows.
    """

    DIRECT = "SPOOLES"
    SCALING = "ITERATIVE SCALING"
    CHOLESKY = "ITERATIVE CHOLESKY"


def write_calculix(solid: Solid, boundary: Boundary, path: str | Path, equations: Equations = Equations.DIRECT) -> Path:
    """Write the elastic problem as ``path`` (``.inp``), whole or not at all, and return it.

    Solved with ``ccx name`` it prints the reactions of the node set SUPPORTS and the displacements of the node set
    LOADED into ``name.dat``, and the fields into ``name.frd``. Yield stresses are not written: the deck is what
    :func:`trocar.physics.elasticity.deform` solves. Raises ``ValueError`` for a force that pushes on nothing and
    :class:`~trocar.errors.OutputError` where nothing can be written.
    """
    boundary = acting(solid, boundary)
    with written_whole(path) as holding, holding.open("wb") as file:
        file.write(_heading(solid))
        _write_nodes(file, solid)
        _write_elements(file, solid)
        file.writelines(part.encode() for part in _step(boundary, equations))
    return Path(path)


def _heading(solid: Solid) -> bytes:
    k, j, i = solid.nodes
    return (
        f"** Trocar {__version__}: {int(solid.filled.sum())} voxels of {solid.spacing_mm} mm along k, j, i\n"
        "** x = i, y = j, z = k; mm, N, MPa\n"
        f"** node [k, j, i] has the number 1 + i + {i} * (j + {j} * k), k up to {k - 1}; "
        f"element [k, j, i] 1 + i + {i - 1} * (j + {j - 1} * k)\n"
    ).encode()


def _write_nodes(file: BinaryIO, solid: Solid) -> None:
    used = np.flatnonzero(nodes_of(solid.filled))
    width = len(str(int(np.prod(solid.nodes))))
    k, j, i = np.unravel_index(used, solid.nodes)
    hk, hj, hi = solid.spacing_mm
    axes = ((i, hi), (j, hj), (k, hk))
    columns = [_digits(used + 1, width), *(_lengths(int(n.max()) + 1, h)[n] for n, h in axes)]
    file.write(b"*NODE, NSET=NALL\n" + _lines(columns))


def _write_elements(file: BinaryIO, solid: Solid) -> None:
    """Elements, law by law and modulus by modulus, each group with its material."""
    voxel = np.flatnonzero(solid.filled)
    law, modulus = solid.material.reshape(-1)[voxel], solid.modulus_mpa.reshape(-1)[voxel]
    order = np.lexsort((modulus, law))
    voxel, law, modulus = voxel[order], law[order], modulus[order]
    first = np.flatnonzero(np.concatenate([[True], (law[1:] != law[:-1]) | (modulus[1:] != modulus[:-1])]))
    text = _lines(_element_columns(solid, voxel))
    line = len(text) // len(voxel)
    for number, (start, end) in enumerate(zip(first, [*first[1:], len(voxel)], strict=True), start=1):
        file.write(f"*ELEMENT, TYPE=C3D8, ELSET=E{number}\n".encode())
        file.write(memoryview(text)[start * line : end * line])
        file.write(_material(number, solid.materials[law[start] - 1], float(modulus[start])).encode())


def _element_columns(solid: Solid, voxel: NDArray[np.int64]) -> list[NDArray[np.uint8]]:
    width = len(str(int(np.prod(solid.nodes))))
    k, j, i = np.unravel_index(voxel, solid.shape)
    nodes = [np.ravel_multi_index((k + a, j + b, i + c), solid.nodes) + 1 for a, b, c in CORNERS]
    return [_digits(np.asarray(number), width) for number in (voxel + 1, *nodes)]


def _material(number: int, law: Material, modulus_mpa: float) -> str:
    if law.is_isotropic:
        elastic = f"*ELASTIC\n{modulus_mpa * law.young[0]:.12g}, {law.poisson[0]:.12g}\n"
    else:
        elastic = _orthotropic(law, modulus_mpa)
    return f"*MATERIAL, NAME=M{number}\n{elastic}*SOLID SECTION, ELSET=E{number}, MATERIAL=M{number}\n"


def _orthotropic(law: Material, modulus_mpa: float) -> str:
    """E1, E2, E3, nu12, nu13, nu23, G12, G13 / G23 with 1, 2, 3 = i, j, k.

    CalculiX's nu12 is the strain along 2 when pulled along 1; ours are given for the pull along the array's first axis,
    hence nu_ij = nu_ji E_i / E_j.
    """
    (ek, ej, ei), (nu_ji, nu_ki, nu_kj) = law.young, law.poisson
    g_ji, g_ki, g_kj = (modulus_mpa * g for g in law.shear)
    young = [modulus_mpa * e for e in (ei, ej, ek)]
    constants = [*young, nu_ji * ei / ej, nu_ki * ei / ek, nu_kj * ej / ek, g_ji, g_ki]
    return f"*ELASTIC, TYPE=ENGINEERING CONSTANTS\n{', '.join(f'{c:.12g}' for c in constants)}\n{g_kj:.12g}\n"


def _step(boundary: Boundary, equations: Equations) -> Iterator[str]:
    yield from _node_set("SUPPORTS", boundary, boundary.displaced)
    yield from _node_set("LOADED", boundary, boundary.loaded)
    yield f"*STEP\n*STATIC, SOLVER={equations.value}\n"
    if len(boundary.displaced):
        yield "*BOUNDARY\n"
        held = zip(*_places(boundary, boundary.displaced), boundary.displacement_mm.tolist(), strict=True)
        yield "".join(f"{node}, {axis}, {axis}, {mm:.12g}\n" for node, axis, mm in held)
    if len(boundary.loaded):
        yield "*CLOAD\n"
        pushed = zip(*_places(boundary, boundary.loaded), boundary.force_n.tolist(), strict=True)
        yield "".join(f"{node}, {axis}, {newton:.12g}\n" for node, axis, newton in pushed)
        yield "*NODE PRINT, NSET=LOADED\nU\n"
    if len(boundary.displaced):
        yield "*NODE PRINT, NSET=SUPPORTS, TOTALS=YES\nRF\n"
    yield "*NODE FILE\nU, RF\n*EL FILE\nS, E\n*END STEP\n"


def _node_set(name: str, boundary: Boundary, dof: NDArray[np.int64]) -> Iterator[str]:
    if len(dof):
        nodes = np.unique(dof % int(np.prod(boundary.nodes))) + 1
        yield f"*NSET, NSET={name}\n" + "".join(f"{node}\n" for node in nodes.tolist())


def _places(boundary: Boundary, dof: NDArray[np.int64]) -> tuple[list[int], list[int]]:
    """Node number and CalculiX's axis (1 = x = i, 2 = y = j, 3 = z = k) of each degree of freedom."""
    component, node = np.divmod(dof, int(np.prod(boundary.nodes)))
    return (node + 1).tolist(), (3 - component).tolist()


def _digits(numbers: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """Whole numbers as text, ``[number, character]``, right-aligned."""
    powers = 10 ** np.arange(width - 1, -1, -1)
    text = (numbers[:, None] // powers % 10 + ord("0")).astype(np.uint8)
    text[(numbers[:, None] < powers) & (powers > 1)] = ord(" ")
    return text


def _lengths(count: int, step_mm: float) -> NDArray[np.uint8]:
    """0, 1, 2 ... times ``step_mm`` as text, ``[place, character]``: a grid has few different coordinates."""
    texts = [f"{n * step_mm:.12g}" for n in range(count)]
    width = max(map(len, texts))
    return np.frombuffer("".join(f"{text:>{width}}" for text in texts).encode(), np.uint8).reshape(count, width)


def _lines(columns: list[NDArray[np.uint8]]) -> bytes:
    """The columns side by side, a comma between, one line a row."""
    comma = np.full((len(columns[0]), 1), ord(","), np.uint8)
    newline = np.full((len(columns[0]), 1), ord("\n"), np.uint8)
    parts = [part for column in columns for part in (column, comma)]
    return np.hstack([*parts[:-1], newline]).tobytes()
