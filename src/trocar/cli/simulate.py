"""``trocar simulate``: what a plan would do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trocar.cli.shared import (
    A_PATH,
    DEFAULT_CASE,
    NOTICE,
    Images,
    Progress,
    anatomy_refuses,
    as_json,
    check_pseudonym,
    images,
    talk,
    with_its_images,
)
from trocar.errors import SimulationError

if TYPE_CHECKING:
    from trocar.io.run_folder import RunFolder
    from trocar.treatment import Plan, Procedure, Simulation


@click.command("simulate")
@click.argument("plan_json", type=A_PATH)
@images
@click.option("-o", "--out", type=A_PATH, help="Folder for report and simulation; by default the plan's own.")
@click.option("--case", "case_id", help="Pseudonym printed on the report; by default the one the plan was given.")
@click.option("--fields", is_flag=True, help="Also write strain, energy, modulus and cement as NIfTI into fields/.")
@click.option("--workers", type=click.IntRange(min=1), help="Runs computed side by side; by default one a core.")
@as_json
@talk
def simulate_command(
    plan_json: Path,
    named: Images,
    out: Path | None,
    case_id: str | None,
    fields: bool,
    workers: int | None,
    json_: bool,
    progress: Progress,
) -> None:
    """Say what a plan would do: from its plan.json and the images it was made from.

    Writes simulation.json, and the report again with what was simulated, into the plan's folder or OUT. Where it is
    stopped (Ctrl-C), the runs that are finished stay in simulation-runs/ there, and the same command goes on from
    them. A simulation that fails is written too, marked as failed.
    """
    from trocar.io.case_folder import check_folder, check_same_plan, check_writable
    from trocar.io.plan_check import check_paths
    from trocar.io.plan_file import read_case_id, read_plan
    from trocar.io.run_folder import RunFolder

    if case_id is not None:
        check_pseudonym(case_id)
    before = read_plan(plan_json)
    case_id = case_id or read_case_id(plan_json) or DEFAULT_CASE
    check_simulated(before.procedure)
    folder = check_folder(out or (plan_json if plan_json.is_dir() else plan_json.parent), named.files)
    check_same_plan(folder, before)
    check_writable(folder)
    planned = check_paths(with_its_images(before, named, progress))
    kept = RunFolder(folder / "simulation-runs")
    with progress.stage(f"simulating {planned.procedure.name} of {planned.procedure.level}"), anatomy_refuses():
        simulation, failure = simulated(planned, kept, workers, progress)
    write_simulation(simulation, case_id, folder, named.files, fields, progress)
    kept.clear()
    if failure is not None:
        raise failure
    show_simulation(simulation, folder, json_)


def simulated(
    plan: Plan, kept: RunFolder, workers: int | None, progress: Progress
) -> tuple[Simulation, SimulationError | None]:
    """The simulation, and why it failed if it did; one that carries nothing is raised."""
    from trocar.physics.multigrid import cores
    from trocar.treatment import simulate

    try:
        return simulate(plan, progress.step, kept=kept, workers=workers or cores()), None
    except SimulationError as failure:
        if failure.simulation is None:
            raise
        return failure.simulation, failure
    except KeyboardInterrupt:
        if kept:
            progress.step(f"{len(kept)} finished run(s) are kept in {kept.folder}: the same command goes on from there")
        raise


def check_simulated(procedure: Procedure) -> None:
    """Refuse a procedure that only plans as a usage error, before anything is read."""
    from trocar.treatment import Procedure, procedures

    if type(procedure).simulate is Procedure.simulate:
        can = [name for name, p in procedures().items() if p.simulate is not Procedure.simulate]
        raise click.UsageError(f"{procedure.name} cannot be simulated; these can: {', '.join(can) or 'none yet'}.")


def write_simulation(
    simulation: Simulation, case_id: str, folder: Path, inputs: list[Path], fields: bool, progress: Progress
) -> None:
    """Report a simulation with its plan."""
    from trocar.case import Case
    from trocar.io.case_folder import write
    from trocar.reporting.report import report

    with progress.stage(f"writing {folder}"):
        write(report(Case(case_id, simulation.plan, simulation)), folder, inputs, fields, case_id)


def show_simulation(simulation: Simulation, folder: Path, json_: bool) -> None:
    """Print what was simulated."""
    from trocar.io.simulation_file import to_json
    from trocar.reporting.lines import simulation_lines

    if json_:
        document = json.loads(to_json(simulation))
        click.echo(json.dumps({"out": str(folder), "simulation": document}, ensure_ascii=False))
        return
    procedure = simulation.plan.procedure
    click.echo(f"{procedure.level}: {procedure.name}, simulated")
    for line in simulation_lines(simulation):
        click.echo(f"  {line}")
    for finding in simulation.findings:
        click.echo(f"  {finding}")
    click.echo(f"  report: {folder / 'report.html'}\n")
    click.echo(NOTICE)
