"""The outer surface of the bone that cement can flow in, and where each piece of it opens to.

Arrays are on a bone model's grid, ``[k, j, i]`` with k superior, j posterior, i to the patient's left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, gaussian_filter
from scipy.spatial import cKDTree

from trocar.anatomy.patient import Anatomy
from trocar.anatomy.vertebra import Part
from trocar.errors import LevelError
from trocar.injection.routes import Route
from trocar.mechanics.ends import endplates
from trocar.mechanics.filling import Mask, body_of
from trocar.mechanics.model import BoneModel
from trocar.planning.access import Kind, kind_of
from trocar.volume import Volume

#: The surface's direction is that of the bone blurred over this distance (1 SD), mm: voxel steps are smaller.
SMOOTH_MM = 1.5
#: A wall opens to the canal or a foramen that lies within this distance along its outward direction, mm: the depth of a
#: hole that reaches to the middle of the pedicles' base.
REACH_MM, REACH_STEP_MM = 8.0, 0.5
#: A surface of the body that leans less than this from the horizontal may be endplate, degrees.
ENDPLATE_DEG = 50.0
#: A wall that faces less than this from straight ahead is the front, less than the second the side; beyond is behind.
FRONT_DEG, SIDE_DEG = 45.0, 120.0
#: A surface steeper than this faces no side at all, degrees from the horizontal plane.
STEEP_DEG = 65.0

#: The parts that are porous throughout; the arch is mostly cortex and takes cement only along a needle.
POROUS = (Part.BODY, Part.PEDICLE_LEFT, Part.PEDICLE_RIGHT)
PEDICLES = (Part.PEDICLE_LEFT, Part.PEDICLE_RIGHT)
#: Every route by its number in :attr:`Skin.route`.
ROUTES = tuple(Route)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Skin:
    """The outermost voxels of the porous bone.

    ``cells`` ``(n, 3)`` are their k, j, i, ``outward`` ``(n, 3)`` unit directions along k, j, i out of the bone,
    ``area_mm2`` ``(n,)`` the surface each stands for, ``route`` ``(n,)`` the index in :data:`ROUTES` of what it opens
    to, ``part`` ``(n,)`` the part of the vertebra. ``porous`` ``[k, j, i]`` is the bone itself.
    """

    cells: Ints
    outward: Floats
    area_mm2: Floats
    route: Ints
    part: NDArray[np.uint8]
    porous: Mask

    def opens_to(self, route: Route) -> NDArray[np.bool_]:
        """Which voxels open there, ``(n,)``."""
        return np.asarray(self.route == ROUTES.index(route))

    def marked(self, which: NDArray[np.bool_]) -> Mask:
        """Some of its voxels ``(n,)`` on the model's grid, ``[k, j, i]``."""
        out = np.zeros(self.porous.shape, bool)
        out[tuple(self.cells[which].T)] = True
        return out

    @property
    def pedicle(self) -> NDArray[np.bool_]:
        """Which voxels belong to a pedicle, ``(n,)``."""
        return np.isin(self.part, [int(p) for p in PEDICLES])


def porous_region(model: BoneModel) -> Mask:
    """Where cement may flow: body and pedicles, with what the bone encloses, ``[k, j, i]``."""
    inside = np.asarray(binary_fill_holes(model.solid.filled))
    return inside & np.isin(model.parts, [int(p) for p in POROUS])


def skin_of(model: BoneModel, anatomy: Anatomy) -> Skin:
    """The surface of the porous bone, and where each voxel of it opens to.

    Towards the canal or a root foramen where one lies before it; towards the disc at the endplates; else by the way
    the wall faces. Raises ``ValueError`` for a model without posterior elements and :class:`LevelError` where no
    part of the body faces a canal.
    """
    if not model.solid.filled[model.parts == Part.ARCH].any():
        raise ValueError(f"the model of {model.level} has no posterior elements: build it with arch=True.")
    bone = np.asarray(binary_fill_holes(model.solid.filled))
    porous = porous_region(model)
    faces = free_faces(bone)
    cells = np.argwhere(porous & faces.any(axis=0))
    outward = _outward(bone, model.solid.spacing_mm)[:, *cells.T].T
    area = faces[:, *cells.T].T * _face_mm2(model.solid.spacing_mm) * np.abs(outward)
    part = model.parts[tuple(cells.T)]
    route = _routes(model, anatomy, cells, outward, part)
    skin = Skin(cells, outward, area.sum(axis=1), route, part, porous)
    if not (skin.opens_to(Route.EPIDURAL) & ~skin.pedicle).any():
        raise LevelError(
            f"no wall of the body of {model.level} faces a spinal canal: where cement leaks to cannot be told. "
            "Label the whole vertebra, with its arch, and leave the canal free."
        )
    return skin


def endplate_cells(model: BoneModel, upper: bool) -> Mask:
    """The outermost voxel of each column of an endplate, ``[k, j, i]``."""
    body = body_of(model)
    plate = endplates(body, model.solid.spacing_mm)[0 if upper else 1]
    k = plate.surface - 1 if upper else plate.surface
    return (np.arange(body.shape[0])[:, None, None] == k) & plate.footprint


def places_mm(model: BoneModel, cells: Ints) -> Floats:
    """LPS positions ``(n, 3)`` of the middles of voxels ``(n, 3)`` (k, j, i)."""
    return cells[:, ::-1] @ model.affine[:3, :3].T + model.affine[:3, 3]


def directions_lps(model: BoneModel, ways: Floats) -> Floats:
    """Unit directions along k, j, i ``(n, 3)`` as LPS directions."""
    axes = model.affine[:3, :3] / np.linalg.norm(model.affine[:3, :3], axis=0)
    return ways[:, ::-1] @ axes.T


