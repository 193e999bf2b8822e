"""The vertebra as a surface, with needle and canal inside it: marching cubes, a depth buffer, Lambert's law."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trocar.geometry import LEFT, POSTERIOR, SUPERIOR, Vector, unit
from trocar.planning.trajectory import Trajectory
from trocar.reporting import palette
from trocar.reporting.figures import padded
from trocar.reporting.panel import PIXELS, Panel
from trocar.reporting.views import View, rejected
from trocar.treatment import Plan
from trocar.volume import Volume

#: Grid on which surfaces are drawn, mm, and the smoothing that takes the voxel steps off them (display only):
#: at least so many mm, and at least this share of the longest side of a voxel.
GRID_MM = 1.0
SMOOTHING_MM = 0.8
SMOOTHING_VOXELS = 0.5
#: Needle shown outside the bone, mm.
OUTSIDE_BONE_MM = 28.0
#: How much of what lies behind is hidden by bone and by the canal.
BONE_OPACITY = 0.5
CANAL_OPACITY = 0.6
#: The picture is drawn this much larger and averaged down, against jagged edges.
OVERSAMPLING = 1.5
NEEDLE_SIDES = 36

BONE_RGB = (0.93, 0.89, 0.80)
AMBIENT = 0.42
#: A hollow is seen against the mean over this share of the picture's edge.
HOLLOW_SHARE = 0.02
#: Depth of a hollow that is drawn in full shade, mm.
HOLLOW_MM = 12.0


@dataclass(frozen=True)
class Mesh:
    """Triangles: ``points_mm`` (n, 3) LPS, ``normals`` (n, 3) outward, ``faces`` (m, 3) indices."""

    points_mm: NDArray[np.float64]
    normals: NDArray[np.float64]
    faces: NDArray[np.int64]


def mesh_of(mask: Volume) -> Mesh | None:
    """The smoothed surface of a mask, or None where it is empty."""
    from scipy.ndimage import gaussian_filter
    from skimage.measure import marching_cubes

    if not mask.array.any():
        return None
    mask = padded(mask)
    steps = np.ceil(np.array(mask.shape) * mask.spacing_mm / GRID_MM).astype(int) + 1
    axes = [np.linspace(0.0, n - 1.0, m) for n, m in zip(mask.shape, steps, strict=True)]
    index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    width = max(SMOOTHING_MM, SMOOTHING_VOXELS * max(mask.spacing_mm)) / GRID_MM
    blurred = gaussian_filter(mask.sample(mask.world_mm(index)).astype(np.float32), width)
    if blurred.max() <= 0.5:
        return None
    step = (np.array(mask.shape) - 1.0) / (steps - 1)
    at, faces, normals, _ = marching_cubes(blurred, 0.5)
    points = mask.world_mm(at * step)
    turn = (mask.affine[:3, :3] / np.linalg.norm(mask.affine[:3, :3], axis=0)).T
    return Mesh(points, (normals[:, ::-1] / (step * mask.spacing_mm)[::-1]) @ turn, faces.astype(np.int64))


def cylinder(start_mm: Vector, end_mm: Vector, radius_mm: float) -> Mesh:
    """A closed cylinder, its wall shaded round and its ends flat."""
    d = unit(end_mm - start_mm)
    u = rejected(SUPERIOR, d, LEFT)
    angle = np.linspace(0.0, 2.0 * np.pi, NEEDLE_SIDES, endpoint=False)
    ring = np.cos(angle)[:, None] * u + np.sin(angle)[:, None] * np.cross(d, u)
    wall = np.concatenate([start_mm + radius_mm * ring, end_mm + radius_mm * ring])
    caps = np.concatenate([wall, [start_mm, end_mm]])
    n = np.arange(NEEDLE_SIDES)
    m = (n + 1) % NEEDLE_SIDES
    k = NEEDLE_SIDES
    faces = np.concatenate([np.stack([n, m, n + k], -1), np.stack([m, m + k, n + k], -1)])
    ends = np.concatenate([np.stack([n, m, 0 * n + 2 * k], -1), np.stack([n + k, m + k, 0 * n + 2 * k + 1], -1)])
    flat = np.concatenate([np.tile(-d, (k, 1)), np.tile(d, (k, 1)), [-d, d]])
    return Mesh(np.concatenate([wall, caps]), np.concatenate([ring, ring, flat]), np.concatenate([faces, ends + 2 * k]))


def from_behind(plan: Plan, trajectory: Trajectory) -> View:
    """Seen from behind: the patient's left is on the image's left."""
    return _framed("surface_posterior", "Seen from behind", -POSTERIOR, plan, trajectory)


def from_the_side(plan: Plan, trajectory: Trajectory) -> View:
    """Seen from behind, above and the needle's side."""
    into = unit(-0.75 * POSTERIOR - 0.62 * trajectory.side.sign * LEFT - 0.35 * SUPERIOR)
    title = f"Seen from behind, above and the {trajectory.side.value}"
    return _framed("surface_oblique", title, into, plan, trajectory)


