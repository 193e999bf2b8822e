"""What a voxel mechanics problem is: the material of every voxel, and what is prescribed at the nodes.

Every voxel is one eight-node hexahedron. Elements are ``[k, j, i]``, nodes ``[k, j, i]`` with one more along
every axis. A vector at the nodes is an array ``[c, k, j, i]`` whose component ``c`` is 0 along k, 1 along j and
2 along i: the array's order, everywhere. A degree of freedom is a flat index into such an array.
Lengths are millimetres, forces newtons, stresses and moduli megapascals (N/mm2).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Above this Poisson's ratio an eight-node hexahedron with full integration locks (it cannot keep its volume).
LARGEST_POISSON = 0.45
#: Most laws in one solid: the solver keeps one bit a law for each block of voxels.
MOST_MATERIALS = 16
#: Relative difference of moduli below which a law counts as the same along every axis (rounding, no more).
SAME = 1e-9
#: Components of stress and strain in the order they are stored; the last three are engineering shears.
COMPONENTS = ("kk", "jj", "ii", "ji", "ki", "kj")


@dataclass(frozen=True)
class Material:
    """The shape of an elastic law; a voxel's modulus scales it.

    ``young``, ``shear`` and ``poisson`` are relative to the voxel's modulus: Young's moduli along k, j, i; shear
    moduli in the planes ji, ki, kj; Poisson's ratios nu_ji, nu_ki, nu_kj (strain along the second axis when pulled
    along the first). Raises ``ValueError`` for a ratio above :data:`LARGEST_POISSON` or an unstable law.
    """

    name: str
    young: tuple[float, float, float] = (1.0, 1.0, 1.0)
    shear: tuple[float, float, float] = (1.0 / 2.6, 1.0 / 2.6, 1.0 / 2.6)
    poisson: tuple[float, float, float] = (0.3, 0.3, 0.3)

    @classmethod
    def isotropic(cls, name: str, poisson: float = 0.3) -> Material:
        """The same along every axis."""
        shear = 0.5 / (1.0 + poisson)
        return cls(name, (1.0, 1.0, 1.0), (shear, shear, shear), (poisson, poisson, poisson))

    def __post_init__(self) -> None:
        if not all(np.isfinite(v) and v > 0.0 for v in (*self.young, *self.shear)):
            raise ValueError(f"{self.name}: relative moduli must be positive; got {self.young} and {self.shear}.")
        if not all(nu > -1.0 for nu in self.poisson):
            raise ValueError(f"{self.name}: Poisson's ratio {min(self.poisson):g} must be above -1.")
        if not all(nu <= LARGEST_POISSON for nu in self.poisson):
            raise ValueError(
                f"{self.name}: Poisson's ratio {max(self.poisson):g} is above {LARGEST_POISSON:g}, where these "
                "elements lock and come out too stiff: take a smaller one."
            )
        if np.linalg.eigvalsh(self.stiffness)[0] <= 0.0:
            raise ValueError(f"{self.name}: this combination of moduli and Poisson's ratios is not a stable material.")

    @property
    def is_isotropic(self) -> bool:
        """Whether the law is the same along every axis; its modulus may be any multiple of the voxel's."""
        shear = self.young[0] / (2.0 * (1.0 + self.poisson[0]))
        pairs = ((self.young, self.young[0]), (self.poisson, self.poisson[0]), (self.shear, shear))
        return all(abs(value - first) <= SAME * abs(first) for values, first in pairs for value in values)

    @cached_property
    def stiffness(self) -> NDArray[np.float64]:
        """The 6x6 matrix from strain to stress for a modulus of 1, in the order of :data:`COMPONENTS`."""
        (ek, ej, ei), (nu_ji, nu_ki, nu_kj) = self.young, self.poisson
        compliance = np.zeros((6, 6))
        compliance[:3, :3] = [
            [1.0 / ek, -nu_kj / ek, -nu_ki / ek],
            [-nu_kj / ek, 1.0 / ej, -nu_ji / ej],
            [-nu_ki / ek, -nu_ji / ej, 1.0 / ei],
        ]
        compliance[3:, 3:] = np.diag(1.0 / np.array(self.shear))
        return np.asarray(np.linalg.inv(compliance), np.float64)


