"""Two levels and their disc: geometry, equilibrium, left and right, the same force before and after."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.vertebra import Part
from trocar.errors import LevelError
from trocar.mechanics.loads import Load, boundary, resultant
from trocar.mechanics.model import SUBSTANCE, BoneModel, Tissue
from trocar.mechanics.segment import (
    ENDPLATE_MM,
    NUCLEUS_SHARE,
    Place,
    Region,
    Segment,
    changes,
    segment_model,
    transfer,
)
from trocar.physics.elasticity import Deformation, deform

from .patients import LINE, patient, thoracolumbar

#: The disc is a thousand times softer than the caps: at the usual tolerance its forces are good to 1e-4 only.
TOLERANCE = 1e-8


@cache
def segment(mirror: bool = False, treated: str = "L1", nucleus_mpa: float = 1.0) -> Segment:
    neighbour = {"L1": "L2", "L2": "L1"}[treated]
    return segment_model(patient(mirror), treated, neighbour, calibration=LINE, spacing_mm=2.0, nucleus_mpa=nucleus_mpa)


@cache
def pressed(treated: str = "L1", nucleus_mpa: float = 1.0, mm: float = 0.2) -> Deformation:
    return compressed(segment(treated=treated, nucleus_mpa=nucleus_mpa).model, mm)


def compressed(model: BoneModel, mm: float = 0.2) -> Deformation:
    return deform(model.solid, boundary(model, Load.AXIAL, mm), tolerance=TOLERANCE)


def cemented(own: Segment, share: float = 0.6) -> Segment:
    """Cement in the middle of the treated body, as an ellipsoid with this share of its half-sizes."""
    solid, body = own.model.solid, own.model.body
    where = np.argwhere(body)
    low, high = where.min(axis=0), where.max(axis=0)
    r = (np.moveaxis(np.indices(body.shape), 0, -1) - 0.5 * (low + high)) / (0.5 * share * (high - low))
    region = body & (np.sum(r**2, axis=-1) <= 1.0)
    modulus, material = solid.modulus_mpa.copy(), solid.material.copy()
    modulus[region], material[region] = SUBSTANCE[Tissue.CEMENT].modulus_mpa, Tissue.CEMENT
    return own.treated_as(replace(own.model, solid=replace(solid, modulus_mpa=modulus, material=material)))


# --- geometry --------------------------------------------------------------------------------------------------------


def test_the_disc_fills_the_room_between_the_bodies() -> None:
    own = segment()
    columns = (own.place == Place.DISC).any(axis=0)
    for j, i in np.argwhere(columns):
        run = own.place[:, j, i]
        within = run[np.flatnonzero(run == Place.NEIGHBOUR).max() : np.flatnonzero(run == Place.TREATED).min() + 1]
        assert np.all(within[1:-1] == Place.DISC)
    body = own.model.parts == Part.BODY
    assert np.array_equal(body, own.place == Place.TREATED)
    assert columns.sum() > 0.7 * body.any(axis=0).sum()
    assert 4.0 < own.disc_height_mm < 14.0


def test_the_nucleus_is_the_inner_share_of_the_disc() -> None:
    own = segment()
    nucleus, disc = (a.any(axis=0) for a in (own.where(Region.NUCLEUS), own.place == Place.DISC))
    assert nucleus.sum() / disc.sum() == pytest.approx(NUCLEUS_SHARE, abs=0.12)  # whole rings of 2 mm columns
    padded = np.pad(disc, 1)
    neighbours = padded[2:, 1:-1] & padded[:-2, 1:-1] & padded[1:-1, 2:] & padded[1:-1, :-2]
    assert neighbours[nucleus].all()


def test_the_endplates_face_the_disc() -> None:
    own = segment()
    layer = round(ENDPLATE_MM / 2.0)
    disc = own.place == Place.DISC
    columns = disc.any(axis=0)
    above, below = own.where(Region.TREATED_ENDPLATE), own.where(Region.NEIGHBOUR_ENDPLATE)
    assert np.all(above.sum(axis=0)[columns] == layer)
    assert np.all(below.sum(axis=0)[columns] == layer)
    assert above[1:, columns][disc[:-1, columns] & ~disc[1:, columns]].all()
    assert below[:-1, columns][disc[1:, columns] & ~disc[:-1, columns]].all()


def test_either_level_can_be_the_treated_one() -> None:
    one, other = segment(), segment(treated="L2")
    assert np.array_equal(one.model.solid.material, other.model.solid.material)
    assert np.array_equal(one.place == Place.TREATED, other.place == Place.NEIGHBOUR)
    assert np.array_equal(one.where(Region.TREATED_ENDPLATE), other.where(Region.NEIGHBOUR_ENDPLATE))
    assert (one.model.level, one.neighbour) == (other.neighbour, other.model.level) == (Level.L1, Level.L2)
    assert one.disc_height_mm == other.disc_height_mm


def test_left_and_right_exchange() -> None:
    one, other = segment(), segment(mirror=True)
    assert one.place.shape == other.place.shape
    assert (one.place != other.place[:, :, ::-1]).sum() <= 0.005 * (one.place > 0).sum()


# --- mechanics -------------------------------------------------------------------------------------------------------


def test_the_same_force_passes_through_every_layer() -> None:
    """Mean stress at the middle of an element is its exact mean: layer by layer it sums to the applied force."""
    own, answer = segment(), pressed()
    assert answer.status.name == "SUCCESS"
    force = resultant(own.model, answer).against(Load.AXIAL)
    layers = -answer.stress_mpa[0].sum(axis=(1, 2), dtype=np.float64) * 4.0
    assert layers == pytest.approx(np.full(len(layers), force), rel=1e-3)


def test_a_scaled_load_tells_the_same_at_the_same_force() -> None:
    own = segment()
    small, large = (transfer(own, pressed(mm=mm), 1000.0) for mm in (0.2, 0.5))
    assert [m.value for m in small] == pytest.approx([m.value for m in large], rel=1e-3)
    double = transfer(own, pressed(), 2000.0)
    ratio = {m.name: d.value / m.value for m, d in zip(small, double, strict=True)}
    assert all(r == pytest.approx(4.0 if "energy" in name else 2.0) for name, r in ratio.items())


def test_cement_moves_load_to_the_nucleus_and_leaves_the_mean_alone() -> None:
    """The pillar: stiff under its centre, the treated endplate gives way less and the nucleus carries more.

    At the same force the disc's mean pressure cannot change; its distribution can.
    """
    own = segment(nucleus_mpa=20.0)
    before, after = pressed(nucleus_mpa=20.0), compressed(cemented(own, 0.9).model)
    told = transfer(own, before, 1000.0), transfer(cemented(own, 0.9), after, 1000.0)
    changed = {m.name: m.value for m in changes(*told)}
    assert changed["nucleus_pressure_change"] > 0.1
    assert changed["annulus_pressure_change"] < 0.0
    stiffer = [resultant(own.model, d).against(Load.AXIAL) for d in (before, after)]
    assert stiffer[1] > stiffer[0]
    parts = {r: own.where(r).sum() for r in (Region.NUCLEUS, Region.ANNULUS)}
    means = [
        sum(parts[r] * v[f"{r.name.lower()}_pressure"] for r in parts) / sum(parts.values())
        for v in ({m.name: m.value for m in t} for t in told)
    ]
    assert means[1] == pytest.approx(means[0], rel=0.01)


def test_a_stiffer_nucleus_carries_more_than_the_mean() -> None:
    """The two states the text promises: about half of the mean pressure at 1 MPa, above it at 20 MPa."""
    ratios = []
    for mpa in (1.0, 20.0):
        own = segment(nucleus_mpa=mpa)
        told = {m.name: m.value for m in transfer(own, pressed(nucleus_mpa=mpa), 1000.0)}
        area = (own.place == Place.DISC).any(axis=0).sum() * 4.0
        ratios.append(told["nucleus_pressure"] / (1000.0 / area))
    assert 0.3 < ratios[0] < 0.8
    assert 1.1 < ratios[1] < 1.9


def test_every_measure_says_where_and_at_which_force() -> None:
    told = transfer(segment(), pressed(), 1000.0)
    assert len(told) == 3 * len(Region) == len({m.name for m in told})
    assert all("1000 N" in m.method and "L1" in m.method and "L2" in m.method for m in told)


# --- refusals --------------------------------------------------------------------------------------------------------


def test_what_is_no_segment_is_refused() -> None:
    with pytest.raises(ValueError, match="L1 and L1 are not neighbours"):
        segment_model(patient(), "L1", "L1", calibration=LINE)
    with pytest.raises(LevelError, match="L3 is not whole"):
        segment_model(patient(), "L1", "L3", calibration=LINE)
    with pytest.raises(ValueError, match=r"spacing_mm=5\.0 is outside 0\.3 to 3 mm"):
        segment_model(patient(), "L1", "L2", calibration=LINE, spacing_mm=5.0)
    with pytest.raises(ValueError, match=r"nucleus_mpa=0\.0 is outside 0\.1 to 50 MPa"):
        segment_model(patient(), "L1", "L2", calibration=LINE, nucleus_mpa=0.0)
    own = segment()
    with pytest.raises(ValueError, match="is not this segment"):
        own.treated_as(segment_model(patient(), "L1", "L2", calibration=LINE, spacing_mm=3.0).model)
    with pytest.raises(ValueError, match="load it in axial compression"):
        transfer(own, compressed(own.model, -0.2), 1000.0)


def drawn_together(overlap_mm: float) -> Anatomy:
    """L2 drawn up along the spine until its endplate overlaps that of L1."""
    anatomy = patient()
    one, two = anatomy.vertebra("L1"), anatomy.vertebra("L2")
    gap_mm = one.endplates["inferior"].point_mm - two.endplates["superior"].point_mm
    affine = two.mask.affine.copy()
    affine[:3, 3] += gap_mm + overlap_mm * one.frame.superior
    moved = replace(two, mask=replace(two.mask, affine=affine), parts=replace(two.parts, affine=affine))
    return replace(anatomy, vertebrae={**anatomy.vertebrae, Level.L2: moved})


def test_levels_without_a_disc_are_refused() -> None:
    with pytest.raises(LevelError, match="no room for a disc between L1 and L2"):
        segment_model(drawn_together(4.0), "L1", "L2", calibration=LINE, spacing_mm=2.0)


def test_a_narrow_disc_is_told() -> None:
    own = segment_model(drawn_together(-0.5), "L1", "L2", calibration=LINE, spacing_mm=2.0)
    assert any("touch over" in f.text for f in own.model.findings)


def test_two_real_levels_carry_the_same_force(shared_data: Path) -> None:
    anatomy = thoracolumbar(shared_data)
    own = segment_model(anatomy, "L1", "T12", calibration=LINE, spacing_mm=2.0)
    assert own.neighbour is Level.T12
    assert 2.0 < own.disc_height_mm < 12.0
    answer = compressed(own.model)
    force = resultant(own.model, answer).against(Load.AXIAL)
    assert 500.0 < force / 0.2 < 10000.0  # N/mm, of the order measured on lumbar segments
    layers = -answer.stress_mpa[0].sum(axis=(1, 2), dtype=np.float64) * 4.0
    assert layers == pytest.approx(np.full(len(layers), force), rel=2e-3)
