"""What is told of an injection: every number once, left on the left, and a slider that needs nobody."""

from __future__ import annotations

import io
import re
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import trocar
from trocar.anatomy.levels import Level
from trocar.anatomy.phantom import phantom
from trocar.anatomy.phantom_spec import PhantomSpec
from trocar.case import Case
from trocar.geometry import Side
from trocar.injection import published
from trocar.injection.leak_series import Augmentation
from trocar.injection.risk import STOP_AT
from trocar.injection.ways_out import Aetiology, Route
from trocar.measure import Finding, Measure, Severity, Topic
from trocar.procedures.cemented import Cemented
from trocar.procedures.vertebroplasty import Vertebroplasty
from trocar.reporting import (
    cement,
    cement_answers,
    cement_charts,
    cement_leak_tables,
    cement_pictures,
    cement_planes,
    palette,
)
from trocar.reporting.content import Badge, Chapter, Table
from trocar.reporting.html import html
from trocar.reporting.lines import simulation_lines
from trocar.reporting.pdf import pdf
from trocar.reporting.report import Report, report
from trocar.reporting.slides import Slides, path_data
from trocar.treatment import Plan, Simulation

from .injected import INJECTED_ML, LEAKS_FROM_ML, make_arrival, make_injected
from .test_html import Checker


@pytest.fixture(scope="module")
def planned() -> Plan:
    drawn = phantom(PhantomSpec(levels=(Level.L1, Level.L2), focus=Level.L1, voxel_mm=(2.0, 1.0, 1.0), noise_hu=0.0))
    anatomy = trocar.read_anatomy(drawn.labels, on=drawn.ct, scheme="totalseg-v2")
    return trocar.plan(anatomy, Vertebroplasty(level=Level.L1))


@pytest.fixture(scope="module")
def injected(planned: Plan) -> Simulation:
    return make_injected(planned)


@pytest.fixture(scope="module")
def made(planned: Plan, injected: Simulation) -> Report:
    return report(Case("c-0042", planned, injected))


@pytest.fixture(scope="module")
def told(made: Report) -> Chapter:
    return made.chapters[0]


@pytest.fixture(scope="module")
def unseen(injected: Simulation) -> Chapter:
    """The chapter of a simulation that was read back without its images."""
    return cement.chapter(replace(injected, plan=replace(injected.plan, images=None), volumes={}))


def _table(told: Chapter, title: str) -> Table:
    (found,) = [t for t in told.tables if t.title == title]
    return found


def _slides(told: Chapter) -> Slides:
    (found,) = [p.slides for p in told.pictures if p.slides]
    return found


# --- what is told -------------------------------------------------------------------------------


def test_cement_that_flowed_has_a_chapter_and_cement_that_was_put_there_none(
    made: Report, plan: Plan, simulation: Simulation
):
    assert [c.title for c in made.chapters] == ["Where the cement goes", "Bone that carries load"]
    still = report(Case("c-0042", plan, replace(simulation, plan=replace(plan, images=None))))
    assert [c.title for c in still.chapters] == ["Bone that carries load"]


def test_the_first_page_has_the_spread_the_two_likeliest_leaks_and_the_window(made: Report, told: Chapter):
    assert told.headline == (
        "3.8 mL fills 14 % of the body, 21 % of it beyond the midline; leaks most often: disc 19 % (12 to 28), "
        "epidural 11 % (6 to 18); inject 5.5 to 12.0 min after mixing."
    )
    page = html(made)
    assert page.index(told.headline) < page.index("Not checked") < page.index('id="where-the-cement-goes"')


