"""After the figures: the alternatives, everything in numbers, and where it all comes from."""

from __future__ import annotations

import dataclasses
import hashlib
import platform
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib.metadata import version
from pathlib import PurePath

from trocar import __version__
from trocar.measure import Measure, unit_text
from trocar.planning.access import APPROACHES, Margins
from trocar.planning.trajectory import Trajectory
from trocar.reporting.content import Badge, Table
from trocar.reporting.first_page import clearance_table, verdict
from trocar.reporting.words import amount, is_probability, number, plain, title
from trocar.treatment import Option, Plan

_PACKAGES = ("numpy", "scipy", "numba", "SimpleITK", "pydicom", "highdicom", "scikit-image", "matplotlib", "typst")


def alternatives(plan: Plan) -> Table:
    """The ranked options, with the sentence for each rank."""
    return Table(
        "Ways in, ranked",
        (
            "",
            "Path",
            "Grade",
            "Least spare, mm",
            "Tip off midline, mm",
            "Angle, °",
            "Length, mm",
            "Breach, %",
            "Why here",
        ),
        tuple(_alternative(n, option) for n, option in enumerate(plan.options, 1)),
        (3, 4, 5, 6, 7),
        "Least spare: the smallest clearance minus its margin, and to what. Angle: towards the midline, in the "
        "vertebra's own frame. Length: from skin to target. Breach: chance that a hand error breaches a wall or "
        "enters a structure. Two values belong to the two needles.",
        (0, 2.4, 0, 1.8, 1, 1, 1, 1, 3.6),
    )


def _alternative(rank: int, option: Option) -> tuple[str | Badge, ...]:
    paths = option.trajectories
    clearances = [c for t in paths for c in t.clearances]
    spare = min(clearances, key=lambda c: c.value_mm - c.margin_mm, default=None)
    return (
        str(rank),
        option.name,
        verdict(option),
        f"{number(spare.value_mm - spare.margin_mm)} ({plain(spare.structure)})" if spare else "–",
        _each(paths, "tip_off_midline"),
        _each(paths, "transverse_angle"),
        " and ".join(number(t.length_mm) for t in paths),
        " and ".join(f"{100.0 * t.breach_probability.value:.1f}" for t in paths if t.breach_probability) or "–",
        option.reason,
    )


def _each(paths: tuple[Trajectory, ...], name: str) -> str:
    found = [m for t in paths for m in t.measures if m.name == name]
    return " and ".join(number(m.value, m.unit) for m in found) or "–"


def sections(plan: Plan) -> tuple[Table, ...]:
    """Every table of the appendix that has something in it."""
    made = (
        _vertebra(plan),
        *_all_clearances(plan),
        *_of_the_paths(plan),
        _compared(plan),
        _breaches(plan),
        _parameters(plan),
        _margins(plan),
        _provenance(plan),
        _files(plan),
        _software(),
    )
    return tuple(t for t in made if t.rows)


def _vertebra(plan: Plan) -> Table:
    rows = tuple((title(m.name), amount(m), m.method) for m in plan.measures)
    return Table(f"The vertebra {plan.procedure.level}", ("Measure", "Value", "How it was measured"), rows, (1,))


def _margins(plan: Plan) -> Table:
    """The default margins and what they rest on; those asked in this plan stand beside each clearance."""
    if not plan.options:
        return Table("Margins", ("", "", ""), ())
    names = dict.fromkeys(t.approach for option in plan.options for t in option.trajectories)
    used = [a.margins for a in APPROACHES if a.name in names] or [Margins()]
    rows = tuple(
        (
            title(f.name.removesuffix("_mm")),
            " or ".join(dict.fromkeys(number(getattr(m, f.name)) for m in used)),
            f.metadata["source"],
        )
        for f in dataclasses.fields(Margins)
    )
    remark = "Defaults, and what they rest on. The margin asked in this plan stands beside each clearance."
    return Table("Margins", ("To", "Default, mm", "Source"), rows, (1,), remark)


def _all_clearances(plan: Plan) -> tuple[Table, ...]:
    paths = plan.options[0].trajectories if plan.options else ()
    return tuple(
        clearance_table(f"Every clearance, {t.side.value} {t.approach} path", t.clearances)
        for t in paths
        if t.clearances
    )


#: Of a whole option, not of one needle; told needle by needle or among the ranked ways in.
_OF_THE_OPTION = {"slack", "off_midline"}


def _compared(plan: Plan) -> Table:
    """One row for each needle of each option, one column for each measure that all options have."""
    shared = set.intersection(*(_names(option) for option in plan.options)) if plan.options else set()
    shared -= _OF_THE_OPTION
    table = _matrix(plan, "The ways in, in numbers", lambda m: not is_probability(m) and m.name in shared)
    return table if len(plan.options) > 1 else replace(table, rows=())


