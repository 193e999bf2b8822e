"""All ways into a level, ranked, with a sentence for each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from block import patient

from trocar.anatomy.levels import Level
from trocar.errors import LevelError, NoSafeTrajectory
from trocar.geometry import Side
from trocar.measure import Range
from trocar.planning.access import EXTRAPEDICULAR, TRANSPEDICULAR
from trocar.planning.instrument import Needle
from trocar.planning.ranking import ways_in


@pytest.fixture(scope="module")
def ways():
    return ways_in(patient(), Level.L3)


def test_both_sides_both_approaches_and_the_two_sided_plans_are_offered(ways) -> None:
    one = {(t.side, t.approach) for w in ways if len(w.trajectories) == 1 for t in w.trajectories}
    assert one == {(s, a) for s in Side for a in ("transpedicular", "extrapedicular")}
    pairs = [w for w in ways if len(w.trajectories) == 2]
    assert {w.trajectories[0].approach for w in pairs} == {"transpedicular", "extrapedicular"}
    assert all({t.side for t in w.trajectories} == set(Side) for w in pairs)


def test_one_needle_by_the_usual_approach_at_the_midline_comes_first(ways) -> None:
    """C20, C21: unilateral in all cases, through the pedicle in the lumbar spine."""
    assert len(ways[0].trajectories) == 1
    assert ways[0].trajectories[0].approach == "transpedicular"
    assert ways[0].off_midline_mm <= 3.0
    assert ways[0].trajectories[0].instrument.gauge == 11


def test_every_way_says_why_it_stands_where_it_stands(ways) -> None:
    assert ways[0].reason.startswith("Best balance")
    assert "tip on the midline" in ways[0].reason
    for way in ways[1:]:
        assert way.reason.endswith(".")
        assert any(
            word in way.reason
            for word in ("more", "less", "shorter", "longer", "nearer", "further", "Equal", "puncture")
        )


def test_a_handful_is_offered_with_the_best_of_every_kind(ways) -> None:
    assert 6 <= len(ways) <= 8
    kinds = [tuple((t.side, t.approach) for t in w.trajectories) for w in ways]
    assert len(set(kinds)) == 6
    rest = [w.score for w in ways if len(w.trajectories) > 1 or w.trajectories[0].approach != "transpedicular"]
    assert rest == sorted(rest, reverse=True)


def test_the_tips_of_a_two_sided_plan_stand_in_the_middle_of_either_half(ways) -> None:
    pair = next(w for w in ways if len(w.trajectories) == 2)
    left, right = sorted(pair.trajectories, key=lambda t: t.side.sign, reverse=True)
    assert left.target_mm[0] > 4.0 > -4.0 > right.target_mm[0]
    assert abs(left.target_mm[0] + right.target_mm[0]) < 1e-6


def test_where_one_needle_cannot_reach_the_midline_that_is_said_and_two_come_first() -> None:
    """A straight pedicle that lets no oblique needle through: common at L1 and L2."""
    straight = replace(TRANSPEDICULAR, transverse_deg=Range(0.0, 14.0, "deg"))
    ways = ways_in(patient(angle_deg=2.0), Level.L3, approaches=(straight,))
    assert len(ways[0].trajectories) == 2
    one = next(w for w in ways if len(w.trajectories) == 1)
    assert one.off_midline_mm > 3.0
    told = [f.text for f in one.findings if "reaches the midline" in f.text]
    assert len(told) == 1
    assert f"stops {one.corridors[0].least_off_mm:.0f} mm short" in told[0]
    assert "one puncture less" in one.reason.lower()


def test_a_side_without_the_usual_path_is_told_on_the_best_way() -> None:
    block = {"kidney_left": lambda x, y, z: (y > 42) & (y < 55) & (x > 2) & (x < 80)}
    ways = ways_in(patient(structures=block), Level.L3)
    assert {t.side for w in ways for t in w.trajectories if t.approach == "transpedicular"} == {Side.RIGHT}
    told = [f.text for f in ways[0].findings if f.text.startswith("No transpedicular path to L3 from the left")]
    assert len(told) == 1
    assert "kidney left is in the way" in told[0]


def test_nothing_anywhere_is_a_refusal_that_names_what_stands_there() -> None:
    wall = {"liver": lambda x, y, z: (y > 45) & (y < 50) & (np.abs(x) < 96)}
    with pytest.raises(NoSafeTrajectory, match="liver is in the way"):
        ways_in(patient(structures=wall), Level.L3)


def test_a_level_without_an_approach_is_refused() -> None:
    with pytest.raises(LevelError, match="no posterior approach"):
        ways_in(patient(level=Level.C5), Level.C5)


def test_thoracic_levels_go_beside_the_pedicle_with_a_thinner_needle() -> None:
    first = ways_in(patient(level=Level.T10), Level.T10)[0].trajectories[0]
    assert first.approach == EXTRAPEDICULAR.name
    assert first.instrument.gauge == 13


def test_the_users_own_needle_is_the_one_that_is_planned() -> None:
    own = Needle(2.0, 140.0, None, "own needle")
    ways = ways_in(patient(), Level.L3, instrument=own, sides=(Side.RIGHT,))
    assert {t.instrument for w in ways for t in w.trajectories} == {own}
    assert {t.side for w in ways for t in w.trajectories} == {Side.RIGHT}