def test_the_lead_says_where_how_often_and_what_a_probability_is_not(told: Chapter):
    assert "The planned 4.0 mL takes 2 min; 3.8 mL of cement lies in the vertebra, 14 % of the body." in told.lead
    assert "Its middle lies 6.4 mm to the left of the body's, and it ends 4.6 mm from the posterior wall." in told.lead
    assert (
        "Cement leaves the bone in 31 % (22 to 41) of the computed injections, most often into a disc, 19 % (12 to 28) "
        "and into the canal, 11 % (6 to 18); published: 33 % (27 to 40)." in told.lead
    )
    assert "The computed risk of a leak into the canal reaches 5 % at 2.6 mL." in told.lead
    assert "not a rate among patients" in told.lead
    assert "a shape" not in told.lead


def _lead_for(injected: Simulation, value: float, high: float) -> str:
    """Of a risk in the canal that never reaches its limit."""
    risk = {"volume_ml": [0.0, 3.1], "epidural": [0.0, value]}
    chance = Measure("leak_probability_epidural", value, "1", 0.0, high, "95 %")
    others = tuple(m for m in injected.measures if m.name != chance.name)
    return cement.chapter(replace(injected, series={"leak_risk": risk}, measures=(*others, chance), volumes={})).lead


def test_a_risk_is_called_low_only_where_the_draws_can_say_so(injected: Simulation):
    low = "into the canal stays below 5 % up to 3.1 mL, at most 4 % with 95 % confidence."
    assert low in _lead_for(injected, 0.0, 0.037)
    few = _lead_for(injected, 0.02, 0.104)
    assert "into the canal is 2 % up to 3.1 mL, but may be 10 %: too few draws to say that it stays below 5 %." in few
    unknown = tuple(m for m in injected.measures if m.name != "leak_probability_epidural")
    silent = replace(injected, series={"leak_risk": {"volume_ml": [0.0, 3.1], "epidural": [0.0, 0.0]}}, volumes={})
    assert "risk of a leak into the canal" not in cement.chapter(replace(silent, measures=unknown)).lead


def test_no_measure_is_lost_and_none_is_told_in_both_chapters(made: Report, injected: Simulation):
    ours = [m for m in injected.measures if cement_answers.of_cement(m)]
    bone = cement_answers.without_cement(injected).measures
    assert {m.name for m in ours} | {m.name for m in bone} == {m.name for m in injected.measures}
    assert [m.name for m in bone] == ["stiffness_as_is", "stiffness_augmented", "tilt_forward_as_is"]
    cells = [str(c) for c in _cells(made.chapters[1])]
    assert not any("leak" in c.lower() or "working window" in c.lower() for c in cells)
    odd = Measure("leak_of_another_kind", 3.25, "mL", method="So")
    assert cement_answers.of_cement(odd)
    more = cement.chapter(replace(injected, measures=(*injected.measures, odd)))
    rows = _table(more, "Also computed of the cement").rows
    assert [row[0] for row in rows] == ["Leak onset epidural", "Leak of another kind"]
    assert rows[-1] == ("Leak of another kind", "3.2 mL", "So")


def _cells(chapter: Chapter) -> list[object]:
    return [cell for t in chapter.tables for row in t.rows for cell in row]


def test_findings_stand_in_one_chapter_each_and_a_caution_on_the_first_page(made: Report):
    ours, bone = ([c.text for c in chapter.concerns] for chapter in made.chapters)
    assert ours == ["Stop at 3.1 mL: the epidural probability passes 5 % there."]
    assert bone == ["No phantom was scanned: density rests on fat and muscle."]
    assert ours[0] in [c.text for c in made.concerns]


