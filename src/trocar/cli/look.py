"""The commands that look and do not plan: info, cite, replay, segment, list."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trocar.cli.shared import (
    A_PATH,
    NOTICE,
    REFUSED,
    Images,
    Progress,
    as_json,
    images,
    read_patient,
    talk,
    with_its_images,
)

if TYPE_CHECKING:
    from trocar.anatomy.levels import Level
    from trocar.anatomy.patient import Anatomy


@click.command("info")
@images
@as_json
@talk
def info_command(named: Images, json_: bool, progress: Progress) -> None:
    """Say which levels are whole, and their heights, angles, grades and density."""
    anatomy = read_patient(named, progress)
    levels = sorted(anatomy.vertebrae, key=lambda level: level.order)
    if json_:
        click.echo(json.dumps(info_document(anatomy, levels), ensure_ascii=False))
        return
    k, j, i = anatomy.ct.spacing_mm
    click.echo(
        f"scan: {anatomy.ct.shape[2]} x {anatomy.ct.shape[1]} x {anatomy.ct.shape[0]} voxels of "
        f"{i:.2f} x {j:.2f} x {k:.2f} mm; labels: {anatomy.scheme}"
    )
    for finding in anatomy.findings:
        click.echo(f"  {finding}")
    for level in levels:
        vertebra = anatomy.vertebrae[level]
        click.echo(f"{level}: {'whole' if vertebra.whole else 'NOT WHOLE'}")
        for m in vertebra.measures:
            click.echo(f"  {m.name.replace('_', ' ')}: {m}")
        for finding in vertebra.findings:
            click.echo(f"  {finding}")
    click.echo(NOTICE)


def info_document(anatomy: Anatomy, levels: list[Level]) -> dict[str, Any]:
    """What ``info --json`` prints."""
    from trocar.io.records import plain

    return {
        "scheme": anatomy.scheme,
        "spacing_mm": list(anatomy.ct.spacing_mm),
        "findings": [str(f) for f in anatomy.findings],
        "levels": {
            str(level): {
                "whole": anatomy.vertebrae[level].whole,
                "measures": plain(anatomy.vertebrae[level].measures),
                "findings": [str(f) for f in anatomy.vertebrae[level].findings],
            }
            for level in levels
        },
    }


@click.command("cite")
@click.argument("plan_json", type=A_PATH)
@as_json
def cite_command(plan_json: Path, json_: bool) -> None:
    """Print the references of the methods a plan used."""
    from trocar.io.plan_file import read_plan
    from trocar.reporting.cite import references_for

    references = references_for(read_plan(plan_json))
    if json_:
        click.echo(json.dumps({"references": [str(r) for r in references]}, ensure_ascii=False))
        return
    for n, reference in enumerate(references, 1):
        click.echo(f"{n}. {reference}")


@click.command("replay")
@click.argument("plan_json", type=A_PATH)
@images
@talk
def replay_command(plan_json: Path, named: Images, progress: Progress) -> None:
    """Plan again from a plan.json and its images, and say whether the same plan comes out."""
    from trocar.io.plan_file import read_plan
    from trocar.treatment import plan

    before = read_plan(plan_json)
    anatomy = with_its_images(before, named, progress).anatomy
    after = plan(anatomy, before.procedure)
    # the same files may have other names by now
    same = dataclasses.replace(after.provenance, files=before.provenance.files)
    if dataclasses.replace(after, provenance=same) != before:
        click.echo(f"trocar: another plan came out (written by {before.version}, now {after.version}).", err=True)
        sys.exit(REFUSED)
    click.echo("the same plan came out.")


@click.command("segment")
@click.argument("scan", type=A_PATH)
@click.option("-o", "--out", required=True, type=A_PATH, help="Label map to write (.nii.gz).")
@click.option(
    "--tool",
    type=click.Choice(["totalsegmentator", "spineps"]),
    default="totalsegmentator",
    show_default=True,
    help="External program; installed by you, with its weights.",
)
@click.option("--fast", is_flag=True, help="The tool's coarser, quicker model.")
def segment_command(scan: Path, out: Path, tool: str, fast: bool) -> None:
    """Make labels with an external program that is installed here (TotalSegmentator or SPINEPS)."""
    from trocar.io.segment import segment

    result = segment(scan, out, tool=tool, fast=fast)
    click.echo(str(result))


@click.command("list")
@click.argument("what", type=click.Choice(["levels", "schemes", "procedures", "instruments", "approaches"]))
@as_json
def list_command(what: str, json_: bool) -> None:
    """List the levels, schemes, procedures, instruments or approaches that can be named."""
    rows = listing(what)
    if json_:
        click.echo(json.dumps({what: rows}, ensure_ascii=False))
        return
    for name, meaning in rows.items():
        click.echo(f"{name}  {meaning}".rstrip())


def listing(what: str) -> dict[str, str]:
    """Name and meaning of everything of one kind."""
    if what == "levels":
        from trocar.anatomy.levels import Level

        return {str(level): level.region for level in Level}
    if what == "schemes":
        from trocar.anatomy.schemes import schemes

        return {name: scheme.meaning for name, scheme in schemes().items()}
    if what == "procedures":
        from trocar.treatment import procedures

        return {name: (p.__doc__ or "").splitlines()[0] for name, p in procedures().items()}
    if what == "instruments":
        from trocar.planning.instrument import OUTER_DIAMETER_MM

        return {f"{g}G": f"outer diameter {d} mm" for g, d in OUTER_DIAMETER_MM.items()}
    from trocar.planning.access import APPROACHES

    return {a.name: f"{', '.join(a.regions)}; entry at the {a.landmark}" for a in APPROACHES}
