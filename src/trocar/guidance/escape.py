"""A shape for cement that has left a vertebra, so that the leak alarm has something to find.

The flow model says how much leaves by which way and when, not what it looks like outside. Each route is given a shape
here: **a modelling choice for testing the alarm, no prediction.** A leak grows voxel by voxel from an outlet through
the room that anatomy leaves it (:mod:`trocar.guidance.growth`): never through bone, inside the canal for an epidural
leak, inside the disc space for a leak into the disc, and so on; widths and stretches are our own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trocar.errors import SimulationError
from trocar.geometry import Side, Vector, frozen
from trocar.guidance.growth import Course, grown, texture
from trocar.guidance.neighbourhood import Neighbourhood
from trocar.injection.routes import Route
from trocar.planning.trajectory import Trajectory
from trocar.volume import Volume

Mask = NDArray[np.bool_]
Field = NDArray[np.floating]

#: How thick a sheet on a wall is before growing thicker costs as much as growing wider, mm.
SHEET_MM = 1.5
#: Room on a wall, off the bone, and in front of the dura, mm.
WALL_MM, EPIDURAL_MM = 6.0, 4.0
#: How high disc space is looked for above an endplate, mm; bone ends it before.
DISC_MM = 10.0
#: Sectors about the vertebra's own axis, degrees from straight in front.
ANTERIOR_DEG, LATERAL_DEG = (0.0, 45.0), (45.0, 115.0)
#: A vein runs this far off the wall, from this angle to that, then so far towards the head, mm and degrees.
VEIN_OFF_MM, VEIN_DEG, VEIN_RISE_MM = 2.0, (100.0, 25.0), 18.0
#: Radii that a vein can have, mm; the larger one is needed by larger leaks.
VEIN_RADII_MM = (1.0, 1.4, 1.8, 2.4, 3.0)
#: Room about a needle for cement that comes back along it, and how far back, mm.
TRACT_ROOM_MM, TRACT_BACK_MM = 2.0, 40.0
#: How far a root foramen's room reaches beyond its mask, and outwards from it, mm.
FORAMEN_ROOM_MM, FORAMEN_OUT_MM = 1.5, 12.0


@dataclass(frozen=True, eq=False)
class Escape:
    """Cement outside: by which route, on which side (None: the middle), from where, its course and its room."""

    route: Route
    side: Side | None
    outlet_mm: Vector
    course: Course
    region: Volume

    def __post_init__(self) -> None:
        object.__setattr__(self, "outlet_mm", frozen(self.outlet_mm))

    @property
    def arrival(self) -> Volume:
        """How much had leaked when a voxel was reached, ml, 0 where it never is; on a grid of its own, LPS."""
        return self.course.arrival(self.region)


@dataclass(frozen=True, eq=False)
class _Way:
    """Room, outlet, what growing costs there and how far a step counts along the vertebra's own axes."""

    region: Mask
    outlet_mm: Vector
    cost: Field | float = 1.0
    stretch: tuple[float, float, float] = (1.0, 1.0, 1.0)


def escape(
    around: Neighbourhood,
    route: Route,
    ml: float,
    rng: np.random.Generator,
    *,
    side: Side | None = None,
    path: Trajectory | None = None,
    outlet_mm: Vector | None = None,
) -> Escape:
    """``ml`` of cement outside the vertebra by a route; the same seed gives the same shape.

    ``side`` is drawn where the route has one and none is asked for; ``path`` is the needle that a tract needs;
    ``outlet_mm`` is where it leaves, drawn where not given. Raises ``ValueError`` for an arterial leak, which has no
    shape here, or an amount that is not positive, and :class:`trocar.errors.SimulationError` where this patient has
    no room for such a leak.
    """
    if not ml > 0.0:
        raise ValueError(f"ml={ml}: a leak is more than 0 ml.")
    if route not in _WAYS:
        raise ValueError(f"a leak of the kind {route.value!r} has no shape here; choose another route.")
    sided = route in (Route.FORAMINAL, Route.LATERAL, Route.VENOUS)
    chosen = (side or (Side.LEFT, Side.RIGHT)[int(rng.integers(2))]) if sided else None
    if route is Route.FORAMINAL and side is None:
        chosen = _side_with_foramen(around, chosen)
    way = _WAYS[route](around, chosen, ml, rng, path)
    if not way.region.any():
        raise SimulationError(
            f"{around.level} has no room for a leak of the kind {route.value!r} here: choose another."
        )
    start = way.outlet_mm if outlet_mm is None else np.asarray(outlet_mm)
    rough = texture(around.grid.shape, around.step_mm, rng)
    cost = np.where(way.region, way.cost * rough, np.inf).astype(np.float32)
    axes = around.frame.axes
    stretch = axes @ np.diag(way.stretch) @ axes.T
    try:
        course = grown(around.grid, cost, start, ml, stretch)
    except SimulationError as full:
        raise SimulationError(f"A leak of the kind {route.value!r} at {around.level}: {full}") from full
    region = Volume(way.region, around.grid.affine, around.grid.frame_of_reference, "mask")
    return Escape(route, chosen, course.points_mm[0], course, region)