def test_what_any_part_of_an_injection_finds_stands_in_its_chapter(planned: Plan, injected: Simulation):
    """Whatever its words are: none of them is looked at."""
    names = ("ways", "nominal", "goals", "heat", "outcome", "changed")
    told = {name: (Finding(Severity.NOTE, f"Part {n} has its say."),) for n, name in enumerate(names)}

    def part(name: str) -> Any:
        own = told[name]
        methods = name in ("nominal", "heat", "outcome")
        return SimpleNamespace(findings=(lambda **_: own) if methods else own)

    given: dict[str, Any] = dict.fromkeys(f.name for f in fields(Cemented))
    given |= {"procedure": planned.procedure, "plan": planned} | {name: part(name) for name in names}
    cemented = Cemented(**given)
    general = Finding(Severity.NOTE, "Cement, leaks and heat of the working window: none of it is the cement's.")
    both = replace(injected, findings=(*cemented.findings, general))
    assert {c.text for c in cement.chapter(both).concerns} == {f.text for (f,) in told.values()}
    assert cement_answers.without_cement(both).findings == (general,)
    assert {f.topic for f in cemented.findings} == {Topic.CEMENT}


def test_leaks_stand_beside_what_others_published(told: Chapter):
    table = told.tables[0]
    assert table.title == "How often it leaks"
    assert [row[0] for row in table.rows] == ["Any leak", "Disc", "Epidural", "Venous", "Arterial"]
    assert table.rows[0][1:] == ("31 % (22 to 41)", "33 % (27 to 40)", "–", "–", "–")
    assert table.rows[2][1:] == ("11 % (6 to 18)", "–", "0.22 (0.05 to 0.60)", "2.9 (2.1 to 3.8)", "3.1")
    assert table.rows[4][1] == "0 % (0 to 4)"
    brackets = "in this model: 95 %; published: lowest and highest series; leaks, from: 5 to 95 % of the leaking draws"
    assert f"In brackets: {brackets}." in table.remark
    assert _table(told, "Published rates").rows[0] == ("Any leak", "33 % (27 to 40)", "118 of 357 vertebrae")


def test_anterior_and_lateral_stand_under_what_they_are_together(injected: Simulation):
    shares = {"paravertebral": 0.15, "anterior": 0.04, "lateral": 0.12}
    more = tuple(Measure(f"leak_probability_{name}", value, "1") for name, value in shares.items())
    rate = Measure("leak_rate_paravertebral_published", 0.17, "1", method="A series")
    many = replace(injected, measures=(*injected.measures, *more, rate))
    rows = [row[:3] for row in cement.chapter(many).tables[0].rows]
    assert [row[0] for row in rows][:4] == ["Any leak", "Disc", "Paravertebral", "Of these, lateral"]
    assert rows[2:5] == [
        ("Paravertebral", "15 %", "17 %"),
        ("Of these, lateral", "12 %", "–"),
        ("Of these, anterior", "4 %", "–"),
    ]
    assert "Paravertebral: 15 %, published 17 %" in cement.lines(many)
    only = replace(many, measures=tuple(m for m in many.measures if m.name != "leak_probability_paravertebral"))
    assert "Lateral paravertebral" in [row[0] for row in cement.chapter(only).tables[0].rows]


def test_a_rate_that_only_others_have_is_still_told(injected: Simulation):
    rate = Measure("leak_rate_foraminal_published", 0.04, "1", method="A series")
    more = cement.chapter(replace(injected, measures=(*injected.measures, rate)))
    assert more.tables[0].rows[-1] == ("Foraminal", "–", "4 %", "–", "–", "–")


def test_series_that_others_published_stand_each_by_itself(injected: Simulation):
    rates = published.table(published.published(Aetiology.OSTEOPOROTIC, Augmentation.VERTEBROPLASTY))
    more = cement.chapter(replace(injected, series={**injected.series, "published": rates}))
    table = _table(more, "Published rates")
    assert len(table.rows) == len(rates["leak"]) > 3
    assert table.columns[0] == "Leak"
    assert all(row[5] for row in table.rows)


def test_ways_that_were_seen_are_told_apart_and_stand_first(told: Chapter):
    table = _table(told, "Ways out of the bone")
    known = [row[2] for row in table.rows]
    assert [b.word for b in known if isinstance(b, Badge)] == ["seen", "expected", "expected"]
    assert len({b.symbol for b in known if isinstance(b, Badge)}) == 2
    assert [row[0] for row in table.rows][1:] == [
        "Crack in the upper endplate, left",
        "Basivertebral foramen, middle of the back",
    ]  # by distance


