"""``trocar plan``: find the way in."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trocar.cli.shared import (
    A_PATH,
    DEFAULT_CASE,
    NOTICE,
    REFUSED,
    Images,
    Progress,
    as_json,
    callers_mistake,
    check_pseudonym,
    images,
    parse_levels,
    read_patient,
    talk,
)
from trocar.errors import LevelError, NoSafeTrajectory, TrocarError

if TYPE_CHECKING:
    from trocar.anatomy.levels import Level
    from trocar.anatomy.patient import Anatomy
    from trocar.treatment import Option, Plan, Procedure

DEFAULT_PROCEDURE = "vertebroplasty"


class ProcedureCommand(click.Command):
    """A command whose options are drawn from the fields of the procedures."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own options and one for each field of each procedure."""
        seen = {p.name for p in self.params}
        drawn: list[click.Parameter] = []
        for option in procedure_options():
            if option.name not in seen:
                seen.add(option.name)
                drawn.append(option)
        return [*super().get_params(ctx), *drawn]


def procedure_options() -> list[click.Option]:
    """One command line option for each field of each procedure."""
    from trocar.treatment import procedures

    return [
        click.Option([f"--{f.name.replace('_', '-')}"], type=_field_type(f), help=_field_help(f))
        for procedure in procedures().values()
        for f in dataclasses.fields(procedure)
        if f.name != "level"
    ]


def _field_type(f: dataclasses.Field[Any]) -> Any:
    if "options" in f.metadata:
        return click.Choice(f.metadata["options"])
    return {int: click.INT, str: click.STRING}.get(type(f.default), click.FLOAT)


def _field_help(f: dataclasses.Field[Any]) -> str:
    bounds = f.metadata.get("range")
    allowed = f" {bounds.low:g} to {bounds.high:g} {bounds.unit}".rstrip() + ";" if bounds else ""
    return f"{f.metadata.get('help', '')}{allowed and ' Allowed:'}{allowed or ' '} default {f.default}.".strip()


def build_procedure(name: str, level: Level, fields: dict[str, Any]) -> Procedure:
    """The prescription; an unknown name, a field of another procedure or a value out of range is a usage error."""
    from trocar.treatment import procedures

    known = procedures()
    if name not in known:
        raise click.UsageError(f"procedure {name!r} is not one of {', '.join(known)}.")
    given = {k: v for k, v in fields.items() if v is not None}
    foreign = sorted(given.keys() - {f.name for f in dataclasses.fields(known[name])})
    if foreign:
        raise click.UsageError(f"{', '.join(foreign)} is not a field of {name}.")
    with callers_mistake():
        return known[name](level=level, **given)


@click.command("plan", cls=ProcedureCommand)
@images
@click.option("--level", "level_names", multiple=True, required=True, help="Vertebra, e.g. L1; repeat, or 'all'.")
@click.option("-o", "--out", required=True, type=A_PATH, help="Folder for report and plan.")
@click.option("--case", "case_id", default=DEFAULT_CASE, show_default=True, help="Pseudonym printed on the report.")
@click.option("--procedure", "procedure_name", default=DEFAULT_PROCEDURE, show_default=True, help="What to plan.")
@as_json
@talk
def plan_command(
    named: Images,
    level_names: tuple[str, ...],
    out: Path,
    case_id: str,
    procedure_name: str,
    json_: bool,
    progress: Progress,
    **fields: Any,
) -> None:
    """Find the way in: write report.html, report.pdf, plan.json and figures into the OUT folder."""
    from trocar.io.case_folder import check_folder

    levels = None if "all" in level_names else parse_levels(level_names)
    # a bad prescription or pseudonym is refused before anything is read
    build_procedure(procedure_name, _any_level(levels), fields)
    check_pseudonym(case_id)
    check_folder(out, named.files)
    check_folders(out, levels or [])
    anatomy = read_patient(named, progress)
    chosen = list(anatomy.whole_levels) if levels is None else levels
    check_folders(out, chosen)
    if not chosen:
        why = " ".join(f"{level}: {reason}" for level, reason in cut_levels(anatomy))
        raise LevelError(f"no level is whole in this scan (body and both pedicles): scan further. {why}")
    plans, refused = search_levels(anatomy, chosen, procedure_name, fields, progress)
    written = write_plans(plans, case_id, out, len(chosen) > 1, named.files, progress)
    left_out = cut_levels(anatomy) if levels is None else []
    show_plans(written, refused, left_out, json_)
    if refused:
        sys.exit(REFUSED)


def _any_level(levels: list[Level] | None) -> Level:
    from trocar.anatomy.levels import Level

    return levels[0] if levels else Level.L1


