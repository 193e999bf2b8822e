"""Places in a vertebra in numbers and in words: its midline, its posterior wall, thirds of its height."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.patient import Anatomy
from trocar.anatomy.vertebra import Part
from trocar.geometry import Side, Vector
from trocar.injection.routes import Route
from trocar.injection.walls import Skin
from trocar.mechanics.filling import Mask, body_of, index_mm
from trocar.mechanics.model import BoneModel

#: Within this of the midline a place is on no side, mm.
MIDLINE_MM = 3.0
#: Half the width of the strip of posterior wall on which its middle is found, mm.
STRIP_MM = 6.0


@dataclass(frozen=True)
class Words:
    """Where something lies: ``side`` "left", "right" or "midline"; ``height`` and ``depth`` thirds of the body.

    ``endplate`` is the nearer one, "upper" or "lower".
    """

    side: str
    height: str
    depth: str
    endplate: str

    @property
    def text(self) -> str:
        """For people: "left, upper third, front"."""
        return f"{self.side}, {self.height} third, {self.depth}"


@dataclass(frozen=True, eq=False)
class Bearings:
    """Where the body lies in its model's box: mm along k, j, i from the box's corner.

    ``low`` and ``high`` are its first and last face, ``midline`` the vertebra's own midplane along i, ``wall_middle``
    the middle of the posterior wall.
    """

    low: Vector
    high: Vector
    midline: float
    wall_middle: Vector
    spacing_mm: tuple[float, float, float]

    @classmethod
    def of(cls, model: BoneModel, anatomy: Anatomy, skin: Skin) -> Bearings:
        """The bearings of a model's body."""
        spacing = np.asarray(model.solid.spacing_mm)
        cells = np.argwhere(body_of(model))
        midline = float(index_mm(model, anatomy.vertebra(model.level).frame.origin_mm)[2])
        wall = (skin.cells[skin.opens_to(Route.EPIDURAL) & ~skin.pedicle] + 0.5) * spacing
        strip = np.abs(wall[:, 2] - midline) <= STRIP_MM
        wall = wall[strip] if strip.any() else wall
        middle = np.array([0.5 * (wall[:, 0].min() + wall[:, 0].max()), float(np.median(wall[:, 1])), midline])
        low, high = cells.min(axis=0) * spacing, (cells.max(axis=0) + 1) * spacing
        return cls(low, high, midline, middle, model.solid.spacing_mm)

    def mm(self, cells: NDArray[np.int64]) -> NDArray[np.float64]:
        """Middles of voxels ``(n, 3)``, mm along k, j, i from the box's corner."""
        return (np.asarray(cells, np.float64) + 0.5) * np.asarray(self.spacing_mm)

    def from_wall_middle_mm(self, cells: NDArray[np.int64]) -> NDArray[np.float64]:
        """How far voxels lie above, behind and to the left of the middle of the posterior wall, mm ``(n, 3)``."""
        return self.mm(cells) - self.wall_middle

    def share(self, height: float, depth: float) -> tuple[float, float]:
        """Heights and depths given as shares of the body, from below and from the front, in mm along k and j."""
        k, j = self.low[:2] + np.array([height, depth]) * (self.high - self.low)[:2]
        return float(k), float(j)

    def words(self, where: Mask) -> Words:
        """The middle of a region in words."""
        middle = self.mm(np.argwhere(where)).mean(axis=0)
        share = (middle - self.low) / (self.high - self.low)
        away = middle[2] - self.midline
        side = "midline" if abs(away) <= MIDLINE_MM else (Side.LEFT if away > 0.0 else Side.RIGHT).value
        height = ("lower", "middle", "upper")[int(np.clip(3.0 * share[0], 0, 2))]
        depth = ("front", "half-way back", "back")[int(np.clip(3.0 * share[1], 0, 2))]
        return Words(side, height, depth, "upper" if share[0] >= 0.5 else "lower")


def pedicle_part(side: Side) -> Part:
    """The part that is the pedicle of a side."""
    return Part.PEDICLE_LEFT if side is Side.LEFT else Part.PEDICLE_RIGHT
