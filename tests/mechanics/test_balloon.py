"""Balloons in a body of known size: what ends them, at what pressure, what they lift, and that left mirrors right."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from trocar.anatomy.heights import STATION_INSET_MM
from trocar.anatomy.vertebra import Part
from trocar.geometry import Side
from trocar.mechanics.balloon import Stop, at_depth_mm, inflate, swell_of, walls
from trocar.mechanics.balloon_place import Placed
from trocar.mechanics.endplate_lift import lift, parting_mm, stations
from trocar.mechanics.model import BoneModel, Ends
from trocar.physics.cavity import Crushable, densification_strain, shell_ratio
from trocar.physics.materials import LAWS, Density, converted
from trocar.planning.instrument import BALLOONS, Needle
from trocar.planning.trajectory import Trajectory

DENSITY, SHAPE = 0.09, (26, 32, 42)
BALL = replace(BALLOONS[10], length_mm=8.0)
LOST = (6.0, 4.0, 0.0)


def body(spacing: float = 1.0, density: float = DENSITY, shape: tuple[int, int, int] = SHAPE) -> BoneModel:
    """An elliptic cylinder of even bone: as high, deep and wide as an L1."""
    k, j, i = (round(n / spacing) for n in shape)
    y, x = ((np.arange(n) + 0.5) / n * 2.0 - 1.0 for n in (j, i))
    inside = (y[:, None] ** 2 + x[None, :] ** 2 <= 1.0)[None] & np.ones((k, 1, 1), bool)
    parts = np.where(inside, np.uint8(Part.BODY), np.uint8(Part.NONE))
    dense = np.where(inside, density, 0.0)
    return BoneModel.from_density(dense, parts, (spacing,) * 3, level="L1", ends=Ends.EMBEDDED)


def at(
    model: BoneModel, k: float = 0.5, j: float = 0.5, i: float = 0.5, balloon=BALL, along=(0.0, -1.0, 0.0)
) -> Placed:
    """A balloon at shares of the box."""
    size = np.asarray(model.solid.shape) * np.asarray(model.solid.spacing_mm)
    return Placed(balloon, size * (k, j, i), np.asarray(along, float))


@pytest.mark.parametrize("length", [10, 15, 20])
def test_the_filling_that_reaches_a_point_is_that_of_the_ellipsoid_through_it(length: int) -> None:
    balloon = BALLOONS[length]
    placed = Placed(balloon, np.zeros(3), np.array([0.0, 0.6, 0.8]))
    for ml in (0.3, 1.0, 3.0):
        long, thick = balloon.size_mm(ml)
        along, across = placed.along, np.array([0.0, 0.8, -0.6])
        for angle in (0.0, 0.4, 1.1, math.pi / 2.0):
            point = 0.5 * long * math.cos(angle) * along + 0.5 * thick * math.sin(angle) * across
            if angle > 0.0 or long > length:  # the ends of a balloon that keeps its length are always reached
                assert placed.filling_ml(point) == pytest.approx(ml, rel=1e-9)
                assert placed.filling_ml(1.1 * point, swell=1.1) == pytest.approx(ml, rel=1e-9)
    assert placed.filling_ml(0.2 * length * placed.along) == 0.0
    assert placed.filling_ml(20.0 * placed.along) == pytest.approx(4.0 / 3.0 * math.pi * 8.0, rel=1e-9)


def test_even_bone_holds_a_ball_at_the_closed_forms_pressure() -> None:
    """Yield stress times (front / balloon)^2, at any filling: the cavity grew from nothing."""
    model = body()
    (f,) = inflate(model, [at(model)], volume_ml=1.5, pressure_mpa=2.7)
    stress = float(model.solid.yield_mpa[13, 16, 21])
    ash = float(converted(DENSITY, Density.K2HPO4, Density.ASH))
    rigid = Crushable(1e12, stress, densification_strain(ash / 1.2))
    assert f.stop is Stop.VOLUME
    assert f.pressure_mpa == pytest.approx(rigid.pressure_mpa(7.1), rel=1e-3)
    assert np.ptp(f.curve_mpa) < 1e-6 * f.pressure_mpa
    assert swell_of(model, model.body) == pytest.approx(shell_ratio(rigid.densification), rel=1e-4)


def test_the_hollow_and_its_shell_have_the_volumes_they_should() -> None:
    """The hollow is the filling; the shell what compaction leaves: (swell^3 - 1) times as much."""
    model = body(0.7)
    (f,) = inflate(model, [at(model)], volume_ml=2.0, pressure_mpa=2.7)
    voxel = model.solid.voxel_mm3 / 1000.0
    assert f.hollow.sum() * voxel == pytest.approx(2.0, rel=0.02)
    assert f.crushed.sum() * voxel == pytest.approx(2.0 * (swell_of(model, model.body) ** 3 - 1.0), rel=0.08)
    assert not (f.hollow & f.crushed).any()


def test_the_pressure_lies_within_what_the_laws_give() -> None:
    model = body()
    (f,) = inflate(model, [at(model)], volume_ml=1.0, pressure_mpa=2.7)
    assert f.low_mpa <= f.pressure_mpa <= f.high_mpa
    stresses = [float(v.evaluate(DENSITY, Density.K2HPO4)[1]) for v in LAWS.values() if v.standardised]
    assert f.high_mpa / f.low_mpa == pytest.approx(max(stresses) / min(stresses), rel=1e-3)


def test_dense_bone_ends_it_by_pressure_and_weak_bone_does_not() -> None:
    weak, dense = body(density=0.06), body(density=0.18)
    assert inflate(weak, [at(weak)], volume_ml=1.5, pressure_mpa=1.5)[0].stop is Stop.VOLUME
    (f,) = inflate(dense, [at(dense)], volume_ml=1.5, pressure_mpa=1.5)
    assert (f.stop, f.volume_ml, f.pressure_mpa) == (Stop.PRESSURE, 0.0, 1.5)
    assert not f.hollow.any()
    with pytest.raises(ValueError, match="no balloon has opened a hollow in L1"):
        lift(dense, [f])


def test_a_layer_of_dense_bone_stops_the_balloon_where_it_begins() -> None:
    """Bone twice as dense farther than 6 mm from the middle along i: the front gets there at a ball of that size."""
    model = body()
    far = np.abs(np.arange(42) + 0.5 - 21.0) > 6.0
    dense = np.where(far & model.body, 0.5, model.density_g_cc).astype(np.float32)
    hard = BoneModel.from_density(dense, model.parts, (1.0,) * 3, level="L1", ends=Ends.EMBEDDED)
    (f,) = inflate(hard, [at(hard)], volume_ml=2.0, pressure_mpa=2.7)
    assert f.stop is Stop.PRESSURE
    first = 4.0e-3 / 3.0 * math.pi * (6.0 / swell_of(hard, f.hollow)) ** 3
    assert first <= f.volume_ml < 1.6 * first


@pytest.mark.parametrize(
    ("place", "wall"),
    [({"j": 0.22}, "anterior"), ({"j": 0.78}, "posterior"), ({"i": 0.2}, "right"), ({"i": 0.8}, "left")],
)
def test_the_wall_it_reaches_is_named(place: dict[str, float], wall: str) -> None:
    model = body()
    (f,) = inflate(model, [at(model, **place)], volume_ml=3.0, pressure_mpa=2.7)
    assert (f.stop, f.wall) == (Stop.WALL, wall)
    assert 0.0 < f.volume_ml < 3.0


def test_walls_face_their_own_way_and_leave_out_the_pedicles() -> None:
    model = body()
    found = walls(model)
    assert {n: tuple(np.argwhere(m).mean(axis=0)[1:] > (16, 21)) for n, m in found.items()} == {
        "anterior": (False, False), "posterior": (True, False), "right": (False, False), "left": (False, True),
    }  # fmt: skip
    parts = model.parts.copy()
    parts[:, 28:, 5:15][parts[:, 28:, 5:15] == Part.NONE] = Part.PEDICLE_RIGHT
    assert walls(replace(model, parts=parts))["posterior"].sum() < found["posterior"].sum()


def test_an_endplate_ends_it_unless_height_was_lost() -> None:
    """A ball in the middle of 16 mm: the front is there at a radius of 8 mm, and 1 mm more for each plate's 1 mm.

    Endplates are points in the middle of columns, 0.7 mm beside the axis: 1.2 % of the volume.
    """
    model = body(shape=(16, 40, 44))
    (stuck,) = inflate(model, [at(model)], volume_ml=4.0, pressure_mpa=2.7)
    swell = swell_of(model, model.body)
    ball_ml = 4.0e-3 / 3.0 * math.pi * (8.0 / swell) ** 3
    assert stuck.stop is Stop.ENDPLATE
    assert stuck.volume_ml == pytest.approx(ball_ml, rel=0.015)
    assert stuck.lift_mm == pytest.approx((0.0, 0.0), abs=1e-9)
    (freed,) = inflate(model, [at(model)], volume_ml=4.0, pressure_mpa=2.7, lost_mm=(2.0, 2.0, 2.0))
    assert freed.volume_ml == pytest.approx(4.0e-3 / 3.0 * math.pi * (9.0 / swell) ** 3, rel=0.015)
    assert freed.lift_mm == pytest.approx((1.0, 1.0), abs=0.05)


def test_left_mirrors_right() -> None:
    model = body()
    rng = np.random.default_rng(5)
    dense = (model.density_g_cc * (0.7 + 0.6 * rng.random(model.solid.shape))).astype(np.float32)
    one = BoneModel.from_density(dense, model.parts, (1.0,) * 3, level="L1", ends=Ends.EMBEDDED)
    other = BoneModel.from_density(dense[..., ::-1], model.parts[..., ::-1], (1.0,) * 3, level="L1", ends=Ends.EMBEDDED)
    right = at(one, i=0.35, balloon=BALLOONS[15], along=(0.0, -0.8, 0.6))
    left = at(other, i=0.65, balloon=BALLOONS[15], along=(0.0, -0.8, -0.6))
    (a,), (b,) = (
        inflate(m, [p], volume_ml=2.5, pressure_mpa=2.7, lost_mm=LOST) for m, p in ((one, right), (other, left))
    )
    assert (a.stop, a.volume_ml, a.pressure_mpa) == (b.stop, pytest.approx(b.volume_ml), pytest.approx(b.pressure_mpa))
    assert (a.hollow == b.hollow[..., ::-1]).all()
    assert (a.crushed == b.crushed[..., ::-1]).all()
    assert {a.wall, b.wall} in ({""}, {"left", "right"}, {"anterior"}, {"posterior"})
    up, down = lift(one, [a], LOST), lift(other, [b], LOST)
    assert up.healed_mm == pytest.approx(down.healed_mm, rel=1e-3)
    assert up.closing_ml == pytest.approx(down.closing_ml, rel=1e-3)


def test_two_balloons_share_the_bone_and_are_equal() -> None:
    model = body()
    pair = [at(model, i=0.36), at(model, i=0.64)]
    a, b = inflate(model, pair, volume_ml=2.0, pressure_mpa=2.7, lost_mm=LOST)
    assert a.volume_ml == b.volume_ml
    assert a.pressure_mpa == pytest.approx(b.pressure_mpa)
    assert (a.hollow == b.hollow[..., ::-1]).all()
    one, two = lift(model, [a], LOST), lift(model, [a, b], LOST)
    assert two.healed_mm[0] > one.healed_mm[0]
    assert two.closing_ml > 1.8 * one.closing_ml


def test_the_lift_lies_between_healed_and_mobile_and_springs_back() -> None:
    model = body()
    (f,) = inflate(model, [at(model, j=0.4)], volume_ml=4.0, pressure_mpa=2.7, lost_mm=LOST)
    found = lift(model, [f], LOST)
    value, low, high = found.inflated_mm
    rest = found.deflated_mm
    for n in range(3):
        assert low[n] <= value[n] <= high[n]
        assert rest[2][n] <= high[n] + 1e-12
        assert found.mobile_mm[n] <= LOST[n] + 1e-12
    assert rest[1] == (0.0, 0.0, 0.0), "what is only elastic springs back whole"
    assert found.deformation.status.value == ""
    assert found.opened_deg(value) > 0.0
    assert found.depth_mm == pytest.approx(SHAPE[1] - 2.0 * STATION_INSET_MM), "from station to station"
    assert 0.0 < found.closing_ml < f.volume_ml


def test_the_elastic_lift_is_in_proportion_to_pressure_and_softer_where_broken() -> None:
    model = body(2.0)
    (f,) = inflate(model, [at(model)], volume_ml=2.5, pressure_mpa=2.7, lost_mm=LOST)
    once, twice = lift(model, [f]), lift(model, [replace(f, pressure_mpa=2.0 * f.pressure_mpa)])
    assert np.asarray(twice.healed_mm) == pytest.approx(2.0 * np.asarray(once.healed_mm), rel=1e-3)
    assert twice.closing_ml == pytest.approx(2.0 * once.closing_ml, rel=1e-3)
    broken = lift(model, [f], LOST)
    assert broken.healed_mm[1] > once.healed_mm[1]
    assert broken.closing_ml > once.closing_ml


def test_the_pressures_need_no_support() -> None:
    """What holds the body in place carries nothing, and strains nothing: it only keeps it from floating."""
    model = body(2.0)
    (f,) = inflate(model, [at(model)], volume_ml=2.0, pressure_mpa=2.7, lost_mm=LOST)
    found = lift(model, [f]).deformation
    everywhere = np.ones(found.boundary.nodes, bool)
    push = f.pressure_mpa * math.pi * 7.8**2
    assert np.abs(found.force_n(everywhere)).max() < 1e-5 * push
    assert len(found.boundary.displaced) == 6


def test_parting_is_read_between_the_endplates() -> None:
    model = body()
    move = np.zeros((3, *model.solid.nodes))
    heights = np.arange(model.solid.nodes[0], dtype=float)[:, None, None]
    slope = np.linspace(1.0, 0.0, model.solid.nodes[1])[None, :, None]
    move[0] = 0.01 * heights * slope
    front, middle, back = parting_mm(model, move)
    assert front > middle > back > 0.0
    assert middle == pytest.approx(0.01 * 26.0 * 0.5, rel=0.03)


def test_a_station_without_bone_is_read_where_bone_is_next() -> None:
    """A hole at the front station, its hind edge nearer on one side: that column is read, mirrored for the mirror."""
    model = body()
    whole = model.body.any(axis=0)
    front, middle, back = stations(model, whole)
    assert front.any()
    holed = whole.copy()
    holed[1:6] = False
    holed[5, 19] = True
    found, *others = stations(model, holed)
    assert np.argwhere(found).tolist() == [[5, 19]]
    assert all(np.array_equal(a, b) for a, b in zip(others, (middle, back), strict=True))
    assert np.array_equal(stations(model, holed[:, ::-1])[0], found[:, ::-1])
    midline = whole.copy()
    midline[:, 12:30] = False
    assert all(s.any() and (s <= midline).all() for s in stations(model, midline))


def test_endplates_that_do_not_face_each_other_are_refused() -> None:
    model = body()
    lower = np.arange(model.solid.shape[0])[:, None, None] < 13
    left = np.arange(model.solid.shape[2])[None, None, :] < 21
    split = replace(model, parts=np.where(lower == left, model.parts, np.uint8(Part.NONE)))
    with pytest.raises(ValueError, match="endplates of L1 face each other nowhere"):
        parting_mm(split, np.zeros((3, *model.solid.nodes)))


def test_depth_is_read_between_the_stations() -> None:
    model = body()
    assert at_depth_mm(model, LOST, 0.0) == 6.0
    assert at_depth_mm(model, LOST, 16.0) == pytest.approx(4.0)
    assert at_depth_mm(model, LOST, 32.0) == 0.0


def test_a_balloon_on_a_path_ends_at_the_target() -> None:
    model = body()
    target = (model.affine @ [21.0, 8.0, 13.0, 1.0])[:3]
    skin, entry = (target + np.array([0.0, back, 0.0]) for back in (60.0, 40.0))
    path = Trajectory(model.level, Side.LEFT, "transpedicular", Needle.of_gauge(10), skin, entry, target)
    placed = Placed.on(model, path, BALLOONS[15])
    assert placed.name == "left balloon"
    assert placed.centre_mm == pytest.approx([13.5, 16.0, 21.5])
    assert placed.along == pytest.approx([0.0, -1.0, 0.0])


def test_what_cannot_be_is_refused() -> None:
    model = body()
    with pytest.raises(ValueError, match="volume_ml=5 is outside 0 to 4 mL"):
        inflate(model, [at(model)], volume_ml=5, pressure_mpa=2.0)
    with pytest.raises(ValueError, match=r"pressure_mpa=3 is outside 0 to 2.76 MPa"):
        inflate(model, [at(model)], volume_ml=1.0, pressure_mpa=3)
    with pytest.raises(ValueError, match="the tip of the 20 mm balloon lies outside the body of L1"):
        inflate(model, [at(model, j=0.2, balloon=BALLOONS[20])], volume_ml=1.0, pressure_mpa=2.0)
    with pytest.raises(ValueError, match="the middle of the 10 mm balloon lies outside the body of L1"):
        inflate(model, [at(model, j=1.4)], volume_ml=1.0, pressure_mpa=2.0)
    brittle = replace(model, solid=replace(model.solid, yield_mpa=None))
    with pytest.raises(ValueError, match="has no yield stresses"):
        inflate(brittle, [at(brittle)], volume_ml=1.0, pressure_mpa=2.0)


def uneven() -> BoneModel:
    """Bone whose density scatters from voxel to voxel as in a scan."""
    plain = body()
    rng = np.random.default_rng(4)
    dense = plain.density_g_cc * rng.uniform(0.4, 1.6, plain.density_g_cc.shape)
    return BoneModel.from_density(dense, plain.parts, plain.solid.spacing_mm, level="L1", ends=Ends.EMBEDDED)


def test_where_a_balloon_ends_does_not_depend_on_what_was_asked() -> None:
    model = uneven()
    balloon = BALLOONS[15]
    curves = [
        inflate(model, [at(model, balloon=balloon)], volume_ml=ml, pressure_mpa=2.7)[0] for ml in (1.0, 2.0, 3.0, 4.0)
    ]
    for shorter, longer in pairwise(curves):
        assert shorter.volume_ml <= longer.volume_ml
        common = len(shorter.curve_ml)
        assert np.array_equal(shorter.curve_mpa, longer.curve_mpa[:common])
    # scatter from voxel to voxel is averaged out: the front meets hundreds of them
    pressure = curves[-1].curve_mpa
    assert np.ptp(pressure) < 0.25 * pressure.mean()


def test_a_stronger_law_of_bone_lets_a_balloon_grow_less_at_the_same_pressure() -> None:
    model = uneven()
    free = inflate(model, [at(model)], volume_ml=2.0, pressure_mpa=2.7)[0]
    limited = inflate(model, [at(model)], volume_ml=2.0, pressure_mpa=0.5 * (free.low_mpa + free.high_mpa))[0]
    assert limited.low_ml < limited.volume_ml <= limited.high_ml
