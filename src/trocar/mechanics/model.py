"""A vertebra as a voxel solid in its own frame, with the ends through which it is loaded.

Four choices stand behind every number that comes out of such a model:

- **Edges.** A voxel is bone where its middle lies within the surface of the label, about half of it or more. Its
  density is what the scan says there, average over the scan's own voxel; it is not scaled once more by the share of
  bone, which would count the same soft tissue twice.
- **Cortex.** There is no shell. At 1 mm a cortex of 0.4 mm is what the scan made of it: a rim of raised density.
- **Posterior elements.** Left out unless asked for: under caps they carry little and cost twice the voxels.
- **Ends.** :class:`Ends`; named beside every result.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trocar.anatomy.bone import Calibration, calibrated
from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.vertebra import Part
from trocar.geometry import frozen
from trocar.measure import Finding, Range, Severity
from trocar.mechanics.ends import CAP_MM, cap, cap_layers, endplates, largest_piece
from trocar.mechanics.resample import grid_around, hu_on, parts_on
from trocar.physics.materials import (
    ANNULUS,
    DEFAULT_LAW,
    LAWS,
    LYTIC_TUMOUR,
    NUCLEUS,
    PMMA,
    TITANIUM,
    BoneLaw,
    Density,
    Substance,
    converted,
)
from trocar.physics.solid import Material, Solid
from trocar.volume import Volume

#: The voxels a model may have. Below, the scan holds no more to be seen; above, a body is ten voxels high.
SPACING = Range(0.3, 3.0, "mm")
#: Less loose bone than this share is not worth a line.
CRUMBS_SHARE = 0.001
#: Share of the bone outside the range of the law's specimens that is worth saying.
EXTRAPOLATED_SHARE = 0.1
#: Losing more of the bone than this with the loose pieces is a caution: the label or the bone is broken.
LOOSE_SHARE = 0.01


class Tissue(IntEnum):
    """What a voxel of the model is: the numbers in ``Solid.material``."""

    VOID = 0
    BONE = 1
    CAP = 2
    CEMENT = 3
    TUMOUR = 4
    ANNULUS = 5
    NUCLEUS = 6
    TITANIUM = 7


#: What each tissue that is not bone is made of.
SUBSTANCE: dict[Tissue, Substance] = {
    Tissue.CAP: PMMA,
    Tissue.CEMENT: PMMA,
    Tissue.TUMOUR: LYTIC_TUMOUR,
    Tissue.ANNULUS: ANNULUS,
    Tissue.NUCLEUS: NUCLEUS,
    Tissue.TITANIUM: TITANIUM,
}
#: The parts that are bone, and those that stay when the posterior elements are left out.
WHOLE = (Part.BODY, Part.PEDICLE_LEFT, Part.PEDICLE_RIGHT, Part.ARCH)
BODY_ONLY = (Part.BODY,)


class Ends(Enum):
    """How the load reaches the body; it moves the answer and is always named beside it.

    The numbers are for L1 of one real scan; ``benchmarks/mechanics.py`` prints them.
    """

    CAPS = "PMMA caps"
    """Cement moulded on both endplates up to a flat plane, as in the laboratory."""
    EMBEDDED = "embedded endplates"
    """The outer bone of the endplates held itself: the stiffest (16.5 kN/mm on a real L1 with 13.3 under caps)."""
    PLATES = "plate contact"
    """Flat plates that touch the highest bone only and sink no further: the softest (10.3 kN/mm on the same L1). A
    plate that is pressed on comes to touch more; this is its first contact. The ends move what cement gives, too: 15 %
    central cement made that L1 1.5 times as stiff under caps and 1.8 times with embedded endplates."""


@dataclass(frozen=True, eq=False)
class BoneModel:
    """One vertebra (or a motion segment) as a solid.

    The grid is the vertebra's own: k runs along its superior axis, j along its posterior, i along its left; ``affine``
    takes ``(i, j, k, 1)`` to LPS mm (the middle of a voxel). All arrays are ``[k, j, i]`` on that grid. ``parts``
    (:class:`trocar.anatomy.vertebra.Part`) divides the bone, and says where the canal is; ``density_g_cc`` is the
    calibrated K2HPO4-equivalent density the moduli came from, 0 outside the bone; ``solid.material`` holds
    :class:`Tissue`. ``law`` and ``calibration`` name how density and modulus were found, ``ends`` how it is loaded.
    """

    level: Level
    solid: Solid
    affine: NDArray[np.float64]
    parts: NDArray[np.uint8]
    density_g_cc: NDArray[np.float32]
    law: str
    calibration: str
    ends: Ends = Ends.CAPS
    findings: tuple[Finding, ...] = ()

    def tissue(self, *kinds: Tissue) -> NDArray[np.bool_]:
        """Where the model consists of these."""
        return np.isin(self.solid.material, [int(t) for t in kinds])

    @property
    def body(self) -> NDArray[np.bool_]:
        """The vertebral body, whatever it consists of, as far as there is material."""
        return (self.parts == Part.BODY) & self.solid.filled

    def volume(self, array: NDArray[Any], unit: str) -> Volume:
        """An array ``[k, j, i]`` on the model's grid as a volume in the patient."""
        return Volume(array, self.affine, unit=unit)

    @classmethod
    def from_density(
        cls,
        density_g_cc: NDArray[Any],
        parts: NDArray[Any],
        spacing_mm: tuple[float, float, float],
        *,
        level: Level | str,
        affine: ArrayLike | None = None,
        kind: Density = Density.K2HPO4,
        law: str = DEFAULT_LAW.name,
        calibration: str = "given",
        ends: Ends = Ends.CAPS,
        caps: NDArray[np.bool_] | None = None,
        keep: tuple[Part, ...] = WHOLE,
        findings: tuple[Finding, ...] = (),
    ) -> BoneModel:
        """A model of a calibrated density image and its parts, both ``[k, j, i]`` with k superior, i to the left.

        ``density_g_cc`` is of the given ``kind``; ``parts`` has :class:`Part` numbers, of which ``keep`` become bone.
        ``affine`` places voxel ``(i, j, k)`` in LPS mm (default: the first voxel at the origin). With ``Ends.CAPS``
        ``caps`` marks the voxels of caps that are there already; otherwise they are moulded. The box of the result is
        tight. Raises ``ValueError`` for arrays that do not fit, a density that is not a number, an unknown law, and
        a box without bone.
        """
        density, parts = converted(density_g_cc, kind, Density.K2HPO4), np.asarray(parts)
        bone, loose = one_piece(_bone(density, parts, keep), float(np.prod(spacing_mm)))
        held = bone if caps is None else bone | caps
        room = cap_layers(CAP_MM, spacing_mm) if ends is Ends.CAPS and caps is None else 0
        bone, density, parts = (tight(a, held, room) for a in (bone, density, parts))
        material = bone * np.uint8(Tissue.BONE)
        if ends is Ends.CAPS:
            material[moulded(bone, parts, spacing_mm) if caps is None else tight(caps, held) & ~bone] = Tissue.CAP
        own = np.where(bone, density, 0.0).astype(np.float32)
        return cls(
            Level.parse(level),
            solid_of(material, own, spacing_mm, law),
            placed_at(affine, spacing_mm, held, room),
            parts.astype(np.uint8),
            own,
            law,
            calibration,
            ends,
            (*findings, *loose, *_extrapolated(own[material == Tissue.BONE], law)),
        )


