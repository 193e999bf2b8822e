"""The search for a way in: every tip against every gate, judged on the distance maps.

A candidate is a tip in the body's target zone and a gate, the point where the axis crosses the
coronal plane through the pedicle's isthmus. Tips and gates lie on grids in the vertebra's own frame,
mirrored for the other side; the search looks at all their pairs. With ``d_c(s)`` the distance of
the axis to structure ``c`` at depth ``s``, ``r`` the needle's radius and ``m_c`` the margin, a
candidate's slack is

    slack = min over c, s of  d_c(s) - r - m_c                                           (mm)

where the bone's own surface counts over the stretch that must stay in bone (approach), and both
endplates and the cortex ahead count at the tip. A candidate is refused when any term is negative by
more than half a voxel along the line of closest approach. Among the rest the search maximises

    J = worth(slack) - 0.30 |off| - 0.10 |ahead| - 0.10 |above| - 0.01 length - 0.03 |tilt|

    worth(x) = 2 x for x < 0,   x up to 2 mm,   2 + (x - 2) / 4 up to 4 mm, constant beyond

with ``off`` the tip's distance from the mid-sagittal plane, ``ahead`` and ``above`` its distance
from the target's ideal depth and height, ``length`` from skin to tip (all mm) and ``tilt`` the angle
out of the axial plane of the scan (deg). The weights (:class:`Weights`) are our judgement: a
millimetre of clearance is worth three of centrality until 2 mm are to spare.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.vertebra import Pedicle, Vertebra
from trocar.errors import LevelError, NoSafeTrajectory
from trocar.geometry import Side, Vector, angle_deg
from trocar.measure import Finding, Measure, Range, Severity
from trocar.planning import rays
from trocar.planning.access import Approach, Kind, Margins
from trocar.planning.clearance import (
    ahead_mm,
    endplate_clearances,
    half_voxel_mm,
    structure_clearances,
    wall_clearances,
)
from trocar.planning.instrument import Needle
from trocar.planning.maps import Maps, level_maps
from trocar.planning.robustness import HandError, breach_probability
from trocar.planning.trajectory import Clearance, Grade, Trajectory

#: Steps of the grids, mm.
TIP_STEP_MM, GATE_STEP_MM = 2.0, 1.0
#: The tip's stretch where instrument and cement work: endplates and cortex must stay clear of it.
WORKING_MM = 10.0
#: The wall margin holds from this far behind the pedicle's isthmus to the tip, mm.
BEHIND_ISTHMUS_MM = 3.0
#: A tip this near the mid-sagittal plane counts as on it, mm.
MIDLINE_MM = 3.0


@dataclass(frozen=True)
class TargetZone:
    """Where the tip may lie: the anterior-middle third of the body, near the midline.

    ``depth`` are fractions of the body's depth from its front, with ``ideal_depth`` the best;
    ``aside_mm`` how far from the midline towards the needle's side, ``across_mm`` beyond it;
    ``updown_mm`` from mid height.
    """

    depth: Range = field(default_factory=lambda: Range(1.0 / 6.0, 0.5))
    ideal_depth: float = 1.0 / 3.0
    aside_mm: float = 14.0
    across_mm: float = 2.0
    updown_mm: float = 4.0


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
        return 2.0 * low + mid + 0.25 * np.clip(slack_mm - 2.0, 0.0, 2.0)


@dataclass(frozen=True)
class Candidates:
    """All pairs of tips and gates of one side: LPS tips, unit ways from tip to gate, and what is known beforehand.

    ``wall_mm`` is how far from the tip the needle must lie in bone, ``floor_mm`` the slack to
    endplates and cortex; ``deviation_mm`` ``(n, 3)`` is the tip's place outwards of the midline, behind
    the ideal depth and above mid height.
    """

    tips_mm: NDArray[np.float64]
    ways: NDArray[np.float64]
    wall_mm: NDArray[np.float64]
    floor_mm: NDArray[np.float64]
    deviation_mm: NDArray[np.float64]

    @property
    def off_mm(self) -> NDArray[np.float64]:
        """The tip's distance from the mid-sagittal plane."""
        return np.abs(self.deviation_mm[:, 0])


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

    def objective(self, weights: Weights, ideal_aside_mm: float = 0.0) -> NDArray[np.float64]:
        """J of every candidate, with the tip's distance counted from ``ideal_aside_mm`` beside the midline."""
        off, ahead, above = np.abs(self.candidates.deviation_mm - (ideal_aside_mm, 0.0, 0.0)).T
        where = weights.off * off + weights.ahead * ahead + weights.above * above
        reach = weights.length * np.abs(self.length_mm) + weights.tilt * np.abs(self.tilt_deg)
        return np.asarray(weights.worth(self.slack_mm) - where - reach)


