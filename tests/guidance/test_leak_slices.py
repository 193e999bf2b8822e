"""The leak monitor on slices of CT-fluoroscopy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trocar.geometry import Line
from trocar.guidance.frames import AlarmKind, Slab
from trocar.guidance.leak_slices import SliceMonitor
from trocar.guidance.leak_zones import Zone
from trocar.volume import Volume

from .leak_cases import LEVEL, patient

BALL_MM = 3.0


def slab(number: int, at_mm: np.ndarray | None = None, seed: int = 0) -> Slab:
    """Eight slices through the body's middle, with noise, and a ball of cement where it is asked for."""
    ct, middle = patient().ct, patient().vertebra(LEVEL).frame.origin_mm
    k = round(float(ct.index_kji(middle)[0]))
    part = ct.crop((k - 4, 0, 0), (k + 4, *ct.shape[1:]))
    hu = part.array + 20.0 * np.random.default_rng(seed + number).standard_normal(part.shape)
    if at_mm is not None:
        points = part.world_mm(np.stack(np.indices(part.shape), axis=-1))
        hu[np.linalg.norm(points - at_mm, axis=-1) < BALL_MM] = 2500.0
    return Slab(number, float(number), "ct", replace(part, array=hu.astype(np.float32)))


def watch(needle: Line | None = None) -> SliceMonitor:
    whole = patient()
    return SliceMonitor(whole.vertebra(LEVEL), whole.ct, whole.structures, needle=needle)


def place(x: float, y: float) -> np.ndarray:
    """A point of the body's middle plane, mm to its left and to its back."""
    return patient().vertebra(LEVEL).frame.to_world(np.array([x, y, 0.0]))


def half_depth_mm() -> float:
    vertebra = patient().vertebra(LEVEL)
    return float(-vertebra.frame.to_local(vertebra.body.points_mm())[:, 1].min())


def test_cement_in_the_body_is_measured_and_does_not_alarm() -> None:
    monitor = watch()
    states = [monitor.step(slab(n, place(0.0, 0.0))) for n in range(3)]
    assert states[-1].leaks == ()
    assert states[-1].cement is not None
    assert states[-1].cement.value == pytest.approx(4 / 3 * np.pi * BALL_MM**3 / 1000.0, rel=0.15)
    assert "Nothing has been seen outside the bone" in states[-1].text
    assert "is not seen" in states[-1].text
    assert "of the needle nothing is judged" not in states[-1].text


def test_it_says_what_was_compared_and_that_the_needle_s_surroundings_are_not_judged() -> None:
    whole = patient()
    first = slab(0)
    low, high = (float(first.volume.world_mm(np.array([k, 0, 0]))[2]) for k in (0, 3))
    k = round(float(whole.ct.index_kji(np.array(first.volume.world_mm(np.array([0.0, 0.0, 0.0]))))[0]))
    part = whole.ct.crop((0, 0, 0), (k + 4, *whole.ct.shape[1:]))
    beside = Line(place(0.0, -100.0), np.array([0.0, 0.0, 1.0]))
    text = SliceMonitor(whole.vertebra(LEVEL), part, whole.structures, needle=beside).step(first).text
    low, high = sorted((low, high))
    assert f"compared, {low:.0f} to {high:.0f} mm along the patient" in text
    assert "Within 3 mm of the needle nothing is judged" in text


def test_slices_that_were_set_back_are_followed_again() -> None:
    monitor = watch()
    numbers = [5, 6, 1, 2, 3, 4]
    kinds = [[a.kind for a in monitor.step(slab(n)).alarms] for n in numbers]
    assert kinds == [[], [], [AlarmKind.OUT_OF_ORDER], [AlarmKind.OUT_OF_ORDER], [], []]


@pytest.mark.parametrize("zone", [Zone.FRONT, Zone.CANAL])
def test_cement_that_a_projection_hides_is_found_in_slices(zone: Zone) -> None:
    vertebra = patient().vertebra(LEVEL)
    canal = vertebra.frame.to_local(vertebra.canal.points_mm())
    near = canal[np.abs(canal[:, 2]) < 3.0].mean(axis=0)
    at = place(0.0, -half_depth_mm() - 5.0) if zone is Zone.FRONT else place(near[0], near[1])
    monitor = watch()
    first, second = monitor.step(slab(0, at)), monitor.step(slab(1, at))
    assert first.leaks == ()  # one slab alone may be noise
    assert [leak.zone for leak in second.leaks] == [zone]
    assert [a.kind for a in second.alarms] == [AlarmKind.LEAK]
    assert monitor.step(slab(2, at)).alarms == ()  # told once


def test_steel_along_the_needle_is_no_cement() -> None:
    at = place(0.0, -half_depth_mm() - 5.0)
    monitor = watch(Line(at, np.array([0.0, 0.0, 1.0])))
    assert [monitor.step(slab(n, at)).leaks for n in range(3)] == [(), (), ()]


def test_bad_slices_are_told() -> None:
    monitor = watch()
    monitor.step(slab(3))
    good = slab(4)
    assert monitor.step(slab(2)).alarms[0].kind is AlarmKind.OUT_OF_ORDER
    assert monitor.step(replace(good, volume=replace(good.volume, unit="1"))).alarms[0].kind is AlarmKind.CHANGED
    nan = replace(good.volume, array=np.full(good.volume.shape, np.nan, np.float32))
    assert monitor.step(replace(good, volume=nan)).alarms[0].kind is AlarmKind.UNRELIABLE
    affine = good.volume.affine.copy()
    affine[2, 3] += 500.0
    away = Volume(good.volume.array, affine)
    assert "do not show L1" in monitor.step(replace(good, number=5, time_s=5.0, volume=away)).text
    with pytest.raises(ValueError, match="needs HU"):
        SliceMonitor(patient().vertebra(LEVEL), replace(patient().ct, unit="1"))
