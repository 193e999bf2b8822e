"""What a vertebra looks like before the injection: frames brought onto the first one, and what is left of them."""

from __future__ import annotations

import numpy as np

from trocar.guidance.cement_image import Noise
from trocar.guidance.frames import Frame
from trocar.guidance.motion import Aligner, Motion, Patch, Reference, Window, blurred, line_integrals_of
from trocar.guidance.overlay_motion import Overlay

#: While learning the reference becomes the mean of what was learned once so many images are.
MEANS = (4, 10, 20)


class Learning:
    """The reference in the making: frames before the injection, brought onto the first."""

    def __init__(self, window: Window, weight: Patch, frame: Frame) -> None:
        values, held = window.bare(frame.image)
        first = line_integrals_of(values, frame.intensity)
        self.held = held > 0
        self.detector_mm = window.mm_per_pixel / window.factor
        self.kept = [first]
        self.at_mm = [np.zeros(2)]
        self.likeness: list[float] = []
        self.aligner = Aligner(window, Reference(first, weight, window.mm_per_pixel), trusted=0.0)

    def add(self, frame: Frame) -> Motion:
        """Take in one more frame."""
        motion, aligned, held = self.aligner.align(frame.image, frame.intensity)
        self.kept.append(aligned)
        self.at_mm.append(np.array(motion.shift_px) * self.detector_mm)
        self.likeness.append(motion.likeness)
        self.held &= held > 0
        if len(self.kept) in MEANS:
            self.aligner.reference.replace(np.mean(self.kept, axis=0))
        return motion

    @property
    def alike(self) -> float:
        """How much alike the frames are, at worst of two: the first few to the first itself, all to their mean.

        The outline belongs to the first frame: where that shows no vertebra, nobody knows where the others lie.
        """
        return float(min(np.median(self.likeness), np.median(self.likeness[: MEANS[0] - 1])))

    def finish(self, sigma_px: float) -> tuple[Patch, Overlay, Noise]:
        """The mean, what moves otherwise, and the spread that is left."""
        stack, at = np.stack(self.kept), np.stack(self.at_mm)
        mean = stack.mean(axis=0)
        stack -= mean
        overlay = Overlay.learned(stack, at)
        for rest, place in zip(stack, at, strict=True):
            rest -= overlay.at(overlay.along_mm(place))
        smooth = np.stack([blurred(p, sigma_px) for p in stack])
        return mean, overlay, Noise.of(stack.std(axis=0, ddof=2), smooth.std(axis=0, ddof=2), 4.0)
