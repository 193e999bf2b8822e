"""The needle in one image: found to a fraction of a pixel, told from what is no needle, and refused where hidden."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trocar.errors import ImageError
from trocar.geometry import unit
from trocar.guidance.expected_needle import expected
from trocar.guidance.exposure import CEMENT_PER_MM, Shutters, soft_per_mm
from trocar.guidance.frames import Intensity
from trocar.guidance.needle_image import Sighting, Unseen, Why, again, find_needle
from trocar.guidance.needle_strip import profile

from .needle_scene import NEEDLE, NOISY, along, image, needle, path, view

WAYS = [(1.0, 0.0, 0.13), (0.4, -0.2, 0.9), (-0.7, 0.3, 0.6), (0.9, 0.8, -0.2)]


def errors_px(seen: Sighting, where, rod) -> tuple[float, float, float]:
    """Along, across, and angle (rad) between what is seen and what is there."""
    tip, behind = where.project(np.stack((rod.tip_mm, rod.tip_mm - 30.0 * rod.axis.direction)))
    off, way = seen.tip_px - tip, (tip - behind) / np.linalg.norm(tip - behind)
    return float(off @ seen.way), float(off @ seen.normal), float(way @ seen.normal)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stylet", [True, False])
def test_tip_and_axis_lie_where_they_are_projected(way: tuple[float, ...], stylet: bool) -> None:
    where, rod = view(), needle((4.0, 3.0, 2.0), way, stylet=stylet)
    seen = find_needle(image(where, [rod]), NEEDLE, along(where, rod))
    assert isinstance(seen, Sighting)
    a, c, turn = errors_px(seen, where, rod)
    assert abs(a) < 0.45
    assert abs(c) < 0.06
    assert abs(turn) < 1.5e-3
    assert seen.confidence > 0.7


def test_standard_errors_hold_what_is_missed() -> None:
    """Errors over 24 noisy images: two in three within one standard error of the axis, and none far beyond."""
    where = view()
    rng = np.random.default_rng(3)
    ratios = []
    for n in range(24):
        rod = needle(rng.normal(0.0, 5.0, 3), (1.0, 0.3 * rng.normal(), rng.normal()))
        seen = find_needle(image(where, [rod], NOISY, seed=n), NEEDLE, along(where, rod))
        assert isinstance(seen, Sighting)
        a, c, turn = errors_px(seen, where, rod)
        ratios.append((a / seen.along_se_px, c / seen.across_se_px, turn / seen.angle_se_rad))
    spread = np.sqrt(np.mean(np.square(ratios), axis=0))
    assert np.all(spread < 1.7)
    assert np.all(spread > 0.1)  # a standard error ten times too wide would say nothing


def test_a_mirrored_image_mirrors_what_is_seen() -> None:
    rod = needle((4.0, 3.0, 2.0), WAYS[0])
    plain, mirrored = view(), view(mirrored=True)
    a, b = (find_needle(image(w, [rod]), NEEDLE, along(w, rod)) for w in (plain, mirrored))
    assert isinstance(a, Sighting)
    assert isinstance(b, Sighting)
    last = plain.detector.columns - 1
    assert b.tip_px == pytest.approx((a.tip_px[0], last - a.tip_px[1]), abs=0.05)
    assert b.way == pytest.approx((a.way[0], -a.way[1]), abs=1e-3)


def test_which_end_is_the_tip_follows_from_what_is_expected() -> None:
    where, rod = view(), needle((20.0, 0.0, 3.0), (1.0, 0.0, 0.1), length_mm=45.0)
    frame = image(where, [rod])
    tip = find_needle(frame, NEEDLE, along(where, rod))
    hub = find_needle(frame, NEEDLE, along(where, rod, tip_first=True))
    assert isinstance(tip, Sighting)
    assert isinstance(hub, Sighting)
    assert tip.tip_px == pytest.approx(where.project(rod.tip_mm), abs=0.5)
    assert hub.tip_px == pytest.approx(where.project(rod.start_mm), abs=0.5)
    assert find_needle(frame, NEEDLE) == Unseen(Why.WHICH_END)


def test_without_an_expectation_the_tip_is_the_end_within_the_image() -> None:
    where, rod = view(), needle((4.0, 3.0, 2.0), WAYS[0], length_mm=140.0)
    seen = find_needle(image(where, [rod], NOISY), NEEDLE)
    assert isinstance(seen, Sighting)
    assert seen.tip_px == pytest.approx(where.project(rod.tip_mm), abs=1.0)


def test_two_needles_are_told_apart_by_their_plans() -> None:
    where = view()
    left, right = needle((5.0, 0.0, 0.0), (-0.5, -0.1, -1.0)), needle((-5.0, 0.0, 0.0), (0.5, -0.1, -1.0))
    frame = image(where, [left, right], NOISY)
    wide = {"across_px": 60.0, "angle_deg": 70.0}
    assert find_needle(frame, NEEDLE, replace(along(where, left, **wide), across_px=200.0)) == Unseen(Why.SEVERAL)
    for mine, other in ((left, right), (right, left)):
        seen = find_needle(frame, NEEDLE, along(where, mine, **wide), beside=(along(where, other, **wide),))
        assert isinstance(seen, Sighting)
        assert seen.tip_px == pytest.approx(where.project(mine.tip_mm), abs=0.8)


def test_a_thicker_instrument_is_no_needle() -> None:
    where, rod = view(), needle((4.0, 3.0, 2.0), WAYS[0])
    thick = replace(rod, outer_diameter_mm=2.2 * NEEDLE.outer_diameter_mm)
    assert find_needle(image(where, [thick], NOISY), NEEDLE, along(where, rod)) == Unseen(Why.FAINT)


@pytest.mark.parametrize("intensity", [Intensity.LINEAR, Intensity.LOG, Intensity.LOG_BRIGHT, Intensity.DISPLAYED])
def test_whatever_a_pixel_means_the_needle_is_where_it_is(intensity: Intensity) -> None:
    where, rod = view(), needle((4.0, 3.0, 2.0), WAYS[0])
    linear = image(where, [rod], NOISY)
    dose = np.asarray(linear.image, dtype=np.float32) + 1.0
    values = {
        Intensity.LINEAR: dose,
        Intensity.LOG: -np.log(dose),
        Intensity.LOG_BRIGHT: np.log(dose),
        Intensity.DISPLAYED: np.sqrt(dose),
    }
    frame = replace(linear, image=values[intensity], intensity=intensity)
    seen = find_needle(frame, NEEDLE, along(where, rod))
    assert isinstance(seen, Sighting)
    assert seen.tip_px == pytest.approx(where.project(rod.tip_mm), abs=1.2)


def test_an_empty_image_and_its_shutters_show_no_needle() -> None:
    where, rod = view(), needle((4.0, 3.0, 2.0), WAYS[0])
    for shutters in (Shutters(), Shutters.closing(0.3), Shutters(left=0.3, right=0.7)):
        frame = image(where, [], replace(NOISY, shutters=shutters))
        assert find_needle(frame, NEEDLE, along(where, rod)) == Unseen(Why.FAINT)
        assert find_needle(frame, NEEDLE) == Unseen(Why.FAINT)


def test_the_edge_of_a_bone_is_no_needle() -> None:
    where, rod = view(), needle((4.0, 3.0, 2.0), (1.0, 0.0, 0.0))
    row = where.project(rod.tip_mm)[0]
    edge = 3.0 + 1.5 * (np.arange(256)[:, None] > row) * np.ones((1, 256))
    assert find_needle(image(where, [], NOISY, behind=edge), NEEDLE, along(where, rod)) == Unseen(Why.FAINT)


def test_a_needle_over_the_edge_of_a_bone_is_found() -> None:
    """A step along the needle's own side, as high as half its contrast."""
    where, rod = view(), needle((4.0, 3.0, 2.0), (1.0, 0.0, 0.05))
    row = where.project(rod.tip_mm)[0]
    edge = 3.0 + 0.5 * (np.arange(256)[:, None] > row + 20) + 0.5 * (np.arange(256)[None] > 100)
    seen = find_needle(image(where, [rod], NOISY, behind=edge), NEEDLE, along(where, rod))
    assert isinstance(seen, Sighting)
    assert seen.tip_px == pytest.approx(where.project(rod.tip_mm), abs=0.8)


