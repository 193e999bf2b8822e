"""All ways into one level, ranked: both sides, every approach, one needle or two, with a sentence for each.

One needle by the region's usual approach whose tip reaches the midline comes before all else, unless a
hand error would breach something more than once in three attempts (:data:`STEADY`): that is what the
best operators do. The others follow by the objective of :mod:`trocar.planning.corridor`, less
:data:`UNUSUAL_COST` where the approach is not the usual one. A two-sided plan counts as its worse path,
each aimed at the middle of its own half, less :data:`SECOND_PUNCTURE_COST`: it wins where one needle
must stop more than about 5 mm short of the midline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.vertebra import Part
from trocar.geometry import Side
from trocar.measure import Finding, Measure, Severity
from trocar.planning.access import Approach, Margins, approaches_for
from trocar.planning.appraisal import MIDLINE_MM, Corridor
from trocar.planning.candidates import Site, TargetZone
from trocar.planning.corridor import TIE_DIGITS, Survey, in_the_way, refusal, survey, why_not
from trocar.planning.instrument import DEFAULT_LENGTH_MM, Needle, vertebroplasty_needle
from trocar.planning.robustness import HandError
from trocar.planning.trajectory import Clearance, Trajectory

#: What a second puncture costs in the objective's millimetres, and an approach that is not the usual one.
SECOND_PUNCTURE_COST, UNUSUAL_COST = 1.5, 0.5

#: The usual approach comes first only where a hand error breaches at most this share. Our judgement.
STEADY = 1.0 / 3.0

#: More ways than this are a list, not a choice: the six kinds and a few alternatives.
OFFERED = 8


@dataclass(frozen=True)
class Choice:
    """One ranked way: its corridors (two for a two-sided plan), its score, and why it stands here."""

    corridors: tuple[Corridor, ...]
    score: float
    reason: str = ""
    findings: tuple[Finding, ...] = ()

    @property
    def trajectories(self) -> tuple[Trajectory, ...]:
        """The paths that belong together."""
        return tuple(c.trajectory for c in self.corridors)

    @property
    def tightest(self) -> Clearance:
        """The clearance with the least to spare on any of its paths."""
        return min((c.tightest for c in self.corridors), key=lambda c: c.value_mm - c.margin_mm)

    @property
    def slack_mm(self) -> float:
        """The least clearance beyond its margin on any of its paths."""
        return min(c.slack_mm for c in self.corridors)

    @property
    def off_midline_mm(self) -> float:
        """How far from the midline its tips lie; 0 for two tips that flank it."""
        return self.corridors[0].off_midline_mm if len(self.corridors) == 1 else 0.0

    @property
    def breach(self) -> float:
        """The largest chance among its paths that a hand error breaches something."""
        return max(t.breach_probability.value if t.breach_probability else 1.0 for t in self.trajectories)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What it was ranked by."""
        return (
            Measure("slack", self.slack_mm, "mm", method="least clearance beyond its margin"),
            Measure("off_midline", self.off_midline_mm, "mm", method="tip to the mid-sagittal plane"),
            Measure("length", max(t.length_mm for t in self.trajectories), "mm", method="skin to tip"),
            Measure("tilt", max(abs(c.tilt_deg) for c in self.corridors), "deg", method="out of the axial plane"),
            Measure("score", self.score, "mm", method="objective of the search, less the cost of a second puncture"),
        )


def ways_in(
    anatomy: Anatomy,
    level: Level,
    *,
    approaches: Sequence[Approach] | None = None,
    sides: Sequence[Side] = (Side.LEFT, Side.RIGHT),
    instrument: Needle | None = None,
    length_mm: float = DEFAULT_LENGTH_MM,
    margins: Margins | None = None,
    target: TargetZone | None = None,
    hand: HandError | None = None,
    two_sided: bool = True,
) -> tuple[Choice, ...]:
    """Every way into a level, best first.

    Without ``approaches`` those of the region are tried, without ``instrument`` the region's usual
    needle of ``length_mm`` (the next longer that is sold where that does not reach), thinner where a
    pedicle asks for it. Raises :class:`trocar.errors.NoSafeTrajectory` when no side and no approach has
    a path, and :class:`trocar.errors.LevelError` where none is offered.
    """
    usual = approaches_for(level)[0]
    tried = tuple(approaches) if approaches is not None else approaches_for(level)
    site = Site.of(anatomy, level)
    aside = _half_middle_mm(site)
    found: list[Choice] = []
    failed: list[Survey] = []
    for approach in tried:
        cost = 0.0 if approach.name == usual.name else UNUSUAL_COST
        pair: list[Corridor] = []
        for side in sides:
            needle = instrument or usual_needle(site, side, approach, length_mm, margins)
            seen = survey(site, side, approach, needle, margins=margins, target=target, hand=hand)
            paths = seen.corridors()
            if not paths:
                failed.append(seen)
                continue
            found += [Choice((c,), c.objective - cost) for c in paths]
            pair += seen.corridors(1, ideal_aside_mm=aside)
        if two_sided and len(pair) == 2:
            found.append(Choice(tuple(pair), min(c.objective for c in pair) - SECOND_PUNCTURE_COST - cost))
    if not found:
        raise refusal(failed[0])
    first = [c for c in found if _usual(c, usual)]
    steady = [c for c in first if c.breach <= STEADY]
    ranked = _handful(sorted(found, key=lambda c: (c not in steady, -round(c.score, TIE_DIGITS))))
    missing = tuple(_missing(f) for f in failed if f.task.approach.name == usual.name)
    shaky = () if steady or not first else (_shaky(min(first, key=lambda c: c.breach)),)
    return tuple(_told(ranked[0], choice, missing + shaky) for choice in ranked)


