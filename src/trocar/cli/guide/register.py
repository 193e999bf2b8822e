"""``trocar guide register``: where the planned vertebra is, and where the mark should be instead."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trocar.cli.guide.shared import path_of, planned, read_runs, some_runs, to_folder, told_of
from trocar.cli.shared import A_PATH, NOTICE, REFUSED, Images, Progress, as_json, images, talk

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trocar.anatomy.levels import Level
    from trocar.geometry import Pose
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
    from trocar.io.registration_file import scan_digest, to_json
    from trocar.io.whole import write_files

    folder = check_folder(out, [*named.files, *runs])
    check_writable(folder)
    films = read_runs(runs)
    frames = {name: frame_of(film, name, number) for name, film in films.items()}
    plan = planned(plan_json, named, progress)
    path, told = path_of(plan), told_of(films.values(), plan)
    with progress.stage(f"looking for {path.level}"):
        found = register(list(frames.values()), plan.anatomy, path.level)
    found = replace(found, findings=(*found.findings, *told))
    drifted = drift(path, found) if found.reliable else None
    measures = drifted.measures if drifted else ()
    document = to_json(found, dict.fromkeys(films, number), measures, scan_digest(plan.anatomy.ct))
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
    if number >= len(film):
        raise click.UsageError(f"--frame {number}: {name} has images 0 to {len(film) - 1}.")
    return next(replace(frame, source=name) for frame in film.frames() if frame.number == number)


def picture_of(frame: Frame, plan: Plan, found: Registration) -> bytes:
    """The image with the vertebral body's outline as scanned (broad) and where it was found (narrow)."""
    from trocar.guidance.carm import AT_REST
    from trocar.reporting.live import ALARMING, MEASURED, PLANNED, TOLD, captioned, outline, png, shown

    picture, scale = shown(frame)
    colour = MEASURED if found.reliable else ALARMING
    lines = [(f"{frame.source}, image {frame.number}: body of {found.level}", TOLD)]
    says = "where it was found" if found.reliable else "where it was found: NOT RELIABLE"
    for where, its_colour, width, said in (
        (AT_REST, PLANNED, 3, "as the CT has it"),
        (found.displacement, colour, 1, says),
    ):
        mask = body_in(frame, plan, found.level, where)
        seen = mask is not None and outline(picture, mask, scale, its_colour, width=width)
        lines.append((said if seen else f"{said} - outside this image", its_colour))
    return png(captioned(picture, lines))


def body_in(frame: Frame, plan: Plan, level: Level, where: Pose) -> NDArray[np.bool_] | None:
    """The body's mask in an image; None where it lies outside."""
    from trocar.errors import ImageError
    from trocar.guidance.silhouette import seen_from

    if frame.view is None:
        return None
    try:
        return seen_from(frame.view, plan.anatomy.vertebra(level), displacement=where).mask
    except ImageError:
        return None


def show(found: Registration, drifted: Drift | None, folder: Path) -> None:
    """Print what was found."""
    click.echo(f"{found.level}: {'found' if found.reliable else 'NOT RELIABLE'}, similarity {found.similarity:.2f}")
    for m in (*found.measures, *(drifted.measures if drifted else ())):
        click.echo(f"  {m.name.replace('_', ' ')}: {m}")
    for finding in (*found.findings, *(drifted.findings if drifted else ())):
        click.echo(f"  {finding}")
    click.echo(f"  {folder / 'registration.json'}")
    click.echo(NOTICE)
