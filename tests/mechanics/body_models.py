"""Bone models of simple shape: blocks for closed forms, and an elliptic body with shell, canal and arch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.levels import Level
from trocar.anatomy.vertebra import Part
from trocar.mechanics.model import BoneModel, Ends, Tissue
from trocar.physics.materials import DEFAULT_LAW
from trocar.physics.solid import Material, Solid

LAWS = tuple(Material.isotropic(t.name.lower(), 0.3) for t in list(Tissue)[1:])


def model_of(
    modulus: NDArray,
    tissue: NDArray,
    parts: NDArray,
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    poisson: float = 0.3,
    density: NDArray | None = None,
    ends: Ends = Ends.CAPS,
) -> BoneModel:
    laws = tuple(Material.isotropic(m.name, poisson) for m in LAWS)
    strength = np.where(tissue > 0, 0.01 * modulus, 1.0).astype(np.float32)
    solid = Solid(modulus.astype(np.float32), tissue.astype(np.uint8), laws, spacing_mm, strength)
    affine = np.diag([*spacing_mm[::-1], 1.0])
    dense = np.where(tissue > 0, modulus / 3000.0, 0.0) if density is None else density
    return BoneModel(
        Level.parse("L1"),
        solid,
        affine,
        parts.astype(np.uint8),
        dense.astype(np.float32),
        DEFAULT_LAW.name,
        "given",
        ends,
    )


def block(shape: tuple[int, int, int], modulus: float | NDArray = 1000.0, poisson: float = 0.0, **kwargs) -> BoneModel:
    """A box that is all body."""
    return model_of(
        np.broadcast_to(modulus, shape).copy(),
        np.full(shape, Tissue.BONE),
        np.full(shape, Part.BODY),
        poisson=poisson,
        **kwargs,
    )


def vertebra(
    mm: float = 2.0, trabecular: float = 200.0, shell: float = 1500.0, noise: float = 0.0, caps: int = 1
) -> BoneModel:
    """An elliptic body 44 wide, 32 deep, 26 high (mm), a shell, a canal, pedicles and an arch; caps at both ends.

    Symmetric about the middle of i; j runs to the back.
    """
    nk, nj, ni = round(26 / mm), round(60 / mm), round(48 / mm)
    z = (np.arange(nk) + 0.5)[:, None, None] * mm
    y = (np.arange(nj) + 0.5)[None, :, None] * mm
    x = np.abs((np.arange(ni) + 0.5) * mm - 0.5 * ni * mm)[None, None, :]
    r = np.sqrt((x / 22.0) ** 2 + ((y - 17.0) / 16.0) ** 2) + 0 * z
    body = r <= 1.0
    canal = (x <= 10.0) & (y > 33.0) & (y < 48.0) & ~body & (z > -1)
    arch = (x <= 14.0) & (y >= 17.0) & (y < 54.0) & (z > 4.0) & (z < 22.0) & ~canal & ~body
    parts = np.select([body, canal, arch], [Part.BODY, Part.CANAL, Part.ARCH], Part.NONE)
    core = body & (r <= 1.0 - mm / 14.0) & (z > mm) & (z < 26.0 - mm)
    grain = 1.0 + noise * np.random.default_rng(5).uniform(-1.0, 1.0, parts.shape)
    modulus = np.where(core, trabecular * 0.5 * (grain + grain[:, :, ::-1]), np.where(body, shell, 3000.0))
    tissue = np.where(body | arch, Tissue.BONE, Tissue.VOID)
    return _capped(modulus, tissue, parts, body, mm, caps)


def _capped(modulus: NDArray, tissue: NDArray, parts: NDArray, body: NDArray, mm: float, caps: int) -> BoneModel:
    pad = ((caps, caps), (0, 0), (0, 0))
    cap = np.pad(body, pad, mode="edge") & ~np.pad(body, pad)
    modulus, tissue, parts = (np.pad(a, pad) for a in (modulus, tissue, parts))
    return model_of(np.where(cap, 2500.0, modulus), np.where(cap, Tissue.CAP, tissue), parts, (mm, mm, mm))


def mirrored(model: BoneModel) -> BoneModel:
    """The same with left and right exchanged."""
    flip = [
        a[:, :, ::-1].copy() for a in (model.solid.modulus_mpa, model.solid.material, model.parts, model.density_g_cc)
    ]
    return model_of(*flip[:3], model.solid.spacing_mm, model.solid.materials[0].poisson[0], flip[3], model.ends)
