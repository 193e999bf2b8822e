"""Where a balloon lies: its ellipsoid about the middle of its length on a channel, and the room it has there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.vertebra import Part, Vertebra
from trocar.geometry import Vector
from trocar.measure import Measure
from trocar.mechanics.filling import direction_of, index_mm
from trocar.mechanics.model import BoneModel
from trocar.physics.cavity import densification_strain, shell_ratio
from trocar.planning.instrument import Balloon
from trocar.planning.trajectory import Trajectory

#: The body's side walls are looked for this far from both endplates, mm: nearer, the rim's corner is both.
RIM_MM = 2.0
#: Step along the channel at which the body is looked for, mm.
STEP_MM = 0.25
#: Crushed bone around a balloon over the balloon itself, before a density is known: solid is 12 % of weak bone.
USUAL_SWELL = shell_ratio(densification_strain(0.12))

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Placed:
    """A balloon at a place: its middle and its unit direction, in a model mm along k, j, i from the box's corner.

    ``name`` is what a user calls it: the patient's side it comes from.
    """

    balloon: Balloon
    centre_mm: Vector
    along: Vector
    name: str = "balloon"

    @classmethod
    def on(cls, model: BoneModel, trajectory: Trajectory, balloon: Balloon) -> Placed:
        """The balloon on a planned channel: its far end at the target, the rest behind it."""
        middle = trajectory.target_mm - 0.5 * balloon.length_mm * trajectory.direction
        along = direction_of(model, trajectory.direction)
        return cls(balloon, index_mm(model, middle), along, f"{trajectory.side.value} balloon")

    def filling_ml(self, points_mm: Points, swell: float = 1.0) -> NDArray[np.float64]:
        """The filling at which the ellipsoid, ``swell`` times as large, reaches points ``(..., 3)`` of its frame."""
        away = (points_mm - self.centre_mm) / swell
        half = 0.5 * self.balloon.length_mm
        square = np.sum(away**2, axis=-1)
        axial = (away @ self.along) ** 2
        lens = np.maximum(1.0 - axial / half**2, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            thick = np.where(square > axial, (square - axial) / lens, 0.0)
        thick = np.where(lens > 0.0, thick, np.inf)
        round_ = square >= half**2
        volume = np.where(round_, square**1.5, half * np.minimum(thick, half**2))
        return np.asarray(4.0e-3 / 3.0 * math.pi * volume)


def room_mm(vertebra: Vertebra, trajectory: Trajectory) -> float:
    """How much of the channel, from its end backwards, lies in the vertebral body."""
    steps = np.arange(0.0, trajectory.bone_to_target_mm, STEP_MM)
    points = trajectory.target_mm - steps[:, None] * trajectory.direction
    inside = vertebra.parts.sample(points, outside=Part.NONE, order=0) == Part.BODY
    return float(steps[int(np.argmin(inside))] if not inside.all() else trajectory.bone_to_target_mm)


def wall_room_ml(vertebra: Vertebra, trajectory: Trajectory, balloon: Balloon) -> float:
    """The filling at which the bone crushed by a balloon at the end of the channel reaches a side wall of the body.

    Walls within :data:`RIM_MM` of an endplate are left out: those are the endplates' own rim.
    """
    parts = vertebra.parts.array
    outside = np.pad(np.isin(parts, (Part.NONE, Part.CANAL)), 1, constant_values=True)
    free = np.logical_or.reduce([np.roll(outside, s, a)[1:-1, 1:-1, 1:-1] for a in (1, 2) for s in (-1, 1)])
    points = vertebra.parts.world_mm(np.argwhere((parts == Part.BODY) & free))
    deep = np.logical_and.reduce([-plate.height_mm(points) > RIM_MM for plate in vertebra.endplates.values()])
    middle = trajectory.target_mm - 0.5 * balloon.length_mm * trajectory.direction
    return float(
        Placed(balloon, middle, trajectory.direction).filling_ml(points[deep], USUAL_SWELL).min(initial=np.inf)
    )


def room_measures(vertebra: Vertebra, t: Trajectory, balloon: Balloon) -> tuple[Measure, Measure, Measure]:
    """What a path offers a balloon: its length in the body, the cannula's depth, the filling that a wall allows."""
    room = Measure(
        "balloon_room", room_mm(vertebra, t), "mm", method="Length of the channel that lies in the vertebral body."
    )
    depth = Measure(
        "cannula_depth",
        t.length_mm - balloon.length_mm,
        "mm",
        method=f"Skin to the tip of the working cannula, {balloon.length_mm:g} mm before the end of the channel.",
    )
    wall = Measure(
        "balloon_to_wall",
        wall_room_ml(vertebra, t, balloon),
        "mL",
        method="Filling at which the crushed bone around the balloon would reach a side wall of the body.",
    )
    return room, depth, wall
