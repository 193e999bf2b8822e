"""How a needle stands to its plan: now, and where it ends if it is pushed on straight.

Every free space is measured as planning measures it (:mod:`trocar.planning.clearance`), on the needle as it lies. What
is left open is the voxels' share plus twice the standard error of the needle's place, so that a margin counts as kept
only where it is kept by more than both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from trocar.anatomy.patient import Anatomy
from trocar.geometry import Pose, Vector, angle_deg, frozen
from trocar.guidance.bearing import Bearing
from trocar.guidance.carm import AT_REST
from trocar.guidance.tip import Tip
from trocar.measure import Finding, Measure, Severity
from trocar.planning.access import APPROACHES, Approach, Margins
from trocar.planning.candidates import BEHIND_ISTHMUS_MM, WORKING_MM, Site, wall_stretch_mm
from trocar.planning.clearance import (
    bone_along_mm,
    bone_clearance,
    endplate_clearances,
    structure_clearances,
    wall_clearances,
)
from trocar.planning.trajectory import Clearance, Grade, Trajectory

#: Two-sided 95 % of a normal distribution in standard deviations, and what a margin is widened by.
_Z95, WIDENED_SD = 1.959963984540054, 2.0
#: Steps below this are not put into words, mm and degrees: no hand holds them.
SAID_MM, SAID_DEG = 0.5, 0.5
#: A tip farther beyond its target than this, mm, and than its error, is told.
BEYOND_MM = 1.0


@dataclass(frozen=True, eq=False)
class Planned:
    """The path to be followed and, where the scan is at hand, what it must keep clear of."""

    trajectory: Trajectory
    site: Site | None = None
    margins: Margins = field(default_factory=Margins)

    @classmethod
    def on(cls, trajectory: Trajectory, anatomy: Anatomy, margins: Margins | None = None) -> Planned:
        """A path on its patient; without ``margins``, those of its approach."""
        approach = approach_of(trajectory)
        return cls(trajectory, Site.of(anatomy, trajectory.level), margins or approach.margins)

    @property
    def frame(self) -> Pose:
        """The vertebra's own frame; without a scan, the patient's axes."""
        return AT_REST if self.site is None else self.site.vertebra.frame

    @property
    def bearing(self) -> Bearing:
        """The patient's words for steps across the path."""
        return Bearing.of(self.trajectory, self.frame)


@dataclass(frozen=True, eq=False)
class Deviation:
    """How a needle stands to its plan.

    ``to_go_mm`` is how far the tip is before its target along the planned path (negative: beyond it), ``off_mm`` the
    vector (LPS) from the path to the tip, ``angle_deg`` the angle between the axes. ``end_mm`` is where the tip comes
    to lie if it is pushed on straight to the planned depth, ``miss_mm`` the vector from the target to there. ``now``
    and ``ahead`` are the free spaces as it lies and at that end.
    """

    tip: Tip
    to_go_mm: float
    off_mm: Vector
    angle_deg: float
    end_mm: Vector
    miss_mm: Vector
    now: tuple[Clearance, ...]
    ahead: tuple[Clearance, ...]
    measures: tuple[Measure, ...]
    findings: tuple[Finding, ...]

    def __post_init__(self) -> None:
        for name in ("off_mm", "end_mm", "miss_mm"):
            object.__setattr__(self, name, frozen(getattr(self, name)))

    @property
    def grade(self) -> Grade:
        """The worst grade among the free spaces, now and ahead."""
        order = (Grade.SAFE, Grade.BORDERLINE, Grade.SHORT)
        return max((c.grade for c in self.now + self.ahead), key=order.index, default=Grade.NOT_CHECKED)


def tightest(found: Deviation, count: int = 2) -> tuple[Measure, ...]:
    """The clearances worth a line: all that are not safe, or else the ``count`` with least to spare; each once.

    A structure is named as it lies now, or ahead where there is less to spare at the end of a straight push.
    """
    both = [(c.value_mm - c.margin_mm, "now", c) for c in found.now]
    # where nothing is left to go, what is ahead is what is now
    both += [(c.value_mm - c.margin_mm, "ahead", c) for c in found.ahead] if found.to_go_mm > 0.0 else []
    first: dict[str, tuple[str, Clearance]] = {}
    for _, when, c in sorted(both, key=lambda entry: (entry[2].grade is Grade.SAFE, entry[0])):
        first.setdefault(c.structure, (when, c))
    doubtful = sum(c.grade is not Grade.SAFE for _, c in first.values())
    named = {f"clearance_{when}_{c.structure}" for when, c in list(first.values())[: doubtful or count]}
    return tuple(m for m in found.measures if m.name in named)


