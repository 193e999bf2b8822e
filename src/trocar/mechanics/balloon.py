"""A balloon in a vertebral body: how far it grows, at what pressure, and what ends it.

The balloon is the ellipsoid of its filling (:mod:`trocar.mechanics.balloon_place`). It crushes the bone around it: what
it displaces is compacted into a shell whose outer surface, the front, encloses the ellipsoid
:func:`trocar.physics.cavity.shell_ratio` times as large. The gauge shows the crushing stress at the
front, carried in by the shell; cortex and endplates are not crushed but reached. Two balloons share the bone: each
voxel belongs to the one that reaches it with less filling.

The patient lies prone: no axial load is carried while the balloon is filled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.heights import STATION_INSET_MM
from trocar.anatomy.vertebra import Part
from trocar.mechanics.balloon_place import RIM_MM, Placed, Points
from trocar.mechanics.ends import endplates
from trocar.mechanics.filling import SHELL_MM, body_of, inside, middles_mm
from trocar.mechanics.model import BoneModel
from trocar.mechanics.scenario import TISSUE_ASH_G_CC
from trocar.physics.cavity import RELATIVE_DENSITY_RANGE, densification_strain, shell_ratio
from trocar.physics.materials import ELASTIC_AT_YIELD, LAWS, Density, converted

#: Steps of the filling at which pressure is read, and the part of it over which the front's bone is averaged, mL:
#: a few hundred voxels of 1 mm, so that a single dense one ends nothing. Neither depends on what is asked for.
STEP_ML, FRONT_ML = 0.05, 0.5
#: Step in which an endplate is thought to give way, mm.
LIFT_STEP_MM = 0.25
#: Bone that stays between the hollow and the surface of the body in the elastic model, mm: the cortex.
CORTEX_MM = 1.0
#: Filling levels nearer than this share are equal: rounding must not tell left from right.
_TIE = 1e-9

#: Something in front, in the middle and at the back of the body, as heights are measured.
Stations = tuple[float, float, float]
Mask = NDArray[np.bool_]


class Stop(Enum):
    """What ended the inflation; the value is what the user reads."""

    VOLUME = "the asked volume is reached"
    PRESSURE = "the pressure limit is reached"
    WALL = "the crushed bone has reached the wall of the body"
    ENDPLATE = "an endplate is reached and no lost height is left to regain"


@dataclass(frozen=True, eq=False)
class Inflation:
    """One balloon's growth: its filling, the pressure that holds it, and why it ended.

    ``curve_ml`` and ``curve_mpa`` are filling and pressure step by step; ``low_mpa`` and ``high_mpa`` the pressure for
    this filling, ``low_ml`` and ``high_ml`` the filling that would be reached, by the laws of bone; ``hollow`` and
    ``crushed`` are masks ``[k, j, i]``; ``wall`` names the wall that the front reached; ``lift_mm`` how far loose
    endplates (superior, inferior) are pushed apart.
    """

    placed: Placed
    volume_ml: float
    low_ml: float
    high_ml: float
    pressure_mpa: float
    low_mpa: float
    high_mpa: float
    stop: Stop
    wall: str
    lift_mm: tuple[float, float]
    hollow: Mask
    crushed: Mask
    curve_ml: NDArray[np.float64]
    curve_mpa: NDArray[np.float64]


def inflate(
    model: BoneModel,
    placed: Sequence[Placed],
    *,
    volume_ml: float,
    pressure_mpa: float,
    lost_mm: Stations = (0.0, 0.0, 0.0),
) -> tuple[Inflation, ...]:
    """Grow balloons of one filling each until the volume, the pressure, a wall or an endplate ends it.

    ``lost_mm`` is the height that the body lost in front, in the middle and at the back: above and below a balloon the
    endplates may part by what was lost there, and no more. Raises
    ``ValueError`` for a volume or pressure beyond the balloon's own limits, for a balloon that does not lie in bone,
    and for a model whose bone does not yield.
    """
    for p in placed:
        p.balloon.size_mm(volume_ml)
        if not 0.0 < pressure_mpa <= p.balloon.max_pressure_mpa:
            raise ValueError(
                f"pressure_mpa={pressure_mpa:g} is outside 0 to {p.balloon.max_pressure_mpa:.3g} MPa for "
                f"{p.balloon.name}."
            )
        _check_place(model, p)
    bone = _Bone.of(model, placed)
    return tuple(
        _inflation(bone, n, volume_ml, pressure_mpa, at_depth_mm(model, lost_mm, float(p.centre_mm[1])))
        for n, p in enumerate(placed)
    )


def at_depth_mm(model: BoneModel, front_middle_back: Stations, depth_mm: float) -> float:
    """Between what is known in front, in the middle and at the back: at ``depth_mm`` along j from the box's edge."""
    return float(np.interp(depth_mm, stations_mm(model), front_middle_back))


