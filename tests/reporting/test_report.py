"""What the report says: everything in the data, word for word, the worst first."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import pytest

from trocar.anatomy.levels import Level
from trocar.case import Case
from trocar.measure import Finding, Measure, Severity
from trocar.planning.position import PatientPosition
from trocar.planning.skin import mark_of
from trocar.planning.trajectory import Clearance, Grade
from trocar.procedures.vertebroplasty import Vertebroplasty
from trocar.reporting.appendix import MANY_FILES, joint_digest
from trocar.reporting.content import Report, Row, Table, Tone
from trocar.reporting.first_page import clearance_table, marks
from trocar.reporting.report import NOTICE, report
from trocar.reporting.words import percent
from trocar.treatment import Plan


@pytest.fixture(scope="module")
def made(plan: Plan) -> Report:
    return report(Case("c-0042", plan))


def _cells(table: Table) -> list[str]:
    return [c if isinstance(c, str) else c.word for row in table.rows for c in row]


def test_the_pseudonym_comes_from_the_case(made: Report, plan: Plan):
    assert made.identity[0].value == "c-0042"
    assert report(replace(plan, images=None)).identity[0].value == "no pseudonym given"


def test_findings_are_told_word_for_word_and_the_worst_first(made: Report, plan: Plan):
    order = ["STOP", "CAUTION", "NOTE"]
    words = [c.badge.word for c in made.concerns]
    assert words == sorted(words, key=order.index)
    assert {(c.text, c.because) for c in made.concerns} >= {(f.text, f.because) for f in plan.findings}


def test_what_worries_about_the_mark_is_told_once(made: Report, plan: Plan):
    (mark,) = marks(plan)
    assert mark is not None
    assert mark.findings  # scanned supine, planned prone
    for finding in mark.findings:
        assert [c.text for c in made.concerns].count(finding.text) == 1


def test_structures_that_nobody_checked_are_named(made: Report):
    assert made.not_checked == ("Inferior vena cava", "Left lung")
    assert "2 structures were not checked" in made.verdict_text


def test_every_clearance_is_there_with_the_least_spare_first(made: Report, plan: Plan):
    (path,) = made.paths
    assert [row[0] for row in path.clearances.rows] == ["Right lung", "Canal", "Pedicle wall medial", "Aorta"]
    for clearance, row in zip(
        sorted(plan.best.trajectories[0].clearances, key=lambda c: c.value_mm - c.margin_mm),
        path.clearances.rows,
        strict=True,
    ):
        assert row[1] == f"{clearance.value_mm:.1f} ± {clearance.uncertainty_mm:.1f}"
        assert row[2] == f"{clearance.margin_mm:.1f}"
        assert row[3].word == clearance.grade.value  # type: ignore[union-attr]


def test_the_verdict_is_the_worst_grade_never_better(plan: Plan):
    trajectory = plan.best.trajectories[0]

    def verdict(*clearances: Clearance) -> tuple[str, Tone]:
        option = replace(plan.best, trajectories=(replace(trajectory, clearances=clearances),))
        made = report(replace(plan, options=(option,), images=None, findings=(), not_checked=()))
        return made.verdict.word, made.verdict.tone

    safe, near, short = (Clearance("aorta", v, 0.5, 5.0) for v in (9.0, 5.2, 4.0))
    assert verdict(safe) == ("safe", Tone.GOOD)
    assert verdict(safe, near) == ("borderline", Tone.DOUBT)
    assert verdict(near, short, safe) == ("short", Tone.BAD)
    assert verdict() == ("not checked", Tone.UNKNOWN)


def test_a_stop_outweighs_safe_clearances(plan: Plan):
    trajectory = replace(plan.best.trajectories[0], clearances=(Clearance("aorta", 9.0, 0.5, 5.0),))
    made = report(replace(plan, options=(replace(plan.best, trajectories=(trajectory,)),), images=None))
    assert (made.verdict.word, made.verdict.tone) == ("stop", Tone.BAD)
    assert made.verdict_text.startswith("The posterior wall is broken.")


def test_what_was_not_checked_is_never_called_safe(plan: Plan):
    trajectory = replace(plan.best.trajectories[0], clearances=(Clearance("aorta", 9.0, 0.5, 5.0),))
    option = replace(plan.best, trajectories=(trajectory,))
    made = report(replace(plan, options=(option,), images=None, findings=()))
    assert (made.verdict.word, made.verdict.tone) == ("safe where checked", Tone.UNKNOWN)


def test_every_clearance_that_is_not_safe_is_on_the_first_page(plan: Plan):
    short = tuple(Clearance(f"vessel_{n}", 1.0, 0.5, 5.0) for n in range(20))
    safe = tuple(Clearance(f"organ_{n}", 50.0 + n, 0.5, 5.0) for n in range(9))
    trajectory = replace(plan.best.trajectories[0], clearances=(*safe, *short))
    option = replace(plan.best, trajectories=(trajectory,))
    made = report(replace(plan, options=(option,), images=None))
    names = [row[0] for row in made.paths[0].clearances.rows]
    assert len(names) == 20
    assert all(str(n).startswith("Vessel") for n in names)
    assert "9 more structures are safe, each at least 50.0 mm free" in made.paths[0].clearances.remark
    assert any(len(t.rows) == 29 and t.title.startswith("Every clearance") for t in made.sections)


def test_the_first_page_holds_the_mark_the_angles_and_the_depths(made: Report, plan: Plan):
    """Closed form: direction (-18, -35, -5)/|.|; prone, straight down is the patient's front."""
    numbers = {r.name: r for r in made.paths[0].numbers}
    assert numbers["Angle in the slice"].value == f"{np.degrees(np.arctan2(18, 35)):.1f}°"
    assert "tip to the patient's right" in numbers["Angle in the slice"].remark
    out = np.degrees(np.arcsin(5 / np.sqrt(18**2 + 35**2 + 5**2)))
    assert numbers["Angle along the body"].value == f"{out:.1f}°"
    assert "feet" in numbers["Angle along the body"].remark
    t = plan.best.trajectories[0]
    assert numbers["Skin mark, from midline"].value == f"{t.skin_mm[0]:.1f} mm left"
    assert numbers["Bone to target"].value == f"{np.sqrt(18**2 + 35**2 + 5**2):.1f} mm"
    assert numbers["Skin to target"].value == f"{t.length_mm:.1f} mm"
    assert numbers["Breach probability"].value == "3.4 % (2.0 to 5.0)"
    assert "canal 2.1 %" in numbers["Breach probability"].remark
    assert "hand error 1.5 mm, 2.5°" in numbers["Breach probability"].remark