def _handful(ranked: list[Choice]) -> list[Choice]:
    """At most :data:`OFFERED` ways: the best of every kind (sides, approach), then the best of the rest; in order."""
    kinds: set[tuple[tuple[Side, str], ...]] = set()
    best: list[int] = []
    rest: list[int] = []
    for n, choice in enumerate(ranked):
        kind = tuple((t.side, t.approach) for t in choice.trajectories)
        (rest if kind in kinds else best).append(n)
        kinds.add(kind)
    return [ranked[n] for n in sorted((best + rest)[:OFFERED])]


def _missing(failed: Survey) -> Finding:
    """Why the usual approach has no path from one side."""
    structure, short = in_the_way(failed)
    return Finding(Severity.NOTE, why_not(failed.task, structure, short), "the other ways are offered instead")


def _shaky(choice: Choice) -> Finding:
    """Why the usual approach does not come first although it reaches the midline."""
    t = choice.trajectories[0]
    text = (
        f"The usual {t.approach} path reaches the midline, but at best (from the {t.side.value}) a hand error "
        f"breaches something in {100.0 * choice.breach:.0f} of 100 attempts: ways that forgive more are put first."
    )
    return Finding(Severity.NOTE, text, "narrow for this needle and this hand error")


def _usual(choice: Choice, approach: Approach) -> bool:
    """Whether this is what the region's usual approach promises: one needle, its tip at the midline."""
    return len(choice.corridors) == 1 and all(
        c.trajectory.approach == approach.name and c.reaches_midline for c in choice.corridors
    )


def usual_needle(site: Site, side: Side, approach: Approach, length_mm: float, margins: Margins | None) -> Needle:
    """The needle that is usual at this level, thinner where the path goes through a narrow pedicle."""
    wall = (margins or approach.margins).pedicle_wall_mm
    width = site.pedicle(side).width.value if approach.through_pedicle else None
    return vertebroplasty_needle(site.level.region, width, length_mm, wall)


def _half_middle_mm(site: Site) -> float:
    """A quarter of the body's width: the middle of one half, where one of two tips belongs."""
    local = site.vertebra.frame.to_local(site.vertebra.part(Part.BODY).points_mm())
    return float(local[:, 0].max() - local[:, 0].min()) / 4.0


def _told(first: Choice, choice: Choice, missing: tuple[Finding, ...]) -> Choice:
    own = tuple(dict.fromkeys(f for c in choice.corridors for f in c.findings))
    findings = own + _short_of_midline(choice) + (missing if choice is first else ())
    reason = _first_reason(choice) if choice is first else _reason(first, choice)
    return replace(choice, reason=reason, findings=findings)


def _short_of_midline(choice: Choice) -> tuple[Finding, ...]:
    if len(choice.corridors) > 1 or choice.corridors[0].least_off_mm <= MIDLINE_MM:
        return ()
    c = choice.corridors[0]
    text = (
        f"No {c.trajectory.approach} path from the {c.trajectory.side.value} reaches the midline of "
        f"{c.trajectory.level} within the margins: the nearest stops {c.least_off_mm:.0f} mm short."
    )
    return (Finding(Severity.NOTE, text, "a two-sided plan or another approach may fill the centre"),)


def _first_reason(choice: Choice) -> str:
    tight = choice.tightest
    where = f"tip {choice.off_midline_mm:.0f} mm from the midline"
    if len(choice.corridors) == 2:
        where = "two tips flank the midline"
    elif choice.off_midline_mm < 0.5:
        where = "tip on the midline"
    return (
        f"Best balance of clearance, centrality, length and angle: {where}, "
        f"tightest at the {tight.structure.replace('_', ' ')} with {max(tight.value_mm, 0.0):.1f} mm free."
    )


def _reason(first: Choice, choice: Choice) -> str:
    """What it is better at than the first, and what it gives up."""
    better: list[str] = []
    worse: list[str] = []
    gain = choice.slack_mm - first.slack_mm
    if abs(gain) >= 0.1:
        at = choice.tightest.structure.replace("_", " ")
        text = f"{abs(gain):.1f} mm {'more' if gain > 0 else 'less'} clearance (tightest at the {at})"
        (better if gain > 0 else worse).append(text)
    nearer = first.off_midline_mm - choice.off_midline_mm
    if abs(nearer) >= 0.5:
        (better if nearer > 0 else worse).append(
            f"tip {abs(nearer):.0f} mm {'nearer' if nearer > 0 else 'further from'} the midline"
        )
    for name, unit, word in (("length", "mm", ("shorter", "longer")), ("tilt", "deg", ("less tilted", "more tilted"))):
        change = _value(choice, name) - _value(first, name)
        if abs(change) >= 2.0:
            (better if change < 0 else worse).append(f"{abs(change):.0f} {unit} {word[0] if change < 0 else word[1]}")
    if len(choice.corridors) > len(first.corridors):
        worse.append("a second puncture")
    elif len(choice.corridors) < len(first.corridors):
        better.append("one puncture less")
    gains, losses = ", ".join(better), ", ".join(worse)
    if gains and losses:
        return f"{gains[0].upper()}{gains[1:]}, but {losses}."
    if gains:
        return f"{gains[0].upper()}{gains[1:]}."
    if losses:
        return f"No better in any term: {losses}."
    return "Equal to the first in clearance, centrality, length and angle."


def _value(choice: Choice, name: str) -> float:
    return next(m.value for m in choice.measures if m.name == name)