def test_a_tip_under_a_shutter_or_beyond_the_image_is_no_tip() -> None:
    where, rod = view(), needle((4.0, 3.0, 2.0), WAYS[0])
    column = where.project(rod.tip_mm)[1] / 256
    sense = np.sign(where.project(rod.tip_mm)[1] - where.project(rod.start_mm)[1])
    closed = Shutters(right=column - 0.1) if sense > 0 else Shutters(left=column + 0.1)
    frame = image(where, [rod], replace(NOISY, shutters=closed))
    assert find_needle(frame, NEEDLE, along(where, rod)) == Unseen(Why.HIDDEN)
    long = needle((95.0, 3.0, 2.0), (1.0, 0.0, 0.1), length_mm=150.0)
    assert find_needle(image(where, [long], NOISY), NEEDLE, along(where, long)) == Unseen(Why.HIDDEN)


def test_a_needle_seen_end_on_or_outside_is_not_looked_for() -> None:
    barrel = view()
    way = barrel.toward_detector
    rod = needle((0.0, 0.0, 0.0), -way)
    assert find_needle(image(barrel, [rod]), NEEDLE, along(barrel, rod)) == Unseen(Why.END_ON)
    far = needle((300.0, 0.0, 0.0), (1.0, 0.0, 0.1))
    assert find_needle(image(barrel, []), NEEDLE, along(barrel, far)) == Unseen(Why.OUTSIDE)


