"""Shares, paired differences and the passing of a limit, against published tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from trocar.injection.risk import STOP_AT, Difference, Quantiles, Share, paired_difference, passed_ml
from trocar.injection.ways_out import Route

#: Newcombe RG. Two-sided confidence intervals for the single proportion. Stat Med 1998;17:857-872, table I, method 3.
NEWCOMBE_SINGLE = {
    (81, 263): (0.2553, 0.3662),
    (15, 148): (0.0624, 0.1605),
    (0, 20): (0.0, 0.1611),
    (1, 29): (0.0061, 0.1718),
}

#: (both, first only, second only, neither) and the first less the second. The first two: Newcombe RG, Stat Med
#: 1998;17:2635-2650, table II, method 10. The last: Fagerland MW, Lydersen S, Laake P. Recommended tests and confidence
#: intervals for paired binomial proportions. Stat Med 2014;33:2850-2875, airway data, square-and-add.
NEWCOMBE_PAIRED = {
    (36, 12, 2, 0): (0.2, 0.0569, 0.3404),
    (20, 12, 2, 16): (0.2, 0.0562, 0.3292),
    (1, 1, 7, 12): (-0.286, -0.507, -0.026),
}


def pairs(both: int, first: int, second: int, neither: int) -> tuple[NDArray, NDArray]:
    counts = (both, first, second, neither)
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


@pytest.mark.parametrize(("counts", "bounds"), NEWCOMBE_SINGLE.items())
def test_the_interval_of_a_share_is_the_published_one(counts: tuple[int, int], bounds: tuple[float, float]) -> None:
    assert Share(*counts).interval == pytest.approx(bounds, abs=5e-5)


@pytest.mark.parametrize(("cells", "expected"), NEWCOMBE_PAIRED.items())
def test_the_interval_of_a_paired_difference_is_the_published_one(
    cells: tuple[int, int, int, int], expected: tuple[float, float, float]
) -> None:
    first, second = pairs(*cells)
    found = paired_difference(second, first)
    digits = 5e-4 if cells[0] == 1 else 5e-5
    assert (found.value, found.low, found.high) == pytest.approx(expected, abs=digits)


def test_a_difference_turned_round_is_its_mirror() -> None:
    first, second = pairs(9, 4, 11, 26)
    there, back = paired_difference(first, second), paired_difference(second, first)
    assert back == Difference(*(pytest.approx(v) for v in (-there.value, -there.high, -there.low)))


def test_pairs_that_agree_leave_less_doubt_than_pairs_that_do_not() -> None:
    close, loose = paired_difference(*pairs(20, 1, 4, 25)), paired_difference(*pairs(10, 11, 14, 15))
    assert close.value == pytest.approx(loose.value)
    assert close.high - close.low < 0.7 * (loose.high - loose.low)


@pytest.mark.parametrize("cells", [(0, 0, 0, 9), (9, 0, 0, 0), (0, 9, 0, 0), (0, 0, 5, 4)])
def test_a_share_of_none_or_all_still_has_bounds(cells: tuple[int, int, int, int]) -> None:
    found = paired_difference(*pairs(*cells))
    assert -1.0 <= found.low <= found.value <= found.high <= 1.0
    assert found.low < found.high


def test_a_limit_is_passed_where_the_line_crosses_it() -> None:
    volume = [0.0, 1.0, 2.0, 3.0]
    assert passed_ml(volume, [0.0, 0.0, 0.1, 0.3], 0.05) == pytest.approx(1.5)
    assert passed_ml(volume, [0.0, 0.0, 0.1, 0.3], 0.10) == pytest.approx(2.0)
    assert passed_ml(volume, [0.2, 0.2, 0.2, 0.3], 0.10) == 0.0
    assert passed_ml(volume, [0.0, 0.0, 0.02, 0.05], 0.05) == 3.0
    assert passed_ml(volume, [0.0, 0.0, 0.02, 0.04], 0.05) is None


def test_stopping_is_asked_for_sooner_where_a_leak_may_cost_more() -> None:
    assert set(STOP_AT) == set(Route)
    assert STOP_AT[Route.EPIDURAL] == STOP_AT[Route.VENOUS] == 0.05
    assert STOP_AT[Route.DISC] == STOP_AT[Route.TRACT] == 0.10


def test_a_spread_of_nothing_is_no_number() -> None:
    assert all(math.isnan(v) for v in (Quantiles.of([]).median, Quantiles.of([]).low, Quantiles.of([]).high))
    assert Quantiles.of(np.arange(101.0)) == Quantiles(50.0, 5.0, 95.0)


@pytest.mark.parametrize("counts", [(1, 0), (-1, 5), (6, 5)])
def test_a_share_that_is_none_is_refused(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="is no share"):
        Share(*counts)


@pytest.mark.parametrize(("first", "second"), [([], []), ([True], [True, False]), ([[True]], [[True]])])
def test_what_is_not_paired_is_refused(first: list, second: list) -> None:
    with pytest.raises(ValueError, match="pairs of draws"):
        paired_difference(first, second)
