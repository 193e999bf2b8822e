"""The vertebra's own axes, from its endplates and its mirror symmetry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from trocar.anatomy.surface import Grid, Surface
from trocar.geometry import POSTERIOR, SUPERIOR, Plane, Pose, Vector, unit

#: Farthest a wall of the body is looked for from its centre, mm: half the widest lumbar body and some bone spur.
REACH_MM = 40.0
#: Step along a ray when looking for a wall, mm; the wall itself is interpolated.
RAY_STEP_MM = 0.5
#: Spacing of the columns on which endplates are found, mm.
COLUMN_STEP_MM = 1.0
#: Share of the body's footprint used for its endplates: the rim carries bone spurs.
FOOTPRINT_SHARE = 0.8
#: Residual beyond which an endplate point loses weight, mm (Huber).
ENDPLATE_HUBER_MM = 0.7
#: Rounds of frame -> endplates -> frame; the change falls about tenfold a round.
FRAME_ROUNDS = 3
#: Grid step for the symmetry search, mm.
SYMMETRY_STEP_MM = 2.0
#: Steps of the symmetry search, coarse to fine: turn, degrees, and shift, mm. Each looks two steps to either side.
SEARCH_STEPS = ((6.0, 2.0), (2.0, 1.0), (0.7, 0.35))


@dataclass(frozen=True)
class Core:
    """The thickest part of a bone: the centre of what is deepest inside, LPS mm, and how deep it is."""

    centre_mm: Vector
    depth_mm: float
    centroid_mm: Vector


def core(surface: Surface) -> Core:
    """Where the bone is thickest: for a vertebra, inside its body."""
    depth = -surface.volume.array
    deepest = float(depth.max())
    weight = np.maximum(depth - 0.6 * deepest, 0.0)
    inside = np.argwhere(depth > 0.0)
    deep = np.argwhere(weight > 0.0)
    centre = np.average(surface.volume.world_mm(deep), axis=0, weights=weight[tuple(deep.T)].astype(np.float64))
    return Core(centre, deepest, surface.volume.world_mm(inside.mean(axis=0)))


def pose_from(origin_mm: Vector, up: Vector, back: Vector) -> Pose:
    """A pose whose superior is ``up`` and whose posterior is ``back`` made square to it."""
    superior = unit(up)
    posterior = unit(back - (back @ superior) * superior)
    return Pose(origin_mm, np.column_stack([np.cross(posterior, superior), posterior, superior]))


def exit_mm(surface: Surface, starts_mm: NDArray[np.float64], direction: Vector, reach_mm: float = REACH_MM) -> Vector:
    """Distance from each start ``(n, 3)`` (LPS) along ``direction`` to where the bone first ends.

    NaN where the start lies outside the bone; ``reach_mm`` where the bone does not end.
    """
    t = np.arange(0.0, reach_mm + RAY_STEP_MM, RAY_STEP_MM)
    values = surface.at(starts_mm[:, None, :] + t[None, :, None] * direction)
    outside = values >= 0.0
    first = np.where(outside.any(axis=1), outside.argmax(axis=1), len(t) - 1)
    rows = np.arange(len(starts_mm))
    before, after = values[rows, np.maximum(first - 1, 0)], values[rows, first]
    share = np.clip(before / np.where(before == after, -1.0, before - after), 0.0, 1.0)
    found = t[np.maximum(first - 1, 0)] + share * RAY_STEP_MM
    return np.where(outside[:, 0], np.nan, np.where(outside.any(axis=1), found, reach_mm))


@dataclass(frozen=True)
class Footprint:
    """The body seen from above, as an ellipse in its frame: centre and half axes along left and posterior, mm."""

    centre_x_mm: float
    centre_y_mm: float
    half_width_mm: float
    half_depth_mm: float

    def columns(self, share: float) -> NDArray[np.float64]:
        """Local points ``(n, 3)`` at z = 0 within ``share`` of the ellipse."""
        n = int(np.ceil(max(self.half_width_mm, self.half_depth_mm) / COLUMN_STEP_MM))
        steps = np.arange(-n, n + 1) * COLUMN_STEP_MM
        x, y = np.meshgrid(steps, steps)
        keep = (x / self.half_width_mm) ** 2 + (y / self.half_depth_mm) ** 2 <= share**2 + 1e-9
        return np.column_stack([x[keep] + self.centre_x_mm, y[keep] + self.centre_y_mm, np.zeros(int(keep.sum()))])


def footprint(surface: Surface, pose: Pose) -> Footprint:
    """The body's footprint at mid-height: walls in front and behind in the midplane, to the sides before it."""
    z = np.array([-3.0, 0.0, 3.0])
    mid = pose.to_world(np.column_stack([np.zeros(3), np.zeros(3), z]))
    front = _typical(exit_mm(surface, mid, -pose.posterior))
    back = _typical(exit_mm(surface, mid, pose.posterior))
    # in front of the centre, so that the pedicles at the back do not widen it
    ahead = pose.to_world(np.column_stack([np.zeros(3), np.full(3, -0.3 * front), z]))
    left, right = (_typical(exit_mm(surface, ahead, s * pose.left)) for s in (1.0, -1.0))
    return Footprint((left - right) / 2, (back - front) / 2, (left + right) / 2, (front + back) / 2)


def _typical(values: Vector) -> float:
    """The median, or 5 mm where nothing was found."""
    good = values[np.isfinite(values)]
    return max(float(np.median(good)), 5.0) if len(good) else 5.0


