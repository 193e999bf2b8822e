"""Cement's shadow in one view, cube by cube: each adds its volume to the pixels that it covers.

The length of cement along a ray, summed over the detector, is the volume times the square of the magnification over
the cosine of the ray's angle to the central ray: a cube of ``v`` mm3 at depth ``z`` on a detector at distance ``D``
with pixels of ``a`` mm2 adds ``v (D / z)^2 / (a cos)`` to the sum over its pixels. It is spread over them by a tent
that falls to nothing one magnified cube's edge away: side by side tents add up to a flat field, sums are exact, and
outlines are soft by half a cube.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.guidance.carm import CArm
from trocar.guidance.exposure import Image
from trocar.guidance.growth import Course
from trocar.physics.compiled import compiled

_MM3_PER_ML = 1000.0


@dataclass(frozen=True, eq=False)
class Shadow:
    """For each cube of a course ``(n,)``: its row and column, the pixels it covers along both, and its sum of mm."""

    pixels: NDArray[np.float64]
    size_px: NDArray[np.float64]
    sum_mm: NDArray[np.float64]

    @classmethod
    def of(cls, course: Course, view: CArm) -> Shadow:
        """The shadow of a course at rest."""
        away = course.points_mm - view.source_mm
        depth = away @ view.toward_detector
        scale = view.source_to_detector_mm / depth
        pixel = np.array((view.detector.row_spacing_mm, view.detector.column_spacing_mm))
        cosine = depth / np.linalg.norm(away, axis=1)
        total = course.each_ml * _MM3_PER_ML * scale**2 / (pixel.prod() * cosine)
        return cls(view.project(course.points_mm), course.edge_mm * scale[:, None] / pixel, total)

    def add(self, image: Image, first: int, last: int, weight: float = 1.0) -> None:
        """Add the cubes ``[first, last)`` to an image of the same view, in place; what misses it is left out."""
        part = slice(first, last)
        _add(image, self.pixels[part], self.size_px[part], weight * self.sum_mm[part])

    def seen_from(self, shape: tuple[int, int], counts: NDArray[np.int64], least_mm: float) -> NDArray[np.int32]:
        """For each pixel the first frame in which at least ``least_mm`` of cement lie in its way; else the largest int.

        ``counts`` says how many cubes are full in each frame.
        """
        image = np.zeros(shape, np.float32)
        seen = np.full(shape, np.iinfo(np.int32).max, np.int32)
        first = 0
        for number in np.flatnonzero(np.diff(counts, prepend=0)):
            last = int(counts[number])
            self.add(image, first, last)
            _mark(image, seen, self.pixels[first:last], self.size_px[first:last], np.float32(least_mm), number)
            first = last
        return seen


@compiled
def _add(image, pixels, sizes, amounts):  # type: ignore[no-untyped-def]
    """Spread each amount over its tent; the tent's weights are made to add up to one, on the image or off it."""
    rows, columns = image.shape
    for n in range(len(amounts)):
        high, wide = max(sizes[n, 0], 1.0), max(sizes[n, 1], 1.0)
        top, left = int(np.ceil(pixels[n, 0] - high)), int(np.ceil(pixels[n, 1] - wide))
        bottom, right = int(np.floor(pixels[n, 0] + high)), int(np.floor(pixels[n, 1] + wide))
        down, across = 0.0, 0.0
        for r in range(top, bottom + 1):
            down += 1.0 - abs(r - pixels[n, 0]) / high
        for c in range(left, right + 1):
            across += 1.0 - abs(c - pixels[n, 1]) / wide
        share = amounts[n] / (down * across)
        for r in range(max(top, 0), min(bottom, rows - 1) + 1):
            part = share * (1.0 - abs(r - pixels[n, 0]) / high)
            for c in range(max(left, 0), min(right, columns - 1) + 1):
                image[r, c] += part * (1.0 - abs(c - pixels[n, 1]) / wide)


@compiled
def _mark(image, seen, pixels, sizes, least, number):  # type: ignore[no-untyped-def]
    """Give the frame's number to every pixel under new cubes in which there is enough cement by now."""
    rows, columns = image.shape
    for n in range(len(pixels)):
        high, wide = max(sizes[n, 0], 1.0), max(sizes[n, 1], 1.0)
        for r in range(max(int(pixels[n, 0] - high), 0), min(int(pixels[n, 0] + high) + 1, rows - 1) + 1):
            for c in range(max(int(pixels[n, 1] - wide), 0), min(int(pixels[n, 1] + wide) + 1, columns - 1) + 1):
                if image[r, c] >= least and seen[r, c] > number:
                    seen[r, c] = number
