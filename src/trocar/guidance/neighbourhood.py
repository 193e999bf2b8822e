"""What lies about one vertebra, on a fine grid of its own: bone, canal, outline, how far off the body a place is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.vertebra import Vertebra
from trocar.geometry import POSTERIOR, Pose, Side, Vector
from trocar.guidance.growth import box
from trocar.volume import Volume

Mask = NDArray[np.bool_]
#: Half of the grid along left, posterior, superior, how far behind the body's centre its middle lies, and its voxels'
#: edge, mm: as far behind as a needle's entry and what comes back along it.
HALF_MM, BEHIND_MM, STEP_MM = (48.0, 60.0, 38.0), 16.0, 0.8


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """A vertebra and its neighbourhood; masks are ``[k, j, i]`` on :attr:`grid`, which runs along LPS."""

    anatomy: Anatomy
    level: Level
    step_mm: float = STEP_MM

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", Level.parse(self.level))
        self.anatomy.vertebra(self.level)  # refuses one that is absent or cut

    @property
    def vertebra(self) -> Vertebra:
        """The vertebra."""
        return self.anatomy.vertebra(self.level)

    @property
    def frame(self) -> Pose:
        """Its own frame."""
        return self.vertebra.frame

    @cached_property
    def grid(self) -> Volume:
        """An empty mask about the body and its arch."""
        empty = box(self.frame.origin_mm + BEHIND_MM * POSTERIOR, HALF_MM, self.step_mm)
        return Volume(empty.array, empty.affine, self.anatomy.ct.frame_of_reference, "mask")

    @cached_property
    def points_mm(self) -> NDArray[np.float64]:
        """LPS position of each voxel, ``[k, j, i, 3]``."""
        return self.grid.world_mm(np.moveaxis(np.indices(self.grid.shape), 0, -1))

    @cached_property
    def local(self) -> NDArray[np.float32]:
        """Left, posterior and superior of each voxel in the vertebra's own frame, ``[3, k, j, i]``, mm."""
        return np.moveaxis(self.frame.to_local(self.points_mm), -1, 0).astype(np.float32)

    def local_mm(self, left: float, posterior: float, superior: float) -> Vector:
        """LPS position of a point of the vertebra's own frame."""
        return np.asarray(self.frame.to_world(np.array((left, posterior, superior))))

    def on_grid(self, mask: Volume) -> Mask:
        """A mask on this grid, smooth between the scan's slices."""
        share = Volume(mask.array.astype(np.float32), mask.affine, mask.frame_of_reference, "1").onto(self.grid)
        return share.array >= 0.5

    def structure(self, name: str) -> Mask:
        """A labelled or derived structure by name; nothing where the labels lack it."""
        mask = self.anatomy.structures.get(name)
        return np.zeros(self.grid.shape, bool) if mask is None else self.on_grid(mask)

    @cached_property
    def body(self) -> Mask:
        """The vertebral body."""
        return self.on_grid(self.vertebra.body)

    @cached_property
    def bone(self) -> Mask:
        """All vertebrae and ribs that reach into the grid."""
        ribs = [m for name, m in self.anatomy.structures.items() if name.startswith("rib_") or name == "sacrum"]
        masks = [v.mask for v in self.anatomy.vertebrae.values()] + ribs
        return np.logical_or.reduce([self.on_grid(m) for m in masks if _near(m, self.grid)])

    @cached_property
    def canal(self) -> Mask:
        """The spinal canal."""
        return (self.on_grid(self.vertebra.canal) | self.structure("spinal_canal")) & ~self.bone

    @cached_property
    def roots(self) -> Mask:
        """The root foramina that reach into the grid."""
        found = [m for name, m in self.anatomy.structures.items() if name.startswith("foramen_")]
        masks = [self.on_grid(m) for m in found if _near(m, self.grid)]
        return np.logical_or.reduce(masks) if masks else np.zeros(self.grid.shape, bool)

    @cached_property
    def free(self) -> Mask:
        """No bone, and inside the skin."""
        return ~self.bone & self.on_grid(self.anatomy.skin)

    @cached_property
    def off_body_mm(self) -> NDArray[np.float32]:
        """Distance to the vertebral body, 0 inside."""
        return (ndimage.distance_transform_edt(~self.body) * self.step_mm).astype(np.float32)

    @cached_property
    def extent_mm(self) -> NDArray[np.float64]:
        """Least and greatest left, posterior, superior of the body in its own frame, ``[3, 2]``."""
        inside = self.local[:, self.body]
        return np.asarray(np.percentile(inside, (1.0, 99.0), axis=1).T, dtype=np.float64)

    @cached_property
    def bearing_deg(self) -> NDArray[np.float32]:
        """Angle about the vertebra's axis from straight in front, 0 to 180 to either side."""
        return np.degrees(np.arctan2(np.abs(self.local[0]), -self.local[1])).astype(np.float32)

    @cached_property
    def outline(self) -> Mask:
        """Everything above, in or below the body: its outline along its own axis."""
        cells = np.rint(self.local[:2] / self.step_mm).astype(int)
        low = cells.reshape(2, -1).min(axis=1)
        flat = cells - low[:, None, None, None]
        seen = np.zeros(flat.reshape(2, -1).max(axis=1) + 1, bool)
        seen[flat[0][self.body], flat[1][self.body]] = True
        seen = ndimage.binary_erosion(ndimage.binary_closing(seen, iterations=2), iterations=1)
        return seen[flat[0], flat[1]]

    @cached_property
    def behind_front_of_canal_mm(self) -> NDArray[np.float32]:
        """How far behind the front border of the canal a voxel of it lies; large outside it."""
        j = np.arange(self.grid.shape[1])[None, :, None]
        front = np.where(self.canal.any(axis=1), self.canal.argmax(axis=1), 10_000)[:, None, :]
        return np.where(self.canal, (j - front + 0.5) * self.step_mm, 1e3).astype(np.float32)

    def away_from_mm(self, line_mm: NDArray[np.float64]) -> NDArray[np.float32]:
        """Distance of each voxel to a densely sampled line ``(n, 3)``."""
        index = np.rint(self.grid.index_kji(line_mm)).astype(int)
        inside = np.all((index >= 0) & (index < self.grid.shape), axis=1)
        off = np.ones(self.grid.shape, bool)
        off[tuple(index[inside].T)] = False
        return (ndimage.distance_transform_edt(off) * self.step_mm).astype(np.float32)

    def capsule(self, start_mm: Vector, end_mm: Vector, radius_mm: float) -> Mask:
        """Everything within a radius of the stretch between two points."""
        share = np.linspace(0.0, 1.0, 1 + int(np.linalg.norm(end_mm - start_mm) / (0.4 * self.step_mm)))[:, None]
        return self.away_from_mm(start_mm + share * (end_mm - start_mm)) <= radius_mm

    def along_wall_mm(
        self, side: Side, bearings_deg: tuple[float, float], rise_mm: float, off_mm: float, height_mm: float
    ) -> NDArray[np.float64]:
        """A line ``off_mm`` off the wall, LPS ``(n, 3)``: round the waist between two bearings, then up."""
        around = [(b, height_mm) for b in np.linspace(*bearings_deg, 160)]
        up = [(bearings_deg[1], height_mm + h) for h in np.linspace(0.0, rise_mm, 60)[1:]]
        local = [self._off_wall(side, bearing, height, off_mm) for bearing, height in around + up]
        smooth = ndimage.uniform_filter1d(np.array(local), 9, axis=0, mode="nearest")
        return np.asarray(self.frame.to_world(smooth))

    def _off_wall(self, side: Side, bearing_deg: float, height_mm: float, off_mm: float) -> Vector:
        """The vertebra's own coordinates of the place beyond all bone of the body in one direction from its axis."""
        b = np.radians(bearing_deg)
        out = np.array((side.sign * np.sin(b), -np.cos(b), 0.0))
        radii = np.arange(0.0, 40.0, 0.5 * self.step_mm)
        line = self.frame.to_world(radii[:, None] * out + np.array((0.0, 0.0, height_mm)))
        low, high = self.extent_mm[2]
        near = np.clip(height_mm, low + 1.0, high - 1.0)
        body = Volume(self.body, self.grid.affine, unit="mask")
        inside = body.sample(line + (near - height_mm) * self.frame.superior, order=0) > 0.5
        last = radii[np.flatnonzero(inside)[-1]] if inside.any() else 0.0
        return (last + off_mm) * out + np.array((0.0, 0.0, height_mm))


def _near(mask: Volume, grid: Volume) -> bool:
    """Whether the boxes of two grids about LPS axes overlap."""
    ends = [np.sort(v.world_mm(np.array([(0, 0, 0), v.shape]) - [[0], [1]]), axis=0) for v in (mask, grid)]
    return bool(np.all(ends[0][0] <= ends[1][1]) and np.all(ends[1][0] <= ends[0][1]))
