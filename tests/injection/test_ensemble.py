"""Many injections: repeated, shared among workers, stopped and resumed; what they have in common; what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trocar.anatomy.vertebra import Part
from trocar.errors import LevelError
from trocar.injection.changes import changes, usual_changes
from trocar.injection.digest import digest
from trocar.injection.ensemble import name_of, one, run
from trocar.injection.medium import Draw
from trocar.injection.outcome import Outcome
from trocar.injection.risk import LEAK_ML, STOP_AT, Difference
from trocar.injection.run import ROUTES, Run, reduced
from trocar.injection.site import Site
from trocar.injection.ways_out import Route
from trocar.io.run_folder import RunFolder
from trocar.measure import Severity, Status
from trocar.physics.cement import CEMENTS
from trocar.physics.porous import Injection, Medium, Outlet

from . import sites


@pytest.fixture(scope="module")
def site() -> Site:
    return sites.site()


def assert_equal(first: Outcome, second: Outcome) -> None:
    assert len(first.runs) == len(second.runs)
    for a, b in zip(first.runs, second.runs, strict=True):
        assert a.number == b.number
        for name, array in a.arrays().items():
            np.testing.assert_array_equal(array, b.arrays()[name], err_msg=name)
    np.testing.assert_array_equal(first.reach, second.reach)


# ---------------------------------------------------------------- one run


def test_a_run_loses_no_cement(site: Site) -> None:
    found = one(site, 3, 0)
    assert found.status is Status.SUCCESS
    draw = site.spread.draw(np.random.default_rng([3, 0]), site.ways)
    held_ml = site.inject(draw).content_mm3.sum(dtype=np.float64) / 1000.0
    assert found.inside_ml == pytest.approx(held_ml, rel=1e-5)
    assert 0.0 < found.inside_ml <= found.injected_ml
    assert np.all(np.diff(found.leaked_ml, axis=1) >= 0.0)
    assert found.duration_s == pytest.approx(60.0 * found.injected_ml / site.rate_ml_min)
    reached_ml = found.reach(site.model.solid.shape).sum() * site.model.solid.voxel_mm3 / 1000.0
    assert reached_ml == pytest.approx(found.inside_ml, rel=0.35)  # porosity is 0.8 to 1, and half cells count whole


def test_a_run_is_kept_and_comes_back(site: Site) -> None:
    found = one(site, 3, 1)
    back = Run.of_arrays(1, found.arrays())
    assert (back.status, back.injected_ml, back.peak_pa) == (found.status, found.injected_ml, found.peak_pa)
    for name, array in found.arrays().items():
        np.testing.assert_array_equal(array, back.arrays()[name])


def test_what_exchanges_left_and_right_exchanges_nothing_else() -> None:
    """With nothing drawn; a draw's own left and right are no mirror images."""
    here = sites.site(spread=sites.STILL, tips_mm=[sites.LEFT])
    there = sites.mirrored(here)
    a, b = one(here, 1, 0), one(there, 1, 0)
    np.testing.assert_allclose(a.leaked_ml, b.leaked_ml, rtol=1e-5, atol=1e-6)
    assert a.leaked_ml[1, -1] > LEAK_ML  # the left wall, on the side of the tip
    flipped = b.reach(here.model.solid.shape)[:, :, ::-1]
    assert (a.reach(here.model.solid.shape) != flipped).mean() < 0.002


def test_an_injector_that_is_too_weak_ends_the_run(site: Site) -> None:
    weak = one(replace(site, limit_pa=2e4), 1, 0)
    assert weak.status is Status.INJECTOR_LIMIT
    assert weak.injected_ml < site.volume_ml
    assert np.all(weak.leaked_ml[:, -1] <= one(site, 1, 0).leaked_ml[:, -1])


