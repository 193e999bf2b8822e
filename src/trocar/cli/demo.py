"""``trocar demo``: a drawn patient whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trocar.cli.plan import DEFAULT_PROCEDURE, check_folders, search_levels, show_plans, write_plans
from trocar.cli.shared import A_PATH, Images, Progress, callers_mistake, parse_levels, read_patient, talk

if TYPE_CHECKING:
    from trocar.anatomy.levels import Level
    from trocar.anatomy.phantom import Phantom
    from trocar.treatment import Plan

#: Trabecular density of the drawn patient over a healthy one: bone that breaks.
OSTEOPOROTIC = 0.6


@click.command("demo")
@click.option(
    "-o",
    "--out",
    type=A_PATH,
    default=Path("out-demo"),
    show_default=True,
    help="Folder for the phantom's scan and labels and for the report.",
)
@click.option("--level", "level_name", default="L1", show_default=True, help="The fractured vertebra, T2 to L4.")
@talk
def demo_command(out: Path, level_name: str, progress: Progress) -> None:
    """Draw a patient of known truth, plan on it as on any scan, and compare with the truth.

    The phantom has a wedge fracture. Its scan and labels are written beside the report, so that every
    other command can be tried on them.
    """
    from trocar.anatomy.phantom import SCHEME, Fracture, PhantomSpec, phantom
    from trocar.io.case_folder import check_folder
    from trocar.io.phantom_files import write_phantom

    level = parse_levels((level_name,))[0]
    with callers_mistake():
        spec = PhantomSpec(
            levels=around(level), focus=level, fracture=Fracture.WEDGE, fracture_percent=25.0, trabecular=OSTEOPOROTIC
        )
    folder = check_folder(out)
    check_folders(out, [level])
    with progress.stage("drawing the phantom"):
        patient = phantom(spec)
        folder.mkdir(parents=True, exist_ok=True)
        scan, labels = write_phantom(patient, folder)
    anatomy = read_patient(Images(scan, labels=(labels,), scheme=(SCHEME,)), progress)
    plans, _ = search_levels(anatomy, [level], DEFAULT_PROCEDURE, {}, progress)
    written = write_plans(plans, "phantom", out, False, [], progress)
    show_plans(written, [], [], json_=False)
    for line in compare_with_truth(plans[0], patient):
        click.echo(line)
    files = f"{scan} --labels {labels}"
    click.echo(
        f"Try also: trocar info {files} --scheme {SCHEME}\n"
        f"          trocar simulate {out / 'plan.json'} {files}\n"
        f"          trocar plan {files} --scheme {SCHEME} --level {level} --out out/"
    )


def around(level: Level) -> tuple[Level, ...]:
    """A level and its neighbours, as the phantom can draw them."""
    from trocar.anatomy.morphometry import MEASURED_LEVELS

    if level not in MEASURED_LEVELS[1:-1]:
        raise click.UsageError(f"level={level}: the demo has {MEASURED_LEVELS[1]} to {MEASURED_LEVELS[-2]}.")
    n = MEASURED_LEVELS.index(level)
    return tuple(MEASURED_LEVELS[n - 1 : n + 2])


def compare_with_truth(plan: Plan, patient: Phantom) -> list[str]:
    """What was measured beside what was drawn."""
    from trocar.geometry import angle_deg

    level = plan.procedure.level
    truth, found = patient.truth.vertebrae[level], plan.anatomy.vertebra(level)
    lines = [f"Compared with the drawing of {level}:"]
    for side, pedicle in found.pedicles.items():
        drawn = truth.pedicles[side]
        lines.append(
            f"  {side.value} pedicle: width {pedicle.width.value:.1f} mm (drawn {drawn.width_mm:.1f}), "
            f"axis off by {float(pedicle.axis.distance_mm(drawn.axis.point_mm)):.1f} mm "
            f"and {angle_deg(pedicle.axis.direction, drawn.axis.direction):.1f}°"
        )
    heights = (found.heights.anterior, found.heights.middle, found.heights.posterior)
    both = ", ".join(f"{m.value:.1f} ({t:.1f})" for m, t in zip(heights, truth.heights_mm, strict=True))
    lines.append(f"  heights front, middle, back, mm (drawn): {both}")
    return lines
