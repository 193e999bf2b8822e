"""Answers of a loaded vertebra against closed forms, bounds, conservation and mirror."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trocar.anatomy.vertebra import Part
from trocar.geometry import Side
from trocar.measure import Measure, Status
from trocar.mechanics.answers import (
    Loaded,
    bounded,
    carriers,
    height_mm,
    load_share,
    press,
    spread_text,
    stiffness,
    strain_energy,
    strained_most,
    strengths,
    under_law,
    variants,
)
from trocar.mechanics.filling import central, inside, one_sided
from trocar.mechanics.loads import Load
from trocar.mechanics.model import BoneModel, Ends, Tissue
from trocar.mechanics.scenario import augmented, fractured, lysed
from trocar.physics.materials import DEFAULT_LAW, LAWS, OFFSET_STRAIN, PMMA, Density
from trocar.physics.strength import FAILURE_STRAIN, SECTION_YIELD_STRAIN

from .body_models import block, mirrored, model_of, vertebra

BONE, CEMENT = 300.0, 2500.0


def plates(modulus: np.ndarray, poisson: float = 0.0, **kwargs) -> BoneModel:
    """A block between sliding plates."""
    return block(modulus.shape, modulus, poisson, ends=Ends.PLATES, **kwargs)


def half(axis: int) -> BoneModel:
    """8 x 6 x 10 mm, one half bone and the other cement, stacked (axis 0) or side by side (axis 2)."""
    shape = (8, 6, 10)
    where = np.zeros(shape, bool)
    index = [slice(None)] * 3
    index[axis] = slice(shape[axis] // 2, None)
    where[tuple(index)] = True
    tissue = np.where(where, int(Tissue.CEMENT), int(Tissue.BONE))
    modulus = np.where(where, CEMENT, BONE)
    return model_of(modulus, tissue, np.full(shape, Part.BODY), poisson=0.0, ends=Ends.PLATES)


def test_a_homogeneous_bar() -> None:
    """E A / L = 1000 x 60 / 8 = 7500 N/mm; 0.1 mm: 750 N, 37.5 mJ, strain 1.25 %."""
    loaded = press(plates(np.full((8, 6, 10), 1000.0), 0.3), amount=0.1)
    assert loaded.status is Status.SUCCESS
    assert stiffness(loaded).value == pytest.approx(7500.0, rel=1e-5)
    assert loaded.resistance == pytest.approx(750.0, rel=1e-5)
    assert strain_energy(loaded).value == pytest.approx(37.5, rel=1e-5)
    assert strained_most(loaded, 750.0).value == pytest.approx(1.25, rel=1e-4)
    assert strained_most(loaded, 1500.0).value == pytest.approx(2.5, rel=1e-4)


def test_slices_in_series_and_columns_in_parallel() -> None:
    series = stiffness(press(half(0))).value
    parallel = stiffness(press(half(2))).value
    assert series == pytest.approx(60.0 / 8.0 / (0.5 / BONE + 0.5 / CEMENT), rel=1e-5)
    assert parallel == pytest.approx(60.0 / 8.0 * 0.5 * (BONE + CEMENT), rel=1e-5)


def test_the_stiffness_does_not_depend_on_the_amount() -> None:
    model = vertebra(mm=4.0)
    assert press(model, amount=0.05).stiffness == pytest.approx(press(model, amount=0.4).stiffness, rel=1e-5)


def test_bending_of_a_bar() -> None:
    """E I / L = 1000 x 4 x 12^3 / 12 / 6 N mm per radian, up to the square of the grid."""
    loaded = press(plates(np.full((6, 12, 4), 1000.0)), Load.FLEXION, 0.5)
    measure = stiffness(loaded)
    assert measure.unit == "N.m/deg"
    assert measure.value == pytest.approx(1000.0 * 4.0 * 12.0**3 / 12.0 / 6.0 * np.radians(1.0) / 1000.0, rel=1e-2)


def test_parallel_columns_share_the_load_by_their_moduli() -> None:
    share = load_share(press(half(2)))
    assert share.percent("cement") == pytest.approx(100.0 * CEMENT / (BONE + CEMENT), rel=1e-4)
    bone = share.percent("shell") + share.percent("trabecular bone")
    assert bone == pytest.approx(100.0 * BONE / (BONE + CEMENT), rel=1e-4)


def test_slices_in_series_carry_the_whole_load_in_turn() -> None:
    loaded = press(half(0))
    force = load_share(loaded).force_n
    assert force["cement"] == pytest.approx(np.repeat([0.0, loaded.resistance], 4), rel=1e-4)
    assert force["shell"] + force["trabecular bone"] == pytest.approx(np.repeat([loaded.resistance, 0.0], 4), rel=1e-4)


def test_every_layer_carries_the_load() -> None:
    """Conservation: the forces of all carriers add up to the load in each layer, arch and caps included."""
    model = vertebra(mm=3.0, noise=0.3)
    sick = lysed(model, percent=6.0, place=(0.5, 0.8, 0.5)).model
    loaded = press(augmented(sick, one_sided(model, Side.LEFT, percent=12.0)).model)
    share = load_share(loaded)
    assert sum(share.force_n.values()) == pytest.approx(np.full(model.solid.shape[0], loaded.resistance), rel=2e-4)
    names = {m.name for m in share.measures()}
    assert {"load_share_cement", "load_share_shell", "load_share_trabecular_bone"} <= names
    assert sum(m.value for m in share.measures()) == pytest.approx(100.0)


def test_every_voxel_has_one_carrier() -> None:
    model = augmented(vertebra(), central(vertebra(), percent=10.0)).model
    count = sum(c.astype(int) for c in carriers(model).values())
    assert np.array_equal(count, model.solid.filled.astype(int))
    assert np.array_equal(carriers(model)["other"], model.tissue(Tissue.CAP))
    assert np.array_equal(carriers(model)["posterior elements"], model.parts == Part.ARCH)


def test_bone_of_a_neighbour_is_no_posterior_element() -> None:
    """A motion segment marks only the treated vertebra's parts."""
    model = vertebra()
    strange = replace(model, parts=np.where(model.parts == Part.ARCH, Part.NONE, model.parts))
    assert not carriers(strange)["posterior elements"].any()
    assert (carriers(strange)["other"] & (model.parts == Part.ARCH)).any()


