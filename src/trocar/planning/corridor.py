"""The search for a way in: every tip against every gate, judged on the distance maps.

A candidate is a tip in the body's target zone and a gate, the point where the axis crosses the
coronal plane through the pedicle's isthmus (:mod:`trocar.planning.candidates`). The search looks at
all their pairs. With ``d_c(s)`` the distance of the axis to structure ``c`` at depth ``s``, ``r``
the needle's radius and ``m_c`` the margin, a candidate's slack is::

    slack = min over c, s of  d_c(s) - r - m_c,   at most 4 mm

where the bone's own surface counts over the stretch that must stay in bone (approach), and both
endplates and the cortex count at the tip. A candidate is refused when any term is negative by
more than half a voxel along the line of closest approach, and, whatever the voxels, when the needle
comes within 0.3 mm of a labelled voxel or goes more than 0.5 mm into one of another bone, or when its
axis meets the vertebra's own bone anywhere between the entry and the skin. Among the rest the search maximises::

    J = worth(slack) - 0.30 off - 0.10 ahead - 0.10 above - 0.01 length - 0.03 tilt

    worth(x) = 2 x                    below 0
               x                      up to 2 mm
               2 + (x - 2) / 4        up to 4 mm

with ``off`` the tip's distance from the mid-sagittal plane, ``ahead`` and ``above`` its distance
from the target's ideal depth and height, ``length`` from skin to tip (all mm) and ``tilt`` the angle
out of the axial plane of the scan (deg), all without sign. The weights (:class:`Weights`) are our
judgement: a millimetre of clearance is worth three of centrality until 2 mm are to spare.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trocar.errors import NoSafeTrajectory
from trocar.geometry import Side, angle_deg
from trocar.planning import rays
from trocar.planning.access import APPROACHES, Approach, Kind, Margins, approaches_for
from trocar.planning.appraisal import Corridor, Found, Task, appraise, clearances, with_breach
from trocar.planning.candidates import Candidates, Site, TargetZone, enumerate_candidates
from trocar.planning.instrument import VERTEBROPLASTY_GAUGES, Needle, longest_mm
from trocar.planning.robustness import HandError
from trocar.planning.trajectory import Clearance, Grade, Trajectory


@dataclass(frozen=True)
class Weights:
    """Weights of the objective (see the module's text)."""

    off: float = 0.30
    ahead: float = 0.10
    above: float = 0.10
    length: float = 0.01
    tilt: float = 0.03

    def worth(self, slack_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """What clearance beyond the margins is worth, mm: dear when short, cheap when ample."""
        low, mid = np.minimum(slack_mm, 0.0), np.clip(slack_mm, 0.0, 2.0)
        return 2.0 * low + mid + 0.25 * np.clip(slack_mm - 2.0, 0.0, rays.AMPLE_MM - 2.0)


@dataclass(frozen=True)
class Judged:
    """Candidates that keep every margin, with the terms of their objective.

    ``length_mm`` runs from the tip to the skin, or is minus that to the image's edge.
    """

    candidates: Candidates
    slack_mm: NDArray[np.float64]
    bone_mm: NDArray[np.float64]
    length_mm: NDArray[np.float64]

    @cached_property
    def tilt_deg(self) -> NDArray[np.float64]:
        """Angle out of the axial plane of the scan, positive where the needle rises in front."""
        return np.degrees(np.arcsin(np.clip(-self.candidates.ways[:, 2], -1.0, 1.0)))

    def found(self, row: int) -> Found:
        """One candidate by itself."""
        c = self.candidates
        return Found(
            c.tips_mm[row],
            c.ways[row],
            float(c.wall_mm[row]),
            float(self.bone_mm[row]),
            float(self.length_mm[row]),
            float(self.slack_mm[row]),
            float(c.off_mm[row]),
            float(self.tilt_deg[row]),
        )

    def objective(self, weights: Weights, ideal_aside_mm: float = 0.0) -> NDArray[np.float64]:
        """J of every candidate, with the tip's distance counted from ``ideal_aside_mm`` beside the midline."""
        off, ahead, above = np.abs(self.candidates.deviation_mm - (ideal_aside_mm, 0.0, 0.0)).T
        where = weights.off * off + weights.ahead * ahead + weights.above * above
        reach = weights.length * np.abs(self.length_mm) + weights.tilt * np.abs(self.tilt_deg)
        return np.asarray(weights.worth(self.slack_mm) - where - reach)


@dataclass(frozen=True)
class Survey:
    """The whole search for one task: every candidate judged once."""

    task: Task
    target: TargetZone
    weights: Weights
    candidates: Candidates
    judged: Judged

    def corridors(self, limit: int = 4, ideal_aside_mm: float = 0.0) -> tuple[Corridor, ...]:
        """The optimum of the objective, then what is Pareto-optimal and best in one term; empty when there is none."""
        return _choose(self, self.judged.objective(self.weights, ideal_aside_mm), limit)


def survey(
    site: Site,
    side: Side,
    approach: Approach,
    instrument: Needle,
    *,
    margins: Margins | None = None,
    target: TargetZone | None = None,
    hand: HandError | None = None,
    weights: Weights | None = None,
) -> Survey:
    """Judge every candidate of one side and approach; margins default to the approach's own."""
    task = Task(site, side, approach, instrument, margins or approach.margins, hand or HandError())
    target = target or TargetZone()
    candidates = enumerate_candidates(site, side, approach, instrument, task.margins, target)
    return Survey(task, target, weights or Weights(), candidates, search(task, candidates))


def find_corridors(
    site: Site,
    side: Side,
    approach: Approach,
    instrument: Needle,
    *,
    margins: Margins | None = None,
    target: TargetZone | None = None,
    hand: HandError | None = None,
    weights: Weights | None = None,
    limit: int = 4,
) -> tuple[Corridor, ...]:
    """The best distinct ways in for one side and approach, best first by the objective.

    The first is the optimum over the whole grid (of what keeps its margins when measured exactly, too,
    which few candidates at the very limit do not); the others are Pareto-optimal in slack, distance
    from the midline, length and tilt, and differ from those before. Raises
    :class:`NoSafeTrajectory` when no candidate keeps the margins.
    """
    found = survey(site, side, approach, instrument, margins=margins, target=target, hand=hand, weights=weights)
    kept = found.corridors(limit)
    if not kept:
        raise refusal(found)
    return kept


def search(task: Task, candidates: Candidates) -> Judged:
    """Judge every candidate; keep those within the margins whose skin is in view and in a needle's reach.

    Where the skin of none is in view, the way to the image's edge stands for the length.
    """
    slack, _, bone = judge(task, candidates, strict=True)
    keep = np.flatnonzero(_sound(task, candidates, slack, bone))
    length = _to_skin(task, candidates.at(keep))
    seen = length > 0.0 if np.any(length > 0.0) else length < 0.0
    rows = np.flatnonzero(seen & (np.abs(length) <= longest_mm(task.instrument)))
    return Judged(candidates.at(keep[rows]), slack[keep[rows]], bone[keep[rows]], length[rows])


def _sound(task: Task, c: Candidates, slack: NDArray[np.float64], bone: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Candidates that keep their margins and enter bone where the approach allows it."""
    return np.asarray((slack > rays.NEVER) & (bone >= 0.0) & (bone <= c.gate_mm + task.approach.entry_behind_mm))


def _to_skin(task: Task, c: Candidates) -> NDArray[np.float64]:
    skin = task.site.anatomy.skin
    to_index = np.ascontiguousarray(skin.inverse_affine[[2, 1, 0]])
    return np.asarray(rays.way_out(skin.array, to_index, c.tips_mm, c.ways))


def judge(
    task: Task, c: Candidates, *, strict: bool
) -> tuple[NDArray[np.float64], NDArray[np.int8], NDArray[np.float64]]:
    """Slack, blocker (a channel of the maps, or a code of :mod:`rays`) and length in bone of every candidate."""
    maps, radius = task.site.maps, task.instrument.radius_mm
    asked = [task.margins.pedicle_wall_mm, *(task.margins.of(k) for k in maps.kinds)]
    contact = [0.0, *(radius + (-rays.BRUSH_MM if k is Kind.BONE else rays.CONTACT_MM) for k in maps.kinds)]
    found: tuple[NDArray[np.float64], NDArray[np.int8], NDArray[np.float64]] = rays.judge(
        maps.values,
        maps.to_index(),
        c.tips_mm,
        c.ways,
        c.wall_mm,
        np.where(c.ruled_out, rays.NEVER, c.floor_mm) if strict else c.floor_mm,
        radius,
        radius + np.array(asked),
        np.array(contact),
        maps.node_mm,
        maps.voxel_mm,
        strict,
    )
    slack, blocker, bone = found
    rows = np.flatnonzero((slack > rays.NEVER) & (bone >= 0.0))
    back = rows[_returns(task, c.at(rows), bone[rows])]
    slack[back], blocker[back] = rays.NEVER, rays.OWN_BONE
    return found


def _returns(task: Task, c: Candidates, bone_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Candidates whose axis meets the vertebra's own bone between its entry and the skin."""
    maps, mask = task.site.maps, task.site.vertebra.mask
    return np.asarray(
        rays.returns(
            maps.values,
            maps.to_index(),
            np.require(mask.array, bool, ("C", "W")),
            np.ascontiguousarray(mask.inverse_affine[[2, 1, 0]]),
            c.tips_mm,
            c.ways,
            bone_mm,
            0.5 * float(np.linalg.norm(mask.spacing_mm)),  # as far may a voxel stand out of the surface
        )
    )


#: Two paths are distinct when tips or directions differ by more than this.
DISTINCT_MM, DISTINCT_DEG = 3.0, 5.0
#: Objectives that agree to this many digits (of a millimetre) are a tie: a mirror moves the seventh.
TIE_DIGITS = 4
#: Differences below these are not worth an alternative: slack, off, length (mm), tilt (deg).
_GRAIN = (0.1, 0.5, 1.0, 1.0)
#: An alternative is at most this much worse by the objective, mm.
ALTERNATIVE_MM = 4.0
#: An alternative is the best in one term to within this.
_NEAR_BEST = (0.3, 0.5, 2.0, 2.0)
#: The maps and the exact measure differ by hundredths of a millimetre: few candidates are turned down there.
_TRIES = 200


def ranked_terms(judged: Judged) -> NDArray[np.float64]:
    """The terms of the Pareto set ``(n, 4)``, less is better: minus slack, off, length, tilt."""
    terms = np.stack(
        [
            -judged.slack_mm,
            judged.candidates.off_mm,
            np.abs(judged.length_mm),
            np.abs(judged.tilt_deg),
        ],
        axis=1,
    )
    return np.asarray(np.round(terms / _GRAIN) * _GRAIN)


def best_first(objective: NDArray[np.float64]) -> NDArray[np.intp]:
    """Rows from best to worst; ties, to rounding, in the order of the grid, which a mirror keeps."""
    return np.argsort(-np.round(objective, TIE_DIGITS), kind="stable")


def pareto(judged: Judged, order: NDArray[np.intp]) -> NDArray[np.intp]:
    """Rows that no other beats in one term and equals in the rest, in the given order."""
    terms = ranked_terms(judged)[order]
    first = np.sort(np.unique(terms, axis=0, return_index=True)[1])
    return np.asarray(order[first[np.sort(rays.undominated(terms[first]))]])


def _choose(case: Survey, objective: NDArray[np.float64], limit: int) -> tuple[Corridor, ...]:
    """The optimum, then the Pareto path that is best in each term, where it is distinct and sound."""
    kept: list[Corridor] = []
    order = best_first(objective)
    _add(case, objective, order, kept)
    if limit > 1 and kept:
        front = pareto(case.judged, order[objective[order] >= kept[0].objective - ALTERNATIVE_MM])
        terms = ranked_terms(case.judged)[front]
        for column, near in enumerate(_NEAR_BEST):
            if len(kept) < limit:
                _add(case, objective, front[terms[:, column] <= terms[:, column].min() + near], kept)
    return tuple(kept)


def _add(case: Survey, objective: NDArray[np.float64], rows: NDArray[np.intp], kept: list[Corridor]) -> None:
    """Add the first of ``rows`` that keeps its margins when measured exactly, unless it is like one already kept."""
    least_off = float(case.judged.candidates.off_mm.min()) if len(rows) else math.inf
    for row in rows[:_TRIES]:
        found = case.judged.found(int(row))
        corridor = appraise(case.task, found, float(objective[row]), least_off)
        if corridor.trajectory.grade is Grade.SHORT:
            continue
        if all(_differ(corridor.trajectory, c.trajectory) for c in kept):
            kept.append(with_breach(case.task, corridor, found.wall_mm))
        return


def _differ(a: Trajectory, b: Trajectory) -> bool:
    apart = float(np.linalg.norm(a.target_mm - b.target_mm))
    return apart > DISTINCT_MM or angle_deg(a.direction, b.direction) > DISTINCT_DEG


#: What stands in the way when it is no structure of the maps.
_BLOCKERS = {
    rays.OWN_BONE: "its own arch",
    rays.NO_BONE: "the target outside bone",
    rays.ANGLE: "the approach's angles",
}


def refusal(case: Survey) -> NoSafeTrajectory:
    """Why a survey has no path: what the best candidate misses, by how much, and the nearest path that would do."""
    instead = concession(case)
    offer = " No thinner needle, other approach or other side would do at this level."
    if instead is not None:
        t = instead.trajectory
        offer = f" Nearest that would do: {t.approach} from the {t.side.value} with a {t.instrument.name}."
    structure, short = in_the_way(case)
    return NoSafeTrajectory(
        why_not(case.task, structure, short) + offer,
        structure=structure,
        shortfall_mm=short,
        nearest=instead.trajectory if instead else None,
    )


def why_not(task: Task, structure: str, short_mm: float) -> str:
    """One sentence on what stands in the way."""
    text = f"No {task} keeps its margins: {structure.replace('_', ' ')} is in the way of a {task.instrument.name}"
    return text + (f", {short_mm:.1f} mm short at best." if math.isfinite(short_mm) else ".")


def in_the_way(case: Survey) -> tuple[str, float]:
    """The structure that the least bad candidate misses, and its shortfall, mm (infinite when no length mends it)."""
    task, candidates = case.task, case.candidates
    slack, _, bone = judge(task, candidates, strict=True)
    kept = np.flatnonzero(_sound(task, candidates, slack, bone))
    if len(kept):
        too_far = float(np.abs(_to_skin(task, candidates.at(kept))).min()) - longest_mm(task.instrument)
        if too_far > 0.0:
            return "the needle's length", too_far
    slack, blocker, bone = judge(task, candidates, strict=False)
    slack = np.where(_sound(task, candidates, slack, bone), slack, rays.NEVER)
    if len(slack) == 0 or slack.max() <= rays.NEVER:
        return _BLOCKERS.get(int(blocker[0]) if len(slack) else rays.ANGLE, "the bone's shape"), math.inf
    row = int(np.argmax(slack))
    length = np.repeat(_to_skin(task, candidates.at(np.array([row]))), len(slack))
    worst = min(clearances(task, Judged(candidates, slack, bone, length).found(row)), key=_spare)
    return worst.structure, max(-_spare(worst), 0.0)


def _spare(c: Clearance) -> float:
    return c.value_mm - c.margin_mm + c.uncertainty_mm


def concession(case: Survey) -> Corridor | None:
    """The path that would do with the least change: a thinner needle, then the other approach, then the other side."""
    for side, approach, needle in _changes(case.task):
        if side in case.task.site.vertebra.pedicles:
            found = survey(
                case.task.site,
                side,
                approach,
                needle,
                target=case.target,
                hand=case.task.hand,
                weights=case.weights,
                margins=_as_asked(case.task, approach),
            ).corridors(1)
            if found:
                return found[0]
    return None


def _as_asked(task: Task, approach: Approach) -> Margins:
    """The task's margins for another approach: what was changed from the task's usual ones, where that asks for more.

    What is named to a clinician instead must keep the clinician's own margins.
    """
    if approach.name == task.approach.name:
        return task.margins
    usual = next((a.margins for a in APPROACHES if a.name == task.approach.name), approach.margins)
    asked = {f.name: getattr(task.margins, f.name) for f in fields(Margins)}
    changed = {n: max(v, getattr(approach.margins, n)) for n, v in asked.items() if v != getattr(usual, n)}
    return replace(approach.margins, **changed)


def _changes(task: Task) -> Iterator[tuple[Side, Approach, Needle]]:
    for gauge in VERTEBROPLASTY_GAUGES:
        thinner = Needle.of_gauge(gauge, task.instrument.length_mm)
        if thinner.outer_diameter_mm < task.instrument.outer_diameter_mm:
            yield task.side, task.approach, thinner
    for approach in approaches_for(task.site.level):
        if approach.name != task.approach.name:
            yield task.side, approach, task.instrument
    yield task.side.other, task.approach, task.instrument
