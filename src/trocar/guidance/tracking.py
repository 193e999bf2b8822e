"""Following a needle: images, tracked tools or slices in, where the tip is and how it stands to its plan out.

::

    for update in track(frames, Following(planned)):
        update.tip, update.deviation, update.alarms

Nothing is extrapolated: an update has a tip only where one was measured just then. A single image that does not fit
what came before is told and set aside; when several in a row agree with one another, they are believed, and the jump is
alarmed. What cannot be measured - the needle is hidden, a frame has no geometry, the clock runs backwards - is one
sentence in the update, and an alarm where it lasts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from trocar.errors import ImageError
from trocar.geometry import Pose
from trocar.guidance.carm import AT_REST
from trocar.guidance.ct_fluoroscopy import Unclear, find_in_slices
from trocar.guidance.deviation import Deviation, Planned, breached, deviation
from trocar.guidance.expected_needle import Expected, expected, width_px
from trocar.guidance.frames import Alarm, AlarmKind, Frame, Slab, Stamped, ToolPose
from trocar.guidance.needle_image import Sighting, Unseen, Why, again, find_needle
from trocar.guidance.tip import Tip
from trocar.guidance.tracked_tool import Tool
from trocar.guidance.triangulation import Look, from_one_view, triangulate
from trocar.measure import Finding, Range, Severity

#: A needle moves no faster than this under a hand or a hammer, mm/s (our judgement).
FASTEST_MM_S = 60.0
#: What a tip may jump between two images besides its speed: this many standard errors, and this much, mm.
JUMP_SD, JUMP_MM = 4.0, 1.5
#: So many images in a row that agree with one another overrule what came before.
BELIEVED = 3
#: Why a tip is not told in the first images in which cement does not seem to hide it any more.
UNCOVERED = (
    f"The needle's tip was just hidden by something dense: {BELIEVED} images must agree on it before it is told."
)
#: A needle unseen for longer than this is alarmed, s: as long as a silent source (see docs/tracking.md).
LOST_S = 0.5


@dataclass(frozen=True, eq=False)
class Following:
    """What is followed, and how.

    ``displacements`` say, by a source's name, where the bone is in its images (from registration; at rest without), and
    ``registration_sd_mm`` how sure that is. ``beside`` are other planned paths whose needles may be in the image. Two
    views are put together where they are at most ``pairing_s`` apart: a needle that moves between them is not where
    they meet, so that a pair of one moment counts, or one of a needle that is held still. ``tools`` are tracked tools
    by their name.
    """

    planned: Planned
    displacements: Mapping[str, Pose] = field(default_factory=dict)
    registration_sd_mm: float = 0.0
    beside: tuple[Planned, ...] = ()
    pairing_s: float = 0.05
    tools: Mapping[str, Tool] = field(default_factory=dict)
    lost_s: float = LOST_S
    fastest_mm_s: float = FASTEST_MM_S

    def __post_init__(self) -> None:
        Range(0.0, 20.0, "mm").check("registration_sd_mm", self.registration_sd_mm, "following")
        Range(0.0, 60.0, "s").check("pairing_s", self.pairing_s, "following")
        Range(0.0, 60.0, "s").check("lost_s", self.lost_s, "following")
        Range(0.1, 1000.0, "mm/s").check("fastest_mm_s", self.fastest_mm_s, "following")

    def displacement(self, source: str) -> Pose:
        """Where the bone is in a source's images."""
        return self.displacements.get(source, AT_REST)


class State(Enum):
    """What one frame or pose was good for."""

    SEEN = "seen"
    UNSEEN = "not seen"
    SET_ASIDE = "set aside"
    REFUSED = "refused"


@dataclass(frozen=True, eq=False)
class Update:
    """What one frame, pose or slab told: a tip and its deviation where one was measured, else ``text`` says why not."""

    time_s: float
    number: int
    source: str
    state: State
    tip: Tip | None = None
    deviation: Deviation | None = None
    sighting: Sighting | None = None
    text: str = ""
    alarms: tuple[Alarm, ...] = ()


