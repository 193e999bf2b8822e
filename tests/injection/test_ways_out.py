"""The ways out of a drawn vertebra: what was planted is found where it is, and left stays left."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import label

import trocar
from trocar.anatomy.bone import Calibration
from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.phantom import PhantomSpec, phantom
from trocar.anatomy.vertebra import Part
from trocar.errors import LevelError
from trocar.geometry import Side
from trocar.injection.cracks import CLEFT_RATIO, LOWER_SHARE, UPPER_SHARE, WALL_SHARE, WALLS
from trocar.injection.medium import Draw, medium
from trocar.injection.openings import FORAMEN_MOST_MM2, HOLE_MM2, cortex_of, judged
from trocar.injection.routes import told_apart
from trocar.injection.tracts import equal_radius_mm
from trocar.injection.walls import ROUTES, by_facing, endplate_cells, porous_region, skin_of
from trocar.injection.ways_out import Aetiology, Basis, Route, Shape, WayOut, WaysOut, ways_out
from trocar.mechanics.model import BoneModel, Ends, bone_model
from trocar.planning.instrument import Needle
from trocar.planning.robustness import HandError
from trocar.planning.trajectory import Trajectory

LINE = Calibration.from_scanner(0.0008, 0.0, "a test")
SOFT_HU = 45.0


@cache
def patient(
    mirror: bool = False, broken: bool = False, voxel_mm: tuple[float, float, float] = (1.5, 1.0, 1.0)
) -> Anatomy:
    spec = PhantomSpec(
        levels=(Level.L1, Level.L2), focus=Level.L1, voxel_mm=voxel_mm, mirror=mirror, broken_posterior_wall=broken
    )
    drawn = phantom(spec)
    return trocar.read_anatomy(drawn.labels, on=drawn.ct, scheme="totalseg-v2")


def model_of(anatomy: Anatomy, level: str = "L1", spacing_mm: float = 1.5) -> BoneModel:
    return bone_model(anatomy, level, calibration=LINE, arch=True, ends=Ends.EMBEDDED, spacing_mm=spacing_mm)


def found_in(anatomy: Anatomy, aetiology: Aetiology = Aetiology.OSTEOPOROTIC) -> WaysOut:
    return ways_out(anatomy, model_of(anatomy), [], aetiology)


def seen(found: WaysOut) -> list[WayOut]:
    return [w for w in found.ways if w.basis is Basis.SEEN]


def with_soft_ball(
    anatomy: Anatomy, place: tuple[float, float, float], radius_mm: float, hu: float = SOFT_HU
) -> Anatomy:
    """The patient with a ball of soft tissue in the CT; ``place`` in shares of half the body (left, back, up)."""
    vertebra = anatomy.vertebra("L1")
    body = vertebra.frame.to_local(vertebra.body.points_mm())
    low, high = body.min(axis=0), body.max(axis=0)
    centre = vertebra.frame.to_world(0.5 * (low + high) + 0.5 * np.asarray(place) * (high - low))
    ct = anatomy.ct
    where = ct.world_mm(np.moveaxis(np.indices(ct.shape), 0, -1))
    inside = np.linalg.norm(where - centre, axis=-1) <= radius_mm
    return replace(anatomy, ct=replace(ct, array=np.where(inside, np.float32(hu), ct.array)))


def straight_path(anatomy: Anatomy, side: Side, aside_mm: float = 0.0) -> Trajectory:
    """Along the axis of a pedicle, or beside it to the patient's left."""
    axis = anatomy.vertebra("L1").pedicles[side].axis
    shift = aside_mm * anatomy.vertebra("L1").frame.left
    points = [axis.at(d) + shift for d in (-80.0, -15.0, 25.0)]
    return Trajectory(Level.L1, side, "transpedicular", Needle.of_gauge(11), *points)


