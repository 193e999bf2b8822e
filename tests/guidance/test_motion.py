"""Motion and exposure are taken out of an image: known shifts come back, a jump of exposure leaves nothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from trocar.guidance.frames import Intensity
from trocar.guidance.leak_evidence import Evidence
from trocar.guidance.motion import Aligner, Reference, Window, line_integrals_of
from trocar.guidance.overlay_motion import Overlay
from trocar.guidance.silhouette import drawn

SIZE, COUNTS = 400, 1e6


def bone(shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """A smooth pattern of walls, known everywhere, moved by so many pixels: line integrals."""
    r, c = np.meshgrid(np.arange(SIZE) - shift[0], np.arange(SIZE) - shift[1], indexing="ij")
    walls = np.exp(-((np.abs(r - 200.0) - 45.0) ** 2) / 18.0) + np.exp(-((np.abs(c - 200.0) - 60.0) ** 2) / 18.0)
    return 3.0 + 0.2 * walls + 0.0005 * (r - 200.0)


def image(shift: tuple[float, float] = (0.0, 0.0), dose: float = 1.0, seed: int | None = None) -> np.ndarray:
    mean = dose * COUNTS * np.exp(-bone(shift))
    noise = 0.0 if seed is None else np.random.default_rng(seed).standard_normal(mean.shape) * np.sqrt(mean)
    return (mean + noise).astype(np.float32)


def aligner() -> Aligner:
    outline = drawn([(155, 140), (155, 260), (245, 260), (245, 140)], (SIZE, SIZE), 0.2)
    window = Window.around(outline)
    first = line_integrals_of(window.bare(image())[0], Intensity.LINEAR)
    return Aligner(window, Reference(first, np.ones(window.shape, np.float32), window.mm_per_pixel), 0.9)


@pytest.mark.parametrize("shift", [(0.3, -0.7), (2.5, 1.25), (-4.0, 3.0)])
def test_a_known_shift_comes_back_to_a_tenth_of_a_pixel(shift: tuple[float, float]) -> None:
    motion, _, _ = aligner().align(image(shift, seed=1), Intensity.LINEAR)
    assert motion.shift_px == pytest.approx(shift, abs=0.1)
    assert motion.likeness > 0.99


def test_the_mirror_image_moves_the_other_way() -> None:
    plain, _, _ = aligner().align(image((1.0, 2.0)), Intensity.LINEAR)
    other, _, _ = aligner().align(image((1.0, -2.0)), Intensity.LINEAR)
    assert plain.shift_px[1] == pytest.approx(-other.shift_px[1], abs=0.03)


@pytest.mark.parametrize("shift", [(30.0, -25.0), (60.0, 40.0)])
def test_a_jump_is_found_again(shift: tuple[float, float]) -> None:
    motion, _, _ = aligner().align(image(shift), Intensity.LINEAR)
    assert motion.shift_px == pytest.approx(shift, abs=0.2)
    assert motion.how != "polished"


@pytest.mark.parametrize("dose", [0.4, 2.5])
def test_a_jump_of_exposure_is_removed_exactly(dose: float) -> None:
    found = aligner()
    motion, aligned, held = found.align(image(dose=dose), Intensity.LINEAR)
    assert motion.offset == pytest.approx(-np.log(dose), abs=1e-4)
    assert np.abs((aligned - found.reference.image)[held > 0]).max() < 1e-3


def test_what_the_image_does_not_hold_is_told() -> None:
    _, _, held = aligner().align(image((-90.0, 0.0)), Intensity.LINEAR)
    assert 0.3 < held.mean() < 0.9
    assert held[-5:].all()
    assert not held[:3].any()


def test_another_picture_is_not_taken_for_the_vertebra() -> None:
    noise = np.random.default_rng(3).uniform(1e4, 2e4, (SIZE, SIZE)).astype(np.float32)
    motion, _, _ = aligner().align(cv2.GaussianBlur(noise, (0, 0), 2.0), Intensity.LINEAR)
    assert motion.likeness < 0.5


@pytest.mark.parametrize(("intensity", "sign"), [(Intensity.LOG, 1.0), (Intensity.LOG_BRIGHT, -1.0)])
def test_logarithmic_pixels_are_line_integrals(intensity: Intensity, sign: float) -> None:
    values = np.array([[0.0, 65535.0]], np.float32)
    step = np.diff(line_integrals_of(values, intensity))[0, 0]
    assert step == pytest.approx(sign * np.log(65536.0), rel=1e-5)


def test_what_lies_over_the_bone_is_learned() -> None:
    """A pattern that moves against the bone: to first order its difference is its slope times the displacement."""
    rng = np.random.default_rng(0)
    slope = cv2.GaussianBlur(rng.standard_normal((60, 60)).astype(np.float32), (0, 0), 4.0)
    at = np.stack([1.5 * np.sin(np.linspace(0, 6, 40)), np.zeros(40)], axis=1)
    stack = np.stack([np.float32(a[0]) * slope for a in at])
    overlay = Overlay.learned(stack, at)
    left = stack[3] - overlay.at(overlay.along_mm(at[3])) - (stack - 0).mean(axis=0)
    assert np.abs(left).mean() < 0.2 * np.abs(stack[3]).mean()


def test_evidence_needs_more_than_one_frame_and_fades() -> None:
    distance = np.full((40, 40), 3.0, np.float32)
    evidence, watched = Evidence(distance, 0.4), np.ones((40, 40), bool)
    strong = np.zeros((40, 40), np.float32)
    strong[10:20, 10:20] = 100.0
    evidence.add(strong, watched)
    assert max(r.score for r in evidence.regions(~watched)) == pytest.approx(2.5)
    for _ in range(3):
        evidence.add(strong, watched)
    assert evidence.regions(~watched)[0].score == pytest.approx(10.0)
    assert evidence.regions(watched)[0].needle_like
    for _ in range(8):
        evidence.add(np.zeros_like(strong), watched)
    assert evidence.regions(~watched) == []