def test_two_tips_share_the_volume_and_a_pause_comes_half_way(site: Site) -> None:
    both = replace(site, tips_mm=np.array([sites.MIDDLE, sites.LEFT]), pause_s=60.0)
    assert [(s.tip, s.volume_mm3, s.pause_s) for s in both.strokes()] == [(0, 2000.0, 0.0), (1, 2000.0, 60.0)]
    single = replace(site, pause_s=60.0)
    assert [(s.tip, s.volume_mm3, s.pause_s) for s in single.strokes(0.5)] == [(0, 1000.0, 0.0), (0, 1000.0, 60.0)]
    three = replace(site, tips_mm=np.array([sites.MIDDLE] * 3), pause_s=60.0).strokes()
    assert [s.tip for s in three] == [0, 1, 1, 2]
    assert [s.pause_s for s in three] == [0.0, 0.0, 60.0, 0.0]
    assert sum(s.volume_mm3 for s in three) == pytest.approx(4000.0)
    assert len(site.strokes()) == 1


def evenly(leaked_mm3: list[float], name: str = "hole") -> Injection:
    """An injection of 100 mm3 a step in 10 s, with a pause of 60 s after the second, and so much leaked by each."""
    steps = len(leaked_mm3)
    medium = Medium(
        np.full((1, 1, 2), 0.5, np.float32),
        np.ones((3, 1, 1, 2), np.float32),
        (10.0, 10.0, 10.0),
        (Outlet(name, np.array([0]), np.array([1.0])), Outlet("cortex", np.array([1]), np.array([1.0]), passes=False)),
    )
    time_s = 10.0 * np.arange(steps) + 60.0 * (np.arange(steps) >= 2)
    row = np.zeros(steps)
    content = np.array([[[260.0, 240.0]]], np.float32)
    leaked = np.stack([np.array(leaked_mm3), row], axis=1)
    push = 100.0 * np.arange(steps)
    return Injection(
        medium, Status.SUCCESS, time_s, push, row, row + 5.0, row, row + 10.0, leaked, content, content, content
    )


def test_the_onset_is_where_straight_lines_pass_what_counts() -> None:
    ways, nodes = [("hole", Route.DISC), ("absent", Route.VENOUS)], np.linspace(0.0, 0.4, 5)
    found = reduced(3, evenly([0.0, 0.0, 0.0, 100.0, 150.0]), ways, nodes)
    disc, vein = ROUTES.index(Route.DISC), ROUTES.index(Route.VENOUS)
    assert found.onset_ml[disc] == pytest.approx(0.25)  # half-way between the third row and the fourth
    assert found.onset_s[disc] == pytest.approx(80.0 + 5.0)
    assert np.isinf(found.onset_ml[vein])
    np.testing.assert_allclose(found.leaked_ml, [[0.0, 0.0, 0.0, 0.1, 0.15], [0.0] * 5], atol=1e-12)
    assert (found.injected_ml, found.duration_s, found.peak_pa) == (pytest.approx(0.4), 100.0, 5.0)
    assert found.inside_ml == pytest.approx(0.25)
    assert found.reach((1, 1, 2)).tolist() == [[[True, False]]]  # 260 and 240 of 500 mm3


def test_a_leak_before_a_pause_is_not_put_into_it() -> None:
    found = reduced(0, evenly([0.0, 0.0, 100.0]), [("hole", Route.DISC)], np.linspace(0.0, 0.2, 3))
    assert found.onset_s[ROUTES.index(Route.DISC)] == pytest.approx(15.0)


def test_curves_are_of_the_planned_volume() -> None:
    """A draw that pushes twice as much as planned has leaked by half the planned volume what it leaks by all of its."""
    found = reduced(0, evenly([0.0, 0.0, 100.0]), [("hole", Route.DISC)], np.array([0.0, 0.05, 0.1]), 2.0)
    np.testing.assert_allclose(found.leaked_ml, [[0.0, 0.0, 0.1]], atol=1e-12)
    assert found.onset_ml[ROUTES.index(Route.DISC)] == pytest.approx(0.075)


