"""One vertebra: its own frame, its parts, and what can be measured on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from trocar.anatomy.levels import Level
from trocar.geometry import Line, Plane, Pose, Side, Vector, frozen
from trocar.measure import Finding, Measure
from trocar.volume import Volume


class Part(IntEnum):
    """Numbers in :attr:`Vertebra.parts`. The canal is the hole in the bone, not bone."""

    NONE = 0
    BODY = 1
    PEDICLE_LEFT = 2
    PEDICLE_RIGHT = 3
    ARCH = 4
    CANAL = 5


@dataclass(frozen=True)
class Pedicle:
    """The bridge from arch to body on one side.

    ``axis`` passes through the isthmus (its ``point_mm``) and points from the arch into the body.
    ``transverse_angle`` is positive where the axis converges to the midline in front,
    ``sagittal_angle`` where it rises in front; both are in the vertebra's own frame.
    """

    side: Side
    axis: Line
    width: Measure
    height: Measure
    transverse_angle: Measure
    sagittal_angle: Measure


@dataclass(frozen=True)
class Heights:
    """Body heights along the body's own superior axis, mm, at its front, middle and back."""

    anterior: Measure
    middle: Measure
    posterior: Measure


@dataclass(frozen=True)
class Vertebra:
    """A vertebra in its place.

    ``mask`` (unit "mask") is the whole bone and ``parts`` (unit "label", :class:`Part`) divides the
    same cropped grid into body, pedicles, arch and canal. ``frame`` has its origin at the body's
    centre and this vertebra's own left, posterior and superior axes. ``endplates`` are planes under
    the names "superior" and "inferior" whose normals point out of the body. ``landmarks`` are LPS
    points by name. ``measures`` holds everything that was measured, heights and pedicles among it, each
    under a name of its own. ``whole`` is False where the field of view cuts the body or a pedicle (then
    ``pedicles`` may lack a side); why is in ``findings``. ``how`` says whether parts were given
    ("labelled") or derived from the mask ("derived").
    """

    level: Level
    mask: Volume
    parts: Volume
    frame: Pose
    pedicles: dict[Side, Pedicle]
    endplates: dict[str, Plane]
    heights: Heights
    landmarks: dict[str, Vector] = field(default_factory=dict)
    measures: tuple[Measure, ...] = ()
    findings: tuple[Finding, ...] = ()
    whole: bool = True
    how: str = "derived"

    def __post_init__(self) -> None:
        if not self.mask.same_grid(self.parts):
            raise ValueError(f"mask and parts of {self.level} lie on different grids.")
        object.__setattr__(self, "landmarks", {k: frozen(v) for k, v in self.landmarks.items()})

    def part(self, *parts: Part) -> Volume:
        """The union of some parts as a mask on the vertebra's grid."""
        return Volume(
            np.isin(self.parts.array, [int(p) for p in parts]), self.parts.affine, self.parts.frame_of_reference, "mask"
        )

    @property
    def body(self) -> Volume:
        """The vertebral body as a mask."""
        return self.part(Part.BODY)

    @property
    def canal(self) -> Volume:
        """The spinal canal at this vertebra as a mask."""
        return self.part(Part.CANAL)

    @property
    def graded(self) -> bool:
        """Whether the body has lost enough height to be graded as fractured (Genant 1 to 3)."""
        return any(m.name == "genant_grade" and m.value > 0.0 for m in self.measures)

    def measure(self, name: str) -> Measure:
        """The measure of that name; raises ``KeyError`` when it was not taken."""
        for m in self.measures:
            if m.name == name:
                return m
        raise KeyError(f"{name} was not measured on {self.level}.")