def track(source: Iterable[Stamped], following: Following) -> Iterator[Update]:
    """Follow a needle through a stream; one update for each frame, slab or pose of a known tool, in their order.

    Whatever else the stream holds (readings, other tools) is passed over.
    """
    tracker = Tracker(following)
    for item in source:
        update = tracker.take(item)
        if update is not None:
            yield update


class Tracker:
    """The state behind :func:`track`, for callers that are handed one item at a time."""

    def __init__(self, following: Following) -> None:
        self._following = following
        self._clocks: dict[str, float] = {}
        self._disordered: dict[str, list[float]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._looks: dict[str, tuple[float, Look]] = {}
        self._expected: dict[str, tuple[float, Expected, Sighting]] = {}
        self._uncovered: dict[str, list[Sighting]] = {}
        self._last: Tip | None = None
        self._doubted: list[Tip] = []
        self._unseen_since: float | None = None
        self._raised: set[tuple[AlarmKind, str]] = set()

    def take(self, item: Stamped) -> Update | None:
        """What one item of a stream tells; None for what is no view of this needle."""
        if not isinstance(item, Frame | Slab | ToolPose):
            return None
        if isinstance(item, ToolPose) and item.tool not in self._following.tools:
            return None
        refused = self._out_of_order(item) or self._changed(item)
        if refused is not None:
            return refused
        try:
            tip, sighting, text = self._measured(item)
        except ImageError as refusal:
            return self._not_measured(item, State.REFUSED, str(refusal))
        if tip is None:
            return self._not_measured(item, State.UNSEEN, text, sighting)
        return self._believed(item, tip, sighting)

    def _out_of_order(self, item: Stamped) -> Update | None:
        """Refuse what is not later than what the same source sent before, until its clock is seen to run anew.

        A sender that is started again, or one stamp far ahead, must not end the following: several items in a row that
        are in order among themselves set the clock.
        """
        before = self._clocks.get(item.source)
        if math.isfinite(item.time_s) and (before is None or item.time_s > before):
            self._clocks[item.source] = item.time_s
            self._disordered.pop(item.source, None)
            return None
        known, run = item.source in self._disordered, self._disordered.get(item.source, [])
        kept = [item.time_s] if math.isfinite(item.time_s) else []
        self._disordered[item.source] = [*run, *kept] if not run or not kept or item.time_s > run[-1] else kept
        if len(self._disordered[item.source]) >= BELIEVED:
            self._clock_anew(item)
            return None
        went = "sent no time" if before is None else f"went from {before:.3f} s to {item.time_s:.3f} s"
        text = f"{item.source} {went}: this image is not used."
        return self._refused(item, AlarmKind.OUT_OF_ORDER, text, silent=known)

    def _clock_anew(self, item: Stamped) -> None:
        """Take a source's clock as it now runs; what was measured by the old one is forgotten."""
        self._clocks[item.source] = item.time_s
        for held in (self._disordered, self._looks, self._expected, self._uncovered):
            held.pop(item.source, None)
        self._doubted.clear()
        self._unseen_since = None

    def _changed(self, item: Stamped) -> Update | None:
        """Refuse the first image of another size, and forget what the old ones showed."""
        if not isinstance(item, Frame):
            return None
        before, now = self._shapes.get(item.source), item.image.shape
        self._shapes[item.source] = now
        if before is None or before == now:
            return None
        self._looks.pop(item.source, None)
        self._expected.pop(item.source, None)
        self._uncovered.pop(item.source, None)
        text = f"{item.source} changed its size from {_size(before)} to {_size(now)} pixels: this image is not used."
        return self._refused(item, AlarmKind.CHANGED, text)

    def _refused(self, item: Stamped, kind: AlarmKind, text: str, silent: bool = False) -> Update:
        alarm = Alarm(kind, item.time_s, item.number, item.source, Finding(Severity.STOP, text))
        alarms = () if silent else (alarm,)
        return Update(item.time_s, item.number, item.source, State.REFUSED, text=text, alarms=alarms)

    def _measured(self, item: Frame | Slab | ToolPose) -> tuple[Tip | None, Sighting | None, str]:
        if isinstance(item, ToolPose):
            return self._following.tools[item.tool].at(item), None, ""
        if isinstance(item, Slab):
            return (*self._in_slices(item),)
        return self._in_image(item)

    def _in_slices(self, slab: Slab) -> tuple[Tip | None, None, str]:
        path = self._following.planned.trajectory
        found = find_in_slices(slab, path.instrument, path)
        if isinstance(found, Unclear):
            return None, None, found.value
        # an end that may not be the tip is no tip
        return (None, None, found.concern.value) if found.concern else (found.tip, None, "")

    def _in_image(self, frame: Frame) -> tuple[Tip | None, Sighting | None, str]:
        """The tip from this image and, where there is a recent one of another view, that."""
        follow, path = self._following, self._following.planned.trajectory
        if frame.view is None:
            find_needle(frame, path.instrument)  # refuses, and says why
        assert frame.view is not None
        where = self._where(frame)
        displacement = follow.displacement(frame.source)
        beside = tuple(expected(frame.view, p.trajectory, displacement) for p in follow.beside)
        seen = find_needle(frame, path.instrument, where, beside=beside)
        if isinstance(seen, Unseen) and seen.why is not Why.COVERED and frame.source in self._expected:
            # lost from where it was: look for it afresh before it is given up
            del self._expected[frame.source]
            seen = find_needle(frame, path.instrument, self._where(frame), beside=beside)
        if isinstance(seen, Unseen):
            self._looks.pop(frame.source, None)
            if seen.why in (Why.COVERED, Why.HIDDEN):
                self._uncovered[frame.source] = []
            return None, None, seen.text
        if not self._clear_again(frame, seen):
            return None, None, UNCOVERED
        self._expected[frame.source] = (frame.time_s, where, seen)
        look = Look(frame.view, seen, displacement)
        return self._placed(frame, look), seen, ""

    def _clear_again(self, frame: Frame, seen: Sighting) -> bool:
        """Whether a tip that cement hid a moment ago is believed to be seen: once several images in a row agree."""
        if frame.source not in self._uncovered:
            return True
        near = JUMP_MM * seen.width_px / self._following.planned.trajectory.instrument.outer_diameter_mm
        agree = [s for s in self._uncovered[frame.source] if np.linalg.norm(s.tip_px - seen.tip_px) <= near]
        self._uncovered[frame.source] = [*agree, seen]
        if len(agree) + 1 < BELIEVED:
            return False
        del self._uncovered[frame.source]
        return True

    def _where(self, frame: Frame) -> Expected:
        """Where the needle should be: near where this view showed it a moment ago, else along its path."""
        assert frame.view is not None
        follow, path = self._following, self._following.planned.trajectory
        planned = expected(frame.view, path, follow.displacement(frame.source))
        known = self._expected.get(frame.source)
        if known is None or frame.time_s - known[0] > follow.lost_s:
            return planned
        scale = width_px(frame.view, path.instrument, path.target_mm) / path.instrument.outer_diameter_mm
        move = scale * (JUMP_MM + follow.fastest_mm_s * (frame.time_s - known[0]))
        return again(known[2], planned, max(move, planned.width_px))

    def _placed(self, frame: Frame, look: Look) -> Tip:
        follow, path = self._following, self._following.planned.trajectory
        self._looks[frame.source] = (frame.time_s, look)
        other = self._partner(frame)
        if other is None:
            return from_one_view(look, path, time_s=frame.time_s, source=frame.source).blurred(
                follow.registration_sd_mm
            )
        name, partner = other
        tip = triangulate(
            partner, look, planned=path.direction, time_s=frame.time_s, source=f"{name} and {frame.source}"
        )
        return tip.blurred(follow.registration_sd_mm)

    def _partner(self, frame: Frame) -> tuple[str, Look] | None:
        """The latest image of another source that is recent enough to be put together with this one."""
        near = [
            (time, name, look)
            for name, (time, look) in self._looks.items()
            if name != frame.source and abs(frame.time_s - time) <= self._following.pairing_s
        ]
        return max(near, key=lambda x: x[0])[1:] if near else None

    def _believed(self, item: Stamped, tip: Tip, sighting: Sighting | None) -> Update:
        """Accept a tip that fits what came before; set one that does not aside, until others agree with it."""
        if self._last is None or self._fits(self._last, tip):
            self._doubted.clear()
            return self._seen(item, tip, sighting, ())
        self._doubted = [d for d in self._doubted if self._fits(d, tip)] + [tip]
        if len(self._doubted) < BELIEVED:
            jump = float(np.linalg.norm(tip.tip_mm - self._last.tip_mm))
            text = f"The tip seems to have jumped by {jump:.1f} mm: this image is set aside until others agree with it."
            return self._not_measured(item, State.SET_ASIDE, text, sighting)
        jump = float(np.linalg.norm(tip.tip_mm - self._last.tip_mm))
        text = f"The tip is {jump:.1f} mm from where it was last seen: {BELIEVED} images agree. Check the needle."
        self._doubted.clear()
        alarm = Alarm(AlarmKind.UNRELIABLE, item.time_s, item.number, item.source, Finding(Severity.CAUTION, text))
        return self._seen(item, tip, sighting, (alarm,))

    def _fits(self, before: Tip, tip: Tip) -> bool:
        """Whether a needle can have got from one place to the other, as far as both were measured."""
        step = tip.tip_mm - before.tip_mm
        for blind in (before.unseen_along, tip.unseen_along):
            if blind is not None:
                step = step - float(step @ blind) * blind
        room = JUMP_MM + self._following.fastest_mm_s * abs(tip.time_s - before.time_s)
        return float(np.linalg.norm(step)) <= room + JUMP_SD * max(_seen_error(before), _seen_error(tip))

    def _seen(self, item: Stamped, tip: Tip, sighting: Sighting | None, alarms: tuple[Alarm, ...]) -> Update:
        self._last, self._unseen_since = tip, None
        self._raised = {r for r in self._raised if r[0] is not AlarmKind.UNRELIABLE}
        found = deviation(tip, self._following.planned)
        alarms += self._leaving(item, found)
        return Update(item.time_s, item.number, item.source, State.SEEN, tip, found, sighting, alarms=alarms)

    def _leaving(self, item: Stamped, found: Deviation) -> tuple[Alarm, ...]:
        """An alarm for each margin that is breached, now or ahead, when it comes to be so."""
        now = {f"now {c.structure}" for c in found.now if breached(c)}
        ahead = {f"ahead {c.structure}" for c in found.ahead if breached(c)}
        fresh = {name for name in now | ahead if (AlarmKind.DEVIATION, name) not in self._raised}
        self._raised = {r for r in self._raised if r[0] is not AlarmKind.DEVIATION}
        self._raised |= {(AlarmKind.DEVIATION, name) for name in now | ahead}
        if not fresh:
            return ()
        stops = tuple(f for f in found.findings if f.severity is Severity.STOP)
        return tuple(Alarm(AlarmKind.DEVIATION, item.time_s, item.number, item.source, f) for f in stops)

    def _not_measured(self, item: Stamped, state: State, text: str, sighting: Sighting | None = None) -> Update:
        """An update without a tip; an alarm once that has lasted."""
        self._unseen_since = item.time_s if self._unseen_since is None else self._unseen_since
        lasted = item.time_s - self._unseen_since
        alarms: tuple[Alarm, ...] = ()
        never = self._last is None and state is State.REFUSED
        if (lasted >= self._following.lost_s or never) and (AlarmKind.UNRELIABLE, state.name) not in self._raised:
            self._raised.add((AlarmKind.UNRELIABLE, state.name))
            finding = Finding(Severity.STOP, "The needle is not followed any more.", text)
            alarms = (Alarm(AlarmKind.UNRELIABLE, item.time_s, item.number, item.source, finding),)
        return Update(item.time_s, item.number, item.source, state, sighting=sighting, text=text, alarms=alarms)


def _seen_error(tip: Tip) -> float:
    """The tip's standard error, but for the direction in which nothing was measured."""
    if tip.unseen_along is None:
        return tip.standard_error_mm
    p = np.eye(3) - np.outer(tip.unseen_along, tip.unseen_along)
    return float(np.sqrt(max(np.linalg.eigvalsh(p @ tip.covariance_mm2 @ p)[-1], 0.0)))


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
