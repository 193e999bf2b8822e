"""``plan.json``: a plan as text, and back to an equal plan."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from trocar.anatomy.levels import Level
from trocar.anatomy.patient import Anatomy
from trocar.case import check_id
from trocar.errors import CaseFileError
from trocar.geometry import Side
from trocar.io.case_text import damage, read_document, read_text
from trocar.io.records import fields_of, plain, read_findings, read_measure, read_measures
from trocar.planning.instrument import Needle
from trocar.planning.trajectory import Clearance, Trajectory
from trocar.treatment import Option, Plan, Procedure, Provenance, procedures

#: Name and version of the layout. A change that an old reader would misread gets a new number.
SCHEMA = "trocar-plan/1"
_WANTED = "the plan.json of a plan"


def to_json(plan: Plan, case_id: str | None = None) -> str:
    """The plan as indented JSON text. Numbers are written so that they read back bit for bit.

    ``case_id`` is the pseudonym that goes with it, see :func:`read_case_id`; the plan itself has none.
    """
    document = {
        "schema": SCHEMA,
        "trocar_version": plan.version,
        "research_use_only": True,
        "frame": "LPS, mm",
        **({} if case_id is None else {"case": check_id(case_id)}),
        "procedure": {"name": plan.procedure.name, **plain(fields_of(plan.procedure))},
        "options": [_option(o) for o in plan.options],
        "not_checked": list(plan.not_checked),
        "findings": plain(plan.findings),
        "measures": plain(plan.measures),
        "provenance": plain(plan.provenance),
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str, images: Anatomy | None = None) -> Plan:
    """The plan in ``text``; raises :class:`CaseFileError` when it is not one of ours, or not of these ``images``."""
    document = read_document(text, SCHEMA, _WANTED)
    try:
        plan = _plan(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CaseFileError(f"plan.json is damaged ({damage(error)}): plan again.") from error
    return plan if images is None else with_images(plan, images)


def with_images(plan: Plan, images: Anatomy) -> Plan:
    """The plan with its patient at hand; raises :class:`CaseFileError` where these are not the files it was made from.

    Files are known by their SHA-256, whatever their names.
    """
    found = Provenance.of(images)
    if sorted(d for _, d in found.files) != sorted(d for _, d in plan.provenance.files):
        raise CaseFileError(
            "these are not the files the plan was made from (their digests differ): give that scan and its labels, "
            "or plan again."
        )
    return replace(plan, images=images)


def read_plan(path: str | Path, on: Anatomy | None = None) -> Plan:
    """Read ``plan.json``, or the one in a case folder. ``on`` is the patient it was planned on, if at hand.

    What the file states is taken as it stands: :func:`trocar.io.plan_check.check_paths` measures its paths again.
    """
    return from_json(read_text(_file(path), _WANTED), on)


def read_case_id(path: str | Path) -> str | None:
    """The pseudonym that was written with the plan; None in a file that has none, as older ones."""
    case_id = read_document(read_text(_file(path), _WANTED), SCHEMA, _WANTED).get("case")
    try:
        return None if case_id is None else check_id(case_id)
    except (TypeError, ValueError):
        raise CaseFileError("the case in plan.json is not a pseudonym: name another with --case.") from None


def _file(path: str | Path) -> Path:
    path = Path(path)
    return path / "plan.json" if path.is_dir() else path


def _option(option: Option) -> dict[str, Any]:
    return {
        "name": option.name,
        "reason": option.reason,
        "measures": plain(option.measures),
        "findings": plain(option.findings),
        "trajectories": [_trajectory(t) for t in option.trajectories],
    }


def _trajectory(t: Trajectory) -> dict[str, Any]:
    chance = t.breach_probability
    return {
        "level": t.level.value,
        "side": t.side.value,
        "approach": t.approach,
        "instrument": plain(t.instrument),
        "skin_mm": t.skin_mm.tolist(),
        "entry_mm": t.entry_mm.tolist(),
        "target_mm": t.target_mm.tolist(),
        "length_mm": t.length_mm,
        "grade": t.grade.value,
        "clearance_mm": t.clearance_mm,
        "clearances": [{**plain(c), "grade": c.grade.value} for c in t.clearances],
        "breach_probability": None if chance is None else chance.value,
        "breach_probability_measure": plain(chance),
        "measures": plain(t.measures),
    }


def _plan(d: dict[str, Any]) -> Plan:
    source = dict(d["provenance"])
    provenance = Provenance(
        **{
            **source,
            "files": tuple((name, digest) for name, digest in source["files"]),
            "spacing_mm": tuple(source["spacing_mm"]),
            "derived": tuple(source["derived"]),
        }
    )
    return Plan(
        _read_procedure(d["procedure"]),
        None,
        tuple(_read_option(o) for o in d["options"]),
        tuple(d["not_checked"]),
        read_measures(d["measures"]),
        read_findings(d["findings"]),
        provenance,
        d["trocar_version"],
    )


def _read_procedure(d: dict[str, Any]) -> Procedure:
    fields = dict(d)
    name = fields.pop("name")
    known = procedures()
    if name not in known:
        raise CaseFileError(f"plan.json is damaged (procedure {name!r} is not one of {', '.join(known)}): plan again.")
    foreign = sorted(fields.keys() - {f.name for f in dataclasses.fields(known[name])})
    if foreign:
        raise CaseFileError(f"plan.json is damaged ({foreign[0]!r} is no field of {name}): plan again.")
    try:
        return known[name](**fields)
    except ValueError as error:  # our own words for a value out of range
        raise CaseFileError(f"plan.json is damaged: {error} Plan again.") from error


def _read_option(d: dict[str, Any]) -> Option:
    return Option(
        tuple(_read_trajectory(t) for t in d["trajectories"]),
        d["reason"],
        read_measures(d["measures"]),
        read_findings(d["findings"]),
    )


def _read_trajectory(d: dict[str, Any]) -> Trajectory:
    chance = d["breach_probability_measure"]
    return Trajectory(
        level=Level(d["level"]),
        side=Side(d["side"]),
        approach=d["approach"],
        instrument=Needle(**d["instrument"]),
        skin_mm=np.array(d["skin_mm"], dtype=np.float64),
        entry_mm=np.array(d["entry_mm"], dtype=np.float64),
        target_mm=np.array(d["target_mm"], dtype=np.float64),
        clearances=tuple(Clearance(**{k: v for k, v in c.items() if k != "grade"}) for c in d["clearances"]),
        breach_probability=None if chance is None else read_measure(chance),
        measures=read_measures(d["measures"]),
    )
