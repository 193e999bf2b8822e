"""Two vertebrae and the disc between them: what treating one does to the other.

Both are resampled into one frame, midway between their own. The disc fills the room between the two facing endplates
where their footprints overlap; its nucleus is the inner part of that area, the annulus the ring around it. It is glued
to the bone; there is no cartilage between them, and posterior elements, facets and ligaments are left out: what this
model tells is how load passes through bodies and disc in compression, before and after, at the same force.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from trocar.anatomy.bone import Calibration, calibrated
from trocar.anatomy.levels import Level, neighbours
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.vertebra import Part, Vertebra
from trocar.errors import LevelError
from trocar.geometry import Pose, unit
from trocar.measure import Finding, Measure, Range, Severity, Status
from trocar.mechanics.answers import TOLD_N, bounded, press
from trocar.mechanics.ends import CAP_MM, Endplate, cap, cap_layers, endplates
from trocar.mechanics.loads import Load, resultant
from trocar.mechanics.model import SPACING, BoneModel, Ends, Tissue, one_piece, placed_at, solid_of, tight
from trocar.mechanics.resample import grid_around, hu_on, parts_on
from trocar.mechanics.scenario import Scenario
from trocar.physics.elasticity import Deformation, deform
from trocar.physics.materials import DEFAULT_LAW, NUCLEUS, Density, converted
from trocar.physics.solid import Solid
from trocar.volume import Volume

#: Share of the disc's area that is nucleus. 0.43 is usual in lumbar models (from memory, unverified); healthy to
#: degenerate discs are modelled with 0.21 to 0.60 (Yang, Lu, Um & O'Connell, J Biomech Eng 141:051004, 2019).
NUCLEUS_SHARE = 0.43
#: What may stand for the nucleus, from a torn one to one under pressure.
NUCLEUS_MPA = Range(0.1, 50.0, "MPa")
#: A nucleus that carries its load as a healthy one does; see :func:`segment_model`.
PRESSED_NUCLEUS_MPA = 20.0
#: The layer of bone under the disc that is told as the endplate, mm: bony endplate and the trabeculae it rests on.
ENDPLATE_MM = 2.0
#: Above this share of columns where the two labels touch the disc is narrow enough to say so.
TOUCHING_SHARE = 0.1
#: The peak is the stress that this share of a region stays below: single voxels at steps of the surface are no peak.
PEAK_SHARE = 0.95

Bools = NDArray[np.bool_]
Floats = NDArray[np.floating]


class Place(IntEnum):
    """What a voxel of a segment belongs to."""

    NONE = 0
    TREATED = 1
    NEIGHBOUR = 2
    DISC = 3
    CAP = 4


class Region(Enum):
    """Where the load is told."""

    NEIGHBOUR_ENDPLATE = "the neighbour's endplate"
    TREATED_ENDPLATE = "the treated level's endplate"
    NUCLEUS = "the nucleus"
    ANNULUS = "the annulus"


@dataclass(frozen=True, eq=False)
class Segment:
    """A treated vertebra, its neighbour and their disc.

    ``model`` is one solid under PMMA caps; its ``level`` is the treated one and its ``parts`` have the treated
    vertebra only, so that fillings and measures made for one vertebra go to that one. ``place`` (:class:`Place`) and
    ``endplate`` (1 where a voxel is in the treated level's endplate, 2 in the neighbour's) are ``[k, j, i]`` on the
    model's grid. ``disc_height_mm`` is the mean over the disc's area.
    """

    model: BoneModel
    neighbour: Level
    place: NDArray[np.uint8]
    endplate: NDArray[np.uint8]
    disc_height_mm: float

    def treated_as(self, model: BoneModel) -> Segment:
        """The same segment with the model that a treatment made of it; raises ``ValueError`` for another grid."""
        if model.solid.shape != self.place.shape:
            raise ValueError(f"a model of {model.solid.shape} voxels is not this segment of {self.place.shape}.")
        return replace(self, model=model)

    def where(self, region: Region) -> Bools:
        """The voxels of a region, ``[k, j, i]``."""
        if region in (Region.NUCLEUS, Region.ANNULUS):
            return self.model.tissue(Tissue[region.name])
        return self.endplate == (Place.TREATED if region is Region.TREATED_ENDPLATE else Place.NEIGHBOUR)


def segment_model(
    anatomy: Anatomy,
    level: Level | str,
    neighbour: Level | str,
    *,
    law: str = DEFAULT_LAW.name,
    calibration: Calibration | None = None,
    spacing_mm: float = 1.0,
    nucleus_mpa: float = NUCLEUS.modulus_mpa,
) -> Segment:
    """The treated ``level``, its ``neighbour`` above or below, and their disc.

    Options as in :func:`trocar.mechanics.model.bone_model`. A nucleus is a fluid under pressure, which these elements
    cannot be: with the published 1 MPa it carries about half of the mean pressure on the disc, as a degenerate one
    does; with ``nucleus_mpa`` = 20 it carries 1.3 to 1.7 times the mean, as healthy ones do (1.3 to 1.5, Nachemson,
    Acta Orthop Scand Suppl 43 (1960): from memory, unverified). Tell both.

    Raises ``ValueError`` for levels that are not neighbours, and :class:`trocar.errors.LevelError` for one that is
    absent or cut, or where no room is left for a disc.
    """
    SPACING.check("spacing_mm", spacing_mm, "a motion segment")
    NUCLEUS_MPA.check("nucleus_mpa", nucleus_mpa, "a motion segment")
    treated, other = anatomy.vertebra(level), anatomy.vertebra(neighbour)
    upper, lower = _head_to_foot(treated, other)
    line = calibration or calibrated(anatomy)
    grid = _common_grid(upper, lower, spacing_mm)
    bodies, findings = _bodies(grid, upper, lower)
    disc, narrow = _disc(bodies, grid.spacing_mm, (upper, lower))
    place = _places(bodies, disc, grid.spacing_mm, treated is upper)
    material = _materials(place, disc, grid.spacing_mm)
    density = converted(line.density(hu_on(grid, anatomy.ct)), Density(line.mineral.value), Density.K2HPO4)
    own = np.where(material == Tissue.BONE, density, 0.0).astype(np.float32)
    held = place != Place.NONE
    model = BoneModel(
        treated.level,
        _with_nucleus(solid_of(tight(material, held), tight(own, held), grid.spacing_mm, law), nucleus_mpa),
        placed_at(grid.affine, grid.spacing_mm, held, 0),
        tight((place == Place.TREATED) * np.uint8(Part.BODY), held),
        tight(own, held),
        law,
        line.text,
        Ends.CAPS,
        (*line.findings, *findings, *narrow),
    )
    height = disc.sum() / max(1, disc.any(axis=0).sum()) * grid.spacing_mm[0]
    layers = tight(_endplate_layers(bodies, grid.spacing_mm, treated is upper), held)
    return Segment(model, other.level, tight(place, held), layers, float(height))


def transfer(segment: Segment, deformation: Deformation, force_n: float) -> tuple[Measure, ...]:
    """Mean and peak pressure along k and mean strain energy density of every :class:`Region`, at a compressive force.

    ``deformation`` is the segment's under axial compression; being linear it is scaled to ``force_n``. Raises
    ``ValueError`` where it carries no compression.
    """
    carried = resultant(segment.model, deformation).against(Load.AXIAL)
    if not carried > 0.0:
        raise ValueError(f"the segment carries {carried:g} N: load it in axial compression.")
    scale = force_n / carried
    pressure = -scale * deformation.stress_mpa[0]
    energy = 1000.0 * scale**2 * deformation.energy_density_mpa
    how = f"At {force_n:g} N of axial compression through {segment.neighbour} and {segment.model.level}, PMMA caps."
    return tuple(m for region in Region for m in _told(region, segment.where(region), pressure, energy, how))


def changes(before: tuple[Measure, ...], after: tuple[Measure, ...]) -> tuple[Measure, ...]:
    """By how much each measure of :func:`transfer` changed, per cent of what it was before."""
    return tuple(
        Measure(f"{a.name}_change", 100.0 * (b.value / a.value - 1.0), "%", method=a.method)
        for a, b in zip(before, after, strict=True)
    )


def load_transfer(
    segment: Segment, treat: Callable[[BoneModel], Scenario], force_n: float = TOLD_N
) -> tuple[tuple[Measure, ...], Status]:
    """What treating one level changes in the neighbour and the disc at equal force, per cent; and how it ended.

    Once with the segment's nucleus and once with one under pressure (:data:`PRESSED_NUCLEUS_MPA`), which bound each
    other.
    """
    told: list[tuple[Measure, ...]] = []
    for nucleus in (None, PRESSED_NUCLEUS_MPA):
        model = segment.model if nucleus is None else _softer_or_stiffer(segment.model, nucleus)
        before = press(model)
        after = press(treat(model).model, solve=partial(deform, start_mm=before.deformation.displacement_mm))
        for loaded in (before, after):
            if loaded.status is not Status.SUCCESS:
                return (), loaded.status
        both = (transfer(segment.treated_as(a.model), a.deformation, force_n) for a in (before, after))
        told.append(changes(*both))
    return bounded(told[0], told[1:], "soft and pressurised nucleus"), Status.SUCCESS


def _softer_or_stiffer(model: BoneModel, nucleus_mpa: float) -> BoneModel:
    return replace(model, solid=_with_nucleus(model.solid, nucleus_mpa))


def _told(region: Region, where: Bools, pressure: Floats, energy: Floats, how: str) -> tuple[Measure, ...]:
    name, at = region.name.lower(), pressure[where]
    peak = f"{100 * PEAK_SHARE:g} % of {region.value} stays below. {how}"
    return (
        Measure(f"{name}_pressure", float(at.mean()), "MPa", method=f"Mean over {region.value}. {how}"),
        Measure(f"{name}_peak_pressure", float(np.quantile(at, PEAK_SHARE)), "MPa", method=peak),
        Measure(f"{name}_energy", float(energy[where].mean()), "kJ/m3", method=f"Mean over {region.value}. {how}"),
    )


def _head_to_foot(one: Vertebra, other: Vertebra) -> tuple[Vertebra, Vertebra]:
    if other.level not in neighbours(one.level, frozenset({one.level, other.level})):
        raise ValueError(f"{one.level} and {other.level} are not neighbours: a segment is two levels that touch.")
    return (one, other) if one.level.order < other.level.order else (other, one)


def _common_grid(upper: Vertebra, lower: Vertebra, spacing_mm: float) -> Volume:
    """A grid around both bodies in the frame midway between theirs, with room for the caps."""
    superior = unit(upper.frame.superior + lower.frame.superior)
    left = upper.frame.left + lower.frame.left
    left = unit(left - (left @ superior) * superior)
    origin = 0.5 * (upper.frame.origin_mm + lower.frame.origin_mm)
    pose = Pose(origin, np.stack([left, np.cross(superior, left), superior], axis=1))
    points = np.concatenate([v.body.points_mm() for v in (upper, lower)])
    return grid_around(pose, points, spacing_mm, (cap_layers(CAP_MM, (spacing_mm,) * 3) + 2) * spacing_mm)


def _bodies(grid: Volume, upper: Vertebra, lower: Vertebra) -> tuple[tuple[Bools, Bools], tuple[Finding, ...]]:
    """Both vertebral bodies, each in one piece; a voxel that both surfaces hold is the upper's."""
    voxel_mm3 = grid.voxel_ml * 1000.0
    (of_upper, holes), (of_lower, more) = parts_on(grid, upper), parts_on(grid, lower)
    above, loose = one_piece(of_upper == Part.BODY, voxel_mm3)
    below, looser = one_piece((of_lower == Part.BODY) & ~above, voxel_mm3)
    return (above, below), (*holes, *more, *loose, *looser)


