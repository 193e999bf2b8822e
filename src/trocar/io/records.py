"""Measures, findings and other records as plain JSON values, and back."""

from __future__ import annotations

import dataclasses
import math
from enum import Enum
from typing import Any

import numpy as np

from trocar.measure import Code, Finding, Measure, Severity, Topic


def fields_of(record: Any) -> dict[str, Any]:
    """The fields of a dataclass by name, one level deep."""
    return {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}


def plain(value: Any) -> Any:
    """Dataclasses as dictionaries, enums as their values, arrays and tuples as lists.

    What is not a number in a measure becomes None: a value that could not be found travels as such. A finding has its
    topic only where it is not the general one.
    """
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value):
        fields = {k: plain(v) for k, v in fields_of(value).items() if v is not Topic.GENERAL}
        return finite(fields) if isinstance(value, Measure) else fields
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(plain(k)): plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    return value


def finite(value: Any) -> Any:
    """Plain values with None for what is not a finite number: JSON has no word for it."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_measure(d: dict[str, Any]) -> Measure:
    """A measure from what :func:`plain` made of it."""
    value = math.nan if d["value"] is None else d["value"]
    return Measure(**{**d, "value": value, "code": Code(**d["code"]) if d["code"] else None})


def read_measures(rows: list[dict[str, Any]]) -> tuple[Measure, ...]:
    """Several measures."""
    return tuple(read_measure(m) for m in rows)


def read_findings(rows: list[dict[str, Any]]) -> tuple[Finding, ...]:
    """Several findings; those of files from before there were topics are of the general one."""
    general = Topic.GENERAL.value
    return tuple(
        Finding(Severity(f["severity"]), f["text"], f["because"], Topic(f.get("topic", general))) for f in rows
    )
