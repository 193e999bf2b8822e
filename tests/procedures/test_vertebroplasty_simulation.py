"""What vertebroplasty is expected to do: on drawn patients whose lesion, fracture and side are known."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import trocar
from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.phantom import PhantomSpec, phantom
from trocar.anatomy.phantom_spec import PhantomLesion
from trocar.errors import SimulationError
from trocar.measure import Measure, Status
from trocar.mechanics import comparison
from trocar.mechanics.model import Ends
from trocar.procedures.vertebroplasty import Vertebroplasty
from trocar.treatment import Plan, Simulation

SOUND, WEDGE, LYSIS = "sound", "wedge", "lysis"


@cache
def patient(kind: str = SOUND, mirror: bool = False) -> Anatomy:
    spec = PhantomSpec(
        levels=(Level.L1, Level.L2),
        focus=Level.L1,
        fracture="wedge" if kind == WEDGE else "none",  # type: ignore[arg-type]
        lesion=PhantomLesion() if kind == LYSIS else None,
        voxel_mm=(2.0, 1.0, 1.0),
        noise_hu=0.0,
        mirror=mirror,
    )
    drawn = phantom(spec)
    return trocar.read_anatomy(drawn.labels, on=drawn.ct, scheme="totalseg-v2")


def planned(kind: str = SOUND, mirror: bool = False, **fields: object) -> Plan:
    asked = {"model_voxel_mm": 2.0, "compare_fillings": "no", "leak_runs": "0", **fields}
    return trocar.plan(patient(kind, mirror), Vertebroplasty(level=Level.L1, **asked))  # type: ignore[arg-type]


@cache
def simulated(kind: str = SOUND, mirror: bool = False, **fields: object) -> Simulation:
    return trocar.simulate(planned(kind, mirror, **fields))


def value(simulation: Simulation, name: str) -> float:
    return next(m.value for m in simulation.measures if m.name == name)


def measure(simulation: Simulation, name: str) -> Measure:
    return next(m for m in simulation.measures if m.name == name)


def test_cement_gives_the_vertebra_stiffness_and_strength_by_every_criterion() -> None:
    found = simulated()
    assert found.status is Status.SUCCESS
    for name in ("stiffness", "strength_stiffness", "strength_offset", "strength_section"):
        assert value(found, f"{name}_augmented") > 1.05 * value(found, f"{name}_as_is")


def test_the_planned_volume_lies_about_the_planned_tip() -> None:
    found = simulated(cement_volume_ml=3.0)
    cement = found.volumes["cement"]
    assert value(found, "cement_volume") == pytest.approx(3.0 - sum(found.series["leaks"]["leaked_ml"]), abs=0.06)
    # it soaks bone: the bone itself takes its share of the room
    assert 1.0 < cement.array.sum() * 0.008 / value(found, "cement_volume") < 1.3
    tip = found.plan.best.trajectories[0].target_mm
    assert cement.sample(tip[None], outside=0, order=0)[0] == 1


def test_a_lesion_is_compared_with_what_the_bone_would_be_without_it() -> None:
    found = simulated(LYSIS)
    assert value(found, "stiffness_intact") > 1.02 * value(found, "stiffness_as_is")
    assert "intact" not in "".join(m.name for m in simulated().measures)


def test_a_fracture_is_weak_before_the_cement_and_the_reader_is_told() -> None:
    found = simulated(WEDGE)
    assert value(found, "stiffness_fractured") < value(found, "stiffness_as_is")
    assert value(found, "stiffness_augmented") > value(found, "stiffness_fractured")
    assert any("healed" in f.text for f in found.findings)
    assert not any("healed" in f.text for f in simulated().findings)


def test_other_fillings_are_compared_when_asked_for() -> None:
    assert "sweep" not in simulated().series
    sweep = simulated(compare_fillings="yes").series["sweep"]
    places = list(dict.fromkeys(sweep["place"]))
    assert {p.split(",")[0] for p in places} == {"one-sided", "two-sided"}
    assert places[0] == simulated().plan.best.name.rpartition(", ")[0]
    assert len({len(column) for column in sweep.values()}) == 1
    for place in places:
        own = np.array(sweep["place"]) == place
        assert own.sum() > 2
        assert np.all(np.diff(np.array(sweep["fill_percent"])[own]) > 0.0)
        assert np.all(np.diff(np.array(sweep["stiffness_n_per_mm"])[own]) > 0.0)


def test_mirrored_patient_mirrored_answer() -> None:
    left, right = (simulated(side=s, mirror=m, cement_volume_ml=4.0) for s, m in (("left", False), ("right", True)))
    assert value(right, "stiffness_augmented") == pytest.approx(value(left, "stiffness_augmented"), rel=1e-3)
    tilts = [value(found, "tilt_left_augmented") for found in (left, right)]
    # the tip is at the midline and the tilt small: a fifth of it is a rounded voxel of cement
    assert abs(tilts[0]) > 5e-4
    assert tilts[1] == pytest.approx(-tilts[0], abs=2e-4)


def test_every_number_names_its_ends_and_its_law() -> None:
    for name in ("stiffness_as_is", "strength_offset_augmented"):
        method = measure(simulated(), name).method
        assert "PMMA caps" in method
        assert "kopperdahl-2002-power" in method


def test_more_cement_than_the_body_holds_is_refused_by_the_rule_that_warned_of_it() -> None:
    with pytest.raises(ValueError, match=r"15\.0 mL of cement do not fit: the body of L1 holds about [\d.]+ mL inside"):
        simulated(SOUND, cement_volume_ml=15.0)
    with pytest.raises(ValueError, match=r"cement_volume_ml=0\.1 is less than the 0\.2 mL"):
        Vertebroplasty(level=Level.L1, cement_volume_ml=0.1)


def test_cement_that_cannot_all_be_pushed_is_no_filling_to_export() -> None:
    plan = planned(cement="high viscosity", cement_age_min=8.0, injector="10 ml syringe", cement_volume_ml=4.0)
    procedure = plan.procedure
    assert isinstance(procedure, Vertebroplasty)
    with pytest.raises(SimulationError, match="more pressure than the injector can give"):
        procedure.filling(procedure.bone(plan, Ends.CAPS), plan)


def test_cement_that_nobody_has_measured_so_old_is_refused_with_its_bounds() -> None:
    with pytest.raises(
        ValueError, match=r"cement_age_min=29: .* known from 3\.\d to 18\.\d min after mixing at 21 degC"
    ):
        Vertebroplasty(level=Level.L1, cement="low viscosity", cement_age_min=29.0)


def test_a_seed_is_whole_and_no_injector_gives_more_than_it_can() -> None:
    with pytest.raises(ValueError, match=r"leak_seed=1\.5 must be a whole number"):
        Vertebroplasty(level=Level.L1, leak_seed=1.5)
    with pytest.raises(ValueError, match=r"injection_pressure_mpa=5 is more than the 0\.61 MPa of a 10 ml syringe"):
        Vertebroplasty(level=Level.L1, injection_pressure_mpa=5.0, injector="10 ml syringe")


def test_what_the_injector_cannot_push_is_an_error_that_carries_what_went_in() -> None:
    plan = planned(
        cement="high viscosity", cement_age_min=8.0, injector="10 ml syringe", cement_volume_ml=4.0, leak_runs="20"
    )
    with pytest.raises(SimulationError, match="more pressure than the injector can give") as caught:
        trocar.simulate(plan)
    found = caught.value.simulation
    assert found.status is Status.INJECTOR_LIMIT
    assert "leak_risk" not in found.series  # how seldom leaks what cannot be pushed is no comfort
    assert found.findings[0].text.startswith("This simulation failed.")
    assert any("Of 4.0 ml only" in f.text for f in found.findings)
    assert found.series["injection"]["driving_kpa"][-1] > 600.0
    assert value(found, "cement_injected") < 4.0


def test_leaks_are_told_with_their_interval_and_what_others_found() -> None:
    asked = {"leak_runs": "20", "leak_voxel_mm": 3.0, "cement_volume_ml": 6.0}
    found = simulated(**asked)
    chance = measure(found, "leak_probability_any")
    assert chance.low is not None
    assert chance.high is not None
    assert 0.0 <= chance.low <= chance.value <= chance.high <= 1.0
    assert 0.0 < value(found, "leak_rate_any_published") < 1.0
    risk = found.series["leak_risk"]
    assert risk["any"][-1] == pytest.approx(chance.value)
    assert np.all(np.diff(risk["any"]) >= 0.0)
    assert found.series["leak_changes"]["change"][0] == "as planned"
    assert len(found.series["leak_changes"]["change"]) > 6
    reach = found.volumes["cement_reach"]
    tip = found.plan.best.trajectories[0].target_mm
    assert reach.sample(tip[None])[0] > 0.5
    again = trocar.simulate(planned(**asked), kept={}, workers=2)
    assert again.measures == found.measures
    assert all(again.series[name] == found.series[name] for name in ("leak_risk", "leak_changes"))


def test_runs_that_are_kept_are_not_run_again() -> None:
    kept: dict[str, object] = {}
    asked = {"leak_runs": "20", "leak_voxel_mm": 3.0, "compare_changes": "no"}
    first = trocar.simulate(planned(**asked), kept=kept)  # type: ignore[arg-type]
    assert len(kept) == 20
    told: list[str] = []
    second = trocar.simulate(planned(**asked), told.append, kept=kept)  # type: ignore[arg-type]
    assert len(kept) == 20
    assert second.measures == first.measures
    assert [t for t in told if t.startswith("injections:")] == ["injections: 20 of 20"]


def test_a_solve_that_does_not_converge_is_an_error_that_carries_what_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = comparison.everything
    monkeypatch.setattr(comparison, "everything", lambda *a, **k: (real(*a, **k)[0], Status.NOT_CONVERGED))
    with pytest.raises(SimulationError, match="did not reach its tolerance") as caught:
        trocar.simulate(planned())
    assert caught.value.simulation.status is Status.NOT_CONVERGED
    assert "cement" in caught.value.simulation.volumes


def test_what_is_computed_is_told() -> None:
    said: list[str] = []
    trocar.simulate(planned(), said.append)
    assert said[0] == "building the bone model"
    assert any("cement" in s for s in said)


def test_what_the_cement_changes_in_the_neighbour_is_told_when_asked_for() -> None:
    found = simulated(adjacent_level="below")
    (pressure,) = (m for m in found.measures if m.name == "neighbour_endplate_pressure_change")
    assert pressure.unit == "%"
    assert pressure.low is not None
    assert "L2" in pressure.method
    # at equal force the mean pressure on a plate can't change by much: the force is the same
    assert abs(pressure.value) < 5.0
    assert "neighbour_endplate_pressure_change" not in {m.name for m in simulated().measures}


def test_without_a_neighbour_the_reader_is_told_that_nothing_is_known() -> None:
    found = simulated(adjacent_level="above")
    assert any("No whole vertebra above L1" in f.text for f in found.findings)


def test_without_a_volume_the_usual_share_of_the_body_is_filled() -> None:
    assert value(simulated(), "fill_share") == pytest.approx(15.0, abs=0.1)


def test_cement_that_cannot_fit_is_a_stop_when_it_is_planned() -> None:
    assert any("15.0 mL of cement do not fit" in str(f) for f in planned(cement_volume_ml=15.0).findings)
    assert not any("do not fit" in str(f) for f in planned(cement_volume_ml=5.0).findings)


def test_more_than_a_third_of_the_body_is_a_caution() -> None:
    assert any("more than stiffness asks for" in f.text for f in simulated(cement_volume_ml=9.0).findings)
    assert not any("more than stiffness asks for" in f.text for f in simulated().findings)
