"""What if: the same vertebra intact, fractured, lysed, ablated, augmented.

Each function takes a model and returns another with a name and a sentence on what was changed; :meth:`Scenario.then`
chains them. Nothing is moved: a scenario changes what voxels consist of, and the shape stays as CT shows it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.lesion import CORE_DEPTH_MM
from trocar.mechanics.filling import SHELL_MM, Filling, Mask, body_of, inside
from trocar.mechanics.lesion import lesion_at, lytic_region
from trocar.mechanics.model import SUBSTANCE, BoneModel, Tissue
from trocar.physics.materials import LYTIC_TUMOUR, PMMA, Density, converted
from trocar.physics.solid import Material

#: Ash density of fully mineralised bone tissue, g/cc (from memory, unverified: 1.1 to 1.3 is in use).
TISSUE_ASH_G_CC = 1.2
#: Share of the body's height that a fracture crushes, unless said otherwise.
CRUSHED_SHARE = 0.3
#: What 21 lumbar vertebrae kept of stiffness and strength after compression by a quarter of their height.
#: Wegrzyn J et al., J Bone Miner Res 2011;26(4):739-746: -53 +- 18 % and -11 +- 19 %.
STIFFNESS_KEPT, STRENGTH_KEPT = 0.47, 0.89


class Composite(Enum):
    """What bone soaked with cement is as stiff as."""

    CEMENT_ALONE = "bone inside the cement carries nothing"
    MIXTURE = "cement fills the marrow space and both carry"


class Crush(Enum):
    """The shape of the crushed bone: as thick everywhere, or thick in front and nothing at the back."""

    BAND = "band"
    WEDGE = "wedge"


class Endplate(Enum):
    """The endplate under which the bone is crushed."""

    SUPERIOR = "superior"
    INFERIOR = "inferior"


@dataclass(frozen=True, eq=False)
class Scenario:
    """A model with a name, a sentence on what was changed, and where (``changed[k, j, i]``)."""

    name: str
    model: BoneModel
    method: str
    changed: Mask

    def then(self, change: Callable[..., Scenario], *args: Any, **kwargs: Any) -> Scenario:
        """This scenario with a further change, e.g. ``fractured(model).then(augmented, filling)``."""
        after = change(self.model, *args, **kwargs)
        name, method = f"{self.name}, {after.name}", f"{self.method} {after.method}"
        return Scenario(name, after.model, method, self.changed | after.changed)


def as_is(model: BoneModel) -> Scenario:
    """The vertebra as CT shows it."""
    return Scenario("as it is", model, "As CT shows it.", np.zeros(model.solid.shape, bool))


def intact(model: BoneModel, lesion: Mask | None = None) -> Scenario:
    """What the vertebra would be without its lesion: filled with the median of the patient's own trabecular bone.

    ``lesion`` is a mask on the model's grid; without one, tumour, cement and voids in the body and what
    :func:`trocar.mechanics.lesion.lytic_region` finds.
    """
    core = inside(model, CORE_DEPTH_MM)
    where = _lesion_of(model) if lesion is None else _checked("lesion", model, lesion)
    sound = core & ~where & model.tissue(Tissue.BONE)
    if not sound.any():
        raise ValueError(f"no trabecular bone of {model.level} lies outside the lesion: its median is not known.")
    modulus, density = (float(np.median(a[sound])) for a in (model.solid.modulus_mpa, model.density_g_cc))
    yields = model.solid.yield_mpa
    strength = np.inf if yields is None else float(np.median(yields[sound]))
    after = _with(model, where, Tissue.BONE, modulus, strength, density)
    method = f"Lesion ({_ml(model, where):.1f} ml) filled with the median trabecular bone of this body."
    return Scenario("intact", after, method, where)


def fractured(
    model: BoneModel,
    *,
    crush: Crush = Crush.WEDGE,
    endplate: Endplate = Endplate.SUPERIOR,
    share: float = CRUSHED_SHARE,
    stiffness_kept: float | None = None,
    strength_kept: float = STRENGTH_KEPT,
) -> Scenario:
    """The bone under one endplate crushed: softer than its density says, because its struts are broken.

    CT shows crushed bone compacted, hence dense, and a law from density to modulus takes it for strong. ``share`` is
    the crushed share of the body's height (at the front, for a wedge); ``stiffness_kept`` and ``strength_kept`` what
    modulus and yield stress are multiplied by there, cortex included. By default the modulus falls so far that a body
    crushed by a band of that share keeps 47 % of its stiffness, as measured (see :data:`STIFFNESS_KEPT`).

    Crushed bone loses far more stiffness than strength. A criterion that reads strength from moduli at one strain at
    failure understates it; read strength by the 0.2 % offset there.
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"share={share} of the body's height must lie between 0 and 1.")
    kept = kept_in_band(share) if stiffness_kept is None else stiffness_kept
    for name, value in (("stiffness_kept", kept), ("strength_kept", strength_kept)):
        if not 0.0 < value <= 1.0:
            raise ValueError(f"{name}={value} must lie above 0 and at most at 1.")
    where = _crushed(model, crush, endplate, share) & model.tissue(Tissue.BONE)
    after = _scaled(model, where, kept, strength_kept)
    method = (
        f"A {crush.value} of {100 * share:.0f} % of the height under the {endplate.value} endplate keeps "
        f"{100 * kept:.0f} % of its modulus and {100 * strength_kept:.0f} % of its yield stress; strengths read from "
        "stiffness or section are too low for crushed bone."
    )
    return Scenario("fractured", after, method, where)