@dataclass(frozen=True)
class Corridor:
    """One way in: its path and the terms by which it was ranked.

    ``slack_mm`` is the least clearance beyond its margin, ``off_midline_mm`` the tip's distance from
    the mid-sagittal plane, ``tilt_deg`` the angle out of the axial plane, ``objective`` is J.
    ``least_off_mm`` is how near the midline any path of this side and approach comes.
    """

    trajectory: Trajectory
    approach: Approach
    slack_mm: float
    off_midline_mm: float
    tilt_deg: float
    objective: float
    least_off_mm: float
    findings: tuple[Finding, ...] = ()

    @property
    def reaches_midline(self) -> bool:
        """Whether the tip lies within 3 mm of the mid-sagittal plane."""
        return self.off_midline_mm <= MIDLINE_MM

    @property
    def tightest(self) -> Clearance:
        """The clearance with the least to spare."""
        return min(self.trajectory.clearances, key=lambda c: c.value_mm - c.margin_mm)


@dataclass(frozen=True)
class Site:
    """One level made ready for the search: its maps and its structures, shared by all approaches."""

    anatomy: Anatomy
    level: Level
    maps: Maps

    @classmethod
    def of(cls, anatomy: Anatomy, level: Level) -> Site:
        """Build the maps around one whole level."""
        return cls(anatomy, level, level_maps(anatomy, level))

    @property
    def vertebra(self) -> Vertebra:
        """The vertebra at the site."""
        return self.anatomy.vertebra(self.level)

    def pedicle(self, side: Side) -> Pedicle:
        """The pedicle of one side; raises :class:`LevelError` when it could not be measured."""
        found = self.vertebra.pedicles.get(side)
        if found is None:
            raise LevelError(f"the {side.value} pedicle of {self.level} could not be found: plan the other side.")
        return found


@dataclass(frozen=True)
class Survey:
    """The whole search for one side, approach and needle: every candidate judged once."""

    site: Site
    side: Side
    approach: Approach
    instrument: Needle
    margins: Margins
    hand: HandError
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
    margins, target = margins or approach.margins, target or TargetZone()
    candidates = enumerate_candidates(site, side, approach, instrument, margins, target)
    judged = search(site, candidates, instrument, margins)
    return Survey(
        site, side, approach, instrument, margins, hand or HandError(), weights or Weights(), candidates, judged
    )


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

    The first is the optimum over the whole grid; the others are Pareto-optimal in slack, distance
    from the midline, length and tilt, and differ from those before. Raises
    :class:`NoSafeTrajectory` when no candidate keeps the margins.
    """
    found = survey(site, side, approach, instrument, margins=margins, target=target, hand=hand, weights=weights)
    kept = found.corridors(limit)
    if not kept:
        raise refusal(found)
    return kept


def enumerate_candidates(
    site: Site, side: Side, approach: Approach, instrument: Needle, margins: Margins, target: TargetZone
) -> Candidates:
    """Every pair of a tip and a gate within the approach's angles, in the order tip, gate."""
    frame, pedicle = site.vertebra.frame, site.pedicle(side)
    mirror = np.array([side.sign, 1.0, 1.0])
    tips, deviation = _tips(site, side, target, instrument, margins)
    gates = _gates(frame.to_local(pedicle.axis.point_mm) * mirror, pedicle, approach)
    tip, gate = (a.ravel() for a in np.meshgrid(range(len(tips)), range(len(gates)), indexing="ij"))
    way = gates[gate] - tips[tip]
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    transverse = np.degrees(np.arctan2(way[:, 0], way[:, 1]))
    sagittal = np.degrees(np.arctan2(-way[:, 2], way[:, 1]))
    ok = _within(transverse, approach.transverse_deg) & _within(sagittal, approach.sagittal_deg)
    tip, way = tip[ok], way[ok]
    tips_mm, ways = frame.to_world(tips[tip] * mirror), (way * mirror) @ frame.axes.T
    wall, floor = _wall_mm(approach, pedicle, tips_mm, ways), _floor_mm(site, tips_mm, ways, instrument, margins)
    return Candidates(tips_mm, ways, wall, floor, deviation[tip])


