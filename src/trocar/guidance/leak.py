"""The leak monitor: fluoroscopic frames of one injection go in, what is seen and alarms come out.

::

    outline = seen_from(frame.view, anatomy.vertebra("L1"), anatomy.structures, displacement)
    for state in monitor(frames, outline):
        print(state.text)
        for alarm in state.alarms:
            sound(alarm)

The monitor is started two seconds or more before the cement comes. It learns what the vertebra looks like
(:data:`Settings.learns` frames), then takes the motion of the vertebra and the exposure out of each frame
(:mod:`trocar.guidance.motion`), draws the cement (:mod:`trocar.guidance.cement_image`) and gathers evidence of anything
dense that appears beyond the outline (:mod:`trocar.guidance.leak_evidence`). It never says that there is no leak: it
says what was seen, what cannot be seen from this side, and how thin cement may be and still be missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from trocar.errors import TrocarError
from trocar.guidance.frames import Alarm, AlarmKind, Frame
from trocar.guidance.leak_state import Leak, Phase, Sight, State
from trocar.guidance.leak_stream import StreamCheck, alarm_of
from trocar.guidance.leak_unjudged import Unjudged
from trocar.guidance.leak_watch import Settings, Watch
from trocar.guidance.leak_zones import Zone
from trocar.guidance.motion import Window
from trocar.guidance.needle_shadow import NeedleShadow
from trocar.guidance.silhouette import Silhouette

Outlines = Callable[[Frame], Silhouette]


def monitor(
    frames: Iterable[Frame], outline: Silhouette | Outlines, settings: Settings | None = None
) -> Iterator[State]:
    """One state for each frame; see :class:`LeakMonitor`."""
    watch = LeakMonitor(outline, settings)
    return (watch.step(frame) for frame in frames)


class LeakMonitor:
    """Watches one vertebra in one stream.

    ``outline`` is the body's outline *in the first frame*, or a function that gives it for a frame: then a view from
    another angle is learned anew, otherwise it is told and no longer judged. What the monitor holds does not grow.
    """

    def __init__(self, outline: Silhouette | Outlines, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self._outlines = None if isinstance(outline, Silhouette) else outline
        self._given = outline if isinstance(outline, Silhouette) else None
        self._stream = StreamCheck()
        self._unjudged = Unjudged()
        self._watch: Watch | None = None
        self._told: set[str] = set()
        self._leaks: tuple[Leak, ...] = ()

    def step(self, frame: Frame) -> State:
        """Judge one frame."""
        state = self._step(frame)
        text = self._unjudged.step(state.phase, frame.time_s)
        if not text:
            return state
        return replace(state, alarms=(*state.alarms, alarm_of(frame, AlarmKind.UNRELIABLE, text)))

    def _step(self, frame: Frame) -> State:
        verdict = self._stream.check(frame)
        faults = {_key(fault): fault for fault in verdict.faults}
        alarms = [alarm_of(frame, *fault) for key, fault in faults.items() if self._fresh(key)]
        self._told &= {*faults, *(t for t in self._told if t[0] == "*")}
        if not verdict.usable:
            return self._blind(frame, alarms, Phase.BLIND)
        text, judged = self._from_elsewhere(frame)
        if not text:
            self._told = {t for t in self._told if t[0] != "*"}
        elif self._fresh("*view " + text):
            alarms.append(alarm_of(frame, AlarmKind.CHANGED, text))
        if self._watch is None or not judged:
            return self._blind(frame, alarms, Phase.BLIND)
        state = self._watch.step(frame, self._leaks)
        self._leaks = state.leaks
        return replace(state, alarms=(*alarms, *state.alarms))

    @property
    def needle(self) -> NeedleShadow | None:
        """Where the needle was found, on the window's pixels: what lies there is not judged. None while learning."""
        return self._watch.needle if self._watch is not None and self._watch.learning is None else None

    @property
    def window(self) -> Window:
        """Where the pixels of masks and pictures lie on the detector; raises ``ValueError`` before the first frame."""
        if self._watch is None:
            raise ValueError("the monitor has no window before its first usable frame.")
        return self._watch.window

    def _fresh(self, key: str) -> bool:
        """Whether something has not been told in the frame before."""
        new = key not in self._told
        self._told.add(key)
        return new

    def _blind(self, frame: Frame, alarms: list[Alarm], phase: Phase) -> State:
        return State(
            frame.number, frame.time_s, frame.source, phase, None, 0.0, self.settings.threshold, None, None, None,
            tuple(alarms), self._leaks,
        )  # fmt: skip

    def _from_elsewhere(self, frame: Frame) -> tuple[str, bool]:
        """Begin, or begin anew, where the view asks for it: what is to be said, and whether the frame can be judged."""
        outline = self._watch.outline if self._watch else None
        if outline is not None and (frame.view is None or outline.fits(frame.view)):
            unknown = frame.view is None and outline.view is not None
            return ("The image no longer says from where it was taken: keep the C-arm still." if unknown else ""), True
        if self._outlines is None and outline is not None:
            return "The C-arm was turned: the outline belongs to another view. Register or draw it again.", False
        try:
            fresh = self._given or (self._outlines(frame) if self._outlines else None)
        except TrocarError as error:  # the world's refusal: the vertebra is not in this view, the image has no geometry
            return f"No outline can be had for this image: {error}", False
        assert fresh is not None
        text = _unusable(fresh, frame)
        if text:
            return text, False
        self._watch = Watch(fresh, frame, self.settings)
        if outline is None:
            return "", True
        return "The C-arm was turned: the monitor learns the new view and judges nothing meanwhile.", True


def _key(fault: tuple[AlarmKind, str]) -> str:
    """What a fault is, without its numbers: the same fault of the next frame is not told again."""
    return fault[0].name + "".join(c for c in fault[1] if not c.isdigit())


def _unusable(outline: Silhouette, frame: Frame) -> str:
    """Why an outline cannot be watched in a frame."""
    if outline.mask.shape != frame.image.shape:
        rows, columns = outline.mask.shape
        return (
            f"The outline was made for {rows} x {columns} pixels, the image has {frame.image.shape[0]} x "
            f"{frame.image.shape[1]}: register or draw it on this image."
        )
    if outline.view is not None and frame.view is None:
        return "The image does not say from where it was taken, so that the outline from CT cannot be placed in it."
    if outline.view is not None and frame.view is not None and not outline.fits(frame.view):
        return "The outline belongs to another view: register it in this one."
    return ""


__all__ = ["Leak", "LeakMonitor", "Phase", "Settings", "Sight", "State", "Zone", "monitor"]
