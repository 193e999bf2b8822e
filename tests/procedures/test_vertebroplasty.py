"""Vertebroplasty: which way it puts first, and that its fields do what they say."""

from __future__ import annotations

from functools import cache

import pytest

import trocar
from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.phantom import PhantomSpec, phantom
from trocar.errors import NoSafeTrajectory
from trocar.procedures.bone_access import BREACH_CAUTION
from trocar.procedures.vertebroplasty import Vertebroplasty
from trocar.treatment import Plan


@cache
def patient(level: str, pedicle_share: float = 1.0) -> Anatomy:
    n = list(Level).index(Level[level])
    spec = PhantomSpec(
        levels=(list(Level)[n], list(Level)[n + 1]),
        focus=Level[level],
        pedicle_share=pedicle_share,
        voxel_mm=(2.0, 1.0, 1.0),
    )
    drawn = phantom(spec)
    return trocar.read_anatomy(drawn.labels, on=drawn.ct, scheme="totalseg-v2")


def planned(level: str, pedicle_share: float = 1.0, **fields: object) -> Plan:
    return trocar.plan(patient(level, pedicle_share), Vertebroplasty(level=Level[level], **fields))  # type: ignore[arg-type]


def texts(plan: Plan) -> str:
    return "\n".join(str(f) for f in plan.findings)


@pytest.mark.parametrize(("level", "approach"), [("L4", "transpedicular"), ("T9", "extrapedicular")])
def test_the_usual_approach_comes_first_with_one_needle_at_the_midline(level: str, approach: str) -> None:
    """C20 to C22: one-sided; through the pedicle in the lumbar spine, beside it in the thoracic; to the centre."""
    (first,) = planned(level).best.trajectories
    assert first.approach == approach
    frame = patient(level).vertebra(level).frame
    assert abs(frame.to_local(first.target_mm)[0]) <= 3.0


def test_a_narrow_pedicle_is_told_and_another_way_comes_first() -> None:
    plan = planned("L4", pedicle_share=0.55)
    assert plan.best.trajectories[0].approach == "extrapedicular"
    assert "usual transpedicular path" in texts(plan) or "No transpedicular path" in texts(plan)


def test_both_sides_and_two_needles_are_offered() -> None:
    names = {tuple(sorted(t.side.value for t in o.trajectories)) for o in planned("L4").options}
    assert names == {("left",), ("right",), ("left", "right")}


def test_a_side_and_an_approach_can_be_asked_for() -> None:
    plan = planned("L4", side="right", approach="extrapedicular")
    assert {(t.side.value, t.approach) for o in plan.options for t in o.trajectories} == {("right", "extrapedicular")}


def test_the_needle_is_the_users() -> None:
    own = planned("L4", outer_diameter_mm=2.0, needle_length_mm=150.0).best.trajectories[0].instrument
    assert (own.outer_diameter_mm, own.length_mm) == (2.0, 150.0)
    assert planned("L4", gauge="13").best.trajectories[0].instrument.outer_diameter_mm == 2.413


def test_a_margin_that_nothing_keeps_is_refused_with_what_would_do() -> None:
    with pytest.raises(NoSafeTrajectory) as refused:
        planned("L4", approach="transpedicular", outer_diameter_mm=6.0, canal_margin_mm=10.0)
    assert refused.value.structure
    assert refused.value.shortfall_mm > 0.0


def test_a_shaky_hand_is_a_caution() -> None:
    steady, shaky = planned("L4", entry_sd_mm=0.1, angle_sd_deg=0.1), planned("L4", entry_sd_mm=6.1, angle_sd_deg=3.4)
    chances = [p.best.trajectories[0].breach_probability for p in (steady, shaky)]
    assert chances[0] is not None
    assert chances[1] is not None
    assert chances[0].value < BREACH_CAUTION < chances[1].value
    assert "hand error breaches" in texts(shaky)
    assert "hand error breaches" not in texts(steady)


def test_the_mark_is_for_the_position_asked_for() -> None:
    prone, left = planned("L4"), planned("L4", position="HFDL")
    lines = [p.procedure.mark(p.best.trajectories[0], p.anatomy).lines()[0] for p in (prone, left)]
    assert "prone" in lines[0]
    assert "left side" in lines[1]
    assert any(m.name == "needle_mark_from_midline" for m in prone.best.trajectories[0].measures)


def test_fields_are_checked_whoever_constructs_it() -> None:
    with pytest.raises(ValueError, match=r"canal_margin_mm=40 is outside 0 to 10 mm for Vertebroplasty\."):
        Vertebroplasty(level=Level.L1, canal_margin_mm=40)
    with pytest.raises(ValueError, match=r"outer_diameter_mm=0\.1 is outside 0.3 to 12 mm"):
        Vertebroplasty(level=Level.L1, outer_diameter_mm=0.1)
    with pytest.raises(ValueError, match="side='front' is not one of any, left, right"):
        Vertebroplasty(level=Level.L1, side="front")
