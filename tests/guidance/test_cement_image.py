"""Thickness and volume of cement from attenuation: closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from trocar.guidance.cement_image import Cement, Dilution, without_background

SHAPE, MM = (120, 140), 0.4


def seen(thick_mm: np.ndarray, scatter: float, per_mm: float = 0.23) -> np.ndarray:
    """What cement appears to add to the line integral."""
    return -np.log((np.exp(-per_mm * thick_mm) + scatter) / (1.0 + scatter)).astype(np.float32)


@pytest.mark.parametrize("scatter", [0.0, 0.5, 2.0])
def test_thickness_is_turned_round_exactly(scatter: float) -> None:
    thick = np.linspace(0.0, 8.0, 50).astype(np.float32)
    assert Dilution(0.23, scatter).thickness_mm(seen(thick, scatter)) == pytest.approx(thick, abs=2e-3)


@pytest.mark.parametrize("radius_mm", [4.0, 8.0])
def test_the_volume_of_a_ball(radius_mm: float) -> None:
    """4/3 pi r^3, from its chords."""
    r, c = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    square = ((r - 60.0) ** 2 + (c - 70.0) ** 2) * MM**2
    chord = 2.0 * np.sqrt(np.maximum(radius_mm**2 - square, 0.0))
    cement = Cement(SHAPE, MM, Dilution(0.23, 0.5))
    nothing = np.zeros(SHAPE, np.float32)
    for _ in range(30):  # the running mean has forgotten the start: 0.6^30
        cement.update(seen(chord, 0.5), np.ones(SHAPE, bool), nothing + 0.001, nothing)
    exact = 4.0 / 3.0 * np.pi * radius_mm**3 / 1000.0
    volume = cement.volume()
    assert volume.value == pytest.approx(exact, rel=0.02)
    assert volume.low < exact < volume.high
    half = np.zeros(SHAPE, bool)
    half[:, :70] = True
    assert cement.volume(half).value == pytest.approx(0.5 * exact, rel=0.1)


def test_noise_is_not_drawn_as_cement() -> None:
    cement, rng = Cement(SHAPE, MM, Dilution()), np.random.default_rng(0)
    nothing = np.zeros(SHAPE, np.float32)
    for _ in range(20):
        noise = 0.05 * rng.standard_normal(SHAPE).astype(np.float32)
        cement.update(noise, np.ones(SHAPE, bool), nothing + 0.05, nothing)
    assert cement.volume().value == 0.0


def test_a_slope_is_held_against_slips_of_motion() -> None:
    """An edge of 2 per mm that slips by 0.1 mm shows 0.2: less than is believed there."""
    cement, nothing = Cement(SHAPE, MM, Dilution()), np.zeros(SHAPE, np.float32)
    for _ in range(10):
        cement.update(nothing + 0.2, np.ones(SHAPE, bool), nothing + 0.001, nothing + 2.0)
    assert not cement.mask.any()


def test_a_broad_change_is_background_and_a_small_one_is_not() -> None:
    r, _ = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    broad = (0.002 * r).astype(np.float32)
    spot = np.zeros(SHAPE, np.float32)
    spot[56:64, 66:74] = 0.2
    left = without_background(broad + spot, np.ones(SHAPE, np.float32), MM)
    assert np.abs(left[30:90, 30:50]).max() < 0.02
    assert left[60, 70] > 0.17


@pytest.mark.parametrize(("per_mm", "scatter"), [(0.0, 0.5), (0.2, -1.0), (0.2, 99.0)])
def test_impossible_cement_is_refused(per_mm: float, scatter: float) -> None:
    with pytest.raises(ValueError, match="outside"):
        Dilution(per_mm, scatter)
