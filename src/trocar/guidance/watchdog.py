"""What can be wrong with a stream, seen from what came and when: silence, standing still, loss, disorder, change.

A :class:`Watch` is fed with what arrives and with the passing of time, and answers with alarms. It reads no clock and
keeps nothing that grows, so the same events give the same alarms, live or from a recording. After an alarm it goes on,
and says when it is well again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from trocar.guidance.channel import Channel
from trocar.guidance.frames import Alarm, AlarmKind, Event, Frame, Points, Reading, Slab, Stamped, ToolPose
from trocar.guidance.frames import Note as Words
from trocar.guidance.numbering import Numbering
from trocar.guidance.source_clock import SourceClock
from trocar.measure import Finding, Severity

#: Names that one watch follows; a peer that invents ever new names must not fill the memory.
MOST_CHANNELS = 256
#: How long an expected source may take to send its first item, s: a connection is made within that.
FIRST_S = 2.0


@dataclass(frozen=True)
class Rules:
    """What is expected of a source; None turns a rule off.

    ``silent_s``: nothing for so long is an alarm. ``still_s`` and ``still_pose_s``: the same image, or the very same
    position to the last bit, for so long is one. ``late_s``: an item so much older on arrival than the freshest of
    the last minute. ``rate_hz``: the rate at which the source stamps its items, for sources that do not number them.
    ``steady_s``: how long nothing may be wrong before it is said that it is well again.
    """

    silent_s: float | None = 0.5
    still_s: float | None = 0.5
    still_pose_s: float | None = 1.0
    late_s: float | None = 0.5
    rate_hz: float | None = None
    steady_s: float = 1.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not (math.isfinite(value) and value > 0.0):
                raise ValueError(f"{name}={value}: a rule needs a positive number, or None to turn it off.")


#: What arrives when there is something to say, and not in a rhythm: nobody waits for the next.
IRREGULAR = (Words, Points)
#: What is expected of these: no rhythm, no repetition; only their numbers and stamps are checked.
UNRHYTHMIC = Rules(silent_s=None, still_s=None, still_pose_s=None)


@dataclass
class Watch:
    """The state of all checks. ``rules`` by source, ``default`` for the others, ``expected`` sources that must come."""

    rules: Mapping[str, Rules] = field(default_factory=dict)
    default: Rules = field(default_factory=Rules)
    expected: Iterable[str] = ()
    _now_s: float = field(default=-math.inf, init=False)
    _began_s: float | None = field(default=None, init=False)
    _channels: dict[tuple[str, str], Channel] = field(default_factory=dict, init=False)
    _numbers: dict[str, Numbering] = field(default_factory=dict, init=False)
    _clocks: dict[str, SourceClock] = field(default_factory=dict, init=False)
    _missing: dict[str, bool] = field(default_factory=dict, init=False)
    _crowded: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._missing = dict.fromkeys(self.expected, False)

    @property
    def lost(self) -> dict[str, int]:
        """How many items of each source are known to have been lost so far."""
        return {source: numbering.lost for source, numbering in self._numbers.items()}

    def see(self, event: Event) -> list[Alarm]:
        """The alarms that an event brings, in order; an alarm that the door raised is passed on."""
        now = self._now_s = max(self._now_s, event.at_s)
        self._began_s = now if self._began_s is None else self._began_s
        alarms = [alarm for channel in self._channels.values() for alarm in channel.passed(now)]
        alarms += [alarm for numbering in self._numbers.values() for alarm in numbering.passed(now)]
        alarms += [alarm for clock in self._clocks.values() for alarm in clock.passed(now)]
        alarms += self._absent(now)
        if isinstance(event.item, Alarm):
            alarms.append(event.item)
        elif event.item is not None:
            alarms += self._arrived(event.item, now)
        return alarms

    def _arrived(self, item: Stamped, now_s: float) -> list[Alarm]:
        place = (item.source, part(item))
        if place not in self._channels and len(self._channels) >= MOST_CHANNELS:
            return self._crowd(item, now_s)
        rules = self._rules(item)
        alarms = self._came(item, now_s)
        if item.source not in self._numbers:
            self._numbers[item.source] = Numbering(rules.rate_hz, rules.steady_s)
            self._clocks[item.source] = SourceClock(rules.late_s, rules.steady_s)
        if place not in self._channels:
            still_s = rules.still_pose_s if isinstance(item, ToolPose) else rules.still_s
            self._channels[place] = Channel(rules.silent_s, still_s)
        alarms += self._numbers[item.source].arrived(item, place[1], now_s)
        alarms += self._clocks[item.source].arrived(item, now_s)
        return [*alarms, *self._channels[place].arrived(item, now_s)]

    def _rules(self, item: Stamped) -> Rules:
        if item.source in self.rules:
            return self.rules[item.source]
        return UNRHYTHMIC if isinstance(item, IRREGULAR) else self.default

    def _absent(self, now_s: float) -> list[Alarm]:
        """Expected sources of which nothing has come, each told once, with what does come."""
        if self._began_s is None or now_s - self._began_s < FIRST_S:
            return []
        absent = [source for source, told in self._missing.items() if not told]
        self._missing.update(dict.fromkeys(absent, True))
        known = sorted({source for source, _ in self._channels})
        but = f"what comes is called: {', '.join(known[:8])}" if known else "nothing else comes either"
        text = "Nothing has come from {}: check its name and that it is switched on."
        return [
            Alarm(AlarmKind.SILENT, now_s, 0, source, Finding(Severity.STOP, text.format(source), but))
            for source in absent
        ]

    def _came(self, item: Stamped, now_s: float) -> list[Alarm]:
        """Where an expected source had been told absent: that it is here."""
        if not self._missing.pop(item.source, False):
            return []
        finding = Finding(Severity.NOTE, f"{item.source} is here.")
        return [Alarm(AlarmKind.SILENT, now_s, item.number, item.source, finding, over=True)]

    def _crowd(self, item: Stamped, now_s: float) -> list[Alarm]:
        if self._crowded:
            return []
        self._crowded = True
        text = f"More than {MOST_CHANNELS} names come in: {item.source} and further new ones are not watched."
        finding = Finding(Severity.CAUTION, text, "a sender invents names, or its configuration is wrong")
        return [Alarm(AlarmKind.UNRELIABLE, now_s, item.number, item.source, finding)]


def part(item: Stamped) -> str:
    """Which of several things a source delivers this is: a tool's or a reading's name; empty for images."""
    match item:
        case ToolPose(tool=tool):
            return tool
        case Reading(name=name):
            return name
        case Frame() | Slab():
            return ""
    return type(item).__name__
