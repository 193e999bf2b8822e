"""How well cement fills a body: how much, where, across the midline, up to both endplates, how near to what matters.

Fields are ``[k, j, i]`` on a bone model's grid. A voxel counts as cement where it fills half of the pores or more;
volumes and middles count what each voxel holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from trocar.geometry import Side
from trocar.measure import Finding, Measure, Severity
from trocar.mechanics.ends import Endplate, endplates
from trocar.mechanics.filling import Filling, Mask, body_of, filled
from trocar.mechanics.model import BoneModel
from trocar.mechanics.resample import hu_on
from trocar.mechanics.wall import posterior_wall
from trocar.physics.porous import HALF
from trocar.planning.access import Kind, kind_of
from trocar.volume import Volume

#: Cement that ends nearer to the posterior wall than this is told, mm. Ours.
NEAR_WALL_MM = 5.0
#: Less cement than this beyond the midline is not called a filling of both halves, %. Ours.
CROSSED_PERCENT = 10.0
#: Cement on less of an endplate than this is not told as contact, mm2. Ours: one column of voxels bears nothing.
CONTACT_MM2 = 50.0
#: Vessels farther from the cement than this are not told, mm: no way out is as long.
FAR_MM = 60.0
#: Of 137 fractures, 3 of 58 lost height again where cement touched both endplates, and 13 of 79 where it missed one.
_ENDPLATES_SOURCE = (
    "of 137 fractures, 5.2 % lost height again with cement on both endplates and 16.5 % without (PMC7427078, 2020)"
)

Field = NDArray[np.floating]


@dataclass(frozen=True)
class Goals:
    """What was reached, as numbers and as sentences."""

    measures: tuple[Measure, ...]
    findings: tuple[Finding, ...]

    def measure(self, name: str) -> Measure:
        """The measure of that name; raises ``KeyError`` when it was not taken."""
        return {m.name: m for m in self.measures}[name]


@dataclass(frozen=True, eq=False)
class _Cement:
    """The cement in a model: what each voxel holds (mm3), and where it counts as cement in the body."""

    model: BoneModel
    content_mm3: NDArray[np.float64]
    body: Mask
    region: Mask

    @property
    def in_body_mm3(self) -> NDArray[np.float64]:
        return np.where(self.body, self.content_mm3, 0.0)


def filling_goals(
    model: BoneModel,
    content_mm3: Field,
    saturation: Field,
    *,
    needle: Side | None = None,
    structures: Mapping[str, Volume] | None = None,
) -> Goals:
    """What an injection reached: ``content_mm3`` of cement in each voxel, which fills ``saturation`` of its pores.

    ``needle`` is the side it came from, None for both. ``structures`` are masks in the patient by name
    (:attr:`trocar.anatomy.patient.Anatomy.structures`), of which the vessels are told. Raises ``ValueError`` for fields
    that do not fit the model or hold what cannot be.
    """
    cement = _cement(model, content_mm3, saturation)
    if not cement.in_body_mm3.sum() > 0.0:
        text = f"No cement stays in the body of {model.level}."
        return Goals(_amount(cement), (Finding(Severity.CAUTION, text, "all of it left, or none was injected"),))
    near = (*_to_wall(cement), *_to_vessels(cement, structures or {}))
    plates = _on_endplates(cement)
    measures = (*_amount(cement), *_off_centre(cement), *_halves(cement, needle), *plates, *near)
    return Goals(measures, (_crossing(cement, needle), _plates_told(plates), *_wall_told(near)))


def simulated_filling(model: BoneModel, saturation: Volume) -> Filling:
    """The bone that cement soaks, as a filling of a mechanical model, from a field on another grid in the patient.

    ``saturation`` is the share of each voxel's pores that cement fills. The voxels of the body with the highest are
    taken until the volume of the soaked bone in the body is met, to within one voxel. It is the bone's volume, not the
    cement's: a quarter more or less of bone is soaked by the same cement in a denser or lighter body. Raises
    ``ValueError`` where no cement lies in the body.
    """
    array = np.minimum(_share("saturation", np.asarray(saturation.array, np.float64)), 1.0)
    ml = float((array * _in_body(model, saturation)).sum()) * saturation.voxel_ml
    if not ml > 0.0:
        raise ValueError(f"no cement lies in the body of {model.level}: there is nothing to make a filling of.")
    # hu_on averages up to the voxels of a coarser grid, so that nothing thin falls between them
    here = hu_on(model.volume(model.parts, "label"), Volume(array, saturation.affine, unit="1"))
    return filled("as simulated", model, 1.0 - here.astype(np.float64), ml=ml, shell_mm=0.0)


def _in_body(model: BoneModel, field: Volume) -> NDArray[np.float64]:
    """How much of each voxel of a field lies in the body of a model, linear between voxels, on the field's grid."""
    cells = np.argwhere(field.array > 0.0)
    out = np.zeros(field.shape)
    body = model.volume(body_of(model).astype(np.float32), "1")
    out[tuple(cells.T)] = body.sample(field.world_mm(cells))
    return out


