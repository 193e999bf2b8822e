"""Tilt of the upper end under a force that lets it tilt: the "toggle" of a body that is filled unevenly.

A rigid plate on the upper end has three motions: it sinks, it leans forward, it leans to the left. Three solves, one
for each, give the 3x3 matrix of the forces and moments that belong to them. Its inverse says how the plate moves under
any force along k through any point, exactly, by superposition.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.measure import Measure, Status
from trocar.mechanics.answers import TOLD_N
from trocar.mechanics.filling import body_of
from trocar.mechanics.loads import COMPRESSION_MM, Contact, Load, boundary, resultant
from trocar.mechanics.model import BoneModel
from trocar.physics.elasticity import Deformation, Equilibrium

#: The motions of the plate, in the order of :attr:`Platen.stiffness`: mm down, rad forward, rad to the left.
MOTIONS = (Load.AXIAL, Load.FLEXION, Load.BENDING_LEFT)
#: The rotation of the two unit cases, degrees: at 20 mm from the axis as much as the compression of the axial one.
UNIT_DEG = float(np.degrees(COMPRESSION_MM / 20.0))


@dataclass(frozen=True, eq=False)
class Platen:
    """The upper end as a rigid plate that slides on nothing and tilts as the body lets it.

    ``stiffness`` is the symmetric 3x3 matrix from ``(mm down, rad forward, rad to the left)`` to
    ``(N, N mm, N mm)``, about the axis through ``about_mm``; ``centre_mm`` the middle of the body. Both are places
    along (j, i), mm from the corner of the box. ``cases`` are the three solves.
    """

    stiffness: NDArray[np.float64]
    about_mm: tuple[float, float]
    centre_mm: tuple[float, float]
    cases: tuple[Deformation, ...]
    status: Status

    def motion(self, force_n: float, through_mm: tuple[float, float] | None = None) -> NDArray[np.float64]:
        """``(mm down at the axis, rad forward, rad to the left)`` under a force along k through a place (j, i)."""
        j, i = self.centre_mm if through_mm is None else through_mm
        arms = np.array([1.0, self.about_mm[0] - j, i - self.about_mm[1]])
        return np.asarray(np.linalg.solve(self.stiffness, force_n * arms))

    def sink_mm(self, force_n: float, through_mm: tuple[float, float] | None = None) -> float:
        """How far the place under the force goes down."""
        j, i = self.centre_mm if through_mm is None else through_mm
        arms = np.array([1.0, self.about_mm[0] - j, i - self.about_mm[1]])
        return float(arms @ self.motion(force_n, through_mm))

    def bending_n_mm_deg(self, motion: int) -> float:
        """Moment for each degree of leaning forward (1) or to the left (2), the plate free to move otherwise."""
        return float(np.radians(1.0) / np.linalg.inv(self.stiffness)[motion, motion])

    def displacement_mm(self, force_n: float, through_mm: tuple[float, float] | None = None) -> NDArray[np.float64]:
        """The displacements of all nodes ``[c, k, j, i]`` under that force."""
        shares = self.motion(force_n, through_mm) / _UNITS
        parts = (s * case.displacement_mm for s, case in zip(shares, self.cases, strict=True))
        return sum(parts, np.zeros_like(self.cases[0].displacement_mm))

    def measures(self, force_n: float = TOLD_N, through_mm: tuple[float, float] | None = None) -> tuple[Measure, ...]:
        """Tilt forward and to the left, the stiffness of a body that is free to tilt, and those in bending."""
        where = "middle of the body" if through_mm is None else f"place {through_mm[0]:.1f}, {through_mm[1]:.1f} mm"
        method = f"Rigid sliding plate, free to tilt, {force_n:g} N straight down through the {where}."
        _, forward, left = np.degrees(self.motion(force_n, through_mm))
        free = force_n / self.sink_mm(force_n, through_mm)
        bent = "Moment a degree of a rigid sliding plate that carries no force; backward as forward, right as left."
        return (
            Measure("tilt_forward", float(forward), "deg", method=f"{method} Positive where the front sinks."),
            Measure("tilt_left", float(left), "deg", method=f"{method} Positive where the patient's left sinks."),
            Measure("stiffness_tilting", free, "N/mm", method=method),
            Measure("bending_forward", self.bending_n_mm_deg(1) / 1000.0, "N.m/deg", method=bent),
            Measure("bending_sideways", self.bending_n_mm_deg(2) / 1000.0, "N.m/deg", method=bent),
        )


_UNITS = np.array([COMPRESSION_MM, np.radians(UNIT_DEG), np.radians(UNIT_DEG)])


def platen(model: BoneModel, *, start: Platen | None = None) -> Platen:
    """The upper end of a model as a rigid plate: three solves with a sliding contact.

    ``start`` is the platen of a model on the same grid, whose solution is a first guess.
    """
    amounts = (COMPRESSION_MM, UNIT_DEG, UNIT_DEG)
    prescribed = [boundary(model, m, a, contact=Contact.SLIDING) for m, a in zip(MOTIONS, amounts, strict=True)]
    guesses = [case.displacement_mm for case in start.cases] if start else [None] * len(MOTIONS)
    with Equilibrium(model.solid, prescribed[0]) as body:
        cases = tuple(body.solve(boundary=b, start_mm=g) for b, g in zip(prescribed, guesses, strict=True))
    forces = [resultant(model, case) for case in cases]
    matrix = np.array([[f.against(m) for f in forces] for m in MOTIONS]) / _UNITS
    failed = [case.status for case in cases if case.status is not Status.SUCCESS]
    _, j, i = forces[0].about_mm
    return Platen(0.5 * (matrix + matrix.T), (j, i), middle_mm(model), cases, failed[0] if failed else Status.SUCCESS)


def middle_mm(model: BoneModel) -> tuple[float, float]:
    """The middle of the body along j and i, mm from the corner of the box: of its volume, whatever it consists of."""
    _, j, i = (np.argwhere(body_of(model)).mean(axis=0) + 0.5) * np.asarray(model.solid.spacing_mm)
    return float(j), float(i)
