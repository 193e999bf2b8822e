"""A path measured again on its images: whether it is what it says it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trocar.geometry import unit
from trocar.planning import rays
from trocar.planning.access import APPROACHES, Approach, Margins
from trocar.planning.appraisal import Found, Task, clearances
from trocar.planning.candidates import Site, wall_stretch_mm
from trocar.planning.robustness import HandError
from trocar.planning.trajectory import Clearance, Trajectory

#: Numbers that differ by more than this are not the same path, mm: half of the last digit that is printed.
SAME_MM = 0.05
#: Margins that differ by more than rounding were not asked for together, mm.
SAME_MARGIN_MM = 1e-6


def disagreement(site: Site, path: Trajectory, margins: Callable[[Approach], Margins]) -> str:
    """What of a path is not so on the images of ``site``, in words for after "the path ..."; empty where all is so.

    The three points must lie on one line in the order skin, bone, target; the skin and the bone's surface must be
    where they are said to be; and every clearance must come out again, each within 0.05 mm, beside the margin that
    ``margins`` asks for on the path's approach.
    """
    return _off_line(path) or _off_surface(site, path) or _other_clearance(site, path, margins)


def _off_line(path: Trajectory) -> str:
    points = np.stack([path.skin_mm, path.entry_mm, path.target_mm])
    if points.shape != (3, 3) or not np.isfinite(points).all():
        return "has a point that is none"
    if path.skin_to_bone_mm <= SAME_MM or path.bone_to_target_mm <= SAME_MM:
        return "has two of its points in one place"
    if float(path.axis.distance_mm(path.entry_mm)) > SAME_MM or path.length_mm < path.skin_to_bone_mm:
        return "does not run on one line from the skin through its entry to its target"
    return ""


def _off_surface(site: Site, path: Trajectory) -> str:
    if abs(float(site.maps.sample(path.entry_mm[None])[0])) > SAME_MM:
        return "does not enter the bone where it says"
    skin = site.anatomy.skin
    to_index = np.ascontiguousarray(skin.inverse_affine[[2, 1, 0]])
    found = rays.way_out(skin.array, to_index, path.target_mm[None], -path.direction[None])
    # a point on the edge of a voxel of skin may count as one step farther
    if abs(abs(float(found[0])) - path.length_mm) > rays.SKIN_STEP_MM + SAME_MM:
        return "does not leave the skin where it says"
    return ""


def _other_clearance(site: Site, path: Trajectory, margins: Callable[[Approach], Margins]) -> str:
    stated = {c.structure: c for c in path.clearances}
    found = {c.structure: c for c in _measured(site, path, margins)}
    for name in sorted(stated.keys() | found.keys()):
        words = name.replace("_", " ")
        if name not in found or name not in stated:
            return f"states no clearance to the {words}" if name not in stated else f"has no {words} near"
        a, b = stated[name], found[name]
        if not (abs(a.value_mm - b.value_mm) <= SAME_MM and abs(a.uncertainty_mm - b.uncertainty_mm) <= SAME_MM):
            return f"has {b.value_mm:.1f} mm to the {words} where it states {a.value_mm:.1f} mm"
        if not abs(a.margin_mm - b.margin_mm) <= SAME_MARGIN_MM:
            return f"states a margin of {a.margin_mm:g} mm to the {words} where {b.margin_mm:g} mm is asked for"
    return ""


def _measured(site: Site, path: Trajectory, margins: Callable[[Approach], Margins]) -> tuple[Clearance, ...]:
    """The clearances as planning measures them, beside the margins that are asked for."""
    approach = _approach(path)
    task = Task(site, path.side, approach, path.instrument, margins(approach), HandError())
    tip, way = path.target_mm, unit(path.skin_mm - path.target_mm)
    wall = float(wall_stretch_mm(approach, site.pedicle(path.side), tip[None], way[None])[0])
    return clearances(task, Found(tip, way, wall, path.bone_to_target_mm, path.length_mm, 0.0, 0.0, 0.0))


def _approach(path: Trajectory) -> Approach:
    """The approach of that name; raises ``ValueError`` for one that is not known."""
    for approach in APPROACHES:
        if approach.name == path.approach:
            return approach
    raise ValueError(f"approach={path.approach!r} is not one of {', '.join(a.name for a in APPROACHES)}.")