def _cement(model: BoneModel, content_mm3: Field, saturation: Field) -> _Cement:
    content, share = (np.asarray(f, np.float64) for f in (content_mm3, saturation))
    for name, field in (("content_mm3", content), ("saturation", share)):
        if field.shape != model.solid.shape:
            raise ValueError(f"{name} {field.shape} must lie on the model's grid {model.solid.shape}.")
    if not np.all(np.isfinite(content) & (content >= 0.0) & (content <= model.solid.voxel_mm3 * (1.0 + 1e-6))):
        raise ValueError(f"content_mm3 must lie between 0 and a voxel's {model.solid.voxel_mm3:g} mm3 everywhere.")
    body = body_of(model)
    return _Cement(model, content, body, body & (_share("saturation", share) >= HALF))


def _share(name: str, field: NDArray[np.float64]) -> NDArray[np.float64]:
    if not np.all(np.isfinite(field) & (field >= 0.0) & (field <= 1.0 + 1e-3)):
        raise ValueError(f"{name} must lie between 0 and 1 everywhere; it goes up to {np.max(field):g}.")
    return field


def _amount(cement: _Cement) -> tuple[Measure, ...]:
    whole_mm3 = float(cement.body.sum()) * cement.model.solid.voxel_mm3
    share = 100.0 * float(cement.in_body_mm3.sum()) / whole_mm3
    return (
        Measure("cement_volume", float(cement.content_mm3.sum()) / 1000.0, "mL", method="Cement in the vertebra."),
        Measure("fill_share", share, "%", method="Cement in the body, of the volume of the body."),
    )


def _off_centre(cement: _Cement) -> tuple[Measure, ...]:
    """The cement's middle against the body's, mm to the left, backwards and upwards."""
    spacing = np.asarray(cement.model.solid.spacing_mm)
    shift = spacing * (_middle(cement.in_body_mm3) - _middle(cement.body.astype(np.float64)))
    method = "Centre of the cement in the body from the centre of the body."
    names = ("superior", "posterior", "left")
    found = {
        n: Measure(f"cement_off_centre_{n}", float(s), "mm", method=method) for n, s in zip(names, shift, strict=True)
    }
    return tuple(found[n] for n in reversed(names))


