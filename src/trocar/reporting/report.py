"""What a report says, before anyone decides how it looks. HTML and PDF are drawn from this and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from trocar import __version__
from trocar.measure import Finding, Measure, Severity
from trocar.planning.trajectory import Clearance, Grade, Trajectory
from trocar.reporting.cite import references_for
from trocar.reporting.figures import Picture
from trocar.reporting.palette import plain
from trocar.treatment import Option, Plan

if TYPE_CHECKING:
    from trocar.case import Case

NOTICE = "Research software, not a medical device; not for clinical decisions."


class Tone(Enum):
    """How a word is dressed; the word and its symbol carry the meaning, the colour repeats it."""

    GOOD = "good"
    DOUBT = "doubt"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Badge:
    """A symbol and a word."""

    symbol: str
    word: str
    tone: Tone


GRADES = {
    Grade.SAFE: Badge("✓", "safe", Tone.GOOD),
    Grade.BORDERLINE: Badge("▲", "borderline", Tone.DOUBT),
    Grade.SHORT: Badge("✗", "short", Tone.BAD),
    Grade.NOT_CHECKED: Badge("?", "not checked", Tone.UNKNOWN),
}
SEVERITIES = {
    Severity.STOP: Badge("■", "STOP", Tone.BAD),
    Severity.CAUTION: Badge("▲", "CAUTION", Tone.DOUBT),
    Severity.NOTE: Badge("●", "NOTE", Tone.UNKNOWN),
}


@dataclass(frozen=True)
class Row:
    """A name and what it is, with a remark in small print (how it was measured, where it comes from)."""

    name: str
    value: str
    remark: str = ""


@dataclass(frozen=True)
class Table:
    """A titled table: ``columns`` of headings and ``rows`` of the same length; ``numeric`` columns align right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | Badge, ...], ...]
    numeric: tuple[int, ...] = ()
    remark: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row of {len(row)} cells in a table of {len(self.columns)} columns: {row!r}.")


@dataclass(frozen=True)
class Concern:
    """A finding as it is shown."""

    badge: Badge
    text: str
    because: str


@dataclass(frozen=True)
class Path:
    """One needle on the first page: what it is, in sentences, in numbers, and how far from everything."""

    title: str
    sentences: tuple[str, ...]
    numbers: tuple[Row, ...]
    clearances: Table


@dataclass(frozen=True)
class Report:
    """Everything a report says, in the order it says it. ``plan`` is what it was made from."""

    plan: Plan
    title: str
    notice: str
    identity: tuple[Row, ...]
    verdict: Badge
    verdict_text: str
    paths: tuple[Path, ...]
    concerns: tuple[Concern, ...]
    not_checked: tuple[str, ...]
    not_checked_text: str
    pictures: tuple[Picture, ...]
    alternatives: Table
    sections: tuple[Table, ...]
    references: tuple[str, ...]
    footer: str

    @property
    def figures(self) -> dict[str, bytes]:
        """The figures as PNG by name."""
        return {p.name: p.png for p in self.pictures}


def report(of: Plan | Case) -> Report:
    """The report of a plan, or of a case that has one.

    A plan that was read back without its images gives the same text without figures.
    """
    plan = of if isinstance(of, Plan) else of.plan
    case_id = None if isinstance(of, Plan) else of.id
    best = plan.options[0] if plan.options else None
    return Report(
        plan=plan,
        title=f"{_procedure_name(plan)}, {plan.procedure.level}",
        notice=NOTICE,
        identity=_identity(plan, case_id),
        verdict=_verdict(best),
        verdict_text=_verdict_text(plan, best),
        paths=tuple(_path(t, best) for t in best.trajectories) if best else (),
        concerns=_concerns(plan.findings),
        not_checked=tuple(_named(n) for n in plan.not_checked),
        not_checked_text=_not_checked_text(plan),
        pictures=_pictures(plan),
        alternatives=_alternatives(plan),
        sections=tuple(t for t in _sections(plan) if t.rows),
        references=tuple(str(r) for r in references_for(plan)),
        footer=f"{NOTICE} Trocar {plan.version}.",
    )


# --- first page ---------------------------------------------------------------------------------


def _procedure_name(plan: Plan) -> str:
    return (plan.procedure.name or type(plan.procedure).__name__).capitalize()


