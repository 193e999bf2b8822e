"""True AP, lateral, barrel and oblique: the truth of a crooked phantom and of its mirror image, and two real scans."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import trocar
from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.anatomy.phantom import Fracture, Phantom, PhantomSpec, phantom
from trocar.anatomy.vertebra import Part, Vertebra
from trocar.geometry import Pose, Side, angle_deg, unit
from trocar.guidance.carm import CArm, Detector
from trocar.guidance.view_drawing import Mark, ViewDrawing, draw
from trocar.guidance.view_landmarks import landmarks_of
from trocar.guidance.view_quality import in_bone, trueness
from trocar.guidance.views import (
    DetectorAt,
    Kind,
    down_the_barrel,
    letters,
    oblique,
    position_words,
    true_ap,
    true_lateral,
)
from trocar.planning.instrument import Needle
from trocar.planning.trajectory import Trajectory

from ..planning import block as blocks

#: A vertebra with a wedge, in a crooked spine: no two of its directions are the patient's.
CROOKED = PhantomSpec(
    levels=("L1", "L2"),
    focus="L2",
    scoliosis_deg=16.0,
    fracture=Fracture.WEDGE,
    fracture_percent=25.0,
    voxel_mm=(1.5, 1.0, 1.0),
)
FLIP = np.array([-1.0, 1.0, 1.0])
#: A source so far away that its rays are parallel.
FAR = CArm(np.zeros(3), source_to_detector_mm=1e7 + 1.0, source_to_isocentre_mm=1e7)


@pytest.fixture(scope="module")
def pair() -> dict[bool, tuple[Phantom, Anatomy]]:
    """The crooked patient and the mirror image."""
    out = {}
    for mirrored in (False, True):
        drawn = phantom(replace(CROOKED, mirror=mirrored))
        out[mirrored] = drawn, trocar.read_anatomy(drawn.labels, on=drawn.ct, scheme="totalseg-v2")
    return out


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "mirrored"])
def crooked(request: pytest.FixtureRequest, pair: dict[bool, tuple[Phantom, Anatomy]]) -> tuple[Phantom, Vertebra]:
    drawn, anatomy = pair[request.param]
    return drawn, anatomy.vertebra("L2")


def path(vertebra: Vertebra, side: Side = Side.LEFT) -> Trajectory:
    """A path through the pedicle along its axis, turned so that it runs straight nowhere."""
    axis = vertebra.pedicles[side].axis
    return Trajectory(
        vertebra.level,
        side,
        "transpedicular",
        Needle.of_gauge(11),
        axis.at(-60.0),
        axis.at(-12.0),
        axis.at(22.0),
    )


def block(side_mm: float = 0.0) -> Vertebra:
    """The block vertebra with the tip of a spinous process 60 mm behind its centre."""
    plain = blocks.vertebra(blocks.grid())
    return replace(plain, landmarks={"spinous_tip": np.array([side_mm, 60.0, -8.0])})


class TestDirections:
    def test_a_true_ap_looks_along_the_drawn_midplane_square_to_the_drawn_height(self, crooked) -> None:
        drawn, vertebra = crooked
        truth = drawn.truth.vertebrae[Level.L2]
        up = unit(truth.endplates["superior"].normal - truth.endplates["inferior"].normal)
        for at in DetectorAt:
            ray = true_ap(vertebra, at).arm.toward_detector
            assert abs(90.0 - angle_deg(ray, truth.frame.left)) < 2.0
            assert abs(90.0 - angle_deg(ray, up)) < 2.0
            assert angle_deg(ray, -at.sign * truth.frame.posterior) < 15.0  # the wedge takes up the rest

    def test_a_true_lateral_looks_from_side_to_side(self, crooked) -> None:
        drawn, vertebra = crooked
        for side in Side:
            ray = true_lateral(vertebra, side).arm.toward_detector
            assert angle_deg(ray, side.sign * drawn.truth.vertebrae[Level.L2].frame.left) < 2.5

    def test_behind_is_the_opposite_ray(self, crooked) -> None:
        _, vertebra = crooked
        front, behind = (true_ap(vertebra, at).arm for at in (DetectorAt.FRONT, DetectorAt.BEHIND))
        assert behind.secondary_angle_deg == pytest.approx(-front.secondary_angle_deg)
        assert (behind.primary_angle_deg - front.primary_angle_deg) % 360.0 == pytest.approx(180.0)
        assert abs(front.primary_angle_deg) < 90.0 < abs(behind.primary_angle_deg)

    def test_an_oblique_looks_along_the_pedicle_with_the_endplates_as_in_the_ap(self, crooked) -> None:
        _, vertebra = crooked
        up = unit(vertebra.endplates["superior"].normal - vertebra.endplates["inferior"].normal)
        for side in Side:
            ray = oblique(vertebra, side, DetectorAt.FRONT).arm.toward_detector
            axis = vertebra.pedicles[side].axis.direction
            assert angle_deg(ray, axis - (axis @ up) * up) < 0.01
            assert ray @ up == pytest.approx(0.0, abs=1e-9)
            thirty = oblique(vertebra, side, DetectorAt.BEHIND, 30.0).arm.toward_detector
            assert angle_deg(thirty, true_ap(vertebra).arm.toward_detector) == pytest.approx(30.0)
            # the detector behind goes to the side that the needle comes from
            assert side.sign * (thirty @ vertebra.frame.left) > 0.4

    def test_an_oblique_of_a_pedicle_that_is_missing_asks_for_its_turn(self, crooked) -> None:
        _, vertebra = crooked
        bare = replace(vertebra, pedicles={})
        with pytest.raises(ValueError, match="no left pedicle"):
            oblique(bare, Side.LEFT)
        oblique(bare, Side.LEFT, turn_deg=20.0)
        with pytest.raises(ValueError, match="turn_deg=120"):
            oblique(vertebra, Side.LEFT, turn_deg=120.0)


class TestBarrel:
    @pytest.mark.parametrize("at", DetectorAt)
    def test_the_whole_needle_is_a_point(self, crooked, at: DetectorAt) -> None:
        _, vertebra = crooked
        t = path(vertebra)
        arm = down_the_barrel(vertebra, t, at).arm
        seen = arm.project(np.array([t.skin_mm, t.entry_mm, t.target_mm]))
        np.testing.assert_allclose(seen, [arm.detector.middle] * 3, atol=1e-6)

    def test_its_angles_are_the_needles(self, crooked) -> None:
        _, vertebra = crooked
        t = path(vertebra)
        dx, dy, dz = t.target_mm - t.entry_mm
        front, behind = (down_the_barrel(vertebra, t, at).arm for at in (DetectorAt.FRONT, DetectorAt.BEHIND))
        assert front.primary_angle_deg == pytest.approx(np.degrees(np.arctan2(dx, -dy)))
        assert front.secondary_angle_deg == pytest.approx(np.degrees(np.arcsin(dz / np.linalg.norm([dx, dy, dz]))))
        assert behind.secondary_angle_deg == pytest.approx(-front.secondary_angle_deg)
        assert abs(behind.primary_angle_deg - front.primary_angle_deg) == pytest.approx(180.0)


class TestMirror:
    def test_the_mirror_image_has_the_mirrored_views(self, pair) -> None:
        plain, other = (anatomy.vertebra("L2") for _, anatomy in (pair[False], pair[True]))
        for at in DetectorAt:
            a, b = true_ap(plain, at).arm, true_ap(other, at).arm
            np.testing.assert_allclose(b.toward_detector, a.toward_detector * FLIP, atol=2e-3)
            assert b.roll_deg == pytest.approx(-a.roll_deg, abs=0.15)
        for side in Side:
            a, b = true_lateral(plain, side).arm, true_lateral(other, side.other).arm
            np.testing.assert_allclose(b.toward_detector, a.toward_detector * FLIP, atol=2e-3)
            a, b = oblique(plain, side).arm, oblique(other, side.other).arm
            np.testing.assert_allclose(b.toward_detector, a.toward_detector * FLIP, atol=1e-2)

    def test_left_is_left_on_the_image(self, crooked) -> None:
        """From behind, the patient's left is on the left; from the front, on the right."""
        drawn, vertebra = crooked
        left = drawn.truth.vertebrae[Level.L2].pedicles[Side.LEFT].axis.point_mm
        right = drawn.truth.vertebrae[Level.L2].pedicles[Side.RIGHT].axis.point_mm
        for at in DetectorAt:
            arm = true_ap(vertebra, at).arm
            assert at.sign * (arm.project(left)[1] - arm.project(right)[1]) > 20.0
            assert letters(arm)[0][0] == ("R" if at is DetectorAt.FRONT else "L")
            assert letters(arm)[2][0] == "H"
            assert letters(replace(arm, mirrored=True))[0] == letters(arm)[1]