def stations_mm(model: BoneModel) -> Stations:
    """Where heights are measured along j, mm from the box's edge: in front, in the middle and at the back."""
    rows = np.flatnonzero(body_of(model).any(axis=(0, 2)))
    front, back = (float(n * model.solid.spacing_mm[1]) for n in (rows[0], rows[-1] + 1))
    return front + STATION_INSET_MM, 0.5 * (front + back), back - STATION_INSET_MM


@dataclass(frozen=True, eq=False)
class _Bone:
    """What balloons meet: the filling at which the front and the balloon reach every voxel, for each balloon."""

    model: BoneModel
    placed: tuple[Placed, ...]
    swell: float
    front_ml: tuple[NDArray[np.float64], ...]
    balloon_ml: tuple[NDArray[np.float64], ...]

    @classmethod
    def of(cls, model: BoneModel, placed: Sequence[Placed]) -> _Bone:
        points = np.stack(np.broadcast_arrays(*middles_mm(model)), axis=-1)
        balloon = tuple(p.filling_ml(points) for p in placed)
        near = model.body & (np.min(balloon, axis=0) <= max(p.balloon.max_volume_ml for p in placed))
        if not near.any():
            raise ValueError(f"the balloon does not lie in the body of {model.level}: no bone is near it.")
        swell = swell_of(model, near)
        return cls(model, tuple(placed), swell, tuple(p.filling_ml(points, swell) for p in placed), balloon)

    def own(self, n: int) -> Mask:
        """The voxels that the n-th balloon reaches first."""
        return np.asarray(self.front_ml[n] <= np.min(self.front_ml, axis=0) * (1.0 + _TIE))


def swell_of(model: BoneModel, where: Mask) -> float:
    """Front over balloon: from the mean densification strain of the bone there, in all directions alike."""
    ash = float(np.mean(converted(model.density_g_cc[where], Density.K2HPO4, Density.ASH)))
    relative = float(np.clip(ash / TISSUE_ASH_G_CC, RELATIVE_DENSITY_RANGE.low, RELATIVE_DENSITY_RANGE.high))
    return shell_ratio(densification_strain(relative))


def _check_place(model: BoneModel, placed: Placed) -> None:
    """Refuse a balloon whose middle or far end is not in the body."""
    half = 0.5 * placed.balloon.length_mm * placed.along
    spacing = np.asarray(model.solid.spacing_mm)
    body = body_of(model)
    for what, point in (("middle", placed.centre_mm), ("tip", placed.centre_mm + half)):
        voxel = np.floor(point / spacing).astype(int)
        if np.any(voxel < 0) or np.any(voxel >= body.shape) or not body[tuple(voxel)]:
            raise ValueError(f"the {what} of the {placed.balloon.name} lies outside the body of {model.level}.")


