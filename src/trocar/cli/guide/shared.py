"""What the guide's commands share: the plan on its patient, the runs, and where the vertebra is in them."""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trocar.cli.shared import A_PATH, Images, Progress, with_its_images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trocar.guidance.frames import Frame
    from trocar.io.registration_file import Registered
    from trocar.io.xa import XA
    from trocar.measure import Finding
    from trocar.planning.trajectory import Trajectory
    from trocar.treatment import Plan

#: More runs than this are not looked at side by side.
MOST_RUNS = 2
#: The pace of a run that does not say its times, images/s: common for pulsed fluoroscopy.
UNTIMED_HZ = 15.0
#: A film to look at shows so many pictures a second: VP9, which browsers play, takes most of a command's time.
FILM_HZ = 5.0
#: Rows of text below each picture of a film: all pictures of a film are of one size.
CAPTION_ROWS = 6

to_folder = click.option("-o", "--out", required=True, type=A_PATH, help="Folder for what is found.")
some_runs = click.option(
    "-r", "--run", "runs", multiple=True, type=A_PATH, help="DICOM X-ray run; repeat for the second view."
)
no_film = click.option("--no-film", is_flag=True, help="No film to look at: encoding it takes most of the time.")
registered = click.option(
    "--registration", type=A_PATH, help="registration.json of 'trocar guide register': where the vertebra is."
)


def planned(plan_json: Path, named: Images, progress: Progress) -> Plan:
    """A plan that was read back with its images, its paths measured again on them."""
    from trocar.io.plan_check import check_paths
    from trocar.io.plan_file import read_plan

    return check_paths(with_its_images(read_plan(plan_json), named, progress))


def path_of(plan: Plan) -> Trajectory:
    """The first needle of the plan's best option; a plan without one is a usage error."""
    if not plan.options or not plan.best.trajectories:
        raise click.UsageError(f"this plan of {plan.procedure.name} has no needle path: there is nothing to follow.")
    return plan.best.trajectories[0]


def read_runs(paths: tuple[Path, ...]) -> dict[str, XA]:
    """The runs by the names of their files, without the ending; none, or more than two, is a usage error."""
    if not 1 <= len(paths) <= MOST_RUNS:
        raise click.UsageError(f"{len(paths)} runs were given: give --run once, or twice for two views.")
    names = [path.stem for path in paths]
    if len({name.casefold() for name in names}) < len(names):
        raise click.UsageError(f"both runs are called {names[0]}: rename one, results are told by these names.")
    return {path.stem: read_run(path) for path in paths}


def read_run(path: Path) -> XA:
    """A run with its geometry; raises :class:`trocar.errors.ImageError` where it speaks against itself."""
    from trocar.errors import ImageError
    from trocar.io.xa import read_xa
    from trocar.measure import Severity

    film = read_xa(path, needs_geometry=True)
    for finding in film.findings:
        if finding.severity is Severity.STOP:
            raise ImageError(finding.text)
    return film


def told_of(films: Iterable[XA], plan: Plan) -> tuple[Finding, ...]:
    """What the runs' headers leave open; raises :class:`trocar.errors.FrameMismatchError` for runs of another CT."""
    from trocar.errors import FrameMismatchError

    here = plan.anatomy.ct.frame_of_reference
    films = tuple(films)
    for film in films:
        if film.isocentres_mm is not None and here and film.frame_of_reference and here != film.frame_of_reference:
            raise FrameMismatchError(
                f"{film.file.name} places its C-arm in another CT than this one (their frames of reference differ): "
                "give the runs of this patient."
            )
    return tuple(finding for film in films for finding in film.findings)


def whereabouts(path: Path | None, plan: Plan) -> Registered:
    """Where the vertebra is: as registered, or as in the CT with a caution."""
    from trocar.errors import CaseFileError
    from trocar.io.registration_file import Registered, read_registration, scan_digest

    level = plan.procedure.level
    if path is None:
        return Registered.as_scanned(level)
    found = read_registration(path)
    if found.level is not level:
        raise click.UsageError(f"{path} is of {found.level}, the plan of {level}: register that level.")
    if found.scan != scan_digest(plan.anatomy.ct):
        raise CaseFileError(f"{path} was registered to another scan: run 'trocar guide register' with this one.")
    found.require_reliable()
    return found


def once(*several: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Findings in their order, none of them twice: a registration knows those of its runs."""
    return tuple(dict.fromkeys(finding for findings in several for finding in findings))


def write_shown(path: Path, pictures: Iterator[NDArray[Any]], pace_hz: float = FILM_HZ) -> Finding | None:
    """Write a film to look at; where that fails, what to tell: a film is not worth losing results for."""
    from trocar.errors import OutputError, ToolError
    from trocar.io.film import write_film
    from trocar.measure import Finding, Severity

    try:
        write_film(path, pictures, pace_hz)
    except (OutputError, ToolError) as refusal:
        return Finding(Severity.NOTE, f"There is no film {path.name}.", str(refusal).rstrip("."))
    return None


def file_name(source: str) -> str:
    """A source's name as the beginning of a file's: a device may call itself anything."""
    return re.sub(r"[^\w-]+", "_", source)[:80] or "images"


def side_by_side(films: dict[str, XA]) -> Iterator[Frame]:
    """The frames of all runs by time, as if they were filmed together; each frame's source is its run's name."""
    return heapq.merge(*(timed(film, name) for name, film in films.items()), key=lambda frame: frame.time_s)


def timed(film: XA, name: str) -> Iterator[Frame]:
    """The frames of a run under its name; one without a time gets that of an even pace."""
    for frame in film.frames():
        time_s = frame.time_s if math.isfinite(frame.time_s) else frame.number / UNTIMED_HZ
        yield replace(frame, source=name, time_s=time_s)


def every(frames: Iterable[Frame], count: float) -> Iterator[Frame]:
    """About one frame in ``count``, the first among them."""
    due = 0.0
    for n, frame in enumerate(frames):
        if n >= due:
            yield frame
            due += max(count, 1.0)


def rate_hz(film: XA) -> float:
    """Images a second of a run; a run that does not say its times is taken for 15."""
    import numpy as np

    steps = np.diff(film.times_s)
    return float(1.0 / np.median(steps)) if steps.size and np.median(steps) > 0.0 else UNTIMED_HZ