def _disc(around: Neighbourhood, side: Side | None, ml: float, rng: np.random.Generator, path: object) -> _Way:
    """A flat sheet on one endplate, within the body's outline seen from above."""
    plate = around.vertebra.endplates[("superior", "inferior")[int(rng.integers(2))]]
    height = plate.height_mm(around.points_mm).astype(np.float32)
    region = around.free & (height > -4.0) & (height < DISC_MM) & around.outline & ~around.canal
    at = np.argwhere(region & (np.abs(height) < 1.5))
    if not len(at):
        return _Way(np.zeros_like(region), np.zeros(3))
    region = _joined_to(region, at[int(rng.integers(len(at)))])
    start = around.grid.world_mm(at[int(rng.integers(len(at)))])
    return _Way(region, start, 1.0 + (np.maximum(height, 0.0) / (2.0 * SHEET_MM)) ** 2, (1.0, 1.0, 2.0))


def _epidural(around: Neighbourhood, side: Side | None, ml: float, rng: np.random.Generator, path: object) -> _Way:
    """A sheet along the back of the body, in front of the dura."""
    behind = around.behind_front_of_canal_mm
    region = around.canal & around.free & (behind <= EPIDURAL_MM) & ~around.structure("spinal_cord")
    start = around.local_mm(rng.uniform(-4.0, 4.0), around.extent_mm[1][1] + 1.0, rng.uniform(-4.0, 4.0))
    return _Way(region, start, 1.0 + (behind / SHEET_MM) ** 2, (1.0, 2.0, 0.7))


def _foraminal(around: Neighbourhood, side: Side | None, ml: float, rng: np.random.Generator, path: object) -> _Way:
    """Through a root foramen and a little out of it."""
    assert side is not None
    hole = around.structure(f"foramen_{around.level}_{side.value}")
    if not hole.any():
        return _Way(hole, np.zeros(3))
    near = ndimage.distance_transform_edt(~hole) * around.step_mm <= FORAMEN_ROOM_MM
    middle = around.grid.world_mm(np.argwhere(hole)).mean(axis=0)
    out = around.frame.axes @ np.array((0.9 * side.sign, -0.3, -0.3))
    region = (near | around.capsule(middle, middle + FORAMEN_OUT_MM * out, 4.0)) & around.free
    corner = around.local_mm(0.7 * side.sign * around.extent_mm[0][1], around.extent_mm[1][1], -4.0)
    return _Way(region, corner, 1.0)


def _anterior(around: Neighbourhood, side: Side | None, ml: float, rng: np.random.Generator, path: object) -> _Way:
    """A sheet on the front wall."""
    return _on_wall(around, around.bearing_deg < ANTERIOR_DEG[1], rng)


def _lateral(around: Neighbourhood, side: Side | None, ml: float, rng: np.random.Generator, path: object) -> _Way:
    """A sheet on the side wall."""
    assert side is not None
    low, high = LATERAL_DEG
    sector = (around.bearing_deg >= low) & (around.bearing_deg < high) & (around.local[0] * side.sign > 0.0)
    return _on_wall(around, sector, rng)


