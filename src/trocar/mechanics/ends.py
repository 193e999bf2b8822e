"""The two ends of a vertebral body: its endplates as columns of voxels, and the cement moulded on them.

Arrays are ``[k, j, i]`` with k superior; a column is one ``[j, i]``. Nothing here knows a patient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, label

#: A column whose bone ends this far below the plane of the endplate belongs to the side wall, mm. Endplates are
#: dished by 2 to 4 mm; what a fracture has pressed in further is enclosed by the rim and counts all the same.
SIDE_WALL_MM = 5.0
#: The flat face of a cap lies this far beyond the highest point of the endplate, mm. The discs of the published
#: VerSe models (Bonelab, spineFE-benchmark) have three to four full layers of 1 mm there.
CAP_MM = 3.0
#: Fitting the plane and leaving out the side wall is repeated this often; it settles within four.
FITS = 8

Bools = NDArray[np.bool_]
Heights = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Endplate:
    """One endplate. ``footprint[j, i]`` are its columns; ``surface[j, i]`` the node plane k of the bone's outer face.

    ``surface`` counts in the body's own array for both endplates and means nothing outside the footprint.
    ``outward`` is +1 for the superior endplate and -1 for the inferior. ``above_mm[j, i]`` is how far the bone stands
    out of the endplate's fitted plane.
    """

    footprint: Bools
    surface: NDArray[np.int64]
    outward: int
    above_mm: Heights

    @property
    def outermost(self) -> int:
        """The node plane of the outermost point."""
        surface = self.surface[self.footprint]
        return int(surface.max() if self.outward > 0 else surface.min())


def endplates(body: Bools, spacing_mm: tuple[float, float, float]) -> tuple[Endplate, Endplate]:
    """The superior and the inferior endplate of a body ``[k, j, i]``; raises ``ValueError`` for an empty one."""
    if not body.any():
        raise ValueError("there is no vertebral body in the box: every voxel is empty.")
    upper = _seen_from_above(body, spacing_mm)
    lower = _seen_from_above(body[::-1], spacing_mm)
    return upper, Endplate(lower.footprint, body.shape[0] - lower.surface, -1, lower.above_mm)


def _seen_from_above(body: Bools, spacing_mm: tuple[float, float, float]) -> Endplate:
    columns = np.asarray(body.any(axis=0), bool)
    surface = body.shape[0] - np.argmax(body[::-1], axis=0)
    above_mm = _above_plane(spacing_mm[0] * surface, columns, spacing_mm)
    rim = largest_piece(columns & (above_mm > -SIDE_WALL_MM))
    footprint = binary_fill_holes(rim) & columns
    return Endplate(footprint, surface.astype(np.int64), 1, above_mm)


def _above_plane(height_mm: Heights, columns: Bools, spacing_mm: tuple[float, float, float]) -> Heights:
    """Heights above the plane through the columns that are not side wall."""
    j, i = np.indices(columns.shape)
    terms = np.stack([spacing_mm[1] * (j - j.mean()), spacing_mm[2] * (i - i.mean()), np.ones(columns.shape)], axis=-1)
    above = np.zeros(columns.shape)
    keep = columns
    for _ in range(FITS):
        plane = np.linalg.lstsq(terms[keep], height_mm[keep], rcond=None)[0]
        above = height_mm - terms @ plane
        keep = columns & (above > -SIDE_WALL_MM)
    return above


def cap(body: Bools, endplate: Endplate, spacing_mm: tuple[float, float, float], thickness_mm: float = CAP_MM) -> Bools:
    """The layer between an endplate and a flat plane ``thickness_mm`` beyond its outermost point, ``[k, j, i]``.

    Moulded: within the footprint it reaches down to the bone. Raises ``ValueError`` where the box has no room.
    """
    layers = cap_layers(thickness_mm, spacing_mm)
    plane = endplate.outermost + endplate.outward * layers
    if not 0 <= plane <= body.shape[0]:
        raise ValueError(f"a cap of {layers} layers does not fit: the box ends before node plane {plane}.")
    k = np.arange(body.shape[0])[:, None, None]
    if endplate.outward > 0:
        between = (k >= endplate.surface) & (k < plane)
    else:
        between = (k < endplate.surface) & (k >= plane)
    return between & endplate.footprint & ~body


def cap_layers(thickness_mm: float, spacing_mm: tuple[float, float, float]) -> int:
    """How many layers of voxels make a cap at least ``thickness_mm`` thick."""
    return int(np.ceil(thickness_mm / spacing_mm[0] - 1e-6))


def largest_piece(where: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest of the pieces that hang together by faces (of two equals, the first)."""
    pieces, count = label(where)
    if count <= 1:
        return np.asarray(where, bool)
    return np.asarray(pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:])))