def approach_of(trajectory: Trajectory) -> Approach:
    """The approach a path was planned by; raises ``ValueError`` for one that is not known."""
    for approach in APPROACHES:
        if approach.name == trajectory.approach:
            return approach
    raise ValueError(f"approach={trajectory.approach!r} is not one of {', '.join(a.name for a in APPROACHES)}.")


def deviation(tip: Tip, planned: Planned) -> Deviation:
    """How a needle stands to its plan."""
    path = planned.trajectory
    to_go = float((path.target_mm - tip.tip_mm) @ path.direction)
    foot = path.target_mm - to_go * path.direction
    onward = max(to_go, 0.0) / max(float(tip.direction @ path.direction), 0.1)
    end = tip.tip_mm + onward * tip.direction
    # a margin along the way is widened by what is open at the tip, or at the end where that is more
    now = free_space(planned, tip.tip_mm, -tip.direction, WIDENED_SD * tip.widest_error_mm(0.0))
    worst = max(tip.widest_error_mm(0.0), tip.widest_error_mm(onward))
    ahead = free_space(planned, end, -tip.direction, WIDENED_SD * worst) if onward > 0.0 else now
    found = Deviation(
        tip,
        to_go,
        tip.tip_mm - foot,
        angle_deg(tip.direction, path.direction),
        end,
        end - path.target_mm,
        now,
        ahead,
        (),
        (),
    )
    return replace(found, measures=_measures(found, planned, onward), findings=_findings(found, planned))


def free_space(planned: Planned, tip_mm: Vector, way: Vector, open_mm: float) -> tuple[Clearance, ...]:
    """Every free space of a needle whose tip lies there, ``way`` leading outwards; the least to spare first.

    ``open_mm`` is added to what the voxels leave open. Bone around the needle counts from the pedicle on, endplates and
    the anterior cortex once the tip is in the body. Empty without a scan.
    """
    if planned.site is None:
        return ()
    site, path, margins = planned.site, planned.trajectory, planned.margins
    radius = path.instrument.radius_mm
    depth = float((tip_mm - path.skin_mm) @ path.direction)
    out: list[Clearance] = []
    if depth > 0.0:
        out += structure_clearances(site.anatomy, site.level, tip_mm, tip_mm + depth * way, radius, margins)
    out += _bone_around(planned, site, tip_mm, way)
    if site.vertebra.body.sample(tip_mm, order=0) > 0.5:
        out += endplate_clearances(
            site.vertebra, site.maps.region, tip_mm, way, WORKING_MM, radius, margins.endplate_mm
        )
        room = bone_along_mm(site.maps, tip_mm, -way)
        half = site.maps.region.half_voxel_mm(way)
        out.append(Clearance("anterior_cortex", room, half, margins.anterior_cortex_mm))
    widened = (replace(c, uncertainty_mm=c.uncertainty_mm + open_mm) for c in out)
    return tuple(sorted(widened, key=lambda c: c.value_mm - c.margin_mm))


def _bone_around(planned: Planned, site: Site, tip_mm: Vector, way: Vector) -> list[Clearance]:
    """Bone around the part of the needle that must lie in bone, as far as it is there yet."""
    path, margin = planned.trajectory, planned.margins.pedicle_wall_mm
    approach, radius = approach_of(path), path.instrument.radius_mm
    if not approach.through_pedicle:
        deep = bone_along_mm(site.maps, tip_mm, way)
        return [bone_clearance(site.maps, tip_mm, way, WORKING_MM, radius, margin)] if deep >= WORKING_MM else []
    wall = float(wall_stretch_mm(approach, site.pedicle(path.side), tip_mm[None], way[None])[0])
    if wall <= 0.0:
        return []
    stretch = (max(0.0, wall - 2.0 * BEHIND_ISTHMUS_MM), wall)
    walls = wall_clearances(site.maps, site.vertebra, path.side, tip_mm, way, stretch, radius, margin)
    return [bone_clearance(site.maps, tip_mm, way, wall, radius, margin), *walls]


def breached(c: Clearance) -> bool:
    """Whether a free space is too short for certain, or used up by the best estimate."""
    return c.grade is Grade.SHORT or c.value_mm <= min(0.0, c.margin_mm)