def test_a_planned_path_is_expected_where_it_projects_and_no_further_off_than_said() -> None:
    where, plan = view(150.0, 10.0), path()
    told = expected(where, plan, stray_mm=5.0)
    assert told.outer_px == pytest.approx(where.project(plan.skin_mm))
    assert told.target_px == pytest.approx(where.project(plan.target_mm))
    assert told.width_px == pytest.approx(NEEDLE.outer_diameter_mm * where.magnification / 0.6)
    for off_mm, found in ((3.0, True), (12.0, False)):
        shift = off_mm * unit(np.cross(plan.direction, where.toward_detector))
        rod = needle(plan.target_mm + shift, plan.direction)
        assert isinstance(find_needle(image(where, [rod], NOISY), NEEDLE, told), Sighting) == found


def test_what_was_seen_is_expected_again_nearby() -> None:
    where, rod = view(), needle((4.0, 3.0, 2.0), WAYS[0])
    first = find_needle(image(where, [rod]), NEEDLE, along(where, rod))
    assert isinstance(first, Sighting)
    moved = needle(rod.tip_mm + 2.0 * rod.axis.direction, WAYS[0])
    told = again(first, along(where, rod), move_px=10.0)
    seen = find_needle(image(where, [moved]), NEEDLE, told)
    assert isinstance(seen, Sighting)
    assert seen.tip_px == pytest.approx(where.project(moved.tip_mm), abs=0.5)


def test_frames_that_cannot_be_measured_are_refused_in_a_sentence() -> None:
    where, rod = view(), needle((4.0, 3.0, 2.0), WAYS[0])
    frame = image(where, [rod])
    with pytest.raises(ImageError, match="no geometry"):
        find_needle(replace(frame, view=None), NEEDLE)
    with pytest.raises(ImageError, match="changed its size"):
        find_needle(replace(frame, image=frame.image[:200]), NEEDLE)
    with pytest.raises(ImageError, match="not square"):
        find_needle(replace(frame, view=replace(where, detector=replace(where.detector, row_spacing_mm=0.7))), NEEDLE)