def test_the_sentences_for_the_table_side_are_the_marks_own(made: Report, plan: Plan):
    (mark,) = marks(plan)
    assert mark is not None
    assert made.paths[0].sentences == mark.lines()


def test_the_procedure_makes_the_mark(plan: Plan):
    @dataclass(frozen=True)
    class Supine(type(plan.procedure)):  # type: ignore[misc]
        def mark(self, trajectory, anatomy):
            return mark_of(trajectory, anatomy, PatientPosition.HFS, cut_mm=7.0)

    made = report(replace(plan, procedure=Supine(Level.L1)))
    assert any("Skin cut: 7 mm" in line for line in made.paths[0].sentences)
    assert any("supine" in r.remark for r in made.paths[0].numbers)


def test_a_needle_straight_down_has_no_side(plan: Plan):
    numbers = _numbers_of(plan, (0.0, 1.0, 0.0), PatientPosition.HFP)
    assert "Skin mark, from midline" in numbers
    assert {"prone; straight down", "stays in its slice"} <= {r.remark for r in numbers.values()}


@pytest.mark.parametrize(("position", "start"), [("HFP", "midline"), ("HFS", "midline"), ("HFDR", "spinous process")])
def test_a_flat_needle_is_counted_from_the_midline_unless_the_patient_lies_on_a_side(plan: Plan, position, start):
    numbers = _numbers_of(plan, (1.0, 0.2, 0.0), PatientPosition.parse(position))
    assert f"Skin mark, from {start}" in numbers
    side = numbers[f"Skin mark, from {start}"].value.split()[-1]
    assert side == ("left" if start == "midline" else "front")  # in front of the spinous process


