"""What is told of a simulation: every number once, with its load and its law, and nothing without its unit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from trocar.case import Case
from trocar.measure import Measure
from trocar.physics.materials import DEFAULT_LAW
from trocar.procedures.vertebroplasty import Vertebroplasty
from trocar.reporting import bars, mechanics_pictures
from trocar.reporting.answers import answers
from trocar.reporting.content import Chapter, Table
from trocar.reporting.html import html
from trocar.reporting.mechanics import chapter
from trocar.reporting.pdf import pdf
from trocar.reporting.report import Report, report
from trocar.treatment import Plan, Simulation

from .conftest import LAW


@pytest.fixture(scope="module")
def made(plan: Plan, simulation: Simulation) -> Report:
    return report(Case("c-0042", plan, simulation))


@pytest.fixture(scope="module")
def told(made: Report) -> Chapter:
    (only,) = made.chapters
    return only


def _table(told: Chapter, title: str) -> Table:
    (found,) = [t for t in told.tables if t.title == title]
    return found


def test_a_plan_alone_has_no_chapter(plan: Plan):
    assert report(replace(plan, images=None)).chapters == ()


def test_every_answer_stands_in_its_row_with_its_interval_and_share(told: Chapter):
    table = _table(told, "Stiffness and strength")
    assert table.columns[:3] == ("Scenario", "Stiffness, N/mm", "of as scanned, %")
    before, after = table.rows
    assert before[0] == "As scanned"
    assert after[0] == "With cement"
    plain = [str(c).replace("\N{NARROW NO-BREAK SPACE}", "").replace("\N{NO-BREAK SPACE}", " ") for c in after]
    assert plain[1:] == [
        "14900 (10728 to 19519)",
        "133",  # 14 900 / 11 240
        "4388 (3159 to 5748)",
        "3960 (2851 to 5188)",
        "3050 (2196 to 3996)",
    ]
    assert table.remark.startswith("In brackets: Bone laws. A spread of published laws")
    assert "not a confidence interval" in table.remark
    assert "calibration's own uncertainty is not in it" in table.remark


def test_the_load_and_the_law_are_named_beside_every_answer(told: Chapter):
    table = _table(told, "What the numbers mean")
    assert len(table.rows) == 4
    told_of = [f"{row[2]} {table.remark}" for row in table.rows]
    assert all(LAW in text for text in told_of)
    assert any("without finite elements" in str(row[1]) for row in table.rows)
    (bars,) = [p for p in told.pictures if p.name == "stiffness_and_strength"]
    assert LAW in bars.caption
    fields = [p for p in told.pictures if p.name.endswith("_planes")]
    assert all("Under 1000 N along the vertebra's axis." in p.caption for p in fields)


def test_what_was_measured_twice_stands_side_by_side(told: Chapter):
    (row,) = _table(told, "Before and after").rows
    assert tuple(str(c).replace("\N{NO-BREAK SPACE}", " ") for c in row[:3]) == (
        "Anterior height",
        "19.2 mm (18.2 to 20.2)",
        "22.0 mm (20.1 to 23.9)",
    )


def test_no_measure_is_lost_and_none_is_told_twice(told: Chapter, simulation: Simulation):
    cells = [str(c) for t in told.tables for row in t.rows for c in row[:1]]
    assert cells.count("Cement volume") == 1
    assert cells.count("Tilt forward") == 1
    odd = Measure("tilt_of_something_else", 3.0, "deg")
    shares = tuple(
        Measure(f"load_share_shell_{s}", v, "%", method="So") for s, v in (("as_is", 41.0), ("augmented", 30.0))
    )
    more = chapter(replace(simulation, measures=(*simulation.measures, odd, *shares)))
    tilt, share = _table(more, "Also by scenario").rows
    assert tilt[:3] == ("Tilt forward", "0.05°", "0.6°")
    assert share == ("Load share shell", "41.0 %", "30.0 %", "So.")
    assert any(row[0] == "Tilt of something else" for row in _table(more, "Also computed").rows)


def test_the_sweep_is_a_figure_and_a_table_of_every_filling(told: Chapter):
    table = _table(told, "Every filling")
    assert table.columns == ("Place", "Fill, %", "Stiffness, N/mm", "Strength, N")
    assert len(table.rows) == 15
    assert table.rows[0][:2] == ("Central", "5.0")
    assert [p.name for p in told.pictures if p.name in ("sweep", "axial_rigidity")] == ["axial_rigidity", "sweep"]


def test_grave_findings_stand_on_the_first_page_and_notes_in_their_chapter(made: Report, told: Chapter):
    first = [c.text for c in made.concerns]
    assert any("tilts under load" in text for text in first)
    assert not any("No phantom was scanned" in text for text in first)
    assert [c.badge.word for c in told.concerns] == ["CAUTION", "NOTE"]


def test_the_lead_says_what_cement_gives_and_what_it_is_not(told: Chapter):
    assert (
        "With cement: stiffness 133 %, strength at 0.2 % offset 128 %, strength read from moduli 106 to 133 % of as "
        "scanned." in told.lead
    )
    assert "crushed" not in told.lead
    assert "Anterior height: 19.2 mm before, 22.0 mm after." in told.lead
    assert "do not read them as what this patient can carry" in told.lead


def test_the_first_page_says_that_a_chapter_follows_and_its_main_result(made: Report, told: Chapter):
    headline = told.headline.replace("\N{NARROW NO-BREAK SPACE}", "")
    assert headline == (
        "As scanned → with cement: stiffness 11240 → 14900 N/mm, strength at 0.2 % offset 3105 → 3960 N."
    )
    page = html(made)
    assert page.index(told.headline) < page.index("Not checked") < page.index('id="bone-that-carries-load"')


def _loaded(name: str, scenario: str, value: float) -> Measure:
    how = "Axial compression of 0.2 mm between PMMA caps, glued ends; a law."
    return Measure(f"{name}_{scenario}", value, "N", method=f"{scenario} bone. {how}")


def test_crushed_bone_is_told_by_its_offset_strength_and_the_others_with_a_warning(simulation: Simulation):
    values = {"as_is": 1.0, "fractured": 0.5, "augmented": 0.8}
    measures = tuple(
        _loaded(name, scenario, 1000.0 * value * factor)
        for name, factor in (("stiffness", 10.0), ("strength_stiffness", 1.0), ("strength_offset", 2.0))
        for scenario, value in values.items()
    )
    made = chapter(replace(simulation, measures=measures, findings=()))
    assert "With cement, between PMMA caps: stiffness 80 %, strength at 0.2 % offset 80 %, strength read from moduli " \
        "80 % (too low for crushed bone) of as scanned." in made.lead  # fmt: skip
    assert made.headline.startswith("Fractured → with cement, between PMMA caps: ")
    warned = [p.name for p in made.pictures if "too low for crushed bone" in p.caption]
    assert warned == ["stiffness_and_strength", "sweep"]


def test_a_bar_is_named_at_its_end_whatever_the_laws_leave_open(monkeypatch: pytest.MonkeyPatch):
    drawn: list[Any] = []
    monkeypatch.setattr(bars, "png", lambda figure: drawn.extend(figure.axes) or b"")
    bars.bars_picture(answers([Measure("stiffness_as_is", 13_301.0, "N/mm", 13_301.0, 27_119.0, "laws")]))
    (axes,) = drawn
    (value,) = [t for t in axes.texts if t.get_text() == "13\N{NARROW NO-BREAK SPACE}301"]
    assert 13_301.0 < value.get_position()[0] < 14_000.0
    whisker = axes.lines[0]
    assert whisker.get_xdata().tolist() == [13_301.0, 27_119.0]
    assert value.get_position()[1] < whisker.get_ydata()[0]  # rows grow downwards: the value stands over the line


def test_the_balloon_is_drawn_with_its_cavity_and_the_load_with_the_cement(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
):
    drawn: list[tuple[float, list[str], str]] = []

    def picture(plan: Plan, field: Any, scale: Any, views: Any, outlines: Any) -> bytes:
        drawn.append((scale.high, [stroke.label for stroke, _ in outlines], views[-1].title))
        return b""

    monkeypatch.setattr(mechanics_pictures.fields, "planes_picture", picture)
    strain = simulation.volumes["effective_strain_as_is"]
    inflated = replace(strain, array=10.0 * strain.array)
    volumes = {"cavity": simulation.volumes["cement"], "effective_strain_inflated": inflated, **simulation.volumes}
    chapter(replace(simulation, volumes=volumes))
    (own, *around), (before, *planned), (after, *cemented) = drawn
    assert own == pytest.approx(10.0 * before)
    assert before == after
    through = "Axial, through the cement"
    assert around == [["cavity"], "Axial, through the cavity"]
    assert (planned, cemented) == ([["cement, planned"], through], [["cement"], through])


def test_the_law_and_the_calibration_are_named_with_their_source(simulation: Simulation):
    planned = replace(simulation.plan, procedure=Vertebroplasty("L1"))
    core = Measure("trabecular_density", 73.5, "mg/cm3", method="From air, fat and muscle")
    others = (m for m in simulation.measures if m.name != core.name)
    made = chapter(replace(simulation, plan=planned, measures=(*others, core)))
    law, density = _table(made, "What it rests on").rows
    assert law[:2] == ("Law of bone", planned.procedure.bone_law)
    assert law[2] == DEFAULT_LAW.source
    assert density == ("Trabecular density", "73.5 mg/cm³", "From air, fat and muscle")
    assert not any(row[0] == "Trabecular density" for t in made.tables if t.title == "Also computed" for row in t.rows)


def test_a_balloon_that_takes_nothing_has_no_curve_but_a_sentence(simulation: Simulation):
    empty = {"volume_ml": [], "pressure_mpa": []}
    made = chapter(replace(simulation, measures=(), volumes={}, series={"right_balloon": empty}, findings=()))
    assert made.pictures == ()
    assert "No curve of pressure for the right balloon: the filling ends at 0 mL." in made.lead


def test_without_images_numbers_stay_and_pictures_of_the_ct_go(plan: Plan, simulation: Simulation):
    bare = replace(plan, images=None)
    kept = chapter(replace(simulation, plan=bare))
    drawn = ["stiffness_and_strength", "before_and_after", "axial_rigidity", "sweep"]
    assert [p.name for p in kept.pictures] == drawn
    assert report(Case("c", bare, replace(simulation, plan=bare))).chapters


def test_a_simulation_that_loads_nothing_is_told_too(simulation: Simulation):
    dose = replace(simulation, measures=(Measure("dose", 2.0, "Gy", method="so"),), volumes={}, series={}, findings=())
    made = chapter(dose)
    assert made.title == "What it is expected to do"
    assert made.pictures == ()
    assert made.lead == ""
    assert [t.title for t in made.tables] == ["Also computed"]


def test_a_balloon_is_told_by_what_it_restores(simulation: Simulation):
    heights = [Measure(f"anterior_height_{t}", v, "mm", v - 1.0, v + 1.0, "laws") for t, v in
               (("deflated", 21.0), ("before", 19.2), ("inflated", 22.5))]  # fmt: skip
    angles = [Measure(f"local_kyphosis_{t}", v, "deg") for t, v in (("before", 18.0), ("deflated", 12.0))]
    curve = {"volume_ml": [0.5, 1.0, 3.0], "pressure_mpa": [0.4, 0.7, 1.1]}
    made = chapter(
        replace(
            simulation,
            measures=(*heights, *angles, Measure("cavity_volume", 5.6, "mL")),
            volumes={"cavity": simulation.volumes["cement"],
                     "effective_strain_inflated": simulation.volumes["effective_strain_as_is"]},
            series={"left_balloon": curve, "other": [1.0]},
        )
    )  # fmt: skip
    assert made.title == "What the balloon restores"
    assert made.lead.startswith(
        "Anterior height: 19.2 mm before, 21.0 mm with the balloon empty. Local kyphosis: 18.0° "
    )
    assert made.tables[0].columns[:4] == ("Measure", "Before", "Balloon full", "Balloon empty")
    assert [row[0] for row in made.tables[0].rows] == ["Anterior height", "Local kyphosis"]
    assert made.tables[0].rows[1][1:4] == ("18.0°", "–", "12.0°")
    assert made.tables[0].remark == "In brackets: laws. Kyphosis is positive."
    assert made.headline == "Anterior height: 19.2 mm before, 21.0 mm with the balloon empty."
    names = [p.name for p in made.pictures]
    assert names == [
        "before_and_after",
        "effective_strain_inflated_planes",
        "effective_strain_surface",
        "balloon_pressure",
    ]


def test_its_references_follow_those_of_the_plan(made: Report):
    assert made.references[-1] == "Keaveny TM. A book (2001). [simulation]"


def test_a_case_refuses_the_simulation_of_another_plan(plan: Plan, simulation: Simulation):
    with pytest.raises(ValueError, match="of another plan"):
        Case("c-0042", replace(plan, not_checked=()), simulation)


def test_page_and_paper_hold_the_chapter(made: Report, told: Chapter):
    page = html(made)
    assert f"<h2>{told.title}</h2>" in page
    assert page.count("data:image/png") == len(made.figures)
    assert all(f'alt="{p.alt.split(chr(39))[0]}' in page for p in told.pictures)
    assert pdf(made).startswith(b"%PDF-")


def test_every_figure_has_a_name_of_its_own(made: Report, told: Chapter):
    names = [p.name for p in (*made.pictures, *(p for c in made.screen for p in c.pictures), *told.pictures)]
    assert len(set(names)) == len(names) == len(made.figures)
