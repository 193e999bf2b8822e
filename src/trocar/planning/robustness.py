"""What an unsteady hand does to a path: the chance that it breaches a wall or enters a structure.

The hand errs independently and normally: the entry on bone by ``entry_sd_mm`` along each axis, the
direction by ``angle_sd_deg`` about each of two axes at right angles to the needle. The insertion
depth stays as planned. A breach is a clearance of zero or less anywhere on the path: from the
needle's surface to a labelled voxel, to the wall of the pedicle, or of the tip to the cortex.

The integral over the five errors is taken over a scrambled Sobol set. Its axes are outwards,
cranial and along the needle, not left and right, so a mirrored patient meets mirrored errors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trocar.geometry import Vector, unit
from trocar.measure import Measure, Range
from trocar.planning.access import Kind
from trocar.planning.maps import Maps
from trocar.planning.rays import least

#: Two-sided 95 % of a normal distribution, in standard deviations.
_Z95 = 1.959963984540054


@dataclass(frozen=True)
class HandError:
    """How far a hand strays: standard deviations at the bone entry and in angle, per axis.

    1.5 mm and 2.5 deg are the defaults; with a CT laser 0.8 mm and 1.3 deg were measured, free hand
    6.1 mm and 3.4 deg (Korean J Radiol 2015). ``seed`` and ``samples`` (a power of two) set the Sobol set.
    """

    entry_sd_mm: float = 1.5
    angle_sd_deg: float = 2.5
    samples: int = 1024
    seed: int = 20

    def __post_init__(self) -> None:
        Range(0.0, 20.0, "mm").check("entry_sd_mm", self.entry_sd_mm, "HandError")
        Range(0.0, 30.0, "deg").check("angle_sd_deg", self.angle_sd_deg, "HandError")
        Range(16, 2**16).check("samples", self.samples, "HandError")
        if self.samples & (self.samples - 1):
            raise ValueError(f"samples={self.samples} is not a power of two, which a Sobol set needs.")

    def sd_mm(self, depth_mm: float) -> float:
        """How far it strays along each axis across the needle, so deep below the entry: one standard deviation, mm."""
        return math.hypot(self.entry_sd_mm, depth_mm * math.tan(math.radians(self.angle_sd_deg)))


@dataclass(frozen=True)
class Breach:
    """The chance of any breach, and of each alone by its name ("wall", "canal", "lung" ...)."""

    probability: Measure
    by_structure: dict[str, float]


@lru_cache(maxsize=4)
def _normal_errors(samples: int, seed: int) -> NDArray[np.float64]:
    """``(samples, 5)`` independent standard normal numbers, evenly spread."""
    from scipy.special import ndtri
    from scipy.stats import qmc

    uniform = qmc.Sobol(5, scramble=True, rng=np.random.default_rng(seed)).random(samples)
    # symmetric about zero: each error is paired with its opposite
    half = np.asarray(ndtri(np.clip(uniform, 1e-12, 1 - 1e-12)))[: samples // 2]
    return np.concatenate([half, -half])


def strayed(
    tip_mm: Vector, entry_mm: Vector, outwards: Vector, hand: HandError
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tips and unit directions (from the tip outwards) of the paths a hand would make of one.

    ``outwards`` is any direction towards the needle's side; it only names the axes of the errors.
    """
    way = unit(np.asarray(entry_mm) - np.asarray(tip_mm))
    up = unit(np.cross(way, outwards))
    # the sign of a cross product flips in a mirror; cranial does not
    up = up if up[2] >= 0 else -up
    out = unit(np.asarray(outwards) - way * float(np.asarray(outwards) @ way))
    z = _normal_errors(hand.samples, hand.seed)
    entries = np.asarray(entry_mm) + hand.entry_sd_mm * (z[:, :1] * out + z[:, 1:2] * up + z[:, 2:3] * way)
    turn = math.radians(hand.angle_sd_deg) * z[:, 3:5]
    size = np.linalg.norm(turn, axis=1, keepdims=True)
    bent = np.cos(size) * way + np.sinc(size / math.pi) * (turn[:, :1] * out + turn[:, 1:2] * up)
    depth = float(np.linalg.norm(np.asarray(entry_mm) - np.asarray(tip_mm)))
    return entries - depth * bent, bent


def breach_probability(
    maps: Maps,
    tip_mm: Vector,
    entry_mm: Vector,
    *,
    radius_mm: float,
    wall_mm: float,
    outwards: Vector,
    hand: HandError,
    outside_mm: float = 0.0,
) -> Breach:
    """The chance that ``hand`` turns the path from ``entry_mm`` to ``tip_mm`` into a breach.

    ``wall_mm`` is how far from the tip the needle must stay within bone, ``outside_mm`` how far the
    path runs from the bone to the skin. Contact with ribs and neighbouring vertebrae is no breach;
    structures that the maps lack are not part of it.
    """
    tips, ways = strayed(tip_mm, entry_mm, outwards, hand)
    length = float(np.linalg.norm(np.asarray(entry_mm) - np.asarray(tip_mm))) + outside_mm
    axis = least(maps.values, maps.to_index(), tips, ways, wall_mm, length)
    broken = axis <= radius_mm
    names = ("wall", *(k.value for k in maps.kinds))
    counted = [n for n, name in enumerate(names) if name != Kind.BONE.value]
    share = float(broken[:, counted].any(axis=1).mean())
    return Breach(_measure(share, hand), {names[n]: float(broken[:, n].mean()) for n in counted})


def _measure(share: float, hand: HandError) -> Measure:
    """The share with its 95 % interval as for independent draws (Wilson), wider than Sobol points need."""
    n, z2 = hand.samples, _Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return Measure(
        "breach_probability",
        share,
        "1",
        low=max(0.0, middle - half),
        high=min(1.0, middle + half),
        interval="95 %",
        method=f"{n} Sobol points, hand error {hand.entry_sd_mm:g} mm per axis at entry and "
        f"{hand.angle_sd_deg:g} deg per axis in angle",
    )
