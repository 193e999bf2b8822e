"""A recording read back: the same items, the same alarms, and what was cut off its end."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from trocar.errors import ImageError
from trocar.guidance.frames import Alarm, AlarmKind, Event, Stamped
from trocar.guidance.stream import checked
from trocar.guidance.watchdog import Rules
from trocar.io.recording_format import FIRST_LINE, LENGTH, Kind, item_in, read_head, read_next
from trocar.measure import Finding, Severity


@dataclass(frozen=True)
class Recording:
    """A recording that can be read, any number of times, also while it is written.

    ``cut`` says what at its end could not be read, where the writing program died; ``records`` counts whole records.
    """

    path: Path
    rules: Mapping[str, Rules]
    default: Rules
    expected: tuple[str, ...]
    records: int
    end: int = field(repr=False)
    cut: Finding | None = None

    def events(self) -> Iterator[Event]:
        """What happened, in the order in which it did; a damaged record is left out, and an alarm says so."""
        for kind, at_s, item in self._read():
            if kind is not Kind.TOLD:
                yield Event(at_s, item)

    def told(self) -> Iterator[Alarm]:
        """The alarms that were raised while recording."""
        return (item for kind, _, item in self._read() if kind is Kind.TOLD and isinstance(item, Alarm))

    def _read(self) -> Iterator[tuple[Kind, float, Stamped | Alarm | None]]:
        with self.path.open("rb") as file:
            file.seek(len(FIRST_LINE))
            read_next(file, self.end)  # the rules
            last_s = 0.0
            while (place := file.tell()) < self.end:
                record = read_next(file, self.end)
                if record is None:  # its length was good when the recording was opened
                    raise ImageError(f"the recording {self.path} changed while it was read: read it again.")
                kind, at_s, payload = record
                last_s = last_s if payload is None else at_s
                yield _read_record(kind, last_s, payload, place)


def _read_record(
    kind: int, at_s: float, payload: bytes | None, place: int
) -> tuple[Kind, float, Stamped | Alarm | None]:
    if payload is not None and kind == Kind.TICK:
        return Kind.TICK, at_s, None
    try:
        if payload is None:
            raise ValueError("its checksum does not fit")
        return Kind(kind), at_s, item_in(payload)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError, struct.error) as error:
        finding = Finding(Severity.CAUTION, "A damaged record was left out.", f"at byte {place}: {error}")
        return Kind.DOOR, at_s, Alarm(AlarmKind.LOST, at_s, 0, "recording", finding)


def read_recording(path: str | os.PathLike[str]) -> Recording:
    """Open a recording; raises :class:`ImageError` where it is none."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            if file.read(len(FIRST_LINE)) != FIRST_LINE:
                raise ImageError(f"{path} is not a recording of Trocar's, or of another version: name another file.")
            size = os.fstat(file.fileno()).st_size
            first = read_next(file, size)
            if first is None or first[0] != Kind.RULES or first[2] is None:
                raise ImageError(f"the recording {path} ends before anything was recorded.")
            rules = _rules(first[2], path)
            records, end = _walk(file, size)
    except OSError as error:
        raise ImageError(f"{path} cannot be read ({error.strerror or error}): check the path.") from None
    cut = None
    if end < size:
        text = f"The recording's last {size - end} bytes are not a whole record: what came after is not in it."
        cut = Finding(Severity.CAUTION, text, f"{records} records are whole")
    return Recording(path, *rules, records, end, cut)


def replayed(path: str | os.PathLike[str]) -> Iterator[Stamped | Alarm]:
    """Items and alarms of a recording, as they were when it was made: checked by the same rules."""
    recording = read_recording(path)
    return checked(recording.events(), recording.rules, recording.default, recording.expected)


def _walk(file: IO[bytes], size: int) -> tuple[int, int]:
    """How many whole records follow, and where the last one ends; payloads are not read, but for the last one's."""
    count, end, before = 0, file.tell(), file.tell()
    while (head := read_head(file, size)) is not None:
        before, end = end, file.seek(head[1], os.SEEK_CUR)
        count += 1
    if count:
        file.seek(before)
        last = read_next(file, size)
        if last is None or last[2] is None:
            return count - 1, before
    return count, end


def _rules(payload: bytes, path: Path) -> tuple[dict[str, Rules], Rules, tuple[str, ...]]:
    try:
        plain: dict[str, Any] = json.loads(payload[LENGTH.size :])
        rules = {name: Rules(**rule) for name, rule in plain["rules"].items()}
        return rules, Rules(**plain["default"]), tuple(plain["expected"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ImageError(f"the recording {path} says nothing usable of its rules ({error}).") from error