class TestIntactVertebra:
    def test_nothing_is_seen_and_everything_that_is_expected_is_there(self) -> None:
        found = found_in(patient())
        assert seen(found) == []
        assert found.findings == ()
        names = [w.name for w in found.ways]
        assert len(names) == len(set(names))
        assert "basivertebral foramen" in names
        assert {w.route for w in found.ways} == {
            Route.EPIDURAL, Route.DISC, Route.ANTERIOR, Route.LATERAL, Route.VENOUS,
        }  # fmt: skip

    def test_every_way_runs_in_porous_bone_and_leaves_through_its_skin(self) -> None:
        anatomy = patient()
        model = model_of(anatomy)
        skin = skin_of(model, anatomy)
        surface = np.zeros(model.solid.shape, bool)
        surface[tuple(skin.cells.T)] = True
        paths = [straight_path(anatomy, Side.LEFT)]
        for way in ways_out(anatomy, model, paths, Aetiology.METASTASIS).ways:
            assert way.exits.any(), way.name
            assert not (way.exits & ~way.channel).any(), way.name
            assert not (way.channel & ~porous_region(model)).any(), way.name
            if way.route is not Route.TRACT:
                assert not (way.exits & ~surface).any(), way.name
            assert 0.0 < way.present <= 1.0
            assert way.source
            assert (way.bore_mm > 0.0) == (way.shape is not Shape.OPENING)

    def test_the_foramen_lies_in_the_middle_of_the_posterior_wall(self) -> None:
        anatomy = patient()
        model = model_of(anatomy)
        way = next(w for w in found_in(anatomy).ways if w.name == "basivertebral foramen")
        frame = anatomy.vertebra("L1").frame
        exits = frame.to_local(model.affine[:3, :3] @ np.argwhere(way.exits).mean(axis=0)[::-1] + model.affine[:3, 3])
        wall = frame.to_local(anatomy.vertebra("L1").landmarks["posterior_wall"])
        assert abs(exits[0]) < 1.0
        assert abs(exits[2] - wall[2]) < 4.0
        assert abs(exits[1] - wall[1]) < 2.5
        deep = frame.to_local(model.volume(way.channel, "mask").points_mm())
        body = frame.to_local(anatomy.vertebra("L1").body.points_mm())[:, 1]
        assert (exits[1] - deep[:, 1].min()) > 0.4 * (body.max() - body.min()) * 0.8

    def test_the_channel_of_each_vein_hangs_together_by_faces(self) -> None:
        for way in found_in(patient()).ways:
            if way.shape is Shape.TUBE:
                assert label(way.channel)[1] == 1, way.name


class TestSkin:
    def test_its_area_is_that_of_a_box(self) -> None:
        """A box of 20 x 24 x 30 mm with an arch of one voxel: the free faces, to what its rounded edges take."""
        parts = np.full((20, 26, 30), Part.BODY)
        parts[:, 24] = Part.CANAL
        parts[:, 25] = Part.ARCH
        parts[:, 24, 0] = parts[:, 24, -1] = Part.ARCH
        model = BoneModel.from_density(np.full(parts.shape, 0.2), parts, (1.0,) * 3, level="L1", ends=Ends.EMBEDDED)
        anatomy = patient()
        skin = skin_of(model, _placed(anatomy, model))
        assert skin.area_mm2.sum() == pytest.approx(2 * 20 * 24 + 2 * 24 * 30 + 20 * 30 + 20 * 28, rel=0.15)

    def test_the_plates_open_to_the_disc_the_back_to_the_canal_and_the_front_forwards(self) -> None:
        anatomy = patient()
        model = model_of(anatomy)
        skin = skin_of(model, anatomy)
        route = np.full(model.solid.shape, -1)
        route[tuple(skin.cells.T)] = skin.route
        middle = int(np.argwhere(model.parts == Part.BODY)[:, 2].mean())
        for upper in (True, False):
            column = np.argwhere(endplate_cells(model, upper)[:, 12, middle])[0, 0]
            assert ROUTES[route[column, 12, middle]] is Route.DISC
        half = int(np.argwhere(model.parts[:, 12, middle] == Part.BODY).mean())
        along = [ROUTES[r] for r in route[half, :, middle] if r >= 0]
        assert along[0] is Route.ANTERIOR
        assert Route.EPIDURAL in along
        across = [ROUTES[r] for r in route[half, 10] if r >= 0]
        assert across[0] is across[-1] is Route.LATERAL

    def test_a_pedicle_bounds_the_canal_inside_and_faces_the_side_outside(self) -> None:
        anatomy = patient()
        model = model_of(anatomy)
        skin = skin_of(model, anatomy)
        for side, part in ((1.0, Part.PEDICLE_LEFT), (-1.0, Part.PEDICLE_RIGHT)):
            own = skin.part == part
            lateral = side * skin.outward[:, 2]
            assert set(skin.route[own & (lateral < -0.9)]) == {ROUTES.index(Route.EPIDURAL)}
            assert set(skin.route[own & (lateral > 0.9)]) == {ROUTES.index(Route.LATERAL)}
            below = own & (skin.outward[:, 0] < -0.95)
            assert set(skin.route[below]) <= {ROUTES.index(Route.FORAMINAL)}


