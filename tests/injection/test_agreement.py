"""A model that leaks otherwise than patients do says so, once, and beside every volume to stop at."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trocar.injection.agreement import BRIEFLY, apart, disagreement
from trocar.injection.ensemble import run
from trocar.injection.outcome import Outcome
from trocar.injection.risk import Share
from trocar.injection.ways_out import Route
from trocar.measure import Measure, Severity

from . import sites


def published(kind: str, value: float, low: float | None, high: float | None) -> Measure:
    return Measure(f"leak_rate_{kind}_published", value, "1", low, high)


VEINS = published("venous", 0.40, 0.24, 0.70)


def test_intervals_that_meet_agree_and_those_that_do_not_are_told() -> None:
    assert apart({"venous": Share(13, 50)}, [VEINS]) == ()  # 26 %, 16 to 40
    (less,) = apart({"any": Share(25, 50), "venous": Share(0, 50)}, [VEINS])
    (finding,) = disagreement([less])
    assert finding.severity is Severity.CAUTION
    assert finding.text == (
        "This model leaks less often than published: venous 0 % (0 to 7) against 40 % (24 to 70). "
        "Read its stop volumes as comparisons, not as safe volumes."
    )
    (more,) = apart({"venous": Share(50, 50)}, [VEINS])
    assert disagreement([more])[0].text.startswith("This model leaks more often than published: venous 100 %")


def test_what_touches_in_print_is_not_apart() -> None:
    """1 of 20 may be 23.6 %: "1 to 24" beside "24 to 70" would read as an overlap."""
    assert Share(1, 20).interval[1] < 0.2390
    assert apart({"venous": Share(1, 20)}, [published("venous", 0.40, 0.2390, 0.70)]) == ()
    assert apart({"venous": Share(1, 20)}, [published("venous", 0.40, 0.2460, 0.70)]) != ()


def test_a_rate_without_interval_is_one_number() -> None:
    bare = published("disc", 0.1, None, None)
    assert apart({"disc": Share(5, 50)}, [bare]) == ()
    assert [a.kind for a in apart({"disc": Share(25, 50)}, [bare])] == ["disc"]


def test_all_kinds_share_one_finding_and_what_agrees_has_none() -> None:
    shares = {"any": Share(0, 50), "venous": Share(0, 50), "disc": Share(49, 50)}
    rates = [VEINS, published("any", 0.5, 0.4, 0.6), published("disc", 0.1, 0.05, 0.2)]
    (finding,) = disagreement(apart(shares, rates))
    assert "less often than published: any leak 0 % (0 to 7) against 50 % (40 to 60); venous 0 %" in finding.text
    assert "It leaks more often than published: disc 98 % (90 to 100) against 10 % (5 to 20)." in finding.text
    assert disagreement(()) == ()


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    return run(sites.site(), 60, 11, one=sites.made_up)


def test_a_volume_to_stop_at_has_the_caveat_beside_it(outcome: Outcome) -> None:
    rare = published("epidural", 0.01, 0.0, 0.02)
    stop = next(f for f in outcome.findings(published=[rare]) if f.text.startswith("Stop at"))
    assert stop.because.endswith(BRIEFLY)
    assert sum("often than published" in f.text for f in outcome.findings(published=[rare])) == 1
    agreed = published("epidural", 0.4, 0.0, 1.0)
    for found in (outcome.findings(), outcome.findings(published=[agreed])):
        assert not any(BRIEFLY in f.because or "than published" in f.text for f in found)


def test_what_is_published_for_a_kind_without_a_way_out_is_not_compared(outcome: Outcome) -> None:
    assert outcome.apart([VEINS]) == ()


def test_anterior_and_lateral_together_have_the_partner_of_the_published_rate(outcome: Outcome) -> None:
    lateral = outcome.site.ways[1]
    front = replace(lateral, name="front wall", route=Route.ANTERIOR)
    both = run(replace(outcome.site, ways=(outcome.site.ways[0], lateral, front)), 60, 5, one=sites.made_up)
    found = {m.name: m.value for m in both.measures()}
    one, other = (both.leaking([r]) for r in (Route.ANTERIOR, Route.LATERAL))
    assert found["leak_probability_paravertebral"] == (one | other).mean()
    assert found["leak_probability_paravertebral"] > max(one.mean(), other.mean())
    assert found["leak_probability_paravertebral"] < one.mean() + other.mean()  # a run counts once
    behind = run(replace(outcome.site, ways=outcome.site.ways[:1]), 4, 5, one=sites.made_up)
    assert "leak_probability_paravertebral" not in {m.name for m in behind.measures()}