class TestTrueness:
    def test_a_true_view_needs_no_correction(self, crooked) -> None:
        _, vertebra = crooked
        for kind, arm in (
            (Kind.AP, true_ap(vertebra).arm),
            (Kind.AP, true_ap(vertebra, DetectorAt.FRONT).arm),
            (Kind.LATERAL, true_lateral(vertebra, Side.RIGHT).arm),
        ):
            found = trueness(arm, vertebra, kind)
            assert found.is_true
            assert (found.turn_deg, found.tilt_deg, found.picture_deg) == pytest.approx((0, 0, 0), abs=1e-9)
            assert found.words == "as it stands"
            assert abs(found.pedicle_height_mm) < 3.0

    @pytest.mark.parametrize("tilt", [3.0, 8.0])
    def test_a_tilt_opens_the_endplates_as_a_disc_does(self, tilt: float) -> None:
        """Parallel rays: a flat disc of depth D, tilted by t, is D sin t thick; closed form."""
        vertebra = block()
        arm = replace(FAR, isocentre_mm=np.zeros(3), secondary_angle_deg=tilt)
        found = trueness(arm, vertebra, Kind.AP)
        outline = landmarks_of(vertebra).endplates["superior"]
        depth = np.ptp(outline[:, 1])
        assert found.endplates_mm["superior"] == pytest.approx(depth * np.sin(np.radians(tilt)), abs=1e-3)
        assert found.tilt_deg == pytest.approx(-tilt)
        assert f"tilt {tilt:.0f}° caudal" in found.words

    @pytest.mark.parametrize("turn", [-7.0, 5.0])
    def test_a_turn_moves_the_spinous_process_by_its_depth(self, turn: float) -> None:
        """Parallel rays: what lies b behind the pedicles appears b sin t aside; closed form."""
        vertebra = block()
        arm = replace(FAR, isocentre_mm=np.zeros(3), primary_angle_deg=turn)
        found = trueness(arm, vertebra, Kind.AP)
        behind = vertebra.landmarks["spinous_tip"][1] - vertebra.pedicles[Side.LEFT].axis.point_mm[1]
        shift = behind * np.sin(np.radians(turn))
        assert found.spinous_off_mm == pytest.approx(shift, abs=1e-2)
        half = vertebra.pedicles[Side.LEFT].axis.point_mm[0] * np.cos(np.radians(turn))
        assert found.spinous_off_percent == pytest.approx(100.0 * shift / half, abs=0.1)
        assert found.turn_deg == pytest.approx(-turn)
        word = "RAO" if turn > 0 else "LAO"
        assert f"({word})" in found.words
        assert not found.is_true

    def test_a_lateral_that_is_turned_parts_the_pedicles(self) -> None:
        vertebra = block()
        arm = replace(FAR, isocentre_mm=np.zeros(3), primary_angle_deg=96.0)
        found = trueness(arm, vertebra, Kind.LATERAL)
        apart = 2.0 * vertebra.pedicles[Side.LEFT].axis.point_mm[0] * np.sin(np.radians(6.0))
        assert found.pedicle_shift_mm == pytest.approx(apart, abs=1e-2)
        assert "towards the front" in found.words

    def test_what_it_says_leads_to_the_true_view(self, crooked) -> None:
        """Whatever the start: turned and tilted as told, nothing is left."""
        _, vertebra = crooked
        rng = np.random.default_rng(3)
        for _ in range(5):
            start = true_ap(vertebra).arm
            start = replace(
                start,
                primary_angle_deg=start.primary_angle_deg + rng.uniform(-25, 25),
                secondary_angle_deg=start.secondary_angle_deg + rng.uniform(-25, 25),
                roll_deg=rng.uniform(-20, 20),
            )
            found = trueness(start, vertebra)
            after = replace(
                start,
                primary_angle_deg=start.primary_angle_deg + found.turn_deg,
                secondary_angle_deg=start.secondary_angle_deg + found.tilt_deg,
                roll_deg=start.roll_deg + found.picture_deg,
            )
            left = trueness(after, vertebra)
            assert (left.turn_deg, left.tilt_deg, left.picture_deg) == pytest.approx((0, 0, 0), abs=1e-9)
            # a wedge has no view with both on edge: the true one has the thicker of the two at its thinnest
            assert max(left.endplates_mm.values()) < max(found.endplates_mm.values()) + 0.5

    def test_a_bone_that_has_turned_asks_for_the_same_turn(self) -> None:
        """The bone turned by 5 degrees about the patient's height: the arm follows it."""
        vertebra = block()
        a = np.radians(5.0)
        turned = Pose(
            np.array([4.0, -3.0, 2.0]), np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
        )
        found = trueness(replace(FAR, isocentre_mm=np.zeros(3)), vertebra, Kind.AP, turned)
        assert found.turn_deg == pytest.approx(5.0)
        assert found.tilt_deg == pytest.approx(0.0, abs=1e-9)

    def test_a_bone_is_seen_where_it_is(self) -> None:
        """An arm moved into the bone's coordinates shows its points where the arm shows the displaced ones."""
        rng = np.random.default_rng(1)
        q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        pose = Pose(np.array([12.0, -7.0, 5.0]), q * np.sign(np.linalg.det(q)))
        for mirrored in (False, True):
            arm = CArm(np.array([1.0, 2.0, 3.0]), 31.0, -17.0, detector=Detector(300, 200, 0.5, 0.7), roll_deg=12.0)
            arm = replace(arm, mirrored=mirrored)
            points = rng.normal(scale=40.0, size=(20, 3))
            np.testing.assert_allclose(
                in_bone(arm, pose).project(points), arm.project(pose.to_world(points)), atol=1e-6
            )

    def test_other_views_are_not_measured(self) -> None:
        with pytest.raises(ValueError, match="down the needle"):
            trueness(FAR, block(), Kind.BARREL)


