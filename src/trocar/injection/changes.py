"""What another way in, volume, cement, pace or pause would change: the same draws, injected otherwise.

The draws are shared between a plan and its changes (common random numbers), so that a difference is between two
injections of the same bone and not between two samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trocar.injection.ensemble import Counting, Kept, One, one, run, unheard
from trocar.injection.outcome import Outcome
from trocar.injection.risk import Difference, paired_difference, paired_mean_difference
from trocar.injection.run import Run
from trocar.injection.site import Site, usual_start_min
from trocar.injection.ways_out import Route, WayOut
from trocar.measure import Finding, Severity
from trocar.physics.cement import Cement

#: What is tried unless a caller asks for something else (all ours): a pause half-way, half the pace, cement that has
#: waited longer or shorter, and less of it.
PAUSE_S, SLOWER, LATER_MIN, EARLIER_MIN, LESS_ML = 90.0, 0.5, 2.0, 1.0, (0.5, 1.0, 2.0)
#: Bores are mostly chosen: how much hangs on them is told by making all of them so many times as wide. Ours.
WIDER = (0.67, 1.5)
#: Draws that are compared unless a caller asks for more: each costs a run for every change. Ours.
COMPARED = 40
#: Routes with a column of their own.
TOLD = (Route.EPIDURAL, Route.DISC, Route.VENOUS)
#: The difference of the plan to itself.
NONE = Difference(0.0, 0.0, 0.0)
_PERCENT = 100.0


@dataclass(frozen=True)
class Change:
    """One row: probabilities of a leak (0 to 1), how much leaks and stays, and paired differences to the plan.

    ``draws`` is the number of pairs; ``by_route`` has the routes of :data:`TOLD`; ``difference`` is that of any leak.
    ``leaked_ml`` is the mean by all routes together (draws that do not leak count with 0), ``leaked_difference`` its
    difference in ml; ``inside_ml`` is the median over the draws.
    """

    name: str
    draws: int
    any_leak: float
    by_route: tuple[float, ...]
    difference: Difference
    leaked_ml: float
    leaked_difference: Difference
    inside_ml: float


@dataclass(frozen=True)
class Changes:
    """The plan in the first row, then what was tried; ``findings`` say what could not be."""

    rows: tuple[Change, ...]
    findings: tuple[Finding, ...] = ()

    def series(self) -> dict[str, dict[str, list[str] | list[float]]]:
        """``leak_changes`` as columns: draws, percent, points and ml with their 95 % intervals; or nothing."""
        if not self.rows:
            return {}
        by_route = zip(*(row.by_route for row in self.rows), strict=True)
        columns: dict[str, list[str] | list[float]] = {
            "change": [row.name for row in self.rows],
            "draws": [float(row.draws) for row in self.rows],
            "any_percent": [_PERCENT * row.any_leak for row in self.rows],
        }
        columns |= {
            f"{r.name.lower()}_percent": [_PERCENT * p for p in shares]
            for r, shares in zip(TOLD, by_route, strict=True)
        }
        columns["difference_points"] = [_PERCENT * row.difference.value for row in self.rows]
        columns["low"] = [_PERCENT * row.difference.low for row in self.rows]
        columns["high"] = [_PERCENT * row.difference.high for row in self.rows]
        columns["leaked_ml_mean"] = [row.leaked_ml for row in self.rows]
        columns["leaked_ml_difference"] = [row.leaked_difference.value for row in self.rows]
        columns["leaked_low"] = [row.leaked_difference.low for row in self.rows]
        columns["leaked_high"] = [row.leaked_difference.high for row in self.rows]
        columns["cement_ml_median"] = [row.inside_ml for row in self.rows]
        return {"leak_changes": columns}


def usual_changes(
    site: Site, ways_in: Mapping[str, Site] | None = None, cements: Iterable[Cement] = ()
) -> tuple[dict[str, Site], tuple[Finding, ...]]:
    """What is worth trying, by name, and notes on what the site refuses.

    ``ways_in`` are other options of the plan by their names, each a site with its own ways out; ``cements`` others that
    are at hand: each would be injected when it is thick enough itself.
    """
    wanted: dict[str, dict[str, object]] = {}
    for cement in cements:
        if cement.name != site.cement.name:
            start = usual_start_min(cement, site.room_c)
            wanted[f"{cement.name} cement, at {start:.1f} min"] = {"cement": cement, "minutes": start}
    wanted |= {
        f"{LATER_MIN:g} min later": {"minutes": site.minutes + LATER_MIN},
        f"{EARLIER_MIN:g} min earlier": {"minutes": site.minutes - EARLIER_MIN},
        f"{PAUSE_S:g} s pause half-way": {"pause_s": PAUSE_S},
    }
    if site.pressure_pa:
        wanted["half the pressure"] = {"pressure_pa": SLOWER * site.pressure_pa}
    else:
        wanted["half the pace"] = {"rate_ml_min": SLOWER * site.rate_ml_min}
    wanted |= {f"if veins and cracks were {f:g} times as wide": {"ways": widened(site.ways, f)} for f in WIDER}
    found, refused = dict(ways_in or {}), []
    for name, fields in wanted.items():
        try:
            found[name] = replace(site, **fields)  # type: ignore[arg-type]
        except ValueError as error:
            refused.append(Finding(Severity.NOTE, f"Not compared: {name}.", str(error)))
    return found, tuple(refused)


def widened(ways: Iterable[WayOut], factor: float) -> tuple[WayOut, ...]:
    """The same ways out with bores ``factor`` times as wide; openings have none."""
    return tuple(replace(way, bore_mm=factor * way.bore_mm) for way in ways)


def changes(
    outcome: Outcome,
    others: Mapping[str, Site],
    less_ml: Iterable[float] = LESS_ML,
    *,
    count: int | None = None,
    workers: int = 1,
    progress: Counting = unheard,
    kept: Kept | None = None,
    one: One = one,
) -> Changes:
    """The plan beside others with the same draws, and beside itself stopped earlier (which costs no run).

    With ``count`` only the first so many draws are compared: a paired difference needs fewer. Draws that failed to
    compute in either are left out of the pair. ``progress`` counts the runs of all others.
    """
    outcome = outcome if count is None else outcome.first(count)
    if not outcome.counted:
        return Changes(())
    count, planned = len(outcome.runs), _row("as planned", outcome, outcome)
    rows, failed = [replace(planned, difference=NONE, leaked_difference=NONE)], []
    for less in less_ml:
        if less < outcome.site.volume_ml:
            rows.append(_stopped(outcome, outcome.site.volume_ml - less, f"{less:g} ml less"))
    for n, (name, site) in enumerate(others.items()):

        def counting(done: int, of: int, before: int = n * count) -> None:
            progress(before + done, len(others) * count)

        other = run(site, count, outcome.seed, workers, counting, kept, one)
        if _common(outcome, other):
            rows.append(_row(name, outcome, other))
        else:
            failed.append(Finding(Severity.NOTE, f"Not compared: {name}.", other.runs[0].status.value))
    return Changes(tuple(rows), tuple(failed))


def _row(name: str, plan: Outcome, other: Outcome) -> Change:
    return _told(name, plan, other, -1, [r.inside_ml for r in other.counted])


def _stopped(outcome: Outcome, at_ml: float, name: str) -> Change:
    """The plan stopped at the last node that is no later than a volume."""
    node = int(np.searchsorted(outcome.site.nodes_ml, at_ml + 1e-9, side="right")) - 1
    return _told(name, outcome, outcome, node, [_inside_ml(r, node, outcome) for r in outcome.counted])


def _told(name: str, plan: Outcome, other: Outcome, node: int, inside_ml: Sequence[float]) -> Change:
    """The row of an outcome at a node of its volume, beside all of the plan."""
    leaked = _leaked_ml(other, node)
    return Change(
        name,
        len(_common(plan, other)),
        float(other.leaking(node=node).mean()),
        tuple(float(other.leaking([r], node).mean()) for r in TOLD),
        paired_difference(*_pairs(plan, other, plan.leaking(), other.leaking(node=node))),
        float(leaked.mean()),
        paired_mean_difference(*_pairs(plan, other, _leaked_ml(plan), leaked)),
        float(np.median(inside_ml)),
    )


def _leaked_ml(outcome: Outcome, node: int = -1) -> NDArray[np.float64]:
    """What had left by all ways together in each of the counted runs, ml."""
    return np.array([float(r.leaked_ml[:, node].sum()) for r in outcome.counted])


def _pairs(
    plan: Outcome, other: Outcome, ours: NDArray[np.generic], theirs: NDArray[np.generic]
) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Of values for the counted runs of both, those of the draws that were computed in both, in one order."""
    first, second = (
        {r.number: value for r, value in zip(o.counted, values, strict=True)}
        for o, values in ((plan, ours), (other, theirs))
    )
    both = _common(plan, other)
    return np.array([first[n] for n in both]), np.array([second[n] for n in both])


def _common(plan: Outcome, other: Outcome) -> list[int]:
    """The numbers of the draws that were computed in both."""
    return sorted({r.number for r in plan.counted} & {r.number for r in other.counted})


def _inside_ml(run: Run, node: int, outcome: Outcome) -> float:
    """What stays in the bone when an injection is stopped at a node."""
    planned = outcome.site.nodes_ml[node]
    return float(min(planned, run.injected_ml) - run.leaked_ml[:, node].sum())
