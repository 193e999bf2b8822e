"""What the leak monitor says of one frame."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.guidance.frames import Alarm
from trocar.guidance.leak_evidence import Region
from trocar.guidance.leak_zones import Zone
from trocar.guidance.motion import Motion
from trocar.measure import Measure


class Phase(Enum):
    """What the monitor is doing; the value completes "The monitor ..."."""

    LEARNING = "is learning what the vertebra looks like: do not inject yet"
    WATCHING = "is watching"
    MOVING = "waits until the image stands still: nothing is judged"
    LOST = "does not find the vertebra in the image: nothing is judged"
    BLIND = "cannot use this image: nothing is judged"


#: What the monitor takes on trust.
AS_GIVEN = "The outline is taken as it was given: nobody has compared it with the image."


@dataclass(frozen=True)
class Sight:
    """What can be seen beyond the outline in this view, at best.

    ``thickness_mm`` is the thinnest cement that is found within ten frames where the view is middling, and
    ``volume_ml`` that thickness over the 3 mm by 3 mm that a leak has when it is counted. ``watched`` is the share of
    the surroundings that is looked at. ``undecidable`` are zones that mostly lie in front of or behind the body;
    ``hidden_ml`` says how much each could hold unseen.
    """

    thickness_mm: float
    volume_ml: float
    watched: float
    undecidable: tuple[Zone, ...]
    hidden_ml: dict[Zone, float]

    @property
    def text(self) -> str:
        """In one or two sentences."""
        seen = (
            f"Beyond the outline, cement thinner than {self.thickness_mm:.1f} mm ({self.volume_ml:.3f} ml) is not seen"
        )
        rest = (
            "" if self.watched > 0.99 else f", and {100 * (1 - self.watched):.0f} % of the surroundings is not watched"
        )
        hidden = ", ".join(f"{z.value} (up to {self.hidden_ml[z]:.1f} ml)" for z in self.undecidable)
        return f"{seen}{rest}. {AS_GIVEN}" + (
            f" From this side cement may lie unseen {hidden}: only a second view decides." if hidden else ""
        )


@dataclass(frozen=True, eq=False)
class Leak:
    """Cement that was seen outside: where, since when, and the pictures that show it.

    ``zone`` is where it most likely lies, ``also`` the zones that lie over it in this view. ``mask`` is
    ``[row, column]`` on the window's pixels. The pictures are RGB, of the window: the first frame in which it stood
    out, and the one in which it was told.
    """

    zone: Zone
    also: tuple[Zone, ...]
    first_number: int
    first_time_s: float
    alarm: Alarm
    reach_mm: float
    area_mm2: float
    mask: NDArray[np.bool_]
    first_picture: NDArray[np.uint8]
    alarm_picture: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class State:
    """One frame's answer.

    ``score`` is the evidence for the strongest region outside, in summed standard deviations, against ``threshold``.
    ``cement`` is all cement in view, ``outside`` the part beyond the outline; None before anything can be said.
    ``regions`` are what stands out beyond the outline, the strongest first, whether it alarms or not.
    ``alarms`` are those of this frame, ``leaks`` all that were told so far.
    """

    number: int
    time_s: float
    source: str
    phase: Phase
    motion: Motion | None
    score: float
    threshold: float
    cement: Measure | None
    outside: Measure | None
    sight: Sight | None
    alarms: tuple[Alarm, ...]
    leaks: tuple[Leak, ...]
    regions: tuple[Region, ...] = ()

    @property
    def text(self) -> str:
        """For the screen: what is seen, and what cannot be."""
        leaks = " ".join(leak.alarm.finding.text for leak in self.leaks)
        if self.phase is not Phase.WATCHING or self.sight is None:
            return f"{leaks} The monitor {self.phase.value}.".lstrip()
        if leaks:
            return leaks
        amount = f"Cement in view: {self.cement}. " if self.cement is not None else ""
        return f"{amount}Nothing has been seen beyond the outline. {self.sight.text}"

    def row(self) -> dict[str, Any]:
        """Plain numbers of this frame, for a log."""
        return {
            "number": self.number,
            "time_s": self.time_s,
            "phase": self.phase.name.lower(),
            "score": round(self.score, 3),
            "cement_ml": None if self.cement is None else round(self.cement.value, 4),
            "outside_ml": None if self.outside is None else round(self.outside.value, 4),
            "alarms": [a.finding.text for a in self.alarms],
        }
