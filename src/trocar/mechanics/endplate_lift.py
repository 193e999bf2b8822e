"""How far balloons part the endplates: between bone that has healed and plates that lie loose.

Two models bound what nobody can see on CT, how firmly a fracture has set.

- **Healed**: the body is one elastic piece. Bone under the fractured endplate is soft because its struts are broken
  (:func:`trocar.mechanics.scenario.fractured`), the hollow is empty, its shell crushed, and the balloons press on it.
  All of this lift springs back when they are emptied: the model is linear.
- **Mobile**: the endplates lie loose, hinged at the posterior wall, and give way to the crushed bone that the balloons
  push before them, up to the height that was lost.

The value is the middle of the two, the interval reaches from one to the other. No load acts: the patient lies prone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.heights import MIDLINE_SHARE, STATION_BAND_MM, STATION_INSET_MM
from trocar.measure import Status
from trocar.mechanics.balloon import Inflation, Stations, stations_mm
from trocar.mechanics.ends import endplates, largest_piece
from trocar.mechanics.filling import body_of
from trocar.mechanics.model import BoneModel, Tissue
from trocar.mechanics.scenario import Crush, fractured
from trocar.physics.cavity import opened_mm3, pressed
from trocar.physics.elasticity import Deformation, deform
from trocar.physics.materials import Density, spread_mpa
from trocar.physics.solid import Boundary, Solid, nodes_of

#: What crushed bone keeps of its modulus. Keaveny TM, Wachtel EF, Kopperdahl DL, J Orthop Res 1999;17:346-353 report
#: losses up to 91 % after overloading to strains of 5 %: from memory, unverified.
CRUSHED_KEPT = 0.09

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Lift:
    """How far the endplates part in front, in the middle and at the back (mm), and what the hollow loses.

    ``healed_mm`` is the elastic lift, ``mobile_mm`` that of loose plates; ``depth_mm`` is the way from the front to the
    back station. ``closing_ml`` is how much smaller the hollow is once the balloons are empty. ``stiff`` and ``soft``
    are what the elastic numbers are multiplied by under the stiffest and the softest law of bone. ``deformation`` is
    the elastic solution.
    """

    healed_mm: Stations
    mobile_mm: Stations
    closing_ml: float
    stiff: float
    soft: float
    depth_mm: float
    deformation: Deformation

    @property
    def status(self) -> Status:
        """How the computation ended."""
        return self.deformation.status

    @property
    def inflated_mm(self) -> tuple[Stations, Stations, Stations]:
        """Value, low and high while the balloons are full."""
        low = _each(lambda healed, mobile: min(self.stiff * healed, mobile), self.healed_mm, self.mobile_mm)
        high = _each(lambda healed, mobile: max(self.soft * healed, mobile), self.healed_mm, self.mobile_mm)
        return _each(_middle, low, high), low, high

    @property
    def deflated_mm(self) -> tuple[Stations, Stations, Stations]:
        """Value, low and high once they are empty: a healed fracture springs back, loose plates by as much."""
        high = _each(lambda mobile, back: max(mobile - back, 0.0), self.mobile_mm, self.healed_mm)
        low = (0.0, 0.0, 0.0)
        return _each(_middle, low, high), low, high

    def opened_deg(self, lift_mm: Stations) -> float:
        """The angle by which the endplates part in the sagittal plane: less kyphosis."""
        return math.degrees(math.atan2(lift_mm[0] - lift_mm[2], self.depth_mm))


def _middle(a: float, b: float) -> float:
    return 0.5 * (a + b)


def _each(take: Callable[[float, float], float], a: Stations, b: Stations) -> Stations:
    front, middle, back = (take(x, y) for x, y in zip(a, b, strict=True))
    return front, middle, back


def lift(model: BoneModel, inflations: Sequence[Inflation], lost_mm: Stations = (0.0, 0.0, 0.0)) -> Lift:
    """How far these balloons part the endplates of a body that lost so much height in front, middle and back.

    Raises ``ValueError`` where no balloon has made a hollow.
    """
    opened = [f for f in inflations if f.hollow.any()]
    if not opened:
        raise ValueError(f"no balloon has opened a hollow in {model.level}: there is nothing to lift.")
    solid = _weakened(model, opened, max(lost_mm))
    pushes = [pressed(f.hollow & ~solid.filled, solid.filled, solid.spacing_mm, f.pressure_mpa) for f in opened]
    boundary = sum(pushes, _held(solid))
    found = deform(solid, boundary)
    healed = parting_mm(model, found.displacement_mm)
    stiff, soft = _law_factors(model)
    closing = sum(
        opened_mm3(push, found.displacement_mm, f.pressure_mpa) for push, f in zip(pushes, opened, strict=True)
    )
    mobile, depth = _mobile_mm(model, opened, lost_mm)
    return Lift(healed, mobile, closing / 1000.0, stiff, soft, depth, found)


def _weakened(model: BoneModel, inflations: Sequence[Inflation], lost_mm: float) -> Solid:
    """The body as it is while balloons fill it: no caps, hollows empty, shells crushed, the fractured bone soft."""
    height = float(body_of(model).sum(axis=0).max()) * model.solid.spacing_mm[0]
    share = min(lost_mm / (height + lost_mm), 0.9)
    start = fractured(model, crush=Crush.WEDGE, share=share).model if share > 0.0 else model
    hollow = np.logical_or.reduce([f.hollow for f in inflations])
    crushed = np.logical_or.reduce([f.crushed for f in inflations])
    piece = largest_piece(start.solid.filled & ~start.tissue(Tissue.CAP) & ~hollow)
    modulus = np.where(crushed, CRUSHED_KEPT * model.solid.modulus_mpa, start.solid.modulus_mpa)
    return replace(
        start.solid,
        material=np.where(piece, start.solid.material, np.uint8(Tissue.VOID)),
        modulus_mpa=modulus.astype(np.float32),
    )


def _held(solid: Solid) -> Boundary:
    """Three nodes of the body's surface, held in six directions in all: the pressures balance and ask nothing of them.

    The hindmost node is held whole, the foremost sideways and upright, one at the side upright: no more than floating
    is prevented, and no strain.
    """
    place = np.argwhere(nodes_of(solid.filled))
    middle = place.mean(axis=0)
    back, front, side = (
        place[np.lexsort((*np.abs(place - middle).T, key))[0]] for key in (-place[:, 1], place[:, 1], -place[:, 2])
    )
    held = ((back, (0, 1, 2)), (front, (0, 2)), (side, (0,)))
    return sum(
        (Boundary.displace(_only(solid.nodes, node), axis, 0.0) for node, axes in held for axis in axes),
        Boundary(solid.nodes),
    )


def _only(shape: tuple[int, int, int], node: NDArray[np.intp]) -> Mask:
    nodes = np.zeros(shape, bool)
    nodes[tuple(node)] = True
    return nodes


def parting_mm(model: BoneModel, displacement_mm: NDArray[np.float64]) -> Stations:
    """How far the endplates part near the midline at the three stations where heights are read.

    ``displacement_mm`` is ``[c, k, j, i]`` at the nodes.
    """
    upper, lower = endplates(body_of(model), model.solid.spacing_mm)
    up = displacement_mm[0]
    here = upper.footprint & lower.footprint
    if not here.any():
        raise ValueError(f"the endplates of {model.level} face each other nowhere: their distance cannot be read.")
    j, i = np.nonzero(here)
    apart = np.zeros(here.shape)
    for a, b in np.ndindex(2, 2):
        apart[j, i] += 0.25 * (up[upper.surface[j, i], j + a, i + b] - up[lower.surface[j, i], j + a, i + b])
    front, middle, back = (float(apart[here & station].mean()) for station in stations(model, here))
    return front, middle, back


def stations(model: BoneModel, footprint: Mask) -> tuple[Mask, Mask, Mask]:
    """Columns ``[j, i]`` near the midline in front, in the middle and at the back, as heights are measured.

    Where the footprint has none there (bone that is broken or eaten away), the nearest it has.
    """
    rows, columns = (np.flatnonzero(footprint.any(axis=axis)) for axis in (1, 0))
    _, dj, di = model.solid.spacing_mm
    across = np.abs(np.arange(footprint.shape[1]) - 0.5 * (columns[0] + columns[-1]))
    aside = di * np.maximum(across - max(MIDLINE_SHARE * 0.5 * (columns[-1] - columns[0] + 1), 0.5), 0.0)
    front, back = rows[0] + STATION_INSET_MM / dj, rows[-1] - STATION_INSET_MM / dj
    along = np.arange(footprint.shape[0])
    band = max(STATION_BAND_MM / dj, 0.5)

    def nearest(at: float) -> Mask:
        off = np.hypot(dj * np.maximum(np.abs(along - at) - band, 0.0)[:, None], aside[None, :])
        return np.asarray(footprint & (off <= off[footprint].min()), np.bool_)

    return nearest(front), nearest(0.5 * (front + back)), nearest(back)


def _law_factors(model: BoneModel) -> tuple[float, float]:
    """What the elastic lift is multiplied by where the stiffest, and where the softest, of the laws holds."""
    bone = model.body & model.tissue(Tissue.BONE)
    low, high = spread_mpa(model.density_g_cc[bone], Density.K2HPO4)
    own = float(np.median(model.solid.modulus_mpa[bone]))
    return min(own / float(np.median(high)), 1.0), max(own / float(np.median(low)), 1.0)


def _mobile_mm(model: BoneModel, inflations: Sequence[Inflation], lost_mm: Stations) -> tuple[Stations, float]:
    """Lift of loose plates hinged at the back, no more than was lost; and the way from front to back station."""
    at = stations_mm(model)
    hinge = at[2] + STATION_INSET_MM
    best = max(inflations, key=lambda f: sum(f.lift_mm))
    lever = max(hinge - float(best.placed.centre_mm[1]), STATION_INSET_MM)
    free = tuple(sum(best.lift_mm) * (hinge - y) / lever for y in at)
    return _each(min, (free[0], free[1], free[2]), lost_mm), at[2] - at[0]
