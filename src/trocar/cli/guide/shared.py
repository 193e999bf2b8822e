"""What the guide's commands share: the plan on its patient, the runs, and where the vertebra is in them."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trocar.cli.shared import A_PATH, Images, Progress, with_its_images

if TYPE_CHECKING:
    from trocar.guidance.frames import Frame
    from trocar.io.registration_file import Registered
    from trocar.io.xa import XA
    from trocar.planning.trajectory import Trajectory
    from trocar.treatment import Plan

#: More runs than this are not looked at side by side.
MOST_RUNS = 2
#: The pace of a run that does not say its times, images/s: common for pulsed fluoroscopy.
UNTIMED_HZ = 15.0

to_folder = click.option("-o", "--out", required=True, type=A_PATH, help="Folder for what is found.")
some_runs = click.option(
    "-r", "--run", "runs", multiple=True, type=A_PATH, help="DICOM X-ray run; repeat for the second view."
)
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
    """The runs by the names of their files; none, or more than two, is a usage error."""
    from trocar.io.xa import read_xa

    if not 1 <= len(paths) <= MOST_RUNS:
        raise click.UsageError(f"{len(paths)} runs were given: give --run once, or twice for two views.")
    if len({path.name for path in paths}) < len(paths):
        raise click.UsageError(f"both runs are called {paths[0].name}: rename one, results are told by these names.")
    return {path.stem: read_xa(path, needs_geometry=True) for path in paths}


def whereabouts(path: Path | None, plan: Plan) -> Registered:
    """Where the vertebra is: as registered, or as in the CT with a caution."""
    from trocar.io.registration_file import Registered, read_registration

    level = plan.procedure.level
    if path is None:
        return Registered.as_scanned(level)
    found = read_registration(path)
    if found.level is not level:
        raise click.UsageError(f"{path} is of {found.level}, the plan of {level}: register that level.")
    found.require_reliable()
    return found


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
