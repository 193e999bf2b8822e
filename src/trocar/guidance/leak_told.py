"""Which regions outside the outline were told already: each once, and again when it has become graver.

Masks belong to one view's window and are compared within it only; a new view begins with nothing told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.guidance.leak_evidence import Region
from trocar.guidance.leak_zones import GRAVEST, Zone

#: Cement that reaches this many times as far, or covers this many times the area, is told again. Ours.
GROWN = 2.0
#: Growth within its zone is told again no sooner than this after the last time, s. Ours.
AGAIN_S = 1.0


@dataclass(frozen=True, eq=False)
class _Said:
    mask: NDArray[np.bool_]
    zone: Zone
    reach_mm: float
    area_mm2: float
    time_s: float


class Told:
    """What one view's watch has told of, by the regions' places; it holds no more than regions that lie apart."""

    def __init__(self) -> None:
        self._said: list[_Said] = []

    def asks_again(self, region: Region, zone: Zone, time_s: float) -> str:
        """Why a region must be told now: "new", "graver", "grown"; empty where it was told.

        Where it must be, it counts as told from now on.
        """
        before = [s for s in self._said if (s.mask & region.mask).any()]
        why = _why(before, region, zone, time_s)
        if why:
            mask = np.any([region.mask, *(s.mask for s in before)], axis=0)
            self._said = [s for s in self._said if not any(s is b for b in before)]
            self._said.append(_Said(mask, zone, region.reach_mm, region.area_mm2, time_s))
        return why

    def forget(self) -> None:
        """Nothing is there any more: what comes is new."""
        self._said = []


def _why(before: list[_Said], region: Region, zone: Zone, time_s: float) -> str:
    if not before:
        return "new"
    if gravity(zone) < min(gravity(s.zone) for s in before):
        return "graver"
    grown = region.reach_mm >= GROWN * max(s.reach_mm for s in before) or region.area_mm2 >= GROWN * max(
        s.area_mm2 for s in before
    )
    return "grown" if grown and time_s - max(s.time_s for s in before) >= AGAIN_S else ""


def gravity(zone: Zone) -> float:
    """A zone's rank, the gravest first. A vessel ranks after canal and foramina: cement in it may go to the lung."""
    if zone is Zone.VESSEL:
        return GRAVEST.index(Zone.FORAMEN) + 0.5
    return float(GRAVEST.index(zone)) if zone in GRAVEST else float(len(GRAVEST))
