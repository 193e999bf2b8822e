"""What-ifs: what each changes, what it leaves alone, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trocar.anatomy.bone import calibrated
from trocar.anatomy.labels import split
from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy, build_anatomy
from trocar.anatomy.phantom import PhantomLesion, PhantomSpec, phantom
from trocar.anatomy.schemes import scheme
from trocar.anatomy.vertebra import Part
from trocar.geometry import Side
from trocar.mechanics.answers import press
from trocar.mechanics.filling import body_of, central, inside, one_sided
from trocar.mechanics.lesion import lesion_at, lytic_region
from trocar.mechanics.model import BoneModel, Tissue, bone_model
from trocar.mechanics.scenario import (
    STIFFNESS_KEPT,
    Composite,
    Crush,
    Endplate,
    ablated,
    as_is,
    augmented,
    cement_in_bone_mpa,
    fractured,
    intact,
    kept_in_band,
    lysed,
)
from trocar.physics.elasticity import deform
from trocar.physics.materials import PMMA
from trocar.physics.solid import Boundary, Solid

from .body_models import block, mirrored, vertebra


def test_as_it_is_changes_nothing() -> None:
    model = vertebra()
    scenario = as_is(model)
    assert scenario.model is model
    assert not scenario.changed.any()


def test_cement_changes_its_region_and_nothing_else() -> None:
    model = vertebra()
    filling = central(model, percent=15.0)
    after = augmented(model, filling).model
    assert np.array_equal(after.tissue(Tissue.CEMENT), filling.region)
    assert np.all(after.solid.modulus_mpa[filling.region] == PMMA.modulus_mpa)
    assert np.all(after.solid.yield_mpa[filling.region] == PMMA.yield_mpa)
    for before, then in (
        (model.solid.modulus_mpa, after.solid.modulus_mpa),
        (model.solid.material, after.solid.material),
        (model.solid.yield_mpa, after.solid.yield_mpa),
    ):
        assert np.array_equal(before[~filling.region], then[~filling.region])
    assert np.array_equal(model.density_g_cc, after.density_g_cc)
    assert np.array_equal(model.parts, after.parts)


def test_cement_in_bone_by_both_laws() -> None:
    """At 0.15 g/cc K2HPO4: ash 0.1979 g/cc, of 1.2 that is 16.49 % bone; 0.8351 x 2500 + 400 = 2487.7 MPa."""
    model = block((3, 3, 3), 400.0, density=np.full((3, 3, 3), 0.15))
    assert np.all(cement_in_bone_mpa(model, 2500.0) == 2500.0)
    mixed = cement_in_bone_mpa(model, 2500.0, Composite.MIXTURE)
    assert mixed == pytest.approx(np.full((3, 3, 3), 2487.7), abs=0.1)


def test_a_cavity_takes_pure_cement_under_both_laws() -> None:
    model = vertebra()
    hollow = ablated(model, inside(model, 8.0)).model
    for law in Composite:
        assert np.all(cement_in_bone_mpa(hollow, 2500.0, law)[inside(model, 8.0)] == 2500.0)


@pytest.mark.parametrize("endplate", Endplate)
def test_a_crushed_band_is_as_thick_as_asked(endplate: Endplate) -> None:
    model = block((20, 12, 10))
    scenario = fractured(model, crush=Crush.BAND, endplate=endplate, share=0.3, stiffness_kept=0.2)
    rows = scenario.changed.all(axis=(1, 2))
    assert np.array_equal(rows, scenario.changed.any(axis=(1, 2)))
    assert np.flatnonzero(rows).tolist() == (list(range(14, 20)) if endplate is Endplate.SUPERIOR else list(range(6)))
    assert np.all(scenario.model.solid.modulus_mpa[scenario.changed] == pytest.approx(200.0))
    assert np.all(scenario.model.solid.yield_mpa[scenario.changed] == pytest.approx(8.9))
    assert np.all(scenario.model.solid.modulus_mpa[~scenario.changed] == 1000.0)


def test_a_wedge_thins_out_to_nothing_at_the_back() -> None:
    changed = fractured(block((20, 10, 4)), crush=Crush.WEDGE, share=0.5).changed
    thick = changed.sum(axis=0)
    # the middles of ten rows lie at 5, 15, ... 95 % of the depth; half the height at the front is ten voxels
    wanted = 10.0 * (1.0 - (np.arange(10) + 0.5) / 10.0)
    assert np.abs(thick[:, 0] - wanted).max() <= 0.5
    assert np.all(np.diff(thick[:, 0]) <= 0)


def test_only_bone_is_crushed_and_only_the_body() -> None:
    model = augmented(vertebra(), central(vertebra(), percent=20.0)).model
    changed = fractured(model, share=0.6).changed
    assert np.all(model.parts[changed] == Part.BODY)
    assert not (changed & model.tissue(Tissue.CEMENT, Tissue.CAP)).any()


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_a_crushed_bar_keeps_the_measured_stiffness(share: float) -> None:
    """Wegrzyn 2011: 53 % of the stiffness is lost. Slices in series, without Poisson's effect, are exact."""
    model = block((20, 3, 3))
    crushed = fractured(model, crush=Crush.BAND, share=share).model
    assert _force(crushed.solid) / _force(model.solid) == pytest.approx(STIFFNESS_KEPT, rel=1e-4)
    assert kept_in_band(1.0) == pytest.approx(STIFFNESS_KEPT)