def _within(values: NDArray[np.float64], limits: Range) -> NDArray[np.bool_]:
    return np.asarray((values >= limits.low) & (values <= limits.high))


def body_depth(site: Site) -> tuple[float, float]:
    """Front and back of the body on the midline, as posterior coordinates in the vertebra's frame, mm."""
    frame = site.vertebra.frame
    along = np.arange(0.0, 40.0, 0.25)
    ends = []
    for sign in (-1.0, 1.0):
        depth = site.maps.sample(frame.origin_mm + sign * along[:, None] * frame.posterior)
        out = depth <= 0.0
        ends.append(sign * along[int(out.argmax())] if out.any() else sign * along[-1])
    return ends[0], ends[1]


def _tips(
    site: Site, side: Side, target: TargetZone, instrument: Needle, margins: Margins
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tips ``(n, 3)``, outwards, posterior, superior in the vertebra's frame, and how they lie to the ideal."""
    front, back = body_depth(site)
    ideal = front + target.ideal_depth * (back - front)
    x = np.arange(-target.across_mm, target.aside_mm + 1e-9, TIP_STEP_MM)
    y = ideal + TIP_STEP_MM * np.arange(-10, 11)
    y = y[(y >= front + target.depth.low * (back - front)) & (y <= front + target.depth.high * (back - front))]
    z = np.arange(-target.updown_mm, target.updown_mm + 1e-9, TIP_STEP_MM)
    grid = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1).reshape(-1, 3)
    deviation = grid - (0.0, ideal, 0.0)
    grid[:, 2] += _mid_height(site, side, grid)
    return grid, deviation


def _mid_height(site: Site, side: Side, local: NDArray[np.float64]) -> NDArray[np.float64]:
    """Height half-way between the endplates above each point ``(outwards, posterior, 0)``."""
    frame, mirror = site.vertebra.frame, np.array([side.sign, 1.0, 1.0])
    flat = frame.to_world(local * (1.0, 1.0, 0.0) * mirror)
    upper, lower = (-p.height_mm(flat) / float(p.normal @ frame.superior) for p in site.vertebra.endplates.values())
    return np.asarray(0.5 * (upper + lower))


def _gates(isthmus: Vector, pedicle: Pedicle, approach: Approach) -> NDArray[np.float64]:
    """Gates ``(n, 3)``: outwards, posterior, superior; on a grid centred on the isthmus."""
    half_width, half_height = pedicle.width.value / 2.0, pedicle.height.value / 2.0
    low = max(half_width + approach.gate_lateral_mm.low, -half_width - approach.gate_height_mm)
    across = _steps(low, half_width + approach.gate_lateral_mm.high)
    upward = _steps(-half_height - approach.gate_height_mm, half_height + approach.gate_height_mm)
    a, u = (g.ravel() for g in np.meshgrid(across, upward, indexing="ij"))
    return np.asarray(isthmus + np.stack([a, np.zeros_like(a), u], axis=-1))


def _steps(low: float, high: float) -> NDArray[np.float64]:
    """Whole steps of the gate's grid between two offsets, counted from the middle."""
    steps = np.arange(math.ceil(low / GATE_STEP_MM), math.floor(high / GATE_STEP_MM) + 1, dtype=np.float64)
    return steps * GATE_STEP_MM