def _identity(plan: Plan, case_id: str | None) -> tuple[Row, ...]:
    best = plan.options[0].trajectories if plan.options else ()
    origin = plan.provenance
    return (
        Row("Case", case_id or "no pseudonym given"),
        Row("Level", str(plan.procedure.level)),
        Row("Side", " and ".join(t.side.value for t in best) or "none"),
        Row("Approach", " and ".join(dict.fromkeys(t.approach for t in best)) or "none"),
        Row("Instrument", " and ".join(dict.fromkeys(_instrument(t) for t in best)) or "none"),
        Row("Scan position", origin.patient_position or "not in the file"),
        Row("Voxels", " × ".join(f"{s:.2f}" for s in reversed(origin.spacing_mm)) + " mm"),
        Row("Series", origin.series_uid or "no series UID in the file"),
    )


def _instrument(trajectory: Trajectory) -> str:
    needle = trajectory.instrument
    return f"{needle.name}, {needle.outer_diameter_mm:.1f} mm × {needle.length_mm:.0f} mm"


def _verdict(best: Option | None) -> Badge:
    if best is None:
        return GRADES[Grade.NOT_CHECKED]
    order = (Grade.SAFE, Grade.NOT_CHECKED, Grade.BORDERLINE, Grade.SHORT)
    return GRADES[max((t.grade for t in best.trajectories), key=order.index)]


def _verdict_text(plan: Plan, best: Option | None) -> str:
    if best is None:
        return "This procedure has no needle path."
    clearances = [c for t in best.trajectories for c in t.clearances]
    counts = {g: sum(c.grade is g for c in clearances) for g in Grade}
    text = f"{counts[Grade.SAFE]} of {len(clearances)} clearances keep their margin by more than the voxel uncertainty"
    if counts[Grade.BORDERLINE]:
        text += f"; {counts[Grade.BORDERLINE]} lie within it (borderline)"
    if counts[Grade.SHORT]:
        text += f"; {counts[Grade.SHORT]} fall short of it"
    missing = len(plan.not_checked)
    text += f"; {missing} {'structure was' if missing == 1 else 'structures were'} not checked." if missing else "."
    return text


def _path(trajectory: Trajectory, option: Option) -> Path:
    return Path(
        title=f"{trajectory.side.value.capitalize()} {trajectory.approach} path to {trajectory.level}",
        sentences=(),
        numbers=_numbers(trajectory, option),
        clearances=clearance_table(trajectory.clearances),
    )


def _numbers(trajectory: Trajectory, option: Option) -> tuple[Row, ...]:
    rows = [
        Row("Skin to bone", f"{trajectory.skin_to_bone_mm:.1f} mm", "along the needle"),
        Row("Bone to target", f"{trajectory.bone_to_target_mm:.1f} mm", "along the needle"),
        Row("Skin to target", f"{trajectory.length_mm:.1f} mm", "along the needle"),
    ]
    rows += [_measure_row(m) for m in trajectory.measures]
    if len(option.trajectories) == 1:
        rows += [_measure_row(m) for m in option.measures]
    if trajectory.breach_probability is not None:
        rows.append(_breach_row(trajectory.breach_probability))
    return tuple(dict.fromkeys(rows))


def _breach_row(breach: Measure) -> Row:
    return Row("Breach probability", percent(breach), breach.method)


def percent(measure: Measure) -> str:
    """A probability as a percentage with its interval."""
    text = f"{100.0 * measure.value:.1f} %"
    if measure.low is not None and measure.high is not None:
        text += f" ({100.0 * measure.low:.1f} to {100.0 * measure.high:.1f})"
    return text


def _measure_row(measure: Measure) -> Row:
    remark = "; ".join(x for x in (measure.method, f"interval: {measure.interval}" if measure.interval else "") if x)
    return Row(_named(measure.name), str(measure), remark)


def _named(name: str) -> str:
    text = plain(name)
    return text[:1].upper() + text[1:]


def clearance_table(clearances: tuple[Clearance, ...]) -> Table:
    """Clearances with margin and grade, the one with least to spare first."""
    ordered = sorted(clearances, key=lambda c: (c.value_mm - c.margin_mm - c.uncertainty_mm, c.structure))
    rows = tuple(
        (
            _named(c.structure),
            f"{c.value_mm:.1f}",
            f"± {c.uncertainty_mm:.1f}",
            f"{c.margin_mm:.1f}",
            GRADES[c.grade],
        )
        for c in ordered
    )
    return Table(
        "Clearance from the needle's surface",
        ("Structure", "Free, mm", "Voxels, mm", "Margin, mm", "Grade"),
        rows,
        (1, 2, 3),
        "Safe: the margin is kept by more than the voxel uncertainty. Borderline: the difference lies within it. "
        "Short: below the margin by more than that.",
    )


