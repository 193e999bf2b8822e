"""Stiffness and strength found again in the names of measures."""

from __future__ import annotations

from trocar.measure import Measure
from trocar.physics.strength import Criterion
from trocar.reporting.answers import (
    STRENGTHS,
    Question,
    answers,
    grouped_methods,
    methods,
    scenario_words,
    shared_methods,
    spread,
    told,
)


def _n(name: str, value: float = 1.0) -> Measure:
    return Measure(name, value, "N")


def test_every_measure_is_sorted_by_what_it_answers():
    names = ("stiffness_as_is", "strength_stiffness_as_is", "strength_offset_as_is", "strength_section_as_is")
    found = answers(_n(name) for name in (*names, "cement_volume", "tilt_forward_as_is"))
    assert [list(by) for by in found.by.values()] == [["as_is"]] * 4
    assert list(found.by) == list(Question)
    assert [m.name for m in found.measures] == list(names)


def test_another_stiffness_is_no_scenario():
    rows = [_n("stiffness_as_is"), _n("stiffness_tilting_as_is"), _n("strength_offset_as_is")]
    assert answers(rows).scenarios == ("as_is",)
    assert rows[1] not in answers(rows).measures


def test_every_criterion_has_its_column():
    for criterion in Criterion:
        found = answers([_n(f"strength_{criterion.name.lower()}_as_is")])
        assert next(iter(found.by), None) in STRENGTHS


def test_scenarios_keep_the_order_in_which_they_were_computed():
    names = ("stiffness_as_is", "stiffness_augmented", "strength_offset_augmented", "strength_offset_lysed")
    found = answers(_n(name) for name in names)
    assert found.scenarios == ("as_is", "augmented", "lysed")
    assert list(found.by) == [Question.STIFFNESS, Question.BY_OFFSET]


def test_shares_are_of_the_intact_vertebra_where_there_is_one():
    rows = [_n("stiffness_as_is", 50.0), _n("stiffness_augmented", 75.0)]
    assert answers(rows).share(Question.STIFFNESS, "augmented") == 1.5
    with_intact = answers([*rows, _n("stiffness_intact", 100.0)])
    assert with_intact.reference == "intact"
    assert with_intact.share(Question.STIFFNESS, "augmented") == 0.75
    assert with_intact.share(Question.STIFFNESS, "lysed") is None
    assert with_intact.share(Question.BY_OFFSET, "augmented") is None


def test_no_share_of_nothing():
    found = answers([_n("stiffness_intact", 0.0), _n("stiffness_as_is", 5.0)])
    assert found.share(Question.STIFFNESS, "as_is") is None


def test_scenarios_have_words():
    assert scenario_words("as_is") == "As scanned"
    assert scenario_words("cement_central") == "Cement central"


def test_every_sentence_is_told_where_it_belongs():
    def row(name: str, method: str) -> Measure:
        return Measure(name, 1.0, "N", method=method)

    found = answers([
        row("stiffness_as_is", "As CT shows it. Axial, caps; law K."),
        row("stiffness_augmented", "4 ml of cement. Axial, caps; law K."),
        row("strength_section_as_is", "As CT shows it. By the weakest section. Axial, caps; law K."),
        row("strength_section_augmented", "4 ml of cement. By the weakest section. Axial, caps; law K."),
    ])  # fmt: skip
    how = told(found)
    assert how.all == "Axial, caps; law K."
    assert how.scenario == {"as_is": "As CT shows it.", "augmented": "4 mL of cement."}
    assert how.question == {Question.STIFFNESS: "", Question.BY_SECTION: "By the weakest section."}


def test_what_every_scenario_starts_from_is_told_with_the_scenario():
    def row(name: str, method: str) -> Measure:
        return Measure(name, 1.0, "N", method=method)

    how = told(answers([
        row("stiffness_as_is", "As CT shows it. Axial, caps; law K."),
        row("stiffness_augmented", "As CT shows it. 4.0 ml of cement; 2 mm. Axial, caps; law K."),
    ]))  # fmt: skip
    assert how.all == "Axial, caps; law K."
    assert how.scenario == {"as_is": "As CT shows it.", "augmented": "As CT shows it. 4.0 mL of cement; 2 mm."}


def test_a_sentence_of_several_rows_is_said_once_with_their_names():
    def row(method: str) -> list[Measure]:
        return [Measure("m", 1.0, "N", method=method)]

    rows = {
        "Bulge": row("As CT shows it. Of the wall. At 1000 N. Axial; law K."),
        "Narrowing": row("As CT shows it. To the canal. At 1000 N. Axial; law K."),
        "Energy": row("As CT shows it. Axial; law K."),
    }
    alone, shared = grouped_methods(rows, ["Axial; law K.", "As CT shows it. 4 mL of cement."])
    assert alone == ("Of the wall.", "To the canal.", "")
    assert shared == "Bulge, Narrowing: At 1000 N."
    assert grouped_methods({}, ()) == ((), "")


def test_the_ends_are_those_of_every_method():
    def row(name: str, ends: str) -> Measure:
        return Measure(name, 1.0, "N", method=f"Axial between {ends}, glued ends; law K.")

    one, other = row("stiffness_as_is", "PMMA caps"), row("stiffness_augmented", "embedded endplates")
    assert answers([one]).ends == "between PMMA caps"
    assert answers([one, other]).ends == ""


def test_an_interval_that_another_says_too_is_told_once():
    laws = ("lowest and highest under A, B", "lowest and highest under A, B, PMMA 2100 MPa")
    found = answers(Measure(f"stiffness_{n}", 1.0, "N/mm", 0.0, 2.0, law) for n, law in enumerate(laws))
    assert spread(found) == laws[1]


def test_what_holds_for_all_rows_is_told_once():
    one = [Measure("a", 1.0, "N", method="By stiffness. Axial, 0.2 mm; law K.")]
    other = [Measure("b", 1.0, "N", method="By offset. Axial, 0.2 mm; law K")]
    assert shared_methods([one, other]) == (("By stiffness.", "By offset."), "Axial, 0.2 mm; law K.")
    assert shared_methods([one]) == (("By stiffness. Axial, 0.2 mm; law K.",), "")
    assert shared_methods([]) == ((), "")
    assert methods([*one, *one, *other]) == "By stiffness. Axial, 0.2 mm; law K. By offset."