def test_an_injection_that_failed_at_once_is_kept_as_nothing() -> None:
    failed = replace(evenly([]), status=Status.NOT_CONVERGED)
    found = reduced(0, failed, [("hole", Route.DISC)], np.linspace(0.0, 1.0, 3))
    assert found.status is Status.NOT_CONVERGED
    assert (found.injected_ml, found.inside_ml, found.peak_pa) == (0.0, 0.0, 0.0)


# ---------------------------------------------------------------- many runs


def test_one_worker_and_two_give_the_same(site: Site) -> None:
    told: list[tuple[int, int]] = []
    alone = run(site, 4, 7, 1, lambda done, of: told.append((done, of)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert_equal(alone, run(site, 4, 7, 2))
    assert alone.runs[0].peak_pa != alone.runs[1].peak_pa  # the draws differ
    assert run(site, 1, 8).runs[0].peak_pa != alone.runs[0].peak_pa  # and so do seeds


def test_more_runs_begin_with_the_fewer(site: Site) -> None:
    few, many = (run(site, n, 5, one=sites.made_up) for n in (10, 25))
    assert [r.peak_pa for r in many.runs[:10]] == [r.peak_pa for r in few.runs]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stopped_ensemble_goes_on_where_it_was(site: Site, tmp_path: Path, workers: int) -> None:
    kept, done = RunFolder(tmp_path), []

    def counted(site: Site, seed: int, number: int) -> Run:
        done.append(number)
        return sites.made_up(site, seed, number)

    def impatient(finished: int, of: int) -> None:
        if finished == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(site, 12, 1, workers, impatient, kept, counted)
    assert 5 <= len(kept) < 12
    assert len(kept) == len(done)  # nothing that was finished is lost
    resumed = run(site, 12, 1, workers, kept=kept, one=counted)
    assert len(done) == 12  # and nothing is done twice
    assert_equal(resumed, run(site, 12, 1, one=sites.made_up))


def test_what_was_kept_for_something_else_is_not_taken(site: Site) -> None:
    kept: dict[str, Mapping[str, Any]] = {}
    run(site, 3, 1, kept=kept, one=sites.made_up)
    run(replace(site, minutes=9.0), 3, 1, kept=kept, one=sites.made_up)
    run(site, 3, 2, kept=kept, one=sites.made_up)
    assert len(kept) == 9
    broken = dict(kept)
    for key in broken:
        broken[key] = {"status": np.array("SUCCESS")}
    assert_equal(run(site, 3, 1, kept=broken, one=sites.made_up), run(site, 3, 1, one=sites.made_up))


def test_a_name_depends_on_everything(site: Site) -> None:
    others = [
        replace(site, minutes=8.1),
        replace(site, volume_ml=4.1),
        replace(site, pause_s=1.0),
        replace(site, cement=CEMENTS["medium viscosity"]),
        replace(site, tips_mm=site.tips_mm + 0.1),
        replace(site, ways=site.ways[:1]),
        replace(site, ways=(replace(site.ways[0], present=0.5), site.ways[1])),
        replace(site, spread=replace(site.spread, cement_sd=0.3)),
        replace(site, cannula=replace(site.cannula, length_mm=100.0)),
    ]
    names = {name_of(s, 1) for s in (site, *others)} | {name_of(site, 2)}
    assert len(names) == len(others) + 2
    assert name_of(sites.site(), 1) == name_of(site, 1)


def test_only_what_shows_its_content_can_be_named() -> None:
    assert digest(1, "a", (2.0, None), {"b": np.arange(3)}) == digest(1, "a", (2.0, None), {"b": np.arange(3)})
    assert digest(1) != digest(1.0) != digest("1.0")
    assert digest((1, 2), 3) != digest(1, (2, 3))
    assert digest(np.zeros(2, np.float32)) != digest(np.zeros(2))
    with pytest.raises(TypeError, match="cannot be named"):
        digest(object())
    with pytest.raises(TypeError, match="cannot be named"):
        digest(np.array([object()]))


# ---------------------------------------------------------------- what they have in common


@pytest.fixture(scope="module")
def outcome(site: Site) -> Outcome:
    return run(site, 200, 11, one=sites.made_up)


def test_the_curve_rises_from_none_to_the_final_share(outcome: Outcome) -> None:
    for routes in (None, [Route.EPIDURAL], [Route.LATERAL]):
        curve = outcome.curve(routes)
        assert curve[0] == 0.0
        assert np.all(np.diff(curve) >= 0.0)
        assert curve[-1] == outcome.share(routes).value
    assert np.all(outcome.curve() >= outcome.curve([Route.EPIDURAL]))
    # made up: leaks of 0.2 ml a ml that begin evenly up to twice the volume; one in ten sees half of it
    expected = (outcome.site.volume_ml - 0.25) / (2.0 * outcome.site.volume_ml) * 0.95
    assert outcome.share([Route.EPIDURAL]).value == pytest.approx(expected, abs=0.08)


def test_the_volume_to_stop_at_is_where_the_curve_passes_the_limit(outcome: Outcome) -> None:
    at = outcome.stop_ml(Route.EPIDURAL)
    assert at is not None
    assert np.interp(at, outcome.site.nodes_ml, outcome.curve([Route.EPIDURAL])) == pytest.approx(0.05)
    assert outcome.stop_ml(Route.LATERAL, {Route.LATERAL: 0.99}) is None
    low, high = outcome.stop_bounds_ml(Route.EPIDURAL, 0.05)
    assert low < at < high < outcome.site.volume_ml
    assert outcome.stop_bounds_ml(Route.LATERAL, 0.99) == (outcome.site.volume_ml,) * 2
    text = next(f.text for f in outcome.findings() if "epidural" in f.text)
    assert text == f"Stop at {np.floor(10.0 * at) / 10.0:.1f} ml: epidural leak probability reaches 5 %."


def test_exactly_the_limit_is_reached(site: Site) -> None:
    """One leak of 20 is 5 %, and not more."""
    tight = replace(site, spread=sites.STILL, ways=site.ways[:1])

    def one(s: Site, seed: int, number: int) -> Run:
        leaked = np.zeros((1, 41)) if number else np.linspace(0.0, 1.0, 41)[None]
        begun = np.ones(len(ROUTES))
        made = sites.made_up(s, seed, number)
        return replace(made, status=Status.SUCCESS, leaked_ml=leaked, onset_ml=begun, onset_s=begun)

    found = run(tight, 20, 1, one=one)
    assert found.share([Route.EPIDURAL]).value == 0.05
    (text,) = [f.text for f in found.findings() if f.text.startswith(("Stop", "With"))]
    assert text.endswith("epidural leak probability reaches 5 %.")
    assert "passes" not in " ".join(m.method for m in found.measures())


def test_every_number_has_its_interval(outcome: Outcome) -> None:
    found = {m.name: m for m in outcome.measures()}
    assert len(found) == len(outcome.measures())
    assert {"leak_probability_any", "leak_probability_epidural", "leak_probability_lateral"} <= set(found)
    for name, m in found.items():
        assert np.isfinite(m.value), name
        if m.low is not None:
            assert m.low <= m.value <= m.high, name
    assert found["leak_probability_any"].value == outcome.share().value
    stopped = np.mean([r.status is Status.INJECTOR_LIMIT for r in outcome.runs])
    assert found["injection_unfinished_probability"].value == pytest.approx(stopped)
    leaking = [r for r in outcome.runs if r.leaked_ml[0, -1] > LEAK_ML]
    middle = np.median([r.onset_s[ROUTES.index(Route.EPIDURAL)] for r in leaking])
    assert found["leak_onset_epidural"].value == pytest.approx(middle)


def test_the_table_has_a_column_for_each_route_that_is_there(outcome: Outcome) -> None:
    columns = outcome.series()["leak_risk"]
    assert list(columns) == ["volume_ml", "any", "epidural", "lateral"]
    assert {len(c) for c in columns.values()} == {len(outcome.site.nodes_ml)}
    assert columns["volume_ml"][-1] == outcome.site.volume_ml


def test_each_way_out_has_its_own_share(outcome: Outcome) -> None:
    posterior, left = outcome.by_way()
    assert posterior == outcome.share([Route.EPIDURAL])
    assert left == outcome.share([Route.LATERAL])


def test_the_map_is_the_share_of_runs_that_reach_a_voxel(outcome: Outcome) -> None:
    assert outcome.reach.dtype == np.float32
    mean = np.mean([r.reach(outcome.site.model.solid.shape) for r in outcome.runs], axis=0)
    np.testing.assert_allclose(outcome.reach, mean, rtol=1e-6)


def test_runs_that_stop_are_told_and_runs_that_fail_are_left_out(site: Site, outcome: Outcome) -> None:
    assert any("could not give the pressure" in f.text for f in outcome.findings())
    broken = tuple(replace(r, status=Status.NOT_CONVERGED) if r.number < 5 else r for r in outcome.runs)
    some = Outcome(site, 11, broken)
    assert some.status is Status.SUCCESS
    assert some.share().of == 195
    assert any(f.text.startswith("5 of 200 simulated injections failed") for f in some.findings())
    broken = tuple(replace(r, status=Status.NOT_FINITE) if r.number < 11 else r for r in outcome.runs)
    assert Outcome(site, 11, broken).status is Status.NOT_FINITE


def test_an_ensemble_that_failed_as_a_whole_has_no_numbers(site: Site, outcome: Outcome) -> None:
    def failing(site: Site, seed: int, number: int) -> Run:
        return replace(sites.made_up(site, seed, number), status=Status.NOT_CONVERGED)

    failed = run(site, 3, 1, one=failing)
    assert failed.status is Status.NOT_CONVERGED
    assert (failed.measures(), failed.series(), changes(failed, {}).series()) == ((), {}, {})
    assert [f.text for f in failed.findings()] == ["3 of 3 simulated injections failed and are left out."]
    assert not failed.reach.any()
    found = changes(outcome.first(4), {"broken": replace(site, minutes=9.0)}, one=failing)
    assert "broken" not in [row.name for row in found.rows]
    assert found.findings[0].text == "Not compared: broken."


def test_a_body_without_ways_out_leaks_nothing(site: Site) -> None:
    closed = run(replace(site, ways=()), 2, 1)
    assert closed.share().events == 0
    assert closed.by_way() == ()
    assert list(closed.series()["leak_risk"]) == ["volume_ml", "any"]
    assert not closed.curve().any()


def test_few_draws_do_not_acquit(site: Site) -> None:
    tight = replace(site, spread=sites.STILL, ways=(replace(site.ways[0], present=0.0),))
    found = run(tight, 3, 1, one=lambda s, seed, n: replace(sites.made_up(s, seed, n), leaked_ml=np.zeros((1, 41))))
    assert found.share().events == 0
    (note,) = [f for f in found.findings() if "epidural" in f.text]
    assert note.severity is Severity.NOTE
    assert note.text == (
        "Too few draws to say that these leak probabilities stay below their limits: epidural (up to 56 %)."
    )
    many = run(tight, 100, 1, one=lambda s, seed, n: replace(sites.made_up(s, seed, n), leaked_ml=np.zeros((1, 41))))
    assert not any("Too few" in f.text for f in many.findings())  # up to 3.7 % of 100


def test_the_limits_are_told_apart_by_what_a_leak_may_cost(outcome: Outcome) -> None:
    epidural, lateral = (outcome.stop_ml(r) for r in (Route.EPIDURAL, Route.LATERAL))
    assert STOP_AT[Route.EPIDURAL] < STOP_AT[Route.LATERAL]
    assert epidural is not None
    assert lateral is not None


# ---------------------------------------------------------------- what would change


def test_changes_share_their_draws(outcome: Outcome) -> None:
    same = replace(outcome.site, pause_s=0.0)
    found = changes(outcome, {"the same": same}, less_ml=(1.0,), one=sites.made_up)
    planned, less, again = found.rows
    assert planned.difference == Difference(0.0, 0.0, 0.0)
    assert again.difference.value == 0.0
    assert again.difference.low < 0.0 < again.difference.high
    assert less.any_leak < planned.any_leak
    assert less.difference.value == pytest.approx(less.any_leak - planned.any_leak)
    assert less.difference.high < 0.0
    assert less.inside_ml < planned.inside_ml
    columns = found.series()["leak_changes"]
    assert {len(c) for c in columns.values()} == {3}
    assert list(columns) == [
        "change", "draws", "any_percent", "epidural_percent", "disc_percent", "venous_percent",
        "difference_points", "low", "high",
        "leaked_ml_mean", "leaked_ml_difference", "leaked_low", "leaked_high", "cement_ml_median",
    ]  # fmt: skip
    assert columns["change"] == ["as planned", "1 ml less", "the same"]


def test_fewer_draws_compare_the_first_of_them(outcome: Outcome) -> None:
    found = changes(outcome, {"same": outcome.site}, (1.0,), count=40, one=sites.made_up)
    few = run(outcome.site, 40, outcome.seed, one=sites.made_up)
    assert found == changes(few, {"same": few.site}, (1.0,), one=sites.made_up)
    assert found.rows[0].any_leak == few.share().value


def test_less_volume_is_read_from_the_curve(outcome: Outcome) -> None:
    (_, less) = changes(outcome, {}, less_ml=(1.0,)).rows
    node = int(np.searchsorted(outcome.site.nodes_ml, outcome.site.volume_ml - 1.0 - 1e-9))
    assert less.any_leak == outcome.curve()[node]
    assert changes(outcome, {}, less_ml=(9.0,)).rows[1:] == ()


def test_what_is_usually_tried_is_tried_and_what_cannot_be_is_told(site: Site) -> None:
    found, refused = usual_changes(site, {"from the left": replace(site, tips_mm=[sites.LEFT])}, CEMENTS.values())
    assert {"from the left", "half the pace"} <= set(found)
    wide = found["if veins and cracks were 1.5 times as wide"]
    assert [w.bore_mm for w in wide.ways] == [pytest.approx(1.5 * w.bore_mm) for w in site.ways]
    kinds = [name.partition(" cement, at ")[0] for name in found if " cement, at " in name]
    assert kinds == ["medium viscosity", "high viscosity"]
    assert not refused
    by_pressure, _ = usual_changes(replace(site, pressure_pa=4e5))
    assert by_pressure["half the pressure"].pressure_pa == 2e5
    assert "half the pace" not in by_pressure
    early = replace(site, minutes=site.cement.valid_age_s.low / 60.0 / site.cement.ageing(site.room_c) + 0.1)
    found, refused = usual_changes(early)
    assert "1 min earlier" not in found
    (note,) = refused
    assert note.text == "Not compared: 1 min earlier."
    assert "viscosity" in note.because


def test_a_thicker_kind_of_cement_leaks_less(site: Site) -> None:
    """The trend that experiments agree on (Habib M et al., SAS J 2010;4:26), with the flow itself."""
    plan = run(site, 6, 2)
    thick = replace(site, cement=CEMENTS["medium viscosity"], minutes=12.0)
    other = run(thick, 6, 2)
    thin_ml, thick_ml = (np.mean([r.leaked_ml[:, -1].sum() for r in o.runs]) for o in (plan, other))
    assert thick_ml < thin_ml


# ---------------------------------------------------------------- refusals


def test_a_tip_in_the_canal_is_refused() -> None:
    with pytest.raises(ValueError, match="tip 1 lies in the spinal canal of L1"):
        sites.site(tips_mm=[(13.0, 40.0, 24.0)])


def test_a_tip_outside_bone_is_refused_with_its_distance() -> None:
    with pytest.raises(ValueError, match=r"tip 2 lies 9\.\d mm outside the bone of L1"):
        sites.site(tips_mm=[sites.MIDDLE, (13.0, -9.0, 24.0)])


def test_more_cement_than_the_body_holds_is_refused(site: Site) -> None:
    small = replace(site.model, parts=np.where(np.indices(site.model.parts.shape)[0] == 4, site.model.parts, 0))
    with pytest.raises(ValueError, match=r"volume_ml=14 is more than the \d\.\d ml that the pores"):
        Site(small, (), [sites.MIDDLE], site.cement, site.cannula, 14.0, 8.0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"minutes": 1.0}, "viscosity of low viscosity is known"),
        ({"minutes": 90.0}, "viscosity of low viscosity is known"),
        ({"room_c": 60.0}, "temperature_c=60"),
        ({"volume_ml": 40.0}, "volume_ml=40"),
        ({"rate_ml_min": 0.0}, "rate_ml_min=0"),
        ({"pause_s": -1.0}, "pause_s=-1"),
        ({"limit_pa": 0.0}, "limit_pa=0"),
        ({"tips_mm": [[1.0, 2.0]]}, "tips_mm"),
    ],
)
def test_numbers_out_of_range_are_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        sites.site(**change)


