"""What an operator checks while the needle goes in: where its tip stands on a true AP and a true lateral, by depth.

The rule of the two views: *the tip must not cross the medial border of the pedicle in the AP before it has reached the
posterior wall of the body in the lateral.* Between the two lies the canal. It is stated so for the transpedicular way,
and for the posterolateral way beside the pedicle as well, where moreover the tip touches bone at or outside the lateral
border of the pedicle ("Vertebral body biopsy", alpfmedical.info/vertebral-body/transpedicular-approach.html and
/transpedicular-and-posterolateral-approach-in-the-prone-position.html, read there).

Borders are what the views show, not where bone ends along the path: the medial border is the upright line that touches
the pedicle's narrowest cross-section as the AP projects it, the posterior wall the rearmost bone of the body at the
tip's height as the lateral projects it. The masks are the real ones, the projection is the C-arm's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.vertebra import Part, Vertebra
from trocar.geometry import Side, Vector, frozen
from trocar.guidance.view_drawing import medial_mm
from trocar.guidance.view_landmarks import Landmarks, Points, Ruler, landmarks_of, wall
from trocar.guidance.views import PlannedView, true_ap, true_lateral, upwards
from trocar.measure import Finding, Severity
from trocar.planning.access import APPROACHES, Margins
from trocar.planning.trajectory import Trajectory
from trocar.volume import Volume

#: Depths are looked at in steps of this, mm, and told every so many mm.
STEP_MM, TOLD_MM = 0.25, 1.0
#: A path is followed from this far before the bone, mm, to this far beyond its target.
BEFORE_MM, BEYOND_MM = 6.0, 30.0
#: Nearer than this to a line the tip is told to be at it, mm: about the tip's own shadow.
AT_LINE_MM = 1.0
#: A tip that has this much less room in front than the lateral shows, mm, is told of: our judgement. That a true
#: lateral alone misjudges the anterior cortex: Clin Orthop Relat Res 1989, PMID 2665995 (abstract read).
FLATTERING_MM = 2.0
#: A needle beside the pedicle may touch bone this far inside the pedicle's lateral border, mm (``planning.access``).
BESIDE_MM = 2.0


class Event(Enum):
    """Places along a path that have a name; the value is how a person calls them."""

    DOCK = "tip at the bone"
    PEDICLE = "tip enters the pedicle"
    MEDIAL_BORDER = "tip at the medial border of the pedicle (AP)"
    POSTERIOR_WALL = "tip at the posterior wall (lateral)"
    MID_BODY = "tip halfway through the body (lateral)"
    MIDLINE = "tip at the midline (AP)"
    CANNULA = "working cannula stops"
    TARGET = "tip at the target"
    LIMIT = "farthest: margin to the anterior wall"


class Way(Enum):
    """Which form of the rule applies; the value is the rule."""

    THROUGH = (
        "Through the pedicle: the tip must not cross the medial border of the pedicle in the AP before it has reached "
        "the posterior wall in the lateral."
    )
    BESIDE = (
        "Beside the pedicle: the tip touches bone at or outside the lateral border of the pedicle in the AP, and must "
        "have passed the posterior wall in the lateral before it crosses the medial border of the pedicle in the AP."
    )


@dataclass(frozen=True, eq=False)
class Stand:
    """Where tips ``(n,)`` stand on both views, mm at the depth of the isocentre.

    AP: ``medial_mm`` lateral of the medial border of the pedicle (negative: past it), ``oval_share`` 0 there and 1 at
    its lateral border, ``above_mm`` above (positive) or below (negative) the oval, 0 within its height, ``midline_mm``
    on the needle's side of the midline. Lateral: ``wall_mm`` behind the posterior wall (negative: in front of it, in
    the body), ``body_share`` 0 at the posterior and 1 at the anterior wall, ``front_mm`` behind the anterior wall. NaN
    where the vertebra lacks the pedicle.
    """

    medial_mm: Vector
    oval_share: Vector
    above_mm: Vector
    midline_mm: Vector
    wall_mm: Vector
    body_share: Vector
    front_mm: Vector

    def words(self, n: int) -> str:
        """Where one of them stands: "AP: middle third of the pedicle; lateral: 4 mm before the posterior wall"."""
        return f"AP: {self._ap(n)}; lateral: {self._lateral(n)}"

    def _ap(self, n: int) -> str:
        share, aside = float(self.oval_share[n]), float(self.medial_mm[n])
        middle = float(self.midline_mm[n])
        from_midline = "at the midline" if abs(middle) < AT_LINE_MM else f"{abs(middle):.0f} mm from the midline"
        from_midline += ", beyond it" if middle <= -AT_LINE_MM else ""
        if np.isnan(share):
            return from_midline
        if abs(aside) < AT_LINE_MM:
            return "at the medial border of the pedicle"
        if share < 0.0:
            return f"{-aside:.0f} mm past the medial border of the pedicle, {from_midline}"
        outside = aside * (1.0 - 1.0 / share)
        if abs(outside) < AT_LINE_MM:
            return "at the lateral border of the pedicle"
        if share > 1.0:
            return f"{outside:.0f} mm outside the lateral border of the pedicle"
        third = ("medial", "middle", "lateral")[min(int(3.0 * share), 2)]
        over = float(self.above_mm[n])
        lies = f", {abs(over):.0f} mm {'above' if over > 0.0 else 'below'} it" if abs(over) >= AT_LINE_MM else ""
        return f"{third} third of the pedicle{lies}"

    def _lateral(self, n: int) -> str:
        before, share = float(self.wall_mm[n]), float(self.body_share[n])
        if abs(before) < AT_LINE_MM:
            return "at the posterior wall"
        if before > 0.0:
            return f"{before:.0f} mm before the posterior wall"
        if share > 1.0:
            return f"{-self.front_mm[n]:.0f} mm in front of the anterior wall"
        third = ("posterior", "middle", "anterior")[min(int(3.0 * share), 2)]
        return f"{third} third of the body, {-before:.0f} mm past the posterior wall"


@dataclass(frozen=True, eq=False)
class TwoViews:
    """A true AP and a true lateral of one vertebra, and the borders a tip is compared with on them.

    ``stand`` takes any tip, planned or tracked, in the CT's coordinates of this vertebra.
    """

    ap: PlannedView
    lateral: PlannedView
    side: Side
    marks: Landmarks

    @classmethod
    def of(
        cls, vertebra: Vertebra, side: Side, ap: PlannedView | None = None, lateral: PlannedView | None = None
    ) -> TwoViews:
        """For needles from one side; without views, the detector behind and at the patient's left."""
        return cls(ap or true_ap(vertebra), lateral or true_lateral(vertebra), side, landmarks_of(vertebra))

    def stand(self, tips_mm: Points) -> Stand:
        """Where tips ``(n, 3)``, LPS mm, stand on both views."""
        vertebra = self.ap.vertebra
        tips = np.asarray(tips_mm, dtype=float)
        above = Ruler(self.ap.arm, vertebra.frame.origin_mm)
        beside = Ruler(self.lateral.arm, vertebra.frame.origin_mm)
        up, left, back = upwards(vertebra), vertebra.frame.left, vertebra.frame.posterior
        aside = self.side.sign * above.along(tips, left)
        medial, share, over = self._in_oval(above, aside, above.along(tips, up))
        height, depth = beside.along(tips, up), beside.along(tips, back)
        rear = np.interp(height, *self._wall(beside, back).T)
        front = -np.interp(height, *self._wall(beside, -back).T)
        return Stand(
            medial, share, over, aside, depth - rear, (rear - depth) / np.maximum(rear - front, 1.0), depth - front
        )

    def _in_oval(self, ruler: Ruler, aside: Vector, height: Vector) -> tuple[Vector, Vector, Vector]:
        if self.side not in self.marks.ovals:
            return tuple(np.full(len(aside), np.nan) for _ in range(3))  # type: ignore[return-value]
        oval = self.marks.ovals[self.side]
        inner = self.side.sign * medial_mm(ruler, self.marks, self.side)
        outer = float((self.side.sign * ruler.along(oval, self.ap.vertebra.frame.left)).max())
        rim = ruler.along(oval, upwards(self.ap.vertebra))
        over = np.maximum(height - rim.max(), 0.0) + np.minimum(height - rim.min(), 0.0)
        return aside - inner, (aside - inner) / (outer - inner), over

    def _wall(self, ruler: Ruler, outward: Vector) -> Points:
        return wall(ruler, self.ap.vertebra.parts, self.marks.body_mm, outward, upwards(self.ap.vertebra))


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The needle at one depth: its tip (LPS), and what both views show.

    Depths are along the needle from the skin and from the bone, mm; ``medial_mm`` and ``wall_mm`` as in
    :class:`Stand`. ``part`` is the part of the vertebra that the tip lies in, ``event`` its name where it has one.
    """

    depth_mm: float
    in_bone_mm: float
    tip_mm: Vector
    part: Part
    medial_mm: float
    wall_mm: float
    words: str
    event: Event | None = None


@dataclass(frozen=True, eq=False)
class Checkpoints:
    """Everything to check along one path.

    ``stations`` are every :data:`TOLD_MM` from the bone to the farthest depth, ``events`` the named ones in order of
    depth. ``kept`` is whether the rule of ``way`` holds, None where it cannot be checked; ``spare_mm`` by how much the
    tip is lateral of the medial border when it reaches the posterior wall, and ``lead_mm`` how much farther the needle
    then has to go until it crosses that border (negative: it has crossed it; infinite: never before the end).
    """

    trajectory: Trajectory
    views: TwoViews
    stations: tuple[Checkpoint, ...]
    events: tuple[Checkpoint, ...]
    way: Way
    kept: bool | None
    spare_mm: float
    lead_mm: float
    findings: tuple[Finding, ...]

    def event(self, event: Event) -> Checkpoint | None:
        """The named place, or None where the path has none."""
        return next((c for c in self.events if c.event is event), None)


def checkpoints(
    vertebra: Vertebra,
    trajectory: Trajectory,
    canal: Volume | None = None,
    views: TwoViews | None = None,
    margins: Margins | None = None,
    cannula_back_mm: float = 0.0,
) -> Checkpoints:
    """The checkpoints of a planned path, and whether it keeps the rule of the two views.

    ``canal`` is the labelled canal where there is one; without it the vertebra's own. ``margins`` say how near the
    anterior wall and the canal may be. A working cannula stops ``cannula_back_mm`` before the target (a balloon's
    length); 0 for a needle that goes there itself.
    """
    views = TwoViews.of(vertebra, trajectory.side) if views is None else views
    margins = Margins() if margins is None else margins
    run = _Run.of(vertebra, trajectory, views)
    depths = run.events(margins.anterior_cortex_mm)
    way = _way(vertebra, trajectory)
    kept, spare, lead = _rule(run, depths)
    free = canal_free_mm(vertebra.canal if canal is None else canal, trajectory)
    findings = (
        *_about_rule(way, kept, spare, lead, free, margins.canal_mm, vertebra, trajectory),
        *_about_dock(way, run, depths),
        *_about_front(run, depths, margins.anterior_cortex_mm),
    )
    end = max(depths.get(Event.LIMIT, depths[Event.TARGET]), depths[Event.TARGET])
    told = np.arange(depths[Event.DOCK], end + 1e-9, TOLD_MM)
    events = _shown(depths, cannula_back_mm)
    return Checkpoints(
        trajectory,
        views,
        run.at(told),
        run.at([d for _, d in events], [e for e, _ in events]),
        way,
        kept,
        spare,
        lead,
        findings,
    )


def _shown(depths: dict[Event, float], cannula_back_mm: float) -> list[tuple[Event, float]]:
    """The named places in order of depth, without those that the tip is past when it meets the bone, and doubles."""
    dock, target = depths[Event.DOCK], depths[Event.TARGET]
    found = {e: d for e, d in depths.items() if e is Event.DOCK or d > dock + STEP_MM}
    if abs(found.get(Event.MIDLINE, np.inf) - target) < AT_LINE_MM:
        del found[Event.MIDLINE]
    if cannula_back_mm > 0.0:
        found[Event.CANNULA] = target - cannula_back_mm
    return sorted(found.items(), key=lambda e: (e[1], list(Event).index(e[0])))


# --- along the path -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Run:
    """A path sampled from before the bone to beyond its target."""

    vertebra: Vertebra
    trajectory: Trajectory
    views: TwoViews
    depth: Vector
    stand: Stand
    part: NDArray[np.int_]

    @classmethod
    def of(cls, vertebra: Vertebra, trajectory: Trajectory, views: TwoViews) -> _Run:
        start = max(trajectory.skin_to_bone_mm - BEFORE_MM, 0.0)
        depth = np.arange(start, trajectory.length_mm + BEYOND_MM, STEP_MM)
        tips = _tips(trajectory, depth)
        return cls(vertebra, trajectory, views, depth, views.stand(tips), _parts(vertebra, tips))

    def events(self, front_margin_mm: float) -> dict[Event, float]:
        """The depth of each named place that the path has, mm from the skin."""
        t, s = self.trajectory, self.stand
        pedicle = Part.PEDICLE_LEFT if t.side is Side.LEFT else Part.PEDICLE_RIGHT
        bone = self.depth >= t.skin_to_bone_mm - 1e-9
        found = {
            Event.DOCK: t.skin_to_bone_mm,
            Event.PEDICLE: self._first((self.part == pedicle) & bone & (self.depth <= t.length_mm)),
            Event.MEDIAL_BORDER: self._crossing(s.medial_mm, bone),
            Event.POSTERIOR_WALL: self._crossing(s.wall_mm, bone),
            Event.MID_BODY: self._crossing(0.5 - s.body_share, bone),
            Event.MIDLINE: self._crossing(s.midline_mm, bone),
            Event.TARGET: t.length_mm,
            Event.LIMIT: min(self._crossing(s.front_mm - front_margin_mm, bone), self.leaves_mm - front_margin_mm),
        }
        last = max(t.length_mm, found[Event.LIMIT] if np.isfinite(found[Event.LIMIT]) else 0.0)
        return {e: d for e, d in found.items() if np.isfinite(d) and d <= last}

    @property
    def leaves_mm(self) -> float:
        """The depth at which the tip leaves the body again, in three dimensions; infinite where it does not."""
        inside = self.part == Part.BODY
        if not inside.any():
            return np.inf
        first = int(inside.argmax())
        out = ~inside[first:]
        return float(self.depth[first + int(out.argmax())]) if out.any() else np.inf

    def _first(self, where: NDArray[np.bool_]) -> float:
        return float(self.depth[int(where.argmax())]) if where.any() else np.inf

    def _crossing(self, value: Vector, where: NDArray[np.bool_]) -> float:
        """Where ``value`` first falls to zero in ``where``, interpolated; its start if it is below zero there."""
        below = (value <= 0.0) & where
        if not below.any():
            return np.inf
        n = int(below.argmax())
        if n == 0 or not where[n - 1]:
            return float(self.depth[n])
        share = value[n - 1] / (value[n - 1] - value[n])
        return float(self.depth[n - 1] + share * STEP_MM)

    def at(self, depths: Sequence[float] | Vector, events: Sequence[Event] | None = None) -> tuple[Checkpoint, ...]:
        """Checkpoints at some depths."""
        tips = _tips(self.trajectory, np.asarray(depths, dtype=float))
        stand, parts = self.views.stand(tips), _parts(self.vertebra, tips)
        bone = self.trajectory.skin_to_bone_mm
        return tuple(
            Checkpoint(
                float(d),
                float(d) - bone,
                frozen(tips[n]),
                Part(int(parts[n])),
                float(stand.medial_mm[n]),
                float(stand.wall_mm[n]),
                stand.words(n),
                events[n] if events else None,
            )
            for n, d in enumerate(depths)
        )


def _tips(trajectory: Trajectory, depth: Vector) -> Points:
    return np.asarray(trajectory.skin_mm + depth[:, None] * trajectory.direction)


def _parts(vertebra: Vertebra, points_mm: Points) -> NDArray[np.int_]:
    return np.rint(vertebra.parts.sample(points_mm, order=0)).astype(int)


def canal_free_mm(canal: Volume, trajectory: Trajectory) -> float:
    """Free space between the needle's surface and the nearest voxel of the canal, mm, less half a voxel; infinite
    where there is no canal in the mask."""
    points = canal.points_mm()
    if not len(points):
        return np.inf
    away = points - trajectory.skin_mm
    along = np.clip(away @ trajectory.direction, 0.0, trajectory.length_mm)
    distance = np.linalg.norm(away - along[:, None] * trajectory.direction, axis=1)
    return float(distance.min()) - trajectory.instrument.radius_mm - 0.5 * max(canal.spacing_mm)


# --- the rule -----------------------------------------------------------------------------------


def _way(vertebra: Vertebra, trajectory: Trajectory) -> Way:
    """Through or beside the pedicle: by the approach's own word, or by what the path meets."""
    known = next((a for a in APPROACHES if a.name == trajectory.approach), None)
    if known is not None:
        return Way.THROUGH if known.through_pedicle else Way.BESIDE
    path = _tips(trajectory, np.arange(trajectory.skin_to_bone_mm, trajectory.length_mm, STEP_MM))
    met = np.isin(_parts(vertebra, path), (Part.PEDICLE_LEFT, Part.PEDICLE_RIGHT))
    return Way.THROUGH if met.any() else Way.BESIDE