def test_what_would_change_it_has_its_difference_with_its_interval(told: Chapter):
    rows = _table(told, "What would change it").rows
    assert rows[0][5] == "–"
    assert [row[5] for row in rows[1:]] == ["−16 (−25 to −7)", "−7 (−15 to +2)", "−9 (−17 to −1)"]


def test_how_much_leaks_stands_beside_how_often_and_the_model_is_not_oversold(told: Chapter, injected: Simulation):
    assert "This model reacts far less to viscosity, pace and pauses" in _table(told, "What would change it").remark
    volumes = {
        "leaked_ml_mean": [0.31, 0.12, 0.29, 0.30],
        "leaked_ml_difference": [0.0, -0.19, -0.02, 0.001],
        "leaked_low": [0.0, -0.25, -0.06, -0.004],
        "leaked_high": [0.0, -0.13, 0.02, 0.006],
    }
    series = {**injected.series, "leak_changes": {**injected.series["leak_changes"], **volumes}}
    table = _table(cement.chapter(replace(injected, series=series)), "What would change it")
    assert table.columns[5:] == ("Difference, points", "Leaks, mL", "Difference, mL", "Cement, mL")
    assert [row[6] for row in table.rows] == ["0.31", "0.12", "0.29", "0.30"]
    assert [row[7] for row in table.rows] == ["–", "−0.19 (−0.25 to −0.13)", "−0.02 (−0.06 to +0.02)", "0 (0 to +0.01)"]
    little = {name: [0.1 * ml for ml in values] for name, values in volumes.items()}
    series["leak_changes"] |= little
    fine = _table(cement.chapter(replace(injected, series=series)), "What would change it")
    assert fine.rows[1][6:8] == ("0.012", "−0.019 (−0.025 to −0.013)")
    assert "rows that look alike do not say that thick cement does not help" in table.remark
    assert "the mean over all computed injections" in table.remark


def test_goals_have_their_direction_in_words(told: Chapter):
    values = [row[1] for row in _table(told, "How the body is filled").rows]
    assert values[:8] == [
        "4.0 mL",
        "4.0 mL",
        "3.8 mL",
        "14.2 %",
        "6.4 mm to the left",
        "2.1 mm forwards",
        "0.3 mm towards the head",
        "21.0 %",
    ]


def test_heat_has_a_row_for_each_region_and_a_tumour_is_not_called_controlled(told: Chapter, injected: Simulation):
    table = _table(told, "Heat while it sets")
    assert table.rows[1] == ("Posterior wall", "46.5", "4.1", "0.0", "31")
    assert table.rows[2][4] == "1000 or more"
    assert table.rows[3] == ("Tumour rim", "–", "–", "–", "412 (38 to 1000 or more)")
    assert table.rows[4][:2] == ("Warmest place, in the cement", "71.2")
    measured = "In the middle of vertebrae 49 to 112 °C were measured (Belkoff and Molloy 2003)"
    assert f"{measured}; the warmest cement lies within that." in table.remark
    hot = tuple(replace(m, value=124.8) if m.name == "heating_peak" else m for m in injected.measures)
    above = _table(cement.chapter(replace(injected, measures=hot)), "Heat while it sets").remark
    assert f"{measured}: the warmest cement lies above that, and may be computed too warm." in above
    assert "number of low certainty, and not tumour control" in table.remark
    other = tuple(m for m in injected.measures if "tumour" not in m.name)
    assert "tumour" not in _table(cement.chapter(replace(injected, measures=other)), "Heat while it sets").remark


@pytest.mark.parametrize(
    ("minutes", "words"), [(0.02, "under 0.1"), (3.14, "3.1"), (31.4, "31"), (999.0, "999"), (1e6, "1000 or more")]
)
def test_a_thermal_dose_has_no_more_digits_than_are_sure(minutes: float, words: str):
    assert cement_leak_tables.dose(minutes) == words


