"""``trocar guide leak``: watch an injection for cement outside the vertebra, in a recorded run or live."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from trocar.cli.guide.shared import (
    no_film,
    once,
    planned,
    read_run,
    read_runs,
    registered,
    some_runs,
    to_folder,
    told_of,
    whereabouts,
)
from trocar.cli.guide.watch_film import watch_film
from trocar.cli.guide.watch_live import DEFAULT_PORT, address_of, live_source, watch_live, where_it_stands
from trocar.cli.guide.watched import Watched
from trocar.cli.shared import A_PATH, NOTICE, Images, Progress, as_json, images, talk


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
@no_film
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
    no_film: bool,
    json_: bool,
    progress: Progress,
) -> None:
    """Watch an injection on fluoroscopy and alarm when cement is seen outside the vertebral body.

    Start it two seconds or more before the cement comes. It never says that there is no leak: it says what was seen,
    what this view cannot show, and how little cement may be missed. Writes leak.json, pictures of each alarm, and for
    a recorded run a film. Live, Ctrl-C ends the watch.
    """
    from trocar.io.case_folder import check_folder, check_writable

    check_sources(runs, [s for s in (folder, camera, igtl) if s is not None], geometry, record)
    target = check_folder(out, [*named.files, *runs, *(p for p in (folder,) if p)])
    check_writable(target)
    films = read_runs(runs) if runs else {}
    stands = read_run(geometry) if geometry is not None else None
    view = where_it_stands(stands) if stands is not None else None
    address = address_of(igtl) if igtl is not None else None
    plan = planned(plan_json, named, progress)
    where = whereabouts(registration, plan)
    told = told_of([*films.values(), *([stands] if stands is not None else [])], plan)
    watch = Watched(plan, where, target, list(once(where.findings, told)), on_error=json_)
    for finding in watch.findings:
        watch.say(str(finding))
    with watch.written():
        if view is not None:
            with (
                live_source(folder, camera, address, view) as source,
                progress.stage("watching; Ctrl-C ends it"),
            ):
                watch_live(watch, source, view, record, () if address else (source.name,))
        for name, film in films.items():
            with progress.stage(f"watching {name}"):
                watch_film(watch, name, film, no_film)
    if json_:
        click.echo(json.dumps(watch.document(), ensure_ascii=False))
    else:
        show(watch, target)


def check_sources(runs: tuple[Path, ...], live: list[Any], geometry: Path | None, record: Path | None) -> None:
    """Refuse what does not go together as a usage error."""
    if bool(runs) is bool(live) or len(live) > 1:
        raise click.UsageError(
            "give what to watch once: --run (recorded), or one of --folder, --camera, --igtl (live)."
        )
    if live and geometry is None:
        raise click.UsageError("--geometry: a live image does not say where the C-arm stood; give a run taken there.")
    if runs and (geometry or record):
        given = "--geometry" if geometry else "--record"
        raise click.UsageError(f"{given} is for --folder, --camera and --igtl: a run has its geometry and is recorded.")


def show(watch: Watched, folder: Path) -> None:
    """Print how each view ended, and what it cannot show."""
    if not watch.last:
        click.echo("no image was watched")
    for source, state in watch.last.items():
        click.echo(f"{source}, {watch.frames[source]} images: {state.text}")
        if state.leaks and state.sight is not None:
            click.echo(f"  {state.sight.text}")
    click.echo(f"  {folder / 'leak.json'}")
    click.echo(NOTICE)
