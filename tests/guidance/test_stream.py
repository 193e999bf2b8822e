"""Sources become events, several become one, and a source that is stuck does not stop the clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from trocar.guidance.frames import Alarm, AlarmKind, Event, Frame, Reading
from trocar.guidance.live import steady_clock
from trocar.guidance.mailbox import Mailbox, weight
from trocar.guidance.stream import checked, merged, played, pumped, timed
from trocar.guidance.watchdog import Rules
from trocar.measure import Finding, Severity


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    until = time.monotonic() + 5.0
    while set(threading.enumerate()) - before and time.monotonic() < until:
        time.sleep(0.01)
    assert set(threading.enumerate()) - before == set()


def reading(number: int, time_s: float, source: str = "pump") -> Reading:
    return Reading(number, time_s, source, "pressure", float(number), "kPa")


def image(number: int, side: int = 4) -> Frame:
    return Frame(number, number / 15, "C-arm", np.full((side, side), number, np.uint16))


def test_streams_are_merged_by_time() -> None:
    one = played(reading(n, n / 10, "a") for n in range(20))
    two = played(reading(n, n / 7, "b") for n in range(20))
    times = [event.at_s for event in merged(one, two)]
    assert len(times) == 40
    assert times == sorted(times)


def test_a_source_that_says_when_nothing_came_is_timed_by_the_clock_given() -> None:
    clock = iter([0.0, 0.3, 0.6, 0.9])
    events = list(timed([reading(0, 5.0), None, None, reading(1, 5.9)], lambda: next(clock)))
    assert [e.at_s for e in events] == [0.0, 0.3, 0.6, 0.9]
    told = [t for t in checked(events) if isinstance(t, Alarm)]
    assert [(a.kind, a.time_s, a.over) for a in told] == [(AlarmKind.SILENT, 0.6, False), (AlarmKind.SILENT, 0.9, True)]


def test_the_watchdog_barks_while_the_source_is_stuck() -> None:
    release = threading.Event()

    def stuck() -> Iterator[Reading]:
        yield reading(0, 0.0)
        release.wait(10.0)
        yield reading(1, 1.0)

    began = time.monotonic()
    kinds = []
    for thing in checked(pumped(stuck(), clock=time.monotonic), default=Rules(silent_s=0.1, late_s=None)):
        if isinstance(thing, Alarm) and thing.kind is AlarmKind.SILENT:
            kinds.append(thing.over)
            release.set()  # only now does the source go on
    assert kinds == [False, True]
    assert time.monotonic() - began < 5.0


def test_an_error_in_a_source_is_raised_where_it_is_read() -> None:
    def broken() -> Iterator[Reading]:
        yield reading(0, 0.0)
        raise OSError("the cable was pulled")

    events = pumped(broken(), clock=time.monotonic)
    with pytest.raises(OSError, match="cable"):
        list(events)


def test_an_error_in_one_source_does_not_wait_for_the_others_to_end() -> None:
    released = threading.Event()

    def broken() -> Iterator[Reading]:
        yield reading(0, 0.0)
        raise OSError("the cable was pulled")

    def going_on() -> Iterator[Reading]:
        n = 0
        while not released.wait(0.001):
            yield reading(n, n / 100, "other")
            n += 1

    relief = threading.Timer(20.0, released.set)  # where the guard is gone, the test fails and does not hang
    relief.start()
    began = time.monotonic()
    try:
        with pytest.raises(OSError, match="cable"):
            list(pumped(broken(), going_on(), clock=time.monotonic))
    finally:
        released.set()
        relief.cancel()
    assert time.monotonic() - began < 15.0


def test_leaving_early_ends_the_threads() -> None:
    def endless() -> Iterator[Reading]:
        n = 0
        while True:
            yield reading(n, n / 100)
            n += 1
            time.sleep(0.001)

    events = pumped(endless(), endless(), clock=time.monotonic)
    assert isinstance(next(events).item, Reading)
    events.close()


def test_a_full_mailbox_lets_the_oldest_go_and_the_loss_is_known() -> None:
    box = Mailbox(lambda: 0.0, most_items=10)
    for n in range(25):
        box.put(reading(n, n / 100))
    box.put(reading(40, 0.4))
    box.end()
    things = list(checked(box.events()))
    assert [t.number for t in things if isinstance(t, Reading)] == [*range(16, 25), 40]
    assert [t.finding.because for t in things if isinstance(t, Alarm)] == ["numbers 25 to 39 never came"]


def test_an_image_larger_than_the_mailbox_is_let_in_alone() -> None:
    box = Mailbox(lambda: 0.0, most_bytes=1000)
    for n in range(3):
        box.put(image(n, side=40))
    box.end()
    things = list(checked(box.events()))
    assert [t.number for t in things if isinstance(t, Frame)] == [2]


def test_an_alarm_of_the_door_is_not_pushed_out_by_what_comes_after() -> None:
    lost = Alarm(AlarmKind.SILENT, 0.0, 0, "link", Finding(Severity.STOP, "the connection was lost"))
    box = Mailbox(lambda: 0.0, most_items=5)
    box.put(reading(0, 0.0))
    box.put(lost)
    for n in range(1, 20):
        box.put(reading(n, n / 100))
    box.end()
    items = [event.item for event in box.events()]
    assert items[0] is lost
    assert [i.number for i in items[1:]] == list(range(15, 20))


def test_images_that_wait_are_bounded_in_bytes() -> None:
    box = Mailbox(lambda: 0.0, most_bytes=10 * weight(image(0, 64)))
    for n in range(100):
        box.put(image(n, 64))
    box.end()
    assert [e.item.number for e in box.events() if isinstance(e.item, Frame)] == list(range(90, 100))


def test_a_reader_that_falls_behind_is_told_and_so_is_catching_up() -> None:
    now = [0.0]
    box = Mailbox(lambda: now[0])
    box.put(image(0))
    box.put(image(1))
    now[0] = 0.9
    box.put(image(2))
    box.end()
    told = [e.item for e in box.events() if isinstance(e.item, Alarm)]
    assert [(a.kind, a.over) for a in told] == [(AlarmKind.UNRELIABLE, False), (AlarmKind.UNRELIABLE, True)]
    assert "0.9 s behind" in told[0].finding.text


def test_time_passes_in_an_empty_mailbox() -> None:
    box = Mailbox(time.monotonic)
    events = box.events(poll_s=0.01)
    passed = [next(events) for _ in range(3)]
    assert all(e.item is None for e in passed)
    assert 0.02 < passed[2].at_s - passed[0].at_s + 0.01 < 1.0


def test_a_steady_clock_starts_with_the_wall_and_runs_on() -> None:
    clock = steady_clock()
    assert clock() == pytest.approx(time.time(), abs=0.5)
    assert clock() <= clock()


def test_an_event_without_an_item_says_only_that_time_passed() -> None:
    assert list(checked([Event(0.0), Event(9.0)])) == []


def test_where_a_stamp_is_no_number_no_time_has_passed() -> None:
    events = list(played([reading(0, 1.0), reading(1, float("nan")), reading(2, 1.2)]))
    assert [e.at_s for e in events] == [1.0, 1.0, 1.2]