def _disc(
    bodies: tuple[Bools, Bools], spacing_mm: tuple[float, float, float], of: tuple[Vertebra, Vertebra]
) -> tuple[Bools, tuple[Finding, ...]]:
    """What lies between the facing endplates where their footprints overlap."""
    over, under = endplates(bodies[0], spacing_mm)[1], endplates(bodies[1], spacing_mm)[0]
    area = over.footprint & under.footprint
    open_ = area & (over.surface > under.surface)
    names = f"{of[0].level} and {of[1].level}"
    if not open_.any():
        raise LevelError(f"there is no room for a disc between {names}: their labels touch; look at the labels.")
    k = np.arange(bodies[0].shape[0])[:, None, None]
    disc = (k >= under.surface) & (k < over.surface) & area & ~bodies[0] & ~bodies[1]
    touching = 1.0 - open_.sum() / area.sum()
    if touching <= TOUCHING_SHARE:
        return disc, ()
    text = f"{names} touch over {100.0 * touching:.0f} % of the disc's area: bone carries there in the model"
    return disc, (Finding(Severity.CAUTION, text, "the disc is collapsed, or the labels run into it"),)


def _nucleus(disc: Bools, spacing_mm: tuple[float, float, float]) -> Bools:
    """The inner :data:`NUCLEUS_SHARE` of the disc's area: the columns farthest from its edge."""
    area = disc.any(axis=0)
    depth = distance_transform_edt(np.pad(area, 1), spacing_mm[1:])[1:-1, 1:-1]
    return disc & (depth > np.quantile(depth[area], 1.0 - NUCLEUS_SHARE))


