"""What the report says: everything in the data, word for word, the worst first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trocar.case import Case
from trocar.measure import Finding, Measure, Severity
from trocar.planning.trajectory import Clearance, Grade
from trocar.reporting.report import NOTICE, Report, Table, Tone, clearance_table, percent, report
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
    assert [c.badge.word for c in made.concerns] == ["STOP", "CAUTION", "NOTE"]
    assert {(c.text, c.because) for c in made.concerns} == {(f.text, f.because) for f in plan.findings}


def test_structures_that_nobody_checked_are_named(made: Report):
    assert made.not_checked == ("Inferior vena cava", "Left lung")
    assert "2 structures were not checked" in made.verdict_text


def test_every_clearance_is_there_with_the_least_spare_first(made: Report, plan: Plan):
    (path,) = made.paths
    assert [row[0] for row in path.clearances.rows] == ["Right lung", "Spinal canal", "Pedicle wall", "Aorta"]
    for clearance, row in zip(
        sorted(plan.best.trajectories[0].clearances, key=lambda c: c.value_mm - c.margin_mm),
        path.clearances.rows,
        strict=True,
    ):
        assert row[1] == f"{clearance.value_mm:.1f}"
        assert row[4].word == clearance.grade.value  # type: ignore[union-attr]


def test_the_verdict_is_the_worst_grade_never_better(plan: Plan):
    trajectory = plan.best.trajectories[0]

    def verdict(*clearances: Clearance) -> tuple[str, Tone]:
        option = replace(plan.best, trajectories=(replace(trajectory, clearances=clearances),))
        made = report(replace(plan, options=(option,), images=None))
        return made.verdict.word, made.verdict.tone

    safe, near, short = (Clearance("aorta", v, 0.5, 5.0) for v in (9.0, 5.2, 4.0))
    assert verdict(safe) == ("safe", Tone.GOOD)
    assert verdict(safe, near) == ("borderline", Tone.DOUBT)
    assert verdict(near, short, safe) == ("short", Tone.BAD)
    assert verdict() == ("not checked", Tone.UNKNOWN)


def test_grades_carry_a_word_and_a_symbol_of_their_own():
    table = clearance_table(tuple(Clearance(str(v), v, 0.5, 5.0) for v in (9.0, 5.2, 4.0)))
    badges = [row[4] for row in table.rows]
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


def test_the_vertebra_is_told_with_its_method(made: Report):
    cells = [c for t in made.sections for c in _cells(t)]
    assert "131.0 HU" in cells
    assert "mean of the body, 3 mm from its walls" in cells


def test_a_two_sided_plan_shows_both_needles(two_sided_plan: Plan):
    made = report(two_sided_plan)
    assert len(made.paths) == 2
    assert {"along_axial_left", "along_axial_right"} <= set(made.figures)
    assert len(set(made.figures)) == len(made.pictures)


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
    made = report(replace(plan, options=(), images=None))
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
    assert [c.text for c in made.concerns] == [f.text for f in findings]
