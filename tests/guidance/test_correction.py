"""What to do about a needle that is off: no more than needed, and the truth where nothing helps."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from trocar.geometry import Side, angle_deg, unit
from trocar.guidance.bent_needle import Bevel, Front, Medium, path_mm
from trocar.guidance.correction import Act, Leverage, Pivot, correct
from trocar.guidance.deviation import Planned, breached
from trocar.planning.access import TRANSPEDICULAR, Margins
from trocar.planning.candidates import Site
from trocar.planning.corridor import find_corridors
from trocar.planning.instrument import Needle

from ..planning import block as blocks
from .test_deviation import at


@pytest.fixture(scope="module")
def planned() -> Planned:
    anatomy = blocks.patient(width=14.0)
    site = Site.of(anatomy, next(iter(anatomy.vertebrae)))
    corridors = find_corridors(site, Side.LEFT, TRANSPEDICULAR, Needle.of_gauge(15))
    return Planned(corridors[0].trajectory, site, TRANSPEDICULAR.margins)


def off_by(planned: Planned, back_mm: float, turn_deg: float, sense: np.ndarray, about_mm: np.ndarray):
    """A needle turned about a point of its path, ``back_mm`` before its target."""
    path = planned.trajectory
    way = unit(path.direction + np.tan(np.radians(turn_deg)) * sense)
    depth = float(np.linalg.norm(path.target_mm - about_mm)) - back_mm
    tip = at(path, way=way)
    return replace(tip, tip_mm=about_mm + depth * way)


def test_a_needle_on_its_way_is_pushed_on(planned: Planned) -> None:
    found = correct(at(planned.trajectory, 25.0), planned)
    assert found.act is Act.PUSH_ON
    assert found.push_mm == pytest.approx(25.0)
    assert "25 mm to the target" in found.text


@pytest.mark.parametrize("turn_deg", [2.0, 4.0])
def test_in_soft_tissue_it_is_turned_about_the_skin_by_as_much_as_it_is_off(planned: Planned, turn_deg: float) -> None:
    path, head = planned.trajectory, planned.bearing.head
    tip = off_by(planned, path.bone_to_target_mm + 8.0, turn_deg, head, path.skin_mm)
    found = correct(tip, planned)
    assert found.act is Act.TURN
    assert found.pivot is Pivot.SKIN
    assert found.pull_back_mm == 0.0
    assert found.turn_deg == pytest.approx(turn_deg, abs=1e-6)
    assert found.direction == pytest.approx(path.direction, abs=1e-9)
    assert f"{turn_deg:.1f}° towards the feet" in found.text  # it leans headwards: back towards the feet
    assert not any(breached(c) for c in found.clearances)


def test_in_bone_it_is_pulled_back_no_farther_than_the_turn_asks_for(planned: Planned) -> None:
    """Held by r mm of bone a tip can be levered by ``play``: tan(turn) = play / r."""
    path, head = planned.trajectory, planned.bearing.head
    tip = off_by(planned, 5.0, 5.0, -head, path.entry_mm)
    found = correct(tip, planned, leverage=Leverage(loose_mm=2.0, play_mm=1.0))
    assert found.act is Act.TURN
    assert found.pivot is Pivot.BONE
    assert found.turn_deg == pytest.approx(5.0, abs=0.6)  # bone begins where its interpolated surface is
    held = float(np.linalg.norm(tip.tip_mm - found.pivot_mm))
    assert held - found.pull_back_mm == pytest.approx(1.0 / np.tan(np.radians(found.turn_deg)))
    assert "towards the head" in found.text
    # it ends in its target
    reach = found.pivot_mm + np.linalg.norm(path.target_mm - found.pivot_mm) * found.direction
    assert reach == pytest.approx(path.target_mm, abs=1e-9)
    assert angle_deg(found.direction, path.direction) < 1.0


def test_the_freer_it_is_the_less_it_is_pulled_back(planned: Planned) -> None:
    path, head = planned.trajectory, planned.bearing.head
    tip = off_by(planned, 5.0, 5.0, -head, path.entry_mm)
    backs = [correct(tip, planned, leverage=Leverage(play_mm=p)).pull_back_mm for p in (0.5, 1.5, 3.0, 10.0)]
    assert backs == sorted(backs, reverse=True)
    assert backs[-1] == 0.0
    assert backs[0] > 5.0


def test_where_no_turn_keeps_every_margin_a_new_puncture_is_what_remains(planned: Planned) -> None:
    path = planned.trajectory
    tip = off_by(planned, 2.0, 5.0, -planned.bearing.head, path.entry_mm)
    walled = replace(planned, margins=Margins(canal_mm=10.0))
    found = correct(tip, walled)
    assert found.act is Act.AGAIN
    assert "puncture again" in found.text
    stiff = correct(tip, planned, leverage=Leverage(loose_deg=1.0, soft_deg=0.1))
    assert stiff.act is Act.AGAIN


def test_a_mirrored_needle_is_turned_the_mirrored_way(planned: Planned) -> None:
    flip = np.array([-1.0, 1.0, 1.0])
    path = planned.trajectory
    other = replace(path, side=Side.RIGHT, **{n: getattr(path, n) * flip for n in ("skin_mm", "entry_mm", "target_mm")})
    mirrored = Planned(other, Site.of(blocks.mirrored(planned.site.anatomy), path.level), planned.margins)
    tip = off_by(planned, path.bone_to_target_mm + 8.0, 4.0, planned.bearing.aside, path.skin_mm)
    same = replace(tip, tip_mm=tip.tip_mm * flip, direction=tip.direction * flip)
    a, b = correct(tip, planned), correct(same, mirrored)
    assert a.turn_deg == pytest.approx(b.turn_deg)
    assert "medially (right)" in a.text
    assert b.text == a.text.replace("(right)", "(left)")


def test_a_bevel_that_bends_in_bone_is_used_where_it_saves_pulling_back(planned: Planned) -> None:
    path, head = planned.trajectory, planned.bearing.head
    tip = replace(at(path, 15.0, off=-0.1 * head, way=unit(path.direction - 0.16 * head)))
    bevel = Bevel(1.0 / 60.0, 0.0005, Medium.BONE, "test", orientation_sd_deg=5.0)
    found = correct(tip, planned, bevel=bevel, rng=np.random.default_rng(0))
    assert found.act is Act.BEVEL
    assert "6 o'clock" in found.text  # to bend headwards the face looks to the feet
    way = found.bevel
    start = Front(tip.tip_mm - way.pull_back_mm * tip.direction, tip.direction, way.bends)
    assert path_mm(start, way.pushes, bevel)[-1] == pytest.approx(path.target_mm, abs=1e-6)
    assert next(m.value for m in found.measures if m.name == "within_of_target") > 0.0
    soft = replace(bevel, medium=Medium.SOFT_TISSUE)
    assert correct(tip, planned, bevel=soft).act is not Act.BEVEL  # its curvature is not known for bone


def test_without_a_scan_nothing_is_proposed(planned: Planned) -> None:
    with pytest.raises(ValueError, match="needs the scan"):
        correct(at(planned.trajectory), Planned(planned.trajectory))
    with pytest.raises(ValueError, match="play_mm"):
        Leverage(play_mm=-1.0)


def test_beyond_its_target_it_is_pulled_back_and_not_turned_by_what_no_hand_holds(planned: Planned) -> None:
    found = correct(at(planned.trajectory, -8.0), planned)
    assert found.act is Act.PULL_BACK
    assert found.text == "Pull back 8 mm."
    assert found.pull_back_mm == pytest.approx(8.0)
    assert found.turn_deg == found.push_mm == 0.0
    assert correct(at(planned.trajectory, -1.0), planned).act is Act.STAY


@pytest.mark.parametrize("turn_deg", [0.0, 0.1, 0.4, 2.0, 6.0])
@pytest.mark.parametrize("back_mm", [-8.0, -3.0, -0.3, 0.0, 0.3, 5.0, 25.0])
def test_no_sentence_holds_a_step_that_is_none(planned: Planned, back_mm: float, turn_deg: float) -> None:
    """No negative number, no 0 mm, no 0.0 degrees, and no number below nothing behind the words."""
    path = planned.trajectory
    for about in (path.entry_mm, path.skin_mm):
        for sense in (planned.bearing.head, -planned.bearing.aside):
            tip = off_by(planned, back_mm, turn_deg, sense, about)
            for bevel in (None, Bevel(1.0 / 60.0, 0.0005, Medium.BONE, "test")):
                found = correct(tip, planned, bevel=bevel)
                assert not re.search(r"(?<![\d.])-\d|(?<![\d.])0 mm|(?<![\d.])0\.0", found.text), found.text
                assert min(found.pull_back_mm, found.turn_deg, found.push_mm) >= 0.0
                assert found.text[0].isupper()
                assert found.text.endswith(".")
                assert "turn the needle about" in found.text.lower() or found.act is not Act.TURN
