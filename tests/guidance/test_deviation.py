"""How a needle stands to its plan: the plan itself comes out as planned, and every step aside as it was made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trocar.geometry import Side, unit
from trocar.guidance.bearing import Bearing
from trocar.guidance.deviation import Planned, breached, deviation, spoken, tightest
from trocar.guidance.tip import Tip
from trocar.measure import Severity
from trocar.planning.access import TRANSPEDICULAR
from trocar.planning.candidates import Site
from trocar.planning.corridor import find_corridors
from trocar.planning.instrument import Needle
from trocar.planning.trajectory import Grade, Trajectory

from ..planning import block as blocks


def block_plan() -> Planned:
    """The best path into a vertebra of blocks."""
    anatomy = blocks.patient()
    site = Site.of(anatomy, next(iter(anatomy.vertebrae)))
    corridors = find_corridors(site, Side.LEFT, TRANSPEDICULAR, Needle.of_gauge(13))
    return Planned(corridors[0].trajectory, site, TRANSPEDICULAR.margins)


@pytest.fixture(scope="module")
def planned() -> Planned:
    return block_plan()


def at(path: Trajectory, back_mm: float = 0.0, off: np.ndarray | None = None, way: np.ndarray | None = None) -> Tip:
    """A needle ``back_mm`` before its target, moved by ``off``, almost without error."""
    tip = path.target_mm - back_mm * path.direction + (np.zeros(3) if off is None else off)
    small = 1e-6 * np.eye(3)
    return Tip(0.0, tip, path.direction if way is None else way, small, 1e-9 * np.eye(3), "test")


def test_on_its_path_a_needle_has_what_planning_measured(planned: Planned) -> None:
    """The same clearances, from the same code, at the target; nothing to go, nothing off."""
    found = deviation(at(planned.trajectory), planned)
    told = {c.structure: c for c in found.now}
    assert told.keys() == {c.structure for c in planned.trajectory.clearances}
    for c in planned.trajectory.clearances:
        assert told[c.structure].value_mm == pytest.approx(c.value_mm, abs=1e-9)
        assert told[c.structure].margin_mm == c.margin_mm
        assert told[c.structure].uncertainty_mm == pytest.approx(c.uncertainty_mm, abs=0.01)
    assert found.to_go_mm == pytest.approx(0.0, abs=1e-9)
    assert np.linalg.norm(found.off_mm) < 1e-9
    assert found.angle_deg < 1e-6
    assert not any(breached(c) for c in found.now)


def test_steps_along_and_aside_come_out_as_they_were_made(planned: Planned) -> None:
    path, bearing = planned.trajectory, planned.bearing
    off = 1.5 * bearing.head - 0.8 * bearing.aside
    found = deviation(at(path, 20.0, off), planned)
    measures = {m.name: m.value for m in found.measures}
    assert found.to_go_mm == pytest.approx(20.0)
    assert measures["tip_to_target_depth"] == pytest.approx(20.0)
    assert measures["tip_off_path_head"] == pytest.approx(1.5)
    assert measures["tip_off_path_aside"] == pytest.approx(-0.8)
    assert found.miss_mm == pytest.approx(off, abs=1e-9)  # parallel to the path: the end is as far off as the tip


def test_pushed_on_straight_a_turned_needle_ends_where_its_line_leads(planned: Planned) -> None:
    path, bearing = planned.trajectory, planned.bearing
    way = unit(path.direction + np.tan(np.radians(4.0)) * bearing.head)
    found = deviation(at(path, 30.0, way=way), planned)
    assert found.angle_deg == pytest.approx(4.0)
    assert found.miss_mm == pytest.approx(30.0 * np.tan(np.radians(4.0)) * bearing.head, abs=1e-9)
    assert float((found.end_mm - path.target_mm) @ path.direction) == pytest.approx(0.0, abs=1e-9)


def test_a_step_towards_a_wall_takes_its_room_and_no_other(planned: Planned) -> None:
    """1 mm towards the head: as much less to the cranial wall and to the upper endplate, more to the caudal one."""
    path, head = planned.trajectory, planned.bearing.head
    before = {c.structure: c.value_mm for c in deviation(at(path), planned).now}
    after = {c.structure: c.value_mm for c in deviation(at(path, off=head), planned).now}
    assert after["pedicle_wall_cranial"] - before["pedicle_wall_cranial"] == pytest.approx(-1.0, abs=0.3)
    assert after["pedicle_wall_caudal"] - before["pedicle_wall_caudal"] == pytest.approx(1.0, abs=0.3)
    assert after["endplate_superior"] - before["endplate_superior"] == pytest.approx(-head[2], abs=1e-6)


def test_a_needle_towards_the_canal_is_stopped_before_it_is_there(planned: Planned) -> None:
    """Short of bone still, but turned medially: nothing is breached now, the canal would be."""
    path, bearing = planned.trajectory, planned.bearing
    medial = -bearing.aside
    back = path.bone_to_target_mm + 2.0
    tip = at(path, back, off=2.0 * medial, way=unit(path.direction + 0.15 * medial))
    found = deviation(tip, planned)
    assert not any(breached(c) for c in found.now)
    assert any(c.structure == "canal" and breached(c) for c in found.ahead)
    assert found.grade is Grade.SHORT
    stops = [f.text for f in found.findings if f.severity is Severity.STOP]
    assert any("Pushed on straight" in text and "canal" in text for text in stops)
    assert "medially (right)" in spoken(found, planned)


def test_what_is_open_about_the_needle_is_open_about_its_margins(planned: Planned) -> None:
    path = planned.trajectory
    sure = deviation(at(path), planned)
    unsure = deviation(replace(at(path), covariance_mm2=4.0 * np.eye(3)), planned)
    for a, b in zip(sure.now, unsure.now, strict=True):
        assert b.value_mm == a.value_mm
        assert b.uncertainty_mm - a.uncertainty_mm == pytest.approx(4.0, abs=0.01)  # twice two millimetres
    assert unsure.grade is not Grade.SAFE


def test_a_mirrored_patient_has_the_mirrored_deviation(planned: Planned) -> None:
    flip = np.array([-1.0, 1.0, 1.0])
    anatomy = blocks.mirrored(planned.site.anatomy)
    path = planned.trajectory
    other = replace(path, side=Side.RIGHT, **{n: getattr(path, n) * flip for n in ("skin_mm", "entry_mm", "target_mm")})
    mirrored = Planned(other, Site.of(anatomy, path.level), planned.margins)
    off, way = np.array([1.2, 0.3, -0.7]), unit(path.direction + np.array([0.03, 0.0, 0.02]))
    a = deviation(at(path, 12.0, off, way), planned)
    b = deviation(at(other, 12.0, off * flip, way * flip), mirrored)
    assert b.off_mm == pytest.approx(a.off_mm * flip, abs=1e-9)
    for mine, theirs in zip(a.measures, b.measures, strict=True):
        assert theirs.name == mine.name
        assert theirs.value == pytest.approx(mine.value, abs=0.02)
    assert spoken(b, mirrored) == spoken(a, planned).replace("(left)", "(RIGHT)").replace("(right)", "(left)").replace(
        "(RIGHT)", "(right)"
    )


def test_a_tip_beyond_its_target_and_a_view_from_one_side_are_told(planned: Planned) -> None:
    path = planned.trajectory
    beyond = deviation(at(path, -3.0), planned)
    assert any("3.0 mm beyond its target" in f.text for f in beyond.findings)
    one = replace(at(path, 10.0), unseen_along=np.array([0.0, 1.0, 0.0]), assumed="one view: as planned")
    assert any("along the beam is not known" in f.text for f in deviation(one, planned).findings)


def test_without_a_scan_no_margin_is_watched_and_that_is_said(planned: Planned) -> None:
    found = deviation(at(planned.trajectory, 10.0), Planned(planned.trajectory))
    assert found.now == found.ahead == ()
    assert found.grade is Grade.NOT_CHECKED
    assert any("No margin is watched" in f.text for f in found.findings)


def test_words_name_the_side_of_the_patient() -> None:
    for side, lateral in ((Side.LEFT, 1.0), (Side.RIGHT, -1.0)):
        target = np.zeros(3)
        way = unit([-0.3 * side.sign, -1.0, 0.0])
        path = Trajectory(next(iter(blocks.patient().vertebrae)), side, "transpedicular", Needle.of_gauge(13),
                          -80.0 * way, -40.0 * way, target)  # fmt: skip
        bearing = Bearing.of(path)
        words = bearing.words(np.array([2.0 * lateral, 0.0, -1.0]), " mm", 0.5)
        assert words == f"1.0 mm towards the feet and 1.9 mm laterally ({side.value})"


def test_the_tightest_clearances_are_those_not_safe_or_else_the_least_to_spare(planned: Planned) -> None:
    found = deviation(at(planned.trajectory, 10.0), planned)
    doubtful = {c.structure for c in found.now + found.ahead if c.grade is not Grade.SAFE}
    told = tightest(found, 2)
    assert len(told) == (len(doubtful) or 2)
    roomy = replace(found, now=tuple(replace(c, margin_mm=-99.0) for c in found.now), ahead=found.now[:0])
    least = sorted(found.now, key=lambda c: c.value_mm)[:2]
    assert {m.name for m in tightest(roomy)} == {f"clearance_now_{c.structure}" for c in least}
    off = deviation(at(planned.trajectory, 0.0, 6.0 * planned.bearing.aside), planned)
    short = {c.structure for c in off.now if c.grade is not Grade.SAFE}
    assert short
    assert {m.name.removeprefix("clearance_now_") for m in tightest(off)} == short