def _concerns(findings: tuple[Finding, ...]) -> tuple[Concern, ...]:
    ranked = sorted(findings, key=lambda f: -f.severity.rank)
    return tuple(Concern(SEVERITIES[f.severity], f.text, f.because) for f in ranked)


def _not_checked_text(plan: Plan) -> str:
    if plan.not_checked:
        return "The labels lack these structures. Nobody has looked whether the needle meets them."
    return "The labels hold every structure that this procedure asks for."


# --- the rest -----------------------------------------------------------------------------------


def _pictures(plan: Plan) -> tuple[Picture, ...]:
    if plan.images is None or not plan.options:
        return ()
    from trocar.reporting.gallery import pictures

    return pictures(plan)


def _alternatives(plan: Plan) -> Table:
    return Table(
        "Ways in, ranked",
        ("", "Path", "Grade", "Least spare, mm", "Length, mm", "Breach", "Why here"),
        tuple(_alternative(n, option) for n, option in enumerate(plan.options, 1)),
        (3, 4, 5),
        "Least spare: the smallest clearance minus its margin, over all checked structures. "
        "Length: the longest needle from skin to target.",
    )


def _alternative(rank: int, option: Option) -> tuple[str | Badge, ...]:
    clearances = [c for t in option.trajectories for c in t.clearances]
    spare = min(clearances, key=lambda c: c.value_mm - c.margin_mm, default=None)
    chances = [t.breach_probability for t in option.trajectories if t.breach_probability is not None]
    return (
        str(rank),
        option.name,
        _verdict(option),
        f"{spare.value_mm - spare.margin_mm:.1f} ({plain(spare.structure)})" if spare else "–",
        f"{max(t.length_mm for t in option.trajectories):.1f}",
        " and ".join(percent(c) for c in chances) or "–",
        option.reason,
    )


def _sections(plan: Plan) -> tuple[Table, ...]:
    return (_vertebra(plan), _options_in_numbers(plan), _parameters(plan), _provenance(plan), _files(plan), _software())


def _vertebra(plan: Plan) -> Table:
    rows = tuple((_named(m.name), str(m), m.method) for m in plan.measures)
    return Table(f"The vertebra {plan.procedure.level}", ("Measure", "Value", "How"), rows, (1,))


def _options_in_numbers(plan: Plan) -> Table:
    rows = [
        (f"{n}", _named(m.name), str(m), m.method)
        for n, option in enumerate(plan.options, 1)
        for m in (*option.measures, *(x for t in option.trajectories for x in t.measures))
    ]
    return Table("The ways in, in numbers", ("Rank", "Measure", "Value", "How"), tuple(dict.fromkeys(rows)), (2,))


def _parameters(plan: Plan) -> Table:
    import dataclasses

    rows = []
    for f in dataclasses.fields(plan.procedure):
        value = getattr(plan.procedure, f.name)
        bounds = f.metadata.get("range")
        unit = bounds.unit if bounds else ""
        allowed = f"{bounds.low:g} to {bounds.high:g}" if bounds else ", ".join(f.metadata.get("options") or ())
        rows.append(
            (
                f.name,
                f"{value:g}" if isinstance(value, float) else str(value),
                unit,
                allowed,
                f.metadata.get("help", ""),
            )
        )
    return Table("Every parameter", ("Field", "Value", "Unit", "Allowed", "Meaning"), tuple(rows), (1,))


def _provenance(plan: Plan) -> Table:
    origin = plan.provenance
    rows = (
        ("Trocar", plan.version),
        ("Label scheme", origin.scheme or "not stated"),
        ("Frame of reference", origin.frame_of_reference or "none in the file"),
        ("Series", origin.series_uid or "none in the file"),
        ("Worked out by the software, not labelled", ", ".join(plain(d) for d in origin.derived) or "nothing"),
    )
    return Table("Where it comes from", ("", ""), rows)


def _files(plan: Plan) -> Table:
    return Table("Input files", ("File", "SHA-256"), plan.provenance.files)


def _software() -> Table:
    import platform
    from importlib.metadata import version

    used = ("numpy", "scipy", "numba", "SimpleITK", "pydicom", "highdicom", "scikit-image", "matplotlib", "typst")
    rows = (("trocar", __version__), ("Python", platform.python_version()), *((name, version(name)) for name in used))
    return Table("Software that made this report", ("Package", "Version"), rows)
