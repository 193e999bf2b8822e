"""Everything that is measured on one path once the search has chosen it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from trocar.geometry import Line, Side, Vector, angle_deg
from trocar.measure import Finding, Measure, Severity
from trocar.planning import rays
from trocar.planning.access import Approach, Kind, Margins
from trocar.planning.candidates import BEHIND_ISTHMUS_MM, WORKING_MM, Site
from trocar.planning.clearance import (
    bone_along_mm,
    bone_clearance,
    endplate_clearances,
    structure_clearances,
    wall_clearances,
)
from trocar.planning.instrument import Needle, reaching
from trocar.planning.maps import REACH_MM, Maps
from trocar.planning.robustness import HandError, breach_probability
from trocar.planning.trajectory import Clearance, Grade, Trajectory

#: A tip this near the mid-sagittal plane counts as on it, mm.
MIDLINE_MM = 3.0
#: Beyond this angle to the surface normal a needle tends to slide off bone (our judgement).
SLIPPERY_DEG = 60.0
#: The slope of bone at the entry is read over this distance to either side, mm: about a needle's width.
SLOPE_MM = 1.5
#: A needle scrapes where its side touches bone farther before the entry than this many radii: as far as on flat
#: bone at the slippery angle.
SCRAPE_RADII = 1.0 / math.cos(math.radians(SLIPPERY_DEG))
#: The entry is looked for in this many parts of a step.
_ENTRY_PARTS = 20
#: A pleura nearer than this is named, whatever margin was asked, mm.
PLEURA_NAMED_MM = 5.0


@dataclass(frozen=True)
class Task:
    """What is asked of a path: where, from which side, by which approach, with what, and how clear of everything."""

    site: Site
    side: Side
    approach: Approach
    instrument: Needle
    margins: Margins
    hand: HandError

    def __post_init__(self) -> None:
        widest = max(self.margins.of(k) for k in Kind)
        if self.instrument.radius_mm + widest >= REACH_MM:
            raise ValueError(
                f"a margin of {widest:g} mm around a needle of {self.instrument.outer_diameter_mm:g} mm is beyond the "
                f"{REACH_MM:g} mm that the distance maps reach: ask for less, or take a thinner needle."
            )

    def __str__(self) -> str:
        return f"{self.approach.name} path to {self.site.level} from the {self.side.value}"


@dataclass(frozen=True)
class Found:
    """One candidate as the search left it: LPS tip and unit way outwards, and the terms it was judged by.

    ``bone_mm`` is the first sample outside bone, ``length_mm`` the way to the skin (minus the way to the
    image's edge where the skin is not in view), ``wall_mm`` how far from the tip it must lie in bone.
    """

    tip_mm: Vector
    way: Vector
    wall_mm: float
    bone_mm: float
    length_mm: float
    slack_mm: float
    off_mm: float
    tilt_deg: float


@dataclass(frozen=True)
class Corridor:
    """One way in: its path and the terms by which it was ranked.

    ``slack_mm`` is the least clearance beyond its margin, ``off_midline_mm`` the tip's distance from
    the mid-sagittal plane, ``tilt_deg`` the angle out of the axial plane, ``objective`` is J.
    ``least_off_mm`` is how near the midline any path of this side and approach comes.
    """

    trajectory: Trajectory
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


def appraise(task: Task, found: Found, objective: float, least_off_mm: float) -> Corridor:
    """One judged candidate as a trajectory with every clearance and angle measured on it."""
    tip, way = found.tip_mm, found.way
    entry = tip + _surface_mm(task.site.maps, tip, way, found.bone_mm) * way
    length = abs(found.length_mm)
    trajectory = Trajectory(
        task.site.level,
        task.side,
        task.approach.name,
        reaching(task.instrument, length),
        tip + length * way,
        entry,
        tip,
        clearances=clearances(task, found),
        measures=_measures(task, found, entry),
    )
    return Corridor(
        trajectory,
        found.slack_mm,
        found.off_mm,
        found.tilt_deg,
        objective,
        least_off_mm,
        _findings(task, found, trajectory),
    )


def with_breach(task: Task, corridor: Corridor, wall_mm: float) -> Corridor:
    """The corridor with the chance of a breach on it, in all and by structure."""
    t = corridor.trajectory
    breach = breach_probability(
        task.site.maps,
        t.target_mm,
        t.entry_mm,
        radius_mm=task.instrument.radius_mm,
        wall_mm=wall_mm,
        outwards=task.side.sign * task.site.vertebra.frame.left,
        hand=task.hand,
        outside_mm=t.skin_to_bone_mm,
    )
    split = tuple(
        Measure(f"breach_probability_{name}", p, "1", method=breach.probability.method)
        for name, p in breach.by_structure.items()
    )
    return replace(corridor, trajectory=replace(t, breach_probability=breach.probability, measures=t.measures + split))


def clearances(task: Task, found: Found) -> tuple[Clearance, ...]:
    """Every clearance of one path, the one with the least to spare first."""
    site, radius, margins = task.site, task.instrument.radius_mm, task.margins
    tip, way = found.tip_mm, found.way
    skin = tip + abs(found.length_mm) * way
    out = structure_clearances(site.anatomy, site.level, tip, skin, radius, margins)
    out.append(bone_clearance(site.maps, tip, way, found.wall_mm, radius, margins.pedicle_wall_mm))
    if task.approach.through_pedicle:
        stretch = (found.wall_mm - 2.0 * BEHIND_ISTHMUS_MM, found.wall_mm)
        out += wall_clearances(site.maps, site.vertebra, task.side, tip, way, stretch, radius, margins.pedicle_wall_mm)
    out += endplate_clearances(site.vertebra, site.maps.region, tip, way, WORKING_MM, radius, margins.endplate_mm)
    ahead = bone_along_mm(site.maps, tip, -way)
    out.append(Clearance("anterior_cortex", ahead, site.maps.region.half_voxel_mm(way), margins.anterior_cortex_mm))
    return tuple(sorted(out, key=lambda c: c.value_mm - c.margin_mm))


def _surface_mm(maps: Maps, tip: Vector, way: Vector, beyond_mm: float) -> float:
    """Where the axis leaves bone for the last time between the sample before ``beyond_mm`` and that one."""
    at = np.linspace(beyond_mm - rays.STEP_MM, beyond_mm, _ENTRY_PARTS + 1)
    depth = maps.sample(tip + at[:, None] * way)
    last = int(np.flatnonzero(depth[:-1] > 0.0)[-1])
    inner, outer = depth[last], depth[last + 1]
    return float(at[last] + (at[last + 1] - at[last]) * inner / (inner - outer))


def scrape_mm(maps: Maps, entry: Vector, way: Vector, radius: float, length_mm: float) -> float:
    """How far before its entry, mm, a needle first has its own vertebra within its radius of the axis.

    On a plane met at an angle ``a`` from square that is ``radius / cos a``.
    """
    along = np.arange(0.0, length_mm, rays.RETURN_STEP_MM)
    points = entry + along[:, None] * way
    index = points @ maps.to_index()[:, :3].T + maps.to_index()[:, 3]
    seen = np.all((index >= 0.0) & (index <= np.array(maps.values.shape[1:]) - 1.0), axis=1)
    touching = seen & (maps.sample(points) > -radius)
    return float(along[touching][-1]) if touching.any() else 0.0


def incidence_deg(maps: Maps, entry: Vector, way: Vector) -> float:
    """Angle between the needle and the bone's surface normal at the entry: 0 is square on, 90 slides off."""
    step = SLOPE_MM * np.eye(3)
    slope = maps.sample(entry + step) - maps.sample(entry - step)
    return angle_deg(-slope, way) if float(np.linalg.norm(slope)) > 0.0 else 0.0


def _measures(task: Task, found: Found, entry: Vector) -> tuple[Measure, ...]:
    vertebra, sign = task.site.vertebra, task.side.sign
    x, y, z = found.way @ vertebra.frame.axes
    own = "in the vertebra's own frame"
    slope = incidence_deg(task.site.maps, entry, found.way)
    aside = sign * float(vertebra.frame.to_local(entry)[0])
    out = [
        Measure("transverse_angle", math.degrees(math.atan2(sign * x, y)), "deg", method=f"{own}, converging in front"),
        Measure("sagittal_angle", math.degrees(math.atan2(-z, y)), "deg", method=f"{own}, rising in front"),
        Measure("tilt", found.tilt_deg, "deg", method="out of the scan's axial plane, rising in front"),
        Measure("tip_off_midline", found.off_mm, "mm", method=own),
        Measure("entry_off_midline", aside, "mm", method=own),
        Measure("incidence", slope, "deg", method="needle to the bone's surface normal at the entry"),
    ]
    landmark = vertebra.landmarks.get(f"{task.approach.landmark_key}_{task.side.value}")
    if landmark is not None:
        apart = float(Line(found.tip_mm, found.way).distance_mm(landmark))
        out.append(Measure("needle_to_landmark", apart, "mm", method=f"needle's axis to the {task.approach.landmark}"))
    return tuple(out)


def _findings(task: Task, found: Found, t: Trajectory) -> tuple[Finding, ...]:
    out = [f for c in t.clearances if (f := _concern(c))]
    slope = next(m.value for m in t.measures if m.name == "incidence")
    if slope > SLIPPERY_DEG:
        text = f"The needle meets bone {slope:.0f}° from square and may slide."
        out.append(Finding(Severity.CAUTION, text, "steep bone surface at the entry"))
    radius = task.instrument.radius_mm
    scraped = scrape_mm(task.site.maps, t.entry_mm, found.way, radius, t.skin_to_bone_mm)
    if scraped > SCRAPE_RADII * radius + rays.STEP_MM:
        text = f"The needle scrapes the outside of its own vertebra from {scraped:.0f} mm before its entry."
        out.append(Finding(Severity.CAUTION, text, "it may be turned aside before it enters"))
    unseen = task.approach.unseen.get(task.site.level.region)
    if unseen:
        out.append(Finding(Severity.CAUTION, f"Not checked on this way: {unseen}.", "no label shows them"))
    if found.length_mm < 0.0:
        text = "The skin at the entry is not in the scan: the length runs to the image's edge."
        out.append(Finding(Severity.CAUTION, text, "field of view"))
    if t.instrument.length_mm > task.instrument.length_mm:
        text = f"A {task.instrument.length_mm:.0f} mm needle does not reach: take {t.instrument.length_mm:.0f} mm."
        out.append(Finding(Severity.NOTE, text, f"{t.length_mm:.0f} mm from skin to target"))
    return tuple(out)


def _concern(c: Clearance) -> Finding | None:
    words = c.structure.replace("_", " ")
    name = words[0].upper() + words[1:]
    if c.grade is Grade.BORDERLINE:
        text = f"{name}: {max(c.value_mm, 0.0):.1f} mm free where {c.margin_mm:g} mm is asked."
        return Finding(Severity.CAUTION, text, f"the voxels leave {c.uncertainty_mm:.1f} mm open")
    if c.structure.startswith("lung") and c.value_mm < PLEURA_NAMED_MM:
        return Finding(
            Severity.CAUTION, f"{name}: the pleura lies {c.value_mm:.1f} mm from the needle.", "pneumothorax"
        )
    return None