def _with_nucleus(solid: Solid, mpa: float) -> Solid:
    """The solid with another modulus in the nucleus."""
    modulus = np.where(solid.material == Tissue.NUCLEUS, np.float32(mpa), solid.modulus_mpa)
    return replace(solid, modulus_mpa=modulus)


def _places(
    bodies: tuple[Bools, Bools], disc: Bools, spacing_mm: tuple[float, float, float], treated_above: bool
) -> NDArray[np.uint8]:
    place = np.zeros(disc.shape, np.uint8)
    place[disc] = Place.DISC
    for body, end in zip(bodies, (0, 1), strict=True):
        endplate: Endplate = endplates(body, spacing_mm)[end]
        place[cap(body, endplate, spacing_mm) & ~bodies[0] & ~bodies[1] & ~disc] = Place.CAP
    place[bodies[0]] = Place.TREATED if treated_above else Place.NEIGHBOUR
    place[bodies[1]] = Place.NEIGHBOUR if treated_above else Place.TREATED
    return place


def _materials(place: NDArray[np.uint8], disc: Bools, spacing_mm: tuple[float, float, float]) -> NDArray[np.uint8]:
    material = np.zeros(place.shape, np.uint8)
    material[(place == Place.TREATED) | (place == Place.NEIGHBOUR)] = Tissue.BONE
    material[place == Place.CAP] = Tissue.CAP
    material[disc] = Tissue.ANNULUS
    material[_nucleus(disc, spacing_mm)] = Tissue.NUCLEUS
    return material


def _endplate_layers(
    bodies: tuple[Bools, Bools], spacing_mm: tuple[float, float, float], treated_above: bool
) -> NDArray[np.uint8]:
    """1 in the treated level's layer of bone at the disc, 2 in the neighbour's."""
    depth = max(1, round(ENDPLATE_MM / spacing_mm[0]))
    k = np.arange(bodies[0].shape[0])[:, None, None]
    over, under = endplates(bodies[0], spacing_mm)[1], endplates(bodies[1], spacing_mm)[0]
    upper = (k >= over.surface) & (k < over.surface + depth) & over.footprint & bodies[0]
    lower = (k < under.surface) & (k >= under.surface - depth) & under.footprint & bodies[1]
    first, second = (Place.TREATED, Place.NEIGHBOUR) if treated_above else (Place.NEIGHBOUR, Place.TREATED)
    return (upper * np.uint8(first) + lower * np.uint8(second)).astype(np.uint8)
