"""What another cement, pace or way in would change: how much leaks, when each starts, and what cannot be compared."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_rel

from trocar.injection.changes import changes, usual_changes
from trocar.injection.ensemble import run
from trocar.injection.outcome import Outcome
from trocar.injection.risk import paired_mean_difference
from trocar.injection.run import Run
from trocar.injection.site import Site, usual_start_min
from trocar.measure import Status
from trocar.physics.cement import CEMENTS

from . import sites

COUNT = 40


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    return run(sites.site(), COUNT, 5, one=sites.made_up)


def thicker(site: Site, seed: int, number: int) -> Run:
    """The run made up, of which half leaks when the cement is thick: as often, but less."""
    found = sites.made_up(site, seed, number)
    return replace(found, leaked_ml=0.5 * found.leaked_ml) if site.cement.name == "high viscosity" else found


def test_the_difference_of_means_is_that_of_a_paired_t_test() -> None:
    """scipy's ``ttest_rel``, and by hand: differences 1, 2, 3 have mean 2, SD 1, and t(2) at 97.5 % is 4.303."""
    by_hand = paired_mean_difference([0.0, 0.0, 0.0], [1.0, 2.0, 3.0])
    assert by_hand.value == 2.0
    assert by_hand.high == pytest.approx(2.0 + 4.302653 / math.sqrt(3.0), rel=1e-6)
    rng = np.random.default_rng(4)
    one, two = rng.gamma(0.3, 1.0, (2, 25))
    interval = ttest_rel(two, one).confidence_interval(0.95)
    found = paired_mean_difference(one, two)
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    alone = paired_mean_difference([0.1], [0.3])
    assert alone.value == pytest.approx(0.2)
    assert math.isnan(alone.low)
    assert math.isnan(alone.high)


@pytest.mark.parametrize("pairs", [([1.0], [1.0, 2.0]), ([], []), ([[1.0]], [[1.0]])])
def test_means_of_what_is_no_pairs_are_refused(pairs: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match="pairs of draws are needed"):
        paired_mean_difference(*pairs)


def test_how_much_leaks_is_told_where_how_often_is_the_same(outcome: Outcome) -> None:
    thick = replace(outcome.site, cement=CEMENTS["high viscosity"])
    found = changes(outcome, {"thick": thick}, (1.0,), one=thicker)
    planned, less, other = found.rows
    total = [r.leaked_ml[:, -1].sum() for r in outcome.counted]
    assert planned.leaked_ml == pytest.approx(np.mean(total))
    assert planned.leaked_difference.value == planned.leaked_difference.high == 0.0
    assert other.leaked_ml == pytest.approx(0.5 * planned.leaked_ml)
    assert other.leaked_difference.value == pytest.approx(-0.5 * planned.leaked_ml)
    assert other.leaked_difference.high < 0.0  # told apart, with the shares
    node = int(np.searchsorted(outcome.site.nodes_ml, outcome.site.volume_ml - 1.0 - 1e-9))
    assert less.leaked_ml == pytest.approx(np.mean([r.leaked_ml[:, node].sum() for r in outcome.counted]))
    columns = found.series()["leak_changes"]
    assert columns["draws"] == [COUNT] * 3
    assert columns["leaked_ml_mean"] == [row.leaked_ml for row in found.rows]
    told = zip(*(columns[n] for n in ("leaked_ml_difference", "leaked_low", "leaked_high")), strict=True)
    assert list(told) == [(d.value, d.low, d.high) for d in (row.leaked_difference for row in found.rows)]


def test_draws_that_failed_in_either_are_left_out_of_the_pairs(outcome: Outcome) -> None:
    def failing(site: Site, seed: int, number: int) -> Run:
        found = sites.made_up(site, seed, number)
        return replace(found, status=Status.NOT_CONVERGED) if number < 3 else found

    (_, same) = changes(outcome, {"same": outcome.site}, (), one=failing).rows
    assert same.draws == COUNT - 3
    assert same.leaked_difference.value == pytest.approx(0.0, abs=1e-12)


def test_each_cement_starts_when_it_is_thick_enough_itself() -> None:
    """A minute after 100 Pa s, or after the first age at which it is known: in the order of their viscosities."""
    site = sites.site(minutes=11.0)
    found, refused = usual_changes(site, {}, CEMENTS.values())
    assert not refused
    for kind in ("medium viscosity", "high viscosity"):
        start = usual_start_min(CEMENTS[kind], site.room_c)
        other = found[f"{kind} cement, at {start:.1f} min"]
        assert (other.cement.name, other.minutes) == (kind, start)
        assert other.cement.viscosity_pa_s([other.age_s], [1.0])[0] > 100.0
    starts = [usual_start_min(c, site.room_c) for c in CEMENTS.values()]
    assert starts == sorted(starts, reverse=True)
    assert found["2 min later"].minutes == 13.0
    assert found["2 min later"].cement is site.cement


def test_another_way_in_is_compared_as_it_is(outcome: Outcome) -> None:
    own = replace(outcome.site, ways=outcome.site.ways[:1], tips_mm=[sites.LEFT])  # type: ignore[arg-type]
    found, _ = usual_changes(outcome.site, {"from the left": own})
    assert found["from the left"] is own
