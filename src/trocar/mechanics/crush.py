"""Press a vertebra until its bone yields: the load curve, and the strength read from it by the 0.2 % offset."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.measure import Measure, Status
from trocar.mechanics.answers import Loaded, height_mm, strengths
from trocar.mechanics.loads import Load, end_nodes
from trocar.physics.materials import OFFSET_STRAIN
from trocar.physics.plasticity import press

#: The overall strains at which the load is told: 0.15 % apart up to where vertebrae have long failed.
STRAINS = tuple(float(s) for s in np.arange(0.003, 0.0301, 0.0015))


@dataclass(frozen=True, eq=False)
class LoadCurve:
    """Load over displacement, compression positive, from the unloaded state on.

    ``yielded`` is the share of the voxels that have yielded at each point. ``status`` is that of the last step; a
    step that did not converge is no point of the curve.
    """

    displacement_mm: NDArray[np.float64]
    load_n: NDArray[np.float64]
    yielded: NDArray[np.float64]
    status: Status

    def strengths(self, loaded: Loaded) -> tuple[Measure, ...]:
        """The strength by every criterion; by the offset only where the curve reached it."""
        return strengths(loaded, (self.displacement_mm, self.load_n))


def crush(loaded: Loaded, strains: Iterable[float] = STRAINS) -> LoadCurve:
    """Press the same model on, bone elastic and then perfectly plastic, until the curve meets the 0.2 % offset.

    ``strains`` are shares of the body's height, growing. Raises ``ValueError`` for a load that is no compression and
    for a model without yield stresses.
    """
    if loaded.load is not Load.AXIAL:
        raise ValueError(f"a vertebra is crushed by axial compression, not by {loaded.load.value}.")
    height = height_mm(loaded.model)
    factors = [s * height / loaded.amount for s in strains]
    top, _ = end_nodes(loaded.model)
    points, status = [(0.0, 0.0, 0.0)], Status.SUCCESS
    for step in press(loaded.model.solid, loaded.deformation.boundary, factors, top):
        status = step.status
        if status is not Status.SUCCESS:
            break
        shortening, load = step.factor * loaded.amount, -float(step.force_n[0])
        points.append((shortening, load, step.yielded))
        if load <= loaded.stiffness * (shortening - OFFSET_STRAIN * height):
            break
    displacement, force, yielded = np.array(points).T
    return LoadCurve(displacement, force, yielded, status)
