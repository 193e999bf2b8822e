"""A needle followed through streams: every source, and everything that goes wrong with one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from trocar.errors import TrocarError
from trocar.geometry import Pose, angle_deg, unit
from trocar.guidance.deviation import Planned
from trocar.guidance.frames import AlarmKind, Frame, Reading, ToolPose
from trocar.guidance.rods import Rod
from trocar.guidance.tracked_tool import Tool, pivot_calibration
from trocar.guidance.tracking import BELIEVED, Following, State, Tracker, Update, track
from trocar.measure import Severity

from .needle_scene import AP, LATERAL, NEEDLE, NOISY, image, path, view
from .test_ct_fluoroscopy import slab
from .test_deviation import block_plan

PLAN = Planned(path())


def rod(back_mm: float, off: tuple[float, ...] = (0.0, 0.0, 0.0)) -> Rod:
    """The planned needle so far before its target."""
    way = PLAN.trajectory.direction
    tip = PLAN.trajectory.target_mm - back_mm * way + off
    return Rod.of(replace(NEEDLE, length_mm=110.0), tip, way, stylet=True)


def shot(name: str, degrees: float, time_s: float, back_mm: float, **more) -> Frame:
    return image(view(degrees), [rod(back_mm, **more)], NOISY, seed=int(100 * time_s), time_s=time_s, source=name)


def biplane(backs_mm: list[float], dt_s: float = 0.2) -> list[Frame]:
    """Both views at once, one after the other in the stream."""
    return [
        shot(name, degrees, n * dt_s, back)
        for n, back in enumerate(backs_mm)
        for name, degrees in (("ap", AP), ("lateral", LATERAL))
    ]


def alarms(updates: list[Update]) -> list[AlarmKind]:
    return [a.kind for u in updates for a in u.alarms]


def test_an_advancing_needle_is_followed_in_two_views() -> None:
    backs = [30.0, 27.0, 24.0, 21.0]
    updates = list(track(biplane(backs), Following(PLAN)))
    assert [u.state for u in updates] == [State.SEEN] * 8
    assert updates[0].tip.unseen_along is not None  # the first image alone
    for n, back in enumerate(backs):
        tip = updates[2 * n + 1].tip
        assert tip.source == "ap and lateral"
        assert tip.tip_mm == pytest.approx(rod(back).tip_mm, abs=0.5)
        assert angle_deg(tip.direction, PLAN.trajectory.direction) < 1.0
        assert updates[2 * n + 1].deviation.to_go_mm == pytest.approx(back, abs=0.5)
    assert alarms(updates) == []


def test_one_view_alone_is_followed_and_its_ray_is_left_open() -> None:
    updates = list(track([shot("ap", AP, 0.2 * n, 30.0 - 2.0 * n) for n in range(3)], Following(PLAN)))
    assert all(u.tip.unseen_along is not None for u in updates)
    assert all(any("along the beam" in f.text for f in u.deviation.findings) for u in updates)
    assert [u.deviation.to_go_mm for u in updates] == pytest.approx([30.0, 28.0, 26.0], abs=1.0)


def test_views_too_far_apart_in_time_are_not_put_together() -> None:
    frames = [shot("ap", AP, 0.0, 30.0), shot("lateral", LATERAL, 1.0, 25.0)]
    assert list(track(frames, Following(PLAN, lost_s=5.0)))[1].tip.source == "lateral"
    assert list(track(frames, Following(PLAN, pairing_s=2.0)))[1].state is not State.UNSEEN


def test_bone_that_moved_is_followed_by_its_displacement() -> None:
    """The table moved by 5 mm: with the displacement the needle is on its path, without it is not."""
    shift = np.array([3.0, 0.0, 4.0])
    needles = [rod(20.0, tuple(shift))]
    frames = [image(view(d), needles, NOISY, time_s=0.1, source=s) for s, d in (("ap", AP), ("lateral", LATERAL))]
    moved = {s: Pose(shift, np.eye(3)) for s in ("ap", "lateral")}
    true = list(track(frames, Following(PLAN, moved, registration_sd_mm=0.4)))[-1]
    assert np.linalg.norm(true.deviation.off_mm) < 0.5
    assert true.tip.standard_error_mm > 0.4
    assert np.linalg.norm(list(track(frames, Following(PLAN)))[-1].deviation.off_mm) > 3.0


def test_a_single_bad_image_is_set_aside_and_the_next_good_one_counts() -> None:
    frames = [shot("ap", AP, 0.2 * n, 30.0) for n in range(5)]
    frames[2] = shot("ap", AP, 0.4, 30.0, off=(0.0, 0.0, -60.0))
    updates = list(track(frames, Following(PLAN)))
    assert updates[2].tip is None
    assert [u.state is State.SEEN for u in updates] == [True, True, False, True, True]
    assert alarms(updates) == []


def poses(tips_mm: list[np.ndarray], dt_s: float = 0.1) -> list[ToolPose]:
    way = PLAN.trajectory.direction
    turn = Rotation.align_vectors([way], [[0.0, 0.0, 1.0]])[0].as_matrix()
    return [
        ToolPose(n, n * dt_s, "tracker", "needle", Pose(tip - turn @ np.array([0.0, 0.0, 150.0]), turn))
        for n, tip in enumerate(tips_mm)
    ]


TOOL = Tool("needle", np.array([0.0, 0.0, 150.0]), np.array([0.0, 0.0, 1.0]))


def test_a_tracked_tool_is_followed_through_its_calibration_and_registration() -> None:
    path_, turn = PLAN.trajectory, Rotation.from_euler("xyz", [20, -30, 45], degrees=True).as_matrix()
    to_patient = Pose(np.array([100.0, -50.0, 20.0]), turn)
    tips = [path_.target_mm - b * path_.direction for b in (10.0, 8.0, 6.0)]
    tracker = [replace(p, pose=Pose(to_patient.to_local(p.pose.origin_mm), turn.T @ p.pose.axes)) for p in poses(tips)]
    reading = Reading(0, 0.0, "pump", "pressure", 1.0, "MPa")
    updates = list(track([reading, *tracker], Following(PLAN, tools={"needle": replace(TOOL, to_patient=to_patient)})))
    assert len(updates) == 3
    assert np.stack([u.tip.tip_mm for u in updates]) == pytest.approx(np.stack(tips), abs=1e-9)
    assert updates[0].tip.standard_error_mm == pytest.approx(np.hypot(0.5, 1.0))


def test_a_jump_that_lasts_is_believed_and_alarmed() -> None:
    path_ = PLAN.trajectory
    tips = [path_.target_mm - 30.0 * path_.direction] * 3 + [
        path_.target_mm - 30.0 * path_.direction + np.array((25.0, 0.0, 0.0))
    ] * 4
    updates = list(track(poses(tips), Following(PLAN, tools={"needle": TOOL})))
    assert [u.state for u in updates] == [State.SEEN] * 3 + [State.SET_ASIDE] * (BELIEVED - 1) + [State.SEEN] * 2
    assert alarms(updates) == [AlarmKind.UNRELIABLE]
    assert "25.0 mm" in next(a for u in updates for a in u.alarms).finding.text


def test_time_that_stands_still_or_runs_back_is_alarmed_and_not_used() -> None:
    path_ = PLAN.trajectory
    sent = poses([path_.target_mm - b * path_.direction for b in (10.0, 9.0, 8.0, 7.0)])
    sent[2] = replace(sent[2], time_s=0.05)
    updates = list(track(sent, Following(PLAN, tools={"needle": TOOL})))
    assert [u.state for u in updates] == [State.SEEN, State.SEEN, State.REFUSED, State.SEEN]
    assert alarms(updates) == [AlarmKind.OUT_OF_ORDER]
    assert updates[2].tip is None
    assert "from 0.100 s to 0.050 s" in updates[2].text


@pytest.mark.parametrize(
    ("stamps", "used"),
    [
        ([0.0, 0.1, -3.0, -2.9, -2.8, -2.7], [1, 1, 0, 0, 1, 1]),  # the sender was started again
        ([0.0, 1000.0, 0.2, 0.3, 0.4, 0.5], [1, 1, 0, 0, 1, 1]),  # one stamp far ahead
        ([math.nan, 0.1, 0.2, math.nan, 0.3, 0.4], [0, 1, 1, 0, 1, 1]),
    ],
)
def test_a_clock_that_runs_anew_is_told_once_and_followed(stamps: list[float], used: list[int]) -> None:
    path_ = PLAN.trajectory
    sent = poses([path_.target_mm - 10.0 * path_.direction] * len(stamps))
    sent = [replace(item, time_s=stamp) for item, stamp in zip(sent, stamps, strict=True)]
    updates = list(track(sent, Following(PLAN, tools={"needle": TOOL})))
    assert [int(u.state is State.SEEN) for u in updates] == used
    breaks = [n for n in range(len(used)) if not used[n] and (n == 0 or used[n - 1])]
    assert [n for n, u in enumerate(updates) if u.alarms] == breaks
    assert set(alarms(updates)) == {AlarmKind.OUT_OF_ORDER}


def test_tips_that_never_agree_are_alarmed_and_not_set_aside_for_ever() -> None:
    path_ = PLAN.trajectory
    still = path_.target_mm - 30.0 * path_.direction
    tips = [still] + [still + np.array(((-1) ** n * (30.0 + 20.0 * n), 0.0, 0.0)) for n in range(1, 12)]
    updates = list(track(poses(tips), Following(PLAN, tools={"needle": TOOL})))
    assert {u.state for u in updates[1:]} == {State.SET_ASIDE}
    assert alarms(updates) == [AlarmKind.UNRELIABLE]
    assert "not followed any more" in next(a for u in updates for a in u.alarms).finding.text


def test_a_needle_lost_for_half_a_second_is_alarmed_once() -> None:
    frames = [shot("ap", AP, 0.0, 30.0)]
    frames += [image(view(AP), [], NOISY, seed=n, time_s=0.2 * n, source="ap") for n in range(1, 8)]
    updates = list(track(frames, Following(PLAN)))
    assert [u.state for u in updates] == [State.SEEN] + [State.UNSEEN] * 7
    assert all(u.tip is None for u in updates[1:])  # nothing is extrapolated
    assert alarms(updates) == [AlarmKind.UNRELIABLE]
    when = next(u.time_s for u in updates if u.alarms)
    assert 0.5 <= when - 0.2 <= 0.7 + 1e-9


def test_frames_without_geometry_or_of_another_size_are_refused_and_alarmed() -> None:
    bare = replace(shot("ap", AP, 0.0, 30.0), view=None)
    updates = list(track([bare, replace(bare, number=1, time_s=0.2)], Following(PLAN)))
    assert updates[0].state is State.REFUSED
    assert "no geometry" in updates[0].text
    assert alarms(updates) == [AlarmKind.UNRELIABLE]
    first, second = shot("ap", AP, 0.0, 30.0), shot("ap", AP, 0.2, 30.0)
    updates = list(track([first, replace(second, image=second.image[:200])], Following(PLAN)))
    assert alarms(updates) == [AlarmKind.CHANGED]
    assert "from 256 x 256 to 200 x 256" in updates[1].text


def test_two_views_that_do_not_fit_together_are_refused_in_a_sentence() -> None:
    frames = [shot("ap", AP, 0.0, 30.0), shot("lateral", LATERAL, 0.0, 30.0, off=(0.0, 0.0, 6.0))]
    updates = list(track(frames, Following(PLAN)))
    assert updates[1].state is State.REFUSED
    assert "rays miss" in updates[1].text


def test_slices_of_ct_are_a_source_and_an_end_that_may_be_no_tip_is_none() -> None:
    plan = path((0.35, -0.9, 0.0))
    seen = slab([(plan.target_mm - 5.0 * plan.direction, plan.direction)])
    steep = unit(plan.direction + np.array([0.0, 0.0, 0.5]))
    left = replace(slab([(plan.target_mm + 30.0 * steep, steep)]), time_s=3.0)
    updates = list(track([seen, left], Following(Planned(plan))))
    assert updates[0].deviation.to_go_mm == pytest.approx(5.0, abs=0.6)
    assert updates[1].state is State.UNSEEN
    assert "outside" in updates[1].text


def test_leaving_the_corridor_is_alarmed_once_and_again_after_it_was_left() -> None:
    """Pushed towards the canal: the alarm comes with the first measurement that tells so, not with each."""
    block_planned = block_plan()
    path_, medial = block_planned.trajectory, -block_planned.bearing.aside
    back = path_.bone_to_target_mm + 5.0
    away = path_.target_mm - back * path_.direction
    bad = unit(path_.direction + 0.25 * medial)
    tool = replace(TOOL, tip_sd_mm=0.1, registration_sd_mm=0.1)

    def pose(n: int, way: np.ndarray) -> ToolPose:
        turn = Rotation.align_vectors([way], [[0.0, 0.0, 1.0]])[0].as_matrix()
        return ToolPose(n, 0.1 * n, "tracker", "needle", Pose(away - turn @ np.array([0.0, 0.0, 150.0]), turn))

    ways = [path_.direction, bad, bad, path_.direction, bad]
    tracker = Tracker(Following(block_planned, tools={"needle": tool}))
    updates = [tracker.take(pose(n, way)) for n, way in enumerate(ways)]
    told = [[a.kind for a in u.alarms] for u in updates]
    assert told[0] == told[2] == told[3] == []
    assert told[1]
    assert set(told[1]) == set(told[4]) == {AlarmKind.DEVIATION}
    assert all(a.finding.severity is Severity.STOP for a in updates[1].alarms)


def test_a_pivot_calibration_finds_the_tip_and_refuses_a_tool_that_was_hardly_tilted() -> None:
    rng = np.random.default_rng(0)
    tip, pivot = np.array([1.0, -2.0, 150.0]), np.array([30.0, 40.0, 50.0])
    turns = Rotation.from_rotvec(np.radians(rng.uniform(-35, 35, (200, 3)))).as_matrix()
    held = [Pose(pivot - r @ tip + rng.normal(0.0, 0.2, 3), r) for r in turns]
    found = pivot_calibration(held)
    assert found.tip_mm == pytest.approx(tip, abs=0.15)
    assert found.pivot_mm == pytest.approx(pivot, abs=0.15)
    assert found.rms_mm == pytest.approx(0.2 * np.sqrt(3.0), rel=0.1)
    still = [Pose(pivot - r @ tip, r) for r in Rotation.from_rotvec(np.radians(rng.uniform(-3, 3, (9, 3)))).as_matrix()]
    with pytest.raises(TrocarError, match="tilt"):
        pivot_calibration(still)
    with pytest.raises(ValueError, match="at least 3"):
        pivot_calibration(held[:2])


def test_what_is_followed_is_checked() -> None:
    with pytest.raises(ValueError, match="pairing_s"):
        Following(PLAN, pairing_s=-1.0)
    with pytest.raises(ValueError, match="tip_sd_mm"):
        replace(TOOL, tip_sd_mm=-1.0)