@dataclass(frozen=True, eq=False)
class Solid:
    """A body of voxels.

    ``material`` (uint8 ``[k, j, i]``) is 0 where there is nothing and otherwise 1 + the place of the voxel's law in
    ``materials``; ``modulus_mpa`` (float32) is the law's scale there; ``spacing_mm`` the voxel's size along k, j, i;
    ``yield_mpa`` (float32, optional) the uniaxial yield stress, ``inf`` where a material does not yield. Raises
    ``ValueError`` naming the first voxel whose modulus or yield stress is zero, negative or not a number, and for a
    box without a single voxel of material.
    """

    modulus_mpa: NDArray[np.float32]
    material: NDArray[np.uint8]
    materials: tuple[Material, ...] = (Material.isotropic("bone"),)
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    yield_mpa: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        given = np.asarray(self.material)
        if given.dtype != np.uint8 and not np.array_equal(given, given.astype(np.uint8)):
            raise ValueError("material holds numbers that are no whole numbers from 0 to 255.")
        material = given.astype(np.uint8)  # a copy: what passed the guards stays as it was
        modulus = _single(self.modulus_mpa)
        if material.ndim != 3 or modulus.shape != material.shape:
            raise ValueError(f"modulus {modulus.shape} and material {material.shape} must be one box [k, j, i].")
        if not (len(self.spacing_mm) == 3 and all(np.isfinite(h) and h > 0.0 for h in self.spacing_mm)):
            raise ValueError(f"spacing_mm={self.spacing_mm} must be three positive lengths along k, j, i.")
        if not material.any():
            raise ValueError("there is no bone in the box: every voxel is empty.")
        if len(self.materials) > MOST_MATERIALS:
            raise ValueError(f"{len(self.materials)} materials are given; a solid has at most {MOST_MATERIALS}.")
        if material.max() > len(self.materials):
            raise ValueError(f"material {material.max()} is used, but only {len(self.materials)} are given.")
        object.__setattr__(self, "spacing_mm", tuple(float(h) for h in self.spacing_mm))
        object.__setattr__(self, "material", _read_only(material))
        object.__setattr__(self, "modulus_mpa", _read_only(self._positive("modulus", modulus)))
        if self.yield_mpa is not None:
            strength = _single(self.yield_mpa)
            if strength.shape != material.shape:
                raise ValueError(f"yield_mpa {strength.shape} must have the shape of material {material.shape}.")
            object.__setattr__(self, "yield_mpa", _read_only(self._positive("yield stress", strength, infinite=True)))

    def _positive(self, what: str, values: NDArray[np.float32], infinite: bool = False) -> NDArray[np.float32]:
        good = values > 0.0 if infinite else (values > 0.0) & np.isfinite(values)
        bad = np.asarray(self.material, bool) & ~good
        if bad.any():
            place = tuple(int(n) for n in np.argwhere(bad)[0])
            raise ValueError(
                f"the {what} at voxel [k, j, i] = {list(place)} is {values[place]:g} MPa ({int(bad.sum())} such "
                "voxels): it must be positive; leave a voxel out with material 0."
            )
        return values

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along k, j, i."""
        k, j, i = self.material.shape
        return (k, j, i)

    @property
    def nodes(self) -> tuple[int, int, int]:
        """Nodes along k, j, i."""
        k, j, i = self.shape
        return (k + 1, j + 1, i + 1)

    @property
    def filled(self) -> NDArray[np.bool_]:
        """Where there is material, ``[k, j, i]``."""
        return self.material > 0

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel."""
        return float(np.prod(self.spacing_mm))


