"""Probabilities from many draws: shares and their intervals, differences between paired draws, when a limit is reached.

Nothing here knows how a draw was computed. The draws are independent, and a share of them is a binomial proportion;
its interval says how many draws there were, not how good the model is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, t

from trocar.injection.ways_out import Route

#: A leak is counted from this volume on, ml: a drop of 4.6 mm across. Ours: about the least that reads as cement beside
#: a vertebra on CT, and far above what rounding lets through.
LEAK_ML = 0.05
#: The confidence of every interval here.
CONFIDENCE = 0.95
#: The probability of a leak at which to stop, by where it goes. Ours, not a published threshold: lower where a leak
#: may cost cord, root, lung or limb, twice that where it is mostly silent.
STOP_AT: Mapping[Route, float] = MappingProxyType(
    dict.fromkeys(Route, 0.10) | dict.fromkeys((Route.EPIDURAL, Route.FORAMINAL, Route.ARTERIAL, Route.VENOUS), 0.05)
)

#: Volumes at which to stop are given down to this, ml.
STOP_STEP_ML = 0.1


@dataclass(frozen=True)
class Share:
    """So many of so many, with the Wilson score interval.

    Wilson EB. Probable inference, the law of succession, and statistical inference. J Am Stat Assoc 1927;22:209-212.
    """

    events: int
    of: int

    def __post_init__(self) -> None:
        if not (self.of >= 1 and 0 <= self.events <= self.of):
            raise ValueError(f"{self.events} of {self.of} is no share: 0 to {self.of} of at least 1.")

    @property
    def value(self) -> float:
        """The share itself, 0 to 1."""
        return self.events / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """The bounds at 95 % confidence, each 0 to 1."""
        bounds = binomtest(self.events, self.of).proportion_ci(CONFIDENCE, "wilson")
        return float(bounds.low), float(bounds.high)


@dataclass(frozen=True)
class Difference:
    """A share or a mean less another of the same draws, with bounds at 95 % confidence; of shares, from -1 to 1."""

    value: float
    low: float
    high: float


def paired_difference(first: ArrayLike, second: ArrayLike) -> Difference:
    """The share of ``second`` less that of ``first``, both booleans ``[draw]`` of the same draws.

    Newcombe's method 10: Wilson intervals of both shares, joined by the correlation of the pairs. Newcombe RG.
    Improved confidence intervals for the difference between binomial proportions based on paired data. Stat Med
    1998;17:2635-2650.
    """
    one, two = np.asarray(first, bool), np.asarray(second, bool)
    if one.shape != two.shape or one.ndim != 1 or not one.size:
        raise ValueError(f"pairs of draws are needed; got {one.shape} and {two.shape}.")
    p1, p2 = Share(int(one.sum()), one.size), Share(int(two.sum()), two.size)
    (low1, high1), (low2, high2), phi = p1.interval, p2.interval, _correlation(one, two)
    down = _joined(p2.value - low2, high1 - p1.value, phi)
    up = _joined(high2 - p2.value, p1.value - low1, phi)
    change = p2.value - p1.value
    return Difference(change, change - down, change + up)


def paired_mean_difference(first: ArrayLike, second: ArrayLike) -> Difference:
    """The mean of ``second`` less that of ``first``, both numbers ``[draw]`` of the same draws, in their own unit.

    The bounds are Student's, of the differences of the pairs; NaN for a single pair. Student. The probable error of a
    mean. Biometrika 1908;6:1-25.
    """
    one, two = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.shape != two.shape or one.ndim != 1 or not one.size:
        raise ValueError(f"pairs of draws are needed; got {one.shape} and {two.shape}.")
    change, mean = two - one, float((two - one).mean())
    if one.size == 1:
        return Difference(mean, math.nan, math.nan)
    half = float(t.ppf(0.5 + 0.5 * CONFIDENCE, one.size - 1) * change.std(ddof=1) / math.sqrt(one.size))
    return Difference(mean, mean - half, mean + half)


def _joined(one: float, other: float, phi: float) -> float:
    """The half-width of a difference from those of its parts."""
    return math.sqrt(max(one * one - 2.0 * phi * one * other + other * other, 0.0))


def _correlation(one: NDArray[np.bool_], two: NDArray[np.bool_]) -> float:
    """The correlation of the pairs, corrected for continuity where it is positive; 0 where a share is none or all."""
    both, first, second = (int(np.count_nonzero(a)) for a in (one & two, one & ~two, ~one & two))
    neither = one.size - both - first - second
    product = (both + first) * (second + neither) * (both + second) * (first + neither)
    if product == 0:
        return 0.0
    cross = float(both * neither - first * second)
    if cross > 0.0:
        cross = max(cross - 0.5 * one.size, 0.0)
    return cross / math.sqrt(product)


def passed_ml(volume_ml: ArrayLike, probability: ArrayLike, limit: float) -> float | None:
    """The volume at which a probability that never falls reaches a limit, by straight lines; None where it never does.

    Both arrays are ``[node]``, the volumes rising. A probability that is there from the first node on reaches it there.
    """
    volume, chance = np.asarray(volume_ml, np.float64), np.asarray(probability, np.float64)
    above = np.flatnonzero(chance >= limit)
    if not above.size:
        return None
    n = int(above[0])
    if n == 0:
        return float(volume[0])
    share = (limit - chance[n - 1]) / (chance[n] - chance[n - 1])
    return float(volume[n - 1] + share * (volume[n] - volume[n - 1]))


def rounded_down_ml(at_ml: float) -> float:
    """A volume to stop at as it is told, ml: rounded down to :data:`STOP_STEP_ML`."""
    return math.floor(at_ml / STOP_STEP_ML + 1e-9) * STOP_STEP_ML


@dataclass(frozen=True)
class Quantiles:
    """The middle of some values and what nine in ten of them lie between; all NaN where there are none."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: ArrayLike) -> Quantiles:
        """Median, 5th and 95th percentile."""
        array = np.asarray(values, np.float64)
        if not array.size:
            return cls(math.nan, math.nan, math.nan)
        low, middle, high = np.percentile(array, (5.0, 50.0, 95.0))
        return cls(float(middle), float(low), float(high))
