"""One thing that a source delivers in a rhythm: is it there, does it move, is it still what it was?"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from trocar.guidance.frames import Alarm, AlarmKind, Frame, Reading, Slab, Stamped, ToolPose
from trocar.guidance.source_words import alarm, one, origin, several
from trocar.measure import Severity

#: Images that a new one is compared with: a grabber that plays its ring of buffers again repeats a few, not one.
RING = 16


@dataclass
class Channel:
    """What is known of one thing: when it last came, when it was last new, what form it had."""

    silent_s: float | None
    still_s: float | None
    _last: Stamped | None = field(default=None, init=False)
    _came_s: float = field(default=0.0, init=False)
    _new_s: float = field(default=0.0, init=False)
    _silent: bool = field(default=False, init=False)
    _still: bool = field(default=False, init=False)
    _repeating: bool = field(default=False, init=False)
    _seen: deque[int] = field(default_factory=lambda: deque(maxlen=RING), init=False)
    _first_form: tuple[str, ...] = field(default=(), init=False)
    _form: tuple[str, ...] = field(default=(), init=False)

    def passed(self, now_s: float) -> Iterator[Alarm]:
        """What the passing of time alone tells."""
        if self._last is None or self.silent_s is None or self._silent or now_s - self._came_s < self.silent_s:
            return
        self._silent = True
        item = self._last
        text = f"No {one(item)} from {origin(item)} for {now_s - self._came_s:.1f} s: {_meanwhile(item)}"
        yield alarm(AlarmKind.SILENT, now_s, item, Severity.STOP, text, f"the last was number {item.number}")

    def arrived(self, item: Stamped, now_s: float) -> Iterator[Alarm]:
        """What an item tells, on its arrival."""
        if self._silent:
            text = f"{several(item).capitalize()} from {origin(item)} are back after {now_s - self._came_s:.1f} s."
            yield alarm(AlarmKind.SILENT, now_s, item, Severity.NOTE, text, over=True)
        yield from self._changed(item, now_s)
        yield from self._moved(item, now_s)
        self._silent, self._came_s, self._last = False, now_s, item

    def _moved(self, item: Stamped, now_s: float) -> Iterator[Alarm]:
        mark = _mark(item)
        if self.still_s is None or mark is None or mark not in self._seen:
            yield from self._fresh(item, now_s)
            if mark is not None:
                self._seen.append(mark)
            return
        if not self._repeating and isinstance(item, Frame | Slab):
            text = f"An image from {origin(item)} came again."
            because = f"number {item.number} is the same, pixel for pixel, as one shortly before"
            yield alarm(AlarmKind.OUT_OF_ORDER, now_s, item, Severity.CAUTION, text, because)
        self._repeating = True
        if not self._still and now_s - self._new_s >= self.still_s:
            self._still = True
            text = f"The {one(item)} from {origin(item)} stands still for {now_s - self._new_s:.1f} s: {_still(item)}"
            severity = Severity.CAUTION if isinstance(item, ToolPose) else Severity.STOP
            yield alarm(AlarmKind.OUT_OF_ORDER, now_s, item, severity, text, "the same arrives again and again")

    def _fresh(self, item: Stamped, now_s: float) -> Iterator[Alarm]:
        told = self._still or (self._repeating and isinstance(item, Frame | Slab))
        if told:
            text = f"The {one(item)} from {origin(item)} is new again."
            yield alarm(AlarmKind.OUT_OF_ORDER, now_s, item, Severity.NOTE, text, over=True)
        self._still = self._repeating = False
        self._new_s = now_s
        if isinstance(item, ToolPose):
            self._seen.clear()  # a tool may come back to where it was; only standing there to the last bit is odd

    def _changed(self, item: Stamped, now_s: float) -> Iterator[Alarm]:
        form, before = _form(item), self._form
        self._form = form
        self._first_form = self._first_form or form
        if not before or form == before:
            return
        differences = [f"{old}, now {new}" for old, new in zip(before, form, strict=False) if old != new]
        because = "; ".join(differences)
        if form == self._first_form:
            text = f"The {several(item)} from {origin(item)} are as they were at first."
            yield alarm(AlarmKind.CHANGED, now_s, item, Severity.NOTE, text, because, over=True)
            return
        text = f"The {several(item)} from {origin(item)} have changed: what was measured on earlier ones may not fit."
        yield alarm(AlarmKind.CHANGED, now_s, item, Severity.STOP, text, because)


def _form(item: Stamped) -> tuple[str, ...]:
    """What must stay the same in mid-stream, in words that a change can be told with."""
    match item:
        case Frame(image=image, intensity=intensity, view=view):
            placed = "without a known position of the C-arm"
            if view is not None:
                d = view.detector
                placed = f"pixels of {d.row_spacing_mm:g} x {d.column_spacing_mm:g} mm"
                placed += ", mirrored" if view.mirrored else ""
            size = " x ".join(map(str, image.shape))
            return ("an image", f"{size} pixels", f"numbers of {image.dtype}", intensity.value, placed)
        case Slab(volume=volume):
            size = " x ".join(map(str, volume.shape))
            spacing = " x ".join(f"{s:.3g}" for s in volume.spacing_mm)
            frame = f"frame of reference {volume.frame_of_reference}"
            return ("a CT image", f"{size} voxels", f"voxels of {spacing} mm", f"unit {volume.unit}", frame)
        case Reading(unit=unit):
            return ("a reading", f"unit {unit}")
    return (one(item),)


def _mark(item: Stamped) -> int | None:
    """A number that two items share only where they show the very same (CRC-32: 2e-10 by chance); None: not compared.

    A number and not the image itself: a source may write the next image into the same memory.
    """
    match item:
        case Frame(image=image):
            return zlib.crc32(np.ascontiguousarray(image).data)
        case Slab(volume=volume):
            return zlib.crc32(np.ascontiguousarray(volume.array).data)
        case ToolPose(pose=pose):
            return zlib.crc32(pose.origin_mm.tobytes() + pose.axes.tobytes())
    return None


def _meanwhile(item: Stamped) -> str:
    match item:
        case Frame() | Slab():
            return "what the screen shows is old."
        case ToolPose():
            return "the tool may be out of sight, and is not where it is drawn."
    return "the value shown is old."


def _still(item: Stamped) -> str:
    if isinstance(item, ToolPose):
        return "the tracker may have lost the tool and repeat its last position."
    return "X-rays may be off, or the picture is frozen."
