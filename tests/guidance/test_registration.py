"""Registration on the real scans with known truth, and the refusal of what cannot be registered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fluoroscopy_cases as fluoroscopy
import numpy as np
import pytest

from trocar.errors import ImageError, LevelError
from trocar.guidance.carm import AT_REST
from trocar.guidance.exposure import inverted_untold, mirrored_untold
from trocar.guidance.registration import Registration, register
from trocar.measure import Severity

SCAN, LEVEL, SEED = "ts_example", "L3", 1


@pytest.fixture(scope="module")
def case(shared_data: Path) -> fluoroscopy.Case:
    return fluoroscopy.drawn_case(SCAN, LEVEL, shared_data, np.random.default_rng(SEED))


@pytest.fixture(scope="module")
def anatomy(shared_data: Path):
    return fluoroscopy.scanned(SCAN, shared_data)


def found(case: fluoroscopy.Case, anatomy, seed: int = SEED, frames=None) -> Registration:
    start = fluoroscopy.off_start(case, anatomy, np.random.default_rng(seed))
    return register(frames or case.frames, anatomy, case.level, start)


def stops(registration: Registration) -> str:
    return " ".join(f.text for f in registration.findings if f.severity is Severity.STOP)


def test_two_views_find_the_vertebra_and_say_how_well(case: fluoroscopy.Case, anatomy) -> None:
    r = found(case, anatomy)
    assert r.reliable, stops(r)
    errors = fluoroscopy.errors_mm(anatomy, case, r.displacement)
    assert np.linalg.norm(errors, axis=1).mean() < 1.0
    expected = next(m.value for m in r.measures if m.name == "expected_error")
    assert np.sqrt(np.mean(np.sum(errors**2, axis=1))) < 4.0 * expected  # three directions, and a rare draw
    assert r.residual == pytest.approx(1.0 - r.similarity)
    assert r.levels_off == 0


def test_one_view_is_exact_across_its_ray_and_owns_that_depth_is_not(case: fluoroscopy.Case, anatomy) -> None:
    r = found(case, anatomy, frames=case.frames[:1])
    ray = case.frames[0].view.toward_detector
    errors = fluoroscopy.errors_mm(anatomy, case, r.displacement)
    across = errors - np.outer(errors @ ray, ray)
    assert np.linalg.norm(across, axis=1).mean() < 2.0
    sideways = np.linalg.svd(ray[None])[2][1]
    assert r.confidence.along_mm(ray) > 3.0 * r.confidence.along_mm(sideways)
    assert any("depth along the ray" in f.text for f in r.findings)


@pytest.mark.parametrize("levels", [-1, 1])
def test_a_start_one_vertebra_off_is_recovered_or_refused(case: fluoroscopy.Case, anatomy, levels: int) -> None:
    off = fluoroscopy.level_off(case, anatomy, levels, case.truth)
    r = register(case.frames, anatomy, LEVEL, off)
    errors = fluoroscopy.errors_mm(anatomy, case, r.displacement)
    assert not r.reliable or np.linalg.norm(errors, axis=1).mean() < 2.0
    if r.reliable:
        assert r.levels_off == levels
        assert any("confirm the level" in f.text for f in r.findings)


@pytest.mark.parametrize("levels", [3, 4])
def test_a_start_three_or_more_vertebrae_off_does_not_end_one_level_wrong(shared_data: Path, levels: int) -> None:
    """The place two vertebrae up is then the nearest to the right one that is tried at first, and may fit best."""
    anatomy = fluoroscopy.scanned("lidc0001", shared_data)
    case = fluoroscopy.drawn_case("lidc0001", "T9", shared_data, np.random.default_rng(9))
    r = register(case.frames, anatomy, "T9", fluoroscopy.level_off(case, anatomy, levels, case.truth))
    errors = fluoroscopy.errors_mm(anatomy, case, r.displacement)
    assert not r.reliable or (levels == 3 and np.linalg.norm(errors, axis=1).mean() < 5.0)
    if abs(r.levels_off) == 4:
        assert not r.reliable


def test_an_image_without_geometry_is_refused(case: fluoroscopy.Case, anatomy) -> None:
    with pytest.raises(ImageError, match="does not say where the C-arm stood"):
        register([replace(case.frames[0], view=None)], anatomy, LEVEL)


def test_an_image_of_another_size_than_its_detector_is_refused(case: fluoroscopy.Case, anatomy) -> None:
    with pytest.raises(ImageError, match="its detector 512 x 512"):
        register([replace(case.frames[0], image=case.frames[0].image[::2])], anatomy, LEVEL)


def test_a_mirrored_image_is_refused(case: fluoroscopy.Case, anatomy) -> None:
    frames = (case.frames[0], mirrored_untold(case.frames[1]))
    r = register(frames, anatomy, LEVEL, case.truth)
    assert not r.reliable
    assert "left and right exchanged" in stops(r)


def test_an_inverted_image_is_refused(case: fluoroscopy.Case, anatomy) -> None:
    r = register((inverted_untold(case.frames[0]), case.frames[1]), anatomy, LEVEL, case.truth)
    assert not r.reliable
    assert "black and white exchanged" in stops(r)


def test_an_image_that_is_turned_by_180_degrees_is_refused(case: fluoroscopy.Case, anatomy) -> None:
    turned = replace(case.frames[1], image=case.frames[1].image[::-1, ::-1].copy())
    r = register((case.frames[0], turned), anatomy, LEVEL, case.truth)
    assert not r.reliable
    assert "turned by 180 degrees" in stops(r)


def test_a_vertebra_behind_the_shutters_is_not_seen(case: fluoroscopy.Case, anatomy) -> None:
    hidden = np.zeros(case.frames[0].image.shape, dtype=bool)
    hidden[:, 200:312] = True
    r = register(case.frames[:1], anatomy, LEVEL, case.truth, exclude=[hidden])
    assert not r.reliable


def test_a_vertebra_outside_the_view_is_not_found(case: fluoroscopy.Case, anatomy) -> None:
    far = case.frames[0].view
    elsewhere = replace(far, isocentre_mm=np.add(far.isocentre_mm, (400.0, 0.0, 0.0)))
    r = register([replace(case.frames[0], view=elsewhere)], anatomy, LEVEL, case.truth)
    assert not r.reliable
    assert "shows only 0 %" in stops(r)


def test_a_level_that_the_labels_lack_or_that_is_cut_is_refused(case: fluoroscopy.Case, anatomy) -> None:
    for level in ("T3", "S1"):
        with pytest.raises(LevelError):
            register(case.frames, anatomy, level)


def test_three_frames_and_a_mask_too_few_are_the_callers_mistake(case: fluoroscopy.Case, anatomy) -> None:
    with pytest.raises(ValueError, match="3 frames"):
        register([*case.frames, case.frames[0]], anatomy, LEVEL)
    with pytest.raises(ValueError, match="1 masks"):
        register(case.frames, anatomy, LEVEL, exclude=[None])


def test_an_unreliable_registration_says_why_where_it_is_asked_for(case: fluoroscopy.Case, anatomy) -> None:
    blank = [replace(f, image=np.full_like(f.image, 1000)) for f in case.frames]
    r = register(blank, anatomy, LEVEL, AT_REST)
    assert not r.reliable
    with pytest.raises(ImageError):
        r.require_reliable()


#: The share of runs below 1 mm that is asked for; further off than this, mm, is another place.
SHARE, WRONG_MM = 0.95, 5.0


@pytest.mark.slow
def test_thirty_seeded_runs_are_below_a_millimetre(shared_data: Path) -> None:
    runs = fluoroscopy.seeded_runs(shared_data, 30, 2026, fluoroscopy.Setting.RIGID, at_once=2)
    assert np.mean([r.error_mm < 1.0 for r in runs]) >= SHARE, fluoroscopy.table(runs)
    assert not [r for r in runs if r.reliable and r.error_mm > WRONG_MM], fluoroscopy.table(runs)


@pytest.mark.slow
def test_no_start_one_or_two_vertebrae_off_ends_at_a_wrong_place_unsaid(shared_data: Path) -> None:
    runs = fluoroscopy.level_runs(shared_data, seed=7, per_scan=1)
    assert {r.levels_off for r in runs} == {-2, -1, 1, 2}
    wrong = [r for r in runs if r.reliable and r.error_mm > 5.0]
    assert not wrong, fluoroscopy.table(wrong)
