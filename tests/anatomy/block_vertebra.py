"""A vertebra of boxes and rods whose every measure is known in closed form."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from trocar.anatomy.frame import core
from trocar.anatomy.levels import Level
from trocar.anatomy.reading import Bone
from trocar.anatomy.surface import Surface
from trocar.geometry import Pose, Side, unit
from trocar.volume import Volume


@dataclass(frozen=True)
class BlockVertebra:
    """A box for the body, two waisted elliptical rods for pedicles, a plate with a spine behind the canal.

    In its own frame (origin at the body's centre): the body is ``width`` x ``depth`` x ``height`` mm and
    lower in front by ``wedge_mm``; the canal is a box 20 mm wide and 20 mm deep behind it; the
    pedicles pass through (+-14, depth / 2 + 7, 4) mm at the given angles, there 8 x 14 mm.
    """

    width: float = 40.0
    depth: float = 30.0
    height: float = 26.0
    wedge_mm: float = 0.0
    transverse_deg: float = 15.0
    sagittal_deg: float = 5.0
    radii: tuple[float, float] = (4.0, 7.0)
    pose: Pose = field(default_factory=lambda: Pose(np.zeros(3), np.eye(3)))

    @property
    def wall(self) -> float:
        return 0.5 * self.depth

    def isthmus(self, side: Side) -> NDArray[np.float64]:
        return np.array([side.sign * 14.0, self.wall + 7.0, 4.0])

    def direction(self, side: Side) -> NDArray[np.float64]:
        t, s = np.radians(self.transverse_deg), np.radians(self.sagittal_deg)
        return np.array([-side.sign * np.sin(t) * np.cos(s), -np.cos(t) * np.cos(s), np.sin(s)])

    def height_at(self, y: float) -> float:
        return self.height - self.wedge_mm * (self.wall - y) / self.depth

    def inside(self, p: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether points ``(..., 3)`` of its own frame are bone."""
        x, y, z = np.moveaxis(p, -1, 0)
        top = 0.5 * self.height - self.wedge_mm * (self.wall - y) / self.depth
        body = (np.abs(x) <= 0.5 * self.width) & (np.abs(y) <= self.wall) & (z <= top) & (z >= -0.5 * self.height)
        plate = (np.abs(x) <= 22.0) & (y >= self.wall + 20.0) & (y <= self.wall + 27.0) & (z <= 9.0) & (z >= -12.0)
        spine = (np.abs(x) <= 3.0) & (y >= self.wall + 20.0) & (y <= self.wall + 48.0) & (z <= 0.0) & (z >= -14.0)
        bone = body | plate | spine
        for side in Side:
            d = self.direction(side)
            across = unit(np.cross(np.array([0.0, 0.0, 1.0]), d))
            up = np.cross(d, across)
            q = p - self.isthmus(side)
            waist = 1.0 + 0.3 * (q @ d / 6.0) ** 2
            rod = (q @ across / self.radii[0]) ** 2 + (q @ up / self.radii[1]) ** 2 <= waist**2
            bone |= rod & (y >= self.wall - 1.0) & (y <= self.wall + 22.0)
        return bone

    def mask(self, spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0), shift: float = 0.31) -> Volume:
        """Voxels ``[k, j, i]`` whose centres are bone; the grid does not hit the walls."""
        reach = np.abs(self.pose.axes) @ np.array([34.0, 64.0, 34.0])
        count = [int(2 * reach[2 - a] / spacing_mm[a]) for a in range(3)]
        affine = np.eye(4)
        for a in range(3):
            affine[a, a] = spacing_mm[2 - a]
            affine[a, 3] = -0.5 * affine[a, a] * (count[2 - a] - 1) + shift + self.pose.origin_mm[a]
        grid = Volume(np.zeros(count, dtype=bool), affine, unit="mask")
        points = grid.world_mm(np.stack(np.indices(grid.shape), axis=-1))
        found = self.inside(self.pose.to_local(points))
        where = np.argwhere(found)
        return Volume(found, affine, unit="mask").crop(where.min(axis=0), where.max(axis=0) + 1)

    def bone(self, spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0), level: Level = Level.L2) -> Bone:
        """What the reading starts from, with the patient's own axes as a first guess."""
        mask = self.mask(spacing_mm)
        surface = Surface.of(mask)
        return Bone(level, mask, surface, core(surface), np.array([0.0, 0.0, 1.0]))


def turned(degrees: tuple[float, float, float]) -> Pose:
    """A pose turned about left, posterior and superior."""
    return Pose(np.array([3.0, -8.0, 40.0]), Rotation.from_euler("xyz", degrees, degrees=True).as_matrix())
