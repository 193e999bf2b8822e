"""Watching a live source for leaks: a grabber's folder, a camera, an OpenIGTLink server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from trocar.cli.guide.watched import Watched
    from trocar.guidance.carm import CArm
    from trocar.guidance.frames import Alarm, Frame, Stamped
    from trocar.guidance.live import Live
    from trocar.io.recording import Recorder
    from trocar.io.xa import XA

#: The port that OpenIGTLink's programs agree on, and the last there is.
DEFAULT_PORT, LAST_PORT = 18944, 65535


def watch_live(watch: Watched, source: Live, view: CArm, record: Path | None, expected: tuple[str, ...]) -> None:
    """Watch a live source until it ends or Ctrl-C; what comes and what is told is recorded where that was asked for."""
    from trocar.guidance.frames import Alarm, Frame
    from trocar.io.recording import Recorder

    refused: set[str] = set()
    with ExitStack() as stack, suppress(KeyboardInterrupt):
        recorder = stack.enter_context(Recorder(record, expected=expected)) if record is not None else None
        for thing in live_things(source, recorder, expected):
            if isinstance(thing, Alarm):
                watch.alarm(thing)
            elif isinstance(thing, Frame):
                frame = thing if thing.view is not None else replace(thing, view=view)
                if frame.source in refused or not fits(frame):
                    alarms: tuple[Alarm, ...] = () if frame.source in refused else (other_size(frame),)
                    refused.add(frame.source)
                    for alarm in alarms:
                        watch.alarm(alarm)
                else:
                    alarms = watch.step(frame).alarms
                if recorder is not None:
                    tell(recorder, alarms)


def live_things(source: Live, recorder: Recorder | None, expected: tuple[str, ...]) -> Iterator[Stamped | Alarm]:
    """What comes, checked; recorded too where that was asked for."""
    from trocar.guidance.stream import checked
    from trocar.io.recording import watched

    if recorder is None:
        return checked(source.events(), expected=expected)
    return watched(source.events(), recorder)


def tell(recorder: Recorder, alarms: Iterable[Alarm]) -> None:
    """Record the monitor's alarms; a disk that is full was told by the chain, and the watch goes on."""
    from trocar.errors import OutputError

    with suppress(OutputError):
        for alarm in alarms if recorder.refused is None else ():
            recorder.tell(alarm)


def fits(frame: Frame) -> bool:
    """Whether an image has the pixels of the C-arm that it is taken to be of."""
    return frame.view is None or frame.image.shape == frame.view.detector.shape


def other_size(frame: Frame) -> Alarm:
    """What to tell of a source whose images are not those of the geometry."""
    from trocar.guidance.frames import Alarm, AlarmKind
    from trocar.measure import Finding, Severity

    assert frame.view is not None
    sizes = [f"{rows} x {columns}" for rows, columns in (frame.image.shape[:2], frame.view.detector.shape)]
    text = (
        f"Images of {frame.source} have {sizes[0]} pixels, the run given as --geometry {sizes[1]}: they are not "
        "watched. Give a run of the same size."
    )
    return Alarm(AlarmKind.CHANGED, frame.time_s, frame.number, frame.source, Finding(Severity.STOP, text))


def where_it_stands(film: XA) -> CArm:
    """Where the C-arm stands, by a run taken there; raises :class:`trocar.errors.ImageError` otherwise."""
    from trocar.errors import ImageError

    view = film.view(0)
    if view is None:
        raise ImageError(
            f"{film.file.name}, given as --geometry, does not say where its isocentre lies in the patient: give a run "
            "that does."
        )
    return view


def address_of(igtl: str) -> tuple[str, int]:
    """Host and port of an OpenIGTLink server; what is no such thing is a usage error."""
    host, _, port = igtl.partition(":")
    if not host or (port and not (port.isdecimal() and 1 <= int(port) <= LAST_PORT)) or igtl.endswith(":"):
        raise click.UsageError(f"--igtl {igtl}: write host or host:port, for instance 192.168.1.5:{DEFAULT_PORT}.")
    return host, int(port or DEFAULT_PORT)


def live_source(folder: Path | None, camera: str | None, address: tuple[str, int] | None, view: CArm) -> Live:
    """What is watched live."""
    if folder is not None:
        from trocar.io.frame_folder import FolderFrames

        return FolderFrames(folder, view=view, name=folder.resolve().name or "folder")
    if camera is not None:
        from trocar.io.capture import Capture

        return Capture(int(camera) if camera.isdecimal() else camera, view=view)
    from trocar.io.igtl import connect

    assert address is not None
    return connect(*address)
