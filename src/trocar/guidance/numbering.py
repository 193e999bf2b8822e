"""The running numbers of one source: which are missing, which come twice, where they jump back."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from trocar.guidance.frames import Alarm, AlarmKind, Stamped
from trocar.guidance.source_words import alarm, counted, one, several
from trocar.measure import Severity

#: Numbers that are remembered: seen ones, to know one that comes twice; missing ones, to know one that comes late.
REMEMBERED = 256
#: Parts (tools, readings) that share one number, at most; a message carries no more.
MOST_PARTS = 256


@dataclass
class Numbering:
    """The state of one source's numbers. ``lost`` counts those that never came."""

    rate_hz: float | None = None
    steady_s: float = 1.0
    lost: int = field(default=0, init=False)
    _last: Stamped | None = field(default=None, init=False)
    _parts: set[str] = field(default_factory=set, init=False)
    _seen: dict[int, float] = field(default_factory=dict, init=False)
    _missing: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED), init=False)
    _losing_s: float | None = field(default=None, init=False)
    _disorder_s: float | None = field(default=None, init=False)
    _at_start: int = field(default=0, init=False)

    def passed(self, now_s: float) -> Iterator[Alarm]:
        """That it is well again, once nothing was wrong for a while."""
        item = self._last
        if item is None:
            return
        if self._losing_s is not None and now_s - self._losing_s >= self.steady_s:
            self._losing_s = None
            text = f"{several(item).capitalize()} from {item.source} arrive without loss again."
            because = f"{self.lost - self._at_start} lost meanwhile, {self.lost} since the start"
            yield alarm(AlarmKind.LOST, now_s, item, Severity.NOTE, text, because, over=True)
        if self._disorder_s is not None and now_s - self._disorder_s >= self.steady_s:
            self._disorder_s = None
            text = f"{several(item).capitalize()} from {item.source} are in order again."
            yield alarm(AlarmKind.OUT_OF_ORDER, now_s, item, Severity.NOTE, text, over=True)

    def arrived(self, item: Stamped, part: str, now_s: float) -> Iterator[Alarm]:
        """What an item's number tells; ``part`` is which of several things under one number it is."""
        last = self._last
        if last is not None and item.number == last.number and part not in self._parts:
            if len(self._parts) < MOST_PARTS:
                self._parts.add(part)
            return
        if last is None or item.number == last.number + 1:
            yield from self._by_the_clock(item, now_s)
        elif item.number > last.number:
            yield from self._gap(item, last.number + 1, now_s)
        elif item.number in self._missing:
            self._missing.remove(item.number)
            self.lost -= 1
            text = f"A {one(item)} from {item.source} came late and out of order."
            yield from self._disorder(item, text, f"number {item.number}, after {last.number}", now_s)
            return
        elif item.number == last.number or self._seen.get(item.number) == item.time_s:
            text = f"A {one(item)} from {item.source} came twice."
            yield from self._disorder(item, text, f"number {item.number}", now_s)
            return
        else:
            text = f"The numbers of {item.source} jump back: the sender may have started anew."
            yield from self._disorder(item, text, f"from {last.number} to {item.number}", now_s)
            self._seen.clear()
            self._missing.clear()
        self._remember(item, part)

    def _remember(self, item: Stamped, part: str) -> None:
        self._last, self._parts = item, {part}
        self._seen[item.number] = item.time_s
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]

    def _gap(self, item: Stamped, first: int, now_s: float) -> Iterator[Alarm]:
        """Numbers ``first`` to the one before ``item`` never came: every gap is told, with its numbers."""
        count = item.number - first
        self._missing.extend(range(max(first, item.number - REMEMBERED), item.number))
        numbers = f"number {first}" if count == 1 else f"numbers {first} to {item.number - 1}"
        yield self._loss(item, count, f"{counted(count, item)} from {item.source}", f"{numbers} never came", now_s)

    def _by_the_clock(self, item: Stamped, now_s: float) -> Iterator[Alarm]:
        """Where the source has a rate: what its stamps leave out although the numbers run on."""
        if self.rate_hz is None or self._last is None:
            return
        count = round((item.time_s - self._last.time_s) * self.rate_hz) - 1 if item.time_s > self._last.time_s else 0
        if count >= 1:
            because = f"by the stamps, {item.time_s - self._last.time_s:.3f} s passed at {self.rate_hz:g} a second"
            yield self._loss(item, count, f"About {counted(count, item)} from {item.source}", because, now_s)

    def _loss(self, item: Stamped, count: int, what: str, because: str, now_s: float) -> Alarm:
        self._at_start = self.lost if self._losing_s is None else self._at_start
        self._losing_s = now_s
        self.lost += count
        text = f"{what} {'was' if count == 1 else 'were'} lost."
        return alarm(AlarmKind.LOST, now_s, item, Severity.CAUTION, text, because)

    def _disorder(self, item: Stamped, text: str, because: str, now_s: float) -> Iterator[Alarm]:
        """Told once; then again only after it has been well."""
        if self._disorder_s is None:
            yield alarm(AlarmKind.OUT_OF_ORDER, now_s, item, Severity.CAUTION, text, because)
        self._disorder_s = now_s
