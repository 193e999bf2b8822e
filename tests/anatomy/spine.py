"""A spine of simple shapes for the tests of labels: every bone a body and an arch, and the CT under it."""

from __future__ import annotations

import numpy as np

from trocar.anatomy.levels import Level
from trocar.volume import Volume

#: Body half-axes (left, posterior, superior), mm, and distance to the next lower bone, by region.
SIZES = {
    "cervical": ((9.0, 7.0, 6.0), 16.0),
    "thoracic": ((17.0, 14.5, 11.0), 26.0),
    "lumbar": ((21.0, 16.0, 13.0), 35.0),
    "sacral": ((22.0, 16.0, 13.0), 34.0),
}

#: Where the spine stands, LPS mm: off the middle of the scan, so that a mirrored mask misses it.
PLACE_MM = (14.0, 20.0)

AIR, FAT, MUSCLE, MARROW, CORTEX = -1000.0, -90.0, 50.0, 140.0, 400.0


def spine(
    first: str = "T11",
    last: str = "L3",
    spacing_mm: tuple[float, float, float] = (2.5, 2.0, 2.0),
    margin_mm: float = 24.0,
) -> tuple[Volume, dict[Level, np.ndarray]]:
    """A CT in HU and, by level, masks ``[k, j, i]`` on its grid, from ``first`` to ``last`` (head to foot)."""
    levels = [v for v in Level if Level[first].order <= v.order <= Level[last].order and v not in (Level.T13, Level.L6)]
    heights = np.cumsum([0.0] + [SIZES[v.region][1] for v in levels[1:]])
    size_mm = np.array([heights[-1] + 2 * margin_mm, 140.0, 160.0])
    shape = tuple(int(n) for n in np.ceil(size_mm / spacing_mm))
    affine = np.diag([*spacing_mm[::-1], 1.0])
    affine[:3, 3] = [-80.0, -60.0, 0.0]
    ct = Volume(np.zeros(shape, np.float32), affine)
    k, j, i = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    x, y, z = np.moveaxis(ct.world_mm(np.stack([k, j, i], axis=-1)), -1, 0)
    top = size_mm[0] - margin_mm
    masks = {
        v: _bone(x - PLACE_MM[0], y - PLACE_MM[1], z - (top - down), SIZES[v.region][0])
        for v, down in zip(levels, heights, strict=True)
    }
    hu = np.where((x / 75) ** 2 + (y / 65) ** 2 < 1, np.where((x / 65) ** 2 + (y / 55) ** 2 < 1, MUSCLE, FAT), AIR)
    bone = np.any(list(masks.values()), axis=0)
    hu = np.where(bone, np.where(_inner(bone), MARROW, CORTEX), hu)
    hu = hu + np.random.default_rng(1).normal(0.0, 15.0, shape)
    return Volume(hu.astype(np.float32), affine), masks


def _bone(x: np.ndarray, y: np.ndarray, z: np.ndarray, half: tuple[float, float, float]) -> np.ndarray:
    a, b, c = half
    body = ((x / a) ** 2 + (y / b) ** 2 < 1) & (np.abs(z) < c)
    ring = np.hypot(x, (y - b - 8.0))
    arch = (ring > 9.0) & (ring < 14.0) & (np.abs(z) < 0.7 * c)
    # articular processes: as in the patient, the highest and lowest points of a vertebra, and slender
    superior = (np.hypot(np.abs(x) - 11.5, y - b - 5.0) < 3.5) & (z > 0) & (z < 1.25 * c)
    inferior = (np.hypot(np.abs(x) - 11.5, y - b - 13.0) < 3.5) & (z < 0) & (z > -1.25 * c)
    return body | arch | superior | inferior


def _inner(bone: np.ndarray) -> np.ndarray:
    out = bone.copy()
    for axis in range(3):
        out &= np.roll(bone, 1, axis) & np.roll(bone, -1, axis)
    return out


def numbered(masks: dict[Level, np.ndarray], numbers: dict[str, int], dtype: type = np.uint8) -> np.ndarray:
    """One array of label numbers from masks by level."""
    out = np.zeros(next(iter(masks.values())).shape, dtype)
    for level, mask in masks.items():
        if level.value in numbers:
            out[mask] = numbers[level.value]
    return out


def numbers_of(scheme_levels: dict[int, Level]) -> dict[str, int]:
    """Level name to number, from a scheme's number to level."""
    return {level.value: number for number, level in scheme_levels.items()}
