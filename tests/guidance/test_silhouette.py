"""The outline of a vertebral body in a view, and the zones around it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trocar.errors import ImageError
from trocar.geometry import LEFT, POSTERIOR
from trocar.guidance.carm import CArm, Detector
from trocar.guidance.leak_zones import Zone
from trocar.guidance.silhouette import Drawn, Silhouette, drawn, seen_from
from trocar.volume import Volume

from .leak_cases import LEVEL, View, patient, scene


def square(side_px: int = 40, mm: float = 0.5) -> Silhouette:
    first, last = 80, 80 + side_px - 1
    return drawn([(first, first), (first, last), (last, last), (last, first)], (200, 200), mm)


def test_distance_from_a_drawn_square_is_exact_along_its_sides() -> None:
    outline = square()
    distance = outline.distance_mm
    rows, columns = outline.box
    at = distance[100 - rows.start]
    assert at[79 - columns.start] == pytest.approx(0.25)  # the pixel beside the edge: half a pixel of 0.5 mm away
    assert at[70 - columns.start] == pytest.approx(0.25 + 9 * 0.5)
    assert at[80 - columns.start] == pytest.approx(-0.25)
    assert outline.mask.sum() == 40 * 40


def test_a_ball_casts_a_disc_of_the_right_size() -> None:
    """Radius 15 mm at the isocentre: its shadow has tan(asin(r / d)) times the distance of the detector."""
    whole = patient()
    vertebra = whole.vertebra(LEVEL)
    middle = vertebra.frame.origin_mm
    grid = vertebra.body
    points = grid.world_mm(np.stack(np.indices(grid.shape), axis=-1))
    radius = 9.0
    ball = np.linalg.norm(points - middle, axis=-1) <= radius
    parts = Volume(ball.astype(np.uint8), grid.affine, grid.frame_of_reference, "label")
    mask = Volume(ball, grid.affine, grid.frame_of_reference, "mask")
    round_one = replace(vertebra, parts=parts, mask=mask)
    view = CArm(middle, 30.0, 10.0, detector=Detector(256, 256, 0.4, 0.4))
    outline = seen_from(view, round_one)
    shadow_mm = view.source_to_detector_mm * np.tan(np.arcsin(radius / view.source_to_isocentre_mm))
    seen_mm = np.sqrt(outline.mask.sum() * 0.4**2 / np.pi)
    assert seen_mm == pytest.approx(shadow_mm, abs=1.0)  # voxels of 1.25 mm: half of one, magnified
    assert np.argwhere(outline.mask).mean(axis=0) == pytest.approx([127.5, 127.5], abs=1.0)


def test_left_is_left_in_the_image_and_in_its_mirror() -> None:
    for mirror in (False, True):
        outline = scene(View.AP, mirror=mirror).outline
        left, right = (
            np.argwhere(outline.shadow[z].mask & ~outline.mask)[:, 1].mean() for z in (Zone.LEFT, Zone.RIGHT)
        )
        assert left > right  # detector in front: the patient's left is on the image's right
    whole = patient()
    vertebra = whole.vertebra(LEVEL)
    arm = scene(View.AP).view
    behind = seen_from(replace(arm, primary_angle_deg=180.0), vertebra, whole.structures)
    left = np.argwhere(behind.shadow[Zone.LEFT].mask & ~behind.mask)[:, 1].mean()
    assert left < np.argwhere(behind.mask)[:, 1].mean()


def test_what_lies_before_or_behind_the_body_is_undecidable() -> None:
    front, side = scene(View.AP).outline, scene(View.LATERAL).outline
    assert {Zone.CANAL, Zone.FRONT} <= set(front.undecidable)
    assert {Zone.LEFT, Zone.RIGHT} <= set(side.undecidable)
    assert not {Zone.CANAL, Zone.FRONT, Zone.DISC_ABOVE} & set(side.undecidable)


def test_zones_lie_where_their_names_say() -> None:
    around = scene(View.LATERAL).outline
    places = {z: np.argwhere(s.mask & ~around.mask).mean(axis=0) for z, s in around.shadow.items()}
    middle = np.argwhere(around.mask).mean(axis=0)
    assert places[Zone.DISC_ABOVE][0] < middle[0] < places[Zone.DISC_BELOW][0]
    assert places[Zone.FRONT][1] < middle[1] < places[Zone.CANAL][1]


def test_the_outline_goes_where_the_bone_goes() -> None:
    whole = patient()
    arm, vertebra = scene(View.AP).view, whole.vertebra(LEVEL)
    from trocar.geometry import Pose

    there = seen_from(arm, vertebra, displacement=Pose(5.0 * LEFT, np.eye(3)))
    by = np.argwhere(there.mask).mean(axis=0) - np.argwhere(scene(View.AP).outline.mask).mean(axis=0)
    assert by * there.mm_per_pixel == pytest.approx([0.0, 5.0], abs=0.15)


def test_a_vertebra_outside_the_view_is_refused_and_a_cut_one_told() -> None:
    whole = patient()
    arm, vertebra = scene(View.AP).view, whole.vertebra(LEVEL)
    with pytest.raises(ImageError, match="outside this view"):
        seen_from(replace(arm, isocentre_mm=arm.isocentre_mm + 300.0 * LEFT), vertebra)
    cut = seen_from(replace(arm, isocentre_mm=arm.isocentre_mm + 75.0 * LEFT + 1.0 * POSTERIOR), vertebra)
    assert 0.0 < cut.inside_view < 0.98
    assert "is in view" in cut.findings[0].text


def test_a_drawn_outline_names_sides_only_where_it_is_told_from_where() -> None:
    corners = [(80, 80), (80, 120), (120, 120), (120, 80)]
    told = drawn(corners, (200, 200), 0.5, Drawn.FACING_LEFT)
    assert told.shadow[Zone.FRONT].mask[100, 60]
    assert told.shadow[Zone.CANAL].mask[100, 140]
    assert {Zone.LEFT, Zone.RIGHT} == set(told.undecidable)
    untold = drawn(corners, (200, 200), 0.5)
    assert untold.shadow[Zone.ELSEWHERE].mask[100, 60]
    assert untold.shadow[Zone.DISC_ABOVE].mask[60, 100]


@pytest.mark.parametrize(
    ("corners", "mm", "says"),
    [([(1, 1), (2, 2)], 0.5, "three corners"), ([(1, 1), (1, 9), (9, 9)], 0.0, "must be positive")],
)
def test_a_drawing_that_is_none_is_refused(corners: list[tuple[int, int]], mm: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        drawn(corners, (20, 20), mm)


def test_an_outline_fits_its_own_view_only() -> None:
    outline = scene(View.AP).outline
    assert outline.view is not None
    assert outline.fits(replace(outline.view, primary_angle_deg=0.3))
    assert not outline.fits(replace(outline.view, primary_angle_deg=5.0))
    assert not outline.fits(replace(outline.view, mirrored=True))


def test_a_detector_behind_the_patient_fits_whichever_way_it_turned() -> None:
    own = scene(View.AP).outline
    assert own.view is not None
    behind = replace(own, view=replace(own.view, primary_angle_deg=180.0))
    for angle in (-180.0, -179.9):
        assert behind.fits(replace(own.view, primary_angle_deg=angle))
    assert not behind.fits(replace(own.view, primary_angle_deg=-179.0))


def test_another_magnification_fits_no_longer() -> None:
    view = scene(View.AP).outline.view
    assert view is not None
    zoomed = replace(view.detector, row_spacing_mm=0.42, column_spacing_mm=0.42)
    assert not scene(View.AP).outline.fits(replace(view, detector=zoomed))
    assert not scene(View.AP).outline.fits(replace(view, source_to_isocentre_mm=view.source_to_isocentre_mm + 150.0))