def test_strengths_stand_side_by_side() -> None:
    """A homogeneous bar fails at one stress: 0.68 % or 0.64 % of elastic strain, or where its curve bends."""
    model = plates(np.full((8, 6, 10), 1000.0))
    loaded = press(model)
    shortening = np.array([0.0, 0.04, 0.4])
    curve = (shortening, np.array([0.0, 300.0, 300.0]))
    found = {m.name: m.value for m in strengths(loaded, curve)}
    assert found["strength_stiffness"] == pytest.approx(1000.0 * 60.0 * FAILURE_STRAIN, rel=1e-5)
    assert found["strength_section"] == pytest.approx(1000.0 * 60.0 * (SECTION_YIELD_STRAIN - OFFSET_STRAIN), rel=1e-5)
    assert found["strength_offset"] == pytest.approx(300.0)
    assert set(found) - {m.name for m in strengths(loaded)} == {"strength_offset"}
    assert all("kopperdahl" in m.method for m in strengths(loaded))


def test_a_curve_that_ends_too_early_gives_no_offset_strength() -> None:
    loaded = press(plates(np.full((8, 6, 10), 1000.0)))
    names = {m.name for m in strengths(loaded, ([0.0, 0.01], [0.0, 75.0]))}
    assert names == {"strength_stiffness", "strength_section"}


def test_the_height_is_the_bodys_without_caps() -> None:
    model = vertebra(mm=2.0, caps=2)
    assert height_mm(model) == 26.0
    assert model.solid.shape[0] * 2.0 == 34.0


def test_left_and_right_answer_alike() -> None:
    model = augmented(vertebra(mm=4.0, noise=0.3), one_sided(vertebra(mm=4.0), Side.RIGHT, percent=10.0)).model
    here, there = (_elastic(press(m)) for m in (model, mirrored(model)))
    assert [m.value for m in here] == pytest.approx([m.value for m in there], rel=1e-5)
    left, right = (
        press(m, d).stiffness for m, d in ((model, Load.BENDING_LEFT), (mirrored(model), Load.BENDING_RIGHT))
    )
    assert left == pytest.approx(right, rel=1e-5)


def _elastic(loaded: Loaded) -> tuple[Measure, ...]:
    return (stiffness(loaded), *strengths(loaded), strain_energy(loaded))


