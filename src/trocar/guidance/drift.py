"""By how much the marked point has drifted since the CT, and where the mark should be instead.

The mark, the entry into bone and the target were planned on the CT. During fluoroscopy the vertebra lies elsewhere,
and what was planned moves with it. The skin does not: the mark that was drawn stays where it is (as far as the skin
does), and the place where the moved path crosses the skin is another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from trocar.geometry import Pose, Vector, angle_deg
from trocar.guidance.registration import Registration
from trocar.measure import Finding, Measure, Severity
from trocar.planning.trajectory import Trajectory

#: A drift within this many standard deviations is not told from none.
TOLD_APART = 2.0
#: A part of a drift smaller than this, mm, is not put into words.
LEAST_WORDED_MM = 0.5
#: A mark that is off by more than this, mm, is a caution: about half the width of a lumbar pedicle at its narrowest.
LARGE_MM = 3.0
#: A path that crosses the skin at less than this sine has no one place where it does.
LEAST_SINE = 0.2


@dataclass(frozen=True, eq=False)
class Drift:
    """Where a planned path is now: the points it was planned with (LPS, mm), moved with the vertebra.

    ``path`` is the planned trajectory as it should now be followed. ``mark_mm`` is where its skin mark should be:
    where the moved path meets the skin's plane through the old mark. ``moved_mm`` is by how much that, the entry and
    the target differ from the plan, and ``sigma_mm`` one standard deviation of each along left, posterior, superior.
    """

    path: Trajectory
    mark_mm: Vector
    moved_mm: dict[str, Vector]
    sigma_mm: dict[str, Vector]
    measures: tuple[Measure, ...]
    findings: tuple[Finding, ...]


def drift(planned: Trajectory, found: Registration, skin_normal: Vector | None = None) -> Drift:
    """The drift of a planned path from a registration of its vertebra.

    ``skin_normal`` (LPS) is the skin's direction at the mark; without it, the skin is taken to face the path. Raises
    ``ValueError`` for another vertebra's path, and :class:`trocar.errors.ImageError` for an unreliable registration.
    """
    if planned.level is not found.level:
        raise ValueError(f"a path at {planned.level} does not move with {found.level}.")
    found.require_reliable()
    path = moved_path(planned, found.displacement)
    mark = _mark(planned, path, skin_normal)
    places = {"mark": mark, "entry": path.entry_mm, "target": path.target_mm}
    before = {"mark": planned.skin_mm, "entry": planned.entry_mm, "target": planned.target_mm}
    moved = {name: np.asarray(places[name] - before[name]) for name in places}
    sigma = {name: np.sqrt(np.diagonal(found.confidence.at_mm(at)[0])) for name, at in places.items()}
    return Drift(path, mark, moved, sigma, _measures(planned, path, moved, sigma), _findings(moved, sigma))


def moved_path(planned: Trajectory, displacement: Pose) -> Trajectory:
    """The path as it lies in the displaced bone."""
    to = displacement.to_world
    return replace(planned, skin_mm=to(planned.skin_mm), entry_mm=to(planned.entry_mm), target_mm=to(planned.target_mm))


def _mark(planned: Trajectory, path: Trajectory, skin_normal: Vector | None) -> Vector:
    """Where the moved path meets the plane of the skin through the old mark."""
    normal = np.asarray(planned.direction if skin_normal is None else skin_normal, dtype=np.float64)
    sine = float(path.direction @ normal) / float(np.linalg.norm(normal))
    if abs(sine) < LEAST_SINE:
        raise ValueError(f"the path runs along the skin (sine {sine:.2f}): at least {LEAST_SINE} is needed for a mark.")
    off = float((planned.skin_mm - path.skin_mm) @ normal) / float(path.direction @ normal)
    return np.asarray(path.skin_mm + off * path.direction)


def words(moved_mm: Vector) -> str:
    """A displacement in the patient's directions: "4.0 mm to the patient's left, 2.1 mm towards the head"."""
    names = (("right", "left"), ("front", "back"), ("feet", "head"))
    to = ("to the patient's ", "towards the ", "towards the ")
    parts = [
        f"{abs(by):.1f} mm {way}{pair[int(by > 0)]}"
        for by, way, pair in zip(moved_mm, to, names, strict=True)
        if abs(by) >= LEAST_WORDED_MM
    ]
    return ", ".join(parts) or f"by less than {LEAST_WORDED_MM} mm in any direction"


def _along_mm(moved_mm: Vector, sigma_mm: Vector) -> float:
    """One standard deviation of a displacement's length (at least the largest of a direction when it is none)."""
    length = float(np.linalg.norm(moved_mm))
    return float(np.linalg.norm(sigma_mm * moved_mm / length)) if length > 0.0 else float(sigma_mm.max())


def _measures(
    planned: Trajectory, path: Trajectory, moved: dict[str, Vector], sigma: dict[str, Vector]
) -> tuple[Measure, ...]:
    how = "From the registration of the vertebra; the interval is two standard deviations of its surface of similarity."
    out = []
    for name, by in moved.items():
        for axis, direction in enumerate(("left", "back", "head")):
            value, spread = float(by[axis]), 2.0 * float(sigma[name][axis])
            out.append(
                Measure(f"{name}_drift_{direction}", value, "mm", value - spread, value + spread, "2 sd", method=how)
            )
    turned = angle_deg(planned.direction, path.direction)
    return (*out, Measure("path_turn", turned, "deg", method="Between the planned path and the moved one."))


def _findings(moved: dict[str, Vector], sigma: dict[str, Vector]) -> tuple[Finding, ...]:
    """In words: the mark first."""
    by, spread = moved["mark"], _along_mm(moved["mark"], sigma["mark"])
    length = float(np.linalg.norm(by))
    because = f"the vertebra moved since the CT; one standard deviation is {spread:.1f} mm"
    target = _told_target(moved["target"], _along_mm(moved["target"], sigma["target"]))
    if length <= TOLD_APART * spread:
        text = (
            f"The mark needs no move that could be told: {length:.1f} mm, uncertain by ±{TOLD_APART * spread:.1f} mm."
        )
        return (Finding(Severity.NOTE, text, because), Finding(Severity.NOTE, target))
    severity = Severity.CAUTION if length > LARGE_MM else Severity.NOTE
    where = f"{words(by)} of" if np.abs(by).max() >= LEAST_WORDED_MM else "within half a millimetre of"
    text = f"The mark should be {where} where it was planned (±{TOLD_APART * spread:.1f} mm)."
    return (Finding(severity, text, because), Finding(Severity.NOTE, target))


def _told_target(moved_mm: Vector, spread_mm: float) -> str:
    """How far the target has moved, as far as that can be told from none."""
    length = float(np.linalg.norm(moved_mm))
    if length <= TOLD_APART * spread_mm:
        return f"Whether the target has moved cannot be told: {length:.1f} mm, ±{TOLD_APART * spread_mm:.1f} mm."
    return f"The target has moved {words(moved_mm)} (±{TOLD_APART * spread_mm:.1f} mm)."
