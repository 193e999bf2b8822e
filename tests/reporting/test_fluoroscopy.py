"""What the C-arm will show: markers found where they belong in the images, and every word of the chapter."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from trocar.geometry import Side
from trocar.guidance.carm import CArm
from trocar.guidance.exposure import attenuation
from trocar.guidance.view_drawing import Mark
from trocar.guidance.views import DetectorAt, true_ap
from trocar.measure import Finding, Severity
from trocar.physics.xray import line_integrals
from trocar.reporting import palette
from trocar.reporting.content import Chapter
from trocar.reporting.fluoroscopy import chapter, grave
from trocar.reporting.fluoroscopy_pictures import MOST, Frame, shown_events, view_picture
from trocar.reporting.fluoroscopy_views import FIELD_MM, TOP_GREY, Views, reporting_arm, seen_by, shown, views_of
from trocar.reporting.html import html
from trocar.reporting.panel import PIXELS
from trocar.reporting.report import report
from trocar.treatment import Plan
from trocar.volume import Volume

#: The dense ball of the test patient: left, in front, above.
MARKER_MM = np.array([32.0, -28.0, 20.0])


@pytest.fixture(scope="module")
def views(plan: Plan) -> Views:
    found = views_of(plan)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def told(views: Views) -> Chapter:
    return chapter(views)


def _pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def _darkest(image: np.ndarray) -> np.ndarray:
    where = np.argwhere(image <= image.min() + 2)
    return where.mean(axis=0)


class TestImage:
    @pytest.mark.parametrize("name", ["ap", "lateral"])
    def test_the_dense_ball_is_dark_where_the_c_arm_projects_it(self, views: Views, name: str) -> None:
        """Alone in the air: left is left, up is up, and the size is the C-arm's."""
        ct = views.plan.anatomy.ct
        ball = replace(ct, array=np.where(ct.array > 2500.0, ct.array, -1000.0).astype(np.float32))
        # the grey scale is that of the image's middle: the ball is brought near it
        arm = views.named[name].arm.about(MARKER_MM + np.array([12.0, 9.0, -8.0]))
        image = shown(attenuation(ball), arm)
        row, column = np.rint(arm.project(MARKER_MM)).astype(int)
        assert image[row, column] < 0.2 * TOP_GREY < 0.6 * TOP_GREY < image[0, 0]
        np.testing.assert_allclose(_darkest(image), arm.project(MARKER_MM), atol=3.0)

    def test_what_is_cut_away_of_the_ct_is_in_no_beam(self, views: Views) -> None:
        """Projected whole or cropped, the image is the same."""
        ct = views.plan.anatomy.ct
        tall = replace(
            ct,
            array=np.pad(ct.array, ((60, 60), (0, 0), (0, 0)), mode="edge"),
            affine=_lowered(ct, 60),
            acquisition=None,
        )
        arm = replace(true_ap(views.vertebra, DetectorAt.BEHIND, reporting_arm()).arm, secondary_angle_deg=11.0)
        arm = arm.binned(8)
        near = seen_by([arm], tall)
        assert near.shape[0] < tall.shape[0] - 20
        whole, part = (
            line_integrals(v.array, v.spacing_mm, arm.beam(v)) for v in (attenuation(tall), attenuation(near))
        )
        np.testing.assert_allclose(part, whole, atol=1e-4)

    def test_a_panel_shows_the_stated_field(self, views: Views) -> None:
        arm = views.ap.arm
        edge = arm.project(arm.isocentre_mm + 0.5 * FIELD_MM * arm.axes[0])
        frame = Frame.of(arm, "")
        np.testing.assert_allclose(frame.place(edge), [FIELD_MM / 2.0, 0.0], atol=1e-6)
        image = np.zeros(arm.detector.shape, np.uint8)
        row, column = (round(v) for v in arm.project(arm.isocentre_mm + 20.0 * arm.axes[0] + 10.0 * arm.axes[1]))
        image[row - 1 : row + 2, column - 1 : column + 2] = 255
        found = np.argwhere(frame.cut(image, PIXELS) > 100).mean(axis=0)
        np.testing.assert_allclose((found - (PIXELS - 1) / 2.0) * FIELD_MM / PIXELS, [10.0, 20.0], atol=0.3)

    def test_a_part_beyond_the_image_is_its_edge_repeated(self, views: Views) -> None:
        image = np.full(views.ap.arm.detector.shape, 77, np.uint8)
        frame = Frame.of(views.ap.arm, "", 60.0, np.array([-20.0, 30.0]))
        assert np.all(frame.cut(image, 100) == 77)


