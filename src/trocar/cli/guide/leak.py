"""``trocar guide leak``: watch an injection for cement outside the vertebra, in a recorded run or live."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trocar.cli.guide.shared import (
    path_of,
    planned,
    rate_hz,
    read_runs,
    registered,
    some_runs,
    timed,
    to_folder,
    whereabouts,
)
from trocar.cli.shared import A_PATH, NOTICE, Images, Progress, as_json, images, talk

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trocar.guidance.carm import CArm
    from trocar.guidance.frames import Alarm, Frame
    from trocar.guidance.leak_state import Leak, State
    from trocar.guidance.live import Live
    from trocar.guidance.silhouette import Silhouette
    from trocar.io.registration_file import Registered
    from trocar.io.xa import XA
    from trocar.treatment import Plan

#: A film to look at shows so many pictures a second.
FILM_HZ = 5.0
DEFAULT_PORT = 18944


@click.command("leak")
@click.argument("plan_json", type=A_PATH)
@images
@some_runs
@click.option("--folder", type=A_PATH, help="Live: a folder into which a frame grabber writes images.")
@click.option("--camera", help="Live: a capture device's number, or an rtsp:// or http:// address.")
@click.option(
    "--igtl", help=f"Live: host or host:port of an OpenIGTLink server that sends images (port {DEFAULT_PORT})."
)
@click.option("--geometry", type=A_PATH, help="Live: a DICOM X-ray run taken with the C-arm where it is now.")
@click.option("--record", type=A_PATH, help="Live: record everything that comes, and the alarms, into this new file.")
@registered
@to_folder
@as_json
@talk
def leak_command(
    plan_json: Path,
    named: Images,
    runs: tuple[Path, ...],
    folder: Path | None,
    camera: str | None,
    igtl: str | None,
    geometry: Path | None,
    record: Path | None,
    registration: Path | None,
    out: Path,
    json_: bool,
    progress: Progress,
) -> None:
    """Watch an injection on fluoroscopy and alarm when cement is seen outside the vertebral body.

    Start it two seconds or more before the cement comes. It never says that there is no leak: it says what was seen,
    what this view cannot show, and how little cement may be missed. Writes leak.json, pictures of each alarm, and for
    a recorded run a film. Live, Ctrl-C ends the watch.
    """
    from trocar.io.case_folder import check_folder, check_writable
    from trocar.io.whole import write_files

    live = [source for source in (folder, camera, igtl) if source is not None]
    if bool(runs) is bool(live) or len(live) > 1:
        raise click.UsageError(
            "give what to watch once: --run (recorded), or one of --folder, --camera, --igtl (live)."
        )
    target = check_folder(out, [*named.files, *runs, *(p for p in (folder,) if p)])
    check_writable(target)
    films = read_runs(runs) if runs else {}
    view = geometry_of(geometry) if live else None
    plan = planned(plan_json, named, progress)
    where = whereabouts(registration, plan)
    watch = Watched(plan, where, target, quiet=json_)
    for finding in where.findings:
        watch.say(str(finding))
    if view is not None:
        with progress.stage("watching; Ctrl-C ends it"), live_source(folder, camera, igtl, view) as source:
            watch_live(watch, source, view, record)
    for name, film in films.items():
        with progress.stage(f"watching {name}"):
            watch_film(watch, name, film)
    told = watch.document()
    write_files(target, {"leak.json": json.dumps(told, ensure_ascii=False).encode()})
    if json_:
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        show(watch, target)


@dataclass
class Watched:
    """One session: a monitor for each source, and what was told so far."""

    plan: Plan
    where: Registered
    folder: Path
    quiet: bool = False
    monitors: dict[str, Any] = field(default_factory=dict)
    outlines: dict[str, Silhouette] = field(default_factory=dict)
    last: dict[str, State] = field(default_factory=dict)
    frames: dict[str, int] = field(default_factory=dict)
    alarms: list[Alarm] = field(default_factory=list)
    leaks: list[tuple[str, Leak]] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Tell at once, unless one JSON object is asked for."""
        if not self.quiet:
            click.echo(text)

    def alarm(self, alarm: Alarm) -> None:
        """Tell an alarm, and remember it."""
        self.alarms.append(alarm)
        word = "over" if alarm.over else "ALARM"
        self.say(f"{word} at {alarm.time_s:.1f} s, image {alarm.number} of {alarm.source}: {alarm.finding.text}")

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
            self.picture(frame.source, known + 1, leak)
        self.last[frame.source] = state
        self.frames[frame.source] = self.frames.get(frame.source, 0) + 1
        return state

    def outline(self, frame: Frame) -> Silhouette:
        """The vertebra's outline in the view of a frame."""
        from trocar.errors import ImageError
        from trocar.geometry import Line
        from trocar.guidance.silhouette import seen_from

        if frame.view is None:
            raise ImageError(
                f"image {frame.number} of {frame.source} does not say where the C-arm stood: give --geometry with a "
                "run that does."
            )
        path, moved = path_of(self.plan), self.where.displacement
        tip = moved.to_world(path.target_mm)
        needle = Line(tip, tip - moved.to_world(path.skin_mm))
        anatomy = self.plan.anatomy
        found = seen_from(frame.view, anatomy.vertebra(path.level), anatomy.structures, moved, needle)
        self.outlines[frame.source] = found
        return found

    def picture(self, source: str, number: int, leak: Leak) -> None:
        """Write the two pictures of a leak: when it first stood out, and when it was told."""
        from trocar.io.whole import write_files
        from trocar.reporting.live import png

        stem = f"{source}-leak-{number}"
        pictures = {"first": leak.first_picture, "alarm": leak.alarm_picture}
        write_files(self.folder, {f"{stem}-{when}.png": png(image) for when, image in pictures.items()})

    def document(self) -> dict[str, Any]:
        """What was seen and told, as ``leak.json`` holds it."""
        from trocar.io.records import finite, plain

        views = {
            source: {
                "frames": self.frames[source],
                "ended": state.phase.value,
                "cement": plain(state.cement) if state.cement else None,
                "outside": plain(state.outside) if state.outside else None,
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
            }
            for source, leak in self.leaks
        ]
        return dict(
            finite(
                {
                    "research_use_only": True,
                    "findings": plain(self.where.findings),
                    "views": views,
                    "leaks": leaks,
                    "alarms": plain(self.alarms),
                }
            )
        )


