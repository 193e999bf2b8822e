"""How warm a vertebra gets while the cement in it cures, and what that means for the nerves beside it.

The cement's curing gives heat, and heat makes it cure faster: both advance together, the cure by the midpoint rule and
the heat by :class:`trocar.physics.heat.Heat`. Nothing moves any more: the clock starts when the injection has ended,
with each voxel's cement as old as it is by then.

What it cannot know is how much blood flows in this bone and how quickly this cement cures; published peaks of one
laboratory span 44 to 113 degC at one place (Belkoff & Molloy, Spine 28:1555, 2003).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trocar.geometry import frozen
from trocar.injection.dose import Dosimeter, Exposure
from trocar.injection.heat_site import NERVES, HeatSite, Region
from trocar.measure import Finding, Measure, Range, Severity, Status
from trocar.mechanics.filling import Mask
from trocar.physics.cement import Cement
from trocar.physics.heat import BLOOD_C, Heat, longest_step_s
from trocar.physics.tissues import CEMENT

#: How long curing is followed after the injection, s: by then all cements here have set and most of the heat is gone.
DURATION_S = 1200.0
#: Steps while cement warms itself faster than so many degC a second, s and degC/s, and how many times as long they are
#: before and after. Halving them moves the cement's own peak by less than 0.3 degC and a region's by 0.02 (tests).
STEP_S, QUIET_C_PER_S, QUIET_STEPS = 1.0, 0.02, 4.0
#: Nerves: above this temperature, degC, or beyond these equivalent minutes at 43 degC, they are at risk. The central
#: nervous system bore 10 to 30 min at 43 degC without obvious complication (Haveman et al., Int J Hyperthermia 21:473,
#: 2005); 45 degC is where ablation near nerves is stopped (Nakatsuka et al., 2009).
NERVE_C, NERVE_CAUTION_MIN, NERVE_STOP_MIN = 45.0, 10.0, 30.0
#: Equivalent minutes are told up to here: the law was never measured beyond, and doubles with each degree.
MOST_MIN = 1000.0
#: Cement at the end of an injection: from the refrigerator to where it boils off monomer (100.5 degC, CRC handbook).
START = Range(0.0, 100.0, "degC")
#: A share of a voxel may exceed 1 by so much: float32 of an injection.
SHARE_ROUNDING = 1e-4
#: Peaks measured in the middle of vertebrae in a bath, with several cements (Belkoff & Molloy, Spine 28:1555, 2003).
CENTRE_C = Range(49.0, 112.0, "degC")
#: From this share on a voxel is cement and no nerve lies in it.
FULL_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Heating:
    """The course of a vertebra's temperature after an injection.

    ``time_s`` since the injection ended; ``temperature_c`` is that of the warmest voxel of each region of the site at
    those times, of a nerve's without what is cement; ``exposure`` what each of their voxels took. ``peak_c``
    (float32 ``[k, j, i]`` on the site's grid) is the highest each voxel got, ``last_c`` and ``degree`` (same) how warm
    it was and how far its cement had cured in the end.
    """

    site: HeatSite
    status: Status
    time_s: NDArray[np.float64]
    temperature_c: Mapping[Region, NDArray[np.float64]]
    exposure: Mapping[Region, Exposure]
    peak_c: NDArray[np.float32]
    last_c: NDArray[np.float32]
    degree: NDArray[np.float32]
    cement: str
    perfused: bool

    @property
    def method(self) -> str:
        """How the numbers came about, in one sentence."""
        blood = "resting blood flow" if self.perfused else "no blood flow"
        return (
            f"Finite volumes of {self.site.spacing_mm[0]:g} mm, {self.cement} cement curing as it warms, {blood}, "
            f"the warmest voxel, {self.time_s[-1] / 60.0:.0f} min from the end of the injection."
        )

    def measures(self) -> tuple[Measure, ...]:
        """Peak, minutes above 45 and 50 degC and equivalent minutes of each region, and the peak of all.

        That of all lies in the cement, where the heat comes from.
        """
        peak = Measure("heating_peak", float(self.peak_c.max()), "Cel", method=f"{self.method} It lies in the cement.")
        return (peak, *(m for r in self.temperature_c for m in self._of(r)))

    def _of(self, region: Region) -> list[Measure]:
        name, took = f"heating_{region.name.lower()}", self.exposure[region]
        if region is Region.TUMOUR_RIM:
            return [_rim(name, took, self.method)]
        dose = min(float(took.cem43_min.max()), MOST_MIN)
        capped = f" Told up to {MOST_MIN:.0f} min." if dose == MOST_MIN else ""
        return [
            Measure(f"{name}_peak", float(self.temperature_c[region].max()), "Cel", method=self.method),
            *(
                Measure(f"{name}_above_{c:.0f}_c", float(minutes.max()), "min", method=self.method)
                for c, minutes in took.above_min.items()
            ),
            Measure(f"{name}_cem43", dose, "min", method=f"{self.method} Sapareto & Dewey (1984).{capped}"),
        ]

    def findings(self) -> tuple[Finding, ...]:
        """What threatens nerves, and whether it was still warm when the computation ended."""
        found = [self._threat(r) for r in NERVES if r in self.temperature_c]
        return (*(f for f in found if f is not None), *self._unfinished())

    def _threat(self, region: Region) -> Finding | None:
        peak, dose = float(self.temperature_c[region].max()), float(self.exposure[region].cem43_min.max())
        if peak <= NERVE_C and dose <= NERVE_CAUTION_MIN:
            return None
        equal = f"{dose:.0f} min" if dose < MOST_MIN else f"more than {MOST_MIN:.0f} min"
        text = f"Curing cement warms the {region.value} to {peak:.0f} °C, as harmful as {equal} at 43 °C."
        because = (
            f"nerves are taken to bear {NERVE_C:g} °C and {NERVE_CAUTION_MIN:g} to {NERVE_STOP_MIN:g} min at 43 °C "
            "(Haveman 2005); computed temperatures may be off by several degrees, and lie high among measured ones"
        )
        return Finding(Severity.STOP if dose > NERVE_STOP_MIN else Severity.CAUTION, text, because)

    def _unfinished(self) -> tuple[Finding, ...]:
        warm = [r.value for r, course in self.temperature_c.items() if r in NERVES and course[-1] > NERVE_C]
        if not warm:
            return ()
        text = f"After {self.time_s[-1] / 60.0:.0f} min the {' and the '.join(warm)} is still above {NERVE_C:g} °C."
        return (Finding(Severity.CAUTION, text, "the computation ended there; the true dose is higher"),)

    def series(self) -> dict[str, dict[str, list[float]]]:
        """``heating``: minutes since the end of the injection, and the warmest voxel of each region, degC."""
        courses = {r.name.lower(): np.round(t, 3).tolist() for r, t in self.temperature_c.items()}
        return {"heating": {"time_min": (self.time_s / 60.0).tolist(), **courses}}


def heating(
    site: HeatSite,
    content: ArrayLike,
    age_s: ArrayLike,
    cement: Cement,
    *,
    start_c: float = BLOOD_C,
    perfused: bool = True,
    duration_s: float = DURATION_S,
    step_s: float = STEP_S,
) -> Heating:
    """Follow the temperature while cement cures.

    ``content`` is the share of each voxel that is cement (0 to 1) and ``age_s`` its age in seconds at 23 degC when the
    injection ends, ``[k, j, i]`` on the bone model's grid or the site's. ``start_c`` is how warm the cement is then;
    all else is as warm as blood. Raises ``ValueError`` for fields that do not fit, shares outside 0 to 1, an age that
    is negative or not a number where there is cement, and a temperature or times that make no sense.
    """
    share, age = (_on_site(site, np.asarray(a, np.float64)) for a in (content, age_s))
    _check(share, age, start_c, duration_s, step_s)
    medium = site.medium(share, perfused)
    lump = _Lump(cement, share, age)
    warm = BLOOD_C + (start_c - BLOOD_C) * share * CEMENT.capacity_j_per_mm3_k / medium.capacity_j_per_mm3_k
    record = _Record(site, warm, share < FULL_SHARE)
    longest = longest_step_s(medium)
    heats = {quiet: Heat(medium, min(step_s * (QUIET_STEPS if quiet else 1.0), longest)) for quiet in (False, True)}
    while record.time_s < duration_s:
        heat = heats[lump.fastest_c_per_s(record.temperature) < QUIET_C_PER_S]
        record.add(heat.advance(record.temperature, lump.cure(record.temperature, heat.dt_s)), heat.dt_s)
    return record.heating(lump.degree(site.tissue.shape), cement.name, perfused)


class _Lump:
    """The cement in the site's voxels, and how far it has cured."""

    def __init__(self, cement: Cement, share: NDArray[np.float64], age_s: NDArray[np.float64]) -> None:
        self._cement, self._where = cement, np.nonzero(share > 0.0)
        self._heat_j_per_mm3 = cement.heat_j_per_mm3 * share[self._where]
        self._degree = np.asarray(cement.degree_at(age_s[self._where]), np.float64)
        self._before: tuple[NDArray[np.float64], float] | None = None
        self._source = np.zeros(share.shape, np.float32)

    def fastest_c_per_s(self, temperature_c: NDArray[Any]) -> float:
        """How fast the hastiest cement would warm if it kept its heat."""
        rate = self._cement.cure_rate_per_s(self._degree, temperature_c[self._where])
        return float(rate.max(initial=0.0)) * self._cement.adiabatic_rise_c

    def cure(self, temperature_c: NDArray[Any], step_s: float) -> NDArray[np.float32]:
        """Cure for a step (midpoint rule); the heat that gives, W/mm3 ``[k, j, i]``."""
        now = temperature_c[self._where].astype(np.float64)
        slope = 0.0 if self._before is None else (now - self._before[0]) / self._before[1]
        halfway = self._degree + 0.5 * step_s * self._cement.cure_rate_per_s(self._degree, now)
        rate = self._cement.cure_rate_per_s(np.minimum(halfway, 1.0), now + 0.5 * step_s * slope)
        grown = np.minimum(step_s * rate, 1.0 - self._degree)
        self._degree, self._before = self._degree + grown, (now, step_s)
        self._source[self._where] = grown / step_s * self._heat_j_per_mm3
        return self._source

    def degree(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """The degree of cure, ``[k, j, i]``, 0 where there is no cement."""
        out = np.zeros(shape, np.float32)
        out[self._where] = self._degree
        return out


class _Record:
    """The temperature as it changes, and what is kept of its course."""

    def __init__(self, site: HeatSite, temperature_c: NDArray[np.float64], tissue: Mask) -> None:
        self.site, self.temperature = site, temperature_c.astype(np.float32)
        self._peak = self.temperature.copy()
        left = {r: mask & tissue if r in NERVES else mask for r, mask in site.regions.items()}
        self._places = {r: np.flatnonzero(left[r] if left[r].any() else mask) for r, mask in site.regions.items()}
        self._dose = {r: Dosimeter(len(p)) for r, p in self._places.items()}
        self._now = self._read(self.temperature)
        self._times = [0.0]
        self._course = {r: [float(t.max())] for r, t in self._now.items()}

    def _read(self, temperature_c: NDArray[Any]) -> dict[Region, NDArray[np.float64]]:
        return {r: temperature_c.reshape(-1)[p].astype(np.float64) for r, p in self._places.items()}

    @property
    def time_s(self) -> float:
        """Since the injection ended."""
        return self._times[-1]

    def add(self, temperature_c: NDArray[Any], step_s: float) -> None:
        """The temperature one step later."""
        before, self._now, self.temperature = self._now, self._read(temperature_c), temperature_c
        np.maximum(self._peak, temperature_c, out=self._peak)
        self._times.append(self.time_s + step_s)
        for region, after in self._now.items():
            self._dose[region].add(before[region], after, step_s)
            self._course[region].append(float(after.max()))

    def heating(self, degree: NDArray[np.float32], cement: str, perfused: bool) -> Heating:
        """What has been kept."""
        finite = bool(np.isfinite(self.temperature).all() and np.isfinite(degree).all())
        return Heating(
            self.site,
            Status.SUCCESS if finite else Status.NOT_FINITE,
            frozen(self._times),
            {r: frozen(c) for r, c in self._course.items()},
            {r: d.exposure for r, d in self._dose.items()},
            frozen(self._peak, np.float32),
            frozen(self.temperature, np.float32),
            frozen(degree, np.float32),
            cement,
            perfused,
        )


def _on_site(site: HeatSite, array: NDArray[np.float64]) -> NDArray[np.float64]:
    return array if array.shape == site.tissue.shape else site.of_model(array)


def _check(share: NDArray[Any], age_s: NDArray[Any], start_c: float, duration_s: float, step_s: float) -> None:
    """Refuse what cannot be computed."""
    good = (share >= 0.0) & (share <= 1.0 + SHARE_ROUNDING)
    if not good.all():
        place = tuple(int(n) for n in np.argwhere(~good)[0])
        raise ValueError(f"content at voxel {list(place)} is {share[place]:g}: a share of the voxel, 0 to 1.")
    bad = (share > 0.0) & ~((age_s >= 0.0) & np.isfinite(age_s))
    if bad.any():
        place = tuple(int(n) for n in np.argwhere(bad)[0])
        raise ValueError(f"age_s at voxel {list(place)} is {age_s[place]:g} s: cement has an age of zero or more.")
    START.check("start_c", start_c, "cement")
    for name, value in (("duration_s", duration_s), ("step_s", step_s)):
        if not (np.isfinite(value) and value > 0.0):
            raise ValueError(f"{name}={value} must be a positive number of seconds.")


def _rim(name: str, took: Exposure, method: str) -> Measure:
    """Equivalent minutes at the tumour's rim, with how they vary along it."""
    low, middle, high = (float(min(q, MOST_MIN)) for q in np.percentile(took.cem43_min, (10.0, 50.0, 90.0)))
    told = f"{method} Low certainty: the tumour's blood flow is not known. A dose of heat, not control of the tumour."
    return Measure(f"{name}_cem43", middle, "min", low, high, "10 to 90 % of the rim", told)