def _rule(run: _Run, depths: dict[Event, float]) -> tuple[bool | None, float, float]:
    """Whether the medial border comes no earlier than the posterior wall; the room there, and the depth between."""
    at_wall = depths.get(Event.POSTERIOR_WALL, np.inf)
    at_border = depths.get(Event.MEDIAL_BORDER, np.inf)
    if np.isnan(run.stand.medial_mm).all() or not np.isfinite(at_wall):
        return None, np.nan, np.nan
    spare = float(np.interp(at_wall, run.depth, run.stand.medial_mm))
    return at_border >= at_wall, spare, at_border - at_wall


def _about_rule(
    way: Way,
    kept: bool | None,
    spare_mm: float,
    lead_mm: float,
    free_mm: float,
    margin_mm: float,
    vertebra: Vertebra,
    trajectory: Trajectory,
) -> tuple[Finding, ...]:
    name = f"{trajectory.side.value} needle to {trajectory.level}"
    if kept is None:
        text = f"The {name} cannot be checked on AP and lateral by the medial border and the posterior wall."
        why = "its pedicle was not found" if trajectory.side not in vertebra.pedicles else "it does not reach the body"
        return (Finding(Severity.CAUTION, text, why),)
    if not kept:
        early = f"The {name} crosses the medial border of the pedicle in the AP {-lead_mm:.0f} mm before it reaches "
        if free_mm < margin_mm:
            said = f"{early}the posterior wall in the lateral: it runs through or along the spinal canal."
            return (Finding(Severity.STOP, said, f"{_free(free_mm)}; {way.value}"),)
        said = f"{early}the posterior wall in the lateral: the two views cannot tell this path from one into the canal."
        return (Finding(Severity.CAUTION, said, f"in the CT {_free(free_mm)}"),)
    open_mm = trajectory.instrument.radius_mm + vertebra.parts.half_voxel_mm(vertebra.frame.left)
    if spare_mm < open_mm:
        text = (
            f"The {name} reaches the posterior wall only {spare_mm:.1f} mm before the medial border of the pedicle: "
            "on the screen its tip touches that line."
        )
        return (Finding(Severity.CAUTION, text, f"needle's radius and half a voxel: {open_mm:.1f} mm"),)
    return ()


