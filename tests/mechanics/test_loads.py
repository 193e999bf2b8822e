"""Loads: closed forms of bars and beams, signs, left and right, and which nodes an end has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trocar.anatomy.levels import Level
from trocar.anatomy.vertebra import Part
from trocar.mechanics.loads import (
    EMBEDDED_MM,
    Contact,
    Load,
    boundary,
    centre_mm,
    default_contact,
    end_nodes,
    pure_bending,
    resultant,
)
from trocar.mechanics.model import BoneModel, Ends, Tissue, bone_model, materials
from trocar.physics.elasticity import Deformation, deform
from trocar.physics.materials import DEFAULT_LAW
from trocar.physics.solid import Material, Solid

from .patients import LINE, patient

BENDING = tuple(load for load in Load if load is not Load.AXIAL)
#: Relative: the solver's own tolerance on the reactions, with room.
SOLVED = 1e-5


def bar(
    shape: tuple[int, int, int],
    modulus: float | np.ndarray = 1000.0,
    poisson: float = 0.0,
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ends: Ends = Ends.PLATES,
) -> BoneModel:
    """A box that is all body."""
    bone = np.full(shape, Tissue.BONE, np.uint8)
    laws = (Material.isotropic("bone", poisson), *materials(DEFAULT_LAW)[1:])
    solid = Solid(np.broadcast_to(modulus, shape).astype(np.float32), bone, laws, spacing_mm)
    parts, none = np.full(shape, Part.BODY, np.uint8), np.zeros(shape, np.float32)
    return BoneModel(Level.L1, solid, np.diag([*spacing_mm[::-1], 1.0]), parts, none, "a law", "none", ends)


def solved(model: BoneModel, load: Load, amount: float | None = None, **options: Contact) -> Deformation:
    return deform(model.solid, boundary(model, load, amount, **options))


def mirrored(model: BoneModel) -> BoneModel:
    s = model.solid
    flipped = Solid(s.modulus_mpa[:, :, ::-1], s.material[:, :, ::-1], s.materials, s.spacing_mm)
    return replace(model, solid=flipped, parts=model.parts[:, :, ::-1])


def lumpy(shape: tuple[int, int, int] = (6, 7, 8), **options: object) -> BoneModel:
    return bar(shape, np.exp(np.random.default_rng(3).normal(5.0, 0.8, shape)), 0.3, **options)


# --- closed forms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (1.5, 0.8, 0.7)])
def test_a_bar_between_plates_answers_with_ea_over_l(spacing_mm: tuple[float, float, float]) -> None:
    """Frictionless, so nu = 0.3 swells freely: F = E A d / L."""
    model = bar((10, 6, 5), 700.0, 0.3, spacing_mm)
    height, depth, width = np.array([10, 6, 5]) * spacing_mm
    answer = resultant(model, solved(model, Load.AXIAL, 0.05))
    assert answer.against(Load.AXIAL) == pytest.approx(700.0 * depth * width * 0.05 / height, rel=SOLVED)
    assert np.allclose(answer.moment_n_mm, 0.0, atol=1e-4 * answer.against(Load.AXIAL))


def test_glued_ends_are_stiffer_than_sliding_ones() -> None:
    """Between the free bar and the wholly confined one, (1 - nu) / ((1 + nu)(1 - 2 nu)) times as stiff."""
    model = bar((6, 6, 6), 1000.0, 0.3)
    glued = resultant(model, solved(model, Load.AXIAL, 0.1, contact=Contact.GLUED)).against(Load.AXIAL)
    free = 1000.0 * 36.0 * 0.1 / 6.0
    assert 1.01 * free < glued < free * 0.7 / (1.3 * 0.4)


@pytest.mark.parametrize("load", BENDING)
def test_bending_converges_to_ei_over_l_at_second_order(load: Load) -> None:
    """M = E I theta / L of a beam of 12 x 8 x 6 mm: the error falls by four when the voxels halve."""
    moments = []
    for n in (2, 4, 8):
        model = bar((3 * n, 2 * n, 2 * n), 500.0, 0.3, (12.0 / (3 * n), 8.0 / (2 * n), 6.0 / (2 * n)))
        moments.append(resultant(model, solved(model, load, 1.0)).against(load))
    deep, wide = (8.0, 6.0) if load in (Load.FLEXION, Load.EXTENSION) else (6.0, 8.0)
    exact = 500.0 * (wide * deep**3 / 12.0) * np.radians(1.0) / 12.0
    errors = np.array(moments) / exact - 1.0
    assert np.all(errors > 0.0)  # from above
    assert np.log2(errors[:-1] / errors[1:]) == pytest.approx(2.0, abs=0.15)


def test_a_bar_of_two_stiffnesses_turns_about_its_weighted_centre_without_a_force() -> None:
    """Left half 4 times the right: the centre lies at (1 * 2 + 4 * 6) / 5 of 8 mm. nu = 0."""
    modulus = np.where(np.arange(8) < 4, 100.0, 400.0)[None, None, :]
    model = bar((6, 6, 8), modulus)
    assert centre_mm(model) == pytest.approx((3.0, 5.2), rel=1e-6)
    answer = resultant(model, solved(model, Load.BENDING_LEFT))
    assert abs(answer.force_n[0]) < 1e-4 * answer.against(Load.BENDING_LEFT)


def test_pure_bending_leaves_no_axial_force() -> None:
    model = lumpy()
    plain = resultant(model, solved(model, Load.FLEXION))
    bent = pure_bending(model, Load.FLEXION, solve=deform)
    answer = resultant(model, bent)
    assert abs(answer.force_n[0]) < 1e-4 * abs(plain.force_n[0])
    assert 0.5 * plain.against(Load.FLEXION) < answer.against(Load.FLEXION) < plain.against(Load.FLEXION)
    # what it prescribes is what it shows
    shown = bent.displacement_mm.reshape(-1)[bent.boundary.displaced]
    assert np.allclose(shown, bent.boundary.displacement_mm, atol=1e-9)


def test_sliding_supports_carry_nothing() -> None:
    model = lumpy()
    for load in Load:
        result = solved(model, load, contact=Contact.SLIDING)
        component = result.boundary.displaced // np.prod(model.solid.nodes)
        assert np.abs(result.reaction_n[component > 0]).max() < 1e-4 * np.abs(result.reaction_n).max()


def stiffness(spacing_mm: float = 2.0, ends: Ends = Ends.CAPS) -> float:
    """Axial stiffness of the phantom's L1, N/mm."""
    model = bone_model(patient(), "L1", calibration=LINE, spacing_mm=spacing_mm, ends=ends)
    return resultant(model, solved(model, Load.AXIAL, 0.2)).against(Load.AXIAL) / 0.2


