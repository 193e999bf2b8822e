"""The chance of a breach against closed forms, and its mirror."""

from __future__ import annotations

from math import erf, sqrt

import numpy as np
import pytest

from trocar.planning.access import Kind
from trocar.planning.maps import Maps
from trocar.planning.robustness import HandError, breach_probability, strayed
from trocar.volume import Volume


def phi(x: float) -> float:
    return 0.5 * (1.0 + erf(x / sqrt(2.0)))


def half_space(wall_x: float = -8.0) -> Maps:
    """A structure that fills x < wall_x, bone everywhere; 1 mm nodes, origin in the middle."""
    n = 61
    x = np.arange(n) - n // 2
    values = np.stack([np.full((n, n, n), 14.0), np.broadcast_to(np.clip(x - wall_x, 0.0, 14.0), (n, n, n))])
    affine = np.eye(4)
    affine[:3, 3] = -(n // 2)
    return Maps(values.astype(np.float32), (Kind.CANAL,), affine, Volume(np.zeros((n, n, n)), affine))


def chance(hand: HandError, tip=(0.0, -10.0, 0.0), entry=(0.0, 10.0, 0.0), radius: float = 1.5, sign: int = 1):
    maps = half_space() if sign > 0 else mirrored_half_space()
    flip = np.array([sign, 1.0, 1.0])
    return breach_probability(
        maps,
        np.array(tip) * flip,
        np.array(entry) * flip,
        radius_mm=radius,
        wall_mm=10.0,
        outwards=np.array([float(sign), 0.0, 0.0]),
        hand=hand,
    )


def mirrored_half_space() -> Maps:
    maps = half_space()
    return Maps(np.ascontiguousarray(maps.values[..., ::-1]), maps.kinds, maps.affine, maps.region)


@pytest.mark.parametrize("sd", [2.5, 4.0, 6.0])
def test_a_shift_towards_a_plane_wall_breaches_with_the_normal_tail(sd: float) -> None:
    """P = Phi(-d / sd) with d the free space to a wall along the needle."""
    found = chance(HandError(sd, 0.0, 4096)).probability
    assert found.value == pytest.approx(phi(-6.5 / sd), abs=2e-3)
    assert found.low <= phi(-6.5 / sd) <= found.high


def test_a_turn_about_the_entry_breaches_where_the_tip_swings_into_the_wall() -> None:
    """Only the tip can reach the wall: P = Phi(-asin(d / L) / sd) with L from entry to tip."""
    sd = 10.0
    angle = np.degrees(np.arcsin(6.5 / 20.0))
    # the far end swings the other way, so either sense of the turn reaches the wall beyond the entry
    assert chance(HandError(0.0, sd, 4096)).probability.value == pytest.approx(phi(-angle / sd), abs=3e-3)


def test_a_steady_hand_never_breaches_and_a_path_in_the_wall_always_does() -> None:
    assert chance(HandError(0.0, 0.0)).probability.value == 0.0
    inside = chance(HandError(0.0, 0.0), tip=(-7.0, -10.0, 0.0), entry=(-7.0, 10.0, 0.0))
    assert inside.probability.value == 1.0
    assert inside.by_structure == {"wall": 0.0, "canal": 1.0}


def test_the_chance_falls_as_the_wall_recedes_and_as_the_needle_thins() -> None:
    near = [chance(HandError(), tip=(x, -10.0, 0.0), entry=(x, 10.0, 0.0)).probability.value for x in (-5, -3, -1)]
    assert near[0] > near[1] > near[2]
    assert chance(HandError(3.0), radius=2.5).probability.value > chance(HandError(3.0), radius=1.0).probability.value


def test_the_mirrored_case_has_the_same_number_to_the_bit() -> None:
    tip, entry = (0.0, -10.0, 1.0), (3.0, 10.0, 4.0)
    left, right = (chance(HandError(3.0, 5.0), tip, entry, sign=s) for s in (1, -1))
    assert left.probability.value == right.probability.value
    assert left.by_structure == right.by_structure


def test_the_same_seed_gives_the_same_number_and_more_samples_a_narrower_interval() -> None:
    a, b = chance(HandError(3.0)).probability, chance(HandError(3.0)).probability
    assert a == b
    wide, narrow = (chance(HandError(3.0, 0.0, n)).probability for n in (256, 4096))
    assert narrow.high - narrow.low < wide.high - wide.low


def test_the_errors_have_the_spread_they_say() -> None:
    """Independent normal errors: sd 1.5 mm per axis at the entry, 2.5 deg per axis in angle."""
    tip, entry = np.array([0.0, -10.0, 0.0]), np.array([0.0, 10.0, 0.0])
    tips, ways = strayed(tip, entry, np.array([1.0, 0.0, 0.0]), HandError(samples=8192))
    entries = tips + 20.0 * ways
    assert np.std(entries - entry, axis=0) == pytest.approx([1.5] * 3, rel=0.02)
    assert np.degrees(np.std(np.arcsin(ways[:, [0, 2]]), axis=0)) == pytest.approx([2.5] * 2, rel=0.02)
    assert np.linalg.norm(ways, axis=1) == pytest.approx(np.ones(len(ways)))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"entry_sd_mm": -1.0}, r"entry_sd_mm=-1.0 is outside 0 to 20 mm"),
        ({"angle_sd_deg": 45.0}, r"angle_sd_deg=45.0 is outside 0 to 30 deg"),
        ({"samples": 1000}, r"samples=1000 is not a power of two"),
    ],
)
def test_a_hand_that_cannot_be_is_refused(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        HandError(**wrong)  # type: ignore[arg-type]