def _placed(anatomy: Anatomy, model: BoneModel) -> Anatomy:
    """The patient without anything near the model, so that its walls are told by how they face and by its own canal."""
    vertebra = anatomy.vertebra("L1")
    own = model.volume(model.parts.copy(), "label")
    mask = model.volume(np.isin(model.parts, [1, 2, 3, 4]), "mask")
    return replace(anatomy, vertebrae={Level.L1: replace(vertebra, mask=mask, parts=own)}, structures={})


class TestFacing:
    """Walls before which nothing labelled lies are told by the way they face (k, j, i)."""

    @pytest.mark.parametrize(
        ("way", "body", "pedicle"),
        [
            ((0.0, -1.0, 0.0), Route.ANTERIOR, Route.LATERAL),
            ((0.0, -0.8, 0.6), Route.ANTERIOR, Route.LATERAL),
            ((0.0, -0.6, 0.8), Route.LATERAL, Route.LATERAL),
            ((0.0, -0.6, -0.8), Route.LATERAL, Route.LATERAL),
            ((0.0, 0.0, 1.0), Route.LATERAL, Route.LATERAL),
            ((0.0, 1.0, 0.0), Route.FORAMINAL, Route.FORAMINAL),
            ((1.0, 0.0, 0.0), None, Route.FORAMINAL),
            ((-1.0, 0.0, 0.0), None, Route.FORAMINAL),
        ],
    )
    def test_each_way(self, way: tuple[float, float, float], body: Route | None, pedicle: Route) -> None:
        found = by_facing(np.array([way, way]), np.array([False, True]))
        assert [ROUTES[r] if r >= 0 else None for r in found] == [body, pedicle]