def test_the_stiffness_of_a_vertebra_settles_with_the_grid() -> None:
    """The bone is the scan's, so that there is no order to find: the spread of 3 to 1.5 mm is what a grid is worth."""
    fine, *coarse = (stiffness(mm) for mm in (1.5, 2.0, 3.0))
    assert coarse == pytest.approx([fine, fine], rel=0.08)


def test_plates_are_softest_and_embedded_ends_stiffest() -> None:
    plates, caps, embedded = (stiffness(ends=e) for e in (Ends.PLATES, Ends.CAPS, Ends.EMBEDDED))
    assert plates < caps < embedded


# --- signs and sides -------------------------------------------------------------------------------------------------


def test_flexion_lowers_the_front_and_left_bending_the_left() -> None:
    model = bar((5, 6, 8))
    nk, nj, ni = model.solid.nodes
    up = {load: solved(model, load).displacement_mm[0, -1] for load in Load}
    turn = np.radians(1.0)
    assert up[Load.AXIAL] == pytest.approx(-0.2)
    assert up[Load.FLEXION] == pytest.approx(np.broadcast_to(turn * (np.arange(nj) - 3.0)[:, None], (nj, ni)))
    assert up[Load.BENDING_LEFT] == pytest.approx(np.broadcast_to(-turn * (np.arange(ni) - 4.0), (nj, ni)))
    assert np.allclose(up[Load.EXTENSION], -up[Load.FLEXION])
    assert np.allclose(up[Load.BENDING_RIGHT], -up[Load.BENDING_LEFT])
    assert up[Load.FLEXION][0].max() < 0.0 < up[Load.FLEXION][-1].min()
    assert nk == 6


@pytest.mark.parametrize("load", BENDING)
@pytest.mark.parametrize("contact", Contact)
def test_every_moment_works_against_its_rotation(load: Load, contact: Contact) -> None:
    model = lumpy()
    assert resultant(model, solved(model, load, contact=contact)).against(load) > 0.0


