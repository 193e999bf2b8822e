"""Bodies and supports that our solver and its peers are given alike, in the tests and in the benchmark."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from trocar.physics.solid import Boundary, Material, Solid

#: Moduli of the phantom (MPa): what surrounds, what softens and what stiffens bone.
SHELL_MPA, TUMOUR_MPA, CEMENT_MPA = 4000.0, 5.0, 2500.0
BONE, SHELL, TUMOUR, CEMENT = 1, 2, 3, 4
#: One Poisson's ratio for all.
ALIKE = tuple(Material.isotropic(name) for name in ("bone", "cortex", "tumour", "cement"))
#: A different Poisson's ratio for each.
DIFFERENT = tuple(
    Material.isotropic(name, nu)
    for name, nu in (("bone", 0.3), ("cortex", 0.2), ("tumour", 0.45), ("cement", 0.35))
)  # fmt: skip
#: Bone that differs along every axis, no two constants alike, so that none can be taken for another.
ORTHOTROPIC = Material("bone", (1.0, 0.45, 0.3), (0.13, 0.16, 0.2), (0.38, 0.24, 0.31))


def random_mpa(n: int, seed: int = 7, levels: int = 128) -> np.ndarray:
    """A smooth random field of moduli, 50 to 2000 MPa in ``levels`` steps of equal ratio, ``[k, j, i]``."""
    field = gaussian_filter(np.random.default_rng(seed).standard_normal((n, n, n)), n / 20, mode="nearest")
    share = (field - field.min()) / (field.max() - field.min())
    return 50.0 * 40.0 ** (np.round((levels - 1) * share) / (levels - 1))


def random_cube(n: int, seed: int = 7) -> Solid:
    """A full cube with the random field."""
    return Solid(random_mpa(n, seed), np.ones((n, n, n), np.uint8))


def phantom(n: int, laws: tuple[Material, ...] = ALIKE, cement: bool = True, hole: bool = True) -> Solid:
    """An elliptic body in a void: a shell two voxels thick, bone with a hole, a tumour, and cement beside it."""
    k, j, i = ((index + 0.5) / n - 0.5 for index in np.indices((n, n, n)))
    material = np.zeros((n, n, n), np.uint8)
    material[(j / 0.38) ** 2 + (i / 0.46) ** 2 <= 1.0] = SHELL
    inner = (j / (0.38 - 2 / n)) ** 2 + (i / (0.46 - 2 / n)) ** 2 <= 1.0
    material[inner & (abs(k) <= 0.5 - 2 / n)] = BONE
    inside = material == BONE
    material[inside & (_away(k, j, i, (0.05, 0.05, 0.15)) <= 0.16)] = TUMOUR
    if cement:
        material[inside & (_away(k, j, i, (0.0, -0.12, -0.12)) <= 0.14)] = CEMENT
    if hole:
        material[inside & (_away(k, j, i, (-0.2, 0.2, -0.05)) <= 0.1)] = 0
    modulus = random_mpa(n) / 5.0
    for kind, mpa in ((SHELL, SHELL_MPA), (TUMOUR, TUMOUR_MPA), (CEMENT, CEMENT_MPA)):
        modulus[material == kind] = mpa
    return Solid(modulus, material, laws)


def _away(k: np.ndarray, j: np.ndarray, i: np.ndarray, place: tuple[float, float, float]) -> np.ndarray:
    return np.sqrt((k - place[0]) ** 2 + (j - place[1]) ** 2 + (i - place[2]) ** 2)


def bottom(solid: Solid) -> np.ndarray:
    """The nodes ``[k, j, i]`` at the lower face of the box."""
    return np.indices(solid.nodes)[0] == 0


def top(solid: Solid) -> np.ndarray:
    """The nodes ``[k, j, i]`` at the upper face of the box."""
    return np.indices(solid.nodes)[0] == solid.shape[0]


def moved(solid: Solid, strain: tuple[float, float, float] = (-0.001, 0.0, 0.0)) -> Boundary:
    """The lower face held, the upper one moved along k, j, i by ``strain`` times the height."""
    height = solid.shape[0] * solid.spacing_mm[0]
    boundary = held(solid)
    for component, share in enumerate(strain):
        boundary = boundary + Boundary.displace(top(solid), component, share * height)
    return boundary


def held(solid: Solid) -> Boundary:
    """The lower face held."""
    low = bottom(solid)
    return Boundary.displace(low, 0, 0.0) + Boundary.displace(low, 1, 0.0) + Boundary.displace(low, 2, 0.0)


def pushed(solid: Solid) -> Boundary:
    """The lower face held, a patch in the middle of the upper one pushed along k, j and i."""
    k, j, i = np.indices(solid.nodes)
    middle = (k == solid.shape[0]) & (abs(j - solid.shape[1] / 2) <= 2) & (abs(i - solid.shape[2] / 2) <= 1)
    forces = (Boundary.load(middle, c, newton) for c, newton in enumerate((-3.0, 1.0, 0.5)))
    boundary = held(solid)
    for force in forces:
        boundary = boundary + force
    return boundary