class TestGaps:
    def test_a_broken_posterior_wall_opens_to_the_canal(self) -> None:
        found = found_in(patient(broken=True), Aetiology.METASTASIS)
        assert [w.name for w in seen(found)] == ["gap in the posterior wall"]
        way = seen(found)[0]
        assert way.route is Route.EPIDURAL
        assert way.shape is Shape.OPENING
        # the hole that is drawn is an ellipse of 16 mm by 0.6 of the posterior height (about 13 mm) across
        size = float(found.accounts[0].size.split()[0])
        assert 60.0 < size < 220.0
        assert any("posterior wall" in f.text for f in found.findings)

    @pytest.mark.parametrize(("side", "sign"), [("left", 1.0), ("right", -1.0)])
    def test_a_gap_in_a_side_wall_stays_on_its_side(self, side: str, sign: float) -> None:
        found = found_in(with_soft_ball(patient(), (sign * 0.9, -0.2, 0.0), 6.0), Aetiology.METASTASIS)
        assert [(w.name, w.route) for w in seen(found)] == [(f"gap in the {side} side wall", Route.LATERAL)]
        other = "right" if side == "left" else "left"
        assert f"crack in the {other} side wall" in {w.name for w in found.ways}
        assert f"crack in the {side} side wall" not in {w.name for w in found.ways}

    @pytest.mark.parametrize(
        ("place", "name", "route"),
        [
            ((0.0, -1.0, 0.0), "gap in the front wall", Route.ANTERIOR),
            ((0.0, 0.0, 0.95), "interrupted upper endplate", Route.DISC),
            ((0.0, 0.0, -0.95), "interrupted lower endplate", Route.DISC),
        ],
    )
    def test_a_gap_is_classed_by_where_it_opens(
        self, place: tuple[float, float, float], name: str, route: Route
    ) -> None:
        found = seen(found_in(with_soft_ball(patient(), place, 6.0)))
        assert [(w.name, w.route) for w in found] == [(name, route)]

    def test_a_small_hole_in_the_middle_of_the_posterior_wall_is_the_foramen(self) -> None:
        anatomy = with_soft_ball(patient(), (0.0, 1.0, 0.1), 5.0)
        found = found_in(anatomy)
        assert [w.route for w in seen(found)] == [Route.EPIDURAL]
        assert seen(found)[0].name == "basivertebral foramen"
        row = found.ways.index(seen(found)[0])
        assert HOLE_MM2 < float(found.accounts[row].size.split()[-3]) < FORAMEN_MOST_MM2
        assert "gap in the posterior wall" not in {w.name for w in found.ways}

    def test_a_lesion_has_vessels_of_its_own_in_cancer_only(self) -> None:
        anatomy = with_soft_ball(patient(), (0.3, 0.0, 0.0), 8.0, hu=30.0)
        names = {w.name for w in found_in(anatomy, Aetiology.METASTASIS).ways}
        assert {"tumour artery, left side", "tumour veins to the epidural veins"} <= names
        assert not any("tumour" in w.name for w in found_in(anatomy).ways)

    def test_gas_is_a_cleft_and_makes_cracks_likelier(self) -> None:
        plain, cleft = found_in(patient()), found_in(with_soft_ball(patient(), (0.0, -0.2, 0.2), 4.0, hu=-800.0))
        assert not plain.cleft.any()
        # 268 mm3 of gas were drawn; what shares a voxel with marrow counts half
        assert 150.0 < cleft.cleft.sum() * 1.5**3 < 350.0
        often = [{w.name: w.present for w in f.ways} for f in (plain, cleft)]
        for name in ("crack in the upper endplate", "crack in the front wall"):
            assert often[1][name] > often[0][name]
        assert any("cleft" in f.text for f in cleft.findings)


class TestFlow:
    def test_every_way_becomes_an_outlet_of_the_medium(self) -> None:
        anatomy = with_soft_ball(patient(broken=True), (0.3, 0.0, 0.0), 8.0, hu=30.0)
        model = model_of(anatomy)
        chance = trocar.Measure("breach_probability", 0.2, "1")
        paths = [replace(straight_path(anatomy, side, 1.0), breach_probability=chance) for side in Side]
        found = ways_out(anatomy, model, paths, Aetiology.METASTASIS)
        n = len(found.ways)
        flow = medium(model, found.ways, Draw((True,) * n, (1.0,) * n))
        assert [o.name for o in flow.outlets] == [*(w.name for w in found.ways), "cortex"]
        assert len({o.name for o in flow.outlets}) == n + 1
        assert all((o.conductance_mm3 > 0.0).all() for o in flow.outlets)
        assert {w.route for w in found.ways} == set(Route)


