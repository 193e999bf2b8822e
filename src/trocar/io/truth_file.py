"""``truth.json``: what truly happened in a simulated fluoroscopy, as text, and back to an equal truth.

Everything is in the patient, LPS, mm; times in s, volumes in ml. Frames are columns of equal length. The two images
(silhouette, frame numbers of the leaks' shadows) are little-endian arrays, compressed (zlib) and in base64.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.anatomy.levels import Level
from trocar.errors import CaseFileError
from trocar.geometry import Pose
from trocar.guidance.carm import CArm, Detector
from trocar.guidance.truth import LEAST_MM, REACH_MM, FrameTruth, Truth
from trocar.injection.routes import Route
from trocar.io.case_text import damage, read_document, read_text
from trocar.io.records import fields_of, plain
from trocar.io.whole import written_whole

#: Name and version of the layout. A change that an old reader would misread gets a new number.
SCHEMA = "trocar-fluoroscopy-truth/1"
_WANTED = "the truth.json of a simulated fluoroscopy"
#: The types that an image may be stored in.
_IMAGE_TYPES = ("|b1", "<i4")


def write_truth(path: str | Path, truth: Truth) -> None:
    """Write a truth; the file is written whole or not at all."""
    with written_whole(path) as target:
        target.write_text(to_json(truth), encoding="utf-8")


def read_truth(path: str | Path) -> Truth:
    """The truth that was written; raises :class:`trocar.errors.CaseFileError` where the file holds none."""
    return from_json(read_text(Path(path), _WANTED))


def to_json(truth: Truth) -> str:
    """A truth as JSON text; numbers read back bit for bit."""
    document = {
        "schema": SCHEMA,
        "research_use_only": True,
        "frame": "LPS, mm",
        "units": {"time": "s", "length": "mm", "volume": "ml", "angle": "deg"},
        "level": str(truth.level),
        "source": truth.source,
        "seed": truth.seed,
        "rate_hz": truth.rate_hz,
        "centre_mm": plain(truth.centre_mm),
        "view": {**plain(fields_of(truth.view)), "detector": plain(fields_of(truth.view.detector))},
        "routes": [route.value for route in truth.routes],
        "onset_frames": {route.value: number for route, number in truth.onsets().items()},
        "onset_is": f"the first frame with {LEAST_MM} mm of leaked cement {REACH_MM} mm beyond the body's silhouette",
        "frames": _columns(truth.frames),
        "margin_px": truth.margin,
        "silhouette": _packed(truth.silhouette),
        "seen_from": _packed(truth.seen_from),
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str) -> Truth:
    """The truth in a text; raises :class:`trocar.errors.CaseFileError` where there is none."""
    document = read_document(text, SCHEMA, _WANTED)
    try:
        return _truth(document)
    except (KeyError, TypeError, ValueError, AttributeError, zlib.error, binascii.Error) as error:
        raise CaseFileError(f"truth.json is damaged ({damage(error)}): simulate again.") from error


def _truth(d: dict[str, Any]) -> Truth:
    return Truth(
        level=Level.parse(d["level"]),
        view=_view(d["view"]),
        source=str(d["source"]),
        seed=int(d["seed"]),
        rate_hz=float(d["rate_hz"]),
        centre_mm=np.array(d["centre_mm"]),
        routes=tuple(Route(name) for name in d["routes"]),
        frames=_rows(d["frames"]),
        margin=int(d["margin_px"]),
        silhouette=_unpacked(d["silhouette"]),
        seen_from=_unpacked(d["seen_from"]),
    )


def _view(d: dict[str, Any]) -> CArm:
    detector = dict(d["detector"])
    if detector["principal"] is not None:
        detector["principal"] = tuple(detector["principal"])
    return CArm(**{**d, "isocentre_mm": np.array(d["isocentre_mm"]), "detector": Detector(**detector)})


def _columns(frames: tuple[FrameTruth, ...]) -> dict[str, list[Any]]:
    """One list for each field of a frame; a displacement is a place and the three columns of its turn."""
    names = [name for name in FrameTruth.__dataclass_fields__ if name != "displacement"]
    columns = {name: [plain(getattr(f, name)) for f in frames] for name in names}
    columns["displacement_origin_mm"] = [plain(f.displacement.origin_mm) for f in frames]
    columns["displacement_axes"] = [plain(f.displacement.axes) for f in frames]
    return columns


def _rows(columns: dict[str, list[Any]]) -> tuple[FrameTruth, ...]:
    names = list(columns)
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return tuple(_frame(row) for row in rows)


def _frame(row: dict[str, Any]) -> FrameTruth:
    displacement = Pose(np.array(row.pop("displacement_origin_mm")), np.array(row.pop("displacement_axes")))
    points = {name: _point(row[name]) for name in ("isocentre_mm", "tip_mm", "direction")}
    lists = {name: tuple(row[name]) for name in ("leaked_ml", "reach_mm", "events")}
    return FrameTruth(**{**row, **points, **lists, "displacement": displacement})


def _point(values: list[float] | None) -> NDArray[np.float64] | None:
    return None if values is None else np.array(values, dtype=np.float64)


def _packed(array: NDArray[Any]) -> dict[str, Any]:
    """An array as text."""
    raw = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    data = base64.b64encode(zlib.compress(raw.tobytes(), 6)).decode("ascii")
    return {"type": raw.dtype.str, "shape": list(raw.shape), "zlib_base64": data}


def _unpacked(d: dict[str, Any]) -> NDArray[Any]:
    """An array from its text."""
    if d["type"] not in _IMAGE_TYPES:
        raise ValueError(d["type"])
    raw = zlib.decompress(base64.b64decode(d["zlib_base64"], validate=True))
    return np.frombuffer(raw, dtype=d["type"]).reshape(d["shape"])
