"""How a way out is told: its place in words, its size, how far it is from the needle, what lies beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from trocar.anatomy.patient import Anatomy
from trocar.injection.bearings import Bearings
from trocar.injection.openings import Cortex, visible_foramen
from trocar.injection.routes import Basis, Route, Shape, WayOut
from trocar.injection.tracts import path_mm
from trocar.injection.walls import places_mm
from trocar.mechanics.model import BoneModel
from trocar.planning.access import Kind, kind_of
from trocar.planning.trajectory import Trajectory

#: A vessel farther than this from where cement leaves is not named, mm. Ours.
BESIDE_MM = 10.0
#: The routes beside which a great vessel may lie.
OUTSIDE = (Route.ANTERIOR, Route.LATERAL, Route.VENOUS, Route.ARTERIAL)


@dataclass(frozen=True)
class Account:
    """A way out as it is told.

    ``place`` in words, ``size`` with its unit, ``distance_to_tip_mm`` from the nearest planned tip to the nearest exit
    (not a number without a planned path).
    """

    place: str
    size: str
    distance_to_tip_mm: float


@dataclass(frozen=True, eq=False)
class Teller:
    """What it takes to tell of ways out: the model, the patient, the cortex, and the planned paths."""

    model: BoneModel
    anatomy: Anatomy
    cortex: Cortex
    bearings: Bearings
    paths: Sequence[Trajectory]

    def account(self, way: WayOut) -> Account:
        """The account of a way that has exits."""
        cells = np.argwhere(way.exits)
        exits = self.bearings.mm(cells)
        tips = [path_mm(self.model, t)[1] for t in self.paths]
        away = [float(np.linalg.norm(exits - tip, axis=1).min()) for tip in tips]
        words = self.bearings.words(way.exits).text + (self._vessel(cells) if way.route in OUTSIDE else "")
        return Account(words, self._size(way), min(away, default=float("nan")))

    def _size(self, way: WayOut) -> str:
        if way.shape is Shape.SLIT:
            return f"width {way.bore_mm:.1f} mm"
        skin = self.cortex.skin
        if way.shape is Shape.OPENING:
            return f"{skin.area_mm2[way.exits[tuple(skin.cells.T)]].sum():.0f} mm²"
        radius = f"radius {way.bore_mm:.1f} mm"
        if way.basis is not Basis.SEEN:
            return radius
        return f"{radius}, {skin.area_mm2[visible_foramen(self.cortex, self.bearings)].sum():.0f} mm² seen"

    @cached_property
    def _vessels(self) -> dict[str, cKDTree]:
        """The labelled vessels near the vertebra."""
        corners = places_mm(self.model, np.array([np.zeros(3, int), np.array(self.model.solid.shape) - 1]))
        low, high = corners.min(axis=0) - BESIDE_MM, corners.max(axis=0) + BESIDE_MM
        out = {}
        for name, mask in self.anatomy.structures.items():
            if kind_of(name) is Kind.VESSEL:
                points = mask.points_mm()
                near = points[np.all((points >= low) & (points <= high), axis=1)]
                if len(near):
                    out[name] = cKDTree(near)
        return out

    def _vessel(self, cells: NDArray[np.int64]) -> str:
        """The nearest labelled vessel, or nothing where none is near."""
        exits = places_mm(self.model, cells)
        found = {name: float(tree.query(exits)[0].min()) for name, tree in self._vessels.items()}
        name = min(found, key=lambda n: (found[n], n), default="")
        if not name or found[name] > BESIDE_MM:
            return ""
        return f", {found[name]:.0f} mm from the {name.replace('_', ' ')}"