def test_an_interval_that_shows_nothing_is_left_out():
    one = Measure("leak_volume_disc", 0.234, "mL", 0.231, 0.232)
    assert cement_leak_tables.spread(one) == "0.23"
    assert cement_leak_tables.spread(replace(one, high=0.3)) == "0.23 (0.23 to 0.30)"


def test_the_terminal_is_told_in_a_few_lines(injected: Simulation):
    lines = cement.lines(injected)
    assert not any("shape" in line for line in simulation_lines(injected))
    assert lines == simulation_lines(injected)[: len(lines)]
    assert "Any leak: 31 % (22 to 41), published 33 % (27 to 40)" in lines
    assert "Inject 5.5 to 12.0 min after mixing." in lines
    assert len(lines) < 15


def test_without_images_there_are_curves_and_tables_and_no_planes(unseen: Chapter, told: Chapter):
    names = [p.name for p in unseen.pictures]
    assert names == ["leak_probability", "leak_risk", "injection", "working_window", "temperature"]
    assert {p.name for p in told.pictures} - set(names) == {"cement_fill", "cement_reach", "warmth"}
    assert [t.title for t in unseen.tables] == [t.title for t in told.tables]


@pytest.mark.parametrize("kept", ["injection", "leaks", "ways_out", "leak_risk", "leak_changes", "heating", "none"])
def test_what_is_missing_is_left_out(injected: Simulation, kept: str):
    few = replace(
        injected,
        plan=replace(injected.plan, images=None),
        volumes={},
        series={n: s for n, s in injected.series.items() if n == kept},
        measures=tuple(m for m in injected.measures if m.name == "leak_probability_any"),
    )
    made = cement.chapter(few)
    assert made.tables[0].rows == (("Any leak", "31 % (22 to 41)", "–", "–", "–", "–"),)
    assert "None" not in made.lead + made.headline


def test_an_injection_of_which_nothing_went_in_is_still_told(injected: Simulation):
    nothing = {name: [] for name in injected.series["injection"]}
    empty = replace(injected.volumes["cement_arrival"], array=np.zeros((3, 3, 3), np.float32))
    made = cement.chapter(
        replace(
            injected,
            volumes={"cement_arrival": empty},
            series={"injection": nothing, "leaks": {n: [] for n in injected.series["leaks"]}},
            measures=(Measure("injection_time", 0.0, "min"), Measure("cement_injected", 0.0, "mL")),
        )
    )
    assert made.pictures == ()
    assert [t.title for t in made.tables] == ["How the body is filled", "Injecting and setting"]
    assert "None" not in made.lead + made.headline


def test_what_did_not_go_in_is_said(injected: Simulation):
    short = {name: values[:21] for name, values in injected.series["injection"].items()}
    made = cement.chapter(replace(injected, volumes={}, series={**injected.series, "injection": short}))
    assert "Of the planned 4.0 mL, 2.0 mL goes in, in 2 min;" in made.lead


# --- the planes ---------------------------------------------------------------------------------


def _axial_middle(slides: Slides, step: int) -> float:
    """Mean column of the cement's outline in the first third of the picture, from that third's middle."""
    numbers = re.findall(r"([\d.]+) ([\d.]+)", slides.steps[step].areas[0].path)
    x = np.array([float(a) for a, _ in numbers])
    edge = slides.width / 3.0
    return float(x[x < edge].mean() - edge / 2.0)


@pytest.mark.parametrize("side", list(Side))
def test_cement_on_the_patients_left_is_drawn_on_the_right(planned: Plan, side: Side):
    view = cement_planes.tip_planes(planned)[0]
    assert view.letters[:2] == ("R", "L")
    slides = cement_planes.slides(planned, make_arrival(planned, side), [4.0], ["all"])
    assert side.sign * _axial_middle(slides, 0) > 10.0
    strip = cement_planes.strip(planned, make_arrival(planned, side), [4.0])
    pink = _pink(strip)[: cement_planes.edge_of(1)]
    columns = np.flatnonzero(pink.any(axis=0))
    assert side.sign * (columns.mean() - cement_planes.edge_of(1) / 2.0) > 10.0