def _numbers_of(plan: Plan, out, position: PatientPosition) -> dict[str, Row]:
    """The first page's numbers for a needle that leaves along ``out``, in a position."""

    @dataclass(frozen=True)
    class Placed(type(plan.procedure)):  # type: ignore[misc]
        def mark(self, trajectory, anatomy):
            return mark_of(trajectory, anatomy, position)

    t, way = plan.best.trajectories[0], np.array(out) / np.linalg.norm(out)
    path = replace(t, entry_mm=t.target_mm + 25.0 * way, skin_mm=t.target_mm + 52.0 * way)
    made = report(
        replace(plan, procedure=Placed(Level.L1), options=(replace(plan.best, trajectories=(path,)),)),
    )
    return {r.name: r for r in made.paths[0].numbers}


def test_without_images_the_marks_numbers_come_from_the_plan(plan: Plan):
    (mark,) = marks(plan)
    assert mark is not None
    trajectory = plan.best.trajectories[0]
    trajectory = replace(trajectory, measures=trajectory.measures + mark.measures())
    option = replace(plan.best, trajectories=(trajectory,))
    made = report(replace(plan, options=(option,), images=None))
    numbers = {r.name: r.value for r in made.paths[0].numbers}
    assert numbers["Needle mark from midline"].startswith(f"{mark.needle.offset_mm:.1f}")
    assert "Angle in slice" in numbers
    assert any("Vertical skin to bone" in row for t in made.sections for row in t.rows)


def test_grades_carry_a_word_and_a_symbol_of_their_own():
    table = clearance_table("t", tuple(Clearance(str(v), v, 0.5, 5.0) for v in (9.0, 5.2, 4.0)))
    badges = [row[3] for row in table.rows]
    assert [b.word for b in badges] == [g.value for g in (Grade.SHORT, Grade.BORDERLINE, Grade.SAFE)]
    assert len({b.symbol for b in badges}) == 3


def test_alternatives_keep_rank_and_reason(made: Report, plan: Plan):
    assert [row[0] for row in made.alternatives.rows] == ["1", "2", "3"]
    assert [row[1] for row in made.alternatives.rows] == [o.name for o in plan.options]
    assert [row[-1] for row in made.alternatives.rows] == [o.reason for o in plan.options]


def test_provenance_names_every_file_parameter_and_derived_structure(made: Report, plan: Plan):
    cells = [c for t in made.sections for c in _cells(t)]
    for name, digest in plan.provenance.files:
        assert name in cells
        assert digest in cells
    for wanted in ("error_mm", "1.5", "mm", "error_deg", "2.5", "deg", "totalseg-v2", "spinal canal"):
        assert wanted in cells


def test_a_scan_of_many_files_is_told_in_one_row_with_a_digest_anyone_can_repeat(plan: Plan):
    digests = [hashlib.sha256(bytes([n])).hexdigest() for n in range(MANY_FILES + 1)]
    files = tuple((f"{n:03}.dcm", d) for n, d in enumerate(digests))
    provenance = replace(plan.provenance, files=(*files, ("labels.nii.gz", "ef" * 32)))
    made = report(replace(plan, provenance=provenance, images=None))
    (table,) = [t for t in made.sections if t.title == "Input files"]
    together = hashlib.sha256(("\n".join(sorted(digests)) + "\n").encode()).hexdigest()
    assert table.rows == (("labels.nii.gz", "ef" * 32), ("13 files, 000.dcm to 012.dcm", together))
    assert joint_digest(reversed(digests)) == together


