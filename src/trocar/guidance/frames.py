"""What a live source delivers: stamped images, slices, positions of tools, readings; and what is alarming in them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from trocar.geometry import Pose
from trocar.guidance.carm import CArm
from trocar.measure import Finding
from trocar.volume import Volume


class Intensity(Enum):
    """What a pixel's value means: DICOM's Pixel Intensity Relationship (0028,1040), and its sign (0028,1041).

    ``LINEAR``: proportional to the dose that arrived. ``LOG``: the higher the *denser* (a line integral, up to a factor
    and an offset). ``LOG_BRIGHT``: its negative. ``DISPLAYED``: processed for the eye, bright where much dose arrived.
    """

    LINEAR = "linear"
    LOG = "logarithm, bright where dense"
    LOG_BRIGHT = "logarithm, dark where dense"
    DISPLAYED = "as displayed"


@dataclass(frozen=True, eq=False)
class Stamped:
    """Something a source delivered: its running number there, the source's clock (s), the source's name."""

    number: int
    time_s: float
    source: str


@dataclass(frozen=True, eq=False)
class Frame(Stamped):
    """One fluoroscopic image ``[row, column]``; ``view`` is the C-arm's position where it is known."""

    image: NDArray[np.float32] | NDArray[np.uint16] | NDArray[np.uint8]
    view: CArm | None = None
    intensity: Intensity = Intensity.LINEAR


@dataclass(frozen=True, eq=False)
class Slab(Stamped):
    """One or a few slices of CT-fluoroscopy, HU, placed in the patient."""

    volume: Volume


@dataclass(frozen=True, eq=False)
class ToolPose(Stamped):
    """Where a tracked tool is: ``pose.to_world`` takes the tool's own coordinates to the tracker's, mm."""

    tool: str
    pose: Pose


@dataclass(frozen=True, eq=False)
class Reading(Stamped):
    """A number from a device: a temperature, a pressure, an injected volume; ``unit`` in UCUM."""

    name: str
    value: float
    unit: str


@dataclass(frozen=True, eq=False)
class Note(Stamped):
    """A sentence from a device, or its state; ``name`` says of what kind it is."""

    name: str
    text: str


@dataclass(frozen=True, eq=False)
class Points(Stamped):
    """Named points ``(n, 3)`` in the sender's coordinates, LPS mm: fiducials, landmarks."""

    names: tuple[str, ...]
    points_mm: NDArray[np.float64]


class AlarmKind(Enum):
    """What is alarming; the value is how a person calls it."""

    LEAK = "cement outside the vertebra"
    SILENT = "a source went silent"
    OUT_OF_ORDER = "a source repeats itself or jumps back in time"
    LOST = "messages were lost"
    CHANGED = "a source changed its size or meaning"
    DEVIATION = "the needle leaves its path"
    UNRELIABLE = "what is seen cannot be relied on"


@dataclass(frozen=True, eq=False)
class Alarm:
    """Something that asks for a hand: when, at which frame of which source, what, and why.

    ``over`` says that it is well again.
    """

    kind: AlarmKind
    time_s: float
    number: int
    source: str
    finding: Finding
    over: bool = False


@dataclass(frozen=True, eq=False)
class Event:
    """What happened at our door at ``at_s`` of *our* clock: something came, or (None) time passed and nothing did.

    An alarm comes in where the door itself saw something wrong: a damaged message, a lost connection.
    """

    at_s: float
    item: Stamped | Alarm | None = None
