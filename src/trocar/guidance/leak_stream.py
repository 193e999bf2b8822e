"""What is wrong with a stream of images, one sentence each: gaps, repeats, jumps back, other sizes, no picture."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from trocar.guidance.frames import Alarm, AlarmKind, Frame, Stamped
from trocar.measure import Finding, Severity

#: A stream that is silent for longer than this is alarming, s.
SILENT_S = 0.5
#: So many images in order among themselves, after a jump back, are where the stream goes on. Ours.
ANEW_ITEMS = 3
#: An image of which more than this share is black, or at its top, shows nothing.
BLANK_SHARE = 0.6
#: Every so many pixels of an image are looked at to compare it with the one before.
SPARSE = 37

#: The highest value of whole-numbered pixels.
_TOPS = {"uint8": 255.0, "uint16": 65535.0}

Fault = tuple[AlarmKind, str]


@dataclass(frozen=True)
class Verdict:
    """Faults of one frame, and whether it can be used."""

    faults: tuple[Fault, ...]
    usable: bool


def finding(kind: AlarmKind, text: str) -> Finding:
    """A fault as a finding: what the monitor cannot see now is a stop only where cement was seen."""
    return Finding(Severity.STOP if kind is AlarmKind.LEAK else Severity.CAUTION, text, kind.value)


def alarm_of(frame: Frame, kind: AlarmKind, text: str) -> Alarm:
    """An alarm at a frame."""
    return Alarm(kind, frame.time_s, frame.number, frame.source, finding(kind, text))


class Order(Enum):
    """How one item of a stream follows on those before."""

    AFTER = "after the one before"
    ASTRAY = "not after the one before"
    ANEW = "not after the one before, but the last few are in order among themselves"


class Base:
    """What the next item of a stream must come after: a stream that was set back is followed again after a few."""

    def __init__(self) -> None:
        self._last: Stamped | None = None
        self._astray: Stamped | None = None
        self._count = 0

    def goes_on(self, item: Stamped) -> Order:
        """How an item follows; it is what the next one is held against unless it went astray."""
        if self._last is None or _after(item, self._last):
            self._last, self._astray = item, None
            return Order.AFTER
        in_order = self._astray is not None and _after(item, self._astray)
        self._astray, self._count = item, self._count + 1 if in_order else 1
        if self._count < ANEW_ITEMS:
            return Order.ASTRAY
        self._last, self._astray = item, None
        return Order.ANEW


def _after(item: Stamped, before: Stamped) -> bool:
    return item.number > before.number and item.time_s > before.time_s


class StreamCheck:
    """Compares each frame with the one before; it holds one frame's header and some of its pixels."""

    def __init__(self) -> None:
        self._last: Frame | None = None
        self._base = Base()
        self._sample: NDArray[np.float64] = np.zeros(0)
        self._form: tuple[object, ...] | None = None

    def check(self, frame: Frame) -> Verdict:
        """What is wrong with a frame."""
        faults, usable = [], True
        for found, fatal in (self._order(frame), self._form_of(frame), self._content(frame)):
            faults += found
            usable = usable and not (found and fatal)
        return Verdict(tuple(faults), usable)

    def _order(self, frame: Frame) -> tuple[list[Fault], bool]:
        last, self._last, begins = self._last, frame, self._base.goes_on(frame)
        if last is not None and begins is Order.ASTRAY:
            self._last = last
            text = f"Image {frame.number} ({frame.time_s:.2f} s) comes after image {last.number} ({last.time_s:.2f} s)"
            return [(AlarmKind.OUT_OF_ORDER, f"{text}: the stream repeats itself or jumps back.")], True
        if last is not None and begins is Order.ANEW:
            text = f"The stream began anew at image {frame.number} ({frame.time_s:.2f} s): it is followed from there."
            return [(AlarmKind.CHANGED, text)], False
        if last is None:
            return [], False
        gap, lost = frame.time_s - last.time_s, frame.number - last.number - 1
        if gap > SILENT_S:
            text = f"No image came for {gap:.1f} s: what happened meanwhile was not seen."
            return [(AlarmKind.SILENT, text)], False
        if lost:
            return [(AlarmKind.LOST, f"{lost} image{'s' * (lost > 1)} before image {frame.number} never came.")], False
        return [], False

    def _form_of(self, frame: Frame) -> tuple[list[Fault], bool]:
        image = frame.image
        if image.ndim != 2 or 0 in image.shape:
            return [(AlarmKind.CHANGED, f"An image of shape {image.shape} is no picture in grey.")], True
        form = (image.shape, image.dtype, frame.intensity)
        first, self._form = self._form, self._form or form
        if first is None or form == first:
            return [], False
        text = (
            f"Images of {first[0][0]} x {first[0][1]} pixels ({first[1]}, {first[2].value}) became "  # type: ignore[index,attr-defined]
            f"{image.shape[0]} x {image.shape[1]} ({image.dtype}, {frame.intensity.value}): start the monitor again."
        )
        return [(AlarmKind.CHANGED, text)], True

    def _content(self, frame: Frame) -> tuple[list[Fault], bool]:
        sample = np.asarray(frame.image).ravel()[::SPARSE].astype(np.float64)
        before, self._sample = self._sample, sample
        if not np.isfinite(sample).all():
            return [(AlarmKind.UNRELIABLE, "The image holds values that are no numbers.")], True
        if before.shape == sample.shape and np.array_equal(before, sample):
            return [(AlarmKind.OUT_OF_ORDER, "The image is the same as the one before: the picture is frozen.")], True
        return (_blank(frame, sample), True)


def _blank(frame: Frame, sample: NDArray[np.float64]) -> list[Fault]:
    """Whether there is a picture at all."""
    if len(sample) == 0 or sample.max() == sample.min():
        return [(AlarmKind.UNRELIABLE, "The image is one even grey: no picture.")]
    top = _TOPS.get(str(frame.image.dtype), np.inf)
    bright, dark = float(np.mean(sample >= min(top, sample.max()))), float(np.mean(sample <= 0.0))
    if bright > BLANK_SHARE:
        return [(AlarmKind.UNRELIABLE, f"{100 * bright:.0f} % of the image is saturated: lower the exposure.")]
    if dark > BLANK_SHARE:
        return [(AlarmKind.UNRELIABLE, f"{100 * dark:.0f} % of the image is black: open the shutters or expose.")]
    return []
