"""Stamped items and alarms as a dictionary of plain values and a few arrays, and back: equal to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.geometry import Pose
from trocar.guidance.carm import CArm, Detector
from trocar.guidance.frames import (
    Alarm,
    AlarmKind,
    Frame,
    Intensity,
    Note,
    Points,
    Reading,
    Slab,
    Stamped,
    ToolPose,
)
from trocar.measure import Finding, Severity, Topic
from trocar.volume import Volume

Arrays = list[NDArray[Any]]


def flat(item: Stamped | Alarm) -> tuple[dict[str, Any], Arrays]:
    """What says everything about an item, ready for JSON, and its arrays; raises ``TypeError`` for another type."""
    if isinstance(item, Alarm):
        finding = _finding(item.finding)
        told = {"kind": item.kind.name, "finding": finding, "over": item.over}
        return {"type": "Alarm", "number": item.number, "time_s": item.time_s, "source": item.source, **told}, []
    meta = {"type": type(item).__name__, "number": item.number, "time_s": item.time_s, "source": item.source}
    match item:
        case Frame():
            view = None if item.view is None else _view(item.view)
            return meta | {"intensity": item.intensity.name, "view": view}, [item.image]
        case Slab(volume=volume):
            placed = {"affine": volume.affine.tolist(), "frame_of_reference": volume.frame_of_reference}
            findings = [_finding(finding) for finding in volume.findings]
            return meta | placed | {"unit": volume.unit, "findings": findings}, [volume.array]
        case ToolPose():
            return meta | {"tool": item.tool} | _pose(item.pose), []
        case Reading():
            return meta | {"name": item.name, "value": float(item.value), "unit": item.unit}, []
        case Note():
            return meta | {"name": item.name, "text": item.text}, []
        case Points():
            return meta | {"names": list(item.names), "points_mm": item.points_mm.tolist()}, []
    raise TypeError(f"a {type(item).__name__} cannot be recorded.")


def item_of(meta: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> Stamped | Alarm:
    """The item again; raises ``KeyError``, ``TypeError``, ``ValueError`` or ``IndexError`` where it is not whole."""
    stamp = (int(meta["number"]), float(meta["time_s"]), str(meta["source"]))
    match meta["type"]:
        case "Alarm":
            number, time_s, source = stamp
            told = (_finding_of(meta["finding"]), bool(meta["over"]))
            return Alarm(AlarmKind[meta["kind"]], time_s, number, source, *told)
        case "Frame":
            view = None if meta["view"] is None else _view_of(meta["view"])
            return Frame(*stamp, arrays[0], view, Intensity[meta["intensity"]])
        case "Slab":
            findings = tuple(_finding_of(finding) for finding in meta["findings"])
            placed = {"frame_of_reference": meta["frame_of_reference"], "unit": meta["unit"], "findings": findings}
            return Slab(*stamp, Volume(arrays[0], np.array(meta["affine"]), **placed))
        case "ToolPose":
            return ToolPose(*stamp, meta["tool"], Pose(np.array(meta["origin_mm"]), np.array(meta["axes"])))
        case "Reading":
            return Reading(*stamp, meta["name"], float(meta["value"]), meta["unit"])
        case "Note":
            return Note(*stamp, meta["name"], meta["text"])
        case "Points":
            points = np.array(meta["points_mm"], dtype=np.float64).reshape(-1, 3)
            return Points(*stamp, tuple(meta["names"]), points)
    raise ValueError(f"a {meta['type']} is not known.")


def _pose(pose: Pose) -> dict[str, Any]:
    return {"origin_mm": pose.origin_mm.tolist(), "axes": pose.axes.tolist()}


def _view(view: CArm) -> dict[str, Any]:
    """Every field of a C-arm's position, by its name."""
    plain = {f.name: getattr(view, f.name) for f in fields(view) if f.name not in ("isocentre_mm", "detector")}
    detector = {f.name: getattr(view.detector, f.name) for f in fields(view.detector)}
    return plain | {"isocentre_mm": view.isocentre_mm.tolist(), "detector": detector}


def _view_of(plain: dict[str, Any]) -> CArm:
    detector = dict(plain["detector"])
    if detector["principal"] is not None:
        detector["principal"] = tuple(detector["principal"])
    rest = {name: value for name, value in plain.items() if name not in ("isocentre_mm", "detector")}
    return CArm(np.array(plain["isocentre_mm"]), detector=Detector(**detector), **rest)


def _finding(finding: Finding) -> list[str]:
    return [finding.severity.name, finding.text, finding.because, finding.topic.name]


def _finding_of(plain: Sequence[str]) -> Finding:
    severity, text, because, topic = plain
    return Finding(Severity[severity], text, because, Topic[topic])