def test_positions_are_told_in_words() -> None:
    arm = CArm(np.zeros(3), 176.0, -12.0)
    assert position_words(arm) == "detector behind, 4° to the patient's left, 12° towards the feet"
    assert position_words(replace(arm, primary_angle_deg=-176.0)) == (
        "detector behind, 4° to the patient's right, 12° towards the feet"
    )
    assert position_words(CArm(np.zeros(3), 30.0)) == "detector in front, 30° to the patient's left"
    assert position_words(CArm(np.zeros(3), -87.0)) == "detector at the patient's right, 3° towards the front"
    assert position_words(CArm(np.zeros(3))) == "detector in front"


def lateral_drawing(vertebra: Vertebra, t: Trajectory | None = None) -> ViewDrawing:
    return draw(true_lateral(vertebra), () if t is None else (t,))


class TestDrawing:
    def test_the_needle_has_its_diameter_times_the_magnification_there(self) -> None:
        """A needle along the patient's height, 100 mm nearer to the detector than the isocentre; closed form."""
        vertebra = block()
        t = Trajectory(
            vertebra.level, Side.LEFT, "transpedicular", Needle(4.0), *([0.0, 100.0, z] for z in (40, 20, -20))
        )
        arm = CArm(np.zeros(3), 180.0, detector=Detector(400, 400, 0.5, 0.5))
        view = replace(true_ap(vertebra), arm=arm)
        (needle,) = draw(view, (t,)).of(Mark.NEEDLE)
        assert np.ptp(needle.pixels[:, 1]) == pytest.approx(4.0 * 1020.0 / 720.0 / 0.5, rel=2e-3)

    def test_margins_lie_around_the_needle_and_name_who_asks(self) -> None:
        from trocar.planning.trajectory import Clearance

        vertebra = block()
        t = replace(path(vertebra), clearances=(Clearance("canal", 3.0, 0.5, 2.0), Clearance("aorta", 9.0, 0.5, 5.0)))
        drawn = draw(true_ap(vertebra), (t,))
        names = [o.name for o in drawn.of(Mark.MARGIN)]
        assert names == ["2 mm: canal", "5 mm: aorta"]
        areas = [_area(o.pixels) for o in drawn.of(Mark.MARGIN)]
        assert areas[0] < areas[1]

    def test_ovals_lie_where_the_pedicles_were_drawn(self, crooked) -> None:
        drawn, vertebra = crooked
        truth = drawn.truth.vertebrae[Level.L2]
        view = true_ap(vertebra)
        mm = draw(view).mm_per_pixel
        for oval in draw(view).of(Mark.PEDICLE):
            pedicle = truth.pedicles[Side(oval.name)]
            offset = (oval.pixels - view.arm.project(pedicle.axis.point_mm)) * mm
            assert np.linalg.norm(offset.mean(axis=0)) < 1.5
            assert np.ptp(offset[:, 0]) == pytest.approx(pedicle.height_mm, abs=2.0)
            lean = np.cos(np.radians(pedicle.transverse_angle_deg))
            assert np.ptp(offset[:, 1]) == pytest.approx(pedicle.width_mm * lean, abs=1.5)

    def test_the_medial_border_is_medial_and_the_posterior_wall_behind(self, crooked) -> None:
        _, vertebra = crooked
        ap, lateral = draw(true_ap(vertebra)), lateral_drawing(vertebra)
        middle = np.mean([o.pixels[:, 1].mean() for o in ap.of(Mark.PEDICLE)])
        for line, oval in zip(ap.of(Mark.MEDIAL), ap.of(Mark.PEDICLE), strict=True):
            assert line.name == oval.name
            inner = min(abs(oval.pixels[:, 1] - middle))
            assert np.abs(line.pixels[:, 1] - middle).mean() == pytest.approx(inner, abs=1.0)
        behind, ahead = (lateral.of(m)[0].pixels[:, 1].mean() for m in (Mark.POSTERIOR, Mark.ANTERIOR))
        posterior = lateral.view.arm.axes[0] @ vertebra.frame.posterior
        assert np.sign(behind - ahead) == np.sign(posterior)
        depth = abs(behind - ahead) * lateral.mm_per_pixel[1]
        assert 25.0 < depth < 45.0

    def test_the_walls_of_the_block_stand_where_they_are(self) -> None:
        """Parallel rays: front and back of the box at -16 and 16 mm; closed form."""
        vertebra = block()
        view = replace(true_lateral(vertebra), arm=replace(FAR, isocentre_mm=np.zeros(3), primary_angle_deg=90.0))
        for mark, y in ((Mark.POSTERIOR, 16.0), (Mark.ANTERIOR, -16.0)):
            (line,) = draw(view).of(mark)
            places = (line.pixels[:, 1] - view.arm.detector.middle[1]) * draw(view).mm_per_pixel[1]
            np.testing.assert_allclose(places, y, atol=0.05)

    def test_the_bodys_silhouette_is_the_boxs(self) -> None:
        vertebra = block()
        view = replace(true_ap(vertebra), arm=replace(FAR, isocentre_mm=np.zeros(3)))
        (body,) = draw(view).of(Mark.BODY)
        size = np.ptp(body.pixels, axis=0) * draw(view).mm_per_pixel
        np.testing.assert_allclose(size, [26.0, 44.0], atol=1.0)  # half a voxel to either side

    def test_nothing_is_drawn_of_what_is_not_there(self) -> None:
        bare = replace(block(), landmarks={}, pedicles={}, endplates={})
        assert {o.mark for o in draw(true_ap(bare)).outlines} == {Mark.BODY, Mark.CANAL}
        found = trueness(true_ap(bare).arm, bare)
        assert found.endplates_mm == {}
        assert np.isnan(found.spinous_off_mm)


