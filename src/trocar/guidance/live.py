"""A source that receives in a thread of its own, whatever it receives from."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from trocar.guidance.frames import Alarm, AlarmKind, Event
from trocar.guidance.mailbox import POLL_S, Mailbox
from trocar.measure import Finding, Severity

#: A clock: seconds, from anywhere, never backwards.
Clock = Callable[[], float]
#: How long closing waits for a thread that does not answer, s.
CLOSE_S = 5.0


def steady_clock() -> Clock:
    """A clock that agrees with the wall's now and is never set: seconds since 1970."""
    began = time.time() - time.monotonic()
    return lambda: began + time.monotonic()


class Feeder(threading.Thread):
    """Runs ``body`` until ``stop`` is set; ``error`` is what it died of, for the one who reads to raise."""

    def __init__(self, body: Callable[[threading.Event], None], ended: Callable[[Feeder], None]) -> None:
        super().__init__(daemon=True)
        self._body, self._ended = body, ended
        self.stop, self.over = threading.Event(), threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        """The thread."""
        with self:
            self._body(self.stop)

    def check(self) -> None:
        """Raise what the thread died of, if anything."""
        if self.error is not None:
            raise self.error

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.error = error
        self.over.set()
        self._ended(self)
        return True  # it is raised where the events are read


class Live:
    """What every live source shares: a mailbox, the thread that fills it, and an end. A context manager.

    A source writes ``_receive``, which puts what comes into ``self._mailbox`` until ``stop`` is set.
    """

    def __init__(self, name: str, clock: Clock | None = None) -> None:
        self.name = name
        self._clock = clock or steady_clock()
        self._mailbox = Mailbox(self._clock)
        self._feeder = Feeder(self._receive, lambda feeder: self._mailbox.end())

    def _receive(self, stop: threading.Event) -> None:
        raise NotImplementedError

    def events(self, poll_s: float = POLL_S) -> Iterator[Event]:
        """What comes and, where nothing does, that time passes; ends when the source does, or is closed."""
        yield from self._mailbox.events(poll_s)
        self._feeder.check()

    def close(self) -> None:
        """Stop receiving."""
        self._feeder.stop.set()
        if self._feeder.is_alive():
            self._feeder.join(CLOSE_S)

    def _tell(
        self,
        kind: AlarmKind,
        severity: Severity,
        text: str,
        because: str = "",
        source: str | None = None,
        over: bool = False,
    ) -> None:
        """Raise an alarm at the door."""
        finding = Finding(severity, text, because)
        self._mailbox.put(Alarm(kind, self._clock(), 0, source or self.name, finding, over))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
