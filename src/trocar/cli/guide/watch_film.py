"""Watching a recorded run for leaks, image by image, and drawing the film of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from trocar.cli.guide.shared import CAPTION_ROWS, FILM_HZ, file_name, rate_hz, timed, write_shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trocar.cli.guide.watched import Watched
    from trocar.guidance.frames import Frame
    from trocar.guidance.leak_state import State
    from trocar.io.xa import XA


def watch_film(watch: Watched, name: str, film: XA, no_film: bool) -> None:
    """Watch one recorded run, and write it as a film with outline and verdict drawn on it."""
    count = max(rate_hz(film) / FILM_HZ, 1.0)

    def pictures() -> Iterator[NDArray[np.uint8]]:
        due = 0.0
        for frame, state in watch_run(watch, name, film):
            if not no_film and (watch.frames[name] > due or state.alarms):
                due = watch.frames[name] - 1 + count
                yield picture_of(frame, state, watch)

    drawn = pictures()
    if not no_film:
        watch.folder.mkdir(parents=True, exist_ok=True)
        refused = write_shown(watch.folder / f"{file_name(name)}-watched.mp4", drawn)
        watch.add((refused,) if refused else ())
    for _ in drawn:  # without a film, or after it failed: the images are watched all the same
        pass


def watch_run(watch: Watched, name: str, film: XA) -> Iterator[tuple[Frame, State]]:
    """Watch each image of a run."""
    from trocar.guidance.frames import Alarm, Frame
    from trocar.guidance.stream import checked, played

    for thing in checked(played(timed(film, name))):
        if isinstance(thing, Alarm):
            watch.alarm(thing)
        elif isinstance(thing, Frame):
            yield thing, watch.step(thing)


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
    told = [(f"ALARM: {leak.alarm.finding.text}", ALARMING) for leak in state.leaks[-1:]]
    return captioned(picture, [*lines, *told], CAPTION_ROWS)
