"""References follow the methods a plan used."""

from __future__ import annotations

from dataclasses import replace

from trocar.measure import Measure
from trocar.reporting.cite import references_for
from trocar.treatment import Plan, Provenance


def _texts(plan: Plan) -> str:
    return "\n".join(str(r) for r in references_for(plan))


def test_the_procedures_own_references_come_first(plan: Plan):
    assert references_for(plan)[0].text == plan.procedure.references[0]


def test_the_label_scheme_is_credited(plan: Plan):
    assert "Wasserthal" in _texts(plan)
    verse = replace(plan, provenance=replace(plan.provenance, scheme="verse"))
    assert "Sekuboyina" in _texts(verse)
    assert "Wasserthal" not in _texts(verse)


def test_genant_is_cited_where_a_grade_was_given(plan: Plan):
    assert "Genant" not in _texts(plan)
    graded = replace(plan, measures=(*plan.measures, Measure("Genant grade", 1.0, "1")))
    assert "Genant" in _texts(graded)


def test_what_a_plan_did_not_do_is_not_cited(plan: Plan):
    nothing = replace(plan, options=(), provenance=Provenance())
    assert [r.used_for for r in references_for(nothing)] == ["procedure"]
    for wanted in ("Gertzbein", "Kaur", "Wilson", "Joe S"):
        assert wanted in _texts(plan)
    assert "Lien" not in _texts(plan)  # no foramen among its clearances


def test_a_plan_read_back_without_images_is_cited_alike(plan: Plan):
    assert references_for(replace(plan, images=None)) == references_for(plan)


def test_references_are_plain_text_without_links(plan: Plan):
    assert "http" not in _texts(plan)
