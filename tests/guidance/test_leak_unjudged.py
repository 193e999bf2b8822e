"""When nothing is judged for too long, it is told."""

from __future__ import annotations

import pytest

from trocar.guidance.leak_state import Phase
from trocar.guidance.leak_unjudged import MOVING_S, REPEATED_S, UNJUDGED_S, Unjudged


def told_at(phases: list[Phase], step_s: float = 0.1) -> list[float]:
    watch = Unjudged()
    return [round(n * step_s, 3) for n, p in enumerate(phases) if watch.step(p, n * step_s)]


@pytest.mark.parametrize(
    ("phase", "allowed_s"), [(Phase.LOST, UNJUDGED_S), (Phase.BLIND, UNJUDGED_S), (Phase.MOVING, MOVING_S)]
)
def test_it_is_told_in_time_and_again_while_it_lasts(phase: Phase, allowed_s: float) -> None:
    first, second, *_ = told_at([Phase.WATCHING] + [phase] * 120)
    assert first == pytest.approx(allowed_s)
    assert second - first == pytest.approx(REPEATED_S)


def test_a_hit_now_and_then_is_no_watch() -> None:
    assert len(told_at([*[Phase.LOST] * 4, Phase.WATCHING] * 8)) == 1


def test_what_is_well_again_is_told_anew() -> None:
    assert len(told_at([*[Phase.LOST] * 8, *[Phase.WATCHING] * 8] * 2)) == 2


def test_learning_and_short_losses_are_silent() -> None:
    assert told_at([Phase.LEARNING] * 60) == []
    assert told_at([*[Phase.LOST] * 3, *[Phase.WATCHING] * 5] * 5) == []


def test_a_clock_that_stands_does_not_silence_it() -> None:
    watch = Unjudged()
    assert any(watch.step(Phase.BLIND, 1.0) for _ in range(10))