def bone_model(
    anatomy: Anatomy,
    level: Level | str,
    *,
    law: str = DEFAULT_LAW.name,
    calibration: Calibration | None = None,
    spacing_mm: float = 1.0,
    ends: Ends = Ends.CAPS,
    arch: bool = False,
) -> BoneModel:
    """The vertebra at a level of the patient's CT as a solid of cubes of ``spacing_mm`` (0.3 to 3 mm).

    ``law`` names how density becomes modulus (:data:`trocar.physics.materials.LAWS`), ``calibration`` how CT numbers
    become density; by default it is worked out from the patient's own tissues, or failing that is a default line with
    a caution, which reads the whole scan: give it where several models are built. With ``arch``
    pedicles and posterior elements stay. Raises ``ValueError`` for a spacing out of range or an unknown law, and
    :class:`trocar.errors.LevelError` for a level that is absent or cut.
    """
    SPACING.check("spacing_mm", spacing_mm, "a bone model")
    vertebra = anatomy.vertebra(level)
    line = calibration or calibrated(anatomy)
    grid = grid_around(vertebra.frame, vertebra.mask.points_mm(), spacing_mm, spacing_mm)
    parts, holes = parts_on(grid, vertebra)
    return BoneModel.from_density(
        line.density(hu_on(grid, anatomy.ct)),
        parts,
        grid.spacing_mm,
        level=vertebra.level,
        affine=grid.affine,
        kind=Density(line.mineral.value),
        law=law,
        calibration=line.text,
        ends=ends,
        keep=WHOLE if arch else BODY_ONLY,
        findings=(*line.findings, *holes),
    )


def _extrapolated(density_g_cc: NDArray[np.float32], law: str) -> tuple[Finding, ...]:
    """A note where much of the bone is lighter or denser than the specimens that the law was measured on."""
    chosen = named_law(law)
    outside = ~chosen.within(density_g_cc, Density.K2HPO4)
    share = float(outside.mean())
    if share < EXTRAPOLATED_SHARE:
        return ()
    low, high = chosen.valid_g_cc.low, chosen.valid_g_cc.high
    text = f"{100.0 * share:.0f} % of the bone lies outside the densities that {law} was measured on."
    because = (
        f"{1000.0 * low:.0f} to {1000.0 * high:.0f} mg/cm3 of {chosen.density.value}; beyond, its curve is continued"
    )
    return (Finding(Severity.NOTE, text, because),)


