"""Images of needles whose place is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trocar.anatomy.levels import Level
from trocar.geometry import Side, unit
from trocar.guidance.carm import CArm, Detector
from trocar.guidance.expected_needle import Expected, width_px
from trocar.guidance.exposure import Technique, counts, open_counts, recorded, soft_per_mm
from trocar.guidance.frames import Frame
from trocar.guidance.rods import Rod, rod_mm
from trocar.planning.instrument import Needle
from trocar.planning.trajectory import Trajectory

NEEDLE = Needle.of_gauge(11)
AP, LATERAL = 180.0, 90.0
QUIET = Technique(counts=1e5, scatter=0.0, electronic=0.0, bits=None)
NOISY = Technique(counts=200.0)


def view(primary_deg: float = AP, secondary_deg: float = 0.0, **more: object) -> CArm:
    """A C-arm about the origin with a small detector: 256 x 256 pixels of 0.6 mm."""
    return CArm(np.zeros(3), primary_deg, secondary_deg, detector=Detector(256, 256, 0.6, 0.6), **more)


def path(direction: Sequence[float] = (0.35, -0.9, 0.25), side: Side = Side.LEFT) -> Trajectory:
    """A path from the back to the origin; mirrored for the right."""
    way = unit(np.array(direction) * (-side.sign, 1.0, 1.0))
    return Trajectory(Level.L1, side, "transpedicular", NEEDLE, -90.0 * way, -40.0 * way, np.zeros(3))


def image(
    where: CArm,
    rods: Sequence[Rod],
    technique: Technique = QUIET,
    seed: int = 0,
    behind: np.ndarray | float = 3.0,
    time_s: float = 0.0,
    source: str = "c-arm",
) -> Frame:
    """Steel before an even background (or ``behind``, exponents ``[row, column]``)."""
    met = np.broadcast_to(np.float32(behind), where.detector.shape).astype(np.float32)
    for rod in rods:
        met = met + np.float32(rod.per_mm - soft_per_mm()) * rod_mm(rod, where)
    mean = counts(met, where, technique, open_counts(met, technique))
    stored = recorded(mean, technique, np.random.default_rng(seed))
    return Frame(int(1000 * time_s), time_s, source, stored, where, technique.intensity)


def needle(tip: Sequence[float], direction: Sequence[float], length_mm: float = 100.0, stylet: bool = True) -> Rod:
    """The needle with its tip there."""
    return Rod.of(replace(NEEDLE, length_mm=length_mm), np.array(tip, dtype=float), np.array(direction), stylet=stylet)


def along(
    where: CArm, rod: Rod, *, across_px: float = 25.0, angle_deg: float = 10.0, tip_first: bool = False
) -> Expected:
    """What is expected where a rod is."""
    ends = where.project(np.stack((rod.start_mm, rod.tip_mm)))
    if tip_first:
        ends = ends[::-1]
    ray = unit(rod.tip_mm - where.source_mm)
    slant = abs(float(rod.axis.direction @ ray))
    return Expected(ends[0], ends[1], width_px(where, NEEDLE, rod.tip_mm), across_px, angle_deg, 40.0, slant)