def test_a_glued_plate_turns_as_a_rigid_body() -> None:
    """Embedded nodes lie in several planes: distances between them stay, to first order in the angle."""
    model = bar((9, 6, 8), ends=Ends.EMBEDDED)
    given = boundary(model, Load.FLEXION, 1.0, contact=Contact.GLUED)
    moved = np.full(3 * int(np.prod(given.nodes)), np.nan)
    moved[given.displaced] = given.displacement_mm
    top = end_nodes(model)[0]
    where, shift = np.argwhere(top).astype(float), moved.reshape(3, *given.nodes)[:, top].T
    apart = where[:, None] - where[None]
    stretch = np.sum(apart * (shift[:, None] - shift[None]), axis=-1)
    assert np.abs(stretch).max() < 1e-9
    assert np.abs(shift[:, 1]).max() > 0.5 * np.radians(1.0)


@pytest.mark.parametrize(("load", "other"), [(Load.BENDING_LEFT, Load.BENDING_RIGHT), (Load.FLEXION, Load.FLEXION)])
def test_left_and_right_exchange(load: Load, other: Load) -> None:
    model = lumpy()
    here, there = solved(model, load), solved(mirrored(model), other)
    one, two = resultant(model, here), resultant(mirrored(model), there)
    assert one.against(load) == pytest.approx(two.against(other), rel=SOLVED)
    up, flipped = here.displacement_mm[0], there.displacement_mm[0, :, :, ::-1]
    assert np.abs(up - flipped).max() < 1e-5 * np.abs(up).max()


# --- the nodes of the ends -------------------------------------------------------------------------------------------


def test_caps_are_loaded_on_their_flat_faces() -> None:
    body = np.zeros((20, 12, 14), bool)
    body[3 : 20 - 5, 1:-1, 1:-1] = True
    body[15, 1:-1, 1:6] = True
    parts = body * np.uint8(Part.BODY)
    model = BoneModel.from_density(np.full(body.shape, 0.2), parts, (1.0, 1.0, 1.0), level="L1")
    top, bottom = end_nodes(model)
    assert np.flatnonzero(top.any(axis=(1, 2))).tolist() == [model.solid.shape[0]]
    assert np.flatnonzero(bottom.any(axis=(1, 2))).tolist() == [0]
    assert top.sum() == bottom.sum() == 11 * 13
    assert default_contact(Ends.CAPS, Load.AXIAL) is Contact.GLUED
    glued = boundary(model)
    assert len(glued.displaced) == 3 * (top.sum() + bottom.sum())


def test_embedded_ends_hold_a_stated_depth_of_bone() -> None:
    model = bar((12, 5, 6), spacing_mm=(0.5, 1.0, 1.0), ends=Ends.EMBEDDED)
    top, bottom = end_nodes(model)
    layers = round(EMBEDDED_MM / 0.5)
    assert np.flatnonzero(top.any(axis=(1, 2))).tolist() == list(range(12 - layers, 13))
    assert np.flatnonzero(bottom.any(axis=(1, 2))).tolist() == list(range(layers + 1))


def test_a_plate_touches_the_rim_of_a_dished_endplate_and_the_whole_of_a_slanted_flat_one() -> None:
    model = bar((12, 10, 10))
    dished = model.parts.copy()
    dished[-2:, 2:8, 2:8] = Part.NONE
    filled = replace(model.solid, material=np.where(dished > 0, Tissue.BONE, 0).astype(np.uint8))
    top, bottom = end_nodes(replace(model, solid=filled, parts=dished))
    assert not top[:, 4:7, 4:7].any()
    assert top[12].sum() == 11 * 11 - 5 * 5
    assert bottom[0].all()
    k, j, _ = np.indices(model.parts.shape)
    slanted = np.where(k < 6 + 0.4 * j, Part.BODY, Part.NONE).astype(np.uint8)
    filled = replace(model.solid, material=np.where(slanted > 0, Tissue.BONE, 0).astype(np.uint8))
    top, _ = end_nodes(replace(model, solid=filled, parts=slanted))
    assert top.any(axis=0).mean() > 0.9


def test_what_is_no_end_and_no_bending_is_refused() -> None:
    with pytest.raises(ValueError, match="the model has no caps"):
        boundary(bar((4, 4, 4), ends=Ends.CAPS))
    with pytest.raises(ValueError, match="axial compression is no bending"):
        pure_bending(bar((4, 4, 4)), Load.AXIAL)
