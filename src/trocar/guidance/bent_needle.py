"""Bevel-tip needles: pushed without turning they run on a circle, and turning them chooses its plane.

The kinematic model is that of Webster et al., Int J Robot Res 25:509 (2006): a tip that rolls without slipping to the
side, either as one wheel (unicycle: the tip runs on a circle from the first) or as two (bicycle: what runs on a circle
is a point behind the tip). Both are exact here: poses are moved along arcs in closed form, no steps are integrated.

How much a needle curves belongs to the needle *and* the tissue. The few curvatures here are read from published
deflections; each needle should be tried in tissue like the patient's before anything hangs on it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from trocar.geometry import Vector, frozen, unit
from trocar.measure import Range

#: A turn smaller than this, radians, is computed by its series: a straight line.
_STRAIGHT = 1e-9
#: No needle in use curves more than on this radius, mm (ours: pre-curved research needles reach about 50 mm).
CURVATURE_RANGE = Range(0.0, 0.02, "/mm")


class Medium(Enum):
    """What the needle runs through; a curvature holds for one only."""

    SOFT_TISSUE = "soft tissue"
    BONE = "bone"


@dataclass(frozen=True)
class Bevel:
    """How a bevelled needle bends in one medium.

    ``curvature_per_mm`` is one over the radius of its path, ``curvature_sd_per_mm`` its spread between insertions,
    ``behind_mm`` how far behind the tip the point lies that runs on the circle (bicycle; 0: unicycle), and
    ``orientation_sd_deg`` how exactly a hand turns the bevel. The needle bends *away* from the bevel's face, towards
    its long side. ``source`` says where the numbers are from.
    """

    curvature_per_mm: float
    curvature_sd_per_mm: float
    medium: Medium
    source: str
    behind_mm: float = 0.0
    orientation_sd_deg: float = 10.0

    def __post_init__(self) -> None:
        CURVATURE_RANGE.check("curvature_per_mm", self.curvature_per_mm, "a bevel")
        CURVATURE_RANGE.check("curvature_sd_per_mm", self.curvature_sd_per_mm, "a bevel")
        Range(0.0, 50.0, "mm").check("behind_mm", self.behind_mm, "a bevel")
        Range(0.0, 90.0, "deg").check("orientation_sd_deg", self.orientation_sd_deg, "a bevel")

    @classmethod
    def deflected(cls, by_mm: float, sd_mm: float, at_mm: float, medium: Medium, source: str) -> Bevel:
        """A bevel whose tip came to lie ``by_mm`` beside the straight path at a depth of ``at_mm``."""
        slope = (curvature(by_mm + sd_mm, at_mm) - curvature(by_mm - sd_mm, at_mm)) / 2.0
        return cls(curvature(by_mm, at_mm), abs(slope), medium, source)


def curvature(deflection_mm: float, depth_mm: float) -> float:
    """The curvature of a circle that starts straight ahead and lies so far aside at a depth: 2y / (x2 + y2)."""
    return 2.0 * deflection_mm / (depth_mm**2 + deflection_mm**2)


_RAND = "Rand et al., Anesth Pain Med 6:e36607 (2016): ballistic gel, drill press, at 80 mm depth"
#: 22G needles by the form of their tip. A gel is even and a drill press steady: a patient spreads more.
BEVELS = {
    "22G Quincke": Bevel.deflected(8.89, 0.17, 80.0, Medium.SOFT_TISSUE, _RAND),
    "22G short bevel": Bevel.deflected(9.96, 0.77, 80.0, Medium.SOFT_TISSUE, _RAND),
    "22G Chiba": Bevel.deflected(7.71, 1.16, 80.0, Medium.SOFT_TISSUE, _RAND),
    "22G Whitacre (pencil point)": Bevel.deflected(0.73, 0.34, 80.0, Medium.SOFT_TISSUE, _RAND),
}


@dataclass(frozen=True, eq=False)
class Front:
    """A needle's front: where its tip is, which way it points, and to which side it bends (unit vectors, LPS)."""

    tip_mm: Vector
    direction: Vector
    bends: Vector

    def __post_init__(self) -> None:
        way = unit(self.direction)
        side = np.asarray(self.bends, dtype=np.float64)
        object.__setattr__(self, "tip_mm", frozen(self.tip_mm))
        object.__setattr__(self, "direction", frozen(way))
        object.__setattr__(self, "bends", frozen(unit(side - float(side @ way) * way)))

    def turned(self, angle_deg: float) -> Front:
        """The needle turned about its own axis, clockwise as seen from the hub."""
        a = math.radians(angle_deg)
        return replace(self, bends=math.cos(a) * self.bends + math.sin(a) * np.cross(self.direction, self.bends))


@dataclass(frozen=True)
class Push:
    """One push: so far, after turning the bevel so far; ``spinning`` all the while it runs straight."""

    length_mm: float
    turn_deg: float = 0.0
    spinning: bool = False


def pushed(front: Front, push: Push, bevel: Bevel) -> Front:
    """The needle after one push, exactly."""
    start = front.turned(push.turn_deg)
    if push.spinning:
        return replace(start, tip_mm=start.tip_mm + push.length_mm * start.direction)
    # the point that runs on the circle; a bicycle's tip leads it by a fixed length, at a fixed angle
    lead = math.atan(bevel.behind_mm * bevel.curvature_per_mm)
    angle = bevel.curvature_per_mm * push.length_mm
    point = start.tip_mm - bevel.behind_mm * start.direction
    along, aside = _arc(bevel.curvature_per_mm, push.length_mm * math.cos(lead))
    angle *= math.cos(lead)
    way = math.cos(angle) * start.direction + math.sin(angle) * start.bends
    side = math.cos(angle) * start.bends - math.sin(angle) * start.direction
    point = point + along * start.direction + aside * start.bends
    return Front(point + bevel.behind_mm * way, way, side)