def kept_in_band(share: float, whole: float = STIFFNESS_KEPT) -> float:
    """What a band of ``share`` of the height must keep for the whole, in series with sound bone, to keep ``whole``.

    Compliances add: ``1 / whole = (1 - share) + share / kept``.
    """
    return share / (1.0 / whole - (1.0 - share))


def lysed(
    model: BoneModel,
    region: Mask | None = None,
    *,
    percent: float | None = None,
    place: tuple[float, float, float] = (0.5, 0.5, 0.5),
    shell_mm: float = SHELL_MM,
    modulus_mpa: float = LYTIC_TUMOUR.modulus_mpa,
) -> Scenario:
    """Tumour tissue in place of bone: in ``region``, or in a ball of ``percent`` of the body.

    The ball's middle is ``place``: shares of the body's extent upwards, from its front backwards, and from its right to
    its left. It is clipped inside the body, ``shell_mm`` under the surface (0 lets it break through the cortex).
    """
    if (region is None) == (percent is None):
        raise ValueError("give the lesion either as a region or in percent of the body.")
    where = lesion_at(model, place, percent, shell_mm) if percent is not None else _checked("region", model, region)
    after = _with(model, where, Tissue.TUMOUR, modulus_mpa, LYTIC_TUMOUR.yield_mpa)
    share = 100.0 * float(where.sum()) / float(body_of(model).sum())
    method = f"{share:.0f} % of the body ({_ml(model, where):.1f} ml) is tumour of {modulus_mpa:g} MPa."
    return Scenario(f"lysed {share:.0f} %", after, method, where)


def ablated(model: BoneModel, region: Mask, kept: float = 0.0) -> Scenario:
    """Tissue destroyed by heat or cold: gone (``kept`` 0), or with that share of its modulus and yield stress.

    There is no settled number for ablated bone: vary it.
    """
    if not 0.0 <= kept <= 1.0:
        raise ValueError(f"kept={kept} must lie between 0 (a cavity) and 1 (unchanged).")
    where = _checked("region", model, region) & model.solid.filled
    after = _scaled(model, where, kept, kept) if kept > 0.0 else _emptied(model, where)
    what = f"keep {100 * kept:.0f} % of their modulus" if kept > 0.0 else "are empty"
    return Scenario("ablated", after, f"{_ml(model, where):.1f} ml {what} after ablation.", where)


def augmented(
    model: BoneModel,
    filling: Filling,
    *,
    cement_mpa: float = PMMA.modulus_mpa,
    composite: Composite = Composite.CEMENT_ALONE,
) -> Scenario:
    """Cement in the filling's region.

    Cement soaks the marrow space. By default the soaked bone is as stiff as the cement alone: in 14 specimens cut from
    augmented vertebrae the modulus did not depend on the bone in them, which was "switched off" (Kinzl M et al.,
    J Biomech 2012;45:2732-2736). :attr:`Composite.MIXTURE` adds the bone's modulus (Voigt's upper bound).
    """
    where = _checked("filling", model, filling.region)
    modulus = cement_in_bone_mpa(model, cement_mpa, composite)
    after = _with(model, where, Tissue.CEMENT, modulus, PMMA.yield_mpa)
    method = (
        f"{filling.ml:.1f} ml of cement ({filling.percent:.0f} % of the body, {filling.name}) of {cement_mpa:g} MPa, "
        f"{filling.shell_mm:g} mm under the surface; {composite.value}."
    )
    return Scenario(f"cement {filling.name} {filling.percent:.0f} %", after, method, where)


