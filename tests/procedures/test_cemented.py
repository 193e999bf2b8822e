"""Ways in beside the planned one: each with its own ways out, none that stops the simulation, none with a cavity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import pytest

import trocar
from trocar.anatomy.bone import calibrated
from trocar.anatomy.levels import Level
from trocar.anatomy.phantom import PhantomSpec, phantom
from trocar.geometry import Side
from trocar.injection.changes import COMPARED, changes
from trocar.injection.ensemble import run
from trocar.injection.nominal import Nominal
from trocar.injection.site import Site
from trocar.measure import Status, Topic
from trocar.mechanics.filling import body_of, index_mm
from trocar.mechanics.model import BoneModel, Ends
from trocar.planning.trajectory import Trajectory
from trocar.procedures import cemented
from trocar.procedures.cement_access import CementAccess
from trocar.procedures.cemented import Cemented, different
from trocar.procedures.vertebroplasty import Vertebroplasty
from trocar.treatment import Means, Plan

from ..injection import sites

VOLUME_ML = 3.0


@cache
def plan() -> Plan:
    drawn = phantom(PhantomSpec(levels=(Level.L1, Level.L2), focus=Level.L1, voxel_mm=(2.0, 1.0, 1.0), noise_hu=0.0))
    anatomy = trocar.read_anatomy(drawn.labels, on=drawn.ct, scheme="totalseg-v2")
    asked = {"model_voxel_mm": 3.0, "leak_voxel_mm": 3.0, "leak_runs": "0"}
    return trocar.plan(anatomy, Vertebroplasty(level=Level.L1, **asked))  # type: ignore[arg-type]


@cache
def found() -> Cemented:
    return Cemented.of(procedure(), plan(), VOLUME_ML, Means(), calibrated(plan().anatomy))


@cache
def model() -> BoneModel:
    return procedure().bone(plan(), Ends.CAPS, calibrated(plan().anatomy))


def procedure() -> Vertebroplasty:
    made = plan().procedure
    assert isinstance(made, Vertebroplasty)
    return made


def needles(site: Site) -> set[str]:
    """The sides that the site's needle tracts are on."""
    return {w.name.split()[2] for w in site.ways if w.name.startswith("along the ")}


def injected(monkeypatch: pytest.MonkeyPatch, **ended: Any) -> list[Site]:
    """Inject other ways in at no cost, as the planned one with something changed, and note their sites."""
    seen: list[Site] = []
    injection = replace(found().nominal.injection, **ended)

    def nominal(site: Site) -> Nominal:
        seen.append(site)
        return Nominal(site, injection)

    monkeypatch.setattr(cemented, "nominal", nominal)
    return seen


def sides(paths: Sequence[Trajectory]) -> set[str]:
    return {t.side.value for t in paths}


def test_each_way_in_has_the_tracts_of_its_own_needles(monkeypatch: pytest.MonkeyPatch) -> None:
    own = found()
    seen = injected(monkeypatch)
    fillings, told = own.fillings(model())
    others = different(plan())[1:]
    assert not told
    assert len(others) == 2
    assert needles(own.nominal.site) == sides(plan().best.trajectories)
    for site, option in zip(seen, others, strict=True):
        assert needles(site) == sides(option.trajectories)
        tips = [index_mm(site.model, t.target_mm) for t in option.trajectories]
        np.testing.assert_allclose(site.tips_mm, tips)
    assert len({f.name for f in fillings}) == 3


def test_a_way_in_that_is_refused_is_left_out_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real, best = CementAccess.site, sides(plan().best.trajectories)

    def refusing(self: CementAccess, plan: Plan, paths: Sequence[Trajectory], *a: Any, **k: Any) -> Any:
        if len(paths) == 1 and sides(paths) != best:
            raise ValueError("tip 1 lies 2.0 mm outside the bone")
        return real(self, plan, paths, *a, **k)

    own = found()
    injected(monkeypatch)
    monkeypatch.setattr(CementAccess, "site", refusing)
    fillings, told = own.fillings(model())
    (note,) = told
    assert note.text.startswith("Not compared: one-sided, ")
    assert note.because == "tip 1 lies 2.0 mm outside the bone"
    assert note.topic is Topic.CEMENT
    assert len({f.name for f in fillings}) == 2


def test_a_way_in_through_which_nothing_goes_in_is_left_out_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    own = found()
    nothing = np.zeros_like(own.nominal.injection.saturation)
    injected(monkeypatch, status=Status.INJECTOR_LIMIT, content_mm3=nothing)
    fillings, told = own.fillings(model())
    assert len(told) == 2
    assert all(n.text.startswith("Not compared: ") and "no cement lies in the body" in n.because for n in told)
    assert {f.name for f in fillings} == {plan().best.name.rpartition(", ")[0]}


def test_a_way_in_that_ends_at_the_injectors_limit_keeps_what_went_in(monkeypatch: pytest.MonkeyPatch) -> None:
    own = found()
    injected(monkeypatch, status=Status.INJECTOR_LIMIT)
    fillings, told = own.fillings(model())
    assert len({f.name for f in fillings}) == 3
    assert len(told) == 2
    for note in told:
        assert note.text.startswith("Compared as far as it goes: ")
        assert note.text.endswith(" of 3.0 ml went in.")
        assert note.because == Status.INJECTOR_LIMIT.value


def test_a_way_in_that_was_not_computed_is_no_filling(monkeypatch: pytest.MonkeyPatch) -> None:
    own = found()
    injected(monkeypatch, status=Status.NOT_CONVERGED)
    fillings, told = own.fillings(model())
    assert {n.because for n in told} == {Status.NOT_CONVERGED.value}
    assert len({f.name for f in fillings}) == 1


def test_with_a_balloons_cavity_no_other_way_in_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    own, seen = found(), injected(monkeypatch)
    hollow = replace(own.nominal.site, cavity=np.zeros_like(body_of(own.nominal.site.model)))
    fillings, told = replace(own, nominal=replace(own.nominal, site=hollow)).fillings(model())
    assert (seen, told) == ([], ())
    assert len({f.name for f in fillings}) == 1


def test_changes_are_of_the_first_draws_and_of_each_way_in_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Site] = []

    def made_up(site: Site, seed: int, number: int) -> Any:
        if not any(site is s for s in seen):
            seen.append(site)
        return sites.made_up(site, seed, number)

    monkeypatch.setattr(cemented, "run", partial(run, one=made_up))
    monkeypatch.setattr(cemented, "changes", partial(changes, one=made_up))
    varied = replace(procedure(), leak_runs="50")
    several = Cemented.of(varied, plan(), VOLUME_ML, Means(), calibrated(plan().anatomy))
    assert several.outcome is not None
    assert several.changed is not None
    assert len(several.outcome.runs) == 50
    rows = {row.name: row for row in several.changed.rows}
    assert {row.draws for row in rows.values()} == {COMPARED}
    for option in different(plan())[1:]:
        assert option.name in rows
        assert any(needles(s) == sides(option.trajectories) for s in seen)
    assert {frozenset(needles(s)) for s in seen} == {
        frozenset({Side.LEFT.value}), frozenset({Side.RIGHT.value}), frozenset({Side.LEFT.value, Side.RIGHT.value}),
    }  # fmt: skip