def test_the_profile_of_a_rod_is_its_chord() -> None:
    """Away from the blur: at the middle of a thick rod 1, at half its radius sqrt(3)/2, beyond it nothing."""
    across = np.arange(-40.0, 40.5, 0.5)
    chord = profile(across, 40.0)
    assert chord[np.abs(across) < 1.0] == pytest.approx(1.0, abs=1e-2)
    assert chord[across == 10.0] == pytest.approx(np.sqrt(3.0) / 2.0, abs=1e-2)
    assert np.all(chord[np.abs(across) > 24.0] == 0.0)
    tube = profile(across, 40.0, 0.8)
    assert tube[across == 0.0] == pytest.approx(0.2, abs=1e-2)


def blob(where, ml: float, at_mm=(0.0, 0.0, 0.0), share: float = 0.8) -> np.ndarray:
    """What a ball of cement that fills ``share`` of the bone adds to an even background of 3, exponents."""
    radius = (3.0 * 1000.0 * ml / share / (4.0 * np.pi)) ** (1.0 / 3.0)
    rows, columns = np.indices(where.detector.shape)
    middle = where.project(np.array(at_mm))
    away = np.hypot(rows - middle[0], columns - middle[1]) * 0.6 / where.magnification
    chord = 2.0 * np.sqrt(np.maximum(radius**2 - away**2, 0.0))
    return 3.0 + share * (CEMENT_PER_MM - soft_per_mm()) * chord


def confidently_wrong(seen: Sighting, where, rod) -> bool:
    """Whether a tip is off by more than 1 mm and three of its standard errors, along the needle."""
    off_mm = abs(errors_px(seen, where, rod)[0]) * 0.6 / where.magnification
    return off_mm > max(1.0, 3.0 * seen.along_se_px * 0.6 / where.magnification)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ml", [0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0])
def test_cement_about_the_tip_is_never_taken_for_the_needle(way: tuple[float, ...], ml: float) -> None:
    """From 0.1 ml on the tip is hidden, ahead of it as well as about it; of less, what is told holds its error."""
    where, rod = view(), needle((4.0, 3.0, 2.0), way, stylet=False)
    for ahead_mm in (0.0, 2.0) if ml >= 0.1 else (0.0,):
        behind = blob(where, ml, rod.tip_mm + ahead_mm * rod.axis.direction)
        rods = [rod, rod.filled(CEMENT_PER_MM)]
        for seed in range(2):
            seen = find_needle(image(where, rods, NOISY, seed, behind), NEEDLE, along(where, rod))
            if ml >= 0.1:
                assert seen in (Unseen(Why.COVERED), Unseen(Why.HIDDEN))
            if isinstance(seen, Sighting):
                assert not confidently_wrong(seen, where, rod)


@pytest.mark.parametrize("way", WAYS)
def test_older_cement_hides_a_tip_within_it_and_none_that_is_clear_of_it(way: tuple[float, ...]) -> None:
    where, rod = view(), needle((4.0, 3.0, 2.0), way)
    for ahead_mm, hidden in ((3.0, True), (-3.0, True), (30.0, False)):
        behind = blob(where, 1.0, rod.tip_mm + ahead_mm * rod.axis.direction)
        seen = find_needle(image(where, [rod], NOISY, 0, behind), NEEDLE, along(where, rod))
        assert (seen == Unseen(Why.COVERED)) == hidden
        assert hidden or not confidently_wrong(seen, where, rod)


def test_without_cement_no_tip_is_hidden_and_few_are_less_certain() -> None:
    where, rng = view(), np.random.default_rng(4)
    errors = []
    for n in range(16):
        rod = needle(rng.normal(0.0, 5.0, 3), (1.0, 0.3 * rng.normal(), rng.normal()), stylet=bool(n % 2))
        seen = find_needle(image(where, [rod], NOISY, seed=n), NEEDLE, along(where, rod))
        assert isinstance(seen, Sighting)
        errors.append(seen.along_se_px * 0.6 / where.magnification)
    assert np.percentile(errors, 75) < 0.5