def _force(solid: Solid) -> float:
    bottom, top = (np.zeros(solid.nodes, bool) for _ in range(2))
    bottom[0], top[-1] = True, True
    held = Boundary.displace(bottom, 0, 0.0) + Boundary.displace(bottom, 1, 0.0) + Boundary.displace(bottom, 2, 0.0)
    return float(-deform(solid, held + Boundary.displace(top, 0, -0.1)).force_n(top)[0])


def test_a_lesion_has_the_size_and_the_place_asked() -> None:
    model = vertebra(mm=1.0)
    for place in ((0.5, 0.5, 0.5), (0.4, 0.3, 0.7)):
        scenario = lysed(model, percent=10.0, place=place)
        share = scenario.changed.sum() / (model.parts == Part.BODY).sum()
        assert share == pytest.approx(0.10, abs=1e-4)
        assert np.array_equal(scenario.model.tissue(Tissue.TUMOUR), scenario.changed)
        cells = np.argwhere(body_of(model))
        first, extent = cells.min(axis=0), np.ptp(cells, axis=0) + 1
        middle = (np.argwhere(scenario.changed).mean(axis=0) + 0.5 - first) / extent
        assert middle == pytest.approx(np.array(place), abs=0.03)
    assert "10 %" in scenario.method
    assert scenario.name == "lysed 10 %"


def test_a_lesion_may_break_through_the_cortex_if_told_to() -> None:
    model = vertebra()
    at_wall = {"percent": 8.0, "place": (0.5, 0.95, 0.5)}
    assert not (lysed(model, **at_wall).changed & ~inside(model)).any()
    assert (lysed(model, **at_wall, shell_mm=0.0).changed & ~inside(model)).any()


def test_left_and_right_exchange() -> None:
    model = vertebra(noise=0.3)
    other = mirrored(model)
    left = lysed(model, percent=9.0, place=(0.5, 0.4, 0.8)).model
    right = lysed(other, percent=9.0, place=(0.5, 0.4, 0.2)).model
    assert np.array_equal(left.solid.material[:, :, ::-1], right.solid.material)
    crushed = (fractured(m).model.solid.modulus_mpa for m in (model, other))
    assert np.array_equal(next(crushed)[:, :, ::-1], next(crushed))
    assert np.array_equal(intact(left).model.solid.modulus_mpa[:, :, ::-1], intact(right).model.solid.modulus_mpa)


def test_intact_gives_back_what_the_tumour_took() -> None:
    model = vertebra(mm=1.0, noise=0.1)
    sick = lysed(model, percent=15.0).model
    well = intact(sick)
    assert not well.model.tissue(Tissue.TUMOUR).any()
    assert np.array_equal(well.changed, sick.tissue(Tissue.TUMOUR))
    given = well.model.solid.modulus_mpa[well.changed]
    assert np.ptp(given) == 0.0
    assert given[0] == pytest.approx(200.0, rel=0.02)
    assert well.model.density_g_cc[well.changed][0] == pytest.approx(200.0 / 3000.0, rel=0.02)


def test_a_dark_region_is_found_by_its_density() -> None:
    model = _dense(0.15)
    ball = lesion_at(model, (0.5, 0.5, 0.4), 8.0, 5.0)
    dark = replace(model, density_g_cc=np.where(ball, 0.03, model.density_g_cc).astype(np.float32))
    found = lytic_region(dark)
    assert (found & ball).sum() > 0.8 * ball.sum()
    assert (found & ~ball).sum() < 0.2 * ball.sum()
    assert not lytic_region(model).any()
    assert np.array_equal(intact(dark).changed, found)


