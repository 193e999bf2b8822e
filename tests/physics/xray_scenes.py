"""Beams and volumes whose projections are known in closed form."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from trocar.physics.xray import Beam

#: The C-arm of the reference case: source to detector and to the isocentre, mm.
SDD_MM, SAD_MM = 1020.0, 620.0


def c_arm(
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    primary_deg: float = 0.0,
    secondary_deg: float = 0.0,
    pixels: int = 64,
    pixel_mm: float = 0.6,
) -> Beam:
    """A beam through the middle of a box whose axes are head (k), back (j) and left (i)."""
    a, b = np.radians((primary_deg, secondary_deg))
    axis = np.array((np.sin(b), -np.cos(a) * np.cos(b), np.sin(a) * np.cos(b)))
    right = np.array((0.0, np.sin(a), np.cos(a)))
    down = np.array((-np.cos(b), -np.cos(a) * np.sin(b), np.sin(a) * np.sin(b)))
    source = (np.array(shape) - 1) / 2 * spacing_mm - SAD_MM * axis
    corner = source + SDD_MM * axis - (pixels - 1) / 2 * pixel_mm * (right + down)
    return Beam(source, corner, down * pixel_mm, right * pixel_mm, (pixels, pixels))


def pixels_mm(beam: Beam) -> np.ndarray:
    """Centres of the pixels ``[row, column, 3]``."""
    rows, columns = np.mgrid[: beam.shape[0], : beam.shape[1]][..., None]
    return beam.corner_mm + rows * beam.down_mm + columns * beam.right_mm


def directions(beam: Beam) -> np.ndarray:
    """Unit vectors from the source to the pixels ``[row, column, 3]``."""
    way = pixels_mm(beam) - beam.source_mm
    return way / np.linalg.norm(way, axis=-1, keepdims=True)


def moved(beam: Beam, shift_mm: np.ndarray) -> Beam:
    """The whole beam, shifted."""
    return replace(beam, source_mm=beam.source_mm + shift_mm, corner_mm=beam.corner_mm + shift_mm)


def in_box(beam: Beam, low_mm: np.ndarray, high_mm: np.ndarray) -> np.ndarray:
    """Length of each ray within a box, mm, where both source and detector are outside."""
    with np.errstate(divide="ignore"):
        t, u = ((side - beam.source_mm) / directions(beam) for side in (np.asarray(low_mm), np.asarray(high_mm)))
    return np.maximum(np.maximum(t, u).min(-1) - np.minimum(t, u).max(-1), 0.0)


def in_sphere(beam: Beam, centre_mm: np.ndarray, radius_mm: float) -> np.ndarray:
    """Length of each ray within a sphere, mm."""
    d = directions(beam)
    way = np.asarray(centre_mm) - beam.source_mm
    miss = way @ way - (d @ way) ** 2
    return 2.0 * np.sqrt(np.maximum(radius_mm**2 - miss, 0.0))


@dataclass(frozen=True, eq=False)
class Gaussians:
    """A sum of round Gaussians: the integral along a whole line is known."""

    centres_mm: np.ndarray
    sigmas_mm: np.ndarray
    heights: np.ndarray

    def volume(self, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> np.ndarray:
        """Sampled at the voxels' centres, float32."""
        out = np.zeros(shape, dtype=np.float32)
        axes = [np.arange(n) * h for n, h in zip(shape, spacing_mm, strict=True)]
        for centre, sigma, height in zip(self.centres_mm, self.sigmas_mm, self.heights, strict=True):
            near = tuple(
                slice(*np.searchsorted(x, (c - 7 * sigma, c + 7 * sigma))) for x, c in zip(axes, centre, strict=True)
            )
            k, j, i = (
                np.exp(-((x[s] - c) ** 2) / (2 * sigma**2)).astype(np.float32)
                for x, c, s in zip(axes, centre, near, strict=True)
            )
            out[near] += np.float32(height) * k[:, None, None] * j[:, None] * i
        return out

    def projected(self, beam: Beam) -> np.ndarray:
        """Integrals along the rays' whole lines."""
        d, out = directions(beam), np.zeros(beam.shape)
        for centre, sigma, height in zip(self.centres_mm, self.sigmas_mm, self.heights, strict=True):
            way = centre - beam.source_mm
            miss = way @ way - (d @ way) ** 2
            out += height * sigma * np.sqrt(2 * np.pi) * np.exp(-miss / (2 * sigma**2))
        return out


def gaussians(
    shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], count: int, sigma_mm: tuple[float, float]
) -> Gaussians:
    """So many within the middle three fifths of a box, of widths between two bounds."""
    rng = np.random.default_rng(61)
    extent = (np.array(shape) - 1) * spacing_mm
    return Gaussians(
        (0.2 + 0.6 * rng.random((count, 3))) * extent, rng.uniform(*sigma_mm, count), rng.uniform(0.002, 0.02, count)
    )


def apart(image: np.ndarray, truth: np.ndarray) -> float:
    """Relative L2 difference."""
    return float(np.linalg.norm(image - truth) / np.linalg.norm(truth))