def _framed(name: str, title: str, into: Vector, plan: Plan, trajectory: Trajectory) -> View:
    down = rejected(-SUPERIOR, into, POSTERIOR)
    right = np.cross(down, into)
    corners = plan.anatomy.vertebrae[plan.procedure.level].mask.points_mm()[::7]
    outer = trajectory.entry_mm - trajectory.direction * min(OUTSIDE_BONE_MM, trajectory.skin_to_bone_mm)
    held = np.concatenate([corners, [outer, trajectory.target_mm]])
    flat = np.stack([held @ right, held @ down, held @ into], axis=-1)
    low, high = flat.min(axis=0), flat.max(axis=0)
    centre = (low + high) / 2.0 @ np.stack([right, down, into])
    return View(name, title, centre, right, down, 1.16 * float(np.max(high[:2] - low[:2])))


@njit(cache=True)
def _rasterise(xyz, normals, faces, depth, shade):  # type: ignore[no-untyped-def]
    """Fill ``depth`` (nearest wins, smaller is nearer) and ``shade`` (interpolated normals) with triangles.

    ``xyz`` are (column, row, depth) of the corners; pixel centres lie at whole numbers.
    """
    rows, columns = depth.shape
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, bx, by, cx, cy = xyz[a, 0], xyz[a, 1], xyz[b, 0], xyz[b, 1], xyz[c, 0], xyz[c, 1]
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if abs(area) < 1e-9:
            continue
        for row in range(max(0, int(np.ceil(min(ay, by, cy)))), min(rows - 1, int(np.floor(max(ay, by, cy)))) + 1):
            for col in range(
                max(0, int(np.ceil(min(ax, bx, cx)))), min(columns - 1, int(np.floor(max(ax, bx, cx)))) + 1
            ):
                wb = ((col - ax) * (cy - ay) - (cx - ax) * (row - ay)) / area
                wc = ((bx - ax) * (row - ay) - (col - ax) * (by - ay)) / area
                wa = 1.0 - wb - wc
                if wa < 0.0 or wb < 0.0 or wc < 0.0:
                    continue
                z = wa * xyz[a, 2] + wb * xyz[b, 2] + wc * xyz[c, 2]
                if z < depth[row, col]:
                    depth[row, col] = z
                    for n in range(3):
                        shade[row, col, n] = wa * normals[a, n] + wb * normals[b, n] + wc * normals[c, n]


#: One colour, or one for each point ``(n, 3)``; 0 to 1.
Colour = tuple[float, float, float] | NDArray[np.float32]


@dataclass
class Layer:
    """Depth ``(rows, columns)``, mm, infinite where empty, and colour ``(rows, columns, 3)``, 0 to 1."""

    depth: NDArray[np.float32]
    colour: NDArray[np.float32]


def render(meshes: Sequence[tuple[Mesh, Colour]], view: View, pixels: int) -> Layer:
    """Draw some opaque meshes, each in its colour or in that of its points, into one layer."""
    depth = np.full((pixels, pixels), np.inf, np.float32)
    colour = np.zeros((pixels, pixels, 3), np.float32)
    for mesh, rgb in meshes:
        before = depth.copy()
        shade = np.zeros((pixels, pixels, 3), np.float32)
        at = view.project(mesh.points_mm)
        at[:, :2] = (at[:, :2] / view.size_mm + 0.5) * pixels - 0.5
        _rasterise(at.astype(np.float32), mesh.normals.astype(np.float32), mesh.faces, depth, shade)
        new = depth < before
        own = np.full_like(shade, rgb) if np.ndim(rgb) == 1 else np.zeros_like(shade)
        if np.ndim(rgb) == 2:  # the same triangles once more, with the points' colours in place of normals
            _rasterise(at.astype(np.float32), np.asarray(rgb, np.float32), mesh.faces, before, own)
        colour[new] = _lit(shade[new], view)[:, None] * own[new]
    return Layer(depth, colour)


