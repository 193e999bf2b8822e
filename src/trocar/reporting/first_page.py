"""The first page: who, where, how, how safe, what worries us, what nobody could check."""

from __future__ import annotations

from trocar.measure import Finding, Severity
from trocar.planning.position import NeedleAngles, PatientPosition
from trocar.planning.skin import SkinMark
from trocar.planning.spoken import HAND_DEG, aside, lean
from trocar.planning.trajectory import Clearance, Grade, Trajectory
from trocar.reporting.content import GRADES, SEVERITIES, Badge, Concern, Path, Row, Table, Tone
from trocar.reporting.words import amount, is_probability, number, percent, phrase, plain, sentence, title
from trocar.treatment import Option, Plan

#: Clearances on the first page: all that are not safe, and the nearest others up to this many for one
#: needle and for each of several.
NEAREST_OF_ONE, NEAREST_OF_SEVERAL = 12, 7

#: Measures of a path that its reader needs at once; all others follow in the appendix.
_AT_ONCE = ("tip_off_midline", "entry_off_midline", "incidence")
#: The same for the mark on the skin, where the images are not at hand to make it anew.
_MARK_AT_ONCE = (
    "needle_mark_from_midline",
    "needle_mark_from_spinous_tip",
    "spinous_tip_from_midline",
    "angle_in_slice",
    "angle_out_of_slice",
)


def identity(plan: Plan, case_id: str | None) -> tuple[Row, ...]:
    """Case, level, side, approach, instrument and scan; nothing that names the patient."""
    best = plan.options[0].trajectories if plan.options else ()
    origin = plan.provenance
    return (
        Row("Case", case_id or "no pseudonym given"),
        Row("Level", str(plan.procedure.level)),
        Row("Side", " and ".join(t.side.value for t in best) or "none"),
        Row("Approach", " and ".join(dict.fromkeys(t.approach for t in best)) or "none"),
        Row("Instrument", " and ".join(dict.fromkeys(_instrument(t) for t in best)) or "none"),
        Row("Scanned", _scanned(origin.patient_position)),
        Row("Voxels", " × ".join(f"{s:.2f}" for s in reversed(origin.spacing_mm)) + " mm"),
        Row("Series", origin.series_uid or "no series UID in the file"),
    )


def _scanned(word: str | None) -> str:
    if word and word in PatientPosition.__members__:
        return str(PatientPosition.parse(word))
    return word or "position not in the file"


def _instrument(trajectory: Trajectory) -> str:
    needle = trajectory.instrument
    return f"{needle.name}, {needle.outer_diameter_mm:.1f} × {needle.length_mm:.0f} mm"


def verdict(best: Option | None) -> Badge:
    """The worst grade on any path of an option."""
    if best is None:
        return GRADES[Grade.NOT_CHECKED]
    order = (Grade.SAFE, Grade.NOT_CHECKED, Grade.BORDERLINE, Grade.SHORT)
    return GRADES[max((t.grade for t in best.trajectories), key=order.index)]


def headline(plan: Plan, concerns: tuple[Concern, ...]) -> tuple[Badge, str]:
    """The verdict of the whole plan and a sentence: a stop outweighs every clearance, the unchecked is never clear."""
    best = plan.options[0] if plan.options else None
    badge, text = verdict(best), _verdict_text(plan, best)
    stops = [c for c in concerns if c.badge is SEVERITIES[Severity.STOP]]
    if stops:
        more = f" ({len(stops) - 1} more below.)" if len(stops) > 1 else ""
        return Badge("■", "stop", Tone.BAD), f"{stops[0].text}{more} {text}"
    if plan.not_checked and badge is GRADES[Grade.SAFE]:
        return Badge("?", "safe where checked", Tone.UNKNOWN), text
    return badge, text


