"""A film in which cement comes out of the needle that is followed: what is told stays true, and it is told when not."""

from __future__ import annotations

import heapq
from dataclasses import replace

import numpy as np
import pytest

from trocar.guidance.carm import CArm, Detector
from trocar.guidance.deviation import Planned
from trocar.guidance.frames import Frame
from trocar.guidance.scene import Layers
from trocar.guidance.script import Injecting, Script
from trocar.guidance.simulated import simulate_fluoroscopy
from trocar.guidance.tracking import BELIEVED, Following, State, Tracker, Update, track
from trocar.guidance.triangulation import OFF_PLANE_SD_MM

from .simulated_cases import path, scene
from .test_tracking import PLAN, biplane

#: Cement flows from the third frame on, in steps that pass 0.02 to 1.5 ml.
PLOT = Script(duration_s=2.8, rate_hz=5.0, injecting=Injecting(0.5, 40.0, 1.5))


@pytest.fixture(scope="module")
def followed() -> list[tuple[Update, float, np.ndarray]]:
    """Each update with how much cement was in by then and where the tip was."""
    films = {}
    for name, degrees in (("ap", 180.0), ("lateral", 90.0)):
        arm = CArm(scene().centre_mm, degrees, 12.0, detector=Detector(320, 320, 0.6, 0.6))
        film = simulate_fluoroscopy(Layers.of(scene(), arm), PLOT, seed=3, path=path())
        films[name] = (film, [replace(f, source=name) for f in film])
    stream: list[Frame] = list(heapq.merge(*(frames for _, frames in films.values()), key=lambda f: f.time_s))
    out = []
    for update in track(stream, Following(Planned(path()))):
        now = films[update.source][0].truth.frames[update.number]
        out.append((update, now.injected_ml, now.tip_mm))
    return out


def test_no_tip_is_confidently_wrong(followed: list[tuple[Update, float, np.ndarray]]) -> None:
    seen = [(u.tip, truth) for u, _, truth in followed if u.tip is not None]
    assert seen
    for tip, truth in seen:
        off, cov = tip.tip_mm - truth, tip.covariance_mm2
        if tip.unseen_along is not None:
            # nothing is said of the place along the ray
            across = np.eye(3) - np.outer(tip.unseen_along, tip.unseen_along)
            off, cov = across @ off, across @ cov @ across
        assert np.linalg.norm(off) <= max(1.0, 3.0 * np.sqrt(np.linalg.eigvalsh(cov)[-1])) < OFF_PLANE_SD_MM * 3.0


def test_before_cement_it_is_seen_and_from_0_2_ml_on_it_is_told_to_be_hidden(
    followed: list[tuple[Update, float, np.ndarray]],
) -> None:
    assert all(u.state is State.SEEN for u, ml, _ in followed if ml == 0.0)
    full = [u for u, ml, _ in followed if ml >= 0.2]
    assert len(full) > 10
    assert all(u.state is State.UNSEEN and u.tip is None for u in full)
    assert all("hidden" in u.text for u in full)


def test_a_tip_that_cement_hid_is_told_again_once_several_images_agree() -> None:
    tracker, (first, *rest) = Tracker(Following(PLAN)), biplane([20.0] * 5)[::2]
    assert tracker.take(first).state is State.SEEN
    tracker._uncovered[first.source] = []
    states = [tracker.take(frame).state for frame in rest]
    assert states == [State.UNSEEN] * (BELIEVED - 1) + [State.SEEN] * (len(rest) - BELIEVED + 1)
