"""``trocar guide track``: where the needle is, how it stands to its plan, and what can be done about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trocar.cli.guide.shared import (
    every,
    path_of,
    planned,
    rate_hz,
    read_runs,
    registered,
    side_by_side,
    some_runs,
    timed,
    to_folder,
    whereabouts,
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
    from trocar.io.xa import XA
    from trocar.measure import Finding
    from trocar.planning.trajectory import Trajectory

#: So many pictures a second in a film to look at.
FILM_HZ = 5.0


@click.command("track")
@click.argument("plan_json", type=A_PATH)
@images
@some_runs
@registered
@to_folder
@as_json
@talk
def track_command(
    plan_json: Path,
    named: Images,
    runs: tuple[Path, ...],
    registration: Path | None,
    out: Path,
    json_: bool,
    progress: Progress,
) -> None:
    """Follow the planned needle through one or two X-ray runs: deviation, where it will end, and the correction.

    Two runs are taken as filmed at the same time (biplane). Writes track.json, and for each run a film and a
    last picture.
    """
    from trocar.guidance.correction import correct
    from trocar.guidance.deviation import Planned, approach_of
    from trocar.guidance.tracking import Following, track
    from trocar.io.case_folder import check_folder, check_writable
    from trocar.io.whole import write_files

    folder = check_folder(out, [*named.files, *runs])
    check_writable(folder)
    films = read_runs(runs)
    plan = planned(plan_json, named, progress)
    path = path_of(plan)
    where = whereabouts(registration, plan)
    followed = Planned.on(path, plan.anatomy, plan.procedure.margins(approach_of(path)))
    following = Following(followed, dict.fromkeys(films, where.displacement), where.sd_mm)
    with progress.stage("following the needle"):
        updates = list(track(side_by_side(films), following))
    last = next((u for u in reversed(updates) if u.deviation is not None), None)
    advice = correct(last.tip, followed) if last is not None and last.tip is not None else None
    told = document(updates, last, advice, where.findings)
    pictures = {}
    for name, film in films.items():
        mine = {u.number: u for u in updates if u.source == name}
        with progress.stage(f"filming {name}"):
            pictures[f"{name}-tracked.png"] = filmed(folder, name, film, mine, path, where.displacement)
    write_files(folder, {"track.json": json.dumps(told, ensure_ascii=False).encode(), **pictures})
    if json_:
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        show(updates, last, followed, advice, where.findings, folder)


def filmed(
    folder: Path, name: str, film: XA, updates: dict[int, Update], path: Trajectory, displacement: Pose
) -> bytes:
    """Write a film of a run with what was planned and measured drawn on it; gives the last picture with a needle."""
    from trocar.io.film import write_film
    from trocar.reporting.live import png

    last: list[NDArray[np.uint8]] = []

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for frame in every(timed(film, name), rate_hz(film) / FILM_HZ):
            update = updates.get(frame.number)
            picture = picture_of(frame, update, path, displacement)
            if not last or (update is not None and update.sighting is not None):
                last[:] = [picture]
            yield picture

    folder.mkdir(parents=True, exist_ok=True)
    write_film(folder / f"{name}-tracked.mp4", pictures(), FILM_HZ)
    return png(last[0])


def picture_of(frame: Frame, update: Update | None, path: Trajectory, displacement: Pose) -> NDArray[np.uint8]:
    """One image with the planned path where the vertebra now lies, and the needle where it was seen."""
    import numpy as np

    from trocar.reporting.live import MEASURED, PLANNED, TOLD, captioned, cross, polyline, shown

    picture, scale = shown(frame)
    if frame.view is not None:
        points = displacement.to_world(np.stack((path.skin_mm, path.target_mm)))
        polyline(picture, frame.view.project(points), scale, PLANNED)
    seen = update.sighting if update is not None else None
    if seen is not None:
        polyline(picture, np.stack((seen.tip_px - seen.length_px * seen.way, seen.tip_px)), scale, MEASURED, width=2)
        cross(picture, seen.tip_px, scale, MEASURED)
    said = "not looked at" if update is None else update.text or update.state.value
    lines = [(f"{frame.source}, image {frame.number}, {frame.time_s:.1f} s", TOLD), ("planned path", PLANNED)]
    return captioned(picture, [*lines, (f"needle: {said}", MEASURED)])


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


def show(
    updates: list[Update],
    last: Update | None,
    planned: Planned,
    advice: Correction | None,
    findings: tuple[Finding, ...],
    folder: Path,
) -> None:
    """Print alarms, the last deviation and what can be done."""
    from trocar.guidance.deviation import spoken

    for finding in findings:
        click.echo(f"{finding}")
    for alarm in (a for u in updates for a in u.alarms):
        click.echo(f"ALARM at {alarm.time_s:.1f} s, image {alarm.number} of {alarm.source}: {alarm.finding.text}")
    seen = sum(u.tip is not None for u in updates)
    click.echo(f"needle measured in {seen} of {len(updates)} images")
    if last is None or last.deviation is None:
        click.echo(f"  {updates[-1].text}" if updates else "  there was no image")
    else:
        click.echo(f"  at {last.time_s:.1f} s: {spoken(last.deviation, planned)}")
        for m in last.deviation.measures:
            click.echo(f"  {m.name.replace('_', ' ')}: {m}")
        for finding in last.deviation.findings:
            click.echo(f"  {finding}")
    if advice is not None:
        click.echo(f"  {advice.text}")
    click.echo(f"  {folder / 'track.json'}")
    click.echo(NOTICE)
