"""One straight path of one instrument, from the skin through bone to its target."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum

import numpy as np

from trocar.anatomy.levels import Level
from trocar.geometry import Line, Side, Vector, frozen, unit
from trocar.measure import Measure
from trocar.planning.instrument import Needle


class Grade(Enum):
    """How a clearance stands to the margin it must keep.

    ``SAFE``: the margin is kept by more than the voxel uncertainty. ``BORDERLINE``: the difference
    lies within it. ``SHORT``: below the margin by more than that. ``NOT_CHECKED``: the labels lack
    the structure.
    """

    SAFE = "safe"
    BORDERLINE = "borderline"
    SHORT = "short"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Clearance:
    """Free space between the needle's surface and a structure, mm (negative: it is entered).

    ``uncertainty_mm`` is what the voxels leave open to either side, ``margin_mm`` what is asked.
    """

    structure: str
    value_mm: float
    uncertainty_mm: float
    margin_mm: float

    @property
    def grade(self) -> Grade:
        """Safe, borderline or short."""
        spare = self.value_mm - self.margin_mm
        if spare > self.uncertainty_mm:
            return Grade.SAFE
        return Grade.BORDERLINE if spare >= -self.uncertainty_mm else Grade.SHORT


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A planned path: ``skin_mm`` on the skin, ``entry_mm`` on bone, ``target_mm`` for the tip (LPS).

    The three lie on one line. ``approach`` is the name of an approach in ``planning.access``.
    ``clearances`` holds one entry per structure that could be checked; ``breach_probability`` is the
    chance that a hand error of the stated spread breaches a wall or enters a structure.
    """

    level: Level
    side: Side
    approach: str
    instrument: Needle
    skin_mm: Vector
    entry_mm: Vector
    target_mm: Vector
    clearances: tuple[Clearance, ...] = ()
    breach_probability: Measure | None = None
    measures: tuple[Measure, ...] = field(default=())

    def __post_init__(self) -> None:
        for name in ("skin_mm", "entry_mm", "target_mm"):
            object.__setattr__(self, name, frozen(getattr(self, name)))

    def __eq__(self, other: object) -> bool:
        """Equal when every field is; a point is equal to the last bit."""
        if not isinstance(other, Trajectory):
            return NotImplemented
        pairs = [(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)]
        return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)

    def __hash__(self) -> int:
        return hash((self.level, self.side, self.approach, self.skin_mm.tobytes(), self.target_mm.tobytes()))

    @property
    def direction(self) -> Vector:
        """Unit vector from skin to target, LPS."""
        return unit(self.target_mm - self.skin_mm)

    @property
    def axis(self) -> Line:
        """The needle's axis, starting at the skin."""
        return Line(self.skin_mm, self.direction)

    @property
    def length_mm(self) -> float:
        """Skin to target along the needle."""
        return float(np.linalg.norm(self.target_mm - self.skin_mm))

    @property
    def skin_to_bone_mm(self) -> float:
        """Skin to bone along the needle."""
        return float(np.linalg.norm(self.entry_mm - self.skin_mm))

    @property
    def bone_to_target_mm(self) -> float:
        """Bone to target along the needle."""
        return float(np.linalg.norm(self.target_mm - self.entry_mm))

    @property
    def clearance_mm(self) -> dict[str, float]:
        """Clearance by structure, from the needle's surface."""
        return {c.structure: c.value_mm for c in self.clearances}

    def clearance(self, structure: str) -> Clearance:
        """The clearance to one structure; raises ``KeyError`` when it was not checked."""
        for c in self.clearances:
            if c.structure == structure:
                return c
        raise KeyError(f"{structure} was not checked for this path.")

    @property
    def grade(self) -> Grade:
        """The worst grade among the clearances."""
        order = (Grade.SAFE, Grade.BORDERLINE, Grade.SHORT)
        return max((c.grade for c in self.clearances), key=order.index, default=Grade.NOT_CHECKED)