def _area(outline: np.ndarray) -> float:
    x, y = outline.T
    return 0.5 * abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1)))


def test_a_real_vertebra_is_shown_as_it_lies(shared_data: Path) -> None:
    """L3 of the coarse scan: the marks of a true AP within what its own asymmetry leaves."""
    folder = shared_data / "ts_example"
    ct = trocar.read_ct(folder / "example_ct.nii.gz")
    anatomy = trocar.read_anatomy(folder / "totalseg_vertebrae_v2labels.nii.gz", on=ct, scheme="totalseg-v2")
    vertebra = anatomy.vertebra("L3")
    ap, lateral = true_ap(vertebra).arm, true_lateral(vertebra).arm
    found = trueness(ap, vertebra)
    assert abs(found.spinous_off_mm) < 4.0
    assert abs(found.pedicle_height_mm) < 3.0
    assert max(found.endplates_mm.values()) < 6.0  # not quite parallel to each other, and off the central ray
    turned = trueness(replace(ap, secondary_angle_deg=ap.secondary_angle_deg + 12.0), vertebra)
    assert max(turned.endplates_mm.values()) > max(found.endplates_mm.values()) + 4.0
    assert trueness(lateral, vertebra, Kind.LATERAL).pedicle_shift_mm < 3.0


def test_a_wall_ends_where_the_endplate_begins() -> None:
    """A body whose back is lower than its front: the line at its posterior wall does not run on along the endplate."""
    vertebra = block()
    p = vertebra.parts.world_mm(np.stack(np.indices(vertebra.parts.shape), axis=-1))
    low = (vertebra.parts.array == Part.BODY) & (p[..., 2] > 13.0 - 0.3 * (p[..., 1] + 16.0))
    parts = replace(vertebra.parts, array=np.where(low, Part.NONE, vertebra.parts.array))
    wedge = replace(vertebra, parts=parts, mask=replace(vertebra.mask, array=vertebra.mask.array & ~low))
    view = replace(true_lateral(vertebra), vertebra=wedge)
    view = replace(view, arm=replace(FAR, isocentre_mm=np.zeros(3), primary_angle_deg=90.0))
    (line,) = draw(view).of(Mark.POSTERIOR)
    places = (line.pixels - view.arm.detector.middle) * draw(view).mm_per_pixel
    assert places[:, 1].min() > 16.0 - 5.0
    assert -places[:, 0].min() == pytest.approx(13.0 - 0.3 * 28.0, abs=2.0)  # where it has fallen back by 4 mm