class TestMirror:
    def test_a_mirrored_patient_has_the_mirrored_ways(self) -> None:
        place = (0.9, -0.2, 0.2)
        plain = with_soft_ball(patient(), place, 6.0)
        there = with_soft_ball(patient(mirror=True), (-place[0], *place[1:]), 6.0)
        ours = self.told(plain, straight_path(plain, Side.LEFT))
        theirs = self.told(there, straight_path(there, Side.RIGHT))
        assert set(ours) == {swapped(name) for name in theirs}
        for name, (way, flipped) in ours.items():
            other, _ = theirs[swapped(name)]
            assert way.route is other.route
            assert way.present == pytest.approx(other.present, rel=1e-3, abs=1e-4)
            overlap = (flipped & other.exits).sum() / max(other.exits.sum(), way.exits.sum())
            assert overlap > 0.6, name

    @staticmethod
    def told(anatomy: Anatomy, path: Trajectory) -> dict[str, tuple[WayOut, np.ndarray]]:
        found = ways_out(anatomy, model_of(anatomy), [path], Aetiology.METASTASIS)
        return {f"{w.name} {w.route.value}": (w, w.exits[..., ::-1]) for w in found.ways}


def swapped(name: str) -> str:
    return name.replace("left", "LEFT").replace("right", "left").replace("LEFT", "right")


class TestNeedle:
    def test_the_tract_leaves_behind_through_its_own_pedicle(self) -> None:
        anatomy = patient()
        model = model_of(anatomy)
        paths = [straight_path(anatomy, side) for side in Side]
        found = {w.name: w for w in ways_out(anatomy, model, paths, Aetiology.OSTEOPOROTIC).ways}
        for side, part in ((Side.LEFT, Part.PEDICLE_LEFT), (Side.RIGHT, Part.PEDICLE_RIGHT)):
            way = found[f"along the {side.value} needle"]
            assert way.route is Route.TRACT
            assert set(model.parts[way.exits]) == {part}
            assert (model.parts[way.channel] == Part.BODY).any()

    def test_a_ring_and_a_tube_let_the_same_through(self) -> None:
        radius, gap = 1.6, 0.1
        assert np.pi * equal_radius_mm(radius, gap) ** 4 / 8 == pytest.approx(2 * np.pi * radius * gap**3 / 12)

    @pytest.mark.parametrize(
        ("aside_mm", "route"),
        [(-5.0, Route.EPIDURAL), (5.0, Route.LATERAL), (-8.0, Route.EPIDURAL), (8.0, Route.LATERAL)],
    )
    def test_a_path_that_pierces_a_wall_opens_it_for_certain(self, aside_mm: float, route: Route) -> None:
        anatomy = patient()
        path = straight_path(anatomy, Side.LEFT, aside_mm)
        found = ways_out(anatomy, model_of(anatomy), [path], Aetiology.OSTEOPOROTIC)
        pierced = [w for w in seen(found) if w.name.startswith("breach of the left pedicle")]
        other = Route.LATERAL if route is Route.EPIDURAL else Route.EPIDURAL
        assert route in {w.route for w in pierced}
        assert other not in {w.route for w in pierced}
        assert all(w.present == 1.0 for w in pierced)

    def test_beside_the_pedicle_the_entry_is_no_breach(self) -> None:
        """A path that is meant to enter through the lateral wall pierces it, and leaves its tract there."""
        anatomy = patient()
        path = replace(straight_path(anatomy, Side.LEFT, 5.0), approach="extrapedicular")
        found = ways_out(anatomy, model_of(anatomy), [path], Aetiology.OSTEOPOROTIC)
        assert "breach of the left pedicle to the side" not in {w.name for w in found.ways}
        assert "along the left needle" in {w.name for w in found.ways}

    def test_a_path_in_the_middle_of_its_pedicle_breaches_as_often_as_was_planned(self) -> None:
        anatomy = patient()
        measure = trocar.Measure("breach_probability", 0.2, "1")
        path = replace(straight_path(anatomy, Side.LEFT), breach_probability=measure)
        found = ways_out(anatomy, model_of(anatomy), [path], Aetiology.OSTEOPOROTIC)
        chances = [w.present for w in found.ways if w.name.startswith("breach of the left pedicle")]
        assert sum(chances) == pytest.approx(0.2, abs=1e-3)

    def test_a_steadier_hand_breaches_the_nearer_wall_more_surely(self) -> None:
        """The same breach probability, shared out by the hand that the plan was made with."""
        anatomy = patient()
        path = replace(
            straight_path(anatomy, Side.LEFT, 1.0), breach_probability=trocar.Measure("breach_probability", 0.2, "1")
        )
        model = model_of(anatomy)

        def nearer(hand: HandError) -> float:
            ways = ways_out(anatomy, model, [path], Aetiology.OSTEOPOROTIC, hand).ways
            chances = [w.present for w in ways if w.name.startswith("breach of the left pedicle")]
            assert sum(chances) == pytest.approx(0.2 if chances else 0.0, abs=1e-3)
            return max(chances, default=0.0)

        usual, steady, shaky = (HandError(*sd) for sd in ((1.5, 2.5), (0.8, 1.3), (6.1, 3.4)))
        assert nearer(steady) > nearer(usual) > nearer(shaky)
        assert nearer(HandError(1.5, 0.0)) > nearer(usual)  # an angle strays more the deeper the wall
        assert nearer(HandError(0.0, 0.0)) == 0.0


