"""A figure that changes: one ground picture, and areas on it that a slider chooses among.

The ground is embedded once and the areas are drawn as lines of SVG: a few kilobytes for each step, sharp at any size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.reporting.palette import Stroke

#: How much of the ground an area hides.
OPACITY = 0.4


@dataclass(frozen=True)
class Area:
    """A filled outline on the ground: SVG path data in the ground's pixels, and how it is drawn."""

    path: str
    stroke: Stroke


@dataclass(frozen=True)
class Step:
    """One place of the slider: ``name`` under it, what is said there, and what is drawn."""

    name: str
    text: str
    areas: tuple[Area, ...]


@dataclass(frozen=True)
class Slides:
    """The ground picture (PNG, ``width`` times ``height`` pixels), what the slider changes, and its steps in order."""

    ground: bytes
    width: int
    height: int
    label: str
    steps: tuple[Step, ...]
    opacity: float = OPACITY


def path_data(lines: list[NDArray[np.float64]]) -> str:
    """SVG path data of closed lines ``(n, 2)`` in pixels (right, down); a hole is a line within a line."""
    return "".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in line) + "Z" for line in lines)
