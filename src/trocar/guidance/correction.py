"""What to do about a needle that is off its path: push on, pull back, turn it, use its bevel, or puncture again.

A needle that bone holds turns about the place where it entered bone, one in soft tissue about the skin. The deeper it
sits in bone the less it can be turned, so it is pulled back first, and no farther than needed. A correction is only
proposed where the corrected path keeps every margin as planning asks for it: missed by no more than the voxels leave
open. Where none does, withdrawing and a new puncture is what remains, and is said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from trocar.geometry import Vector, angle_deg, frozen, unit
from trocar.guidance.bent_needle import Bevel, Front, Medium, Steering, path_mm, pushed, spread, steering
from trocar.guidance.deviation import SAID_DEG, SAID_MM, Deviation, Planned, breached, deviation, free_space
from trocar.guidance.tip import Tip
from trocar.measure import Measure, Range
from trocar.planning.clearance import bone_along_mm
from trocar.planning.trajectory import Clearance, Grade

#: A predicted end this near the target needs no correction, mm (our judgement: the planner's targets are 2 mm apart).
HIT_MM = 2.0
#: Less room than this, mm, is told as none.
_SAID_ROOM_MM = 0.05


class Act(Enum):
    """What to do; the value is how a person calls it."""

    STAY = "leave the needle as it lies"
    PUSH_ON = "push on"
    PULL_BACK = "pull back"
    TURN = "turn the needle"
    BEVEL = "use the bevel"
    AGAIN = "withdraw and puncture again"


class Pivot(Enum):
    """What holds the needle while it is turned."""

    SKIN = "the skin"
    BONE = "its entry into bone"


@dataclass(frozen=True)
class Leverage:
    """How far a needle can be turned. No published figures were found: all four are our judgement, to be changed.

    Held in bone less than ``loose_mm`` it turns by up to ``loose_deg``; deeper, its tip can be levered aside by
    ``play_mm``. In soft tissue it turns by up to ``soft_deg`` about the skin.
    """

    loose_mm: float = 5.0
    loose_deg: float = 20.0
    play_mm: float = 1.5
    soft_deg: float = 15.0

    def __post_init__(self) -> None:
        Range(0.0, 30.0, "mm").check("loose_mm", self.loose_mm, "leverage")
        Range(0.0, 45.0, "deg").check("loose_deg", self.loose_deg, "leverage")
        Range(0.0, 10.0, "mm").check("play_mm", self.play_mm, "leverage")
        Range(0.0, 45.0, "deg").check("soft_deg", self.soft_deg, "leverage")

    def held_mm(self, turn_deg: float) -> float:
        """The most bone that may hold a needle which is to be turned so far; negative where none may."""
        if turn_deg > self.loose_deg:
            return -1.0
        return max(self.loose_mm, self.play_mm / max(math.tan(math.radians(turn_deg)), 1e-9))


@dataclass(frozen=True, eq=False)
class Correction:
    """One thing to do, in a sentence (``text``) and in numbers.

    ``pull_back_mm`` comes first; ``turn_deg`` is the angle by which the needle then turns about ``pivot_mm`` so that it
    points along ``direction``; ``push_mm`` leads from there to the target. ``bevel`` is set where its bend is used.
    ``clearances`` are those of the corrected path at full depth.
    """

    act: Act
    text: str
    pull_back_mm: float = 0.0
    turn_deg: float = 0.0
    push_mm: float = 0.0
    direction: Vector | None = None
    pivot: Pivot | None = None
    pivot_mm: Vector | None = None
    bevel: Steering | None = None
    clearances: tuple[Clearance, ...] = ()
    measures: tuple[Measure, ...] = ()

    def __post_init__(self) -> None:
        for name in ("direction", "pivot_mm"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, frozen(getattr(self, name)))


def correct(
    tip: Tip,
    planned: Planned,
    *,
    leverage: Leverage | None = None,
    bevel: Bevel | None = None,
    rng: np.random.Generator | None = None,
) -> Correction:
    """The least that brings the needle to its target with every margin kept.

    ``bevel`` is the needle's own, where it has one, with ``rng`` for its spread (without: seed 0). Raises
    ``ValueError`` without a scan: what is not known to be clear is not proposed.
    """
    if planned.site is None:
        raise ValueError("a correction needs the scan and its labels: Planned.on(trajectory, anatomy).")
    found = deviation(tip, planned)
    if on_course(found, planned):
        return _onward(found)
    withdrawn = _withdrawn(tip, planned, found)
    if withdrawn is not None:
        return withdrawn
    leverage = leverage or Leverage()
    tried = [_bent(tip, planned, bevel, rng or np.random.default_rng(0))] if bevel else []
    tried += [_turned(tip, planned, leverage, pivot) for pivot in _pivots(tip, planned)]
    kept = [c for c in tried if c is not None]
    return min(kept, key=lambda c: c.pull_back_mm, default=_again(found))


def on_course(found: Deviation, planned: Planned) -> bool:
    """Whether the needle, pushed on straight, meets its target and breaches nothing that the plan itself does not."""
    if float(np.linalg.norm(found.miss_mm)) > HIT_MM:
        return False
    return all(_kept(c, planned) and not breached(c) for c in found.now + found.ahead)


def _kept(c: Clearance, planned: Planned) -> bool:
    """Whether a margin is missed by no more than its voxels leave open, or by no more than the plan misses it."""
    asked = min((p.value_mm for p in planned.trajectory.clearances if p.structure == c.structure), default=c.margin_mm)
    return c.grade is not Grade.SHORT and c.value_mm >= min(asked, c.margin_mm) - c.uncertainty_mm


def _onward(found: Deviation) -> Correction:
    """Push on to the target; at it, or a little beyond, stay."""
    if found.to_go_mm < SAID_MM:
        return Correction(Act.STAY, "The tip is at its target: leave it there.", clearances=found.ahead)
    text = f"Push on: {found.to_go_mm:.0f} mm to the target, no margin is breached on the way."
    return Correction(Act.PUSH_ON, text, push_mm=found.to_go_mm, clearances=found.ahead)


def _withdrawn(tip: Tip, planned: Planned, found: Deviation) -> Correction | None:
    """Straight back to the target's depth, where the tip is beyond it and comes to lie at it and clear."""
    if found.to_go_mm > -SAID_MM:
        return None
    back = -found.to_go_mm / max(float(tip.direction @ planned.trajectory.direction), 0.1)
    there = replace(tip, tip_mm=tip.tip_mm - back * tip.direction)
    if not on_course(deviation(there, planned), planned):
        return None
    clearances = free_space(planned, there.tip_mm, -tip.direction, 0.0)
    measures = (Measure("pull_back", back, "mm", method="straight, to the target"),)
    text = f"Pull back {back:.0f} mm."
    return Correction(Act.PULL_BACK, text, back, direction=tip.direction, clearances=clearances, measures=measures)