def _verdict_text(plan: Plan, best: Option | None) -> str:
    """How the clearances of an option stand, with what they do not cover."""
    if best is None:
        return "This procedure has no needle path."
    clearances = [c for t in best.trajectories for c in t.clearances]
    counts = {g: sum(c.grade is g for c in clearances) for g in Grade}
    text = f"{counts[Grade.SAFE]} of {len(clearances)} clearances keep their margin by more than the voxel uncertainty"
    if counts[Grade.BORDERLINE]:
        n = counts[Grade.BORDERLINE]
        text += f"; {n} {'lies' if n == 1 else 'lie'} within it (borderline)"
    if counts[Grade.SHORT]:
        n = counts[Grade.SHORT]
        text += f"; {n} {'falls' if n == 1 else 'fall'} short of it"
    missing = len(plan.not_checked)
    return text + (
        f"; {missing} {'structure was' if missing == 1 else 'structures were'} not checked." if missing else "."
    )


def marks(plan: Plan) -> tuple[SkinMark | None, ...]:
    """The mark on the skin for each needle of the best option; None for a plan without its images."""
    if not plan.options:
        return ()
    return tuple(plan.procedure.mark(t, plan.images) if plan.images else None for t in plan.best.trajectories)


def paths(plan: Plan, marks: tuple[SkinMark | None, ...]) -> tuple[Path, ...]:
    """The needles of the best option; what the grades mean is said under the first."""
    needles = plan.options[0].trajectories if plan.options else ()
    room = NEAREST_OF_ONE if len(needles) == 1 else NEAREST_OF_SEVERAL
    return tuple(_path(t, m, room, n == 0) for n, (t, m) in enumerate(zip(needles, marks, strict=True)))


def _path(trajectory: Trajectory, mark: SkinMark | None, room: int, explained: bool) -> Path:
    """One needle in numbers, clearances and sentences."""
    return Path(
        title=f"{trajectory.side.value.capitalize()} {trajectory.approach} path to {trajectory.level}",
        numbers=_numbers(trajectory, mark),
        clearances=_nearest(trajectory, room, explained),
        sentences=mark.lines() if mark else (),
    )


def _numbers(trajectory: Trajectory, mark: SkinMark | None) -> tuple[Row, ...]:
    t = trajectory
    spare = t.instrument.length_mm - t.length_mm
    left = f"{spare:.0f} mm of the needle stay outside" if spare >= 0 else f"the needle is {-spare:.0f} mm too short"
    rows = [
        *(_mark_rows(mark) if mark else _measure_rows(t, _MARK_AT_ONCE)),
        Row("Skin to bone", f"{t.skin_to_bone_mm:.1f} mm", "along the needle"),
        Row("Bone to target", f"{t.bone_to_target_mm:.1f} mm", "along the needle"),
        Row("Skin to target", f"{t.length_mm:.1f} mm", left),
    ]
    rows += _measure_rows(t, _AT_ONCE)
    if t.breach_probability is not None:
        rows.append(Row("Breach probability", percent(t.breach_probability), _breach_remark(t)))
    return tuple(rows)


def _measure_rows(trajectory: Trajectory, names: tuple[str, ...]) -> tuple[Row, ...]:
    return tuple(Row(title(m.name), amount(m), m.method) for m in trajectory.measures if m.name in names)


def _mark_rows(mark: SkinMark) -> tuple[Row, ...]:
    needle, angles = mark.needle, mark.angles
    image = needle.place.image
    shown = [f"at {image.position_mm:.1f} mm"]
    if image.slice_location_mm is not None:
        shown.append(f"location {image.slice_location_mm:.1f}")
    if image.table_position_mm is not None:
        shown.append(f"table {image.table_position_mm:.1f}")
    if not needle.place.numbered_by_scanner:
        shown.insert(0, "from the feet")
    side = needle.face.side_of(needle.offset_mm)
    start = "spinous process" if needle.face.flank else "midline"
    return (
        Row("Skin mark, image", str(image.instance_number), ", ".join(shown)),
        Row(f"Skin mark, from {start}", f"{abs(needle.offset_mm):.1f} mm {side}", _where(mark)),
        Row("Angle in the slice", f"{abs(angles.in_slice_deg):.1f}°", f"{mark.position.lies}; {_aside(mark)}"),
        Row("Angle along the body", f"{abs(angles.out_of_slice_deg):.1f}°", _along(angles)),
    )


