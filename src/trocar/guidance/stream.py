"""Streams of frames, positions and readings: their events, merged, checked.

A *source* delivers :class:`~trocar.guidance.frames.Stamped` items. What happens at our door is a stream of
:class:`~trocar.guidance.frames.Event`: an item came, or time passed and nothing did, each at a time of *our* clock.
The live sources of ``trocar.io`` yield events; :func:`timed`, :func:`pumped` and :func:`played` make them from plain
iterators. :func:`checked` turns events into items and alarms. It reads no clock: the same events, live or read from a
recording, give the same alarms::

    for thing in checked(events, rules={"C-arm": Rules(silent_s=1.0)}):
        match thing:
            case Alarm(): ...
            case Frame(): ...
"""

from __future__ import annotations

import heapq
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping

from trocar.guidance.frames import Alarm, Event, Stamped
from trocar.guidance.live import Clock, Feeder
from trocar.guidance.mailbox import POLL_S, Mailbox
from trocar.guidance.watchdog import Rules, Watch

#: How long the end of a pump waits for a source that does not answer, s.
LEAVE_S = 1.0


def timed(source: Iterable[Stamped | None], clock: Clock) -> Iterator[Event]:
    """Events of a source that says None where nothing came within its own short wait."""
    return (Event(clock(), item) for item in source)


def played(source: Iterable[Stamped]) -> Iterator[Event]:
    """Events of a source that is not live (a film, a run in DICOM, a simulated sequence): its stamps are the clock.

    Where a stamp is no number, no time has passed.
    """
    at_s = 0.0
    for item in source:
        at_s = item.time_s if math.isfinite(item.time_s) else at_s
        yield Event(at_s, item)


def merged(*streams: Iterable[Event]) -> Iterator[Event]:
    """Several streams on one clock as one, by time. For streams that do not wait: recordings, films, simulations."""
    return heapq.merge(*streams, key=lambda event: event.at_s)


def pumped(*sources: Iterable[Stamped], clock: Clock, poll_s: float = POLL_S) -> Iterator[Event]:
    """Several live sources as one, in the order in which things come; each source runs in a thread of its own.

    Time passes in the events even while every source is stuck. An error in a source is raised here. Ends when all
    sources have ended; a source that is stuck when the reader leaves is left to itself (its thread is a daemon).
    """
    mailbox = Mailbox(clock)
    feeders: list[Feeder] = []

    def carry(source: Iterable[Stamped]) -> Callable[[threading.Event], None]:
        def run(stop: threading.Event) -> None:
            for item in source:
                if stop.is_set():
                    return
                mailbox.put(item)

        return run

    def ended(feeder: Feeder) -> None:
        if feeder.error is not None or all(other.over.is_set() for other in feeders):
            mailbox.end()

    feeders += [Feeder(carry(source), ended) for source in sources]
    for feeder in feeders:
        feeder.start()
    try:
        yield from mailbox.events(poll_s)
        for feeder in feeders:
            feeder.check()
    finally:
        for feeder in feeders:
            feeder.stop.set()
        for feeder in feeders:
            feeder.join(LEAVE_S)


def checked(
    events: Iterable[Event],
    rules: Mapping[str, Rules] | None = None,
    default: Rules | None = None,
    expected: Iterable[str] = (),
) -> Iterator[Stamped | Alarm]:
    """The items of a stream, each after the alarms that it brings; alarms also while nothing comes.

    ``rules`` by source, ``default`` for every other; ``expected`` names sources that must come. Every item is passed
    on, also one that repeats or comes late: what to do with it is for whom the alarm reaches.
    """
    watch = Watch(rules or {}, default or Rules(), expected)
    for event in events:
        yield from watch.see(event)
        if isinstance(event.item, Stamped):
            yield event.item
