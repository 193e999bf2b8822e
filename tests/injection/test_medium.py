"""From a bone model and its ways out to a medium: closed forms, mirror, what is drawn, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trocar.anatomy.levels import Level
from trocar.anatomy.vertebra import Part
from trocar.injection.medium import GAS_G_CC, Draw, Spread, bone_share, grain, hollow_region, medium
from trocar.injection.routes import Basis, Route, Shape, WayOut
from trocar.mechanics.ends import largest_piece
from trocar.mechanics.filling import inside as inside_of
from trocar.mechanics.model import BoneModel, Ends, Tissue, bone_model
from trocar.mechanics.scenario import TISSUE_ASH_G_CC, ablated, lysed
from trocar.physics.marrow import (
    CORTEX_MM,
    CORTEX_MM2,
    MARROW_PA_S,
    SPARSEST_BONE,
    SUPERIOR_MM2,
    permeability_mm2,
    slot_mm2,
    tube_mm4,
)
from trocar.physics.materials import Density, converted
from trocar.physics.porous import Stroke, inject

from ..mechanics.patients import LINE, thoracolumbar

DENSE = 0.08
SHARE = float(converted(DENSE, Density.K2HPO4, Density.ASH)) / TISSUE_ASH_G_CC
PLAIN = Draw((), ())


def body(shape=(20, 22, 24), mm: float = 1.0, pedicles: bool = False, dense: float = DENSE) -> BoneModel:
    """A block of body with bone of one density; with pedicles, two blocks behind it and an arch behind them."""
    parts = np.zeros((shape[0], shape[1] + 12, shape[2]), np.uint8)
    parts[:, : shape[1]] = Part.BODY
    if pedicles:
        k, w = slice(8, 14), 5
        parts[k, shape[1] : shape[1] + 6, :w] = Part.PEDICLE_RIGHT
        parts[k, shape[1] : shape[1] + 6, -w:] = Part.PEDICLE_LEFT
        parts[k, shape[1] + 6 :, :] = Part.ARCH
        parts[k, shape[1] : shape[1] + 6, w:-w] = Part.CANAL
    density = np.full(parts.shape, dense)
    return BoneModel.from_density(density, parts, (mm, mm, mm), level=Level.L1, ends=Ends.EMBEDDED)


def way(model: BoneModel, exits, channel=None, shape: Shape = Shape.TUBE, bore: float = 0.8, **given) -> WayOut:
    """A way on the model's grid; ``exits`` and ``channel`` are index expressions."""
    masks = [np.zeros(model.solid.shape, bool) for _ in range(2)]
    for mask, where in zip(masks, (channel, exits), strict=True):
        if where is not None:
            mask[where] = True
    filled = {"name": "a way", "route": Route.EPIDURAL, "basis": Basis.SEEN, **given}
    return WayOut(shape=shape, channel=masks[0], exits=masks[1], bore_mm=bore, **filled)


def nominal(model: BoneModel, *ways: WayOut, **given):
    return medium(model, ways, Draw.middle(ways), **given)


def mirrored(model: BoneModel) -> BoneModel:
    def flip(a):
        return np.ascontiguousarray(a[:, :, ::-1])

    solid = replace(
        model.solid,
        modulus_mpa=flip(model.solid.modulus_mpa),
        material=flip(model.solid.material),
        yield_mpa=None if model.solid.yield_mpa is None else flip(model.solid.yield_mpa),
    )
    return replace(model, solid=solid, parts=flip(model.parts), density_g_cc=flip(model.density_g_cc))


def test_bone_of_one_density_is_one_medium() -> None:
    model = body()
    assert bone_share(model, model.body) == pytest.approx(SHARE)
    found = nominal(model)
    assert found.porosity == pytest.approx(1.0 - SHARE)
    for axis in range(3):
        assert found.permeability_mm2[axis] == pytest.approx(permeability_mm2(SHARE)[axis])
    assert [o.name for o in found.outlets] == ["cortex"]


