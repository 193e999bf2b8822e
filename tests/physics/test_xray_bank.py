"""Images made beforehand: exact where they were made, of fourth order between, and honest about the rest."""

from __future__ import annotations

import numpy as np
import pytest

from trocar.physics.xray import line_integrals
from trocar.physics.xray_bank import bank, refined

from .xray_scenes import c_arm, gaussians, moved

SHAPE, SPACING = (40, 48, 48), (1.25, 1.0, 1.0)


def breathing(place_mm: float) -> np.ndarray:
    """The volume moved towards the head."""
    beam = moved(c_arm(SHAPE, SPACING, 20.0, 10.0, pixels=48, pixel_mm=1.5), np.array((-place_mm, 0.0, 0.0)))
    return line_integrals(VOLUME, SPACING, beam)


VOLUME = gaussians(SHAPE, SPACING, 6, (3.0, 5.0)).volume(SHAPE, SPACING)


def test_its_own_images_are_given_back() -> None:
    made = bank(breathing, -4.0, 4.0, 9)
    for n, place in enumerate(np.linspace(-4.0, 4.0, 9)):
        np.testing.assert_allclose(made.at(float(place)), made.images[n], atol=1e-6 * made.images.max())


def test_the_error_it_states_is_the_error_found_elsewhere() -> None:
    made = bank(breathing, -4.0, 4.0, 9)
    span = made.images.max() - made.images.min()
    seen = max(np.abs(made.at(p) - breathing(p)).max() / span for p in np.linspace(-4.0, 4.0, 33))
    assert 0.0 < made.error <= seen < 1.1 * made.error


def test_a_smooth_sweep_converges_at_the_fourth_order() -> None:
    def wave(place: float) -> np.ndarray:
        return np.sin(place + np.linspace(0.0, 6.0, 50, dtype=np.float32))[None]

    coarse, fine = (bank(wave, 0.0, 4.0, n).error for n in (9, 17))
    assert np.log2(coarse / fine) == pytest.approx(4.0, abs=0.4)


def test_it_is_refined_until_it_is_good_enough_and_projects_nothing_twice() -> None:
    asked: list[float] = []

    def counted(place: float) -> np.ndarray:
        asked.append(place)
        return breathing(place)

    made = refined(counted, -4.0, 4.0, 2e-3)
    assert made.error <= 2e-3
    assert len(made.images) > 5
    assert len(asked) == len(set(np.round(asked, 9))) == 2 * len(made.images) - 1


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: bank(breathing, 1.0, 1.0, 5), "low=1.0 to a greater high=1.0"),
        (lambda: bank(breathing, 0.0, np.nan, 5), "greater high=nan"),
        (lambda: bank(breathing, 0.0, 1.0, 3), "count=3 must be 4 to"),
        (lambda: bank(breathing, 0.0, 1.0, 4).at(1.2), "reaches from 0 to 1; 1.2 lies outside"),
        (lambda: refined(breathing, 0.0, 1.0, 0.0), "error=0.0 must be positive"),
        (lambda: refined(lambda p: np.array([[p > 0.3]], np.float32), 0.0, 1.0, 1e-3), "images leave an error of"),
    ],
)
def test_what_cannot_be_is_refused(call: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()  # type: ignore[operator]
