"""What happens in a simulated fluoroscopy, and when: cement, leaks, the C-arm's and the table's moves, the needle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from trocar.geometry import Side
from trocar.guidance.breathing import Breathing
from trocar.guidance.exposure import Shutters
from trocar.injection.routes import Route
from trocar.measure import Range

Times = NDArray[np.float64]
_S_PER_MIN = 60.0


@dataclass(frozen=True)
class Injecting:
    """``ml`` of cement from ``start_s`` on, so many ml a minute; ``already_ml`` of it are in when the film begins."""

    start_s: float = 2.0
    rate_ml_min: float = 6.0
    ml: float = 3.0
    already_ml: float = 0.0

    def __post_init__(self) -> None:
        Range(0.0, 15.0, "mL").check("ml", self.ml, "an injection")
        Range(0.0, self.ml, "mL").check("already_ml", self.already_ml, "an injection")
        Range(0.05, 240.0, "mL/min").check("rate_ml_min", self.rate_ml_min, "an injection")
        Range(0.0, 36000.0, "s").check("start_s", self.start_s, "an injection")

    def injected_ml(self, time_s: Times) -> Times:
        """How much has left the needle at each instant."""
        gone = self.already_ml + np.maximum(np.asarray(time_s) - self.start_s, 0.0) * self.rate_ml_min / _S_PER_MIN
        return np.minimum(gone, self.ml)


@dataclass(frozen=True)
class Leak:
    """A leak by a route once ``after_ml`` are in: ``share`` of what comes then leaves, until ``ml`` have."""

    route: Route
    after_ml: float = 1.0
    ml: float = 0.5
    share: float = 0.5
    side: Side | None = None

    def __post_init__(self) -> None:
        Range(0.0, 15.0, "mL").check("after_ml", self.after_ml, "a leak")
        Range(0.001, 15.0, "mL").check("ml", self.ml, "a leak")
        Range(0.01, 1.0).check("share", self.share, "a leak")

    def leaked_ml(self, injected_ml: Times) -> Times:
        """How much has left by it when so much is injected."""
        return np.minimum(self.share * np.maximum(np.asarray(injected_ml) - self.after_ml, 0.0), self.ml)


@dataclass(frozen=True)
class Exposure:
    """From ``time_s`` on so many times the dose and so many times the detector's gain (of what the film began with)."""

    time_s: float
    dose: float = 1.0
    gain: float = 1.0

    def __post_init__(self) -> None:
        Range(0.05, 20.0).check("dose", self.dose, "an exposure")
        Range(0.05, 20.0).check("gain", self.gain, "an exposure")


@dataclass(frozen=True)
class Collimation:
    """From ``time_s`` on these shutters."""

    time_s: float
    shutters: Shutters


@dataclass(frozen=True)
class Pan:
    """The table moves evenly: the isocentre comes to lie ``by_mm`` (LPS) elsewhere in the patient."""

    start_s: float
    duration_s: float
    by_mm: tuple[float, float, float]

    def __post_init__(self) -> None:
        Range(0.05, 600.0, "s").check("duration_s", self.duration_s, "a pan")


@dataclass(frozen=True)
class Advance:
    """The needle is pushed evenly from ``from_mm`` before its target to ``to_mm`` before it.

    ``aside_mm`` (LPS) is how far its tip has drifted from the plan when it arrives: the axis turns about the skin.
    """

    start_s: float
    duration_s: float
    from_mm: float
    to_mm: float = 0.0
    aside_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        Range(0.05, 600.0, "s").check("duration_s", self.duration_s, "an advance")

    def done(self, time_s: Times) -> Times:
        """The share of the way that is behind, 0 to 1."""
        return np.clip((np.asarray(time_s) - self.start_s) / self.duration_s, 0.0, 1.0)


