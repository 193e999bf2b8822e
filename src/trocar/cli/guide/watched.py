"""What ``trocar guide leak`` has seen and told so far: a monitor for each source, alarms, pictures, ``leak.json``."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trocar.cli.guide.shared import file_name, path_of
from trocar.errors import OutputError
from trocar.measure import Finding, Severity

if TYPE_CHECKING:
    from trocar.guidance.frames import Alarm, Frame
    from trocar.guidance.leak_state import Leak, Phase, State
    from trocar.guidance.silhouette import Silhouette
    from trocar.io.registration_file import Registered
    from trocar.treatment import Plan


#: A time beyond this, s, is of a clock that counts from 1970: it is told as the time of day.
OF_DAY_S = 1e8


def when(time_s: float) -> str:
    """A time for people: seconds of a film, or the time of day."""
    return time.strftime("at %H:%M:%S", time.localtime(time_s)) if time_s > OF_DAY_S else f"at {time_s:.1f} s"


@dataclass
class Watched:
    """One session: a monitor for each source, and what was told so far."""

    plan: Plan
    where: Registered
    folder: Path
    findings: list[Finding] = field(default_factory=list)
    on_error: bool = False
    monitors: dict[str, Any] = field(default_factory=dict)
    outlines: dict[str, Silhouette] = field(default_factory=dict)
    phases: dict[str, Phase] = field(default_factory=dict)
    last: dict[str, State] = field(default_factory=dict)
    frames: dict[str, int] = field(default_factory=dict)
    alarms: list[Alarm] = field(default_factory=list)
    leaks: list[tuple[str, Leak]] = field(default_factory=list)

    @contextmanager
    def written(self) -> Iterator[None]:
        """Write leak.json in the end, also of a watch that a refusal ends, if any image was judged."""
        from trocar.errors import TrocarError
        from trocar.io.whole import write_files

        def write() -> None:
            write_files(self.folder, {"leak.json": json.dumps(self.document(), ensure_ascii=False).encode()})

        try:
            yield
        except TrocarError:
            if self.frames:
                write()
            raise
        write()

    def say(self, text: str) -> None:
        """Tell at once; on standard error where standard output is to hold one JSON object."""
        click.echo(text, err=self.on_error)

    def alarm(self, alarm: Alarm) -> None:
        """Tell an alarm, and remember it."""
        self.alarms.append(alarm)
        word = "over" if alarm.over else "ALARM"
        self.say(f"{word} {when(alarm.time_s)}, image {alarm.number} of {alarm.source}: {alarm.finding.text}")

    def step(self, frame: Frame) -> State:
        """Look at one frame: alarms are told and pictures of leaks are written at once."""
        from trocar.guidance.leak import LeakMonitor

        if frame.source not in self.monitors:
            self.monitors[frame.source] = LeakMonitor(self.outline)
        state: State = self.monitors[frame.source].step(frame)
        for alarm in state.alarms:
            self.alarm(alarm)
        known = sum(source == frame.source for source, _ in self.leaks)
        for leak in state.leaks[known:]:
            self.leaks.append((frame.source, leak))
            self.picture(leak)
        self.tell_phase(frame, state)
        self.last[frame.source] = state
        self.frames[frame.source] = self.frames.get(frame.source, 0) + 1
        return state

    def tell_phase(self, frame: Frame, state: State) -> None:
        """Say when the monitor begins to watch, or no longer does: only then may be injected."""
        from trocar.guidance.leak_state import Phase

        if state.phase is not Phase.MOVING and self.phases.get(frame.source) is not state.phase:
            self.phases[frame.source] = state.phase
            self.say(f"{frame.time_s:.1f} s, image {frame.number} of {frame.source}: The monitor {state.phase.value}.")

    def outline(self, frame: Frame) -> Silhouette:
        """The vertebra's outline in the view of a frame."""
        from trocar.errors import ImageError
        from trocar.geometry import Line
        from trocar.guidance.silhouette import seen_from

        if frame.view is None:
            raise ImageError(
                f"image {frame.number} of {frame.source} does not say where the C-arm stood about the CT: give a run "
                "that does."
            )
        path, moved = path_of(self.plan), self.where.displacement
        tip = moved.to_world(path.target_mm)
        needle = Line(tip, tip - moved.to_world(path.skin_mm))
        anatomy = self.plan.anatomy
        found = seen_from(frame.view, anatomy.vertebra(path.level), anatomy.structures, moved, needle)
        self.outlines[frame.source] = found
        self.add(found.findings)
        return found

    def add(self, findings: Iterable[Finding]) -> None:
        """Tell what is to be known, and remember it."""
        for finding in findings:
            self.findings.append(finding)
            self.say(str(finding))

    def picture(self, leak: Leak) -> None:
        """Write the two pictures of the latest leak: when it first stood out, and when it was told."""
        from trocar.io.whole import write_files
        from trocar.reporting.live import png

        pictures = (leak.first_picture, leak.alarm_picture)
        names = self.picture_names(len(self.leaks))
        try:
            write_files(self.folder, {name: png(image) for name, image in zip(names, pictures, strict=True)})
        except OutputError as refusal:  # watching a patient does not end with the disk
            self.add((Finding(Severity.CAUTION, f"The pictures of this leak are lost: {refusal}"),))

    def picture_names(self, number: int) -> tuple[str, str]:
        """The names of a leak's pictures, leaks of all views counted together from 1."""
        stem = f"{file_name(self.leaks[number - 1][0])}-leak-{number}"
        return f"{stem}-first.png", f"{stem}-alarm.png"

    def document(self) -> dict[str, Any]:
        """What was seen and told, as ``leak.json`` holds it."""
        from trocar.io.records import finite, plain

        views = {
            source: {
                "frames": self.frames[source],
                "ended": state.phase.value,
                "cement": plain(state.cement) if state.cement else None,
                "beyond_outline": plain(state.outside) if state.outside else None,
                "says": state.text,
            }
            for source, state in self.last.items()
        }
        leaks = [
            {
                "source": source,
                "zone": leak.zone.value,
                "also": [zone.value for zone in leak.also],
                "first_frame": leak.first_number,
                "first_time_s": leak.first_time_s,
                "alarm_frame": leak.alarm.number,
                "reach_mm": leak.reach_mm,
                "area_mm2": leak.area_mm2,
                "pictures": list(self.picture_names(number)),
            }
            for number, (source, leak) in enumerate(self.leaks, 1)
        ]
        return dict(
            finite(
                {
                    "research_use_only": True,
                    "findings": plain(tuple(self.findings)),
                    "views": views,
                    "leaks": leaks,
                    "alarms": plain(self.alarms),
                }
            )
        )