class TestFrequency:
    @pytest.mark.parametrize("aetiology", list(Aetiology))
    def test_one_crack_or_more_in_the_walls_is_as_frequent_as_published(self, aetiology: Aetiology) -> None:
        chances = [w.present for w in found_in(patient(), aetiology).ways if w.name.startswith("crack in the ")]
        walls = [p for p in chances if p not in (UPPER_SHARE, LOWER_SHARE)]
        assert len(walls) == WALLS
        assert 1.0 - np.prod(1.0 - np.array(walls)) == pytest.approx(WALL_SHARE[aetiology])

    def test_endplates_are_injured_as_often_as_in_the_series(self) -> None:
        """Ortiz 2011: the upper alone 39, the lower alone 12, both 29 of 100."""
        assert pytest.approx(0.39 + 0.29) == UPPER_SHARE
        assert pytest.approx(0.12 + 0.29) == LOWER_SHARE
        cleft = found_in(with_soft_ball(patient(), (0.0, -0.2, 0.2), 4.0, hu=-800.0))
        often = {w.name: w.present for w in cleft.ways}
        assert often["crack in the upper endplate"] == min(1.0, CLEFT_RATIO * UPPER_SHARE)

    @pytest.mark.parametrize("percent", [35.0, 60.0])
    def test_an_endplate_that_is_pressed_in_is_seen_to_be_broken(self, percent: float) -> None:
        drawn = phantom(
            PhantomSpec(
                levels=(Level.L1, Level.L2),
                focus=Level.L1,
                voxel_mm=(1.5, 1.0, 1.0),
                fracture="biconcave",
                fracture_percent=percent,
            )
        )
        anatomy = trocar.read_anatomy(drawn.labels, on=drawn.ct, scheme="totalseg-v2")
        cracks = {w.name: w for w in found_in(anatomy).ways if "endplate" in w.name}
        assert set(cracks) == {"crack in the upper endplate", "crack in the lower endplate"}
        for way in cracks.values():
            assert way.basis is Basis.SEEN
            assert way.present == 1.0

    def test_ways_of_one_name_are_numbered(self) -> None:
        ways = found_in(patient()).ways[:2]
        assert [w.name for w in told_apart(ways)] == [w.name for w in ways]
        twins = told_apart([replace(w, name="gap") for w in ways])
        assert [w.name for w in twins] == ["gap (1)", "gap (2)"]


class TestTable:
    def test_one_row_for_each_way(self) -> None:
        anatomy = patient()
        found = ways_out(anatomy, model_of(anatomy), [straight_path(anatomy, Side.LEFT)], Aetiology.OSTEOPOROTIC)
        table = found.table()
        assert {len(column) for column in table.values()} == {len(found.ways)}
        row = table["way"].index("basivertebral foramen")
        assert table["leads_to"][row] == "epidural"
        assert table["basis"][row] == Basis.EXPECTED.value
        assert table["present_percent"][row] == 100.0
        assert table["size"][row] == "radius 1.5 mm"
        assert 5.0 < table["distance_to_tip_mm"][row] < 40.0
        front = table["way"].index("segmental vein, front left")
        assert table["place"][front].endswith(" mm from the aorta")