@dataclass(frozen=True)
class Script:
    """A film's plot. Without ``injecting`` no cement flows, without ``advance`` the needle stays at its target."""

    duration_s: float = 12.0
    rate_hz: float = 15.0
    breathing: Breathing = field(default_factory=Breathing)
    injecting: Injecting | None = field(default_factory=Injecting)
    leaks: tuple[Leak, ...] = ()
    exposures: tuple[Exposure, ...] = ()
    collimations: tuple[Collimation, ...] = ()
    pans: tuple[Pan, ...] = ()
    advance: Advance | None = None

    def __post_init__(self) -> None:
        Range(0.01, 36000.0, "s").check("duration_s", self.duration_s, "a script")
        Range(0.5, 60.0, "Hz").check("rate_hz", self.rate_hz, "a script")
        if self.leaks and self.injecting is None:
            raise ValueError("a leak needs an injection: give the script one.")
        routes = [leak.route for leak in self.leaks]
        if len(set(routes)) < len(routes):
            raise ValueError("one leak of each route at most: two of a kind would not be told apart.")

    @property
    def times_s(self) -> Times:
        """When each frame is taken."""
        return np.arange(max(1, round(self.duration_s * self.rate_hz))) / self.rate_hz

    def injected_ml(self, time_s: Times) -> Times:
        """How much has left the needle."""
        return np.zeros(len(time_s)) if self.injecting is None else self.injecting.injected_ml(time_s)

    def leaked_ml(self, time_s: Times) -> NDArray[np.float64]:
        """How much has left by each leak in order, ``[leak, instant]``; all together never more than came."""
        injected = self.injected_ml(time_s)
        each = np.array([leak.leaked_ml(injected) for leak in self.leaks]).reshape(len(self.leaks), len(injected))
        total = each.sum(axis=0)
        return each * np.divide(injected, total, out=np.ones_like(total), where=total > injected)

    def isocentre_shift_mm(self, time_s: Times) -> NDArray[np.float64]:
        """How far the isocentre is from where it was first, LPS ``(n, 3)``."""
        out = np.zeros((len(time_s), 3))
        for pan in self.pans:
            done = np.clip((np.asarray(time_s) - pan.start_s) / pan.duration_s, 0.0, 1.0)
            out += done[:, None] * np.array(pan.by_mm)
        return out

    def exposure(self, time_s: float) -> Exposure:
        """Dose and gain at an instant."""
        return next((e for e in sorted(self.exposures, key=_at, reverse=True) if e.time_s <= time_s), Exposure(0.0))

    def shutters(self, time_s: float) -> Shutters | None:
        """The shutters at an instant; None before the first change."""
        found = (c for c in sorted(self.collimations, key=_at, reverse=True) if c.time_s <= time_s)
        return next((c.shutters for c in found), None)

    def events(self) -> tuple[tuple[float, str], ...]:
        """When something begins, and what, in words, in order of time."""
        found = [(e.time_s, f"dose x {e.dose:g}, gain x {e.gain:g}") for e in self.exposures]
        found += [(c.time_s, "collimation") for c in self.collimations]
        found += [(p.start_s, f"table moves {float(np.linalg.norm(p.by_mm)):.0f} mm") for p in self.pans]
        if self.advance is not None:
            found.append((self.advance.start_s, "needle moves"))
        if self.injecting is not None:
            found.append((self.injecting.start_s, "injection starts"))
        return tuple(sorted(found))


def _at(change: Exposure | Collimation) -> float:
    return change.time_s


#: What a drawn script is drawn from: durations in s, depths in mm, volumes in ml.
DRAWN_DEPTH_MM, DRAWN_PERIOD_S, DRAWN_PAN_MM, DRAWN_RATE_ML_MIN = (1.0, 3.0), (3.0, 5.5), (3.0, 10.0), (4.0, 10.0)


def drawn(
    rng: np.random.Generator,
    leaks: Sequence[Leak] = (),
    duration_s: float = 16.0,
    disturbances: int = 3,
    injecting: Injecting | None = None,
) -> Script:
    """A script whose unknowns are drawn: breathing of 1 to 3 mm, and ``disturbances`` that must not alarm.

    Each disturbance is a jump of dose or gain, a change of collimation, a pan of the table or an advance of the
    needle, at any instant of the film after its first two seconds. Leaks and injection are as given.
    """
    low, high = DRAWN_DEPTH_MM
    breathing = Breathing(
        depth_mm=float(rng.uniform(low, high)),
        period_s=float(rng.uniform(*DRAWN_PERIOD_S)),
        phase=float(rng.uniform()),
        seed=int(rng.integers(2**31)),
    )
    injecting = injecting or Injecting(rate_ml_min=float(rng.uniform(*DRAWN_RATE_ML_MIN)), ml=3.0)
    script = Script(duration_s, breathing=breathing, injecting=injecting, leaks=tuple(leaks))
    for kind in rng.choice(len(_DISTURBANCES), min(disturbances, len(_DISTURBANCES)), replace=False):
        script = _DISTURBANCES[int(kind)](script, float(rng.uniform(2.0, max(duration_s - 2.0, 2.1))), rng)
    return script


def _jump(script: Script, at_s: float, rng: np.random.Generator) -> Script:
    dose, gain = (float(np.exp(rng.uniform(-0.5, 0.5))) for _ in range(2))
    return replace(script, exposures=(*script.exposures, Exposure(at_s, dose, gain)))


def _collimate(script: Script, at_s: float, rng: np.random.Generator) -> Script:
    return replace(script, collimations=(Collimation(at_s, Shutters.closing(float(rng.uniform(0.1, 0.4)))),))


def _pan(script: Script, at_s: float, rng: np.random.Generator) -> Script:
    far = rng.uniform(*DRAWN_PAN_MM) * (1.0 if rng.uniform() < 0.5 else -1.0)
    across = (float(far), 0.0, 0.0) if rng.uniform() < 0.5 else (0.0, 0.0, float(far))
    return replace(script, pans=(Pan(at_s, float(rng.uniform(0.5, 2.0)), across),))


def _push(script: Script, at_s: float, rng: np.random.Generator) -> Script:
    return replace(script, advance=Advance(at_s, float(rng.uniform(1.0, 3.0)), float(rng.uniform(2.0, 6.0))))


_DISTURBANCES = (_jump, _collimate, _pan, _push)
