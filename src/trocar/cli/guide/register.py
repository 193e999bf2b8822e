"""``trocar guide register``: where the planned vertebra is, and where the mark should be instead."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trocar.cli.guide.shared import path_of, planned, read_runs, some_runs, to_folder
from trocar.cli.shared import A_PATH, NOTICE, REFUSED, Images, Progress, as_json, images, talk

if TYPE_CHECKING:
    from trocar.guidance.drift import Drift
    from trocar.guidance.frames import Frame
    from trocar.guidance.registration import Registration
    from trocar.io.xa import XA
    from trocar.treatment import Plan


@click.command("register")
@click.argument("plan_json", type=A_PATH)
@images
@some_runs
@click.option(
    "--frame", "number", type=click.IntRange(min=0), default=0, show_default=True, help="Which image of each."
)
@to_folder
@as_json
@talk
def register_command(
    plan_json: Path,
    named: Images,
    runs: tuple[Path, ...],
    number: int,
    out: Path,
    json_: bool,
    progress: Progress,
) -> None:
    """Find the planned vertebra in one or two X-ray images, and say how far the mark has drifted.

    Writes registration.json and a picture of each view. A registration that cannot be relied on is written too, marked
    so; the exit code is then 1, and no later command takes it.
    """
    from trocar.guidance.drift import drift
    from trocar.guidance.registration import register
    from trocar.io.case_folder import check_folder, check_writable
    from trocar.io.registration_file import to_json
    from trocar.io.whole import write_files

    folder = check_folder(out, [*named.files, *runs])
    check_writable(folder)
    films = read_runs(runs)
    frames = {name: frame_of(film, name, number) for name, film in films.items()}
    plan = planned(plan_json, named, progress)
    path = path_of(plan)
    with progress.stage(f"looking for {path.level}"):
        found = register(list(frames.values()), plan.anatomy, path.level)
    drifted = drift(path, found) if found.reliable else None
    measures = drifted.measures if drifted else ()
    document = to_json(found, dict.fromkeys(films, number), measures)
    pictures = {f"{name}-registered.png": picture_of(frame, plan, found) for name, frame in frames.items()}
    write_files(folder, {"registration.json": document.encode(), **pictures})
    if json_:
        click.echo(json.dumps(json.loads(document), ensure_ascii=False))
    else:
        show(found, drifted, folder)
    if not found.reliable:
        sys.exit(REFUSED)


def frame_of(film: XA, name: str, number: int) -> Frame:
    """One image of a run; a number beyond its end is a usage error."""
    for frame in film.frames():
        if frame.number == number:
            return frame
    raise click.UsageError(f"--frame {number}: {name} has no image of that number.")


def picture_of(frame: Frame, plan: Plan, found: Registration) -> bytes:
    """The image with the vertebral body's outline as scanned and where it was found."""
    from trocar.guidance.carm import AT_REST
    from trocar.guidance.silhouette import seen_from
    from trocar.reporting.live import ALARMING, MEASURED, PLANNED, TOLD, captioned, outline, png, shown

    picture, scale = shown(frame)
    if frame.view is not None:
        vertebra = plan.anatomy.vertebra(found.level)
        for where, colour in ((AT_REST, PLANNED), (found.displacement, MEASURED)):
            outline(picture, seen_from(frame.view, vertebra, displacement=where).mask, scale, colour)
    sure = ("where it was found", MEASURED) if found.reliable else ("where it was found: NOT RELIABLE", ALARMING)
    return png(
        captioned(picture, [(f"{found.level}, image {frame.number}", TOLD), ("as the CT has it", PLANNED), sure])
    )


def show(found: Registration, drifted: Drift | None, folder: Path) -> None:
    """Print what was found."""
    click.echo(f"{found.level}: {'found' if found.reliable else 'NOT RELIABLE'}, similarity {found.similarity:.2f}")
    for m in (*found.measures, *(drifted.measures if drifted else ())):
        click.echo(f"  {m.name.replace('_', ' ')}: {m}")
    for finding in (*found.findings, *(drifted.findings if drifted else ())):
        click.echo(f"  {finding}")
    click.echo(f"  {folder / 'registration.json'}")
    click.echo(NOTICE)