def _pink(png: bytes) -> np.ndarray:
    """Where a picture has the colour of cement."""
    rgb = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    return (rgb[..., 0] > 200) & (rgb[..., 1] < 150) & (rgb[..., 2] > 170)


def test_the_planes_pass_through_the_tip(planned: Plan):
    (tip,) = [t.target_mm for t in planned.best.trajectories]
    for view in cement_planes.tip_planes(planned):
        assert abs(view.project(tip)[2]) < 1e-6
        assert view.holds(tip)


def test_the_steps_grow_to_all_that_was_injected(told: Chapter):
    slides = _slides(told)
    assert [s.name for s in slides.steps] == ["0.5", "1", "1.5", "2", "2.5", "3", "3.5", "4"]
    spans = [np.ptp([float(x) for x, _ in re.findall(r"([\d.]+) ([\d.]+)", s.areas[0].path)]) for s in slides.steps]
    assert spans == sorted(spans)
    assert "4 mL injected after 2 min, 284 kPa at the tip, 1440 kPa before the cannula." in slides.steps[-1].text
    assert slides.steps[-1].text.endswith("Leaked: 0.22 mL, into the canal.")
    assert slides.steps[0].text.endswith("Leaked: nothing.")


def test_cement_outside_the_bone_is_drawn_apart_once_it_is_there(told: Chapter):
    labels = [[a.stroke.label for a in s.areas] for s in _slides(told).steps]
    volumes = [float(s.name) for s in _slides(told).steps]
    assert all(
        ("cement outside the bone" in names) is (v >= LEAKS_FROM_ML) for names, v in zip(labels, volumes, strict=True)
    )
    assert cement_planes.OUTSIDE.colour != cement_planes.CEMENT.colour


def test_the_reach_is_brightest_where_cement_always_gets(planned: Plan, injected: Simulation):
    drawn = Image.open(io.BytesIO(cement_planes.reach_picture(planned, injected.volumes["cement_reach"]))).convert(
        "RGB"
    )
    rgb = np.asarray(drawn).astype(int)[: cement_planes.edge_of(3), : cement_planes.edge_of(3)]
    yellow = (rgb[..., 0] > 180) & (rgb[..., 1] > 160) & (rgb[..., 2] < 90)
    assert np.flatnonzero(yellow.any(axis=0)).mean() > cement_planes.edge_of(3) / 2.0  # on the patient's left


def test_warmer_is_nearer_to_the_cement(planned: Plan, injected: Simulation):
    peak = injected.volumes["temperature_peak"]
    cold = replace(peak, array=np.minimum(peak.array, 44.0))
    pictures = [cement_planes.warmth_picture(planned, p, None) for p in (peak, cold)]
    dashed, solid = (_coloured(pictures[0], colour) for colour in (palette.YELLOW, palette.ORANGE))
    assert np.ptp(np.flatnonzero(dashed.any(axis=0))) > np.ptp(np.flatnonzero(solid.any(axis=0))) > 100
    assert not _coloured(pictures[1], palette.YELLOW).any()


def _coloured(png: bytes, colour: str) -> np.ndarray:
    """Where the axial plane has a colour."""
    edge = cement_planes.edge_of(3)
    rgb = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)[:edge, :edge]
    wanted = np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)])
    return np.abs(rgb - wanted).max(axis=-1) < 24


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (4.0, (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)),
        (3.6, (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.6)),
        (0.4, (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)),
        (10.0, (1.5, 3.0, 4.5, 6.0, 7.5, 9.0, 10.0)),
    ],
)
def test_steps_are_round_and_end_with_all_of_it(total: float, expected: tuple[float, ...]):
    assert cement_planes.steps_ml(total) == expected


