"""``trocar guide track``: where the needle is, how it stands to its plan, and what can be done about it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trocar.cli.guide.shared import (
    CAPTION_ROWS,
    FILM_HZ,
    every,
    file_name,
    no_film,
    once,
    path_of,
    planned,
    rate_hz,
    read_runs,
    registered,
    side_by_side,
    some_runs,
    timed,
    to_folder,
    told_of,
    whereabouts,
    write_shown,
)
from trocar.cli.shared import A_PATH, NOTICE, Images, Progress, as_json, images, talk

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trocar.geometry import Pose
    from trocar.guidance.correction import Correction
    from trocar.guidance.deviation import Planned
    from trocar.guidance.frames import Frame
    from trocar.guidance.tracking import Update
    from trocar.io.registration_file import Registered
    from trocar.io.xa import XA
    from trocar.measure import Finding
    from trocar.planning.trajectory import Trajectory

#: So many alarms are printed; track.json has all.
SHOWN_ALARMS = 6


@click.command("track")
@click.argument("plan_json", type=A_PATH)
@images
@some_runs
@registered
@click.option(
    "--until",
    "until_s",
    type=click.FloatRange(min=0.0, min_open=True),
    help="Follow to this second of the runs only.",
)
@to_folder
@no_film
@as_json
@talk
def track_command(
    plan_json: Path,
    named: Images,
    runs: tuple[Path, ...],
    registration: Path | None,
    until_s: float | None,
    out: Path,
    no_film: bool,
    json_: bool,
    progress: Progress,
) -> None:
    """Follow the planned needle through one or two X-ray runs: deviation, where it will end, and the correction.

    Two runs are taken as filmed at the same time (biplane). The vertebra is taken to stay where it was registered:
    breathing shows as deviation. A tip in cement is not seen; a needle-wide strand of it straight ahead of the tip may
    be taken for needle. Writes track.json, and for each run a film and a last picture.
    """
    from trocar.guidance.correction import correct
    from trocar.guidance.deviation import Planned, approach_of
    from trocar.guidance.tracking import Following, track
    from trocar.io.case_folder import check_folder, check_writable
    from trocar.io.whole import write_files

    if until_s is not None and not until_s > 0.0:  # the range lets pass what is no number
        raise click.UsageError(f"--until {until_s}: give seconds of the runs, more than 0.")
    folder = check_folder(out, [*named.files, *runs])
    check_writable(folder)
    films = read_runs(runs)
    plan = planned(plan_json, named, progress)
    path = path_of(plan)
    where = whereabouts(registration, plan)
    findings = once(where.findings, told_of(films.values(), plan))
    followed = Planned.on(path, plan.anatomy, plan.procedure.margins(approach_of(path)))
    following = Following(followed, dict.fromkeys(films, where.displacement), where.sd_mm)
    with progress.stage("following the needle"):
        updates = list(track(until(side_by_side(films), until_s), following))
    last = next((u for u in reversed(updates) if u.deviation is not None), None)
    current = last is not None and last.tip is not None and not gone(last, updates)
    advice = correct(last.tip, followed) if current else None  # type: ignore[union-attr, arg-type]
    told = document(updates, last, advice, findings)
    write_files(folder, {"track.json": json.dumps(told, ensure_ascii=False).encode()})
    for name, film in films.items():
        pictures = Filming(film, name, until_s, {u.number: u for u in updates if u.source == name}, path, where)
        with progress.stage(f"{'drawing' if no_film else 'filming'} {name}"):
            findings += pictures.write(folder, no_film)
    if json_:
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        show(updates, last, followed, advice, findings, folder)


def until(frames: Iterator[Frame], until_s: float | None) -> Iterator[Frame]:
    """The frames up to a second of their own clocks, that included."""
    return frames if until_s is None else itertools.takewhile(lambda frame: frame.time_s <= until_s, frames)


@dataclass(frozen=True)
class Filming:
    """A run to be drawn with what was planned and measured."""

    film: XA
    name: str
    until_s: float | None
    updates: dict[int, Update]
    path: Trajectory
    where: Registered

    def write(self, folder: Path, no_film: bool) -> tuple[Finding, ...]:
        """Write the last image with a needle as a picture, and a film unless told not to; what became of it."""
        from trocar.io.whole import write_files
        from trocar.reporting.live import png

        stem = file_name(self.name)
        write_files(folder, {f"{stem}-tracked.png": png(self.picture(self.last()))})
        if no_film:
            return ()
        shown = every(self.frames(), rate_hz(self.film) / FILM_HZ)
        refused = write_shown(folder / f"{stem}-tracked.mp4", (self.picture(frame) for frame in shown))
        return (refused,) if refused else ()

    def frames(self) -> Iterator[Frame]:
        """The images that were looked at."""
        return until(timed(self.film, self.name), self.until_s)

    def last(self) -> Frame:
        """The last image in which the needle was seen; the first where it never was."""
        seen = [number for number, update in self.updates.items() if update.sighting is not None]
        number = max(seen, default=0)
        return next(frame for frame in self.frames() if frame.number == number)

    def picture(self, frame: Frame) -> NDArray[np.uint8]:
        """One image with what was planned and measured on it."""
        return picture_of(frame, self.updates.get(frame.number), self.path, self.where.displacement)


def picture_of(frame: Frame, update: Update | None, path: Trajectory, displacement: Pose) -> NDArray[np.uint8]:
    """One image with the planned path where the vertebra now lies, and the needle where it was seen."""
    import numpy as np

    from trocar.reporting.live import MEASURED, PLANNED, TOLD, captioned, cross, polyline, shown

    picture, scale = shown(frame)
    planned_says = "planned path"
    if frame.view is not None:
        points = displacement.to_world(np.stack((path.skin_mm, path.target_mm)))
        if not polyline(picture, frame.view.project(points), scale, PLANNED, width=3):
            planned_says += " - outside this image"
    seen = update.sighting if update is not None else None
    if seen is not None:
        polyline(picture, np.stack((seen.tip_px - seen.length_px * seen.way, seen.tip_px)), scale, MEASURED)
        cross(picture, seen.tip_px, scale, MEASURED)
    said = "not looked at" if update is None else update.text or update.state.value
    lines = [(f"{frame.source}, image {frame.number}, {frame.time_s:.1f} s", TOLD), (planned_says, PLANNED)]
    return captioned(picture, [*lines, (f"needle: {said}", MEASURED)], CAPTION_ROWS)


def document(
    updates: list[Update], last: Update | None, advice: Correction | None, findings: tuple[Finding, ...]
) -> dict[str, Any]:
    """What was found, as ``track.json`` holds it."""
    from trocar.io.records import finite, plain

    deviation = last.deviation if last is not None else None
    rows = [
        {
            "source": u.source,
            "number": u.number,
            "time_s": u.time_s,
            "state": u.state.value,
            "tip_mm": None if u.tip is None else plain(u.tip.tip_mm),
            "direction": None if u.tip is None else plain(u.tip.direction),
            "text": u.text,
        }
        for u in updates
    ]
    return dict(
        finite(
            {
                "research_use_only": True,
                "frame": "LPS of the CT, mm",
                "findings": plain(findings + (deviation.findings if deviation is not None else ())),
                "alarms": plain([a for u in updates for a in u.alarms]),
                "deviation": plain(deviation.measures) if deviation is not None else None,
                "correction": advice.text if advice is not None else None,
                "updates": rows,
            }
        )
    )


def gone(last: Update, updates: list[Update]) -> bool:
    """Whether the needle was last seen so long before the end that nothing can be advised."""
    from trocar.guidance.tracking import LOST_S

    return updates[-1].time_s - last.time_s > LOST_S


def show(
    updates: list[Update],
    last: Update | None,
    planned: Planned,
    advice: Correction | None,
    findings: tuple[Finding, ...],
    folder: Path,
) -> None:
    """Print alarms, the last deviation and what can be done."""
    from trocar.guidance.deviation import spoken, tightest

    for finding in findings:
        click.echo(f"{finding}")
    alarms = [a for u in updates for a in u.alarms]
    for alarm in alarms[:SHOWN_ALARMS]:
        click.echo(f"ALARM at {alarm.time_s:.1f} s, image {alarm.number} of {alarm.source}: {alarm.finding.text}")
    if len(alarms) > SHOWN_ALARMS:
        click.echo(f"  and {len(alarms) - SHOWN_ALARMS} alarms more, in track.json")
    seen = sum(u.tip is not None for u in updates)
    click.echo(f"needle measured in {seen} of {len(updates)} images")
    if last is None or last.deviation is None:
        click.echo(f"  {updates[-1].text}" if updates else "  there was no image")
    else:
        if gone(last, updates):
            click.echo(f"  NOT SEEN since {last.time_s:.1f} s: what follows is of then, not of now")
        click.echo(f"  at {last.time_s:.1f} s: {spoken(last.deviation, planned)}")
        told = [m for m in last.deviation.measures if not m.name.startswith("clearance_")]
        for m in (*told, *tightest(last.deviation)):
            click.echo(f"  {m.name.replace('_', ' ')}: {m}")
        for finding in last.deviation.findings:
            click.echo(f"  {finding}")
    if advice is not None:
        click.echo(f"  {advice.text}")
    click.echo(f"  {folder / 'track.json'}")
    click.echo(NOTICE)