def test_another_law_changes_bone_and_keeps_what_a_scenario_did() -> None:
    density = np.full((6, 6, 6), 0.15)
    modulus, strength = DEFAULT_LAW.evaluate(density, Density.K2HPO4)
    model = block((6, 6, 6), modulus, density=density)
    model = replace(model, solid=replace(model.solid, yield_mpa=strength))
    crushed = fractured(augmented(model, central(model, ml=0.008, shell_mm=1.0)).model, stiffness_kept=0.5).model
    other = under_law(crushed, "kopperdahl-2002-linear")
    expected = LAWS["kopperdahl-2002-linear"].evaluate(density, Density.K2HPO4)
    band = (model.solid.modulus_mpa != crushed.solid.modulus_mpa) & crushed.tissue(Tissue.BONE)
    sound = ~band & crushed.tissue(Tissue.BONE)
    assert other.solid.modulus_mpa[sound] == pytest.approx(expected[0][sound])
    assert other.solid.modulus_mpa[band] == pytest.approx(0.5 * expected[0][band])
    assert other.solid.yield_mpa[sound] == pytest.approx(expected[1][sound])
    assert np.all(other.solid.modulus_mpa[other.tissue(Tissue.CEMENT)] == PMMA.modulus_mpa)
    assert other.law == "kopperdahl-2002-linear"
    back = under_law(other, DEFAULT_LAW.name)
    assert back.solid.modulus_mpa == pytest.approx(crushed.solid.modulus_mpa, rel=1e-5)


def test_the_variants_name_what_they_vary() -> None:
    model = vertebra(mm=4.0)
    plain, filled = variants(model), variants(augmented(model, central(model, ml=2.0)).model)
    assert set(plain) == {law.name for law in LAWS.values() if law.standardised} - {model.law}
    assert set(filled) - set(plain) == {"PMMA 2100 MPa", "PMMA 3100 MPa"}
    cement = filled["PMMA 3100 MPa"].tissue(Tissue.CEMENT)
    assert filled["PMMA 3100 MPa"].solid.modulus_mpa[cement] == pytest.approx(3100.0)
    assert np.array_equal(filled["PMMA 3100 MPa"].solid.modulus_mpa[~cement], model.solid.modulus_mpa[~cement])


def test_the_interval_is_what_the_limits_give() -> None:
    """Parallel columns of bone and cement: K = A / L (E_bone + E_cement) / 2 at both limits of the cement."""
    model = half(2)
    limits = {name: m for name, m in variants(model).items() if name.startswith("PMMA")}
    others = [(stiffness(press(m)),) for m in limits.values()]
    (measure,) = bounded((stiffness(press(model)),), others, spread_text(limits))
    assert measure.low == pytest.approx(60.0 / 8.0 * 0.5 * (BONE + 2100.0), rel=1e-4)
    assert measure.high == pytest.approx(60.0 / 8.0 * 0.5 * (BONE + 3100.0), rel=1e-4)
    assert "PMMA 2100 MPa, PMMA 3100 MPa" in measure.interval


def test_bounds_go_by_name() -> None:
    best = (Measure("a", 2.0, "N"), Measure("b", 5.0, "N"))
    others = [(Measure("b", 7.0, "N"), Measure("c", 0.0, "N")), (Measure("a", 1.0, "N"),)]
    a, b = bounded(best, others, "stated")
    assert (a.low, a.high, b.low, b.high) == (1.0, 2.0, 5.0, 7.0)
    assert a.interval == "stated"
    (alone,) = bounded(best[:1], [others[0]], "stated")
    assert (alone.low, alone.high, alone.interval) == (None, None, "")


def test_the_method_names_load_ends_and_law() -> None:
    loaded = press(vertebra(mm=4.0), amount=0.1)
    assert stiffness(loaded).method == (
        f"Axial compression of 0.1 mm between PMMA caps, glued ends; {DEFAULT_LAW.name}."
    )


@pytest.mark.parametrize("amount", [0.0, -0.2, float("nan")])
def test_a_load_of_nothing_is_refused(amount: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        press(vertebra(mm=4.0), amount=amount)


def test_strength_is_not_read_from_bending() -> None:
    loaded: Loaded = press(plates(np.full((4, 6, 4), 1000.0)), Load.FLEXION)
    with pytest.raises(ValueError, match="axial compression, not from flexion"):
        strengths(loaded)


def test_cement_unloads_the_bone_beside_it() -> None:
    """The more cement, the more of the load it takes (Kopperdahl-like bone of 200 MPa, cement of 2500)."""
    model = vertebra(mm=3.0)
    taken = [
        load_share(press(augmented(model, central(model, percent=p)).model)).percent("cement")
        for p in (5.0, 15.0, 30.0)
    ]
    assert taken == sorted(taken)
    assert taken[0] > 5.0
    assert inside(model).any()