def _on_wall(around: Neighbourhood, sector: Mask, rng: np.random.Generator) -> _Way:
    """A sheet on the wall in a sector, from somewhere at the height of the body."""
    off, (low, high) = around.off_body_mm, around.extent_mm[2]
    closed = around.canal | around.structure("aorta") | around.structure("inferior_vena_cava") | around.roots
    region = around.free & sector & (off > 0.0) & (off <= WALL_MM) & ~closed
    region &= (around.local[2] > low - 4.0) & (around.local[2] < high + 4.0)
    middle = 0.5 * (low + high)
    at = np.argwhere(region & (off < 1.5 * around.step_mm) & (np.abs(around.local[2] - middle) < 0.35 * (high - low)))
    if not len(at):
        return _Way(np.zeros_like(region), np.zeros(3))
    start = at[int(rng.integers(len(at)))]
    return _Way(_joined_to(region, start), around.grid.world_mm(start), 1.0 + (off / SHEET_MM) ** 2)


def _venous(around: Neighbourhood, side: Side | None, ml: float, rng: np.random.Generator, path: object) -> _Way:
    """A segmental vein: round the waist to the front, then towards the head, as wide as the leak asks for."""
    assert side is not None
    line = around.along_wall_mm(
        side, VEIN_DEG, VEIN_RISE_MM * rng.uniform(0.8, 1.2), VEIN_OFF_MM, rng.uniform(-2.0, 2.0)
    )
    away = around.away_from_mm(line)
    off = ~(around.canal | around.bone)
    for radius in VEIN_RADII_MM:
        region = _joined_to_mm(around, off & (away <= radius), line[0])
        if region.sum() * around.step_mm**3 >= 1000.0 * ml:
            break
    return _Way(region, line[0], 1.0)


def _tract(
    around: Neighbourhood, side: Side | None, ml: float, rng: np.random.Generator, path: Trajectory | None
) -> _Way:
    """Back along the needle, from where it enters bone."""
    if path is None:
        raise SimulationError("a leak along the needle's tract needs a needle: give its path.")
    back = (around.points_mm - path.entry_mm) @ -path.direction
    radial = path.axis.distance_mm(around.points_mm)
    radius = path.instrument.radius_mm
    region = (radial >= radius) & (radial <= radius + TRACT_ROOM_MM) & (back > 0.0) & (back < TRACT_BACK_MM)
    region &= around.free & ~around.canal
    cost = 1.0 + ((radial - radius) / (0.5 * SHEET_MM)) ** 2
    return _Way(_joined_to_mm(around, region, path.entry_mm), path.entry_mm, cost)


_WAYS: dict[Route, Callable[[Neighbourhood, Side | None, float, np.random.Generator, Trajectory | None], _Way]] = {
    Route.DISC: _disc,
    Route.EPIDURAL: _epidural,
    Route.FORAMINAL: _foraminal,
    Route.ANTERIOR: _anterior,
    Route.LATERAL: _lateral,
    Route.VENOUS: _venous,
    Route.TRACT: _tract,
}
#: The routes that have a shape here.
ROUTES: tuple[Route, ...] = tuple(_WAYS)


def _side_with_foramen(around: Neighbourhood, drawn: Side | None) -> Side | None:
    """The drawn side where it has a foramen, else the other."""
    assert drawn is not None
    return drawn if around.structure(f"foramen_{around.level}_{drawn.value}").any() else drawn.other


def _joined_to(region: Mask, at: NDArray[np.int64]) -> Mask:
    """The part of a region that hangs together with one of its voxels."""
    parts, _ = ndimage.label(region, np.ones((3, 3, 3)))
    return parts == parts[tuple(at)]


def _joined_to_mm(around: Neighbourhood, region: Mask, point_mm: Vector) -> Mask:
    """The part of a region that hangs together with its voxel nearest to a point; nothing of an empty one."""
    at = np.argwhere(region)
    if not len(at):
        return region
    return _joined_to(region, at[np.argmin(np.sum((around.grid.world_mm(at) - point_mm) ** 2, axis=1))])