def _measures(d: Deviation, planned: Planned, onward: float) -> tuple[Measure, ...]:
    tip, bearing, path = d.tip, planned.bearing, planned.trajectory
    head, aside = bearing.parts(d.off_mm)
    miss_head, miss_aside = bearing.parts(d.miss_mm)
    how = f"from {tip.source}" + (f"; {tip.assumed}" if tip.assumed else "")
    outwards = bearing.aside_names[0]
    end = f"{how}, pushed on straight to the planned depth"
    return (
        _measure("tip_to_target_depth", d.to_go_mm, tip.error_mm(path.direction), f"{how}, along the planned path"),
        _measure("tip_off_path_head", head, tip.error_mm(bearing.head), f"{how}, towards the head"),
        _measure("tip_off_path_aside", aside, tip.error_mm(bearing.aside), f"{how}, {outwards}"),
        _measure("axis_off_path", d.angle_deg, tip.angle_error_deg, how, "deg"),
        _measure("predicted_miss_head", miss_head, tip.error_mm(bearing.head, onward), f"{end}, towards the head"),
        _measure("predicted_miss_aside", miss_aside, tip.error_mm(bearing.aside, onward), f"{end}, {outwards}"),
        *(_clearance_measure("now", c, how) for c in d.now),
        *(_clearance_measure("ahead", c, end) for c in d.ahead),
    )


def _measure(name: str, value: float, error: float, method: str, unit: str = "mm") -> Measure:
    low, high = value - _Z95 * error, value + _Z95 * error
    if unit == "deg":
        low = max(low, 0.0)
    return Measure(name, value, unit, low=low, high=high, interval="95 %", method=method)


def _clearance_measure(when: str, c: Clearance, method: str) -> Measure:
    low, high = c.value_mm - c.uncertainty_mm, c.value_mm + c.uncertainty_mm
    said = f"{method}; {c.margin_mm:g} mm asked"
    return Measure(f"clearance_{when}_{c.structure}", c.value_mm, "mm", low, high, "voxel and two errors", said)


def _findings(d: Deviation, planned: Planned) -> tuple[Finding, ...]:
    out = [_spoken(c, "The needle as it lies") for c in d.now]
    if d.to_go_mm > 0.0:
        known = {c.structure for c in d.now if breached(c)}
        out += [_spoken(c, "Pushed on straight, the needle") for c in d.ahead if c.structure not in known]
    out.append(_beyond(d, planned))
    if d.tip.assumed:
        text = "Seen from one side only: where the needle lies along the beam is not known."
        out.append(Finding(Severity.CAUTION, text, d.tip.assumed))
    if planned.site is None:
        out.append(Finding(Severity.CAUTION, "No margin is watched.", "the scan and its labels were not given"))
    return tuple(f for f in out if f is not None)


def _spoken(c: Clearance, who: str) -> Finding | None:
    name, because = c.structure.replace("_", " "), f"known to {c.uncertainty_mm:.1f} mm"
    if c.value_mm <= min(0.0, c.margin_mm):
        text = f"{who} has no room left to the {name} ({c.value_mm:.1f} mm where {c.margin_mm:g} mm is asked)."
        return Finding(Severity.STOP, text, because)
    if c.value_mm >= c.margin_mm:
        return None
    text = f"{who} has {c.value_mm:.1f} mm to the {name} where {c.margin_mm:g} mm is asked."
    return Finding(Severity.STOP if c.grade is Grade.SHORT else Severity.CAUTION, text, because)


def _beyond(d: Deviation, planned: Planned) -> Finding | None:
    error = d.tip.error_mm(planned.trajectory.direction)
    if -d.to_go_mm <= max(BEYOND_MM, WIDENED_SD * error):
        return None
    text = f"The tip is {-d.to_go_mm:.1f} mm beyond its target."
    return Finding(Severity.CAUTION, text, f"known to {math.ceil(_Z95 * error * 10.0) / 10.0:.1f} mm")


def spoken(d: Deviation, planned: Planned) -> str:
    """The deviation in one sentence."""
    off = planned.bearing.words(np.asarray(d.off_mm), " mm", SAID_MM) or "on its path"
    where = off if off == "on its path" else f"{off} of its path"
    depth = f"{abs(d.to_go_mm):.0f} mm {'before' if d.to_go_mm >= 0 else 'beyond'} its target"
    return f"The tip is {depth}, {where}; the axis is {d.angle_deg:.1f}° off."