def watch_film(watch: Watched, name: str, film: XA) -> None:
    """Watch one recorded run, and write it as a film with outline and verdict drawn on it."""
    from trocar.guidance.frames import Alarm, Frame
    from trocar.guidance.stream import checked, played
    from trocar.io.film import write_film

    count = max(rate_hz(film) / FILM_HZ, 1.0)

    def pictures() -> Iterator[NDArray[np.uint8]]:
        due = 0.0
        for thing in checked(played(timed(film, name))):
            if isinstance(thing, Alarm):
                watch.alarm(thing)
            elif isinstance(thing, Frame):
                state = watch.step(thing)
                if watch.frames[name] > due or state.alarms:
                    due = watch.frames[name] - 1 + count
                    yield picture_of(thing, state, watch)

    watch.folder.mkdir(parents=True, exist_ok=True)
    write_film(watch.folder / f"{name}-watched.mp4", pictures(), FILM_HZ)


def watch_live(watch: Watched, source: Live, view: CArm, record: Path | None) -> None:
    """Watch a live source until it ends or Ctrl-C; what comes and what is told is recorded where that was asked for."""
    from trocar.guidance.frames import Alarm, Frame
    from trocar.guidance.stream import checked
    from trocar.io.recording import Recorder, watched

    with ExitStack() as stack, suppress(KeyboardInterrupt):
        recorder = stack.enter_context(Recorder(record)) if record is not None else None
        things = checked(source.events()) if recorder is None else watched(source.events(), recorder)
        for thing in things:
            if isinstance(thing, Alarm):
                watch.alarm(thing)
            elif isinstance(thing, Frame):
                state = watch.step(thing if thing.view is not None else replace(thing, view=view))
                for alarm in state.alarms if recorder is not None and recorder.refused is None else ():
                    recorder.tell(alarm)  # type: ignore[union-attr]


def picture_of(frame: Frame, state: State, watch: Watched) -> NDArray[np.uint8]:
    """One image with the vertebra's outline where it is now, and what the monitor says."""
    from trocar.guidance.leak_state import Phase
    from trocar.reporting.live import ALARMING, MEASURED, TOLD, captioned, outline, shown

    picture, scale = shown(frame)
    if state.motion is not None:
        mask = watch.outlines[frame.source].mask
        outline(picture, mask, scale, ALARMING if state.leaks else MEASURED, state.motion.shift_px)
    amount = f"cement in view: {state.cement}" if state.cement else ""
    said = amount if state.phase is Phase.WATCHING else f"the monitor {state.phase.value}"
    lines = [(f"{frame.source}, image {frame.number}, {frame.time_s:.1f} s", TOLD), (said, MEASURED)]
    told = f"ALARM: cement {state.leaks[-1].zone.value}" if state.leaks else ""
    return captioned(picture, [*lines, (told, ALARMING)])


def geometry_of(path: Path | None) -> CArm:
    """Where the C-arm stands, from a run taken there; without one, a usage error."""
    from trocar.io.xa import read_xa

    if path is None:
        raise click.UsageError("--geometry: a live image does not say where the C-arm stands; give a run taken there.")
    view = read_xa(path, needs_geometry=True).view(0)
    if view is None:
        raise click.UsageError(f"--geometry: {path} does not say where its isocentre lies in the patient.")
    return view


def live_source(folder: Path | None, camera: str | None, igtl: str | None, view: CArm | None) -> Live:
    """What is watched live."""
    if folder is not None:
        from trocar.io.frame_folder import FolderFrames

        return FolderFrames(folder, view=view)
    if camera is not None:
        from trocar.io.capture import Capture

        return Capture(int(camera) if camera.isdecimal() else camera, view=view)
    from trocar.io.igtl import connect

    host, _, port = str(igtl).partition(":")
    if port and not port.isdecimal():
        raise click.UsageError(f"--igtl {igtl}: write host or host:port, for instance 192.168.1.5:{DEFAULT_PORT}.")
    return connect(host, int(port or DEFAULT_PORT))


def show(watch: Watched, folder: Path) -> None:
    """Print how each view ended, and what it cannot show."""
    for source, state in watch.last.items():
        click.echo(f"{source}, {watch.frames[source]} images: {state.text}")
        if state.leaks and state.sight is not None:
            click.echo(f"  {state.sight.text}")
    click.echo(f"  {folder / 'leak.json'}")
    click.echo(NOTICE)