def _in_bone_mm(tip: Tip, planned: Planned) -> float:
    """How much of the needle's axis behind the tip lies in its own bone."""
    assert planned.site is not None
    return bone_along_mm(planned.site.maps, tip.tip_mm, -tip.direction)


def _pivots(tip: Tip, planned: Planned) -> tuple[Pivot, ...]:
    """What can hold the needle: bone while it is in it, and the skin once it is out of it."""
    return (Pivot.BONE, Pivot.SKIN) if _in_bone_mm(tip, planned) > 0.0 else (Pivot.SKIN,)


def _turned(tip: Tip, planned: Planned, leverage: Leverage, pivot: Pivot) -> Correction | None:
    """Pull back as far as the turn asks for, turn, push on to the target; None where it cannot be or is not clear."""
    path, held = planned.trajectory, _in_bone_mm(tip, planned)
    # down to the level of the planned skin, along the needle as it lies
    sunk = float((tip.tip_mm - path.skin_mm) @ path.direction)
    depth = max(sunk, 0.0) / max(float(tip.direction @ path.direction), 0.1)
    behind = held if pivot is Pivot.BONE else depth
    pivot_mm = tip.tip_mm - behind * tip.direction
    reach = float(np.linalg.norm(path.target_mm - pivot_mm))
    if reach < 1e-6:
        return None
    way = unit(path.target_mm - pivot_mm)
    turn = angle_deg(tip.direction, way)
    back = _pull_back_mm(turn, held, leverage, pivot)
    if back is None:
        return None
    # turned where it is, it would reach beyond its target
    back = max(back, behind - reach)
    if back > depth:
        return None
    clearances = free_space(planned, path.target_mm, -way, 0.0)
    if any(c.grade is Grade.SHORT or (breached(c) and not _kept(c, planned)) for c in clearances):
        return None
    push = max(reach - (behind - back), 0.0)
    text = _turning(planned, tip, way, turn, back, depth, push, pivot)
    if not text:
        return None
    measures = (
        Measure("pull_back", back, "mm", method="before turning"),
        Measure("turn", turn, "deg", method=f"about {pivot.value}"),
        Measure("push_on", push, "mm", method="after turning, to the target"),
    )
    act = Act.TURN if turn >= SAID_DEG else Act.PULL_BACK if back >= SAID_MM else Act.PUSH_ON
    return Correction(act, text, back, turn, push, way, pivot, pivot_mm, None, clearances, measures)


def _pull_back_mm(turn_deg: float, held_mm: float, leverage: Leverage, pivot: Pivot) -> float | None:
    """How far the needle must be pulled back before it can be turned so far; None where it cannot be at all."""
    if pivot is Pivot.SKIN:
        return held_mm if turn_deg <= leverage.soft_deg else None
    most = leverage.held_mm(turn_deg)
    return None if most < 0.0 else max(0.0, held_mm - most)


def _turning(
    planned: Planned, tip: Tip, way: Vector, turn: float, back: float, depth: float, push: float, pivot: Pivot
) -> str:
    """The steps in words; a step that no hand holds is not named, and where none is left there is no sentence."""
    deep = f"to {depth - back:.0f} mm deep" if depth - back >= SAID_MM else "out of the skin"
    steps = [f"pull back {back:.0f} mm ({deep})"] if back >= SAID_MM else []
    if turn >= SAID_DEG:
        sense = _sense(planned, tip.direction, way, turn)
        steps.append(f"turn the needle about {pivot.value} so that its tip moves {sense}")
    if push >= SAID_MM:
        steps.append(f"push on {push:.0f} mm")
    said = ", then ".join(steps)
    return f"{said[0].upper()}{said[1:]}." if said else ""


