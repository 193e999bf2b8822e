"""What is wrong with a stream of images, one sentence each: gaps, repeats, jumps back, other sizes, no picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.guidance.frames import AlarmKind, Frame
from trocar.measure import Finding, Severity

#: A stream that is silent for longer than this is alarming, s.
SILENT_S = 0.5
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


class StreamCheck:
    """Compares each frame with the one before; it holds one frame's header and some of its pixels."""

    def __init__(self) -> None:
        self._last: Frame | None = None
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
        last = self._last
        if last is not None and (frame.number <= last.number or frame.time_s <= last.time_s):
            text = f"Image {frame.number} ({frame.time_s:.2f} s) comes after image {last.number} ({last.time_s:.2f} s)"
            return [(AlarmKind.OUT_OF_ORDER, f"{text}: the stream repeats itself or jumps back.")], True
        self._last = frame
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