def test_ways_of_one_name_are_told_apart(site: Site) -> None:
    """A path may breach one pedicle towards the canal, a foramen and the side."""
    wall, side = (replace(w, name="breach") for w in site.ways)
    found = replace(site, ways=(wall, side, side, replace(side, name="other"))).ways
    assert [w.name for w in found] == [
        "breach (1)",
        "breach (2)",
        "breach (3)",
        "other",
    ]
    assert [w.name for w in site.ways] == ["posterior wall", "left wall"]


def test_a_body_without_a_posterior_wall_is_refused(site: Site) -> None:
    parts = np.where(site.model.parts == Part.CANAL, Part.NONE, site.model.parts).astype(np.uint8)
    with pytest.raises(LevelError, match="no wall towards the spinal canal"):
        replace(site, model=replace(site.model, parts=parts))


@pytest.mark.parametrize("numbers", [(0, 1, 1), (1, -1, 1), (1, 1, 0)])
def test_no_runs_no_workers_and_negative_seeds_are_refused(site: Site, numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="or more"):
        run(site, *numbers)


def test_a_way_that_is_not_the_sites_may_not_leak() -> None:
    with pytest.raises(ValueError, match="2 mm³ left by 'elsewhere', which is no way out of the site"):
        reduced(0, evenly([0.0, 1.0, 2.0], "elsewhere"), [("a", Route.DISC)], np.linspace(0.0, 1.0, 3))


def test_a_constant_pressure_drives_the_whole_volume(site: Site) -> None:
    pushed = replace(site, pressure_pa=4e5, limit_pa=4e5)
    assert {(s.rate_mm3_s, s.pressure_pa) for s in pushed.strokes()} == {(None, 4e5)}
    found = pushed.inject(Draw.middle(site.ways))
    assert found.status is Status.SUCCESS
    np.testing.assert_allclose(found.driving_pa, 4e5, rtol=1e-8)
    assert found.rate_mm3_s[-1] < found.rate_mm3_s[0]
    with pytest.raises(ValueError, match="pressure_pa=50000000"):
        replace(site, pressure_pa=5e7)


def test_finer_steps_move_no_leak_that_counts(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = [one(site, 3, n) for n in range(6)]
    monkeypatch.setattr("trocar.injection.site.STEPS", 96)
    monkeypatch.setattr("trocar.injection.site.TOLERANCE", 1e-6)
    finer = [one(site, 3, n) for n in range(6)]
    assert max(r.leaked_ml.max() for r in finer) > LEAK_ML
    assert max(np.abs(a.leaked_ml - b.leaked_ml).max() for a, b in zip(usual, finer, strict=True)) < 0.2 * LEAK_ML
