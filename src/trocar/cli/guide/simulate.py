"""``trocar guide simulate``: films of a planned injection as a C-arm would record them, with the truth."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trocar.cli.guide.shared import no_film, planned, to_folder, write_shown
from trocar.cli.shared import (
    A_PATH,
    NOTICE,
    Images,
    Progress,
    as_json,
    callers_mistake,
    check_pseudonym,
    images,
    talk,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trocar.guidance.frames import Frame
    from trocar.guidance.simulated_case import SimulatedCase
    from trocar.treatment import Plan

#: A film to look at shows the mean of so many frames: less noise, and a file that is made in seconds.
FILM_FRAMES = 3
#: What a leak may be asked for; what each means is the library's (``guidance.simulated_case.LEAKS``).
LEAK_NAMES = ("none", "disc", "canal", "foramen", "front", "side", "vessel", "tract")


@click.command("simulate")
@click.argument("plan_json", type=A_PATH)
@images
@to_folder
@click.option("--leak", type=click.Choice(LEAK_NAMES), default="none", show_default=True, help="Where cement leaks.")
@click.option("--leak-ml", type=click.FloatRange(0.001, 15.0), default=0.6, show_default=True, help="How much, ml.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same films.")
@click.option("--seconds", type=click.FloatRange(8.0, 3600.0), default=16.0, show_default=True, help="Their length.")
@click.option(
    "--disturbances",
    type=click.IntRange(0, 10),
    default=2,
    show_default=True,
    help="Jumps of exposure, collimation, table and needle.",
)
@click.option(
    "--pixels",
    type=click.Choice(["512", "1024"]),
    default="512",
    show_default=True,
    help="Edge of the detector; a run of 16 s takes 126 MB, or 503 MB.",
)
@click.option("--flow-model", is_flag=True, help="Cement from the flow model (minutes), not from a quick stand-in.")
@click.option("--case", "case_id", default="case", show_default=True, help="Pseudonym written into the runs.")
@no_film
@as_json
@talk
def simulate_command(
    plan_json: Path,
    named: Images,
    out: Path,
    leak: str,
    leak_ml: float,
    seed: int,
    seconds: float,
    disturbances: int,
    pixels: str,
    flow_model: bool,
    case_id: str,
    no_film: bool,
    json_: bool,
    progress: Progress,
) -> None:
    """Draw the films that a C-arm would record of a planned injection, and write the truth beside them.

    A true AP and a true lateral, as DICOM X-ray runs (ap.dcm, lateral.dcm), as films to look at (.mp4), with what truly
    happens in each frame (.truth.json). For trying out, and for judging, whatever watches such films.
    """
    from trocar.guidance.simulated_case import LEAKS, USUAL_ARM, simulated_case
    from trocar.io.case_folder import check_folder, check_writable
    from trocar.treatment import simulate

    check_pseudonym(case_id)
    folder = check_folder(out, named.files)
    check_writable(folder)
    plan = planned(plan_json, named, progress)
    flowed = None
    if flow_model:
        with progress.stage("simulating the cement"):
            flowed = simulate(plan, progress.step)
    with progress.stage("drawing what the beam meets"), callers_mistake():
        case = simulated_case(
            plan,
            LEAKS.get(leak),
            seed,
            simulation=flowed,
            leak_ml=leak_ml,
            duration_s=seconds,
            disturbances=disturbances,
            arm=USUAL_ARM.binned(USUAL_ARM.detector.rows // int(pixels)),
        )
    written = []
    for name in case.films:
        told = write_run(case, name, folder, case_id, plan, progress)
        if not no_film:
            with progress.stage(f"filming {name}"):
                told |= film_of(folder, name, case.truths[name].rate_hz)
        written.append(told)
    show_simulated(written, json_)


def write_run(
    case: SimulatedCase, name: str, folder: Path, case_id: str, plan: Plan, progress: Progress
) -> dict[str, Any]:
    """One film as a run and its truth; says where they are and when each leak must be seen."""
    from trocar.io.truth_file import write_truth
    from trocar.io.xa_write import About, write_xa

    film, truth = case.films[name], case.truths[name]
    folder.mkdir(parents=True, exist_ok=True)
    run, told = folder / f"{name}.dcm", folder / f"{name}.truth.json"
    about = About(
        frame_of_reference=plan.anatomy.ct.frame_of_reference,
        pseudonym=case_id,
        derivation="Simulated from a CT; no detector took this image.",
    )
    with progress.stage(f"exposing {name}"):
        write_xa(run, film, about)
        write_truth(told, truth)
    onsets = {route.value: number for route, number in truth.onsets().items()}
    reached = {route.value: max(f.reach_mm[n] for f in truth.frames) for n, route in enumerate(truth.routes)}
    return {
        "view": name,
        "run": str(run),
        "truth": str(told),
        "leak_onset_frame": onsets,
        "leak_reach_mm": reached,
    }


def film_of(folder: Path, name: str, rate_hz: float) -> dict[str, Any]:
    """Write a run that was written as a film to look at; says where it is, or why there is none."""
    from trocar.io.xa import read_xa

    path = folder / f"{name}.mp4"
    refused = write_shown(path, averaged(read_xa(folder / f"{name}.dcm").frames()), rate_hz / FILM_FRAMES)
    return {"film": str(path)} if refused is None else {"film": None, "refused": str(refused)}


def averaged(frames: Iterable[Frame]) -> Iterator[NDArray[np.uint8]]:
    """Pictures of the means of :data:`FILM_FRAMES` images that follow one another; fewer at the end are left out."""
    import numpy as np

    from trocar.reporting.live import shown

    for together in zip(*[iter(frames)] * FILM_FRAMES, strict=False):
        mean = np.mean([frame.image for frame in together], axis=0, dtype=np.float32)
        yield shown(replace(together[0], image=mean))[0]


def show_simulated(written: list[dict[str, Any]], json_: bool) -> None:
    """Print what was written."""
    if json_:
        click.echo(json.dumps({"films": written}, ensure_ascii=False))
        return
    for film in written:
        shown = f", {film['film']}" if film.get("film") else ""
        click.echo(f"{film['view']}: {film['run']}{shown}; what truly happens: {film['truth']}")
        if "refused" in film:
            click.echo(f"  {film['refused']}")
        for route, number in film["leak_onset_frame"].items():
            reach = f"reaches {film['leak_reach_mm'][route]:.1f} mm beyond the body here"
            counts = "less than the 3 mm that count" if number is None else f"3 mm of it from image {number} on"
            click.echo(f"  leak, {route}: {reach}, {counts}")
    click.echo(NOTICE)
