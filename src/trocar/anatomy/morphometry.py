"""Published measurements of vertebrae, T1 to L5, and what lies between them.

The numbers and their sources are in ``data/morphometry.json``. Published means of one pedicle
differ up to twofold between series; these draw a plausible patient, they are no norm.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from trocar.anatomy.levels import Level

#: Levels that the tables cover, head to foot.
MEASURED_LEVELS = tuple(Level(f"T{n}") for n in range(1, 13)) + tuple(Level(f"L{n}") for n in range(1, 6))


@dataclass(frozen=True)
class Morphometry:
    """The measurements of one level, mm and degrees; definitions are in the table.

    ``interpolated`` names the fields that no row gives for this level; ``unverified`` those whose
    rows are recalled or chosen rather than read in a source.
    """

    level: Level
    pedicle_width_mm: float
    pedicle_height_mm: float
    transverse_angle_deg: float
    sagittal_angle_deg: float
    upper_width_mm: float
    lower_width_mm: float
    upper_depth_mm: float
    lower_depth_mm: float
    posterior_height_mm: float
    wedge_mm: float
    canal_width_mm: float
    canal_depth_mm: float
    transverse_span_mm: float
    spinous_length_mm: float
    spinous_slope_deg: float
    disc_height_mm: float
    forward_tilt_deg: float
    interpolated: frozenset[str] = frozenset()
    unverified: frozenset[str] = frozenset()


@cache
def _table() -> dict[str, Any]:
    text = resources.files("trocar.anatomy").joinpath("data/morphometry.json").read_text(encoding="utf-8")
    return json.loads(text)


@cache
def morphometry(level: Level) -> Morphometry:
    """The measurements at ``level``, interpolated linearly between published levels.

    Raises ``ValueError`` outside T1 to L5.
    """
    if level not in MEASURED_LEVELS:
        raise ValueError(f"level={level} has no morphometry: the tables run from T1 to L5.")
    values: dict[str, float] = {}
    interpolated, unverified = set(), set()
    for name, quantity in _table()["quantities"].items():
        rows = {row["level"]: row for row in quantity["rows"]}
        values[name] = _interpolate(level, {k: row["value"] for k, row in rows.items()})
        if str(level) not in rows:
            interpolated.add(name)
        elif rows[str(level)]["status"] != "read":
            unverified.add(name)
    return Morphometry(level, interpolated=frozenset(interpolated), unverified=frozenset(unverified), **values)


def _interpolate(level: Level, rows: dict[str, float]) -> float:
    places = {str(v): n for n, v in enumerate(MEASURED_LEVELS)}
    pairs = sorted((places[name], value) for name, value in rows.items())
    return float(np.interp(places[str(level)], [p[0] for p in pairs], [p[1] for p in pairs]))


def sources() -> dict[str, str]:
    """Where the numbers come from, by the short names used in the table's rows."""
    return dict(_table()["sources"])