def fit_plane(points_mm: NDArray[np.float64], along: Vector, huber_mm: float = ENDPLATE_HUBER_MM) -> Plane:
    """The robust plane through points, its normal on the side of ``along`` (reweighted least squares)."""
    weight = np.ones(len(points_mm))
    centre, normal = points_mm.mean(axis=0), unit(along)
    for _ in range(6):
        centre = np.average(points_mm, axis=0, weights=weight)
        d = points_mm - centre
        normal = np.linalg.svd((d * weight[:, None]).T @ d)[0][:, 2]
        normal = normal if normal @ along > 0 else -normal
        weight = 1.0 / np.maximum(np.abs(d @ normal) / huber_mm, 1.0)
    return Plane(centre, normal)


def endplate_points(surface: Surface, pose: Pose, local: NDArray[np.float64], sign: int) -> NDArray[np.float64]:
    """Where columns from mid-height leave the bone upwards (+1) or downwards (-1): LPS ``(n, 3)``."""
    starts = pose.to_world(local)
    distance = exit_mm(surface, starts, sign * pose.superior, reach_mm=30.0)
    good = np.isfinite(distance) & (distance < 29.0)
    return starts[good] + distance[good, None] * sign * pose.superior


def endplates(surface: Surface, pose: Pose, plan: Footprint) -> dict[str, Plane]:
    """Planes through both endplates within the central part of the body; normals point out of it."""
    columns = plan.columns(FOOTPRINT_SHARE)
    found: dict[str, Plane] = {}
    for name, sign in (("superior", 1), ("inferior", -1)):
        points = endplate_points(surface, pose, columns, sign)
        if len(points) >= 12:
            found[name] = fit_plane(points, sign * pose.superior)
    return found


def own_frame(surface: Surface, middle: Core, up: Vector = SUPERIOR, back: Vector | None = None) -> Pose:
    """The vertebra's frame: superior between its endplates' normals, midplane by mirror symmetry.

    ``up`` is a first guess (the spine's course). The origin is the middle of the body's footprint,
    halfway between the endplates.
    """
    if back is None:
        back = middle.centroid_mm - middle.centre_mm
        back = back if np.linalg.norm(back - (back @ up) * up) > 3.0 else POSTERIOR
    pose = pose_from(middle.centre_mm, up, back)
    for n in range(FRAME_ROUNDS):
        pose = _level(surface, pose)
        pose = _symmetric(surface, pose, SEARCH_STEPS if n == 0 else SEARCH_STEPS[-1:])
    return _level(surface, pose)


def _level(surface: Surface, pose: Pose) -> Pose:
    """The pose turned so that superior lies between the endplates' normals, and centred in the body."""
    plan = footprint(surface, pose)
    plates = endplates(surface, pose, plan)
    if len(plates) < 2:
        return pose
    up = plates["superior"].normal - plates["inferior"].normal
    local = np.array([plan.centre_x_mm, plan.centre_y_mm, 0.0])
    over, under = (pose.to_local(plates[n].point_mm)[2] for n in ("superior", "inferior"))
    local[2] = (over + under) / 2
    return pose_from(pose.to_world(local), up, pose.posterior)


def _symmetric(surface: Surface, pose: Pose, steps: tuple[tuple[float, float], ...]) -> Pose:
    """The pose turned about superior and shifted sideways to where the bone is most like its mirror image."""
    inside = surface.volume.world_mm(np.argwhere(surface.volume.array < 0.0))
    grid = Grid.around(pose, inside, SYMMETRY_STEP_MM, 2.0)
    density = np.clip(0.5 - surface.on(grid) / SYMMETRY_STEP_MM, 0.0, 1.0)
    index = np.argwhere(density > 0.25)
    weight = density[tuple(index.T)].astype(np.float64)
    points = (index[:, ::-1] + np.asarray(grid.low)) * SYMMETRY_STEP_MM

    def likeness(turn_rad: float, shift_mm: float) -> float:
        """Overlap of the bone with its mirror image in the plane turned and shifted."""
        normal = np.array([np.cos(turn_rad), np.sin(turn_rad), 0.0])
        mirrored = points - 2.0 * (points @ normal - shift_mm)[:, None] * normal
        at = (mirrored / SYMMETRY_STEP_MM - np.asarray(grid.low))[:, ::-1]
        return float(weight @ map_coordinates(density, at.T, output=np.float64, order=1, mode="constant"))

    turn, shift = 0.0, 0.0
    for turn_deg, shift_mm in steps:
        turn, shift = _around(likeness, turn, shift, np.radians(turn_deg), shift_mm)
    normal = np.array([np.cos(turn), np.sin(turn), 0.0])
    origin = pose.to_world(shift * normal)
    left = pose.axes @ normal
    return Pose(origin, np.column_stack([left, np.cross(pose.superior, left), pose.superior]))


def _around(
    f: Callable[[float, float], float], turn: float, shift: float, turn_step: float, shift_step: float
) -> tuple[float, float]:
    """The best of a 5x5 neighbourhood, refined by parabolas along both axes."""
    steps = np.arange(-2, 3)
    values = np.array([[f(turn + a * turn_step, shift + b * shift_step) for b in steps] for a in steps])
    a, b = np.unravel_index(int(values.argmax()), values.shape)
    da = _vertex(values[:, b], int(a))
    db = _vertex(values[a, :], int(b))
    return turn + (steps[a] + da) * turn_step, shift + (steps[b] + db) * shift_step


def _vertex(values: Vector, at: int) -> float:
    """Offset of a parabola's top from the sample ``at``, -0.5 to 0.5 steps; 0 at an end."""
    if not 0 < at < len(values) - 1:
        return 0.0
    a, b, c = values[at - 1], values[at], values[at + 1]
    bend = a - 2 * b + c
    return float(np.clip(0.5 * (a - c) / bend, -0.5, 0.5)) if bend < 0 else 0.0