def _where(mark: SkinMark) -> str:
    parts = (f"grid {mark.needle.wire}", "measure level, not along the skin" if mark.falls_away else "", lean(mark))
    return "; ".join(p for p in parts if p)


def _aside(mark: SkinMark) -> str:
    angle = mark.angles.in_slice_deg
    return "straight down" if abs(angle) < HAND_DEG else aside(mark.position, angle)


def _along(angles: NeedleAngles) -> str:
    out = angles.out_of_slice_deg
    if abs(out) < HAND_DEG:
        return "stays in its slice"
    tilt = "no gantry tilt shows it whole" if angles.tilt_deg is None else f"gantry tilt {abs(angles.tilt_deg):.1f}°"
    return f"tip towards the {'head' if out > 0 else 'feet'}; {tilt}"


def _breach_remark(trajectory: Trajectory) -> str:
    parts = [m for m in trajectory.measures if is_probability(m)]
    alone = ", ".join(f"{plain(m.name.removeprefix('breach_probability_'))} {percent(m)}" for m in parts if m.value > 0)
    method = trajectory.breach_probability.method if trajectory.breach_probability else ""
    return "; ".join(x for x in (method, f"alone: {alone}" if alone else "") if x)


# --- clearances ---------------------------------------------------------------------------------


def _spare_first(clearances: tuple[Clearance, ...]) -> list[Clearance]:
    return sorted(clearances, key=lambda c: (c.value_mm - c.margin_mm - c.uncertainty_mm, c.structure))


_GRADES_EXPLAINED = (
    "Safe: the margin is kept by more than the voxel uncertainty (±). Borderline: the difference lies within it. "
    "Short: below the margin by more than that."
)


def _nearest(trajectory: Trajectory, room: int, explained: bool) -> Table:
    ordered = _spare_first(trajectory.clearances)
    shown = [c for n, c in enumerate(ordered) if n < room or c.grade is not Grade.SAFE]
    rest = [c for c in ordered if c not in shown]
    remark = _GRADES_EXPLAINED if explained else ""
    if rest:
        free = min(c.value_mm for c in rest)
        more = f"{len(rest)} more structures are safe, each at least {number(free)} mm free (all in the appendix)."
        remark = f"{more} {remark}".strip()
    return clearance_table("Clearance from the needle's surface", tuple(shown), remark)


def clearance_table(name: str, clearances: tuple[Clearance, ...], remark: str = "") -> Table:
    """Clearances with margin and grade, the one with least to spare first."""
    rows = tuple(
        (
            title(c.structure),
            f"{number(c.value_mm)} ± {number(c.uncertainty_mm)}",
            number(c.margin_mm),
            GRADES[c.grade],
        )
        for c in _spare_first(clearances)
    )
    return Table(name, ("Structure", "Free, mm", "Margin, mm", "Grade"), rows, (1, 2), remark, (1, 0, 0, 0))


# --- concerns -----------------------------------------------------------------------------------


def concerns(findings: tuple[Finding, ...]) -> tuple[Concern, ...]:
    """Findings, the worst first, each once."""
    ranked = sorted(dict.fromkeys(findings), key=lambda f: -f.severity.rank)
    return tuple(Concern(SEVERITIES[f.severity], sentence(f.text), phrase(f.because)) for f in ranked)


def not_checked_text(plan: Plan) -> str:
    """What it means that these structures are not in the labels; and what no label ever shows."""
    never = "Small vessels and nerves, which no label shows, are never checked."
    if plan.not_checked:
        return f"The labels lack these structures: nobody has looked whether the needle meets them. {never}"
    return f"The labels hold every structure on this procedure's list. {never}"