def test_density_is_averaged_up_to_the_lattice_but_not_across_the_surface() -> None:
    model = body()
    rough = replace(model, density_g_cc=(DENSE + 0.04 * (-1.0) ** np.indices(model.solid.shape).sum(axis=0)))
    inner = bone_share(rough, rough.body)[3:-3, 3:-3, 3:-3]
    before = 0.04 * 1.06 / TISSUE_ASH_G_CC
    assert np.abs(inner - SHARE).max() < 0.2 * before
    assert bone_share(rough, rough.body)[:, -1].mean() == pytest.approx(SHARE, rel=0.01)


def test_body_and_pedicles_are_flooded_and_the_arch_is_not() -> None:
    model = body(pedicles=True)
    found = nominal(model)
    wet = np.isin(model.parts, (Part.BODY, Part.PEDICLE_LEFT, Part.PEDICLE_RIGHT))
    assert np.array_equal(found.porosity > 0.0, wet)
    assert not found.permeability_mm2[:, ~wet].any()


def test_the_wall_lets_marrow_through_everywhere_and_nothing_else() -> None:
    model = body(shape=(6, 7, 8), mm=2.0)
    (wall,) = nominal(model).outlets
    assert not wall.passes
    assert wall.bore_mm == np.inf
    assert len(wall.cells) == 6 * 7 * 8 - 4 * 5 * 6
    # the bone before it, half a voxel, counts less than 1 %
    area = 2.0 * 4.0 * (6 * 7 + 7 * 8 + 6 * 8)
    assert wall.conductance_mm3.sum() == pytest.approx(CORTEX_MM2.median * area / CORTEX_MM, rel=0.01)


def test_factors_of_a_draw_multiply() -> None:
    model, plain = body(), nominal(body())
    found = medium(model, (), replace(PLAIN, permeability=2.0, transverse=0.5, cortex=3.0))
    assert found.permeability_mm2[0] == pytest.approx(2.0 * plain.permeability_mm2[0])
    assert found.permeability_mm2[1:] == pytest.approx(plain.permeability_mm2[1:])
    assert found.outlets[-1].conductance_mm3 == pytest.approx(3.0 * plain.outlets[-1].conductance_mm3, rel=0.01)


