"""What the collimator left open: X-Ray Collimator module and macro (PS3.3 C.8.7.3, C.8.19.6.12)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.io.xa_file import XRayFile, as_numbers


@dataclass(frozen=True)
class Collimation:
    """Pixels within the collimator: first and last row, first and last column, from 0; edges may lie off the image.

    ``circle`` is row and column of a round collimator's centre and its radius in pixels. DICOM counts from 1 and does
    not say whether the edge's own pixel is open; here it is.
    """

    top: int
    bottom: int
    left: int
    right: int
    circle: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        if self.top > self.bottom or self.left > self.right:
            raise ValueError(
                f"a collimator from row {self.top} to {self.bottom} and column {self.left} to {self.right} is shut."
            )

    def mask(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """True within, ``[row, column]``."""
        rows, columns = np.ogrid[: shape[0], : shape[1]]
        within = (rows >= self.top) & (rows <= self.bottom) & (columns >= self.left) & (columns <= self.right)
        if self.circle is not None:
            row, column, radius = self.circle
            within &= (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
        return np.asarray(within)


#: In this order in :class:`Collimation`.
EDGES = (
    "CollimatorUpperHorizontalEdge",
    "CollimatorLowerHorizontalEdge",
    "CollimatorLeftVerticalEdge",
    "CollimatorRightVerticalEdge",
)


def collimation(file: XRayFile) -> Collimation | None:
    """The collimator of a run (of its first frame); None where the file does not tell one that is read here.

    A polygonal collimator is not read.
    """
    shapes = file.value("CollimatorShape")
    shapes = [shapes] if isinstance(shapes, str) else list(shapes or [])
    rows, columns = file.shape
    edges, circle = (0, rows - 1, 0, columns - 1), None
    if "RECTANGULAR" in shapes:
        found = [file.number(keyword) for keyword in EDGES]
        if all(f is not None for f in found):
            edges = tuple(int(f or 0) - 1 for f in found)  # type: ignore[assignment]
    if "CIRCULAR" in shapes:
        centre, radius = as_numbers(file.value("CenterOfCircularCollimator")), file.number("RadiusOfCircularCollimator")
        if centre is not None and len(centre) == 2 and radius:
            circle = (float(centre[0]) - 1.0, float(centre[1]) - 1.0, radius)
    if edges == (0, rows - 1, 0, columns - 1) and circle is None:
        return None
    return Collimation(*edges, circle) if edges[0] <= edges[1] and edges[2] <= edges[3] else None