@dataclass(frozen=True, eq=False)
class Boundary:
    """What is prescribed: displacements (zero for a support) and forces, each at degrees of freedom.

    ``displaced`` and ``loaded`` are flat indices into ``[c, k, j, i]`` of the nodes' shape ``nodes``;
    ``displacement_mm`` and ``force_n`` have one value for each. Build one with :meth:`displace` and :meth:`load` and
    add them: ``a + b``. Raises ``ValueError`` where the same degree of freedom is given two displacements.
    """

    nodes: tuple[int, int, int]
    displaced: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    displacement_mm: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    loaded: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    force_n: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    @classmethod
    def displace(cls, where: NDArray[np.bool_], component: int, mm: ArrayLike) -> Boundary:
        """Prescribe one component (0 along k, 1 along j, 2 along i) at the nodes ``where[k, j, i]``.

        ``mm`` is one number or an array that broadcasts to the shape of ``where``.
        """
        dof = np.flatnonzero(where) + component * where.size
        return cls(_shape(where), displaced=dof, displacement_mm=_at(where, mm))

    @classmethod
    def load(cls, where: NDArray[np.bool_], component: int, newton: ArrayLike) -> Boundary:
        """Push along one component at the nodes ``where[k, j, i]`` with ``newton`` at each of them."""
        dof = np.flatnonzero(where) + component * where.size
        return cls(_shape(where), loaded=dof, force_n=_at(where, newton))

    def __add__(self, other: Boundary) -> Boundary:
        if self.nodes != other.nodes:
            raise ValueError(f"boundaries of boxes with {self.nodes} and {other.nodes} nodes cannot be added.")
        return Boundary(
            self.nodes,
            np.concatenate([self.displaced, other.displaced]),
            np.concatenate([self.displacement_mm, other.displacement_mm]),
            np.concatenate([self.loaded, other.loaded]),
            np.concatenate([self.force_n, other.force_n]),
        )

    def __post_init__(self) -> None:
        size = 3 * int(np.prod(self.nodes))
        for dof, value, what in (
            (self.displaced, self.displacement_mm, "displacement"),
            (self.loaded, self.force_n, "force"),
        ):
            if len(dof) != len(value) or (len(dof) and not (dof.min() >= 0 and dof.max() < size)):
                raise ValueError(f"a {what} is prescribed outside the box of {self.nodes} nodes.")
            if not np.all(np.isfinite(value)):
                raise ValueError(f"a prescribed {what} is not a number.")
        order = np.argsort(self.displaced, kind="stable")
        dof, value = self.displaced[order], self.displacement_mm[order]
        twice = np.flatnonzero((dof[1:] == dof[:-1]) & (value[1:] != value[:-1]))
        if len(twice):
            component, *node = (int(n) for n in np.unravel_index(dof[twice[0]], (3, *self.nodes)))
            raise ValueError(
                f"node [k, j, i] = {node} is given two displacements along {'kji'[component]}: "
                f"{value[twice[0]]:g} and {value[twice[0] + 1]:g} mm."
            )
        keep = np.concatenate([dof[1:] != dof[:-1], [True]]) if len(dof) else np.empty(0, bool)
        object.__setattr__(self, "displaced", dof[keep])
        object.__setattr__(self, "displacement_mm", value[keep])

    def scaled(self, factor: float) -> Boundary:
        """The same with every prescribed displacement and force times ``factor``."""
        return Boundary(self.nodes, self.displaced, factor * self.displacement_mm, self.loaded, factor * self.force_n)


def nodes_of(voxels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The nodes at the corners of voxels, both ``[k, j, i]``."""
    k, j, i = voxels.shape
    nodes = np.zeros((k + 1, j + 1, i + 1), bool)
    for a, b, c in np.ndindex(2, 2, 2):
        nodes[a : a + k, b : b + j, c : c + i] |= voxels
    return nodes


def _shape(where: NDArray[np.bool_]) -> tuple[int, int, int]:
    k, j, i = where.shape
    return (k, j, i)


def _at(where: NDArray[np.bool_], value: ArrayLike) -> NDArray[np.float64]:
    return np.broadcast_to(np.asarray(value, np.float64), where.shape)[where]


def _single(values: ArrayLike) -> NDArray[np.float32]:
    """A float32 copy; what is too large for it becomes infinite, which the guards name."""
    with np.errstate(over="ignore"):
        return np.array(values, np.float32)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view
