"""Where a thread that receives leaves what came, for the one that looks at it: bounded, the oldest goes first.

Where the looking is slower than the coming, old images are of no use: they give way, and their missing numbers are an
alarm like any other loss.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from trocar.guidance.frames import Alarm, AlarmKind, Event, Frame, Slab, Stamped
from trocar.guidance.source_words import alarm, several
from trocar.measure import Severity

#: What waits at most: so many items, and so many bytes of images (at 1024 x 1024 x 16 bit, 64 images: 4 s at 15 Hz).
MOST_ITEMS, MOST_BYTES = 4096, 128 * 2**20
#: Alarms that are kept although they were too many or too old; the door raises them sparingly.
MOST_ALARMS = 64
#: How often it is said that nothing came, s: a silence of 0.5 s is noticed within a tenth of that.
POLL_S = 0.05
#: An item that has waited so long for us, s, is told: the computer cannot keep up.
BEHIND_S = 0.5


class Mailbox:
    """Events from any number of threads to one reader."""

    def __init__(self, clock: Callable[[], float], most_items: int = MOST_ITEMS, most_bytes: int = MOST_BYTES) -> None:
        self._clock, self._most_items, self._most_bytes = clock, most_items, most_bytes
        self._waiting: deque[Event] = deque()
        self._alarms: deque[Event] = deque(maxlen=MOST_ALARMS)
        self._bytes = 0
        self._filled = threading.Condition()
        self._ended = False
        self._behind = False

    def put(self, item: Stamped | Alarm) -> None:
        """Leave what came, stamped with our clock; never blocks."""
        with self._filled:
            self._waiting.append(Event(self._clock(), item))
            self._bytes += weight(item)
            # the newest stays, however large: a source of huge images is seen, one by one
            while len(self._waiting) > self._most_items or (self._bytes > self._most_bytes and len(self._waiting) > 1):
                gone = self._waiting.popleft()
                self._bytes -= weight(gone.item)
                if isinstance(gone.item, Alarm):  # what the door saw wrong must not give way to what it let in
                    self._alarms.append(gone)
            self._filled.notify()

    def end(self) -> None:
        """Nothing more will come: the reader ends once it has read what waits."""
        with self._filled:
            self._ended = True
            self._filled.notify_all()

    def events(self, poll_s: float = POLL_S) -> Iterator[Event]:
        """What comes, as it comes; where nothing does for ``poll_s``, that time has passed. Ends after :meth:`end`."""
        while True:
            event = self._next(poll_s)
            if event is None:
                return
            yield from self._age(event)
            yield event

    def _next(self, poll_s: float) -> Event | None:
        until = time.monotonic() + poll_s
        with self._filled:
            while not (self._waiting or self._alarms):
                left = until - time.monotonic()
                if self._ended:
                    return None
                if left <= 0.0:
                    return Event(self._clock())
                self._filled.wait(left)
            if self._alarms:
                return self._alarms.popleft()
            event = self._waiting.popleft()
            self._bytes -= weight(event.item)
            return event

    def _age(self, event: Event) -> Iterator[Event]:
        """That we are behind, and that we have caught up."""
        age_s = self._clock() - event.at_s
        if not isinstance(event.item, Stamped) or (age_s > BEHIND_S) == self._behind:
            return
        self._behind = age_s > BEHIND_S
        item = event.item
        if self._behind:
            text = f"This computer is {age_s:.1f} s behind with the {several(item)} from {item.source}."
            severity, because = Severity.STOP, "it cannot look at them as fast as they come: what is shown is over"
        else:
            text, severity, because = "This computer keeps up again.", Severity.NOTE, ""
        told = alarm(AlarmKind.UNRELIABLE, event.at_s, item, severity, text, because, over=not self._behind)
        yield Event(event.at_s, told)


def weight(item: Stamped | Alarm | None) -> int:
    """The bytes of an item's image, and something for the rest."""
    match item:
        case Frame(image=image):
            return image.nbytes + 512
        case Slab(volume=volume):
            return volume.array.nbytes + 512
    return 512