def _arc(curvature_per_mm: float, length_mm: float) -> tuple[float, float]:
    """How far along the first tangent, and how far aside, an arc ends."""
    angle = curvature_per_mm * length_mm
    if abs(angle) < _STRAIGHT:
        return length_mm, 0.5 * angle * length_mm
    return math.sin(angle) / curvature_per_mm, (1.0 - math.cos(angle)) / curvature_per_mm


def path_mm(front: Front, pushes: Sequence[Push], bevel: Bevel, step_mm: float = 0.5) -> NDArray[np.float64]:
    """Points ``(n, 3)`` of the tip's path, at most ``step_mm`` apart, the first and the last among them."""
    points = [np.asarray(front.tip_mm)]
    for push in pushes:
        parts = max(1, math.ceil(push.length_mm / step_mm))
        lengths = np.linspace(0.0, push.length_mm, parts + 1)[1:]
        points += [pushed(front, replace(push, length_mm=float(length)), bevel).tip_mm for length in lengths]
        front = pushed(front, push, bevel)
    return np.stack(points)


@dataclass(frozen=True, eq=False)
class Spread:
    """Where tips come to lie over many insertions: their mean, their covariance, and the tips ``(n, 3)`` themselves."""

    mean_mm: Vector
    covariance_mm2: NDArray[np.float64]
    tips_mm: NDArray[np.float64]

    def within_mm(self, point_mm: Vector, share: float = 0.95) -> float:
        """The radius about a point that holds this share of the tips."""
        return float(np.quantile(np.linalg.norm(self.tips_mm - np.asarray(point_mm), axis=1), share))


def spread(
    front: Front,
    pushes: Sequence[Push],
    bevel: Bevel,
    rng: np.random.Generator,
    *,
    samples: int = 500,
    tip_covariance_mm2: NDArray[np.float64] | None = None,
    direction_sd_deg: float = 0.0,
) -> Spread:
    """Where the tip comes to lie: curvature, the hand at the bevel, and what is open about the needle's place now.

    Curvature is drawn once an insertion (needle and tissue stay the same), the bevel's angle once a push; a curvature
    below zero is taken as zero.
    """
    Range(2, 10**6).check("samples", samples, "spread")
    place = np.zeros((3, 3)) if tip_covariance_mm2 is None else np.asarray(tip_covariance_mm2)
    tips = np.empty((samples, 3))
    for n in range(samples):
        own = max(0.0, bevel.curvature_per_mm + bevel.curvature_sd_per_mm * rng.standard_normal())
        drawn = replace(bevel, curvature_per_mm=min(own, CURVATURE_RANGE.high))
        start = _shaken(front, place, direction_sd_deg, rng)
        for push in pushes:
            off = bevel.orientation_sd_deg * rng.standard_normal()
            start = pushed(start, replace(push, turn_deg=push.turn_deg + off), drawn).turned(-off)
        tips[n] = start.tip_mm
    return Spread(tips.mean(axis=0), np.cov(tips.T), tips)


def _shaken(front: Front, place: NDArray[np.float64], direction_sd_deg: float, rng: np.random.Generator) -> Front:
    tip = rng.multivariate_normal(front.tip_mm, place) if place.any() else front.tip_mm
    if direction_sd_deg == 0.0:
        return replace(front, tip_mm=tip)
    a, b = math.radians(direction_sd_deg) * rng.standard_normal(2)
    across = np.cross(front.direction, front.bends)
    return Front(tip, front.direction + a * front.bends + b * across, front.bends)


@dataclass(frozen=True, eq=False)
class Steering:
    """How a bevel brings the tip to a target: pull back so far, run straight (spinning), then bend so far.

    ``bends`` is the direction (unit vector across the needle, LPS) to which the needle must bend; the bevel's face
    looks the other way.
    """

    pull_back_mm: float
    straight_mm: float
    bent_mm: float
    bends: Vector

    @property
    def pushes(self) -> tuple[Push, ...]:
        """The two pushes; the bevel is set to bend the right way before."""
        return (Push(self.straight_mm, spinning=True), Push(self.bent_mm))


def steering(tip_mm: Vector, direction: Vector, target_mm: Vector, bevel: Bevel) -> Steering | None:
    """The bend that ends in the target, begun as late as can be; None where the needle cannot curve that much.

    A circle that leaves the needle's axis reaches ``y`` aside after ``x = sqrt(2 y / k - y^2)`` along it, ``k`` being
    its curvature: the bend begins that far before the target, behind the present tip if need be.
    """
    way = unit(direction)
    d = np.asarray(target_mm, dtype=np.float64) - tip_mm
    ahead = float(d @ way)
    across = d - ahead * way
    aside = float(np.linalg.norm(across))
    k = bevel.curvature_per_mm
    if aside < 1e-9:
        return Steering(max(0.0, -ahead), max(0.0, ahead), 0.0, frozen(np.linalg.svd(way[None])[2][1]))
    if k <= 0.0 or aside > 1.0 / k:
        return None
    along = math.sqrt(2.0 * aside / k - aside**2)
    length = math.asin(min(1.0, along * k)) / k
    return Steering(max(0.0, along - ahead), max(0.0, ahead - along), length, frozen(across / aside))