def _lowered(ct: Volume, slices: int) -> np.ndarray:
    affine = ct.affine.copy()
    affine[:3, 3] -= slices * affine[:3, 2]
    return affine


class TestDrawn:
    def test_the_needle_is_drawn_where_it_is(self, views: Views, plan: Plan) -> None:
        """In the AP from behind the left needle comes from the left of the picture."""
        (t,) = plan.best.trajectories
        flat = np.full(views.ap.arm.detector.shape, 100, np.uint8)
        picture = _pixels(view_picture(views, views.ap, flat, (t,)))
        red, green, blue = np.moveaxis(picture[:PIXELS], -1, 0)
        yellow = np.argwhere((red > 150) & (green > 150) & (blue < 110))
        frame = Frame.of(views.ap.arm, "")
        ends = np.array([frame.place(views.ap.arm.project(p)) for p in (t.entry_mm, t.target_mm)])
        columns = (ends[:, 0] / FIELD_MM + 0.5) * PIXELS
        assert t.side is Side.LEFT
        assert columns[0] < columns[1]
        assert yellow[:, 1].min() < columns[0] + 20
        assert abs(yellow[:, 1].max() - columns[1]) < 30

    def test_a_border_is_named_for_the_needles_own_pedicle(self, views: Views) -> None:
        drawn = views.drawing(views.ap)
        assert {o.name for o in drawn.of(Mark.MEDIAL)} == {"left", "right"}
        flat = np.full(views.ap.arm.detector.shape, 100, np.uint8)
        picture = _pixels(view_picture(views, views.ap, flat, views.trajectories))
        (line,) = [o for o in drawn.of(Mark.MEDIAL) if o.name == "left"]
        at = (Frame.of(views.ap.arm, "").place(line.pixels) / FIELD_MM + 0.5) * PIXELS
        column = round(float(at[:, 0].mean()))
        low, high = sorted(round(float(v)) for v in at[:, 1])
        assert (picture[low:high, column - 2 : column + 3].min(axis=2) > 235).any(axis=1).mean() > 0.4