def _lit(normals: NDArray[np.float32], view: View) -> NDArray[np.float32]:
    """Lambert's law for a light above the viewer's left shoulder, and a fainter one from the front."""
    n = normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-6)
    key = n @ unit(-view.normal - 0.6 * view.right - 0.9 * view.down).astype(np.float32)
    front = n @ (-view.normal).astype(np.float32)
    return AMBIENT + 0.48 * np.clip(key, 0.0, 1.0) + 0.22 * np.clip(front, 0.0, 1.0)


def _sunken(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Darkening of hollows: where the surface lies behind the mean of its surroundings (0 none, up to 0.45)."""
    from scipy.ndimage import gaussian_filter

    seen = np.isfinite(depth)
    if not seen.any():
        return np.zeros_like(depth)
    flat = np.where(seen, depth, depth[seen].max()).astype(np.float32)
    step = 4
    coarse = gaussian_filter(flat[::step, ::step], HOLLOW_SHARE * len(flat) / step)
    around = coarse.repeat(step, axis=0).repeat(step, axis=1)[: len(flat), : len(flat)]
    return np.clip((flat - around) / HOLLOW_MM, 0.0, 0.45).astype(np.float32)


def over(front: Layer, back: Layer, opacity: float) -> Layer:
    """``front`` drawn translucent over ``back`` where it lies before it; alone, either is opaque."""
    has_front, has_back = np.isfinite(front.depth), np.isfinite(back.depth)
    colour = np.where(has_front[..., None], front.colour, back.colour)
    before = has_front & has_back & (front.depth < back.depth)
    colour[before] = opacity * front.colour[before] + (1.0 - opacity) * back.colour[before]
    behind = has_back & ~before
    colour[behind] = back.colour[behind]
    return Layer(np.minimum(front.depth, back.depth), colour)


@dataclass(frozen=True)
class Scene:
    """The meshes of one plan, made once and drawn from several sides."""

    bone: Mesh
    canal: Mesh | None


def scene(plan: Plan) -> Scene:
    """The surfaces of the vertebra and its canal."""
    vertebra = plan.anatomy.vertebrae[plan.procedure.level]
    bone = mesh_of(vertebra.mask)
    if bone is None:
        raise ValueError(f"the mask of {vertebra.level} is empty: nothing to draw.")
    return Scene(bone, mesh_of(vertebra.canal))


def surface_picture(scene: Scene, trajectories: tuple[Trajectory, ...], view: View) -> bytes:
    """One surface view as PNG: translucent bone, canal, needles at true diameter."""
    from PIL import Image

    pixels = int(PIXELS * OVERSAMPLING)
    needles = [(cylinder(t.skin_mm, t.target_mm, t.instrument.radius_mm), _rgb(palette.NEEDLE)) for t in trajectories]
    drawn = render(needles, view, pixels)
    if scene.canal is not None:
        drawn = over(render([(scene.canal, _rgb(palette.VERMILION))], view, pixels), drawn, CANAL_OPACITY)
    bone = render([(scene.bone, BONE_RGB)], view, pixels)
    bone.colour *= (1.0 - _sunken(bone.depth))[..., None]
    drawn = over(bone, drawn, BONE_OPACITY)
    image = np.where(np.isfinite(drawn.depth)[..., None], np.clip(drawn.colour, 0.0, 1.0), _rgb(palette.PANEL))
    whole = Image.fromarray((255.0 * image).astype(np.uint8))
    small = np.asarray(whole.resize((PIXELS, PIXELS), Image.Resampling.BOX))
    panel = Panel(view, strip=False)
    panel.image(small)
    panel.letters()
    panel.scale()
    return panel.png()


def _rgb(colour: str) -> tuple[float, float, float]:
    r, g, b = (int(colour[n : n + 2], 16) / 255.0 for n in (1, 3, 5))
    return r, g, b
