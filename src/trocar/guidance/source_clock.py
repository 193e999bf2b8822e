"""The stamps of one source against our clock: do they run on, and does what arrives grow old on the way?"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from trocar.guidance.frames import Alarm, AlarmKind, Stamped
from trocar.guidance.source_words import alarm, one, several
from trocar.measure import Severity

#: Over how long the least delay is sought, s, and in how many steps. Two quartz clocks part by 1e-4 at most, 6 ms a
#: minute, so what is left of a delay beyond the least of a minute is transport.
WINDOW_S, STEPS = 60.0, 10
#: Stamps that leap so far ahead of our clock in one step were set anew, s; less may be a connection catching up.
LEAP_S = 5.0


@dataclass
class SourceClock:
    """The state of one source's stamps; ``late_s`` None: lateness is not judged."""

    late_s: float | None = 0.5
    steady_s: float = 1.0
    _last: Stamped | None = field(default=None, init=False)
    _at_s: float = field(default=0.0, init=False)
    _least: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=STEPS), init=False)
    _late: bool = field(default=False, init=False)
    _timeless: bool = field(default=False, init=False)
    _disorder_s: float | None = field(default=None, init=False)

    def passed(self, now_s: float) -> Iterator[Alarm]:
        """That it is well again, once nothing was wrong for a while."""
        if self._last is None or self._disorder_s is None or now_s - self._disorder_s < self.steady_s:
            return
        self._disorder_s = None
        text = f"The clock of {self._last.source} runs on evenly again."
        yield alarm(AlarmKind.OUT_OF_ORDER, now_s, self._last, Severity.NOTE, text, over=True)

    def arrived(self, item: Stamped, now_s: float) -> Iterator[Alarm]:
        """What an item's stamp tells."""
        if not math.isfinite(item.time_s):
            yield from self._without_time(item, now_s)
            return
        self._timeless = False
        yield from self._order(item, now_s)
        yield from self._lateness(item, now_s - item.time_s, now_s)
        self._last, self._at_s = item, now_s

    def _without_time(self, item: Stamped, now_s: float) -> Iterator[Alarm]:
        if not self._timeless:
            text = f"The {several(item)} from {item.source} carry no usable time: their order cannot be checked."
            yield alarm(AlarmKind.UNRELIABLE, now_s, item, Severity.CAUTION, text, f"time {item.time_s}")
        self._timeless = True

    def _order(self, item: Stamped, now_s: float) -> Iterator[Alarm]:
        if self._last is None:
            return
        step, ours = item.time_s - self._last.time_s, now_s - self._at_s
        if step < 0.0:
            text = (
                f"The clock of {item.source} jumps back by {-step:.3g} s: the order of its {several(item)} is unsure."
            )
        elif step - ours > LEAP_S:
            text = f"The clock of {item.source} leaps ahead by {step - ours:.3g} s."
        else:
            return
        if self._disorder_s is None:
            because = f"{one(item)} {item.number} after {self._last.number}"
            yield alarm(AlarmKind.OUT_OF_ORDER, now_s, item, Severity.CAUTION, text, because)
        self._disorder_s = now_s
        self._least.clear()

    def _lateness(self, item: Stamped, delay_s: float, now_s: float) -> Iterator[Alarm]:
        """An item is late by how much more it took than the fastest of the last minute; while late, that is kept."""
        if self.late_s is None:
            return
        late_s = delay_s - min((least for _, least in self._least), default=delay_s)
        if late_s > self.late_s:
            if not self._late:
                text = f"The {several(item)} from {item.source} arrive {late_s:.1f} s late: what is shown is over."
                because = "against the fastest of the last minute; a connection or a computer cannot keep up"
                yield alarm(AlarmKind.UNRELIABLE, now_s, item, Severity.STOP, text, because)
            self._late = True
            return
        if self._late:
            text = f"The {several(item)} from {item.source} arrive in time again."
            yield alarm(AlarmKind.UNRELIABLE, now_s, item, Severity.NOTE, text, over=True)
        self._late = False
        self._keep(delay_s, now_s)

    def _keep(self, delay_s: float, now_s: float) -> None:
        """The least delay of each step of the window."""
        if not self._least or now_s - self._least[-1][0] >= WINDOW_S / STEPS:
            self._least.append((now_s, delay_s))
        elif delay_s < self._least[-1][1]:
            self._least[-1] = (self._least[-1][0], delay_s)
