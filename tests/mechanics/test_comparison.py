"""Scenarios side by side: named answers, fields under one force, sections; from real solves on a small body."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trocar.measure import Status
from trocar.mechanics import comparison
from trocar.mechanics.answers import TOLD_N, press, stiffness
from trocar.mechanics.comparison import Comparison, compare
from trocar.mechanics.filling import central
from trocar.mechanics.model import BoneModel
from trocar.mechanics.scenario import Scenario, as_is, augmented
from trocar.physics.strength import section_rigidity

from .body_models import vertebra


@pytest.fixture(scope="module")
def model() -> BoneModel:
    return vertebra()


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def found(model: BoneModel, said: list[str]) -> Comparison:
    return compare(both(model), said.append)


def both(model: BoneModel) -> dict[str, Scenario]:
    before = as_is(model)
    return {"as_is": before, "augmented": before.then(augmented, central(model, percent=20.0))}


def test_every_answer_carries_its_scenario(found: Comparison, model: BoneModel):
    names = [m.name for m in found.measures]
    assert len(set(names)) == len(names)
    for answer in ("stiffness", "strength_stiffness", "strength_offset", "strength_section", "tilt_left"):
        assert {f"{answer}_as_is", f"{answer}_augmented"} <= set(names)
    assert found.value("stiffness", "as_is") == pytest.approx(stiffness(press(model)).value, rel=1e-5)


def test_a_warm_start_does_not_change_the_answer(found: Comparison, model: BoneModel):
    alone = stiffness(press(both(model)["augmented"].model)).value
    assert found.value("stiffness", "augmented") == pytest.approx(alone, rel=1e-5)
    assert found.value("stiffness", "augmented") > 1.05 * found.value("stiffness", "as_is")


def test_each_answer_is_bounded_by_the_other_laws_of_bone(found: Comparison):
    told = next(m for m in found.measures if m.name == "stiffness_augmented")
    assert told.low is not None
    assert told.high is not None
    assert told.low <= told.value <= told.high
    assert told.low < told.high
    assert "PMMA" in told.interval


def test_fields_are_those_under_the_told_force(found: Comparison, model: BoneModel):
    volumes = found.volumes()
    assert set(volumes) == {
        f"{f}_{s}" for f in ("modulus", "strain_energy", "effective_strain") for s in ("as_is", "augmented")
    }
    energy = volumes["strain_energy_as_is"]
    assert energy.unit == "mJ/mm3"
    whole = float(energy.array.sum(dtype=np.float64)) * model.solid.voxel_mm3
    # a linear body under a force F holds F^2 / (2 K)
    assert whole == pytest.approx(TOLD_N**2 / (2.0 * found.value("stiffness", "as_is")), rel=1e-3)


def test_the_weakest_section_is_the_least_of_the_series(found: Comparison, model: BoneModel):
    columns = found.sections()
    assert np.nanmin(columns["axial_rigidity_as_is_n"]) == pytest.approx(
        section_rigidity(model.solid, model.parts == 1).least_n
    )
    assert np.all(np.diff(columns["height_mm"]) > 0.0)


def test_progress_is_told_in_words(found: Comparison, said: list[str]):
    assert said[0] == "loading the vertebra as it is"
    assert len(said) == 2


def test_a_solve_that_fails_is_the_comparisons_status(model: BoneModel, monkeypatch: pytest.MonkeyPatch):
    def failed(*args, **kwargs):
        loaded = press(*args, **kwargs)
        return replace(loaded, deformation=replace(loaded.deformation, status=Status.NOT_CONVERGED))

    monkeypatch.setattr(comparison, "press", failed)
    found = compare({"as_is": as_is(model)})
    assert found.status is Status.NOT_CONVERGED
    assert found.measures == ()