def _inflation(bone: _Bone, n: int, volume_ml: float, limit_mpa: float, regain_mm: float) -> Inflation:
    ml, mpa = _curve(bone, n, crush_mpa(bone.model))
    wall_ml, wall = _wall(bone, n)
    parting = _parting_ml(bone, n, regain_mm)
    ends = {
        Stop.VOLUME: volume_ml,
        Stop.PRESSURE: _first_above(ml, mpa, limit_mpa),
        Stop.WALL: wall_ml,
        Stop.ENDPLATE: _parted_ml(parting, regain_mm),
    }
    stop = min(ends, key=lambda s: ends[s])
    reached = ends[stop]
    held = limit_mpa if stop is Stop.PRESSURE else float(np.interp(reached, ml, mpa))
    curves = [_curve(bone, n, stress) for stress in _by_law(bone.model)]
    by_law = [float(np.interp(reached, *curve)) for curve in curves]
    room_ml = min(m for s, m in ends.items() if s is not Stop.PRESSURE)
    fillings = [min(room_ml, _first_above(*curve, limit_mpa)) for curve in curves]
    room = bone.own(n) & bone.model.body
    hollow = room & (bone.balloon_ml[n] <= reached) & inside(bone.model, CORTEX_MM)
    steps = ml <= reached
    return Inflation(
        placed=bone.placed[n],
        volume_ml=reached,
        low_ml=min(*fillings, reached),
        high_ml=max(*fillings, reached),
        pressure_mpa=held,
        low_mpa=min(*by_law, held),
        high_mpa=max(*by_law, held),
        stop=stop,
        wall=wall if stop is Stop.WALL else "",
        lift_mm=(_lift_mm(parting[0], reached), _lift_mm(parting[1], reached)),
        hollow=hollow,
        crushed=room & (bone.front_ml[n] <= reached) & ~hollow,
        curve_ml=ml[steps],
        curve_mpa=mpa[steps],
    )


def _first_above(ml: NDArray[np.float64], mpa: NDArray[np.float64], limit_mpa: float) -> float:
    """The filling before the step whose pressure exceeds the limit; infinite where none does."""
    above = np.flatnonzero(mpa > limit_mpa)
    if not len(above):
        return math.inf
    return float(ml[above[0] - 1]) if above[0] else 0.0


def crush_mpa(model: BoneModel) -> NDArray[np.float64]:
    """The stress that crushes each voxel: its yield stress; what has none, at the strain at which bone yields."""
    yields = model.solid.yield_mpa
    if yields is None:
        raise ValueError(f"the model of {model.level} has no yield stresses: a balloon crushes bone.")
    return np.where(np.isfinite(yields), yields, ELASTIC_AT_YIELD * model.solid.modulus_mpa).astype(np.float64)


def _by_law(model: BoneModel) -> list[NDArray[np.float64]]:
    """The crushing stress by every law from standardised tests."""
    bone = model.density_g_cc > 0.0
    own = crush_mpa(model)
    found = []
    for law in (v for v in LAWS.values() if v.standardised):
        stress = own.copy()
        stress[bone] = law.evaluate(model.density_g_cc[bone], Density.K2HPO4)[1]
        found.append(stress)
    return found