class TestRefusals:
    def test_a_model_without_its_arch_is_the_callers_mistake(self) -> None:
        anatomy = patient()
        model = bone_model(anatomy, "L1", calibration=LINE, spacing_mm=2.0, ends=Ends.EMBEDDED)
        with pytest.raises(ValueError, match="arch=True"):
            ways_out(anatomy, model, [], Aetiology.OSTEOPOROTIC)

    def test_a_path_to_another_level_is_the_callers_mistake(self) -> None:
        anatomy = patient()
        path = replace(straight_path(anatomy, Side.LEFT), level=Level.L2)
        with pytest.raises(ValueError, match="L2"):
            ways_out(anatomy, model_of(anatomy), [path], Aetiology.OSTEOPOROTIC)

    def test_a_vertebra_without_a_canal_is_refused_with_what_to_do(self) -> None:
        parts = np.full((12, 14, 12), Part.BODY)
        parts[:, 12:] = Part.ARCH
        model = BoneModel.from_density(np.full(parts.shape, 0.2), parts, (1.5,) * 3, level="L1", ends=Ends.EMBEDDED)
        with pytest.raises(LevelError, match="Label the whole vertebra"):
            skin_of(model, _placed(patient(), model))

    def test_a_scan_too_coarse_for_endplates_says_so(self) -> None:
        found = found_in(patient(voxel_mm=(5.0, 1.0, 1.0)))
        assert [f.text for f in found.findings] == [
            "the scan is too coarse to tell gaps in the endplates of L1: leaks there are told from published "
            "frequency alone."
        ]
        assert "3.5 mm is the most" in found.findings[0].because

    def test_a_posterior_wall_that_could_not_be_read_is_told_with_its_share(self) -> None:
        anatomy = patient()
        model = model_of(anatomy)
        cortex = cortex_of(model, anatomy, skin_of(model, anatomy))
        assert judged(model, cortex) == ()
        back = cortex.skin.opens_to(Route.EPIDURAL)
        unread = replace(cortex.walls, peak_hu=np.where(back, np.nan, cortex.walls.peak_hu))
        (finding,) = judged(model, replace(cortex, walls=unread))
        assert finding.text.startswith("the posterior wall of L1 could not be judged")
        assert finding.because == "0 % of it could be read, and 50 % are needed"

    def test_a_scan_too_coarse_for_walls_says_so(self) -> None:
        anatomy = patient()
        dull = np.clip(anatomy.ct.array, None, 200.0)
        found = found_in(replace(anatomy, ct=replace(anatomy.ct, array=dull)))
        assert any("gaps in the walls of L1" in f.text and "120 are needed" in f.because for f in found.findings)


def test_a_thoracic_spine_from_a_clinical_scan(shared_data: Path) -> None:
    """A chest CT with slices of 2.5 mm, healthy vertebrae: the foramen shows, the walls hold."""
    folder = shared_data / "lidc0001"
    ct = trocar.read_ct(folder / "lidc0001_lower_dicom.zip")
    anatomy = trocar.read_anatomy(folder / "lidc0001_lower_totalseg_mask.nii.gz", on=ct, scheme="totalseg-v2")
    for level in ("T9", "T10", "T11", "T12", "L1"):
        found = ways_out(anatomy, model_of(anatomy, level), [], Aetiology.METASTASIS)
        assert [w.name for w in seen(found)] == ["basivertebral foramen"], level
        sizes = dict(zip(found.table()["way"], found.table()["size"], strict=True))
        # the foramina of dried and of fractured vertebrae measure 10 to 60 mm2
        assert 6.0 <= float(sizes["basivertebral foramen"].split(", ")[1].split()[0]) <= 62.0