def test_paper_has_four_of_the_steps_and_the_last():
    assert cement_planes.on_paper((1.0, 2.0, 3.0)) == (1.0, 2.0, 3.0)
    assert cement_planes.on_paper(tuple(range(1, 9))) == (2, 4, 6, 8)
    assert cement_planes.on_paper(tuple(range(1, 7)))[-1] == 6


def test_two_tips_share_the_axial_and_the_coronal_plane(planned: Plan):
    (one,) = planned.best.trajectories
    frame = planned.anatomy.vertebra(Level.L1).frame
    other = replace(one, target_mm=one.target_mm + 10.0 * frame.left + 4.0 * frame.superior)
    both = replace(planned, options=(replace(planned.best, trajectories=(one, other)),))
    axial, _, sagittal = cement_planes.tip_planes(both)
    assert [round(abs(axial.project(t.target_mm)[2]), 6) for t in (one, other)] == [2.0, 2.0]
    assert "through the tips" in axial.title
    assert sagittal.title == f"Sagittal, through the {one.side.value} tip"
    assert abs(sagittal.project(one.target_mm)[2]) < 1e-6


# --- the page -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(made: Report) -> str:
    return html(made)


def test_the_slider_asks_nobody_and_stands_at_the_end_without_script(page: str, told: Chapter):
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    assert all(load.startswith(("data:image/png;base64,", "#")) for load in checker.loads)
    assert not re.search(r"url\(|@import|https?://|fetch\(|import ", page.replace("http://www.w3.org/2000/svg", ""))
    steps = re.findall(r'<g class="step( off)?"', page)
    assert steps == [" off"] * 7 + [""]
    assert '<div class="slider" hidden>' in page
    assert f'<p class="at" aria-live="polite">{_slides(told).steps[-1].text}</p>' in page
    assert re.search(r'<label>Injected, mL<input type="range" min="0" max="7" step="1" value="7"></label>', page)


def test_the_ground_is_embedded_once_and_a_page_without_slider_has_no_script(page: str, made: Report, plan: Plan):
    assert page.count("<script>") == 1
    assert page.count("<image ") == 1
    assert "<script" not in html(report(plan))
    assert made.moves


def test_names_of_ways_are_text_and_not_markup(made: Report, injected: Simulation):
    series = {**injected.series, "leaks": {**injected.series["leaks"], "leads_to": ['<b>"disc"']}}
    page = html(replace(made, pictures=(), chapters=(cement.chapter(replace(injected, series=series)),)))
    assert '<b>"disc' not in page
    assert "&lt;b&gt;" in page


def test_every_figure_has_words_and_a_name_of_its_own(made: Report, told: Chapter):
    assert all(p.alt and p.caption and p.title for p in told.pictures)
    names = [p.name for c in made.chapters for p in c.pictures]
    assert len(set(names)) == len(names)
    assert set(names) <= made.figures.keys()


def test_the_pdf_has_the_strip_of_four_volumes(made: Report):
    assert pdf(made).startswith(b"%PDF")
    strip = Image.open(io.BytesIO(made.figures["cement_fill"]))
    four, three = cement_planes.edge_of(4), 3
    assert strip.size[1] == three * four + (three - 1) * cement_planes.GAP + cement_planes.STRIP


# --- the parts ----------------------------------------------------------------------------------


def test_where_a_risk_reaches_the_limit_of_its_route():
    series = {"volume_ml": [1.0, 2.0, 3.0], "disc": [0.0, 0.06, 0.14], "venous": [0.2, 0.3, 0.4], "tract": [0.0] * 3}
    assert cement_answers.stop_at_ml(series, "disc") == pytest.approx(2.5)
    assert cement_answers.stop_at_ml(series, "venous") == 1.0
    assert cement_answers.stop_at_ml(series, "tract") is None
    assert cement_answers.limits(series) == {
        100.0 * STOP_AT[Route.VENOUS]: ("venous",),
        100.0 * STOP_AT[Route.DISC]: ("disc",),
    }
    assert cement_answers.limit_percent("any") is None