def test_the_ways_in_are_compared_in_one_table(made: Report):
    (table,) = [t for t in made.sections if t.title == "The ways in, in numbers"]
    assert table.columns == ("", "Side", "Approach", "Transverse angle, °", "Tip off midline, mm")  # "slack": only one
    assert [row[:2] for row in table.rows] == [("1", "left"), ("2", "right"), ("3", "left"), ("3", "right")]
    assert table.rows[0][3:] == ("27.0", "0.4")
    (chances,) = [t for t in made.sections if t.title == "Chance of each breach alone, %"]
    assert chances.columns[3:] == ("Canal", "Lung")
    assert chances.rows[0][3:] == ("2.1", "0.0")


def test_what_holds_for_a_whole_option_is_no_column_of_its_needles(plan: Plan):
    """A two-sided option has no one distance from the midline, and its slack is told as what is least to spare."""
    both = (Measure("slack", 0.6, "mm"), Measure("off_midline", 0.0, "mm"))
    made = report(replace(plan, options=tuple(replace(o, measures=both) for o in plan.options), images=None))
    (table,) = [t for t in made.sections if t.title == "The ways in, in numbers"]
    assert table.columns == ("", "Side", "Approach", "Transverse angle, °", "Tip off midline, mm")


def test_the_vertebra_is_told_with_its_method(made: Report):
    cells = [c for t in made.sections for c in _cells(t)]
    assert "131.0 HU" in cells
    assert "mean of the body, 3 mm from its walls" in cells


def test_margins_are_told_with_their_source(made: Report):
    (table,) = [t for t in made.sections if t.title == "Margins"]
    (canal,) = [row for row in table.rows if row[0] == "Canal"]
    assert canal[1] == "2.0"
    assert "Gertzbein" in str(canal[2])


def test_a_two_sided_plan_shows_both_needles(two_sided_plan: Plan):
    made = report(two_sided_plan)
    assert len(made.paths) == 2
    assert {"along_axial_left", "along_axial_right"} <= set(made.figures)
    assert len(set(made.figures)) == len(made.pictures) + sum(len(c.pictures) for c in made.screen)


def test_every_figure_has_words(made: Report):
    for picture in made.pictures:
        assert picture.png.startswith(b"\x89PNG")
        assert len(picture.alt) > 30
        assert picture.caption


def test_a_plan_without_its_images_is_reported_without_figures(plan: Plan):
    made = report(replace(plan, images=None))
    assert made.figures == {}
    assert len(made.paths) == 1


def test_a_plan_without_a_path_says_so(plan: Plan):
    made = report(replace(plan, options=(), images=None, findings=()))
    assert made.verdict_text == "This procedure has no needle path."
    assert made.paths == ()


def test_the_notice_is_on_top_and_in_the_footer(made: Report):
    assert made.notice == NOTICE
    assert NOTICE in made.footer


def test_a_probability_is_a_percentage():
    assert percent(Measure("p", 0.034, "1", 0.02, 0.05)) == "3.4 % (2.0 to 5.0)"
    assert percent(Measure("p", 0.0, "1")) == "0.0 %"


def test_an_uneven_table_is_refused():
    with pytest.raises(ValueError, match="a row of 1 cells in a table of 2 columns"):
        Table("t", ("a", "b"), (("only one",),))


def test_no_finding_is_lost_among_equals(plan: Plan):
    findings = tuple(Finding(Severity.CAUTION, f"caution {n}") for n in range(12))
    made = report(replace(plan, findings=findings, images=None))
    assert [c.text for c in made.concerns] == [f.text.capitalize() for f in findings]


def test_a_parameter_with_many_allowed_values_leaves_room_for_its_meaning(plan: Plan):
    made = report(replace(plan, procedure=Vertebroplasty("L1"), images=None))
    (table,) = [t for t in made.sections if t.title == "Every parameter"]
    shares = dict(zip(table.columns, table.widths, strict=True))
    assert shares["Allowed"] > 0.0  # a share of the page: long lists wrap
    assert shares["Meaning"] > shares["Allowed"]