def _middle(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted mean index along k, j, i."""
    sums = (weight.sum(axis=tuple(a for a in range(3) if a != axis)) for axis in range(3))
    return np.array([float(np.average(np.arange(len(s)), weights=s)) for s in sums])


def _on_left(cement: _Cement) -> NDArray[np.float64]:
    """How much of each column lies left of the middle of the body's width: 0, 1, or a half on it, ``[i]``."""
    columns = np.flatnonzero(cement.body.any(axis=(0, 1)))
    aside = np.arange(cement.body.shape[2]) - 0.5 * (columns[0] + columns[-1])
    return np.where(aside == 0.0, 0.5, aside > 0.0)


def _beyond(cement: _Cement, needle: Side | None) -> float:
    """% of the cement on the other side of the midline; for needles on both sides, on the side that has less."""
    held = cement.in_body_mm3.sum(axis=(0, 1))
    left = 100.0 * float(held @ _on_left(cement) / held.sum())
    if needle is None:
        return min(left, 100.0 - left)
    return left if needle is Side.RIGHT else 100.0 - left


def _halves(cement: _Cement, needle: Side | None) -> tuple[Measure, ...]:
    held, room, left = cement.in_body_mm3.sum(axis=(0, 1)), cement.body.sum(axis=(0, 1)), _on_left(cement)
    where = "in the half with less" if needle is None else f"on the {needle.other.value}, away from the needle"
    beyond = Measure(
        "cement_beyond_midline", _beyond(cement, needle), "%", method=f"Of the cement in the body, {where}."
    )
    method = "Of the volume of this half of the body."
    shares = (
        100.0 * float(held @ part) / (float(room @ part) * cement.model.solid.voxel_mm3) for part in (left, 1.0 - left)
    )
    return (
        beyond,
        *(
            Measure(f"cement_in_{side.value}_half", share, "%", method=method)
            for side, share in zip((Side.LEFT, Side.RIGHT), shares, strict=True)
        ),
    )


def _crossing(cement: _Cement, needle: Side | None) -> Finding:
    """Whether both halves hold cement, in words."""
    share = _beyond(cement, needle)
    if share >= CROSSED_PERCENT:
        return Finding(Severity.NOTE, f"Cement crosses the midline: {share:.0f} % of it lies {_where(needle)}.")
    text = f"Cement does not fill both halves: {share:.0f} % of it lies {_where(needle)}."
    return Finding(Severity.CAUTION, text, "a body filled on one side alone stays weaker on the other")


def _where(needle: Side | None) -> str:
    return "in the half with less" if needle is None else f"on the {needle.other.value}, beyond the midline"


def _on_endplates(cement: _Cement) -> tuple[Measure, ...]:
    """Area of each endplate that cement touches, mm2 seen along the body's axis."""
    _, hj, hi = cement.model.solid.spacing_mm
    upper, lower = endplates(cement.body, cement.model.solid.spacing_mm)
    method = "Cement within one voxel of the endplate's outer face, seen along the body's axis."
    return tuple(
        Measure(
            f"cement_on_{name}_endplate", float(touched(cement.region, plate).sum()) * hj * hi, "mm2", method=method
        )
        for name, plate in (("superior", upper), ("inferior", lower))
    )


def touched(region: Mask, plate: Endplate) -> NDArray[np.bool_]:
    """The columns ``[j, i]`` in whose outermost voxel of the endplate, or the next, the region lies."""
    outermost = plate.surface - 1 if plate.outward > 0 else plate.surface
    layers = [np.clip(outermost - step * plate.outward, 0, region.shape[0] - 1) for step in (0, 1)]
    found = [np.take_along_axis(region, layer[None], axis=0)[0] for layer in layers]
    return np.asarray(plate.footprint & (found[0] | found[1]))


def _plates_told(plates: tuple[Measure, ...]) -> Finding:
    names = [m.name.split("_")[2] for m in plates if m.value >= CONTACT_MM2]
    if len(names) == 2:
        return Finding(Severity.NOTE, "Cement touches both endplates.")
    text = f"Cement touches the {names[0]} endplate only." if names else "Cement touches neither endplate."
    return Finding(Severity.NOTE, text, _ENDPLATES_SOURCE)


def _to_wall(cement: _Cement) -> tuple[Measure, ...]:
    """Distance from the cement to the face of the posterior wall."""
    wall = posterior_wall(cement.model)
    if not (wall.any() and cement.region.any()):
        return ()
    away = distance_transform_edt(~cement.region, sampling=cement.model.solid.spacing_mm)
    return (_distance("cement_to_posterior_wall", float(away[wall].min()), cement.model, "From cement to the wall."),)


def _to_vessels(cement: _Cement, structures: Mapping[str, Volume]) -> tuple[Measure, ...]:
    """Distance from the cement to each labelled vessel within :data:`FAR_MM`."""
    if not cement.region.any():
        return ()
    region = cement.model.volume(cement.region, "mask")
    tree = cKDTree(region.points_mm())
    found = []
    for name, mask in structures.items():
        away = _between_mm(tree, region, mask) if kind_of(name) is Kind.VESSEL and mask.array.any() else np.inf
        if away <= FAR_MM:
            method = "From the cement in the body to the labelled vessel, surface to surface."
            found.append(_distance(f"cement_to_{name}", away, cement.model, method))
    return tuple(found)


def _between_mm(tree: cKDTree, region: Volume, mask: Volume) -> float:
    """Between the surfaces of two masks: what lies between the middles of their nearest voxels, less half of each."""
    places = mask.points_mm()
    away, nearest = tree.query(places)
    first = int(np.argmin(away))
    way = places[first] - tree.data[nearest[first]]
    if away[first] == 0.0:
        return 0.0
    return float(max(away[first] - region.half_voxel_mm(way) - mask.half_voxel_mm(way), 0.0))


def _distance(name: str, away_mm: float, model: BoneModel, method: str) -> Measure:
    """Open by half a voxel, as where in it the cement ends is not known."""
    half = 0.5 * max(model.solid.spacing_mm)
    return Measure(name, away_mm, "mm", max(away_mm - half, 0.0), away_mm + half, "voxel", method)


def _wall_told(near: tuple[Measure, ...]) -> tuple[Finding, ...]:
    found = [m.value for m in near if m.name == "cement_to_posterior_wall" and m.value < NEAR_WALL_MM]
    because = f"nearer than {NEAR_WALL_MM:g} mm to the wall before the canal"
    return tuple(
        Finding(Severity.CAUTION, f"Cement ends {mm:.1f} mm from the posterior wall.", because) for mm in found
    )