def _curve(bone: _Bone, n: int, stress_mpa: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Filling up to the most the balloon holds, and the pressure that crushes the bone about the front there."""
    half = round(0.5 * FRONT_ML / STEP_ML)
    steps = round(bone.placed[n].balloon.max_volume_ml / STEP_ML)
    edges = STEP_ML * np.arange(steps + half + 1)
    met = inside(bone.model, SHELL_MM) & bone.model.body & bone.own(n) & (bone.front_ml[n] <= edges[-1])
    if not met.any():
        raise ValueError(f"no bone lies in the way of the {bone.placed[n].name} in {bone.model.level}.")
    total, _ = np.histogram(bone.front_ml[n][met], edges, weights=stress_mpa[met])
    count, _ = np.histogram(bone.front_ml[n][met], edges)
    last = np.arange(1, steps + 1)
    force, voxels = (
        _between(np.r_[0.0, np.cumsum(a)], np.maximum(last - half, 0), last + half) for a in (total, count)
    )
    known = voxels > 0
    mean = np.interp(edges[last], edges[last][known], force[known] / voxels[known])
    return edges[last].astype(np.float64), np.asarray(mean * bone.swell**2, np.float64)


def _between(running: NDArray[np.float64], first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.float64]:
    return running[last] - running[first]


_WALLS = (("anterior", 1, -1), ("posterior", 1, 1), ("right", 2, -1), ("left", 2, 1))


def _wall(bone: _Bone, n: int) -> tuple[float, str]:
    """The filling at which the front reaches a side wall, and which."""
    best, name = math.inf, ""
    for wall, mask in walls(bone.model).items():
        first = float(bone.front_ml[n][mask].min(initial=math.inf))
        if first < best:
            best, name = first, wall
    return best, name


def walls(model: BoneModel) -> dict[str, Mask]:
    """The voxels of the body that face outwards to the front, the back (the canal's side), the right and the left."""
    body = body_of(model)
    bones = [int(p) for p in Part if p not in (Part.NONE, Part.CANAL)]
    outside = np.pad(~(body | np.isin(model.parts, bones)), 1, constant_values=True)
    middle = body & _away_from_ends(model, body)
    found = {}
    for name, axis, step in _WALLS:
        beside = np.roll(outside, -step, axis=axis)[1:-1, 1:-1, 1:-1]
        found[name] = middle & beside
    return found


def _away_from_ends(model: BoneModel, body: Mask) -> Mask:
    """Voxels at least :data:`RIM_MM` below the highest and above the lowest voxel of their column."""
    rows = math.ceil(RIM_MM / model.solid.spacing_mm[0])
    from_top = np.cumsum(body[::-1], axis=0)[::-1]
    from_bottom = np.cumsum(body, axis=0)
    return np.asarray((from_top > rows) & (from_bottom > rows))


def _parting_ml(bone: _Bone, n: int, regain_mm: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The filling that pushes the superior and the inferior endplate out by each step of :data:`LIFT_STEP_MM`."""
    steps = np.arange(0.0, max(regain_mm, 0.0) + 2.0 * LIFT_STEP_MM, LIFT_STEP_MM)
    upper, lower = ([_reaches(bone, n, plate, step) for step in steps] for plate in ends_mm(bone.model))
    return np.maximum.accumulate(upper), np.maximum.accumulate(lower)


def _lift_mm(parting_ml: NDArray[np.float64], filling_ml: float) -> float:
    """How far out a filling pushes a loose endplate."""
    return float(np.interp(filling_ml, parting_ml, LIFT_STEP_MM * np.arange(len(parting_ml))))


def _parted_ml(parting: tuple[NDArray[np.float64], NDArray[np.float64]], regain_mm: float) -> float:
    """The filling at which both endplates together have parted by ``regain_mm``; by anything at all where it is 0."""
    if regain_mm <= 0.0:
        return float(min(parting[0][0], parting[1][0]))
    fills = np.unique(np.concatenate(parting))
    return float(np.interp(regain_mm, [_lift_mm(parting[0], f) + _lift_mm(parting[1], f) for f in fills], fills))


def _reaches(bone: _Bone, n: int, plate: tuple[Points, int], step_mm: float) -> float:
    points, outward = plate
    moved = points + np.array([outward * step_mm, 0.0, 0.0])
    return float(bone.placed[n].filling_ml(moved, bone.swell).min())


def ends_mm(model: BoneModel) -> tuple[tuple[Points, int], tuple[Points, int]]:
    """Points ``(n, 3)`` on the superior and the inferior endplate, mm along k, j, i, with the way out (+1, -1)."""
    spacing = np.asarray(model.solid.spacing_mm)

    def points(surface: NDArray[np.int64], footprint: Mask) -> Points:
        j, i = np.nonzero(footprint)
        return np.column_stack([surface[j, i], j + 0.5, i + 0.5]) * spacing

    upper, lower = endplates(body_of(model), model.solid.spacing_mm)
    return (
        (points(upper.surface, upper.footprint), upper.outward),
        (points(lower.surface, lower.footprint), lower.outward),
    )