def free_faces(bone: Mask) -> NDArray[np.float64]:
    """How many of a voxel's two faces across each axis are free, ``[3, k, j, i]``; 0 outside the bone."""
    padded = np.pad(bone, 1)
    free = [
        sum(~np.roll(padded, step, axis=axis)[1:-1, 1:-1, 1:-1] & bone for step in (-1, 1)) * 1.0 for axis in range(3)
    ]
    return np.stack([np.asarray(f, np.float64) for f in free])


def _face_mm2(spacing_mm: tuple[float, float, float]) -> Floats:
    """Area of the faces across k, j, i."""
    return np.prod(spacing_mm) / np.asarray(spacing_mm)


def _outward(bone: Mask, spacing_mm: tuple[float, float, float]) -> Floats:
    """Unit directions out of the bone, ``[3, k, j, i]``; 0 where there is none."""
    sigma = [SMOOTH_MM / h for h in spacing_mm]
    room = int(np.ceil(4.0 * max(sigma)))
    blurred = gaussian_filter(np.pad(bone, room).astype(np.float64), sigma)
    slope = -np.stack(np.gradient(blurred, *spacing_mm))[:, room:-room, room:-room, room:-room]
    size = np.linalg.norm(slope, axis=0)
    return slope / np.maximum(size, 1e-12)


def _routes(model: BoneModel, anatomy: Anatomy, cells: Ints, outward: Floats, part: NDArray[np.uint8]) -> Ints:
    """What each voxel opens to, as an index in :data:`ROUTES`."""
    route = _by_what_lies_before(model, anatomy, cells, outward)
    disc = _is_endplate(model, cells, outward)
    route = np.where(disc, ROUTES.index(Route.DISC), route)
    faced = by_facing(outward, np.isin(part, [int(p) for p in PEDICLES]))
    route = np.where(route < 0, faced, route)
    return _from_neighbours(route, cells * np.asarray(model.solid.spacing_mm))


def _is_endplate(model: BoneModel, cells: Ints, outward: Floats) -> NDArray[np.bool_]:
    level = np.abs(outward[:, 0]) >= np.cos(np.radians(ENDPLATE_DEG))
    up = endplate_cells(model, True)[tuple(cells.T)] & (outward[:, 0] > 0.0)
    down = endplate_cells(model, False)[tuple(cells.T)] & (outward[:, 0] < 0.0)
    return np.asarray(level & (up | down))


def _by_what_lies_before(model: BoneModel, anatomy: Anatomy, cells: Ints, outward: Floats) -> Ints:
    """Epidural or foraminal where the canal or a foramen lies before the wall, the nearer of both; else -1."""
    start, way = places_mm(model, cells), directions_lps(model, outward)
    steps = np.arange(REACH_STEP_MM, REACH_MM + REACH_STEP_MM / 2, REACH_STEP_MM)
    rows = start[:, None] + steps[:, None] * way[:, None]
    first = {
        Route.EPIDURAL: _first_in(_canals(anatomy, model), rows, steps),
        Route.FORAMINAL: _first_in(_of_kind(anatomy, Kind.ROOT), rows, steps),
    }
    nearest = np.minimum(*first.values())
    canal_first = first[Route.EPIDURAL] <= first[Route.FORAMINAL]
    found = np.where(canal_first, ROUTES.index(Route.EPIDURAL), ROUTES.index(Route.FORAMINAL))
    return np.where(np.isfinite(nearest), found, -1)


def _canals(anatomy: Anatomy, model: BoneModel) -> list[Volume]:
    return [anatomy.vertebra(model.level).canal, *_of_kind(anatomy, Kind.CANAL)]


def _of_kind(anatomy: Anatomy, kind: Kind) -> list[Volume]:
    return [mask for name, mask in anatomy.structures.items() if kind_of(name) is kind]


def _first_in(masks: list[Volume], rows: Floats, steps: Floats) -> Floats:
    """The step at which each row first lies in one of the masks; infinite where it does not."""
    first = np.full(len(rows), np.inf)
    for mask in masks:
        hit = mask.sample(rows, order=0) > 0.5
        first = np.minimum(first, np.where(hit.any(axis=1), steps[hit.argmax(axis=1)], np.inf))
    return first


def by_facing(outward: Floats, pedicle: NDArray[np.bool_]) -> Ints:
    """Front, side or foramen by the way a wall faces; -1 where it faces up or down.

    Beside the canal a body's wall that faces backwards, and a pedicle's that faces up or down, bound a root foramen.
    """
    across = np.degrees(np.arctan2(np.abs(outward[:, 2]), -outward[:, 1]))
    steep = np.abs(outward[:, 0]) > np.sin(np.radians(STEEP_DEG))
    names = [Route.ANTERIOR, Route.LATERAL, Route.FORAMINAL]
    numbers = np.array([ROUTES.index(r) for r in names])
    out = numbers[np.searchsorted([FRONT_DEG, SIDE_DEG], across, side="left")]
    out = np.where(pedicle & (out == numbers[0]), numbers[1], out)
    return np.where(steep, np.where(pedicle, numbers[2], -1), out)


def _from_neighbours(route: Ints, places: Floats) -> Ints:
    """The same with what is not told taken from the nearest voxel that is."""
    told = route >= 0
    if told.all() or not told.any():
        return route
    nearest = cKDTree(places[told]).query(places[~told])[1]
    out = route.copy()
    out[~told] = route[told][nearest]
    return out
