"""Everything that came, on disk as it comes, in the form that :mod:`trocar.io.recording_format` describes.

Records are only ever appended, each handed to the operating system at once and none held back: what was recorded before
something acted on it survives the death of the program at any byte. Against a power cut, ``sync()`` writes through to
the disk.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from trocar.errors import OutputError
from trocar.guidance.frames import Alarm, AlarmKind, Event, Stamped
from trocar.guidance.stream import checked
from trocar.guidance.watchdog import Rules
from trocar.io.recording_format import FIRST_LINE, LENGTH, Kind, payload_of, record
from trocar.measure import Finding, Severity


class Recorder:
    """Writes a recording to a new file; a context manager.

    Raises :class:`OutputError` where the place refuses, or something is there already. ``rules``, ``default`` and
    ``expected`` are those of :func:`trocar.guidance.stream.checked`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        rules: Mapping[str, Rules] | None = None,
        default: Rules | None = None,
        expected: Iterable[str] = (),
    ) -> None:
        self.path = Path(path)
        self.rules, self.default, self.expected = dict(rules or {}), default or Rules(), tuple(expected)
        self.refused: OutputError | None = None
        self._file = _created(self.path)
        self._end = 0
        plain = {"rules": {name: asdict(rule) for name, rule in self.rules.items()}, "default": asdict(self.default)}
        text = json.dumps(plain | {"expected": self.expected}).encode()
        self._append(FIRST_LINE + record(Kind.RULES, 0.0, LENGTH.pack(len(text)) + text))

    def write(self, event: Event) -> None:
        """Record what happened; raises :class:`OutputError` where the disk refuses, and the file stays whole."""
        if event.item is None:
            self._append(record(Kind.TICK, event.at_s, b""))
            return
        kind = Kind.DOOR if isinstance(event.item, Alarm) else Kind.ITEM
        self._append(record(kind, event.at_s, payload_of(event.item)))

    def tell(self, alarm: Alarm) -> None:
        """Record that an alarm was raised, whoever raised it."""
        self._append(record(Kind.TOLD, alarm.time_s, payload_of(alarm)))

    def sync(self) -> None:
        """Have the disk hold what was recorded; may take as long as the disk likes."""
        if self._file >= 0:
            os.fsync(self._file)

    def close(self) -> None:
        """End the recording."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, data: bytes) -> None:
        if self.refused is not None:
            raise self.refused
        if self._file < 0:
            raise ValueError(f"the recording {self.path} is closed.")
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            self.refused = OutputError(
                f"the recording {self.path} cannot go on ({error.strerror or error}): it holds everything up to here. "
                "Make room, or record to another disk."
            )
            self._cut_back()
            self.close()
            raise self.refused from None
        self._end += len(data)

    def _cut_back(self) -> None:
        """Leave no half record behind; where even that is refused, a reader leaves the half record out."""
        try:
            os.ftruncate(self._file, self._end)
        except OSError:
            return


def _created(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
    except FileExistsError:
        raise OutputError(f"{path} is there already, and a recording is never written over: name another.") from None
    except OSError as error:
        raise OutputError(f"{path} cannot be recorded to ({error.strerror or error}): name another place.") from None


def recorded(events: Iterable[Event], recorder: Recorder) -> Iterator[Event]:
    """The same events, each recorded before it is passed on.

    Where the disk refuses, an alarm says so, and the events go on: watching a patient does not end with the disk.
    """
    told = False
    for event in events:
        if recorder.refused is None:
            with suppress(OutputError):
                recorder.write(event)
        if recorder.refused is not None and not told:  # also where it was an alarm that it could not take
            told = True
            yield Event(event.at_s, _stopped(recorder.refused, event.at_s))
        yield event


def watched(events: Iterable[Event], recorder: Recorder) -> Iterator[Stamped | Alarm]:
    """The live chain: events recorded, checked by the recorder's rules, and the alarms recorded too."""
    for thing in checked(recorded(events, recorder), recorder.rules, recorder.default, recorder.expected):
        if isinstance(thing, Alarm) and recorder.refused is None:
            with suppress(OutputError):
                recorder.tell(thing)
        yield thing


def _stopped(refusal: OutputError, at_s: float) -> Alarm:
    finding = Finding(Severity.CAUTION, "The recording has stopped; the watch goes on.", str(refusal))
    return Alarm(AlarmKind.UNRELIABLE, at_s, 0, "recorder", finding)
