"""``trocar export``: the same model for another solver."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trocar.cli.shared import (
    A_PATH,
    Images,
    Progress,
    anatomy_refuses,
    as_json,
    callers_mistake,
    images,
    talk,
    with_its_images,
)
from trocar.errors import SimulationError

if TYPE_CHECKING:
    from trocar.mechanics.answers import Loaded
    from trocar.physics.solid import Boundary, Solid
    from trocar.procedures.cement_access import CementAccess
    from trocar.treatment import Plan, Procedure


@click.command("export")
@click.argument("plan_json", type=A_PATH)
@images
@click.option("-o", "--out", required=True, type=A_PATH, help="File to write: .inp for CalculiX, .h5 for ParOSol.")
@click.option("--cement", is_flag=True, help="With the planned cement in it; otherwise as scanned.")
@as_json
@talk
def export_command(plan_json: Path, named: Images, out: Path, cement: bool, json_: bool, progress: Progress) -> None:
    """Write the planned vertebra under axial load for another solver, and print Trocar's own answer.

    So that a sceptic can check: same voxels, moduli and supports; the vertebra between PMMA caps.
    """
    from trocar.io.case_folder import check_writable
    from trocar.io.plan_check import check_paths
    from trocar.io.plan_file import read_plan

    write = peer_writer(out)
    before = read_plan(plan_json)
    procedure = with_bone(before.procedure, cement)
    check_writable(out.parent)
    planned = check_paths(with_its_images(before, named, progress))
    with progress.stage("building and loading the model"):
        loaded = loaded_vertebra(procedure, planned, cement)
    with progress.stage(f"writing {out}"), callers_mistake():
        write(loaded.model.solid, loaded.deformation.boundary, out)
    show_export(loaded, out, json_)


def peer_writer(out: Path) -> Callable[[Solid, Boundary, Path], Path]:
    """What writes the file, by the ending of its name; another ending is a usage error."""
    if out.suffix == ".inp":
        from trocar.io.calculix import write_calculix

        return write_calculix
    if out.suffix == ".h5":
        from trocar.io.parosol import write_parosol

        return write_parosol
    raise click.UsageError(f"{out.name!r} ends in neither .inp (CalculiX) nor .h5 (ParOSol).")


def with_bone(procedure: Procedure, cement: bool) -> CementAccess:
    """The procedure, if it has a model of the bone, and of its cement if asked for; another is a usage error."""
    from trocar.procedures.cement_access import CementAccess

    if not isinstance(procedure, CementAccess):
        raise click.UsageError(f"{procedure.name or type(procedure).__name__} has no model of the bone to export.")
    if cement and type(procedure).filling is CementAccess.filling:
        raise click.UsageError(f"--cement: where the cement of a {procedure.name} lies is known once it is simulated.")
    return procedure


def loaded_vertebra(procedure: CementAccess, plan: Plan, cement: bool) -> Loaded:
    """The planned vertebra between PMMA caps under axial compression, solved, with its cement if asked for."""
    from trocar.measure import Status
    from trocar.mechanics.answers import press
    from trocar.mechanics.model import Ends
    from trocar.mechanics.scenario import augmented

    model = procedure.bone(plan, Ends.CAPS)
    with anatomy_refuses():
        filling = procedure.filling(model, plan) if cement else None
        model = augmented(model, filling).model if filling else model
    loaded = press(model)
    if loaded.status is not Status.SUCCESS:
        raise SimulationError(loaded.status.value)
    return loaded


def show_export(loaded: Loaded, out: Path, json_: bool) -> None:
    """Print where the model lies and what Trocar answers, with as many digits as a comparison needs."""
    answer = {
        "file": str(out),
        "condition": loaded.condition,
        "force_n": loaded.resistance,
        "compression_mm": loaded.amount,
        "residual": loaded.deformation.residual,
    }
    if json_:
        click.echo(json.dumps(answer, ensure_ascii=False))
        return
    click.echo(f"{out}\n{loaded.condition}\nTrocar: {loaded.resistance:.6g} N at {loaded.amount:g} mm of compression.")