def _dense(g_cc: float) -> BoneModel:
    model = vertebra(mm=1.0)
    return replace(model, density_g_cc=np.where(model.tissue(Tissue.BONE), g_cc, 0.0).astype(np.float32))


def test_a_small_dark_spot_is_no_lesion() -> None:
    """Below 0.5 ml it may be the basivertebral vein."""
    model = _dense(0.15)
    ball = lesion_at(model, (0.5, 0.5, 0.5), 1.0, 5.0)
    assert 0.001 * ball.sum() < 0.5
    dark = replace(model, density_g_cc=np.where(ball, 0.0, model.density_g_cc).astype(np.float32))
    assert not lytic_region(dark).any()


def test_ablated_is_empty_or_softer() -> None:
    model = vertebra()
    region = lesion_at(model, (0.5, 0.5, 0.5), 6.0)
    empty = ablated(model, region).model
    assert not empty.solid.filled[region].any()
    assert np.array_equal(empty.solid.filled | region, model.solid.filled)
    soft = ablated(model, region, kept=0.25).model
    assert soft.solid.modulus_mpa[region] == pytest.approx(0.25 * model.solid.modulus_mpa[region])
    assert np.array_equal(soft.solid.material, model.solid.material)


def test_scenarios_chain() -> None:
    model = vertebra()
    filling = one_sided(model, Side.LEFT, percent=10.0)
    both = fractured(model).then(augmented, filling)
    assert both.name == "fractured, cement one-sided, left 10 %"
    assert np.array_equal(both.changed, fractured(model).changed | filling.region)
    assert np.all(both.model.solid.modulus_mpa[filling.region] == PMMA.modulus_mpa)
    assert both.method.startswith("A wedge of 30 %")


def test_a_model_without_yield_stresses_stays_without() -> None:
    model = vertebra()
    model = replace(model, solid=replace(model.solid, yield_mpa=None))
    for scenario in (fractured(model), lysed(model, percent=5.0), augmented(model, central(model, ml=1.0))):
        assert scenario.model.solid.yield_mpa is None
        assert intact(scenario.model).model.solid.yield_mpa is None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda m: fractured(m, share=0.0), "share=0"),
        (lambda m: fractured(m, stiffness_kept=1.2), "stiffness_kept=1.2"),
        (lambda m: fractured(m, strength_kept=0.0), "strength_kept=0"),
        (lambda m: lysed(m), "as a region or in percent"),
        (lambda m: lysed(m, percent=10.0, place=(0.5, 1.5, 0.5)), "between 0 and 1"),
        (lambda m: lysed(m, percent=90.0), "holds up to"),
        (lambda m: lysed(m, np.zeros((3, 3, 3), bool)), "must lie on the model's grid"),
        (lambda m: ablated(m, np.zeros(m.solid.shape, bool)), "no voxel"),
        (lambda m: ablated(m, np.ones(m.solid.shape, bool)), "outside"),
        (lambda m: ablated(m, inside(m), kept=1.5), "kept=1.5"),
        (lambda m: intact(m, body_of(m)), "no trabecular bone"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        wrong(vertebra())


def test_a_drawn_lesion_is_found_and_filled() -> None:
    """A phantom with a lytic ball, read from its CT: the volume that anatomy tells, and the stiffness of its twin.

    What stays missing is the ball's blurred edge, which counts neither there nor here.
    """
    sick, well = (drawn_l2(lesion=what) for what in (PhantomLesion(), None))
    line = calibrated(well)
    model, twin = (bone_model(a, "L2", spacing_mm=1.25, calibration=line) for a in (sick, well))
    told_ml = sick.vertebra("L2").measure("lytic_volume").value
    healed = intact(model)
    assert healed.changed.sum() * model.solid.voxel_mm3 / 1000.0 == pytest.approx(told_ml, rel=0.25)
    assert not intact(twin).changed.any()
    ill, back, whole = (press(m).stiffness for m in (model, healed.model, twin))
    assert ill < 0.96 * whole
    assert back == pytest.approx(whole, rel=0.03)


def drawn_l2(**what: object) -> Anatomy:
    drawn = phantom(PhantomSpec(levels=(Level("L2"),), focus=Level("L2"), voxel_mm=(1.25, 1.0, 1.0), **FIELD, **what))
    return build_anatomy(drawn.ct, split(drawn.labels, scheme("totalseg-v2")))


FIELD = {"field_of_view_mm": (70.0, 190.0, 130.0)}
