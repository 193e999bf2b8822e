"""Numbers with a name and a unit, the ranges they may lie in, and what worries us about them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum


class Severity(Enum):
    """How much a finding matters. Ordered: a ``stop`` outweighs any number of cautions."""

    NOTE = "note"
    CAUTION = "caution"
    STOP = "stop"

    @property
    def rank(self) -> int:
        """0 for a note, 1 for a caution, 2 for a stop."""
        return ("note", "caution", "stop").index(self.value)


class Topic(Enum):
    """What a finding is about, where a report tells topics apart."""

    GENERAL = "general"
    CEMENT = "cement"


@dataclass(frozen=True)
class Finding:
    """A clinical or technical concern that travels with the data: what, and because of what.

    Two findings that say the same are equal, whatever their ``topic``.
    """

    severity: Severity
    text: str
    because: str = ""
    topic: Topic = field(default=Topic.GENERAL, compare=False)

    def __str__(self) -> str:
        return f"{self.severity.value}: {self.text}" + (f" ({self.because})" if self.because else "")


@dataclass(frozen=True)
class Code:
    """A coded concept as DICOM writes it, e.g. ``Code("SCT", "66794005", "L1 vertebra")``."""

    scheme: str
    value: str
    meaning: str


#: UCUM units that read differently on paper.
_UNITS = {"1": "", "deg": "°", "[hnsf'U]": "HU"}


def unit_text(unit: str) -> str:
    """A UCUM unit as it is printed."""
    return _UNITS.get(unit, unit)


#: Values below the first are printed with two significant digits; up to the second, a rest of rounding, as 0.
SMALL, ROUNDING = 0.1, 1e-5


@dataclass(frozen=True)
class Measure:
    """One number: its name, value, UCUM unit, interval and how it was come by.

    A value that could not be found is NaN, and is written as null.
    ``low`` and ``high`` bound the value (``interval`` says what the bounds mean, for instance
    "voxel" for half a voxel to either side or "95 %" for a confidence interval). ``method`` is
    one sentence on how it was measured.
    """

    name: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    interval: str = ""
    method: str = ""
    code: Code | None = None

    def __str__(self) -> str:
        unit = unit_text(self.unit)
        text = _number(self.value)
        if self.low is not None and self.high is not None:
            low, high = _number(self.low), _number(self.high)
            text += "" if low == text == high else f" ({low} to {high})"
        return f"{text} {unit}".strip() if unit != "°" else f"{text}°"


def _number(value: float) -> str:
    """One decimal; two significant digits where that would hide a small value. Never "-0.0"."""
    size = abs(value)
    if size <= ROUNDING:
        return "0.0"
    return f"{value:.{1 - math.floor(math.log10(size))}f}".rstrip("0") if size < SMALL else f"{value:.1f}"


@dataclass(frozen=True)
class Range:
    """The values a field may take, both ends allowed."""

    low: float
    high: float
    unit: str = ""

    def check(self, name: str, value: float, owner: str = "") -> float:
        """Return ``value``, or raise ``ValueError`` naming the value, the bounds and the owner."""
        if not (isinstance(value, (int, float)) and math.isfinite(value) and self.low <= value <= self.high):
            unit = f" {self.unit}" if self.unit else ""
            where = f" for {owner}" if owner else ""
            raise ValueError(f"{name}={value} is outside {self.low:g} to {self.high:g}{unit}{where}.")
        return value


class Status(Enum):
    """Every way a computation can end; the value is the sentence the user reads (empty: success)."""

    SUCCESS = ""
    NOT_CONVERGED = "The solver did not reach its tolerance; the numbers must not be used."
    NOT_FINITE = "The computation produced a value that is not a number; check the input."
    COLLAPSED = "The bone yields and finds no balance: most likely the load is more than it bears."
    CANCELLED = "The computation was stopped before it ended."
    INJECTOR_LIMIT = "The cement asks for more pressure than the injector can give: the injection ends there."


def ending(*statuses: Status) -> Status:
    """How several computations ended together: the first that is no success, if any."""
    return next((s for s in statuses if s is not Status.SUCCESS), Status.SUCCESS)


def worst(findings: tuple[Finding, ...]) -> Severity | None:
    """The highest severity among ``findings``, or None when there are none."""
    return max((f.severity for f in findings), key=lambda s: s.rank, default=None)