def _free(free_mm: float) -> str:
    if free_mm < 0.0:
        return "the needle enters the canal"
    return f"the canal lies {free_mm:.1f} mm from the needle's surface"


def _about_dock(way: Way, run: _Run, depths: dict[Event, float]) -> tuple[Finding, ...]:
    """Beside the pedicle bone is met at or outside the lateral border of the pedicle."""
    if way is Way.THROUGH or np.isnan(run.stand.medial_mm).all():
        return ()
    stand = run.views.stand(_tips(run.trajectory, np.array([depths[Event.DOCK]])))
    inside = float(stand.medial_mm[0] * (1.0 / stand.oval_share[0] - 1.0)) if stand.oval_share[0] else np.inf
    if inside <= BESIDE_MM:
        return ()
    text = (
        f"The {run.trajectory.side.value} needle touches bone {inside:.0f} mm inside the pedicle's lateral border (AP)."
    )
    return (Finding(Severity.CAUTION, text, "a path beside the pedicle starts at or outside that border"),)


def _about_front(run: _Run, depths: dict[Event, float], margin_mm: float) -> tuple[Finding, ...]:
    """The body is round in front: off the midline it ends before the lateral shows its anterior wall."""
    leaves, target = run.leaves_mm, depths[Event.TARGET]
    if not np.isfinite(leaves):
        return ()
    shown = float(np.interp(leaves, run.depth, run.stand.front_mm))
    if shown < FLATTERING_MM:
        return ()
    severity = Severity.CAUTION if leaves - margin_mm < target else Severity.NOTE
    text = (
        f"The {run.trajectory.side.value} needle would leave the body while the lateral still shows {shown:.0f} mm up "
        f"to the anterior wall: go no farther than {leaves - margin_mm:.0f} mm from the skin."
    )
    return (Finding(severity, text, f"the body is round in front; margin {margin_mm:g} mm"),)