def solid_of(
    material: NDArray[np.uint8],
    density_g_cc: NDArray[np.float32],
    spacing_mm: tuple[float, float, float],
    law: str = DEFAULT_LAW.name,
) -> Solid:
    """The solid of :class:`Tissue` numbers: bone by its density and the law, all else by :data:`SUBSTANCE`."""
    modulus, strength = np.zeros((2, *material.shape), np.float32)
    bone = material == Tissue.BONE
    chosen = named_law(law)
    modulus[bone], strength[bone] = chosen.evaluate(density_g_cc[bone], Density.K2HPO4)
    for tissue, substance in SUBSTANCE.items():
        here = material == tissue
        modulus[here], strength[here] = substance.modulus_mpa, substance.yield_mpa
    return Solid(modulus, material, materials(chosen), spacing_mm, strength)


def materials(law: BoneLaw) -> tuple[Material, ...]:
    """The shapes of the elastic laws in the order of :class:`Tissue`."""
    return (law.material, *(SUBSTANCE[t].material for t in Tissue if t in SUBSTANCE))


def named_law(name: str) -> BoneLaw:
    """The law of that name; raises ``ValueError`` with the names there are."""
    if name not in LAWS:
        raise ValueError(f"law={name!r} is not one of {', '.join(LAWS)}.")
    return LAWS[name]


def moulded(
    bone: NDArray[np.bool_], parts: NDArray[np.uint8], spacing_mm: tuple[float, float, float]
) -> NDArray[np.bool_]:
    """The caps on both endplates of the body, ``[k, j, i]``."""
    body = bone & (parts == Part.BODY)
    upper, lower = endplates(body, spacing_mm)
    return (cap(body, upper, spacing_mm) | cap(body, lower, spacing_mm)) & ~bone


def one_piece(bone: NDArray[np.bool_], voxel_mm3: float) -> tuple[NDArray[np.bool_], tuple[Finding, ...]]:
    """The largest piece that hangs together by faces, and a finding about the volume of the others."""
    piece = largest_piece(bone)
    lost = int(bone.sum()) - int(piece.sum())
    share = lost / bone.sum()
    if share < CRUMBS_SHARE:
        return piece, ()
    text = f"{lost * voxel_mm3:.0f} mm³ of bone ({100.0 * share:.1f} %) hangs loose and is left out of the model"
    because = "load passes only through voxels that share a face"
    return piece, (Finding(Severity.CAUTION if share > LOOSE_SHARE else Severity.NOTE, text, because),)


def tight(array: NDArray[Any], held: NDArray[np.bool_], room: int = 0) -> NDArray[Any]:
    """The part of an array around the voxels that are ``held``, with empty layers above and below."""
    return np.pad(array[_box(held)], ((room, room), (0, 0), (0, 0)))


def _box(held: NDArray[np.bool_]) -> tuple[slice, ...]:
    found = np.argwhere(held)
    return tuple(slice(int(a), int(b) + 1) for a, b in zip(found.min(axis=0), found.max(axis=0), strict=True))


def _bone(density: NDArray[Any], parts: NDArray[Any], keep: tuple[Part, ...]) -> NDArray[np.bool_]:
    """Where the kept parts are; refuses what cannot be a model."""
    if density.ndim != 3 or density.shape != parts.shape:
        raise ValueError(f"density {density.shape} and parts {parts.shape} must be one box [k, j, i].")
    bone = np.isin(parts, [int(p) for p in keep])
    if not bone.any():
        names = ", ".join(p.name.lower().replace("_", " ") for p in keep)
        raise ValueError(f"there is no bone in the box: no voxel is {names}.")
    bad = bone & ~np.isfinite(density)
    if bad.any():
        place = [int(n) for n in np.argwhere(bad)[0]]
        raise ValueError(f"the density at voxel [k, j, i] = {place} is not a number ({int(bad.sum())} such voxels).")
    return bone


def placed_at(
    affine: ArrayLike | None, spacing_mm: tuple[float, float, float], held: NDArray[np.bool_], room: int
) -> NDArray[np.float64]:
    """The affine of the tight box (:func:`tight`) cut from a box with ``affine``, or with its first voxel at 0."""
    whole = np.diag([*spacing_mm[::-1], 1.0]) if affine is None else np.array(affine, np.float64)
    k, j, i = (s.start for s in _box(held))
    whole[:3, 3] = (whole @ [i, j, k - room, 1.0])[:3]
    return frozen(whole)
