"""The rules of the watchdog, each broken once: what is said, when, and that it is said to be well again."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from trocar.geometry import Pose
from trocar.guidance.carm import CArm, Detector
from trocar.guidance.frames import Alarm, AlarmKind, Event, Frame, Intensity, Note, Reading, Slab, Stamped, ToolPose
from trocar.guidance.stream import checked, played
from trocar.guidance.watchdog import MOST_CHANNELS, Rules, Watch
from trocar.measure import Severity
from trocar.volume import Volume

RNG = np.random.default_rng(5)


def frame(number: int, time_s: float | None = None, image: np.ndarray | None = None, source: str = "C-arm") -> Frame:
    image = RNG.integers(0, 4000, (8, 12)).astype(np.uint16) if image is None else image
    return Frame(number, number / 15 if time_s is None else time_s, source, image)


def pose(number: int, tool: str = "needle", x: float | None = None, time_s: float | None = None) -> ToolPose:
    at = Pose(np.array([number if x is None else x, 2.0, 3.0]), np.eye(3))
    return ToolPose(number, number / 100 if time_s is None else time_s, "tracker", tool, at)


def alarms(events: Iterable[Event], **settings: object) -> list[Alarm]:
    return [thing for thing in checked(events, **settings) if isinstance(thing, Alarm)]


def ticks(start_s: float, end_s: float, step_s: float = 0.05) -> list[Event]:
    return [Event(float(t)) for t in np.arange(start_s, end_s, step_s)]


def summary(found: list[Alarm]) -> list[tuple[AlarmKind, bool]]:
    return [(a.kind, a.over) for a in found]


def test_a_good_stream_raises_nothing() -> None:
    events = [*played(frame(n) for n in range(200)), *played(pose(n, time_s=20 + n / 100) for n in range(500))]
    assert alarms(events, default=Rules(silent_s=None)) == []


def test_every_item_is_passed_on_after_its_alarms() -> None:
    items = [frame(0), frame(1), frame(5)]
    out = list(checked(played(items), default=Rules(silent_s=None)))
    assert [type(thing) for thing in out] == [Frame, Frame, Alarm, Frame]
    assert [thing for thing in out if isinstance(thing, Frame)] == items


def test_silence_is_told_while_nothing_comes_and_so_is_its_end() -> None:
    events = [*played(frame(n) for n in range(15)), *ticks(1.0, 3.0), Event(3.0, frame(15, 3.0))]
    silent, back = alarms(events)
    assert (silent.kind, silent.finding.severity, silent.number) == (AlarmKind.SILENT, Severity.STOP, 14)
    assert 0.5 <= silent.time_s - 14 / 15 < 0.56
    assert "No image from C-arm for 0.5 s" in silent.finding.text
    assert (back.kind, back.over, back.time_s) == (AlarmKind.SILENT, True, 3.0)
    assert "back after 2.1 s" in back.finding.text


def test_every_silence_is_told_once_and_so_is_every_return() -> None:
    events = [
        *played(frame(n) for n in range(15)),
        *ticks(1.0, 3.0),
        *(Event(3.0 + n / 15, frame(n, 3.0 + n / 15)) for n in range(15, 30)),
        *ticks(5.0, 7.0),
        Event(7.0, frame(30, 7.0)),
    ]
    found = alarms(events)
    assert summary(found) == [(AlarmKind.SILENT, over) for over in (False, True, False, True)]
    assert [round(a.time_s, 1) for a in found] == [1.5, 4.0, 5.4, 7.0]


def test_silence_of_one_source_is_noticed_by_what_others_send() -> None:
    others = [Event(n / 100, pose(n)) for n in range(300)]
    events = sorted([*played(frame(n) for n in range(15)), *others], key=lambda e: e.at_s)
    (silent,) = alarms(events)
    assert silent.source == "C-arm"
    assert 0.5 <= silent.time_s - 14 / 15 < 0.52


def test_a_gap_between_two_events_is_a_silence_too() -> None:
    assert summary(alarms(played([frame(0), frame(1), frame(2, 1.0)]))) == [
        (AlarmKind.SILENT, False),
        (AlarmKind.SILENT, True),
    ]


def test_one_tool_of_two_that_goes_out_of_sight_is_told_by_name() -> None:
    both = [Event(n / 100, pose(n, tool)) for n in range(100) for tool in ("needle", "reference")]
    one = [Event(n / 100, pose(n, "reference")) for n in range(100, 200)]
    (silent,) = alarms([*both, *one])
    assert "needle (tracker)" in silent.finding.text
    assert "out of sight" in silent.finding.text


def test_the_limit_of_silence_is_a_rule() -> None:
    events = [Event(0.0, frame(0, 0.0)), *ticks(0.0, 3.0)]
    assert alarms(events, rules={"C-arm": Rules(silent_s=5.0)}) == []
    assert alarms(events, rules={"C-arm": Rules(silent_s=None)}) == []
    assert len(alarms(events, rules={"other": Rules(silent_s=5.0)})) == 1


def test_an_expected_source_that_never_comes_is_told_with_what_does_come() -> None:
    others = [Event(n / 100, pose(n)) for n in range(300)]
    (absent,) = alarms(others, expected=("NeedleToTracker",))
    assert "Nothing has come from NeedleToTracker" in absent.finding.text
    assert "tracker" in absent.finding.because
    assert absent.time_s == pytest.approx(2.0)
    late = Event(3.0, replace(frame(0, 3.0), source="NeedleToTracker"))
    assert summary(alarms([*others, late], expected=("NeedleToTracker",))) == [
        (AlarmKind.SILENT, False),
        (AlarmKind.SILENT, True),
    ]
    assert "nothing else comes" in alarms(ticks(0, 3), expected=("x",))[0].finding.because


def test_every_missing_number_is_known() -> None:
    kept = [n for n in range(300) if n not in {7, 50, 51, 52, 200}]
    watch = Watch(default=Rules(silent_s=None))
    told = [alarm for event in played(pose(n) for n in kept) for alarm in watch.see(event)]
    lost = [alarm for alarm in told if alarm.kind is AlarmKind.LOST and not alarm.over]
    assert [alarm.finding.because for alarm in lost] == [
        "number 7 never came",
        "numbers 50 to 52 never came",
        "number 200 never came",
    ]
    assert lost[1].finding.text == "3 positions from tracker were lost."
    assert watch.lost == {"tracker": 5}


def test_the_end_of_losses_is_told_with_their_number() -> None:
    kept = [n for n in range(300) if n not in {7, 50, 51, 52}]
    over = alarms(played(pose(n) for n in kept), default=Rules(silent_s=None))[-1]
    assert over.over
    assert over.finding.because == "4 lost meanwhile, 4 since the start"
    assert over.time_s == pytest.approx(1.53)


def test_a_number_that_comes_late_is_not_lost() -> None:
    watch = Watch(default=Rules(silent_s=None))
    order = [0, 1, 3, 2, 4, 5]
    told = [a for i, n in enumerate(order) for a in watch.see(Event(i / 100, pose(n)))]
    assert [a.finding.text for a in told if a.kind is AlarmKind.LOST] == ["1 position from tracker was lost."]
    assert any("came late and out of order" in a.finding.text for a in told)
    assert watch.lost == {"tracker": 0}


def test_a_repeated_number_is_told_once_until_it_is_well_again() -> None:
    numbers = [0, 1, 1, 2, 3, 1, *range(4, 200)]
    found = alarms((Event(i / 100, pose(n, time_s=n / 100)) for i, n in enumerate(numbers)), default=Rules(late_s=None))
    repeats = [a for a in found if "came twice" in a.finding.text]
    assert [(a.time_s, a.finding.because) for a in repeats] == [(0.02, "number 1")]
    assert "in order again" in " ".join(a.finding.text for a in found if a.over)


def test_a_sender_that_starts_anew_is_told_and_then_followed() -> None:
    items = [*(pose(n) for n in range(50)), *(pose(n, time_s=0.5 + n / 100) for n in range(50))]
    found = alarms(played(items))
    assert summary(found) == [(AlarmKind.OUT_OF_ORDER, False)]
    assert "may have started anew" in found[0].finding.text
    assert found[0].finding.because == "from 49 to 0"


def test_several_parts_of_one_message_share_its_number() -> None:
    items = [pose(n, tool) for n in range(20) for tool in ("needle", "reference", "pointer")]
    assert alarms(played(items)) == []
    lost = alarms(played(pose(n, tool) for n in (0, 1, 3) for tool in ("needle", "reference")))
    assert summary(lost) == [(AlarmKind.LOST, False)]


def test_losses_of_a_source_that_does_not_number_are_seen_by_its_rate() -> None:
    stamps = [n / 100 for n in range(100) if n not in {40, 41, 42, 70}]
    items = [pose(i, time_s=t) for i, t in enumerate(stamps)]
    jitter = np.random.default_rng(1).normal(0, 0.001, len(items))
    jittered = [replace(p, time_s=p.time_s + d) for p, d in zip(items, jitter, strict=True)]
    found = alarms(played(sorted(jittered, key=lambda p: p.time_s)), rules={"tracker": Rules(rate_hz=100.0)})
    assert [a.finding.text for a in found] == [
        "About 3 positions from tracker were lost.",
        "About 1 position from tracker was lost.",
    ]
    assert alarms(played(items)) == []


def test_an_image_that_comes_again_is_told_and_a_frozen_one_stops() -> None:
    images = [frame(n) for n in range(5)]
    frozen = [frame(n, image=images[-1].image.copy()) for n in range(5, 30)]
    found = alarms(played([*images, *frozen, frame(30)]))
    assert [(a.finding.severity, a.over) for a in found] == [
        (Severity.CAUTION, False),
        (Severity.STOP, False),
        (Severity.NOTE, True),
    ]
    assert found[0].number == 5
    assert "stands still for 0.5 s" in found[1].finding.text
    assert found[1].time_s == pytest.approx(4 / 15 + 0.5, abs=1 / 15)
    assert found[2].time_s == 2.0


def test_a_grabber_that_plays_its_buffers_again_is_seen() -> None:
    ring = [frame(n).image for n in range(6)]
    found = alarms(played(frame(n, image=ring[n % 6]) for n in range(40)))
    assert [a.finding.severity for a in found] == [Severity.CAUTION, Severity.STOP]


def test_a_source_that_writes_into_the_same_memory_is_not_taken_for_a_frozen_one() -> None:
    buffer = np.zeros((8, 12), np.uint16)

    def grabber() -> Iterable[Frame]:
        for n in range(40):
            buffer[:] = n
            yield frame(n, image=buffer)

    assert alarms(played(grabber())) == []


def test_a_position_that_stays_to_the_last_bit_is_odd_and_one_that_comes_back_is_not() -> None:
    (still,) = alarms(played(pose(n, x=1.0) for n in range(150)))
    assert (still.kind, still.finding.severity) == (AlarmKind.OUT_OF_ORDER, Severity.CAUTION)
    assert still.time_s == pytest.approx(1.0)
    assert alarms(played(pose(n, x=float(n % 2)) for n in range(300))) == []
    assert alarms(played(pose(n, x=1.0) for n in range(150)), default=Rules(still_pose_s=None)) == []


def test_a_clock_that_jumps_back_is_told_and_then_followed() -> None:
    stamps = [*(n / 15 for n in range(30)), *(n / 15 - 3.0 for n in range(30, 60))]
    found = alarms(Event(i / 15, frame(i, t)) for i, t in enumerate(stamps))
    assert summary(found) == [(AlarmKind.OUT_OF_ORDER, False), (AlarmKind.OUT_OF_ORDER, True)]
    assert "jumps back by 2.93 s" in found[0].finding.text
    assert found[0].number == 30


def test_a_clock_that_leaps_ahead_is_told_and_one_that_is_merely_elsewhere_is_not() -> None:
    apart = [Event(n / 15, frame(n, n / 15 + 1e9)) for n in range(30)]
    assert alarms(apart) == []
    leap = [Event(n / 15, frame(n, n / 15 + 1e9 + 3600)) for n in range(30, 60)]
    found = alarms([*apart, *leap])
    assert summary(found) == [(AlarmKind.OUT_OF_ORDER, False), (AlarmKind.OUT_OF_ORDER, True)]
    assert "leaps ahead by 3.6e+03 s" in found[0].finding.text


def test_what_arrives_ever_later_is_told_but_clocks_may_drift() -> None:
    drift = [Event(float(n), frame(n, n * (1 - 1e-4))) for n in range(7200)]
    assert drift[-1].at_s - drift[-1].item.time_s > 0.7
    assert alarms(drift, default=Rules(silent_s=None)) == []
    slow = [Event(n / 15 * 1.5, frame(n)) for n in range(60)]
    (late,) = alarms(slow)
    assert (late.kind, late.finding.severity) == (AlarmKind.UNRELIABLE, Severity.STOP)
    assert "arrive 0.5 s late" in late.finding.text
    assert alarms(slow, default=Rules(late_s=None)) == []
    caught_up = [Event(6.0 + i / 100, frame(60 + i, 6.0 + i / 100)) for i in range(5)]
    assert [a.over for a in alarms([*slow, *caught_up])] == [False, True]


@pytest.mark.parametrize("stamp", [math.nan, math.inf])
def test_a_stamp_that_is_no_time_is_told_once(stamp: float) -> None:
    found = alarms(Event(n / 15, frame(n, stamp)) for n in range(30))
    assert summary(found) == [(AlarmKind.UNRELIABLE, False)]


CHANGES = {
    "size": (lambda f: replace(f, image=np.ones((8, 13), np.uint16)), "8 x 12 pixels, now 8 x 13 pixels"),
    "type": (lambda f: replace(f, image=f.image.astype(np.uint8)), "numbers of uint16, now numbers of uint8"),
    "meaning": (lambda f: replace(f, intensity=Intensity.LOG), "linear, now logarithm"),
    "zoom": (
        lambda f: replace(f, view=CArm(np.zeros(3), detector=Detector(8, 12, 0.3, 0.3))),
        "without a known position of the C-arm, now pixels of 0.3 x 0.3 mm",
    ),
}


@pytest.mark.parametrize(("change", "says"), CHANGES.values(), ids=CHANGES)
def test_a_change_in_mid_stream_is_told_and_so_is_the_way_back(change: object, says: str) -> None:
    items = [frame(n) for n in range(9)]
    items[3:6] = [change(f) for f in items[3:6]]
    changed, back = (a for a in alarms(played(items)) if a.kind is AlarmKind.CHANGED)
    assert says in changed.finding.because
    assert (changed.number, changed.finding.severity) == (3, Severity.STOP)
    assert (back.number, back.over) == (6, True)


def test_a_slab_and_a_reading_that_change_are_told() -> None:
    def slab(n: int, spacing: float) -> Slab:
        return Slab(n, n / 5, "CT", Volume(RNG.normal(size=(2, 4, 4)), np.diag((spacing, 1.0, 1.0, 1.0))))

    readings = [Reading(n, n / 5, "pump", "pressure", float(n), unit) for n, unit in enumerate(("kPa", "kPa", "bar"))]
    (first,) = alarms(played([slab(0, 1.0), slab(1, 1.0), slab(2, 0.5)]))
    assert "voxels of 1 x 1 x 1 mm, now voxels of 1 x 1 x 0.5 mm" in first.finding.because
    (second,) = alarms(played(readings))
    assert "unit kPa, now unit bar" in second.finding.because


def test_a_sentence_is_not_waited_for() -> None:
    assert alarms([Event(0.0, Note(0, 0.0, "tracker", "status", "ready")), *ticks(0.0, 10.0)]) == []


def test_an_alarm_of_the_door_is_passed_on() -> None:
    (first,) = alarms([Event(0.0, frame(0, 0.0)), *ticks(0.0, 0.6)])
    assert list(checked([Event(0.0, first)])) == [first]


def test_ever_new_names_do_not_fill_the_memory() -> None:
    watch = Watch(default=Rules(silent_s=None))
    told = [a for n in range(3000) for a in watch.see(Event(n / 15, frame(n, source=f"name {n}")))]
    assert summary(told) == [(AlarmKind.UNRELIABLE, False)]
    assert str(MOST_CHANNELS) in told[0].finding.text
    assert len(watch.lost) == MOST_CHANNELS


def _size(thing: object, seen: set[int]) -> int:
    """How many objects hang on ``thing``, within our own state."""
    if id(thing) in seen or isinstance(thing, str | int | float | bytes | np.ndarray | type(None)):
        return 0
    seen.add(id(thing))
    inner = thing.items() if isinstance(thing, dict) else getattr(thing, "__dict__", {}).items()
    within = thing if isinstance(thing, list | tuple | set) or hasattr(thing, "maxlen") else ()
    return 1 + sum(1 + _size(part, seen) for _, part in inner) + sum(1 + _size(part, seen) for part in within)


def test_the_state_does_not_grow() -> None:
    watch = Watch()
    sizes = []
    for n in range(2600):
        # every third lost, and every tenth a leap of a million
        number = n * 3 + 1_000_000 * (n // 10)
        watch.see(Event(n / 20, pose(number, time_s=n / 20)))
        watch.see(Event(n / 20, frame(number, n / 20)))
        if n % 50 == 0:
            sizes.append(_size(watch, set()))
    assert max(sizes[26:]) <= max(sizes[:26])


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_a_rule_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="silent_s"):
        Rules(silent_s=value)


def test_the_checks_read_no_clock() -> None:
    kept = [n for n in range(400) if n % 37]
    events: list[Event] = [Event(n / 100, pose(n)) for n in kept] + ticks(4.0, 6.0)

    def told() -> list[tuple[object, ...]]:
        return [(a.kind, a.time_s, a.number, a.source, a.finding, a.over) for a in alarms(events)]

    assert told() == told()
    assert len(told()) > 10
    assert all(isinstance(e.item, Stamped | None) for e in events)