def test_a_tube_adds_its_conductance_along_its_run_and_keeps_it_whatever_the_voxel() -> None:
    """Straight to the back through the middle: as much as a tube of that radius carries."""
    for mm, n in ((1.0, 20), (0.5, 40)):
        model = body((n, n, n + 1), mm)
        line = (n // 2, slice(n // 2, n), n // 2)
        vein = way(model, (n // 2, n - 1, n // 2), line)
        found, plain = nominal(model, vein), nominal(model)
        added = found.permeability_mm2 - plain.permeability_mm2
        assert added[1][line] * mm**2 == pytest.approx(tube_mm4(0.8), rel=1e-5)
        assert np.count_nonzero(added[1]) == n - n // 2
        assert not added[0].any()
        assert not added[2].any()
        assert found.outlets[0].conductance_mm3 == pytest.approx([tube_mm4(0.8) / (0.5 * mm)])
        assert found.outlets[0].bore_mm == 0.8


def test_a_wide_vein_carries_as_much_as_a_thin_row_of_voxels() -> None:
    model = body()
    thick = (slice(9, 12), slice(10, 22), slice(11, 14))
    vein = way(model, (slice(9, 12), 21, slice(11, 14)), thick, bore=1.5)
    added = nominal(model, vein).permeability_mm2[1] - nominal(model).permeability_mm2[1]
    assert added[:, 15].sum() == pytest.approx(tube_mm4(1.5), rel=1e-5)
    assert nominal(model, vein).outlets[0].conductance_mm3.sum() == pytest.approx(2.0 * tube_mm4(1.5))


def test_a_slit_adds_its_conductance_in_its_plane() -> None:
    """A crack from side to side under the upper endplate, 0.6 mm wide."""
    model = body()
    sheet = (slice(15, 16), slice(4, 18), slice(None))
    crack = way(model, (15, slice(4, 18), 0), sheet, Shape.SLIT, 0.6)
    added = nominal(model, crack).permeability_mm2 - nominal(model).permeability_mm2
    for axis in (1, 2):
        assert added[axis][sheet] * 1.0 == pytest.approx(0.6 * slot_mm2(0.6), rel=1e-4)
    assert not added[0].any()
    (leak, _) = nominal(model, crack).outlets
    assert leak.conductance_mm3 == pytest.approx([0.6 * slot_mm2(0.6) * 1.0 / 0.5] * 14)
    assert leak.bore_mm == np.inf


def test_a_slit_two_voxels_thick_carries_as_much_as_one_of_one() -> None:
    model = body()
    sheet = (slice(15, 17), slice(4, 18), slice(None))
    crack = way(model, (slice(15, 17), slice(4, 18), 0), sheet, Shape.SLIT, 0.6)
    found, plain = nominal(model, crack), nominal(model)
    added = found.permeability_mm2[1] - plain.permeability_mm2[1]
    assert added[15:17, 10, 10].sum() == pytest.approx(0.6 * slot_mm2(0.6), rel=1e-4)
    assert found.porosity[15, 10, 10] == pytest.approx(1.0 - SHARE + SHARE * 0.3)
    assert found.outlets[0].conductance_mm3.sum() == pytest.approx(14.0 * 0.6 * slot_mm2(0.6) / 0.5)


def test_an_opening_is_the_voxels_own_permeability_over_half_of_it() -> None:
    model = body(mm=2.0)
    gone = way(model, (slice(8, 10), -1, slice(10, 12)), shape=Shape.OPENING, bore=0.0)
    (leak, wall) = nominal(model, gone).outlets
    assert leak.conductance_mm3 == pytest.approx([permeability_mm2(SHARE)[1] * 4.0 / 1.0] * 4)
    assert not set(leak.cells) & set(wall.cells)


@pytest.mark.parametrize("radius", [0.1, 0.2])
def test_a_mouth_without_a_channel_is_reached_with_the_same_effort_on_any_grid(radius: float) -> None:
    """From far away to a disc in a plane wall: what the grid resolves and what the outlet adds."""
    found = []
    for n in (9, 15, 21):
        mm = 9.0 / n
        model = body((n, n, n), mm)
        leak = nominal(model, way(model, (n // 2, n - 1, n // 2), bore=radius)).outlets[0]
        found.append(1.0 / leak.conductance_mm3[0] - 0.5 * mm / tube_mm4(radius) + _approach(n, 3) / (MEAN_MM2 * mm))
    assert found[1] == pytest.approx(found[2], rel=0.02)
    assert found[0] == pytest.approx(found[2], rel=0.04)


@pytest.mark.parametrize("width", [0.1, 0.4])
def test_a_slit_without_a_channel_is_reached_with_the_same_effort_on_any_grid(width: float) -> None:
    """From far away to a line in a plane wall, for each mm of it."""
    found = []
    for n in (9, 15, 21):
        mm = 9.0 / n
        model = body((n, n, n), mm)
        crack = way(model, (n // 2, n - 1, slice(None)), shape=Shape.SLIT, bore=width)
        leak = 1.0 / nominal(model, crack).outlets[0].conductance_mm3
        assert leak == pytest.approx(leak[0])
        found.append(mm * leak[0] - 0.5 * mm / (width * slot_mm2(width)) + _approach(n, 2) / MEAN_MM2)
    assert found[1] == pytest.approx(found[2], rel=0.01)
    assert found[0] == pytest.approx(found[2], rel=0.02)


def test_a_smaller_mouth_costs_what_a_disc_and_a_strip_cost() -> None:
    """``1 / (4 K r)`` for a disc, ``ln(4 / w) / (pi K)`` for a strip; as differences, free of the grid."""
    model = body(mm=2.0)
    tube = [1.0 / nominal(model, way(model, (9, 21, 9), bore=r)).outlets[0].conductance_mm3[0] for r in (0.2, 0.4)]
    tube = [t - 1.0 / tube_mm4(r) for t, r in zip(tube, (0.2, 0.4), strict=True)]
    assert tube[0] - tube[1] == pytest.approx((1.0 / 0.2 - 1.0 / 0.4) / (4.0 * MEAN_MM2))
    slit = [way(model, (9, 21, slice(4, 8)), shape=Shape.SLIT, bore=w) for w in (0.2, 0.4)]
    slit = [1.0 / nominal(model, w).outlets[0].conductance_mm3[0] - 1.0 / (2.0 * w.bore_mm**3 / 12.0) for w in slit]
    assert slit[0] - slit[1] == pytest.approx(math.log(2.0) / (math.pi * MEAN_MM2 * 2.0))


#: What the test's bone shows a small hole.
MEAN_MM2 = float(np.cbrt(np.prod(permeability_mm2(SHARE))))


def _approach(n: int, dimensions: int) -> float:
    """Resistance, for a cell and a permeability of 1, from the outer faces of a square or cube to a cell in one."""
    from scipy.sparse import diags, kron
    from scipy.sparse import eye as unity
    from scipy.sparse.linalg import spsolve

    def line(first: float, last: float):
        main = np.full(n, 2.0)
        main[0], main[-1] = 1.0 + first, 1.0 + last
        return diags([np.full(n - 1, -1.0), main, np.full(n - 1, -1.0)], [-1, 0, 1])

    one, closed, far = unity(n), line(2.0, 2.0), line(2.0, 0.0)  # held at 0 on the face, or nothing through it
    matrix = kron(far, one) + kron(one, closed)
    source = np.zeros((n, n))
    source[n - 1, n // 2] = 1.0
    if dimensions == 3:
        matrix = kron(matrix, one) + kron(kron(one, one), closed)
        source = source[:, :, None] * (np.arange(n) == n // 2)
    return float(spsolve(matrix.tocsc(), source.ravel())[source.ravel() > 0.0][0])


def test_outlets_are_the_present_ways_in_their_order_and_then_the_wall() -> None:
    model = body()
    ways = tuple(way(model, (9, 21, i), name=f"way {i}") for i in (3, 12, 20))
    found = medium(model, ways, Draw((True, False, True), (1.0, 1.0, 2.0)))
    assert [o.name for o in found.outlets] == ["way 3", "way 20", "cortex"]
    assert [o.bore_mm for o in found.outlets] == pytest.approx([0.8, 1.6, math.inf])
    wall = set(found.outlets[-1].cells)
    assert np.ravel_multi_index((9, 21, 12), model.solid.shape) in wall
    assert np.ravel_multi_index((9, 21, 3), model.solid.shape) not in wall


def test_a_channel_outside_the_bone_belongs_to_the_medium() -> None:
    """A tract through the arch: the pedicle's end is not the end of the way."""
    model = body(pedicles=True)
    nj = model.solid.shape[1]
    line = (11, slice(15, nj), 2)
    tract = way(model, (11, nj - 1, 2), line, bore=0.4)
    found = nominal(model, tract)
    behind = found.porosity[11, 28:, 2]
    assert behind == pytest.approx(math.pi * 0.4**2, rel=1e-5)
    assert found.permeability_mm2[0, 11, 30, 2] == pytest.approx(CORTEX_MM2.median)  # it seeps to its sides
    assert (found.porosity > 0.0).sum() == (nominal(model).porosity > 0.0).sum() + len(behind)


def test_a_cavity_is_all_room_and_flows_as_a_slot_as_wide() -> None:
    model = body()
    cavity = np.zeros(model.solid.shape, bool)
    cavity[6:13, 8:13, 8:17] = True
    found = nominal(model, cavity=cavity)
    assert np.all(found.porosity[cavity] == 1.0)
    assert found.permeability_mm2[:, cavity] == pytest.approx(slot_mm2(5.0))
    assert found.porosity[~cavity] == pytest.approx(1.0 - SHARE)


def test_what_an_ablation_emptied_is_a_gap() -> None:
    model = body()
    region = np.zeros(model.solid.shape, bool)
    region[8:12, 8:13, 9:15] = True
    found = nominal(ablated(model, region).model)
    assert np.all(found.porosity[region] == 1.0)
    assert found.permeability_mm2[:, region] == pytest.approx(slot_mm2(4.0))


def test_gas_in_a_cleft_is_a_gap_but_not_at_the_surface() -> None:
    model = body()
    dense = np.full(model.solid.shape, DENSE, np.float32)
    dense[10:12, 4:12, 5:19] = GAS_G_CC - 0.2
    dense[:, -1] = GAS_G_CC - 0.2
    cleft = replace(model, density_g_cc=dense)
    gap = hollow_region(cleft)
    assert gap.sum() == 2 * 8 * 14
    assert nominal(cleft).permeability_mm2[:, gap] == pytest.approx(slot_mm2(2.0))


def test_tumour_is_as_open_as_the_sparsest_bone() -> None:
    model = body()
    sick = lysed(model, percent=10.0).model
    tumour = sick.tissue(Tissue.TUMOUR)
    found = nominal(sick)
    assert found.porosity[tumour] == pytest.approx(1.0 - SPARSEST_BONE)
    assert found.permeability_mm2[0][tumour] == pytest.approx(permeability_mm2(SPARSEST_BONE)[0])


def test_lysis_that_only_its_density_shows_is_as_open() -> None:
    model = body(dense=0.12)
    dense = np.full(model.solid.shape, 0.12, np.float32)
    dense[5:15, 6:16, 7:17] = 0.02
    sick = replace(model, density_g_cc=dense)
    found = nominal(sick).porosity[8:12, 9:13, 10:14]
    assert found == pytest.approx(1.0 - SPARSEST_BONE)
    assert bone_share(sick, sick.body)[8:12, 9:13, 10:14].min() > 1.5 * SPARSEST_BONE


def test_cement_that_is_there_already_is_no_room() -> None:
    model = body()
    material = np.array(model.solid.material)
    material[5:9, 5:9, 5:9] = Tissue.CEMENT
    set_hard = replace(model, solid=replace(model.solid, material=material))
    assert not nominal(set_hard).porosity[5:9, 5:9, 5:9].any()


def test_what_does_not_hang_together_is_left_out() -> None:
    model = body()
    material = np.array(model.solid.material)
    material[:, :, 20] = Tissue.CEMENT
    found = nominal(replace(model, solid=replace(model.solid, material=material)))
    assert not found.porosity[:, :, 20:].any()
    assert found.porosity[:, :22, :20].all()


def test_left_and_right_exchange() -> None:
    model = body(pedicles=True)
    uneven = np.random.default_rng(1).uniform(0.02, 0.2, model.solid.shape).astype(np.float32)
    model = replace(model, density_g_cc=np.where(model.solid.filled, uneven, 0.0).astype(np.float32))
    vein = way(model, (11, 21, 3), (11, slice(10, 22), 3))
    other = replace(vein, channel=vein.channel[:, :, ::-1], exits=vein.exits[:, :, ::-1])
    one, two = nominal(model, vein), nominal(mirrored(model), other)
    assert two.porosity == pytest.approx(one.porosity[:, :, ::-1], rel=1e-5)
    assert two.permeability_mm2 == pytest.approx(one.permeability_mm2[..., ::-1], rel=1e-4)
    for a, b in zip(one.outlets, two.outlets, strict=True):
        assert b.conductance_mm3.sum() == pytest.approx(a.conductance_mm3.sum(), rel=1e-5)


def test_the_grain_has_its_spread_and_is_one_field_on_any_grid() -> None:
    draw = replace(PLAIN, grain_sd=0.3, grain_seed=7)
    coarse, fine = grain(body((10, 11, 12), 2.0), draw), grain(body((40, 44, 48), 0.5), draw)
    # 240 of the coarse grid's places lie in the middle of 64 fine voxels each
    seen = np.log(fine[:, :44]).reshape(10, 4, 11, 4, 12, 4).mean(axis=(1, 3, 5))
    assert seen == pytest.approx(np.log(coarse[:, :11]), abs=0.12)
    rough = medium(body(), (), draw).permeability_mm2
    assert rough == pytest.approx(nominal(body()).permeability_mm2 * grain(body(), draw), rel=1e-5)
    several = [np.log(grain(body((20, 22, 24), 2.0), replace(draw, grain_seed=s))).std() for s in range(12)]
    assert np.sqrt(np.mean(np.square(several))) == pytest.approx(0.3, rel=0.06)


def test_one_seed_gives_one_draw_and_adding_a_way_changes_no_other() -> None:
    model = body()
    ways = [way(model, (9, 21, i), present=0.5, bore_spread=0.3) for i in (3, 20)]
    draw = Spread().draw(np.random.default_rng(5), ways)
    assert draw == Spread().draw(np.random.default_rng(5), ways)
    alone = Spread().draw(np.random.default_rng(5), ways[:1])
    assert replace(draw, present=draw.present[:1], bore=draw.bore[:1]) == alone


def test_draws_have_the_spread_they_claim() -> None:
    model = body()
    rng = np.random.default_rng(2)
    ways = (
        way(model, (9, 21, 3), present=0.3, bore_spread=0.4, basis=Basis.EXPECTED),
        way(model, (9, 21, 9), bore_spread=0.0),
    )
    draws = [Spread().draw(rng, ways) for _ in range(4000)]
    assert np.mean([d.present[0] for d in draws]) == pytest.approx(0.3, abs=0.025)
    assert all(d.present[1] and d.bore[1] == 1.0 for d in draws)
    assert np.std([math.log(d.bore[0]) for d in draws]) == pytest.approx(0.4, rel=0.05)
    local = np.std([math.log(d.permeability) for d in draws])
    assert math.hypot(float(local), draws[0].grain_sd) == pytest.approx(SUPERIOR_MM2.sd, rel=0.05)
    assert np.median([d.marrow_pa_s for d in draws]) == pytest.approx(MARROW_PA_S.median, rel=0.05)
    assert np.std([d.tip_shift_mm for d in draws], axis=0) == pytest.approx(Spread().tip_sd_mm, rel=0.05)


def test_the_middle_has_what_is_seen_or_always_there() -> None:
    model = body()
    ways = [
        way(model, (9, 21, 3), basis=Basis.SEEN, present=0.9),
        way(model, (9, 21, 4), basis=Basis.EXPECTED, present=1.0),
        way(model, (9, 21, 5), basis=Basis.EXPECTED, present=0.9),
    ]
    assert Draw.middle(ways) == Draw((True, True, False), (1.0, 1.0, 1.0))


class Paste:
    """A cement of one viscosity."""

    ageing = ageing_outside = shear_index = 1.0

    def viscosity_pa_s(self, age_s, shear_per_s):
        return np.full(np.shape(shear_per_s), 100.0)


def injected(model: BoneModel, ml: float, tip_mm, *ways: WayOut):
    return inject(
        nominal(model, *ways), [tip_mm], Paste(), [Stroke(1000.0 * ml, 30.0)], resident_pa_s=0.126, tip_radius_mm=1.5
    )


def test_a_cleft_fills_before_the_bone_about_it() -> None:
    """Gas 3 mm thick under the upper endplate, the tip in it; against the same place without a cleft."""
    model = body(mm=1.5, shape=(16, 18, 20))
    dense = np.full(model.solid.shape, DENSE, np.float32)
    dense[11:13, 4:14, 4:16] = -0.4
    cleft = replace(model, density_g_cc=dense)
    gap = hollow_region(cleft)
    ml = 0.6 * gap.sum() * model.solid.voxel_mm3 / 1000.0
    held = [injected(m, ml, (18.0, 13.5, 15.0)).content_mm3 for m in (cleft, model)]
    inside = [h[gap].sum() / h.sum() for h in held]
    assert inside[0] > 0.6
    assert inside[0] > 1.4 * inside[1]


def test_a_missing_wall_leaks_where_an_intact_one_does_not() -> None:
    model = body(mm=1.5, shape=(16, 18, 20), pedicles=True)
    gone = way(model, (slice(5, 11), 17, slice(7, 13)), shape=Shape.OPENING, bore=0.0)
    tip = (12.0, 20.0, 15.0)
    leak = injected(model, 4.0, tip, gone)
    assert leak.leaked_mm3[-1, 0] > 100.0
    shut = injected(model, 4.0, tip)
    assert shut.leaked_mm3[-1].sum() == 0.0
    assert shut.content_mm3.sum() == pytest.approx(4000.0, rel=1e-6)


@pytest.mark.slow
def test_a_real_vertebra_is_one_medium(shared_data: Path) -> None:
    """T12 of a clinical scan: porous as vertebrae are, and as much of it on a coarser grid."""
    found = []
    for mm in (1.0, 1.5):
        model = bone_model(thoracolumbar(shared_data), "T12", spacing_mm=mm, arch=True, calibration=LINE)
        found.append(nominal(model))
        core = found[-1].porosity[inside_of(model, 5.0)]
        assert 0.80 < np.median(core) < 0.97
        assert largest_piece(found[-1].porosity > 0.0).sum() == (found[-1].porosity > 0.0).sum()
    pores = [m.porosity.sum() * np.prod(m.spacing_mm) for m in found]
    seep = [m.outlets[-1].conductance_mm3.sum() for m in found]
    assert pores[1] == pytest.approx(pores[0], rel=0.02)
    assert seep[1] == pytest.approx(seep[0], rel=0.05)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"present": (True,)}, "present has 1 entries and bore 0"),
        ({"permeability": 0.0}, "must be positive"),
        ({"marrow_pa_s": math.nan}, "must be positive"),
        ({"grain_sd": -0.1}, "grain_sd=-0.1"),
    ],
)
def test_a_draw_that_cannot_be_is_refused(wrong: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        replace(PLAIN, **wrong)


def test_ways_and_cavities_of_another_model_are_refused() -> None:
    model, other = body(), body((20, 22, 25))
    stranger = way(other, (9, 21, 3))
    with pytest.raises(ValueError, match="the draw tells of 0 ways out, and 1 are given"):
        medium(model, (stranger,), PLAIN)
    with pytest.raises(ValueError, match=r"channel of a way .* must lie on the model's grid"):
        nominal(model, stranger)
    with pytest.raises(ValueError, match=r"cavity .* must lie on the model's grid"):
        nominal(model, cavity=np.zeros((3, 3, 3), bool))
    with pytest.raises(ValueError, match="the cavity has 5760 voxels outside the body of L1"):
        nominal(body(pedicles=True), cavity=np.ones(body(pedicles=True).solid.shape, bool))


def test_a_way_from_nowhere_is_refused() -> None:
    model = body(pedicles=True)
    with pytest.raises(ValueError, match="lost: none of its 1 exits is joined to the body"):
        nominal(model, way(model, (2, -1, 2), name="lost"))
    with pytest.raises(ValueError, match="1 of its exits lie inside the bone"):
        nominal(model, way(model, (9, 9, 9), shape=Shape.OPENING))