def _sense(planned: Planned, old: Vector, new: Vector, turn_deg: float) -> str:
    """A turn in the patient's words, e.g. "3.1° towards the head and 2.0° medially (right)"."""
    step = np.asarray(new) - float(new @ old) * np.asarray(old)
    return planned.bearing.words(unit(step) * turn_deg, "°", SAID_DEG) or f"{turn_deg:.1f}°"


def _bent(tip: Tip, planned: Planned, bevel: Bevel, rng: np.random.Generator) -> Correction | None:
    """The bevel's bend to the target, where the needle can curve that much here and the arc is clear."""
    path = planned.trajectory
    way = steering(tip.tip_mm, tip.direction, path.target_mm, bevel)
    if way is None or way.bent_mm < SAID_MM:
        return None
    start = Front(tip.tip_mm - way.pull_back_mm * tip.direction, tip.direction, way.bends)
    bent = path_mm(pushed(start, way.pushes[0], bevel), way.pushes[1:], bevel)
    if not (_within(planned, bent, bevel.medium) and _arc_clear(planned, path_mm(start, way.pushes, bevel))):
        return None
    open_now = tip.covariance_mm2
    found = spread(start, way.pushes, bevel, rng, tip_covariance_mm2=open_now, direction_sd_deg=tip.angle_error_deg)
    within = found.within_mm(path.target_mm)
    first = f"Pull back {way.pull_back_mm:.0f} mm. " if way.pull_back_mm >= 0.5 else ""
    if way.straight_mm >= 0.5:
        first += f"Push {way.straight_mm:.0f} mm, turning the needle all the while. "
    text = (
        f"{first}Point its bevel's face {_facing(planned, way)} and push {way.bent_mm:.0f} mm without turning; "
        f"95 of 100 tips end within {within:.1f} mm of the target."
    )
    measures = (
        Measure("pull_back", way.pull_back_mm, "mm", method="before bending"),
        Measure("straight", way.straight_mm, "mm", method="turning all the while"),
        Measure("bent", way.bent_mm, "mm", method=f"bevel set once, {bevel.source}"),
        Measure("within_of_target", within, "mm", method="95 % of simulated insertions"),
    )
    return Correction(
        Act.BEVEL,
        text,
        way.pull_back_mm,
        0.0,
        way.straight_mm + way.bent_mm,
        tip.direction,
        None,
        None,
        way,
        (),
        measures,
    )


def _facing(planned: Planned, way: Steering) -> str:
    """Where the bevel's face must look, away from the bend: on a clock seen from the hub, 12 at the head."""
    head, aside = planned.bearing.parts(-way.bends)
    clock = np.cross(planned.bearing.head, planned.trajectory.direction)
    sign = -1.0 if float(clock @ planned.bearing.aside) > 0.0 else 1.0
    hour = round(math.degrees(math.atan2(sign * aside, head)) / 30.0) % 12 or 12
    return f"to {hour} o'clock (12 is the head, seen from the hub; {_words(planned, -way.bends)})"


def _words(planned: Planned, step: Vector) -> str:
    """The main sense of a step, e.g. "towards the feet"."""
    head, aside = planned.bearing.parts(step)
    if abs(head) >= abs(aside):
        return f"towards the {'head' if head > 0 else 'feet'}"
    return planned.bearing.aside_names[0 if aside > 0 else 1]


def _within(planned: Planned, points: NDArray[np.float64], medium: Medium) -> bool:
    """Whether all of a bend runs through what its curvature is known for: the vertebra's bone, or none of it."""
    assert planned.site is not None
    bone = planned.site.maps.sample(points) > 0.0
    return bool(bone.all() if medium is Medium.BONE else not bone.any())


def _arc_clear(planned: Planned, points: NDArray[np.float64]) -> bool:
    """Whether a curved path keeps its margin to every structure on the maps, but for what the voxels leave open."""
    assert planned.site is not None
    maps, radius = planned.site.maps, planned.trajectory.instrument.radius_mm
    half = 0.5 * float(maps.voxel_mm.max())
    return all(
        float(maps.sample(points, 1 + n).min()) - radius - planned.margins.of(kind) >= -half
        for n, kind in enumerate(maps.kinds)
    )


def _again(found: Deviation) -> Correction:
    text = "No turn within reach keeps every margin: withdraw the needle and puncture again at the mark."
    worst = next((c for c in found.now + found.ahead if breached(c)), None)
    if worst is not None:
        room = f"{worst.value_mm:.1f} mm" if worst.value_mm >= _SAID_ROOM_MM else "no room left"
        text += f" As it lies it would have {room} to the {worst.structure.replace('_', ' ')}."
    return Correction(Act.AGAIN, text, clearances=found.ahead)