def cement_in_bone_mpa(
    model: BoneModel, cement_mpa: float = PMMA.modulus_mpa, composite: Composite = Composite.CEMENT_ALONE
) -> NDArray[np.float32]:
    """Modulus of each voxel once soaked with cement, MPa, ``[k, j, i]``."""
    if composite is Composite.CEMENT_ALONE:
        return np.full(model.solid.shape, cement_mpa, np.float32)
    here = model.tissue(Tissue.BONE)
    ash = converted(model.density_g_cc, Density.K2HPO4, Density.ASH)
    bone = np.where(here, np.clip(ash / TISSUE_ASH_G_CC, 0.0, 1.0), 0.0)
    own = np.where(here, model.solid.modulus_mpa, 0.0)
    return np.asarray((1.0 - bone) * cement_mpa + own, np.float32)


def _lesion_of(model: BoneModel) -> Mask:
    body = body_of(model)
    # a void near the surface is a bay or a loose chip that was left out, not a lesion
    empty = inside(model) & ~model.solid.filled
    return (body & model.tissue(Tissue.TUMOUR, Tissue.CEMENT)) | empty | lytic_region(model)


def _crushed(model: BoneModel, crush: Crush, endplate: Endplate, share: float) -> Mask:
    """The body within ``share`` of each column's height of its end; a wedge thins out to nothing at the back."""
    body = body_of(model)
    if endplate is Endplate.INFERIOR:
        return _crushed_top(body[::-1], crush, share)[::-1]
    return _crushed_top(body, crush, share)


def _crushed_top(body: Mask, crush: Crush, share: float) -> Mask:
    count = body.sum(axis=0)
    from_top = np.cumsum(body[::-1], axis=0)[::-1] - 0.5
    rows = np.flatnonzero(body.any(axis=(0, 2)))
    back = (np.arange(body.shape[1]) + 0.5 - rows[0]) / (rows[-1] + 1 - rows[0])
    thick = share * (np.clip(1.0 - back, 0.0, 1.0) if crush is Crush.WEDGE else np.ones_like(back))
    return body & (from_top < thick[None, :, None] * count)


def _with(
    model: BoneModel,
    where: Mask,
    tissue: Tissue,
    modulus: float | NDArray[np.float32],
    strength: float,
    density: float | None = None,
) -> BoneModel:
    """``where`` consists of ``tissue``; its bone density is kept unless one is given."""
    solid = model.solid
    yields = solid.yield_mpa
    changed = replace(
        solid,
        modulus_mpa=np.where(where, modulus, solid.modulus_mpa).astype(np.float32),
        material=np.where(where, np.uint8(tissue), solid.material),
        materials=_laws(solid.materials),
        yield_mpa=None if yields is None else np.where(where, strength, yields).astype(np.float32),
    )
    dense = model.density_g_cc if density is None else np.where(where, density, model.density_g_cc).astype(np.float32)
    return replace(model, solid=changed, density_g_cc=dense)


def _scaled(model: BoneModel, where: Mask, stiffness: float, strength: float) -> BoneModel:
    solid = model.solid
    modulus = np.where(where, stiffness * solid.modulus_mpa, solid.modulus_mpa).astype(np.float32)
    yields = solid.yield_mpa
    scaled = None if yields is None else np.where(where, strength * yields, yields).astype(np.float32)
    return replace(model, solid=replace(solid, modulus_mpa=modulus, yield_mpa=scaled))


def _emptied(model: BoneModel, where: Mask) -> BoneModel:
    material = np.where(where, np.uint8(Tissue.VOID), model.solid.material)
    return replace(model, solid=replace(model.solid, material=material))


def _laws(laws: tuple[Material, ...]) -> tuple[Material, ...]:
    """The model's laws, with the usual ones of the tissues it has none for."""
    return (*laws, *(SUBSTANCE[Tissue(t)].material for t in range(len(laws) + 1, len(Tissue))))


def _checked(name: str, model: BoneModel, region: Mask | None) -> Mask:
    mask = np.asarray(region, bool)
    if mask.shape != model.solid.shape:
        raise ValueError(f"{name} {mask.shape} must lie on the model's grid {model.solid.shape}.")
    outside = mask & ~body_of(model)
    if not mask.any() or outside.any():
        what = f"{int(outside.sum())} of {int(mask.sum())} voxels outside" if mask.any() else "no voxel"
        raise ValueError(f"{name} has {what} of the body of {model.level}.")
    return mask


def _ml(model: BoneModel, where: Mask) -> float:
    return float(where.sum()) * model.solid.voxel_mm3 / 1000.0
