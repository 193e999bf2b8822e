"""Which places count as one, which as next, and how far it is to the next vertebra."""

from __future__ import annotations

from pathlib import Path

import fluoroscopy_cases as fluoroscopy
import numpy as np
import pytest

from trocar.guidance.level_check import Place, lead, ranked, seen_fit, step_mm
from trocar.guidance.refinement import Optimum
from trocar.guidance.rigid_motion import shift


def place(off: int, up_mm: float, similarity: float, usable: float = 1.0) -> Place:
    at = Optimum(shift((0.0, 0.0, up_mm)), (similarity, similarity), (usable, usable), 1)
    return Place(off, at, at)


def test_the_best_place_leads_and_the_same_place_counts_once() -> None:
    places = ranked([place(1, -30.0, 0.3), place(0, 0.0, 0.5), place(-1, 4.0, 0.49)], np.zeros(3))
    assert [p.levels_off for p in places] == [0, 1]
    assert lead(places) == pytest.approx(0.2)


def test_a_place_that_is_half_hidden_fits_half_as_well() -> None:
    assert seen_fit(place(0, 0.0, 0.6, 0.5).together) == pytest.approx(0.3)


def test_a_place_that_was_not_looked_at_closely_cannot_win() -> None:
    rough = place(0, 0.0, 0.5)
    assert Place(0, rough.together).fit == pytest.approx(0.5 * rough.fit)


def test_steps_lead_to_the_neighbours_and_go_on_beyond_the_scan(shared_data: Path) -> None:
    anatomy = fluoroscopy.scanned("ts_example", shared_data)
    centre = {v.value: x.frame.origin_mm for v, x in anatomy.vertebrae.items()}
    third = anatomy.vertebra("L3")
    assert step_mm(anatomy, third, 1) == pytest.approx(centre["L4"] - centre["L3"])
    assert step_mm(anatomy, third, -2) == pytest.approx(centre["L1"] - centre["L3"])
    last = anatomy.vertebra("L5")
    assert step_mm(anatomy, last, 2) == pytest.approx(2.0 * (centre["L5"] - centre["L4"]))
    assert not any(step_mm(anatomy, third, 0))