def _breaches(plan: Plan) -> Table:
    return _matrix(plan, "Chance of each breach alone, %", is_probability)


def _names(option: Option) -> set[str]:
    return {m.name for m in option.measures} | {m.name for t in option.trajectories for m in t.measures}


def _of_the_paths(plan: Plan) -> tuple[Table, ...]:
    """Everything measured on the needles of the best option, the mark on the skin among it."""
    paths = plan.options[0].trajectories if plan.options else ()
    tables = []
    for t in paths:
        measures = [m for m in t.measures if not is_probability(m)]
        rows = tuple((title(m.name), amount(m), m.method) for m in measures)
        name = f"The {t.side.value} {t.approach} path in numbers"
        tables.append(Table(name, ("Measure", "Value", "How it was measured"), rows, (1,)))
    return tuple(tables)


def _matrix(plan: Plan, name: str, wanted: Callable[[Measure], bool]) -> Table:
    needles = [(n, option, t) for n, option in enumerate(plan.options, 1) for t in option.trajectories]
    found = [(n, t, [m for m in (*t.measures, *option.measures) if wanted(m)]) for n, option, t in needles]
    heads: dict[str, Measure] = {m.name: m for _, _, measures in found for m in measures}
    rows = tuple((str(n), t.side.value, t.approach, *_cells(measures, tuple(heads))) for n, t, measures in found)
    columns = ("", "Side", "Approach", *(_head(m) for m in heads.values()))
    methods = dict.fromkeys(m.method if is_probability(m) else f"{title(m.name)}: {m.method}" for m in heads.values())
    numeric = tuple(range(3, len(columns)))
    widths = (0.0, 0.0, 0.0) + (1.0,) * len(heads)
    return Table(name, columns, rows if heads else (), numeric, ". ".join(methods) + ".", widths)


def _cells(measures: list[Measure], names: tuple[str, ...]) -> tuple[str, ...]:
    by_name = {m.name: m for m in measures}
    return tuple(_cell(by_name.get(name)) for name in names)


def _cell(measure: Measure | None) -> str:
    if measure is None:
        return "–"
    return f"{100.0 * measure.value:.1f}" if is_probability(measure) else number(measure.value, measure.unit)


def _head(measure: Measure) -> str:
    name = title(measure.name.removeprefix("breach_probability_"))
    unit = "" if is_probability(measure) else unit_text(measure.unit)
    return f"{name}, {unit}" if unit else name


def _parameters(plan: Plan) -> Table:
    rows = []
    for f in dataclasses.fields(plan.procedure):
        value, bounds = getattr(plan.procedure, f.name), f.metadata.get("range")
        allowed = f"{bounds.low:g} to {bounds.high:g}" if bounds else ", ".join(f.metadata.get("options") or ())
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        rows.append((f.name, shown, bounds.unit if bounds else "", allowed, f.metadata.get("help", "")))
    heads, widths = ("Field", "Value", "Unit", "Allowed", "Meaning"), (0.0, 1.3, 0.0, 1.7, 3.0)
    return Table("Every parameter", heads, tuple(rows), widths=widths)


def _provenance(plan: Plan) -> Table:
    origin = plan.provenance
    rows = (
        ("Planned with", f"Trocar {plan.version}"),
        ("Label scheme", origin.scheme or "not stated"),
        ("Frame of reference", origin.frame_of_reference or "none in the file"),
        ("Series", origin.series_uid or "none in the file"),
        ("Worked out, not labelled", ", ".join(plain(d) for d in origin.derived) or "nothing"),
    )
    return Table("Where it comes from", ("", ""), rows)


#: A scan of more files than this is told in one row; ``plan.json`` lists each.
MANY_FILES = 12


def _files(plan: Plan) -> Table:
    files = plan.provenance.files
    kinds = [PurePath(name).suffix.lower() for name, _ in files]
    many = {kind for kind in kinds if kinds.count(kind) > MANY_FILES}
    rows = [(name, digest) for (name, digest), kind in zip(files, kinds, strict=True) if kind not in many]
    for kind in sorted(many):
        group = sorted(f for f, k in zip(files, kinds, strict=True) if k == kind)
        rows.append((f"{len(group)} files, {group[0][0]} to {group[-1][0]}", joint_digest(d for _, d in group)))
    remark = "Of several files: the SHA-256 of their sorted digests, one a line; plan.json lists each." if many else ""
    return Table("Input files", ("File", "SHA-256"), tuple(rows), remark=remark)


def joint_digest(digests: Iterable[str]) -> str:
    """One SHA-256 for many files, whatever their order and names."""
    return hashlib.sha256("".join(f"{d}\n" for d in sorted(digests)).encode("ascii")).hexdigest()


def _software() -> Table:
    rows = (("trocar", __version__), ("Python", platform.python_version()), *((n, version(n)) for n in _PACKAGES))
    return Table("Software that made this report", ("Package", "Version"), rows)
