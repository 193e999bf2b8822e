"""Where the cement inside the bone lies and in which order it got there: from the flow model, or a quick stand-in."""

from __future__ import annotations

import numpy as np

from trocar.geometry import Vector
from trocar.guidance.growth import Course, grown, texture
from trocar.guidance.neighbourhood import Neighbourhood
from trocar.guidance.script import Injecting, Leak
from trocar.injection.routes import Route
from trocar.treatment import Simulation

#: Share of the bone that the stand-in's cement fills: what trabecular bone of old people leaves, about 0.9 of it, less
#: what stays as marrow. Ours.
FILL = 0.8
#: The least share of the cement that comes that a leak can take, and the smallest leak that is drawn, ml.
_LEAST_SHARE, _LEAST_ML = 0.01, 0.01


def blob(near: Neighbourhood, ml: float, rng: np.random.Generator, tip_mm: Vector) -> Course:
    """A stand-in for the flow model, made in a moment: cement grows from the tip through a random texture of costs.

    It fills :data:`FILL` of each voxel of the vertebral body. Shapes only; nothing about pressure or leaks. Raises
    :class:`trocar.errors.SimulationError` for more cement than the body holds.
    """
    rough = texture(near.grid.shape, near.step_mm, rng)
    cost = np.where(near.body, rough, np.inf).astype(np.float32)
    return grown(near.grid, cost, np.asarray(tip_mm), ml, np.eye(3), FILL)


def flowed(simulation: Simulation) -> tuple[Course, Injecting, tuple[Leak, ...]]:
    """What the flow model found: the cement in the bone by its arrival, the injection, and a leak for each route.

    The model tells when half a voxel is full; what stays inside is shared evenly among the voxels reached. Leaks of
    one route by several ways are put together, from the first that starts. Raises ``ValueError`` for a simulation
    without cement.
    """
    if "cement_arrival" not in simulation.volumes:
        raise ValueError("this simulation holds no cement: simulate a vertebroplasty or a kyphoplasty.")
    arrival, course = simulation.volumes["cement_arrival"], simulation.series["injection"]
    where = np.argwhere(arrival.array > 0.0)
    order = np.argsort(arrival.array[tuple(where.T)], kind="stable")
    injected, leaked = float(course["injected_ml"][-1]), float(course["leaked_ml"][-1])
    if not len(where):
        raise ValueError("no cement got into the bone in this simulation: there is nothing to show.")
    each = np.full(len(where), (injected - leaked) / len(where))
    edge = (1000.0 * arrival.voxel_ml) ** (1.0 / 3.0)
    duration_s = max(float(course["time_s"][-1]), 1e-3)
    pace = Injecting(0.0, min(60.0 * injected / duration_s, 240.0), injected)
    return Course(arrival.world_mm(where[order]), each, edge), pace, _leaks(simulation, injected)


def _leaks(simulation: Simulation, injected_ml: float) -> tuple[Leak, ...]:
    """One leak for each route that cement left by."""
    table = simulation.series["leaks"]
    rows = list(zip(table["leads_to"], table["leaked_ml"], table["starts_at_ml"], strict=True))
    found = []
    for route in Route:
        own = [(ml, at) for leads_to, ml, at in rows if leads_to == route.value and ml > _LEAST_ML]
        if own:
            ml, after = sum(m for m, _ in own), min(a for _, a in own)
            share = ml / max(injected_ml - after, ml)
            found.append(Leak(route, after, ml, max(share, _LEAST_SHARE)))
    return tuple(found)