class TestChapter:
    def test_it_has_the_views_and_the_checkpoints(self, told: Chapter) -> None:
        assert [p.name for p in told.pictures] == [
            "fluoroscopy_ap",
            "fluoroscopy_lateral",
            "fluoroscopy_barrel_left",
            "fluoroscopy_oblique_left",
            "fluoroscopy_checkpoints_left",
        ]
        for picture in told.pictures:
            assert picture.png.startswith(b"\x89PNG")
            assert len(picture.alt) > 60
            assert picture.caption
        assert "Image left is the patient's left" in told.pictures[0].alt
        assert "Image left is the patient's front" in told.pictures[1].alt

    def test_the_angles_are_those_of_the_views(self, told: Chapter, views: Views) -> None:
        rows = {row[0]: row for row in told.tables[0].rows}
        assert set(rows) == {"True AP", "True lateral", "Down the needle", "Oblique, along the pedicle"}
        assert "180" in str(rows["True AP"][1])
        assert str(rows["True AP"][2]).startswith("Behind")
        assert "LAO 90" in str(rows["True lateral"][1])
        # the needle points to (-18, -35, -5): from behind 180 + atan2(-18, 35), asin(5 / |.|)
        turn = np.degrees(np.arctan2(18.0, 35.0))
        tilt = np.degrees(np.arcsin(5.0 / np.sqrt(18.0**2 + 35.0**2 + 5.0**2)))
        assert rows["Down the needle"][1] == f"LAO {180.0 - turn:.0f}, CRA {tilt:.0f}"

    def test_every_event_and_every_second_millimetre_is_in_the_tables(self, told: Chapter, views: Views) -> None:
        (checked,) = views.checked
        events, depths = told.tables[1:]
        assert len(events.rows) == len(checked.events)
        assert [row[3] for row in events.rows] == [c.words for c in checked.events]
        assert len(depths.rows) == (len(checked.stations) + 1) // 2
        steps = np.diff([float(str(row[0])) for row in depths.rows])
        assert np.all((steps >= 1.0) & (steps <= 3.0))

    def test_the_rule_is_stated_and_how_it_stands(self, told: Chapter, views: Views) -> None:
        (checked,) = views.checked
        assert checked.way.value in told.lead
        assert ("keeps it" in told.lead) == bool(checked.kept)
        assert "simulated" in told.lead

    def test_at_most_six_checkpoints_get_a_picture(self, views: Views) -> None:
        (checked,) = views.checked
        many = replace(checked, events=checked.events * 3)
        assert len(shown_events(many)) <= MOST

    def test_two_needles_have_a_view_and_checkpoints_each(self, two_sided_plan: Plan) -> None:
        found = views_of(two_sided_plan)
        assert found is not None
        names = [p.name for p in chapter(found).pictures]
        assert {f"fluoroscopy_{n}_{s}" for n in ("barrel", "checkpoints") for s in ("left", "right")} <= set(names)
        titles = [t.title for t in chapter(found).tables]
        assert {"Checkpoints, left needle", "Checkpoints, right needle"} <= set(titles)

    def test_a_path_through_the_canal_stops_the_report(self, plan: Plan) -> None:
        """Turned to pass from the lamina through the canal: the first page says stop, whatever its clearances say."""
        (t,) = plan.best.trajectories
        entry, target = np.array([6.0, 40.0, 2.0]), np.array([-2.0, -4.0, 2.0])
        skin = entry + 25.0 * (entry - target) / np.linalg.norm(entry - target)
        through = replace(t, skin_mm=skin, entry_mm=entry, target_mm=target)
        option = replace(plan.best, trajectories=(through,))
        made = report(replace(plan, options=(option,), findings=(), not_checked=()))
        assert made.verdict.word == "stop"
        assert "medial border" in made.verdict_text
        assert any(c.badge.word == "STOP" and "canal" in c.text for c in made.screen[0].concerns)
        assert "breaks it" in made.screen[0].lead

    def test_notes_stay_in_the_chapter(self, views: Views) -> None:
        note, worry = (Finding(s, s.value) for s in (Severity.NOTE, Severity.CAUTION))
        assert grave(replace(views, findings=(note, worry))) == (worry,)
        assert grave(None) == ()

    def test_without_images_there_is_no_chapter(self, plan: Plan) -> None:
        bare = replace(plan, images=None)
        assert views_of(bare) is None
        assert report(bare).screen == ()
        assert "C-arm" not in html(report(bare))
        assert views_of(replace(plan, options=())) is None

    def test_a_patient_without_the_vertebra_is_no_view(self, plan: Plan) -> None:
        images = replace(plan.anatomy, vertebrae={})
        assert views_of(replace(plan, images=images)) is None
        (vertebra,) = plan.anatomy.vertebrae.values()
        parts = replace(vertebra.parts, array=np.zeros_like(vertebra.parts.array))
        bodiless = replace(plan.anatomy, vertebrae={vertebra.level: replace(vertebra, parts=parts)})
        assert views_of(replace(plan, images=bodiless)) is None

    def test_a_needle_from_the_front_is_looked_at_from_there(self, plan: Plan) -> None:
        (t,) = plan.best.trajectories
        turned = replace(t, skin_mm=2.0 * t.target_mm - t.skin_mm, entry_mm=2.0 * t.target_mm - t.entry_mm)
        found = views_of(replace(plan, options=(replace(plan.best, trajectories=(turned,)),)))
        assert found is not None
        assert abs(found.ap.arm.primary_angle_deg) < 90.0


def test_a_mirrored_patient_gives_the_mirrored_picture(plan: Plan) -> None:
    """The AP of the patient turned about the midplane is the AP mirrored: pixel for pixel, but for rounding."""
    anatomy = plan.anatomy
    volume = attenuation(anatomy.ct)
    arm = CArm(np.zeros(3), 180.0).binned(4)
    plain = shown(volume, arm)
    affine = volume.affine.copy()
    affine[0, 3] = -(affine[0, 3] + (volume.shape[2] - 1) * affine[0, 0])
    other = shown(replace(volume, array=np.ascontiguousarray(volume.array[:, :, ::-1]), affine=affine), arm)
    assert np.abs(plain.astype(int) - other[:, ::-1].astype(int)).max() <= 2
    assert plain.max() <= TOP_GREY
    assert np.abs(plain.astype(int) - other.astype(int)).max() > 30  # it is no symmetric patient


def test_green_is_the_pedicle_and_lies_beside_the_canal(plan: Plan, views: Views) -> None:
    flat = np.full(views.lateral.arm.detector.shape, 100, np.uint8)
    picture = _pixels(view_picture(views, views.lateral, flat, ()))[:PIXELS]
    green = np.array([int(palette.GREEN[n : n + 2], 16) for n in (1, 3, 5)])
    found = np.argwhere(np.abs(picture - green).max(axis=2) < 30)
    frame = Frame.of(views.lateral.arm, "")
    expected = frame.place(views.lateral.arm.project(np.array([0.0, 18.0, 2.0])))
    middle = (found.mean(axis=0) / PIXELS - 0.5) * FIELD_MM
    assert abs(middle[1] - expected[0]) < 4.0
    assert abs(middle[0] - expected[1]) < 4.0