def _wall_mm(
    approach: Approach, pedicle: Pedicle, tips: NDArray[np.float64], ways: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How far from the tip the needle must lie in bone with its wall margin."""
    if not approach.through_pedicle:
        return np.full(len(tips), WORKING_MM)
    axis = pedicle.axis
    return np.asarray(((tips - axis.point_mm) @ axis.direction + BEHIND_ISTHMUS_MM) / -(ways @ axis.direction))


def _floor_mm(
    site: Site, tips: NDArray[np.float64], ways: NDArray[np.float64], instrument: Needle, margins: Margins
) -> NDArray[np.float64]:
    """Slack that is known before any sample: both endplates along the working stretch, the cortex at the tip.

    :data:`rays.NEVER` where it is negative by more than half a voxel.
    """
    floor = np.full(len(tips), np.inf)
    for plane in site.vertebra.endplates.values():
        nearest = np.minimum(-plane.height_mm(tips), -plane.height_mm(tips + WORKING_MM * ways))
        _lower(
            floor, nearest - instrument.radius_mm - margins.endplate_mm, half_voxel_mm(site.maps.region, plane.normal)
        )
    cortex = site.maps.sample(tips) - margins.anterior_cortex_mm
    _lower(floor, cortex, half_voxel_mm(site.maps.region, site.vertebra.frame.posterior))
    return floor


def _lower(floor: NDArray[np.float64], slack: NDArray[np.float64], open_mm: float) -> None:
    np.minimum(floor, np.where(slack < -open_mm, rays.NEVER, slack), out=floor)


def search(site: Site, candidates: Candidates, instrument: Needle, margins: Margins) -> Judged:
    """Judge every candidate; keep those within the margins whose skin is in view and in the needle's reach.

    Where the skin of none is in view, the way to the image's edge stands for the length.
    """
    slack, _, bone = judge(site.maps, candidates, instrument, margins, strict=True)
    keep = np.flatnonzero((slack > rays.NEVER) & (bone >= 0.0))
    c = _select(candidates, keep)
    skin = site.anatomy.skin
    out = rays.way_out(skin.array, np.ascontiguousarray(skin.inverse_affine[[2, 1, 0]]), c.tips_mm, c.ways)
    seen = out > 0.0 if np.any(out > 0.0) else out < 0.0
    rows = np.flatnonzero(seen & (np.abs(out) <= instrument.length_mm))
    return Judged(_select(c, rows), slack[keep[rows]], bone[keep[rows]], out[rows])


def judge(
    maps: Maps, c: Candidates, instrument: Needle, margins: Margins, *, strict: bool
) -> tuple[NDArray[np.float64], NDArray[np.int8], NDArray[np.float64]]:
    """Slack, blocker (a channel of the maps, or a code of :mod:`rays`) and length in bone of every candidate."""
    asked = [margins.pedicle_wall_mm, *(margins.of(k) for k in maps.kinds)]
    contact = [0.0, *(instrument.radius_mm + rays.CONTACT_MM if k is not Kind.BONE else 0.0 for k in maps.kinds)]
    found: tuple[NDArray[np.float64], NDArray[np.int8], NDArray[np.float64]] = rays.judge(
        maps.values,
        maps.to_index(),
        c.tips_mm,
        c.ways,
        c.wall_mm,
        c.floor_mm,
        instrument.radius_mm + np.array(asked),
        np.array(contact),
        maps.node_mm,
        maps.voxel_mm,
        strict,
    )
    return found


def _select(c: Candidates, rows: NDArray[np.intp]) -> Candidates:
    return Candidates(*(getattr(c, name)[rows] for name in c.__dataclass_fields__))


#: Two paths are distinct when tips or directions differ by more than this.
DISTINCT_MM, DISTINCT_DEG = 3.0, 5.0
#: Differences below these are not worth an alternative: slack, off, length (mm), tilt (deg).
_GRAIN = (0.1, 0.5, 1.0, 1.0)
#: An alternative is the best in one term to within this.
_NEAR_BEST = (0.3, 0.5, 2.0, 2.0)


def ranked_terms(judged: Judged) -> NDArray[np.float64]:
    """The terms of the Pareto set ``(n, 4)``, less is better: minus slack, off, length, tilt."""
    terms = np.stack(
        [
            -np.minimum(judged.slack_mm, 4.0),
            judged.candidates.off_mm,
            np.abs(judged.length_mm),
            np.abs(judged.tilt_deg),
        ],
        axis=1,
    )
    return np.asarray(np.round(terms / _GRAIN) * _GRAIN)


def best_first(objective: NDArray[np.float64]) -> NDArray[np.intp]:
    """Rows from best to worst; ties, to rounding, in the order of the grid, which a mirror keeps."""
    return np.argsort(-np.round(objective, 6), kind="stable")


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
        front = pareto(case.judged, order)
        terms = ranked_terms(case.judged)[front]
        for column, near in enumerate(_NEAR_BEST):
            if len(kept) < limit:
                _add(case, objective, front[terms[:, column] <= terms[:, column].min() + near], kept)
    return tuple(kept)


def _add(case: Survey, objective: NDArray[np.float64], rows: NDArray[np.intp], kept: list[Corridor]) -> None:
    """Add the first of ``rows`` that keeps its margins when measured exactly, unless it is like one already kept."""
    for row in rows[:_TRIES]:
        corridor = _corridor(case, int(row), float(objective[row]))
        if corridor.trajectory.grade is Grade.SHORT:
            continue
        if all(_differ(corridor.trajectory, c.trajectory) for c in kept):
            kept.append(_with_breach(case, corridor, float(case.judged.candidates.wall_mm[row])))
        return


#: The maps and the exact measure differ by hundredths of a millimetre: few candidates are turned down here.
_TRIES = 50


def _differ(a: Trajectory, b: Trajectory) -> bool:
    apart = float(np.linalg.norm(a.target_mm - b.target_mm))
    return apart > DISTINCT_MM or angle_deg(a.direction, b.direction) > DISTINCT_DEG


def _corridor(case: Survey, row: int, objective: float) -> Corridor:
    """One judged candidate as a trajectory with everything measured on it."""
    judged, c = case.judged, case.judged.candidates
    tip, way = c.tips_mm[row], c.ways[row]
    entry = tip + _surface_mm(case.site.maps, tip, way, float(judged.bone_mm[row])) * way
    skin = tip + abs(float(judged.length_mm[row])) * way
    trajectory = Trajectory(
        case.site.level,
        case.side,
        case.approach.name,
        case.instrument,
        skin,
        entry,
        tip,
        clearances=_clearances(case, tip, way, skin, float(c.wall_mm[row])),
        measures=_measures(case, tip, way, entry, float(judged.tilt_deg[row])),
    )
    return Corridor(
        trajectory,
        case.approach,
        float(judged.slack_mm[row]),
        float(c.off_mm[row]),
        float(judged.tilt_deg[row]),
        objective,
        float(judged.candidates.off_mm.min()),
        _findings(case, trajectory, seen=float(judged.length_mm[row]) > 0.0),
    )


def _with_breach(case: Survey, corridor: Corridor, wall_mm: float) -> Corridor:
    """The corridor with the chance of a breach on it; only for those that are kept."""
    t = corridor.trajectory
    breach = breach_probability(
        case.site.maps,
        t.target_mm,
        t.entry_mm,
        radius_mm=case.instrument.radius_mm,
        wall_mm=wall_mm,
        outwards=case.side.sign * case.site.vertebra.frame.left,
        hand=case.hand,
        outside_mm=t.skin_to_bone_mm,
    )
    split = tuple(
        Measure(f"breach_probability_{name}", p, "1", method=breach.probability.method)
        for name, p in breach.by_structure.items()
    )
    return replace(corridor, trajectory=replace(t, breach_probability=breach.probability, measures=t.measures + split))


def incidence_deg(maps: Maps, entry: Vector, way: Vector) -> float:
    """Angle between the needle and the bone's surface normal at the entry: 0 is square on, 90 slides off."""
    step = np.eye(3) * 1.5
    slope = maps.sample(entry + step) - maps.sample(entry - step)
    return angle_deg(-slope, way) if float(np.linalg.norm(slope)) > 0.0 else 0.0


def _measures(case: Survey, tip: Vector, way: Vector, entry: Vector, tilt: float) -> tuple[Measure, ...]:
    frame, sign = case.site.vertebra.frame, case.side.sign
    x, y, z = way @ frame.axes
    aside = sign * float(frame.to_local(entry)[0])
    frame_text = "in the vertebra's own frame"
    found = [
        Measure("transverse_angle", math.degrees(math.atan2(sign * x, y)), "deg", method=frame_text),
        Measure("sagittal_angle", math.degrees(math.atan2(-z, y)), "deg", method=frame_text),
        Measure(
            "tilt", tilt, "deg", method="out of the axial plane of the scan, positive where the needle rises in front"
        ),
        Measure("tip_off_midline", abs(float(frame.to_local(tip)[0])), "mm", method=frame_text),
        Measure("entry_off_midline", aside, "mm", method=frame_text),
        Measure(
            "incidence",
            incidence_deg(case.site.maps, entry, way),
            "deg",
            method="to the bone's surface normal at the entry",
        ),
    ]
    return tuple(found)


#: Above this angle to the surface normal a needle tends to slide off bone (our judgement; C10 says only that it does).
SLIPPERY_DEG = 60.0
#: A pleura nearer than this is named, whatever margin was asked, mm.
PLEURA_NAMED_MM = 5.0


def _findings(case: Survey, t: Trajectory, *, seen: bool) -> tuple[Finding, ...]:
    found = []
    for c in t.clearances:
        if c.grade is Grade.BORDERLINE:
            text = f"{_words(c.structure)}: {c.value_mm:.1f} mm free where {c.margin_mm:g} mm is asked."
            found.append(Finding(Severity.CAUTION, text, f"the voxels leave {c.uncertainty_mm:.1f} mm open"))
        elif c.structure.startswith("lung") and c.value_mm < PLEURA_NAMED_MM:
            text = f"{_words(c.structure)}: the pleura lies {c.value_mm:.1f} mm from the needle."
            found.append(Finding(Severity.CAUTION, text, "pneumothorax"))
    slope = next(m.value for m in t.measures if m.name == "incidence")
    if slope > SLIPPERY_DEG:
        text = f"The needle meets bone at {slope:.0f} deg to its normal and may slide."
        found.append(Finding(Severity.CAUTION, text, "steep bone surface at the entry"))
    if not seen:
        text = "The skin at the entry is not in the scan: the length runs to the image's edge."
        found.append(Finding(Severity.CAUTION, text, "field of view"))
    return tuple(found)


def _words(structure: str) -> str:
    return structure.replace("_", " ").capitalize()


def _surface_mm(maps: Maps, tip: Vector, way: Vector, beyond_mm: float) -> float:
    """Where the axis leaves bone, between the sample ``beyond_mm`` and the one before."""
    inner, outer = maps.sample(tip + np.array([[beyond_mm - rays.STEP_MM], [beyond_mm]]) * way)
    return beyond_mm - rays.STEP_MM * float(outer / (outer - inner))


def _clearances(case: Survey, tip: Vector, way: Vector, skin: Vector, wall_mm: float) -> tuple[Clearance, ...]:
    site, radius, margins = case.site, case.instrument.radius_mm, case.margins
    found = structure_clearances(site.anatomy, site.level, tip, skin, radius, margins)
    if case.approach.through_pedicle:
        stretch = (wall_mm - 2.0 * BEHIND_ISTHMUS_MM, wall_mm)
        found += wall_clearances(
            site.maps, site.vertebra, case.side, tip, way, stretch, radius, margins.pedicle_wall_mm
        )
    found += endplate_clearances(site.vertebra, site.maps.region, tip, way, WORKING_MM, radius, margins.endplate_mm)
    ahead = ahead_mm(site.maps, tip, way)
    found.append(Clearance("anterior_cortex", ahead, half_voxel_mm(site.maps.region, way), margins.anterior_cortex_mm))
    return tuple(sorted(found, key=lambda c: c.value_mm - c.margin_mm))


def refusal(case: Survey) -> NoSafeTrajectory:
    """Why there is no path: the structure that the best candidate misses, and by how much."""
    floor = case.candidates.floor_mm
    relaxed = replace(case.candidates, floor_mm=np.where(floor > rays.NEVER, floor, -50.0))
    slack, blocker, _ = judge(case.site.maps, relaxed, case.instrument, case.margins, strict=False)
    names = {rays.ENDPLATE: "endplates", rays.OWN_BONE: "own arch", rays.ANGLE: "approach angles", 0: "pedicle wall"}
    names |= {1 + n: k.value for n, k in enumerate(case.site.maps.kinds)}
    best = int(np.argmax(slack)) if len(slack) else -1
    structure = names[int(blocker[best])] if best >= 0 else "approach angles"
    short = -float(slack[best]) if best >= 0 else math.inf
    text = (
        f"No {case.approach.name} path to {case.site.level} from the {case.side.value}: "
        f"the {structure} is in the way by {short:.1f} mm for a {case.instrument.name}."
    )
    return NoSafeTrajectory(text, structure=structure, shortfall_mm=short)
