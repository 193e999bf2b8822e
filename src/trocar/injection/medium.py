"""A bone model and its ways out as a medium to flow through, for one draw of what is not known.

What differs from patient to patient and cannot be seen is drawn: a :class:`Spread` says how much, a :class:`Draw` holds
one set of numbers, and :func:`medium` applies them without further chance, so that every run can be repeated.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, label, map_coordinates, maximum_filter

from trocar.anatomy.cleft import GAS_HU
from trocar.injection.outlets import Bed, carved, cortex, outlet
from trocar.injection.routes import Basis, WayOut
from trocar.injection.walls import POROUS
from trocar.mechanics.ends import largest_piece
from trocar.mechanics.filling import Mask, body_of, inside
from trocar.mechanics.lesion import lytic_region
from trocar.mechanics.model import BoneModel, Tissue
from trocar.mechanics.scenario import TISSUE_ASH_G_CC
from trocar.physics.marrow import (
    CORTEX_MM2,
    MARROW_PA_S,
    SPARSEST_BONE,
    SUPERIOR_MM2,
    LogNormal,
    permeability_mm2,
    slot_mm2,
    within_law,
)
from trocar.physics.materials import Density, converted
from trocar.physics.porous import Medium
from trocar.planning.robustness import HandError

#: Bone is a lattice from about this size on, mm: a cube of 2 mm represents trabecular bone (Daish C et al., Bone Rep
#: 2017;6:129-139). Densities are averaged up to it, so that a scan's noise makes no pores.
LATTICE_MM = 2.0
#: Less dense than this, a voxel is gas in a cleft, as where clefts are told: at 0.75 mg/cc for 1 HU.
GAS_G_CC = 0.00075 * GAS_HU
#: Nearer to the surface than this, mm, what looks like gas is shared with lung or bowel.
GAS_DEPTH_MM = 1.0
#: Permeability is alike over about this length, mm: its correlation falls to 1/e. A few trabecular spaces; ours.
GRAIN_MM = 5.0
#: The random field is drawn on a lattice of this step and extent about the body's centre, mm, whatever the model's
#: voxels: a seed gives one field, finer or coarser. Beyond the extent it repeats.
_STEP_MM, _EXTENT_MM = 1.25, 80.0
#: Depth of bone between the needle's entry and its tip over which its direction errs, mm (ours).
_DEPTH_MM = 40.0


@dataclass(frozen=True)
class Draw:
    """One set of the numbers that are not known. Factors are 1 for the middle of what is known.

    ``permeability`` multiplies all of the bone's, ``transverse`` that along j and i beyond it, ``grain_sd`` is the
    standard deviation of the logarithm of a random field with ``grain_seed``, ``cortex`` multiplies the wall's
    permeability. ``present`` and ``bore`` (factors) have one entry for each way out. ``cement`` multiplies the cement's
    viscosity, ``volume`` what is injected; ``tip_shift_mm`` moves every tip along k, j, i of the model.
    """

    present: tuple[bool, ...]
    bore: tuple[float, ...]
    permeability: float = 1.0
    transverse: float = 1.0
    grain_seed: int = 0
    grain_sd: float = 0.0
    cortex: float = 1.0
    marrow_pa_s: float = MARROW_PA_S.median
    cement: float = 1.0
    volume: float = 1.0
    tip_shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if len(self.present) != len(self.bore):
            raise ValueError(f"present has {len(self.present)} entries and bore {len(self.bore)}: one for each way.")
        factors = (*self.bore, self.permeability, self.transverse, self.cortex, self.cement, self.volume)
        if not all(math.isfinite(f) and f > 0.0 for f in (*factors, self.marrow_pa_s)):
            raise ValueError(f"factors and the marrow's viscosity must be positive; got {self}.")
        if not (math.isfinite(self.grain_sd) and self.grain_sd >= 0.0):
            raise ValueError(f"grain_sd={self.grain_sd} must be zero or more.")

    @classmethod
    def middle(cls, ways: Sequence[WayOut]) -> Draw:
        """The nominal case: ways that are seen or always there, as wide as the median; no merely possible ones."""
        return cls(tuple(w.basis is Basis.SEEN or w.present >= 1.0 for w in ways), (1.0,) * len(ways))


def _chance(seed: int, way: WayOut) -> tuple[float, float]:
    """Whether a way is there (0 to 1, against its frequency) and the factor of its bore, by its name."""
    rng = np.random.default_rng([seed, zlib.crc32(way.name.encode())])
    return float(rng.random()), LogNormal(1.0, way.bore_spread).draw(rng)


@dataclass(frozen=True)
class Spread:
    """How much the unknown numbers vary: standard deviations, of logarithms unless the name ends in mm.

    ``permeability_sd`` and ``grain_sd`` share the spread of 20 cores (:data:`SUPERIOR_MM2`) in equal parts, one for the
    whole bone and one from place to place: how it divides is not known. ``transverse_sd``: half the permeability across
    as along, as another laboratory found (Nauman 1999), lies two of them away. ``cement_sd`` and ``volume_sd`` are
    ours: mixing, and what stays in the cannula. ``tip_sd_mm`` is what a hand leaves at the tip.
    """

    permeability_sd: float = SUPERIOR_MM2.sd * math.sqrt(0.5)
    grain_sd: float = SUPERIOR_MM2.sd * math.sqrt(0.5)
    transverse_sd: float = 0.22
    cortex_sd: float = CORTEX_MM2.sd
    marrow_pa_s: LogNormal = MARROW_PA_S
    cement_sd: float = 0.25
    volume_sd: float = 0.05
    tip_sd_mm: float = HandError().sd_mm(_DEPTH_MM)

    @classmethod
    def of_hand(cls, hand: HandError) -> Spread:
        """The usual spread, with what this hand leaves at the tip."""
        return cls(tip_sd_mm=hand.sd_mm(_DEPTH_MM))

    def draw(self, rng: np.random.Generator, ways: Sequence[WayOut]) -> Draw:
        """One draw. Each way has chances of its own, by its name: other ways beside it change nothing."""
        scale = [LogNormal(1.0, sd).draw(rng) for sd in (self.permeability_sd, self.transverse_sd, self.cortex_sd)]
        marrow = self.marrow_pa_s.draw(rng)
        cement, volume = (LogNormal(1.0, sd).draw(rng) for sd in (self.cement_sd, self.volume_sd))
        k, j, i = (float(x) for x in self.tip_sd_mm * rng.standard_normal(3))
        seed, own = (int(n) for n in rng.integers(2**32, size=2))
        chances = [_chance(own, w) for w in ways]
        return Draw(
            present=tuple(chance < w.present for (chance, _), w in zip(chances, ways, strict=True)),
            bore=tuple(bore for _, bore in chances),
            permeability=scale[0],
            transverse=scale[1],
            cortex=scale[2],
            grain_seed=seed,
            grain_sd=self.grain_sd,
            marrow_pa_s=marrow,
            cement=cement,
            volume=volume,
            tip_shift_mm=(k, j, i),
        )


def medium(model: BoneModel, ways: Sequence[WayOut], draw: Draw, cavity: Mask | None = None) -> Medium:
    """The body and its pedicles as a medium with an outlet for each way that is ``present``, in order, then "cortex".

    ``cavity`` (a mask on the model's grid) is what a balloon left. The bone's porosity and permeability are those of
    its density; tumour and lysis are as open as the sparsest bone; a cavity, a void or gas is a gap as wide as it is.
    Voxels of channels outside the bone belong to the medium too; what does not hang together with the body is left out
    (porosity 0). Raises ``ValueError`` for masks that do not fit the model, and for a way that leaves from nowhere.
    """
    _check(model, ways, draw, cavity)
    bed = _bed(model, draw, cavity)
    there = [(w, b) for w, b, present in zip(ways, draw.bore, draw.present, strict=True) if present]
    for way, factor in there:
        bed = carved(bed, way, factor)
    bed = bed.only(largest_piece(bed.porosity > 0.0))
    taken = np.any([way.exits for way, _ in there], axis=0) if there else np.zeros(model.solid.shape, bool)
    outlets = (*(outlet(bed, way, factor) for way, factor in there), cortex(bed, ~taken, draw.cortex))
    return Medium(
        bed.porosity.astype(np.float32), bed.permeability_mm2.astype(np.float32), model.solid.spacing_mm, outlets
    )


def bone_share(model: BoneModel, bone: Mask) -> NDArray[np.float64]:
    """Bone volume fraction ``[k, j, i]`` from the density of ``bone``, averaged over :data:`LATTICE_MM`; 0 elsewhere.

    K2HPO4-equivalent density as ash, over that of solid bone.
    """
    sigma = [math.sqrt(max(LATTICE_MM**2 - h**2, 0.0) / 12.0) / h for h in model.solid.spacing_mm]
    weight = gaussian_filter(bone.astype(np.float64), sigma)
    dense = gaussian_filter(np.where(bone, model.density_g_cc, 0.0).astype(np.float64), sigma)
    mean = np.divide(dense, weight, out=np.zeros_like(dense), where=bone)
    return np.where(bone, converted(mean, Density.K2HPO4, Density.ASH) / TISSUE_ASH_G_CC, 0.0)


def hollow_region(model: BoneModel, cavity: Mask | None = None) -> Mask:
    """Where the body is a gap: a ``cavity``, voids of the model, and gas in a cleft, ``[k, j, i]``."""
    gas = inside(model, GAS_DEPTH_MM) & model.tissue(Tissue.BONE, Tissue.TUMOUR) & (model.density_g_cc < GAS_G_CC)
    # a void near the surface is a bay or a loose chip that was left out
    hollow = (inside(model) & ~model.solid.filled) | gas
    return hollow if cavity is None else hollow | np.asarray(cavity, bool)


def grain(model: BoneModel, draw: Draw) -> NDArray[np.float64]:
    """The random field that permeability is multiplied by, median 1, ``[k, j, i]``; one field for a seed."""
    if draw.grain_sd == 0.0:
        return np.ones(model.solid.shape)
    count = round(_EXTENT_MM / _STEP_MM)
    sigma = 0.5 * GRAIN_MM / _STEP_MM
    noise = np.random.default_rng(draw.grain_seed).standard_normal((count, count, count))
    smooth = gaussian_filter(noise, sigma, mode="wrap")
    where = np.argwhere(body_of(model))
    centre = 0.5 * (where.min(axis=0) + where.max(axis=0))
    axes = [
        (np.arange(n) - c) * h / _STEP_MM + 0.5 * count
        for n, c, h in zip(model.solid.shape, centre, model.solid.spacing_mm, strict=True)
    ]
    field = map_coordinates(smooth, np.meshgrid(*axes, indexing="ij"), order=1, mode="grid-wrap")
    return np.asarray(np.exp(draw.grain_sd * field / smooth.std()))


def _bed(model: BoneModel, draw: Draw, cavity: Mask | None) -> Bed:
    """Porosity and permeability of bone, lysis and hollows, before any way out."""
    hollow = hollow_region(model, cavity)
    bone = np.isin(model.parts, [int(p) for p in POROUS]) & model.tissue(Tissue.BONE, Tissue.TUMOUR) & ~hollow
    open_mesh = lytic_region(model) | model.tissue(Tissue.TUMOUR)
    share = np.where(open_mesh, SPARSEST_BONE, within_law(bone_share(model, bone)))
    permeability = draw.permeability * permeability_mm2(share) * grain(model, draw)
    permeability[1:] *= draw.transverse
    permeability = np.where(hollow, _gap_mm2(hollow, model.solid.spacing_mm), permeability)
    porosity = np.where(hollow, 1.0, np.where(bone, 1.0 - share, 0.0))
    return Bed(porosity, np.where(porosity > 0.0, permeability, 0.0), model.solid.spacing_mm)


def _gap_mm2(hollow: Mask, spacing_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """Permeability of each hollow: of a slot as wide as the largest ball in it; 0 elsewhere."""
    pieces, count = label(hollow)
    if count == 0:
        return np.zeros(hollow.shape)
    deep = distance_transform_edt(halved(np.pad(hollow, 1)), sampling=[0.5 * h for h in spacing_mm])
    widest = np.zeros(count + 1)
    np.maximum.at(widest, pieces, _at_voxels(np.asarray(deep)))
    return np.array([0.0, *(slot_mm2(2.0 * w) for w in widest[1:])])[pieces]


def halved(mask: Mask) -> Mask:
    """A mask with a step between every two voxels, set where both are: the middle of an even thickness is one."""
    fine = np.zeros([2 * n - 1 for n in mask.shape], bool)
    fine[::2, ::2, ::2] = mask
    for axis in range(3):
        turned = np.moveaxis(fine, axis, 0)
        turned[1::2] = turned[:-1:2] & turned[2::2]
    return fine


def _at_voxels(fine: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest value at or beside each voxel of a padded mask that was :func:`halved`, without the padding."""
    return np.asarray(maximum_filter(fine, 3)[2:-2:2, 2:-2:2, 2:-2:2])


def _check(model: BoneModel, ways: Sequence[WayOut], draw: Draw, cavity: Mask | None) -> None:
    if len(draw.present) != len(ways):
        raise ValueError(f"the draw tells of {len(draw.present)} ways out, and {len(ways)} are given.")
    masks = [(f"channel of {w.name}", w.channel) for w in ways] + [(f"exits of {w.name}", w.exits) for w in ways]
    for name, mask in masks + ([("cavity", cavity)] if cavity is not None else []):
        if np.shape(mask) != model.solid.shape:
            raise ValueError(f"{name} {np.shape(mask)} must lie on the model's grid {model.solid.shape}.")
    if cavity is not None and (np.asarray(cavity, bool) & ~body_of(model)).any():
        outside = int((np.asarray(cavity, bool) & ~body_of(model)).sum())
        raise ValueError(f"the cavity has {outside} voxels outside the body of {model.level}.")
