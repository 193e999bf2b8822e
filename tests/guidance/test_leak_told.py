"""A region is told once, and again when it has become graver."""

from __future__ import annotations

import numpy as np
import pytest

from trocar.guidance.leak_evidence import Region
from trocar.guidance.leak_told import AGAIN_S, Told, gravity
from trocar.guidance.leak_zones import Zone


def region(first: int, last: int, reach_mm: float = 5.0) -> Region:
    mask = np.zeros((20, 40), bool)
    mask[8:12, first:last] = True
    return Region(mask, 20.0, reach_mm, float(mask.sum()), True)


def test_a_leak_that_reaches_a_graver_zone_is_told_at_once() -> None:
    told = Told()
    assert told.asks_again(region(5, 10), Zone.DISC_ABOVE, 1.0) == "new"
    assert told.asks_again(region(5, 10), Zone.DISC_ABOVE, 1.1) == ""
    assert told.asks_again(region(5, 12), Zone.CANAL, 1.2) == "graver"
    assert told.asks_again(region(5, 12), Zone.DISC_ABOVE, 1.3) == ""


@pytest.mark.parametrize("grown", [region(5, 15), region(5, 10, reach_mm=10.0)])
def test_a_leak_that_doubled_is_told_again_after_a_while(grown: Region) -> None:
    told = Told()
    told.asks_again(region(5, 10), Zone.FRONT, 1.0)
    assert told.asks_again(region(5, 12), Zone.FRONT, 1.0 + AGAIN_S) == ""
    assert told.asks_again(grown, Zone.FRONT, 1.0 + 0.9 * AGAIN_S) == ""
    assert told.asks_again(grown, Zone.FRONT, 1.0 + AGAIN_S) == "grown"
    assert told.asks_again(grown, Zone.FRONT, 1.0 + 3 * AGAIN_S) == ""


def test_what_lies_elsewhere_or_comes_back_is_new() -> None:
    told = Told()
    told.asks_again(region(5, 10), Zone.CANAL, 1.0)
    assert told.asks_again(region(20, 25), Zone.DISC_BELOW, 1.1) == "new"
    told.forget()
    assert told.asks_again(region(5, 10), Zone.CANAL, 1.2) == "new"


def test_canal_and_vessels_are_graver_than_a_disc() -> None:
    ranks = [gravity(z) for z in (Zone.CANAL, Zone.FORAMEN, Zone.VESSEL, Zone.FRONT, Zone.DISC_ABOVE, Zone.ELSEWHERE)]
    assert ranks == sorted(set(ranks))