def test_a_volume_to_stop_at_is_rounded_down_wherever_it_is_told(injected: Simulation):
    risk = {"volume_ml": [0.0, 4.0], "epidural": [0.0, 4.0 * 0.05 / 2.68]}
    stop = Measure("leak_stop_volume_epidural", 2.68, "mL", 2.19, 4.0, "95 %")
    kept = tuple(m for m in injected.measures if m.name != stop.name)
    made = cement.chapter(replace(injected, series={"leak_risk": risk}, measures=(*kept, stop), volumes={}))
    assert "into the canal reaches 5 % at 2.6 mL." in made.lead
    (row,) = [row for row in made.tables[0].rows if row[0] == "Epidural"]
    assert row[-1] == "2.6 (2.1 to 4.0)"
    assert "Reached: epidural at 2.6 mL." in made.pictures[1].caption


@pytest.mark.parametrize(
    ("seconds", "words"), [(45.2, "45 s"), (120.0, "2 min"), (125.0, "2 min 5 s"), (59.7, "1 min"), (0.0, "0 s")]
)
def test_durations_read_as_people_say_them(seconds: float, words: str):
    assert cement_answers.duration(seconds) == words


def test_probabilities_read_alike_as_share_and_as_percent():
    share = Measure("leak_probability_any", 0.31, "1", 0.22, 0.41)
    assert cement_answers.percent_words(share) == "31 % (22 to 41)"
    assert cement_answers.whole(0.3) == "0.3"
    assert cement_answers.whole(0.0) == "0"


def test_a_route_is_known_by_its_name_and_by_its_value():
    assert cement_answers.route_words("anterior") == "anterior paravertebral"
    assert cement_answers.route_words("anterior_paravertebral") == "anterior paravertebral"
    assert cement_answers.route_words("any") == "any leak"
    assert cement_answers.place_words("epidural") == "into the canal"


def test_what_was_planned_is_not_what_went_in(injected: Simulation):
    """Nor where nothing but the injection that stopped early is at hand."""
    short = {"injection": {name: values[:13] for name, values in injected.series["injection"].items()}}
    early = replace(injected, series=short, volumes={})
    assert cement_answers.injected_ml(early) == pytest.approx(1.2)
    assert cement_answers.planned_ml(early) == INJECTED_ML
    assert "Of the planned 4.0 mL, 1.2 mL goes in, in 2 min;" in cement.chapter(early).lead
    unknown = tuple(m for m in injected.measures if m.name != "cement_planned")
    assert cement_answers.planned_ml(replace(early, measures=unknown)) is None
    assert "planned" not in cement.chapter(replace(early, measures=unknown)).lead


def test_a_step_says_only_what_is_known(injected: Simulation):
    bare = replace(injected, series={"injection": {"injected_ml": [0.0, 2.0], "time_s": [0.0, 60.0]}})
    assert cement_pictures.step_text(bare, 1.0) == "1 mL injected after 30 s."
    assert cement_pictures.step_text(replace(injected, series={}), 1.0) == "1 mL injected."


def test_path_data_closes_every_line():
    square = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0]])
    assert path_data([square, square + 1.0]) == "M0.0 0.0L2.0 0.0L2.0 2.0ZM1.0 1.0L3.0 1.0L3.0 3.0Z"


def test_a_missing_number_leaves_a_gap_in_a_curve_and_does_not_break_it():
    series = {"time_min": [0.0, 1.0, 2.0], "canal": [37.0, None, 39.0], "posterior_wall": [37.0, 44.0, 43.0]}
    assert cement_charts.temperature_picture(series).startswith(b"\x89PNG")