def search_levels(
    anatomy: Anatomy, levels: list[Level], procedure_name: str, fields: dict[str, Any], progress: Progress
) -> tuple[list[Plan], list[tuple[Level, TrocarError]]]:
    """Plan each level; where several are asked for, one that is refused does not stop the others."""
    from trocar.treatment import plan

    plans: list[Plan] = []
    refused: list[tuple[Level, TrocarError]] = []
    for level in levels:
        try:
            with progress.stage(f"searching the way into {level}"):
                plans.append(plan(anatomy, build_procedure(procedure_name, level, fields)))
        except (NoSafeTrajectory, LevelError) as error:
            if len(levels) == 1:
                raise
            refused.append((level, error))
    return plans, refused


def write_plans(
    plans: list[Plan], case_id: str, out: Path, several: bool, inputs: list[Path], progress: Progress
) -> list[tuple[Path, Plan]]:
    """Report each plan, each into a folder of its level where several levels were asked for, else into ``out``."""
    from trocar.case import Case
    from trocar.io.case_folder import write
    from trocar.reporting.report import report

    written = []
    for plan in plans:
        folder = folder_of(out, plan.procedure.level, several)
        with progress.stage(f"writing {folder}"):
            write(report(Case(case_id, plan)), folder, inputs, case_id=case_id)
        written.append((folder, plan))
    return written


def folder_of(out: Path, level: Level, several: bool) -> Path:
    """Where the plan of a level goes: ``out``, or a folder of its own where there are several."""
    return out / str(level) if several else out


def check_folders(out: Path, levels: list[Level]) -> None:
    """Refuse folders that cannot be written to, or that hold a simulation which a new plan would make stale."""
    from trocar.io.case_folder import check_unsimulated, check_writable

    check_writable(out)
    for level in levels:
        check_unsimulated(folder_of(out, level, len(levels) > 1))


def cut_levels(anatomy: Anatomy) -> list[tuple[Level, str]]:
    """The labelled levels that are not whole, head to foot, and why."""
    cut = sorted((v for v, x in anatomy.vertebrae.items() if not x.whole), key=lambda v: v.order)
    return [(v, " ".join(f.text for f in anatomy.vertebrae[v].findings)) for v in cut]


def show_plans(
    written: list[tuple[Path, Plan]],
    refused: list[tuple[Level, TrocarError]],
    left_out: list[tuple[Level, str]],
    json_: bool,
) -> None:
    """Print what was planned, what was refused, and which levels could not be tried."""
    from trocar.io.plan_file import to_json

    if json_:
        plans = [{"out": str(folder), "plan": json.loads(to_json(plan))} for folder, plan in written]
        refusals = [{"level": str(level), "error": str(error)} for level, error in refused]
        cut = [{"level": str(level), "because": why} for level, why in left_out]
        click.echo(json.dumps({"plans": plans, "refused": refusals, "left_out": cut}, ensure_ascii=False))
        return
    for folder, plan in written:
        click.echo("\n".join(summary(plan)))
        click.echo(f"  report: {folder / 'report.html'}\n")
    for level, error in refused:
        click.echo(f"{level}: {error}")
    for level, why in left_out:
        click.echo(f"{level} was left out: {why}")
    click.echo(NOTICE)


def summary(plan: Plan) -> list[str]:
    """A plan in a few lines of text."""
    lines = [f"{plan.procedure.level}: {plan.procedure.name}"]
    for rank, option in enumerate(plan.options, 1):
        lines.append(f"  {rank}. {option.name}: {option.reason}")
        lines += [f"     {line}" for line in path_lines(option)] if rank == 1 else []
    lines += [f"  {finding}" for finding in plan.findings]
    if plan.not_checked:
        lines.append(f"  NOT CHECKED, the labels lack them: {', '.join(plan.not_checked)}")
    return lines


def path_lines(option: Option) -> list[str]:
    """The paths of an option: where, how deep, how close, how sure."""
    lines = []
    for t in option.trajectories:
        tight = min(t.clearances, key=lambda c: c.value_mm - c.margin_mm, default=None)
        lines.append(
            f"{t.side.value}: {t.instrument.name}, {t.skin_to_bone_mm:.0f} mm to bone, "
            f"{t.bone_to_target_mm:.0f} mm on to the target; {t.grade.value}"
        )
        if tight:
            lines.append(
                f"tightest: {tight.structure} {tight.value_mm:.1f} ± {tight.uncertainty_mm:.1f} mm "
                f"(margin {tight.margin_mm:g} mm)"
            )
        if t.breach_probability:
            lines.append(f"chance of a breach by hand error: {100 * t.breach_probability.value:.1f} %")
    return lines
