"""What many injections have in common: how likely each leak is, from which volume on, and where cement comes to lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trocar.injection.agreement import BRIEFLY, Apart, apart, disagreement
from trocar.injection.leak_series import BESIDE
from trocar.injection.published import KINDS
from trocar.injection.risk import LEAK_ML, STOP_AT, STOP_STEP_ML, Quantiles, Share, passed_ml, rounded_down_ml
from trocar.injection.run import ROUTES, Run
from trocar.injection.site import Site
from trocar.injection.ways_out import Route
from trocar.measure import Finding, Measure, Severity, Status

#: Endings that say something about cement; all others are the computation's own.
ENDED = (Status.SUCCESS, Status.INJECTOR_LIMIT)
#: More failed draws than this share, and the others are no fair sample: the outcome fails with them.
FAILED_SHARE = 0.05
_DRAWN = "5 to 95 % of the leaking draws"


@dataclass(frozen=True, eq=False)
class Outcome:
    """The runs of an ensemble in the order of their numbers.

    A leak is more than :data:`trocar.injection.risk.LEAK_ML` by one route. Runs that failed to compute are left out of
    every share; runs that the injector could not finish count with what they had leaked by then.
    """

    site: Site
    seed: int
    runs: tuple[Run, ...]

    @cached_property
    def counted(self) -> tuple[Run, ...]:
        """The runs that say something about cement."""
        return tuple(r for r in self.runs if r.status in ENDED)

    @property
    def status(self) -> Status:
        """Success, unless too many runs failed: then how the first of them did."""
        failed = [r.status for r in self.runs if r.status not in ENDED]
        return failed[0] if len(failed) > FAILED_SHARE * len(self.runs) else Status.SUCCESS

    @cached_property
    def routes(self) -> tuple[Route, ...]:
        """The routes that the site has ways out for."""
        return tuple(r for r in ROUTES if any(way.route is r for way in self.site.ways))

    @cached_property
    def leaked_ml(self) -> NDArray[np.float64]:
        """What had left by each route of :attr:`routes`, ``[run, route, node]``."""
        ways, nodes = self.site.ways, len(self.site.nodes_ml)
        of_route = np.array([[way.route is r for way in ways] for r in self.routes], np.float64)
        by_way = np.array([r.leaked_ml for r in self.counted]).reshape(len(self.counted), len(ways), nodes)
        return np.einsum("rw,nwv->nrv", of_route.reshape(len(self.routes), len(ways)), by_way)

    def leaking(self, routes: Iterable[Route] | None = None, node: int = -1) -> NDArray[np.bool_]:
        """Which of the counted runs had leaked by one of these routes (default: any) at a node of the volume."""
        wanted = set(self.routes if routes is None else routes)
        rows = [n for n, r in enumerate(self.routes) if r in wanted]
        return np.asarray((self.leaked_ml[:, rows, node] > LEAK_ML).any(axis=1))

    def share(self, routes: Iterable[Route] | None = None) -> Share:
        """The probability of a leak by one of these routes (default: any) at the planned volume."""
        leaking = self.leaking(routes)
        return Share(int(leaking.sum()), leaking.size)

    def curve(self, routes: Iterable[Route] | None = None) -> NDArray[np.float64]:
        """That probability at each node of the volume injected, ``[node]``; it never falls."""
        wanted = None if routes is None else frozenset(routes)
        return np.array([self.leaking(wanted, n).mean() for n in range(len(self.site.nodes_ml))])

    def stop_ml(self, route: Route, stop_at: Mapping[Route, float] = STOP_AT) -> float | None:
        """The volume at which the probability of a route reaches its limit; None where it does not."""
        return passed_ml(self.site.nodes_ml, self.curve([route]), stop_at[route])

    def by_way(self) -> tuple[Share, ...]:
        """The probability that each way out of the site, in order, lets through what counts as a leak."""
        by_way = np.array([r.leaked_ml[:, -1] for r in self.counted]) > LEAK_ML
        return tuple(Share(int(events), len(by_way)) for events in by_way.sum(axis=0))

    def first(self, count: int) -> Outcome:
        """The same with only the first so many runs."""
        return replace(self, runs=self.runs[:count])

    @cached_property
    def reach(self) -> NDArray[np.float32]:
        """Share of the runs in which each voxel was at least half filled in the end, ``[k, j, i]``."""
        shape = self.site.model.solid.shape
        count = np.zeros(shape, np.int32)
        for r in self.counted:
            count += r.reach(shape)
        return (count / np.float32(max(len(self.counted), 1))).astype(np.float32)

    @property
    def unfinished(self) -> Share:
        """The share of the runs that needed more pressure than the injector gives."""
        return Share(sum(r.status is Status.INJECTOR_LIMIT for r in self.counted), len(self.counted))

    def stop_bounds_ml(self, route: Route, limit: float) -> tuple[float, float]:
        """The volumes at which the upper and the lower bound of the probability reach a limit.

        The planned volume for one that does not reach it.
        """
        leaking = [self.leaking([route], n) for n in range(len(self.site.nodes_ml))]
        bounds = np.array([Share(int(leak.sum()), leak.size).interval for leak in leaking])
        found = (passed_ml(self.site.nodes_ml, bounds[:, side], limit) for side in (1, 0))
        low, high = (self.site.volume_ml if at is None else at for at in found)
        return low, high

    def measures(self, stop_at: Mapping[Route, float] = STOP_AT) -> tuple[Measure, ...]:
        """Every number of the outcome, none where every run failed; probabilities with their 95 % Wilson interval."""
        if not self.counted:
            return ()
        by_route = (m for r in self.routes for m in _route_measures(self, r, stop_at))
        return (*_probabilities(self), *by_route, *_pressures(self))

    def findings(
        self, stop_at: Mapping[Route, float] = STOP_AT, published: Iterable[Measure] = ()
    ) -> tuple[Finding, ...]:
        """Where to stop and why, what the draws cannot tell, and which of them could not be finished.

        With the ``published`` rates (:func:`trocar.injection.published.measures`) also where the model's are others.
        """
        if not self.counted:
            return _failed(self)
        off = self.apart(published)
        stops = _stops(self, stop_at, off)
        return (
            *stops,
            *disagreement(off),
            *_not_acquitted(self, stop_at),
            *_hard_to_push(self),
            *_failed(self),
        )

    def apart(self, published: Iterable[Measure]) -> tuple[Apart, ...]:
        """The kinds of leak that are more or less frequent here than published, by more than their intervals."""
        return apart({kind: self.share(routes) for kind, routes in KINDS if routes & set(self.routes)}, published)

    def series(self) -> dict[str, dict[str, list[float]]]:
        """``leak_risk``: the volume injected, and the probability of any leak and of each route at it, 0 to 1.

        Nothing where every run failed.
        """
        if not self.counted:
            return {}
        curves = {_name(r): self.curve([r]).tolist() for r in self.routes}
        return {"leak_risk": {"volume_ml": self.site.nodes_ml.tolist(), "any": self.curve().tolist(), **curves}}


def _name(route: Route) -> str:
    return route.name.lower()


def _probabilities(outcome: Outcome) -> list[Measure]:
    """Of any leak, of each route, and of anterior and lateral together, as published series count them."""
    kinds: dict[str, Iterable[Route] | None] = {"any": None} | {_name(r): [r] for r in outcome.routes}
    if BESIDE & set(outcome.routes):
        kinds["paravertebral"] = BESIDE
    method = f"{len(outcome.counted)} injections of {outcome.site.volume_ml:.1f} ml, more than {LEAK_ML:g} ml leaked."
    return [_chance(f"leak_probability_{name}", outcome.share(routes), method) for name, routes in kinds.items()]


def _chance(name: str, share: Share, method: str) -> Measure:
    low, high = share.interval
    return Measure(name, share.value, "1", low, high, "95 %", method)


def _route_measures(outcome: Outcome, route: Route, stop_at: Mapping[Route, float]) -> list[Measure]:
    """How much leaks and when, among the draws that leak; and where the limit is reached."""
    name, leaking, found = _name(route), outcome.leaking([route]), []
    if leaking.any():
        leaked = outcome.leaked_ml[leaking, outcome.routes.index(route), -1]
        runs = [r for r, leaks in zip(outcome.counted, leaking, strict=True) if leaks]
        onset_ml, onset_s = ([getattr(r, of)[ROUTES.index(route)] for r in runs] for of in ("onset_ml", "onset_s"))
        found = [
            _middle(f"leak_volume_{name}", leaked, "mL", "leaked in all"),
            _middle(f"leak_onset_volume_{name}", onset_ml, "mL", f"injected when {LEAK_ML:g} ml had leaked"),
            _middle(f"leak_onset_{name}", onset_s, "s", f"since the injection began, when {LEAK_ML:g} ml had leaked"),
        ]
    at = outcome.stop_ml(route, stop_at)
    if at is not None:
        low, high = outcome.stop_bounds_ml(route, stop_at[route])
        method = (
            f"Injected when the probability reaches {100.0 * stop_at[route]:.0f} %, a limit of our own; bounds from "
            "those of the probability, within the planned volume."
        )
        found.append(Measure(f"leak_stop_volume_{name}", at, "mL", low, high, "95 %", method))
    return found


def _middle(name: str, values: object, unit: str, what: str) -> Measure:
    q = Quantiles.of(np.asarray(values, np.float64))
    return Measure(name, q.median, unit, q.low, q.high, _DRAWN, f"Median of the leaking draws; {what}.")


def _pressures(outcome: Outcome) -> list[Measure]:
    """What the injector has to give, and how often that is more than it can."""
    peak = Quantiles.of([1e-3 * r.peak_pa for r in outcome.counted])
    method = "Median over the draws of the highest pressure before the cannula."
    limit = f"More than {1e-6 * outcome.site.limit_pa:.2g} MPa would have been needed before the cannula."
    return [
        Measure(
            "injection_pressure_over_draws", peak.median, "kPa", peak.low, peak.high, "5 to 95 % of the draws", method
        ),
        _chance("injection_unfinished_probability", outcome.unfinished, limit),
    ]


def _stops(outcome: Outcome, stop_at: Mapping[Route, float], off: tuple[Apart, ...]) -> list[Finding]:
    """Where the probability of each route reaches its limit; with a caveat where the model is off published rates."""
    found = []
    for route in outcome.routes:
        share, at = outcome.share([route]), outcome.stop_ml(route, stop_at)
        if at is None:
            continue
        low, high = (100.0 * b for b in share.interval)
        said = f"{route.value} leak probability reaches {100.0 * stop_at[route]:.0f} %"
        stop = rounded_down_ml(at)
        text = f"Stop at {stop:.1f} ml: {said}." if stop > 0.0 else f"With the first {STOP_STEP_ML:g} ml the {said}."
        because = (
            f"{share.events} of {share.of} simulated injections of {outcome.site.volume_ml:.1f} ml leaked there, "
            f"{low:.0f} to {high:.0f} % at 95 %; the limit is our own judgement{f'; {BRIEFLY}' if off else ''}"
        )
        found.append(Finding(Severity.CAUTION, text, because))
    return found


def _not_acquitted(outcome: Outcome, stop_at: Mapping[Route, float]) -> list[Finding]:
    """The routes whose probability stays below its limit, as far as so few draws can tell."""
    shares = {r: outcome.share([r]) for r in outcome.routes if outcome.stop_ml(r, stop_at) is None}
    open_ = {r: 100.0 * s.interval[1] for r, s in shares.items() if s.interval[1] > stop_at[r]}
    if not open_:
        return []
    named = ", ".join(f"{r.value} (up to {high:.0f} %)" for r, high in open_.items())
    text = f"Too few draws to say that these leak probabilities stay below their limits: {named}."
    because = f"{len(outcome.counted)} simulated injections; upper bounds at 95 %"
    return [Finding(Severity.NOTE, text, because)]


def _hard_to_push(outcome: Outcome) -> list[Finding]:
    """Runs that the injector could not finish."""
    stopped = outcome.unfinished
    if not stopped.events:
        return []
    went_in = Quantiles.of([r.injected_ml for r in outcome.counted if r.status is Status.INJECTOR_LIMIT])
    text = (
        f"In {stopped.events} of {stopped.of} simulated injections the injector could not give the pressure: "
        f"{went_in.median:.1f} ml went in (median of those)."
    )
    return [Finding(Severity.CAUTION, text, f"its limit is {1e-6 * outcome.site.limit_pa:.2g} MPa")]


def _failed(outcome: Outcome) -> tuple[Finding, ...]:
    """Runs that could not be computed."""
    endings = [r.status for r in outcome.runs if r.status not in ENDED]
    if not endings:
        return ()
    text = f"{len(endings)} of {len(outcome.runs)} simulated injections failed and are left out."
    return (Finding(Severity.CAUTION, text, " ".join(dict.fromkeys(s.value for s in endings))),)
